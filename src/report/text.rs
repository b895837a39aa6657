//! The verdict for people: one line per cause, coverage before and after, the answer last.

use std::io::{self, Write};

use unicode_width::UnicodeWidthStr as _;

use super::style::{Style, Tone, count, hang, pad, plural, short};
use crate::checkpoint::{Candidate, Format, StateDict, escaped};
use crate::explain::{Finding, Remedy, Severity};
use crate::judge::{Level, Report, Verdict};

mod fix;
mod listing;
mod pairs;
pub(super) mod table;

/// Width of the labels below the findings (`as it is`, `renames`).
pub(super) const LABEL: usize = 10;

/// Writes the verdict as text. Nothing at all where nothing is wrong, as `diff` does, unless every key is asked for.
///
/// # Errors
/// What the writer reports.
pub fn verdict(report: &Report<'_>, style: &Style, out: &mut dyn Write) -> io::Result<()> {
    if report.silent() && !style.all {
        return Ok(());
    }
    sides(report, style, out)?;
    if !report.findings.is_empty() {
        writeln!(out)?;
        findings(&report.findings, style, out)?;
    }
    if style.all {
        listing::write(report, style, out)?;
    }
    writeln!(out)?;
    fix::write(report, style, out)?;
    answer(report, style, out)
}

/// The two lines that say what is compared.
fn sides(report: &Report<'_>, style: &Style, out: &mut dyn Write) -> io::Result<()> {
    let (source, target) = (report.source, report.target);
    let short_name = |s: &StateDict<'_>| s.checkpoint.path.file_name().map(|n| n.to_string_lossy().into_owned());
    let whole_name = |s: &StateDict<'_>| Some(s.checkpoint.path.to_string_lossy().into_owned());
    let (mut a, mut b) = (short_name(source), short_name(target));
    if a == b {
        (a, b) = (whole_name(source), whole_name(target));
    }
    let (a, b) = (a.or_else(|| whole_name(source)), b.or_else(|| whole_name(target)));
    let (a, b) = (a.unwrap_or_default(), b.unwrap_or_default());
    let (a, b) = (escaped(&a), escaped(&b));
    let columns = a.width().max(b.width());
    for (label, name, side) in [("source", a, source), ("target", b, target)] {
        let text = format!("{}   {}", pad(&name, columns), summary(side));
        hang(style, out, &format!("{}  ", style.paint(Tone::Title, label)), 8, &text)?;
        writeln!(out)?;
    }
    for aside in asides(report) {
        for line in style.lines(&aside, style.width.saturating_sub(8)) {
            writeln!(out, "        {}", style.paint(Tone::Aside, &line))?;
        }
    }
    Ok(())
}

/// What may explain a verdict that surprises: sides the wrong way round, another state_dict in the file.
fn asides(report: &Report<'_>) -> Vec<String> {
    let mut asides = Vec::new();
    let lists = |side: &StateDict<'_>| side.checkpoint.format == Format::Json;
    if lists(report.source) && !lists(report.target) && report.verdict != Verdict::Loads {
        let hint = "the source is a list of keys and the target holds weights: exchange them if that was not meant";
        asides.push(hint.to_owned());
    }
    let rivals: Vec<String> = rivals(report)
        .into_iter()
        .map(|c| format!("`{}` ({})", escaped(&c.name), plural(c.tensors, "tensor")))
        .collect();
    if !rivals.is_empty() {
        asides.push(format!("also in the file: {}; --container picks", rivals.join(", ")));
    }
    asides
}

/// `torch zip, `state_dict`, 730 tensors, 20.9 M parameters`
pub(super) fn summary(side: &StateDict<'_>) -> String {
    let mut parts = Vec::new();
    if let Some(name) = spoken(side.checkpoint.format) {
        parts.push(name.to_owned());
    }
    if !side.container.is_empty() {
        parts.push(format!("`{}`", escaped(side.container)));
    }
    parts.push(plural(side.entries.len(), "tensor"));
    let parameters = side.parameters();
    if parameters > 0 {
        parts.push(format!("{} parameters", short(parameters)));
    }
    parts.join(", ")
}

/// What people call a format; nothing for lists of keys, where the name of the file says it.
pub(super) fn spoken(format: Format) -> Option<&'static str> {
    Some(match format {
        Format::TorchZip => "torch zip",
        Format::TorchLegacy => "torch legacy",
        Format::TorchTar => "torch tar",
        Format::TorchScript => "TorchScript",
        Format::Pickle => "pickle",
        Format::Safetensors => "safetensors",
        Format::SafetensorsSharded => "sharded safetensors",
        Format::TorchSharded => "sharded torch files",
        Format::TorchDistributed => "torch.distributed.checkpoint",
        Format::Json => return None,
        Format::Text => "keys of an error text",
    })
}

