//! Plain facts about an alignment: what differs, key by key, without judgement.

use crate::align::Alignment;
use crate::checkpoint::{DtypeChange, StateDict};

/// One fact. Indices go into the entries of the two state_dicts, and into the parts of the [`Alignment`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Difference {
    /// A target key that nothing in the source makes.
    Missing {
        /// Target entry.
        target: u32,
    },
    /// A source key that the target has no use for.
    Unexpected {
        /// Source entry.
        source: u32,
    },
    /// A match under another name, or out of several sources, or with its values rearranged. Index into [`Alignment::matches`].
    Renamed {
        /// Index into the alignment's matches.
        matched: u32,
    },
    /// A match whose shapes differ, so that PyTorch refuses to copy.
    SizeMismatch {
        /// Index into the alignment's matches.
        matched: u32,
    },
    /// A match whose dtypes differ, about which PyTorch says nothing.
    DtypeMismatch {
        /// Index into the alignment's matches.
        matched: u32,
        /// What the copy does to the values.
        change: DtypeChange,
    },
    /// A group that could not be decided. Index into [`Alignment::ambiguous`].
    Ambiguous {
        /// Index into the alignment's ambiguous groups.
        group: u32,
    },
}

/// Lists every difference, in target order, unexpected keys last.
pub fn compare(source: &StateDict<'_>, target: &StateDict<'_>, alignment: &Alignment) -> Vec<Difference> {
    let _ = (source, target, alignment);
    Vec::new()
}
