//! What a conversion does, or did: one line for each kind of change.

use std::io::{self, Write};
use std::path::PathBuf;

use serde::Serialize;
use unicode_width::UnicodeWidthStr as _;

use super::json::Object;
use super::style::{Style, Tone, count, hang, pad, plural};
use super::text::summary;
use crate::checkpoint::{StateDict, escaped};
use crate::convert::{Output, Plan};
use crate::explain::fold_keys;

/// Width of the labels.
const LABEL: usize = 14;

/// Whether the result loads into the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loads {
    /// There is no target, or nothing was written.
    Unknown,
    /// `load_state_dict(strict=True)` succeeds.
    Strictly,
    /// It does but for so many keys that the model builds by itself.
    ButBuilt(usize),
    /// So many of so many keys load.
    Partly(usize, usize),
}

/// A conversion, planned or done.
#[derive(Clone, Debug)]
pub struct Conversion<'a> {
    /// What is converted.
    pub source: &'a StateDict<'a>,
    /// What it should load into.
    pub target: Option<&'a StateDict<'a>>,
    /// What becomes what.
    pub plan: &'a Plan,
    /// The files.
    pub files: Vec<PathBuf>,
    /// Their size together; of a plan that of the values.
    pub bytes: u64,
    /// Whether they were written.
    pub written: bool,
    /// Whether the result loads.
    pub loads: Loads,
    /// Files that runs which were killed left behind.
    pub stale: Vec<PathBuf>,
}

/// Writes it for people.
///
/// # Errors
/// What the writer reports.
pub fn text(it: &Conversion<'_>, style: &Style, out: &mut dyn Write) -> io::Result<()> {
    let name = |side: &StateDict<'_>| {
        let path = &side.checkpoint.path;
        escaped(&path.file_name().unwrap_or(path.as_os_str()).to_string_lossy()).into_owned()
    };
    let columns = it.target.map_or(0, |t| name(t).width()).max(name(it.source).width());
    for (label, side) in [("source", Some(it.source)), ("target", it.target)] {
        let Some(side) = side else { continue };
        let line = format!("{}   {}", pad(&name(side), columns), summary(side));
        hang(style, out, &style.paint(Tone::Title, &pad(label, LABEL)), LABEL, &line)?;
        writeln!(out)?;
    }
    writeln!(out)?;
    let mut rows: Vec<(&str, Vec<&str>)> =
        it.plan.changes().into_iter().map(|(change, keys)| (change.id(), keys)).collect();
    rows.push(("dropped", named_all(&it.plan.dropped)));
    rows.push(("left to model", named_all(&it.plan.rebuilt)));
    rows.push(("left out", named_all(&it.plan.left_out)));
    rows.retain(|(_, keys)| !keys.is_empty());
    let digits = rows.iter().map(|(_, keys)| count(keys.len()).len()).max().unwrap_or(1);
    for (label, keys) in rows {
        let number = format!("{:>digits$}", count(keys.len()));
        let room = style.width.saturating_sub(LABEL + digits + 3);
        let patterns = if style.all { listed(&keys) } else { folded(&keys, room) };
        hang(style, out, &pad(label, LABEL), LABEL, &format!("{number}   {patterns}"))?;
        writeln!(out)?;
    }
    writeln!(out)?;
    for path in &it.stale {
        let what = format!("{} is left from a run that was killed; delete it", escaped(&path.to_string_lossy()));
        hang(style, out, &style.paint(Tone::Aside, &pad("note", LABEL)), LABEL, &what)?;
        writeln!(out)?;
    }
    let tensors = plural(it.plan.outputs.len(), "tensor");
    let label = if it.written { "written" } else { "would write" };
    let what = match it.files.as_slice() {
        [] => format!("{tensors}, {}", size(it.bytes)),
        [one] => format!("{}   {tensors}, {}", escaped(&one.to_string_lossy()), size(it.bytes)),
        [first, .., index] => {
            let (first, index) = (first.to_string_lossy(), index.to_string_lossy());
            let files = plural(it.files.len() - 1, "file");
            format!("{}   {tensors}, {} in {files}, the first {}", escaped(&index), size(it.bytes), escaped(&first))
        }
    };
    hang(style, out, &pad(label, LABEL), LABEL, &what)?;
    writeln!(out)?;
    let (words, tone) = match it.loads {
        Loads::Unknown => return Ok(()),
        Loads::Strictly => ("loads as it is".to_owned(), Tone::Good),
        Loads::ButBuilt(n) => {
            let words = format!("loads with strict=False: the model builds {} by itself", plural(n, "key"));
            (words, Tone::Good)
        }
        Loads::Partly(n, of) => {
            (format!("loads {} of {} with strict=False", count(n), plural(of, "key")), Tone::Doubtful)
        }
    };
    writeln!(out, "{}{}", pad("verdict", LABEL), style.paint(tone, &words))
}

