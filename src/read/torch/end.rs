//! The end record of a zip archive as PyTorch and Python's zipfile take it, where it contradicts itself.
//!
//! Both go by the record of 64 bits wherever its locator stands, though the one of 32 bits says something else, and neither minds a
//! comment that is shorter than declared. rawzip is handed the record as they see it.

use crate::read::pickle::Source;

/// Bytes of the end record without its comment, of the locator before it, and of the record of 64 bits (APPNOTE.TXT 4.3.14 to 4.3.16).
const RECORD: usize = 22;
const LOCATOR: u64 = 20;
const RECORD64: usize = 56;

/// A [`Source`] whose end record is as its readers take it.
pub(super) struct End<'a> {
    source: &'a Source,
    /// Where the record stands, and what is read there.
    record: Option<(u64, [u8; RECORD])>,
    /// The same without a look at the record of 64 bits.
    narrow: Option<(u64, [u8; RECORD])>,
    oddities: Vec<String>,
}

impl<'a> End<'a> {
    /// Looks for the record from the end on.
    pub(super) fn find(source: &'a Source) -> Self {
        let mut end = End { source, record: None, narrow: None, oddities: Vec::new() };
        let start = source.len().saturating_sub(super::archive::SEARCH);
        let tail = source.bytes(start, super::archive::SEARCH as usize).unwrap_or_default();
        let Some(at) = tail.windows(RECORD).rposition(|w| w.starts_with(b"PK\x05\x06")) else { return end };
        let Some(mut record) = tail.get(at..).and_then(|rest| rest.first_chunk::<RECORD>().copied()) else {
            return end;
        };
        let place = start + at as u64;
        let comment = usize::from(u16::from_le_bytes([record[20], record[21]]));
        let left = tail.len() - at - RECORD;
        if comment > left {
            end.oddities.push(format!("its end declares a comment of {comment} bytes, and the file ends after {left}"));
            record[20..].copy_from_slice(&(left as u16).to_le_bytes());
        }
        end.narrow = Some((place, record));
        end.widen(place, &mut record);
        end.record = Some((place, record));
        end
    }

    /// As [`find`](End::find), going by the record of 32 bits.
    pub(super) fn narrow(source: &'a Source) -> Self {
        let end = End::find(source);
        End { record: end.narrow, ..end }
    }

    /// Makes the record point to the one of 64 bits where there is one.
    fn widen(&mut self, place: u64, record: &mut [u8; RECORD]) {
        let Some(at) = place.checked_sub(LOCATOR) else { return };
        let locator = self.source.bytes(at, LOCATOR as usize).unwrap_or_default();
        let Some(target) = locator.get(8..16).filter(|_| locator.starts_with(b"PK\x06\x07")).map(number) else {
            return;
        };
        let wide = self.source.bytes(target, RECORD64).unwrap_or_default();
        if wide.len() < RECORD64 || !wide.starts_with(b"PK\x06\x06") {
            return;
        }
        if target.checked_add(RECORD64 as u64) != Some(at) {
            self.oddities.push(format!(
                "its end record of 64 bits is looked for at byte {target} by some, before byte {at} by others"
            ));
        }
        // Members on this disk, members, size and start of the directory.
        let pairs = [(8..10, 24..32), (10..12, 32..40), (12..16, 40..48), (16..20, 48..56)];
        let differs = pairs.into_iter().filter(|(narrow, wide64)| {
            let (Some(short), Some(long)) = (record.get(narrow.clone()), wide.get(wide64.clone())) else { return true };
            short.iter().any(|&b| b != 0xff) && number(short) != number(long)
        });
        if differs.count() > 0 {
            self.oddities.push("its two end records, of 32 and of 64 bits, lead to different directories".into());
        }
        record[8..20].fill(0xff);
    }

    /// What is wrong with it.
    pub(super) fn oddities(&self) -> Vec<String> {
        self.oddities.clone()
    }
}

impl rawzip::ReaderAt for End<'_> {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> std::io::Result<usize> {
        let count = self.source.read_at(offset, buffer)?;
        if let Some((place, record)) = &self.record {
            for (i, &byte) in record.iter().enumerate() {
                let at = (place + i as u64).checked_sub(offset).and_then(|at| usize::try_from(at).ok());
                if let Some(slot) = at.filter(|&at| at < count).and_then(|at| buffer.get_mut(at)) {
                    *slot = byte;
                }
            }
        }
        Ok(count)
    }
}

/// A little-endian number of up to eight bytes.
fn number(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |n, &b| n << 8 | u64::from(b))
}
