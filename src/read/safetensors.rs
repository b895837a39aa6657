//! safetensors: 8 bytes of header length, a JSON header, then the data, which is never touched.
//!
//! The parser is our own and not the library's, since it keeps the order of keys, sees duplicates, and goes on after a bad tensor.
//! What it calls sound is what the library loads: a property test holds the two against each other.
//! Format: <https://github.com/huggingface/safetensors#format>.

use std::fmt;
use std::io::{BufReader, Read as _, Seek as _, SeekFrom};

use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};

use super::ReadError;
use super::entry::{Entry, EntrySeed, Reading};
use super::input::{Input, plain};
use super::json::{Skip, Text};
use super::tail;
use crate::checkpoint::{Checkpoint, Coding, Format, Placement, Remark, Shape, Storage, TensorInfo, quoted};

mod layout;

/// Bytes before the header: its length, little-endian.
const PREFIX: u64 = 8;
/// The longest header that the library reads, in bytes (`MAX_HEADER_SIZE` in its tensor.rs).
const LIBRARY_MOST: u64 = 100_000_000;
/// The longest header that is read here, in bytes: some twenty million tensors.
const MOST: u64 = 1 << 31;
/// Headers up to this size are read at once; longer ones as a stream, which is slower and needs no copy in memory.
const AT_ONCE: u64 = 16 << 20;

/// Whether the file can only be safetensors: the length fits the file and the header begins as JSON.
pub(crate) fn recognises(input: &Input) -> bool {
    let fits = header_length(input).is_some_and(|n| n <= input.len.saturating_sub(PREFIX));
    fits && begins_as_json(input)
}

/// Whether it once was safetensors: the header begins as JSON where it should, though its length does not fit the file.
pub(crate) fn resembles(input: &Input) -> bool {
    header_length(input).is_some() && input.head.get(8..10).is_some_and(|b| b == b"{\"")
}

fn header_length(input: &Input) -> Option<u64> {
    input.head.get(..8).and_then(|b| b.try_into().ok()).map(u64::from_le_bytes)
}

fn begins_as_json(input: &Input) -> bool {
    // A header that is an array or null is broken safetensors, and better named so than as "something unknown".
    let text = input.head.get(8..).unwrap_or_default();
    let first = text.iter().find(|b| !b.is_ascii_whitespace());
    let empty = header_length(input) == Some(0) && input.len == PREFIX;
    empty || matches!(first, Some(b'{' | b'[' | b'\'' | 0xef)) || text.starts_with(b"null")
}

/// Reads the header.
///
/// # Errors
/// Where the header is not there or is no JSON object. Faults of single tensors end in [`Checkpoint::unreadable`].
pub(crate) fn read(input: &mut Input) -> Result<Checkpoint, ReadError> {
    let Some(length) = header_length(input) else {
        let what = format!("{} bytes; a safetensors file begins with 8 bytes of header length", input.len);
        return Err(input.error("CK006", what, "download it again"));
    };
    let there = input.len - PREFIX;
    if length > there {
        return Err(cut_header(input, length, there));
    }
    if length > MOST {
        let what = format!("the header is {length} bytes long; ckdiff reads up to {MOST}");
        return Err(input.error("CK006", what, "split the checkpoint into shards"));
    }
    let mut header = Header {
        out: Checkpoint::new(&input.path, Format::Safetensors),
        reading: Reading::new(false, true),
        data: PREFIX + length,
        faults: Vec::new(),
        broken: Default::default(),
        next: 0,
        in_order: true,
        metadata_seen: false,
    };
    parse(input, length, &mut header)?;
    header.out.remarks.extend(too_long_for_the_library(length));
    let mut out = layout::checked(header, there - length);
    if out.complete {
        out.remarks.extend(tail::reserved(input, PREFIX + length));
    }
    Ok(out)
}

/// The remark about a header that only the library's limit forbids.
fn too_long_for_the_library(length: u64) -> Option<Remark> {
    (length > LIBRARY_MOST).then(|| Remark {
        code: "CK009",
        error: false,
        message: format!("the header is {length} bytes long; the safetensors library refuses more than {LIBRARY_MOST}"),
        help: "save it in shards, or with fewer tensors, before it is loaded from Python".into(),
        examples: Vec::new(),
    })
}

