//! The bytes of tensors: out of whatever file, byte order, strides or packing they stand in, as contiguous little-endian
//! numbers in row-major order.
//!
//! Nothing is read until it is asked for, and nothing needs more memory than the piece that is asked for; the exceptions
//! are views whose elements lie scattered (a transposed matrix), whose part of the storage is held once, and deflated
//! members. Files are read with `pread`, never mapped: a file that shrinks under our hands is an error, not a signal.

use std::fmt;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use crate::checkpoint::{Checkpoint, Coding, Dtype, DtypeKind, Storage, TensorInfo, escaped, quoted};

mod gather;
mod store;
mod view;

use store::Store;
pub use view::View;

/// Bytes that [`Tensor::each_chunk`] hands out at a time.
pub const CHUNK: usize = 1 << 20;

/// Why bytes cannot be had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PayloadError {
    /// The file.
    pub path: PathBuf,
    /// The tensor, as the file names it; empty where the error is of the file as a whole.
    pub key: String,
    /// Byte of the file, where known.
    pub at: Option<u64>,
    /// What is wrong, in lower case.
    pub what: String,
    /// What to do about it; may be empty.
    pub remedy: &'static str,
}

impl fmt::Display for PayloadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", escaped(&self.path.to_string_lossy()))?;
        if !self.key.is_empty() {
            write!(f, "{}: ", quoted(&self.key))?;
        }
        f.write_str(&escaped(&self.what))?;
        if let Some(at) = self.at {
            write!(f, " (byte {at})")?;
        }
        if !self.remedy.is_empty() {
            write!(f, "; {}", self.remedy)?;
        }
        Ok(())
    }
}

impl std::error::Error for PayloadError {}

/// The files of one checkpoint, each opened when it is first needed. Safe to share between threads.
#[derive(Debug)]
pub struct Payload<'a> {
    checkpoint: &'a Checkpoint,
    files: Vec<OnceLock<Result<Arc<Store>, String>>>,
    /// The deflated storage that was unpacked last: tensors that share one follow each other.
    unpacked: Mutex<Option<(u32, Arc<Store>)>>,
}

impl<'a> Payload<'a> {
    /// Access to the bytes of `checkpoint`; opens nothing yet.
    pub fn new(checkpoint: &'a Checkpoint) -> Self {
        let files = checkpoint.files.iter().map(|_| OnceLock::new()).collect();
        Payload { checkpoint, files, unpacked: Mutex::new(None) }
    }

