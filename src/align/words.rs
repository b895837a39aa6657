//! Names as words: a key is cut into tokens, and the lexicon says which tokens mean the same.

use std::collections::{HashMap, HashSet};

use crate::rules::lexicon::{Lexicon, Role};

mod cut;
mod phrases;

use cut::tokens;
use phrases::Phrases;

/// A token: an interned word, or a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Token {
    /// Index into [`Words::texts`].
    Word(u32),
    /// A run of digits, by value.
    Number(u32),
}

/// What the last part of a key is to its module.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Leaf {
    /// The role the lexicon gives it.
    pub(crate) role: Role,
    /// The concept or word behind it, to tell `weight_g` from `weight_v`.
    pub(crate) word: u32,
}

/// One key as the matcher sees it.
#[derive(Clone, Debug)]
pub(crate) struct Name {
    /// All tokens.
    pub(crate) tokens: Vec<Token>,
    /// Where the leaf begins; what stands before is the path of the module.
    pub(crate) leaf_at: usize,
    /// The leaf.
    pub(crate) leaf: Leaf,
    /// The class of the name: what is left when free numbers are taken out.
    pub(crate) class: u32,
    /// Whether its matrices are stored the other way round, as in frameworks whose leaf is `kernel`.
    pub(crate) turned: bool,
    /// The free numbers, in order: those that no word of the lexicon claims (`norm1` claims its 1).
    pub(crate) numbers: Vec<u32>,
}

impl Name {
    /// The path of the module.
    pub(crate) fn module(&self) -> &[Token] {
        &self.tokens[..self.leaf_at]
    }

    /// The tokens of the leaf.
    pub(crate) fn leaf_tokens(&self) -> &[Token] {
        &self.tokens[self.leaf_at..]
    }
}

/// A word of a class: the concepts it may mean, and its weight.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Word {
    /// Concepts (below [`Words::CONCEPTS`]) or plain words (from there on) it may stand for.
    pub(crate) meanings: Vec<u32>,
    /// 1, or less for a token that a longer phrase already speaks for.
    pub(crate) weight: f32,
    /// Where in the tokens of the class it begins.
    pub(crate) at: usize,
}

/// A class of names: all keys that differ in free numbers only.
#[derive(Clone, Debug, Default)]
pub(crate) struct Class {
    /// Its words, numbers left out.
    pub(crate) words: Vec<Word>,
    /// Its tokens, free numbers as [`FREE`].
    pub(crate) template: Vec<Token>,
    /// The segments of the modules around the tensor, the innermost first, those of numbers alone left out; at most [`SEGMENTS`].
    pub(crate) segments: Vec<std::ops::Range<usize>>,
}

/// The interner of words and classes for both sides.
pub(crate) struct Words {
    texts: Vec<String>,
    ids: HashMap<String, u32, foldhash::fast::RandomState>,
    phrases: Phrases<Vec<u32>>,
    /// Words that phrases end with, followed by a 1.
    counted: HashSet<u32, foldhash::fast::RandomState>,
    /// Phrases whose numbers count down.
    countdowns: Vec<Vec<Token>>,
    /// Phrases of leaves, last token first.
    leaves: Phrases<(Role, bool)>,
    pub(crate) concepts: HashMap<String, u32>,
    pub(crate) classes: Vec<Class>,
    class_ids: HashMap<Vec<Token>, u32, foldhash::fast::RandomState>,
    similar: HashMap<(u32, u32), f32, foldhash::fast::RandomState>,
    found: HashMap<(u32, u32), Option<std::ops::Range<usize>>, foldhash::fast::RandomState>,
}

/// How many modules around a tensor are compared as they are written.
const SEGMENTS: usize = 3;

/// Stands in a class template for a number that is free.
const FREE: Token = Token::Number(u32::MAX);

impl Words {
    /// Ids below this are concepts of the lexicon.
    pub(crate) const CONCEPTS: u32 = 1 << 16;

    pub(crate) fn new(lexicon: &Lexicon) -> Self {
        let mut words = Words {
            texts: Vec::new(),
            ids: HashMap::default(),
            phrases: Phrases::new(),
            counted: HashSet::default(),
            countdowns: Vec::new(),
            leaves: Phrases::new(),
            concepts: HashMap::new(),
            classes: Vec::new(),
            class_ids: HashMap::default(),
            similar: HashMap::default(),
            found: HashMap::default(),
        };
        for concept in &lexicon.concepts {
            let fresh = words.concepts.len() as u32;
            let id = *words.concepts.entry(concept.name.clone()).or_insert(fresh);
            for form in concept.forms.iter().chain([&concept.name]) {
                // The name itself is one token, which stands in the parts of fused tensors.
                let phrase = match form == &concept.name {
                    true => vec![words.token_for(form)],
                    false => words.tokenize(form).0,
                };
                if let [.., Token::Word(word), Token::Number(1)] = *phrase {
                    words.counted.insert(word);
                }
                let meanings = words.phrases.node(phrase.into_iter()).get_or_insert_default();
                if !meanings.contains(&id) {
                    meanings.push(id);
                }
            }
        }
        for form in lexicon.countdowns.iter().flat_map(|c| &c.forms) {
            let phrase = words.tokenize(form).0;
            words.countdowns.push(phrase);
        }
        for leaf in &lexicon.leaves {
            for form in &leaf.forms {
                let phrase = words.tokenize(form).0;
                *words.leaves.node(phrase.into_iter().rev()) = Some((leaf.role, leaf.turned));
            }
        }
        words
    }

