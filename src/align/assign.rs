//! One to one: pairs are scored, assigned, and scored again with the votes of what was assigned.

use std::collections::HashMap;

use super::evidence::Pair;
use super::tree::Tree;
use super::units::Unit;
use crate::rules::lexicon::Role;

mod candidates;
mod numbers;
mod order;

pub(crate) use candidates::pairs;
use numbers::{Numbers, Relations};
use order::Order;

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

/// How far its rivals are behind a pair that is clear by its own evidence.
const CLEAR: f32 = 0.3;

/// How far behind a pair is given up after the first round.
const HOPELESS: f32 = 1.5;

/// Assigns sources to targets in several rounds. The result has one element per target unit.
pub(crate) fn assign(sides: &Sides<'_>, pairs: &mut Vec<Pair>) -> Vec<Option<Assigned>> {
    let mut chosen = greedy(sides, pairs);
    if sides.ordered {
        // Whether the order says anything, those pairs show that are clear without it.
        let clear: Vec<Option<Assigned>> = chosen.iter().map(|c| c.filter(|c| c.margin >= CLEAR)).collect();
        let trust = local_trust(pairs, &clear);
        for pair in pairs.iter_mut() {
            pair.score = pair.base + 0.15 * trust * f32::from(pair.local);
        }
        chosen = greedy(sides, pairs);
    }
    for round in 0..ROUNDS {
        let before: Vec<Option<u32>> = chosen.iter().map(|c| c.map(|c| c.source)).collect();
        vote(sides, pairs, &chosen);
        if round == 0 {
            forget_hopeless(sides, pairs);
        }
        chosen = greedy(sides, pairs);
        exchange(pairs, &mut chosen);
        if round > 1 && chosen.iter().zip(&before).all(|(c, b)| c.map(|c| c.source) == *b) {
            break;
        }
    }
    measure(sides, pairs, &mut chosen);
    chosen
}

/// Drops pairs that are far behind the best of both their units: no vote of a later round makes up for that.
fn forget_hopeless(sides: &Sides<'_>, pairs: &mut Vec<Pair>) {
    let mut best_s = vec![f32::MIN; sides.source.len()];
    let mut best_t = vec![f32::MIN; sides.target.len()];
    for pair in pairs.iter() {
        let (s, t) = (&mut best_s[pair.source as usize], &mut best_t[pair.target as usize]);
        *s = s.max(pair.score);
        *t = t.max(pair.score);
    }
    pairs.retain(|p| p.score >= best_s[p.source as usize].min(best_t[p.target as usize]) - HOPELESS);
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
    // What is asked of a pair of classes is asked once.
    let mut of_classes: HashMap<(u32, u32), (f32, Relations), foldhash::fast::RandomState> = HashMap::default();
    for pair in pairs.iter_mut() {
        let (a, b) = (&sides.source[pair.source as usize], &sides.target[pair.target as usize]);
        let key = (a.name.class, b.name.class);
        let (class, relations) = of_classes.entry(key).or_insert_with(|| {
            let votes = classes.get(&key).copied().unwrap_or(0.0);
            let all = |of: &HashMap<u32, f32, _>, class| of.get(&class).copied().unwrap_or(1.0);
            (votes / all(&class_s, key.0).min(all(&class_t, key.1)), numbers.of(key))
        });
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
            + 0.7 * *class
            + 0.7 * module
            + 0.3 * order.agrees(pair.source, pair.target)
            + 0.25 * local * f32::from(pair.local)
            + 0.5 * numbers.agrees(relations, a, b)
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
