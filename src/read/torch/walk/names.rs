//! Keys that are equal, and names that become equal when they are joined.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use super::{MOST_EXAMPLES, Walk};
use crate::checkpoint::Remark;
use crate::read::pickle::{Heap, Value, text};

impl Walk<'_> {
    /// The pairs of a dict as Python would keep them: of a key that was set twice the last value, in the first place.
    pub(super) fn pairs(&mut self, dict: u32, path: &str) -> Vec<(Value, Value)> {
        let mut pairs: Vec<(Value, Value)> = self.heap.dict(dict).collect();
        if pairs.len() < 2 {
            self.odd_keys |= pairs.iter().any(|(key, _)| !matches!(key, Value::Str(_)));
            return pairs;
        }
        let mut places: HashMap<Cow<'_, [u8]>, usize> = HashMap::with_capacity(pairs.len());
        let mut again = Vec::new();
        for (i, &(key, _)) in pairs.iter().enumerate() {
            let identity = match key {
                Value::Str(span) => Cow::Borrowed(self.heap.bytes(span)),
                other => {
                    self.odd_keys = true;
                    Cow::Owned(identity(self.heap, other))
                }
            };
            match places.entry(identity) {
                std::collections::hash_map::Entry::Occupied(place) => again.push((*place.get(), i)),
                std::collections::hash_map::Entry::Vacant(place) => {
                    place.insert(i);
                }
            }
        }
        if again.is_empty() {
            return pairs;
        }
        for &(first, later) in &again {
            pairs[first].1 = pairs[later].1;
            if self.duplicates.len() < MOST_EXAMPLES {
                let key = text::key_text(self.heap, pairs[first].0);
                let name = if path.is_empty() { key.into_owned() } else { format!("{path}.{key}") };
                if !self.duplicates.contains(&name) {
                    self.duplicates.push(name);
                }
            }
        }
        let dropped: HashSet<usize> = again.into_iter().map(|(_, later)| later).collect();
        let mut index = 0;
        pairs.retain(|_| {
            index += 1;
            !dropped.contains(&(index - 1))
        });
        pairs
    }

    /// Two tensors whose joined names are equal (`1` and `"1"`, `a.b` and `a` → `b`): the later one is kept, in the first place.
    pub(super) fn merge_equal_paths(&mut self) {
        let tensors = &mut self.out.tensors;
        let mut last: HashMap<&str, usize> = HashMap::with_capacity(tensors.len());
        let mut again = Vec::new();
        for (i, tensor) in tensors.iter().enumerate() {
            match last.entry(&tensor.path) {
                std::collections::hash_map::Entry::Occupied(first) => again.push((*first.get(), i)),
                std::collections::hash_map::Entry::Vacant(place) => {
                    place.insert(i);
                }
            }
        }
        if again.is_empty() {
            return;
        }
        drop(last);
        let mut examples = Vec::new();
        for &(first, later) in &again {
            if let Some(container) = tensors.get(first).and_then(|t| self.out.containers.get_mut(t.container as usize))
            {
                container.tensors = container.tensors.saturating_sub(1);
            }
            tensors[first] = tensors[later].clone();
            let path = tensors[first].path.to_string();
            if examples.len() < MOST_EXAMPLES && !examples.contains(&path) {
                examples.push(path);
            }
        }
        let dropped: HashSet<usize> = again.into_iter().map(|(_, later)| later).collect();
        let mut index = 0;
        tensors.retain(|_| {
            index += 1;
            !dropped.contains(&(index - 1))
        });
        self.out.remarks.push(Remark {
            code: "CK065",
            error: false,
            message:
                "keys of different places or types give the same name when joined by dots; the last tensor is listed"
                    .into(),
            help: "only a loader that knows the nesting can tell them apart".into(),
            examples,
        });
    }
}

/// What makes a key that is no str equal to another in Python: `1`, `1.0` and `True` are one key.
fn identity(heap: &Heap, key: Value) -> Vec<u8> {
    let number = match key {
        Value::Bool(b) => Some(i64::from(b)),
        Value::Int(i) => Some(i),
        Value::Float(f) if f.fract() == 0.0 && f.abs() < 9e15 => Some(f as i64),
        _ => None,
    };
    let mut bytes = vec![0xff];
    match number {
        Some(number) => bytes.extend(number.to_le_bytes()),
        // Objects are equal where their class says so, which is not known here; one object is equal to itself.
        None if matches!(key, Value::Object(_) | Value::Foreign(_)) => {
            let (Value::Object(id) | Value::Foreign(id)) = key else { return bytes };
            bytes.extend(text::kind(key).bytes());
            bytes.extend(id.to_le_bytes());
        }
        None => {
            bytes.extend(text::kind(key).bytes());
            bytes.extend(text::key_text(heap, key).bytes());
        }
    }
    bytes
}