    /// The id of a word, in lower case.
    fn intern(&mut self, text: &str) -> u32 {
        let lower;
        let text = if text.bytes().any(|b| b.is_ascii_uppercase()) {
            lower = text.to_ascii_lowercase();
            &lower
        } else {
            text
        };
        if let Some(&id) = self.ids.get(text) {
            return id;
        }
        let id = self.texts.len() as u32;
        self.texts.push(text.to_owned());
        self.ids.insert(text.to_owned(), id);
        id
    }

    /// Cuts a key into tokens; the second value says where the last segment begins.
    pub(crate) fn tokenize(&mut self, key: &str) -> (Vec<Token>, usize) {
        let (tokens, last, _) = self.tokenize_with_starts(key);
        (tokens, last)
    }

    /// As [`Words::tokenize`]; the third value has a bit for each of the first 63 tokens that begins a segment.
    pub(crate) fn tokenize_with_starts(&mut self, key: &str) -> (Vec<Token>, usize, u64) {
        let (mut last, mut starts) = (0, 0);
        let mut out = Vec::with_capacity(12);
        for (text, segment) in tokens(key) {
            if segment {
                last = out.len();
                starts |= 1 << last.min(63);
            }
            out.push(if text.as_bytes()[0].is_ascii_digit() {
                Token::Number(text.parse().unwrap_or(u32::MAX - 1))
            } else {
                Token::Word(self.intern(text))
            });
        }
        (out, last, starts)
    }

    /// Whether the lexicon numbers this word from 1: `norm1`, `fc1`.
    pub(crate) fn counts(&self, word: u32) -> bool {
        self.counted.contains(&word)
    }

    /// Phrases whose numbers count down.
    pub(crate) fn countdowns(&self) -> &[Vec<Token>] {
        &self.countdowns
    }

    /// Whether this is a phrase of the lexicon.
    pub(crate) fn knows(&self, phrase: &[Token]) -> bool {
        self.phrases.exact(phrase).is_some()
    }

    /// Reads the tokens of a key; `last_segment` says where its last segment begins, `starts` as in [`Words::tokenize_with_starts`] where
    /// all segments begin (0 where that is not known).
    pub(crate) fn name_of(&mut self, tokens: Vec<Token>, last_segment: usize, starts: u64) -> Name {
        let (leaf_at, role, turned) = match self.leaves.longest(tokens.iter().rev().copied()) {
            Some((length, &(role, turned))) => (tokens.len() - length, role, turned),
            None => (last_segment.min(tokens.len().saturating_sub(1)), Role::Other, false),
        };
        // Which numbers are free: all that no phrase claims.
        let mut template = tokens.clone();
        let mut numbers = Vec::new();
        let mut claimed = 0;
        for i in 0..tokens.len() {
            if let Some((length, _)) = self.phrases.longest(tokens[i..].iter().copied()) {
                claimed = claimed.max(i + length);
            } else if let Token::Number(n) = tokens[i]
                && i >= claimed
                && (i < leaf_at || role == Role::Other)
            {
                numbers.push(n);
                template[i] = FREE;
            }
        }
        // A leaf without a role is told from others by its last word.
        let word = tokens[leaf_at.min(tokens.len())..].iter().rev().find_map(|t| match t {
            Token::Word(id) if role == Role::Other => Some(Self::CONCEPTS + id),
            _ => None,
        });
        let word = word.unwrap_or(u32::MAX);
        let class = match self.class_ids.get(&template) {
            Some(&id) => id,
            None => {
                let id = self.classes.len() as u32;
                let words = self.words_of(&template);
                let segments = segments(&template, leaf_at, starts);
                self.classes.push(Class { words, template: template.clone(), segments });
                self.class_ids.insert(template, id);
                id
            }
        };
        Name { tokens, leaf_at, leaf: Leaf { role, word }, turned, class, numbers }
    }

