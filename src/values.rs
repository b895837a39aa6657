//! Whether two checkpoints hold the same numbers, tensor by tensor, whatever their names, formats, strides and dtypes.
//!
//! Works on the matches of an alignment: each target key against what the source makes of it, after the renames, splits,
//! joins and turns that a conversion would carry out. Files are read in pieces on every core; memory stays small.

use std::collections::HashMap;

use crate::align::{How, Match};
use crate::checkpoint::StateDict;
use crate::compare::Difference;
use crate::convert::{Options, Output, Plan};
use crate::explain::Finding;
use crate::judge::Report;
use crate::payload::Payload;
use crate::rules::RuleSet;

mod blocks;
mod causes;
mod certain;
mod digest;
mod kernels;
mod mixed;
mod numbers;
mod pairs;
mod sums;
mod work;

pub use blocks::{Untouched, untouched};
pub use certain::Known;
pub use digest::{content_of, contents};
pub use sums::Sums;

/// Bytes of scattered and unpacked tensors that are in memory at a time, besides the one that is larger by itself.
const HELD: u64 = 32 << 20;

/// What is asked of the values.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// How far they are apart.
    #[default]
    Statistics,
    /// Whether they are the same, byte for byte.
    Exact,
}

/// How the values of a target key stand to those that the source makes of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Same {
    /// The same dtype and the same bytes.
    Identical,
    /// The same values in other bytes: 0 and -0, or one dtype converted to the other.
    Equal,
    /// Some value differs.
    Changed,
    /// Not compared, and why.
    Unknown(String),
}

impl Same {
    /// The word in JSON output.
    pub fn id(&self) -> &'static str {
        match self {
            Same::Identical => "identical",
            Same::Equal => "equal",
            Same::Changed => "changed",
            Same::Unknown(_) => "unknown",
        }
    }
}

/// One target key with values on both sides.
#[derive(Clone, Debug, PartialEq)]
pub struct Compared {
    /// Index of the target entry.
    pub target: u32,
    /// Indices of the source entries.
    pub source: Vec<u32>,
    /// Whether the values are the same.
    pub same: Same,
    /// How far they are apart; `None` where that was not asked for, or the bytes are no numbers.
    pub sums: Option<Sums>,
}

/// The outcome for all matches.
#[derive(Clone, Debug, PartialEq)]
pub struct Values {
    /// What was asked for.
    pub mode: Mode,
    /// Every match, in target order.
    pub compared: Vec<Compared>,
    /// Causes, the most important first.
    pub findings: Vec<Finding>,
    /// Repeated blocks with how many of them have not changed.
    pub untouched: Vec<Untouched>,
}

impl Values {
    /// How many are identical, equal, changed and unknown.
    pub fn counts(&self) -> [usize; 4] {
        let mut counts = [0; 4];
        for c in &self.compared {
            let at = match c.same {
                Same::Identical => 0,
                Same::Equal => 1,
                Same::Changed => 2,
                Same::Unknown(_) => 3,
            };
            counts[at] += 1;
        }
        counts
    }

    /// The sums over all of them.
    pub fn total(&self) -> Sums {
        let mut total = Sums::default();
        self.compared.iter().filter_map(|c| c.sums.as_ref()).for_each(|s| total.merge(s));
        total
    }

    /// Whether what was asked for holds: with [`Mode::Exact`] that every value was compared and none differs.
    pub fn holds(&self) -> bool {
        let [identical, ..] = self.counts();
        self.mode == Mode::Statistics || identical == self.compared.len()
    }
}

/// Threads to read and compare with: what the machine has, at most four, since memory is what limits.
pub(crate) fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from).min(4)
}

