//! The pickle's bytes as the machine consumes them: read in pieces, long payloads left in the file.

use super::source::Source;

/// Payloads of bytes longer than this stay in the file: nothing but numpy data and nested files is so long.
const FAR_BYTES: u64 = 16 * 1024;
/// Text longer than this stays in the file: protocols 0 to 2 write binary data as text.
const FAR_TEXT: u64 = 1024 * 1024;
/// What is kept of one pickle, at most: instructions and short payloads. A checkpoint of 1.3 million tensors has 170 MB.
const MOST_KEPT: usize = 1 << 30;
/// A line (protocol 0) that is longer is not looked at.
const LONGEST_LINE: u64 = 4 << 30;

/// A run of bytes in the machine's buffers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct Span {
    pub(super) start: u32,
    pub(super) len: u32,
}

impl Span {
    /// How many bytes (or values) it has.
    pub fn len(self) -> usize {
        self.len as usize
    }

    /// Whether it has none.
    pub fn is_empty(self) -> bool {
        self.len == 0
    }
}

/// A payload: kept in the buffer, or left in the source.
pub(super) enum Payload {
    Near(Span),
    Far { at: u64, len: u64 },
}

/// Why no more bytes came.
#[derive(Clone, Debug)]
pub(super) enum Short {
    /// The source has `left` bytes where `wanted` are needed.
    Ends { wanted: u64, left: u64 },
    /// More than [`MOST_KEPT`] bytes of instructions.
    TooMuch,
    /// The system's own words.
    System(String),
}

/// Where the machine is in its source. `buffer` keeps what was consumed, since strings are spans of it.
#[derive(Debug)]
pub(super) struct Cursor {
    source: Source,
    buffer: Vec<u8>,
    at: usize,
    /// Source position of `buffer[0]`, were nothing left out before `at`.
    shift: u64,
    /// Where in the buffer something was left out, and the shift from there on.
    gaps: Vec<(usize, u64)>,
    chunk: usize,
}

impl Cursor {
    pub(super) fn new(source: Source, start: u64) -> Self {
        // A small source is read at once; of a large one the head tells first how much is wanted.
        let left = source.len().saturating_sub(start);
        let chunk = if left <= 16 << 20 { usize::try_from(left).unwrap_or(0).max(1) } else { 64 * 1024 };
        Cursor { source, buffer: Vec::new(), at: 0, shift: start, gaps: vec![(0, start)], chunk }
    }

    pub(super) fn source(&self) -> &Source {
        &self.source
    }

    /// Position in the source.
    pub(super) fn position(&self) -> u64 {
        self.shift + self.at as u64
    }

    /// Bytes consumed and kept.
    pub(super) fn kept(&self) -> usize {
        self.at
    }

    /// Position in the source of what was kept at `span`.
    pub(super) fn position_of(&self, span: Span) -> u64 {
        let start = span.start as usize;
        let gap = self.gaps.partition_point(|&(at, _)| at <= start).saturating_sub(1);
        self.gaps.get(gap).map_or(0, |&(_, shift)| shift) + start as u64
    }

    pub(super) fn get(&self, span: Span) -> &[u8] {
        let start = span.start as usize;
        self.buffer.get(start..start.saturating_add(span.len())).unwrap_or_default()
    }

    fn left(&self) -> u64 {
        self.source.len().saturating_sub(self.position())
    }

    #[inline]
    pub(super) fn byte(&mut self) -> Result<u8, Short> {
        if let Some(&byte) = self.buffer.get(self.at) {
            self.at += 1;
            return Ok(byte);
        }
        self.want(1)?;
        self.at += 1;
        Ok(self.buffer[self.at - 1])
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], Short> {
        self.want(N)?;
        let mut bytes = [0; N];
        bytes.copy_from_slice(&self.buffer[self.at..self.at + N]);
        self.at += N;
        Ok(bytes)
    }

    #[inline]
    pub(super) fn take(&mut self, count: usize) -> Result<Span, Short> {
        self.want(count)?;
        let span = Span { start: self.at as u32, len: count as u32 };
        self.at += count;
        Ok(span)
    }

