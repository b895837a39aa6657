//! Open keys that the modules around them decide: what went where their siblings went.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::insert;
use super::names::{Names, found};
use crate::align::{Alignment, How, Match, Step};
use crate::checkpoint::{Key, Shape, StateDict};

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

/// The one open module within a module and the one open module within the module that it became, of tensors of the same names and shapes,
/// among siblings that all found each other: names that have nothing in common (`linear_pos`, `relative_k_proj`) are paired by what is left.
pub(super) fn last_of_its_module(out: &mut Alignment, source: &StateDict<'_>, target: &StateDict<'_>) {
    if out.missing.is_empty() || out.unexpected.is_empty() {
        return;
    }
    let partner = partners(&found(out, source, target));
    let (open_s, open_t) = (by_outer_module(source, &out.unexpected), by_outer_module(target, &out.missing));
    let mut matches = Vec::new();
    for (module, targets) in &open_t {
        let Some(sources) = partner.get(module).and_then(|m| open_s.get(m)) else { continue };
        let (Some(s), Some(t)) = (one_module(source, sources), one_module(target, targets)) else { continue };
        if s.keys().eq(t.keys()) {
            let one = |(&source, &target): (&u32, &u32)| Match {
                target,
                source: vec![source],
                how: How::Renamed,
                step: Step::Structure,
                confidence: 0.7,
            };
            matches.extend(s.values().zip(t.values()).map(one));
        }
    }
    insert(out, matches, source.entries.len());
}

/// The module around the module of a key; `None` at top level.
fn outer_module<'a>(key: Key<'a>) -> Option<&'a str> {
    Some(Key(key.module()).module()).filter(|module| !module.is_empty())
}

/// For modules of the target the module of the source that all their tensors came from, and nothing else did.
fn partners<'a>(pairs: &[(Key<'a>, Key<'a>)]) -> HashMap<&'a str, &'a str> {
    let mut together: HashMap<(&str, &str), usize> = HashMap::new();
    let (mut of_source, mut of_target): (HashMap<&str, usize>, HashMap<&str, usize>) = Default::default();
    for &(a, b) in pairs {
        let (a, b) = (outer_module(a), outer_module(b));
        a.into_iter().for_each(|a| *of_source.entry(a).or_default() += 1);
        b.into_iter().for_each(|b| *of_target.entry(b).or_default() += 1);
        a.zip(b).into_iter().for_each(|both| *together.entry(both).or_default() += 1);
    }
    let whole = |((a, b), n): &((&str, &str), usize)| {
        *n >= SIBLINGS && of_source.get(a) == Some(n) && of_target.get(b) == Some(n)
    };
    together.into_iter().filter(whole).map(|((a, b), _)| (b, a)).collect()
}

/// Open entries by the module around their module.
fn by_outer_module<'a>(side: &StateDict<'a>, open: &[u32]) -> HashMap<&'a str, Vec<u32>> {
    let mut out: HashMap<&str, Vec<u32>> = HashMap::new();
    for &i in open {
        if let Some(module) = outer_module(side.entries[i as usize].key) {
            out.entry(module).or_default().push(i);
        }
    }
    out
}

/// Entries by leaf and shape, where they are one module's and all shapes are known.
fn one_module<'a>(side: &StateDict<'a>, entries: &[u32]) -> Option<BTreeMap<(&'a str, Shape), u32>> {
    let of = |&i: &u32| &side.entries[i as usize];
    let module = of(entries.first()?).key.module();
    let same = entries.iter().all(|i| of(i).key.module() == module);
    let placed = entries.iter().map(|i| Some(((of(i).key.leaf(), of(i).shape()?.clone()), *i))).collect::<Option<_>>();
    placed.filter(|_| same)
}
