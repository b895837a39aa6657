//! Random access to the bytes of a file, of a part of it, or of memory.

use std::fs::File;
use std::io;
use std::sync::Arc;

use crate::read::at::fill;

/// Bytes that can be read at any place. Cloning is cheap; a section shares the file.
#[derive(Clone, Debug)]
pub struct Source {
    kind: Kind,
    start: u64,
    len: u64,
}

#[derive(Clone, Debug)]
enum Kind {
    File(Arc<File>),
    Memory(Arc<[u8]>),
}

impl Source {
    /// A whole file, as long as it is now.
    ///
    /// # Errors
    /// Where the file's size cannot be asked for.
    pub fn file(file: File) -> io::Result<Source> {
        let len = file.metadata()?.len();
        Ok(Source { kind: Kind::File(Arc::new(file)), start: 0, len })
    }

    /// Bytes held in memory (an inflated zip member, a decoded string).
    pub fn memory(bytes: Vec<u8>) -> Source {
        let len = bytes.len() as u64;
        Source { kind: Kind::Memory(bytes.into()), start: 0, len }
    }

    /// Size in bytes.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether there is nothing to read.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The part from `start` on, at most `len` bytes; shorter where the bytes end.
    pub fn section(&self, start: u64, len: u64) -> Source {
        let start = start.min(self.len);
        let len = len.min(self.len - start);
        Source { kind: self.kind.clone(), start: self.start + start, len }
    }

    /// Where byte `at` stands in the file; `None` for memory, which has no place there.
    pub fn place_in_file(&self, at: u64) -> Option<u64> {
        match self.kind {
            Kind::File(_) => self.start.checked_add(at),
            Kind::Memory(_) => None,
        }
    }

    /// Fills `into` from byte `at` on as far as the bytes reach; how many were read.
    ///
    /// # Errors
    /// What the system says when the file cannot be read.
    pub fn read_at(&self, at: u64, into: &mut [u8]) -> io::Result<usize> {
        let left = self.len.saturating_sub(at);
        let want = usize::try_from(left).unwrap_or(usize::MAX).min(into.len());
        let into = &mut into[..want];
        match &self.kind {
            Kind::File(file) => fill(file, self.start + at, into),
            Kind::Memory(bytes) => {
                // Sections are cut within the bytes, so both conversions and the range hold; a lie reads nothing.
                let from = usize::try_from(self.start + at).unwrap_or(usize::MAX);
                let Some(part) = bytes.get(from..from.saturating_add(want)) else { return Ok(0) };
                into.copy_from_slice(part);
                Ok(want)
            }
        }
    }

    /// The bytes from `at` on, `count` of them or as many as there are.
    ///
    /// # Errors
    /// What the system says when the file cannot be read.
    pub fn bytes(&self, at: u64, count: usize) -> io::Result<Vec<u8>> {
        let left = usize::try_from(self.len.saturating_sub(at)).unwrap_or(usize::MAX);
        let mut bytes = vec![0; count.min(left)];
        let got = self.read_at(at, &mut bytes)?;
        bytes.truncate(got);
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_section_never_reaches_beyond_its_end() {
        let source = Source::memory(b"0123456789".to_vec()).section(2, 5);
        assert_eq!(source.bytes(0, 100).unwrap(), b"23456");
        assert_eq!(source.bytes(3, 1).unwrap(), b"5");
        assert_eq!(source.bytes(9, 4).unwrap(), b"");
        assert_eq!(source.section(4, u64::MAX).bytes(0, 9).unwrap(), b"6");
    }
}
