//! What every explanation works on: the two sides, the differences that are still open, and the findings so far.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{Finding, Remedy, Severity};
use crate::align::{Alignment, Match};
use crate::checkpoint::{Entry, Format, StateDict};
use crate::compare::Difference;
use crate::rules::{About, Mend, RuleSet};

/// How near a cause is to the root of the trouble: findings of equal severity are told in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Rank {
    /// The file as a whole is something else.
    File,
    /// Something stands before or within every key.
    Prefix,
    /// The model was built in another way.
    Build,
    /// Modules are stored in another way.
    Stored,
    /// Other names.
    Renamed,
    /// Cannot be decided.
    Ambiguous,
    /// Sizes of single tensors.
    Size,
    /// Parameters that stay as they were initialised.
    Missing,
    /// What the model fills by itself.
    Harmless,
    /// What the model has no use for.
    Leftover,
    /// Element types.
    Dtype,
}

/// A finding under construction.
pub(super) struct Cause {
    pub(super) code: &'static str,
    pub(super) rank: Rank,
    pub(super) severity: Severity,
    pub(super) remedy: Remedy,
    pub(super) rule: Option<String>,
    pub(super) message: String,
    pub(super) help: String,
    pub(super) confidence: f32,
    /// Whether it is only worth a note beside a graver cause: mending that one means leaving these keys out or alone.
    pub(super) rider: bool,
    pub(super) arguments: BTreeMap<&'static str, Value>,
}

impl Cause {
    /// An error with this code.
    pub(super) fn new(code: &'static str, rank: Rank, remedy: Remedy, message: impl Into<String>) -> Self {
        Cause {
            code,
            rank,
            severity: Severity::Error,
            remedy,
            rule: None,
            message: message.into(),
            help: String::new(),
            confidence: 1.0,
            rider: false,
            arguments: BTreeMap::new(),
        }
    }

    /// Names the rule that explains it, whose help is taken over.
    pub(super) fn by(mut self, rule: Option<&About>) -> Self {
        if let Some(about) = rule {
            self.rule = Some(about.id.clone());
            self.help.clone_from(&about.help);
        }
        self
    }

    pub(super) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = help.into();
        self
    }

    pub(super) fn rider(mut self) -> Self {
        self.rider = true;
        self
    }

    pub(super) fn confidence(mut self, confidence: f32) -> Self {
        self.confidence = confidence;
        self
    }

    pub(super) fn with(mut self, name: &'static str, value: impl Into<Value>) -> Self {
        self.arguments.insert(name, value.into());
        self
    }
}

/// A match whose sizes differ and that nothing has explained yet.
#[derive(Clone, Copy)]
pub(super) struct Resized<'a> {
    pub(super) difference: u32,
    pub(super) source: Entry<'a>,
    pub(super) target: Entry<'a>,
    pub(super) from: &'a [u64],
    pub(super) to: &'a [u64],
}

/// The most examples a finding names.
const EXAMPLES: usize = 3;

/// The matter to explain.
pub(super) struct Case<'a> {
    pub(super) source: &'a StateDict<'a>,
    pub(super) target: &'a StateDict<'a>,
    pub(super) alignment: &'a Alignment,
    pub(super) differences: &'a [Difference],
    pub(super) rules: &'a RuleSet,
    claimed: Vec<bool>,
    findings: Vec<(Rank, bool, Finding)>,
}

impl<'a> Case<'a> {
    pub(super) fn new(
        source: &'a StateDict<'a>,
        target: &'a StateDict<'a>,
        alignment: &'a Alignment,
        differences: &'a [Difference],
        rules: &'a RuleSet,
    ) -> Self {
        let claimed = vec![false; differences.len()];
        Case { source, target, alignment, differences, rules, claimed, findings: Vec::new() }
    }

    /// Whether a side is known only as far as an error text tells: keys that are alike on both sides are not listed.
    pub(super) fn partial(&self) -> bool {
        self.source.checkpoint.format == Format::Text || self.target.checkpoint.format == Format::Text
    }

    /// The differences that no finding has claimed.
    pub(super) fn open(&self) -> impl Iterator<Item = (u32, &'a Difference)> + '_ {
        let differences = self.differences.iter().zip(&self.claimed).enumerate();
        differences.filter(|(_, (_, claimed))| !**claimed).map(|(i, (d, _))| (i as u32, d))
    }

    pub(super) fn matched(&self, index: u32) -> Option<&'a Match> {
        self.alignment.matches.get(index as usize)
    }

    /// Open missing keys: difference and target entry.
    pub(super) fn missing(&self) -> Vec<(u32, Entry<'a>)> {
        let target = self.target;
        let missing = self.open().filter_map(|(i, d)| match *d {
            Difference::Missing { target: t } => Some((i, *target.entries.get(t as usize)?)),
            _ => None,
        });
        missing.collect()
    }

    /// Open unexpected keys: difference and source entry.
    pub(super) fn unexpected(&self) -> Vec<(u32, Entry<'a>)> {
        let source = self.source;
        let unexpected = self.open().filter_map(|(i, d)| match *d {
            Difference::Unexpected { source: s } => Some((i, *source.entries.get(s as usize)?)),
            _ => None,
        });
        unexpected.collect()
    }

