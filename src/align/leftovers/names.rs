//! How the names of what was found relate: where else a key may stand.

use std::collections::HashMap;

use crate::align::{Alignment, Match};
use crate::checkpoint::{Key, SEPARATORS, StateDict};

/// How many modules around a tensor are asked where they went.
const DEPTH: usize = 3;

/// The keys of everything that one source alone makes, with those of what it makes.
pub(super) fn found<'a>(out: &Alignment, source: &StateDict<'a>, target: &StateDict<'a>) -> Vec<(Key<'a>, Key<'a>)> {
    let keys = |m: &Match| (source.entries[m.source[0] as usize].key, target.entries[m.target as usize].key);
    out.matches.iter().filter(|m| m.source.len() == 1).map(keys).collect()
}

/// How names relate in what was matched: the usual prefix, and where the siblings of a key went.
pub(super) struct Names<'a> {
    pub(super) source: HashMap<&'a str, u32, foldhash::fast::RandomState>,
    /// What the source puts in front and the target does not, and the other way round.
    prefix: (String, String),
    /// For each module of the target, the module of the source that most of its tensors come from.
    pub(super) modules: HashMap<&'a str, &'a str, foldhash::fast::RandomState>,
}

impl<'a> Names<'a> {
    /// What `pairs` of a source and a target key show; `source` is where keys are looked up.
    pub(super) fn new(pairs: impl Iterator<Item = (Key<'a>, Key<'a>)>, source: &StateDict<'a>) -> Self {
        let mut prefixes: HashMap<(&str, &str), usize> = HashMap::new();
        let mut modules: HashMap<&str, HashMap<&str, usize>> = HashMap::new();
        for (a, b) in pairs {
            if let Some(p) = before(a.as_str(), b.as_str()) {
                *prefixes.entry((p, "")).or_default() += 1;
            } else if let Some(p) = before(b.as_str(), a.as_str()) {
                *prefixes.entry(("", p)).or_default() += 1;
            }
            if a.leaf() == b.leaf() {
                // The modules around them go together as well, as far as both are nested.
                let (mut x, mut y) = (a.module(), b.module());
                for _ in 0..DEPTH {
                    if x.is_empty() || y.is_empty() {
                        break;
                    }
                    *modules.entry(y).or_default().entry(x).or_default() += 1;
                    (x, y) = (Key(x).module(), Key(y).module());
                }
            }
        }
        let most = prefixes.into_iter().max_by(|a, b| a.1.cmp(&b.1).then_with(|| joined(b.0).cmp(&joined(a.0))));
        let prefix = most.map_or((String::new(), String::new()), |((a, b), _)| (a.to_owned(), b.to_owned()));
        let modules = modules
            .into_iter()
            .filter_map(|(t, from)| {
                from.into_iter().max_by(|a, b| a.1.cmp(&b.1).then(b.0.cmp(a.0))).map(|(s, _)| (t, s))
            })
            .collect();
        let source = source.entries.iter().enumerate().map(|(i, e)| (e.key.as_str(), i as u32)).collect();
        Names { source, prefix, modules }
    }

    /// Where in the source a key of the target may stand, and whether that is its own name.
    pub(super) fn candidates<'k>(&'k self, key: &'k str) -> impl Iterator<Item = (String, bool)> + 'k {
        let prefixed = key.strip_prefix(self.prefix.1.as_str()).map(|rest| (format!("{}{rest}", self.prefix.0), false));
        std::iter::once((key.to_owned(), true)).chain(prefixed).chain(self.beside(key).map(|k| (k, false)))
    }

    /// The modules of the source that became those around a key of the target, the innermost first.
    pub(super) fn above<'k>(&'k self, key: &'k str) -> impl Iterator<Item = &'a str> + 'k {
        key.rmatch_indices(SEPARATORS).take(DEPTH).filter_map(|(at, _)| self.modules.get(&key[..at]).copied())
    }

    /// Where in the source a key of the target stands if it stands where its siblings do.
    pub(super) fn beside<'k>(&'k self, key: &'k str) -> impl Iterator<Item = String> + 'k {
        key.rmatch_indices(SEPARATORS)
            .take(DEPTH)
            .filter_map(|(at, _)| Some(format!("{}{}", self.modules.get(&key[..at])?, &key[at..])))
    }
}

/// A prefix relation as one text, the same from both sides.
fn joined(prefix: (&str, &str)) -> String {
    format!("{}{}", prefix.0, prefix.1)
}

/// `backbone.` for `backbone.conv1.weight` and `conv1.weight`.
fn before<'k>(long: &'k str, short: &str) -> Option<&'k str> {
    let p = long.strip_suffix(short)?;
    (p.is_empty() || p.ends_with(SEPARATORS)).then_some(p)
}
