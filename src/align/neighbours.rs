//! What a word means beside its neighbours.
//!
//! `post_attention_layernorm` is the second norm of a block in most models; where `pre_feedforward_layernorm` stands beside it, that one
//! is, and the first comes right behind the attention. Which meanings exclude each other follows from the names of one side alone; what
//! else depends on neighbours is said in the lexicon.

use std::collections::{BTreeMap, BTreeSet};

use super::units::Unit;
use super::words::{Token, Words};
use crate::rules::lexicon::Lexicon;

/// The words of names that begin alike: class, and index of the word in it.
type Group = Vec<(u32, usize)>;

/// Settles the meanings of words in the names of one side.
pub(crate) fn settle(units: &[Unit], words: &mut Words, lexicon: &Lexicon) {
    let classes: BTreeSet<u32> = units.iter().map(|u| u.name.class).collect();
    let mut groups: BTreeMap<Vec<Token>, Group> = BTreeMap::new();
    for &class in &classes {
        let class_words = &words.classes[class as usize];
        for (i, word) in class_words.words.iter().enumerate() {
            groups.entry(class_words.template[..word.at].to_vec()).or_default().push((class, i));
        }
    }
    let besides: Vec<Beside> = lexicon.besides.iter().filter_map(|b| Beside::new(b, words)).collect();
    for group in groups.values().filter(|g| g.len() > 1) {
        for beside in &besides {
            beside.apply(group, words);
        }
        exclude(group, words);
    }
}

/// Takes from words with several meanings those that a neighbour has as its only one.
fn exclude(group: &Group, words: &mut Words) {
    let only: BTreeSet<u32> = group
        .iter()
        .filter_map(|&(class, i)| match words.classes[class as usize].words[i].meanings.as_slice() {
            &[one] => Some(one),
            _ => None,
        })
        .collect();
    for &(class, i) in group {
        let meanings = &mut words.classes[class as usize].words[i].meanings;
        if meanings.len() > 1 && meanings.iter().any(|m| !only.contains(m)) {
            meanings.retain(|m| !only.contains(m));
        }
    }
}

/// A word that means something else beside others.
struct Beside {
    form: Vec<Token>,
    means: u32,
    with: Vec<Vec<Token>>,
    without: Vec<Vec<Token>>,
}

impl Beside {
    fn new(rule: &crate::rules::lexicon::Beside, words: &mut Words) -> Option<Beside> {
        let means = words.concept(&rule.means)?;
        let mut phrases = |forms: &[String]| forms.iter().map(|f| words.tokenize(f).0).collect();
        let (with, without) = (phrases(&rule.with), phrases(&rule.without));
        Some(Beside { form: words.tokenize(&rule.form).0, means, with, without })
    }

    fn apply(&self, group: &Group, words: &mut Words) {
        let spells = |&(class, i): &(u32, usize), phrase: &[Token]| {
            let class = &words.classes[class as usize];
            class.template[class.words[i].at..].starts_with(phrase)
        };
        let there = |phrase: &Vec<Token>| group.iter().any(|w| spells(w, phrase));
        if !self.with.iter().all(there) || self.without.iter().any(there) {
            return;
        }
        let mine: Vec<(u32, usize)> = group.iter().copied().filter(|w| spells(w, &self.form)).collect();
        for (class, i) in mine {
            words.classes[class as usize].words[i].meanings = vec![self.means];
        }
    }
}
