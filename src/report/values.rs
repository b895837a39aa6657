//! What the comparison of values found, for people and for programs.

use std::collections::HashMap;
use std::io::{self, Write};

use super::json::{Keys, Object};
use super::style::{Style, Tone, hang, pad, plural};
use super::text::table;
use crate::checkpoint::{StateDict, escaped};
use crate::explain::fold_keys;
use crate::judge::Report;
use crate::values::{Compared, Mode, Same, Sums, Untouched, Values};

/// Width of the label, as in the verdict.
const LABEL: usize = 10;
/// Groups of tensors that are listed unless all are asked for.
const ROWS: usize = 10;

/// Writes the section of the values below the verdict. Nothing where identity was asked for and holds, as `cmp` does.
///
/// # Errors
/// What the writer reports.
pub fn text(values: &Values, report: &Report<'_>, style: &Style, out: &mut dyn Write) -> io::Result<()> {
    let [identical, equal, changed, unknown] = values.counts();
    let all = values.compared.len();
    if values.mode == Mode::Exact && values.holds() && !style.all {
        return Ok(());
    }
    if !report.silent() || style.all {
        writeln!(out)?;
    }
    let label = style.paint(Tone::Title, &pad("values", LABEL));
    if all == 0 {
        return writeln!(out, "{label}no key is matched, so that nothing is compared");
    }
    let mut said = vec![match identical {
        n if n == all => format!("{} identical", plural(all, "tensor")),
        n => format!("{n} of {} identical", plural(all, "tensor")),
    }];
    for (n, what) in [(equal, "equal in other bytes"), (changed, "changed"), (unknown, "not compared")] {
        if n > 0 {
            said.push(format!("{n} {what}"));
        }
    }
    hang(style, out, &label, LABEL, &said.join(", "))?;
    writeln!(out)?;
    for row in &values.untouched {
        hang(style, out, &pad("", LABEL), LABEL, &blocks(row))?;
        writeln!(out)?;
    }
    let groups = groups(values, report.target, style.all);
    if groups.is_empty() && changed > 0 {
        listed(values, report.target, style, out)?;
    }
    if values.mode == Mode::Statistics && !groups.is_empty() {
        writeln!(out)?;
        let shown = if style.all { groups.len() } else { ROWS };
        let head = ["", "max abs", "max rel", "rms", "moved", "cosine"].map(str::to_owned);
        let rows: Vec<[String; 6]> =
            std::iter::once(head).chain(groups.iter().take(shown).map(|(keys, sums)| row(keys, sums))).collect();
        table::write(&rows, [false, true, true, true, true, true], style, out)?;
        if groups.len() > shown {
            let more = format!("  and {} more, which moved less; --all lists every tensor", groups.len() - shown);
            writeln!(out, "{}", style.paint(Tone::Aside, &more))?;
        }
    }
    Ok(())
}

/// The keys that hold other values, where it is not known how far they are apart.
fn listed(values: &Values, target: &StateDict<'_>, style: &Style, out: &mut dyn Write) -> io::Result<()> {
    let changed = values.compared.iter().filter(|c| c.same == Same::Changed);
    let keys = changed.filter_map(|c| Some(target.entries.get(c.target as usize)?.key.as_str()));
    let patterns: Vec<String> = if style.all {
        keys.map(str::to_owned).collect()
    } else {
        fold_keys(keys).into_iter().map(|f| f.pattern).collect()
    };
    let shown = if style.all { patterns.len() } else { ROWS };
    for (i, pattern) in patterns.iter().take(shown).enumerate() {
        let label = if i == 0 { "changed" } else { "" };
        hang(style, out, &pad(label, LABEL), LABEL, &escaped(pattern))?;
        writeln!(out)?;
    }
    if patterns.len() > shown {
        let more = format!("{:LABEL$}and {} more; --all lists every tensor", "", patterns.len() - shown);
        writeln!(out, "{}", style.paint(Tone::Aside, &more))?;
    }
    Ok(())
}

/// `11 of 12 blocks of layers are untouched, all but 11`
fn blocks(row: &Untouched) -> String {
    let all = row.still.len() + row.changed.len();
    let list = |numbers: &std::collections::BTreeSet<u32>| {
        let keys: Vec<String> = numbers.iter().map(|n| format!("{n}.")).collect();
        let folded = fold_keys(keys.iter().map(String::as_str));
        folded.iter().map(|f| f.pattern.trim_end_matches('.').to_owned()).collect::<Vec<_>>().join(",")
    };
    let which = match row.still.len() > row.changed.len() {
        true => format!("all but {}", list(&row.changed)),
        false => list(&row.still),
    };
    format!("{} of {all} blocks of {} are untouched: {which}", row.still.len(), escaped(&row.prefix))
}

/// Tensors that differ, those alike but for their numbers together, the ones that moved furthest first.
fn groups(values: &Values, target: &StateDict<'_>, every: bool) -> Vec<(Vec<String>, Sums)> {
    let mut known: HashMap<String, usize> = HashMap::new();
    let mut groups: Vec<(Vec<&str>, Sums)> = Vec::new();
    for c in values.compared.iter().filter(|c| matches!(c.same, Same::Changed | Same::Equal)) {
        let (Some(sums), Some(entry)) = (&c.sums, target.entries.get(c.target as usize)) else { continue };
        let key = entry.key.as_str();
        let class = if every { key.to_owned() } else { class(key) };
        let at = *known.entry(class).or_insert_with(|| {
            groups.push((Vec::new(), Sums::default()));
            groups.len() - 1
        });
        if let Some((keys, all)) = groups.get_mut(at) {
            keys.push(key);
            all.merge(sums);
        }
    }
    if !every {
        let moved = |s: &Sums| s.relative().unwrap_or(f64::INFINITY);
        groups.sort_by(|(_, a), (_, b)| moved(b).total_cmp(&moved(a)));
    }
    let names = |keys: Vec<&str>| fold_keys(keys).into_iter().map(|f| f.pattern).collect();
    groups.into_iter().map(|(keys, sums)| (names(keys), sums)).collect()
}

