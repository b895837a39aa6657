//! Rules that replace the beginning of a name, whole segments at a time.
//!
//! Keys are looked at as a tree of segments, numbers apart. At each node either one rule fits all keys below, or the node is split: by its
//! children, or by one of the numbers in its path, whichever needs fewer rules. The search counts rules first, and writes down only those
//! of the best split.

use std::collections::{BTreeMap, HashMap};
use std::hash::BuildHasher;

use regex::escape;

use super::samples::{Sample, plain, template};
use super::{Rule, literal};

mod item;

use item::{Head, Item, Texts};

/// How many nodes are looked at before the search settles for what it has.
const BUDGET: usize = 8_000;

/// A regular expression names no more groups than this.
const GROUPS: usize = 9;

/// Finds rules for samples; what it learned of nodes whose keys stay the same serves the next search as well.
#[derive(Debug, Default)]
pub(super) struct Solver {
    texts: Texts,
    items: Vec<Item>,
    /// Where an item is, by the hash of its sample.
    places: HashMap<u64, u32, foldhash::fast::RandomState>,
    hasher: foldhash::fast::RandomState,
    known: HashMap<Node, Known, foldhash::fast::RandomState>,
}

impl Solver {
    /// Rules for all samples, if there are fewer than `limit`.
    pub(super) fn solve(&mut self, samples: &[Sample<'_>], limit: usize) -> Option<Vec<Rule>> {
        let all: Vec<u32> = samples.iter().map(|s| self.item(s)).collect();
        let mut search = Search { items: &self.items, hasher: &self.hasher, budget: BUDGET, known: &mut self.known };
        let mut path = Vec::new();
        search.node(&all, &mut path, limit)?;
        let mut rules = Vec::new();
        search.write(&all, &mut path, &mut rules);
        Some(rules)
    }

    fn item(&mut self, sample: &Sample<'_>) -> u32 {
        let hash = self.hasher.hash_one((&sample.source, sample.target, &sample.generic));
        if let Some(&at) = self.places.get(&hash)
            && self.items[at as usize].is(sample)
        {
            return at;
        }
        let at = self.items.len() as u32;
        self.items.push(Item::new(sample, &mut self.texts));
        self.places.insert(hash, at);
        at
    }
}

/// A node of the search: its path, and a hash of the items below it.
type Node = (Box<[Step]>, u64);

/// A segment of a node's path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Step {
    /// A segment with numbers free, by its form.
    Free(u32),
    /// A segment as it stands, by its text.
    Fixed(u32),
}

/// How the keys below a node are best told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Choice {
    /// One rule fits all, or all keep their names.
    One,
    /// By the next segment.
    Children,
    /// By the number at one place of the path.
    Number(usize),
    /// They end here: one rule for each.
    Exact,
}

/// What is known of a node.
#[derive(Clone, Copy, Debug)]
enum Known {
    /// The fewest rules, and how.
    Best(usize, Choice),
    /// No fewer than this.
    AtLeast(usize),
}

struct Search<'i> {
    items: &'i [Item],
    hasher: &'i foldhash::fast::RandomState,
    budget: usize,
    known: &'i mut HashMap<Node, Known, foldhash::fast::RandomState>,
}

