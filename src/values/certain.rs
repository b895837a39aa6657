//! Pairs of tensors that hold the same bytes: what names and shapes cannot decide, content can.

use std::collections::HashMap;

use super::digest::contents;
use crate::align::{Alignment, How};
use crate::checkpoint::{Content, Entry, StateDict};

/// Contents of both sides by path, as far as they are known.
#[derive(Clone, Debug, Default)]
pub struct Known {
    /// Of the source.
    pub source: HashMap<Box<str>, Content>,
    /// Of the target.
    pub target: HashMap<Box<str>, Content>,
}

/// Fewer bytes than this are no evidence: small tables are equal by chance or by construction.
const EVIDENCE: u64 = 64;

impl Known {
    /// What snapshots say; and of a side that holds values against one that only has digests, what has to be read for it.
    pub fn of(source: &StateDict<'_>, target: &StateDict<'_>) -> Known {
        let mut known =
            Known { source: source.checkpoint.contents.clone(), target: target.checkpoint.contents.clone() };
        match (known.source.is_empty(), known.target.is_empty()) {
            (true, false) => known.source = contents(source, false, |_| true).0,
            (false, true) => known.target = contents(target, false, |_| true).0,
            _ => {}
        }
        known
    }

    /// Whether names alone settle an alignment, so that content has nothing to add.
    pub fn settled(alignment: &Alignment) -> bool {
        alignment.matches.iter().all(|m| m.how == How::Identical)
            && alignment.ambiguous.is_empty()
            && (alignment.missing.is_empty() || alignment.unexpected.is_empty())
    }

    /// Reads what is needed to pair by content.
    pub fn complete(&mut self, source: &StateDict<'_>, target: &StateDict<'_>) {
        // Only what has a counterpart of its shape and dtype can be paired.
        let shapes =
            |side: &StateDict<'_>| side.entries.iter().filter_map(kind).collect::<std::collections::HashSet<_>>();
        let (of_source, of_target) = (shapes(source), shapes(target));
        if self.source.is_empty() {
            self.source = contents(source, false, |e| kind(e).is_some_and(|k| of_target.contains(&k))).0;
        }
        if self.target.is_empty() {
            self.target = contents(target, false, |e| kind(e).is_some_and(|k| of_source.contains(&k))).0;
        }
    }

    /// Pairs `(source, target)` of entries with equal content that no other entry of either side has.
    ///
    /// Constant tensors (zeros of biases, ones of norms), and those of a few bytes, say nothing and are left out.
    pub fn pairs(&self, source: &StateDict<'_>, target: &StateDict<'_>) -> Vec<(u32, u32)> {
        let (mut from, mut to) = (unique(source, &self.source), unique(target, &self.target));
        from.retain(|_, i| i.is_some());
        to.retain(|_, i| i.is_some());
        let pair = |(digest, s): (&u128, &Option<u32>)| Some(((*s)?, (*to.get(digest)?)?));
        let mut pairs: Vec<(u32, u32)> = from.iter().filter_map(pair).collect();
        pairs.sort_unstable();
        pairs
    }
}

/// Shape and dtype, where they say enough for content to be evidence.
fn kind(entry: &Entry<'_>) -> Option<(crate::checkpoint::Dtype, crate::checkpoint::Shape)> {
    let (dtype, shape) = (entry.dtype()?, entry.shape()?);
    let bytes = shape.numel()?.checked_mul(u64::from(dtype.bits()))? / 8;
    (bytes >= EVIDENCE).then(|| (dtype, shape.clone()))
}

/// Entries by digest; `None` for a digest that several have.
fn unique(side: &StateDict<'_>, known: &HashMap<Box<str>, Content>) -> HashMap<u128, Option<u32>> {
    let mut found: HashMap<u128, Option<u32>> = HashMap::new();
    for (i, entry) in side.entries.iter().enumerate() {
        let Some(content) = known.get(&*entry.tensor.path).filter(|c| !c.constant) else { continue };
        if kind(entry).is_some() {
            found.entry(content.digest).and_modify(|i| *i = None).or_insert(Some(i as u32));
        }
    }
    found
}
