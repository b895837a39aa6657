//! What tools and larger models put around a model: segments within keys, prefixes before them.

use serde::Deserialize;

use super::{RuleError, RuleSet};

/// Where in a key a wrapper may stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Place {
    /// Before any segment: whatever submodule was wrapped.
    Anywhere,
    /// At the start of every key only.
    Prefix,
}

/// One or several whole segments that a tool puts into keys, and that can be taken out again without loss.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wrapper {
    /// Id of the rule it comes from.
    pub rule: String,
    /// `module`, `_orig_mod`; with dots inside where several segments belong together (`base_model.model`).
    pub segment: String,
    /// Where it may stand.
    pub place: Place,
}

/// A prefix under which a model sits inside a larger one (`backbone` of a detector).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// Id of the rule it comes from.
    pub rule: String,
    /// The prefix, without its last dot.
    pub prefix: String,
    /// What happened when the checkpoint has the prefix: "a detector's checkpoint is being loaded into its backbone".
    pub whole_given: String,
    /// What happened when only the model has it.
    pub part_given: String,
    /// What the larger model is, for messages about the rest of it: "detector".
    pub whole: String,
    /// What the smaller one is: "backbone".
    pub part: String,
}

/// `[match]` of a file in `wrappers/`: either `segments` and `place`, or `prefixes` and what it means to have them.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Match {
    #[serde(default)]
    segments: Vec<String>,
    place: Option<Place>,
    #[serde(default)]
    prefixes: Vec<String>,
    #[serde(default)]
    whole: String,
    #[serde(default)]
    part: String,
    #[serde(default)]
    whole_given: String,
    #[serde(default)]
    part_given: String,
}

/// Checks a file of `wrappers/` and adds it to the set.
pub(super) fn add(set: &mut RuleSet, id: &str, m: Match) -> Result<(), RuleError> {
    let every = m.segments.iter().chain(&m.prefixes);
    if let Some(bad) = every.clone().find(|s| s.is_empty() || s.starts_with('.') || s.ends_with('.')) {
        return Err(RuleError::new(id, format!("`{bad}` must be whole segments, without a dot at either end")));
    }
    match (m.segments.is_empty(), m.prefixes.is_empty(), m.place) {
        (false, true, Some(place)) => {
            set.wrappers.extend(m.segments.into_iter().map(|segment| Wrapper { rule: id.into(), segment, place }));
            Ok(())
        }
        (true, false, None) => {
            for (name, text) in
                [("whole", &m.whole), ("part", &m.part), ("whole_given", &m.whole_given), ("part_given", &m.part_given)]
            {
                if text.is_empty() {
                    return Err(RuleError::new(id, format!("`prefixes` needs `{name}` beside it")));
                }
            }
            set.parts.extend(m.prefixes.into_iter().map(|prefix| Part {
                rule: id.into(),
                prefix,
                whole_given: m.whole_given.clone(),
                part_given: m.part_given.clone(),
                whole: m.whole.clone(),
                part: m.part.clone(),
            }));
            Ok(())
        }
        _ => Err(RuleError::new(id, "[match] needs either `segments` with `place`, or `prefixes`")),
    }
}
