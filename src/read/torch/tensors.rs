//! The functions of `torch._utils` that rebuild tensors: sizes, strides and storages, checked without touching a byte of data.

use super::keys::StorageKey;
use super::roles::{Call, tensor_call};
use super::world::{Part, TorchWorld};
use crate::checkpoint::{Coding, Dtype, Role, Shape};
use crate::read::pickle::{Heap, Value, text};

/// More dimensions than any framework handles (`at::DimVector` and its bit sets end at 64).
const MOST_DIMENSIONS: usize = 64;

/// A storage that a pickle names.
#[derive(Clone, Debug)]
pub(super) struct StoragePart {
    /// Its key: the record's name below `data/`, an address in legacy streams.
    pub key: StorageKey,
    /// The dtype of its class; `None` for untyped storages.
    pub dtype: Option<Dtype>,
    /// Elements as the pickle says.
    pub elements: u64,
    /// Bytes as the pickle says.
    pub bytes: u64,
    /// First byte in the file.
    pub start: Option<u64>,
    /// How the bytes stand there.
    pub coding: Coding,
    /// Whether the file was seen to hold it.
    pub found: bool,
    /// Why its bytes cannot be had.
    pub wrong: Option<Box<str>>,
}

impl StoragePart {
    pub(super) fn new(key: StorageKey, dtype: Option<Dtype>, elements: u64, bytes: u64) -> Self {
        StoragePart { key, dtype, elements, bytes, start: None, coding: Coding::Plain, found: false, wrong: None }
    }
}

/// A tensor as the pickle describes it.
#[derive(Clone, Debug, Default)]
pub(super) struct Tensor {
    pub dtype: Option<Dtype>,
    pub shape: Option<Shape>,
    /// Index into the world's storages.
    pub storage: Option<u32>,
    pub offset: u64,
    /// `None` where contiguous.
    pub strides: Option<Box<[i64]>>,
    pub role: Role,
    /// Whether its numbers are others than those of the storage.
    pub pretended: bool,
    /// An array whose BUILD is yet to come.
    pub pending: bool,
    /// Why it cannot be read.
    pub wrong: Option<Box<str>>,
}

impl Tensor {
    pub(super) fn wrong(why: impl Into<Box<str>>) -> Tensor {
        Tensor { wrong: Some(why.into()), ..Tensor::default() }
    }
}

impl TorchWorld {
    /// The tensor behind a value, the reason where it is a broken one; `None` where it is none.
    pub(super) fn part_as_tensor(&self, value: Value) -> Option<Tensor> {
        match self.part(value)? {
            Part::Tensor(id) => self.tensors.get(*id as usize).cloned(),
            Part::Broken(why) => Some(Tensor::wrong(why.clone())),
            _ => None,
        }
    }

    fn tensor_or(&self, value: Value, what: &str) -> Result<Tensor, String> {
        let tensor =
            self.part_as_tensor(value).ok_or_else(|| format!("{what} is a {}, not a tensor", text::kind(value)))?;
        match tensor.wrong {
            Some(why) => Err(format!("{what}: {why}")),
            None => Ok(tensor),
        }
    }
}

/// Sizes or strides, held where they cost no allocation.
#[derive(Clone, Copy)]
pub(super) struct Sizes {
    count: usize,
    sizes: [u64; MOST_DIMENSIONS],
}

impl Sizes {
    fn as_slice(&self) -> &[u64] {
        self.sizes.get(..self.count).unwrap_or_default()
    }
}

/// Sizes of dimensions: a tuple, list or `torch.Size` of ints that are not negative.
pub(super) fn sizes(heap: &Heap, value: Value, what: &str) -> Result<Sizes, String> {
    let size = |i: usize, item: Value| match item {
        Value::Int(n) => u64::try_from(n).map_err(|_| format!("{what}[{i}] is {n}")),
        Value::Long(_) | Value::Digits(_) => Err(format!("{what}[{i}] is a number beyond 64 bits")),
        other => Err(format!("{what}[{i}] is a {}", text::kind(other))),
    };
    let count = match value {
        Value::Tuple(span) => span.len(),
        Value::List(list) => heap.list_len(list),
        other => return Err(format!("the {what} is a {}", text::kind(other))),
    };
    if count > MOST_DIMENSIONS {
        return Err(format!("a {what} of {count} dimensions"));
    }
    let mut found = Sizes { count, sizes: [0; MOST_DIMENSIONS] };
    match value {
        Value::List(list) => {
            for (i, (slot, item)) in found.sizes.iter_mut().zip(heap.list(list)).enumerate() {
                *slot = size(i, item)?;
            }
        }
        _ => {
            for (i, (slot, &item)) in found.sizes.iter_mut().zip(heap.items_of_tuple(value)).enumerate() {
                *slot = size(i, item)?;
            }
        }
    }
    Ok(found)
}

