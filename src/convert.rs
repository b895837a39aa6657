//! Writes the checkpoint that would load: a plan of what becomes what, and the bytes of it as safetensors.
//!
//! A plan is made from names, shapes and dtypes alone ([`Plan`]); writing it streams: of the values no more is in memory
//! than one tensor, and mostly a few pieces of one. Nothing is left half-done: files are written under another name and
//! renamed when they are complete ([`write()`]).

use std::fmt;
use std::path::PathBuf;

use crate::checkpoint::{Dtype, escaped};
use crate::payload::PayloadError;

mod atomic;
mod cast;
mod cuts;
mod fit;
mod header;
mod layout;
mod made;
mod matched;
mod pieces;
mod plan;
mod produce;
mod renames;
mod resize;
mod shards;
mod write;

pub use atomic::leftovers;
pub use cast::is_number;
pub use plan::{Change, Output, Plan, Recipe, Share, Step};
pub use renames::Renames;
pub use resize::Resize;
pub use shards::{names, parse_size};
pub use write::{Destination, Written, write};

/// What may be done to the values besides moving them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// The dtype that floating-point tensors get; `None` keeps each as it is.
    pub dtype: Option<Dtype>,
    /// Whether tensors are resized where a rule says how.
    pub resize: bool,
    /// Whether what does not fit is left out instead of refused.
    pub partial: bool,
    /// Whether tensors count that have no values in the file: for a plan that is only read.
    pub unread: bool,
    /// In how many groups the rows of fused queries, keys and values come; `None` where names have to say it.
    pub groups: Option<u64>,
}

/// Why nothing was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConvertError {
    /// The file concerned, where it is one.
    pub path: Option<PathBuf>,
    /// What is wrong, in lower case.
    pub what: String,
    /// What to do about it; may be empty.
    pub remedy: String,
}

impl ConvertError {
    /// An error that is not about one file.
    pub fn new(what: impl Into<String>, remedy: impl Into<String>) -> Self {
        ConvertError { path: None, what: what.into(), remedy: remedy.into() }
    }

    /// The same about a file.
    #[must_use]
    pub fn at(self, path: impl Into<PathBuf>) -> Self {
        ConvertError { path: Some(path.into()), ..self }
    }
}

impl fmt::Display for ConvertError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(path) = &self.path {
            write!(f, "{}: ", escaped(&path.to_string_lossy()))?;
        }
        f.write_str(&self.what)?;
        if !self.remedy.is_empty() {
            write!(f, "; {}", self.remedy)?;
        }
        Ok(())
    }
}

impl std::error::Error for ConvertError {}

impl From<PayloadError> for ConvertError {
    fn from(e: PayloadError) -> Self {
        let remedy = e.remedy.to_owned();
        let path = e.path.clone();
        let what = PayloadError { path: PathBuf::new(), remedy: "", ..e }.to_string();
        ConvertError { path: Some(path), what: what.trim_start_matches(": ").to_owned(), remedy }
    }
}

/// Whether a safetensors file can hold a dtype (crate `safetensors` 0.8, `Dtype`).
pub fn storable(dtype: Dtype) -> bool {
    safetensors::Dtype::from_name(dtype).is_some()
}

/// The counterpart of one of our dtypes in the safetensors crate.
trait FromName: Sized {
    fn from_name(dtype: Dtype) -> Option<Self>;
}

impl FromName for safetensors::Dtype {
    fn from_name(dtype: Dtype) -> Option<Self> {
        serde_json::from_value(serde_json::Value::from(dtype.name())).ok()
    }
}
