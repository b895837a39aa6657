//! `ckdiff explain FILE`: from a pasted error text to its cause.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;

use super::verdict::{first_with_tensors, most_identical};
use super::{Failure, Status, deliver, rules};
use crate::checkpoint::{Checkpoint, StateDict};
use crate::cli::{Cli, ExplainArgs, FormatArg};
use crate::compare::compare;
use crate::explain::{Severity, align_text, explain, explain_text, nothing_known};
use crate::read::log::{self, LogReport, MOST_BYTES};
use crate::read::read;
use crate::report::emit::{self, Plan};
use crate::report::explain::{Explained, Known, json, text};
use crate::report::style::Style;

/// Reads the text, rebuilds what it tells of both sides, and explains that as if the files were there.
pub(super) fn run(cli: &Cli, args: &ExplainArgs, style: &Style, out: &mut dyn Write) -> Result<Status, Failure> {
    let rules = rules(cli)?;
    let log = log::parse(&bytes(&args.file)?, &rules);
    let given = args.source.as_deref().map(read).transpose()?;
    let wanted = args.target.as_deref().map(read).transpose()?;
    let (source, target, known) = sides(&log, given, wanted, &args.file);
    let wanted = StateDict::below(&target, first_with_tensors(&target, &target.candidates()));
    let chosen = if known.source { container(&source, &log, &wanted) } else { 0 };
    let source = StateDict::below(&source, chosen);
    let target = wanted;
    let alignment = align_text(&log, &source, &target, &rules);
    let differences = compare(&source, &target, &alignment);
    let causes = explain(&source, &target, &alignment, &differences, &rules);
    let mut findings = explain_text(&log, causes, &rules);
    let listed = !(log.missing_keys.is_empty() && log.unexpected_keys.is_empty() && log.size_mismatches.is_empty());
    let unknown = findings.is_empty() && (log.is_empty() || !log.key_errors.is_empty() && !listed);
    if unknown {
        findings.push(nothing_known());
    }
    if let Some(form) = args.emit {
        let plan = Plan::new(&source, &target, &alignment, &rules);
        deliver(cli, out, |out| emit::write(form.into(), &plan, out))?;
        return Ok(if alignment.renames.is_empty() && alignment.drops.is_empty() {
            Status::Fails
        } else {
            Status::Holds
        });
    }
    let report = Explained { path: &args.file, log: &log, findings: &findings, known, alignment: &alignment };
    deliver(cli, out, |out| match cli.common.format {
        FormatArg::Text => text(&report, style, out),
        _ => json(&report, out),
    })?;
    Ok(match findings.iter().map(|f| f.severity).max() {
        _ if unknown => Status::Unfinished,
        Some(Severity::Error) => Status::Fails,
        _ => Status::Holds,
    })
}

/// The text, or the end of it where it is longer than is looked at.
fn bytes(path: &Path) -> Result<Vec<u8>, Failure> {
    let mut out = Vec::new();
    let most = MOST_BYTES as u64;
    let read = if path == Path::new("-") {
        // Of a stream only the beginning can be bounded.
        io::stdin().lock().take(most).read_to_end(&mut out)
    } else {
        File::open(path).and_then(|mut file| {
            if let Ok(length) = file.metadata().map(|m| m.len()) {
                file.seek(SeekFrom::Start(length.saturating_sub(most)))?;
            }
            file.take(most).read_to_end(&mut out)
        })
    };
    match read {
        Ok(_) => Ok(out),
        Err(e) => Err(Failure::new(format!("{}: cannot be read: {e}", path.display()))
            .help("give the file that holds the error text, or - to paste it")),
    }
}

/// Both sides, as far as they are known: real files where given, the rest from the text.
fn sides(
    log: &LogReport,
    source: Option<Checkpoint>,
    target: Option<Checkpoint>,
    path: &Path,
) -> (Checkpoint, Checkpoint, Known) {
    let known = Known { source: source.is_some(), target: target.is_some() };
    let (partial_source, partial_target) = log.sides(path);
    match (source, target) {
        (Some(source), Some(target)) => (source, target, known),
        (Some(source), None) if log.is_whole() => {
            let view = StateDict::below(&source, container(&source, log, &StateDict::below(&partial_target, 0)));
            let target = log.target_of(&view, path);
            (source, target, known)
        }
        (None, Some(target)) if log.is_whole() => {
            let view = StateDict::below(&target, first_with_tensors(&target, &target.candidates()));
            let source = log.source_of(&view, path);
            (source, target, known)
        }
        (source, target) => (source.unwrap_or(partial_source), target.unwrap_or(partial_target), known),
    }
}

/// The container of a real checkpoint that the text speaks of: the one with the most of its unexpected keys, otherwise
/// of the model's.
fn container(source: &Checkpoint, log: &LogReport, target: &StateDict<'_>) -> u32 {
    let candidates = source.candidates();
    let named: std::collections::HashSet<&str> =
        log.unexpected_keys.iter().chain(log.size_mismatches.iter().map(|m| &m.key)).map(String::as_str).collect();
    let hits = |container: u32| {
        let view = StateDict::below(source, container);
        view.entries.iter().filter(|e| named.contains(e.key.as_str())).count()
    };
    let best = candidates.iter().map(|c| (hits(c.container), c.container)).rev().max_by_key(|(hits, _)| *hits);
    match best {
        Some((hits, container)) if hits > 0 => container,
        _ => most_identical(source, &candidates, target),
    }
}
