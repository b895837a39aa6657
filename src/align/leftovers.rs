//! What the assignment leaves over: the same tensor in another size, a tensor used twice, a quantised weight.
//!
//! Every step here follows names: a key is found under its own name, under the prefix that most matches add or lose, or
//! beside its siblings.

use std::collections::HashSet;

use super::analogy;
use super::structure::after;
use super::{Alignment, How, Match, Step};
use crate::checkpoint::StateDict;
use crate::rules::lexicon::Lexicon;

mod groups;
mod modules;
mod names;

use names::Names;

/// Adds matches that names imply to what was found.
pub(crate) fn add(out: &mut Alignment, source: &StateDict<'_>, target: &StateDict<'_>, lexicon: &Lexicon) {
    groups::settle(out, source, target);
    if out.missing.is_empty() || out.unexpected.is_empty() {
        return;
    }
    let pairs: Vec<(u32, u32)> =
        out.matches.iter().filter(|m| m.source.len() == 1).map(|m| (m.source[0], m.target)).collect();
    // Asked from the same side whichever is the source, as the structural step is.
    let found: Vec<(u32, u32)> = if after(source, target) {
        let turned: Vec<(u32, u32)> = pairs.iter().map(|&(s, t)| (t, s)).collect();
        let open = Open { first: &out.missing, second: &out.unexpected };
        by_name(target, source, &turned, open).into_iter().map(|(t, s)| (s, t)).collect()
    } else {
        by_name(source, target, &pairs, Open { first: &out.unexpected, second: &out.missing })
    };
    let taken: HashSet<(bool, u32)> = found.iter().flat_map(|&(s, t)| [(false, s), (true, t)]).collect();
    let like = analogy::find(source, target, &pairs, &out.unexpected, &out.missing);
    let like = like.into_iter().filter(|&(s, t)| !taken.contains(&(false, s)) && !taken.contains(&(true, t)));
    let matches = found
        .iter()
        .copied()
        .chain(like)
        .map(|(s, t)| {
            let identical = source.entries[s as usize].key == target.entries[t as usize].key;
            let how = if identical { How::Identical } else { How::Renamed };
            Match { target: t, source: vec![s], how, step: Step::Prefix, confidence: 0.95 }
        })
        .collect();
    insert(out, matches, source.entries.len());
    let quantised = packed(out, source, target, &pairs, lexicon);
    insert(out, quantised, source.entries.len());
    modules::parts_of_one(out, source, target);
    modules::last_of_its_module(out, source, target);
    groups::held_together(out, source, target);
}

/// Keys of either side that nothing was found for.
struct Open<'a> {
    first: &'a [u32],
    second: &'a [u32],
}

/// Pairs of open keys that names put together: an equal name, the usual prefix, or beside the siblings, seen from both sides.
fn by_name(first: &StateDict<'_>, second: &StateDict<'_>, pairs: &[(u32, u32)], open: Open<'_>) -> Vec<(u32, u32)> {
    let keys = |&(a, b): &(u32, u32)| (first.entries[a as usize].key, second.entries[b as usize].key);
    let names = Names::new(pairs.iter().map(keys), first);
    let back = Names::new(pairs.iter().map(keys).map(|(a, b)| (b, a)), second);
    let mut free: HashSet<u32, foldhash::fast::RandomState> = open.first.iter().copied().collect();
    let mut found = Vec::new();
    for &b in open.second {
        let key = second.entries[b as usize].key.as_str();
        // A name that is found from one side only is a guess.
        let found_back = |a: u32| back.candidates(first.entries[a as usize].key.as_str()).any(|(k, _)| k == key);
        let same = names.candidates(key).find_map(|(k, identical)| {
            let a = *names.source.get(k.as_str())?;
            (free.contains(&a) && (identical || found_back(a))).then_some(a)
        });
        if let Some(a) = same {
            free.remove(&a);
            found.push((a, b));
        }
    }
    found
}

