//! Second targets: a model that holds one tensor under two names (token embedding and output head) where the checkpoint holds it once.
//!
//! Only looked for where names were changed. Where all names are kept, the missing key is a tied weight that the file leaves out, and the
//! model fills it by itself: that is for the explanation to say.

use std::collections::HashMap;

use super::leftovers::insert;
use super::words::{Name, Words};
use super::{Alignment, How, Match, Step};
use crate::checkpoint::{Key, Shape, StateDict};
use crate::rules::lexicon::Lexicon;

/// Tensors with fewer elements have equal shapes by chance.
const SMALLEST: u64 = 200;

/// A shape that more keys of the target share says nothing.
const COMMON: usize = 4;

/// A missing target, the source of its shape, and the targets that hold it.
type Tie = (u32, u32, Vec<(Name, u32)>);

/// Adds matches for missing keys that share a tensor with a key that was found.
pub(crate) fn add(out: &mut Alignment, source: &StateDict<'_>, target: &StateDict<'_>, lexicon: &Lexicon) {
    one_source(out, source, target, lexicon);
    if out.missing.is_empty() {
        return;
    }
    let mut shapes: HashMap<&Shape, usize> = HashMap::new();
    for e in &target.entries {
        if let Some(shape) = e.shape() {
            *shapes.entry(shape).or_default() += 1;
        }
    }
    let mut words = Words::new(lexicon);
    let mut read = |i: u32| {
        let (tokens, last) = words.tokenize(target.entries[i as usize].key.as_str());
        words.name_of(tokens, last, 0)
    };
    let mut found: Vec<Tie> = Vec::new();
    for &t in &out.missing {
        let Some(shape) = target.entries[t as usize].shape() else { continue };
        if shape.numel().is_none_or(|n| n < SMALLEST) || shapes.get(shape).is_none_or(|&n| n > COMMON) {
            continue;
        }
        let holders: Vec<(Name, u32)> = out
            .matches
            .iter()
            .filter(|m| m.source.len() == 1 && target.entries[m.target as usize].shape() == Some(shape))
            // A matrix that is stored the other way round is a layer's own, not the table that is shared.
            .filter(|m| m.how != How::Transposed)
            // Where the holder keeps its own name both sides speak one language, and the file leaves the second out.
            .filter(|m| last_module(target, m.target) != last_module(source, m.source[0]))
            .map(|m| (read(m.target), m.source[0]))
            .collect();
        let mut sources: Vec<u32> = holders.iter().map(|h| h.1).collect();
        sources.dedup();
        if let &[s] = sources.as_slice() {
            found.push((t, s, holders));
        }
    }
    let mine: Vec<Name> = found.iter().map(|f| read(f.0)).collect();
    let matches = found
        .into_iter()
        .zip(mine)
        .filter(|((_, _, holders), name)| {
            holders.iter().any(|(h, _)| {
                let both = words.shares_tensor(&name.tokens) && words.shares_tensor(&h.tokens);
                both || (name.leaf_tokens() == h.leaf_tokens() && name.leaf.role == h.leaf.role && alike(name, h))
            })
        })
        .map(|((target, source, _), _)| Match {
            target,
            source: vec![source],
            how: How::Renamed,
            step: Step::Tied,
            confidence: 0.9,
        })
        .collect();
    insert(out, matches, source.entries.len());
}

/// The innermost module of a key: `embed_tokens` of `model.embed_tokens.weight`.
fn last_module<'a>(side: &StateDict<'a>, i: u32) -> &'a str {
    Key(side.entries[i as usize].key.module()).leaf()
}

/// Settles groups of one source and several targets that speak of embeddings and heads: all of them are that tensor. The first is its
/// place, the others are tied to it.
fn one_source(out: &mut Alignment, source: &StateDict<'_>, target: &StateDict<'_>, lexicon: &Lexicon) {
    let mut words = Words::new(lexicon);
    let mut found = Vec::new();
    out.ambiguous.retain(|group| {
        let &[s] = group.source.as_slice() else { return true };
        let shares = group.target.iter().all(|&t| {
            let (tokens, _) = words.tokenize(target.entries[t as usize].key.as_str());
            words.shares_tensor(&tokens)
        });
        if !shares || group.target.len() < 2 {
            return true;
        }
        for (i, &target) in group.target.iter().enumerate() {
            let step = if i == 0 { Step::Structure } else { Step::Tied };
            found.push(Match { target, source: vec![s], how: How::Renamed, step, confidence: 0.9 });
        }
        false
    });
    insert(out, found, source.entries.len());
}

/// Whether one name holds all tokens of the other in order, or all but one.
fn alike(a: &Name, b: &Name) -> bool {
    let (short, long) = if a.tokens.len() <= b.tokens.len() { (a, b) } else { (b, a) };
    let mut rest = long.tokens.iter();
    let missing = short.tokens.iter().filter(|t| !rest.clone().any(|u| u == *t) || !rest.any(|u| u == *t)).count();
    missing <= 1 && short.tokens.len() > 1
}
