//! One to one: pairs are scored, assigned, and scored again with the votes of what was assigned.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::evidence::{Evidence, Pair};
use super::tree::Tree;
use super::units::Unit;
use crate::rules::lexicon::Role;

type Votes = HashMap<(u32, u32), f32, foldhash::fast::RandomState>;

/// What was assigned: for every target unit its source unit, with the score and how far the next best candidate is behind.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Assigned {
    /// Index of the source unit.
    pub(crate) source: u32,
    /// Score of the pair.
    pub(crate) score: f32,
    /// Score less that of the best other pair of either unit.
    pub(crate) margin: f32,
}

/// Both sides of an assignment.
pub(crate) struct Sides<'a> {
    /// Units of the source.
    pub(crate) source: &'a [Unit],
    /// Units of the target.
    pub(crate) target: &'a [Unit],
    /// Modules of the source.
    pub(crate) source_tree: &'a Tree,
    /// Modules of the target.
    pub(crate) target_tree: &'a Tree,
    /// Whether the order of both sides is that of registration.
    pub(crate) ordered: bool,
}

/// How many times votes are taken.
const ROUNDS: usize = 5;

/// Units of equal size are compared all with all up to this many pairs; beyond, class by class and number by number.
const ALL_WITH_ALL: usize = 60_000;

