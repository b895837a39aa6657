//! From what a pickle built to the tensors of a [`Checkpoint`]: names, containers, roles.
//!
//! The walk is a loop. A container that occurs in several places is listed in each of them, as Python would find it, within a
//! budget that keeps a few bytes from becoming billions of names.

mod names;
mod objects;

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use super::script::Classes;
use super::tensors::Tensor;
use super::world::{Part, TorchWorld};
use crate::checkpoint::{Checkpoint, Container, Placement, Remark, Role, TensorInfo, Unreadable};
use crate::read::pickle::{Heap, Value, text};

/// Deepest nesting that is listed; Python's own pickler gives up before that.
const DEEPEST: u32 = 1000;
/// Names that are no tensors are noted up to this many.
const MOST_OTHERS: usize = 1000;
/// Examples a remark carries.
const MOST_EXAMPLES: usize = 5;
/// Visits of shared containers beyond the first that any file may cause.
const FREE_REVISITS: usize = 10_000;
/// Bytes of names that any file may cause.
const FREE_NAMES: usize = 16 << 20;

/// A dict, list or object by number.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Node {
    Dict(u32),
    List(u32),
    Tuple(u32, u32),
    Object(u32),
}

enum Work {
    Visit { value: Value, path: Box<str>, container: usize, depth: u32, in_module: bool },
    Leave { node: Node, tensors: usize },
}

/// A container that is made only when a tensor is found below it.
struct Pending {
    name: Box<str>,
    parent: Option<usize>,
    real: Option<u32>,
}

pub(super) struct Walk<'a> {
    heap: &'a Heap,
    world: &'a TorchWorld,
    classes: Option<&'a Classes>,
    out: &'a mut Checkpoint,
    pending: Vec<Pending>,
    work: Vec<Work>,
    on_path: HashSet<Node>,
    /// Nodes visited before, and whether tensors lie below them.
    seen: HashMap<Node, bool>,
    revisits: usize,
    names: usize,
    found: usize,
    odd_keys: bool,
    duplicates: Vec<String>,
    cut: Option<&'static str>,
}

/// Lists every tensor below `root`.
pub(super) fn walk(heap: &Heap, world: &TorchWorld, classes: Option<&Classes>, root: Value, out: &mut Checkpoint) {
    let revisits = FREE_REVISITS + 4 * heap.nodes();
    let names = FREE_NAMES + 16 * usize::try_from(heap.source().len()).unwrap_or(0).min(1 << 30);
    let mut walk = Walk {
        heap,
        world,
        classes,
        out,
        pending: vec![Pending { name: "".into(), parent: None, real: Some(0) }],
        work: Vec::new(),
        on_path: HashSet::new(),
        seen: HashMap::new(),
        revisits,
        names,
        found: 0,
        odd_keys: false,
        duplicates: Vec::new(),
        cut: None,
    };
    walk.work.push(Work::Visit { value: root, path: "".into(), container: 0, depth: 0, in_module: false });
    while let Some(work) = walk.work.pop() {
        match work {
            Work::Leave { node, tensors } => {
                walk.on_path.remove(&node);
                let holds = walk.found > tensors;
                walk.seen.entry(node).and_modify(|before| *before |= holds).or_insert(holds);
            }
            Work::Visit { value, path, container, depth, in_module } => {
                walk.visit(value, path, container, depth, in_module);
            }
        }
    }
    walk.finish();
}

