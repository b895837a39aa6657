//! The subject of a verdict: where its findings point to.

use std::collections::{HashMap, HashSet};

use super::{Item, Judged, Outcome, Place, Side, Subject};
use crate::checkpoint::{Checkpoint, Format, StateDict};
use crate::explain::Finding;
use crate::judge::{Fact, Fingerprint, Report, Verdict};
use crate::read::key_lines;
use crate::report::base::Base;
use crate::report::emit::{self, Form, Plan};
use crate::report::{html, text};
use crate::rules::RuleSet;

/// Places that one finding names beside the first.
const OTHERS: usize = 9;

/// The longest code that a page offers to copy, in bytes; `--emit python` writes any.
const PASTED: usize = 100_000;

/// The fingerprint as text.
pub(super) fn fingerprint<'a>(scope: &[&str], finding: &Finding, facts: impl IntoIterator<Item = Fact<'a>>) -> String {
    Fingerprint::of(scope, finding, facts).to_string()
}

impl Subject {
    /// The subject of a report. `name` is that of a contract, or empty.
    ///
    /// Reads lists of keys (expected.json) once more, to say on which line a key stands.
    pub fn verdict(name: impl Into<String>, report: &Report<'_>, base: &Base) -> Subject {
        let name = name.into();
        let (source, target) = (side(report.source, base), side(report.target, base));
        let scope = if name.is_empty() { vec![&*source.path.path, &*target.path.path] } else { vec![&*name] };
        let mut places: Vec<Vec<Pointer<'_>>> = report.findings.iter().map(|f| pointers(report, f)).collect();
        let lines = [report.source, report.target].map(|side| lines(side.checkpoint, &places));
        let items = report.findings.iter().zip(&mut places).map(|(finding, pointers)| {
            let mut found = pointers.iter().map(|p| {
                let (file, lines) = if p.target { (&target, &lines[1]) } else { (&source, &lines[0]) };
                let line = lines.get(p.key).copied();
                Place { file: file.path.clone(), line, key: p.key.to_owned() }
            });
            let first = found.next().unwrap_or_else(|| {
                let file = if of_target(report, finding) { &target } else { &source };
                Place::file(file.path.clone())
            });
            Item {
                place: first,
                others: found.take(OTHERS).collect(),
                fingerprint: fingerprint(&scope, finding, report.facts(finding)),
                accepted: None,
                finding: finding.clone(),
            }
        });
        let items = items.collect();
        let judged = Judged {
            verdict: report.verdict,
            words: text::words(report),
            level: report.level,
            holds: report.holds,
            coverage: report.coverage,
            renames: report.alignment.renames.clone(),
            drops: report.alignment.drops.clone(),
            source,
            target,
        };
        Subject { name, outcome: Outcome::Verdict(Box::new(judged)), items, keys: None, fix: None }
    }
}

impl Subject {
    /// Adds what only a page shows: every key, and the fix as code where it takes one.
    #[must_use]
    pub fn with_page(mut self, report: &Report<'_>, rules: &RuleSet) -> Subject {
        self.keys = Some(html::of_report(report));
        if report.verdict != Verdict::Loads {
            let plan = Plan::of(report, rules);
            let mut code = Vec::new();
            // Into memory, where writing cannot fail.
            self.fix = emit::write(Form::Python, &plan, &mut code).ok().and_then(|()| String::from_utf8(code).ok());
            self.fix = self.fix.filter(|code| code.len() <= PASTED);
        }
        self
    }
}

/// One side in a few words.
fn side(side: &StateDict<'_>, base: &Base) -> Side {
    Side { path: base.place(&side.checkpoint.path), summary: text::summary(side) }
}

/// A key on one of the sides.
struct Pointer<'a> {
    target: bool,
    key: &'a str,
}

/// Where to look for a finding: at a key in a list of keys where it has one, since that is the file that a review shows;
/// otherwise at a key of the checkpoint.
fn pointers<'a>(report: &'a Report<'_>, finding: &'a Finding) -> Vec<Pointer<'a>> {
    let listed = |side: &StateDict<'_>| side.checkpoint.format == Format::Json;
    let (source, target) = (listed(report.source), listed(report.target));
    let pick = |fact: Fact<'a>| {
        let (s, t) = (fact.source.first().copied(), fact.target.first().copied());
        match (s, t) {
            (_, Some(key)) if target => Some(Pointer { target: true, key }),
            (Some(key), _) if source => Some(Pointer { target: false, key }),
            (Some(key), _) => Some(Pointer { target: false, key }),
            (None, Some(key)) => Some(Pointer { target: true, key }),
            (None, None) => None,
        }
    };
    report.facts(finding).filter_map(pick).take(1 + OTHERS).collect()
}

/// The lines of the keys that are pointed to, where the file is a list of keys.
fn lines(checkpoint: &Checkpoint, places: &[Vec<Pointer<'_>>]) -> HashMap<String, u64> {
    if checkpoint.format != Format::Json {
        return HashMap::new();
    }
    let keys: HashSet<&str> = places.iter().flatten().map(|p| p.key).collect();
    key_lines(&checkpoint.path, &keys)
}

/// Whether a finding without keys is what the reader of the target remarked on.
fn of_target(report: &Report<'_>, finding: &Finding) -> bool {
    let remarked = |side: &StateDict<'_>| {
        side.checkpoint.remarks.iter().any(|r| r.code == finding.code && r.message == finding.message)
    };
    !remarked(report.source) && remarked(report.target)
}
