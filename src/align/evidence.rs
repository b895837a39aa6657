//! How well a source unit and a target unit fit together: shape, leaf, name, and the modules around them.

use std::collections::HashMap;

use super::tree::{Module, Tree};
use super::units::Unit;
use super::words::{Leaf, Words};
use crate::checkpoint::Shape;
use crate::rules::lexicon::Role;

/// A source unit and a target unit that may belong together.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pair {
    /// Index of the source unit.
    pub(crate) source: u32,
    /// Index of the target unit.
    pub(crate) target: u32,
    /// What shapes, names and modules say; it does not change between rounds.
    pub(crate) base: f32,
    /// What the stored order within the smallest common module says: −1 against, 1 for, 0 nothing.
    pub(crate) local: i8,
    /// With the votes of the last round.
    pub(crate) score: f32,
}

/// How two shapes of equal size relate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fit {
    /// The same.
    Equal,
    /// The same but for dimensions of size one.
    Squeezed,
    /// The dimensions in reverse order, or another order.
    Permuted,
    /// Neighbouring dimensions joined into one: `[out, in, k, k]` as `[out, in·k·k]`.
    Joined,
    /// The same number of elements only.
    Reshaped,
}

/// How two shapes of equal size relate.
pub(crate) fn fit(a: &[u64], b: &[u64]) -> Fit {
    if a == b {
        return Fit::Equal;
    }
    let ones = |s: &[u64]| s.iter().copied().filter(|&d| d != 1).collect::<Vec<u64>>();
    let (mut x, mut y) = (ones(a), ones(b));
    if x == y {
        return Fit::Squeezed;
    }
    let joined = x.len().min(y.len()) > 1 && (Shape::joins(&x, &y) || joins_turned(&x, &y));
    x.sort_unstable();
    y.sort_unstable();
    match x == y {
        true => Fit::Permuted,
        false if joined => Fit::Joined,
        false => Fit::Reshaped,
    }
}

/// Whether the longer of two shapes becomes the shorter, a matrix, when it is joined and turned: `[in, heads, width]` as `[out, in]`.
fn joins_turned(a: &[u64], b: &[u64]) -> bool {
    match (a, b) {
        (&[rows, columns], long) | (long, &[rows, columns]) => Shape::joins(long, &[columns, rows]),
        _ => false,
    }
}

/// What an equal segment counts, the innermost first.
const WRITTEN: [f32; 3] = [0.15, 0.1, 0.05];

/// How the shapes of two units relate; `None` where one is not known.
fn fit_of(a: &Unit, b: &Unit) -> Option<Fit> {
    let (x, y) = (a.shape.as_deref()?, b.shape.as_deref()?);
    let biases = a.name.leaf.role == Role::Bias && b.name.leaf.role == Role::Bias;
    // A bias of heads by their width, which other frameworks keep as one row.
    let row = biases && x.len().min(y.len()) == 1;
    Some(match fit(x, y) {
        Fit::Reshaped if row => Fit::Joined,
        fit => fit,
    })
}

/// Everything that is asked of a pair and does not change between rounds.
pub(crate) struct Evidence<'a> {
    source: &'a [Unit],
    target: &'a [Unit],
    source_tree: &'a Tree,
    target_tree: &'a Tree,
    words: &'a mut Words,
    ordered: bool,
    /// Weight of a meaning: the rarer among classes the heavier.
    rarity: HashMap<u32, f32, foldhash::fast::RandomState>,
    names: HashMap<(u32, u32), f32, foldhash::fast::RandomState>,
    alike: [Vec<Vec<Alike>>; 2],
    modules: HashMap<(u32, u32), f32, foldhash::fast::RandomState>,
    /// For each class of names whether it says that it is a second copy of a network.
    seconds: Vec<bool>,
}

