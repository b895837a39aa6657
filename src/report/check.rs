//! The answer of `ckdiff check`: what every contract holds, for people one block for each that has something to say, and
//! for programs all of it.

use std::io::{self, Write};

use serde::Serialize;
use unicode_width::UnicodeWidthStr as _;

use super::json::{Cause, Object};
use super::style::{Style, Tone, count, pad, plural};
use super::text;
use crate::checkpoint::escaped;
use crate::judge::{Coverage, Level, Policy, Report, Standing, Verdict, Weighed};

/// One source of one contract after its findings were weighed.
#[derive(Clone, Debug, Default)]
pub struct Checked {
    /// The name of the contract; empty for findings about the configuration as a whole.
    pub contract: String,
    /// The checkpoint, relative to the configuration; empty where none is concerned.
    pub source: String,
    /// What it is to be loaded into, relative to the configuration.
    pub expected: String,
    /// How much must hold.
    pub level: Level,
    /// What was found out; `None` where a side could not be read, or nothing is compared.
    pub answer: Option<(Verdict, Coverage)>,
    /// Whether a side could not be read, and nobody said that this does not matter.
    pub unread: bool,
    /// What was found, the most important first.
    pub findings: Vec<Weighed>,
}

impl Checked {
    /// Whether nothing that counts fails.
    pub fn holds(&self) -> bool {
        !self.findings.iter().any(|f| f.standing == Standing::Fails)
    }

    /// Whether there is something to show: a failure, or a warning that nothing excuses.
    pub fn speaks(&self) -> bool {
        self.findings.iter().any(shown_alone)
    }

    /// How many findings are accepted: by ignores, by the baseline.
    pub fn accepted(&self) -> (usize, usize) {
        let count = |is: fn(&Standing) -> bool| self.findings.iter().filter(|f| is(&f.standing)).count();
        (count(|s| matches!(s, Standing::Ignored(_))), count(|s| *s == Standing::Known))
    }
}

fn shown_alone(weighed: &Weighed) -> bool {
    weighed.standing == Standing::Fails || weighed.loud
}

/// Writes the block of one contract and source: its name, then the verdict with the findings that count. Nothing where
/// all holds and nothing is worth a warning, unless every key is asked for.
///
/// # Errors
/// What the writer reports.
pub fn verdict(report: &Report<'_>, checked: &Checked, style: &Style, out: &mut dyn Write) -> io::Result<()> {
    if !checked.speaks() && !style.all {
        return Ok(());
    }
    // Two sources of a contract may well have one name, in different folders; the verdict shows the name alone.
    match checked.source.contains('/') {
        true => about(&checked.contract, &checked.source, "", style, out)?,
        false => title(checked, style, out)?,
    }
    let counts = |w: &&Weighed| matches!(w.standing, Standing::Fails | Standing::Passes);
    let findings = checked.findings.iter().filter(counts).map(|w| w.finding.clone()).collect();
    let shown = Report { findings, holds: checked.holds(), ..report.clone() };
    text::verdict(&shown, style, out)?;
    accepted(checked, style, out)?;
    writeln!(out)
}

/// Writes the block of findings without a verdict: a file that cannot be read, the configuration itself.
///
/// # Errors
/// What the writer reports.
pub fn findings(checked: &Checked, style: &Style, out: &mut dyn Write) -> io::Result<()> {
    if !checked.speaks() {
        return Ok(());
    }
    title(checked, style, out)?;
    let shown: Vec<_> = checked.findings.iter().filter(|w| shown_alone(w)).map(|w| w.finding.clone()).collect();
    text::findings(&shown, style, out)?;
    writeln!(out)
}

fn title(checked: &Checked, style: &Style, out: &mut dyn Write) -> io::Result<()> {
    if checked.contract.is_empty() {
        return Ok(());
    }
    writeln!(out, "{}", style.paint(Tone::Title, &format!("contract {}", escaped(&checked.contract))))
}

/// How many findings do not count, and why.
fn accepted(checked: &Checked, style: &Style, out: &mut dyn Write) -> io::Result<()> {
    let (ignored, known) = checked.accepted();
    let parts: Vec<String> = [(ignored, "ignored by the configuration"), (known, "in the baseline")]
        .iter()
        .filter(|(n, _)| *n > 0)
        .map(|(n, how)| format!("{} {how}", count(*n)))
        .collect();
    if parts.is_empty() {
        return Ok(());
    }
    let text = format!("{} ({})", plural(ignored + known, "finding"), parts.join(", "));
    writeln!(out, "{}{}", pad("accepted", text::LABEL), style.paint(Tone::Aside, &text))
}

