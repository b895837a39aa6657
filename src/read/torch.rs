//! PyTorch checkpoints in every container they had, and plain pickles of NumPy arrays. Nothing is ever run.

mod archive;
mod carried;
pub(super) mod distributed;
mod end;
mod hidden;
mod keys;
mod legacy;
mod loaded;
mod module;
mod numpy;
mod roles;
mod safety;
mod script;
mod tar;
mod tensors;
mod walk;
mod world;
mod zip;

use std::fs::File;
use std::path::Path;

use super::ReadError;
use super::pickle::Source;
use crate::checkpoint::{Checkpoint, Format};
use loaded::{Loaded, Refusal, remark};

/// Reads `path` if its content is that of a torch zip, a legacy stream, the tar era, a TorchScript archive or a plain pickle;
/// `None` where it is none of them. The file's name plays no part.
///
/// # Errors
/// Where the container is recognised and nothing in it can be read.
pub fn read(path: &Path) -> Result<Option<Checkpoint>, ReadError> {
    let file = File::open(path).map_err(|e| error(path, "CK002", format!("cannot be opened: {e}"), ""))?;
    read_file(path, file)
}

/// As [`read`], of a file that is open already.
///
/// # Errors
/// Where the container is recognised and nothing in it can be read.
pub fn read_file(path: &Path, file: File) -> Result<Option<Checkpoint>, ReadError> {
    let source = Source::file(file).map_err(|e| error(path, "CK002", format!("cannot be read: {e}"), ""))?;
    let loaded = match loaded::open(&source, 0) {
        Err(refusal) => return Err(refused(path, refusal)),
        Ok(Some(loaded)) => Some(loaded),
        Ok(None) => zip::open_prefixed(&source, 0),
    };
    let Some(mut loaded) = loaded else { return Ok(None) };
    disguise(path, &mut loaded);
    let mut checkpoint = Checkpoint::new(path, Format::TorchZip);
    loaded::finish(loaded, &mut checkpoint);
    nothing_read(path, checkpoint).map(Some)
}

/// The dangerous globals that the pickles in a file of another program ask for: an archive, an array of objects, what is compressed.
pub(super) fn dangerous_inside(file: File) -> Vec<String> {
    let inner = Source::file(file).ok().and_then(|source| carried::inside(&source, 0));
    inner.map_or_else(Vec::new, |inner| safety::dangerous(&inner))
}

/// A file that broke off before it gave anything is an error, not an empty checkpoint.
fn nothing_read(path: &Path, checkpoint: Checkpoint) -> Result<Checkpoint, ReadError> {
    let nothing = checkpoint.tensors.is_empty() && checkpoint.unreadable.is_empty() && checkpoint.imports.is_empty();
    match checkpoint.remarks.iter().find(|r| r.code == "CK060") {
        Some(broken) if nothing => Err(error(path, "CK060", broken.message.clone(), &broken.help)),
        _ => Ok(checkpoint),
    }
}

/// A pickle under a name that promises none.
fn disguise(path: &Path, loaded: &mut Loaded) {
    let suffix = path.extension().map(|e| e.to_string_lossy().to_ascii_lowercase()).unwrap_or_default();
    if ["safetensors", "json", "gguf", "onnx", "npy", "npz", "h5"].contains(&suffix.as_str()) {
        let message = format!("the name says .{suffix}, the content is a pickle");
        let help = "what loads it by its content runs what the pickle asks for; ask where the file comes from";
        loaded.remarks.push(remark("CK504", true, message, help));
    }
}

fn refused(path: &Path, refusal: Refusal) -> ReadError {
    error(path, refusal.code, refusal.what, &refusal.remedy)
}

fn error(path: &Path, code: &'static str, what: String, remedy: &str) -> ReadError {
    ReadError { path: path.into(), what, remedy: remedy.into(), code }
}
