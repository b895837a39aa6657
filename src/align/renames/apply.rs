//! Applies rules as Python's `re.sub` would, and says what comes out wrong.

use std::borrow::Cow;
use std::collections::HashMap;
use std::hash::BuildHasher;

use regex::{Regex, escape};

use super::substitution::Substitution;
use super::{Pair, Rule, compile, dollars, literal};

/// What rules do to all keys.
pub(super) struct Applied<'a> {
    /// Pairs whose source does not become their target, or not alone.
    pub(super) wrong: Vec<Pair<'a>>,
    /// Keys outside the pairs that end up on a target of a pair or on each other.
    pub(super) collisions: Vec<&'a str>,
    /// How many keys each rule changes.
    pub(super) counts: Vec<usize>,
}

impl<'a> Applied<'a> {
    /// Applies `rules` in order to every key.
    pub(super) fn new(rules: &[Rule], pairs: &[Pair<'a>], others: &[&'a str]) -> Self {
        let ready: Vec<Ready> = rules.iter().map(Ready::of).collect();
        let mut counts = vec![0usize; rules.len()];
        let mut apply = |key: &'a str| {
            let mut key = Cow::Borrowed(key);
            for (rule, count) in ready.iter().zip(&mut counts) {
                if let Some(new) = rule.apply(&key) {
                    *count += 1;
                    key = Cow::Owned(new);
                }
            }
            key
        };
        // New names by their hashes: two of a million names share one less than once in ten million runs.
        let hasher = foldhash::fast::RandomState::default();
        let mut made: HashMap<u64, u32, foldhash::fast::RandomState> =
            HashMap::with_capacity_and_hasher(pairs.len() + others.len(), hasher.clone());
        let results: Vec<(u64, bool)> = pairs
            .iter()
            .map(|&(s, t)| {
                let new = apply(s);
                (hasher.hash_one(new.as_bytes()), new == t)
            })
            .collect();
        for (name, _) in &results {
            *made.entry(*name).or_insert(0) += 1;
        }
        let wrong = pairs
            .iter()
            .zip(&results)
            .filter(|(_, (name, right))| !right || made[name] != 1)
            .map(|(p, _)| *p)
            .collect();
        let mut collisions = Vec::new();
        for &other in others {
            let n = made.entry(hasher.hash_one(apply(other).as_bytes())).or_insert(0);
            if *n > 0 {
                collisions.push(other);
            }
            *n += 1;
        }
        Applied { wrong, collisions, counts }
    }
}

/// A rule ready to be applied.
enum Ready {
    /// Text and numbers.
    Plain(Substitution),
    /// Whatever else; `None` where it is no regular expression.
    Expression(Option<Regex>, String),
}

impl Ready {
    fn of(rule: &Rule) -> Ready {
        match Substitution::of(&rule.pattern, &rule.replacement) {
            Some(plain) => Ready::Plain(plain),
            None => Ready::Expression(compile(&rule.pattern), dollars(&rule.replacement)),
        }
    }

    /// What the rule makes of a key; `None` where it leaves it alone.
    fn apply(&self, key: &str) -> Option<String> {
        match self {
            Ready::Plain(plain) => plain.apply(key),
            Ready::Expression(pattern, replacement) => match pattern.as_ref()?.replace_all(key, replacement.as_str()) {
                Cow::Owned(new) => Some(new),
                Cow::Borrowed(_) => None,
            },
        }
    }
}

/// Moves keys that are in the way of others out of it, before anything else is renamed: a whole module at once where none of its keys is
/// renamed otherwise, and keys that differ in numbers only by one rule.
pub(super) fn aside(rules: Vec<Rule>, collisions: &[&str], pairs: &[Pair<'_>]) -> Vec<Rule> {
    let moved: Vec<&str> = pairs.iter().map(|(s, _)| *s).collect();
    let mut first: Vec<Rule> = Vec::new();
    let mut done: Vec<Regex> = Vec::new();
    for key in collisions {
        if first.len() == ASIDE || done.iter().any(|rule| rule.is_match(key)) {
            continue;
        }
        let module = key.rfind('.').map(|dot| &key[..=dot]);
        let wider = module.map(|m| numbered(m, "")).into_iter().chain([numbered(key, "$")]);
        let alone = |rule: &Rule| compile(&rule.pattern).filter(|p| !moved.iter().any(|s| p.is_match(s)));
        let exact = || Rule { pattern: format!("^{}$", escape(key)), replacement: format!("unused.{}", literal(key)) };
        let found = wider.flatten().find_map(|rule| alone(&rule).map(|pattern| (rule, pattern)));
        let Some((rule, pattern)) = found.or_else(|| compile(&exact().pattern).map(|p| (exact(), p))) else { continue };
        first.push(rule);
        done.push(pattern);
    }
    first.extend(rules);
    first
}

/// How many rules at most move keys out of the way.
const ASIDE: usize = 100;

/// The rule that moves all names like `text`, whatever the numbers that are segments; `None` where there are more of them than groups.
fn numbered(text: &str, end: &str) -> Option<Rule> {
    let (mut pattern, mut replacement, mut groups) = (String::from("^"), String::from("unused."), 0);
    for (i, segment) in text.split('.').enumerate() {
        if i > 0 {
            pattern.push_str("\\.");
            replacement.push('.');
        }
        if !segment.is_empty() && segment.bytes().all(|b| b.is_ascii_digit()) {
            groups += 1;
            pattern.push_str("(\\d+)");
            replacement.push_str(&format!("\\{groups}"));
        } else {
            pattern.push_str(&escape(segment));
            replacement.push_str(&literal(segment));
        }
    }
    (groups <= 9).then(|| Rule { pattern: pattern + end, replacement })
}
