//! Many tensors in few lines: patterns of keys where they fit a screen, otherwise the modules that hold them.

use std::collections::{HashMap, HashSet};

use crate::checkpoint::{Dtype, Shape, StateDict};
use crate::explain::fold_keys;

/// One line of the overview.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Line {
    /// Tensors of one shape and dtype.
    Tensors {
        /// `blocks.{0-11}.attn.qkv.weight`
        pattern: String,
        /// The shape of each.
        shape: Option<Shape>,
        /// The dtype of each.
        dtype: Option<Dtype>,
        /// How many.
        count: usize,
    },
    /// Everything below one or several modules.
    Module {
        /// `backbone.blocks.{0-11}.`
        pattern: String,
        /// How many tensors.
        tensors: usize,
        /// How many elements.
        elements: u64,
    },
}

/// More lines than this are not worked out: nobody reads them, and a million names without a pattern would take seconds.
const WORTH_FOLDING: usize = 10_000;

/// At most `most` lines that say what a state_dict holds, and how many tensors did not fit into them.
pub(super) fn lines(view: &StateDict<'_>, most: usize) -> (Vec<Line>, usize) {
    let lines = if worth_folding(view) { patterns(view) } else { Vec::new() };
    if !lines.is_empty() && lines.len() <= most {
        return (lines, 0);
    }
    // The deepest cut through the tree of modules that fits; a flat list of a thousand names has none.
    let mut best: Option<Vec<Line>> = None;
    for depth in 1..=6 {
        match modules(view, depth) {
            Some(lines) if lines.len() <= most => best = Some(lines),
            _ => break,
        }
    }
    if let Some(lines) = best.filter(|lines| lines.len() < view.entries.len() / 2) {
        return (lines, 0);
    }
    let mut shown: Vec<Line> = lines.into_iter().take(most).collect();
    if shown.is_empty() {
        let single = |e: &crate::checkpoint::Entry<'_>| Line::Tensors {
            pattern: e.key.as_str().to_owned(),
            shape: e.shape().cloned(),
            dtype: e.dtype(),
            count: 1,
        };
        shown = view.entries.iter().take(most).map(single).collect();
    }
    let told: usize = shown.iter().map(|l| if let Line::Tensors { count, .. } = l { *count } else { 0 }).sum();
    (shown, view.entries.len().saturating_sub(told))
}

/// Whether the keys have few enough classes (equal but for their numbers and shapes) for patterns to be of use.
fn worth_folding(view: &StateDict<'_>) -> bool {
    const KEYS: usize = 150_000;
    if view.entries.len() <= WORTH_FOLDING {
        return true;
    }
    if view.entries.len() > KEYS {
        return false;
    }
    let mut classes = HashSet::new();
    view.entries.iter().all(|e| {
        let mut class = String::with_capacity(e.key.as_str().len());
        for segment in e.key.segments() {
            class.push_str(if segment.bytes().all(|b| b.is_ascii_digit()) { "#" } else { segment });
            class.push('.');
        }
        classes.insert((class, e.shape()));
        classes.len() <= WORTH_FOLDING
    })
}

/// One line per pattern of keys with one shape and dtype, in stored order.
fn patterns(view: &StateDict<'_>) -> Vec<Line> {
    let mut groups: HashMap<(Option<Dtype>, Option<&Shape>), Vec<&str>> = HashMap::new();
    let mut places: HashMap<&str, usize> = HashMap::with_capacity(view.entries.len());
    for (at, entry) in view.entries.iter().enumerate() {
        groups.entry((entry.dtype(), entry.shape())).or_default().push(entry.key.as_str());
        places.entry(entry.key.as_str()).or_insert(at);
    }
    let mut out: Vec<(usize, Line)> = Vec::new();
    for ((dtype, shape), keys) in groups {
        for folded in fold_keys(keys) {
            let place = places.get(&*first_of(&folded.pattern)).copied().unwrap_or(usize::MAX);
            out.push((
                place,
                Line::Tensors { pattern: folded.pattern, shape: shape.cloned(), dtype, count: folded.count },
            ));
        }
    }
    out.sort_by_key(|(a, _)| *a);
    out.into_iter().map(|(_, line)| line).collect()
}

/// A key that a pattern stands for: of every choice in braces the first.
fn first_of(pattern: &str) -> String {
    let mut out = String::new();
    let mut rest = pattern;
    while let Some((before, tail)) = rest.split_once('{') {
        out.push_str(before);
        let Some((choices, after)) = tail.split_once('}') else { break };
        out.push_str(choices.split([',', '-']).next().unwrap_or(""));
        rest = after;
    }
    out.push_str(rest);
    out
}

