//! The verdict: will it load, before and after the fixes, and does that hold at the level that was asked for.

use std::collections::HashMap;

use crate::align::{Alignment, How};
use crate::checkpoint::{Candidate, DtypeChange, StateDict};
use crate::compare::Difference;
use crate::explain::{Finding, Remedy, Severity};

mod baseline;
mod facts;
mod fingerprint;
mod policy;

pub use baseline::{Baseline, Known, NoBaseline};
pub use facts::Fact;
pub use fingerprint::Fingerprint;
pub use policy::{Grade, Ignore, Place, Policy, Standing, Weighed};

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

impl Level {
    /// Every level, the strictest first.
    pub const ALL: [Level; 4] = [Level::Strict, Level::Fixable, Level::Resizable, Level::Partial];

    /// The name on the command line and in JSON output: `fixable`.
    pub fn id(self) -> &'static str {
        match self {
            Level::Strict => "strict",
            Level::Fixable => "fixable",
            Level::Resizable => "resizable",
            Level::Partial => "partial",
        }
    }
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
///
/// Both figures count within the container that was chosen (or named by `--container`): that a container has to be picked
/// at all is a finding of its own, and counting it here as well would make every training checkpoint read "0 load".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Coverage {
    /// As the file is: the source has a key of the same name and shape.
    pub before: usize,
    /// After the mechanical edits: every match whose shapes agree once it is renamed, split, joined or transposed.
    pub after: usize,
    /// After the resizes that rules name as well.
    pub resized: usize,
    /// Keys that no tensor of the source needs to fill, since the model builds them itself.
    pub rebuilt: usize,
    /// Keys of the target.
    pub of: usize,
}

/// Whether the shapes of a match fit, by what the findings say about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ShapeFit {
    /// PyTorch copies it (after the edit that `how` names).
    Equal,
    /// A rule names the resize that makes it fit.
    Resizable,
    /// It does not fit.
    Different,
}

impl ShapeFit {
    /// The name in JSON output.
    pub fn id(self) -> &'static str {
        match self {
            ShapeFit::Equal => "equal",
            ShapeFit::Resizable => "resizable",
            ShapeFit::Different => "different",
        }
    }
}

/// What is known of one match besides its names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fit {
    /// Whether the shapes fit.
    pub shapes: ShapeFit,
    /// What the copy does to the values.
    pub dtypes: DtypeChange,
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
    /// What differs, key by key: what the findings claim.
    pub differences: &'a [Difference],
    /// For each match of the alignment, how well it fits.
    pub fits: Vec<Fit>,
    /// Causes, the most important first.
    pub findings: Vec<Finding>,
    /// How much loads.
    pub coverage: Coverage,
    /// The answer.
    pub verdict: Verdict,
    /// What it takes to load: the worst remedy of all findings.
    pub needs: Remedy,
    /// What was asked for.
    pub level: Level,
    /// Whether the verdict meets the level: exit status 0 or 1.
    pub holds: bool,
}

impl Report<'_> {
    /// Whether there is nothing to say: it loads as it is, and no finding is more than a note.
    pub fn silent(&self) -> bool {
        self.verdict == Verdict::Loads && self.holds && self.findings.iter().all(|f| f.severity == Severity::Note)
    }
}

/// What the stages before have found; [`judge`] turns it into a [`Report`].
#[derive(Clone, Debug)]
pub struct Evidence<'a> {
    /// The checkpoint's side.
    pub source: &'a StateDict<'a>,
    /// The model's side.
    pub target: &'a StateDict<'a>,
    /// Other state_dicts that the source file holds.
    pub others: Vec<Candidate>,
    /// Which key is which.
    pub alignment: &'a Alignment,
    /// What differs.
    pub differences: &'a [Difference],
    /// Why.
    pub findings: Vec<Finding>,
}

impl<'a> Evidence<'a> {
    /// Of a source file that holds no other state_dict.
    pub fn new(
        source: &'a StateDict<'a>,
        target: &'a StateDict<'a>,
        alignment: &'a Alignment,
        differences: &'a [Difference],
        findings: Vec<Finding>,
    ) -> Evidence<'a> {
        Evidence { source, target, others: Vec::new(), alignment, differences, findings }
    }
}

