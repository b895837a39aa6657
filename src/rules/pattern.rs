//! Patterns of keys, as rules write them: the last segments of a key, whole.
//!
//! `attn.relative_position_bias_table` matches every key that ends so, cut at a dot. `*` stands for any characters within
//! one segment, `#` for a number, `{a,b}` for either word. `^` ties the pattern to the start of the key; `.**` at its end
//! means "and everything below".

use std::collections::HashMap;

use crate::checkpoint::Key;

/// A pattern of keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    anchored: bool,
    open: bool,
    segments: Vec<Segment>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Segment {
    /// The very word.
    Word(String),
    /// A whole number.
    Number,
    /// Parts between `*`; the first and the last are tied to the ends.
    Glob(Vec<String>),
}

impl Segment {
    fn parse(text: &str) -> Segment {
        match text {
            "#" => Segment::Number,
            _ if text.contains('*') => Segment::Glob(text.split('*').map(str::to_owned).collect()),
            _ => Segment::Word(text.to_owned()),
        }
    }

    fn matches(&self, segment: &str) -> bool {
        match self {
            Segment::Word(word) => word == segment,
            Segment::Number => !segment.is_empty() && segment.bytes().all(|b| b.is_ascii_digit()),
            Segment::Glob(parts) => glob(parts, segment),
        }
    }
}

/// Whether `text` is made of the parts in order, with anything between them.
fn glob(parts: &[String], text: &str) -> bool {
    let Some((first, rest)) = parts.split_first() else { return text.is_empty() };
    let Some(mut text) = text.strip_prefix(first.as_str()) else { return false };
    let Some((last, middle)) = rest.split_last() else { return text.is_empty() };
    for part in middle {
        match text.find(part.as_str()).and_then(|at| text.get(at + part.len()..)) {
            Some(after) => text = after,
            None => return false,
        }
    }
    text.ends_with(last.as_str())
}

impl Pattern {
    /// Parses one pattern; `{a,b}` makes several of it.
    ///
    /// # Errors
    /// Says what is wrong with the pattern, in lower case.
    pub fn parse(text: &str) -> Result<Vec<Pattern>, String> {
        let mut readings = vec![String::new()];
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('{') {
            let (choice, after) = after.split_once('}').ok_or_else(|| format!("`{text}`: a `{{` without its `}}`"))?;
            readings =
                readings.iter().flat_map(|r| choice.split(',').map(move |w| format!("{r}{before}{w}"))).collect();
            if readings.len() > 1000 {
                return Err(format!("`{text}` stands for more than 1000 patterns"));
            }
            rest = after;
        }
        readings.iter().map(|r| Self::parse_one(&format!("{r}{rest}"))).collect()
    }

    fn parse_one(text: &str) -> Result<Pattern, String> {
        let (anchored, body) = text.strip_prefix('^').map_or((false, text), |b| (true, b));
        let (open, body) = body.strip_suffix(".**").map_or((false, body), |b| (true, b));
        if body.is_empty() || body.split('.').any(str::is_empty) {
            return Err(format!("`{text}` has an empty segment"));
        }
        if body.contains("**") {
            return Err(format!("`{text}`: `**` can only stand at the end, as `.**`"));
        }
        Ok(Pattern { anchored, open, segments: body.split('.').map(Segment::parse).collect() })
    }

    /// Whether the key is one that the pattern means.
    pub fn matches(&self, key: Key<'_>) -> bool {
        if !self.open {
            let mut parts = key.as_str().rsplit('.');
            let fits = self.segments.iter().rev().all(|s| parts.next().is_some_and(|p| s.matches(p)));
            return fits && (!self.anchored || parts.next().is_none());
        }
        let parts: Vec<&str> = key.segments().collect();
        // Something must be below, so the last part is never taken by the pattern itself.
        let windows = parts.get(..parts.len().saturating_sub(1)).unwrap_or(&[]).windows(self.segments.len());
        let fits = |window: &[&str]| self.segments.iter().zip(window).all(|(s, p)| s.matches(p));
        let mut windows = windows;
        if self.anchored { windows.next().is_some_and(fits) } else { windows.any(fits) }
    }

    /// A word by which keys that may match are found quickly.
    fn handle(&self) -> Handle<'_> {
        let word = |s: &'_ Segment| matches!(s, Segment::Word(_));
        if self.open {
            let first = self.segments.iter().find_map(|s| if let Segment::Word(w) = s { Some(w) } else { None });
            return first.map_or_else(|| Handle::Piece(self.piece()), |w| Handle::Anywhere(w));
        }
        match self.segments.as_slice() {
            [.., Segment::Word(parent), Segment::Word(leaf)] => Handle::Two(format!("{parent}.{leaf}")),
            [.., last] if word(last) => match last {
                Segment::Word(leaf) => Handle::Leaf(leaf),
                _ => Handle::Piece(self.piece()),
            },
            _ => Handle::Piece(self.piece()),
        }
    }

    /// The longest run of characters that every key that matches must have.
    fn piece(&self) -> &str {
        let pieces = self.segments.iter().flat_map(|s| match s {
            Segment::Word(word) => std::slice::from_ref(word),
            Segment::Glob(parts) => parts.as_slice(),
            Segment::Number => &[],
        });
        pieces.max_by_key(|p| p.len()).map_or("", String::as_str)
    }
}