/// In a large bucket, how many classes of the other side each class is compared with.
const CLASSES: usize = 4;

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
                out.push(Pair { source: s, target: t, base, local, score: base + 0.15 * f32::from(local) });
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
    for (x, y) in wanted {
        let (p, q) = (&a[&x], &b[&y]);
        if p.len() * q.len() <= 64 {
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

/// Assigns sources to targets in several rounds. The result has one element per target unit.
pub(crate) fn assign(sides: &Sides<'_>, pairs: &mut [Pair]) -> Vec<Option<Assigned>> {
    let mut chosen = greedy(sides, pairs);
    for _ in 0..ROUNDS {
        vote(sides, pairs, &chosen);
        chosen = greedy(sides, pairs);
        exchange(pairs, &mut chosen);
    }
    measure(sides, pairs, &mut chosen);
    chosen
}

/// Exchanges the sources of two targets wherever both together score more that way: the best pair is not always part of the best whole.
fn exchange(pairs: &[Pair], chosen: &mut [Option<Assigned>]) {
    // Where the pairs of each target stand.
    let mut of_target: Vec<Vec<u32>> = vec![Vec::new(); chosen.len()];
    for (i, pair) in pairs.iter().enumerate() {
        of_target[pair.target as usize].push(i as u32);
    }
    let mut owner: HashMap<u32, u32, foldhash::fast::RandomState> = HashMap::default();
    for (t, c) in chosen.iter().enumerate() {
        if let Some(c) = c {
            owner.insert(c.source, t as u32);
        }
    }
    for t in 0..chosen.len() {
        let Some(mine) = chosen[t] else { continue };
        // Only what this target would rather have and another has can be worth an exchange.
        for &i in &of_target[t] {
            let wish = &pairs[i as usize];
            if wish.score <= mine.score {
                continue;
            }
            let Some(&other) = owner.get(&wish.source) else { continue };
            let Some(theirs) = chosen[other as usize] else { continue };
            let back = of_target[other as usize].iter().map(|&j| &pairs[j as usize]).find(|p| p.source == mine.source);
            let Some(back) = back.filter(|b| b.score + wish.score > mine.score + theirs.score + 0.01) else { continue };
            chosen[t] = Some(Assigned { source: wish.source, score: wish.score, margin: 0.0 });
            chosen[other as usize] = Some(Assigned { source: mine.source, score: back.score, margin: 0.0 });
            owner.insert(wish.source, t as u32);
            owner.insert(mine.source, other);
            break;
        }
    }
}

/// Takes the best pair, then the best of what is left.
fn greedy(sides: &Sides<'_>, pairs: &mut [Pair]) -> Vec<Option<Assigned>> {
    pairs.sort_unstable_by(|a, b| {
        b.score.total_cmp(&a.score).then(a.target.cmp(&b.target)).then(a.source.cmp(&b.source))
    });
    let mut taken = vec![false; sides.source.len()];
    let mut chosen: Vec<Option<Assigned>> = vec![None; sides.target.len()];
    for pair in pairs.iter() {
        let (s, t) = (pair.source as usize, pair.target as usize);
        if !taken[s] && chosen[t].is_none() {
            taken[s] = true;
            chosen[t] = Some(Assigned { source: pair.source, score: pair.score, margin: f32::MAX });
        }
    }
    measure(sides, pairs, &mut chosen);
    chosen
}

/// Notes how far the best rival of each pair is behind: any other pair of the same source or target.
fn measure(sides: &Sides<'_>, pairs: &[Pair], chosen: &mut [Option<Assigned>]) {
    let mut rival_t = vec![f32::MIN; sides.target.len()];
    let mut rival_s = vec![f32::MIN; sides.source.len()];
    for pair in pairs {
        let (s, t) = (pair.source as usize, pair.target as usize);
        if chosen[t].is_none_or(|c| c.source != pair.source) {
            rival_t[t] = rival_t[t].max(pair.score);
            rival_s[s] = rival_s[s].max(pair.score);
        }
    }
    for (t, c) in chosen.iter_mut().enumerate() {
        if let Some(c) = c {
            c.margin = c.score - rival_t[t].max(rival_s[c.source as usize]);
        }
    }
}

/// Scores every pair anew: its own evidence and what the last assignment says of its class, its module and its place.
fn vote(sides: &Sides<'_>, pairs: &mut [Pair], chosen: &[Option<Assigned>]) {
    let mut classes = Votes::default();
    let mut class_s: HashMap<u32, f32, foldhash::fast::RandomState> = HashMap::default();
    let mut class_t: HashMap<u32, f32, foldhash::fast::RandomState> = HashMap::default();
    let mut modules = Votes::default();
    let mut size_s = vec![0f32; sides.source_tree.len()];
    let mut size_t = vec![0f32; sides.target_tree.len()];
    let mut orders: Vec<(u32, u32)> = Vec::new();
    let mut numbers = Numbers::default();
    for (t, c) in chosen.iter().enumerate() {
        let Some(c) = c else { continue };
        let (a, b) = (&sides.source[c.source as usize], &sides.target[t]);
        // A pair without rivals says more than one that was drawn from many.
        let sure = 0.2 + 0.8 * c.margin.clamp(0.0, 1.0);
        *classes.entry((a.name.class, b.name.class)).or_insert(0.0) += sure;
        *class_s.entry(a.name.class).or_insert(0.0) += sure;
        *class_t.entry(b.name.class).or_insert(0.0) += sure;
        numbers.add(a, b, sure);
        orders.push((t as u32, c.source));
        let mut x = Some(sides.source_tree.of_unit[c.source as usize]);
        for _ in 0..4 {
            let Some(n) = x else { break };
            size_s[n as usize] += sure;
            let mut y = Some(sides.target_tree.of_unit[t]);
            for _ in 0..4 {
                let Some(m) = y else { break };
                *modules.entry((n, m)).or_insert(0.0) += sure;
                y = sides.target_tree.parent(m);
            }
            x = sides.source_tree.parent(n);
        }
        let mut y = Some(sides.target_tree.of_unit[t]);
        for _ in 0..4 {
            let Some(m) = y else { break };
            size_t[m as usize] += sure;
            y = sides.target_tree.parent(m);
        }
    }
    let mains = [mains(sides.source, sides.source_tree), mains(sides.target, sides.target_tree)];
    let order = Order::new(sides, &orders);
    let local = local_trust(pairs, chosen);
    numbers.settle();
    let mut support: Votes = Votes::default();
    for pair in pairs.iter_mut() {
        let (a, b) = (&sides.source[pair.source as usize], &sides.target[pair.target as usize]);
        let class = classes.get(&(a.name.class, b.name.class)).copied().unwrap_or(0.0)
            / class_s
                .get(&a.name.class)
                .copied()
                .unwrap_or(1.0)
                .min(class_t.get(&b.name.class).copied().unwrap_or(1.0));
        let nodes = (sides.source_tree.of_unit[pair.source as usize], sides.target_tree.of_unit[pair.target as usize]);
        let module = *support.entry(nodes).or_insert_with(|| {
            // The best agreement between the modules around one and the modules around the other, nearest first.
            let mut sum = 0.0;
            let mut x = Some(nodes.0);
            let mut weight = 1.0;
            for _ in 0..4 {
                let Some(n) = x else { break };
                let mut best = 0f32;
                let mut y = Some(nodes.1);
                for _ in 0..4 {
                    let Some(m) = y else { break };
                    let both = modules.get(&(n, m)).copied().unwrap_or(0.0);
                    best = best.max(both / size_s[n as usize].max(size_t[m as usize]).max(0.2));
                    y = sides.target_tree.parent(m);
                }
                sum += weight * best;
                weight *= 0.7;
                x = sides.source_tree.parent(n);
            }
            sum / 2.53
        });
        pair.score = pair.base
            + 0.7 * class
            + 0.7 * module
            + 0.3 * order.agrees(pair.source, pair.target)
            + 0.25 * local * f32::from(pair.local)
            + 0.5 * numbers.agrees(a, b)
            + 0.5 * companions(&mains, pair, nodes, chosen);
    }
}

/// For each module the unit that is its weight.
fn mains(units: &[Unit], tree: &Tree) -> Vec<Option<u32>> {
    let mut out = vec![None; tree.len()];
    for (i, unit) in units.iter().enumerate() {
        if unit.name.leaf.role == Role::Weight {
            out[tree.of_unit[i] as usize] = Some(i as u32);
        }
    }
    out
}

/// Whether the weights beside two units (a bias, a running mean) belong together: 1, −1 where one of them went elsewhere, 0 without any.
fn companions(mains: &[Vec<Option<u32>>; 2], pair: &Pair, nodes: (u32, u32), chosen: &[Option<Assigned>]) -> f32 {
    let (Some(s), Some(t)) = (mains[0][nodes.0 as usize], mains[1][nodes.1 as usize]) else { return 0.0 };
    if s == pair.source || t == pair.target {
        return 0.0;
    }
    match chosen[t as usize] {
        Some(c) if c.margin < 0.2 => 0.0,
        Some(c) if c.source == s => 1.0,
        Some(_) => -1.0,
        None => 0.0,
    }
}

/// How far the stored order within modules can be trusted: 0 when it holds for half of what was assigned, 1 when for all.
fn local_trust(pairs: &[Pair], chosen: &[Option<Assigned>]) -> f32 {
    let (mut with, mut against) = (0f32, 0f32);
    for pair in pairs {
        if chosen[pair.target as usize].is_some_and(|c| c.source == pair.source) {
            match pair.local {
                1 => with += 1.0,
                -1 => against += 1.0,
                _ => {}
            }
        }
    }
    if with + against < 4.0 { 0.3 } else { ((with / (with + against) - 0.5) * 2.0).clamp(0.0, 1.0) }
}

/// How the numbers in the names of two classes relate: by a constant difference, a constant sum, or one by one.
#[derive(Default)]
struct Numbers {
    votes: HashMap<(u32, u32, u8, Relation), f32, foldhash::fast::RandomState>,
    /// For each pair of classes and place the difference or sum with most votes, and its share.
    best: HashMap<(u32, u32, u8), (Relation, f32), foldhash::fast::RandomState>,
    all: HashMap<(u32, u32, u8, Option<u32>), f32, foldhash::fast::RandomState>,
}

/// A relation between a number on one side and a number on the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Relation {
    Difference(i64),
    Sum(i64),
    Pair(u32, u32),
}

impl Numbers {
    fn add(&mut self, a: &Unit, b: &Unit, sure: f32) {
        if a.name.numbers.len() != b.name.numbers.len() {
            return;
        }
        for (i, (&x, &y)) in a.name.numbers.iter().zip(&b.name.numbers).enumerate() {
            let (s, t, i) = (a.name.class, b.name.class, i as u8);
            let relations = [
                Relation::Difference(i64::from(y) - i64::from(x)),
                Relation::Sum(i64::from(y) + i64::from(x)),
                Relation::Pair(x, y),
            ];
            for relation in relations {
                *self.votes.entry((s, t, i, relation)).or_insert(0.0) += sure;
            }
            *self.all.entry((s, t, i, None)).or_insert(0.0) += sure;
            *self.all.entry((s, t, i, Some(x))).or_insert(0.0) += sure;
        }
    }

    fn settle(&mut self) {
        for (&(s, t, i, relation), &votes) in &self.votes {
            if matches!(relation, Relation::Pair(..)) {
                continue;
            }
            let share = votes / self.all[&(s, t, i, None)];
            let best = self.best.entry((s, t, i)).or_insert((relation, share));
            if share > best.1 + 1e-4 || (share > best.1 - 1e-4 && relation < best.0) {
                *best = (relation, share);
            }
        }
    }

    /// −1 to 1: whether the numbers of two names relate as those of their classes usually do.
    fn agrees(&self, a: &Unit, b: &Unit) -> f32 {
        if a.name.numbers.len() != b.name.numbers.len() || a.name.numbers.is_empty() {
            return 0.0;
        }
        let mut sum = 0f32;
        for (i, (&x, &y)) in a.name.numbers.iter().zip(&b.name.numbers).enumerate() {
            let (s, t, i) = (a.name.class, b.name.class, i as u8);
            let Some(&(relation, share)) = self.best.get(&(s, t, i)) else { return 0.0 };
            let holds = match relation {
                Relation::Difference(d) => i64::from(y) - i64::from(x) == d,
                Relation::Sum(d) => i64::from(y) + i64::from(x) == d,
                Relation::Pair(..) => false,
            };
            // Where no difference and no sum holds for most, what each number became is asked by itself.
            let pair = self.votes.get(&(s, t, i, Relation::Pair(x, y))).copied().unwrap_or(0.0)
                / self.all.get(&(s, t, i, Some(x))).copied().unwrap_or(1.0);
            sum += if share >= 0.6 { if holds { share } else { -share } } else { 2.0 * pair - 1.0 };
        }
        sum / (a.name.numbers.len() as f32).sqrt()
    }
}

/// Whether the order of registration is kept, learned from what was assigned.
struct Order {
    trust: f32,
    /// For each source position, the target position that its neighbours suggest.
    expected: Vec<f32>,
}

impl Order {
    fn new(sides: &Sides<'_>, assigned: &[(u32, u32)]) -> Order {
        let n = sides.source.len();
        if !sides.ordered || assigned.len() < 3 {
            return Order { trust: 0.0, expected: Vec::new() };
        }
        // Neighbours in the target that are neighbours in the same order in the source.
        let kept = assigned.windows(2).filter(|w| w[1].1 > w[0].1 && w[1].1 - w[0].1 <= 3).count();
        let share = kept as f32 / (assigned.len() - 1) as f32;
        let trust = ((share - 0.5) * 2.0).clamp(0.0, 1.0);
        let mut at = vec![f32::NAN; n];
        for &(t, s) in assigned {
            at[s as usize] = t as f32;
        }
        // The median of the offsets in a window says where a source would stand if it followed its neighbours.
        let mut expected = vec![f32::NAN; n];
        let mut near = Vec::new();
        for (s, e) in expected.iter_mut().enumerate() {
            near.clear();
            let window = s.saturating_sub(6)..(s + 7).min(n);
            near.extend(window.filter(|&i| i != s && !at[i].is_nan()).map(|i| at[i] - i as f32));
            if !near.is_empty() {
                near.sort_unstable_by(f32::total_cmp);
                *e = s as f32 + near[near.len() / 2];
            }
        }
        Order { trust, expected }
    }

    fn agrees(&self, source: u32, target: u32) -> f32 {
        let Some(e) = self.expected.get(source as usize) else { return 0.0 };
        if e.is_nan() {
            return 0.0;
        }
        self.trust * (1.0 - (target as f32 - e).abs() / 4.0).max(0.0)
    }
}
