//! The inspection for people: what the file is, what is in it, what a pickle asks for; within one screen unless all is asked for.

use std::io::{self, Write};

use unicode_width::UnicodeWidthStr as _;

use super::fold::{self, Line};
use crate::checkpoint::{Candidate, Checkpoint, Import, StateDict, Trust, escaped};
use crate::inspect::{Inspection, main_container, may_hold_code};
use crate::report::style::{Style, Tone, bytes, count, pad, plural, short};
use crate::report::text::{findings, spoken, table};

/// Lines of tensors shown without `--all`.
const SCREEN: usize = 32;
/// Containers, tied groups, imports and the like shown without `--all`.
const FEW: usize = 8;
/// Width of the labels at the left.
const LABEL: usize = 12;
/// Dimensions written out.
const DIMENSIONS: usize = 12;

/// Writes an inspection as text.
///
/// # Errors
/// What the writer reports.
pub fn text(inspection: &Inspection<'_>, style: &Style, out: &mut dyn Write) -> io::Result<()> {
    let c = inspection.checkpoint;
    head(inspection, style, out)?;
    containers(c, style, out)?;
    dtypes(inspection, out)?;
    tied(inspection, style, out)?;
    safety(c, style, out)?;
    beside(c, style, out)?;
    tensors(c, style, out)?;
    if !inspection.findings.is_empty() {
        writeln!(out)?;
        findings(&inspection.findings, style, out)?;
    }
    Ok(())
}

/// What the file is and how much it holds.
fn head(inspection: &Inspection<'_>, style: &Style, out: &mut dyn Write) -> io::Result<()> {
    let c = inspection.checkpoint;
    let name = c.path.file_name().map_or_else(|| c.path.to_string_lossy(), |n| n.to_string_lossy());
    writeln!(out, "{}   {}", style.paint(Tone::Title, &escaped(&name)), summary(inspection))
}

/// `torch zip, 730 tensors, 18.7 M parameters, 3,392 bytes`
pub(in crate::report) fn summary(inspection: &Inspection<'_>) -> String {
    let c = inspection.checkpoint;
    let mut parts = vec![spoken(c.format).unwrap_or("list of keys").to_owned()];
    if c.files.len() > 1 {
        parts.push(plural(c.files.len(), "file"));
    }
    parts.push(plural(c.tensors.len(), "tensor"));
    if inspection.elements() > 0 {
        parts.push(format!("{} parameters", short(inspection.elements())));
    }
    if inspection.bytes > 0 {
        parts.push(bytes(inspection.bytes));
    }
    if !c.complete {
        parts.push("not whole".into());
    }
    parts.join(", ")
}

/// The dicts that hold tensors, where there is more than the top level.
fn containers(c: &Checkpoint, style: &Style, out: &mut dyn Write) -> io::Result<()> {
    let candidates = c.candidates();
    if candidates.len() < 2 {
        return Ok(());
    }
    let main = main_container(c);
    let size = |name: &str| candidates.iter().find(|d| d.name == name).map_or(0, |d| d.tensors);
    // Numbered dicts, and dicts that are all there is in the one around them, say nothing new.
    let tells = |d: &&Candidate| {
        let (outer, last) = d.name.rsplit_once('.').unwrap_or(("", &d.name));
        let numbered = !outer.is_empty() && last.bytes().all(|b| b.is_ascii_digit());
        d.container == main
            || style.all
            || !(d.name.is_empty() || numbered || !outer.is_empty() && size(outer) == d.tensors)
    };
    let shown: Vec<_> = candidates.iter().filter(tells).collect();
    let limit = if style.all { shown.len() } else { FEW };
    let columns = shown.iter().take(limit).map(|d| name_of(&d.name).width()).max().unwrap_or(0).min(60);
    for (i, d) in shown.iter().take(limit).enumerate() {
        let label = if i == 0 { "containers" } else { "" };
        let parameters = short(StateDict::below(c, d.container).parameters());
        let mark = if d.container == main { style.paint(Tone::Aside, "   shown below") } else { String::new() };
        let row = format!(
            "{}{}  {}, {parameters}",
            pad(label, LABEL),
            pad(&name_of(&d.name), columns),
            plural(d.tensors, "tensor")
        );
        writeln!(out, "{row}{mark}")?;
    }
    more(shown.len(), limit, style, out)
}

