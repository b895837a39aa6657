//! Repeated blocks (`layers.0`, `layers.1`, …) of which some have not changed.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::{Same, Values};
use crate::checkpoint::StateDict;

/// A run of blocks under one prefix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Untouched {
    /// `encoder.layers`
    pub prefix: String,
    /// Numbers of the blocks whose every tensor is identical.
    pub still: BTreeSet<u32>,
    /// Numbers of the blocks of which some tensor is not.
    pub changed: BTreeSet<u32>,
}

/// Lists blocks that come in a row, where some of them are untouched and some not. Of nested rows the outer one.
pub fn untouched(values: &Values, target: &StateDict<'_>) -> Vec<Untouched> {
    let mut rows: BTreeMap<&str, HashMap<u32, bool>> = BTreeMap::new();
    for c in &values.compared {
        let Some(key) = target.entries.get(c.target as usize).map(|e| e.key.as_str()) else { continue };
        let still = match c.same {
            Same::Identical | Same::Equal => true,
            Same::Changed => false,
            Same::Unknown(_) => continue,
        };
        if let Some((prefix, number)) = first_number(key) {
            *rows.entry(prefix).or_default().entry(number).or_insert(true) &= still;
        }
    }
    rows.into_iter()
        .filter_map(|(prefix, blocks)| {
            let pick = |wanted| blocks.iter().filter(|(_, still)| **still == wanted).map(|(n, _)| *n).collect();
            let row = Untouched { prefix: prefix.to_owned(), still: pick(true), changed: pick(false) };
            (row.still.len() + row.changed.len() > 1 && !row.still.is_empty() && !row.changed.is_empty()).then_some(row)
        })
        .collect()
}

/// What stands before the first number of a key, and the number.
fn first_number(key: &str) -> Option<(&str, u32)> {
    let mut start = 0;
    for segment in key.split('.') {
        if start > 0
            && !segment.is_empty()
            && segment.bytes().all(|b| b.is_ascii_digit())
            && let Ok(number) = segment.parse()
        {
            return Some((key.get(..start - 1)?, number));
        }
        start += segment.len() + 1;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_outermost_number_names_the_block() {
        assert_eq!(first_number("encoder.layers.11.experts.3.w1"), Some(("encoder.layers", 11)));
        assert_eq!(first_number("0.weight"), None);
        assert_eq!(first_number("head.weight"), None);
    }
}