/// What was checked, in one line: `3 contracts, 5 files: 1 does not hold; 2 findings accepted`.
pub fn summary(all: &[Checked]) -> String {
    let judged: Vec<&Checked> = all.iter().filter(|c| !c.source.is_empty()).collect();
    let mut names: Vec<&str> = all.iter().map(|c| c.contract.as_str()).filter(|n| !n.is_empty()).collect();
    names.dedup();
    let failing = all.iter().filter(|c| !c.holds()).count();
    let how = match failing {
        0 if judged.len() == 1 => "holds".to_owned(),
        0 => "all hold".to_owned(),
        1 => "1 does not hold".to_owned(),
        n => format!("{} do not hold", count(n)),
    };
    let (ignored, known) =
        all.iter().map(Checked::accepted).fold((0, 0), |(a, b), (ignored, known)| (a + ignored, b + known));
    let accepted = match ignored + known {
        0 => String::new(),
        n => format!("; {} accepted", plural(n, "finding")),
    };
    format!("{}, {}: {how}{accepted}", plural(names.len(), "contract"), plural(judged.len(), "file"))
}

#[derive(Serialize)]
struct Row<'a> {
    contract: &'a str,
    source: &'a str,
    expected: &'a str,
    level: &'static str,
    holds: bool,
    verdict: Option<&'static str>,
    coverage: Option<Coverage>,
}

#[derive(Serialize)]
struct Found<'a> {
    contract: &'a str,
    source: &'a str,
    status: &'static str,
    reason: Option<&'a str>,
    fingerprint: String,
    patterns: &'a [String],
    #[serde(flatten)]
    cause: Cause<'a>,
}

impl<'a> Found<'a> {
    fn of(checked: &'a Checked, weighed: &'a Weighed, policy: &'a Policy) -> Self {
        let (status, reason) = match weighed.standing {
            Standing::Fails => ("fails", None),
            Standing::Passes => ("passes", None),
            Standing::Known => ("baseline", None),
            Standing::Off => ("off", None),
            Standing::Ignored(index) => ("ignored", policy.ignores.get(index).map(|i| i.reason.as_str())),
        };
        Found {
            contract: &checked.contract,
            source: &checked.source,
            status,
            reason,
            fingerprint: weighed.fingerprint.to_string(),
            patterns: &weighed.keys,
            cause: Cause::of(&weighed.finding),
        }
    }
}

/// Writes everything as JSON, version 1: a row for each contract and source, then every finding with what became of it.
///
/// # Errors
/// What the writer reports.
pub fn json(all: &[Checked], policy: &Policy, out: &mut dyn Write) -> io::Result<()> {
    let mut object = Object::start(out)?;
    object.field("version", &1)?;
    object.field("holds", &all.iter().all(Checked::holds))?;
    object.list(
        "contracts",
        all.iter().filter(|c| !c.contract.is_empty()).map(|c| Row {
            contract: &c.contract,
            source: &c.source,
            expected: &c.expected,
            level: c.level.id(),
            holds: c.holds(),
            verdict: c.answer.map(|(verdict, _)| verdict.id()),
            coverage: c.answer.map(|(_, coverage)| coverage),
        }),
    )?;
    object.list("findings", all.iter().flat_map(|c| c.findings.iter().map(move |w| Found::of(c, w, policy))))?;
    object.end()
}

/// A title with the file that it is about: `contract swin   expected.json: 2 keys added, 1 removed`.
///
/// # Errors
/// What the writer reports.
pub fn about(contract: &str, path: &str, what: &str, style: &Style, out: &mut dyn Write) -> io::Result<()> {
    let title = format!("contract {}", escaped(contract));
    let colon = if what.is_empty() { "" } else { ": " };
    let text = format!("{}{colon}{what}", escaped(path));
    let gap = if title.width() + text.width() + 3 <= style.width || !style.wrap { "   " } else { "\n" };
    writeln!(out, "{}{gap}{text}", style.paint(Tone::Title, &title))
}
