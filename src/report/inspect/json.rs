//! The inspection as JSON, version 1: fields may be added, never changed.

use std::io::{self, Write};
use std::path::PathBuf;

use serde::Serialize;

use crate::checkpoint::{Checkpoint, Trust};
use crate::explain::Finding;
use crate::inspect::Inspection;
use crate::report::json::{Cause, Object, element};

#[derive(Serialize)]
struct Container<'a> {
    name: &'a str,
    tensors: usize,
}

#[derive(Serialize)]
struct Unreadable<'a> {
    path: &'a str,
    why: &'a str,
}

#[derive(Serialize)]
struct Import<'a> {
    global: &'a str,
    verdict: &'static str,
    called: bool,
    place: &'a str,
    rule: Option<&'a str>,
}

#[derive(Serialize)]
struct Other<'a> {
    path: &'a str,
    what: &'static str,
}

#[derive(Serialize)]
struct Pair<'a> {
    name: &'a str,
    value: &'a str,
}

/// Writes what is known of several files, each by itself: an inspection that is written already, or why there is none.
///
/// # Errors
/// What the writer reports.
pub fn many_json(files: &[(&PathBuf, Result<Vec<u8>, Finding>)], out: &mut dyn Write) -> io::Result<()> {
    #[derive(Serialize)]
    struct Unread<'a> {
        path: std::borrow::Cow<'a, str>,
        findings: [Cause<'a>; 1],
    }

    let mut object = Object::start(out)?;
    object.field("version", &1)?;
    object.raw_list("files", |out| {
        out.write_all(b"[")?;
        for (i, (path, one)) in files.iter().enumerate() {
            out.write_all(if i == 0 { b"\n" } else { b",\n" })?;
            match one {
                Ok(text) => out.write_all(text.trim_ascii_end())?,
                Err(finding) => element(out, &Unread { path: path.to_string_lossy(), findings: [Cause::of(finding)] })?,
            }
        }
        out.write_all(b"\n ]")
    })?;
    object.end()
}

/// Writes an inspection as JSON, version 1.
///
/// # Errors
/// What the writer reports.
pub fn json(inspection: &Inspection<'_>, out: &mut dyn Write) -> io::Result<()> {
    let c = inspection.checkpoint;
    let mut object = Object::start(out)?;
    object.field("version", &1)?;
    object.field("path", &c.path.to_string_lossy())?;
    object.field("format", c.format.id())?;
    object.field("files", &c.files.iter().map(|f| f.to_string_lossy()).collect::<Vec<_>>())?;
    object.field("parameters", &inspection.elements())?;
    object.field("bytes", &inspection.bytes)?;
    object.list("metadata", c.metadata.iter().map(|(name, value)| Pair { name, value }))?;
    let candidates = c.candidates();
    object.list("containers", candidates.iter().map(|c| Container { name: &c.name, tensors: c.tensors }))?;
    object.raw_list("tensors", |out| tensors(c, out))?;
    object.list("others", c.others.iter().map(|(path, what)| Other { path, what }))?;
    object.list("unreadable", c.unreadable.iter().map(|u| Unreadable { path: &u.path, why: &u.why }))?;
    object.list(
        "imports",
        c.imports.iter().map(|i| Import {
            global: &i.global,
            verdict: match i.trust {
                Trust::Known => "known",
                Trust::Unknown => "unknown",
                Trust::Dangerous => "dangerous",
            },
            called: i.called,
            place: &i.place,
            rule: i.rule.as_deref(),
        }),
    )?;
    object.field("complete", &c.complete)?;
    object.list("findings", inspection.findings.iter().map(Cause::of))?;
    object.end()
}

/// Writes the tensors, one a line. By hand into one buffer, since a hundred thousand of them are what takes the time.
fn tensors(c: &Checkpoint, out: &mut dyn Write) -> io::Result<()> {
    let quoted = |text: &str| -> io::Result<Vec<u8>> {
        let mut buffer = Vec::new();
        element(&mut buffer, text)?;
        Ok(buffer)
    };
    let containers = c.containers.iter().map(|c| quoted(&c.name)).collect::<io::Result<Vec<_>>>()?;
    let mut row = Vec::new();
    for (i, tensor) in c.tensors.iter().enumerate() {
        row.clear();
        row.extend_from_slice(if i == 0 { b"[\n  {\"path\": " } else { b",\n  {\"path\": " });
        let start = row.len();
        element(&mut row, &*tensor.path)?;
        let path = start..row.len();
        row.extend_from_slice(b", \"container\": ");
        row.extend_from_slice(containers.get(tensor.container as usize).map_or(b"\"\"", Vec::as_slice));
        row.extend_from_slice(b", \"key\": ");
        let key = c.key(tensor);
        if key.as_str().len() == tensor.path.len() {
            row.extend_from_within(path);
        } else {
            element(&mut row, key.as_str())?;
        }
        match tensor.dtype {
            Some(dtype) => write!(row, ", \"dtype\": \"{dtype}\", \"shape\": ")?,
            None => row.extend_from_slice(b", \"dtype\": null, \"shape\": "),
        }
        match &tensor.shape {
            Some(shape) => write!(row, "{shape}")?,
            None => row.extend_from_slice(b"null"),
        }
        match &tensor.placement {
            Some(placement) => write!(row, ", \"storage\": {}}}", placement.storage)?,
            None => row.extend_from_slice(b", \"storage\": null}"),
        }
        out.write_all(&row)?;
    }
    out.write_all(if c.tensors.is_empty() { b"[]" } else { b"\n ]" })
}
