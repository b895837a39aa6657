//! From a path to a [`Checkpoint`]: header only, in stored order, one bad tensor never loses the file.

use std::path::{Path, PathBuf};

use crate::checkpoint::{Checkpoint, Remark, escaped};

pub(crate) mod at;
mod content;
mod directory;
mod entry;
mod expected;
mod foreign;
mod input;
mod json;
mod lines;
pub mod log;
mod names;
pub mod pickle;
mod place;
mod safetensors;
mod sharded;
mod tail;
pub mod torch;

pub(crate) use input::plain;
use input::{Input, Named};
pub use lines::key_lines;

/// Why a path could not be read at all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadError {
    /// The path as given.
    pub path: PathBuf,
    /// What is wrong, in lower case, with the byte offset or line where known.
    pub what: String,
    /// What to do about it; may be empty.
    pub remedy: String,
    /// The code of the finding (`CK001`).
    pub code: &'static str,
}

impl std::fmt::Display for ReadError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", input::name_of(&self.path), escaped(&self.what))?;
        if !self.remedy.is_empty() {
            write!(f, "; {}", escaped(&self.remedy))?;
        }
        Ok(())
    }
}

impl std::error::Error for ReadError {}

/// Reads whatever `path` is: a checkpoint in any container format, an index of shards, a directory, expected.json.
///
/// The content decides, never the name.
///
/// # Errors
/// Where nothing can be read: the path names no checkpoint, or one whose outermost structure is broken.
pub fn read(path: &Path) -> Result<Checkpoint, ReadError> {
    let mut input = match input::open(path)? {
        Named::Directory => return directory::read(path),
        Named::File(input) => input,
    };
    if !safetensors::recognises(&input) && expected::recognises(&input) {
        return match expected::read(&mut input)? {
            expected::Json::Keys(checkpoint) => Ok(checkpoint),
            expected::Json::Index(index) => sharded::from_index(path, index, false),
        };
    }
    let mut out = read_weights(input)?;
    out.remarks.extend(one_of_many(path));
    Ok(out)
}

/// Whether `path` is a pointer of git-lfs: a small text that stands in a repository for the file itself.
pub fn is_lfs_pointer(path: &Path) -> bool {
    matches!(input::open(path), Ok(Named::File(input)) if foreign::is_lfs_pointer(&input))
}

/// Reads a file with weights in it: no list of keys, no index.
fn read_weights(mut input: Input) -> Result<Checkpoint, ReadError> {
    if safetensors::recognises(&input) {
        let mut out = safetensors::read(&mut input)?;
        out.remarks.extend(misnamed(&input));
        return Ok(out);
    }
    if let Some(refusal) = foreign::certain(&mut input) {
        return Err(with_code(&input, refusal));
    }
    let file = input.file.try_clone().map_err(|e| input.error("CK002", format!("cannot be read: {e}"), ""))?;
    match torch::read_file(&input.path, file) {
        Ok(Some(checkpoint)) => Ok(checkpoint),
        // A header whose length lies may look like a pickle by its first byte.
        _ if safetensors::resembles(&input) && !expected::recognises(&input) => safetensors::read(&mut input),
        // Of a file that was changed as if it were text, what a reader stumbled over is beside the point.
        Err(refusal) => Err(foreign::mangled(&mut input).unwrap_or(refusal)),
        Ok(None) => {
            let refusal = foreign::name(&mut input);
            Err(with_code(&input, refusal))
        }
    }
}

/// The refusal of a file of another program, with a word about the code in it.
fn with_code(input: &Input, refusal: ReadError) -> ReadError {
    let found = input.file.try_clone().map_or_else(|_| Vec::new(), torch::dangerous_inside);
    let [first, others @ ..] = found.as_slice() else { return refusal };
    let more = if others.is_empty() { String::new() } else { format!(" and {} more", others.len()) };
    ReadError {
        what: format!("{}; a pickle in it asks for {first}{more}, which runs code when it is loaded", refusal.what),
        remedy: "do not load it; ask the author for a safetensors file".into(),
        code: "CK501",
        ..refusal
    }
}

/// The remark about a file that is one shard of several, handed over by itself.
fn one_of_many(path: &Path) -> Option<Remark> {
    let name = path.file_name()?.to_str()?;
    let shard = sharded::numbered(name).filter(|n| n.of > 1 && n.number >= 1)?;
    Some(Remark {
        code: "CK015",
        error: false,
        message: format!("shard {} of {}: the rest of the checkpoint is in the others", shard.number, shard.of),
        help: "hand over the index.json or the folder to have all of them read".into(),
        examples: Vec::new(),
    })
}

/// The remark about a safetensors file whose suffix makes loaders take it for a pickle.
fn misnamed(input: &Input) -> Option<Remark> {
    let suffix = input.suffix();
    ["pth", "pt", "ckpt", "bin", "pkl", "pickle"].contains(&suffix.as_str()).then(|| Remark {
        code: "CK013",
        error: false,
        message: format!("the name says .{suffix}, the content is safetensors, which torch.load does not read"),
        help: "rename it to .safetensors".into(),
        examples: Vec::new(),
    })
}
