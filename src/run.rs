//! From parsed arguments through the pipeline to bytes and an exit status. Nothing here prints: both streams are given.

use std::io::{self, Write};
use std::path::Path;

use crate::align::align;
use crate::checkpoint::{Candidate, Checkpoint, StateDict};
use crate::cli::{Cli, ColorArg, FormatArg, VerdictArgs};
use crate::compare::compare;
use crate::explain::explain;
use crate::judge::{Evidence, Report, judge};
use crate::read::read;
use crate::report;
use crate::report::style::Style;
use crate::rules::RuleSet;

/// What the program ends with, by the contract of the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// It holds at the chosen level.
    Holds,
    /// It does not.
    Fails,
    /// The question could not be answered: arguments, reading, rules.
    Unfinished,
}

impl Status {
    /// The number that the shell sees.
    pub fn code(self) -> u8 {
        match self {
            Status::Holds => 0,
            Status::Fails => 1,
            Status::Unfinished => 2,
        }
    }
}

/// Why the program could not finish, in words for a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure(pub String);

impl<E: std::error::Error> From<E> for Failure {
    fn from(error: E) -> Self {
        Failure(error.to_string())
    }
}

impl Cli {
    /// How to lay text out, by the flags and by what standard output is.
    pub fn style(&self) -> Style {
        let color = match self.common.color {
            ColorArg::Auto => None,
            ColorArg::Always => Some(true),
            ColorArg::Never => Some(false),
        };
        Style::of_stdout(color, self.common.all)
    }
}

/// Does what the arguments ask for; results go to `out`.
///
/// # Errors
/// Where the question cannot be answered: a path that cannot be read, an unknown container, a rule that is not one.
pub fn run(cli: &Cli, style: &Style, out: &mut dyn Write) -> Result<Status, Failure> {
    verdict(cli, &cli.verdict, style, out)
}

/// `ckdiff SOURCE TARGET`
fn verdict(cli: &Cli, args: &VerdictArgs, style: &Style, out: &mut dyn Write) -> Result<Status, Failure> {
    let (Some(source), Some(target)) = (&args.source, &args.target) else {
        return Err(Failure("two paths are needed: ckdiff SOURCE TARGET".into()));
    };
    let rules = rules(cli)?;
    let (source, target) = (read(source)?, read(target)?);
    let (source, target, others) = choose(&source, &target, args.container.as_deref())?;
    let alignment = align(&source, &target, &rules);
    let differences = compare(&source, &target, &alignment);
    let findings = explain(&source, &target, &alignment, &differences, &rules);
    let evidence = Evidence {
        source: &source,
        target: &target,
        others,
        alignment: &alignment,
        differences: &differences,
        findings,
    };
    let report = judge(evidence, args.level.into());
    if !cli.common.quiet {
        unless_closed(render(&report, cli.common.format, style, out))?;
    }
    Ok(if report.holds { Status::Holds } else { Status::Fails })
}

/// The rules that ship with the program, and the user's over them.
fn rules(cli: &Cli) -> Result<RuleSet, Failure> {
    match &cli.common.rules {
        Some(folder) => Ok(RuleSet::embedded_and(folder)?),
        None => Ok(RuleSet::embedded()),
    }
}

fn render(report: &Report<'_>, format: FormatArg, style: &Style, out: &mut dyn Write) -> io::Result<()> {
    match format {
        FormatArg::Text => report::text::verdict(report, style, out)?,
        FormatArg::Json => report::json::verdict(report, out)?,
    }
    out.flush()
}

/// A reader that went away (`| head`) is no error: what it wanted it has, and the exit status still says the verdict.
fn unless_closed(result: io::Result<()>) -> Result<(), Failure> {
    match result {
        Err(e) if e.kind() != io::ErrorKind::BrokenPipe => Err(Failure(format!("cannot write the result: {e}"))),
        _ => Ok(()),
    }
}

/// Picks the state_dict of each side, and lists what else the source holds.
fn choose<'a>(
    source: &'a Checkpoint,
    target: &'a Checkpoint,
    named: Option<&str>,
) -> Result<(StateDict<'a>, StateDict<'a>, Vec<Candidate>), Failure> {
    let (candidates, wanted) = (source.candidates(), target.candidates());
    let target_view = StateDict::below(target, wanted.first().map_or(0, |c| c.container));
    let chosen = match named {
        Some(name) => named_container(&candidates, name, &source.path)?,
        None => most_identical(source, &candidates, &target_view),
    };
    let others = candidates.into_iter().filter(|c| c.container != chosen).collect();
    Ok((StateDict::below(source, chosen), target_view, others))
}

fn named_container(candidates: &[Candidate], name: &str, path: &Path) -> Result<u32, Failure> {
    candidates
        .iter()
        .find(|c| c.name == name)
        .map(|c| c.container)
        .ok_or_else(|| Failure(format!("{}: holds no container `{name}` with tensors", path.display())))
}

/// The container with the most names of the target; of equals the first, which is the outermost.
fn most_identical(source: &Checkpoint, candidates: &[Candidate], target: &StateDict<'_>) -> u32 {
    let wanted: std::collections::HashSet<&str> = target.entries.iter().map(|e| e.key.as_str()).collect();
    let mut best = (0, 0);
    for candidate in candidates {
        let view = StateDict::below(source, candidate.container);
        let hits = view.entries.iter().filter(|e| wanted.contains(e.key.as_str())).count();
        if hits > best.0 {
            best = (hits, candidate.container);
        }
    }
    best.1
}
