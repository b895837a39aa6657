//! `ckdiff inspect FILE…`: each file by itself.

use std::io::Write;
use std::path::Path;

use super::{Failure, Status, deliver};
use crate::checkpoint::escaped;
use crate::cli::{Cli, FormatKind, InspectArgs};
use crate::explain::{Finding, Severity};
use crate::inspect::{Inspection, inspect};
use crate::read::{ReadError, is_lfs_pointer, read};
use crate::report::base::Base;
use crate::report::inspect::{brief, json, many_json, text};
use crate::report::style::{Style, bytes};
use crate::report::subject::{Sheet, Subject};

mod lfs;

use lfs::Keeper;

/// Reads files and says what is in them. Fails where something about one is an error, a dangerous import above all.
pub(super) fn run(cli: &Cli, args: &InspectArgs, style: &Style, out: &mut dyn Write) -> Result<Status, Failure> {
    let [file] = args.files.as_slice() else { return many(cli, args, style, out) };
    if args.brief {
        return many(cli, args, style, out);
    }
    let checkpoint = read(file).map_err(|e| with_keeper(e, file))?;
    let inspection = with_size(inspect(&checkpoint), file, args.max_size);
    deliver(cli, out, |out| match cli.common.format.kind() {
        FormatKind::Text => text(&inspection, style, out),
        FormatKind::Json => json(&inspection, out),
        FormatKind::Sheet(sheet) => sheet.write(&[subject(&inspection, sheet)], out),
    })?;
    Ok(if inspection.fails() { Status::Fails } else { Status::Holds })
}

/// The subject of one file; only the page shows every key.
fn subject(inspection: &Inspection<'_>, sheet: Sheet) -> Subject {
    let subject = Subject::inspected("", inspection, &Base::here());
    if sheet == Sheet::Html { subject.with_keys(inspection) } else { subject }
}

/// Several files: what cannot be read is a finding of that file, and the others are still looked at.
fn many(cli: &Cli, args: &InspectArgs, style: &Style, out: &mut dyn Write) -> Result<Status, Failure> {
    let (mut fails, mut unread) = (false, false);
    let mut subjects = Vec::new();
    let mut written = Vec::new();
    for (i, file) in args.files.iter().enumerate() {
        let checkpoint = match read(file) {
            Ok(checkpoint) => checkpoint,
            Err(error) => {
                let error = with_keeper(error, file);
                unread = true;
                let finding = Finding::new(error.code, Severity::Error, error.what, error.remedy);
                match cli.common.format.kind() {
                    FormatKind::Text => deliver(cli, out, |out| brief(file, &[finding], style, out))?,
                    FormatKind::Json => written.push((file, Err(finding))),
                    FormatKind::Sheet(_) => {
                        subjects.push(Subject::other("", file, [(finding, None)], &Base::here()));
                    }
                }
                continue;
            }
        };
        let inspection = with_size(inspect(&checkpoint), file, args.max_size);
        fails |= inspection.fails();
        match cli.common.format.kind() {
            FormatKind::Text if args.brief => {
                deliver(cli, out, |out| brief(file, &inspection.findings, style, out))?;
            }
            FormatKind::Text => deliver(cli, out, |out| {
                if i > 0 {
                    writeln!(out)?;
                }
                text(&inspection, style, out)
            })?,
            FormatKind::Json => {
                let mut one = Vec::new();
                json(&inspection, &mut one).map_err(|e| Failure::new(format!("cannot write the result: {e}")))?;
                written.push((file, Ok(one)));
            }
            FormatKind::Sheet(sheet) => subjects.push(subject(&inspection, sheet)),
        }
    }
    deliver(cli, out, |out| match cli.common.format.kind() {
        FormatKind::Text => Ok(()),
        FormatKind::Json => many_json(&written, out),
        FormatKind::Sheet(sheet) => sheet.write(&subjects, out),
    })?;
    Ok(match (unread, fails) {
        (true, _) => Status::Unfinished,
        (_, true) => Status::Fails,
        _ => Status::Holds,
    })
}

/// Adds what has to be said of a file that is larger than allowed, unless git-lfs takes it out of the repository.
fn with_size<'a>(mut inspection: Inspection<'a>, file: &Path, most: Option<u64>) -> Inspection<'a> {
    let size = file.metadata().ok().filter(std::fs::Metadata::is_file).map(|m| m.len());
    if let (Some(size), Some(most)) = (size, most)
        && size > most
        && lfs::keeper(file) != Keeper::Lfs
    {
        let message = format!("{} in one file, and at most {} are allowed", bytes(size), bytes(most));
        let help = format!("let git-lfs manage it: {}; or keep it elsewhere", track(file));
        inspection.findings.insert(0, Finding::new("CK016", Severity::Error, message, help));
    }
    inspection
}

/// Says of a pointer that git-lfs knows nothing of that it is no download to be made up for, but a commit gone wrong.
fn with_keeper(error: ReadError, file: &Path) -> ReadError {
    if !is_lfs_pointer(file) || lfs::keeper(file) != Keeper::Git {
        return error;
    }
    let what =
        format!("{}; git-lfs does not manage this path, so git keeps the pointer in place of the weights", error.what);
    ReadError { what, remedy: format!("put the file itself here, {}, and add it again", track(file)), ..error }
}

/// The command that has git-lfs manage files of this kind.
fn track(file: &Path) -> String {
    let name = file.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    let suffix = name.rsplit_once('.').map_or(name.as_str(), |(_, suffix)| suffix);
    format!("git lfs track \"*.{}\"", escaped(suffix))
}
