//! Renames and drops from a file: what `--emit json` writes, or a list made by hand.

use std::path::Path;

use regex::Regex;
use serde::Deserialize;

use super::ConvertError;
use crate::align::dollars;
use crate::checkpoint::bounded_text;

#[derive(Deserialize)]
#[serde(untagged)]
enum Pattern {
    Bare(String),
    Named { pattern: String },
}

#[derive(Deserialize)]
struct Pair {
    pattern: String,
    replacement: String,
}

#[derive(Deserialize)]
struct File {
    #[serde(default = "one")]
    version: u32,
    container: Option<String>,
    #[serde(default)]
    drops: Vec<Pattern>,
    #[serde(default)]
    renames: Vec<Pair>,
    #[serde(default)]
    changed_values: Vec<String>,
    #[serde(default)]
    unfit_keys: Vec<String>,
}

fn one() -> u32 {
    1
}

/// Which keys are left out, and what the others are called.
#[derive(Clone, Debug)]
pub struct Renames {
    /// The dict that they were written for.
    pub container: Option<String>,
    drops: Vec<Regex>,
    renames: Vec<(Regex, String)>,
}

/// The longest list of renames that is read, in bytes.
const LARGEST: u64 = 64 << 20;

impl Renames {
    /// Reads the file at `path`.
    ///
    /// # Errors
    /// Where it cannot be read, is no such file, or needs more than renames.
    pub fn read(path: &Path) -> Result<Renames, ConvertError> {
        let text = bounded_text(path, LARGEST)
            .map_err(|e| ConvertError::new(format!("cannot be read: {e}"), "check the path").at(path))?;
        Renames::parse(&text).map_err(|e| e.at(path))
    }

    fn parse(text: &str) -> Result<Renames, ConvertError> {
        let shape =
            r#"{"renames": [{"pattern": "^backbone\\.", "replacement": ""}], "drops": [{"pattern": "^neck\\."}]}"#;
        let file: File = serde_json::from_str(text)
            .map_err(|e| ConvertError::new(format!("no list of renames: {e}"), format!("it looks like {shape}")))?;
        if file.version != 1 {
            let what = format!("renames of version {}, where this ckdiff knows version 1", file.version);
            return Err(ConvertError::new(what, "update ckdiff"));
        }
        let (n, m) = (file.changed_values.len(), file.unfit_keys.len());
        if n + m > 0 {
            let what = format!("{} keys need more than a rename (`changed_values`, `unfit_keys`)", n + m);
            return Err(ConvertError::new(what, "hand over what the model expects with --to"));
        }
        let compile = |pattern: &str| {
            Regex::new(pattern).map_err(|e| {
                let what = e.to_string();
                let why = what.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned();
                let what = format!("pattern `{pattern}`: {why}");
                ConvertError::new(what, "look-around and back-references are not supported")
            })
        };
        let drops = file.drops.iter().map(|d| match d {
            Pattern::Bare(pattern) | Pattern::Named { pattern } => compile(pattern),
        });
        let renames = file.renames.iter().map(|r| Ok((compile(&r.pattern)?, dollars(&r.replacement))));
        Ok(Renames {
            container: file.container,
            drops: drops.collect::<Result<_, _>>()?,
            renames: renames.collect::<Result<_, ConvertError>>()?,
        })
    }

    /// What a key is called; `None` where it is left out. Drops are asked first, then every rename in order, as
    /// Python's `re.sub` does.
    pub fn name(&self, key: &str) -> Option<String> {
        if self.drops.iter().any(|drop| drop.is_match(key)) {
            return None;
        }
        let mut name = key.to_owned();
        for (pattern, replacement) in &self.renames {
            if let std::borrow::Cow::Owned(new) = pattern.replace_all(&name, replacement.as_str()) {
                name = new;
            }
        }
        Some(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drops_come_first_and_renames_follow_each_other() {
        let text = r#"{"version": 1, "container": "state_dict", "drops": [{"pattern": "^neck\\.", "keys": 3}, "^head"],
            "renames": [{"pattern": "^backbone\\.", "replacement": "", "keys": 9},
                        {"pattern": "^layer(\\d)\\.", "replacement": "stages.\\1.", "keys": 4}], "missing_keys": ["x"]}"#;
        let renames = Renames::parse(text).unwrap();
        assert_eq!(renames.container.as_deref(), Some("state_dict"));
        assert_eq!(renames.name("backbone.layer3.fc"), Some("stages.3.fc".into()));
        assert_eq!(renames.name("neck.fc"), None);
        assert_eq!(renames.name("head.fc"), None);
    }

    #[test]
    fn what_is_no_list_of_renames_says_how_one_looks() {
        for (text, says) in [
            ("[]", "it looks like"),
            (r#"{"version": 2}"#, "version 1"),
            (r#"{"renames": [{"pattern": "(", "replacement": ""}]}"#, "pattern `(`"),
            (r#"{"changed_values": ["qkv"]}"#, "--to"),
        ] {
            let error = Renames::parse(text).unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
        }
    }
}
