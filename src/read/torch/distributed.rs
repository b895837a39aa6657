//! `torch.distributed.checkpoint`: a pickle (`.metadata`) that says which tensors there are and where the parts of each stand, and
//! `.distcp` files, in which every part is a torch zip of its own.
//!
//! The metadata is loaded with `pickle.load`, and what is no tensor with `torch.load(weights_only=False)`
//! (torch/distributed/checkpoint/filesystem.py, default_planner.py), so all of them are searched for what they ask for.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::path::Path;

use super::loaded::{self, Loaded, Run, remark};
use super::tensors;
use super::world::{Inner, Part};
use crate::checkpoint::{Checkpoint, Container, Format, Placement, Remark, Storage, TensorInfo, Unreadable, quoted};
use crate::read::ReadError;
use crate::read::names::given_twice;
use crate::read::pickle::{Heap, Object, Source, Value, text};

/// Things that are no tensors are noted up to this many.
const MOST_OTHERS: usize = 1000;
/// Levels of containers that are told apart.
const MOST_LEVELS: usize = 16;
/// Files that hold parts, at most.
const MOST_FILES: usize = 100_000;

/// A part of a tensor, or an object, and where it stands.
struct Item {
    key: String,
    file: String,
    offset: u64,
    length: u64,
}

/// Opens a file beside the metadata by its name; why not, where it cannot be opened.
pub(in crate::read) type Open<'a> = &'a dyn Fn(&str) -> Result<File, String>;

/// Reads the checkpoint whose `.metadata` is `metadata`; `None` where that is no such thing and asks for nothing.
///
/// # Errors
/// Where the metadata is broken before it said anything.
pub(in crate::read) fn read(folder: &Path, metadata: File, open: Open<'_>) -> Result<Option<Checkpoint>, ReadError> {
    let source = Source::file(metadata).map_err(|e| super::error(folder, "CK002", e.to_string(), ""))?;
    let Some(loaded) = loaded::open(&source, 0).map_err(|refusal| super::refused(folder, refusal))? else {
        return Ok(None);
    };
    let mut all = Inner::default();
    within(loaded::gather_all(&loaded), ".metadata", &mut all);
    let mut out = Checkpoint::new(folder, Format::TorchDistributed);
    out.files.clear();
    out.remarks = loaded.remarks.clone();
    let state = loaded.runs.get(loaded.main).and_then(|run| Some((run, state_of(run, run.pickle.root?, ".Metadata")?)));
    match state {
        Some((run, state)) => {
            let parts = tensors(run, state, &mut out);
            let items = items(&run.pickle.heap, state, &mut all);
            parts_of(items, &parts, open, &mut out, &mut all);
        }
        None if all.globals.is_empty() && all.broken.is_none() => return Ok(None),
        None => {}
    }
    super::safety::judge(&all, &mut out);
    Ok(Some(out))
}

/// Every pickle of a file that is not itself a checkpoint to be read, for what it asks for; `None` where it is none.
pub(in crate::read) fn asks(path: &Path, file: File) -> Option<Checkpoint> {
    let source = Source::file(file).ok()?;
    let mut out = Checkpoint::new(path, Format::Pickle);
    let loaded = loaded::open(&source, 0).ok()??;
    super::safety::judge(&loaded::gather_all(&loaded), &mut out);
    Some(out)
}

/// Takes over what a pickle asks for, each name once for each use of it.
fn within(found: Inner, place: &str, all: &mut Inner) {
    for (global, inner) in found.globals {
        all.globals.push((global, format!("{place}, {inner}")));
    }
    if let Some(why) = found.broken {
        all.broken.get_or_insert_with(|| format!("{place}: {why}"));
    }
}

/// The attributes of an object of a class with this name.
fn state_of(run: &Run, value: Value, class: &str) -> Option<u32> {
    let object = object(&run.pickle.heap, value, class)?;
    match object.state {
        Value::Dict(state) => Some(state),
        _ => None,
    }
}

fn object<'a>(heap: &'a Heap, value: Value, class: &str) -> Option<&'a Object> {
    let Value::Object(id) = value else { return None };
    heap.object(id).filter(|o| heap.class_of(o).ends_with(class))
}