fn named_all(keys: &[String]) -> Vec<&str> {
    keys.iter().map(String::as_str).collect()
}

/// Keys as patterns, as many as fit one line.
fn folded(keys: &[&str], room: usize) -> String {
    let patterns = fold_keys(keys.iter().copied());
    let (mut line, mut shown) = (String::new(), 0);
    for folded in &patterns {
        let pattern = escaped(&folded.pattern);
        if shown > 0 && line.chars().count() + pattern.chars().count() + 9 > room {
            break;
        }
        if shown > 0 {
            line.push_str(", ");
        }
        line.push_str(&pattern);
        shown += 1;
    }
    let cut: String = line.chars().take(room.max(20)).collect();
    if cut.len() < line.len() || shown < patterns.len() { format!("{cut}, …") } else { line }
}

fn listed(keys: &[&str]) -> String {
    keys.iter().map(|k| escaped(k).into_owned()).collect::<Vec<_>>().join(", ")
}

/// Bytes as people write them, in powers of ten as disks are sold: `35.2 MB`.
fn size(bytes: u64) -> String {
    let (unit, name) = match bytes {
        0..1_000 => return plural(bytes as usize, "byte"),
        1_000..1_000_000 => (1e3, "kB"),
        1_000_000..1_000_000_000 => (1e6, "MB"),
        1_000_000_000..1_000_000_000_000 => (1e9, "GB"),
        _ => (1e12, "TB"),
    };
    format!("{:.1} {name}", bytes as f64 / unit)
}

/// Writes it for programs, version 1.
///
/// # Errors
/// What the writer reports.
pub fn json(it: &Conversion<'_>, out: &mut dyn Write) -> io::Result<()> {
    #[derive(Serialize)]
    struct Tensor<'a> {
        key: &'a str,
        source: Vec<&'a str>,
        change: &'static str,
        dtype: &'static str,
        shape: &'a [u64],
    }
    let sources = |o: &Output| -> Vec<&str> {
        let keys = o.sources().into_iter().filter_map(|s| Some(it.source.entries.get(s as usize)?.key.as_str()));
        keys.collect()
    };
    let mut object = Object::start(out)?;
    object.field("version", &1)?;
    object.field("written", &it.written)?;
    object.field("files", &it.files.iter().map(|f| f.to_string_lossy()).collect::<Vec<_>>())?;
    object.field("bytes", &it.bytes)?;
    object.field("source", &it.source.checkpoint.path.to_string_lossy())?;
    object.field("container", it.source.container)?;
    let (loads, fresh) = match it.loads {
        Loads::Unknown => ("unknown", 0),
        Loads::Strictly => ("strict", 0),
        Loads::ButBuilt(n) => ("model-builds-the-rest", n),
        Loads::Partly(n, of) => ("partly", of.saturating_sub(n)),
    };
    object.field("loads", loads)?;
    object.field("keys_not_filled", &fresh)?;
    object.list(
        "tensors",
        it.plan.outputs.iter().map(|o| Tensor {
            key: &o.key,
            source: sources(o),
            change: o.change.id(),
            dtype: o.dtype.name(),
            shape: o.shape.dims(),
        }),
    )?;
    object.list("tied", it.plan.tied.iter())?;
    object.list("dropped", it.plan.dropped.iter())?;
    object.list("left_to_the_model", it.plan.rebuilt.iter())?;
    object.list("left_out", it.plan.left_out.iter())?;
    object.end()
}
