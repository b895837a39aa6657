//! What the fix is: how much loads before and after, the renames and drops, and pairs to check them by.

use std::io::{self, Write};

use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

use super::{LABEL, pairs};
use crate::align::{Match, Step};
use crate::checkpoint::escaped;
use crate::judge::Report;
use crate::report::style::{Style, Tone, count, hang, pad, plural};

/// Rename and drop rules shown without `--all`.
const RULES_SHOWN: usize = 10;
/// Pairs among which the one that changes most is looked for.
const TELLING: usize = 2000;
/// Confidence below which a pair is shown to be checked.
const DOUBTFUL: f32 = 0.9;

/// How much loads before and after, and the rules that make the difference.
pub(super) fn write(report: &Report<'_>, style: &Style, out: &mut dyn Write) -> io::Result<()> {
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
        let shown: Vec<(String, usize)> =
            rules.iter().take(shown).map(|(text, keys)| (cut(text, style), *keys)).collect();
        let columns = shown.iter().map(|(text, _)| text.width()).max().unwrap_or(0);
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

/// A pattern as a whole, or its beginning where it would be a wall of text; `--all` and JSON have all of it.
fn cut(text: &str, style: &Style) -> String {
    let room = style.width.saturating_sub(LABEL + 14).max(20);
    if style.all || text.width() <= room {
        return text.to_owned();
    }
    let mut cut = String::new();
    let mut used = 1;
    for c in text.chars() {
        used += c.width().unwrap_or(0);
        if used > room {
            break;
        }
        cut.push(c);
    }
    cut.push('…');
    cut
}

/// Two pairs that were found by structure: the one that changes most, and the one that is least certain. Regular expressions are hard to
/// check by eye, a pair of names is not.
fn examples(report: &Report<'_>, style: &Style, out: &mut dyn Write) -> io::Result<()> {
    if report.alignment.renames.len() < 2 && report.alignment.matches.iter().all(|m| m.confidence >= DOUBTFUL) {
        return Ok(()); // One rename that nothing speaks against says it all.
    }
    let guessed: Vec<&Match> = report.alignment.matches.iter().filter(|m| m.step == Step::Structure).collect();
    let least = guessed.iter().min_by(|a, b| a.confidence.total_cmp(&b.confidence));
    let telling = guessed.iter().take(TELLING).rev().max_by_key(|m| pairs::changed(report, m));
    let Some((telling, least)) = telling.zip(least) else { return Ok(()) };
    writeln!(out, "{}{}", pad("such as", LABEL), pairs::line(report, telling, style))?;
    if least.target != telling.target && least.confidence < DOUBTFUL {
        let sure = format!("{:.0} % sure", least.confidence * 100.0);
        let pair = pairs::line(report, least, style);
        writeln!(out, "{}{pair}   {}", pad("doubtful", LABEL), style.paint(Tone::Aside, &sure))?;
    }
    Ok(())
}
