//! The command line: clap definitions only.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::judge::Level;
use crate::report::emit::Form;
use crate::report::subject::Sheet;
use crate::values::Mode;

mod size;

const USAGE: &str = "ckdiff [OPTIONS] <SOURCE> <TARGET>\n       ckdiff [OPTIONS] <COMMAND>";

const AFTER_HELP: &str = "\
Examples:
  ckdiff model.pth expected.json                  will it load, if not why, what is the fix
  ckdiff model.pth expected.json --level fixable  accept what a rename or a drop can mend
  ckdiff model.pth other.safetensors --all        two checkpoints, every key listed
  ckdiff old.pth new.safetensors --values         how far the values are apart
  ckdiff model.pth expected.json --format json    for programs
";

const AFTER_LONG_HELP: &str = r#"Examples:
  ckdiff model.pth expected.json                  will it load, if not why, what is the fix
  ckdiff model.pth expected.json --level fixable  accept what a rename or a drop can mend
  ckdiff model.pth other.safetensors --all        two checkpoints, every key listed
  ckdiff old.pth new.safetensors --values         how far the values are apart
  ckdiff model.pth expected.json --format json    for programs

expected.json says which keys, shapes and dtypes a model wants. Python writes it
where the model can be built:
  import json
  expected = {k: {"dtype": str(v.dtype), "shape": list(v.shape)}
              for k, v in model.state_dict().items()}
  json.dump(expected, open("expected.json", "w"))
In ckdiff's repository, examples/python has the same for PACKAGE.MODULE:CLASS, without
memory, and for a config of MMEngine, Transformers or timm.

Nothing is printed when SOURCE loads into TARGET as it is, as with diff;
--all prints the report all the same.

Exit status:
  0  SOURCE loads into TARGET at the chosen level
  1  it does not
  2  could not finish: arguments, reading, rules
"#;

/// Will this checkpoint load into that model, if not why, and what is the smallest fix?
///
/// Compares the keys, shapes and dtypes of SOURCE with those that TARGET expects. Reads headers only, never runs what a
/// pickle asks for, and needs no Python.
#[derive(Debug, Parser)]
#[command(arg_required_else_help = true, override_usage = USAGE)]
#[command(name = "ckdiff", version, after_help = AFTER_HELP, after_long_help = AFTER_LONG_HELP)]
pub struct Cli {
    /// Another question than the verdict.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// The verdict: what it compares and what it promises.
    #[command(flatten)]
    pub verdict: VerdictArgs,
    /// What every command takes.
    #[command(flatten)]
    pub common: Common,
}

/// The commands beside the verdict.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show what is in a file: format, containers, tensors, sizes, what a pickle asks for
    Inspect(InspectArgs),
    /// Write what a checkpoint holds as expected.json, one key a line
    Snapshot(SnapshotArgs),
    /// Check that what ckdiff.toml promises holds: what pre-commit and CI call
    Check(CheckArgs),
    /// Explain a pasted error text or log: what went wrong when weights were loaded
    Explain(ExplainArgs),
    /// Write the checkpoint that loads, as safetensors, without running what a pickle asks for
    Convert(ConvertArgs),
    /// List all rules and codes, or print the page of one
    Rules(RulesArgs),
    /// Write a script that completes commands and flags in a shell
    Completions(CompletionsArgs),
    /// Write the manual page: ckdiff man | man -l -
    Man,
}

/// The arguments of `ckdiff inspect`.
#[derive(Debug, Args)]
pub struct InspectArgs {
    /// A checkpoint in any format, an index of shards, a folder that holds one, or expected.json
    #[arg(value_name = "FILE", required = true)]
    pub files: Vec<PathBuf>,
    /// Print only what is wrong, as a linter does, and nothing of files that are fine
    #[arg(long)]
    pub brief: bool,
    /// Fail on larger files (100MB, 2GiB) unless git-lfs manages them
    #[arg(long, value_name = "SIZE", value_parser = size::size)]
    pub max_size: Option<u64>,
}

