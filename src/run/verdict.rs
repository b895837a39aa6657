//! `ckdiff SOURCE TARGET`: the whole pipeline.

use std::collections::HashSet;
use std::io::Write;
use std::path::Path;

use clap::CommandFactory as _;

use super::{Failure, Status, deliver, rules, suggest};
use crate::align::{align, align_with};
use crate::checkpoint::{Candidate, Checkpoint, StateDict, quoted};
use crate::cli::{Cli, FormatKind, VerdictArgs};
use crate::compare::compare;
use crate::explain::{add_container, explain};
use crate::inspect;
use crate::judge::{Evidence, Level, Report, judge};
use crate::read::read;
use crate::report::base::Base;
use crate::report::emit::{self, Plan};
use crate::report::style::Style;
use crate::report::subject::{Sheet, Subject};
use crate::report::{json, text, values as values_report};
use crate::rules::RuleSet;
use crate::values::{self, Known};

/// Reads both sides, aligns, compares, explains, judges, and writes the report.
pub(super) fn run(cli: &Cli, args: &VerdictArgs, style: &Style, out: &mut dyn Write) -> Result<Status, Failure> {
    let (Some(source), Some(target)) = (&args.source, &args.target) else {
        return Err(Failure::new(
            "TARGET is missing: what the model expects, as expected.json or as another checkpoint",
        )
        .help("ckdiff --help shows how to write expected.json; ckdiff inspect FILE shows what one file holds"));
    };
    let rules = rules(cli)?;
    let source = side(source).map_err(|failure| hint_at_command(failure, source))?;
    let target = side(target)?;
    let container = args.container.as_deref();
    let pair = Pair { source: &source, target: &target, container, level: args.level.into() };
    pair.judged_by(&rules, args.values.is_some(), |mut report, known| {
        let values = args.values.map(|mode| values::compare(&report, report.differences, &rules, mode.into(), known));
        if let Some(values) = &values {
            report.findings.extend(values.findings.iter().cloned());
            report.holds &= values.holds();
        }
        let status = if report.holds { Status::Holds } else { Status::Fails };
        if let Some(form) = args.emit {
            let plan = Plan::of(&report, &rules);
            deliver(cli, out, |out| emit::write(form.into(), &plan, out))?;
            return Ok(status);
        }
        deliver(cli, out, |out| match cli.common.format.kind() {
            FormatKind::Text => {
                text::verdict(&report, style, out)?;
                values.as_ref().map_or(Ok(()), |values| values_report::text(values, &report, style, out))
            }
            FormatKind::Json => json::verdict_and_values(&report, values.as_ref(), out),
            FormatKind::Sheet(sheet) => {
                let subject = Subject::verdict("", &report, &Base::here());
                let page = sheet == Sheet::Html;
                sheet.write(&[if page { subject.with_page(&report, &rules) } else { subject }], out)
            }
        })?;
        Ok(status)
    })
}

/// What is asked: does this load into that, and how much must hold?
pub(super) struct Pair<'a> {
    pub(super) source: &'a Checkpoint,
    pub(super) target: &'a Checkpoint,
    /// The container that was asked for by name.
    pub(super) container: Option<&'a str>,
    pub(super) level: Level,
}

