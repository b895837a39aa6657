//! A view of a checkpoint as one state_dict: the tensors below one container, with names relative to it.

use super::{Checkpoint, Dtype, Key, Shape, TensorInfo, below};

/// One key of a state_dict.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'a> {
    /// The name within the state_dict.
    pub key: Key<'a>,
    /// The tensor behind it.
    pub tensor: &'a TensorInfo,
}

impl<'a> Entry<'a> {
    /// The shape, when known.
    pub fn shape(&self) -> Option<&'a Shape> {
        self.tensor.shape.as_ref()
    }

    /// The dtype, when known.
    pub fn dtype(&self) -> Option<Dtype> {
        self.tensor.dtype
    }
}

/// A container that may be the wanted state_dict, with how many tensors lie at or below it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Index into [`Checkpoint::containers`].
    pub container: u32,
    /// Its path; empty for the top level.
    pub name: String,
    /// Tensors at or below it.
    pub tensors: usize,
}

/// The tensors at or below one container of a checkpoint, in stored order.
#[derive(Clone, Debug)]
pub struct StateDict<'a> {
    /// The checkpoint it is a view of.
    pub checkpoint: &'a Checkpoint,
    /// Path of the container; empty for the whole file.
    pub container: &'a str,
    /// The keys, in stored order. When a name occurs twice the last one counts, as in a Python dict.
    pub entries: Vec<Entry<'a>>,
}

impl<'a> StateDict<'a> {
    /// The view below container number `container`.
    pub fn below(checkpoint: &'a Checkpoint, container: u32) -> Self {
        let inside = checkpoint.descendants(container);
        let name: &str = &checkpoint.containers[container as usize].name;
        let entries = checkpoint
            .tensors
            .iter()
            .filter(|t| inside[t.container as usize])
            .map(|tensor| Entry { key: Key(below(&tensor.path, name)), tensor })
            .collect();
        StateDict { checkpoint, container: name, entries }
    }

    /// Whether the order of entries is evidence of the order in which modules were registered.
    pub fn ordered(&self) -> bool {
        self.checkpoint.format.keeps_order()
    }

    /// The number of elements over all tensors of known shape; saturating.
    pub fn parameters(&self) -> u64 {
        self.entries.iter().filter_map(|e| e.shape()?.numel()).fold(0, u64::saturating_add)
    }
}

impl Checkpoint {
    /// Which containers lie at or below `container`, by index.
    fn descendants(&self, container: u32) -> Vec<bool> {
        // Parents are pushed before their children by every reader, so one pass is enough.
        let mut inside = vec![false; self.containers.len()];
        for (i, c) in self.containers.iter().enumerate() {
            inside[i] = i == container as usize || c.parent.is_some_and(|p| inside[p as usize]);
        }
        inside
    }

    /// Every container with tensors at or below it, the top level first.
    pub fn candidates(&self) -> Vec<Candidate> {
        let mut count: Vec<usize> = self.containers.iter().map(|c| c.tensors).collect();
        for (i, c) in self.containers.iter().enumerate().rev() {
            if let Some(p) = c.parent {
                count[p as usize] += count[i];
            }
        }
        self.containers
            .iter()
            .zip(count)
            .enumerate()
            .filter(|(_, (_, tensors))| *tensors > 0)
            .map(|(i, (c, tensors))| Candidate { container: i as u32, name: c.name.to_string(), tensors })
            .collect()
    }
}
