//! One question that was answered, as the formats for review tools and the page show it.
//!
//! It owns what it says: a run over many files need not keep them all in memory until the last one is written.

use std::collections::HashMap;
use std::io::{self, Write};
use std::path::Path;

use super::base::{Base, Location};
use super::{github, html, junit, markdown, sarif};
use crate::align::{Drop, Rename};
use crate::explain::{Finding, Severity};
use crate::judge::{Coverage, Level, Verdict};

mod inspected;
mod judged;

/// A format that takes any number of subjects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Sheet {
    /// SARIF 2.1.0, for code scanning.
    Sarif,
    /// Commands of a GitHub Actions log: annotations on the lines of a pull request.
    Github,
    /// A comment on a pull request.
    Markdown,
    /// A page for a browser.
    Html,
    /// JUnit XML, for lists of test results.
    Junit,
}

impl Sheet {
    /// Writes all subjects as one document.
    ///
    /// # Errors
    /// What the writer reports.
    pub fn write(self, subjects: &[Subject], out: &mut dyn Write) -> io::Result<()> {
        match self {
            Sheet::Sarif => sarif::write(subjects, out),
            Sheet::Github => github::write(subjects, out),
            Sheet::Markdown => markdown::write(subjects, out),
            Sheet::Html => html::write(subjects, out),
            Sheet::Junit => junit::write(subjects, out),
        }
    }
}

/// One question with its answer: a pair of checkpoints, a file, a contract.
#[derive(Clone, Debug)]
pub struct Subject {
    /// What it is called, where it has a name of its own (a contract); empty where its paths say it.
    pub name: String,
    /// The answer.
    pub outcome: Outcome,
    /// What was found, the most important first.
    pub items: Vec<Item>,
    /// Every key, as [`html`] writes it; only where a page is made.
    pub keys: Option<String>,
    /// The fix as code to paste; only where a page is made.
    pub fix: Option<String>,
}

/// The answer, by the kind of question.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// Does the source load into the target?
    Verdict(Box<Judged>),
    /// What is in the file?
    File(Box<Inspected>),
    /// Nothing could be answered, or there is nothing but findings (a configuration); the items say what.
    Other {
        /// The file that it is about.
        path: Location,
        /// Whether all is well nevertheless.
        holds: bool,
    },
}

/// The verdict on a pair.
#[derive(Clone, Debug)]
pub struct Judged {
    /// The checkpoint.
    pub source: Side,
    /// The model.
    pub target: Side,
    /// The answer.
    pub verdict: Verdict,
    /// The answer in words: `loads after the fix, not as it is`.
    pub words: String,
    /// What was asked for.
    pub level: Level,
    /// Whether the verdict meets the level.
    pub holds: bool,
    /// How much loads.
    pub coverage: Coverage,
    /// What renames the keys.
    pub renames: Vec<Rename>,
    /// What drops the rest.
    pub drops: Vec<Drop>,
}

/// What is in a file.
#[derive(Clone, Debug)]
pub struct Inspected {
    /// The file.
    pub side: Side,
    /// Whether none of its findings is an error.
    pub holds: bool,
    /// Further facts, each with its label: sizes, dtypes, containers, metadata.
    pub facts: Vec<(&'static str, String)>,
    /// What its pickles ask for: the name, its verdict (`dangerous`), its place. The dangerous ones first.
    pub imports: Vec<[String; 3]>,
}

/// One side of a pair.
#[derive(Clone, Debug)]
pub struct Side {
    /// Where it is.
    pub path: Location,
    /// What it is, in a few words: `torch zip, state_dict, 730 tensors, 18.7 M parameters`.
    pub summary: String,
}

/// A finding with its place.
#[derive(Clone, Debug)]
pub struct Item {
    /// What was found.
    pub finding: Finding,
    /// Where to look.
    pub place: Place,
    /// Where else, a handful.
    pub others: Vec<Place>,
    /// The same in every run that finds the same: what a list of known findings goes by.
    pub fingerprint: String,
    /// Why it does not count, where it does not.
    pub accepted: Option<Accepted>,
}

/// Why a finding does not count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// Where that stands: `ckdiff.toml`, a baseline.
    pub by: String,
    /// The reason given; may be empty.
    pub reason: String,
}

