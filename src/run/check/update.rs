//! `ckdiff check --update`: takes the snapshots anew and says what that means for whoever has an old checkpoint.

use std::collections::HashMap;
use std::io::Write;
use std::path::Path;

use super::select::Job;
use super::{Failure, Run, Status, deliver, note};
use crate::checkpoint::{Checkpoint, Content, Format, StateDict, escaped};
use crate::explain::{Finding, Severity};
use crate::inspect::main_container;
use crate::judge::{Level, Report, Verdict};
use crate::read::read;
use crate::report::style::{count, plural};
use crate::report::{check, snapshot, text};
use crate::run::snapshot::{digests, replace};
use crate::run::verdict::{Pair, named_container, side};

mod snap;

use snap::Facts;

/// What became of the snapshot of a contract.
enum Done {
    /// It was written, for the first time or anew; whether old files still hold the contract.
    Written { holds: bool },
    /// It says what the sources hold.
    Same,
    /// It is not for this program to write.
    Kept,
}

/// Rewrites what every selected contract expects from its sources. Fails where old files no longer hold the contract, or a
/// source is gone; a contract whose snapshot cannot be taken is named, and the others are still seen to.
pub(super) fn run(
    mut run: Run<'_>,
    jobs: &[Job<'_>],
    out: &mut dyn Write,
    notes: &mut dyn Write,
) -> Result<Status, Failure> {
    let (mut written, mut same, mut broken, mut holds) = (0, 0, false, true);
    let mut taken = HashMap::new();
    for job in jobs {
        run.unmatched(job, out)?;
        match one(&mut run, job, &mut taken, out, notes) {
            Ok(Some(Done::Written { holds: still })) => (written, holds) = (written + 1, holds && still),
            Ok(Some(Done::Same)) => same += 1,
            Ok(Some(Done::Kept) | None) => {}
            Err(failure) => {
                // What has no page is about this machine (a full disk), and not about the contract.
                let (Some(code), what, help) = failure.clone().into_parts() else { return Err(failure) };
                broken = true;
                let finding = Finding::new(code, Severity::Error, what, help);
                run.loose(job.contract, "", &run.config.at(&job.contract.expected), vec![(finding, None)], out)?;
            }
        }
    }
    let parts = [(written, "written"), (same, "as it was")];
    let parts: Vec<String> =
        parts.iter().filter(|(n, _)| *n > 0).map(|(n, how)| format!("{} {how}", count(*n))).collect();
    if !parts.is_empty() {
        let old = if holds { "" } else { "; old files do not load as they are" };
        note(run.cli, notes, &format!("{}: {}{old}", plural(written + same, "snapshot"), parts.join(", ")));
    }
    let fails = !holds || run.all.iter().any(|c| !c.holds());
    Ok(if broken {
        Status::Unfinished
    } else if fails {
        Status::Fails
    } else {
        Status::Holds
    })
}

/// The snapshots that this run took, by the path of expected.json, each with the contract that it was taken for.
type Taken = HashMap<String, (String, Facts)>;

fn one(
    run: &mut Run<'_>,
    job: &Job<'_>,
    taken: &mut Taken,
    out: &mut dyn Write,
    notes: &mut dyn Write,
) -> Result<Option<Done>, Failure> {
    let contract = job.contract;
    let path = run.config.at(&contract.expected);
    let old = if path.exists() { Some(side(&path)?) } else { None };
    let kept = |why: String, notes: &mut dyn Write| {
        note(run.cli, notes, &format!("contract {}: {} {why}", escaped(&contract.name), shown(&path)));
        Ok(Some(Done::Kept))
    };
    // Another checkpoint is no snapshot, and nothing that a program should write over.
    if old.as_ref().is_some_and(|c| c.format != Format::Json) {
        return kept("is a checkpoint and no snapshot: left alone".into(), notes);
    }
    let mut sources = Vec::with_capacity(job.sources.len());
    for source in &job.sources {
        sources.push((source.as_str(), whole(source, side(&run.config.at(source))?)?));
    }
    let Some((first, _)) = sources.first() else { return Ok(None) };
    // What a contract tolerates is what its expected.json and its sources differ in: it was not taken of them.
    if let Some(old) = old.as_ref().filter(|_| contract.level != Level::Strict)
        && all_hold(run, job, &sources, old)?
    {
        let first = shown(&run.config.at(first));
        let why = format!(
            "is left alone: what is to load into it does, at level {}; to take it of that all the same: ckdiff snapshot {first} -o {}",
            contract.level.id(),
            shown(&path)
        );
        return kept(why, notes);
    }
    let snap = snap::taken(contract, &sources, old.as_ref())?;
    if let Some((other, facts)) = taken.get(&contract.expected) {
        return match facts.differ(&snap.facts) {
            None => Ok(Some(Done::Same)),
            Some(key) => {
                let what = format!("its sources and those of contract {} differ in {key}", escaped(other));
                Err(Failure::coded("CK906", what).help("both expect one file: give each its own"))
            }
        };
    }
    taken.insert(contract.expected.clone(), (contract.name.clone(), snap.facts.clone()));
    let before = old.as_ref().map(Facts::of_list);
    if before.as_ref().is_some_and(|before| before.differ(&snap.facts).is_none()) {
        return Ok(Some(Done::Same));
    }
    replace(&path, |out| out.write_all(&snap.text))?;
    let (cli, style) = (run.cli, run.style);
    let (Some(old), Some(before)) = (old, before) else {
        let what = format!("written, {} of {first}", plural(snap.facts.len(), "key"));
        deliver(cli, out, |out| check::about(&contract.name, &shown(&path), &what, style, out))?;
        return Ok(Some(Done::Written { holds: true }));
    };
    let new = Checkpoint { path: format!("{} now", shown(&path)).into(), ..read(&path)? };
    let old = Checkpoint { path: format!("{} before", shown(&path)).into(), ..old };
    let what = before.changes(&snap.facts);
    let rules = run.rules.of(cli, run.config, contract)?;
    let pair = Pair { source: &old, target: &new, container: None, level: contract.level };
    let holds = pair.judged(rules, |report| {
        deliver(cli, out, |out| {
            check::about(&contract.name, &shown(&path), &what, style, out)?;
            text::verdict(&report, style, out)?;
            writeln!(out, "{}\n", for_users(&report))
        })?;
        Ok(report.holds)
    })?;
    Ok(Some(Done::Written { holds }))
}

fn shown(path: &Path) -> String {
    escaped(&path.to_string_lossy()).into_owned()
}

/// A source of which every tensor can be read.
fn whole(source: &str, checkpoint: Checkpoint) -> Result<Checkpoint, Failure> {
    let Some(broken) = checkpoint.unreadable.first() else { return Ok(checkpoint) };
    let what = format!("{}: {} cannot be read: {}", escaped(source), escaped(&broken.path), broken.why);
    Err(Failure::coded("CK008", what).help("a snapshot of a part would promise too little"))
}

/// Whether every source holds the contract as it stands.
fn all_hold(
    run: &mut Run<'_>,
    job: &Job<'_>,
    sources: &[(&str, Checkpoint)],
    target: &Checkpoint,
) -> Result<bool, Failure> {
    let rules = run.rules.of(run.cli, run.config, job.contract)?;
    for (_, source) in sources {
        let container = job.contract.container.as_deref();
        let pair = Pair { source, target, container, level: job.contract.level };
        if !pair.judged(rules, |report| Ok(report.holds))? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// What the change means for whoever has a checkpoint of before.
fn for_users(report: &Report<'_>) -> String {
    let c = report.coverage;
    match report.verdict {
        Verdict::Loads => "old files load as they are".into(),
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
                (false, true) => format!("renamed: old files load after {}{more}", steps.join(", ")),
                (false, false) => format!("renamed: old files load after {}{more}, when {drops}", steps.join(", ")),
                (true, false) => format!("removed: old files load when {drops}"),
                (true, true) => "old files load after the fix".into(),
            }
        }
        Verdict::DoesNotLoad if c.resized + c.rebuilt >= c.of => "resized: old files load after the resize".into(),
        Verdict::DoesNotLoad => "old files do not load any more".into(),
    }
}
