//! Objects on the way: whole modules, TorchScript modules, and everything else with attributes.

use super::super::module::{self, Parts};
use super::{Walk, Work};
use crate::checkpoint::Role;
use crate::read::pickle::{Object, Value, text};

/// The wrapper of a compiled module (torch/_dynamo/eval_frame.py).
const COMPILED: &str = "torch._dynamo.eval_frame.OptimizedModule";

impl Walk<'_> {
    pub(super) fn object(&mut self, id: u32, path: &str, container: usize, depth: u32, in_module: bool) {
        let Some(&object) = self.heap.object(id) else { return };
        let class = self.heap.class_of(&object);
        let state = object.state;
        if let Value::Dict(state) = state {
            if class.starts_with("__torch__.") {
                let container = if in_module || depth == 0 { container } else { self.child(path, container) };
                return self.script_module(class, state, path, container, depth);
            }
            if let Some(module) = module::parts(self.heap, state) {
                let container = if in_module || depth == 0 { container } else { self.child(path, container) };
                return self.module(module, path, container, depth);
            }
        }
        // `torch.compile` pickles its wrapper as a call with the module that it wraps.
        if class == COMPILED
            && let Some(&value @ Value::Object(_)) = self.heap.items_of_tuple(object.args).first()
        {
            let container = if in_module || depth == 0 { container } else { self.child(path, container) };
            let Some(path) = self.join(path, "_orig_mod") else { return };
            self.work.push(Work::Visit { value, path, container, depth: depth + 1, in_module: true });
            return;
        }
        if in_module {
            return;
        }
        let before = self.work.len();
        let container = if depth == 0 { container } else { self.child(path, container) };
        self.plain_object(&object, path, container, depth);
        if self.work.len() == before {
            self.other(path.into(), Value::Object(id));
        }
    }

    /// Items, attributes and arguments of an object of whatever class.
    pub(super) fn plain_object(&mut self, object: &Object, path: &str, container: usize, depth: u32) {
        if self.heap.items_of_tuple(object.args).iter().any(|&item| self.leads_on(item)) {
            self.sequence(object.args, path.into(), container, depth);
        }
        match object.items {
            Value::Dict(items) => self.dict(items, path.into(), container, depth),
            Value::List(items) if self.heap.list_len(items) > 0 => {
                self.sequence(object.items, path.into(), container, depth)
            }
            _ => {}
        }
        match object.state {
            Value::None => {}
            Value::Dict(state) => self.dict(state, path.into(), container, depth),
            state => match *self.heap.items_of_tuple(state) {
                // Attributes of a class with __slots__: (dict or None, slots).
                [first @ (Value::None | Value::Dict(_)), Value::Dict(slots)] => {
                    if let Value::Dict(first) = first {
                        self.dict(first, path.into(), container, depth);
                    }
                    self.dict(slots, path.into(), container, depth);
                }
                _ => self.put(state, path, "__state__", container, depth),
            },
        }
    }

    /// A whole `nn.Module`: what its `state_dict()` would give, in that order.
    pub(super) fn module(&mut self, parts: Parts, path: &str, container: usize, depth: u32) {
        let heap = self.heap;
        let not_saved = parts.not_saved(heap);
        for (dict, role) in [(parts.parameters, Role::Parameter), (parts.buffers, Role::Buffer)] {
            let Some(dict) = dict else { continue };
            for (key, value) in self.pairs(dict, path) {
                let name = text::key_text(heap, key);
                if role == Role::Buffer && not_saved.contains(name.as_bytes()) {
                    continue;
                }
                self.emit_named(value, path, &name, container, role);
            }
        }
        let Some(modules) = parts.modules else { return };
        let mut children = self.pairs(modules, path);
        children.retain(|(_, value)| matches!(value, Value::Object(_)));
        self.modules(children, path, container, depth);
    }

    fn modules(&mut self, children: Vec<(Value, Value)>, path: &str, container: usize, depth: u32) {
        let (pairs, prefix) = (children.into_iter(), path.into());
        self.work.push(Work::Pairs { pairs, prefix, container, depth, modules: true });
    }

    /// A TorchScript module: the parameters and buffers that its code declares.
    pub(super) fn script_module(&mut self, class: &str, state: u32, path: &str, container: usize, depth: u32) {
        let declared = self.classes.and_then(|classes| classes.get(class));
        let pairs = self.pairs(state, path);
        for role in [Role::Parameter, Role::Buffer, Role::Unknown] {
            for &(key, value) in &pairs {
                let heap = self.heap;
                let name = text::key_text(heap, key);
                let is = declared.map_or(Role::Unknown, |d| d.role(&name));
                let wanted = match declared {
                    Some(_) => role != Role::Unknown && is == role,
                    None => role == Role::Unknown,
                };
                if wanted && self.tensor(value).is_some() {
                    self.emit_named(value, path, &name, container, role);
                }
            }
        }
        let (heap, classes) = (self.heap, self.classes);
        let mut children = pairs;
        children.retain(|&(_, value)| {
            let Value::Object(id) = value else { return false };
            let class = heap.object(id).map_or("", |o| heap.class_of(o));
            match classes {
                Some(classes) if !classes.is_empty() => classes.contains_key(class),
                _ => class.starts_with("__torch__."),
            }
        });
        self.modules(children, path, container, depth);
    }
}
