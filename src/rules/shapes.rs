//! Rules of `shapes/`: which tensors obey which law.

use serde::Deserialize;

use super::laws::Law;
use super::pattern::PatternMap;
use super::{RuleError, RuleSet};
use crate::checkpoint::Key;

/// A law and the rule that says where it holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShapeRule {
    /// Id of the rule.
    pub rule: String,
    /// The law its tensors obey.
    pub law: Law,
    /// Whether every tensor the rule matches must read the same for any of them to be explained.
    pub together: bool,
}

/// `[match]` of a file in `shapes/`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Match {
    keys: Vec<String>,
    law: Law,
    /// Rules with a lower number are asked first; 0 where it does not matter.
    #[serde(default)]
    order: i32,
    #[serde(default)]
    together: bool,
}

/// The rules of `shapes/`, in the order in which they are asked.
#[derive(Clone, Debug, Default)]
pub struct Shapes {
    waiting: Vec<(i32, Vec<String>, ShapeRule)>,
    map: PatternMap<ShapeRule>,
}

impl Shapes {
    /// The rules whose patterns match the key, in the order in which they are asked.
    pub fn get<'a>(&'a self, key: Key<'_>) -> impl Iterator<Item = &'a ShapeRule> + use<'a> {
        self.map.get(key)
    }

    /// Sorts what was added and makes it ready to be asked.
    pub(super) fn close(&mut self) -> Result<(), RuleError> {
        self.waiting.sort_by(|a, b| (a.0, &a.2.rule).cmp(&(b.0, &b.2.rule)));
        for (_, keys, rule) in std::mem::take(&mut self.waiting) {
            for key in keys {
                self.map.add(&key, &rule).map_err(|what| RuleError::new(&rule.rule, what))?;
            }
        }
        Ok(())
    }
}

/// Adds a file of `shapes/`.
pub(super) fn add(set: &mut RuleSet, id: &str, m: Match) -> Result<(), RuleError> {
    let rule = ShapeRule { rule: id.to_owned(), law: m.law, together: m.together };
    set.shapes.waiting.push((m.order, m.keys, rule));
    Ok(())
}
