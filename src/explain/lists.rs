//! Lists of modules: `layers.2.blocks` with its numbers, on both sides, and which list is which.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::case::Case;

/// The lists of one side: path without the number, and the numbers below it.
pub(super) type Lists<'a> = BTreeMap<&'a str, BTreeSet<u32>>;

/// Every place in a key where a number is a segment of its own: what stands before it, and the number.
pub(super) fn places(key: &str) -> impl Iterator<Item = (&str, u32)> {
    let mut start = 0;
    key.split('.').take(64).filter_map(move |segment| {
        let before = start;
        start += segment.len() + 1;
        let number = if segment.len() <= 6 { segment.parse().ok() } else { None };
        let path = key.get(..before.checked_sub(1)?)?;
        Some((path, number.filter(|_| segment.bytes().all(|b| b.is_ascii_digit()))?))
    })
}

/// What lies below a list and a number: `attn.qkv.weight` of `layers.0.attn.qkv.weight`.
pub(super) fn below<'a>(key: &'a str, list: &str) -> Option<&'a str> {
    let rest = key.strip_prefix(list)?.strip_prefix('.')?;
    rest.split_once('.').map(|(_, below)| below)
}

/// All lists of one side.
pub(super) fn of<'a>(keys: impl Iterator<Item = &'a str>) -> Lists<'a> {
    let mut lists = Lists::new();
    for key in keys {
        for (path, number) in places(key) {
            lists.entry(path).or_default().insert(number);
        }
    }
    lists
}

/// For each list of the target the list of the source that most of its matched keys lie in.
pub(super) fn pairs<'a>(case: &Case<'a>) -> BTreeMap<&'a str, &'a str> {
    let mut votes: HashMap<(&'a str, &'a str), usize> = HashMap::new();
    let mut numbers: HashMap<(&'a str, &'a str), BTreeSet<(u32, u32)>> = HashMap::new();
    for m in &case.alignment.matches {
        let Some((source, target)) = case.pair(m) else { continue };
        let there: Vec<(&str, u32)> = places(target.key.as_str()).collect();
        let here: Vec<(&str, u32)> = places(source.key.as_str()).collect();
        // Numbers that came or went leave no telling which is which.
        if there.len() == here.len() {
            for (t, s) in there.iter().zip(&here) {
                *votes.entry((t.0, s.0)).or_default() += 1;
                numbers.entry((t.0, s.0)).or_default().insert((t.1, s.1));
            }
        }
    }
    let mut best: BTreeMap<&'a str, (usize, &'a str)> = BTreeMap::new();
    for ((target, source), n) in votes {
        let entry = best.entry(target).or_insert((n, source));
        if (n, std::cmp::Reverse(source)) > (entry.0, std::cmp::Reverse(entry.1)) {
            *entry = (n, source);
        }
    }
    best.into_iter()
        .map(|(target, (_, source))| (target, source))
        .filter(|pair| numbers.get(pair).is_some_and(one_to_one))
        .collect()
}

/// Whether each number has one number on the other side: `blocks.7` that became `stages.1.blocks.2` is in no list of stages.
fn one_to_one(pairs: &BTreeSet<(u32, u32)>) -> bool {
    let there: BTreeSet<u32> = pairs.iter().map(|p| p.0).collect();
    let here: BTreeSet<u32> = pairs.iter().map(|p| p.1).collect();
    there.len() == pairs.len() && here.len() == pairs.len()
}

/// A path with every number in it written `#`, also within a segment: `layer#` of `layer1` and `layer2`.
pub(super) fn class(path: &str) -> String {
    let mut out = String::with_capacity(path.len());
    for c in path.chars() {
        if !c.is_ascii_digit() {
            out.push(c);
        } else if !out.ends_with('#') {
            out.push('#');
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_of_a_key_has_its_list() {
        let found: Vec<_> = places("layers.2.blocks.11.attn.weight").collect();
        assert_eq!(found, [("layers", 2), ("layers.2.blocks", 11)]);
        assert_eq!(places("0.weight").count(), 0);
        assert_eq!(places("layer1.conv.weight").count(), 0);
    }

    #[test]
    fn lists_whose_numbers_were_dealt_out_anew_are_not_one_list() {
        assert!(one_to_one(&BTreeSet::from([(0, 1), (1, 2)])));
        assert!(!one_to_one(&BTreeSet::from([(0, 1), (0, 3), (1, 5)])));
        assert!(!one_to_one(&BTreeSet::from([(0, 0), (1, 0)])));
    }

    #[test]
    fn what_lies_below_a_block_is_its_own_name() {
        assert_eq!(below("layers.0.attn.qkv.weight", "layers"), Some("attn.qkv.weight"));
        assert_eq!(below("layers.0", "layers"), None);
        assert_eq!(class("layer1.12.x"), "layer#.#.x");
    }
}
