//! `ckdiff check --update`: takes the snapshots anew and says what that means for whoever has an old checkpoint.

use std::collections::HashMap;
use std::fs;
use std::io::Write;
use std::path::Path;

use super::select::{Job, Selection};
use super::{Failure, Rules, Status, deliver};
use crate::checkpoint::{Checkpoint, Format, StateDict, escaped};
use crate::cli::Cli;
use crate::config::Config;
use crate::inspect::main_container;
use crate::judge::{Report, Verdict};
use crate::read::read;
use crate::report::style::{Style, count, plural};
use crate::report::{check, snapshot, text};
use crate::run::snapshot::replace;
use crate::run::verdict::{Pair, named_container, side};

/// Rewrites what every selected contract expects from its source. Fails where old files no longer hold the contract.
pub(super) fn run(
    cli: &Cli,
    config: &Config,
    selection: &Selection<'_>,
    style: &Style,
    out: &mut dyn Write,
) -> Result<Status, Failure> {
    let mut rules = Rules::default();
    let mut holds = true;
    for job in &selection.jobs {
        let path = config.at(&job.contract.expected);
        let old = if path.exists() { Some(side(&path)?) } else { None };
        // Another checkpoint is no snapshot, and nothing that a program should write over.
        if old.as_ref().is_some_and(|c| c.format != Format::Json) {
            continue;
        }
        let Some(new) = taken(config, job, old.as_ref())? else { continue };
        if fs::read(&path).is_ok_and(|now| now == new) {
            continue;
        }
        replace(&path, |out| out.write_all(&new))?;
        let Some(old) = old else {
            deliver(cli, out, |out| check::updated(&job.contract.name, &shown(&path), "written", style, out))?;
            continue;
        };
        let new = read(&path)?;
        let old = Checkpoint { path: format!("{} before", shown(&path)).into(), ..old };
        let new = Checkpoint { path: format!("{} now", shown(&path)).into(), ..new };
        let what = changes(&old, &new);
        let rules = rules.of(cli, config, job.contract)?;
        let pair = Pair { source: &old, target: &new, container: None, level: job.contract.level };
        holds &= pair.judged(rules, |report| {
            deliver(cli, out, |out| {
                check::updated(&job.contract.name, &shown(&path), &what, style, out)?;
                text::verdict(&report, style, out)?;
                writeln!(out, "old files {}\n", for_users(&report))
            })?;
            Ok(report.holds)
        })?;
    }
    Ok(if holds { Status::Holds } else { Status::Fails })
}

fn shown(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

/// The snapshot of a contract's source; `None` where it has none. Several sources must agree.
fn taken(config: &Config, job: &Job<'_>, old: Option<&Checkpoint>) -> Result<Option<Vec<u8>>, Failure> {
    let mut first: Option<(&String, Vec<u8>)> = None;
    for source in &job.sources {
        let checkpoint = side(&config.at(source))?;
        if let Some(broken) = checkpoint.unreadable.first() {
            let what = format!("{source}: {} cannot be read: {}", broken.path, broken.why);
            return Err(Failure::new(what).help("a snapshot of a part would promise too little"));
        }
        let container = match &job.contract.container {
            Some(name) => named_container(&checkpoint, &checkpoint.candidates(), name)?,
            None => container(&checkpoint, old),
        };
        let mut text = Vec::new();
        snapshot::write(&StateDict::below(&checkpoint, container), &mut text)
            .map_err(|e| Failure::new(format!("{source}: {e}")))?;
        match &first {
            None => first = Some((source, text)),
            Some((_, known)) if *known == text => {}
            Some((other, _)) => {
                let what =
                    format!("contract {}: {other} and {source} hold different keys", escaped(&job.contract.name));
                return Err(Failure::new(what).help(
                    "a snapshot is taken of one model: write it with `ckdiff snapshot`, or give each its contract",
                ));
            }
        }
    }
    Ok(first.map(|(_, text)| text))
}

/// The state_dict that a snapshot is taken of: the one most like the old snapshot, else the main one.
fn container(checkpoint: &Checkpoint, old: Option<&Checkpoint>) -> u32 {
    let main = main_container(checkpoint);
    let Some(old) = old else { return main };
    let known: std::collections::HashSet<&str> = old.tensors.iter().map(|t| &*t.path).collect();
    let hits =
        |c: u32| StateDict::below(checkpoint, c).entries.iter().filter(|e| known.contains(e.key.as_str())).count();
    let others = checkpoint.candidates().into_iter().map(|c| c.container).filter(|&c| c != main);
    others.fold((main, hits(main)), |best, c| if hits(c) > best.1 { (c, hits(c)) } else { best }).0
}

/// `2 keys added, 1 removed, 3 changed`.
fn changes(old: &Checkpoint, new: &Checkpoint) -> String {
    let facts = |c: &Checkpoint| -> HashMap<String, (Option<_>, Option<_>)> {
        c.tensors.iter().map(|t| (t.path.to_string(), (t.dtype, t.shape.clone()))).collect()
    };
    let (a, b) = (facts(old), facts(new));
    let added = b.keys().filter(|k| !a.contains_key(*k)).count();
    let removed = a.keys().filter(|k| !b.contains_key(*k)).count();
    let changed = a.iter().filter(|(k, v)| b.get(*k).is_some_and(|w| w != *v)).count();
    if added + removed + changed == 0 {
        return "the same keys, written anew".into();
    }
    format!("{} added, {} removed, {} changed", plural(added, "key"), count(removed), count(changed))
}

/// What the change means for whoever has a checkpoint of before.
fn for_users(report: &Report<'_>) -> String {
    match report.verdict {
        Verdict::Loads => "load as they are".into(),
        Verdict::LoadsAfterFix => {
            let mut steps: Vec<String> = report
                .alignment
                .renames
                .iter()
                .map(|r| format!("`{}` → `{}`", escaped(&r.pattern), escaped(&r.replacement)))
                .collect();
            let more = steps.len().saturating_sub(3);
            steps.truncate(3);
            let more = if more > 0 { format!(" and {}", plural(more, "more rename")) } else { String::new() };
            let drops = if report.alignment.drops.is_empty() { "" } else { "what is gone is dropped" };
            match (steps.is_empty(), drops.is_empty()) {
                (false, true) => format!("renamed: load after {}{more}", steps.join(", ")),
                (false, false) => format!("renamed: load after {}{more}, and when {drops}", steps.join(", ")),
                (true, false) => format!("load when {drops}"),
                (true, true) => "load after the fix".into(),
            }
        }
        Verdict::DoesNotLoad => "do not load any more as they are".into(),
    }
}