    /// The bytes of one of its tensors.
    ///
    /// # Errors
    /// Where the checkpoint has no bytes for it (a list of keys, a meta tensor), where they cannot be reached (within
    /// text, sparse), or where its file cannot be opened or is shorter than it was.
    pub fn tensor(&self, tensor: &TensorInfo) -> Result<Tensor, PayloadError> {
        let error = |what: String, remedy| self.error(tensor, None, what, remedy);
        let (Some(dtype), Some(shape)) = (tensor.dtype, &tensor.shape) else {
            return Err(error("its dtype or shape is not known".into(), "hand over the checkpoint itself"));
        };
        let bits = u64::from(dtype.bits());
        let bytes = shape.numel().and_then(|n| n.checked_mul(bits)).map(|bits| bits.div_ceil(8));
        let Some(len) = bytes else { return Err(error(format!("shape {shape} is larger than any file"), "")) };
        let Some(placement) = &tensor.placement else {
            return Err(error(
                "it has no bytes (a list of keys, a meta or sparse tensor, a lazy negation)".into(),
                "save it with its values",
            ));
        };
        let Some(storage) = self.checkpoint.storages.get(placement.storage as usize) else {
            return Err(error("its storage is not there".into(), ""));
        };
        let (store, start, swapped) = self.store(placement.storage, storage).map_err(|(at, what, remedy)| {
            let path = self.path(storage).to_owned();
            PayloadError { path, key: tensor.path.to_string(), at, what, remedy }
        })?;
        let view = match (&placement.strides, bits.is_multiple_of(8)) {
            (Some(strides), true) => View::strided(shape.dims(), strides, bits / 8),
            (None, _) => View::contiguous(shape.dims(), bits),
            (Some(_), false) => None,
        };
        let Some(view) = view else {
            return Err(error(format!("strides of {dtype}, whose elements are no whole bytes"), "make it contiguous"));
        };
        let offset = placement.offset.checked_mul(bits).map(|bits| bits / 8);
        let Some((first, end)) = offset.and_then(|offset| view.reach(offset)) else {
            return Err(error("its strides lead beyond 64 bits".into(), "the file is damaged; save it again"));
        };
        if end > storage.bytes {
            let what = format!("it reaches to byte {end} of a storage of {}", storage.bytes);
            return Err(error(what, "the file is damaged; download it again"));
        }
        // An expanded view is larger than what it repeats, without bounds; what nobody could load is not read.
        if len > (1 << 30) && len / 16 > end - first {
            let what = format!("it repeats {} bytes to {len}", end - first);
            return Err(error(what, "save the tensor without expanding it"));
        }
        let unit = if swapped { unit(dtype) } else { 1 };
        let offset = offset.unwrap_or(0);
        let made = Tensor {
            store,
            start: start + offset,
            span: (start + first, start + end),
            view,
            len,
            unit,
            dtype,
            key: tensor.path.clone(),
            held: OnceLock::new(),
        };
        made.check_length()?;
        Ok(made)
    }

    fn path(&self, storage: &Storage) -> &Path {
        self.checkpoint.files.get(storage.file as usize).unwrap_or(&self.checkpoint.path)
    }

    fn error(&self, tensor: &TensorInfo, at: Option<u64>, what: String, remedy: &'static str) -> PayloadError {
        let storage = tensor.placement.as_ref().and_then(|p| self.checkpoint.storages.get(p.storage as usize));
        let path = storage.map_or(&*self.checkpoint.path, |s| self.path(s)).to_owned();
        PayloadError { path, key: tensor.path.to_string(), at, what, remedy }
    }

    /// Where the bytes of a storage can be read: the file and the first byte, or memory where they had to be unpacked;
    /// and whether they are big-endian.
    fn store(
        &self,
        number: u32,
        storage: &Storage,
    ) -> Result<(Arc<Store>, u64, bool), (Option<u64>, String, &'static str)> {
        let again = "download it again";
        let Some(start) = storage.start else {
            let what = "its values stand within a pickle as text, or within a packed pickle".into();
            return Err((None, what, "save the checkpoint again with torch.save"));
        };
        let slot = self.files.get(storage.file as usize).ok_or_else(|| (None, "its file is not listed".into(), ""))?;
        let file = slot.get_or_init(|| Store::open(self.path(storage)).map(Arc::new)).clone();
        let file = file.map_err(|what| (None, what, "check the path and its permissions"))?;
        let (packed, swapped) = match storage.coding {
            Coding::Plain => return Ok((file, start, false)),
            Coding::Swapped => return Ok((file, start, true)),
            Coding::Deflated { packed, swapped } => (packed, swapped),
        };
        let mut last = self.unpacked.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, store)) = last.as_ref().filter(|(n, _)| *n == number) {
            return Ok((store.clone(), 0, swapped));
        }
        // The old one goes before the new one comes: one is held at a time.
        *last = None;
        let store = file.inflate(start, packed, storage.bytes).map_err(|what| (Some(start), what, again))?;
        let store = Arc::new(store);
        *last = Some((number, store.clone()));
        Ok((store, 0, swapped))
    }
}

/// How many bytes are one number, whose order a big-endian file reverses.
fn unit(dtype: Dtype) -> usize {
    let bytes = match dtype {
        Dtype::Text(_) => 4,
        other if other.kind() == DtypeKind::Complex => other.bits() / 16,
        other => other.bits() / 8,
    };
    (bytes as usize).max(1)
}

