//! `ckdiff snapshot FILE`: what a checkpoint holds, as expected.json.

use std::fs;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use super::verdict::named_container;
use super::{Failure, Status, deliver};
use crate::checkpoint::{StateDict, escaped};
use crate::cli::{Cli, SnapshotArgs};
use crate::inspect::main_container;
use crate::read::read;
use crate::report::snapshot;

/// Reads a file and writes its keys, to a file or to `out`.
pub(super) fn run(cli: &Cli, args: &SnapshotArgs, out: &mut dyn Write) -> Result<Status, Failure> {
    match taken(cli, args, out) {
        Ok(_) if args.textconv => Ok(Status::Holds),
        other => other,
    }
}

fn taken(cli: &Cli, args: &SnapshotArgs, out: &mut dyn Write) -> Result<Status, Failure> {
    let checkpoint = match read(&args.file) {
        // git shows what a converter prints, and dies where it fails; the old side of a change may well be a git-lfs
        // pointer. The path is left out: git hands over a copy under another name each time.
        Err(error) if args.textconv => {
            deliver(cli, out, |out| writeln!(out, "{} cannot be read: {}", error.code, escaped(&error.what)))?;
            return Ok(Status::Holds);
        }
        other => other?,
    };
    let container = match &args.container {
        Some(name) => named_container(&checkpoint, &checkpoint.candidates(), name)?,
        None => main_container(&checkpoint),
    };
    let view = StateDict::below(&checkpoint, container);
    match &args.output {
        Some(path) => replace(path, |out| snapshot::write(&view, out))?,
        None => deliver(cli, out, |out| snapshot::write(&view, out))?,
    }
    // Where part of the file could not be read, the snapshot is not what the checkpoint holds.
    Ok(if checkpoint.unreadable.is_empty() { Status::Holds } else { Status::Fails })
}

/// Writes beside the wanted file first and then renames, so that a full disk or a broken run leaves no half of a file.
pub(super) fn replace(path: &Path, write: impl Fn(&mut dyn Write) -> io::Result<()>) -> Result<(), Failure> {
    let failure = |e: io::Error| {
        Failure::new(format!("{}: cannot be written: {e}", escaped(&path.to_string_lossy())))
            .help("check the folder and its permissions")
    };
    // What is no regular file (/dev/stdout, a pipe) is written to as it is.
    if fs::metadata(path).is_ok_and(|m| !m.is_file()) {
        let mut out = BufWriter::new(fs::File::create(path).map_err(failure)?);
        return write(&mut out).and_then(|()| out.flush()).map_err(failure);
    }
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    name.push(format!(".{}.part", std::process::id()));
    let beside = path.with_file_name(name);
    let written = fs::File::create_new(&beside).map(BufWriter::new).and_then(|mut out| {
        write(&mut out)?;
        out.flush()?;
        fs::rename(&beside, path)
    });
    written.map_err(|e| {
        // What was begun is of no use; that it could not be written is the error to tell.
        let _ = fs::remove_file(&beside);
        failure(e)
    })
}
