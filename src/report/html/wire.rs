//! What the page is told of a subject beside its keys, by the names that its script uses.

use serde::Serialize;

use crate::checkpoint::escaped;
use crate::codes;
use crate::judge::Coverage;
use crate::report::subject::{Item, Outcome, Subject};

/// A line of the list of subjects.
#[derive(Serialize)]
pub(super) struct Line {
    title: String,
    words: String,
    tally: String,
    holds: bool,
}

impl Line {
    pub(super) fn of(subject: &Subject) -> Line {
        Line {
            title: safe(&subject.title()),
            words: safe(&subject.words()),
            tally: subject.tally(),
            holds: subject.holds(),
        }
    }
}

/// A subject as a whole.
#[derive(Serialize)]
pub(super) struct Whole<'a> {
    kind: &'static str,
    #[serde(flatten)]
    line: Line,
    findings: Vec<Cause<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    verdict: Option<Judged<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<File<'a>>,
}

#[derive(Serialize)]
struct Judged<'a> {
    source: [String; 2],
    target: [String; 2],
    verdict: &'static str,
    level: &'static str,
    coverage: Coverage,
    renames: Vec<(String, String, usize)>,
    drops: Vec<(String, usize)>,
    fix: Option<&'a str>,
}

#[derive(Serialize)]
struct File<'a> {
    path: String,
    summary: &'a str,
    facts: Vec<(&'static str, String)>,
    imports: Vec<[String; 3]>,
}

#[derive(Serialize)]
struct Cause<'a> {
    code: &'static str,
    name: &'static str,
    severity: &'static str,
    rule: Option<String>,
    keys: usize,
    message: String,
    help: String,
    confidence: f32,
    examples: Vec<String>,
    place: String,
    page: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    accepted: Option<String>,
}

/// Imports that a page lists.
const IMPORTS: usize = 500;

impl<'a> Whole<'a> {
    pub(super) fn of(subject: &'a Subject) -> Whole<'a> {
        let (mut verdict, mut file) = (None, None);
        let kind = match &subject.outcome {
            Outcome::Verdict(v) => {
                verdict = Some(Judged {
                    source: [safe(&v.source.path.path), v.source.summary.clone()],
                    target: [safe(&v.target.path.path), v.target.summary.clone()],
                    verdict: v.verdict.id(),
                    level: v.level.id(),
                    coverage: v.coverage,
                    renames: v.renames.iter().map(|r| (safe(&r.pattern), safe(&r.replacement), r.keys)).collect(),
                    drops: v.drops.iter().map(|d| (safe(&d.pattern), d.keys)).collect(),
                    fix: subject.fix.as_deref(),
                });
                "verdict"
            }
            Outcome::File(f) => {
                file = Some(File {
                    path: safe(&f.side.path.path),
                    summary: &f.side.summary,
                    facts: f.facts.iter().map(|(label, text)| (*label, safe(text))).collect(),
                    imports: f.imports.iter().take(IMPORTS).map(|row| row.each_ref().map(|t| safe(t))).collect(),
                });
                "file"
            }
            Outcome::Other { .. } => "other",
        };
        let findings = subject.items.iter().map(|item| cause(subject, item)).collect();
        Whole { kind, line: Line::of(subject), findings, verdict, file }
    }
}

fn cause<'a>(subject: &Subject, item: &'a Item) -> Cause<'a> {
    let f = &item.finding;
    let line = item.place.line.map(|l| format!(":{l}")).unwrap_or_default();
    Cause {
        code: f.code,
        name: codes::name(f.code),
        severity: subject.severity(item).id(),
        rule: f.rule.as_deref().map(safe),
        keys: f.keys,
        message: safe(&f.message),
        help: safe(&f.help),
        confidence: f.confidence,
        examples: f.examples.iter().map(|e| safe(e)).collect(),
        place: safe(&format!("{}{line}", item.place.file.path)),
        page: codes::page(f.code).map_or("", |(_, page)| page),
        accepted: item.accepted.as_ref().map(|a| {
            let reason = if a.reason.is_empty() { String::new() } else { format!(": {}", a.reason) };
            safe(&format!("{}{reason}", a.by))
        }),
    }
}

/// A name as it can be shown: what would turn the direction of text, or not be seen, is written out.
fn safe(text: &str) -> String {
    escaped(text).into_owned()
}