/// A piece of a file that holds bytes as they are wanted.
#[derive(Clone, Copy, Debug)]
pub struct FileRange<'a> {
    /// The open file.
    pub file: &'a File,
    /// Its path.
    pub path: &'a Path,
    /// First byte.
    pub start: u64,
    /// How many bytes.
    pub len: u64,
}

/// One tensor's bytes: contiguous, row-major, little-endian, however they stand in the file.
///
/// Cheap to cut, transpose and hand to another thread; [`read_at`](Tensor::read_at) does the work.
#[derive(Clone, Debug)]
pub struct Tensor {
    store: Arc<Store>,
    /// Byte of the element at index 0 in every dimension.
    start: u64,
    /// First byte of the store that belongs to it, and the one behind the last.
    span: (u64, u64),
    view: View,
    /// Bytes when contiguous.
    len: u64,
    /// Bytes whose order is reversed, together; 1 where nothing is.
    unit: usize,
    dtype: Dtype,
    key: Box<str>,
    /// The span in memory, of views whose elements lie scattered.
    held: OnceLock<Result<Arc<Vec<u8>>, PayloadError>>,
}

impl Tensor {
    /// Size in bytes.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether it has no elements.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// How many elements.
    pub fn numel(&self) -> u64 {
        self.view.numel()
    }

    /// The element type.
    pub fn dtype(&self) -> Dtype {
        self.dtype
    }

    /// The sizes of its dimensions.
    pub fn shape(&self) -> &[u64] {
        self.view.shape()
    }

    /// Where the bytes stand in a file exactly as [`read_at`](Tensor::read_at) gives them; `None` where they have to be
    /// gathered, swapped or unpacked.
    pub fn range(&self) -> Option<FileRange<'_>> {
        let plain = self.view.is_contiguous() && self.unit == 1;
        let (file, path) = self.store.file().filter(|_| plain)?;
        Some(FileRange { file, path, start: self.start, len: self.len })
    }

    /// Bytes of memory that it takes while it is read, besides the buffer: its span where elements lie scattered, what it
    /// was unpacked or gathered into, otherwise nothing.
    pub fn resident(&self) -> u64 {
        match (self.store.memory(), self.view.is_contiguous()) {
            (Some(bytes), _) => bytes.len() as u64,
            (None, true) => 0,
            (None, false) => self.span.1 - self.span.0,
        }
    }

    /// Fills `into` with the bytes from `at` on.
    ///
    /// # Errors
    /// Where the file ends before that, or cannot be read; also where `at` plus the length of `into` is beyond the tensor.
    pub fn read_at(&self, at: u64, into: &mut [u8]) -> Result<(), PayloadError> {
        let end = at.checked_add(into.len() as u64);
        if end.is_none_or(|end| end > self.len) {
            return Err(self.error(None, format!("{} bytes from {at} on, of {}", into.len(), self.len)));
        }
        if into.is_empty() {
            return Ok(());
        }
        if self.view.is_contiguous() && self.unit == 1 {
            return self.copy(self.start + at, into);
        }
        // Elements are gathered and swapped whole: what begins or ends within one takes a detour.
        let whole = self.view.item().unwrap_or(1).max(self.unit as u64);
        let (before, behind) = (at % whole, (whole - (at + into.len() as u64) % whole) % whole);
        if (before, behind) == (0, 0) {
            return self.read_whole(at, into);
        }
        let mut wide = vec![0; into.len() + (before + behind) as usize];
        self.read_whole(at - before, &mut wide)?;
        let part = wide.get(before as usize..before as usize + into.len()).unwrap_or_default();
        into.copy_from_slice(part);
        Ok(())
    }

    /// All bytes at once.
    ///
    /// # Errors
    /// As [`read_at`](Tensor::read_at).
    pub fn read_all(&self) -> Result<Vec<u8>, PayloadError> {
        let size = usize::try_from(self.len).map_err(|_| self.error(None, "more bytes than memory has".into()))?;
        let mut bytes = vec![0; size];
        self.read_at(0, &mut bytes)?;
        Ok(bytes)
    }

    /// Hands out all bytes in order, [`CHUNK`] at a time, in a buffer that is used again.
    ///
    /// # Errors
    /// As [`read_at`](Tensor::read_at), and what `take` returns.
    pub fn each_chunk<E: From<PayloadError>>(
        &self,
        buffer: &mut Vec<u8>,
        mut take: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut at = 0;
        while at < self.len {
            let count = (self.len - at).min(CHUNK as u64) as usize;
            if buffer.len() < count {
                buffer.resize(count, 0);
            }
            let part = buffer.get_mut(..count).unwrap_or_default();
            self.read_at(at, part)?;
            take(part)?;
            at += count as u64;
        }
        Ok(())
    }

    fn read_whole(&self, at: u64, into: &mut [u8]) -> Result<(), PayloadError> {
        if self.view.is_contiguous() {
            self.copy(self.start + at, into)?;
        } else {
            self.gather(at, into)?;
        }
        if self.unit > 1 {
            into.chunks_exact_mut(self.unit).for_each(<[u8]>::reverse);
        }
        Ok(())
    }

    fn copy(&self, at: u64, into: &mut [u8]) -> Result<(), PayloadError> {
        self.store.read_exact_at(at, into).map_err(|what| self.error(Some(at), what))
    }

    fn check_length(&self) -> Result<(), PayloadError> {
        let (there, end) = (self.store.len(), self.span.1);
        if end > there && !self.is_empty() {
            let what = format!("the file has {there} bytes, its values reach to byte {end}");
            return Err(self.error(None, what));
        }
        Ok(())
    }

    fn error(&self, at: Option<u64>, what: String) -> PayloadError {
        let path = self.store.path().to_owned();
        PayloadError {
            path,
            key: self.key.to_string(),
            at,
            what,
            remedy: "read it again; it may have changed meanwhile",
        }
    }
}