    /// Open renamed matches of one source: difference, match, source and target entry.
    pub(super) fn renamed(&self) -> Vec<(u32, &'a Match, Entry<'a>, Entry<'a>)> {
        let renamed = self.open().filter_map(|(i, d)| match *d {
            Difference::Renamed { matched } => {
                let m = self.matched(matched)?;
                let (s, t) = self.pair(m)?;
                Some((i, m, s, t))
            }
            _ => None,
        });
        renamed.collect()
    }

    /// Open size mismatches of one source.
    pub(super) fn resized(&self) -> Vec<Resized<'a>> {
        let resized = self.open().filter_map(|(difference, d)| match *d {
            Difference::SizeMismatch { matched } => {
                let (source, target) = self.pair(self.matched(matched)?)?;
                let (from, to) = (source.shape()?.dims(), target.shape()?.dims());
                Some(Resized { difference, source, target, from, to })
            }
            _ => None,
        });
        resized.collect()
    }

    /// The two entries of a match that has one source.
    pub(super) fn pair(&self, m: &Match) -> Option<(Entry<'a>, Entry<'a>)> {
        let [s] = m.source.as_slice() else { return None };
        Some((*self.source.entries.get(*s as usize)?, *self.target.entries.get(m.target as usize)?))
    }

    /// The findings so far with this code.
    pub(super) fn with_code<'b>(&'b self, code: &'b str) -> impl Iterator<Item = &'b Finding> + 'b {
        self.findings.iter().map(|(_, _, f)| f).filter(move |f| f.code == code)
    }

    /// Makes a finding that claims the differences. Those claimed already are left to who claimed them.
    pub(super) fn claim(&mut self, claims: impl IntoIterator<Item = u32>, cause: Cause) {
        let mut mine = Vec::new();
        for claim in claims {
            if let Some(taken) = self.claimed.get_mut(claim as usize)
                && !std::mem::replace(taken, true)
            {
                mine.push(claim);
            }
        }
        if mine.is_empty() {
            return;
        }
        mine.sort_unstable();
        let mut keys: Vec<(bool, u32)> = mine.iter().filter_map(|&i| self.place_of(i)).collect();
        keys.sort_unstable();
        keys.dedup();
        let mut examples: Vec<String> = Vec::new();
        for key in mine.iter().filter_map(|&i| self.place_of(i)).filter_map(|place| self.key_at(place)) {
            if examples.len() == EXAMPLES {
                break;
            }
            if !examples.iter().any(|e| e == key) {
                examples.push(key.to_owned());
            }
        }
        let finding = Finding {
            code: cause.code,
            rule: cause.rule,
            severity: cause.severity,
            keys: keys.len(),
            claims: mine,
            examples,
            message: cause.message,
            help: cause.help,
            confidence: cause.confidence,
            remedy: cause.remedy,
            arguments: cause.arguments,
        };
        self.findings.push((cause.rank, cause.rider, finding));
    }

    /// The entry that a difference is about, the checkpoint's (`true`) where it has one.
    fn place_of(&self, difference: u32) -> Option<(bool, u32)> {
        let first = |source: &[u32], target: Option<u32>| match source.first() {
            Some(&s) => Some((true, s)),
            None => Some((false, target?)),
        };
        match *self.differences.get(difference as usize)? {
            Difference::Missing { target } => Some((false, target)),
            Difference::Unexpected { source } => Some((true, source)),
            Difference::Renamed { matched }
            | Difference::SizeMismatch { matched }
            | Difference::DtypeMismatch { matched, .. } => {
                let m = self.matched(matched)?;
                first(&m.source, Some(m.target))
            }
            Difference::Ambiguous { group } => {
                let group = self.alignment.ambiguous.get(group as usize)?;
                match group.target.first() {
                    Some(&t) => Some((false, t)),
                    None => first(&group.source, None),
                }
            }
        }
    }

    fn key_at(&self, (given, index): (bool, u32)) -> Option<&'a str> {
        let side = if given { self.source } else { self.target };
        side.entries.get(index as usize).map(|e| e.key.as_str())
    }

    /// The findings, the most important first.
    pub(super) fn close(mut self) -> Vec<Finding> {
        let graver = self.findings.iter().any(|(_, rider, f)| !rider && f.severity == Severity::Error);
        for (_, _, finding) in self.findings.iter_mut().filter(|(_, rider, _)| *rider && graver) {
            finding.severity = Severity::Note;
        }
        self.findings.sort_by_key(|(rank, _, f)| (std::cmp::Reverse(f.severity), *rank, std::cmp::Reverse(f.keys)));
        self.findings.into_iter().map(|(_, _, f)| f).collect()
    }
}

impl From<Mend> for Remedy {
    fn from(mend: Mend) -> Remedy {
        match mend {
            Mend::Edit => Remedy::Edit,
            Mend::Resize => Remedy::Resize,
            Mend::Lost => Remedy::Lost,
        }
    }
}

/// `1 key`, `38 keys`.
pub(super) fn count(n: usize, what: &str) -> String {
    if n == 1 { format!("1 {what}") } else { format!("{n} {what}s") }
}

/// `a`, `b` and 5 more, in code marks.
pub(super) fn some<S: AsRef<str>>(names: &[S], most: usize) -> String {
    let shown: Vec<String> = names.iter().take(most).map(|n| format!("`{}`", n.as_ref())).collect();
    let rest = names.len().saturating_sub(most);
    if rest == 0 { shown.join(", ") } else { format!("{} and {rest} more", shown.join(", ")) }
}
