//! Rules that replace the beginning of a name, whole segments at a time.
//!
//! Keys are looked at as a tree of segments, numbers apart. At each node either one rule fits all keys below, or the node is split: by its
//! children, or by one of the numbers in its path, whichever needs fewer rules.

use std::collections::BTreeMap;

use regex::escape;

use super::samples::{Sample, template};
use super::{Rule, literal};

/// How many nodes are looked at before the search settles for what it has.
const BUDGET: usize = 8_000;

/// A pair while it is being split.
#[derive(Clone, Debug)]
struct Item<'a> {
    source: Vec<&'a str>,
    target: &'a str,
    /// For each segment whether it has a number that stands for others.
    generic: Vec<bool>,
}

/// Rules for all samples.
pub(super) fn solve(samples: &[Sample<'_>]) -> Vec<Rule> {
    let items: Vec<Item<'_>> = samples
        .iter()
        .map(|s| {
            let source: Vec<&str> = s.source.split('.').collect();
            let mut numbers = s.generic.iter().copied();
            let generic =
                source.iter().map(|p| numbers.by_ref().take(template(p).1.len()).fold(false, |a, g| a | g)).collect();
            Item { source, target: s.target, generic }
        })
        .collect();
    let all: Vec<usize> = (0..items.len()).collect();
    let mut search = Search { items: &items, budget: BUDGET };
    search.node(&all, &[])
}

/// A segment of a node's path.
#[derive(Clone, Debug, PartialEq)]
enum Step {
    /// The template of a segment: numbers free.
    Free(String),
    /// The segment as it stands.
    Fixed(String),
}

struct Search<'a, 'i> {
    items: &'i [Item<'a>],
    budget: usize,
}

impl Search<'_, '_> {
    /// Rules for the items of one node, whose first segments are described by `path`.
    fn node(&mut self, items: &[usize], path: &[Step]) -> Vec<Rule> {
        if let Some(rule) = self.one(items, path) {
            return rule.into_iter().collect();
        }
        self.budget = self.budget.saturating_sub(1);
        let depth = path.len();
        // By children: the next segment, numbers apart; a key that ends here is a child of its own.
        let mut children: BTreeMap<Option<String>, Vec<usize>> = BTreeMap::new();
        for &i in items {
            let next = self.items[i].source.get(depth).map(|s| template(s).0);
            children.entry(next).or_default().push(i);
        }
        let splits = children.len() > 1 || children.keys().next().is_some_and(Option::is_some);
        let mut best: Option<Vec<Rule>> = None;
        // By a number of the path, where no item stands for other numbers.
        if self.budget > 0 {
            for (at, step) in path.iter().enumerate() {
                let Step::Free(t) = step else { continue };
                if !t.contains('#') || items.iter().any(|&i| self.items[i].generic.get(at) == Some(&true)) {
                    continue;
                }
                let mut values: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
                for &i in items {
                    values.entry(self.items[i].source[at]).or_default().push(i);
                }
                if values.len() < 2 && splits {
                    continue;
                }
                let mut rules = Vec::new();
                for (value, part) in values {
                    let mut path = path.to_vec();
                    path[at] = Step::Fixed(value.to_owned());
                    rules.extend(self.node(&part, &path));
                }
                if best.as_ref().is_none_or(|b| rules.len() < b.len()) {
                    best = Some(rules);
                }
            }
        }
        if splits {
            let mut rules = Vec::new();
            for (next, part) in children {
                match next {
                    Some(t) => {
                        let path = [path, &[Step::Free(t)]].concat();
                        rules.extend(self.node(&part, &path));
                    }
                    None => rules.extend(self.exact(&part, path)),
                }
            }
            if best.as_ref().is_none_or(|b| rules.len() <= b.len()) {
                best = Some(rules);
            }
        }
        best.unwrap_or_else(|| self.exact(items, path))
    }