impl<'a> Evidence<'a> {
    pub(crate) fn new(
        source: &'a [Unit],
        target: &'a [Unit],
        source_tree: &'a Tree,
        target_tree: &'a Tree,
        words: &'a mut Words,
        ordered: bool,
    ) -> Self {
        let mut count: HashMap<u32, u32, foldhash::fast::RandomState> = HashMap::default();
        for class in &words.classes {
            let mut seen: Vec<u32> = class.words.iter().flat_map(|w| w.meanings.iter().copied()).collect();
            seen.sort_unstable();
            seen.dedup();
            for meaning in seen {
                *count.entry(meaning).or_insert(0) += 1;
            }
        }
        let classes = words.classes.len() as f32;
        let rarity = count.into_iter().map(|(m, n)| (m, (1.0 + classes / n as f32).ln())).collect();
        let copy = words.concept("second-copy");
        let says = |w: &super::words::Word| copy.is_some_and(|c| w.meanings.contains(&c));
        let seconds = words.classes.iter().map(|c| c.words.iter().any(says)).collect();
        Evidence {
            seconds,
            source,
            target,
            source_tree,
            target_tree,
            words,
            ordered,
            rarity,
            names: HashMap::default(),
            alike: [alike(source, source_tree), alike(target, target_tree)],
            modules: HashMap::default(),
        }
    }

    /// The score of a pair before any votes.
    pub(crate) fn base(&mut self, s: u32, t: u32) -> f32 {
        let (a, b) = (&self.source[s as usize], &self.target[t as usize]);
        let fit = fit_of(a, b);
        let shape = match fit {
            Some(Fit::Equal) => 0.3,
            Some(Fit::Squeezed) => 0.2,
            Some(Fit::Permuted | Fit::Joined) => -0.1,
            Some(Fit::Reshaped) => -0.6,
            None => 0.0,
        };
        // Frameworks that say kernel store matrices the other way round.
        let turned =
            a.name.turned != b.name.turned && a.shape.as_ref().is_some_and(|x| x.len() >= 2 && x != &[x[0], x[0]]);
        let shape = match (turned, &a.shape, &b.shape) {
            (true, Some(x), Some(y)) if x.iter().rev().eq(y) => 0.3,
            (true, _, _) => shape - 0.4,
            _ => shape,
        };
        let leaf = leaf(a.name.leaf, b.name.leaf);
        let same = if a.name.tokens == b.name.tokens { 0.5 } else { 0.0 };
        let name = self.name(a.name.class, b.name.class);
        // Equal numbers of elements in unrelated shapes happen by chance: only a name can make them one tensor.
        let chance = if name < 0.7 && fit == Some(Fit::Reshaped) { -2.0 } else { 0.0 };
        // One side names a second copy, the other does not.
        let second = if self.second(a.name.class) != self.second(b.name.class) { -0.5 } else { 0.0 };
        let numbers = if !a.name.numbers.is_empty() && a.name.numbers == b.name.numbers { 0.1 } else { 0.0 };
        let written = self.written(a.name.class, b.name.class);
        same + written + numbers + second + shape + chance + leaf + 1.5 * name + self.around(s, t)
    }

    /// Whether both units come at the same place among units like them, in the smallest module that both share: −1, 0 or 1.
    pub(crate) fn local(&self, s: u32, t: u32) -> i8 {
        let (a, b) = (&self.alike[0][s as usize], &self.alike[1][t as usize]);
        let (mut i, mut j) = (0, 0);
        while i < a.len() && j < b.len() {
            match a[i].count.cmp(&b[j].count) {
                std::cmp::Ordering::Less => i += 1,
                std::cmp::Ordering::Greater => j += 1,
                std::cmp::Ordering::Equal => {
                    // Two lists side by side and one list of pairs hold as many, but not in the same order.
                    let woven = a[i].classes == b[j].classes && a[i].classes > 1 && a[i].pattern != b[j].pattern;
                    if a[i].of == b[j].of && a[i].of > 1 && !woven {
                        return if a[i].rank == b[j].rank { 1 } else { -1 };
                    }
                    i += 1;
                    j += 1;
                }
            }
        }
        0
    }

    /// Whether a class of names says that it is a second copy of a network.
    fn second(&self, class: u32) -> bool {
        self.seconds.get(class as usize).is_some_and(|&s| s)
    }

