//! Modules as a tree over tokens, each with the number of parameters below it.
//!
//! The parameter count of an enclosing module survives renames, splits and transposes alike, and the order of equal modules survives
//! another numbering: both together say which block is which.

use std::collections::{HashMap, HashSet};

use super::units::Unit;
use super::words::Token;

/// A module: all units whose path begins with the same tokens.
#[derive(Clone, Debug)]
struct Node {
    parent: u32,
    token: Token,
    count: u64,
    first: u32,
}

/// A module that weighs something, and its place among modules of the same weight.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Module {
    /// The topmost node of a chain of equal weight.
    pub(crate) node: u32,
    /// Parameters at and below it.
    pub(crate) count: u64,
    /// The template of its path, numbers left out.
    pub(crate) template: u32,
    /// Place among modules of equal weight and template, and how many there are.
    pub(crate) rank: (u32, u32),
    /// Place among all modules of equal weight in stored order, and how many there are.
    pub(crate) place: (u32, u32),
    /// How the modules of equal weight are spread over templates: the same for two sides whose templates correspond one to one.
    pub(crate) spread: u64,
}

/// The module tree of one side.
pub(crate) struct Tree {
    nodes: Vec<Node>,
    modules: Vec<Option<Module>>,
    /// For each unit, the node of its module.
    pub(crate) of_unit: Vec<u32>,
}

impl Tree {
    /// Builds the tree of `units`. `templates` is shared by both sides.
    pub(crate) fn new(units: &[Unit], templates: &mut Templates) -> Self {
        let mut nodes = vec![Node { parent: u32::MAX, token: Token::Number(0), count: 0, first: 0 }];
        let mut children: HashMap<(u32, Token), u32, foldhash::fast::RandomState> = HashMap::default();
        let mut of_unit = Vec::with_capacity(units.len());
        for (i, unit) in units.iter().enumerate() {
            let mut at = 0u32;
            for &token in unit.name.module() {
                let (parent, fresh) = (at, nodes.len() as u32);
                at = *children.entry((parent, token)).or_insert(fresh);
                if at == fresh {
                    nodes.push(Node { parent, token, count: 0, first: i as u32 });
                }
            }
            of_unit.push(at);
        }
        for (unit, &node) in units.iter().zip(&of_unit) {
            if unit.weighs {
                nodes[node as usize].count = nodes[node as usize].count.saturating_add(unit.numel);
            }
        }
        for i in (1..nodes.len()).rev() {
            let (count, parent) = (nodes[i].count, nodes[i].parent as usize);
            nodes[parent].count = nodes[parent].count.saturating_add(count);
        }
        let modules = modules(&nodes, templates, &HashSet::new());
        Tree { nodes, modules, of_unit }
    }

    /// Counts numbered modules backwards wherever `other` counts the same modules forwards: decoders are numbered from either end.
    ///
    /// Modules whose weight occurs once on both sides tell: at least two of them under one parent, all in reverse order.
    pub(crate) fn turn_where_reversed(&mut self, other: &Tree, templates: &mut Templates) {
        let single = |tree: &Tree| -> HashMap<u64, (u32, u32)> {
            let numbered = tree.modules.iter().flatten().filter(|m| m.place.1 == 1);
            numbered
                .filter_map(|m| match tree.nodes[m.node as usize].token {
                    Token::Number(n) => Some((m.count, (tree.nodes[m.node as usize].parent, n))),
                    Token::Word(_) => None,
                })
                .collect()
        };
        let theirs = single(other);
        let mut seen: HashMap<(u32, u32), Vec<(u32, u32)>> = HashMap::new();
        for (count, (parent, number)) in single(self) {
            if let Some(&(other_parent, other_number)) = theirs.get(&count) {
                seen.entry((parent, other_parent)).or_default().push((number, other_number));
            }
        }
        let mut turned: HashSet<u32> = HashSet::new();
        for ((parent, _), mut numbers) in seen {
            numbers.sort_unstable();
            if numbers.len() > 1 && numbers.windows(2).all(|w| w[0].1 > w[1].1) {
                turned.insert(parent);
            }
        }
        if !turned.is_empty() {
            self.modules = modules(&self.nodes, templates, &turned);
        }
    }