/// A container's path, or what the top level is called.
fn name_of(container: &str) -> String {
    if container.is_empty() { "(top level)".into() } else { escaped(container).into_owned() }
}

fn dtypes(inspection: &Inspection<'_>, out: &mut dyn Write) -> io::Result<()> {
    let mut shares = inspection.dtypes.clone();
    shares.sort_by_key(|s| std::cmp::Reverse(s.elements));
    if shares.iter().all(|s| s.dtype.is_none()) {
        return Ok(());
    }
    let part = |s: &crate::inspect::Share| {
        let name = s.dtype.map_or("unknown", |d| d.name());
        format!("{name} ×{} ({})", count(s.tensors), short(s.elements))
    };
    let mut parts: Vec<String> = shares.iter().take(FEW).map(part).collect();
    if shares.len() > FEW {
        parts.push(format!("{} more", shares.len() - FEW));
    }
    writeln!(out, "{}{}", pad("dtypes", LABEL), parts.join(", "))
}

fn tied(inspection: &Inspection<'_>, style: &Style, out: &mut dyn Write) -> io::Result<()> {
    let tensors = &inspection.checkpoint.tensors;
    let limit = if style.all { inspection.tied.len() } else { 3 };
    for (i, group) in inspection.tied.iter().take(limit).enumerate() {
        let names: Vec<String> =
            (group.iter().take(4)).filter_map(|&t| tensors.get(t as usize)).map(|t| cut(&escaped(&t.path))).collect();
        let others = if group.len() > 4 { format!(" and {} more", group.len() - 4) } else { String::new() };
        writeln!(out, "{}{}{others}", pad(if i == 0 { "tied" } else { "" }, LABEL), names.join(" = "))?;
    }
    more(inspection.tied.len(), limit, style, out)
}

/// What a pickle asks for, what is dangerous first.
fn safety(c: &Checkpoint, style: &Style, out: &mut dyn Write) -> io::Result<()> {
    let label = pad("asks for", LABEL);
    if c.imports.is_empty() {
        if !may_hold_code(c.format) && c.format.id().starts_with("safetensors") {
            writeln!(out, "{label}nothing; safetensors holds no code")?;
        } else if may_hold_code(c.format) && c.complete {
            writeln!(out, "{label}nothing")?;
        }
        return Ok(());
    }
    let of = |trust: Trust| -> Vec<&Import> {
        let mut seen = std::collections::HashSet::new();
        c.imports.iter().filter(|i| i.trust == trust && seen.insert(&i.global)).collect()
    };
    let (dangerous, unknown, known) = (of(Trust::Dangerous), of(Trust::Unknown), of(Trust::Known));
    let mut parts = Vec::new();
    for (imports, word, tone) in [(&dangerous, "dangerous", Tone::Bad), (&unknown, "unknown", Tone::Doubtful)] {
        if !imports.is_empty() {
            parts.push(style.paint(tone, &format!("{} {word}", count(imports.len()))));
        }
    }
    parts.push(format!("{} known", count(known.len())));
    let total = dangerous.len() + unknown.len() + known.len();
    let only = if dangerous.is_empty() && unknown.is_empty() { ", and nothing else" } else { "" };
    writeln!(out, "{label}{} global{}{only}", parts.join(", "), if total == 1 { "" } else { "s" })?;
    let limit = if style.all { total } else { FEW };
    let listed = if style.all { [dangerous, unknown, known].concat() } else { [dangerous, unknown].concat() };
    for import in listed.iter().take(limit) {
        let tone = match import.trust {
            Trust::Dangerous => Tone::Bad,
            Trust::Unknown => Tone::Doubtful,
            Trust::Known => Tone::Aside,
        };
        let how = if import.called { "called" } else { "named" };
        let place = if import.place.is_empty() { String::new() } else { format!(" in {}", escaped(&import.place)) };
        let global = style.paint(tone, &cut(&escaped(&import.global)));
        writeln!(out, "{:LABEL$}{global}   {}", "", style.paint(Tone::Aside, &format!("{how}{place}")))?;
    }
    more(listed.len(), limit, style, out)
}

