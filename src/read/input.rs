//! A path, opened once: what kind of thing it is, how long, and its first bytes. Nothing that could block is ever opened.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use super::ReadError;

/// How many of the first bytes are kept for telling formats apart.
const HEAD: usize = 4096;

/// A regular file, open for reading.
pub(crate) struct Input {
    /// The path as given.
    pub path: PathBuf,
    /// The open file.
    pub file: File,
    /// Size in bytes when it was opened.
    pub len: u64,
    /// The first bytes, at most 4096.
    pub head: Vec<u8>,
}

/// What a path names.
pub(crate) enum Named {
    /// A directory.
    Directory,
    /// A regular file.
    File(Input),
}

impl Input {
    /// A refusal of this file.
    pub(crate) fn error(&self, code: &'static str, what: impl Into<String>, remedy: impl Into<String>) -> ReadError {
        ReadError { path: self.path.clone(), what: what.into(), remedy: remedy.into(), code }
    }

    /// The whole file, where it is no longer than `most` bytes.
    pub(crate) fn read_all(&mut self, most: u64) -> Result<Vec<u8>, ReadError> {
        if self.len > most {
            let what = format!("a text file of {} bytes; ckdiff reads up to {most}", self.len);
            return Err(self.error("CK001", what, "hand over the checkpoint itself"));
        }
        self.read_range(0, self.len)
    }

    /// `count` bytes from `start` on; an error when the file ends before that (it may have shrunk since it was opened).
    pub(crate) fn read_range(&mut self, start: u64, count: u64) -> Result<Vec<u8>, ReadError> {
        let end = start.checked_add(count).filter(|&end| end <= self.len);
        let (Some(_), Ok(size)) = (end, usize::try_from(count)) else {
            return Err(self.error("CK002", format!("the file ends before byte {}", start.saturating_add(count)), ""));
        };
        let mut bytes = vec![0; size];
        let got = self.file.seek(SeekFrom::Start(start)).and_then(|_| self.file.read_exact(&mut bytes));
        got.map_err(|e| self.error("CK002", format!("cannot read {count} bytes at byte {start}: {}", plain(&e)), ""))?;
        Ok(bytes)
    }

    /// The suffix of the file's name in lower case, without the dot; empty where there is none.
    pub(crate) fn suffix(&self) -> String {
        self.path.extension().map(|e| e.to_string_lossy().to_ascii_lowercase()).unwrap_or_default()
    }
}

/// Looks at what `path` names, and opens it if that is a regular file.
pub(crate) fn open(path: &Path) -> Result<Named, ReadError> {
    let refuse =
        |what: String, remedy: &str| ReadError { path: path.into(), what, remedy: remedy.into(), code: "CK002" };
    // The type is asked for before opening, since opening a FIFO blocks until somebody writes to it.
    let meta = match std::fs::metadata(path) {
        Ok(meta) => meta,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            if let Ok(target) = std::fs::read_link(path) {
                let what = format!("a symbolic link to {}, which does not exist", name_of(&target));
                return Err(refuse(what, "fetch the file that it points to"));
            }
            return Err(refuse("no such file or directory".into(), "check the path"));
        }
        Err(e) if is_link_loop(path, &e) => {
            return Err(refuse("a symbolic link that leads back to itself".into(), "hand over the file itself"));
        }
        Err(e) => {
            return Err(refuse(format!("cannot be looked at: {}", plain(&e)), "check the path and its permissions"));
        }
    };
    if meta.is_dir() {
        return Ok(Named::Directory);
    }
    if !meta.is_file() {
        let what = format!("{}, not a regular file", special(&meta.file_type()));
        return Err(refuse(what, "write the checkpoint to a file and hand that over"));
    }
    let mut file =
        File::open(path).map_err(|e| refuse(format!("cannot be opened: {}", plain(&e)), "check its permissions"))?;
    let len = file.metadata().map_or(meta.len(), |m| m.len());
    let mut head = Vec::new();
    let read = Read::by_ref(&mut file).take(HEAD as u64).read_to_end(&mut head);
    read.map_err(|e| refuse(format!("cannot be read: {}", plain(&e)), ""))?;
    Ok(Named::File(Input { path: path.into(), file, len, head }))
}

/// An error of the system in lower case and without its number: `permission denied`.
pub(crate) fn plain(error: &std::io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or(&text);
    let mut chars = text.chars();
    chars.next().map(|c| c.to_lowercase().chain(chars).collect()).unwrap_or_default()
}

/// A path as it can be shown: escaped, and readable where it is not UTF-8.
pub(crate) fn name_of(path: &Path) -> String {
    crate::checkpoint::escaped(&path.to_string_lossy()).into_owned()
}

/// Whether looking at `path` failed since its links go round in a circle.
fn is_link_loop(path: &Path, error: &std::io::Error) -> bool {
    // `ErrorKind::FilesystemLoop` is not stable; a link that exists and that cannot be followed for this reason is one.
    let looks_so = error.to_string().contains("symbolic link") || error.raw_os_error() == Some(40);
    looks_so && std::fs::symlink_metadata(path).is_ok_and(|m| m.file_type().is_symlink())
}

/// A word for what is neither file nor directory.
#[cfg(unix)]
fn special(kind: &std::fs::FileType) -> &'static str {
    use std::os::unix::fs::FileTypeExt as _;
    if kind.is_fifo() {
        "a named pipe"
    } else if kind.is_socket() {
        "a socket"
    } else if kind.is_char_device() || kind.is_block_device() {
        "a device"
    } else {
        "something special"
    }
}

/// A word for what is neither file nor directory.
#[cfg(not(unix))]
fn special(_: &std::fs::FileType) -> &'static str {
    "something special"
}