impl<'a> Walk<'a> {
    fn visit(&mut self, value: Value, path: Box<str>, container: usize, depth: u32, in_module: bool) {
        if let Some(tensor) = self.tensor(value) {
            self.emit(tensor, path, container, Role::Unknown);
            return;
        }
        let node = match value {
            Value::Dict(id) => Node::Dict(id),
            Value::List(id) | Value::Set(id) => Node::List(id),
            Value::Tuple(span) if !span.is_empty() => Node::Tuple(self.heap.tuple_start(span), span.len() as u32),
            Value::Object(id) => Node::Object(id),
            other => return self.other(path, other),
        };
        if self.on_path.contains(&node) {
            return;
        }
        if depth >= DEEPEST {
            self.cut = Some("containers are nested more than 1000 deep");
            return;
        }
        match self.seen.get(&node) {
            Some(false) => return,
            Some(true) if self.revisits == 0 => {
                self.cut = Some("the same containers are nested in each other again and again");
                return;
            }
            _ => {}
        }
        self.on_path.insert(node);
        self.work.push(Work::Leave { node, tensors: self.found });
        let before = self.work.len();
        match value {
            Value::Dict(id) => {
                let container = if depth == 0 { container } else { self.child(&path, container) };
                self.dict(id, &path, container, depth);
            }
            Value::Object(id) => self.object(id, &path, container, depth, in_module),
            _ => {
                let items = self.heap.sequence(value);
                self.sequence(&items, &path, container, depth);
                if self.work.len() == before && items.iter().all(|&item| self.tensor(item).is_none()) {
                    self.other(path, value);
                }
            }
        }
        let made = self.work.len() - before;
        if self.seen.contains_key(&node) {
            self.revisits = self.revisits.saturating_sub(made + 1);
        }
        // Children were put down first to last; the loop takes the last one first.
        if let Some(children) = self.work.get_mut(before..) {
            children.reverse();
        }
    }

