//! The file as a whole is not what the model wants: another dict, placeholders, another model.

use std::collections::HashMap;

use super::Remedy;
use super::alike::foreign;
use super::case::{Case, Cause, Rank, count, some};
use super::rest::head_of;
use crate::compare::Difference;
use crate::rules::{Diagnosis, Place};

/// Explains a checkpoint that was passed with its outer dict.
pub(super) fn container(case: &mut Case<'_>) {
    let Some(about) = case.rules.diagnosis(Diagnosis::Container) else { return };
    let words = case.rules.words(Diagnosis::Container);
    let unexpected = case.unexpected();
    // A container has no shape: where sizes are known, a tensor of that name is a tensor.
    let bare = |e: &crate::checkpoint::Entry<'_>| !e.key.as_str().contains('.') && e.shape().is_none();
    let holds: Vec<&str> = unexpected
        .iter()
        .filter(|(_, e)| bare(e) && words.iter().any(|w| w == e.key.as_str()))
        .map(|(_, e)| e.key.as_str())
        .collect();
    if holds.is_empty() || !unexpected.iter().all(|(_, e)| bare(e)) {
        return;
    }
    let message = format!("the whole checkpoint was passed: the weights are under {}", some(&holds, 3));
    let cause = Cause::new("CK105", Rank::File, Remedy::Edit, message).by(Some(about)).confidence(0.9);
    // What is missing is missing for the same reason.
    let claims: Vec<u32> = unexpected.iter().chain(&case.missing()).map(|(d, _)| *d).collect();
    case.claim(claims, cause);
}

/// Explains a model that has no parameters at all.
pub(super) fn not_built(case: &mut Case<'_>) {
    let Some(about) = case.rules.diagnosis(Diagnosis::NotBuilt) else { return };
    let unexpected = case.unexpected();
    if !case.target.entries.is_empty() || unexpected.is_empty() {
        return;
    }
    let names: Vec<&str> = unexpected.iter().map(|(_, e)| e.key.as_str()).collect();
    let prefix = names.first().and_then(|n| n.split_once('.')).map_or("", |(first, _)| first);
    // Only the name of an attribute that holds a network: extra heads of a model that has the rest lie below one prefix too.
    let attribute = case.rules.wrappers.iter().any(|w| w.place == Place::Prefix && w.segment == prefix);
    let below = |n: &&str| n.strip_prefix(prefix).is_some_and(|r| r.starts_with('.'));
    if !attribute || !names.iter().all(below) || names.len() < 4 {
        return;
    }
    // Buffers and a head that was left behind are no model.
    if unexpected.iter().all(|(_, e)| case.rules.buffers.contains(e.key)) {
        return;
    }
    if names.iter().all(|name| head_of(case, name).is_some()) {
        return;
    }
    let message = format!("the model expects none of {} under `{prefix}.`", count(names.len(), "key"));
    let cause = Cause::new("CK121", Rank::File, Remedy::Lost, message).by(Some(about)).confidence(0.6);
    case.claim(unexpected.iter().map(|(d, _)| *d).collect::<Vec<_>>(), cause);
}

/// Explains tensors of no or one element where the model has parameters.
pub(super) fn placeholders(case: &mut Case<'_>) {
    let Some(about) = case.rules.diagnosis(Diagnosis::Placeholders) else { return };
    let resized = case.resized();
    let placeholder = |dims: &[u64]| matches!(dims, [0] | [1]);
    let claims: Vec<u32> =
        resized.iter().filter(|r| placeholder(r.from) && r.to.iter().any(|&d| d > 1)).map(|r| r.difference).collect();
    let known = if case.partial() { resized.len() } else { case.source.entries.len() };
    if claims.len() < 2 || claims.len() * 2 < known {
        return;
    }
    let message = format!("{} of the checkpoint are empty or of one element", count(claims.len(), "tensor"));
    let cause = Cause::new("CK118", Rank::File, Remedy::Lost, message).by(Some(about));
    case.claim(claims, cause);
}

/// The fewest keys on each side by which a text shows that the two are different models.
const FEWEST: usize = 8;

/// Explains a text in which no key of the one side answers one of the other, and hardly a word is on both.
pub(super) fn other_model(case: &mut Case<'_>) {
    let Some(about) = case.rules.diagnosis(Diagnosis::WrongFile) else { return };
    let (missing, unexpected) = (case.missing(), case.unexpected());
    if !case.partial()
        || missing.len().min(unexpected.len()) < FEWEST
        || !case.alignment.matches.is_empty()
        || !foreign(unexpected.iter().map(|(_, e)| e.key.as_str()), missing.iter().map(|(_, e)| e.key.as_str()))
    {
        return;
    }
    let message = format!(
        "none of {} of the checkpoint has a counterpart among {} of the model: another architecture",
        count(unexpected.len(), "key"),
        missing.len()
    );
    let cause =
        Cause::new("CK114", Rank::File, Remedy::Lost, message).by(Some(about)).confidence(0.8).with("matched", 0);
    case.claim(missing.into_iter().chain(unexpected).map(|(d, _)| d).collect::<Vec<_>>(), cause);
}

/// Explains a checkpoint of which nothing fits, where nothing else has told why.
pub(super) fn wrong(case: &mut Case<'_>) {
    let Some(about) = case.rules.diagnosis(Diagnosis::WrongFile) else { return };
    let (given, wanted) = (case.source.entries.len(), case.target.entries.len());
    let matched = case.alignment.matches.len();
    let open: Vec<u32> = case
        .open()
        .filter(|(_, d)| matches!(d, Difference::Missing { .. } | Difference::Unexpected { .. }))
        .map(|(i, _)| i)
        .collect();
    // Of an error text only the differences are known, so nothing can be said of what both have.
    if case.partial()
        || given.min(wanted) < 4
        || matched * 20 > given.min(wanted)
        || open.len() * 5 < (given + wanted) * 4
    {
        return;
    }
    if !shapes_differ(case) {
        return;
    }
    let message = format!("{matched} of {wanted} expected keys have a counterpart: nothing in common");
    let cause = Cause::new("CK114", Rank::File, Remedy::Lost, message).by(Some(about)).with("matched", matched);
    case.claim(open, cause);
}

/// Whether hardly a shape of one side occurs on the other. Shapes of one size say too little to count.
fn shapes_differ(case: &Case<'_>) -> bool {
    let mut left: HashMap<&[u64], usize> = HashMap::new();
    let (mut given, mut wanted, mut common) = (0, 0, 0);
    for shape in case.source.entries.iter().filter_map(|e| e.shape()) {
        *left.entry(shape.dims()).or_default() += 1;
        given += 1;
    }
    for shape in case.target.entries.iter().filter_map(|e| e.shape()) {
        wanted += 1;
        if let Some(n) = left.get_mut(shape.dims()).filter(|n| **n > 0) {
            *n -= 1;
            common += 1;
        }
    }
    given > 0 && wanted > 0 && common * 4 < given.min(wanted)
}