/// The arguments of `ckdiff snapshot`.
#[derive(Debug, Args)]
pub struct SnapshotArgs {
    /// The checkpoint to list; several files (shards, snapshots of shards) are listed one after another
    #[arg(value_name = "FILE", required = true)]
    pub files: Vec<PathBuf>,
    /// Read the values as well: a digest and a summary of the numbers for every tensor
    #[arg(long)]
    pub digest: bool,
    /// Where to write; standard output when not given
    #[arg(short, long, value_name = "PATH")]
    pub output: Option<PathBuf>,
    /// The dict inside FILE to list (`state_dict`, `model.ema`); the one with the most tensors when not given
    #[arg(long, value_name = "NAME")]
    pub container: Option<String>,
    /// Say what cannot be read in place of the keys, with exit status 0: for git, which gives up otherwise
    #[arg(long, conflicts_with = "output")]
    pub textconv: bool,
}

/// The arguments of `ckdiff check`.
#[derive(Debug, Args)]
pub struct CheckArgs {
    /// Check the contracts that these files belong to; all where none is given
    #[arg(value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// The configuration; looked for in this folder and those above when not given
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Accept the findings that this file lists, and fail on new ones only
    #[arg(long, value_name = "FILE")]
    pub baseline: Option<PathBuf>,
    /// Write what is found now into the file of --baseline
    #[arg(long, requires = "baseline")]
    pub update_baseline: bool,
    /// Take every expected.json anew that was taken of its source, and say what that means for old checkpoints
    #[arg(long, conflicts_with_all = ["baseline", "update_baseline"])]
    pub update: bool,
    /// Print the JSON schema of ckdiff.toml, for editors
    #[arg(long, exclusive = true)]
    pub schema: bool,
}

/// The arguments of `ckdiff explain`.
#[derive(Debug, Args)]
pub struct ExplainArgs {
    /// The text: a log, a traceback, a notebook; - reads standard input
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// The checkpoint that was loaded: what the text says is checked against the file itself
    #[arg(long, value_name = "FILE")]
    pub source: Option<PathBuf>,
    /// What the model expects: expected.json, or another checkpoint
    #[arg(long, value_name = "FILE")]
    pub target: Option<PathBuf>,
    /// Write the fix as code to paste, instead of the explanation
    #[arg(long, value_enum, value_name = "FORM")]
    pub emit: Option<EmitArg>,
}

const CONVERT_HELP: &str = r#"Examples:
  ckdiff convert a.pth -o a.safetensors                     another format, the same names
  ckdiff convert a.pth -o b.safetensors --to expected.json  what the model expects
  ckdiff convert a.pth -o b.safetensors --to b.json --dry-run

Values keep their dtype unless --dtype says otherwise. Tied weights are written once
for every key that needs them, so that a strict load finds them all. The result is
read again and compared with TARGET before it gets its name; a run that fails or is
killed leaves the file as it was.

Exit status:
  0  written, and it loads
  1  it would not load; nothing was written
  2  could not finish: arguments, reading, writing
"#;

/// The arguments of `ckdiff convert`.
#[derive(Debug, Args)]
#[command(after_long_help = CONVERT_HELP)]
pub struct ConvertArgs {
    /// The checkpoint to convert: a file in any format, an index of shards, or a folder that holds one
    #[arg(value_name = "SOURCE")]
    pub source: PathBuf,
    /// The safetensors file to write
    #[arg(short, long, value_name = "OUT", required_unless_present = "dry_run")]
    pub output: Option<PathBuf>,
    /// What the model expects: expected.json, or another checkpoint
    #[arg(long, value_name = "TARGET", conflicts_with = "renames")]
    pub to: Option<PathBuf>,
    /// Renames and drops as data, as `--emit json` writes them
    #[arg(long, value_name = "FILE")]
    pub renames: Option<PathBuf>,
    /// The dict inside SOURCE to take (`state_dict`, `model.ema`); chosen by what TARGET needs when not given
    #[arg(long, value_name = "NAME")]
    pub container: Option<String>,
    /// Resize what a rule says how to resize: position tables, vocabularies, input channels
    #[arg(long, requires = "to")]
    pub resize: bool,
    /// The dtype of floating-point tensors: f32, f16, bf16, f64
    #[arg(long, value_name = "DTYPE")]
    pub dtype: Option<String>,
    /// Write what loads even where not all of it does
    #[arg(long)]
    pub partial: bool,
    /// In how many groups the rows of fused queries, keys and values come: 1, or the number of (key-value) heads
    #[arg(long, value_name = "N", requires = "to")]
    pub groups: Option<u64>,
    /// Write several files of at most this size and an index: 5GB, 500MB
    #[arg(long, value_name = "SIZE")]
    pub shard_size: Option<String>,
    /// Replace OUT where it is there already
    #[arg(long)]
    pub force: bool,
    /// Show what would be done; write nothing
    #[arg(long)]
    pub dry_run: bool,
}