    /// The modules around a node, innermost first, one of each weight.
    pub(crate) fn around(&self, node: u32) -> impl Iterator<Item = &Module> {
        let mut at = node;
        let mut done = false;
        let mut last = 0;
        std::iter::from_fn(move || {
            while !done {
                let here = at as usize;
                let parent = self.nodes[here].parent;
                done = parent == u32::MAX;
                at = parent;
                if let Some(module) = &self.modules[here]
                    && module.count != last
                {
                    last = module.count;
                    return Some(module);
                }
            }
            None
        })
    }

    /// The node above, if any.
    pub(crate) fn parent(&self, node: u32) -> Option<u32> {
        let parent = self.nodes[node as usize].parent;
        (parent != u32::MAX).then_some(parent)
    }

    /// How many nodes there are.
    pub(crate) fn len(&self) -> usize {
        self.nodes.len()
    }
}

/// Numbers templates of module paths alike on both sides.
#[derive(Default)]
pub(crate) struct Templates {
    ids: HashMap<(u32, Token), u32, foldhash::fast::RandomState>,
}

impl Templates {
    fn below(&mut self, template: u32, token: Token) -> u32 {
        let token = if matches!(token, Token::Number(_)) { Token::Number(0) } else { token };
        let fresh = self.ids.len() as u32 + 1;
        *self.ids.entry((template, token)).or_insert(fresh)
    }
}

fn modules(nodes: &[Node], templates: &mut Templates, turned: &HashSet<u32>) -> Vec<Option<Module>> {
    // Depth first, numbers by value, words as they first occur: the natural order.
    let mut below: Vec<Vec<u32>> = vec![Vec::new(); nodes.len()];
    for (i, node) in nodes.iter().enumerate().skip(1) {
        below[node.parent as usize].push(i as u32);
    }
    let mut template = vec![0u32; nodes.len()];
    let mut order = Vec::with_capacity(nodes.len());
    let mut stack = vec![0u32];
    while let Some(at) = stack.pop() {
        order.push(at);
        let children = &mut below[at as usize];
        children.sort_by_key(|&c| match nodes[c as usize].token {
            Token::Number(n) if turned.contains(&at) => (0, u32::MAX - n),
            Token::Number(n) => (0, n),
            Token::Word(_) => (1, nodes[c as usize].first),
        });
        for &child in children.iter().rev() {
            template[child as usize] = templates.below(template[at as usize], nodes[child as usize].token);
            stack.push(child);
        }
    }
    let mut equal: HashMap<u64, Vec<u32>, foldhash::fast::RandomState> = HashMap::default();
    let mut alike: HashMap<(u64, u32), u32, foldhash::fast::RandomState> = HashMap::default();
    let mut out: Vec<Option<Module>> = vec![None; nodes.len()];
    for &at in &order {
        let node = &nodes[at as usize];
        if node.count == 0 {
            continue;
        }
        // In a chain of equal weight the topmost stands for all.
        if node.parent != u32::MAX
            && let Some(above) = out[node.parent as usize]
            && above.count == node.count
        {
            out[at as usize] = Some(above);
            continue;
        }
        let rank = alike.entry((node.count, template[at as usize])).or_insert(0);
        equal.entry(node.count).or_default().push(at);
        out[at as usize] = Some(Module {
            node: at,
            count: node.count,
            template: template[at as usize],
            rank: (*rank, 0),
            place: (0, 0),
            spread: 0,
        });
        *rank += 1;
    }
    let mut places = vec![(0u32, 0u32, 0u64); nodes.len()];
    for members in equal.values_mut() {
        members.sort_by_key(|&m| nodes[m as usize].first);
        let mut sizes: Vec<u32> = Vec::new();
        let mut seen: Vec<u32> = Vec::new();
        for &m in members.iter() {
            let t = template[m as usize];
            match seen.iter().position(|&x| x == t) {
                Some(i) => sizes[i] += 1,
                None if seen.len() < 64 => {
                    seen.push(t);
                    sizes.push(1);
                }
                None => {}
            }
        }
        sizes.sort_unstable();
        // A checksum of the sorted sizes: equal sizes give equal sums, and unequal ones hardly ever do.
        let spread = sizes.iter().fold(0u64, |h, &n| h.wrapping_mul(1_000_003).wrapping_add(u64::from(n)));
        for (i, &m) in members.iter().enumerate() {
            places[m as usize] = (i as u32, members.len() as u32, spread);
        }
    }
    for module in out.iter_mut().flatten() {
        let (place, of, spread) = places[module.node as usize];
        module.place = (place, of);
        module.spread = spread;
        module.rank.1 = alike[&(module.count, module.template)];
    }
    out
}