    /// How alike two classes of names are, 0 to 1.
    pub(crate) fn name(&mut self, a: u32, b: u32) -> f32 {
        if let Some(&known) = self.names.get(&(a, b)) {
            return known;
        }
        let (x, y) = (&self.words.classes[a as usize].words.clone(), &self.words.classes[b as usize].words.clone());
        let weight = |w: &super::words::Word| {
            w.weight * w.meanings.iter().filter_map(|m| self.rarity.get(m)).fold(0f32, |a, &b| a.max(b))
        };
        let wx: Vec<f32> = x.iter().map(weight).collect();
        let wy: Vec<f32> = y.iter().map(weight).collect();
        let mut best_x = vec![0f32; x.len()];
        let mut best_y = vec![0f32; y.len()];
        for (i, u) in x.iter().enumerate() {
            for (j, v) in y.iter().enumerate() {
                let s = self.words.similarity(u, v);
                best_x[i] = best_x[i].max(s);
                best_y[j] = best_y[j].max(s);
            }
        }
        let share = |best: &[f32], weight: &[f32]| {
            let all: f32 = weight.iter().sum();
            if all == 0.0 { 0.0 } else { best.iter().zip(weight).map(|(b, w)| b * w).sum::<f32>() / all }
        };
        let result = (share(&best_x, &wx) + share(&best_y, &wy)) / 2.0;
        self.names.insert((a, b), result);
        result
    }

    /// What it counts that the modules around the tensors of two classes are written alike, from the innermost outwards: the words alone do
    /// not tell `token_to_image` from `image_to_token`, and one word of ten hardly tells `q_norm` from `k_norm`.
    fn written(&self, a: u32, b: u32) -> f32 {
        let (a, b) = (&self.words.classes[a as usize], &self.words.classes[b as usize]);
        let pairs = a.segments.iter().zip(&b.segments).zip(WRITTEN);
        pairs.filter(|((x, y), _)| a.template[(*x).clone()] == b.template[(*y).clone()]).map(|(_, weight)| weight).sum()
    }

    /// Whether the innermost modules of two classes are one thing: `Some(true)` where they are written alike, `Some(false)` where they are
    /// two words of the lexicon for it, `None` where nothing says so.
    pub(crate) fn same_module(&self, a: u32, b: u32) -> Option<bool> {
        let inner = |class: u32| {
            let class = &self.words.classes[class as usize];
            class.segments.first().map(|range| &class.template[range.clone()])
        };
        let (x, y) = (inner(a)?, inner(b)?);
        (x == y || self.words.one_thing(x, y)).then_some(x == y)
    }

    /// What the modules around two units say, −1 to 1: equal weights in equal places speak for, equal weights in other places against.
    pub(crate) fn around(&mut self, s: u32, t: u32) -> f32 {
        let nodes = (self.source_tree.of_unit[s as usize], self.target_tree.of_unit[t as usize]);
        if let Some(&known) = self.modules.get(&nodes) {
            return known;
        }
        let a: Vec<&Module> = self.source_tree.around(nodes.0).collect();
        let b: Vec<&Module> = self.target_tree.around(nodes.1).collect();
        let (mut i, mut j, mut sum) = (0, 0, 0.0);
        while i < a.len() && j < b.len() {
            match a[i].count.cmp(&b[j].count) {
                std::cmp::Ordering::Less => i += 1,
                std::cmp::Ordering::Greater => j += 1,
                std::cmp::Ordering::Equal => {
                    sum += same_place(a[i], b[j], self.ordered);
                    i += 1;
                    j += 1;
                }
            }
        }
        let result = 2.0 * sum / (a.len() + b.len()).max(2) as f32;
        self.modules.insert(nodes, result);
        result
    }
}

