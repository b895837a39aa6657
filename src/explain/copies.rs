//! A second copy of the model's keys: an average, a teacher, a momentum encoder.

use std::collections::{HashMap, HashSet};

use super::Remedy;
use super::case::{Case, Cause, Rank};
use crate::checkpoint::Entry;

/// Explains unexpected keys that are keys of the checkpoint once more, under another beginning.
pub(super) fn explain(case: &mut Case<'_>) {
    wanted(case);
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
        let Some(copies) = case.rules.copies.get(rule) else { continue };
        if again * 2 < claims.len() {
            // An error text names the copy alone, since what it is a copy of fits. Dots that were removed are its sign.
            if case.partial() && flat(case, &unexpected, name) {
                let message = format!(
                    "{} keys under `{name}` are {} whose names have lost their dots",
                    claims.len(),
                    copies.what
                );
                let cause = Cause::new("CK110", Rank::Leftover, Remedy::Edit, message)
                    .by(case.rules.rule(&copies.rule))
                    .confidence(0.8)
                    .with("prefix", name);
                case.claim(claims, cause);
            } else if case.partial() && case.missing().is_empty() {
                let message = format!("{} keys under `{name}` are {}", claims.len(), copies.what);
                let cause = Cause::new("CK110", Rank::Leftover, Remedy::Edit, message)
                    .by(case.rules.rule(&copies.rule))
                    .confidence(0.7)
                    .with("prefix", name);
                case.claim(claims, cause);
            }
            continue;
        }
        let message = format!("{} keys under `{name}` are {} of keys that are there", claims.len(), copies.what);
        let cause = Cause::new("CK110", Rank::Leftover, Remedy::Edit, message)
            .by(case.rules.rule(&copies.rule))
            .rider()
            .with("prefix", name);
        case.claim(claims, cause);
    }
}

/// Whether the keys of a copy, of which there are several, have no dots in their names.
fn flat(case: &Case<'_>, keys: &[(u32, Entry<'_>)], name: &str) -> bool {
    let rests = keys.iter().filter_map(|(_, e)| copy(case, e.key.as_str()).filter(|c| c.1 == name).map(|c| c.2));
    let (mut all, mut plain) = (0, 0);
    for rest in rests {
        all += 1;
        plain += usize::from(!rest.contains('.'));
    }
    all > 1 && plain * 5 >= all * 4
}

/// Explains a copy with flat names that the model keeps and the checkpoint does not have.
fn wanted(case: &mut Case<'_>) {
    let missing = case.missing();
    let mut names: Vec<&str> =
        missing.iter().filter_map(|(_, e)| copy(case, e.key.as_str()).map(|(_, name, _)| name)).collect();
    names.sort_unstable();
    names.dedup();
    for name in names {
        let ours = |e: &Entry<'_>| copy(case, e.key.as_str()).filter(|c| c.1 == name).map(|c| c.0);
        let claims: Vec<u32> = missing.iter().filter(|(_, e)| ours(e).is_some()).map(|(d, _)| *d).collect();
        let rule = missing.iter().find_map(|(_, e)| ours(e)).and_then(|rule| case.rules.copies.get(rule));
        let Some(copies) = rule.filter(|_| flat(case, &missing, name)) else { continue };
        let message =
            format!("the model keeps {} under `{name}`, the checkpoint has none ({} keys)", copies.what, claims.len());
        let cause = Cause::new("CK110", Rank::Missing, Remedy::Lost, message)
            .by(case.rules.rule(&copies.rule))
            .help("for inference build the model without it (use_ema=False); for training copy the weights into it")
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