/// Weighs the evidence: how much loads before and after the fixes, and whether that is enough.
pub fn judge<'a>(evidence: Evidence<'a>, level: Level) -> Report<'a> {
    let Evidence { source, target, others, alignment, differences, findings } = evidence;
    let remedies = remedies(differences, &findings);
    let fits = fits(alignment, differences, &remedies);
    let coverage = Coverage {
        before: before(source, target, alignment, &fits),
        after: fits.iter().filter(|f| f.shapes == ShapeFit::Equal).count(),
        resized: fits.iter().filter(|f| f.shapes != ShapeFit::Different).count(),
        rebuilt: rebuilt(differences, &remedies),
        of: target.entries.len(),
    };
    let worst = findings.iter().map(|f| f.remedy).chain(remedies).max().unwrap_or(Remedy::None);
    let verdict = match worst {
        Remedy::None => Verdict::Loads,
        Remedy::Edit => Verdict::LoadsAfterFix,
        Remedy::Resize | Remedy::Lost => Verdict::DoesNotLoad,
    };
    let reached = match worst {
        Remedy::None => true,
        Remedy::Edit => level >= Level::Fixable,
        Remedy::Resize => level >= Level::Resizable,
        Remedy::Lost => level >= Level::Partial && (coverage.after > 0 || coverage.of == 0),
    };
    // An error that no edit mends although everything loads is the worst case: wrong values, or a file that must not be
    // opened. No level excuses it.
    let wrong = findings.iter().any(|f| f.severity == Severity::Error && f.remedy == Remedy::None);
    Report {
        source,
        target,
        others,
        alignment,
        differences,
        fits,
        findings,
        coverage,
        verdict,
        needs: worst,
        level,
        holds: reached && !wrong,
    }
}

/// For each difference what it takes: the remedy of the finding that claims it, or what the bare fact implies.
fn remedies(differences: &[Difference], findings: &[Finding]) -> Vec<Remedy> {
    let mut remedies: Vec<Remedy> = differences
        .iter()
        .map(|d| match d {
            Difference::DtypeMismatch { .. } => Remedy::None,
            Difference::Renamed { .. } | Difference::Unexpected { .. } => Remedy::Edit,
            Difference::Missing { .. } | Difference::SizeMismatch { .. } | Difference::Ambiguous { .. } => Remedy::Lost,
        })
        .collect();
    for finding in findings {
        for &claim in &finding.claims {
            if let Some(remedy) = remedies.get_mut(claim as usize) {
                *remedy = finding.remedy;
            }
        }
    }
    remedies
}

/// How well each match fits, in the order of the alignment's matches.
fn fits(alignment: &Alignment, differences: &[Difference], remedies: &[Remedy]) -> Vec<Fit> {
    let mut fits = vec![Fit { shapes: ShapeFit::Equal, dtypes: DtypeChange::Equal }; alignment.matches.len()];
    for (difference, remedy) in differences.iter().zip(remedies) {
        match *difference {
            Difference::SizeMismatch { matched } => {
                if let Some(fit) = fits.get_mut(matched as usize) {
                    fit.shapes = if *remedy == Remedy::Resize { ShapeFit::Resizable } else { ShapeFit::Different };
                }
            }
            Difference::DtypeMismatch { matched, change } => {
                if let Some(fit) = fits.get_mut(matched as usize) {
                    fit.dtypes = change;
                }
            }
            _ => {}
        }
    }
    fits
}

/// Target keys that are left to the model: a finding excuses that they are missing or of another size.
fn rebuilt(differences: &[Difference], remedies: &[Remedy]) -> usize {
    let excused = |(d, r): &(&Difference, &Remedy)| {
        matches!(d, Difference::Missing { .. } | Difference::SizeMismatch { .. }) && **r <= Remedy::Edit
    };
    differences.iter().zip(remedies).filter(excused).count()
}