/// The header is said to go on beyond the end of the file.
fn cut_header(input: &Input, length: u64, there: u64) -> ReadError {
    if length <= LIBRARY_MOST && resembles(input) {
        let what = format!(
            "the file ends within its header: {} of {length} bytes are there, {} are missing (half a download)",
            there,
            length - there
        );
        return input.error("CK005", what, "download it again");
    }
    let what = format!("the first 8 bytes say that the header is {length} bytes long, but only {there} bytes follow");
    input.error("CK006", what, "it is no safetensors file, or a damaged one; download it again")
}

/// What the parser has gathered.
struct Header {
    out: Checkpoint,
    reading: Reading,
    /// Where the data begins in the file.
    data: u64,
    /// What is wrong with which tensor (position in `out.tensors`).
    faults: Vec<(usize, String)>,
    /// Tensors whose fault lies in the entry itself, so that the library refuses it even where a later entry of the same key is sound.
    broken: std::collections::HashSet<usize>,
    /// Where the next tensor begins when all of them stand one after the other.
    next: u64,
    /// Whether they did so far.
    in_order: bool,
    metadata_seen: bool,
}

fn parse(input: &mut Input, length: u64, header: &mut Header) -> Result<(), ReadError> {
    let (outcome, text) = if length <= AT_ONCE {
        let text = input.read_range(PREFIX, length)?;
        let mut json = serde_json::Deserializer::from_slice(&text);
        (header.deserialize(&mut json).and_then(|()| json.end()), text)
    } else {
        let seek = input.file.seek(SeekFrom::Start(PREFIX));
        seek.map_err(|e| input.error("CK002", format!("cannot seek: {}", plain(&e)), ""))?;
        let stream = BufReader::with_capacity(1 << 16, (&input.file).take(length));
        let mut json = serde_json::Deserializer::from_reader(stream);
        (header.deserialize(&mut json).and_then(|()| json.end()), Vec::new())
    };
    outcome.map_err(|error| refusal(input, &error, &text))
}

/// The header is no JSON, or no object.
fn refusal(input: &Input, error: &serde_json::Error, text: &[u8]) -> ReadError {
    let said = error.to_string();
    let (line, column) = (error.line(), error.column());
    let cause = said.strip_suffix(&format!(" at line {line} column {column}")).unwrap_or(&said);
    let before: usize = text.split_inclusive(|&b| b == b'\n').take(line.saturating_sub(1)).map(<[u8]>::len).sum();
    let at = super::place::broken_utf8(text).unwrap_or(before + column.saturating_sub(1)) as u64 + PREFIX;
    let cause = match cause {
        _ if super::place::broken_utf8(text).is_some() => "not UTF-8",
        "recursion limit exceeded" => "nested more than 127 deep",
        cause if cause.starts_with("EOF") => {
            "the JSON goes on after the end of the header; the header's length is wrong"
        }
        "trailing characters" => "something follows after the end of the JSON; the header's length is wrong",
        _ if text.starts_with(b"\xef\xbb\xbf") => "a byte order mark, which the format does not allow",
        cause if cause.contains("hex escape") => "half of a surrogate pair (\\ud800), which is no character",
        cause => cause,
    };
    // A header that came as a stream is not at hand for lines to be counted in; it is one line in every file seen.
    input.error(
        "CK006",
        format!("the header is broken at byte {at}: {cause}"),
        "download it again, or write it again with safetensors",
    )
}

impl Header {
    fn push(&mut self, key: String, entry: Entry) {
        let at = self.out.tensors.len();
        let Entry { dtype, shape, offsets, mut fault, .. } = entry;
        if fault.is_some() {
            self.broken.insert(at);
        }
        let mut placement = None;
        if let Some((start, end)) = offsets {
            if end < start {
                fault.get_or_insert_with(|| format!("data_offsets [{start}, {end}] end before they begin"));
            } else {
                if fault.is_none()
                    && let (Some(dtype), Some(shape)) = (dtype, &shape)
                {
                    fault = misfit(dtype.bits(), dtype.name(), shape, start, end);
                }
                self.in_order &= start == self.next;
                self.next = end;
                placement = self.place(start, end - start);
                if placement.is_none() {
                    fault.get_or_insert_with(|| format!("data_offsets [{start}, {end}] do not fit 64 bits"));
                }
            }
        }
        if let Some(fault) = fault {
            self.faults.push((at, fault));
        }
        self.out.tensors.push(TensorInfo {
            path: key.into(),
            container: 0,
            dtype,
            shape,
            role: Default::default(),
            placement,
        });
    }

