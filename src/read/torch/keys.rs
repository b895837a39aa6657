//! Keys of storages. Nearly all are numbers: record names 0, 1, 2, … or addresses; those need neither text nor much hashing.

use std::collections::HashMap;
use std::fmt;

use crate::read::pickle::{Heap, Value, text};

/// The key of a storage.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum StorageKey {
    /// A decimal number without sign and leading zeros.
    Number(u64),
    /// Any other text.
    Text(Box<str>),
}

impl StorageKey {
    /// The key that a text is.
    pub(super) fn of(bytes: &[u8]) -> StorageKey {
        match number(bytes) {
            Some(number) => StorageKey::Number(number),
            None => StorageKey::Text(text::readable(bytes).into()),
        }
    }

    /// The key that a value of a pickle is, as Python's `str()` gives it.
    pub(super) fn of_value(heap: &Heap, value: Value) -> StorageKey {
        match value {
            Value::Str(span) => StorageKey::of(heap.bytes(span)),
            Value::Int(n) if n >= 0 => StorageKey::Number(n as u64),
            other => StorageKey::of(text::key_text(heap, other).as_bytes()),
        }
    }
}

impl fmt::Display for StorageKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StorageKey::Number(number) => write!(f, "{number}"),
            StorageKey::Text(text) => f.write_str(text),
        }
    }
}

/// A number of at most 18 digits without sign and leading zeros.
pub(super) fn number(digits: &[u8]) -> Option<u64> {
    let leading_zero = digits.len() > 1 && digits.first() == Some(&b'0');
    if digits.is_empty() || digits.len() > 18 || leading_zero || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some(digits.iter().fold(0, |n, d| n * 10 + u64::from(d - b'0')))
}

/// Numbers by key. The keys 0, 1, 2, … in this order cost an index, others a hash.
#[derive(Clone, Debug, Default)]
pub(super) struct KeyMap {
    row: Vec<u32>,
    others: HashMap<StorageKey, u32>,
}

impl KeyMap {
    pub(super) fn get(&self, key: &StorageKey) -> Option<u32> {
        if let &StorageKey::Number(number) = key
            && let Some(&id) = usize::try_from(number).ok().and_then(|n| self.row.get(n))
        {
            return Some(id);
        }
        if self.others.is_empty() { None } else { self.others.get(key).copied() }
    }

    /// Notes a key; the last one counts.
    pub(super) fn insert(&mut self, key: StorageKey, id: u32) {
        match key {
            StorageKey::Number(n) if n == self.row.len() as u64 && !self.others.contains_key(&key) => self.row.push(id),
            StorageKey::Number(n) if n < self.row.len() as u64 => self.row[n as usize] = id,
            _ => {
                self.others.insert(key, id);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_in_any_order_and_text_are_found_again() {
        let mut map = KeyMap::default();
        let keys = ["2", "0", "1", "2", "94632732211568", "x", "00", "3"];
        for (i, key) in keys.iter().enumerate() {
            map.insert(StorageKey::of(key.as_bytes()), i as u32);
        }
        for (i, key) in keys.iter().enumerate().skip(1) {
            assert_eq!(map.get(&StorageKey::of(key.as_bytes())), Some(i as u32), "{key}");
        }
        assert_eq!(map.get(&StorageKey::of(b"4")), None);
    }
}
