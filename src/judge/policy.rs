//! What a project decided about findings: which it ignores and why, how grave a code is to it, what it knew already.
//!
//! Applied to findings that are made; nothing here makes any. Without a decision a finding fails what it is part of
//! where the level does not excuse what it takes, as in [`judge`](super::judge).

use std::collections::BTreeMap;

use globset::GlobMatcher;

use super::{Baseline, Coverage, Fact, Fingerprint, Level, Report};
use crate::explain::{Finding, Remedy, Severity, fold_keys};

/// How grave a project says that a code is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grade {
    /// Fails.
    Error,
    /// Is shown and does not fail.
    Warning,
    /// Is not shown by itself and does not fail.
    Note,
    /// Is dropped.
    Off,
}

impl Grade {
    /// Every grade.
    pub const ALL: [Grade; 4] = [Grade::Error, Grade::Warning, Grade::Note, Grade::Off];

    /// The name in the configuration: `error`.
    pub fn id(self) -> &'static str {
        match self {
            Grade::Error => "error",
            Grade::Warning => "warning",
            Grade::Note => "note",
            Grade::Off => "off",
        }
    }

    /// The severity that a finding of this grade has; `None` for one that is dropped.
    pub fn severity(self) -> Option<Severity> {
        match self {
            Grade::Error => Some(Severity::Error),
            Grade::Warning => Some(Severity::Warning),
            Grade::Note => Some(Severity::Note),
            Grade::Off => None,
        }
    }
}

/// A finding that a project lives with.
#[derive(Clone, Debug)]
pub struct Ignore {
    /// Findings of this code.
    pub code: Option<&'static str>,
    /// Findings that this rule explains.
    pub rule: Option<String>,
    /// In contracts of this name.
    pub contract: Option<GlobMatcher>,
    /// About files with this path, relative to the configuration.
    pub path: Option<GlobMatcher>,
    /// About keys of this name alone: a finding that concerns another key as well is not ignored.
    pub key: Option<GlobMatcher>,
    /// Why; never empty.
    pub reason: String,
    /// Where it stands in the configuration, from 1.
    pub line: usize,
}

/// Where a finding was made.
#[derive(Clone, Copy, Debug, Default)]
pub struct Place<'a> {
    /// The contract; empty for a finding about the configuration as a whole.
    pub contract: &'a str,
    /// The file that was to be loaded, relative to the configuration; empty where no file is concerned.
    pub source: &'a str,
}

impl Ignore {
    fn covers(&self, finding: &Finding, facts: &[Fact<'_>], place: Place<'_>) -> bool {
        let glob = |glob: &Option<GlobMatcher>, text: &str| glob.as_ref().is_none_or(|g| g.is_match(text));
        self.code.is_none_or(|c| c == finding.code)
            && self.rule.as_ref().is_none_or(|r| finding.rule.as_ref() == Some(r))
            && glob(&self.contract, place.contract)
            && glob(&self.path, place.source)
            && self.key.as_ref().is_none_or(|key| !facts.is_empty() && facts.iter().all(|f| concerns(key, f)))
    }
}

/// Whether a difference is about keys of this name only, on one of the sides.
fn concerns(key: &GlobMatcher, fact: &Fact<'_>) -> bool {
    let all = |names: &[&str]| !names.is_empty() && names.iter().all(|n| key.is_match(n));
    all(&fact.source) || all(&fact.target)
}

/// What became of a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It counts, and what it is part of fails.
    Fails,
    /// It counts and does not fail: the level excuses it, or it is not grave.
    Passes,
    /// An ignore of the configuration covers it: its index.
    Ignored(usize),
    /// The baseline has it.
    Known,
    /// Its code is switched off.
    Off,
}

/// A finding after the decisions of the project.
#[derive(Clone, Debug)]
pub struct Weighed {
    /// The finding, its severity as the project wants it.
    pub finding: Finding,
    /// Its name in baselines.
    pub fingerprint: Fingerprint,
    /// What became of it.
    pub standing: Standing,
    /// Whether it is worth showing where everything holds: a warning that nothing excuses.
    pub loud: bool,
    /// The keys that it concerns, folded: those of the model, or of the checkpoint where the model has none.
    pub keys: Vec<String>,
}

