//! The baseline file: reading it, and writing what is found now.

use std::fs;
use std::io;
use std::path::Path;

use super::Failure;
use crate::checkpoint::{escaped, text_of};
use crate::config::marked_at;
use crate::judge::{Baseline, Fingerprint, Known, Place, Standing};
use crate::read::plain;
use crate::report::check::Checked;
use crate::report::style::{count, plural};
use crate::run::snapshot::replace;

/// The largest baseline that is read, in bytes.
const LARGEST: u64 = 1 << 28;

/// Reads a baseline; a missing one is empty where it is about to be written.
pub(super) fn read(path: &Path, writing: bool) -> Result<Baseline, Failure> {
    let name = escaped(&path.to_string_lossy()).into_owned();
    let text = match fs::metadata(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound && writing => return Ok(Baseline::default()),
        Ok(meta) if meta.len() > LARGEST => Err(io::Error::other("is too large for a baseline")),
        Ok(_) => text_of(path, LARGEST),
        Err(e) => Err(e),
    };
    let text = text.map_err(|e| {
        let help = if e.kind() == io::ErrorKind::NotFound {
            "--update-baseline writes what is found now"
        } else {
            "check the path"
        };
        Failure::new(format!("{name}: the baseline cannot be read: {}", plain(&e))).help(help)
    })?;
    Baseline::parse(&text).map_err(|e| {
        let what = marked_at(&text, e.line, e.column, &e.what);
        Failure::coded("CK902", format!("{name}: {what}")).help("delete it and write it anew with --update-baseline")
    })
}

/// The line, from 1, on which a finding stands in the file.
pub(super) fn line(path: &Path, fingerprint: Fingerprint) -> Option<usize> {
    let text = fs::read_to_string(path).ok()?;
    let fingerprint = fingerprint.to_string();
    text.lines().position(|line| line.contains(&fingerprint)).map(|at| at + 1)
}

/// Writes what fails or warns now, and what is known already and still found. Says what changed.
pub(super) fn write(path: &Path, before: &Baseline, all: &[Checked]) -> Result<String, Failure> {
    let mut now = Baseline::default();
    for checked in all {
        let place = Place { contract: &checked.contract, source: &checked.source };
        for weighed in &checked.findings {
            if weighed.loud || matches!(weighed.standing, Standing::Fails | Standing::Known) {
                now.insert(Known::of(weighed, place));
            }
        }
    }
    let only = |a: &Baseline, b: &Baseline| a.iter().filter(|k| !b.contains(k.fingerprint)).count();
    let (new, gone) = (only(&now, before), only(before, &now));
    if now != *before || !path.exists() {
        replace(path, |out| now.write(out))?;
    }
    let name = escaped(&path.to_string_lossy()).into_owned();
    Ok(format!("{name}: {} accepted, {} new, {} gone", plural(now.iter().count(), "finding"), count(new), count(gone)))
}