/// A place that a finding points to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The file.
    pub file: Location,
    /// The line, from 1, where the file is text.
    pub line: Option<u64>,
    /// The key; empty where the file as a whole is meant.
    pub key: String,
}

impl Place {
    /// A file as a whole.
    pub fn file(file: Location) -> Place {
        Place { file, line: None, key: String::new() }
    }
}

/// Whether a code says of a file without a verdict that it could not be read, or that it is not safe to.
pub fn unreadable(code: &str) -> bool {
    code.starts_with("CK0") || code.starts_with("CK5")
}

impl Subject {
    /// A subject that is nothing but findings about one file, such as a configuration. `lines` are those of the findings,
    /// where known.
    pub fn other(
        name: impl Into<String>,
        path: &Path,
        findings: impl IntoIterator<Item = (Finding, Option<u64>)>,
        base: &Base,
    ) -> Subject {
        let path = base.place(path);
        let item = |(finding, line): (Finding, Option<u64>)| Item {
            fingerprint: judged::fingerprint(&[&path.path], &finding, []),
            place: Place { line, ..Place::file(path.clone()) },
            others: Vec::new(),
            accepted: None,
            finding,
        };
        let items: Vec<Item> = findings.into_iter().map(item).collect();
        let holds = items.iter().all(|i| i.finding.severity != Severity::Error);
        Subject { name: name.into(), outcome: Outcome::Other { path, holds }, items, keys: None, fix: None }
    }

    /// Whether all is as it should be: what exit status 0 says.
    pub fn holds(&self) -> bool {
        match &self.outcome {
            Outcome::Verdict(v) => v.holds,
            Outcome::File(f) => f.holds,
            Outcome::Other { holds, .. } => *holds,
        }
    }

    /// Whether a file could not be read, so that the question is open: what exit status 2 says.
    pub fn unread(&self) -> bool {
        let unread = |i: &Item| i.finding.severity == Severity::Error && unreadable(i.finding.code);
        matches!(self.outcome, Outcome::Other { holds: false, .. }) && self.open().any(unread)
    }

    /// Overrules the verdict, where what was accepted changes it.
    pub fn set_holds(&mut self, yes: bool) {
        match &mut self.outcome {
            Outcome::Verdict(v) => v.holds = yes,
            Outcome::File(f) => f.holds = yes,
            Outcome::Other { holds, .. } => *holds = yes,
        }
    }

    /// Its name, or what its paths say: `a.pth → expected.json`.
    pub fn title(&self) -> String {
        if !self.name.is_empty() {
            return self.name.clone();
        }
        match &self.outcome {
            Outcome::Verdict(v) => format!("{} → {}", v.source.path.path, v.target.path.path),
            Outcome::File(f) => f.side.path.path.clone(),
            Outcome::Other { path, .. } => path.path.clone(),
        }
    }

    /// The answer in a few words.
    pub fn words(&self) -> String {
        match &self.outcome {
            Outcome::Verdict(v) => v.words.clone(),
            Outcome::File(f) => f.side.summary.clone(),
            Outcome::Other { holds, .. } => if *holds { "holds" } else { "could not be judged" }.to_owned(),
        }
    }

    /// The items that count.
    pub fn open(&self) -> impl Iterator<Item = &Item> {
        self.items.iter().filter(|i| i.accepted.is_none())
    }

    /// How bad a finding is for this subject: what the chosen level accepts fails nothing, and is worth knowing only.
    pub fn severity(&self, item: &Item) -> Severity {
        match item.finding.severity {
            Severity::Error if self.holds() => Severity::Note,
            severity => severity,
        }
    }

    /// `2 errors, 1 note`; empty where nothing counts.
    pub fn tally(&self) -> String {
        let mut counts: HashMap<&str, usize> = HashMap::new();
        for item in self.open() {
            *counts.entry(self.severity(item).id()).or_default() += 1;
        }
        let parts: Vec<String> = [Severity::Error, Severity::Warning, Severity::Note]
            .iter()
            .filter_map(|s| Some(super::style::plural(*counts.get(s.id())?, s.id())))
            .collect();
        parts.join(", ")
    }
}

#[cfg(test)]
pub(super) mod tests;
