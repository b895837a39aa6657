//! The verdict for people: one line per cause, coverage before and after, the answer last.

use std::io::{self, Write};

use unicode_width::UnicodeWidthStr as _;

use super::style::{Style, Tone, count, hang, pad, plural, short};
use crate::align::{Match, Step};
use crate::checkpoint::{Candidate, Format, StateDict, escaped};
use crate::explain::{Finding, Remedy, Severity};
use crate::judge::{Level, Report, Verdict};

mod listing;
mod pairs;
pub(super) mod table;

/// Rename and drop rules shown without `--all`.
const RULES_SHOWN: usize = 10;
/// Width of the labels below the findings (`as it is`, `renames`).
const LABEL: usize = 10;

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
    coverage(report, style, out)?;
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
fn summary(side: &StateDict<'_>) -> String {
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
pub(super) fn findings(findings: &[Finding], style: &Style, out: &mut dyn Write) -> io::Result<()> {
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

/// How much loads before and after, and the rules that make the difference.
fn coverage(report: &Report<'_>, style: &Style, out: &mut dyn Write) -> io::Result<()> {
    let coverage = report.coverage;
    let of = count(coverage.of);
    let digits = of.len();
    let row = |label: &str, n: usize| {
        format!(
            "{}{:>digits$} of {of} {} load",
            pad(label, LABEL),
            count(n),
            if coverage.of == 1 { "key" } else { "keys" }
        )
    };
    writeln!(out, "{}", row("as it is", coverage.before))?;
    let edited = coverage.after != coverage.before;
    let rules = short_rules(report).filter(|rules| edited && LABEL + 2 * digits + 17 + rules.width() <= style.width);
    if edited {
        write!(out, "{}", row("fixed", coverage.after))?;
        if let Some(rules) = &rules {
            write!(out, "     {rules}")?;
        }
        writeln!(out)?;
    }
    if coverage.resized != coverage.after {
        writeln!(out, "{}", row("resized", coverage.resized))?;
    }
    if coverage.rebuilt > 0 {
        let noun = if coverage.rebuilt == 1 { "is" } else { "are" };
        writeln!(out, "{:LABEL$}{:>digits$} more {noun} built by the model", "", count(coverage.rebuilt))?;
    }
    if rules.is_none() {
        all_rules(report, style, out)?;
    }
    examples(report, style, out)
}

/// At most one rename and one drop, for the end of a line.
fn short_rules(report: &Report<'_>) -> Option<String> {
    let (renames, drops) = (&report.alignment.renames, &report.alignment.drops);
    if renames.len() > 1 || drops.len() > 1 {
        return None;
    }
    let rename = renames.first().map(|r| format!("renames: {} → {}", escaped(&r.pattern), replacement(&r.replacement)));
    let drop = drops.first().map(|d| format!("drops: {}", escaped(&d.pattern)));
    Some(rename.into_iter().chain(drop).collect::<Vec<_>>().join("    "))
}

fn replacement(text: &str) -> String {
    if text.is_empty() { "\"\"".to_owned() } else { escaped(text).into_owned() }
}

/// Every rename and drop on a line of its own.
fn all_rules(report: &Report<'_>, style: &Style, out: &mut dyn Write) -> io::Result<()> {
    let alignment = report.alignment;
    let renames: Vec<(String, usize)> = alignment
        .renames
        .iter()
        .map(|r| (format!("{} → {}", escaped(&r.pattern), replacement(&r.replacement)), r.keys))
        .collect();
    let drops: Vec<(String, usize)> =
        alignment.drops.iter().map(|d| (escaped(&d.pattern).into_owned(), d.keys)).collect();
    for (label, rules) in [("renames", &renames), ("drops", &drops)] {
        let shown = if style.all || rules.len() <= RULES_SHOWN + 1 { rules.len() } else { RULES_SHOWN };
        let shown = rules.get(..shown).unwrap_or(rules);
        let columns =
            shown.iter().map(|(text, _)| text.width()).max().unwrap_or(0).min(style.width.saturating_sub(LABEL + 14));
        for (i, (text, keys)) in shown.iter().enumerate() {
            let used = hang(style, out, &pad(if i == 0 { label } else { "" }, LABEL), LABEL, &pad(text, columns))?;
            let keys = plural(*keys, "key");
            let fits = !style.wrap || used + 3 + keys.len() <= style.width;
            writeln!(out, "{}", if fits { format!("   {}", style.paint(Tone::Aside, &keys)) } else { String::new() })?;
        }
        if shown.len() < rules.len() {
            writeln!(out, "{:LABEL$}{} more; --all lists them", "", count(rules.len() - shown.len()))?;
        }
    }
    Ok(())
}

/// Two pairs that were found by structure: the first, and the one that is least certain. Regular expressions are hard to
/// check by eye, a pair of names is not.
fn examples(report: &Report<'_>, style: &Style, out: &mut dyn Write) -> io::Result<()> {
    let guessed: Vec<&Match> = report.alignment.matches.iter().filter(|m| m.step == Step::Structure).collect();
    let least = guessed.iter().min_by(|a, b| a.confidence.total_cmp(&b.confidence));
    let Some((first, least)) = guessed.first().zip(least) else { return Ok(()) };
    writeln!(out, "{}{}", pad("such as", LABEL), pairs::line(report, first, style))?;
    if least.target != first.target && least.confidence < 0.9 {
        let sure = format!("{:.0} % sure", least.confidence * 100.0);
        let pair = pairs::line(report, least, style);
        writeln!(out, "{}{pair}   {}", pad("doubtful", LABEL), style.paint(Tone::Aside, &sure))?;
    }
    Ok(())
}

/// How many keys would keep the values they were initialised with.
fn left_out(report: &Report<'_>) -> String {
    let coverage = report.coverage;
    let left = coverage.of.saturating_sub(coverage.after).saturating_sub(coverage.rebuilt);
    if left == 0 { String::new() } else { format!(": {} of {} get no value", count(left), plural(coverage.of, "key")) }
}

/// The verdict in words, last.
fn answer(report: &Report<'_>, style: &Style, out: &mut dyn Write) -> io::Result<()> {
    let resizable = report.needs == Remedy::Resize;
    let (words, tone) = match report.verdict {
        Verdict::Loads if report.holds => ("loads as it is".to_owned(), Tone::Good),
        Verdict::Loads => ("loads, and should not be used as it is: see the error above".to_owned(), Tone::Bad),
        Verdict::LoadsAfterFix => ("loads after the fix, not as it is".to_owned(), Tone::Doubtful),
        Verdict::DoesNotLoad if resizable => ("loads after the resize, not as it is".to_owned(), Tone::Doubtful),
        Verdict::DoesNotLoad => (format!("does not load{}", left_out(report)), Tone::Bad),
    };
    let level = match (report.holds, report.level) {
        (true, Level::Strict) => String::new(),
        (true, level) => format!("accepted at --level {}", level.id()),
        (false, _) if report.verdict == Verdict::LoadsAfterFix => "--level fixable accepts that".to_owned(),
        (false, _) if resizable => "--level resizable accepts that".to_owned(),
        (false, _) => String::new(),
    };
    let aside = style.paint(Tone::Aside, &level);
    let beside = LABEL + words.width() + 3 + level.width() <= style.width;
    write!(out, "{}{}", pad("verdict", LABEL), style.paint(tone, &words))?;
    match (level.is_empty(), beside) {
        (true, _) => writeln!(out),
        (false, true) => writeln!(out, "   {aside}"),
        (false, false) => writeln!(out, "\n{:LABEL$}{aside}", ""),
    }
}

#[cfg(test)]
mod tests;