/// Free-form metadata, and what is in the file beside tensors.
fn beside(c: &Checkpoint, style: &Style, out: &mut dyn Write) -> io::Result<()> {
    let limit = if style.all { usize::MAX } else { FEW };
    for (label, pairs) in [
        (
            "metadata",
            c.metadata.iter().map(|(k, v)| format!("{}: {}", cut(&escaped(k)), cut(&escaped(v)))).collect::<Vec<_>>(),
        ),
        ("also holds", c.others.iter().map(|(path, what)| format!("{} ({what})", cut(&escaped(path)))).collect()),
        (
            "unreadable",
            c.unreadable.iter().map(|u| format!("{}: {}", cut(&escaped(&u.path)), escaped(&u.why))).collect(),
        ),
    ] {
        if pairs.is_empty() {
            continue;
        }
        if label == "unreadable" || style.all {
            for (i, pair) in pairs.iter().take(limit).enumerate() {
                writeln!(out, "{}{pair}", pad(if i == 0 { label } else { "" }, LABEL))?;
            }
            more(pairs.len(), limit, style, out)?;
        } else {
            let others =
                if pairs.len() > limit { format!(", … {} more", count(pairs.len() - limit)) } else { String::new() };
            let text = format!("{}{others}", pairs.iter().take(limit).cloned().collect::<Vec<_>>().join(", "));
            let lines = style.lines(&text, style.width.saturating_sub(LABEL));
            for (i, line) in lines.iter().enumerate() {
                writeln!(out, "{}{line}", pad(if i == 0 { label } else { "" }, LABEL))?;
            }
        }
    }
    Ok(())
}

/// Every tensor, or patterns and modules that fit a screen.
fn tensors(c: &Checkpoint, style: &Style, out: &mut dyn Write) -> io::Result<()> {
    if c.tensors.is_empty() {
        return Ok(());
    }
    writeln!(out)?;
    if style.all {
        let rows: Vec<[String; 3]> = (c.tensors.iter())
            .map(|t| {
                [
                    escaped(&t.path).into_owned(),
                    shape_of(t.shape.as_ref()),
                    t.dtype.map_or("?", |d| d.name()).to_owned(),
                ]
            })
            .collect();
        return table::write(&rows, [false; 3], style, out);
    }
    let main = main_container(c);
    let view = StateDict::below(c, main);
    let (lines, hidden) = fold::lines(&view, SCREEN);
    let rows: Vec<[String; 4]> = lines.into_iter().map(row).collect();
    table::write(&rows, [false; 4], style, out)?;
    let note = match hidden {
        0 if view.entries.len() == c.tensors.len() => return Ok(()),
        0 => format!(
            "{} of other containers; --all lists every tensor",
            plural(c.tensors.len() - view.entries.len(), "tensor")
        ),
        n => format!("{} more; --all lists every tensor", plural(n, "tensor")),
    };
    writeln!(out, "  {}", style.paint(Tone::Aside, &note))
}

fn row(line: Line) -> [String; 4] {
    match line {
        Line::Tensors { pattern, shape, dtype, count: n } => {
            let times = if n == 1 { String::new() } else { format!("×{}", count(n)) };
            [key(&pattern), shape_of(shape.as_ref()), dtype.map_or("?", |d| d.name()).to_owned(), times]
        }
        Line::Module { pattern, tensors, elements } => {
            [key(&pattern), plural(tensors, "tensor"), short(elements), String::new()]
        }
    }
}

/// A key or pattern in a table: escaped, cut, and visible where it is empty.
fn key(pattern: &str) -> String {
    if pattern.is_empty() { "\"\"".into() } else { cut(&escaped(pattern)) }
}

/// A shape, cut after a dozen dimensions.
fn shape_of(shape: Option<&crate::checkpoint::Shape>) -> String {
    match shape {
        None => "?".into(),
        Some(s) if s.rank() <= DIMENSIONS => s.to_string(),
        Some(s) => format!(
            "[{} … {} dimensions]",
            s.dims().iter().take(4).map(|d| format!("{d},")).collect::<Vec<_>>().join(" "),
            s.rank()
        ),
    }
}

/// A name cut to what still reads as one.
fn cut(text: &str) -> String {
    const MOST: usize = 96;
    match text.char_indices().nth(MOST) {
        Some((at, _)) => format!("{}…", text.get(..at).unwrap_or("")),
        None => text.to_owned(),
    }
}

fn more(total: usize, shown: usize, style: &Style, out: &mut dyn Write) -> io::Result<()> {
    if total <= shown {
        return Ok(());
    }
    let text = format!("{} more; --all lists them", count(total - shown));
    writeln!(out, "{:LABEL$}{}", "", style.paint(Tone::Aside, &text))
}
