//! The part that every rule has: what it says of itself, and the cases that prove it.

use serde::Deserialize;

use super::example::Example;

/// How bad a rule judges what it explains, by what `load_state_dict(strict=True)` would do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Grade {
    /// Loading is not affected.
    Note,
    /// Loads, and may not be what is meant.
    Warning,
    /// Does not load, or loads the wrong thing.
    Error,
}

/// A rule file of any kind: what it says of itself, and `[match]`, which differs by kind.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct File<M> {
    pub(super) code: Option<String>,
    pub(super) summary: String,
    pub(super) explanation: String,
    #[serde(default)]
    pub(super) help: String,
    pub(super) severity: Option<Grade>,
    #[serde(default)]
    pub(super) sources: Vec<String>,
    #[serde(rename = "match")]
    pub(super) matching: M,
    #[serde(default, rename = "example")]
    pub(super) examples: Vec<Example>,
    #[serde(default, rename = "counterexample")]
    pub(super) counterexamples: Vec<Example>,
}

/// What a rule says of itself.
#[derive(Clone, Debug, PartialEq)]
pub struct About {
    /// Path below `rules/` without suffix: `shapes/swin-window`.
    pub id: String,
    /// The code of its findings; `None` where the explanation that uses the rule decides.
    pub code: Option<String>,
    /// One line: what it recognises.
    pub summary: String,
    /// Why it happens and what it means, some sentences.
    pub explanation: String,
    /// What to do about it, one line; may be empty.
    pub help: String,
    /// How bad it is; `None` where the explanation that uses the rule decides.
    pub severity: Option<Grade>,
    /// Where the knowledge comes from: `repository#thread`, file or paper.
    pub sources: Vec<String>,
    /// What it matches, as the file says it.
    pub pattern: String,
    /// Cases in which it must speak.
    pub examples: Vec<Example>,
    /// Cases that look alike, in which it must not.
    pub counterexamples: Vec<Example>,
}

impl<M> File<M> {
    /// Separates what every rule has from what only its kind has.
    pub(super) fn split(self, id: &str, text: &str) -> (About, M) {
        let about = About {
            id: id.to_owned(),
            code: self.code,
            summary: self.summary,
            explanation: self.explanation.trim().to_owned(),
            help: self.help,
            severity: self.severity,
            sources: self.sources,
            pattern: match_table(text),
            examples: self.examples,
            counterexamples: self.counterexamples,
        };
        (about, self.matching)
    }
}

/// The lines of the `[match]` table, as written.
fn match_table(text: &str) -> String {
    let lines = text.lines().skip_while(|l| l.trim() != "[match]").skip(1);
    let lines: Vec<&str> = lines.take_while(|l| !l.starts_with('[')).filter(|l| !l.trim().is_empty()).collect();
    lines.join("\n")
}
