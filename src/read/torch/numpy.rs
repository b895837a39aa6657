//! NumPy arrays and dtypes as pickles of protocols 0 to 5 hold them.

use super::keys::StorageKey;
use super::tensors::{StoragePart, Tensor, shape};
use super::world::{Part, TorchWorld};
use crate::checkpoint::{Coding, Dtype};
use crate::read::pickle::{Heap, Value, text};

/// A NumPy dtype.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Element {
    /// Numbers, and whether they are stored in the other byte order.
    Number(Dtype, bool),
    /// Anything that no tensor can be: a word for it.
    Other(&'static str),
}

/// An array whose BUILD is yet to come.
pub(super) fn pending() -> Tensor {
    Tensor { pending: true, wrong: Some("an array without its data".into()), ..Tensor::default() }
}

/// The dtype of `numpy.dtype(spelling, …)`.
pub(super) fn element(world: &TorchWorld, heap: &Heap, given: Value) -> Element {
    let name = match given {
        Value::Str(span) | Value::Bytes(span) => heap.text(span).into_owned(),
        Value::Global(id) => heap.name_of(id).rsplit('.').next().unwrap_or_default().to_owned(),
        _ => match world.part(given) {
            Some(Part::Element(element)) => return element.clone(),
            _ => String::new(),
        },
    };
    spelled(&name)
}

fn spelled(name: &str) -> Element {
    let swapped = name.starts_with('>');
    let name = name.trim_start_matches(['<', '>', '=', '|']);
    let dtype = match name {
        "f2" => Dtype::F16,
        "f4" => Dtype::F32,
        "f8" => Dtype::F64,
        "c8" => Dtype::C64,
        "c16" => Dtype::C128,
        "b1" | "?" => Dtype::Bool,
        "i1" => Dtype::I8,
        "i2" => Dtype::I16,
        "i4" => Dtype::I32,
        "i8" => Dtype::I64,
        "u1" => Dtype::U8,
        "u2" => Dtype::U16,
        "u4" => Dtype::U32,
        "u8" => Dtype::U64,
        _ => {
            let size = name.get(1..).and_then(|n| n.parse().ok());
            return match (name.as_bytes().first(), size) {
                (Some(b'U'), Some(size)) => Element::Number(Dtype::Text(size), swapped),
                (Some(b'S' | b'a'), _) => Element::Other("numpy array of bytes"),
                (Some(b'O'), _) => Element::Other("numpy array of objects"),
                (Some(b'V'), _) => Element::Other("numpy array of records"),
                (Some(b'M' | b'm'), _) => Element::Other("numpy array of dates"),
                _ => Dtype::parse(name).map_or(Element::Other("numpy array"), |d| Element::Number(d, swapped)),
            };
        }
    };
    Element::Number(dtype, swapped)
}

/// What BUILD says of a dtype: `(version, byte order, …)`.
pub(super) fn with_state(element: Element, heap: &Heap, state: Value) -> Element {
    let order = heap.items_of_tuple(state).get(1).copied().unwrap_or(Value::None);
    let order = match order {
        Value::Str(span) | Value::Bytes(span) => heap.bytes(span),
        _ => b"",
    };
    match element {
        Element::Number(dtype, swapped) => Element::Number(dtype, swapped || order == b">"),
        other => other,
    }
}

/// An array from BUILD's state: `(version, shape, dtype, fortran, data)`.
///
/// # Errors
/// A word for it where it holds no numbers.
pub(super) fn array(world: &mut TorchWorld, heap: &Heap, state: Value) -> Result<Tensor, &'static str> {
    let items = heap.items_of_tuple(state);
    // Version 0 (before 2005) had no version field.
    let &[size, dtype, fortran, data] = (match items {
        [_, rest @ ..] if rest.len() >= 4 => &rest[..4],
        other => other,
    }) else {
        return Ok(Tensor::wrong(format!("an array's state of {} items", items.len())));
    };
    let element = match world.part(dtype) {
        Some(Part::Element(element)) => element.clone(),
        _ => return Ok(Tensor::wrong(format!("the dtype of the array is a {}", text::kind(dtype)))),
    };
    made(world, heap, element, size, fortran == Value::Bool(true) || fortran == Value::Int(1), data)
}

/// `_frombuffer(data, dtype, shape, order)`.
///
/// # Errors
/// A word for it where it holds no numbers.
pub(super) fn from_buffer(world: &mut TorchWorld, heap: &Heap, args: Value) -> Result<Tensor, &'static str> {
    let &[data, dtype, size, order, ..] = heap.items_of_tuple(args) else {
        return Ok(Tensor::wrong("_frombuffer without its four arguments"));
    };
    let element = match world.part(dtype) {
        Some(Part::Element(element)) => element.clone(),
        _ => return Ok(Tensor::wrong(format!("the dtype of the array is a {}", text::kind(dtype)))),
    };
    // A PickleBuffer in band is the object it was made of.
    let data = match data {
        Value::Object(id) => heap.object(id).and_then(|o| heap.items_of_tuple(o.args).first().copied()).unwrap_or(data),
        other => other,
    };
    let fortran = heap.str_bytes(order).is_some_and(|o| o == b"F");
    made(world, heap, element, size, fortran, data)
}

fn made(
    world: &mut TorchWorld,
    heap: &Heap,
    element: Element,
    size: Value,
    fortran: bool,
    data: Value,
) -> Result<Tensor, &'static str> {
    let (dtype, swapped) = match element {
        Element::Number(dtype, swapped) => (dtype, swapped),
        Element::Other(what) => return Err(what),
    };
    let shape = match shape(heap, size) {
        Ok(shape) => shape,
        Err(why) => return Ok(Tensor::wrong(why)),
    };
    let wanted = shape.numel().and_then(|n| n.checked_mul(u64::from(dtype.bits()))).map(|bits| bits / 8);
    let (start, held) = match data {
        Value::Bytes(span) | Value::Str(span) => (heap.place(span), Some(span.len() as u64)),
        Value::Far(id) => match heap.far(id) {
            Some(far) if !far.text => (Some(far.at), Some(far.len)),
            _ => (None, None),
        },
        other => return Ok(Tensor::wrong(format!("the data of the array is a {}", text::kind(other)))),
    };
    if held.is_some_and(|held| Some(held) != wanted) {
        let (held, wanted) = (held.unwrap_or(0), wanted.map_or("more than 64 bits count".into(), |w| w.to_string()));
        return Ok(Tensor::wrong(format!(
            "the array's data has {held} bytes; shape {shape} of {dtype} needs {wanted}"
        )));
    }
    let elements = shape.numel().unwrap_or(0);
    let mut storage = StoragePart::new(StorageKey::Text("".into()), Some(dtype), elements, wanted.unwrap_or(0));
    storage.found = true;
    storage.start = start.and_then(|at| heap.source().place_in_file(at));
    storage.coding = if swapped { Coding::Swapped } else { Coding::Plain };
    let strides = if fortran && shape.rank() > 1 { Some(column_major(shape.dims())) } else { None };
    let storage = Some(world.add_storage(storage));
    Ok(Tensor { dtype: Some(dtype), shape: Some(shape), storage, strides, ..Tensor::default() })
}

fn column_major(dims: &[u64]) -> Box<[i64]> {
    let mut step = 1u64;
    let step_of = |&size: &u64| {
        let now = step as i64;
        step = step.saturating_mul(size.max(1));
        now
    };
    dims.iter().map(step_of).collect()
}
