//! Python that resizes tables as the laws of shapes read them.

use std::io::{self, Write};

use super::literal::python_raw;
use super::{Change, Plan};
use crate::rules::{Law, Reading};

/// How a law is written in Python.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    /// `(rows, heads)`, a plane of relative positions, with rows for a class token behind it.
    Window,
    /// `(heads, S²)`.
    Square,
    /// `(1, prefix + H·W, dim)` and its kin.
    Tokens,
    /// `(2S−1, dim)`.
    Line,
    /// Rows are kept as far as there are any.
    Rows,
    /// Channels of an image are averaged and shared out.
    Channels,
}

fn kind(law: Law) -> Option<Kind> {
    Some(match law {
        Law::WindowBias => Kind::Window,
        Law::SquareBias => Kind::Square,
        Law::TokenGrid => Kind::Tokens,
        Law::RelPos => Kind::Line,
        Law::Vocabulary | Law::ContextLength => Kind::Rows,
        Law::InChannels => Kind::Channels,
        _ => return None,
    })
}

fn kinds(plan: &Plan<'_>) -> Vec<Kind> {
    let mut out: Vec<Kind> = plan
        .changes
        .iter()
        .filter_map(|(_, c)| if let Change::Resize(law, ..) = c { kind(*law) } else { None })
        .collect();
    out.sort_unstable();
    out.dedup();
    out
}

/// Whether any resize interpolates.
pub(super) fn needs_interpolation(plan: &Plan<'_>) -> bool {
    kinds(plan).iter().any(|k| !matches!(k, Kind::Rows | Kind::Channels))
}

const PLANE: &str = r#"

def plane(values, old, new):
    """Interpolates (old[0] * old[1], n) values to (new[0] * new[1], n)."""
    grid = values.float().T.reshape(1, -1, *old)
    grid = F.interpolate(grid, size=tuple(new), mode="bicubic", align_corners=False)
    return grid.reshape(values.shape[1], -1).T.to(values.dtype).contiguous()
"#;

const WINDOW: &str = r#"

def window(old, new, rest=0):
    """A table of relative positions: window sizes, and rows behind the plane that are kept."""
    old, new = [2 * n - 1 for n in old], [2 * n - 1 for n in new]

    def resize(table, shape):
        rows = table.shape[0] - rest
        return torch.cat([plane(table[:rows], old, new), table[rows:]])

    return resize
"#;

const SQUARE: &str = r#"

def square(old, new):
    """Biases of (heads, side * side)."""
    return lambda table, shape: plane(table.T, (old, old), (new, new)).T.contiguous()
"#;

const TOKENS: &str = r#"

def tokens(old, new, kept, wanted):
    """Position embeddings: tokens before the grid are kept (new ones are zero), the grid is interpolated."""

    def resize(table, shape):
        flat = table.reshape(-1, table.shape[-1]) if table.shape[-1] == shape[-1] else table.flatten(2)[0].T
        head, grid = flat[:kept], flat[kept:]
        head = torch.cat([head, head.new_zeros(max(0, wanted - kept), head.shape[1])])[:wanted]
        out = torch.cat([head, plane(grid, old, new)])
        return out.reshape(shape) if table.shape[-1] == shape[-1] else out.T.reshape(shape)

    return resize
"#;

const LINE: &str = r#"

def line(table, shape):
    """Relative positions along one axis, (2 * side - 1, dim)."""
    out = F.interpolate(table.float().T[None], size=shape[0], mode="linear", align_corners=False)
    return out[0].T.to(table.dtype).contiguous()
"#;

const ROWS: &str = r#"

def rows(table, shape):
    """Keeps the rows that both have; new rows are the mean of the old ones."""
    out = table.mean(0, keepdim=True).expand(shape).clone()
    n = min(shape[0], table.shape[0])
    out[:n] = table[:n]
    return out
"#;

const CHANNELS: &str = r#"

def channels(kernel, shape):
    """Shares the sum over the input channels out evenly, so that a grey image gives what it gave before."""
    return (kernel.float().sum(1, keepdim=True) / shape[1]).expand(shape).to(kernel.dtype).contiguous()
"#;