    fn place(&mut self, start: u64, bytes: u64) -> Option<Placement> {
        let start = self.data.checked_add(start)?;
        start.checked_add(bytes)?;
        let storages = &mut self.out.storages;
        // Empty tensors that stand at one place share a storage, so that a million of them cost little.
        let shared = bytes == 0 && storages.last().is_some_and(|s| s.bytes == 0 && s.start == Some(start));
        if !shared {
            storages.push(Storage { file: 0, name: "".into(), start: Some(start), bytes, coding: Coding::Plain });
        }
        Some(Placement { storage: u32::try_from(storages.len() - 1).ok()?, offset: 0, strides: None })
    }

    fn complain(&mut self, message: String) {
        self.out.remarks.push(Remark {
            code: "CK006",
            error: true,
            message,
            help: "the safetensors library refuses the file; write it again".into(),
            examples: Vec::new(),
        });
    }
}

/// What is wrong when a shape and dtype do not take the bytes they are given.
fn misfit(bits: u32, dtype: &str, shape: &Shape, start: u64, end: u64) -> Option<String> {
    let numel = shape.dims().iter().try_fold(1u64, |n, &d| n.checked_mul(d));
    let Some(bits) = numel.and_then(|n| n.checked_mul(bits.into())) else {
        return Some(format!("shape {shape} of {dtype} takes more bytes than 64 bits can count"));
    };
    if !bits.is_multiple_of(8) {
        return Some(format!("shape {shape} of {dtype} takes {bits} bits, which is no whole number of bytes"));
    }
    let (wants, has) = (bits / 8, end - start);
    (wants != has)
        .then(|| format!("shape {shape} of {dtype} takes {wants} bytes, data_offsets [{start}, {end}] hold {has}"))
}

impl<'de> DeserializeSeed<'de> for &mut Header {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for &mut Header {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with an entry for every tensor")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key::<String>()? {
            if key == "__metadata__" {
                if std::mem::replace(&mut self.metadata_seen, true) {
                    self.complain("`__metadata__` is given twice".into());
                }
                map.next_value_seed(Metadata(self))?;
            } else {
                let entry = map.next_value_seed(EntrySeed { key: &key, reading: &mut self.reading })?;
                self.push(key, entry);
            }
        }
        Ok(())
    }
}

/// The value of `__metadata__`: text pairs.
struct Metadata<'a>(&'a mut Header);

impl<'de> DeserializeSeed<'de> for Metadata<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl Metadata<'_> {
    fn is(self, what: &str) {
        self.0.complain(format!("`__metadata__` is {what}, not an object of texts"));
    }
}

impl<'de> Visitor<'de> for Metadata<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of texts")
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(name) = map.next_key::<String>()? {
            match map.next_value::<Text<'de>>()? {
                Text::Is(text) => self.0.out.metadata.push((name, text.into_owned())),
                Text::Null => self.0.complain(format!("{} of `__metadata__` is null, not a text", quoted(&name))),
                Text::Other(what) => {
                    self.0.complain(format!("{} of `__metadata__` is {what}, not a text", quoted(&name)))
                }
            }
        }
        Ok(())
    }
    fn visit_unit<E: de::Error>(self) -> Result<(), E> {
        Ok(())
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        while seq.next_element::<Skip>()?.is_some() {}
        self.is("a list");
        Ok(())
    }
    fn visit_str<E: de::Error>(self, _: &str) -> Result<(), E> {
        self.is("a text");
        Ok(())
    }
    fn visit_bool<E: de::Error>(self, _: bool) -> Result<(), E> {
        self.is("true or false");
        Ok(())
    }
    fn visit_u64<E: de::Error>(self, _: u64) -> Result<(), E> {
        self.is("a number");
        Ok(())
    }
    fn visit_i64<E: de::Error>(self, _: i64) -> Result<(), E> {
        self.is("a number");
        Ok(())
    }
    fn visit_f64<E: de::Error>(self, _: f64) -> Result<(), E> {
        self.is("a number");
        Ok(())
    }
}

#[cfg(test)]
mod tests;
