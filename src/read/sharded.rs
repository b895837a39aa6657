//! A checkpoint in several files: an index says which shard holds which key. Checked both ways: index → shard → header → index.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use super::ReadError;
use super::expected::Index;
use super::input::{self, Named};
use super::names::examples;
use crate::checkpoint::{Checkpoint, Container, Format, Remark, TensorInfo, Unreadable, quoted};

mod check;
mod inside;

pub(super) use inside::{Inside, resolve};

/// What was found where the index says a shard is.
enum Shard {
    /// It was read.
    Read(Box<Checkpoint>),
    /// There is no such file.
    Missing,
    /// It is there, or its name leads elsewhere; why it was not read, and the code for it.
    Refused(&'static str, String),
}

/// Reads the shards of an index that stands at `path`.
///
/// # Errors
/// Where shards are there but none of them can be read.
pub(super) fn from_index(path: &Path, index: Index, whole_folder: bool) -> Result<Checkpoint, ReadError> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let mut order: Vec<usize> = (0..index.shards.len()).collect();
    // Shards are numbered in the order in which the model registers its tensors; the index is sorted by name.
    order.sort_by(|&a, &b| index.shards.get(a).cmp(&index.shards.get(b)));
    let mut merged = Merged::new(path, index.shards.len());
    for at in order {
        let name = index.shards.get(at).map_or("", String::as_str);
        let shard = read_shard(folder, name);
        merged.add(at, name, shard);
    }
    if merged.read == 0 {
        return nothing(path, index, merged, whole_folder);
    }
    let mut out = check::against(merged, &index);
    out.remarks.extend(unused(folder, &index));
    out.metadata.extend(index.metadata);
    Ok(out)
}

/// Reads numbered shards that stand in `folder` without an index.
///
/// # Errors
/// Where none of them can be read.
pub(super) fn without_index(folder: &Path, names: &[String]) -> Result<Checkpoint, ReadError> {
    let mut merged = Merged::new(folder, names.len());
    for (at, name) in names.iter().enumerate() {
        merged.add(at, name, read_shard(folder, name));
    }
    if merged.read == 0 {
        return nothing(folder, Index { shards: names.to_vec(), ..Index::default() }, merged, true);
    }
    Ok(check::alone(merged))
}

fn read_shard(folder: &Path, name: &str) -> Shard {
    let path = match resolve(folder, name) {
        Inside::Here(path) => path,
        Inside::Missing => return Shard::Missing,
        Inside::Outside(why) => return Shard::Refused("CK012", why),
    };
    let read = match input::open(&path) {
        Ok(Named::File(input)) => super::read_weights(input),
        Ok(Named::Directory) => return Shard::Refused("CK010", "a directory".into()),
        Err(e) => Err(e),
    };
    match read {
        Ok(checkpoint) => Shard::Read(Box::new(checkpoint)),
        Err(e) if e.remedy.is_empty() => Shard::Refused("CK010", e.what),
        Err(e) => Shard::Refused("CK010", format!("{}; {}", e.what, e.remedy)),
    }
}

/// No shard could be read.
fn nothing(path: &Path, index: Index, merged: Merged, whole_folder: bool) -> Result<Checkpoint, ReadError> {
    let first = merged
        .refused
        .first()
        .map(|(name, code, why)| (*code, format!("none of its shards can be read: {}: {why}", quoted(name))));
    if let Some((code, what)) = first {
        return Err(ReadError { path: path.into(), what, remedy: "fetch the shards again".into(), code });
    }
    if index.keys.is_empty() {
        let what = "an index of shards that names none".into();
        return Err(ReadError { path: path.into(), what, remedy: "fetch the index again".into(), code: "CK011" });
    }
    // An index by itself still says which keys there are.
    let mut out = Checkpoint::new(path, Format::Json);
    out.tensors = (index.keys.into_iter())
        .map(|(path, _)| TensorInfo {
            path,
            container: 0,
            dtype: None,
            shape: None,
            role: Default::default(),
            placement: None,
        })
        .collect();
    let (tensors, _) = super::names::last_of_each(out.tensors);
    out.containers[0].tensors = tensors.len();
    out.tensors = tensors;
    out.metadata = index.metadata;
    out.remarks.push(Remark {
        code: "CK010",
        error: whole_folder,
        message: format!("none of the {} shards is there; only the keys are known", index.shards.len()),
        help: "fetch the shards that the index names, and put them beside it".into(),
        examples: examples(index.shards.iter().map(String::as_str)),
    });
    Ok(out)
}

/// Files beside the index that are numbered like its shards, and that it does not name.
fn unused(folder: &Path, index: &Index) -> Option<Remark> {
    let named: HashSet<&str> = index.shards.iter().map(String::as_str).collect();
    let stems: HashSet<(&str, &str)> =
        index.shards.iter().filter_map(|s| numbered(s)).map(|n| (n.stem, n.suffix)).collect();
    let mut unused: Vec<String> = (std::fs::read_dir(folder).ok()?.flatten())
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| !named.contains(&**name) && numbered(name).is_some_and(|n| stems.contains(&(n.stem, n.suffix))))
        .collect();
    unused.sort();
    let message = match unused.as_slice() {
        [] => return None,
        [one] => format!("the shard {} is there, but the index does not name it", quoted(one)),
        many => format!("{} shards are there that the index does not name", many.len()),
    };
    let help = "they are left out; remove them, or fetch the index that belongs to them".into();
    Some(Remark { code: "CK011", error: false, message, help, examples: examples(unused.iter().map(String::as_str)) })
}

