//! JSON, version 1: fields may be added, never changed.
//!
//! Written as a stream, one element of each list a line, so that 100,000 matches need no tree in memory and `diff` and
//! `grep` work on the output.

use std::io::{self, Write};

use serde::ser::{Serialize, SerializeSeq, Serializer};
use serde_json::ser::Formatter;

use crate::align::Match;
use crate::checkpoint::{StateDict, is_hidden};
use crate::codes;
use crate::explain::Finding;
use crate::judge::{Fit, Report};
use crate::values::Values;

/// Writes the verdict as JSON, version 1.
///
/// # Errors
/// What the writer reports.
pub fn verdict(report: &Report<'_>, out: &mut dyn Write) -> io::Result<()> {
    verdict_and_values(report, None, out)
}

/// As [`verdict`], with what was found about the values where they were compared.
///
/// # Errors
/// What the writer reports.
pub fn verdict_and_values(report: &Report<'_>, values: Option<&Values>, out: &mut dyn Write) -> io::Result<()> {
    let Report { source, target, alignment, coverage, .. } = report;
    let mut object = Object::start(out)?;
    object.field("version", &1)?;
    object.field("verdict", report.verdict.id())?;
    object.field("level", report.level.id())?;
    object.field("holds", &report.holds)?;
    object.field("source", &Side::of(source))?;
    object.field("target", &Side::of(target))?;
    object.field("other_containers", &Others(report))?;
    object.field("coverage", coverage)?;
    object.list("matches", alignment.matches.iter().zip(&report.fits).map(|(m, fit)| Pair::of(m, fit, report)))?;
    object.list(
        "ambiguous",
        alignment.ambiguous.iter().map(|a| Group {
            target: Keys(target, &a.target),
            source: Keys(source, &a.source),
            why: &a.why,
        }),
    )?;
    object.list("missing_keys", alignment.missing.iter().map(|&i| key(target, i)))?;
    object.list("unexpected_keys", alignment.unexpected.iter().map(|&i| key(source, i)))?;
    object.list(
        "renames",
        alignment.renames.iter().map(|r| Rename { pattern: &r.pattern, replacement: &r.replacement, keys: r.keys }),
    )?;
    object.list("drops", alignment.drops.iter().map(|d| Drop { pattern: &d.pattern, keys: d.keys }))?;
    if let Some(values) = values {
        super::values::json(values, report, &mut object)?;
    }
    object.list("findings", report.findings.iter().map(Cause::of))?;
    object.end()
}

/// The name of entry `i`; empty for an index that is out of range, which no stage produces.
fn key<'a>(side: &StateDict<'a>, i: u32) -> &'a str {
    side.entries.get(i as usize).map_or("", |e| e.key.as_str())
}

#[derive(serde::Serialize)]
struct Side<'a> {
    path: std::borrow::Cow<'a, str>,
    format: &'static str,
    tensors: usize,
    parameters: u64,
    container: &'a str,
}

impl<'a> Side<'a> {
    fn of(side: &StateDict<'a>) -> Self {
        Side {
            path: side.checkpoint.path.to_string_lossy(),
            format: side.checkpoint.format.id(),
            tensors: side.entries.len(),
            parameters: side.parameters(),
            container: side.container,
        }
    }
}

struct Others<'a>(&'a Report<'a>);

impl Serialize for Others<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(serde::Serialize)]
        struct Other<'a> {
            name: &'a str,
            tensors: usize,
        }
        serializer.collect_seq(self.0.others.iter().map(|o| Other { name: &o.name, tensors: o.tensors }))
    }
}

#[derive(serde::Serialize)]
struct Pair<'a> {
    target: &'a str,
    source: Keys<'a>,
    how: &'static str,
    shapes: &'static str,
    dtypes: &'static str,
    confidence: Rounded,
}

impl<'a> Pair<'a> {
    fn of(m: &'a Match, fit: &Fit, report: &'a Report<'a>) -> Self {
        Pair {
            target: key(report.target, m.target),
            source: Keys(report.source, &m.source),
            how: m.how.id(),
            shapes: fit.shapes.id(),
            dtypes: fit.dtypes.id(),
            confidence: Rounded(m.confidence),
        }
    }
}

/// Entries of one side by index, as a list of names.
pub(super) struct Keys<'a>(pub &'a StateDict<'a>, pub &'a [u32]);

impl Serialize for Keys<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut list = serializer.serialize_seq(Some(self.1.len()))?;
        for &i in self.1 {
            list.serialize_element(key(self.0, i))?;
        }
        list.end()
    }
}

/// A probability with three decimals: more would be noise, and f32 digits (`0.9900000095`) read badly.
struct Rounded(f32);

impl Serialize for Rounded {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64((f64::from(self.0) * 1000.0).round() / 1000.0)
    }
}

#[derive(serde::Serialize)]
struct Group<'a> {
    target: Keys<'a>,
    source: Keys<'a>,
    why: &'a str,
}

#[derive(serde::Serialize)]
struct Rename<'a> {
    pattern: &'a str,
    replacement: &'a str,
    keys: usize,
}

#[derive(serde::Serialize)]
struct Drop<'a> {
    pattern: &'a str,
    keys: usize,
}