impl Pair<'_> {
    /// Chooses the container, aligns, compares, explains, judges, and hands the report on.
    pub(super) fn judged<R>(
        &self,
        rules: &RuleSet,
        then: impl FnOnce(Report<'_>) -> Result<R, Failure>,
    ) -> Result<R, Failure> {
        self.judged_by(rules, false, |report, _| then(report))
    }

    /// As [`Pair::judged`]; with `content` the values are read where names do not settle everything, and equal bytes make
    /// pairs. What is known of the content is handed on as well.
    fn judged_by<R>(
        &self,
        rules: &RuleSet,
        content: bool,
        then: impl FnOnce(Report<'_>, &Known) -> Result<R, Failure>,
    ) -> Result<R, Failure> {
        let (source, target, others) = choose(self.source, self.target, self.container)?;
        let mut alignment = align(&source, &target, rules);
        let mut known = if content { Known::of(&source, &target) } else { Known::default() };
        if content && !Known::settled(&alignment) {
            known.complete(&source, &target);
            alignment = align_with(&source, &target, rules, &known.pairs(&source, &target));
        }
        let differences = compare(&source, &target, &alignment);
        let mut findings = explain(&source, &target, &alignment, &differences, rules);
        if self.container.is_none() {
            add_container(&mut findings, &source, &target, &alignment, rules);
        }
        findings.splice(0..0, inspect::of_both(source.checkpoint, target.checkpoint));
        let evidence = Evidence { others, ..Evidence::new(&source, &target, &alignment, &differences, findings) };
        then(judge(evidence, self.level), &known)
    }
}

/// Reads one side. A file that breaks off before its first tensor leaves nothing to compare.
pub(super) fn side(path: &Path) -> Result<Checkpoint, Failure> {
    let checkpoint = read(path)?;
    match checkpoint.remarks.iter().find(|r| r.error) {
        Some(remark) if checkpoint.tensors.is_empty() && !checkpoint.complete => Err(Failure::of_remark(path, remark)),
        _ => Ok(checkpoint),
    }
}

/// A command that is misspelt is taken for a path; where there is no such file, the command is named.
fn hint_at_command(failure: Failure, source: &Path) -> Failure {
    let cli = Cli::command();
    let commands = cli.get_subcommands().map(clap::Command::get_name);
    match source.to_str().filter(|_| !source.exists()).and_then(|word| suggest::nearest(word, commands)) {
        Some(near) => failure.help(format!("did you mean the command `{near}`?")),
        None => failure,
    }
}

/// Picks the state_dict of each side, and lists what else the source holds.
pub(super) fn choose<'a>(
    source: &'a Checkpoint,
    target: &'a Checkpoint,
    named: Option<&str>,
) -> Result<(StateDict<'a>, StateDict<'a>, Vec<Candidate>), Failure> {
    let candidates = source.candidates();
    let target_view = StateDict::below(target, first_with_tensors(target, &target.candidates()));
    let chosen = match named {
        Some(name) => named_container(source, &candidates, name)?,
        None => most_identical(source, &candidates, &target_view),
    };
    let others = candidates.into_iter().filter(|c| c.container != chosen).collect();
    Ok((StateDict::below(source, chosen), target_view, others))
}

/// The container that `--container` names.
pub(super) fn named_container(source: &Checkpoint, candidates: &[Candidate], name: &str) -> Result<u32, Failure> {
    if let Some(candidate) = candidates.iter().find(|c| c.name == name) {
        return Ok(candidate.container);
    }
    let path = source.path.display();
    let failure = Failure::new(format!("{path}: no tensors under {}", quoted(name)));
    let names = || candidates.iter().map(|c| c.name.as_str()).filter(|n| !n.is_empty());
    let listed: Vec<String> = names().take(8).map(quoted).collect();
    Err(match (suggest::nearest(name, names()), listed.as_slice()) {
        (Some(near), _) => failure.help(format!("did you mean {}?", quoted(near))),
        (None, []) => failure.help("the file is one flat dict of tensors; leave --container out"),
        (None, listed) => failure.help(format!("it holds {}", listed.join(", "))),
    })
}

/// The container with the most names of the target; where none has any, the first on the way down that holds tensors itself.
pub(super) fn most_identical(source: &Checkpoint, candidates: &[Candidate], target: &StateDict<'_>) -> u32 {
    let mut best = (0, first_with_tensors(source, candidates));
    if matches!(candidates, [only] if only.container == best.1) {
        return best.1;
    }
    let wanted: HashSet<&str, foldhash::fast::RandomState> = target.entries.iter().map(|e| e.key.as_str()).collect();
    for candidate in candidates {
        let view = StateDict::below(source, candidate.container);
        let hits = view.entries.iter().filter(|e| wanted.contains(e.key.as_str())).count();
        if hits > best.0 {
            best = (hits, candidate.container);
        }
    }
    best.1
}

/// From the top down, always into the container with the most tensors, to the first that holds some directly.
pub(super) fn first_with_tensors(checkpoint: &Checkpoint, candidates: &[Candidate]) -> u32 {
    let mut at = 0;
    while checkpoint.containers.get(at as usize).is_some_and(|c| c.tensors == 0) {
        let parent = |c: &&Candidate| checkpoint.containers.get(c.container as usize).and_then(|c| c.parent);
        // `max_by_key` takes the last of equals; the first is wanted.
        match candidates.iter().rev().filter(|c| parent(c) == Some(at)).max_by_key(|c| c.tensors) {
            Some(inner) => at = inner.container,
            None => break,
        }
    }
    at
}
