//! Whole `nn.Module` pickles: where a module keeps its parameters, buffers and children.

use std::collections::HashSet;

use crate::read::pickle::{Heap, Value};

/// The dicts of one module (`torch/nn/modules/module.py`, `Module.__init__`).
#[derive(Clone, Copy, Debug)]
pub(super) struct Parts {
    pub parameters: Option<u32>,
    pub buffers: Option<u32>,
    pub modules: Option<u32>,
    /// Names of buffers that `state_dict()` leaves out.
    not_persistent: Option<u32>,
}

impl Parts {
    /// Names of buffers that `state_dict()` leaves out.
    pub(super) fn not_saved<'a>(&self, heap: &'a Heap) -> HashSet<&'a [u8]> {
        let set = self.not_persistent.into_iter().flat_map(|set| heap.list(set));
        set.filter_map(|item| heap.str_bytes(item)).collect()
    }
}

/// The parts of a module by its attributes; `None` where they are not those of a module.
pub(super) fn parts(heap: &Heap, attributes: u32) -> Option<Parts> {
    let mut parts = Parts { parameters: None, buffers: None, modules: None, not_persistent: None };
    for (key, value) in heap.dict(attributes) {
        match (heap.str_bytes(key)?, value) {
            (b"_parameters", Value::Dict(dict)) => parts.parameters = Some(dict),
            (b"_buffers", Value::Dict(dict)) => parts.buffers = Some(dict),
            (b"_modules", Value::Dict(dict)) => parts.modules = Some(dict),
            (b"_non_persistent_buffers_set", Value::Set(set) | Value::List(set)) => parts.not_persistent = Some(set),
            _ => {}
        }
    }
    (parts.parameters.is_some() && parts.modules.is_some()).then_some(parts)
}