/// Lists the tensors and names what is none; returns the place of each key's tensor.
fn tensors(run: &Run, state: u32, out: &mut Checkpoint) -> HashMap<String, usize> {
    let heap = &run.pickle.heap;
    let nested = match heap.lookup(state, "planner_data") {
        Some(Value::Dict(dict)) => heap.dict(dict).map(|(k, v)| (text::key_text(heap, k).into_owned(), v)).collect(),
        _ => HashMap::new(),
    };
    let mut containers: HashMap<String, u32> = HashMap::from([(String::new(), 0)]);
    let (mut places, mut twice) = (HashMap::new(), Vec::new());
    let Some(Value::Dict(entries)) = heap.lookup(state, "state_dict_metadata") else {
        out.remarks.push(remark("CK066", true, "its metadata lists no tensors", "save the checkpoint again"));
        return places;
    };
    for (key, value) in heap.dict(entries) {
        let key = text::key_text(heap, key).into_owned();
        if object(heap, value, ".BytesStorageMetadata").is_some() {
            if out.others.len() < MOST_OTHERS {
                out.others.push((key, "object"));
            }
            continue;
        }
        let described = match state_of(run, value, ".TensorStorageMetadata") {
            Some(tensor) => describe(run, tensor),
            None => Err(format!("a {} where a tensor is described", text::kind(value))),
        };
        match described {
            Ok((dtype, shape)) => {
                let prefix = nested.get(&key).map_or("", |&path| prefix(heap, path, &key));
                let container = container(prefix, &mut containers, out);
                let (path, role) = (key.clone().into(), Default::default());
                let tensor = TensorInfo { path, container, dtype, shape: Some(shape), role, placement: None };
                // Of equal keys Python keeps the last one.
                if let Some(first) = places.get(&key).and_then(|&at: &usize| out.tensors.get_mut(at)) {
                    *first = tensor;
                    twice.push(key);
                    continue;
                }
                if let Some(container) = out.containers.get_mut(container as usize) {
                    container.tensors += 1;
                }
                places.insert(key, out.tensors.len());
                out.tensors.push(tensor);
            }
            Err(why) => out.unreadable.push(Unreadable { path: key, why }),
        }
    }
    if !twice.is_empty() {
        out.remarks.push(given_twice(&twice.into_iter().map(Into::into).collect::<Vec<_>>(), "the last one counts"));
    }
    if let Some(first) = out.unreadable.first() {
        let more =
            if out.unreadable.len() > 1 { format!(", and {} more", out.unreadable.len() - 1) } else { String::new() };
        let message = format!("{} cannot be read: {}{more}", quoted(&first.path), first.why);
        out.remarks.push(remark("CK008", true, message, "save the checkpoint again"));
    }
    places
}

type Described = (Option<crate::checkpoint::Dtype>, crate::checkpoint::Shape);

/// Dtype and shape of a `TensorStorageMetadata`.
fn describe(run: &Run, tensor: u32) -> Result<Described, String> {
    let heap = &run.pickle.heap;
    let properties = heap.lookup(tensor, "properties").and_then(|p| object(heap, p, ".TensorProperties"));
    let dtype = match properties.map(|p| p.state) {
        Some(Value::Dict(state)) => heap.lookup(state, "dtype"),
        Some(state) => heap.items_of_tuple(state).first().copied(),
        None => None,
    };
    let dtype = dtype.and_then(|dtype| run.world.dtype(heap, dtype));
    let size = heap.lookup(tensor, "size").ok_or("its size is missing")?;
    Ok((dtype, tensors::shape(heap, size)?))
}

/// What stands before the last name of a nested path, where the key is that path joined by dots.
fn prefix<'a>(heap: &Heap, path: Value, key: &'a str) -> &'a str {
    let names = heap.items_of_tuple(path);
    if names.len() < 2 || names.len() > MOST_LEVELS {
        return "";
    }
    let mut rest = key;
    for (n, &name) in names.iter().enumerate() {
        let name = text::key_text(heap, name);
        let Some(after) = rest.strip_prefix(&*name) else { return "" };
        if n + 1 == names.len() {
            let end = key.len() - rest.len();
            return if after.is_empty() { key.get(..end.saturating_sub(1)).unwrap_or("") } else { "" };
        }
        let Some(after) = after.strip_prefix('.') else { return "" };
        rest = after;
    }
    ""
}

fn container(name: &str, known: &mut HashMap<String, u32>, out: &mut Checkpoint) -> u32 {
    if let Some(&at) = known.get(name) {
        return at;
    }
    let at = u32::try_from(out.containers.len()).unwrap_or(0);
    out.containers.push(Container { name: name.into(), parent: Some(0), tensors: 0, version: None });
    known.insert(name.to_owned(), at);
    at
}

/// Where the parts stand, by file and offset.
fn items(heap: &Heap, state: u32, all: &mut Inner) -> Vec<Item> {
    let Some(Value::Dict(entries)) = heap.lookup(state, "storage_data") else {
        all.broken.get_or_insert_with(|| ".metadata does not say where the parts stand".into());
        return Vec::new();
    };
    let state_of = |value: Value| match value {
        Value::Object(id) => match heap.object(id).map(|o| o.state) {
            Some(Value::Dict(state)) => Some(state),
            _ => None,
        },
        _ => None,
    };
    let number = |state: u32, name: &str| match heap.lookup(state, name) {
        Some(Value::Int(n)) => u64::try_from(n).ok(),
        _ => None,
    };
    let mut items = Vec::with_capacity(heap.dict_len(entries));
    for (index, place) in heap.dict(entries) {
        let key = state_of(index).and_then(|index| heap.lookup(index, "fqn"));
        let key = key.map(|key| text::key_text(heap, key).into_owned()).unwrap_or_default();
        let item = state_of(place).and_then(|place| {
            let Some(Value::Str(file)) = heap.lookup(place, "relative_path") else { return None };
            // A part that went through a filter (compression) is no zip as it stands.
            let plain = matches!(heap.lookup(place, "transform_descriptors"), None | Some(Value::None));
            let (offset, length) = (number(place, "offset")?, number(place, "length")?);
            plain.then(|| Item { key: key.clone(), file: heap.text(file).into_owned(), offset, length })
        });
        match item {
            Some(item) => items.push(item),
            None => {
                let why = format!("where {} stands is not said in a way that ckdiff knows", quoted(&key));
                all.broken.get_or_insert(why);
            }
        }
    }
    items.sort_by(|a, b| (&a.file, a.offset).cmp(&(&b.file, b.offset)));
    items
}

