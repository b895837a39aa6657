//! `ckdiff.toml`: what a repository promises about its checkpoints, and what it lives with.
//!
//! Found upward from the working directory. Every path in it is relative to the folder it stands in, so that it means
//! the same on every machine. What it may hold is written down in `config/ckdiff.schema.json` as well, for editors.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use globset::GlobMatcher;
use serde::Deserialize;
use toml::Spanned;

use crate::checkpoint::bytes_of;
use crate::judge::{Ignore, Level, Policy};
use crate::read::plain;

mod fields;
mod find;
mod place;

use fields::{Code, Glob, LevelName, Name, Pattern, Patterns, Reason, Relative, Severities, SeverityName, Tables};
pub use find::Sources;
pub use place::{marked, marked_at};

/// The name of the file.
pub const NAME: &str = "ckdiff.toml";

/// The JSON schema of the file.
pub const SCHEMA: &str = include_str!("config/ckdiff.schema.json");

/// The largest configuration that is read, in bytes.
const LARGEST: u64 = 1 << 20;

/// A configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// The file, as it was found or given.
    pub path: PathBuf,
    /// The folder that all paths in it are relative to; empty for the working directory.
    pub home: PathBuf,
    /// What must hold.
    pub contracts: Vec<Contract>,
    /// What the project decided about findings.
    pub policy: Policy,
}

/// One promise: these checkpoints load into that model.
#[derive(Clone, Debug)]
pub struct Contract {
    /// What it is called in reports and baselines.
    pub name: String,
    /// What is to be loaded.
    pub sources: Vec<Source>,
    /// What it is to be loaded into: expected.json or another checkpoint.
    pub expected: String,
    /// How much must hold.
    pub level: Level,
    /// The dict inside the source to load from.
    pub container: Option<String>,
    /// A folder of rules beside those that ship with the program.
    pub rules: Option<String>,
    /// Where it stands in the configuration, from 1.
    pub line: usize,
}

/// The files that one entry of `source` stands for.
#[derive(Clone, Debug)]
pub struct Source {
    /// As it is written.
    pub text: String,
    /// Matches paths relative to the configuration; `None` for a plain path.
    pub glob: Option<GlobMatcher>,
    /// Where the entry stands in the configuration, from 1.
    pub line: usize,
}

/// Why a configuration cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// The file.
    pub path: PathBuf,
    /// What is wrong, in lower case, with the line, its text and a caret below the place.
    pub what: String,
    /// What to do about it; may be empty.
    pub help: String,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path.display(), self.what)
    }
}

impl std::error::Error for ConfigError {}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default = "Tables::none", rename = "contract")]
    contracts: Tables<Spanned<RawContract>>,
    #[serde(default = "Tables::none", rename = "ignore")]
    ignores: Tables<Spanned<RawIgnore>>,
    #[serde(default)]
    severity: Severities,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawContract {
    name: Spanned<Name>,
    source: Spanned<Patterns>,
    expected: Relative,
    #[serde(default)]
    level: LevelName,
    container: Option<Name>,
    rules: Option<Relative>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawIgnore {
    code: Option<Code>,
    rule: Option<Name>,
    contract: Option<Glob>,
    path: Option<Pattern>,
    key: Option<Glob>,
    reason: Reason,
}

impl Config {
    /// The configuration of the folder `from`: in it, or in the nearest folder above that has one.
    pub fn find(from: &Path) -> Option<PathBuf> {
        let absolute = std::path::absolute(from).ok()?;
        let above = absolute.ancestors().position(|folder| folder.join(NAME).is_file())?;
        // Said as people would: `ckdiff.toml`, `../ckdiff.toml`.
        let up: PathBuf = std::iter::repeat_n("..", above).collect();
        Some(if from == Path::new(".") { up } else { from.join(up) }.join(NAME))
    }

    /// Reads and checks a configuration.
    ///
    /// # Errors
    /// Names the file, the line and what is wrong there.
    pub fn load(path: &Path) -> Result<Config, ConfigError> {
        let fail = |what: String, help: &str| ConfigError { path: path.to_owned(), what, help: help.into() };
        let unreadable = |e: std::io::Error| fail(format!("cannot be read: {}", plain(&e)), "check the path");
        let size = fs::metadata(path).map_err(unreadable)?.len();
        if size > LARGEST {
            return Err(fail(format!("is {size} bytes long; a configuration has at most {LARGEST}"), ""));
        }
        let text = String::from_utf8(bytes_of(path, LARGEST).map_err(unreadable)?).map_err(|e| {
            let at = e.utf8_error().valid_up_to();
            let line = e.as_bytes().iter().take(at).filter(|&&b| b == b'\n').count() + 1;
            fail(format!("line {line}: byte {at} of the file is no UTF-8"), "save the file as UTF-8")
        })?;
        Self::parse(path, &text)
    }

    /// Checks the text of a configuration; nothing is looked up on disk.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn parse(path: &Path, text: &str) -> Result<Config, ConfigError> {
        let fail = |what: String| ConfigError { path: path.to_owned(), what, help: String::new() };
        let file: File = toml::from_str(text).map_err(|e| fail(marked(text, e.span(), e.message())))?;
        let mut contracts: Vec<Contract> = Vec::with_capacity(file.contracts.0.len());
        for raw in file.contracts.0 {
            let line = place::line(text, raw.span().start);
            let raw = raw.into_inner();
            let (span, name) = (raw.name.span(), raw.name.into_inner().0);
            if let Some(other) = contracts.iter().find(|c| c.name == name) {
                let what = format!("the contract of line {} is called `{name}` as well", other.line);
                return Err(fail(marked(text, Some(span), &what)));
            }
            let at = place::line(text, raw.source.span().start);
            let sources = raw.source.into_inner().0.into_iter().map(|Pattern { text, glob }| Source {
                glob: find::is_glob(&text).then_some(glob),
                text,
                line: at,
            });
            contracts.push(Contract {
                name,
                sources: sources.collect(),
                expected: raw.expected.0,
                level: raw.level.0,
                container: raw.container.map(|n| n.0),
                rules: raw.rules.map(|r| r.0),
                line,
            });
        }
        let mut ignores = Vec::with_capacity(file.ignores.0.len());
        for raw in file.ignores.0 {
            let span = raw.span();
            let raw = raw.into_inner();
            if raw.code.is_none() && raw.rule.is_none() {
                let what = "says neither `code` nor `rule`, and would hide everything";
                return Err(fail(marked(text, Some(span), what)));
            }
            ignores.push(Ignore {
                code: raw.code.map(|c| c.0),
                rule: raw.rule.map(|r| r.0),
                contract: raw.contract.map(|p| p.0),
                path: raw.path.map(|p| p.glob),
                key: raw.key.map(|p| p.0),
                reason: raw.reason.0,
                line: place::line(text, span.start),
            });
        }
        let grades = file.severity.0.into_iter().map(|(code, SeverityName(grade))| (code.0, grade)).collect();
        // The parent of a bare name is the empty path, which joins as nothing.
        let home = path.parent().unwrap_or(Path::new("")).to_owned();
        Ok(Config { path: path.to_owned(), home, contracts, policy: Policy { ignores, grades } })
    }

    /// Where a path of the configuration is, seen from the working directory.
    pub fn at(&self, relative: &str) -> PathBuf {
        self.home.join(relative)
    }
}

#[cfg(test)]
mod tests;
