//! Groups of keys that nothing has decided: some are settled by names, and some are found only now.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::insert;
use super::names::{Names, found};
use crate::align::{Alignment, Ambiguous, How, Match, Step};
use crate::checkpoint::{SEPARATORS, Shape, StateDict};

/// Takes keys out of undecided groups that names decide.
pub(super) fn settle(out: &mut Alignment, source: &StateDict<'_>, target: &StateDict<'_>) {
    // What stands on both sides under one name loads as it is: it is no question.
    let certain = (How::Identical, Step::Identical, 0.95);
    settle_by(out, source, target, certain, |key, group| group.get(key).copied());
    if out.ambiguous.is_empty() {
        return;
    }
    // What stands beside keys that all went to the siblings of one candidate went there too.
    let pairs = found(out, source, target);
    let names = Names::new(pairs.iter().copied(), source);
    let back = Names::new(pairs.iter().map(|&(a, b)| (b, a)), target);
    settle_by(out, source, target, (How::Renamed, Step::Structure, 0.9), |key, group| {
        let s = names.beside(key).find_map(|k| group.get(k.as_str()).copied())?;
        back.beside(source.entries[s as usize].key.as_str()).any(|k| k == key).then_some(s)
    });
}

/// Settles each target for which `which` names a source of its group that has its shape and is still free.
fn settle_by<'a>(
    out: &mut Alignment,
    source: &StateDict<'a>,
    target: &StateDict<'a>,
    (how, step, confidence): (How, Step, f32),
    which: impl Fn(&str, &HashMap<&str, u32>) -> Option<u32>,
) {
    let mut settled = Vec::new();
    for group in &mut out.ambiguous {
        let by_key: HashMap<&str, u32> =
            group.source.iter().map(|&s| (source.entries[s as usize].key.as_str(), s)).collect();
        let mut taken: HashSet<u32> = HashSet::new();
        group.target.retain(|&t| {
            let entry = &target.entries[t as usize];
            let fits = |s: &u32| !taken.contains(s) && source.entries[*s as usize].shape() == entry.shape();
            let Some(s) = which(entry.key.as_str(), &by_key).filter(fits) else { return true };
            taken.insert(s);
            settled.push(Match { target: t, source: vec![s], how, step, confidence });
            false
        });
        group.source.retain(|s| !taken.contains(s));
    }
    close(out);
    insert(out, settled, source.entries.len());
}

/// Gives up groups of which one side is settled: what is left of the other is open.
fn close(out: &mut Alignment) {
    let (open_s, open_t): (Vec<u32>, Vec<u32>) = out
        .ambiguous
        .iter()
        .filter(|g| g.source.is_empty() || g.target.is_empty())
        .fold((Vec::new(), Vec::new()), |(mut s, mut t), g| {
            s.extend(&g.source);
            t.extend(&g.target);
            (s, t)
        });
    out.ambiguous.retain(|g| !g.source.is_empty() && !g.target.is_empty());
    out.unexpected.extend(open_s);
    out.unexpected.sort_unstable();
    out.missing.extend(open_t);
    out.missing.sort_unstable();
}

/// One open tensor of the source that is as large as several open ones of the target of its name together holds them all; which part is
/// which, names do not say.
pub(super) fn held_together(out: &mut Alignment, source: &StateDict<'_>, target: &StateDict<'_>) {
    if out.missing.is_empty() || out.unexpected.is_empty() {
        return;
    }
    let names = Names::new(found(out, source, target).into_iter(), source);
    let mut wholes: HashMap<(&str, u64), Vec<u32>> = HashMap::new();
    for &s in &out.unexpected {
        let entry = &source.entries[s as usize];
        if let Some(numel) = entry.shape().and_then(|s| s.numel()) {
            wholes.entry((entry.key.leaf(), numel)).or_default().push(s);
        }
    }
    type Place<'a> = (&'a str, &'a str, Option<&'a Shape>);
    let mut parts: BTreeMap<Place<'_>, Vec<u32>> = BTreeMap::new();
    for &t in &out.missing {
        let entry = &target.entries[t as usize];
        let key = entry.key.as_str();
        let module = key.rmatch_indices(SEPARATORS).find_map(|(at, _)| names.modules.get(&key[..at]).copied());
        if let Some(module) = module {
            parts.entry((module, entry.key.leaf(), entry.shape())).or_default().push(t);
        }
    }
    for ((module, leaf, shape), targets) in parts {
        let numel = shape.and_then(|s| s.numel()).and_then(|n| n.checked_mul(targets.len() as u64));
        let (Some(numel), true) = (numel, targets.len() > 1) else { continue };
        let below = |s: &&u32| {
            let key = source.entries[**s as usize].key.as_str();
            key.strip_prefix(module).is_some_and(|rest| rest.starts_with(SEPARATORS))
        };
        let whole: Vec<u32> = wholes.get(&(leaf, numel)).into_iter().flatten().filter(below).copied().collect();
        if let &[s] = whole.as_slice() {
            let why = "one tensor is as large as these together; which part is which, names and shapes do not say";
            out.missing.retain(|t| !targets.contains(t));
            out.unexpected.retain(|&u| u != s);
            out.ambiguous.push(Ambiguous { target: targets, source: vec![s], why: why.into() });
        }
    }
}
