//! SARIF 2.1.0, what code scanning services read.
//!
//! Findings point to the line of a key where the file is a list of keys, and to the key as a logical location where it is
//! binary. <https://docs.oasis-open.org/sarif/sarif/v2.1.0/sarif-v2.1.0.html>

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};

use super::json;
use super::subject::{Item, Outcome, Place, Subject};
use crate::checkpoint::escaped;
use crate::codes;
use crate::explain::Severity;

mod model;
mod rule;

use model::{
    ArtifactLocation, Base, Driver, Invocation, Level, Location, Log, LogicalLocation, Message, PhysicalLocation,
    Properties, Region, Result, Run, Suppression, Tool,
};

/// Writes all subjects as one run.
///
/// # Errors
/// What the writer reports.
pub fn write(subjects: &[Subject], out: &mut dyn Write) -> io::Result<()> {
    let used: BTreeSet<&'static str> = subjects.iter().flat_map(|s| &s.items).map(|i| i.finding.code).collect();
    let index: BTreeMap<&str, usize> = used.iter().enumerate().map(|(i, code)| (*code, i)).collect();
    // Either every result says whether it is suppressed or none does.
    let suppressing = subjects.iter().flat_map(|s| &s.items).any(|i| i.accepted.is_some());
    let results = subjects.iter().flat_map(|subject| {
        let index = &index;
        subject.items.iter().map(move |item| result(subject, item, index, suppressing))
    });
    let exit_code = match subjects.iter().any(Subject::unread) {
        true => 2,
        false => u8::from(!subjects.iter().all(Subject::holds)),
    };
    let log = Log {
        schema: "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json",
        version: "2.1.0",
        runs: [Run {
            tool: Tool {
                driver: Driver {
                    name: "ckdiff",
                    version: env!("CARGO_PKG_VERSION"),
                    semantic_version: env!("CARGO_PKG_VERSION"),
                    full_name: concat!("ckdiff: ", env!("CARGO_PKG_DESCRIPTION")),
                    rules: used.iter().map(|code| rule::of(code)).collect(),
                },
            },
            invocations: [Invocation { execution_successful: true, exit_code }],
            original_uri_base_ids: BTreeMap::from([(
                SRCROOT,
                Base { description: Message::plain("the working directory of the run") },
            )]),
            results: results.collect(),
            column_kind: "unicodeCodePoints",
        }],
    };
    // Names within the arguments are whole, so what a reader would not see is written out here.
    let text = serde_json::to_string_pretty(&log)?;
    out.write_all(json::visible(&text).as_bytes())?;
    out.write_all(b"\n")
}

/// The name of the folder that relative URIs start from.
const SRCROOT: &str = "%SRCROOT%";

fn result<'a>(subject: &'a Subject, item: &'a Item, index: &BTreeMap<&str, usize>, suppressing: bool) -> Result<'a> {
    let finding = &item.finding;
    let suppressions = suppressing.then(|| {
        let suppression = item.accepted.as_ref().map(|a| Suppression {
            kind: "external",
            status: "accepted",
            justification: if a.reason.is_empty() { a.by.clone() } else { format!("{}: {}", a.by, a.reason) },
        });
        suppression.into_iter().collect()
    });
    let (verdict, level) = match &subject.outcome {
        Outcome::Verdict(v) => (Some(v.verdict.id()), Some(v.level.id())),
        _ => (None, None),
    };
    Result {
        rule_id: finding.code,
        rule_index: index.get(finding.code).copied().unwrap_or_default(),
        level: level_of(subject.severity(item)),
        message: Message { text: text(&finding.message, &finding.help), markdown: None },
        locations: vec![location(&item.place)],
        related_locations: item.others.iter().map(location).collect(),
        partial_fingerprints: BTreeMap::from([("ckdiff/v1", item.fingerprint.as_str())]),
        suppressions,
        properties: Properties {
            subject: subject.title(),
            rule: finding.rule.as_deref(),
            keys: finding.keys,
            confidence: (f64::from(finding.confidence) * 1000.0).round() / 1000.0,
            verdict,
            level,
            arguments: &finding.arguments,
        },
    }
}

/// Message and remedy as sentences.
fn text(message: &str, help: &str) -> String {
    let sentence = |text: &str| {
        let text = escaped(text);
        if text.ends_with(['.', '!', '?']) { text.into_owned() } else { format!("{text}.") }
    };
    if help.is_empty() { sentence(message) } else { format!("{} To do: {}", sentence(message), sentence(help)) }
}

fn level_of(severity: Severity) -> Level {
    match severity {
        Severity::Error => Level::Error,
        Severity::Warning => Level::Warning,
        Severity::Note => Level::Note,
    }
}

fn location(place: &Place) -> Location {
    let key = escaped(&place.key);
    let logical = (!key.is_empty()).then(|| LogicalLocation {
        name: key.rsplit('.').next().unwrap_or(&key).to_owned(),
        fully_qualified_name: key.to_string(),
        kind: "object",
    });
    Location {
        physical_location: PhysicalLocation {
            artifact_location: ArtifactLocation {
                uri: place.file.uri(),
                uri_base_id: place.file.inside.then_some(SRCROOT),
            },
            region: place.line.map(|start_line| Region { start_line }),
        },
        logical_locations: logical.into_iter().collect(),
        message: None,
    }
}

/// The name of a code; the code where it has no page.
fn name(code: &'static str) -> &'static str {
    match codes::name(code) {
        "" => code,
        name => name,
    }
}

#[cfg(test)]
mod tests;
