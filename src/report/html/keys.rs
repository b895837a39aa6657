//! Every key of both sides and how they belong together, as compact JSON: a hundred thousand keys are a few megabytes.

use std::collections::HashMap;

use serde::Serialize;

use crate::checkpoint::{Checkpoint, Entry, StateDict, escaped};
use crate::compare::Difference;
use crate::explain::Finding;
use crate::judge::Report;

/// Everything about the keys of a subject.
#[derive(Serialize, Default)]
struct Keys {
    /// Dtype and shape, each combination once.
    kinds: Vec<String>,
    source: Side,
    target: Side,
    matches: Matches,
    /// Target entries, source entries, and why they could not be told apart.
    ambiguous: Vec<(String, String, String)>,
    /// For each finding the entries that it is about: those of the target, and those of the source without a match.
    claims: Vec<(String, String)>,
}

/// The entries of one side, in stored order.
#[derive(Serialize, Default)]
struct Side {
    /// Names, each as how many UTF-16 units it shares with the one before it, and the rest.
    names: Vec<Part>,
    /// Indices into `kinds`.
    kinds: Vec<u32>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Part {
    Shared(u32),
    Rest(String),
}

/// The matches, one column a fact.
#[derive(Serialize, Default)]
struct Matches {
    target: Vec<u32>,
    /// Source entries, as ranges.
    source: Vec<Sources>,
    how: Vec<&'static str>,
    shapes: Vec<&'static str>,
    dtypes: Vec<&'static str>,
    /// In per cent.
    confidence: Vec<u8>,
}

/// A single index as a number, several as ranges: nearly all matches have one.
#[derive(Serialize)]
#[serde(untagged)]
enum Sources {
    One(u32),
    Many(String),
}

/// The keys of a report, for the page.
pub fn of_report(report: &Report<'_>) -> String {
    let mut kinds = Kinds::default();
    let mut keys = Keys {
        source: kinds.side(report.source.entries.iter().map(|e| (e.key.as_str(), *e))),
        target: kinds.side(report.target.entries.iter().map(|e| (e.key.as_str(), *e))),
        ..Keys::default()
    };
    keys.kinds = kinds.list;
    let columns = &mut keys.matches;
    for (m, fit) in report.alignment.matches.iter().zip(&report.fits) {
        columns.target.push(m.target);
        columns.source.push(match m.source.as_slice() {
            [one] => Sources::One(*one),
            many => Sources::Many(ranges(many)),
        });
        columns.how.push(m.how.id());
        columns.shapes.push(fit.shapes.id());
        columns.dtypes.push(fit.dtypes.id());
        columns.confidence.push((m.confidence.clamp(0.0, 1.0) * 100.0).round() as u8);
    }
    keys.ambiguous = (report.alignment.ambiguous.iter())
        .map(|a| (ranges(&a.target), ranges(&a.source), escaped(&a.why).into_owned()))
        .collect();
    keys.claims = report.findings.iter().map(|f| claims(report, f)).collect();
    text(&keys)
}

/// The keys of a single file, for the page.
pub fn of_file(checkpoint: &Checkpoint) -> String {
    let whole = StateDict::below(checkpoint, 0);
    let mut kinds = Kinds::default();
    let source = kinds.side(whole.entries.iter().map(|e| (e.key.as_str(), *e)));
    text(&Keys { source, kinds: kinds.list, ..Keys::default() })
}

fn text(keys: &Keys) -> String {
    // Of strings and numbers only: nothing that JSON could not write.
    serde_json::to_string(keys).unwrap_or_default()
}

/// Every dtype with shape once, by number.
#[derive(Default)]
struct Kinds {
    list: Vec<String>,
    known: HashMap<String, u32>,
}

impl Kinds {
    fn of(&mut self, entry: &Entry<'_>) -> u32 {
        let dtype = entry.dtype().map_or_else(|| "?".to_owned(), |d| d.to_string());
        let shape = entry.shape().map_or_else(|| "?".to_owned(), ToString::to_string);
        let kind = format!("{dtype} {shape}");
        *self.known.entry(kind).or_insert_with_key(|kind| {
            self.list.push(kind.clone());
            (self.list.len() - 1) as u32
        })
    }

    fn side<'a>(&mut self, entries: impl Iterator<Item = (&'a str, Entry<'a>)>) -> Side {
        let mut side = Side::default();
        let mut before = String::new();
        for (name, entry) in entries {
            let name = escaped(name).into_owned();
            let (mut bytes, mut units) = (0, 0);
            for (a, b) in before.chars().zip(name.chars()) {
                if a != b {
                    break;
                }
                bytes += a.len_utf8();
                units += a.len_utf16() as u32;
            }
            side.names.push(Part::Shared(units));
            side.names.push(Part::Rest(name.get(bytes..).unwrap_or_default().to_owned()));
            side.kinds.push(self.of(&entry));
            before = name;
        }
        side
    }
}

/// `0-2,7`: indices in the order given, runs that count up as first and last.
fn ranges(indices: &[u32]) -> String {
    let mut out = String::new();
    let mut rest = indices.iter().copied().peekable();
    while let Some(first) = rest.next() {
        let mut last = first;
        while last.checked_add(1).is_some_and(|next| rest.next_if_eq(&next).is_some()) {
            last += 1;
        }
        if !out.is_empty() {
            out.push(',');
        }
        out += &first.to_string();
        if last > first {
            out += &format!("-{last}");
        }
    }
    out
}

/// The entries that a finding is about: of the target, and of the source where they have no match.
fn claims(report: &Report<'_>, finding: &Finding) -> (String, String) {
    let (mut targets, mut sources) = (Vec::new(), Vec::new());
    for difference in finding.claims.iter().filter_map(|&c| report.differences.get(c as usize)) {
        match *difference {
            Difference::Missing { target } => targets.push(target),
            Difference::Unexpected { source } => sources.push(source),
            Difference::Renamed { matched }
            | Difference::SizeMismatch { matched }
            | Difference::DtypeMismatch { matched, .. } => {
                targets.extend(report.alignment.matches.get(matched as usize).map(|m| m.target));
            }
            Difference::Ambiguous { group } => {
                if let Some(group) = report.alignment.ambiguous.get(group as usize) {
                    targets.extend(&group.target);
                    sources.extend(&group.source);
                }
            }
        }
    }
    for list in [&mut targets, &mut sources] {
        list.sort_unstable();
        list.dedup();
    }
    (ranges(&targets), ranges(&sources))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_written_by_their_ends_and_order_is_kept() {
        assert_eq!(ranges(&[0, 1, 2, 7, 9, 10]), "0-2,7,9-10");
        assert_eq!(ranges(&[3, 2, 1]), "3,2,1");
        assert_eq!(ranges(&[]), "");
        assert_eq!(ranges(&[u32::MAX]), "4294967295");
    }
}
