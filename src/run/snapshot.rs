//! `ckdiff snapshot FILE`: what a checkpoint holds, as expected.json.

use std::collections::HashMap;
use std::fs;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use super::verdict::named_container;
use super::{Failure, Status, deliver};
use crate::checkpoint::{Content, StateDict, escaped, quoted};
use crate::cli::{Cli, SnapshotArgs};
use crate::inspect::main_container;
use crate::read::read;
use crate::report::snapshot;
use crate::values::contents;

/// Reads files and writes their keys, to a file or to `out`.
pub(super) fn run(cli: &Cli, args: &SnapshotArgs, out: &mut dyn Write) -> Result<Status, Failure> {
    match taken(cli, args, out) {
        Ok(_) if args.textconv => Ok(Status::Holds),
        other => other,
    }
}

fn taken(cli: &Cli, args: &SnapshotArgs, out: &mut dyn Write) -> Result<Status, Failure> {
    let mut checkpoints = Vec::with_capacity(args.files.len());
    for path in &args.files {
        checkpoints.push(match read(path) {
            // git shows what a converter prints, and dies where it fails; the old side of a change may well be a git-lfs
            // pointer. The path is left out: git hands over a copy under another name each time.
            Err(error) if args.textconv => {
                deliver(cli, out, |out| writeln!(out, "{} cannot be read: {}", error.code, escaped(&error.what)))?;
                return Ok(Status::Holds);
            }
            other => other?,
        });
    }
    let mut views = Vec::with_capacity(checkpoints.len());
    for checkpoint in &checkpoints {
        let container = match &args.container {
            Some(name) => named_container(checkpoint, &checkpoint.candidates(), name)?,
            None => main_container(checkpoint),
        };
        views.push(StateDict::below(checkpoint, container));
    }
    each_once(&views)?;
    let known = |view: &StateDict<'_>| match args.digest {
        true => digests(view),
        false => Ok(view.checkpoint.contents.clone()),
    };
    let contents: Vec<HashMap<Box<str>, Content>> = views.iter().map(known).collect::<Result<_, _>>()?;
    let parts: Vec<_> = views.iter().zip(&contents).collect();
    match &args.output {
        Some(path) => replace(path, |out| snapshot::write_all(&parts, out))?,
        None => deliver(cli, out, |out| snapshot::write_all(&parts, out))?,
    }
    // Where part of a file could not be read, the snapshot is not what the checkpoint holds.
    let whole = checkpoints.iter().all(|c| c.unreadable.is_empty());
    Ok(if whole { Status::Holds } else { Status::Fails })
}

/// Refuses a key that two files have: which of them counts would depend on their order.
fn each_once(views: &[StateDict<'_>]) -> Result<(), Failure> {
    let mut known: HashMap<&str, &Path> = HashMap::new();
    for view in views {
        for entry in &view.entries {
            let path = &*view.checkpoint.path;
            if let Some(first) = known.insert(entry.key.as_str(), path).filter(|_| views.len() > 1) {
                let name = |path: &Path| escaped(&path.to_string_lossy()).into_owned();
                let what = format!("{}: {} is in {} as well", name(path), quoted(entry.key.as_str()), name(first));
                return Err(Failure::new(what).help("hand over each shard once"));
            }
        }
    }
    Ok(())
}

/// Digests of every tensor: read, or taken over from a snapshot.
pub(super) fn digests(view: &StateDict<'_>) -> Result<HashMap<Box<str>, Content>, Failure> {
    let known = &view.checkpoint.contents;
    let (mut found, errors) = contents(view, true, |e| !known.contains_key(&*e.tensor.path));
    if let Some(first) = errors.first() {
        let more = if errors.len() > 1 { format!(", and {} more like it", errors.len() - 1) } else { String::new() };
        return Err(Failure::new(format!("{first}{more}")).help("leave --digest out to list keys alone"));
    }
    found.extend(known.iter().map(|(path, content)| (path.clone(), *content)));
    Ok(found)
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
