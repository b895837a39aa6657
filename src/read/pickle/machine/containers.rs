//! Opcodes that make and fill tuples, lists, sets and dicts.

use super::super::cursor::Span;
use super::super::heap::Value;
use super::super::opcode as op;
use super::super::{World, text};
use super::{Machine, Step};

impl<W: World> Machine<'_, W> {
    /// Makes or fills a container.
    pub(super) fn container(&mut self, code: u8) -> Step {
        match code {
            op::EMPTY_TUPLE => self.push(Value::Tuple(Span::default())),
            op::TUPLE1 | op::TUPLE2 | op::TUPLE3 => {
                let count = usize::from(code - op::TUPLE1) + 1;
                let from = self.stack.len().checked_sub(count).filter(|&from| from >= self.floor());
                self.tuple(from.ok_or("too few items on the stack")?);
            }
            op::TUPLE => {
                let from = self.mark()?;
                self.tuple(from);
            }
            op::EMPTY_LIST => {
                let list = self.heap.add_list();
                self.push(Value::List(list));
            }
            op::EMPTY_SET => {
                let set = self.heap.add_list();
                self.push(Value::Set(set));
            }
            op::EMPTY_DICT => {
                let dict = self.heap.add_dict();
                self.push(Value::Dict(dict));
            }
            op::LIST | op::FROZENSET => {
                let from = self.mark()?;
                let list = self.heap.add_list();
                self.move_into_list(from, list);
                self.push(if code == op::LIST { Value::List(list) } else { Value::Set(list) });
            }
            op::DICT => {
                let from = self.mark()?;
                let dict = self.heap.add_dict();
                self.move_into_dict(from, dict)?;
                self.push(Value::Dict(dict));
            }
            op::APPEND => {
                let item = self.pop()?;
                let list = self.list_on_top("list")?;
                self.heap.push(list, item);
            }
            op::APPENDS => {
                let from = self.mark()?;
                if self.nothing_above(from)? {
                    return Ok(());
                }
                let list = self.list_below(from, "list")?;
                self.move_into_list(from, list);
            }
            op::ADDITEMS => {
                let from = self.mark()?;
                if self.nothing_above(from)? {
                    return Ok(());
                }
                let set = self.list_below(from, "set")?;
                self.move_into_list(from, set);
            }
            op::SETITEM => {
                let value = self.pop()?;
                let key = self.pop()?;
                let target = self.top()?;
                if takes_index(target, key) {
                    return Ok(());
                }
                let dict = self.dict_of(target)?;
                hashable(key)?;
                self.heap.set(dict, key, value);
            }
            op::SETITEMS => {
                let from = self.mark()?;
                if self.nothing_above(from)? {
                    return Ok(());
                }
                let target = self.below(from)?;
                if self.stack.get(from).is_some_and(|&key| takes_index(target, key)) {
                    self.stack.truncate(from);
                    return Ok(());
                }
                let dict = self.dict_of(target)?;
                self.move_into_dict(from, dict)?;
            }
            other => return Err(format!("byte 0x{other:02x} is no opcode").into()),
        }
        Ok(())
    }

    /// Turns the stack from `from` on into a tuple on top of it.
    pub(super) fn tuple(&mut self, from: usize) {
        let items = self.stack.get(from..).unwrap_or_default();
        let tuple = if items.is_empty() { Value::Tuple(Span::default()) } else { self.heap.add_tuple(items) };
        self.stack.truncate(from);
        self.stack.push(tuple);
    }

    /// Whether a mark that was just taken away had no items: then Python does not look at what lies below it.
    fn nothing_above(&self, from: usize) -> Step<bool> {
        self.below(from)?;
        Ok(self.stack.len() == from)
    }

    /// The item right below the items of a mark that was just taken away.
    pub(super) fn below(&self, from: usize) -> Step<Value> {
        match from.checked_sub(1).and_then(|i| self.stack.get(i)) {
            Some(&value) if from > self.floor() => Ok(value),
            _ => Err("nothing below the MARK".into()),
        }
    }

    pub(super) fn list_below(&mut self, from: usize, wanted: &str) -> Step<u32> {
        let target = self.below(from)?;
        self.list_of(target, wanted)
    }

    pub(super) fn list_on_top(&mut self, wanted: &str) -> Step<u32> {
        let target = self.top()?;
        self.list_of(target, wanted)
    }

    pub(super) fn list_of(&mut self, target: Value, wanted: &str) -> Step<u32> {
        match target {
            Value::List(list) if wanted == "list" => Ok(list),
            Value::Set(set) if wanted == "set" => Ok(set),
            Value::Object(id) => {
                let items = self.heap.object(id).map_or(Value::None, |o| o.items);
                if let Value::List(list) = items {
                    return Ok(list);
                }
                let list = self.heap.add_list();
                if let Some(object) = self.heap.object_mut(id) {
                    object.items = Value::List(list);
                }
                Ok(list)
            }
            // A container that lives in a module is changed for the whole program.
            Value::Global(id) => {
                self.changed(id);
                Ok(self.heap.add_list())
            }
            // A bytearray, or what the world made: both may have the method, and nothing that matters goes into them.
            Value::Bytes(_) | Value::Far(_) | Value::Foreign(_) => Ok(self.heap.add_list()),
            other => Err(format!("the target is no {wanted} but {}", text::kind(other)).into()),
        }
    }

    pub(super) fn dict_of(&mut self, target: Value) -> Step<u32> {
        match target {
            Value::Dict(dict) => Ok(dict),
            Value::Object(id) => {
                let items = self.heap.object(id).map_or(Value::None, |o| o.items);
                if let Value::Dict(dict) = items {
                    return Ok(dict);
                }
                let dict = self.heap.add_dict();
                if let Some(object) = self.heap.object_mut(id) {
                    object.items = Value::Dict(dict);
                }
                Ok(dict)
            }
            Value::Global(id) => {
                self.changed(id);
                Ok(self.heap.add_dict())
            }
            other => Err(format!("the target is no dict but {}", text::kind(other)).into()),
        }
    }

    /// Notes that the pickle changes something which it only named.
    fn changed(&mut self, global: u32) {
        if let Some(global) = self.heap.globals.get_mut(global as usize) {
            global.odd = true;
        }
    }

    pub(super) fn move_into_list(&mut self, from: usize, list: u32) {
        for i in from..self.stack.len() {
            if let Some(&item) = self.stack.get(i) {
                self.heap.push(list, item);
            }
        }
        self.stack.truncate(from);
    }

    pub(super) fn move_into_dict(&mut self, from: usize, dict: u32) -> Step {
        let items = self.stack.get(from..).unwrap_or_default();
        if items.len() % 2 != 0 {
            return Err("a key without a value".into());
        }
        for pair in items.chunks_exact(2) {
            let [key, value] = *pair else { continue };
            hashable(key)?;
            self.heap.set(dict, key, value);
        }
        self.stack.truncate(from);
        Ok(())
    }

    /// Of a broken pickle: puts what waits above each mark into the container below it, and returns the bottom of the stack.
    pub(super) fn salvage(&mut self) -> Option<Value> {
        while let Some(mark) = self.marks.pop() {
            let from = (mark as usize).min(self.stack.len());
            match from.checked_sub(1).and_then(|i| self.stack.get(i)).copied() {
                Some(Value::Dict(dict)) => {
                    let even = from + (self.stack.len() - from) / 2 * 2;
                    self.stack.truncate(even);
                    let _ = self.move_into_dict(from, dict);
                }
                Some(Value::List(list)) => self.move_into_list(from, list),
                _ => {}
            }
            self.stack.truncate(from);
        }
        self.stack.first().copied()
    }
}

/// Whether a value is put at a place instead of a key: into a list, a bytearray, a tensor. Its items stay as they were, which is
/// all that is lost.
fn takes_index(target: Value, key: Value) -> bool {
    match target {
        Value::List(_) | Value::Bytes(_) | Value::Far(_) => matches!(key, Value::Int(_) | Value::Bool(_)),
        Value::Foreign(_) => true,
        _ => false,
    }
}

/// Whether Python would take a value as a key of a dict.
fn hashable(key: Value) -> Step {
    match key {
        // A frozenset can be one, and a set is held like it.
        Value::List(_) | Value::Dict(_) => Err(format!("a {} cannot be a key", text::kind(key)).into()),
        _ => Ok(()),
    }
}
