//! From parsed arguments through the pipeline to bytes and an exit status. Nothing here prints: streams are given.

use std::io::{self, Write};

use clap::ValueEnum as _;

use crate::cli::{Cli, ColorArg, Command, FormatKind};
use crate::report::style::Style;
use crate::rules::RuleSet;

mod check;
mod completions;
mod convert;
mod explain;
mod failure;
mod inspect;
mod progress;
mod rules;
mod snapshot;
mod suggest;
mod verdict;

pub use failure::Failure;

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

impl Cli {
    /// How to lay text out on standard output, by the flags and by what the stream is.
    pub fn style(&self) -> Style {
        Style { all: self.common.all, ..Style::of(&io::stdout(), self.color()) }
    }

    /// The same for standard error.
    pub fn error_style(&self) -> Style {
        Style::of(&io::stderr(), self.color())
    }

    fn color(&self) -> Option<bool> {
        match self.common.color {
            ColorArg::Auto => None,
            ColorArg::Always => Some(true),
            ColorArg::Never => Some(false),
        }
    }
}

/// Does what the arguments ask for; results go to `out`, what is only worth saying beside them to `notes`.
///
/// # Errors
/// Where the question cannot be answered: a path that cannot be read, an unknown container, a rule that is not one.
pub fn run(cli: &Cli, style: &Style, out: &mut dyn Write, notes: &mut dyn Write) -> Result<Status, Failure> {
    if let (Some(_), Some(path)) = (&cli.command, &cli.verdict.source) {
        let what = format!("{}: a path before a command has no meaning", path.display());
        return Err(Failure::new(what).help("for a file that is called like a command, write ./ before its name"));
    }
    applies(cli)?;
    match &cli.command {
        None => verdict::run(cli, &cli.verdict, style, out),
        Some(Command::Inspect(args)) => inspect::run(cli, args, style, out),
        Some(Command::Snapshot(args)) => snapshot::run(cli, args, out),
        Some(Command::Check(args)) => check::run(cli, args, style, out, notes),
        Some(Command::Explain(args)) => explain::run(cli, args, style, out),
        Some(Command::Convert(args)) => convert::run(cli, args, style, out),
        Some(Command::Rules(args)) => rules::run(cli, args, style, out),
        Some(Command::Completions(args)) => completions::completions(cli, args, out),
        Some(Command::Man) => completions::man(cli, out),
    }
}

/// A format that a command has no use for is refused: text where SARIF was asked for would end in somebody's upload.
fn applies(cli: &Cli) -> Result<(), Failure> {
    let format = cli.common.format;
    let (command, instead) = match &cli.command {
        Some(Command::Completions(_)) => ("completions", "a script alone; leave --format out"),
        Some(Command::Man) => ("man", "a manual page alone; leave --format out"),
        Some(Command::Explain(_)) => ("explain", "text and json"),
        Some(Command::Rules(_)) => ("rules", "text and json"),
        Some(Command::Convert(_)) => ("convert", "text and json"),
        Some(Command::Snapshot(_)) => ("snapshot", "expected.json alone; leave --format out"),
        Some(Command::Check(args)) if args.update => ("check --update", "text alone; leave --format out"),
        None | Some(Command::Inspect(_) | Command::Check(_)) => return Ok(()),
    };
    // What the others write for people is easily had as JSON; what an update says is for people alone.
    let json = !matches!(&cli.command, Some(Command::Check(_)));
    if format.kind() == FormatKind::Text || (json && format.kind() == FormatKind::Json) {
        return Ok(());
    }
    let name = format.to_possible_value().map(|v| v.get_name().to_owned()).unwrap_or_default();
    Err(Failure::new(format!("--format {name} has no meaning for `{command}`")).help(format!("it writes {instead}")))
}

/// The rules that ship with the program, and the user's over them.
fn rules(cli: &Cli) -> Result<RuleSet, Failure> {
    match &cli.common.rules {
        Some(folder) => Ok(RuleSet::embedded_and(folder)?),
        None => Ok(RuleSet::embedded()),
    }
}

/// Writes a result unless none is wanted. A reader that went away (`| head`) is no error: what it wanted it has, and the
/// exit status still says the verdict.
fn deliver(
    cli: &Cli,
    out: &mut dyn Write,
    write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> Result<(), Failure> {
    if cli.common.quiet {
        return Ok(());
    }
    match write(out).and_then(|()| out.flush()) {
        Err(e) if e.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::new(format!("cannot write the result: {e}")).help("the disk may be full"))
        }
        _ => Ok(()),
    }
}
