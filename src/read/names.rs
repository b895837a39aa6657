//! Names that a file gives more than once.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher as _, RandomState};

use crate::checkpoint::{Remark, TensorInfo, quoted};

/// The first few of many, as examples of a finding.
pub(super) fn examples<'a>(keys: impl Iterator<Item = &'a str>) -> Vec<String> {
    keys.take(5).map(String::from).collect()
}

/// Whether two tensors have one name. May say yes where none have, once in some thousand million million files.
///
/// Sorted hashes take a quarter of the time and memory of a set of names, and nearly every file has no name twice.
pub(super) fn may_repeat(tensors: &[TensorInfo]) -> bool {
    // Keyed at random, so that no file can be made to collide.
    let keyed = RandomState::new();
    let mut hashes: Vec<u64> = tensors.iter().map(|t| keyed.hash_one(&*t.path)).collect();
    hashes.sort_unstable();
    hashes.windows(2).any(|w| matches!(w, [a, b] if a == b))
}

/// Positions of tensors whose name occurs again further on, and the names that occur more than once, in order of their first repetition.
pub(super) fn repeated(tensors: &[TensorInfo]) -> (HashSet<usize>, Vec<Box<str>>) {
    let (mut earlier, mut names) = (HashSet::new(), Vec::new());
    if !may_repeat(tensors) {
        return (earlier, names);
    }
    let mut told = HashSet::new();
    let mut last: HashMap<&str, usize> = HashMap::with_capacity(tensors.len());
    for (at, tensor) in tensors.iter().enumerate() {
        if let Some(before) = last.insert(&tensor.path, at) {
            earlier.insert(before);
            if told.insert(&tensor.path) {
                names.push(tensor.path.clone());
            }
        }
    }
    (earlier, names)
}

/// Leaves of every name its last tensor, at the place of the first, as a Python dict does; and which names occurred more than once.
pub(super) fn last_of_each(tensors: Vec<TensorInfo>) -> (Vec<TensorInfo>, Vec<Box<str>>) {
    let (earlier, names) = repeated(&tensors);
    if earlier.is_empty() {
        return (tensors, names);
    }
    let mut first: HashMap<Box<str>, usize> = HashMap::new();
    let mut kept: Vec<TensorInfo> = Vec::with_capacity(tensors.len());
    for tensor in tensors {
        match first.get(&tensor.path).and_then(|&at| kept.get_mut(at)) {
            Some(place) => *place = tensor,
            None => {
                first.insert(tensor.path.clone(), kept.len());
                kept.push(tensor);
            }
        }
    }
    (kept, names)
}

/// The remark about keys that a file gives more than once.
pub(super) fn given_twice(keys: &[Box<str>], help: &str) -> Remark {
    let message = match keys {
        [key] => format!("the key {} is given more than once", quoted(key)),
        keys => format!("{} keys are given more than once", keys.len()),
    };
    Remark { code: "CK004", error: false, message, help: help.into(), examples: examples(keys.iter().map(|k| &**k)) }
}