/// How keys that may match a pattern are found without trying it on every key.
enum Handle<'a> {
    /// They end in two words.
    Two(String),
    /// They end in a word.
    Leaf(&'a str),
    /// They have the word as a segment somewhere.
    Anywhere(&'a str),
    /// They have the characters somewhere.
    Piece(&'a str),
}

/// Many patterns, each standing for a `T`, of which only those are tried that share a word with the key.
#[derive(Clone, Debug)]
pub struct PatternMap<T> {
    patterns: Vec<(Pattern, T)>,
    by_two: HashMap<String, Vec<usize>, foldhash::fast::RandomState>,
    by_leaf: HashMap<String, Vec<usize>, foldhash::fast::RandomState>,
    by_word: HashMap<String, Vec<usize>, foldhash::fast::RandomState>,
    by_piece: Vec<(String, usize)>,
}

impl<T> Default for PatternMap<T> {
    fn default() -> Self {
        PatternMap {
            patterns: Vec::new(),
            by_two: HashMap::default(),
            by_leaf: HashMap::default(),
            by_word: HashMap::default(),
            by_piece: Vec::new(),
        }
    }
}

impl<T: Clone> PatternMap<T> {
    /// Adds a pattern as a rule writes it.
    ///
    /// # Errors
    /// Says what is wrong with the pattern.
    pub fn add(&mut self, pattern: &str, value: &T) -> Result<(), String> {
        for pattern in Pattern::parse(pattern)? {
            let at = self.patterns.len();
            match pattern.handle() {
                Handle::Two(words) => self.by_two.entry(words).or_default().push(at),
                Handle::Leaf(leaf) => self.by_leaf.entry(leaf.to_owned()).or_default().push(at),
                Handle::Anywhere(word) => self.by_word.entry(word.to_owned()).or_default().push(at),
                Handle::Piece(piece) => self.by_piece.push((piece.to_owned(), at)),
            }
            self.patterns.push((pattern, value.clone()));
        }
        Ok(())
    }
}

impl<T> PatternMap<T> {
    /// What every pattern that matches the key stands for, in the order in which they were added.
    pub fn get<'a>(&'a self, key: Key<'_>) -> impl Iterator<Item = &'a T> + use<'a, T> {
        let mut found = Vec::new();
        self.find(key, |at| {
            found.push(at);
            false
        });
        found.sort_unstable();
        // A word that occurs twice in a key finds its patterns twice.
        found.dedup();
        found.into_iter().filter_map(move |at| self.patterns.get(at).map(|(_, value)| value))
    }

    /// Whether any pattern matches the key.
    pub fn contains(&self, key: Key<'_>) -> bool {
        self.find(key, |_| true)
    }

    /// Calls `done` with each pattern that matches until it says yes.
    fn find(&self, key: Key<'_>, mut done: impl FnMut(usize) -> bool) -> bool {
        let text = key.as_str();
        let mut take = |at: usize| self.patterns.get(at).is_some_and(|(p, _)| p.matches(key)) && done(at);
        let mut any = |list: Option<&Vec<usize>>| list.is_some_and(|list| list.iter().any(|&at| take(at)));
        let leaf = text.rfind('.');
        let two = leaf.and_then(|at| text.get(..at)).map_or(0, |head| head.rfind('.').map_or(0, |at| at + 1));
        if (leaf.is_some() && !self.by_two.is_empty() && any(text.get(two..).and_then(|t| self.by_two.get(t))))
            || (!self.by_leaf.is_empty() && any(self.by_leaf.get(key.leaf())))
            || (!self.by_word.is_empty() && text.split('.').any(|word| any(self.by_word.get(word))))
        {
            return true;
        }
        self.by_piece.iter().any(|(piece, at)| text.contains(piece.as_str()) && take(*at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, key: &str) -> bool {
        Pattern::parse(pattern).unwrap().iter().any(|p| p.matches(Key(key)))
    }

    #[test]
    fn a_pattern_is_the_end_of_a_key_cut_at_a_dot() {
        assert!(matches("attn.bias", "h.0.attn.bias"));
        assert!(matches("attn.bias", "attn.bias"));
        assert!(!matches("attn.bias", "h.0.cross_attn.bias"));
        assert!(!matches("attn.bias", "attn.bias.x"));
    }

    #[test]
    fn stars_stay_within_a_segment_and_numbers_are_numbers() {
        assert!(matches("norm*.weight", "blocks.0.norm1.weight"));
        assert!(!matches("norm*.weight", "blocks.0.norm1.fc.weight"));
        assert!(matches("*pos_embed", "absolute_pos_embed"));
        assert!(matches("conv2d_list.#.{weight,bias}", "conv2d_list.3.bias"));
        assert!(!matches("conv2d_list.#.{weight,bias}", "conv2d_list.x.bias"));
        assert!(matches("a*b*c", "aXbYc") && !matches("a*b*c", "aXcYb"));
    }

    #[test]
    fn an_anchor_and_everything_below() {
        assert!(matches("^cls.**", "cls.predictions.bias"));
        assert!(!matches("^cls.**", "bert.cls.predictions.bias"));
        assert!(matches("lora_A.**", "q_proj.lora_A.default.weight"));
        assert!(!matches("lora_A.**", "q_proj.lora_A"));
        assert!(Pattern::parse("a.**.b").is_err());
        assert!(Pattern::parse("a..b").is_err());
    }

    #[test]
    fn a_map_finds_by_last_word_and_by_wildcard_in_the_order_of_adding() {
        let mut map = PatternMap::default();
        map.add("*.weight", &1).unwrap();
        map.add("fc.weight", &2).unwrap();
        map.add("head.**", &3).unwrap();
        assert_eq!(map.get(Key("head.fc.weight")).copied().collect::<Vec<_>>(), [1, 2, 3]);
        assert!(!map.contains(Key("bias")));
        map.add("*pos*", &4).unwrap();
        assert_eq!(map.get(Key("a.head.head.my_pos")).copied().collect::<Vec<_>>(), [3, 4]);
    }
}