/// Whether two modules of equal weight stand in the same place among their equals, −1 to 1.
fn same_place(a: &Module, b: &Module, ordered: bool) -> f32 {
    if a.place.1 == 1 && b.place.1 == 1 {
        return 1.0;
    }
    let rank = (a.rank.1 == b.rank.1).then_some(a.rank.0 == b.rank.0);
    if a.spread == b.spread {
        // The templates correspond: which one to which the sizes and the names say, which module to which the numbers.
        return match rank {
            Some(true) => 0.9 + if ordered && a.place == b.place { 0.1 } else { 0.0 },
            Some(false) => -0.5,
            None => -0.3,
        };
    }
    let place = (ordered && a.place.1 == b.place.1).then_some(a.place.0 == b.place.0);
    match (place, rank) {
        (Some(true), _) => 0.9,
        (Some(false), Some(true)) if a.rank.1 > 1 => 0.3,
        (Some(false), _) => -0.3,
        (None, Some(true)) => {
            if a.rank.1 > 1 {
                0.9
            } else {
                0.5
            }
        }
        (None, Some(false)) => -0.4,
        (None, None) => 0.6 / a.place.1.max(b.place.1) as f32,
    }
}

/// A unit's place among units of the same shape and role within one of the modules around it.
#[derive(Clone, Copy, Debug)]
struct Alike {
    count: u64,
    rank: u32,
    of: u32,
    /// How many classes of names they are, and in which order these alternate.
    classes: u32,
    pattern: u64,
}

/// What was seen so far of units of one kind in one module.
#[derive(Clone, Copy, Debug, Default)]
struct Kin {
    of: u32,
    classes: u32,
    pattern: u64,
}

/// For every unit its place within each module around it, innermost first.
fn alike(units: &[Unit], tree: &Tree) -> Vec<Vec<Alike>> {
    // The bias of a norm and that of a linear layer are told apart by the weight beside them.
    let mut weights: HashMap<u32, &[u64], foldhash::fast::RandomState> = HashMap::default();
    for (unit, &node) in units.iter().zip(&tree.of_unit) {
        if let (Role::Weight, Some(shape)) = (unit.name.leaf.role, &unit.shape) {
            weights.insert(node, shape);
        }
    }
    type Kind<'a> = (Option<&'a [u64]>, Role, Option<&'a [u64]>);
    let mut shapes: HashMap<Kind<'_>, u32, foldhash::fast::RandomState> = HashMap::default();
    let mut seen: HashMap<(u32, u32), Kin, foldhash::fast::RandomState> = HashMap::default();
    let mut labels: HashMap<(u32, u32, u32), u32, foldhash::fast::RandomState> = HashMap::default();
    let mut kinds = Vec::with_capacity(units.len());
    let mut out: Vec<Vec<Alike>> = Vec::with_capacity(units.len());
    for (i, unit) in units.iter().enumerate() {
        let fresh = shapes.len() as u32;
        let kind = *shapes
            .entry((unit.shape.as_deref(), unit.name.leaf.role, weights.get(&tree.of_unit[i]).copied()))
            .or_insert(fresh);
        kinds.push(kind);
        out.push(
            tree.around(tree.of_unit[i])
                .map(|m| {
                    let kin = seen.entry((m.node, kind)).or_default();
                    let label = *labels.entry((m.node, kind, unit.name.class)).or_insert_with(|| {
                        kin.classes += 1;
                        kin.classes
                    });
                    kin.of += 1;
                    kin.pattern = kin.pattern.wrapping_mul(0x9E37_79B9_7F4A_7C15).wrapping_add(u64::from(label));
                    Alike { count: m.count, rank: kin.of - 1, of: 0, classes: 0, pattern: 0 }
                })
                .collect(),
        );
    }
    for (i, places) in out.iter_mut().enumerate() {
        for (place, m) in places.iter_mut().zip(tree.around(tree.of_unit[i])) {
            let kin = seen[&(m.node, kinds[i])];
            (place.of, place.classes, place.pattern) = (kin.of, kin.classes, kin.pattern);
        }
    }
    out
}

/// How two leaves go together.
fn leaf(a: Leaf, b: Leaf) -> f32 {
    use Role::{Other, Weight};
    if a == b {
        return 0.3;
    }
    match (a.role, b.role) {
        (Other, Other) => 0.1,
        (Other, Weight) | (Weight, Other) => 0.1,
        (Other, _) | (_, Other) => -0.1,
        (x, y) if x == y => 0.3,
        _ => -0.8,
    }
}