impl Search<'_> {
    /// The fewest rules for the items of one node, whose first segments are described by `path`, if fewer than `limit`.
    fn node(&mut self, items: &[u32], path: &mut Vec<Step>, limit: usize) -> Option<usize> {
        let at = self.at(items, path);
        match self.known.get(&at) {
            Some(Known::Best(n, _)) => return (*n < limit).then_some(*n),
            Some(Known::AtLeast(n)) if *n >= limit => return None,
            _ => {}
        }
        let found = match self.one(items, path) {
            Some(rules) => Some((rules, Choice::One)),
            // Not all keep their names: it takes a rule at least.
            None if limit <= 1 => None,
            None => self.split(items, path, limit),
        };
        let (known, count) = match found {
            Some((n, choice)) => (Known::Best(n, choice), (n < limit).then_some(n)),
            None => (Known::AtLeast(limit), None),
        };
        self.known.insert(at, known);
        count
    }

    fn at(&self, items: &[u32], path: &[Step]) -> Node {
        (path.into(), self.hasher.hash_one(items))
    }

    /// As [`Search::node`] where no one rule fits.
    fn split(&mut self, items: &[u32], path: &mut Vec<Step>, limit: usize) -> Option<(usize, Choice)> {
        self.budget = self.budget.saturating_sub(1);
        let depth = path.len();
        let children = self.children(items, depth);
        let splits = children.len() > 1 || children.keys().next().is_some_and(Option::is_some);
        let mut best: Option<(usize, Choice)> = None;
        let mut limit = limit;
        if splits {
            let mut sum = Some(0);
            for (next, part) in &children {
                let Some(so_far) = sum else { break };
                let more = match next {
                    Some(form) => {
                        path.push(Step::Free(*form));
                        let n = self.node(part, path, limit - so_far);
                        path.pop();
                        n
                    }
                    None => Some(self.exact(part, path)).filter(|n| so_far + n < limit),
                };
                sum = more.map(|n| so_far + n);
            }
            if let Some(n) = sum {
                best = Some((n, Choice::Children));
                limit = n;
            }
        } else {
            let n = self.exact(items, path);
            if n < limit {
                best = Some((n, Choice::Exact));
                limit = n;
            }
        }
        // By a number of the path, where no item stands for other numbers.
        for at in 0..depth {
            if self.budget == 0 || limit == 0 {
                break;
            }
            let Step::Free(form) = path[at] else { continue };
            let Some(values) = self.values(items, at) else { continue };
            if values.len() < 2 && splits {
                continue;
            }
            let mut sum = Some(0);
            for (value, part) in &values {
                let Some(so_far) = sum else { break };
                path[at] = Step::Fixed(*value);
                sum = self.node(part, path, limit - so_far).map(|n| so_far + n);
            }
            path[at] = Step::Free(form);
            if let Some(n) = sum.filter(|n| *n < limit) {
                best = Some((n, Choice::Number(at)));
                limit = n;
            }
        }
        best
    }

    /// Writes the rules of a node that [`Search::node`] has counted.
    fn write(&mut self, items: &[u32], path: &mut Vec<Step>, out: &mut Vec<Rule>) {
        let choice = match self.known.get(&self.at(items, path)) {
            Some(Known::Best(_, choice)) => *choice,
            _ => Choice::Exact,
        };
        let depth = path.len();
        match choice {
            Choice::One => {
                let heads = self.heads(items, depth).unwrap_or_default();
                let fit = self.fit(items, path, &heads).unwrap_or(Fit::Stay);
                out.extend(self.rule(items, path, &heads, &fit));
            }
            Choice::Exact => self.write_exact(items, path, out),
            Choice::Children => {
                for (next, part) in self.children(items, depth) {
                    match next {
                        Some(form) => {
                            path.push(Step::Free(form));
                            self.write(&part, path, out);
                            path.pop();
                        }
                        None => self.write_exact(&part, path, out),
                    }
                }
            }
            Choice::Number(at) => {
                let free = path[at];
                for (value, part) in self.values(items, at).unwrap_or_default() {
                    path[at] = Step::Fixed(value);
                    self.write(&part, path, out);
                }
                path[at] = free;
            }
        }
    }

    /// Items by their next segment, numbers apart; a key that ends here is a child of its own.
    fn children(&self, items: &[u32], depth: usize) -> BTreeMap<Option<u32>, Vec<u32>> {
        let mut out: BTreeMap<Option<u32>, Vec<u32>> = BTreeMap::new();
        for &i in items {
            let next = self.items[i as usize].segments.get(depth).map(|s| s.form);
            out.entry(next).or_default().push(i);
        }
        out
    }

    /// Items by what stands at one place of their paths, where that is a number and none stands for others.
    fn values(&self, items: &[u32], at: usize) -> Option<BTreeMap<u32, Vec<u32>>> {
        let mut out: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
        for &i in items {
            let segment = &self.items[i as usize].segments[at];
            if segment.generic || segment.digits.is_empty() {
                return None;
            }
            out.entry(segment.text).or_default().push(i);
        }
        Some(out)
    }

    /// How many rules it takes for keys that end at this node: one for all of them, or one for each.
    fn exact(&self, items: &[u32], path: &[Step]) -> usize {
        let heads: Vec<Head<'_>> = items.iter().map(|&i| self.items[i as usize].whole()).collect();
        match self.fit(items, path, &heads) {
            Some(fit) => fit.rules(),
            None => items.iter().map(|&i| &self.items[i as usize]).filter(|i| i.source != i.target).count(),
        }
    }

    fn write_exact(&self, items: &[u32], path: &[Step], out: &mut Vec<Rule>) {
        let heads: Vec<Head<'_>> = items.iter().map(|&i| self.items[i as usize].whole()).collect();
        if let Some(fit) = self.fit(items, path, &heads) {
            out.extend(self.rule(items, path, &heads, &fit));
            return;
        }
        out.extend(
            items.iter().map(|&i| &self.items[i as usize]).filter(|i| i.source != i.target).map(|item| Rule {
                pattern: format!("^{}$", escape(&item.source)),
                replacement: literal(&item.target),
            }),
        );
    }

    /// How many rules it takes if one fits all items: one, or none when all keep their names.
    fn one(&self, items: &[u32], path: &[Step]) -> Option<usize> {
        let heads = self.heads(items, path.len())?;
        self.fit(items, path, &heads).map(|fit| fit.rules())
    }

    /// What each target has instead of the path; whole names where all keys end here.
    fn heads(&self, items: &[u32], depth: usize) -> Option<Vec<Head<'_>>> {
        let ends = |i: &u32| self.ends(*i, depth);
        if items.iter().any(ends) {
            return items.iter().map(|i| ends(i).then(|| self.items[*i as usize].whole())).collect();
        }
        items.iter().map(|&i| self.items[i as usize].head(depth)).collect()
    }

    /// Whether one rule turns the path into the heads: when they agree but for numbers of the path.
    fn fit(&self, items: &[u32], path: &[Step], heads: &[Head<'_>]) -> Option<Fit> {
        let depth = path.len();
        let first = heads.first()?;
        let whole = self.ends(items[0], depth);
        let same = items.iter().zip(heads).all(|(&i, head)| {
            head.text.trim_end_matches('.') == self.items[i as usize].path(depth)
                && (whole || depth == 0 || !head.text.is_empty())
        });
        if same {
            return Some(Fit::Stay);
        }
        if heads.iter().any(|h| h.form != first.form) {
            return None;
        }
        // Each group of the pattern: the segment it stands in, and which of its numbers it is.
        let mut groups: Vec<(usize, usize)> = Vec::new();
        for (at, step) in path.iter().enumerate() {
            if let Step::Free(_) = step {
                let n = self.items[items[0] as usize].segments[at].digits.len();
                groups.extend((0..n).map(|d| (at, d)));
            }
        }
        if groups.len() > GROUPS {
            return None;
        }
        let captured = |i: u32, (at, d): (usize, usize)| self.items[i as usize].segments[at].digits[d];
        let mut used = vec![false; groups.len()];
        let mut refers: Vec<Option<usize>> = Vec::with_capacity(first.digits.len());
        for at in 0..first.digits.len() {
            let group = (0..groups.len())
                .find(|&k| !used[k] && items.iter().zip(heads).all(|(&i, h)| h.digits[at] == captured(i, groups[k])));
            match group {
                Some(k) => {
                    used[k] = true;
                    refers.push(Some(k + 1));
                }
                None if heads.iter().all(|h| h.digits[at] == first.digits[at]) => refers.push(None),
                None => return None,
            }
        }
        Some(Fit::Rule(refers))
    }

    /// Writes the rule that fits.
    fn rule(&self, items: &[u32], path: &[Step], heads: &[Head<'_>], fit: &Fit) -> Option<Rule> {
        let Fit::Rule(refers) = fit else { return None };
        let item = &self.items[*items.first()? as usize];
        let mut pattern = String::from("^");
        for (at, step) in path.iter().enumerate() {
            if at > 0 {
                pattern.push_str("\\.");
            }
            match step {
                Step::Fixed(_) => pattern.push_str(&escape(item.segment(at))),
                Step::Free(_) => {
                    let pieces: Vec<String> =
                        template(item.segment(at)).0.split('#').map(|p| escape(&plain(p))).collect();
                    pattern.push_str(&pieces.join("(\\d+)"));
                }
            }
        }
        if !path.is_empty() {
            pattern.push_str(if self.ends(items[0], path.len()) { "$" } else { "\\." });
        }
        let (form, numbers) = template(heads.first()?.text);
        let mut replacement = String::new();
        for (j, piece) in form.split('#').enumerate() {
            if j > 0 {
                match refers.get(j - 1).copied().flatten() {
                    Some(group) => replacement.push_str(&format!("\\{group}")),
                    None => replacement.push_str(numbers.get(j - 1).copied().unwrap_or_default()),
                }
            }
            replacement.push_str(&literal(&plain(piece)));
        }
        Some(Rule { pattern, replacement })
    }

    /// Whether a key ends at this depth.
    fn ends(&self, item: u32, depth: usize) -> bool {
        self.items[item as usize].segments.len() <= depth
    }
}

/// One rule serves all keys of a node.
#[derive(Clone, Debug)]
enum Fit {
    /// All keep their names.
    Stay,
    /// For each number of the new name, the group of the pattern that it is, or none where it is always the same.
    Rule(Vec<Option<usize>>),
}

impl Fit {
    fn rules(&self) -> usize {
        match self {
            Fit::Stay => 0,
            Fit::Rule(_) => 1,
        }
    }
}
