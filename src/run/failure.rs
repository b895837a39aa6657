//! Why the program could not finish, and what to do about it.

use std::io::{self, Write};
use std::path::Path;

use crate::checkpoint::{Remark, escaped};
use crate::config::ConfigError;
use crate::convert::ConvertError;
use crate::read::ReadError;
use crate::report::style::{Style, Tone};
use crate::rules::RuleError;

/// Ends the program with exit status 2.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The code of its page, where it has one.
    code: Option<&'static str>,
    /// What is wrong, lower case; may have several lines (a place in a file, with a caret).
    what: String,
    /// What to do about it; may be empty.
    help: String,
}

impl Failure {
    /// A failure without a page of its own.
    pub fn new(what: impl Into<String>) -> Failure {
        Failure { code: None, what: what.into(), help: String::new() }
    }

    /// A failure with a page.
    pub(super) fn coded(code: &'static str, what: impl Into<String>) -> Failure {
        Failure { code: Some(code), ..Failure::new(what) }
    }

    /// Code, text and remedy, for a failure that ends only a part of a run.
    pub(super) fn into_parts(self) -> (Option<&'static str>, String, String) {
        (self.code, self.what, self.help)
    }

    /// What the reader of `path` remarked, where that left nothing to go on with.
    pub(super) fn of_remark(path: &Path, remark: &Remark) -> Failure {
        let what = format!("{}: {}", path.display(), remark.message);
        Failure { code: Some(remark.code), what, help: remark.help.clone() }
    }

    /// The same with a remedy.
    #[must_use]
    pub fn help(self, help: impl Into<String>) -> Failure {
        Failure { help: help.into(), ..self }
    }

    /// Writes it in the manner of a finding: `error  CK001  what`, and below it what to do.
    ///
    /// # Errors
    /// What the writer reports.
    pub fn write(&self, style: &Style, out: &mut dyn Write) -> io::Result<()> {
        let code = self.code.map(|c| format!("{c}  ")).unwrap_or_default();
        let indent = "error  ".len() + code.len();
        let room = style.width.saturating_sub(indent);
        write!(out, "{}  {code}", style.paint(Tone::Bad, "error"))?;
        for (i, line) in self.what.lines().enumerate() {
            for (j, line) in style.lines(&escaped(line), room).iter().enumerate() {
                let indent = if i + j == 0 { 0 } else { indent };
                writeln!(out, "{:indent$}{line}", "")?;
            }
        }
        for line in self.help.lines() {
            for line in style.lines(&escaped(line), room) {
                writeln!(out, "{:indent$}{line}", "")?;
            }
        }
        Ok(())
    }
}

impl From<ReadError> for Failure {
    fn from(e: ReadError) -> Failure {
        Failure {
            code: Some(e.code),
            what: format!("{}: {}", escaped(&e.path.to_string_lossy()), e.what),
            help: e.remedy,
        }
    }
}

impl From<ConvertError> for Failure {
    fn from(e: ConvertError) -> Failure {
        let what = match &e.path {
            Some(path) => format!("{}: {}", escaped(&path.to_string_lossy()), e.what),
            None => e.what,
        };
        Failure::new(what).help(e.remedy)
    }
}

impl From<RuleError> for Failure {
    fn from(e: RuleError) -> Failure {
        Failure::coded("CK901", e.to_string()).help("`ckdiff rules ID` shows a rule that works, of the same folder")
    }
}

impl From<ConfigError> for Failure {
    fn from(e: ConfigError) -> Failure {
        Failure::coded("CK902", e.to_string()).help(e.help)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_that_cannot_be_read_is_named_with_its_remedy() {
        let error = ReadError {
            path: "w.pth".into(),
            what: "a git-lfs pointer".into(),
            remedy: "git lfs pull".into(),
            code: "CK001",
        };
        let mut out = Vec::new();
        Failure::from(error).write(&Style::default(), &mut out).unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "error  CK001  w.pth: a git-lfs pointer\n              git lfs pull\n"
        );
    }
}