/// Containers beside the chosen one that could have been meant: apart from it, and of at least half its size.
fn rivals<'a>(report: &'a Report<'_>) -> Vec<&'a Candidate> {
    let chosen = report.source.container;
    let within = |inner: &str, outer: &str| {
        outer.is_empty() || inner.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    };
    let mut rivals: Vec<&Candidate> = report
        .others
        .iter()
        .filter(|c| {
            !within(&c.name, chosen) && !within(chosen, &c.name) && c.tensors * 2 >= report.source.entries.len()
        })
        .collect();
    // Of a container and what it holds, the outer one stands for both.
    let outer: Vec<&str> = rivals.iter().map(|c| c.name.as_str()).collect();
    rivals.retain(|c| !outer.iter().any(|&o| o != c.name && within(&c.name, o)));
    rivals.truncate(3);
    rivals
}

/// One line per cause with its rule at the right where there is room, and what to do below it.
pub(crate) fn findings(findings: &[Finding], style: &Style, out: &mut dyn Write) -> io::Result<()> {
    let severities = findings.iter().map(|f| f.severity.id().len()).max().unwrap_or(0);
    for finding in findings {
        let tone = match finding.severity {
            Severity::Error => Tone::Bad,
            Severity::Warning => Tone::Doubtful,
            Severity::Note => Tone::Remark,
        };
        let indent = severities + 2 + finding.code.len() + 2;
        let head = format!("{}  {}  ", style.paint(tone, &pad(finding.severity.id(), severities)), finding.code);
        let used = hang(style, out, &head, indent, &escaped(&finding.message))?;
        let rule = finding.rule.as_deref().map(escaped).unwrap_or_default();
        let gap = style.width.saturating_sub(used + rule.width());
        let beside = gap >= 2 || !style.wrap;
        if !rule.is_empty() && beside {
            write!(out, "{:gap$}{}", "", style.paint(Tone::Aside, &rule), gap = gap.max(2))?;
        }
        writeln!(out)?;
        if !finding.help.is_empty() {
            hang(style, out, &" ".repeat(indent), indent, &escaped(&finding.help))?;
            writeln!(out)?;
        }
        if !rule.is_empty() && !beside {
            writeln!(out, "{:indent$}{}", "", style.paint(Tone::Aside, &rule))?;
        }
    }
    Ok(())
}

/// How many keys would keep the values they were initialised with.
fn left_out(report: &Report<'_>) -> String {
    let coverage = report.coverage;
    let left = coverage.of.saturating_sub(coverage.after).saturating_sub(coverage.rebuilt);
    if left == 0 {
        String::new()
    } else {
        format!(": {} of {} get{} no value", count(left), plural(coverage.of, "key"), if left == 1 { "s" } else { "" })
    }
}

/// The verdict in words: `loads after the fix, not as it is`.
pub(super) fn words(report: &Report<'_>) -> String {
    match report.verdict {
        Verdict::Loads if report.holds => "loads as it is".to_owned(),
        Verdict::Loads => "loads, and should not be used as it is: see the error above".to_owned(),
        Verdict::LoadsAfterFix => "loads after the fix, not as it is".to_owned(),
        Verdict::DoesNotLoad if report.needs == Remedy::Resize => "loads after the resize, not as it is".to_owned(),
        Verdict::DoesNotLoad => format!("does not load{}", left_out(report)),
    }
}

/// The verdict and what would accept it, last.
fn answer(report: &Report<'_>, style: &Style, out: &mut dyn Write) -> io::Result<()> {
    let resizable = report.needs == Remedy::Resize;
    let words = words(report);
    let tone = match report.verdict {
        Verdict::Loads if report.holds => Tone::Good,
        Verdict::LoadsAfterFix => Tone::Doubtful,
        Verdict::DoesNotLoad if resizable => Tone::Doubtful,
        Verdict::Loads | Verdict::DoesNotLoad => Tone::Bad,
    };
    // Of a list of keys there are no values to write.
    let values = !matches!(report.source.checkpoint.format, Format::Json | Format::Text);
    let level = match (report.holds, report.level) {
        (true, Level::Strict) => String::new(),
        (true, level) => format!("accepted at --level {}", level.id()),
        (false, _) if report.verdict == Verdict::LoadsAfterFix && values => {
            "--level fixable accepts that, ckdiff convert writes it".to_owned()
        }
        (false, _) if report.verdict == Verdict::LoadsAfterFix => {
            "--level fixable accepts that, --emit python writes it".to_owned()
        }
        (false, _) if resizable && values => {
            "--level resizable accepts that, ckdiff convert --resize writes it".to_owned()
        }
        (false, _) if resizable => "--level resizable accepts that".to_owned(),
        (false, _) => String::new(),
    };
    let beside = LABEL + words.width() + 3 + level.width() <= style.width;
    write!(out, "{}{}", pad("verdict", LABEL), style.paint(tone, &words))?;
    match (level.is_empty(), beside) {
        (true, _) => writeln!(out),
        (false, true) => writeln!(out, "   {}", style.paint(Tone::Aside, &level)),
        (false, false) => {
            for line in style.lines(&level, style.width.saturating_sub(LABEL)) {
                write!(out, "\n{:LABEL$}{}", "", style.paint(Tone::Aside, &line))?;
            }
            writeln!(out)
        }
    }
}

#[cfg(test)]
mod tests;
