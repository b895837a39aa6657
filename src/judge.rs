//! The verdict: will it load, before and after the fixes, and does that hold at the level that was asked for.

use crate::align::Alignment;
use crate::checkpoint::{Candidate, StateDict};
use crate::explain::Finding;

/// How much is promised. Each level allows all that the one before it does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Level {
    /// Loads as it is, `strict=True`.
    #[default]
    Strict,
    /// Loads after a mechanical edit: pick a container, strip, rename, drop.
    Fixable,
    /// Loads after a resize that a rule names as well.
    Resizable,
    /// `strict=False` loads something.
    Partial,
}

/// The answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// `load_state_dict(strict=True)` succeeds.
    Loads,
    /// It does after the fixes of the findings.
    LoadsAfterFix,
    /// It does not.
    DoesNotLoad,
}

impl Verdict {
    /// The name in JSON output.
    pub fn id(self) -> &'static str {
        match self {
            Verdict::Loads => "loads",
            Verdict::LoadsAfterFix => "loads-after-fix",
            Verdict::DoesNotLoad => "does-not-load",
        }
    }
}

/// How many target keys load.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Coverage {
    /// As the file is.
    pub before: usize,
    /// After the renames and drops of the report.
    pub after: usize,
    /// Keys of the target.
    pub of: usize,
}

/// Everything a renderer needs, and nothing it must compute.
#[derive(Clone, Debug)]
pub struct Report<'a> {
    /// The checkpoint's side.
    pub source: &'a StateDict<'a>,
    /// The model's side.
    pub target: &'a StateDict<'a>,
    /// Other state_dicts that the source file holds.
    pub others: Vec<Candidate>,
    /// The alignment that was explained.
    pub alignment: &'a Alignment,
    /// Causes, the most important first.
    pub findings: Vec<Finding>,
    /// How much loads.
    pub coverage: Coverage,
    /// The answer.
    pub verdict: Verdict,
    /// What was asked for.
    pub level: Level,
    /// Whether the verdict meets the level: exit status 0 or 1.
    pub holds: bool,
}
