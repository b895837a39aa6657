//! Error texts that name their cause by themselves: a half download, a pointer file, a refusal to unpickle.

use serde::Deserialize;

use super::{RuleError, RuleSet};

/// Words by which one kind of failure is known in a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Saying {
    /// Id of the rule it comes from.
    pub rule: String,
    /// Each text as the words around its placeholders, without white space and in lower case.
    pub texts: Vec<Vec<String>>,
    /// The names of the placeholders of each text, in order.
    pub names: Vec<Vec<String>>,
    /// Words that must stand somewhere in the log as well, squeezed likewise; all of them.
    pub also: Vec<String>,
    /// Words none of which may stand in the log.
    pub unless: Vec<String>,
    /// What happened, in one line; `{name}` stands for what was read there.
    pub message: String,
}

/// `[match]` of a file in `texts/`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Match {
    says: Vec<String>,
    #[serde(default)]
    also: Vec<String>,
    #[serde(default)]
    unless: Vec<String>,
    message: String,
}

/// The fewest bytes that a text begins with: shorter ones are everywhere.
const SHORTEST: usize = 6;

/// Checks a file of `texts/` and adds it to the set.
pub(super) fn add(set: &mut RuleSet, id: &str, m: Match) -> Result<(), RuleError> {
    let mut saying = Saying {
        rule: id.into(),
        texts: Vec::new(),
        names: Vec::new(),
        also: m.also.iter().map(|t| squeeze(t)).collect(),
        unless: m.unless.iter().map(|t| squeeze(t)).collect(),
        message: m.message,
    };
    for text in &m.says {
        let (pieces, names) =
            cut(text).ok_or_else(|| RuleError::new(id, format!("`{text}` has a `{{` without its `}}`")))?;
        if pieces.first().is_none_or(|p| p.len() < SHORTEST) {
            return Err(RuleError::new(id, format!("`{text}` must begin with at least {SHORTEST} letters")));
        }
        saying.texts.push(pieces);
        saying.names.push(names);
    }
    let known = |name: &String| saying.names.iter().flatten().any(|n| n == name);
    let (_, used) = cut(&saying.message).ok_or_else(|| RuleError::new(id, "`message` has a `{` without its `}`"))?;
    if let Some(unknown) = used.iter().find(|n| !known(n)) {
        return Err(RuleError::new(id, format!("`message` uses `{{{unknown}}}`, which no text of `says` reads")));
    }
    if saying.texts.is_empty() || saying.message.trim().is_empty() {
        return Err(RuleError::new(id, "[match] needs at least one text in `says`, and a `message`"));
    }
    set.sayings.push(saying);
    Ok(())
}

/// Without white space, in lower case.
fn squeeze(text: &str) -> String {
    text.chars().filter(|c| !c.is_whitespace()).map(|c| c.to_ascii_lowercase()).collect()
}

/// The words around the placeholders, and their names.
fn cut(text: &str) -> Option<(Vec<String>, Vec<String>)> {
    let (mut pieces, mut names) = (Vec::new(), Vec::new());
    let mut rest = text;
    while let Some((before, behind)) = rest.split_once('{') {
        let (name, after) = behind.split_once('}')?;
        pieces.push(squeeze(before));
        names.push(name.to_owned());
        rest = after;
    }
    pieces.push(squeeze(rest));
    Some((pieces, names))
}

impl Saying {
    /// The message with the words that were read in place of their names.
    pub fn message(&self, words: &[(String, String)]) -> String {
        let mut out = self.message.clone();
        for (name, word) in words {
            out = out.replace(&format!("{{{name}}}"), word);
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(matching: &str) -> Result<RuleSet, RuleError> {
        let text = format!("summary = \"x\"\nexplanation = \"y\"\n[match]\n{matching}");
        RuleSet::parse(vec![("texts/mine".into(), text)])
    }

    #[test]
    fn a_text_is_kept_without_white_space_around_its_placeholders() {
        let set =
            with("says = [\"Unsupported global: GLOBAL {global} was\"]\nmessage = \"asks for {global}\"").unwrap();
        let saying = set.sayings.first().unwrap();
        assert_eq!(saying.texts, [["unsupportedglobal:global", "was"]]);
        assert_eq!(saying.message(&[("global".into(), "os.system".into())]), "asks for os.system");
    }

    #[test]
    fn a_message_cannot_use_what_no_text_reads() {
        let error = with("says = [\"something\"]\nmessage = \"{other}\"").unwrap_err().to_string();
        assert!(error.contains("{other}"), "{error}");
        assert!(with("says = [\"ab\"]\nmessage = \"x\"").unwrap_err().to_string().contains("at least"));
    }
}
