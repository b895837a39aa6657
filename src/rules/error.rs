//! Why a rule could not be used.

use std::fmt;

/// A rule file that cannot be read, parsed or believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleError {
    /// The file, as a path below the rules folder with its suffix.
    pub file: String,
    /// What is wrong, in lower case; for a parse error with the line, its text and a caret below the place.
    pub what: String,
}

impl RuleError {
    /// An error about the rule with this id.
    pub fn new(id: &str, what: impl Into<String>) -> Self {
        RuleError { file: format!("{id}.toml"), what: what.into() }
    }

    /// What the TOML parser says, which has line, column and caret.
    pub fn parse(id: &str, error: &toml::de::Error) -> Self {
        Self::new(id, error.to_string().trim_end())
    }
}

impl fmt::Display for RuleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.file, self.what)
    }
}

impl std::error::Error for RuleError {}
