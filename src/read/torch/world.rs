//! What PyTorch's and NumPy's calls in a pickle make: tensors, storages, dtypes. Names and arguments are looked at; nothing runs.

use std::collections::HashMap;

use super::keys::{KeyMap, StorageKey};
use super::numpy::{self, Element};
use super::roles::{Call, DTYPE, FUTURE, STORAGE, UNTYPED, call_of, dtype_of, from, number_of, storage_class};
use super::tensors::{self, StoragePart, Tensor};
use crate::checkpoint::{Coding, Dtype, Role};
use crate::read::pickle::{Far, Heap, Source, Value, World, text};

/// Which container a pickle lies in: they differ in what persistent ids say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Era {
    /// A zip member; storages are records.
    Zip,
    /// The legacy stream; storages follow the pickles.
    Legacy,
    /// The tar of PyTorch before 0.1.10; ids name tensors.
    Tar,
    /// A pickle by itself.
    Bare,
}

/// Something that is neither plain value nor opaque object.
#[derive(Clone, Debug)]
pub(super) enum Part {
    /// Index into [`TorchWorld::tensors`].
    Tensor(u32),
    /// A storage or a view of one, in elements of its dtype.
    Storage { id: u32, offset: u64, elements: u64 },
    /// A NumPy dtype.
    Element(Element),
    /// A NumPy array of something else than numbers or text.
    Objects(&'static str),
    /// What cannot be what it claims to be.
    Broken(Box<str>),
}

/// See [`World`].
#[derive(Debug)]
pub(super) struct TorchWorld {
    pub era: Era,
    pub parts: Vec<Part>,
    pub tensors: Vec<Tensor>,
    pub storages: Vec<StoragePart>,
    /// Tensors by their number (tar era).
    pub numbered_tensors: HashMap<i64, u32>,
    /// Reads pickles within the pickle.
    pub nested: Vec<Inner>,
    pub depth: u32,
    pub by_key: KeyMap,
    read_before: HashMap<u64, u32>,
    open: fn(&Source, u32) -> Inner,
}

/// What a nested pickle was found to hold.
#[derive(Clone, Debug, Default)]
pub(super) struct Inner {
    /// Every global with whether it was called, its oddity, and its place.
    pub globals: Vec<(crate::read::pickle::Global, String)>,
    /// Why it broke off.
    pub broken: Option<String>,
    /// Where Python's readers part ways.
    pub torn: Option<String>,
    /// The storage that it is: dtype, elements, first byte in the file, how it stands there.
    pub storage: Option<(Option<Dtype>, u64, Option<u64>, Coding)>,
}

/// Pickles within pickles deeper than this are not read, and said so.
pub(super) const DEEPEST: u32 = 8;

impl TorchWorld {
    pub(super) fn new(era: Era, depth: u32, open: fn(&Source, u32) -> Inner) -> Self {
        TorchWorld {
            era,
            parts: Vec::new(),
            tensors: Vec::new(),
            storages: Vec::new(),
            numbered_tensors: HashMap::new(),
            nested: Vec::new(),
            depth,
            by_key: KeyMap::default(),
            read_before: HashMap::new(),
            open,
        }
    }

    /// The part behind a value.
    pub(super) fn part(&self, value: Value) -> Option<&Part> {
        match value {
            Value::Foreign(id) => self.parts.get(id as usize),
            _ => None,
        }
    }

    /// The tensor behind a value.
    pub(super) fn tensor(&self, value: Value) -> Option<&Tensor> {
        match self.part(value) {
            Some(&Part::Tensor(id)) => self.tensors.get(id as usize),
            _ => None,
        }
    }

    pub(super) fn add(&mut self, part: Part) -> Value {
        self.parts.push(part);
        Value::Foreign(self.parts.len() as u32 - 1)
    }

    fn broken(&mut self, why: impl Into<Box<str>>) -> Value {
        self.add(Part::Broken(why.into()))
    }

    pub(super) fn add_tensor(&mut self, tensor: Tensor) -> Value {
        self.tensors.push(tensor);
        self.add(Part::Tensor(self.tensors.len() as u32 - 1))
    }

    pub(super) fn add_storage(&mut self, storage: StoragePart) -> u32 {
        self.storages.push(storage);
        self.storages.len() as u32 - 1
    }

    /// The dtype that a dtype object (`torch.float32`) or a storage class stands for.
    pub(super) fn dtype(&self, heap: &Heap, value: Value) -> Option<Dtype> {
        let role = heap.role_of(value);
        match role & 0xf000 {
            DTYPE | STORAGE if role & 0xff != UNTYPED => dtype_of(role),
            _ => match self.part(value) {
                Some(Part::Element(Element::Number(dtype, _))) => Some(*dtype),
                _ => None,
            },
        }
    }

