//! `ckdiff explain`: what an error text means, for people and as JSON.

use std::io::{self, Write};
use std::path::Path;

use serde::Serialize;

use super::json::{Cause, Object};
use super::style::{Style, Tone, plural};
use super::text::findings;
use crate::align::Alignment;
use crate::checkpoint::escaped;
use crate::explain::Finding;
use crate::read::log::LogReport;

/// Which sides are real files and not only what the text tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Known {
    /// `--source` was given.
    pub source: bool,
    /// `--target` was given.
    pub target: bool,
}

/// Everything a renderer needs.
#[derive(Clone, Copy, Debug)]
pub struct Explained<'a> {
    /// The text's path; `-` for standard input.
    pub path: &'a Path,
    /// What was read there.
    pub log: &'a LogReport,
    /// Causes, most important first.
    pub findings: &'a [Finding],
    /// Which sides are files.
    pub known: Known,
    /// How the keys pair.
    pub alignment: &'a Alignment,
}

/// Causes shown without `--all`: the rest is counted.
const SHOWN: usize = 5;

/// Lines that all of it may take without `--all`, so that it can be pasted into an answer whole.
const LINES: usize = 14;

/// Writes the explanation as text: what was read, the causes, and how far a text alone can be trusted.
///
/// # Errors
/// What the writer reports.
pub fn text(report: &Explained<'_>, style: &Style, out: &mut dyn Write) -> io::Result<()> {
    let name = if report.path == Path::new("-") { "text".to_owned() } else { report.path.display().to_string() };
    writeln!(out, "{}  {}", style.paint(Tone::Title, &escaped(&name)), escaped(&summary(report.log)))?;
    if report.findings.is_empty() {
        writeln!(out, "\nthe text names no key that is missing, unexpected or of another shape")?;
        return Ok(());
    }
    writeln!(out)?;
    let doubts = doubts(report);
    let doubts = if doubts.is_empty() { Vec::new() } else { style.lines(&doubts, style.width) };
    let used = 2 + doubts.len() + usize::from(!doubts.is_empty());
    let shown =
        if style.all { report.findings.len() } else { fitting(report.findings, style, LINES - used.min(LINES))? };
    let (first, rest) = report.findings.split_at(shown);
    findings(first, style, out)?;
    if !rest.is_empty() {
        writeln!(out, "{} more; --all shows them", plural(rest.len(), "cause"))?;
    }
    if !doubts.is_empty() {
        writeln!(out)?;
    }
    for line in doubts {
        writeln!(out, "{}", style.paint(Tone::Aside, &escaped(&line)))?;
    }
    Ok(())
}

/// How many causes fit into so many lines, the line that counts the rest included; at least the first.
fn fitting(all: &[Finding], style: &Style, lines: usize) -> io::Result<usize> {
    let mut shown = all.len().min(SHOWN);
    while shown > 1 {
        let mut written = Vec::new();
        findings(all.get(..shown).unwrap_or(all), style, &mut written)?;
        let taken = written.iter().filter(|b| **b == b'\n').count() + usize::from(shown < all.len());
        if taken <= lines {
            break;
        }
        shown -= 1;
    }
    Ok(shown)
}

/// `load_state_dict into Sam: 88 missing, 267 of another shape`
fn summary(log: &LogReport) -> String {
    let mut counts = Vec::new();
    for (keys, what) in [(log.missing_keys.len(), "missing"), (log.unexpected_keys.len(), "unexpected")] {
        if keys > 0 {
            counts.push(format!("{} {what}", plural(keys, "key")));
        }
    }
    if !log.size_mismatches.is_empty() {
        counts.push(format!("{} of another shape", plural(log.size_mismatches.len(), "key")));
    }
    let class = log.model_class.as_deref().map(|c| format!(" into {c}")).unwrap_or_default();
    let counts = if counts.is_empty() { String::new() } else { format!(": {}", counts.join(", ")) };
    let cut = if log.truncated { " (the text leaves some out)" } else { "" };
    if log.is_empty() {
        return "no error of loading weights".to_owned();
    }
    let form = match log.kind.as_str() {
        "load-state-dict" => "load_state_dict".to_owned(),
        "incompatible-keys" => "_IncompatibleKeys".to_owned(),
        "key-error" => "KeyError".to_owned(),
        kind => kind.replace('-', " "),
    };
    format!("{form}{class}{counts}{cut}")
}

/// What a text alone cannot tell, and what would.
fn doubts(report: &Explained<'_>) -> String {
    let log = report.log;
    let keys = log.missing_keys.len() + log.unexpected_keys.len() + log.size_mismatches.len() + log.key_errors.len();
    if keys == 0 || report.known.source && report.known.target {
        return String::new();
    }
    let mut what = Vec::new();
    if log.folded {
        what.push("ranges of the table may hide gaps");
    }
    let lists = [&log.missing_keys, &log.unexpected_keys];
    if log.size_mismatches.is_empty() && lists.iter().any(|l| l.is_empty()) {
        what.push("only one side is named");
    }
    let what = if what.is_empty() { "keys that fit are not listed".to_owned() } else { what.join(", ") };
    let give = match (report.known.source, report.known.target, log.is_whole()) {
        (true, false, true) | (false, true, true) => return String::new(),
        (false, _, true) => "--source FILE",
        (true, ..) => "--target expected.json",
        (false, true, false) => "--source FILE",
        (false, false, false) => "--source FILE and --target expected.json",
    };
    format!("from the text alone ({what}); for certainty give {give}")
}

/// Writes the explanation as JSON, version 1.
///
/// # Errors
/// What the writer reports.
pub fn json(report: &Explained<'_>, out: &mut dyn Write) -> io::Result<()> {
    let log = report.log;
    let mut object = Object::start(out)?;
    object.field("version", &1)?;
    object.field("path", &report.path.to_string_lossy())?;
    object.field(
        "parsed",
        &Parsed {
            missing_keys: &log.missing_keys,
            unexpected_keys: &log.unexpected_keys,
            size_mismatches: log
                .size_mismatches
                .iter()
                .map(|m| Mismatch { key: &m.key, source: m.source.dims(), target: m.target.dims() })
                .collect(),
            model_class: log.model_class.as_deref(),
            kind: &log.kind,
            key_errors: log.key_errors.iter().map(|e| e.key.as_str()).collect(),
            truncated: log.truncated,
        },
    )?;
    object.field("certain", &(report.known.source && report.known.target))?;
    object.list(
        "renames",
        report.alignment.renames.iter().map(|r| Rename {
            pattern: &r.pattern,
            replacement: &r.replacement,
            keys: r.keys,
        }),
    )?;
    object.list("drops", report.alignment.drops.iter().map(|d| Dropped { pattern: &d.pattern, keys: d.keys }))?;
    object.list("findings", report.findings.iter().map(Cause::of))?;
    object.end()
}

/// What was read, field by field.
#[derive(Serialize)]
struct Parsed<'a> {
    missing_keys: &'a [String],
    unexpected_keys: &'a [String],
    size_mismatches: Vec<Mismatch<'a>>,
    model_class: Option<&'a str>,
    kind: &'a str,
    key_errors: Vec<&'a str>,
    truncated: bool,
}

#[derive(Serialize)]
struct Mismatch<'a> {
    key: &'a str,
    source: &'a [u64],
    target: &'a [u64],
}

#[derive(Serialize)]
struct Rename<'a> {
    pattern: &'a str,
    replacement: &'a str,
    keys: usize,
}

#[derive(Serialize)]
struct Dropped<'a> {
    pattern: &'a str,
    keys: usize,
}