/// Compares the values of every match of a report.
///
/// What is `known` of the content need not be read: digests stand for tensors without values, and for all of them where
/// only identity is asked for.
pub fn compare(report: &Report<'_>, differences: &[Difference], rules: &RuleSet, mode: Mode, known: &Known) -> Values {
    let (source, target) = (report.source, report.target);
    let options = Options { partial: true, ..Options::default() };
    // Where a plan is refused as a whole, the matches that need no plan are compared all the same.
    let plan = Plan::matched(report, differences, rules, options).unwrap_or_default();
    let made: HashMap<&str, &Output> = plan.outputs.iter().map(|o| (o.key.as_str(), o)).collect();
    let (from, to) = (Payload::new(source.checkpoint), Payload::new(target.checkpoint));
    let mut batch = Batch { mode, compared: Vec::with_capacity(report.alignment.matches.len()), ..Batch::default() };
    for m in &report.alignment.matches {
        let (target_index, sources) = (m.target, m.source.clone());
        if let Some(same) = by_content(m, (source, target), known, mode) {
            batch.settle(target_index, sources, same);
            continue;
        }
        match pairs::views(m, &made, (source, &from), (target, &to)) {
            Ok(views) => batch.add(target_index, sources, views),
            Err(why) => batch.settle(target_index, sources, Same::Unknown(why)),
        }
    }
    batch.run();
    let mut compared = batch.compared;
    compared.sort_by_key(|c| c.target);
    let mut values = Values { mode, compared, findings: Vec::new(), untouched: Vec::new() };
    values.untouched = untouched(&values, target);
    values.findings = causes::find(&values, report);
    values
}

/// What digests say of a whole tensor; `None` where its bytes have to be read, or can tell more.
fn by_content(m: &Match, sides: (&StateDict<'_>, &StateDict<'_>), known: &Known, mode: Mode) -> Option<Same> {
    let &[from] = m.source.as_slice() else { return None };
    let (from, to) = (sides.0.entries.get(from as usize)?, sides.1.entries.get(m.target as usize)?);
    let (a, b) = (known.source.get(&*from.tensor.path)?, known.target.get(&*to.tensor.path)?);
    // A square matrix that is turned has the shape of one that is not, and other content.
    if !matches!(m.how, How::Identical | How::Renamed) && a.digest != b.digest {
        return None;
    }
    let both_there = from.tensor.placement.is_some() && to.tensor.placement.is_some();
    if both_there && mode == Mode::Statistics {
        return None;
    }
    match a.digest == b.digest {
        true => Some(Same::Identical),
        // What a conversion would turn or reshape is not the same tensor yet.
        false if both_there => None,
        false if (from.dtype(), from.shape()) != (to.dtype(), to.shape()) => {
            Some(Same::Unknown("digests of another dtype or shape do not compare".into()))
        }
        false => Some(Same::Changed),
    }
}

/// Matches whose views are gathered until enough of them are in memory.
#[derive(Default)]
struct Batch {
    mode: Mode,
    waiting: Vec<(u32, Vec<u32>, usize)>,
    views: Vec<pairs::Views>,
    held: u64,
    compared: Vec<Compared>,
}

impl Batch {
    fn settle(&mut self, target: u32, source: Vec<u32>, same: Same) {
        self.compared.push(Compared { target, source, same, sums: None });
    }

    fn add(&mut self, target: u32, source: Vec<u32>, views: Vec<pairs::Views>) {
        let held: u64 = views.iter().map(|(a, b)| a.resident().saturating_add(b.resident())).sum();
        if self.held > 0 && self.held + held > HELD {
            self.run();
        }
        self.held += held;
        self.waiting.push((target, source, views.len()));
        self.views.extend(views);
    }

    /// Compares what is waiting.
    fn run(&mut self) {
        let found = work::compare(&self.views, self.mode == Mode::Exact, threads());
        let mut found = found.into_iter();
        for (target, source, count) in std::mem::take(&mut self.waiting) {
            let parts: Result<Vec<work::Found>, _> = found.by_ref().take(count).collect();
            let same_and_sums = match parts {
                Err(e) => (Same::Unknown(e.to_string()), None),
                Ok(parts) => joined(&parts),
            };
            let (same, sums) = same_and_sums;
            self.compared.push(Compared { target, source, same, sums });
        }
        self.views.clear();
        self.held = 0;
    }
}

/// What the parts of one target come to.
fn joined(parts: &[work::Found]) -> (Same, Option<Sums>) {
    let same = match parts {
        _ if parts.iter().all(|p| p.same_bytes) => Same::Identical,
        _ if parts.iter().all(|p| p.sums.is_some() && p.same_values) => Same::Equal,
        _ => Same::Changed,
    };
    let sums = parts.iter().try_fold(Sums::default(), |mut all, part| {
        all.merge(part.sums.as_ref()?);
        Some(all)
    });
    (same, sums)
}

#[cfg(test)]
mod tests;