/// A key without its numbers.
fn class(key: &str) -> String {
    let number = |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_digit());
    key.split('.').map(|s| if number(s) { "#" } else { s }).collect::<Vec<_>>().join(".")
}

fn row(keys: &[String], sums: &Sums) -> [String; 6] {
    let name = match keys {
        [one] => escaped(one).into_owned(),
        [first, rest @ ..] => format!("{} and {} more", escaped(first), rest.len()),
        [] => String::new(),
    };
    let or_none = |x: Option<f64>, show: fn(f64) -> String| x.map_or_else(|| "-".to_owned(), show);
    [
        name,
        figure(sums.max_abs),
        figure(sums.max_rel),
        figure(sums.rms()),
        or_none(sums.relative(), figure),
        or_none(sums.cosine(), |c| format!("{c:.6}")),
    ]
}

/// Three digits: `0.0123`, `1.5e-7`.
fn figure(x: f64) -> String {
    match x {
        0.0 => "0".to_owned(),
        x if (1e-3..1e4).contains(&x.abs()) => {
            let digits = (2 - x.abs().log10().floor() as i32).clamp(0, 6) as usize;
            format!("{x:.digits$}")
        }
        x => format!("{x:.2e}"),
    }
}

/// Adds the fields of the values to the verdict's object.
///
/// # Errors
/// What the writer reports.
pub(super) fn json(values: &Values, report: &Report<'_>, object: &mut Object<'_>) -> io::Result<()> {
    let [identical, equal, changed, unknown] = values.counts();
    let total = values.total();
    let statistics = values.mode == Mode::Statistics;
    object.field(
        "values_summary",
        &Summary {
            mode: if statistics { "statistics" } else { "exact" },
            holds: values.holds(),
            compared: values.compared.len(),
            identical,
            equal,
            changed,
            unknown,
            statistics: statistics.then(|| Figures::of(&total)),
            untouched: values.untouched.iter().map(Row::of).collect(),
        },
    )?;
    object.list("values", values.compared.iter().map(|c| One::of(c, report)))
}

#[derive(serde::Serialize)]
struct Summary<'a> {
    mode: &'static str,
    holds: bool,
    compared: usize,
    identical: usize,
    equal: usize,
    changed: usize,
    unknown: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    statistics: Option<Figures>,
    untouched: Vec<Row<'a>>,
}

#[derive(serde::Serialize)]
struct Row<'a> {
    blocks: &'a str,
    untouched: Vec<u32>,
    changed: Vec<u32>,
}

impl<'a> Row<'a> {
    fn of(row: &'a Untouched) -> Self {
        let list = |numbers: &std::collections::BTreeSet<u32>| numbers.iter().copied().collect();
        Row { blocks: &row.prefix, untouched: list(&row.still), changed: list(&row.changed) }
    }
}

/// Figures of one tensor or of all; `null` is written for what has no value.
#[derive(serde::Serialize)]
struct Figures {
    elements: u64,
    max_abs: f64,
    max_rel: f64,
    rms: f64,
    moved: Option<f64>,
    cosine: Option<f64>,
    nan: [u64; 2],
    inf: [u64; 2],
}

impl Figures {
    fn of(sums: &Sums) -> Self {
        let (nan, inf) = (sums.nan, sums.inf);
        Figures {
            elements: sums.finite,
            max_abs: sums.max_abs,
            max_rel: sums.max_rel,
            rms: sums.rms(),
            moved: sums.relative(),
            cosine: sums.cosine(),
            nan,
            inf,
        }
    }
}

#[derive(serde::Serialize)]
struct One<'a> {
    target: &'a str,
    source: Keys<'a>,
    same: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<&'a str>,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    figures: Option<Figures>,
}

impl<'a> One<'a> {
    fn of(compared: &'a Compared, report: &'a Report<'a>) -> Self {
        let target = report.target.entries.get(compared.target as usize).map_or("", |e| e.key.as_str());
        let why = match &compared.same {
            Same::Unknown(why) => Some(why.as_str()),
            _ => None,
        };
        let figures = compared.sums.as_ref().map(Figures::of);
        One { target, source: Keys(report.source, &compared.source), same: compared.same.id(), why, figures }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_have_three_digits() {
        let shown: Vec<String> = [0.0, 0.31, 1.0, 12.345, 0.001234, 1e-7, 123456.0].map(figure).into();
        assert_eq!(shown, ["0", "0.310", "1.00", "12.3", "0.00123", "1.00e-7", "1.23e5"]);
    }

    #[test]
    fn blocks_are_named_by_the_shorter_list() {
        let row = Untouched { prefix: "h".into(), still: (0..11).collect(), changed: [11].into() };
        assert_eq!(blocks(&row), "11 of 12 blocks of h are untouched: all but 11");
        let row = Untouched { prefix: "h".into(), still: [0, 1, 2].into(), changed: (3..12).collect() };
        assert_eq!(blocks(&row), "3 of 12 blocks of h are untouched: {0-2}");
    }
}
