//! Which pairs are looked at: units of equal size.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::Sides;
use crate::align::evidence::{Evidence, Pair};
use crate::align::units::Unit;

/// Units of equal size are compared all with all up to this many pairs; beyond, class by class and number by number.
const ALL_WITH_ALL: usize = 60_000;

/// In a large bucket, how many classes of the other side each class is compared with.
const CLASSES: usize = 4;

/// Two classes of a large bucket are always compared all with all up to this many pairs ...
const SMALL: usize = 64;

/// ... and up to this many while there are few such classes.
const MEDIUM: usize = 1_024;

/// Finds all pairs that may belong together: those of equal size.
pub(crate) fn pairs(sides: &Sides<'_>, evidence: &mut Evidence<'_>) -> Vec<Pair> {
    let mut buckets: HashMap<u64, [Vec<u32>; 2], foldhash::fast::RandomState> = HashMap::default();
    // Where one side has no shapes, nothing is known of sizes and all units share one bucket.
    let sized = |units: &[Unit]| units.iter().any(|u| u.shape.is_some());
    let sizes = sized(sides.source) && sized(sides.target);
    for (side, units) in [sides.source, sides.target].into_iter().enumerate() {
        for (i, unit) in units.iter().enumerate() {
            let size = if sizes { unit.numel } else { 0 };
            buckets.entry(size).or_default()[side].push(i as u32);
        }
    }
    let mut out = Vec::new();
    for [sources, targets] in buckets.into_values() {
        let add = |s: u32, t: u32, evidence: &mut Evidence<'_>, out: &mut Vec<Pair>| {
            let base = evidence.base(s, t);
            if base > 0.0 {
                let local = if sides.ordered { evidence.local(s, t) } else { 0 };
                out.push(Pair { source: s, target: t, base, local, score: base });
            }
        };
        if sources.len().saturating_mul(targets.len()) <= ALL_WITH_ALL {
            for &t in &targets {
                for &s in &sources {
                    add(s, t, evidence, &mut out);
                }
            }
            continue;
        }
        for (s, t) in by_class(sides, &sources, &targets, evidence) {
            add(s, t, evidence, &mut out);
        }
    }
    out
}

/// Pairs of a large bucket: of every class the few classes with the most similar names, and of two classes the units with equal
/// numbers and those at the same place in order.
fn by_class(sides: &Sides<'_>, sources: &[u32], targets: &[u32], evidence: &mut Evidence<'_>) -> Vec<(u32, u32)> {
    let group = |units: &[Unit], these: &[u32]| {
        let mut out: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
        for &i in these {
            out.entry(units[i as usize].name.class).or_default().push(i);
        }
        for members in out.values_mut() {
            members.sort_by(|&a, &b| units[a as usize].name.numbers.cmp(&units[b as usize].name.numbers));
        }
        out
    };
    let (a, b) = (group(sides.source, sources), group(sides.target, targets));
    let mut wanted: BTreeSet<(u32, u32)> = BTreeSet::new();
    let mut ranked: Vec<(f32, u32, u32)> = Vec::new();
    // Thousands of classes of one size are no model: there only equal names are compared.
    let few = a.len().saturating_mul(b.len()) <= ALL_WITH_ALL * 4;
    wanted.extend(a.keys().filter(|x| b.contains_key(x)).map(|&x| (x, x)));
    for &x in a.keys().filter(|_| few) {
        ranked.extend(b.keys().map(|&y| (evidence.name(x, y), x, y)));
    }
    ranked.sort_by(|p, q| q.0.total_cmp(&p.0).then((p.1, p.2).cmp(&(q.1, q.2))));
    let mut count: HashMap<(bool, u32), usize> = HashMap::new();
    for &(_, x, y) in &ranked {
        let (n, m) = (count.get(&(false, x)).copied().unwrap_or(0), count.get(&(true, y)).copied().unwrap_or(0));
        if n < CLASSES || m < CLASSES {
            *count.entry((false, x)).or_default() += 1;
            *count.entry((true, y)).or_default() += 1;
            wanted.insert((x, y));
        }
    }
    let mut out: BTreeSet<(u32, u32)> = BTreeSet::new();
    // Small classes are compared all with all, the smallest first, as far as that stays cheap.
    let mut wanted: Vec<(usize, u32, u32)> =
        wanted.into_iter().map(|(x, y)| (a[&x].len() * b[&y].len(), x, y)).collect();
    wanted.sort_unstable();
    let mut left = ALL_WITH_ALL / 4;
    for (size, x, y) in wanted {
        let (p, q) = (&a[&x], &b[&y]);
        if size <= SMALL || (size <= MEDIUM && size <= left) {
            left = left.saturating_sub(size);
            out.extend(p.iter().flat_map(|&s| q.iter().map(move |&t| (s, t))));
            continue;
        }
        if p.len() == q.len() {
            out.extend(p.iter().copied().zip(q.iter().copied()));
        }
        let by_number: HashMap<&[u32], u32> =
            p.iter().map(|&s| (sides.source[s as usize].name.numbers.as_slice(), s)).collect();
        for &t in q {
            if let Some(&s) = by_number.get(sides.target[t as usize].name.numbers.as_slice()) {
                out.insert((s, t));
            }
        }
    }
    out.into_iter().collect()
}