    /// The words of a class: phrases with full weight, the single tokens inside a phrase with less.
    fn words_of(&self, template: &[Token]) -> Vec<Word> {
        let single = |token: Token| match self.phrases.longest(std::iter::once(token)) {
            Some((_, concepts)) => Some(concepts.clone()),
            None => match token {
                Token::Word(id) => Some(vec![Self::CONCEPTS + id]),
                Token::Number(_) => None,
            },
        };
        let mut out = Vec::new();
        let mut claimed = 0;
        for i in 0..template.len() {
            match self.phrases.longest(template[i..].iter().copied()) {
                Some((length, concepts)) if length > 1 => {
                    out.push(Word { meanings: concepts.clone(), weight: 1.0, at: i });
                    claimed = claimed.max(i + length);
                    out.extend(single(template[i]).map(|meanings| Word { meanings, weight: 0.3, at: i }));
                }
                _ => {
                    let weight = if i < claimed { 0.3 } else { 1.0 };
                    out.extend(single(template[i]).map(|meanings| Word { meanings, weight, at: i }));
                }
            }
        }
        out
    }

    /// Where in the tokens of a name a phrase stands that means `concept`; names of one class have it at one place.
    pub(crate) fn find_in(&mut self, name: &Name, concept: u32) -> Option<std::ops::Range<usize>> {
        if let Some(known) = self.found.get(&(name.class, concept)) {
            return known.clone();
        }
        let found = self.find(&name.tokens, concept);
        self.found.insert((name.class, concept), found.clone());
        found
    }

    /// Where in `tokens` a phrase stands that means `concept`: the longest, and the last of these.
    pub(crate) fn find(&self, tokens: &[Token], concept: u32) -> Option<std::ops::Range<usize>> {
        let mut best: Option<std::ops::Range<usize>> = None;
        for i in 0..tokens.len() {
            for length in 1..=(tokens.len() - i).min(6) {
                if self.phrases.exact(&tokens[i..i + length]).is_some_and(|c| c.contains(&concept))
                    && best.as_ref().is_none_or(|b| length >= b.len())
                {
                    best = Some(i..i + length);
                }
            }
        }
        best
    }

    /// Whether a name speaks of a token embedding or of the output layer, which are often one tensor.
    pub(crate) fn shares_tensor(&self, tokens: &[Token]) -> bool {
        ["token-embedding", "output-head", "embedding"]
            .iter()
            .filter_map(|c| self.concept(c))
            .any(|c| self.find(tokens, c).is_some())
    }

    /// Whether two phrases of the lexicon share a meaning.
    pub(crate) fn one_thing(&self, a: &[Token], b: &[Token]) -> bool {
        let (Some(x), Some(y)) = (self.phrases.exact(a), self.phrases.exact(b)) else { return false };
        x.iter().any(|meaning| y.contains(meaning))
    }

    /// Whether exactly this phrase means `concept`.
    pub(crate) fn means(&self, tokens: &[Token], concept: u32) -> bool {
        self.phrases.exact(tokens).is_some_and(|c| c.contains(&concept))
    }

    /// The id of a concept by name.
    pub(crate) fn concept(&self, name: &str) -> Option<u32> {
        self.concepts.get(name).copied()
    }

    /// A token that stands for a concept where no key spells it.
    pub(crate) fn token_for(&mut self, concept: &str) -> Token {
        Token::Word(self.intern(concept))
    }

    /// How alike two words are, 0 to 1.
    pub(crate) fn similarity(&mut self, a: &Word, b: &Word) -> f32 {
        if a.meanings == b.meanings {
            return 1.0;
        }
        if a.meanings.iter().any(|m| b.meanings.contains(m)) {
            return 0.8;
        }
        let (&[x], &[y]) = (a.meanings.as_slice(), b.meanings.as_slice()) else { return 0.0 };
        if x < Self::CONCEPTS || y < Self::CONCEPTS {
            return 0.0;
        }
        let key = (x.min(y), x.max(y));
        if let Some(&s) = self.similar.get(&key) {
            return s;
        }
        let s = spelling(&self.texts[(x - Self::CONCEPTS) as usize], &self.texts[(y - Self::CONCEPTS) as usize]);
        self.similar.insert(key, s);
        s
    }
}

/// The segments in front of the leaf, the innermost first.
fn segments(template: &[Token], leaf_at: usize, starts: u64) -> Vec<std::ops::Range<usize>> {
    let mut end = leaf_at;
    let mut out = Vec::new();
    for at in (0..leaf_at.min(63)).rev().filter(|at| starts >> at & 1 == 1) {
        if template[at..end].iter().any(|t| matches!(t, Token::Word(_))) && out.len() < SEGMENTS {
            out.push(at..end);
        }
        end = at;
    }
    out
}

/// How alike two plain words are spelled, 0 to 1: abbreviations and small edits count, single letters never.
fn spelling(a: &str, b: &str) -> f32 {
    let (short, long) = if a.len() <= b.len() { (a, b) } else { (b, a) };
    if short.len() < 2 {
        return 0.0;
    }
    if long.starts_with(short) {
        return if short.len() >= 3 { 0.8 } else { 0.4 };
    }
    if short.len() >= 3 && long.ends_with(short) {
        return 0.5;
    }
    let s = strsim::jaro_winkler(a, b) as f32;
    if short.len() >= 4 && s > 0.85 { s * 0.8 } else { 0.0 }
}
