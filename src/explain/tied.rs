//! Parameters that share their memory with another: absent from the file, or there twice.

use std::collections::{BTreeMap, HashMap};

use super::Remedy;
use super::case::{Case, Cause, Rank, count, some};
use crate::checkpoint::{Entry, Key};
use crate::rules::Diagnosis;

/// Explains missing keys that another key of the same shape holds, and unexpected keys whose memory a match has as well.
pub(super) fn explain(case: &mut Case<'_>) {
    absent(case);
    twice(case);
}

fn absent(case: &mut Case<'_>) {
    let missing = case.missing();
    for tied in &case.rules.tied {
        let absent: Vec<&(u32, Entry<'_>)> = missing.iter().filter(|(_, e)| tied.absent.contains(e.key)).collect();
        if absent.is_empty() {
            continue;
        }
        let holders: Vec<Entry<'_>> =
            case.source.entries.iter().filter(|e| tied.holders.contains(e.key)).copied().collect();
        let mut by_holder: BTreeMap<&str, Vec<(u32, &str)>> = BTreeMap::new();
        for (difference, wanted) in absent {
            let itself = |h: &Entry<'_>| bare(case, h) == bare(case, wanted);
            if let Some(holder) = holders.iter().find(|h| same_size(h, wanted) && !itself(h)) {
                by_holder.entry(holder.key.as_str()).or_default().push((*difference, wanted.key.as_str()));
            }
        }
        for (holder, keys) in by_holder {
            let names: Vec<&str> = keys.iter().map(|(_, k)| *k).collect();
            let are = if names.len() == 1 { "is" } else { "are" };
            let message = format!("{} {are} tied to `{holder}`, which is there", some(&names, 3));
            let cause = Cause::new("CK403", Rank::Harmless, Remedy::Edit, message)
                .by(case.rules.rule(&tied.rule))
                .rider()
                .with("holder", holder);
            case.claim(keys.iter().map(|(d, _)| *d), cause);
        }
    }
}

/// A key without wrappers: `module.lm_head.weight` is not tied to `lm_head.weight`, it is the same.
fn bare(case: &Case<'_>, entry: &Entry<'_>) -> String {
    case.rules.unwrap(entry.key.as_str()).1.into_owned()
}

/// Whether nothing speaks against the two having the same shape. Both must be known, or neither side says sizes.
fn same_size(holder: &Entry<'_>, wanted: &Entry<'_>) -> bool {
    match (holder.shape(), wanted.shape()) {
        (Some(a), Some(b)) => a == b,
        _ => true,
    }
}

fn twice(case: &mut Case<'_>) {
    let unexpected = case.unexpected();
    if unexpected.is_empty() {
        return;
    }
    let place = |e: &Entry<'_>| e.tensor.placement.as_ref().map(|p| (p.storage, p.offset, e.tensor.shape.clone()));
    let mut matched = HashMap::new();
    for entry in case.alignment.matches.iter().flat_map(|m| &m.source) {
        if let Some(e) = case.source.entries.get(*entry as usize)
            && let Some(place) = place(e)
        {
            matched.entry(place).or_insert(e.key);
        }
    }
    let mut claims = Vec::new();
    let mut pairs: Vec<(Key<'_>, Key<'_>)> = Vec::new();
    for (difference, entry) in &unexpected {
        if let Some(&other) = place(entry).and_then(|p| matched.get(&p)) {
            claims.push(*difference);
            pairs.push((entry.key, other));
        }
    }
    if let Some((key, other)) = pairs.first() {
        let message = if pairs.len() == 1 {
            format!("`{key}` is the same memory as `{other}`, which the model takes")
        } else {
            format!(
                "{} share memory with keys that the model takes, as `{key}` with `{other}`",
                count(pairs.len(), "key")
            )
        };
        let cause = Cause::new("CK405", Rank::Leftover, Remedy::Edit, message)
            .by(case.rules.diagnosis(Diagnosis::SharedMemory))
            .rider();
        case.claim(claims, cause);
    }
}
