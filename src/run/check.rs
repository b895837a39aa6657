//! `ckdiff check`: what `ckdiff.toml` says must hold.

use std::collections::{BTreeMap, HashSet};
use std::io::Write;
use std::path::{Path, PathBuf};

use super::verdict::{Pair, side};
use super::{Failure, Status, deliver};
use crate::checkpoint::{Checkpoint, escaped};
use crate::cli::{CheckArgs, Cli, FormatKind};
use crate::config::{Config, Contract, NAME, SCHEMA};
use crate::explain::{Finding, Severity};
use crate::judge::{Baseline, Fingerprint, Ignore, Known, Place, Report, Standing};
use crate::report::base::Base;
use crate::report::check::{self, Checked};
use crate::report::style::Style;
use crate::report::subject::{Sheet, Subject, unreadable};
use crate::rules::RuleSet;

mod baseline;
mod select;
mod sheets;
mod update;

use select::{Job, Selection};

/// Runs the contracts that the given files belong to, or all of them.
pub(super) fn run(
    cli: &Cli,
    args: &CheckArgs,
    style: &Style,
    out: &mut dyn Write,
    notes: &mut dyn Write,
) -> Result<Status, Failure> {
    if args.schema {
        deliver(cli, out, |out| out.write_all(SCHEMA.as_bytes()))?;
        return Ok(Status::Holds);
    }
    let config = Config::load(&find(args)?)?;
    if config.contracts.is_empty() {
        note(cli, notes, &format!("{} has no [[contract]]: nothing is promised", config.path.display()));
    }
    let selection = Selection::of(&config, args)?;
    let before = match &args.baseline {
        Some(path) => baseline::read(path, args.update_baseline)?,
        None => Baseline::default(),
    };
    // What is about to be accepted need not be complained of.
    let format = (!args.update_baseline).then(|| cli.common.format.kind());
    let (rules, all, subjects) = (Rules::default(), Vec::new(), Vec::new());
    let mut run = Run { cli, config: &config, baseline: &before, style, format, rules, all, subjects };
    if args.update {
        return update::run(run, &selection.jobs, out, notes);
    }
    for job in &selection.jobs {
        run.contract(job, out)?;
    }
    let all = run.close(args, selection.complete, out)?;
    if let (Some(path), true) = (&args.baseline, args.update_baseline) {
        let said = baseline::write(path, &before, &all)?;
        note(cli, notes, &said);
        return Ok(if all.iter().any(|c| c.unread) { Status::Unfinished } else { Status::Holds });
    }
    if !all.is_empty() {
        note(cli, notes, &check::summary(&all));
    }
    Ok(if all.iter().any(|c| c.unread) {
        Status::Unfinished
    } else if all.iter().all(Checked::holds) {
        Status::Holds
    } else {
        Status::Fails
    })
}

/// Says something beside the result. Where standard error is closed there is nobody to tell.
fn note(cli: &Cli, notes: &mut dyn Write, text: &str) {
    if !cli.common.quiet {
        let _ = writeln!(notes, "ckdiff check: {text}");
    }
}

/// The configuration: the one that was named, or the nearest.
fn find(args: &CheckArgs) -> Result<PathBuf, Failure> {
    if let Some(path) = &args.config {
        return Ok(path.clone());
    }
    Config::find(Path::new(".")).ok_or_else(|| {
        Failure::new(format!("no {NAME} here or in a folder above")).help(
            "it says what must hold; the shortest is:\n[[contract]]\nname = \"model\"\nsource = \"weights/*.pth\"\n\
             expected = \"expected.json\"",
        )
    })
}

/// The rules of contracts, each folder read once.
#[derive(Default)]
struct Rules(BTreeMap<Option<PathBuf>, RuleSet>);

impl Rules {
    /// The rules of a contract: its own folder, else the one of the command line, over those that ship.
    fn of(&mut self, cli: &Cli, config: &Config, contract: &Contract) -> Result<&RuleSet, Failure> {
        let folder = contract.rules.as_ref().map(|r| config.at(r)).or_else(|| cli.common.rules.clone());
        if !self.0.contains_key(&folder) {
            let rules = match &folder {
                Some(folder) => RuleSet::embedded_and(folder)?,
                None => RuleSet::embedded(),
            };
            self.0.insert(folder.clone(), rules);
        }
        self.0.get(&folder).ok_or_else(|| Failure::new("the rules are gone"))
    }
}