impl Tensor {
    /// The same elements with the dimensions in another order, as `torch.permute`; `None` where `order` is no permutation.
    pub fn permute(&self, order: &[usize]) -> Option<Tensor> {
        Some(self.with_view(self.view.permute(order)?, self.start))
    }

    /// `len` indices of dimension `dim` from `from` on, as `torch.narrow`; `None` where they are not there.
    pub fn narrow(&self, dim: usize, from: u64, len: u64) -> Option<Tensor> {
        let (view, skip) = self.view.narrow(dim, from, len)?;
        Some(self.with_view(view, self.start.checked_add_signed(skip)?))
    }

    /// The same elements in the same order under another shape; `None` where their number differs or they would have to
    /// be copied first.
    pub fn reshape(&self, shape: &[u64]) -> Option<Tensor> {
        Some(self.with_view(self.view.reshape(shape)?, self.start))
    }

    /// The same elements, brought together in memory.
    ///
    /// # Errors
    /// As [`read_at`](Tensor::read_at).
    pub fn gathered(&self) -> Result<Tensor, PayloadError> {
        let bytes = self.read_all()?;
        let bits = u64::from(self.dtype.bits());
        let view = View::contiguous(self.shape(), bits).ok_or_else(|| self.error(None, "too large".into()))?;
        let (span, path) = ((0, self.len), self.store.path());
        let store = Arc::new(Store::of_memory(path, bytes));
        Ok(Tensor { store, start: 0, span, view, unit: 1, key: self.key.clone(), held: OnceLock::new(), ..*self })
    }

    fn with_view(&self, view: View, start: u64) -> Tensor {
        let span = view.reach(start).unwrap_or(self.span);
        let (store, key) = (self.store.clone(), self.key.clone());
        Tensor { store, start, span, len: view.len(), view, key, held: OnceLock::new(), ..*self }
    }
}

#[cfg(test)]
mod tests;
