//! A second copy of the model's keys: an average, a teacher, a momentum encoder.

use std::collections::{HashMap, HashSet};

use super::Remedy;
use super::case::{Case, Cause, Rank};

/// Explains unexpected keys that are keys of the checkpoint once more, under another beginning.
pub(super) fn explain(case: &mut Case<'_>) {
    let unexpected = case.unexpected();
    if !unexpected.iter().any(|(_, e)| copy(case, e.key.as_str()).is_some()) {
        return;
    }
    // The names of what the model takes, with and without separators, since buffers cannot have dots in their names.
    let taken: HashSet<u32> = case.alignment.matches.iter().flat_map(|m| m.source.iter().copied()).collect();
    let mut plain: HashSet<String> = HashSet::new();
    for &s in &taken {
        if let Some(e) = case.source.entries.get(s as usize) {
            let key = e.key.as_str();
            // The copy may lack the first segment: `teacher.conv1` beside `backbone.conv1`.
            plain.insert(bare(key));
            plain.extend(key.split_once('.').map(|(_, rest)| bare(rest)));
        }
    }
    for m in &case.alignment.matches {
        plain.extend(case.target.entries.get(m.target as usize).map(|e| bare(e.key.as_str())));
    }
    let mut groups: HashMap<(usize, &str), (Vec<u32>, usize)> = HashMap::new();
    for (difference, entry) in &unexpected {
        let key = entry.key.as_str();
        let Some((rule, name, rest)) = copy(case, key) else { continue };
        let group = groups.entry((rule, name)).or_default();
        group.0.push(*difference);
        let again = plain.contains(&bare(rest)) || rest.split_once('.').is_some_and(|(_, r)| plain.contains(&bare(r)));
        group.1 += usize::from(again);
    }
    let mut groups: Vec<_> = groups.into_iter().collect();
    groups.sort();
    for ((rule, name), (claims, again)) in groups {
        // Counters (`model_ema.decay`, `num_updates`) are not copies; most of the rest must be.
        if again * 2 < claims.len() {
            continue;
        }
        let Some(copies) = case.rules.copies.get(rule) else { continue };
        let message = format!("{} keys under `{name}` are {} of keys that are there", claims.len(), copies.what);
        let cause = Cause::new("CK110", Rank::Leftover, Remedy::Edit, message)
            .by(case.rules.rule(&copies.rule))
            .rider()
            .with("prefix", name);
        case.claim(claims, cause);
    }
}

/// The rule that knows the beginning of a key as a copy's, that beginning, and what is left of the key.
fn copy<'a>(case: &Case<'_>, key: &'a str) -> Option<(usize, &'a str, &'a str)> {
    for (i, rule) in case.rules.copies.iter().enumerate() {
        for name in &rule.names {
            let length = match name.strip_suffix('*') {
                Some(stem) if key.starts_with(stem) => stem.len(),
                None if key.strip_prefix(name.as_str()).is_some_and(|r| r.starts_with('.')) => name.len() + 1,
                _ => continue,
            };
            if let (Some(beginning), Some(rest)) = (key.get(..length), key.get(length..)) {
                return Some((i, beginning, rest));
            }
        }
    }
    None
}

/// A key without its separators.
fn bare(key: &str) -> String {
    key.chars().filter(|c| *c != '.' && *c != '_').collect()
}
