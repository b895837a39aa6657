//! What a pickle builds, held in flat arenas: values are small and copied, containers are chains, nothing is nested in Rust.
//!
//! Shared and cyclic structures are the same number twice, so they cost nothing, and dropping never recurses.

use std::borrow::Cow;
use std::collections::HashMap;

use super::cursor::{Cursor, Span};
use super::source::Source;

/// The bit of a span's start that says: decoded text, not bytes of the input.
const SIDE: u32 = 1 << 31;
/// No link.
const END: u32 = u32::MAX;

/// One value of a pickle.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value {
    /// `None`.
    None,
    /// `True` or `False`.
    Bool(bool),
    /// An int of 64 bits.
    Int(i64),
    /// A larger int: little-endian two's complement.
    Long(Span),
    /// A larger int in decimal digits.
    Digits(Span),
    /// A float.
    Float(f64),
    /// Text (UTF-8 with surrogates passed through).
    Str(Span),
    /// Bytes or a bytearray.
    Bytes(Span),
    /// A payload that was left in the file: index into [`Heap::far`].
    Far(u32),
    /// A tuple: a run of the arena.
    Tuple(Span),
    /// A list.
    List(u32),
    /// A set or frozenset.
    Set(u32),
    /// A dict of whatever class.
    Dict(u32),
    /// A function or class that the pickle named.
    Global(u32),
    /// What a call returned that this reader does not make.
    Object(u32),
    /// Something that the [`World`](super::World) made.
    Foreign(u32),
}

/// A payload that stays in the source.
#[derive(Clone, Copy, Debug)]
pub struct Far {
    /// First byte, in the source.
    pub at: u64,
    /// Size in bytes as it stands there.
    pub len: u64,
    /// Text that encodes the bytes (protocols 0 to 2), so that neither size nor place of the bytes is known.
    pub text: bool,
}

#[derive(Clone, Copy, Debug)]
struct Chain {
    head: u32,
    tail: u32,
    len: u32,
}

const EMPTY: Chain = Chain { head: END, tail: END, len: 0 };

/// What was called, with what, and what BUILD gave it.
#[derive(Clone, Copy, Debug)]
pub struct Object {
    /// The callable: mostly a global.
    pub callee: Value,
    /// The tuple of arguments.
    pub args: Value,
    /// What BUILD handed to it; `None` where there was no BUILD.
    pub state: Value,
    /// Its items, where it is a subclass of list or dict.
    pub items: Value,
}

/// A function or class by name.
#[derive(Clone, Debug)]
pub struct Global {
    /// `module.qualified.name`, escaped where it is not UTF-8.
    pub name: Box<str>,
    /// How many bytes of the name are the module's.
    pub module: usize,
    /// A number the world gave it.
    pub role: u16,
    /// Whether it was called.
    pub called: bool,
    /// Where it was asked for first.
    pub at: u64,
    /// Whether getattr (or the like) made it from another global.
    pub derived: bool,
    /// Whether it was called with something other than what benign files hand to it.
    pub odd: bool,
    /// Whether it was called with a bound method, which it may call.
    pub handed: bool,
}

/// All arenas of one pickle.
#[derive(Debug)]
pub struct Heap {
    pub(super) cursor: Cursor,
    side: Vec<u8>,
    tuples: Vec<Value>,
    lists: Vec<Chain>,
    links: Vec<(Value, u32)>,
    dicts: Vec<Chain>,
    pairs: Vec<(Value, Value, u32)>,
    objects: Vec<Object>,
    far: Vec<Far>,
    /// Every global asked for, in order.
    pub globals: Vec<Global>,
    by_name: HashMap<Box<str>, u32>,
    by_span: HashMap<(Span, Span), u32>,
    /// Bytes that names of globals take.
    names: usize,
    /// Items and bytes that calls copied.
    pub(super) copied: usize,
    /// What BUILD gave to dicts (`_metadata` of a state_dict).
    pub dict_states: HashMap<u32, Value>,
}

impl Heap {
    pub(super) fn new(cursor: Cursor) -> Self {
        Heap {
            cursor,
            side: Vec::new(),
            tuples: Vec::new(),
            lists: Vec::new(),
            links: Vec::new(),
            dicts: Vec::new(),
            pairs: Vec::new(),
            objects: Vec::new(),
            far: Vec::new(),
            globals: Vec::new(),
            by_name: HashMap::new(),
            by_span: HashMap::new(),
            names: 0,
            copied: 0,
            dict_states: HashMap::new(),
        }
    }

