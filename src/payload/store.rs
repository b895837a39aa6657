//! Bytes that can be read at any place: of an open file, or of memory.

use std::fs::File;
use std::path::{Path, PathBuf};

use crate::read::at;

/// More than this is unpacked only from a member that is packed at most 200 to 1, as weights at their best are.
const UNPACKED: u64 = 1 << 30;

/// See the module.
#[derive(Debug)]
pub(super) struct Store {
    path: PathBuf,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    File { file: File, len: u64 },
    Memory(Vec<u8>),
}

impl Store {
    /// Opens a file.
    ///
    /// # Errors
    /// What the system says, in lower case.
    pub(super) fn open(path: &Path) -> Result<Store, String> {
        let file = File::open(path).map_err(|e| format!("cannot be opened: {e}"))?;
        let len = file.metadata().map_err(|e| format!("cannot be looked at: {e}"))?.len();
        Ok(Store { path: path.to_owned(), kind: Kind::File { file, len } })
    }

    /// Bytes that came from a file.
    pub(super) fn of_memory(path: &Path, bytes: Vec<u8>) -> Store {
        Store { path: path.to_owned(), kind: Kind::Memory(bytes) }
    }

    /// The file that it stands in, or that it was unpacked from.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The open file; `None` of memory.
    pub(super) fn file(&self) -> Option<(&File, &Path)> {
        match &self.kind {
            Kind::File { file, .. } => Some((file, &self.path)),
            Kind::Memory(_) => None,
        }
    }

    /// Its bytes where they are in memory already.
    pub(super) fn memory(&self) -> Option<&[u8]> {
        match &self.kind {
            Kind::File { .. } => None,
            Kind::Memory(bytes) => Some(bytes),
        }
    }

    /// Size in bytes; of a file when it was opened.
    pub(super) fn len(&self) -> u64 {
        match &self.kind {
            Kind::File { len, .. } => *len,
            Kind::Memory(bytes) => bytes.len() as u64,
        }
    }

    /// Fills `into` from byte `at` on.
    ///
    /// # Errors
    /// Where the bytes end before that, or the system refuses.
    pub(super) fn read_exact_at(&self, at: u64, into: &mut [u8]) -> Result<(), String> {
        match &self.kind {
            Kind::File { file, .. } => read_exact_at(file, at, into),
            Kind::Memory(bytes) => {
                let from = usize::try_from(at).map_err(|e| e.to_string())?;
                let part = from.checked_add(into.len()).and_then(|end| bytes.get(from..end));
                into.copy_from_slice(part.ok_or("it ends before its values do")?);
                Ok(())
            }
        }
    }

    /// Unpacks a deflated member of `packed` bytes into `size` bytes of memory.
    ///
    /// # Errors
    /// Where the data is broken, or has another size.
    pub(super) fn inflate(&self, start: u64, packed: u64, size: u64) -> Result<Store, String> {
        if packed > self.len() {
            return Err(format!("a member of {packed} bytes in a file of {}", self.len()));
        }
        if size > UNPACKED.max(packed.saturating_mul(200)) {
            return Err(format!("{size} bytes packed into {packed}, more than ckdiff unpacks"));
        }
        let fits = |n: u64| usize::try_from(n).map_err(|e| e.to_string());
        let mut bytes = vec![0; fits(packed)?];
        self.read_exact_at(start, &mut bytes)?;
        // TorchScript's records may be longer than the storage says: the rest is not needed, and not kept.
        let limit = fits(size)?;
        let found = match miniz_oxide::inflate::decompress_to_vec_with_limit(&bytes, limit) {
            Ok(found) => found,
            Err(e) if e.output.len() == limit => e.output,
            Err(e) => return Err(format!("its deflated data is broken ({:?})", e.status)),
        };
        if found.len() < limit {
            return Err(format!("it unpacks to {} bytes, {size} are wanted", found.len()));
        }
        Ok(Store { path: self.path.clone(), kind: Kind::Memory(found) })
    }
}

fn read_exact_at(file: &File, at: u64, into: &mut [u8]) -> Result<(), String> {
    let wanted = into.len();
    match at::fill(file, at, into) {
        Ok(n) if n == wanted => Ok(()),
        Ok(n) => Err(format!("the file ends, {} bytes too early", wanted - n)),
        Err(e) => Err(format!("cannot be read: {e}")),
    }
}
