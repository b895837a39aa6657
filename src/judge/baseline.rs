//! The findings that a project had when it began to look: accepted as they are, so that only new ones fail.
//!
//! A JSON file, sorted, one finding a line, so that a change of it reads well in a review. A finding is known by its
//! fingerprint; what stands beside it is for people.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, Write};

use serde::{Deserialize, Serialize};

use super::{Fingerprint, Place, Weighed};

/// A finding of a baseline.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Known {
    /// The contract it was found in; empty for one about the configuration.
    pub contract: String,
    /// The file it was found in, relative to the configuration; empty where no file is concerned.
    pub source: String,
    /// Its code.
    pub code: String,
    /// The rule that explains it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    /// The keys it concerns, folded.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub keys: Vec<String>,
    /// What it is recognised by.
    pub fingerprint: Fingerprint,
}

/// Patterns listed with a finding; the fingerprint stands for all of them.
const PATTERNS: usize = 4;

impl Known {
    /// What a baseline says of a finding.
    pub fn of(weighed: &Weighed, place: Place<'_>) -> Known {
        Known {
            contract: place.contract.to_owned(),
            source: place.source.to_owned(),
            code: weighed.finding.code.to_owned(),
            rule: weighed.finding.rule.clone(),
            keys: weighed.keys.iter().take(PATTERNS).cloned().collect(),
            fingerprint: weighed.fingerprint,
        }
    }
}

/// The findings that are known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Baseline {
    findings: BTreeMap<Fingerprint, Known>,
}

/// The version of the file.
const VERSION: u32 = 1;

/// Why a text is no baseline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoBaseline {
    /// What is wrong, in lower case.
    pub what: String,
    /// Where, from 1.
    pub line: usize,
    /// Where in the line, from 1.
    pub column: usize,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    version: u32,
    findings: Vec<Known>,
}

impl Baseline {
    /// Parses the text of a baseline.
    ///
    /// # Errors
    /// Says what is wrong, with line and column.
    pub fn parse(text: &str) -> Result<Baseline, NoBaseline> {
        let file: File = serde_json::from_str(text).map_err(|e| {
            let (line, column) = (e.line(), e.column());
            let what = e.to_string();
            let what = what.strip_suffix(&format!(" at line {line} column {column}")).unwrap_or(&what).to_owned();
            NoBaseline { what, line, column }
        })?;
        if file.version != VERSION {
            let what = format!("is of version {}; this program reads version {VERSION}", file.version);
            return Err(NoBaseline { what, line: 1, column: 1 });
        }
        Ok(file.findings.into_iter().collect())
    }

    /// Writes it, one finding a line, sorted by where they are.
    ///
    /// # Errors
    /// What the writer reports.
    pub fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        let mut findings: Vec<&Known> = self.findings.values().collect();
        findings.sort();
        write!(out, "{{\"version\": {VERSION}, \"findings\": [")?;
        for (i, known) in findings.iter().enumerate() {
            write!(out, "{}\n  {}", if i == 0 { "" } else { "," }, serde_json::to_string(known)?)?;
        }
        writeln!(out, "{}]}}", if findings.is_empty() { "" } else { "\n" })
    }

    /// Whether the finding is known.
    pub fn contains(&self, fingerprint: Fingerprint) -> bool {
        self.findings.contains_key(&fingerprint)
    }

    /// Adds a finding.
    pub fn insert(&mut self, known: Known) {
        self.findings.insert(known.fingerprint, known);
    }

    /// Every finding, by fingerprint.
    pub fn iter(&self) -> impl Iterator<Item = &Known> {
        self.findings.values()
    }
}

impl FromIterator<Known> for Baseline {
    fn from_iter<T: IntoIterator<Item = Known>>(known: T) -> Self {
        Baseline { findings: known.into_iter().map(|k| (k.fingerprint, k)).collect() }
    }
}

impl Serialize for Fingerprint {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Fingerprint {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Fingerprint::parse(&text).ok_or_else(|| {
            let shown: String = text.chars().take(40).collect();
            serde::de::Error::custom(format_args!("`{shown}` is no fingerprint (16 hexadecimal digits)"))
        })
    }
}

impl fmt::Display for Known {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.code)?;
        for part in [&self.contract, &self.source].into_iter().filter(|p| !p.is_empty()) {
            write!(f, " {part}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(contract: &str, code: &str, fingerprint: &str) -> Known {
        Known {
            contract: contract.into(),
            source: "w.pth".into(),
            code: code.into(),
            rule: None,
            keys: vec!["head.{weight,bias}".into()],
            fingerprint: Fingerprint::parse(fingerprint).unwrap(),
        }
    }

    fn text(baseline: &Baseline) -> String {
        let mut out = Vec::new();
        baseline.write(&mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn it_is_written_sorted_one_finding_a_line_and_reads_back() {
        let b = known("b", "CK101", "0000000000000001");
        let a = known("a", "CK202", "ffffffffffffffff");
        let baseline: Baseline = [b, a].into_iter().collect();
        let text = text(&baseline);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "{\"version\": 1, \"findings\": [");
        assert!(lines[1].contains("\"CK202\"") && lines[1].ends_with("\"ffffffffffffffff\"},"), "{text}");
        assert!(lines[2].contains("\"CK101\""), "{text}");
        assert_eq!(lines[3], "]}");
        assert_eq!(Baseline::parse(&text), Ok(baseline));
    }

    #[test]
    fn an_empty_one_reads_back_too() {
        assert_eq!(Baseline::parse(&text(&Baseline::default())), Ok(Baseline::default()));
    }

    #[test]
    fn what_is_no_baseline_is_refused_with_the_place() {
        let broken = "{\"version\": 1, \"findings\": [\n  {\"fingerprint\": \"12\"}\n]}";
        let error = Baseline::parse(broken).unwrap_err();
        assert_eq!((error.line, error.what.as_str()), (2, "`12` is no fingerprint (16 hexadecimal digits)"));
        let error = Baseline::parse("{\"version\": 2, \"findings\": []}").unwrap_err();
        assert!(error.what.contains("version 2"), "{error:?}");
        let error = Baseline::parse("{\"version\": 1, \"finding\": []}").unwrap_err();
        assert!(error.what.contains("unknown field `finding`"), "{error:?}");
    }
}