/// The shape, where its elements can be counted in 64 bits.
pub(super) fn shape(heap: &Heap, value: Value) -> Result<Shape, String> {
    let shape = Shape(sizes(heap, value, "shape")?.as_slice().into());
    match shape.numel() {
        Some(n) if i64::try_from(n).is_ok() => Ok(shape),
        _ => Err(format!("the shape {shape} has more elements than 63 bits count")),
    }
}

/// Whether strides are those of a row-major tensor; dimensions of one element do not matter.
fn contiguous(shape: &Shape, strides: &[u64]) -> bool {
    let mut expected = 1u64;
    for (&size, &stride) in shape.dims().iter().zip(strides).rev() {
        if size == 0 {
            return true;
        }
        if size != 1 && stride != expected {
            return false;
        }
        expected = expected.saturating_mul(size);
    }
    true
}

/// A tensor over a storage: `(storage, offset, size, stride)`, of the storage's dtype or of `dtype`.
fn strided(world: &TorchWorld, heap: &Heap, given: [Value; 4], dtype: Option<Dtype>) -> Result<Tensor, String> {
    let [storage, offset, size, stride] = given;
    let (id, base, elements) = match world.part(storage) {
        Some(&Part::Storage { id, offset, elements }) => (id, offset, elements),
        Some(Part::Broken(why)) => return Err(why.to_string()),
        _ => return Err(format!("the storage is a {}", text::kind(storage))),
    };
    let part = world.storages.get(id as usize).ok_or("a storage that is not there")?;
    let typed = dtype.or(part.dtype).unwrap_or(Dtype::U8);
    let offset = match offset {
        Value::Int(n) => u64::try_from(n).map_err(|_| format!("the offset is {n}"))?,
        other => return Err(format!("the offset is a {}", text::kind(other))),
    };
    let shape = shape(heap, size)?;
    let strides = sizes(heap, stride, "stride")?;
    let tensor = checked(part, id, offset, shape, strides.as_slice(), typed, elements)?;
    let offset = tensor.offset.checked_add(base).ok_or("the offset is beyond 64 bits")?;
    Ok(Tensor { offset, ..tensor })
}

/// A tensor over `elements` elements of a storage, where it does not reach beyond them.
///
/// # Errors
/// How far it reaches, or what else is wrong with its strides.
pub(super) fn checked(
    storage: &StoragePart,
    id: u32,
    offset: u64,
    shape: Shape,
    strides: &[u64],
    dtype: Dtype,
    elements: u64,
) -> Result<Tensor, String> {
    if strides.len() != shape.rank() {
        return Err(format!("{} strides for {} dimensions", strides.len(), shape.rank()));
    }
    let bits = u64::from(dtype.bits());
    // Bytes of the storage that the tensor may look into; an untyped storage counts bytes, not elements.
    let held = elements.saturating_mul(u64::from(storage.dtype.map_or(8, Dtype::bits)));
    if shape.numel() != Some(0) && bits >= 8 {
        let last = shape.dims().iter().zip(strides).try_fold(offset, |sum, (&size, &stride)| {
            stride.checked_mul(size.saturating_sub(1)).and_then(|reach| sum.checked_add(reach))
        });
        let needed = last.and_then(|last| last.checked_add(1)).and_then(|n| n.checked_mul(bits));
        if needed.is_none_or(|needed| needed > held) {
            let reach = last.map_or("beyond 64 bits".into(), |last| format!("to element {last}"));
            return Err(format!("it reaches {reach} of a storage of {} elements", held / bits));
        }
    }
    let strides = if contiguous(&shape, strides) {
        None
    } else {
        let strides: Option<Box<[i64]>> = strides.iter().map(|&s| i64::try_from(s).ok()).collect();
        Some(strides.ok_or("a stride beyond 63 bits")?)
    };
    Ok(Tensor { dtype: Some(dtype), shape: Some(shape), storage: Some(id), offset, strides, ..Tensor::default() })
}

/// The first `N` arguments.
fn first<const N: usize>(heap: &Heap, args: Value, least: usize) -> Result<[Value; N], String> {
    let items = heap.items_of_tuple(args);
    if items.len() < least {
        return Err(format!("{} arguments, where {least} belong", items.len()));
    }
    Ok(std::array::from_fn(|i| items.get(i).copied().unwrap_or(Value::None)))
}

