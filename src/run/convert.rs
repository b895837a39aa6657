//! `ckdiff convert`: the plan, the files, and whether they load.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::PathBuf;

use super::progress::Progress;
use super::verdict::{choose, named_container, side};
use super::{Failure, Status, deliver, rules};
use crate::align::{Alignment, align};
use crate::checkpoint::{Checkpoint, Dtype, Format, StateDict};
use crate::cli::{Cli, ConvertArgs, FormatArg};
use crate::compare::{Difference, compare};
use crate::convert::{self, ConvertError, Destination, Options, Plan, Renames, leftovers, parse_size, write};
use crate::explain::{Finding, Remedy, Severity, explain};
use crate::inspect::{inspect, main_container, of_both};
use crate::judge::{Evidence, Level, Report, judge};
use crate::report::convert::{Conversion, Loads, json, text};
use crate::report::style::Style;
use crate::report::text as verdict_text;
use crate::rules::RuleSet;

/// Plans, writes, and looks at the result.
pub(super) fn run(cli: &Cli, args: &ConvertArgs, style: &Style, out: &mut dyn Write) -> Result<Status, Failure> {
    let options = options(args)?;
    let source = side(&args.source)?;
    let Some(path) = &args.to else {
        return renamed(cli, args, options, &source, style, out);
    };
    let rules = rules(cli)?;
    let target = side(path)?;
    let (source, target, _) = choose(&source, &target, args.container.as_deref())?;
    let level = match (options.partial, options.resize) {
        (true, _) => Level::Partial,
        (_, true) => Level::Resizable,
        _ => Level::Fixable,
    };
    with_report(&source, &target, &rules, level, |report, differences| {
        if !may_be_written(report) {
            return refuse(cli, report, options, style, out);
        }
        let plan = match Plan::matched(report, differences, &rules, options) {
            Ok(plan) => plan,
            Err(e) => return Err(e.into()),
        };
        let job = Job { cli, args, options, source: &source, target: Some(&target), rules: Some(&rules), plan: &plan };
        job.finish(style, out)
    })
}

fn options(args: &ConvertArgs) -> Result<Options, Failure> {
    let dtype = match &args.dtype {
        None => None,
        Some(name) => {
            let known = Dtype::parse(name).filter(|d| convert::is_number(*d));
            Some(known.ok_or_else(|| {
                Failure::new(format!("--dtype {name}: not a dtype that values can be written in"))
                    .help("f32, f16, bf16 or f64")
            })?)
        }
    };
    Ok(Options { dtype, resize: args.resize, partial: args.partial, unread: false, groups: args.groups })
}

/// Runs the stages from alignment to report, and hands the report on.
fn with_report<T>(
    source: &StateDict<'_>,
    target: &StateDict<'_>,
    rules: &RuleSet,
    level: Level,
    then: impl FnOnce(&Report<'_>, &[Difference]) -> T,
) -> T {
    let alignment: Alignment = align(source, target, rules);
    let differences = compare(source, target, &alignment);
    let mut findings = explain(source, target, &alignment, &differences, rules);
    findings.splice(0..0, of_both(source.checkpoint, target.checkpoint).into_iter().filter(|f| !harmless(f)));
    // What stands before the findings of the alignment claims nothing, so that their claims stay what they are.
    let evidence = Evidence::new(source, target, &alignment, &differences, findings);
    then(&judge(evidence, level), &differences)
}

/// Code that a pickle asks for is not run here, and does not get into the result.
fn harmless(finding: &Finding) -> bool {
    finding.code.starts_with("CK5")
}

/// Whether what was asked for can be had: everything that the level promises, and nothing that would load and be wrong.
fn may_be_written(report: &Report<'_>) -> bool {
    report.holds
}

/// Says why nothing is written.
fn refuse(
    cli: &Cli,
    report: &Report<'_>,
    options: Options,
    style: &Style,
    out: &mut dyn Write,
) -> Result<Status, Failure> {
    deliver(cli, out, |out| {
        if cli.common.format == FormatArg::Json {
            return crate::report::json::verdict(report, out);
        }
        verdict_text::verdict(report, style, out)?;
        let hint = match report.needs {
            Remedy::Resize if !options.resize => "; --resize writes it resized",
            Remedy::Lost if report.coverage.after > 0 => "; --partial writes what loads",
            _ => "",
        };
        writeln!(out, "nothing was written{hint}")
    })?;
    Ok(Status::Fails)
}

/// Without a target: every tensor under its own name, or under the one that a file gives it.
fn renamed(
    cli: &Cli,
    args: &ConvertArgs,
    options: Options,
    source: &Checkpoint,
    style: &Style,
    out: &mut dyn Write,
) -> Result<Status, Failure> {
    let renames = args.renames.as_deref().map(Renames::read).transpose()?;
    let container = args.container.as_deref().or(renames.as_ref().and_then(|r| r.container.as_deref()));
    let container = match container {
        Some(name) => named_container(source, &source.candidates(), name)?,
        None => main_container(source),
    };
    let broken: Vec<Finding> =
        (inspect(source).findings.into_iter()).filter(|f| f.severity == Severity::Error && !harmless(f)).collect();
    if !broken.is_empty() && !options.partial {
        deliver(cli, out, |out| {
            verdict_text::findings(&broken, style, out)?;
            writeln!(out, "nothing was written; --partial writes what can be read")
        })?;
        return Ok(Status::Fails);
    }
    let view = StateDict::below(source, container);
    if view.entries.is_empty() {
        return Err(Failure::new(format!("{}: no tensors to write", source.path.display())));
    }
    let plan = match &renames {
        Some(renames) => Plan::named(&view, options, |key| renames.name(key))?,
        None => Plan::same(&view, options)?,
    };
    let job = Job { cli, args, options, source: &view, target: None, rules: None, plan: &plan };
    job.finish(style, out)
}

/// A plan and what it is for.
struct Job<'a> {
    cli: &'a Cli,
    args: &'a ConvertArgs,
    options: Options,
    source: &'a StateDict<'a>,
    target: Option<&'a StateDict<'a>>,
    rules: Option<&'a RuleSet>,
    plan: &'a Plan,
}

