//! The versions of modules that `Module.state_dict` writes beside the tensors.

use super::super::super::pickle::{Heap, Value};

/// Modules whose versions are looked at.
const MOST_MODULES: usize = 100_000;

/// The highest version of a module in the `_metadata` of a state_dict; `None` where the dict has none.
pub(super) fn highest(heap: &Heap, dict: u32) -> Option<u32> {
    let Value::Dict(attributes) = *heap.dict_states.get(&dict)? else { return None };
    let Value::Dict(modules) = heap.lookup(attributes, "_metadata")? else { return None };
    let of = |value| match value {
        Value::Dict(module) => match heap.lookup(module, "version")? {
            Value::Int(version) => u32::try_from(version).ok(),
            _ => None,
        },
        _ => None,
    };
    heap.dict(modules).take(MOST_MODULES).filter_map(|(_, value)| of(value)).max()
}
