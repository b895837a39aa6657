//! A plan as files: header, values, index; looked at again, and only then given their names.

use std::collections::{BTreeMap, HashMap};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use super::atomic::{Part, exists, refused, same_file};
use super::header::{Header, header};
use super::plan::{Output, Plan};
use super::produce::{Side, Sink, produce};
use super::{ConvertError, shards};
use crate::checkpoint::{Checkpoint, Format, StateDict, quoted};
use crate::read::read;

/// Where a plan is written to.
#[derive(Clone, Debug)]
pub struct Destination {
    /// The file; of several, what their names begin with.
    pub path: PathBuf,
    /// Bytes of values in a file at most.
    pub shard_size: Option<u64>,
    /// Whether files that are there are replaced.
    pub replace: bool,
    /// Files that must not be written over.
    pub inputs: Vec<PathBuf>,
}

/// What was written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// The files, the index last.
    pub files: Vec<PathBuf>,
    /// Their sizes together.
    pub bytes: u64,
}

impl Destination {
    /// The files that a plan comes to, where they may be written.
    ///
    /// # Errors
    /// Where one of them is there already, is one of the inputs, or has no folder.
    pub fn files(&self, plan: &Plan) -> Result<Vec<PathBuf>, ConvertError> {
        let (mut paths, index) = shards::names(&self.path, shards::split(&plan.outputs, self.shard_size).len());
        paths.extend(index);
        for path in &paths {
            self.check(path)?;
        }
        Ok(paths)
    }

    fn check(&self, path: &Path) -> Result<(), ConvertError> {
        if path.file_name().is_none() {
            return Err(ConvertError::new("is no name for a file", "name the file to write with -o").at(path));
        }
        let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        if !folder.is_dir() {
            return Err(ConvertError::new("its folder is not there", "make the folder first").at(path));
        }
        let Ok(there) = std::fs::metadata(path) else { return Ok(()) };
        if !there.is_file() {
            return Err(ConvertError::new("is no regular file", "name the file to write with -o").at(path));
        }
        if self.inputs.iter().any(|input| same_file(input, path)) {
            return Err(ConvertError::new("is one of the inputs", "write to another name").at(path));
        }
        if self.replace { Ok(()) } else { Err(exists(path)) }
    }
}

/// Writes the values of `plan`, reads the result again, hands it to `accept`, and gives the files their names where that
/// agrees. `tell` hears how many bytes of values are written.
///
/// # Errors
/// Where something cannot be read or written, or `accept` refuses. Nothing is left behind then.
pub fn write(
    plan: &Plan,
    source: &StateDict<'_>,
    target: Option<&StateDict<'_>>,
    to: &Destination,
    metadata: &BTreeMap<String, String>,
    tell: &mut dyn FnMut(u64),
    accept: &mut dyn FnMut(&Checkpoint) -> Result<(), ConvertError>,
) -> Result<Written, ConvertError> {
    to.files(plan)?;
    let (source, target) = (Side::new(source), target.map(Side::new));
    let groups = shards::split(&plan.outputs, to.shard_size);
    let (paths, index) = shards::names(&to.path, groups.len());
    let (mut parts, mut written) = (Vec::new(), Written::default());
    let mut done = 0;
    for (outputs, path) in groups.iter().zip(&paths) {
        let Header { bytes, order } = header(outputs, metadata)?;
        let part = Part::create(path)?;
        part.file().write_all(&bytes).map_err(|e| refused(&e, path))?;
        let mut sink = Sink::new(part.file(), path, done, tell);
        for output in order.iter().filter_map(|&i| outputs.get(i)) {
            produce(output, &source, target.as_ref(), &mut sink)?;
        }
        sink.finish()?;
        done = sink.done;
        let wanted = outputs.iter().fold(bytes.len() as u64, |n, o| n.saturating_add(o.bytes()));
        let size = part.file().metadata().map_err(|e| refused(&e, path))?.len();
        if size != wanted {
            let what = format!("{size} bytes were written, where {wanted} belong");
            return Err(ConvertError::new(what, "this is a fault of ckdiff: report it with the command").at(path));
        }
        written.bytes += size;
        parts.push(part);
    }
    if let Some(index) = &index {
        let part = Part::create(index)?;
        let text = shards::index(&groups, &paths);
        part.file().write_all(&text).map_err(|e| refused(&e, index))?;
        written.bytes += text.len() as u64;
        parts.push(part);
    }
    let result = look_again(parts.iter().map(Part::path).take(groups.len()), &to.path, plan)?;
    accept(&result)?;
    // The index comes last: a set of shards counts from when it is there.
    for part in parts {
        part.finish(to.replace)?;
    }
    written.files = paths;
    written.files.extend(index);
    Ok(written)
}

/// What was written, read as any other file, if it is what the plan says.
fn look_again<'p>(parts: impl Iterator<Item = &'p Path>, path: &Path, plan: &Plan) -> Result<Checkpoint, ConvertError> {
    let mut all = Checkpoint::new(path, Format::Safetensors);
    for part in parts {
        let found = read(part).map_err(|e| fault(path, e.what))?;
        if let Some(remark) = found.remarks.iter().find(|r| r.error) {
            return Err(fault(path, remark.message.clone()));
        }
        all.tensors.extend(found.tensors.into_iter().map(|t| crate::checkpoint::TensorInfo { placement: None, ..t }));
    }
    let wanted: HashMap<&str, &Output> = plan.outputs.iter().map(|o| (o.key.as_str(), o)).collect();
    for tensor in &all.tensors {
        let same = wanted
            .get(&*tensor.path)
            .is_some_and(|o| tensor.dtype == Some(o.dtype) && tensor.shape.as_ref() == Some(&o.shape));
        if !same {
            return Err(fault(path, format!("{} is not what was to be written", quoted(&tensor.path))));
        }
    }
    if all.tensors.len() != plan.outputs.len() {
        return Err(fault(path, format!("{} of {} tensors are there", all.tensors.len(), plan.outputs.len())));
    }
    if let Some(top) = all.containers.first_mut() {
        top.tensors = all.tensors.len();
    }
    Ok(all)
}

fn fault(path: &Path, what: String) -> ConvertError {
    let what = format!("the result does not read as it was meant: {what}");
    ConvertError::new(what, "nothing was kept; this is a fault of ckdiff: report it with the command").at(path)
}