    fn tensor(&self, value: Value) -> Option<Cow<'a, Tensor>> {
        match self.world.part(value)? {
            &Part::Tensor(id) => self.world.tensors.get(id as usize).map(Cow::Borrowed),
            Part::Broken(why) => Some(Cow::Owned(Tensor::wrong(why.clone()))),
            _ => None,
        }
    }

    /// A new container below `parent`.
    fn child(&mut self, path: &str, parent: usize) -> usize {
        self.pending.push(Pending { name: path.into(), parent: Some(parent), real: None });
        self.pending.len() - 1
    }

    /// The number of a container in the checkpoint; it and those around it are made where they are not yet.
    fn real(&mut self, container: usize) -> u32 {
        let mut chain = Vec::new();
        let mut at = container;
        let mut real = loop {
            match self.pending.get(at) {
                Some(Pending { real: Some(real), .. }) => break *real,
                Some(Pending { parent: Some(parent), .. }) => {
                    chain.push(at);
                    at = *parent;
                }
                _ => break 0,
            }
        };
        for index in chain.into_iter().rev() {
            let number = self.out.containers.len() as u32;
            if let Some(pending) = self.pending.get_mut(index) {
                pending.real = Some(number);
                self.out.containers.push(Container { name: pending.name.clone(), parent: Some(real), tensors: 0 });
            }
            real = number;
        }
        real
    }

    fn put(&mut self, value: Value, prefix: &str, key: &str, container: usize, depth: u32) {
        match value {
            Value::Dict(_)
            | Value::List(_)
            | Value::Set(_)
            | Value::Tuple(_)
            | Value::Object(_)
            | Value::Foreign(_) => {
                let Some(path) = self.join(prefix, key) else { return };
                self.work.push(Work::Visit { value, path, container, depth: depth + 1, in_module: false });
            }
            _ if self.out.others.len() < MOST_OTHERS => {
                if let Some(path) = self.join(prefix, key) {
                    self.other(path, value);
                }
            }
            _ => {}
        }
    }

    fn join(&mut self, prefix: &str, key: &str) -> Option<Box<str>> {
        let size = prefix.len() + 1 + key.len();
        let Some(left) = self.names.checked_sub(size) else {
            self.cut = Some("the names of what it holds are too long together");
            return None;
        };
        self.names = left;
        if prefix.is_empty() {
            return Some(key.into());
        }
        let mut path = String::with_capacity(size);
        path.push_str(prefix);
        path.push('.');
        path.push_str(key);
        Some(path.into())
    }

    fn dict(&mut self, dict: u32, path: &str, container: usize, depth: u32) {
        let heap = self.heap;
        for (key, value) in self.pairs(dict, path) {
            let name = text::key_text(heap, key);
            // A lone surrogate is text in Python and nowhere else: no JSON and no safetensors file can carry it.
            if let (Value::Str(span), Some(_)) = (key, self.tensor(value))
                && std::str::from_utf8(heap.bytes(span)).is_err()
            {
                let path = self.join(path, &name).unwrap_or_default().into();
                self.out.unreadable.push(Unreadable { path, why: "its key is no valid Unicode text".into() });
                continue;
            }
            self.put(value, path, &name, container, depth);
        }
    }

    fn sequence(&mut self, items: &[Value], path: &str, container: usize, depth: u32) {
        for (i, &item) in items.iter().enumerate() {
            if matches!(
                item,
                Value::Dict(_)
                    | Value::List(_)
                    | Value::Set(_)
                    | Value::Tuple(_)
                    | Value::Object(_)
                    | Value::Foreign(_)
            ) {
                self.put(item, path, &i.to_string(), container, depth);
            }
        }
    }

    fn emit_named(&mut self, value: Value, prefix: &str, name: &str, container: usize, role: Role) {
        let Some(tensor) = self.tensor(value) else {
            if value != Value::None {
                let path = self.join(prefix, name).unwrap_or_default();
                let why = format!("a {} where a tensor belongs", text::kind(value));
                self.out.unreadable.push(Unreadable { path: path.into(), why });
            }
            return;
        };
        let Some(path) = self.join(prefix, name) else { return };
        self.emit(tensor, path, container, role);
    }

    fn emit(&mut self, tensor: Cow<'_, Tensor>, path: Box<str>, container: usize, role: Role) {
        self.found += 1;
        let storage = tensor.storage.and_then(|id| self.world.storages.get(id as usize));
        let wrong = tensor.wrong.as_ref().or_else(|| storage.and_then(|s| s.wrong.as_ref()));
        if let Some(why) = wrong {
            self.out.unreadable.push(Unreadable { path: path.into(), why: why.to_string() });
            return;
        }
        let placement =
            tensor.storage.map(|storage| Placement { storage, offset: tensor.offset, strides: tensor.strides.clone() });
        let container = self.real(container);
        if let Some(container) = self.out.containers.get_mut(container as usize) {
            container.tensors += 1;
        }
        self.out.tensors.push(TensorInfo {
            path,
            container,
            dtype: tensor.dtype,
            shape: tensor.shape.clone(),
            role: if role == Role::Unknown { tensor.role } else { role },
            placement,
        });
    }

    fn other(&mut self, path: Box<str>, value: Value) {
        if self.out.others.len() >= MOST_OTHERS {
            return;
        }
        let word = match (value, self.world.part(value)) {
            (_, Some(Part::Objects(what))) => what,
            (_, Some(Part::Element(_))) => "dtype",
            (_, Some(Part::Storage { .. })) => "storage",
            (Value::Global(_), _) if self.world.dtype(self.heap, value).is_some() => "dtype",
            _ => text::kind(value),
        };
        self.out.others.push((path.into(), word));
    }

    fn finish(mut self) {
        if !self.duplicates.is_empty() {
            let examples = std::mem::take(&mut self.duplicates);
            self.out.remarks.push(Remark {
                code: "CK004",
                error: false,
                message: "a dict sets the same key more than once; the last value counts, as in Python".into(),
                help: "find out which of them was meant, and save the checkpoint again".into(),
                examples,
            });
        }
        if let Some(why) = self.cut {
            self.out.remarks.push(Remark {
                code: "CK064",
                error: true,
                message: format!("not everything was listed: {why}"),
                help: "no checkpoint written by PyTorch looks like this; ask where the file comes from".into(),
                examples: Vec::new(),
            });
        }
        if self.odd_keys || self.out.containers.len() > 1 {
            self.merge_equal_paths();
        }
    }
}