/// One line per module at `depth` segments, modules of one size folded together; `None` where there are too many.
fn modules(view: &StateDict<'_>, depth: usize) -> Option<Vec<Line>> {
    let mut known: HashMap<&str, usize> = HashMap::new();
    let mut found: Vec<(&str, usize, u64)> = Vec::new();
    for entry in &view.entries {
        let key = entry.key.as_str();
        let end = key.match_indices('.').nth(depth - 1).map_or(key.len(), |(at, _)| at + 1);
        let module = key.get(..end).unwrap_or(key);
        let at = *known.entry(module).or_insert_with(|| {
            found.push((module, 0, 0));
            found.len() - 1
        });
        if found.len() > WORTH_FOLDING {
            return None;
        }
        if let Some((_, tensors, elements)) = found.get_mut(at) {
            *tensors += 1;
            *elements = elements.saturating_add(entry.shape().and_then(Shape::numel).unwrap_or(0));
        }
    }
    let mut sizes: HashMap<(usize, u64), usize> = HashMap::new();
    let mut groups: Vec<((usize, u64), Vec<&str>)> = Vec::new();
    for (module, tensors, elements) in found {
        let at = *sizes.entry((tensors, elements)).or_insert_with(|| {
            groups.push(((tensors, elements), Vec::new()));
            groups.len() - 1
        });
        if let Some((_, modules)) = groups.get_mut(at) {
            modules.push(module);
        }
    }
    let mut out: Vec<(usize, Line)> = Vec::new();
    for ((tensors, elements), modules) in groups {
        for folded in fold_keys(modules) {
            let place = known.get(&*first_of(&folded.pattern)).copied().unwrap_or(usize::MAX);
            let (tensors, elements) = (tensors * folded.count, elements.saturating_mul(folded.count as u64));
            out.push((place, Line::Module { pattern: folded.pattern, tensors, elements }));
        }
    }
    out.sort_by_key(|(place, _)| *place);
    Some(out.into_iter().map(|(_, line)| line).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::{Checkpoint, Format, TensorInfo};

    fn checkpoint(keys: &[(String, [u64; 2])]) -> Checkpoint {
        let mut out = Checkpoint::new("a.json", Format::Json);
        out.tensors = (keys.iter())
            .map(|(key, shape)| TensorInfo {
                path: key.as_str().into(),
                container: 0,
                dtype: Some(Dtype::F32),
                shape: Some((*shape).into()),
                role: Default::default(),
                placement: None,
            })
            .collect();
        out
    }

    #[test]
    fn equal_layers_fold_to_one_line_in_stored_order() {
        let mut keys: Vec<(String, [u64; 2])> = vec![("wte.weight".into(), [9, 4])];
        keys.extend((0..12).map(|n| (format!("blocks.{n}.qkv.weight"), [12, 4])));
        let c = checkpoint(&keys);
        let (lines, hidden) = lines(&StateDict::below(&c, 0), 9);
        let shown: Vec<_> = lines
            .iter()
            .map(|l| if let Line::Tensors { pattern, count, .. } = l { (pattern.as_str(), *count) } else { ("", 0) })
            .collect();
        assert_eq!((shown, hidden), (vec![("wte.weight", 1), ("blocks.{0-11}.qkv.weight", 12)], 0));
    }

    #[test]
    fn what_does_not_fit_a_screen_is_shown_by_module_and_nothing_is_lost() {
        let keys: Vec<_> = (0..40).flat_map(|n| ["a", "b"].map(|m| (format!("{m}.{n}.weight"), [n, 4]))).collect();
        let c = checkpoint(&keys);
        let (lines, hidden) = lines(&StateDict::below(&c, 0), 9);
        let total: usize = lines.iter().map(|l| if let Line::Module { tensors, .. } = l { *tensors } else { 0 }).sum();
        assert_eq!((lines.len(), total, hidden), (1, 80, 0));
        assert!(matches!(&lines[0], Line::Module { pattern, .. } if pattern == "{a,b}."), "{lines:?}");
    }

    #[test]
    fn a_flat_list_is_cut_and_the_rest_is_counted() {
        let keys: Vec<_> = (0..40).map(|n| (format!("tensor{n}x"), [n, 4])).collect();
        let c = checkpoint(&keys);
        let (lines, hidden) = lines(&StateDict::below(&c, 0), 9);
        assert_eq!((lines.len(), hidden), (9, 31));
    }
}