/// The arguments of `ckdiff completions`.
#[derive(Debug, Args)]
pub struct CompletionsArgs {
    /// The shell that reads the script
    #[arg(value_enum, value_name = "SHELL")]
    pub shell: clap_complete::Shell,
}

/// The arguments of `ckdiff rules`.
#[derive(Debug, Args)]
pub struct RulesArgs {
    /// The id of a rule (`shapes/swin-window`), a code (`CK103`) or the name of a code (`wrapper-prefix`)
    #[arg(value_name = "ID|CODE")]
    pub name: Option<String>,
}

/// The arguments of `ckdiff SOURCE TARGET`.
#[derive(Debug, Args)]
pub struct VerdictArgs {
    /// The checkpoint: .pth, .pt, .ckpt, .bin, .pkl, .safetensors, an index of shards, or a folder that holds one
    #[arg(value_name = "SOURCE")]
    pub source: Option<PathBuf>,
    /// What the model expects: expected.json, or another checkpoint
    #[arg(value_name = "TARGET")]
    pub target: Option<PathBuf>,
    /// How much must hold for exit status 0
    #[arg(long, value_enum, default_value_t)]
    pub level: LevelArg,
    /// The dict inside SOURCE to load from (`state_dict`, `model.ema`); chosen by what TARGET needs when not given
    #[arg(long, value_name = "NAME")]
    pub container: Option<String>,
    /// Write the fix as code to paste, instead of the report
    #[arg(long, value_enum, value_name = "FORM")]
    pub emit: Option<EmitArg>,
    /// Read the values as well, and say how far they are apart (--values), or whether they are the same (--values=exact)
    #[arg(long, value_enum, value_name = "HOW", num_args = 0..=1, require_equals = true)]
    #[arg(default_missing_value = "statistics", conflicts_with = "emit")]
    pub values: Option<ValuesArg>,
}

/// Values of `--values`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ValuesArg {
    /// Differences, root mean squares, cosines, NaN; does not change the exit status
    Statistics,
    /// Identity of dtype and bytes; exit status 1 where a value differs or cannot be compared
    Exact,
}

impl From<ValuesArg> for Mode {
    fn from(mode: ValuesArg) -> Mode {
        match mode {
            ValuesArg::Statistics => Mode::Statistics,
            ValuesArg::Exact => Mode::Exact,
        }
    }
}

/// Flags of every command.
#[derive(Debug, Args)]
pub struct Common {
    /// How to write the result; only text may change between versions
    #[arg(long, value_enum, default_value_t, global = true)]
    pub format: FormatArg,
    /// A folder of rules of your own; one with the id of a built-in rule replaces it
    #[arg(long, value_name = "DIR", global = true)]
    pub rules: Option<PathBuf>,
    /// List every key instead of one line per cause
    #[arg(long, global = true)]
    pub all: bool,
    /// Whether to colour text; auto obeys NO_COLOR, CLICOLOR and CLICOLOR_FORCE
    #[arg(long, value_enum, default_value_t, value_name = "WHEN", global = true)]
    pub color: ColorArg,
    /// Print no result; the exit status says it
    #[arg(short, long, global = true)]
    pub quiet: bool,
}

