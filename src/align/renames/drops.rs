//! Patterns of source keys that the target has no use for.

use std::collections::BTreeMap;

use regex::escape;

use super::Drop;

/// The fewest whole-segment prefixes that hold `unexpected` keys only. Top-level ones are joined into one pattern.
pub(super) fn find(unexpected: &[&str], kept: &[&str]) -> Vec<Drop> {
    // For every prefix of an unexpected key: how many unexpected and how many kept keys lie below it.
    let mut kept_below: std::collections::HashSet<&str, foldhash::fast::RandomState> = Default::default();
    for key in kept {
        for (at, _) in key.match_indices('.') {
            kept_below.insert(&key[..at]);
        }
    }
    let mut prefixes: BTreeMap<&str, usize> = BTreeMap::new();
    let mut whole: Vec<&str> = Vec::new();
    for key in unexpected {
        match key.match_indices('.').map(|(at, _)| &key[..at]).find(|p| !kept_below.contains(p)) {
            Some(p) => *prefixes.entry(p).or_default() += 1,
            None => whole.push(key),
        }
    }
    let mut out: Vec<Drop> = Vec::new();
    if !prefixes.is_empty() {
        let keys = prefixes.values().sum();
        out.push(Drop { pattern: format!("^{}\\.", either(&templates(prefixes.keys().copied()))), keys });
    }
    if !whole.is_empty() {
        out.push(Drop { pattern: format!("^{}$", either(&templates(whole.iter().copied()))), keys: whole.len() });
    }
    out
}

/// Escaped names; those that differ in one run of digits only are written once with all its values.
fn templates<'a>(names: impl Iterator<Item = &'a str>) -> Vec<String> {
    let mut groups: BTreeMap<(String, String), Vec<&str>> = BTreeMap::new();
    let mut order: Vec<(String, String)> = Vec::new();
    for name in names {
        let bytes = name.as_bytes();
        let start = bytes.iter().position(u8::is_ascii_digit).unwrap_or(bytes.len());
        let end = bytes[start..].iter().position(|b| !b.is_ascii_digit()).map_or(bytes.len(), |n| start + n);
        let frame = (name[..start].to_owned(), name[end..].to_owned());
        let values = groups.entry(frame.clone()).or_insert_with(|| {
            order.push(frame);
            Vec::new()
        });
        values.push(&name[start..end]);
    }
    order
        .into_iter()
        .map(|frame| {
            let values = &groups[&frame];
            let middle = match values.as_slice() {
                [one] => (*one).to_owned(),
                many => format!("({})", many.join("|")),
            };
            format!("{}{middle}{}", escape(&frame.0), escape(&frame.1))
        })
        .collect()
}

/// `a` or `(a|b)`.
fn either(names: &[String]) -> String {
    match names {
        [one] => one.clone(),
        many => format!("({})", many.join("|")),
    }
}