/// A run over contracts.
struct Run<'a> {
    cli: &'a Cli,
    config: &'a Config,
    baseline: &'a Baseline,
    style: &'a Style,
    /// How to write what is found; `None` where it is only counted.
    format: Option<FormatKind>,
    rules: Rules,
    all: Vec<Checked>,
    /// What the formats for review tools show.
    subjects: Vec<Subject>,
}

impl Run<'_> {
    /// Checks every source of one contract, and says what is wrong as soon as it is known.
    fn contract(&mut self, job: &Job<'_>, out: &mut dyn Write) -> Result<(), Failure> {
        let contract = job.contract;
        self.unmatched(job, out)?;
        if job.sources.is_empty() {
            return Ok(());
        }
        let expected = self.config.at(&contract.expected);
        let target = match side(&expected) {
            Ok(target) => target,
            Err(failure) => {
                let missing = !expected.exists();
                let failure =
                    if missing { failure.help("ckdiff check --update writes it from the source") } else { failure };
                return self.loose(contract, "", &expected, vec![(unread(failure), None)], out);
            }
        };
        for source in &job.sources {
            let path = self.config.at(source);
            match side(&path) {
                Ok(checkpoint) => self.pair(job, source, &checkpoint, &target, out)?,
                Err(failure) => self.loose(contract, source, &path, vec![(unread(failure), None)], out)?,
            }
        }
        Ok(())
    }

    /// Says which entries of `source` match no file.
    fn unmatched(&mut self, job: &Job<'_>, out: &mut dyn Write) -> Result<(), Failure> {
        let contract = job.contract;
        let unmatched = job.unmatched.iter().filter_map(|&i| contract.sources.get(i)).map(|source| {
            let message = format!("`{}` matches no file ({}:{})", source.text, self.config.path.display(), source.line);
            let help = "correct the path, or fetch the file; a contract without files guards nothing";
            (finding("CK903", Severity::Error, message, help, &source.text), Some(source.line))
        });
        let unmatched: Vec<(Finding, Option<usize>)> = unmatched.collect();
        self.loose(contract, "", &self.config.path, unmatched, out)
    }

    fn pair(
        &mut self,
        job: &Job<'_>,
        path: &str,
        source: &Checkpoint,
        target: &Checkpoint,
        out: &mut dyn Write,
    ) -> Result<(), Failure> {
        let contract = job.contract;
        let pair = Pair { source, target, container: contract.container.as_deref(), level: contract.level };
        let (cli, config, baseline, style, format) = (self.cli, self.config, self.baseline, self.style, self.format);
        let place = Place { contract: &contract.name, source: path };
        let subjects = &mut self.subjects;
        let rules = self.rules.of(cli, config, contract)?;
        let judged = pair.judged(rules, |report: Report<'_>| {
            let checked = Checked {
                answer: Some((report.verdict, report.coverage)),
                findings: config.policy.weigh(&report, place, baseline),
                ..empty(contract, path)
            };
            match format {
                Some(FormatKind::Text) => deliver(cli, out, |out| check::verdict(&report, &checked, style, out))?,
                Some(FormatKind::Sheet(sheet)) => {
                    let several = job.sources.len() > 1;
                    let name = if several { format!("{}: {path}", contract.name) } else { contract.name.clone() };
                    let subject = Subject::verdict(name, &report, &Base::here());
                    let page = sheet == Sheet::Html;
                    let subject = if page { subject.with_page(&report, rules) } else { subject };
                    subjects.push(sheets::overrule(subject, &checked.findings, &config.policy));
                }
                Some(FormatKind::Json) | None => {}
            }
            Ok(checked)
        });
        match judged {
            Ok(checked) => self.all.push(checked),
            // The container that the contract names is not in this file.
            Err(failure) => self.loose(contract, path, &config.at(path), vec![(unread(failure), None)], out)?,
        }
        Ok(())
    }

    /// Findings about a contract that are no part of a verdict, each on a line of `file` where known.
    fn loose(
        &mut self,
        contract: &Contract,
        source: &str,
        file: &Path,
        findings: Vec<(Finding, Option<usize>)>,
        out: &mut dyn Write,
    ) -> Result<(), Failure> {
        self.weigh(findings, empty(contract, source), file, out)
    }

    fn weigh(
        &mut self,
        findings: Vec<(Finding, Option<usize>)>,
        mut checked: Checked,
        file: &Path,
        out: &mut dyn Write,
    ) -> Result<(), Failure> {
        if findings.is_empty() {
            return Ok(());
        }
        let policy = &self.config.policy;
        let place = Place { contract: &checked.contract, source: &checked.source };
        checked.findings = findings.iter().map(|(f, _)| policy.weigh_one(f, place, self.baseline)).collect();
        checked.unread = checked.findings.iter().any(|w| w.standing == Standing::Fails && unreadable(w.finding.code));
        match self.format {
            Some(FormatKind::Text) => {
                deliver(self.cli, out, |out| check::findings(&checked, self.style, out))?;
            }
            Some(FormatKind::Sheet(_)) => {
                let name = checked.contract.clone();
                self.subjects.push(sheets::other(name, file, &findings, &checked.findings, policy));
            }
            Some(FormatKind::Json) | None => {}
        }
        self.all.push(checked);
        Ok(())
    }

    /// What can be said only at the end: which decisions of the project concern nothing any more.
    fn close(mut self, args: &CheckArgs, complete: bool, out: &mut dyn Write) -> Result<Vec<Checked>, Failure> {
        // Of a part of the contracts it cannot be said that nothing matches.
        if complete {
            self.weigh(self.unused(), Checked::default(), &self.config.path, out)?;
            if let (Some(path), false) = (&args.baseline, args.update_baseline) {
                self.weigh(self.stale(path), Checked::default(), path, out)?;
            }
        }
        match self.format {
            Some(FormatKind::Json) => deliver(self.cli, out, |out| check::json(&self.all, &self.config.policy, out))?,
            Some(FormatKind::Sheet(sheet)) => deliver(self.cli, out, |out| sheet.write(&self.subjects, out))?,
            Some(FormatKind::Text) | None => {}
        }
        Ok(self.all)
    }

    /// Ignores that matched nothing.
    fn unused(&self) -> Vec<(Finding, Option<usize>)> {
        let used = |index| self.all.iter().flat_map(|c| &c.findings).any(|w| w.standing == Standing::Ignored(index));
        let unused = self.config.policy.ignores.iter().enumerate().filter(|(index, _)| !used(*index));
        let say = |(_, ignore): (usize, &Ignore)| {
            let what = ignore.code.or(ignore.rule.as_deref()).unwrap_or_default();
            let path = self.config.path.display();
            let message = format!("an ignore of {what} matches nothing ({path}:{}): {}", ignore.line, ignore.reason);
            let help = "remove it, or correct what it matches";
            (finding("CK904", Severity::Warning, message, help, what), Some(ignore.line))
        };
        unused.map(say).collect()
    }

    /// Entries of the baseline that were not found.
    fn stale(&self, path: &Path) -> Vec<(Finding, Option<usize>)> {
        let found: HashSet<Fingerprint> = self.all.iter().flat_map(|c| &c.findings).map(|w| w.fingerprint).collect();
        let stale: Vec<&Known> = self.baseline.iter().filter(|known| !found.contains(&known.fingerprint)).collect();
        let Some(first) = stale.first() else { return Vec::new() };
        let line = baseline::line(path, first.fingerprint);
        let first = first.to_string();
        let more = if stale.len() > 1 { format!(" and {} more", stale.len() - 1) } else { String::new() };
        let message = format!("{}: gone from the findings: {first}{more}", path.display());
        let help = "good: it can be dropped, which --update-baseline does";
        vec![(finding("CK905", Severity::Warning, message, help, &first), line)]
    }
}

fn empty(contract: &Contract, path: &str) -> Checked {
    Checked {
        contract: contract.name.clone(),
        source: path.to_owned(),
        expected: contract.expected.clone(),
        level: contract.level,
        ..Checked::default()
    }
}

/// A side that cannot be read, as a finding: the other contracts are still checked.
fn unread(failure: Failure) -> Finding {
    let (code, what, help) = failure.into_parts();
    Finding::new(code.unwrap_or("CK105"), Severity::Error, what, help)
}

fn finding(code: &'static str, severity: Severity, message: String, help: &str, about: &str) -> Finding {
    Finding { examples: vec![escaped(about).into_owned()], ..Finding::new(code, severity, message, help) }
}