    /// Keys that end at this node: one rule for all of them, or one for each.
    fn exact(&mut self, items: &[usize], path: &[Step]) -> Vec<Rule> {
        if let Some(rule) = self.whole(items, path) {
            return rule.into_iter().collect();
        }
        items
            .iter()
            .filter(|&&i| self.items[i].source.join(".") != self.items[i].target)
            .map(|&i| Rule {
                pattern: format!("^{}$", escape(&self.items[i].source.join("."))),
                replacement: literal(self.items[i].target),
            })
            .collect()
    }

    /// The one rule that fits all items, if there is one; `Some(None)` when all keep their names.
    fn one(&self, items: &[usize], path: &[Step]) -> Option<Option<Rule>> {
        let depth = path.len();
        let ends = items.iter().any(|&i| self.items[i].source.len() <= depth);
        if ends {
            return items
                .iter()
                .all(|&i| self.items[i].source.len() <= depth)
                .then(|| self.whole(items, path))
                .flatten();
        }
        let mut heads = Vec::with_capacity(items.len());
        for &i in items {
            let item = &self.items[i];
            let rest = item.source[depth..].join(".");
            let head = item.target.strip_suffix(rest.as_str())?;
            if !(head.is_empty() || head.ends_with('.')) {
                return None;
            }
            heads.push(head);
        }
        self.rule(items, path, &heads, ".")
    }

    /// As [`Search::one`] for keys that end at this node.
    fn whole(&self, items: &[usize], path: &[Step]) -> Option<Option<Rule>> {
        let heads: Vec<&str> = items.iter().map(|&i| self.items[i].target).collect();
        self.rule(items, path, &heads, "$")
    }

    /// Writes the rule that turns the path into the heads, when the heads agree but for numbers of the path.
    fn rule(&self, items: &[usize], path: &[Step], heads: &[&str], end: &str) -> Option<Option<Rule>> {
        let depth = path.len();
        let same = items.iter().zip(heads).all(|(&i, head)| {
            let old = self.items[i].source[..depth].join(".");
            head.trim_end_matches('.') == old && (end == "$" || depth == 0 || !head.is_empty())
        });
        if same {
            return Some(None);
        }
        let (form, _) = template(heads.first()?);
        let mut captured: Vec<Vec<&str>> = vec![Vec::new(); items.len()];
        let mut pattern = String::from("^");
        for (at, step) in path.iter().enumerate() {
            if at > 0 {
                pattern.push_str("\\.");
            }
            match step {
                Step::Fixed(text) => pattern.push_str(&escape(text)),
                Step::Free(t) => {
                    let mut pieces = t.split('#');
                    pattern.push_str(&escape(pieces.next().unwrap_or("")));
                    for piece in pieces {
                        pattern.push_str("(\\d+)");
                        pattern.push_str(&escape(piece));
                    }
                    for (c, &i) in captured.iter_mut().zip(items) {
                        c.extend(template(self.items[i].source[at]).1);
                    }
                }
            }
        }
        let numbers: Vec<Vec<&str>> = heads
            .iter()
            .map(|h| {
                let (f, n) = template(h);
                (f == form).then_some(n)
            })
            .collect::<Option<_>>()?;
        let groups = captured[0].len();
        if groups > 9 {
            return None;
        }
        let mut replacement = String::new();
        let mut used = vec![false; groups];
        for (j, piece) in form.split('#').enumerate() {
            if j > 0 {
                let at = j - 1;
                let group =
                    (0..groups).find(|&k| !used[k] && (0..items.len()).all(|i| numbers[i][at] == captured[i][k]));
                match group {
                    // Several samples must show that it is this group and not a number that stays.
                    Some(k) if items.len() > 1 || numbers[0][at] == captured[0][k] => {
                        used[k] = true;
                        replacement.push_str(&format!("\\{}", k + 1));
                    }
                    _ if numbers.iter().all(|n| n[at] == numbers[0][at]) => replacement.push_str(numbers[0][at]),
                    _ => return None,
                }
            }
            // A digit behind a group would be read as part of its number.
            replacement.push_str(&literal(piece));
        }
        if depth > 0 {
            pattern.push_str(if end == "." { "\\." } else { "$" });
        }
        Some(Some(Rule { pattern, replacement }))
    }
}