/// Values of `--format`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum FormatArg {
    /// For people
    #[default]
    Text,
    /// For programs, version 1
    Json,
    /// SARIF 2.1.0, for code scanning
    Sarif,
    /// Annotations of a GitHub Actions log
    Github,
    /// A comment on a pull request
    Markdown,
    /// One page for a browser: both module trees, findings, search
    Html,
    /// JUnit XML, for the test results of a CI service
    Junit,
}

impl FormatArg {
    /// Text or JSON, or one of the formats that are made for any number of subjects.
    pub fn kind(self) -> FormatKind {
        match self {
            FormatArg::Text => FormatKind::Text,
            FormatArg::Json => FormatKind::Json,
            FormatArg::Sarif => FormatKind::Sheet(Sheet::Sarif),
            FormatArg::Github => FormatKind::Sheet(Sheet::Github),
            FormatArg::Markdown => FormatKind::Sheet(Sheet::Markdown),
            FormatArg::Html => FormatKind::Sheet(Sheet::Html),
            FormatArg::Junit => FormatKind::Sheet(Sheet::Junit),
        }
    }
}

/// What a command must do for a format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FormatKind {
    /// Write text.
    Text,
    /// Write JSON.
    Json,
    /// Hand over subjects.
    Sheet(Sheet),
}

/// Values of `--emit`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum EmitArg {
    /// PyTorch alone; also splits, joins, turns and resizes
    Python,
    /// MMEngine and mmcv: revise_keys, init_cfg
    Mmengine,
    /// Transformers: key_mapping
    Transformers,
    /// vLLM: WeightsMapper
    Vllm,
    /// Burn: a store with key remapping
    Burn,
    /// Renames and drops as data
    Json,
}

impl From<EmitArg> for Form {
    fn from(form: EmitArg) -> Form {
        match form {
            EmitArg::Python => Form::Python,
            EmitArg::Mmengine => Form::Mmengine,
            EmitArg::Transformers => Form::Transformers,
            EmitArg::Vllm => Form::Vllm,
            EmitArg::Burn => Form::Burn,
            EmitArg::Json => Form::Json,
        }
    }
}

/// Values of `--color`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum ColorArg {
    /// On a terminal
    #[default]
    Auto,
    /// Also into a pipe
    Always,
    /// Never
    Never,
}

/// Values of `--level`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum LevelArg {
    /// `load_state_dict(strict=True)` succeeds with the file as it is
    #[default]
    Strict,
    /// It does after a mechanical edit: pick a container, strip, rename, drop
    Fixable,
    /// It does after a resize that a rule names as well
    Resizable,
    /// `strict=False` loads something
    Partial,
}

impl From<LevelArg> for Level {
    fn from(level: LevelArg) -> Level {
        match level {
            LevelArg::Strict => Level::Strict,
            LevelArg::Fixable => Level::Fixable,
            LevelArg::Resizable => Level::Resizable,
            LevelArg::Partial => Level::Partial,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_definitions_do_not_contradict_each_other() {
        Cli::command().debug_assert();
    }

    #[test]
    fn two_paths_without_a_command_ask_for_the_verdict() {
        let cli = Cli::try_parse_from(["ckdiff", "a.pth", "b.json", "--format", "json", "--level", "fixable"]).unwrap();
        assert_eq!(cli.verdict.source.as_deref(), Some("a.pth".as_ref()));
        assert_eq!(cli.common.format, FormatArg::Json);
        assert_eq!(cli.verdict.level, LevelArg::Fixable);
    }

    #[test]
    fn flags_may_stand_before_or_behind_the_command() {
        for line in ["ckdiff --format json inspect a.pth", "ckdiff inspect a.pth --format json"] {
            let cli = Cli::try_parse_from(line.split(' ')).unwrap();
            assert!(matches!(&cli.command, Some(Command::Inspect(args)) if args.files[0].as_os_str() == "a.pth"));
            assert_eq!(cli.common.format, FormatArg::Json);
        }
    }

    #[test]
    fn no_arguments_show_the_help() {
        assert!(Cli::try_parse_from(["ckdiff"]).is_err());
    }
}
