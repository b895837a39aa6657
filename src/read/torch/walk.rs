//! From what a pickle built to the tensors of a [`Checkpoint`]: names, containers, roles.
//!
//! The walk is a loop. A container that occurs in several places is listed in each of them, as Python would find it, within a
//! budget that keeps a few bytes from becoming billions of names.

mod names;
mod objects;
mod versions;

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use super::script::Classes;
use super::tensors::Tensor;
use super::world::{Part, TorchWorld};
use crate::checkpoint::{Checkpoint, Container, Placement, Remark, Role, TensorInfo, Unreadable};
use crate::read::pickle::{Heap, Span, Value, text};

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

/// Why a tensor whose key has a lone surrogate is not listed.
const NO_TEXT: &str = "its key is no valid Unicode text";

/// A dict, list or object by number.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Node {
    Dict(u32),
    List(u32),
    Tuple(u32, u32),
    Object(u32),
}

/// What is left to do, the last one first. Children are taken one by one, so that a wide container costs no more than a deep one.
enum Work {
    /// One value, by name.
    Visit { value: Value, path: Box<str>, container: usize, depth: u32, in_module: bool },
    /// The rest of a dict's pairs; of a module's children where `modules`.
    Pairs { pairs: std::vec::IntoIter<(Value, Value)>, prefix: Box<str>, container: usize, depth: u32, modules: bool },
    /// The rest of a list or tuple.
    Items { items: Items, index: usize, prefix: Box<str>, container: usize, depth: u32 },
    /// The end of a container.
    Leave { node: Node, tensors: usize, pending: usize },
}

/// A list or tuple, and how far it was taken.
#[derive(Clone, Copy)]
enum Items {
    List(u32),
    Tuple(Span),
}

/// A container that is made only when a tensor is found below it.
struct Pending {
    name: Box<str>,
    parent: Option<usize>,
    real: Option<u32>,
    version: Option<u32>,
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
    /// Keys of tensors that are no Unicode text.
    surrogates: Vec<String>,
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
        pending: vec![Pending { name: "".into(), parent: None, real: Some(0), version: None }],
        work: Vec::new(),
        on_path: HashSet::new(),
        seen: HashMap::new(),
        revisits,
        names,
        found: 0,
        odd_keys: false,
        duplicates: Vec::new(),
        surrogates: Vec::new(),
        cut: None,
    };
    walk.work.push(Work::Visit { value: root, path: "".into(), container: 0, depth: 0, in_module: false });
    while let Some(work) = walk.work.pop() {
        walk.step(work);
    }
    walk.finish();
}

impl<'a> Walk<'a> {
    fn step(&mut self, work: Work) {
        match work {
            Work::Visit { value, path, container, depth, in_module } => {
                self.visit(value, path, container, depth, in_module)
            }
            Work::Leave { node, tensors, pending } => {
                self.on_path.remove(&node);
                self.pending.truncate(pending);
                let holds = self.found > tensors;
                self.seen.entry(node).and_modify(|before| *before |= holds).or_insert(holds);
            }
            Work::Pairs { mut pairs, prefix, container, depth, modules } => {
                let Some((key, value)) = pairs.next() else { return };
                let at = self.work.len();
                self.pair(key, value, &prefix, container, depth, modules);
                // What it led to comes first.
                self.work.insert(at, Work::Pairs { pairs, prefix, container, depth, modules });
            }
            Work::Items { items, index, prefix, container, depth } => {
                let (item, rest) = match items {
                    Items::List(link) => match self.heap.link(link) {
                        Some((item, next)) => (item, Items::List(next)),
                        None => return,
                    },
                    Items::Tuple(span) => match self.heap.tuple(span).get(index) {
                        Some(&item) => (item, items),
                        None => return,
                    },
                };
                let at = self.work.len();
                if self.leads_on(item) {
                    self.put(item, &prefix, &index.to_string(), container, depth);
                }
                self.work.insert(at, Work::Items { items: rest, index: index + 1, prefix, container, depth });
            }
        }
    }

    /// Whether a value is a tensor, or may hold some.
    fn leads_on(&self, value: Value) -> bool {
        match value {
            Value::Dict(id) => self.heap.dict_len(id) > 0,
            Value::List(id) | Value::Set(id) => self.heap.list_len(id) > 0,
            Value::Tuple(span) => !span.is_empty(),
            Value::Object(_) | Value::Foreign(_) => true,
            _ => false,
        }
    }