    /// Looks a storage up by its key, or notes it: `(class, key, elements)`.
    fn storage(&mut self, heap: &Heap, class: Value, key: Value, elements: Value) -> Result<(u32, u64), String> {
        let role = heap.role_of(class);
        if role & 0xf000 != STORAGE {
            let class = match class {
                Value::Global(id) => heap.name_of(id).to_owned(),
                other => text::kind(other).to_owned(),
            };
            return Err(format!("{class} is no storage class that ckdiff knows"));
        }
        let dtype = if role & 0xff == UNTYPED { None } else { dtype_of(role) };
        let elements = match elements {
            Value::Int(n) => u64::try_from(n).map_err(|_| format!("a storage of {n} elements"))?,
            other => return Err(format!("the size of the storage is a {}", text::kind(other))),
        };
        if !matches!(key, Value::Int(_) | Value::Str(_) | Value::Bytes(_)) {
            return Err(format!("the key of the storage is a {}", text::kind(key)));
        }
        let key = StorageKey::of_value(heap, key);
        if let Some(id) = self.by_key.get(&key) {
            return Ok((id, elements));
        }
        let bits = u64::from(dtype.map_or(8, Dtype::bits));
        let bytes = elements.checked_mul(bits).map(|b| b.div_ceil(8));
        let bytes = bytes.filter(|&b| b <= i64::MAX as u64);
        let bytes = bytes.ok_or_else(|| format!("a storage of {elements} elements, more than any file holds"))?;
        let id = self.storages.len() as u32;
        self.by_key.insert(key.clone(), id);
        self.storages.push(StoragePart::new(key, dtype, elements, bytes));
        Ok((id, elements))
    }

    fn persistent_storage(&mut self, heap: &Heap, id: Value) -> Result<Part, String> {
        let Value::Tuple(span) = id else {
            return Err(format!("a persistent id that is a {}, not a tuple", text::kind(id)));
        };
        let items = heap.tuple(span);
        let word = items.first().copied().unwrap_or(Value::None);
        let word = match word {
            Value::Str(span) | Value::Bytes(span) => heap.text(span),
            other => text::kind(other).into(),
        };
        if word != "storage" {
            let shown: String = word.chars().take(40).collect();
            return Err(format!("a persistent id of kind `{shown}`, where a storage belongs"));
        }
        let &[_, class, key, _, elements, ref rest @ ..] = items else {
            return Err(format!("a persistent id of {} items, where 5 belong", items.len()));
        };
        let (id, elements) = self.storage(heap, class, key, elements)?;
        let view = rest.first().copied().unwrap_or(Value::None);
        match (self.era, heap.items_of_tuple(view)) {
            // (key, offset, size) of a view into the storage (before 0.4).
            (Era::Legacy, &[_, Value::Int(offset), Value::Int(size)]) => {
                let (Ok(offset), Ok(size)) = (u64::try_from(offset), u64::try_from(size)) else {
                    return Err(format!("a view of {size} elements from {offset} on"));
                };
                if offset.checked_add(size).is_none_or(|end| end > elements) {
                    return Err(format!("a view of {size} elements from {offset} on, in a storage of {elements}"));
                }
                Ok(Part::Storage { id, offset, elements: size })
            }
            (Era::Legacy, &[_, ..]) => Err("a broken view of a storage".into()),
            _ => Ok(Part::Storage { id, offset: 0, elements }),
        }
    }

    /// A pickle within the pickle: remembered, read once.
    fn nest(&mut self, heap: &mut Heap, given: Value, torch: bool) -> Option<Value> {
        let given = match given {
            // io.BytesIO(data)
            Value::Object(id) => {
                heap.object(id).and_then(|o| heap.items_of_tuple(o.args).first().copied()).unwrap_or(given)
            }
            other => other,
        };
        let Some(key) = heap.payload_id(given) else {
            // Bytes that a call makes are known to whoever makes the call.
            if self.nested.last().is_none_or(|last| last.broken.is_none()) {
                let broken = Some("its bytes come from a call, and are not in the file".into());
                self.nested.push(Inner { broken, ..Inner::default() });
            }
            return None;
        };
        if let Some(&part) = self.read_before.get(&key) {
            return Some(Value::Foreign(part));
        }
        let source = match given {
            Value::Bytes(span) | Value::Str(span) => match heap.place(span) {
                Some(place) => heap.source().section(place, span.len() as u64),
                None => Source::memory(heap.bytes(span).to_vec()),
            },
            Value::Far(id) => match heap.far(id)? {
                Far { at, len, text: false } => heap.source().section(at, len),
                Far { .. } => {
                    self.nested.push(Inner { broken: Some("it is encoded as text".into()), ..Inner::default() });
                    return None;
                }
            },
            _ => return None,
        };
        let inner = if self.depth >= DEEPEST {
            Inner { broken: Some(format!("pickles within pickles, more than {DEEPEST} deep")), ..Inner::default() }
        } else {
            (self.open)(&source, self.depth + 1)
        };
        let value = match inner.storage.filter(|_| torch) {
            Some((dtype, elements, start, coding)) => {
                let bytes = elements.saturating_mul(u64::from(dtype.map_or(8, Dtype::bits))).div_ceil(8);
                let mut storage = StoragePart::new(StorageKey::Text("".into()), dtype, elements, bytes);
                storage.start = start;
                storage.coding = coding;
                storage.found = true;
                let id = self.add_storage(storage);
                self.add(Part::Storage { id, offset: 0, elements })
            }
            None => self.add(Part::Objects("nested pickle")),
        };
        if let Value::Foreign(part) = value {
            self.read_before.insert(key, part);
        }
        self.nested.push(inner);
        Some(value)
    }
}

impl World for TorchWorld {
    fn role(&self, name: &str) -> u16 {
        let call = call_of(name);
        if call != Call::Unknown {
            return call as u16;
        }
        if let Some(dtype) = storage_class(name) {
            return STORAGE | dtype.map_or(UNTYPED, number_of);
        }
        if let Some(dtype) = name.strip_prefix("torch.").filter(|n| !n.contains('.')).and_then(Dtype::parse) {
            return DTYPE | number_of(dtype);
        }
        if name.starts_with("torch._utils._rebuild_") {
            return FUTURE;
        }
        0
    }

