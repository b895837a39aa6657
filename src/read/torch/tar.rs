//! The tar container of `torch.save` before 0.1.10: members `sys_info`, `pickle`, `tensors` and `storages`.

use std::collections::HashMap;

use super::keys::StorageKey;
use super::loaded::{Loaded, Run, remark, run};
use super::tensors::{StoragePart, Tensor};
use super::world::Era;
use crate::checkpoint::{Dtype, Format, Shape};
use crate::read::pickle::{Heap, Source, Value};

/// Members that are looked at.
const MOST_MEMBERS: usize = 100_000;
/// Dimensions of a tensor, at most.
const MOST_DIMENSIONS: u32 = 64;

/// Takes a tar archive apart; `None` where it is no checkpoint.
pub(super) fn open(source: &Source, depth: u32) -> Option<Loaded> {
    let members = members(source);
    let find = |name: &str| members.iter().find(|(n, _)| n.trim_start_matches("./") == name).map(|(_, s)| s.clone());
    let (Some(storages), Some(tensors), Some(object)) = (find("storages"), find("tensors"), find("pickle")) else {
        return None;
    };
    let mut loaded = Loaded::new(Format::TorchTar);
    if let Some(info) = find("sys_info") {
        loaded.runs.push(run(&info, 0, Era::Bare, depth, "sys_info"));
    }
    let mut tables = Tables::default();
    let outcome =
        tables.storages(&storages, depth, &mut loaded).and_then(|()| tables.tensors(&tensors, depth, &mut loaded));
    if let Err(why) = outcome {
        loaded.cut = Some(why);
    }
    let mut world = super::loaded::world(Era::Tar, depth);
    world.storages = tables.parts;
    for (key, tensor) in tables.found {
        world.tensors.push(tensor);
        world.numbered_tensors.insert(key, world.tensors.len() as u32 - 1);
    }
    let pickle = crate::read::pickle::run(&object, 0, &mut world);
    loaded.main = loaded.runs.len();
    loaded.runs.push(Run { pickle, world, place: "pickle".into() });
    if let Some((name, _)) =
        members.iter().find(|(name, s)| s.is_empty() && ["storages", "tensors", "pickle"].contains(&name.as_str()))
    {
        loaded.remarks.push(remark("CK062", true, format!("member {name} is empty or cut off"), "download it again"));
    }
    Some(loaded)
}

/// The members of a tar archive in order: name and content. Ends where a header makes no sense.
pub(super) fn members(source: &Source) -> Vec<(String, Source)> {
    let mut found = Vec::new();
    let mut at = 0u64;
    while found.len() < MOST_MEMBERS {
        let header = source.bytes(at, 512).unwrap_or_default();
        if header.len() < 512 || header.iter().all(|&b| b == 0) {
            break;
        }
        let text = |range: std::ops::Range<usize>| {
            let field = header.get(range).unwrap_or_default();
            let end = field.iter().position(|&b| b == 0).unwrap_or(field.len());
            String::from_utf8_lossy(field.get(..end).unwrap_or_default()).into_owned()
        };
        let Ok(size) = u64::from_str_radix(text(124..136).trim(), 8) else { break };
        found.push((text(0..100), source.section(at + 512, size)));
        let Some(next) = size.checked_next_multiple_of(512).and_then(|padded| at.checked_add(512)?.checked_add(padded))
        else {
            break;
        };
        at = next;
    }
    found
}

/// What the members `storages` and `tensors` say.
#[derive(Default)]
struct Tables {
    parts: Vec<StoragePart>,
    /// By key: storage and offset in elements.
    by_key: HashMap<i64, (u32, u64)>,
    found: Vec<(i64, Tensor)>,
}

/// One pickle of a member, and where it ends.
fn next(
    source: &Source,
    at: u64,
    depth: u32,
    place: &str,
    loaded: &mut Loaded,
) -> Result<(Vec<Value>, usize, u64), String> {
    let run = run(source, at, Era::Bare, depth, place);
    let end = run.pickle.end;
    if let Some(broken) = &run.pickle.broken {
        let why = format!("{place}: {broken}");
        loaded.runs.push(run);
        return Err(why);
    }
    let root = run.pickle.root.unwrap_or(Value::None);
    let items = match root {
        Value::Tuple(_) | Value::List(_) => run.pickle.heap.sequence(root),
        single => vec![single],
    };
    loaded.runs.push(run);
    Ok((items, loaded.runs.len() - 1, end))
}

fn count(items: &[Value], place: &str) -> Result<u64, String> {
    match items {
        &[Value::Int(n)] if n >= 0 => Ok(n as u64),
        _ => Err(format!("{place} does not start with a count")),
    }
}