    /// Bytes that the arenas hold.
    pub(super) fn size(&self) -> usize {
        self.side.len()
            + 16 * self.tuples.len()
            + 12 * (self.lists.len() + self.dicts.len())
            + 24 * self.links.len()
            + 40 * self.pairs.len()
            + 64 * self.objects.len()
            + 48 * (self.dict_states.len() + self.by_span.len())
            + self.names
    }

    /// How many containers and objects there are: what a walk visits at most once each.
    pub fn nodes(&self) -> usize {
        self.lists.len() + self.dicts.len() + self.objects.len() + self.pairs.len() + self.links.len()
    }

    /// Where the pickle's bytes come from.
    pub fn source(&self) -> &Source {
        self.cursor.source()
    }

    /// The bytes of a span.
    pub fn bytes(&self, span: Span) -> &[u8] {
        if span.start & SIDE == 0 {
            return self.cursor.get(span);
        }
        let start = (span.start & !SIDE) as usize;
        self.side.get(start..start.saturating_add(span.len())).unwrap_or_default()
    }

    /// Where in the source the bytes of a span stand as they are; `None` for decoded text.
    pub fn place(&self, span: Span) -> Option<u64> {
        (span.start & SIDE == 0).then(|| self.cursor.position_of(span))
    }

    /// Keeps decoded bytes.
    pub(super) fn keep(&mut self, bytes: &[u8]) -> Span {
        // Decoding never makes text longer than twice its source, which is held below 1 GiB; beyond that nothing is kept.
        if self.side.len().saturating_add(bytes.len()) >= SIDE as usize {
            return Span::default();
        }
        let start = self.side.len() as u32 | SIDE;
        self.side.extend_from_slice(bytes);
        Span { start, len: bytes.len() as u32 }
    }