    fn call(&mut self, heap: &mut Heap, callee: u32, args: Value, _: u64) -> Option<Value> {
        let role = heap.role_of(Value::Global(callee));
        if role == FUTURE {
            let why = format!("{} is not known to ckdiff", heap.name_of(callee));
            return Some(self.add_tensor(Tensor::wrong(why)));
        }
        let call = from(role);
        match call {
            Call::Unknown => None,
            Call::LoadBytes | Call::LoadPickle => {
                let given = heap.items_of_tuple(args).first().copied().unwrap_or(Value::None);
                self.nest(heap, given, call == Call::LoadBytes)
            }
            Call::FirstArgument => heap.items_of_tuple(args).first().copied(),
            Call::Reconstruct => Some(self.add_tensor(numpy::pending())),
            Call::Lazy => {
                Some(self.add_tensor(Tensor::wrong("it has no shape yet: its lazy module never saw an input")))
            }
            Call::NumpyDtype => {
                let given = heap.items_of_tuple(args).first().copied().unwrap_or(Value::None);
                let element = numpy::element(self, heap, given);
                Some(self.add(Part::Element(element)))
            }
            Call::FromBuffer => {
                let made = numpy::from_buffer(self, heap, args);
                Some(match made {
                    Ok(tensor) => self.add_tensor(tensor),
                    Err(what) => self.add(Part::Objects(what)),
                })
            }
            Call::Buffer | Call::Variable | Call::Parameter => {
                let given = heap.items_of_tuple(args).first().copied().unwrap_or(Value::None);
                let role = match call {
                    Call::Parameter => Role::Parameter,
                    Call::Buffer => Role::Buffer,
                    _ => Role::Unknown,
                };
                // `torch.Tensor` as a base class of something opaque is no tensor.
                if call == Call::Variable && self.tensor(given).is_none() {
                    return None;
                }
                let tensor = self.part_as_tensor(given).unwrap_or_else(|| {
                    Tensor::wrong(format!("rebuilt from a {}, where a tensor belongs", text::kind(given)))
                });
                Some(self.add_tensor(Tensor { role, ..tensor }))
            }
            _ => {
                let tensor = tensors::rebuild(self, heap, call, args).unwrap_or_else(Tensor::wrong);
                Some(self.add_tensor(tensor))
            }
        }
    }

    fn persistent(&mut self, heap: &mut Heap, id: Value, _: u64) -> Value {
        let items = heap.items_of_tuple(id);
        // ('module', class, file, source): a whole module with its source code, or the tar era's (class, file, source).
        let class = match (self.era, items) {
            (Era::Legacy | Era::Bare, &[word, class, ..]) if heap.str_bytes(word) == Some(b"module") => Some(class),
            (Era::Tar, &[class, ..]) => Some(class),
            _ => None,
        };
        if let Some(class) = class {
            return class;
        }
        if self.era == Era::Tar {
            let number = match id {
                Value::Int(n) => Some(n),
                Value::Str(span) => heap.text(span).trim().parse().ok(),
                _ => None,
            };
            return match number.and_then(|n| self.numbered_tensors.get(&n)) {
                Some(&tensor) => self.add(Part::Tensor(tensor)),
                None => self.broken("an id that no tensor or storage of the archive has"),
            };
        }
        match self.persistent_storage(heap, id) {
            Ok(part) => self.add(part),
            Err(why) => self.broken(why),
        }
    }

    fn build(&mut self, heap: &mut Heap, foreign: u32, state: Value) {
        match self.parts.get(foreign as usize) {
            Some(Part::Element(element)) => {
                let element = numpy::with_state(element.clone(), heap, state);
                self.parts[foreign as usize] = Part::Element(element);
            }
            Some(&Part::Tensor(id)) if self.tensors.get(id as usize).is_some_and(|t| t.pending) => {
                match numpy::array(self, heap, state) {
                    Ok(tensor) => self.tensors[id as usize] = tensor,
                    Err(what) => self.parts[foreign as usize] = Part::Objects(what),
                }
            }
            _ => {}
        }
    }
}