    fn visit(&mut self, value: Value, path: Box<str>, container: usize, depth: u32, in_module: bool) {
        if let Some(tensor) = self.tensor(value) {
            self.emit(tensor, path, container, Role::Unknown);
            return;
        }
        let (node, size) = match value {
            Value::Dict(id) => (Node::Dict(id), self.heap.dict_len(id)),
            Value::List(id) | Value::Set(id) => (Node::List(id), self.heap.list_len(id)),
            Value::Tuple(span) => (Node::Tuple(self.heap.tuple_start(span), span.len() as u32), span.len()),
            Value::Object(id) => (Node::Object(id), 8),
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
            Some(true) => match self.revisits.checked_sub(size + 1) {
                Some(left) => self.revisits = left,
                None => {
                    self.cut = Some("the same containers are nested in each other again and again");
                    return;
                }
            },
            None => {}
        }
        self.on_path.insert(node);
        self.work.push(Work::Leave { node, tensors: self.found, pending: self.pending.len() });
        let before = self.work.len();
        match value {
            Value::Dict(id) => {
                let container = if depth == 0 { container } else { self.child(&path, container) };
                let version = versions::highest(self.heap, id);
                if let Some(pending) = self.pending.get_mut(container) {
                    pending.version = version;
                }
                if depth == 0
                    && let Some(top) = self.out.containers.first_mut()
                {
                    top.version = version;
                }
                self.dict(id, path, container, depth);
            }
            Value::Object(id) => self.object(id, &path, container, depth, in_module),
            _ => self.sequence(value, path, container, depth),
        }
        // Parts were put down first to last; the loop takes the last one first.
        if let Some(parts) = self.work.get_mut(before..) {
            parts.reverse();
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
        self.pending.push(Pending { name: path.into(), parent: Some(parent), real: None, version: None });
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
                let (name, version) = (pending.name.clone(), pending.version);
                self.out.containers.push(Container { name, parent: Some(real), tensors: 0, version });
            }
            real = number;
        }
        real
    }

    fn put(&mut self, value: Value, prefix: &str, key: &str, container: usize, depth: u32) {
        if self.leads_on(value) {
            let Some(path) = self.join(prefix, key) else { return };
            self.work.push(Work::Visit { value, path, container, depth: depth + 1, in_module: false });
        } else if self.out.others.len() < MOST_OTHERS
            && let Some(path) = self.join(prefix, key)
        {
            self.other(path, value);
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

    fn dict(&mut self, dict: u32, prefix: Box<str>, container: usize, depth: u32) {
        let pairs = self.pairs(dict, &prefix).into_iter();
        self.work.push(Work::Pairs { pairs, prefix, container, depth, modules: false });
    }

    fn pair(&mut self, key: Value, value: Value, prefix: &str, container: usize, depth: u32, modules: bool) {
        let heap = self.heap;
        let name = text::key_text(heap, key);
        if modules {
            if let Some(path) = self.join(prefix, &name) {
                self.work.push(Work::Visit { value, path, container, depth: depth + 1, in_module: true });
            }
            return;
        }
        // A lone surrogate is text in Python and nowhere else: no JSON and no safetensors file can carry it.
        if let (Value::Str(span), Some(_)) = (key, self.tensor(value))
            && std::str::from_utf8(heap.bytes(span)).is_err()
        {
            let path: String = self.join(prefix, &name).unwrap_or_default().into();
            if self.surrogates.len() < MOST_EXAMPLES {
                self.surrogates.push(path.clone());
            }
            self.out.unreadable.push(Unreadable { path, why: NO_TEXT.into() });
            return;
        }
        self.put(value, prefix, &name, container, depth);
    }

    fn sequence(&mut self, value: Value, prefix: Box<str>, container: usize, depth: u32) {
        let (items, plain) = match value {
            Value::List(id) | Value::Set(id) => {
                (Items::List(self.heap.list_head(id)), !self.heap.list(id).any(|item| self.leads_on(item)))
            }
            Value::Tuple(span) => (Items::Tuple(span), !self.heap.tuple(span).iter().any(|&item| self.leads_on(item))),
            _ => return,
        };
        if plain {
            // Numbers and words: one entry for all of them.
            return self.other(prefix, value);
        }
        self.work.push(Work::Items { items, index: 0, prefix, container, depth });
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
        let storage = tensor.storage.filter(|_| !tensor.pretended);
        let placement =
            storage.map(|storage| Placement { storage, offset: tensor.offset, strides: tensor.strides.clone() });
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

    /// What could not be read, as a remark.
    fn unreadable(&mut self) {
        if !self.surrogates.is_empty() {
            self.out.remarks.push(Remark {
                code: "CK068",
                error: false,
                message: "keys of tensors have lone surrogates: text in Python, and nowhere else".into(),
                help: "rename them before the checkpoint is converted".into(),
                examples: std::mem::take(&mut self.surrogates),
            });
        }
        let broken = self.out.unreadable.iter().filter(|u| u.why != NO_TEXT);
        let Some(first) = broken.clone().next() else { return };
        let count = broken.clone().count();
        let name = if first.path.is_empty() { "the tensor".into() } else { format!("`{}`", first.path) };
        let more = if count > 1 { format!(", and {} more", count - 1) } else { String::new() };
        let remark = Remark {
            code: "CK008",
            error: true,
            message: format!("{name} cannot be read: {}{more}", first.why),
            help: "torch.load fails on it; download the checkpoint again, or save it again".into(),
            examples: broken.take(MOST_EXAMPLES).map(|u| u.path.clone()).collect(),
        };
        self.out.remarks.push(remark);
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
        self.unreadable();
        if self.odd_keys || self.out.containers.len() > 1 {
            self.merge_equal_paths();
        }
    }
}
