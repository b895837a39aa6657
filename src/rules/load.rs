//! Finds rule files in a folder and sends each to the parser of its kind.

use std::fs;
use std::path::Path;

use serde::de::DeserializeOwned;

use super::about::File;
use super::{RuleError, RuleSet, buffers, groups, modules, shapes, texts, wrappers};
use crate::checkpoint::text_of;

/// The largest rule file that is read, in bytes.
const LARGEST: u64 = 1 << 20;

/// Folders whose files are parsed here.
const KINDS: &[&str] =
    &["wrappers", "shapes", "buffers", "heads", "tied", "copies", "variants", "blocks", "groups", "diagnoses", "texts"];

/// Folders whose files are parsed by the stage that uses them.
const ELSEWHERE: &[&str] = &["families", "safety"];

/// Id and text of every `.toml` file at or below `folder`.
pub(super) fn files(folder: &Path) -> Result<Vec<(String, String)>, RuleError> {
    let fail = |path: &Path, what: String| RuleError { file: path.display().to_string(), what };
    let mut out = Vec::new();
    // Two levels are all that ids have: the kind and the name.
    let mut folders = vec![(folder.to_path_buf(), 0)];
    while let Some((here, depth)) = folders.pop() {
        let entries = fs::read_dir(&here).map_err(|e| fail(&here, format!("cannot list the rules folder: {e}")))?;
        for entry in entries {
            let path = entry.map_err(|e| fail(&here, format!("cannot list the rules folder: {e}")))?.path();
            if path.is_dir() && depth < 4 {
                folders.push((path, depth + 1));
            } else if path.extension().is_some_and(|e| e == "toml") {
                let size = fs::metadata(&path).map_err(|e| fail(&path, format!("cannot be read: {e}")))?.len();
                if size > LARGEST {
                    return Err(fail(&path, format!("is {size} bytes long; a rule has at most {LARGEST}")));
                }
                let text = text_of(&path, LARGEST).map_err(|e| fail(&path, format!("cannot be read: {e}")))?;
                let id = path.strip_prefix(folder).unwrap_or(&path).with_extension("");
                out.push((id.to_string_lossy().replace('\\', "/"), text));
            }
        }
    }
    if out.is_empty() {
        return Err(fail(folder, "holds no rule: none of its files ends in .toml".into()));
    }
    Ok(out)
}

/// Parses one file as its folder says and adds it to the set.
pub(super) fn one(set: &mut RuleSet, id: &str, text: &str) -> Result<(), RuleError> {
    let kind = id.split('/').next().unwrap_or("");
    match kind {
        "wrappers" => add(set, id, text, wrappers::add),
        "shapes" => add(set, id, text, shapes::add),
        "buffers" => add(set, id, text, buffers::add),
        "heads" => add(set, id, text, modules::add_head),
        "tied" => add(set, id, text, modules::add_tied),
        "copies" => add(set, id, text, modules::add_copies),
        "variants" => add(set, id, text, modules::add_variants),
        "blocks" => add(set, id, text, modules::add_blocks),
        "groups" => add(set, id, text, groups::add),
        "diagnoses" => add(set, id, text, groups::add_diagnosis),
        "texts" => add(set, id, text, texts::add),
        "lexicon" => set.lexicon.add(id, text),
        known if ELSEWHERE.contains(&known) => Ok(()),
        _ => Err(RuleError::new(
            id,
            format!(
                "`{kind}` is no kind of rule; put the file into {}/, {}/",
                KINDS.join("/, "),
                ELSEWHERE.join("/, ")
            ),
        )),
    }
}

/// Parses what `M` describes, keeps what the rule says of itself and hands the rest to the parser of its kind.
fn add<M: DeserializeOwned>(
    set: &mut RuleSet,
    id: &str,
    text: &str,
    kind: fn(&mut RuleSet, &str, M) -> Result<(), RuleError>,
) -> Result<(), RuleError> {
    let file: File<M> = toml::from_str(text).map_err(|e| RuleError::parse(id, &e))?;
    if file.summary.trim().is_empty() || file.summary.contains('\n') {
        return Err(RuleError::new(id, "`summary` must be one line"));
    }
    let (about, matching) = file.split(id, text);
    set.about.push(about);
    kind(set, id, matching)
}
