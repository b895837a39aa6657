//! From a path to a [`Checkpoint`]: header only, in stored order, one bad tensor never loses the file.

use std::path::{Path, PathBuf};

use crate::checkpoint::Checkpoint;

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
        write!(f, "{}: {}", self.path.display(), self.what)?;
        if !self.remedy.is_empty() {
            write!(f, "; {}", self.remedy)?;
        }
        Ok(())
    }
}

impl std::error::Error for ReadError {}

/// Reads whatever `path` is: a checkpoint in any container format, an index of shards, a directory, expected.json.
///
/// # Errors
/// Where nothing can be read: the path names no checkpoint, or one whose outermost structure is broken.
pub fn read(path: &Path) -> Result<Checkpoint, ReadError> {
    Err(ReadError { path: path.into(), what: "no reader yet".into(), remedy: String::new(), code: "CK001" })
}