/// The functions that the resizes of the plan need.
pub(super) fn functions(plan: &Plan<'_>, out: &mut dyn Write) -> io::Result<()> {
    let kinds = kinds(plan);
    if kinds.iter().any(|k| matches!(k, Kind::Window | Kind::Square | Kind::Tokens)) {
        out.write_all(PLANE.as_bytes())?;
    }
    for kind in kinds {
        let text = match kind {
            Kind::Window => WINDOW,
            Kind::Square => SQUARE,
            Kind::Tokens => TOKENS,
            Kind::Line => LINE,
            Kind::Rows => ROWS,
            Kind::Channels => CHANNELS,
        };
        out.write_all(text.as_bytes())?;
    }
    Ok(())
}

/// The table `resized`: a pattern of keys and the function that resizes them.
pub(super) fn table(plan: &Plan<'_>, out: &mut dyn Write) -> io::Result<()> {
    let mut calls: Vec<(String, Vec<&str>)> = Vec::new();
    for (key, change) in &plan.changes {
        let Change::Resize(law, reading, from) = change else { continue };
        let call = call(*law, reading, from);
        match calls.iter_mut().find(|(known, _)| *known == call) {
            Some((_, keys)) => keys.push(key),
            None => calls.push((call, vec![key])),
        }
    }
    if calls.is_empty() {
        return Ok(());
    }
    writeln!(out, "    resized = [")?;
    for (call, keys) in calls {
        match suffix(plan, &keys) {
            Some(suffix) => writeln!(out, "        ({}, {call}),  # {} keys", python_raw(&suffix), keys.len())?,
            None => {
                for key in keys {
                    let whole = format!("^{}$", regex::escape(key));
                    writeln!(out, "        ({}, {call}),", python_raw(&whole))?;
                }
            }
        }
    }
    writeln!(out, "    ]")
}

/// The pattern of the segments that all the keys end with, when no other key of the model ends so.
fn suffix(plan: &Plan<'_>, keys: &[&str]) -> Option<String> {
    let (first, rest) = keys.split_first()?;
    if rest.is_empty() {
        return None;
    }
    let mut common: Vec<&str> = first.split('.').rev().collect();
    for key in rest {
        let same = key.split('.').rev().zip(&common).take_while(|(a, b)| a == *b).count();
        common.truncate(same);
    }
    let end: Vec<&str> = common.into_iter().rev().collect();
    let end = (!end.is_empty()).then(|| end.join("."))?;
    let ends = |key: &str| key.strip_suffix(end.as_str()).is_some_and(|r| r.is_empty() || r.ends_with('.'));
    let alike = plan.target.entries.iter().filter(|e| ends(e.key.as_str())).count();
    (alike == keys.len()).then(|| format!("(^|\\.){}$", regex::escape(&end)))
}

/// The call that makes the function for one key.
fn call(law: Law, reading: &Reading, from: &[u64]) -> String {
    let fact = |name: &str| {
        let value = reading.facts.iter().find(|(n, _)| *n == name).map(|(_, v)| v.to_string());
        value.unwrap_or_else(|| "0".to_owned())
    };
    match kind(law) {
        Some(Kind::Window) => {
            // What the plane does not take up are rows of a class token.
            let window = reading.facts.iter().find(|(n, _)| *n == "from").and_then(|(_, v)| v.as_array());
            let sides = window.into_iter().flatten().filter_map(serde_json::Value::as_u64);
            let plane = sides.fold(1u64, |n, side| n.saturating_mul((side.saturating_mul(2)).saturating_sub(1)));
            let rest = from.first().copied().unwrap_or(0).saturating_sub(plane);
            format!("window({}, {}, {rest})", fact("from"), fact("to"))
        }
        Some(Kind::Square) => format!("square({}, {})", fact("from"), fact("to")),
        Some(Kind::Tokens) => {
            format!("tokens({}, {}, {}, {})", fact("from"), fact("to"), fact("prefix_from"), fact("prefix_to"))
        }
        Some(Kind::Line) => "line".to_owned(),
        Some(Kind::Rows) => "rows".to_owned(),
        Some(Kind::Channels) => "channels".to_owned(),
        None => "lambda value, shape: value".to_owned(),
    }
}

/// Whether a law can be written at all.
pub(super) fn known(law: Law) -> bool {
    kind(law).is_some()
}