/// Every decision of a project.
#[derive(Clone, Debug, Default)]
pub struct Policy {
    /// What it lives with, in the order of the configuration.
    pub ignores: Vec<Ignore>,
    /// How grave codes are to it.
    pub grades: BTreeMap<&'static str, Grade>,
}

impl Policy {
    /// Weighs every finding of a report.
    pub fn weigh(&self, report: &Report<'_>, place: Place<'_>, baseline: &Baseline) -> Vec<Weighed> {
        let excused = excused(report.level, report.coverage);
        let one = |finding: &Finding| {
            let facts: Vec<Fact<'_>> = report.facts(finding).collect();
            self.one(finding, &facts, place, excused, baseline)
        };
        report.findings.iter().map(one).collect()
    }

    /// Weighs a finding that is no part of a report: a file that cannot be read, the configuration itself.
    pub fn weigh_one(&self, finding: &Finding, place: Place<'_>, baseline: &Baseline) -> Weighed {
        self.one(finding, &[], place, Remedy::None, baseline)
    }

    fn one(
        &self,
        finding: &Finding,
        facts: &[Fact<'_>],
        place: Place<'_>,
        excused: Remedy,
        baseline: &Baseline,
    ) -> Weighed {
        let grade = self.grades.get(finding.code).copied();
        let mut finding = finding.clone();
        let fingerprint = Fingerprint::of(&[place.contract, place.source], &finding, facts.iter().cloned());
        let covered = || self.ignores.iter().position(|i| i.covers(&finding, facts, place));
        // A level excuses what it takes to load; nothing excuses what goes wrong although it loads.
        let excused = finding.remedy != Remedy::None && finding.remedy <= excused;
        let fails = match grade {
            Some(grade) => grade == Grade::Error,
            None if finding.remedy == Remedy::None => finding.severity == Severity::Error,
            None => !excused,
        };
        let standing = match covered() {
            _ if grade == Some(Grade::Off) => Standing::Off,
            Some(index) => Standing::Ignored(index),
            None if baseline.contains(fingerprint) => Standing::Known,
            None if fails => Standing::Fails,
            None => Standing::Passes,
        };
        let loud = match grade {
            Some(grade) => grade == Grade::Warning,
            None => finding.severity == Severity::Warning && !excused,
        };
        if let Some(severity) = grade.and_then(Grade::severity) {
            finding.severity = severity;
        }
        let keys = facts.iter().flat_map(|f| if f.target.is_empty() { &f.source } else { &f.target }).copied();
        let keys = fold_keys(keys).into_iter().map(|f| f.pattern).collect();
        Weighed { finding, fingerprint, standing, loud: loud && standing == Standing::Passes, keys }
    }
}

/// The most that may have to be done at this level.
fn excused(level: Level, coverage: Coverage) -> Remedy {
    match level {
        Level::Strict => Remedy::None,
        Level::Fixable => Remedy::Edit,
        Level::Partial if coverage.after > 0 || coverage.of == 0 => Remedy::Lost,
        Level::Resizable | Level::Partial => Remedy::Resize,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use globset::Glob;

    fn finding(severity: Severity, remedy: Remedy) -> Finding {
        Finding { rule: Some("dtypes/half".into()), keys: 2, remedy, ..Finding::new("CK302", severity, "", "") }
    }

    const PLACE: Place<'static> = Place { contract: "swin", source: "weights/a.pth" };

    fn standing(policy: &Policy, finding: &Finding, keys: &[&'static str], level: Level) -> Standing {
        let facts: Vec<Fact<'_>> =
            keys.iter().map(|&k| Fact { kind: "missing", source: Vec::new(), target: vec![k] }).collect();
        let excused = excused(level, Coverage { after: 1, of: 2, ..Coverage::default() });
        policy.one(finding, &facts, PLACE, excused, &Baseline::default()).standing
    }

    fn ignore() -> Ignore {
        Ignore {
            code: Some("CK302"),
            rule: None,
            contract: None,
            path: None,
            key: None,
            reason: "known".into(),
            line: 1,
        }
    }

    fn glob(text: &str) -> Option<GlobMatcher> {
        Some(Glob::new(text).unwrap().compile_matcher())
    }

    #[test]
    fn without_decisions_the_level_decides() {
        let policy = Policy::default();
        let at = |severity, remedy, level| standing(&policy, &finding(severity, remedy), &["a"], level);
        // A leftover module is only a note, and still keeps the file from loading as it is.
        assert_eq!(at(Severity::Note, Remedy::Edit, Level::Strict), Standing::Fails);
        assert_eq!(at(Severity::Error, Remedy::Edit, Level::Fixable), Standing::Passes);
        assert_eq!(at(Severity::Error, Remedy::Lost, Level::Resizable), Standing::Fails);
        assert_eq!(at(Severity::Error, Remedy::Lost, Level::Partial), Standing::Passes);
        assert_eq!(at(Severity::Error, Remedy::None, Level::Partial), Standing::Fails);
        assert_eq!(at(Severity::Warning, Remedy::None, Level::Strict), Standing::Passes);
    }

    #[test]
    fn a_severity_of_the_project_decides_before_the_level() {
        let mut policy = Policy::default();
        for (grade, expected) in [
            (Grade::Error, Standing::Fails),
            (Grade::Warning, Standing::Passes),
            (Grade::Note, Standing::Passes),
            (Grade::Off, Standing::Off),
        ] {
            policy.grades.insert("CK302", grade);
            let is = standing(&policy, &finding(Severity::Warning, Remedy::Edit), &["a"], Level::Fixable);
            assert_eq!(is, expected, "{grade:?}");
        }
    }

    #[test]
    fn an_ignore_covers_what_all_its_fields_say() {
        let with = |change: fn(&mut Ignore)| {
            let mut ignore = ignore();
            change(&mut ignore);
            let policy = Policy { ignores: vec![ignore], ..Policy::default() };
            standing(&policy, &finding(Severity::Error, Remedy::Lost), &["head.weight", "head.bias"], Level::Strict)
        };
        assert_eq!(with(|_| ()), Standing::Ignored(0));
        assert_eq!(with(|i| i.path = glob("weights/*.pth")), Standing::Ignored(0));
        assert_eq!(with(|i| i.path = glob("other/*.pth")), Standing::Fails);
        assert_eq!(with(|i| i.contract = glob("swi?")), Standing::Ignored(0));
        assert_eq!(with(|i| i.contract = glob("vit")), Standing::Fails);
        assert_eq!(with(|i| i.rule = Some("dtypes/half".into())), Standing::Ignored(0));
        assert_eq!(with(|i| i.code = Some("CK301")), Standing::Fails);
        assert_eq!(with(|i| i.key = glob("head.*")), Standing::Ignored(0));
    }

    #[test]
    fn an_ignore_of_one_key_does_not_hide_another() {
        let policy = Policy { ignores: vec![Ignore { key: glob("head.*"), ..ignore() }], ..Policy::default() };
        let finding = finding(Severity::Error, Remedy::Lost);
        assert_eq!(standing(&policy, &finding, &["head.weight", "neck.weight"], Level::Strict), Standing::Fails);
        assert_eq!(standing(&policy, &finding, &[], Level::Strict), Standing::Fails);
    }

    #[test]
    fn a_baseline_covers_the_same_finding_and_not_one_with_another_key() {
        let policy = Policy::default();
        let finding = finding(Severity::Error, Remedy::Lost);
        let missing = |key| [Fact { kind: "missing", source: Vec::new(), target: vec![key] }];
        let first = policy.one(&finding, &missing("a"), PLACE, Remedy::None, &Baseline::default());
        assert_eq!(first.standing, Standing::Fails);
        let mut baseline = Baseline::default();
        baseline.insert(Known::of(&first, PLACE));
        let again = |key| policy.one(&finding, &missing(key), PLACE, Remedy::None, &baseline).standing;
        assert_eq!(again("a"), Standing::Known);
        assert_eq!(again("b"), Standing::Fails);
    }

    use super::super::Known;
}