/// Target keys that the source has under the same name and shape.
///
/// A match under another name does not mean that the own name is absent (Swin's `downsample` moves by one stage, and the
/// six old names are still there), so names are looked up for every target that is not matched identically.
fn before(source: &StateDict<'_>, target: &StateDict<'_>, alignment: &Alignment, fits: &[Fit]) -> usize {
    let mut identical = vec![false; target.entries.len()];
    let mut count = 0;
    for (m, fit) in alignment.matches.iter().zip(fits).filter(|(m, _)| m.how == How::Identical) {
        if let Some(seen) = identical.get_mut(m.target as usize) {
            *seen = true;
            count += usize::from(fit.shapes == ShapeFit::Equal);
        }
    }
    if identical.iter().all(|&seen| seen) {
        return count;
    }
    let names: HashMap<&str, usize, foldhash::fast::RandomState> =
        source.entries.iter().enumerate().map(|(i, e)| (e.key.as_str(), i)).collect();
    let by_name = |t: &crate::checkpoint::Entry<'_>| {
        let s = names.get(t.key.as_str()).and_then(|&i| source.entries.get(i))?;
        Some(s.shape().zip(t.shape()).is_none_or(|(a, b)| a == b))
    };
    count + target.entries.iter().zip(identical).filter(|(t, seen)| !seen && by_name(t) == Some(true)).count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::align::{Match, Step};
    use crate::compare::compare;
    use crate::rules::{Example, Line};

    fn lines(text: &[&str]) -> Vec<Line> {
        text.iter().map(|l| Line::try_from((*l).to_owned()).unwrap()).collect()
    }

    /// The verdict on an alignment made by hand.
    struct Case {
        source: &'static [&'static str],
        target: &'static [&'static str],
        alignment: Alignment,
        findings: Vec<Finding>,
    }

    impl Case {
        fn new(source: &'static [&'static str], target: &'static [&'static str], matches: &[(u32, u32, How)]) -> Case {
            let found = |&(source, target, how): &(u32, u32, How)| Match {
                target,
                source: vec![source],
                how,
                step: Step::Structure,
                confidence: 1.0,
            };
            let alignment = Alignment { matches: matches.iter().map(found).collect(), ..Alignment::default() };
            Case { source, target, alignment, findings: Vec::new() }
        }

        fn finding(mut self, severity: Severity, remedy: Remedy, claims: &[u32]) -> Case {
            self.findings.push(Finding {
                claims: claims.to_vec(),
                keys: claims.len(),
                remedy,
                ..Finding::new("CK000", severity, "", "")
            });
            self
        }

        /// Verdict, coverage before and after, and whether each of the four levels holds.
        fn outcome(&self) -> (Verdict, usize, usize, [bool; 4]) {
            let example = Example { source: lines(self.source), target: lines(self.target), ..Example::default() };
            let (a, b) = example.checkpoints();
            let (source, target) = (StateDict::below(&a, 0), StateDict::below(&b, 0));
            let differences = compare(&source, &target, &self.alignment);
            let at = |level| {
                let evidence = Evidence::new(&source, &target, &self.alignment, &differences, self.findings.clone());
                let report = judge(evidence, level);
                (report.verdict, report.coverage.before, report.coverage.after, report.holds)
            };
            let levels = [Level::Strict, Level::Fixable, Level::Resizable, Level::Partial];
            let (verdict, before, after, _) = at(Level::Strict);
            (verdict, before, after, levels.map(|l| at(l).3))
        }
    }

    #[test]
    fn equal_keys_and_shapes_load_as_they_are() {
        let case = Case::new(&["a [2]"], &["a [2]"], &[(0, 0, How::Identical)]);
        assert_eq!(case.outcome(), (Verdict::Loads, 1, 1, [true; 4]));
    }

    #[test]
    fn a_rename_needs_an_edit_and_an_unclaimed_one_is_not_overlooked() {
        let case = Case::new(&["m.a [2]"], &["a [2]"], &[(0, 0, How::Renamed)]);
        assert_eq!(case.outcome(), (Verdict::LoadsAfterFix, 0, 1, [false, true, true, true]));
    }

    #[test]
    fn a_missing_key_keeps_every_level_but_partial_from_holding() {
        let mut case = Case::new(&["a [2]"], &["a [2]", "b [1]"], &[(0, 0, How::Identical)]);
        case.alignment.missing = vec![1];
        assert_eq!(case.outcome(), (Verdict::DoesNotLoad, 1, 1, [false, false, false, true]));
    }

    #[test]
    fn a_missing_buffer_that_the_model_rebuilds_is_excused_by_its_finding() {
        let mut case = Case::new(&["a [2]"], &["a [2]", "index [1]"], &[(0, 0, How::Identical)]);
        case.alignment.missing = vec![1];
        let case = case.finding(Severity::Note, Remedy::Edit, &[0]);
        assert_eq!(case.outcome(), (Verdict::LoadsAfterFix, 1, 1, [false, true, true, true]));
    }

    #[test]
    fn a_resize_that_a_rule_names_holds_at_resizable_only() {
        let case = Case::new(&["a [169, 3]"], &["a [529, 3]"], &[(0, 0, How::Identical)]);
        assert_eq!(case.outcome().3, [false; 4]);
        let case = Case::new(
            &["a [169, 3]", "b [1]"],
            &["a [529, 3]", "b [1]"],
            &[(0, 0, How::Identical), (1, 1, How::Identical)],
        );
        let case = case.finding(Severity::Error, Remedy::Resize, &[0]);
        assert_eq!(case.outcome(), (Verdict::DoesNotLoad, 1, 1, [false, false, true, true]));
    }

    #[test]
    fn wrong_values_that_load_are_refused_at_every_level() {
        let case = Case::new(&["a F32 [2]"], &["a I64 [2]"], &[(0, 0, How::Identical)]);
        let case = case.finding(Severity::Error, Remedy::None, &[0]);
        assert_eq!(case.outcome(), (Verdict::Loads, 1, 1, [false; 4]));
    }

    #[test]
    fn a_key_that_is_renamed_away_from_its_own_name_still_counts_as_loading_before() {
        // Two tensors of one shape whose names were exchanged: as it is, both load (the wrong way round).
        let case = Case::new(&["a [2]", "b [2]"], &["a [2]", "b [2]"], &[(1, 0, How::Renamed), (0, 1, How::Renamed)]);
        assert_eq!(case.outcome(), (Verdict::LoadsAfterFix, 2, 2, [false, true, true, true]));
    }
}
