//! Groups of keys that nothing has decided: some are settled by names, and some are found only now.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::insert;
use super::names::{Names, found};
use crate::align::{Alignment, Ambiguous, How, Match, Step};
use crate::checkpoint::{Key, SEPARATORS, Shape, StateDict};

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

/// One open tensor of the source whose rows are those of all open tensors of its kind in the module that became its module: they are its
/// parts, although the lexicon does not know it as fused (`linear1` of a block that computes attention and feed-forward side by side).
///
/// What its parts are is certain, in which order they stand is not: there are no pieces, and a conversion asks.
pub(super) fn parts_of_one(out: &mut Alignment, source: &StateDict<'_>, target: &StateDict<'_>) {
    if out.missing.is_empty() || out.unexpected.is_empty() {
        return;
    }
    let pairs = found(out, source, target);
    let names = Names::new(pairs.iter().copied(), source);
    type Place<'a> = (&'a str, &'a str);
    let mut wholes: HashMap<Place<'_>, Vec<u32>> = HashMap::new();
    for &s in &out.unexpected {
        let key = source.entries[s as usize].key;
        wholes.entry((Key(key.module()).module(), key.leaf())).or_default().push(s);
    }
    let mut parts: BTreeMap<Place<'_>, Vec<u32>> = BTreeMap::new();
    for &t in &out.missing {
        let key = target.entries[t as usize].key;
        let modules: HashSet<&str> = names.above(key.as_str()).collect();
        for module in modules {
            if wholes.contains_key(&(module, key.leaf())) {
                parts.entry((module, key.leaf())).or_default().push(t);
            }
        }
    }
    let mut matches: Vec<Match> = Vec::new();
    let mut taken: HashSet<u32> = HashSet::new();
    for (place, targets) in parts {
        let (Some(&[s]), false) = (wholes.get(&place).map(Vec::as_slice), targets.iter().any(|t| taken.contains(t)))
        else {
            continue;
        };
        let shape = |side: &StateDict<'_>, i: u32| Some(side.entries[i as usize].shape()?.dims().to_vec());
        let Some(whole) = shape(source, s).filter(|whole| !whole.is_empty()) else { continue };
        let rows = targets
            .iter()
            .map(|&t| shape(target, t).filter(|part| part.len() == whole.len() && part[1..] == whole[1..]));
        let rows: Option<u64> = rows.map(|part| Some(part?[0])).sum();
        if targets.len() > 1 && rows == Some(whole[0]) {
            taken.extend(&targets);
            let one =
                |t: u32| Match { target: t, source: vec![s], how: How::Split, step: Step::Structure, confidence: 0.85 };
            matches.extend(targets.into_iter().map(one));
        }
    }
    insert(out, matches, source.entries.len());
}

/// How many tensors of two modules must have found each other before what is left of them is paired.
const SIBLINGS: usize = 4;

/// The one open tensor of a module and the one open tensor of the module that it became, of one shape, among siblings that all found each
/// other: names that have nothing in common (`linear_pos`, `relative_k_proj`) are paired by what is left.
pub(super) fn last_of_its_module(out: &mut Alignment, source: &StateDict<'_>, target: &StateDict<'_>) {
    if out.missing.is_empty() || out.unexpected.is_empty() {
        return;
    }
    let pairs = found(out, source, target);
    let around = |key: Key<'_>| -> Option<String> {
        let outer = Key(key.module()).module();
        (!outer.is_empty()).then(|| outer.to_owned())
    };
    // For each module which modules its tensors went to, from either side.
    let mut siblings: HashMap<(String, String), usize> = HashMap::new();
    let mut all: [HashMap<String, usize>; 2] = Default::default();
    for &(a, b) in &pairs {
        let (a, b) = (around(a), around(b));
        for (side, module) in [&a, &b].into_iter().enumerate() {
            if let Some(module) = module {
                *all[side].entry(module.clone()).or_default() += 1;
            }
        }
        if let (Some(a), Some(b)) = (a, b) {
            *siblings.entry((a, b)).or_default() += 1;
        }
    }
    let partner: HashMap<&str, &str> = (siblings.iter())
        .filter(|((a, b), n)| **n >= SIBLINGS && all[0].get(a) == Some(n) && all[1].get(b) == Some(n))
        .map(|((a, b), _)| (b.as_str(), a.as_str()))
        .collect();
    let open = |side: &StateDict<'_>, these: &[u32]| -> HashMap<String, Vec<u32>> {
        let mut out: HashMap<String, Vec<u32>> = HashMap::new();
        for &i in these {
            if let Some(module) = around(side.entries[i as usize].key) {
                out.entry(module).or_default().push(i);
            }
        }
        out
    };
    let (open_s, open_t) = (open(source, &out.unexpected), open(target, &out.missing));
    let mut matches = Vec::new();
    for (module, targets) in &open_t {
        let Some(sources) = partner.get(module.as_str()).and_then(|m| open_s.get(*m)) else { continue };
        let place = |side: &StateDict<'_>, i: u32| {
            (side.entries[i as usize].key.leaf().to_owned(), side.entries[i as usize].shape().cloned())
        };
        let [mut s, mut t] = [Vec::new(), Vec::new()];
        s.extend(sources.iter().map(|&i| (place(source, i), i)));
        t.extend(targets.iter().map(|&i| (place(target, i), i)));
        let names: HashSet<&str> = sources.iter().map(|&i| source.entries[i as usize].key.module()).collect();
        let others: HashSet<&str> = targets.iter().map(|&i| target.entries[i as usize].key.module()).collect();
        s.sort();
        t.sort();
        let same = s.iter().map(|x| &x.0).eq(t.iter().map(|x| &x.0)) && s.iter().all(|x| x.0.1.is_some());
        if names.len() == 1 && others.len() == 1 && same {
            let one = |(s, t): (u32, u32)| Match {
                target: t,
                source: vec![s],
                how: How::Renamed,
                step: Step::Structure,
                confidence: 0.7,
            };
            matches.extend(s.iter().map(|x| x.1).zip(t.iter().map(|x| x.1)).map(one));
        }
    }
    insert(out, matches, source.entries.len());
}
