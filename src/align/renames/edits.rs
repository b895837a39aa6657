//! Rules that replace whole segments inside names, where that saves rules: `\.in_layers\.2\.` → `.conv1.` in every block.

use std::borrow::Cow;
use std::collections::HashMap;

use regex::escape;

use super::samples::Sample;
use super::{Rule, literal, prefixes};

/// Below this many rules nothing is factored out.
const ENOUGH: usize = 4;

/// Beyond this many samples nothing is factored out: names of so many kinds share no segments worth a search.
const LARGE: usize = 1_500;

/// How many replacements are tried in all: each costs a search.
const TRIES: usize = 24;

/// One replacement of a run of segments by another.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Edit {
    from: String,
    to: String,
    /// Whether it stands at the end of names; otherwise it has segments on both sides.
    end: bool,
}

/// Rules for all samples: edits first, then prefixes.
pub(super) fn solve(samples: &[Sample<'_>]) -> Vec<Rule> {
    let mut current: Vec<Sample<'_>> = samples.to_vec();
    let mut solver = prefixes::Solver::default();
    let mut rest = solver.solve(&current, usize::MAX).unwrap_or_default();
    let mut rules = Vec::new();
    let mut tries = TRIES;
    while rest.len() > ENOUGH && samples.len() < LARGE && tries > 0 {
        let mut improved = false;
        for edit in candidates(&current).into_iter().take(8) {
            tries = tries.saturating_sub(1);
            let edited: Vec<Sample<'_>> = current.iter().map(|s| edit.applied(s)).collect();
            if let Some(found) = solver.solve(&edited, rest.len() - 1) {
                rules.push(edit.rule());
                current = edited;
                rest = found;
                improved = true;
                break;
            }
            if tries == 0 {
                break;
            }
        }
        if !improved {
            break;
        }
    }
    rules.extend(rest);
    rules
}

impl Edit {
    fn applied<'a>(&self, sample: &Sample<'a>) -> Sample<'a> {
        let mut out = sample.clone();
        let needle = if self.end { format!(".{}", self.from) } else { format!(".{}.", self.from) };
        if self.end {
            if let Some(head) = sample.source.strip_suffix(needle.as_str()) {
                out.source = Cow::Owned(format!("{head}.{}", self.to));
            }
        } else if sample.source.contains(&needle) {
            let to = if self.to.is_empty() { ".".to_owned() } else { format!(".{}.", self.to) };
            out.source = Cow::Owned(sample.source.replace(&needle, &to));
        }
        // Where the edit moves numbers, none of them may be named any more by place.
        let numbers = super::samples::template(&out.source).1.len();
        if numbers != out.generic.len() && out.generic.contains(&true) {
            out.generic = vec![true; numbers];
        }
        out
    }

    fn rule(&self) -> Rule {
        let from = escape(&self.from);
        let to = literal(&self.to);
        if self.end {
            Rule { pattern: format!("\\.{from}$"), replacement: format!(".{to}") }
        } else {
            let to = if self.to.is_empty() { ".".to_owned() } else { format!(".{to}.") };
            Rule { pattern: format!("\\.{from}\\."), replacement: to }
        }
    }
}

/// Replacements that many different names ask for, the most wanted first.
fn candidates(samples: &[Sample<'_>]) -> Vec<Edit> {
    let mut wanted: HashMap<Edit, Vec<u64>, foldhash::fast::RandomState> = HashMap::default();
    let hasher = foldhash::fast::RandomState::default();
    for sample in samples {
        if sample.source == sample.target {
            continue;
        }
        let s: Vec<&str> = sample.source.split('.').collect();
        let t: Vec<&str> = sample.target.split('.').collect();
        let common = s.iter().rev().zip(t.iter().rev()).take_while(|(a, b)| a == b).count();
        let (s, t) = (&s[..s.len() - common], &t[..t.len() - common]);
        let end = common == 0;
        for k in 1..=s.len().saturating_sub(1).min(3) {
            for j in 0..=t.len().saturating_sub(1).min(3) {
                if end && j == 0 {
                    continue;
                }
                let edit = Edit { from: s[s.len() - k..].join("."), to: t[t.len() - j..].join("."), end };
                if edit.from.bytes().all(|b| b.is_ascii_digit() || b == b'.') {
                    continue;
                }
                let before = std::hash::BuildHasher::hash_one(&hasher, &s[..s.len() - k]);
                wanted.entry(edit).or_default().push(before);
            }
        }
    }
    let mut out: Vec<(usize, Edit)> = wanted
        .into_iter()
        .filter_map(|(edit, mut places)| {
            places.sort_unstable();
            places.dedup();
            (places.len() > 1).then_some((places.len(), edit))
        })
        .collect();
    out.sort_by(|a, b| b.0.cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
    out.into_iter().map(|(_, e)| e).collect()
}
