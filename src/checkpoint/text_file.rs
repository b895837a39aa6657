//! Small text files that the program is told by: rules, a configuration, a baseline.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::Path;

/// The bytes of a regular file of at most `largest` bytes. A named pipe is not waited for, and a device is not read.
///
/// # Errors
/// Where it is none, is longer, or cannot be read.
pub fn bytes_of(path: &Path, largest: u64) -> io::Result<Vec<u8>> {
    let meta = fs::metadata(path)?;
    if meta.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    if !meta.is_file() {
        return Err(io::Error::other("it is a pipe or a device, not a regular file"));
    }
    bounded(path, largest)
}

/// As [`bytes_of`], as text.
///
/// # Errors
/// As [`bytes_of`], or where it is not UTF-8.
pub fn text_of(path: &Path, largest: u64) -> io::Result<String> {
    utf8(bytes_of(path, largest)?)
}

/// As [`text_of`], of a pipe as well: what the shell hands over for `<(…)` is one.
///
/// # Errors
/// As [`text_of`].
pub fn bounded_text(path: &Path, largest: u64) -> io::Result<String> {
    utf8(bounded(path, largest)?)
}

fn bounded(path: &Path, largest: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(largest.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > largest {
        return Err(io::Error::other(format!("it has more than {largest} bytes")));
    }
    Ok(bytes)
}

fn utf8(bytes: Vec<u8>) -> io::Result<String> {
    String::from_utf8(bytes).map_err(|e| io::Error::new(io::ErrorKind::InvalidData, e.utf8_error()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_that_is_too_long_and_a_folder_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.toml");
        fs::write(&path, "12345").unwrap();
        assert_eq!(text_of(&path, 5).unwrap(), "12345");
        assert!(text_of(&path, 4).unwrap_err().to_string().contains("more than 4 bytes"));
        assert_eq!(text_of(folder.path(), 4).unwrap_err().kind(), io::ErrorKind::IsADirectory);
    }
}
