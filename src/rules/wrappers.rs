//! What tools and larger models put around a model: segments within keys, prefixes before them.

use std::borrow::Cow;

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
    /// Classes whose own keys carry it.
    pub classes: Vec<String>,
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
    classes: Vec<String>,
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

impl RuleSet {
    /// The wrappers in a key or the beginning of one, as indices into [`RuleSet::wrappers`], and what is left without them.
    pub fn unwrap<'k>(&self, key: &'k str) -> (Vec<usize>, Cow<'k, str>) {
        if !key.split('.').any(|segment| self.wrapper_heads.contains_key(segment)) {
            return (Vec::new(), Cow::Borrowed(key));
        }
        let segments: Vec<&str> = key.split('.').collect();
        let (mut rest, mut found): (Vec<&str>, Vec<usize>) = (Vec::new(), Vec::new());
        let mut at = 0;
        while let Some((first, here)) = segments.get(at).zip(segments.get(at..)) {
            let known = self.wrapper_heads.get(*first).map_or(&[][..], Vec::as_slice);
            let fits = known.iter().filter_map(|&i| {
                let wrapper = self.wrappers.get(i)?;
                let place = wrapper.place == Place::Anywhere || rest.is_empty();
                let length = wrapper.segment.split('.').count();
                let same = here.len() >= length && wrapper.segment.split('.').eq(here.iter().take(length).copied());
                (place && same).then_some((length, i))
            });
            // The longest first: `base_model.model` before `model`.
            match fits.max_by_key(|&(length, i)| (length, std::cmp::Reverse(i))) {
                Some((length, i)) => {
                    found.push(i);
                    at += length;
                }
                None => {
                    rest.push(first);
                    at += 1;
                }
            }
        }
        (found, Cow::Owned(rest.join(".")))
    }
}

/// Checks a file of `wrappers/` and adds it to the set.
pub(super) fn add(set: &mut RuleSet, id: &str, m: Match) -> Result<(), RuleError> {
    let every = m.segments.iter().chain(&m.prefixes);
    if let Some(bad) = every.clone().find(|s| s.is_empty() || s.starts_with('.') || s.ends_with('.')) {
        return Err(RuleError::new(id, format!("`{bad}` must be whole segments, without a dot at either end")));
    }
    match (m.segments.is_empty(), m.prefixes.is_empty(), m.place) {
        (false, true, Some(place)) => {
            for segment in m.segments {
                let head = segment.split('.').next().unwrap_or("").to_owned();
                set.wrapper_heads.entry(head).or_default().push(set.wrappers.len());
                set.wrappers.push(Wrapper { rule: id.into(), segment, place, classes: m.classes.clone() });
            }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrappers_come_off_in_any_order_and_depth_and_other_names_stay() {
        let rules = RuleSet::embedded();
        let bare = |key| rules.unwrap(key).1.into_owned();
        assert_eq!(bare("module._orig_mod.module.layers.0._orig_mod.fc.weight"), "layers.0.fc.weight");
        assert_eq!(bare("base_model.model.model.layers.0.weight"), "layers.0.weight");
        assert_eq!(bare("encoder.model.weight"), "encoder.model.weight");
        assert_eq!(bare("modules.0.weight"), "modules.0.weight");
        assert_eq!(bare(""), "");
    }
}