    /// A payload of bytes (or text) of a declared length.
    pub(super) fn payload(&mut self, len: u64, text: bool) -> Result<Payload, Short> {
        if len > self.left() {
            return Err(Short::Ends { wanted: len, left: self.left() });
        }
        let ahead = (self.buffer.len() - self.at) as u64;
        if len <= ahead || len <= if text { FAR_TEXT } else { FAR_BYTES } {
            return Ok(Payload::Near(self.take(len as usize)?));
        }
        Ok(self.leave_out(len))
    }

    /// Skips `len` bytes, which the source has and the buffer has not, without keeping them.
    fn leave_out(&mut self, len: u64) -> Payload {
        let at = self.position();
        self.buffer.truncate(self.at);
        self.shift += len;
        self.gaps.push((self.at, self.shift));
        Payload::Far { at, len }
    }

    /// Bytes up to a newline, which is consumed and not part of the line. Long lines are left out when `payload` says so.
    pub(super) fn line(&mut self, payload: bool) -> Result<Payload, Short> {
        let mut searched = self.at;
        loop {
            if let Some(i) = self.buffer.get(searched..).unwrap_or_default().iter().position(|&b| b == b'\n') {
                let len = searched + i - self.at;
                let line = Span { start: self.at as u32, len: len as u32 };
                self.at += len + 1;
                return Ok(Payload::Near(line));
            }
            searched = self.buffer.len();
            let have = searched - self.at;
            if have as u64 > FAR_TEXT {
                return if payload { self.far_line() } else { Err(Short::TooMuch) };
            }
            self.want(have + 1)?;
        }
    }

    /// The rest of a line that is too long to keep.
    fn far_line(&mut self) -> Result<Payload, Short> {
        let start = self.position();
        let mut len = 0u64;
        let mut window = vec![0; 256 * 1024];
        loop {
            let got = self.source.read_at(start + len, &mut window).map_err(|e| Short::System(e.to_string()))?;
            if got == 0 || len > LONGEST_LINE {
                return Err(Short::Ends { wanted: len + 1, left: len });
            }
            match window.get(..got).unwrap_or_default().iter().position(|&b| b == b'\n') {
                Some(i) => {
                    let far = self.leave_out(len + i as u64);
                    self.take(1)?;
                    return Ok(far);
                }
                None => len += got as u64,
            }
        }
    }

    /// Makes sure that `count` bytes lie ahead in the buffer.
    #[inline]
    fn want(&mut self, count: usize) -> Result<(), Short> {
        if self.buffer.len() - self.at >= count { Ok(()) } else { self.fill(count) }
    }

    #[cold]
    fn fill(&mut self, count: usize) -> Result<(), Short> {
        let have = self.buffer.len() - self.at;
        if count as u64 > self.left() {
            return Err(Short::Ends { wanted: count as u64, left: self.left() });
        }
        let more = (count - have).max(self.chunk);
        let more = more.min(usize::try_from(self.left()).unwrap_or(usize::MAX) - have);
        if self.buffer.len().saturating_add(more) > MOST_KEPT {
            return Err(Short::TooMuch);
        }
        self.chunk = (self.chunk * 2).min(4 << 20);
        let old = self.buffer.len();
        let from = self.shift + old as u64;
        self.buffer.resize(old + more, 0);
        let got = self.source.read_at(from, &mut self.buffer[old..]).map_err(|e| Short::System(e.to_string()))?;
        self.buffer.truncate(old + got);
        // A file that shrank while it is read ends here.
        if self.buffer.len() - self.at < count {
            return Err(Short::Ends { wanted: count as u64, left: (self.buffer.len() - self.at) as u64 });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_payload_is_left_out_and_positions_stay_right() {
        let mut bytes = b"ab".to_vec();
        bytes.extend(vec![7; 20 << 20]);
        bytes.extend(b"cd\nrest");
        let mut cursor = Cursor::new(Source::memory(bytes), 0);
        let first = cursor.take(2).unwrap();
        assert!(matches!(cursor.payload(20 << 20, false), Ok(Payload::Far { at: 2, len: 20_971_520 })));
        assert_eq!(cursor.position(), 20_971_522);
        assert!(cursor.buffer.len() < 100_000);
        let Ok(Payload::Near(line)) = cursor.line(true) else { panic!("a short line") };
        assert_eq!(cursor.get(line), b"cd");
        assert_eq!(cursor.position_of(line), 20_971_522);
        assert_eq!(cursor.position_of(first), 0);
        assert!(matches!(cursor.take(5), Err(Short::Ends { wanted: 5, left: 4 })));
    }
}