/// A finding.
#[derive(serde::Serialize)]
pub(super) struct Cause<'a> {
    code: &'a str,
    name: &'static str,
    rule: Option<&'a str>,
    severity: &'static str,
    keys: usize,
    examples: &'a [String],
    message: &'a str,
    help: &'a str,
    confidence: Rounded,
    arguments: &'a std::collections::BTreeMap<&'static str, serde_json::Value>,
}

impl<'a> Cause<'a> {
    pub(super) fn of(finding: &'a Finding) -> Self {
        Cause {
            code: finding.code,
            name: codes::name(finding.code),
            rule: finding.rule.as_deref(),
            severity: finding.severity.id(),
            keys: finding.keys,
            examples: &finding.examples,
            message: &finding.message,
            help: &finding.help,
            confidence: Rounded(finding.confidence),
            arguments: &finding.arguments,
        }
    }
}

/// A JSON object being written: one field a line, lists with one element a line.
pub struct Object<'w> {
    out: &'w mut dyn Write,
    first: bool,
}

impl<'w> Object<'w> {
    /// Opens the object.
    ///
    /// # Errors
    /// What the writer reports, as all methods do.
    pub fn start(out: &'w mut dyn Write) -> io::Result<Self> {
        out.write_all(b"{")?;
        Ok(Object { out, first: true })
    }

    /// Writes one field on one line.
    ///
    /// # Errors
    /// What the writer reports.
    pub fn field<T: Serialize + ?Sized>(&mut self, name: &str, value: &T) -> io::Result<()> {
        self.name(name)?;
        element(self.out, value)
    }

    /// Writes a list, one element a line.
    ///
    /// # Errors
    /// What the writer reports.
    pub fn list<T: Serialize>(&mut self, name: &str, values: impl IntoIterator<Item = T>) -> io::Result<()> {
        self.name(name)?;
        let mut separator: &[u8] = b"[\n  ";
        for value in values {
            self.out.write_all(separator)?;
            separator = b",\n  ";
            element(self.out, &value)?;
        }
        self.out.write_all(if separator.starts_with(b"[") { b"[]" } else { b"\n ]" })
    }

    /// A list that the caller writes, brackets and all.
    ///
    /// # Errors
    /// What the writer reports.
    pub fn raw_list(&mut self, name: &str, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
        self.name(name)?;
        write(self.out)
    }

    /// Closes the object.
    ///
    /// # Errors
    /// What the writer reports.
    pub fn end(self) -> io::Result<()> {
        self.out.write_all(b"}\n")
    }

    fn name(&mut self, name: &str) -> io::Result<()> {
        self.out.write_all(if self.first { b"" } else { b",\n " })?;
        self.first = false;
        element(self.out, name)?;
        self.out.write_all(b": ")
    }
}

/// Writes one value on one line.
pub(super) fn element<W: Write + ?Sized, T: Serialize + ?Sized>(out: &mut W, value: &T) -> io::Result<()> {
    value.serialize(&mut serde_json::Serializer::with_formatter(out, OneLine)).map_err(io::Error::from)
}

/// JSON text with what a terminal obeys, or a reader does not see, as `\uXXXX`; line feeds stay.
pub(super) fn visible(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for c in json.chars() {
        if c == '\n' || !is_hidden(c) {
            out.push(c);
            continue;
        }
        let mut units = [0; 2];
        for unit in c.encode_utf16(&mut units) {
            let _ = std::fmt::Write::write_fmt(&mut out, format_args!("\\u{unit:04x}"));
        }
    }
    out
}

/// Compact JSON with a space after `,` and `:`, and with every character that could drive a terminal as `\uXXXX`:
/// JSON demands that only below U+0020, but C1 controls and bidirectional marks do harm as well when output is shown.
struct OneLine;

impl Formatter for OneLine {
    fn write_string_fragment<W: Write + ?Sized>(&mut self, out: &mut W, fragment: &str) -> io::Result<()> {
        if fragment.is_ascii() && !fragment.contains('\x7f') {
            return out.write_all(fragment.as_bytes());
        }
        let mut rest = fragment;
        while let Some(at) = rest.find(is_hidden) {
            let (plain, tail) = rest.split_at(at);
            out.write_all(plain.as_bytes())?;
            let mut characters = tail.chars();
            if let Some(c) = characters.next() {
                let mut units = [0; 2];
                for unit in c.encode_utf16(&mut units) {
                    write!(out, "\\u{unit:04x}")?;
                }
            }
            rest = characters.as_str();
        }
        out.write_all(rest.as_bytes())
    }

    fn begin_array_value<W: Write + ?Sized>(&mut self, out: &mut W, first: bool) -> io::Result<()> {
        if first { Ok(()) } else { out.write_all(b", ") }
    }

    fn begin_object_key<W: Write + ?Sized>(&mut self, out: &mut W, first: bool) -> io::Result<()> {
        if first { Ok(()) } else { out.write_all(b", ") }
    }

    fn begin_object_value<W: Write + ?Sized>(&mut self, out: &mut W) -> io::Result<()> {
        out.write_all(b": ")
    }
}