/// Calls the rebuild function `call`.
///
/// # Errors
/// Why the arguments describe no tensor.
pub(super) fn rebuild(world: &mut TorchWorld, heap: &Heap, call: Call, args: Value) -> Result<Tensor, String> {
    match call {
        Call::Quantized => strided(world, heap, first(heap, args, 4)?, None),
        Call::TensorV2 => {
            let tensor = strided(world, heap, first(heap, args, 4)?, None)?;
            Ok(Tensor { pretended: pretended(heap, args), ..tensor })
        }
        Call::TensorV3 => {
            let [storage, offset, size, stride, _, _, dtype] = first(heap, args, 7)?;
            let dtype = world.dtype(heap, dtype).ok_or_else(|| unknown_dtype(heap, dtype))?;
            strided(world, heap, [storage, offset, size, stride], Some(dtype))
        }
        Call::Meta => {
            let [dtype, size] = first(heap, args, 2)?;
            let dtype = world.dtype(heap, dtype).ok_or_else(|| unknown_dtype(heap, dtype))?;
            Ok(Tensor { dtype: Some(dtype), shape: Some(shape(heap, size)?), ..Tensor::default() })
        }
        Call::Wrapper => {
            let [_, dtype, size] = first(heap, args, 3)?;
            let dtype = world.dtype(heap, dtype).ok_or_else(|| unknown_dtype(heap, dtype))?;
            Ok(Tensor { dtype: Some(dtype), shape: Some(shape(heap, size)?), ..Tensor::default() })
        }
        Call::Sparse => sparse(world, heap, args),
        Call::NestedTensor => {
            let [buffer] = first(heap, args, 1)?;
            let buffer = world.tensor_or(buffer, "the buffer of a nested tensor")?;
            Ok(Tensor { dtype: buffer.dtype, ..Tensor::default() })
        }
        Call::Jagged => {
            let values = match first(heap, args, 1)? {
                [Value::Dict(named)] => heap.lookup(named, "values").unwrap_or(Value::None),
                [other] => other,
            };
            let values = world.tensor_or(values, "the values of a nested tensor")?;
            Ok(Tensor { dtype: values.dtype, ..Tensor::default() })
        }
        Call::FromType => from_type(world, heap, args),
        Call::FromArray => {
            let [array] = first(heap, args, 1)?;
            world.tensor_or(array, "the array")
        }
        _ => Err("no such rebuild function".into()),
    }
}

/// Whether the last argument says that PyTorch negates or conjugates the numbers whenever they are read, so that they are
/// not those of the storage (`torch._utils._rebuild_tensor_v2`, `metadata`).
fn pretended(heap: &Heap, args: Value) -> bool {
    let Some(&Value::Dict(metadata)) = heap.items_of_tuple(args).get(6) else { return false };
    ["conj", "neg"].iter().any(|bit| heap.lookup(metadata, bit) == Some(Value::Bool(true)))
}

fn unknown_dtype(heap: &Heap, value: Value) -> String {
    match value {
        Value::Global(id) => format!("{} is no dtype that ckdiff knows", heap.name_of(id)),
        other => format!("the dtype is a {}", text::kind(other)),
    }
}

/// `(layout, data)`: COO has indices, values, size; the compressed layouts two index tensors first.
fn sparse(world: &TorchWorld, heap: &Heap, args: Value) -> Result<Tensor, String> {
    let [layout, data] = first(heap, args, 2)?;
    let named = match layout {
        Value::Object(id) => {
            heap.object(id).map_or(Value::None, |o| *heap.items_of_tuple(o.args).first().unwrap_or(&Value::None))
        }
        other => other,
    };
    let named = match named {
        Value::Str(span) => heap.text(span).into_owned(),
        Value::Global(id) => heap.name_of(id).to_owned(),
        _ => String::new(),
    };
    let data = heap.items_of_tuple(data);
    let coo = named.ends_with("sparse_coo") || (named.is_empty() && data.len() < 4);
    let (values, size) = if coo { (1, 2) } else { (2, 3) };
    let (Some(&values), Some(&size)) = (data.get(values), data.get(size)) else {
        return Err(format!("a sparse tensor of {} parts", data.len()));
    };
    let values = world.tensor_or(values, "the values of a sparse tensor")?;
    Ok(Tensor { dtype: values.dtype, shape: Some(shape(heap, size)?), ..Tensor::default() })
}

/// `(function, class, arguments, state)`: a subclass of Tensor, or a tensor with attributes.
fn from_type(world: &mut TorchWorld, heap: &Heap, args: Value) -> Result<Tensor, String> {
    let [function, class, arguments] = first(heap, args, 3)?;
    let Value::Global(function) = function else {
        return Err(format!("its rebuild function is a {}", text::kind(function)));
    };
    let role = heap.role_of(Value::Global(function));
    let inner = tensor_call(role)
        .filter(|&call| call != Call::FromType)
        .ok_or_else(|| format!("{} is not known to ckdiff", heap.name_of(function)))?;
    let mut tensor = match inner {
        Call::Parameter => {
            let [data] = first(heap, arguments, 1)?;
            Tensor { role: Role::Parameter, ..world.tensor_or(data, "the data")? }
        }
        inner => rebuild(world, heap, inner, arguments)?,
    };
    let class = match class {
        Value::Global(id) => heap.name_of(id).rsplit('.').next().unwrap_or_default(),
        _ => "",
    };
    match class {
        "Parameter" => tensor.role = Role::Parameter,
        "Buffer" => tensor.role = Role::Buffer,
        _ => {}
    }
    Ok(tensor)
}
