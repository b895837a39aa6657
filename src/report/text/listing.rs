//! Every key, for `--all`: what is missing, unexpected, renamed, of another size or dtype.

use std::io::{self, Write};

use super::{pairs, table};
use crate::align::{How, Match};
use crate::checkpoint::{DtypeChange, Entry, StateDict, escaped};
use crate::judge::{Fit, Report, ShapeFit};
use crate::report::style::{Style, Tone, count};

/// Writes one section for each sort of difference that occurs.
pub(super) fn write(report: &Report<'_>, style: &Style, out: &mut dyn Write) -> io::Result<()> {
    let alignment = report.alignment;
    keys("missing", "the target has them, the source does not", report.target, &alignment.missing, style, out)?;
    keys("unexpected", "the source has them, the target does not", report.source, &alignment.unexpected, style, out)?;
    renamed(report, style, out)?;
    pairs_where("size mismatch", report, style, out, |_, fit| fit.shapes != ShapeFit::Equal, shapes)?;
    pairs_where("dtype", report, style, out, |_, fit| fit.dtypes != DtypeChange::Equal, dtypes)?;
    ambiguous(report, style, out)
}

fn title(name: &str, n: usize, aside: &str, style: &Style, out: &mut dyn Write) -> io::Result<()> {
    let aside = if aside.is_empty() { String::new() } else { style.paint(Tone::Aside, &format!("   {aside}")) };
    writeln!(out, "\n{} {}{aside}", style.paint(Tone::Title, name), count(n))
}

fn keys(
    name: &str,
    aside: &str,
    side: &StateDict<'_>,
    indices: &[u32],
    style: &Style,
    out: &mut dyn Write,
) -> io::Result<()> {
    if indices.is_empty() {
        return Ok(());
    }
    title(name, indices.len(), aside, style, out)?;
    let rows: Vec<[String; 3]> = indices
        .iter()
        .filter_map(|&i| side.entries.get(i as usize))
        .map(|e| [escaped(e.key.as_str()).into_owned(), shape(e), dtype(e)])
        .collect();
    table::write(&rows, [false; 3], style, out)
}

fn renamed(report: &Report<'_>, style: &Style, out: &mut dyn Write) -> io::Result<()> {
    let renamed: Vec<&Match> = report.alignment.matches.iter().filter(|m| m.how != How::Identical).collect();
    if renamed.is_empty() {
        return Ok(());
    }
    title("renamed", renamed.len(), "", style, out)?;
    let rows: Vec<[String; 2]> = renamed
        .into_iter()
        .map(|m| {
            let how = if m.how == How::Renamed { String::new() } else { m.how.id().to_owned() };
            [pairs::line(report, m, style), how]
        })
        .collect();
    table::write(&rows, [false; 2], style, out)
}

fn pairs_where(
    name: &str,
    report: &Report<'_>,
    style: &Style,
    out: &mut dyn Write,
    wanted: fn(&Match, &Fit) -> bool,
    facts: fn(&Entry<'_>, &Entry<'_>, &Fit) -> [String; 2],
) -> io::Result<()> {
    let rows: Vec<[String; 3]> = report
        .alignment
        .matches
        .iter()
        .zip(&report.fits)
        .filter(|(m, fit)| wanted(m, fit))
        .filter_map(|(m, fit)| {
            let target = report.target.entries.get(m.target as usize)?;
            let source = report.source.entries.get(*m.source.first()? as usize)?;
            let [change, word] = facts(source, target, fit);
            Some([escaped(target.key.as_str()).into_owned(), change, word])
        })
        .collect();
    if rows.is_empty() {
        return Ok(());
    }
    title(name, rows.len(), "", style, out)?;
    table::write(&rows, [false; 3], style, out)
}

fn shapes(source: &Entry<'_>, target: &Entry<'_>, fit: &Fit) -> [String; 2] {
    let word = if fit.shapes == ShapeFit::Resizable { "resizable" } else { "" };
    [format!("{} → {}", shape(source), shape(target)), word.to_owned()]
}

fn dtypes(source: &Entry<'_>, target: &Entry<'_>, fit: &Fit) -> [String; 2] {
    [format!("{} → {}", dtype(source), dtype(target)), fit.dtypes.id().to_owned()]
}

fn ambiguous(report: &Report<'_>, style: &Style, out: &mut dyn Write) -> io::Result<()> {
    let groups = &report.alignment.ambiguous;
    if groups.is_empty() {
        return Ok(());
    }
    title("ambiguous", groups.len(), "each of the source keys may be the one", style, out)?;
    let names = |side: &StateDict<'_>, indices: &[u32]| -> Vec<String> {
        indices
            .iter()
            .filter_map(|&i| side.entries.get(i as usize))
            .map(|e| escaped(e.key.as_str()).into_owned())
            .collect()
    };
    for group in groups {
        writeln!(out, "  {}", escaped(&group.why))?;
        let (targets, sources) = (names(report.target, &group.target), names(report.source, &group.source));
        let rows: Vec<[String; 2]> = (0..targets.len().max(sources.len()))
            .map(|i| [sources.get(i).cloned().unwrap_or_default(), targets.get(i).cloned().unwrap_or_default()])
            .collect();
        table::write(&rows, [false; 2], style, out)?;
    }
    Ok(())
}

fn shape(entry: &Entry<'_>) -> String {
    entry.shape().map_or_else(|| "?".to_owned(), ToString::to_string)
}

fn dtype(entry: &Entry<'_>) -> String {
    entry.dtype().map_or_else(|| "?".to_owned(), |d| d.name().to_owned())
}