/// Quantised weights: their packed parts stand where the weight would stand.
fn packed(
    out: &Alignment,
    source: &StateDict<'_>,
    target: &StateDict<'_>,
    pairs: &[(u32, u32)],
    lexicon: &Lexicon,
) -> Vec<Match> {
    let keys = |&(s, t): &(u32, u32)| (source.entries[s as usize].key, target.entries[t as usize].key);
    let names = Names::new(pairs.iter().map(keys), source);
    let mut free: HashSet<u32, foldhash::fast::RandomState> = out.unexpected.iter().copied().collect();
    let mut found = Vec::new();
    for &t in &out.missing {
        let key = target.entries[t as usize].key.as_str();
        let parts = lexicon.packed.iter().find_map(|packed| {
            let module = key.strip_suffix(packed.whole.as_str())?;
            names.candidates(module).find_map(|(m, _)| {
                let parts: Vec<u32> =
                    packed.parts.iter().filter_map(|p| names.source.get(format!("{m}{p}").as_str()).copied()).collect();
                (parts.len() >= packed.at_least && parts.iter().all(|s| free.contains(s))).then_some(parts)
            })
        });
        if let Some(parts) = parts {
            parts.iter().for_each(|s| {
                free.remove(s);
            });
            found.push(Match { target: t, source: parts, how: How::Merged, step: Step::Prefix, confidence: 0.9 });
        }
    }
    found
}

/// Puts new matches in their places and takes their keys off the lists of missing and unexpected ones.
pub(crate) fn insert(out: &mut Alignment, found: Vec<Match>, sources: usize) {
    if found.is_empty() {
        return;
    }
    let mut used = vec![false; sources];
    out.matches.extend(found);
    out.matches.sort_by_key(|m| m.target);
    for &s in out.matches.iter().flat_map(|m| &m.source) {
        used[s as usize] = true;
    }
    let matches = &out.matches;
    out.missing.retain(|t| matches.binary_search_by_key(t, |m| m.target).is_err());
    out.unexpected.retain(|&s| !used[s as usize]);
}

#[cfg(test)]
mod tests {
    use crate::align::How;
    use crate::align::cases::{aligned, key};

    /// The source of a target key, where one source alone makes it or holds it.
    fn source_of(sides: (&[&str], &[&str]), target: &str) -> Option<(String, How)> {
        aligned(sides.0, sides.1, |found, a, b| {
            let m = found.matches.iter().find(|m| key(b, m.target) == target)?;
            Some((key(a, m.source[0]), m.how))
        })
    }

    const ATTENTION: &[&str] = &["layers.{0-1}.attn.{q,k,v,out}.weight [8, 8]", "layers.{0-1}.attn.xyz.weight [8, 8]"];

    #[test]
    fn what_is_left_of_two_modules_whose_other_tensors_found_each_other_is_one_tensor() {
        let target =
            ["blocks.{0-1}.self_attn.{q,k,v,out}_proj.weight [8, 8]", "blocks.{0-1}.self_attn.abc.weight [8, 8]"];
        let found = source_of((ATTENTION, &target), "blocks.1.self_attn.abc.weight");
        assert_eq!(found.unwrap().0, "layers.1.attn.xyz.weight");
    }

    #[test]
    fn what_is_left_in_another_shape_or_beside_another_stays_open() {
        let other =
            ["blocks.{0-1}.self_attn.{q,k,v,out}_proj.weight [8, 8]", "blocks.{0-1}.self_attn.abc.weight [8, 4]"];
        assert_eq!(source_of((ATTENTION, &other), "blocks.1.self_attn.abc.weight"), None);
        let two = [ATTENTION, &["layers.{0-1}.attn.uvw.weight [8, 8]"]].concat();
        let target =
            ["blocks.{0-1}.self_attn.{q,k,v,out}_proj.weight [8, 8]", "blocks.{0-1}.self_attn.abc.weight [8, 8]"];
        assert_eq!(source_of((&two, &target), "blocks.1.self_attn.abc.weight"), None);
    }

    #[test]
    fn a_tensor_with_the_rows_of_all_that_is_open_in_its_module_is_split_into_them() {
        let source =
            ["single.{0-1}.both.weight [28, 8]", "single.{0-1}.norm.weight [4]", "single.{0-1}.mod.weight [12, 8]"];
        let target = [
            "single.{0-1}.norm.weight [4]",
            "single.{0-1}.mod.weight [12, 8]",
            "single.{0-1}.attn.{q,k,v}_proj.weight [4, 8]",
            "single.{0-1}.grow.weight [16, 8]",
        ];
        let split = Some(("single.1.both.weight".to_owned(), How::Split));
        assert_eq!(source_of((&source, &target), "single.1.attn.k_proj.weight"), split);
        assert_eq!(source_of((&source, &target), "single.1.grow.weight"), split);
    }
}