/// The parts of a name like `model-00002-of-00006.safetensors`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Numbered<'a> {
    /// `model`
    pub stem: &'a str,
    /// 2
    pub number: u32,
    /// 6
    pub of: u32,
    /// `safetensors`
    pub suffix: &'a str,
}

/// Reads the number out of a shard's name; `None` where it has none.
pub(super) fn numbered(name: &str) -> Option<Numbered<'_>> {
    let (rest, suffix) = name.rsplit_once('.')?;
    let (rest, of) = rest.rsplit_once("-of-")?;
    let (stem, number) = rest.rsplit_once(['-', '_'])?;
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok()).flatten();
    Some(Numbered { stem, number: digits(number)?, of: digits(of)?, suffix })
}

/// Shards, put together.
struct Merged {
    out: Checkpoint,
    /// For every tensor, the shard it came from.
    from: Vec<u32>,
    /// By shard: whether it was read.
    done: Vec<bool>,
    read: usize,
    /// Names of shards that are not there.
    missing: Vec<String>,
    /// Names of shards that were refused, with code and cause.
    refused: Vec<(String, &'static str, String)>,
    containers: HashMap<Box<str>, u32>,
    safetensors: bool,
}

impl Merged {
    fn new(path: &Path, shards: usize) -> Self {
        let mut out = Checkpoint::new(path, Format::SafetensorsSharded);
        out.files.clear();
        Merged {
            out,
            from: Vec::new(),
            done: vec![false; shards],
            read: 0,
            missing: Vec::new(),
            refused: Vec::new(),
            containers: HashMap::from([("".into(), 0)]),
            safetensors: true,
        }
    }

    fn add(&mut self, at: usize, name: &str, shard: Shard) {
        match shard {
            Shard::Missing => self.missing.push(name.to_owned()),
            Shard::Refused(code, why) => {
                self.out.unreadable.push(Unreadable { path: name.to_owned(), why: why.clone() });
                self.refused.push((name.to_owned(), code, why));
            }
            Shard::Read(shard) => {
                if let Some(done) = self.done.get_mut(at) {
                    *done = true;
                }
                self.read += 1;
                self.safetensors &= shard.format == Format::Safetensors;
                self.join(at, name, *shard);
            }
        }
    }

    /// Appends what a shard holds, its positions moved to those of the whole.
    fn join(&mut self, at: usize, name: &str, shard: Checkpoint) {
        let Merged { out, from, containers, .. } = self;
        let (file, storage) = (number(out.files.len()), number(out.storages.len()));
        out.files.extend(shard.files);
        out.storages.extend(shard.storages.into_iter().map(|mut s| {
            s.file = s.file.saturating_add(file);
            s
        }));
        let mut moved: Vec<u32> = Vec::with_capacity(shard.containers.len());
        for c in shard.containers {
            let parent = c.parent.and_then(|p| moved.get(p as usize).copied());
            let at = *containers.entry(c.name.clone()).or_insert_with(|| {
                out.containers.push(Container { name: c.name, parent, tensors: 0, version: c.version });
                number(out.containers.len() - 1)
            });
            moved.push(at);
        }
        for mut tensor in shard.tensors {
            tensor.container = moved.get(tensor.container as usize).copied().unwrap_or(0);
            if let Some(placement) = &mut tensor.placement {
                placement.storage = placement.storage.saturating_add(storage);
            }
            out.tensors.push(tensor);
            from.push(number(at));
        }
        let inside = |text: &str| format!("{name}: {text}");
        out.others.extend(shard.others);
        out.unreadable.extend(shard.unreadable);
        out.imports.extend(shard.imports.into_iter().map(|mut i| {
            i.place = inside(&i.place);
            i
        }));
        out.remarks.extend(shard.remarks.into_iter().map(|mut r| {
            r.message = inside(&r.message);
            r
        }));
        for pair in shard.metadata {
            if !out.metadata.contains(&pair) {
                out.metadata.push(pair);
            }
        }
        out.complete &= shard.complete;
    }
}

/// A position as it is stored. A file with four thousand million of anything was refused long before.
fn number(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

/// The path of the index or single file within a folder, where it does not lead out of it.
pub(super) fn within(folder: &Path, name: &str) -> Result<PathBuf, ReadError> {
    let error = |what: String, code| ReadError {
        path: folder.join(name),
        what,
        remedy: "hand over the file itself".into(),
        code,
    };
    match resolve(folder, name) {
        Inside::Here(path) => Ok(path),
        Inside::Missing => Err(error("no such file".into(), "CK002")),
        Inside::Outside(why) => Err(error(why, "CK012")),
    }
}

#[cfg(test)]
mod tests;