/// Opens every part: for what its pickle asks for, and for where its bytes stand.
fn parts_of(items: Vec<Item>, places: &HashMap<String, usize>, open: Open<'_>, out: &mut Checkpoint, all: &mut Inner) {
    let mut seen: HashSet<(Box<str>, bool, bool)> = HashSet::new();
    let mut count: HashMap<&str, usize> = HashMap::new();
    for item in &items {
        *count.entry(&item.key).or_default() += 1;
    }
    let (mut missing, mut lost) = (Vec::new(), 0usize);
    for of_file in items.chunk_by(|a, b| a.file == b.file) {
        let Some(first) = of_file.first() else { continue };
        let opened = match out.files.len() < MOST_FILES {
            true => open(&first.file).and_then(|file| Source::file(file).map_err(|e| e.to_string())),
            false => Err(format!("more than {MOST_FILES} files")),
        };
        let source = match opened {
            Ok(source) => source,
            Err(why) => {
                missing.push(format!("{}: {why}", quoted(&first.file)));
                lost += of_file.len();
                continue;
            }
        };
        let file = u32::try_from(out.files.len()).unwrap_or(u32::MAX);
        out.files.push(out.path.join(&first.file));
        let mut free = 0;
        for item in of_file {
            let end = item.offset.checked_add(item.length).filter(|&end| end <= source.len());
            // Parts are written one after another: what overlaps was made to be read again and again.
            let Some(end) = end.filter(|_| item.offset >= free) else {
                let why = format!(
                    "bytes {} to {} of {} are not its own, or not there",
                    item.offset,
                    item.offset.saturating_add(item.length),
                    quoted(&item.file)
                );
                all.broken.get_or_insert_with(|| format!("the part for {}: {why}", quoted(&item.key)));
                lost += 1;
                continue;
            };
            free = end;
            let section = source.section(item.offset, item.length);
            let place = format!("{}, the part for {}", item.file, quoted(&item.key));
            match loaded::open(&section, 1) {
                Ok(Some(part)) => {
                    let mut found = loaded::gather_all(&part);
                    found.globals.retain(|(g, _)| seen.insert((g.name.clone(), g.called, g.odd)));
                    within(found, &place, all);
                    if count.get(&*item.key) == Some(&1)
                        && let Some(&at) = places.get(&item.key)
                    {
                        place_tensor(&part, at, file, out);
                    }
                }
                Ok(None) => {
                    all.broken.get_or_insert_with(|| format!("{place}: neither a torch zip nor a pickle"));
                }
                Err(refusal) => {
                    all.broken.get_or_insert_with(|| format!("{place}: {}", refusal.what));
                }
            }
        }
    }
    if let Some(first) = missing.first() {
        let message = match missing.len() {
            1 => format!("a file with {lost} parts cannot be read: {first}"),
            n => format!("{n} files with {lost} parts cannot be read, the first is {first}"),
        };
        out.complete = false;
        let help = "fetch the .distcp files again; .metadata names them";
        out.remarks
            .push(Remark { examples: missing.into_iter().take(5).collect(), ..remark("CK010", true, message, help) });
    }
}

/// Where a tensor that was saved in one part stands.
fn place_tensor(part: &Loaded, at: usize, file: u32, out: &mut Checkpoint) {
    let Some(run) = part.runs.get(part.main) else { return };
    let Some(Part::Tensor(id)) = run.pickle.root.and_then(|root| run.world.part(root)) else { return };
    let (Some(found), Some(listed)) = (run.world.tensors.get(*id as usize), out.tensors.get_mut(at)) else { return };
    let storage = found.storage.and_then(|id| run.world.storages.get(id as usize));
    let Some(storage) = storage.filter(|s| s.wrong.is_none() && found.wrong.is_none()) else { return };
    if found.shape != listed.shape || found.dtype != listed.dtype {
        return;
    }
    let number = u32::try_from(out.storages.len()).unwrap_or(u32::MAX);
    listed.placement = Some(Placement { storage: number, offset: found.offset, strides: found.strides.clone() });
    out.storages.push(Storage {
        file,
        name: listed.path.clone(),
        start: storage.start,
        bytes: storage.bytes,
        coding: storage.coding,
    });
}