impl Job<'_> {
    /// Shows the plan, or carries it out and shows what came of it.
    fn finish(&self, style: &Style, out: &mut dyn Write) -> Result<Status, Failure> {
        let destination = self.destination()?;
        let mut shown = Conversion {
            source: self.source,
            target: self.target,
            plan: self.plan,
            files: Vec::new(),
            bytes: self.plan.bytes(),
            written: false,
            loads: Loads::Unknown,
            stale: Vec::new(),
        };
        if let Some(destination) = &destination {
            shown.files = destination.files(self.plan)?;
            shown.stale = leftovers(&destination.path);
        }
        if let Some(destination) = destination.filter(|_| !self.args.dry_run) {
            let mut progress = Progress::new(self.plan.bytes(), !self.cli.common.quiet);
            let mut loads = Loads::Unknown;
            let mut accept = |result: &Checkpoint| {
                loads = self.verified(result)?;
                Ok(())
            };
            let metadata = self.metadata();
            let mut tell = |done| progress.tell(done);
            let written = write(self.plan, self.source, self.target, &destination, &metadata, &mut tell, &mut accept)?;
            (shown.bytes, shown.written, shown.loads) = (written.bytes, true, loads);
        }
        deliver(self.cli, out, |out| match self.cli.common.format {
            FormatArg::Json => json(&shown, out),
            _ => text(&shown, style, out),
        })?;
        Ok(Status::Holds)
    }

    fn destination(&self) -> Result<Option<Destination>, Failure> {
        let Some(path) = &self.args.output else { return Ok(None) };
        let size = self.args.shard_size.as_deref().map(parse_size).transpose();
        let shard_size = size.map_err(|e| Failure::new(format!("--shard-size: {e}")).help("5GB, 500MB, 2GiB"))?;
        let mut inputs: Vec<PathBuf> = vec![self.args.source.clone()];
        inputs.extend(self.source.checkpoint.files.iter().cloned());
        inputs.extend(self.args.renames.clone());
        if let Some(target) = self.target {
            inputs.push(target.checkpoint.path.clone());
            inputs.extend(target.checkpoint.files.iter().cloned());
        }
        Ok(Some(Destination { path: path.clone(), shard_size, replace: self.args.force, inputs }))
    }

    /// What the file says of itself: what the source said, and where it comes from.
    fn metadata(&self) -> BTreeMap<String, String> {
        let checkpoint = self.source.checkpoint;
        let mut all = BTreeMap::new();
        // Of a pickle's archive the pairs describe the archive, which is not what is written.
        if matches!(checkpoint.format, Format::Safetensors | Format::SafetensorsSharded) {
            all.extend(checkpoint.metadata.iter().cloned());
        }
        all.entry("format".into()).or_insert_with(|| "pt".into());
        let name = checkpoint.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let changes: Vec<String> =
            self.plan.changes().into_iter().map(|(change, keys)| format!("{} {}", keys.len(), change.id())).collect();
        all.insert("ckdiff.version".into(), env!("CARGO_PKG_VERSION").into());
        all.insert("ckdiff.source".into(), name);
        all.insert("ckdiff.source_format".into(), checkpoint.format.id().into());
        all.insert("ckdiff.changes".into(), changes.join(", "));
        if !self.source.container.is_empty() {
            all.insert("ckdiff.container".into(), self.source.container.into());
        }
        if !self.plan.tied.is_empty() {
            let tied: BTreeMap<&str, &str> = self.plan.tied.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
            all.insert("ckdiff.tied".into(), serde_json::json!(tied).to_string());
        }
        all
    }

    /// Whether what was written loads into the target, by the same stages as any other file.
    fn verified(&self, result: &Checkpoint) -> Result<Loads, ConvertError> {
        let (Some(target), Some(rules)) = (self.target, self.rules) else { return Ok(Loads::Unknown) };
        let result = StateDict::below(result, 0);
        with_report(&result, target, rules, Level::Fixable, |report, _| {
            let of = target.entries.len();
            let all = report.coverage.before;
            let fresh = of.saturating_sub(all);
            let complete = all == self.plan.outputs.len();
            match (complete, fresh) {
                (true, 0) if report.holds => Ok(Loads::Strictly),
                (true, n) if n == self.plan.rebuilt.len() && report.holds => Ok(Loads::ButBuilt(n)),
                (true, _) if self.options.partial => Ok(Loads::Partly(all, of)),
                _ => {
                    let what = format!("the result would load {all} of {of} keys");
                    Err(ConvertError::new(
                        what,
                        "nothing was kept; this is a fault of ckdiff: report it with the command",
                    ))
                }
            }
        })
    }
}
