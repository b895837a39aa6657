//! Which key of the source is which key of the target.
//!
//! Works on names, shapes and order alone. What is not certain is `ambiguous`, never claimed.

use crate::checkpoint::StateDict;
use crate::rules::RuleSet;

mod analogy;
mod assign;
#[cfg(test)]
mod cases;
mod certain;
mod certainty;
mod counting;
mod evidence;
mod leftovers;
mod neighbours;
mod other_model;
mod plain;
mod renames;
mod structure;
mod tied;
mod tree;
mod units;
mod words;

pub(crate) use renames::dollars;

/// How a target key comes out of its sources, by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum How {
    /// The same name on both sides.
    Identical,
    /// Another name.
    Renamed,
    /// One part of a fused source (q of qkv).
    Split,
    /// Several sources joined (q, k, v into qkv; experts stacked).
    Merged,
    /// Two dimensions swapped (Conv1D, TensorFlow kernels).
    Transposed,
    /// The same elements under another shape (a 1×1 convolution as a linear layer).
    Reshaped,
}

impl How {
    /// The name in JSON output.
    pub fn id(self) -> &'static str {
        match self {
            How::Identical => "identical",
            How::Renamed => "renamed",
            How::Split => "split",
            How::Merged => "merged",
            How::Transposed => "transposed",
            How::Reshaped => "reshaped",
        }
    }
}

/// The step of the alignment that found a match: its provenance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Step {
    /// Equal names.
    Identical,
    /// Equal after wrappers are taken off (`module.`, `_orig_mod.`).
    Wrapper,
    /// Equal after one prefix is added or removed.
    Prefix,
    /// By structure: shapes, modules, order, words.
    Structure,
    /// A second target of a source that another target has already: tied weights.
    Tied,
    /// By equal bytes.
    Content,
}

/// One target key and the source keys that make it. Indices go into the entries of the two state_dicts.
#[derive(Clone, Debug, PartialEq)]
pub struct Match {
    /// Index of the target entry.
    pub target: u32,
    /// Indices of the source entries, in the order in which they are joined where that is known.
    pub source: Vec<u32>,
    /// What happens to the name and the values.
    pub how: How,
    /// Which step found it.
    pub step: Step,
    /// How likely it is right, 0 to 1.
    pub confidence: f32,
}

/// One source tensor's share in a target tensor, where a match splits, joins, stacks or takes apart.
///
/// Which axis that happens along, and whether the share has to be turned, follows from the shapes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Piece {
    /// Index of the target entry.
    pub target: u32,
    /// Which part of the target it fills, of how many (`(1, 3)`: the keys of a fused qkv); `None` for the whole.
    pub target_part: Option<(u8, u8)>,
    /// Which slice of a stack it fills, of how many.
    pub target_slice: Option<(u32, u32)>,
    /// Index of the source entry.
    pub source: u32,
    /// Which part of the source is taken, of how many; `None` for the whole.
    pub source_part: Option<(u8, u8)>,
    /// Which slice of a stack is taken, of how many.
    pub source_slice: Option<(u32, u32)>,
}

/// Keys that belong together in some way that names and shapes cannot decide.
#[derive(Clone, Debug, PartialEq)]
pub struct Ambiguous {
    /// Indices of target entries.
    pub target: Vec<u32>,
    /// Indices of source entries, each of which may be the one.
    pub source: Vec<u32>,
    /// One sentence.
    pub why: String,
}

/// An anchored regular expression and its replacement (`\1` for groups), applied to every source key as Python's `re.sub`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rename {
    /// `^backbone\.`
    pub pattern: String,
    /// What stands in its place; groups as `\1`.
    pub replacement: String,
    /// Source keys it changes.
    pub keys: usize,
}

/// A pattern of source keys that the target has no use for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Drop {
    /// `^(neck|bbox_head)\.`
    pub pattern: String,
    /// Source keys it removes.
    pub keys: usize,
}

/// The outcome of aligning a source with a target.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Alignment {
    /// What is claimed, in target order.
    pub matches: Vec<Match>,
    /// What the matches that split or join are made of, by target and in the order of joining.
    pub pieces: Vec<Piece>,
    /// Target entries without a match.
    pub missing: Vec<u32>,
    /// Source entries without a match.
    pub unexpected: Vec<u32>,
    /// Groups that could not be decided. Their members are neither missing nor unexpected.
    pub ambiguous: Vec<Ambiguous>,
    /// Rules that reproduce the renamed matches, applied in order.
    pub renames: Vec<Rename>,
    /// Rules that remove what is unexpected.
    pub drops: Vec<Drop>,
}

/// Aligns the keys of `source` with those of `target`.
pub fn align(source: &StateDict<'_>, target: &StateDict<'_>, rules: &RuleSet) -> Alignment {
    align_with(source, target, rules, &[])
}

/// As [`align`], with pairs `(source, target)` that are known to be right, since their bytes are equal.
pub fn align_with(
    source: &StateDict<'_>,
    target: &StateDict<'_>,
    rules: &RuleSet,
    certain: &[(u32, u32)],
) -> Alignment {
    let mut out = plain::align(source, target).unwrap_or_else(|| structure::align(source, target, &rules.lexicon));
    other_model::take_back(&mut out, source, target);
    if !certain.is_empty() {
        certain::apply(&mut out, certain, source, target);
    }
    leftovers::add(&mut out, source, target, &rules.lexicon);
    tied::add(&mut out, source, target, &rules.lexicon);
    renames::find(&mut out, source, target);
    if certain.is_empty() && other_model::piecemeal(&out, source, target) {
        other_model::take_back_all(&mut out, source, target);
        renames::find(&mut out, source, target);
    }
    out
}