    /// Text of a span; what is not UTF-8 is written as Python escapes it (`\udc80`, `\xff`).
    pub fn text(&self, span: Span) -> Cow<'_, str> {
        super::text::readable(self.bytes(span))
    }

    /// The bytes of a value that is text; `None` for other values.
    pub fn str_bytes(&self, value: Value) -> Option<&[u8]> {
        match value {
            Value::Str(span) => Some(self.bytes(span)),
            _ => None,
        }
    }

    /// Payloads left in the source.
    pub fn far(&self, index: u32) -> Option<Far> {
        self.far.get(index as usize).copied()
    }

    pub(super) fn add_far(&mut self, far: Far) -> Value {
        self.far.push(far);
        Value::Far(self.far.len() as u32 - 1)
    }

    /// A number that no other payload of this pickle has.
    pub fn payload_id(&self, value: Value) -> Option<u64> {
        match value {
            // An empty payload may start where the next one does.
            Value::Str(span) | Value::Bytes(span) => Some(u64::from(span.start) << 32 | u64::from(span.len)),
            Value::Far(far) => Some(u64::from(u32::MAX) << 32 | u64::from(far)),
            _ => None,
        }
    }

    /// Where a tuple starts in its arena: two tuples with equal start and length are one.
    pub fn tuple_start(&self, span: Span) -> u32 {
        span.start
    }

    /// The items of a tuple.
    pub fn tuple(&self, span: Span) -> &[Value] {
        let start = span.start as usize;
        self.tuples.get(start..start.saturating_add(span.len())).unwrap_or_default()
    }

    /// The items of a value that is a tuple; empty for other values.
    pub fn items_of_tuple(&self, value: Value) -> &[Value] {
        match value {
            Value::Tuple(span) => self.tuple(span),
            _ => &[],
        }
    }

    pub(super) fn add_tuple(&mut self, items: &[Value]) -> Value {
        let start = self.tuples.len() as u32;
        self.tuples.extend_from_slice(items);
        Value::Tuple(Span { start, len: items.len() as u32 })
    }

    pub(super) fn add_list(&mut self) -> u32 {
        self.lists.push(EMPTY);
        self.lists.len() as u32 - 1
    }

    pub(super) fn push(&mut self, list: u32, value: Value) {
        let new = self.links.len() as u32;
        let Some(chain) = self.lists.get_mut(list as usize) else { return };
        let tail = std::mem::replace(&mut chain.tail, new);
        chain.len += 1;
        if tail == END {
            chain.head = new;
        } else if let Some(link) = self.links.get_mut(tail as usize) {
            link.1 = new;
        }
        self.links.push((value, END));
    }

    pub(super) fn add_dict(&mut self) -> u32 {
        self.dicts.push(EMPTY);
        self.dicts.len() as u32 - 1
    }

    pub(super) fn set(&mut self, dict: u32, key: Value, value: Value) {
        let new = self.pairs.len() as u32;
        let Some(chain) = self.dicts.get_mut(dict as usize) else { return };
        let tail = std::mem::replace(&mut chain.tail, new);
        chain.len += 1;
        if tail == END {
            chain.head = new;
        } else if let Some(pair) = self.pairs.get_mut(tail as usize) {
            pair.2 = new;
        }
        self.pairs.push((key, value, END));
    }

    /// The items of a list or set, in order.
    pub fn list(&self, list: u32) -> impl Iterator<Item = Value> + '_ {
        let mut next = self.lists.get(list as usize).map_or(END, |c| c.head);
        std::iter::from_fn(move || {
            let &(value, after) = self.links.get(next as usize)?;
            next = after;
            Some(value)
        })
    }

    /// The first link of a list or set, for [`link`](Heap::link).
    pub fn list_head(&self, list: u32) -> u32 {
        self.lists.get(list as usize).map_or(END, |c| c.head)
    }

    /// The item of a link, and the link behind it.
    pub fn link(&self, link: u32) -> Option<(Value, u32)> {
        self.links.get(link as usize).copied()
    }

    /// How many items a list or set has.
    pub fn list_len(&self, list: u32) -> usize {
        self.lists.get(list as usize).map_or(0, |c| c.len as usize)
    }

    /// The pairs of a dict in the order of the stream; a key that was set twice occurs twice.
    pub fn dict(&self, dict: u32) -> impl Iterator<Item = (Value, Value)> + '_ {
        let mut next = self.dicts.get(dict as usize).map_or(END, |c| c.head);
        std::iter::from_fn(move || {
            let &(key, value, after) = self.pairs.get(next as usize)?;
            next = after;
            Some((key, value))
        })
    }

    /// How many pairs were set.
    pub fn dict_len(&self, dict: u32) -> usize {
        self.dicts.get(dict as usize).map_or(0, |c| c.len as usize)
    }

    /// What a dict holds under a text key; the last one set counts.
    pub fn lookup(&self, dict: u32, key: &str) -> Option<Value> {
        self.dict(dict).filter(|&(k, _)| self.str_bytes(k) == Some(key.as_bytes())).map(|(_, v)| v).last()
    }

    /// The items of a tuple, list or set.
    pub fn sequence(&self, value: Value) -> Vec<Value> {
        match value {
            Value::Tuple(span) => self.tuple(span).to_vec(),
            Value::List(id) | Value::Set(id) => self.list(id).collect(),
            _ => Vec::new(),
        }
    }

    pub(super) fn add_object(&mut self, callee: Value, args: Value) -> u32 {
        self.objects.push(Object { callee, args, state: Value::None, items: Value::None });
        self.objects.len() as u32 - 1
    }

    /// An object.
    pub fn object(&self, id: u32) -> Option<&Object> {
        self.objects.get(id as usize)
    }

    pub(super) fn object_mut(&mut self, id: u32) -> Option<&mut Object> {
        self.objects.get_mut(id as usize)
    }

    /// The name of the global that made an object; empty where no global did.
    pub fn class_of(&self, object: &Object) -> &str {
        match object.callee {
            Value::Global(id) => self.name_of(id),
            _ => "",
        }
    }

    /// The full name of a global.
    pub fn name_of(&self, global: u32) -> &str {
        self.globals.get(global as usize).map_or("", |g| &g.name)
    }

    /// The role of the global behind a value; 0 where it is none.
    pub fn role_of(&self, value: Value) -> u16 {
        match value {
            Value::Global(id) => self.globals.get(id as usize).map_or(0, |g| g.role),
            _ => 0,
        }
    }

    pub(super) fn known_span(&self, module: Span, name: Span) -> Option<u32> {
        self.by_span.get(&(module, name)).copied()
    }

    pub(super) fn remember_span(&mut self, module: Span, name: Span, id: u32) {
        self.by_span.insert((module, name), id);
    }

    /// The number of the global `module.name`; `role` is asked where it is new.
    pub(super) fn global(&mut self, module: &str, name: &str, at: u64, role: impl Fn(&str) -> u16) -> u32 {
        let full = match (module, name) {
            ("", only) | (only, "") => only.to_owned(),
            _ => format!("{module}.{name}"),
        };
        if let Some(&id) = self.by_name.get(full.as_str()) {
            return id;
        }
        let id = self.globals.len() as u32;
        let role = role(&full);
        self.names += 2 * full.len() + 200;
        let name: Box<str> = full.into();
        self.by_name.insert(name.clone(), id);
        self.globals.push(Global {
            name,
            module: module.len(),
            role,
            called: false,
            at,
            derived: false,
            odd: false,
            handed: false,
        });
        id
    }
}