impl Tables {
    fn storages(&mut self, source: &Source, depth: u32, loaded: &mut Loaded) -> Result<(), String> {
        let (items, _, mut at) = next(source, 0, depth, "storages", loaded)?;
        for _ in 0..count(&items, "storages")? {
            let (items, number, end) = next(source, at, depth, "storages", loaded)?;
            let heap =
                |loaded: &Loaded| loaded.runs.get(number).map(|r| dtype_of(&r.pickle.heap, &r.world, items.get(2)));
            let dtype = heap(loaded).flatten();
            drop_quiet(loaded, number);
            let &[key, ..] = items.as_slice() else { return Err("storages: an entry without a key".into()) };
            let key = integer(key).ok_or("storages: a key that is no number")?;
            let elements = le64(source, end).ok_or("storages: cut off")?;
            let bits = u64::from(dtype.map_or(8, Dtype::bits));
            let bytes = elements.checked_mul(bits).map(|b| b / 8).ok_or("storages: a size beyond 64 bits")?;
            let mut part = StoragePart::new(StorageKey::of(key.to_string().as_bytes()), dtype, elements, bytes);
            part.found = true;
            part.start = source.place_in_file(end + 8);
            at = end.checked_add(8).and_then(|d| d.checked_add(bytes)).ok_or("storages: a size beyond 64 bits")?;
            let cut = at > source.len();
            if cut {
                part.wrong = Some(format!("its storage has {bytes} bytes, and the archive ends before them").into());
            }
            self.by_key.insert(key, (self.parts.len() as u32, 0));
            self.parts.push(part);
            if cut {
                return Err("storages: cut off".into());
            }
        }
        // Views: (key, root key, offset, size).
        let (items, number, _) = next(source, at, depth, "storages", loaded)?;
        for view in items {
            let view = loaded.runs.get(number).map(|r| r.pickle.heap.sequence(view)).unwrap_or_default();
            let &[key, root, offset, _] = view.as_slice() else { continue };
            if let (Some(key), Some(root), Some(offset)) = (integer(key), integer(root), integer(offset))
                && let Some(&(storage, base)) = self.by_key.get(&root)
                && let Ok(offset) = u64::try_from(offset)
            {
                self.by_key.insert(key, (storage, base.saturating_add(offset)));
            }
        }
        drop_quiet(loaded, number);
        Ok(())
    }

    fn tensors(&mut self, source: &Source, depth: u32, loaded: &mut Loaded) -> Result<(), String> {
        let (items, _, mut at) = next(source, 0, depth, "tensors", loaded)?;
        for _ in 0..count(&items, "tensors")? {
            let (items, number, end) = next(source, at, depth, "tensors", loaded)?;
            drop_quiet(loaded, number);
            let &[key, storage, ..] = items.as_slice() else {
                return Err("tensors: an entry without its storage".into());
            };
            let key = integer(key).ok_or("tensors: a key that is no number")?;
            let head = source.bytes(end, 8).unwrap_or_default();
            let rank =
                head.get(..4).and_then(|b| b.try_into().ok()).map(u32::from_le_bytes).ok_or("tensors: cut off")?;
            if rank > MOST_DIMENSIONS {
                return Err(format!("tensors: a tensor of {rank} dimensions"));
            }
            let numbers = u64::from(rank) * 2 + 1;
            let numbers: Option<Vec<u64>> = (0..numbers).map(|i| le64(source, end + 8 + 8 * i)).collect();
            let numbers = numbers.ok_or("tensors: cut off")?;
            at = end + 8 + 8 * numbers.len() as u64;
            self.found.push((key, self.tensor(storage, &numbers, rank as usize)));
        }
        Ok(())
    }

    fn tensor(&self, storage: Value, numbers: &[u64], rank: usize) -> Tensor {
        let Some(&(storage, base)) = integer(storage).and_then(|key| self.by_key.get(&key)) else {
            return Tensor::wrong("its storage is not in the archive");
        };
        let Some(part) = self.parts.get(storage as usize) else {
            return Tensor::wrong("its storage is not in the archive");
        };
        let (sizes, rest) = numbers.split_at(rank.min(numbers.len()));
        let (strides, offset) = rest.split_at(rank.min(rest.len()));
        let offset = offset.first().copied().unwrap_or(0).saturating_add(base);
        super::tensors::checked(
            part,
            storage,
            offset,
            Shape(sizes.into()),
            strides,
            part.dtype.unwrap_or(Dtype::U8),
            part.elements,
        )
        .unwrap_or_else(Tensor::wrong)
    }
}

/// Pickles of the tables that asked for nothing but their storage class need not be kept.
fn drop_quiet(loaded: &mut Loaded, number: usize) {
    let quiet =
        |run: &Run| run.pickle.broken.is_none() && run.pickle.heap.globals.iter().all(|g| !g.called && g.role != 0);
    if number > 4 && number + 1 == loaded.runs.len() && loaded.runs.get(number).is_some_and(quiet) {
        loaded.runs.pop();
    }
}

fn dtype_of(heap: &Heap, world: &super::world::TorchWorld, class: Option<&Value>) -> Option<Dtype> {
    world.dtype(heap, *class?)
}

fn integer(value: Value) -> Option<i64> {
    match value {
        Value::Int(n) => Some(n),
        _ => None,
    }
}

fn le64(source: &Source, at: u64) -> Option<u64> {
    let bytes = source.bytes(at, 8).ok()?;
    Some(u64::from_le_bytes(bytes.try_into().ok()?))
}
