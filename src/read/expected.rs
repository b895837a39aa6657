//! expected.json and its kin: the keys, shapes and dtypes that a model expects, without data.
//!
//! Read in every form that people have at hand: what `ckdiff snapshot` writes, `{"key": [64, 3, 7, 7]}`, a bare list of keys, a safetensors
//! header dumped as JSON, and the index of a sharded checkpoint (which the sharded reader goes on with).

use std::collections::HashMap;
use std::fmt;

use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};

use super::ReadError;
use super::entry::{Entry, EntrySeed, Reading, ShapeField};
use super::input::Input;
use super::json::{Item, Text};
use super::names::{given_twice, last_of_each};
use super::place;
use crate::checkpoint::{Checkpoint, Content, Format, TensorInfo, quoted};

/// Largest JSON text that is read, in bytes: some ten million keys.
const MOST: u64 = 1 << 30;

/// What a JSON text turned out to be.
pub(crate) enum Json {
    /// Keys, with shapes and dtypes where given.
    Keys(Checkpoint),
    /// The index of a sharded checkpoint.
    Index(Index),
}

/// The index of a sharded checkpoint (`*.index.json`): which shard holds which key.
#[derive(Debug, Default)]
pub(crate) struct Index {
    /// Key and position in `shards`, in the order of the file. A key that occurs twice is in here twice.
    pub keys: Vec<(Box<str>, u32)>,
    /// The names of shard files, each once, in the order of the file.
    pub shards: Vec<String>,
    /// Keys whose shard is no string, with what it is.
    pub nameless: Vec<(String, &'static str)>,
    /// `metadata.total_size`: what the tensors take, in bytes.
    pub total_size: Option<u64>,
    /// The rest of `metadata`, as text.
    pub metadata: Vec<(String, String)>,
}

/// Whether the file is a JSON text: it begins with a brace or bracket, and has no zero byte near its beginning.
pub(crate) fn recognises(input: &Input) -> bool {
    let head = input.head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&input.head);
    let first = head.iter().find(|b| !b.is_ascii_whitespace());
    let start = head.get(..64).unwrap_or(head);
    // JSON that is no object and no list has no keys, which is better said than "something unknown".
    let word = ["null", "true", "false"].iter().any(|w| head.trim_ascii() == w.as_bytes());
    (matches!(first, Some(b'{' | b'[')) || word) && !start.contains(&0)
}

/// Reads a JSON text.
pub(crate) fn read(input: &mut Input) -> Result<Json, ReadError> {
    let bytes = input.read_all(MOST)?;
    parse(input, &bytes)
}

/// Reads a JSON text that is in memory.
fn parse(input: &Input, bytes: &[u8]) -> Result<Json, ReadError> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let mut found = Found::default();
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let outcome = Top(&mut found).deserialize(&mut json).and_then(|()| json.end());
    if let Err(error) = outcome {
        return Err(place::refusal(input, bytes, &error, found.fault.take()));
    }
    if let Some(index) = found.index.take() {
        return Ok(Json::Index(Index { total_size: found.total_size, metadata: found.metadata, ..index }));
    }
    Ok(Json::Keys(found.into_checkpoint(input)))
}

/// What has been read so far.
#[derive(Default)]
struct Found {
    reading: Reading,
    tensors: Vec<TensorInfo>,
    contents: HashMap<Box<str>, Content>,
    metadata: Vec<(String, String)>,
    total_size: Option<u64>,
    index: Option<Index>,
    /// Why parsing was given up, where it is another reason than broken JSON.
    fault: Option<place::Fault>,
}

impl Found {
    fn push(&mut self, key: String, entry: Entry) {
        // Of a key that is given twice the last one counts, with or without a digest.
        match entry.content {
            Some(content) => drop(self.contents.insert(key.as_str().into(), content)),
            None => drop(self.contents.remove(key.as_str())),
        }
        self.tensors.push(TensorInfo {
            path: key.into(),
            container: 0,
            dtype: entry.dtype,
            shape: entry.shape,
            role: Default::default(),
            placement: None,
        });
    }

    fn into_checkpoint(self, input: &Input) -> Checkpoint {
        let mut out = Checkpoint::new(&input.path, Format::Json);
        let (tensors, twice) = last_of_each(self.tensors);
        out.containers[0].tensors = tensors.len();
        out.tensors = tensors;
        out.contents = self.contents;
        out.metadata = self.metadata;
        if !twice.is_empty() {
            out.remarks.push(given_twice(&twice, "the last one counts, as in Python; remove the others"));
        }
        out
    }
}

/// The outermost value.
struct Top<'a>(&'a mut Found);

impl<'de> DeserializeSeed<'de> for Top<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl Top<'_> {
    fn holds<E: de::Error>(self, what: &'static str) -> Result<(), E> {
        self.0.fault = Some(place::Fault::NoKeys);
        Err(E::custom(format_args!("the JSON holds {what}, not keys")))
    }
}

impl<'de> Visitor<'de> for Top<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of tensors, or a list of keys")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        while let Some(item) = seq.next_element::<Text<'de>>()? {
            match item {
                Text::Is(key) => self.0.push(key.into_owned(), Entry::default()),
                other => {
                    let what = if let Text::Other(what) = other { what } else { "null" };
                    let at = self.0.tensors.len();
                    self.0.fault = Some(place::Fault::NoKeys);
                    return Err(de::Error::custom(format_args!("entry {at} of the list is {what}, not a key")));
                }
            }
        }
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let found = self.0;
        while let Some(key) = map.next_key::<String>()? {
            match &*key {
                // `__metadata__` stands in a safetensors header, `metadata` and `weight_map` in an index of shards.
                "__metadata__" | "metadata" => {
                    if let Some(entry) = map.next_value_seed(Metadata { key: &key, found })? {
                        found.push(key, entry);
                    }
                }
                "weight_map" => {
                    if let Some(entry) = map.next_value_seed(WeightMap { found })? {
                        found.push(key, entry);
                    }
                }
                _ => {
                    let entry = map.next_value_seed(EntrySeed { key: &key, reading: &mut found.reading });
                    let entry = entry.inspect_err(|_| {
                        if found.tensors.is_empty() && place::is_message(&key) {
                            found.fault = Some(place::Fault::Message);
                        }
                    })?;
                    if entry.foreign {
                        found.fault = Some(place::Fault::Nested);
                        return Err(de::Error::custom(format_args!(
                            "{} is an object without shape and dtype",
                            quoted(&key)
                        )));
                    }
                    found.push(key, entry);
                }
            }
        }
        Ok(())
    }

    fn visit_bool<E: de::Error>(self, _: bool) -> Result<(), E> {
        self.holds("true or false")
    }
    fn visit_i64<E: de::Error>(self, _: i64) -> Result<(), E> {
        self.holds("a number")
    }
    fn visit_u64<E: de::Error>(self, _: u64) -> Result<(), E> {
        self.holds("a number")
    }
    fn visit_f64<E: de::Error>(self, _: f64) -> Result<(), E> {
        self.holds("a number")
    }
    fn visit_str<E: de::Error>(self, _: &str) -> Result<(), E> {
        self.holds("a string")
    }
    fn visit_unit<E: de::Error>(self) -> Result<(), E> {
        self.holds("null")
    }
}

/// The value of `__metadata__` or `metadata`: free-form text pairs, or a tensor that happens to bear that name.
struct Metadata<'a> {
    key: &'a str,
    found: &'a mut Found,
}

impl<'de> DeserializeSeed<'de> for Metadata<'_> {
    type Value = Option<Entry>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Metadata<'_> {
    type Value = Option<Entry>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of texts")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Self::Value, A::Error> {
        EntrySeed { key: self.key, reading: &mut self.found.reading }.visit_seq(seq).map(Some)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        while let Some(name) = map.next_key::<String>()? {
            if name == "shape" {
                // A tensor called `metadata`; its dtype, where it comes first, was taken for text.
                let mut entry = Entry::default();
                let mut seed = EntrySeed { key: self.key, reading: &mut self.found.reading };
                map.next_value_seed(ShapeField { seed: &mut seed, entry: &mut entry })?;
                let dtype = self.found.metadata.iter().position(|(name, _)| name == "dtype");
                entry.dtype = dtype.and_then(|at| self.found.reading.dtype(&self.found.metadata.remove(at).1));
                while let Some(name) = map.next_key::<String>()? {
                    if let ("dtype", Text::Is(text)) = (&*name, map.next_value::<Text<'de>>()?) {
                        entry.dtype = self.found.reading.dtype(&text);
                    }
                }
                return Ok(Some(entry));
            }
            if name == "total_size" {
                match map.next_value::<Item>()? {
                    Item::Whole(size) => self.found.total_size = Some(size),
                    // Old versions of transformers wrote it as a float.
                    Item::Float(size) if (0.0..9e15).contains(&size) => self.found.total_size = Some(size as u64),
                    _ => {}
                }
            } else if let Text::Is(text) = map.next_value::<Text<'de>>()? {
                self.found.metadata.push((name, text.into_owned()));
            }
        }
        Ok(None)
    }

    fn visit_unit<E: de::Error>(self) -> Result<Self::Value, E> {
        Ok(None)
    }
}

/// The value of `weight_map`: shard by key, or a tensor of that name.
struct WeightMap<'a> {
    found: &'a mut Found,
}

impl<'de> DeserializeSeed<'de> for WeightMap<'_> {
    type Value = Option<Entry>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for WeightMap<'_> {
    type Value = Option<Entry>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object that names a shard for every key")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Self::Value, A::Error> {
        EntrySeed { key: "weight_map", reading: &mut self.found.reading }.visit_seq(seq).map(Some)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        if self.found.index.is_some() {
            return Err(de::Error::custom("weight_map is given twice; readers take one or the other"));
        }
        let mut index = Index::default();
        let mut positions = std::collections::HashMap::new();
        let mut last: Option<u32> = None;
        while let Some(key) = map.next_key::<String>()? {
            let shard = match map.next_value::<Text<'de>>()? {
                Text::Is(shard) => shard,
                Text::Null => {
                    index.nameless.push((key, "null"));
                    continue;
                }
                Text::Other(what) => {
                    index.nameless.push((key, what));
                    continue;
                }
            };
            let at = match last.filter(|&at| index.shards[at as usize] == *shard) {
                Some(at) => at,
                None => *positions.entry(shard.clone().into_owned()).or_insert_with(|| {
                    index.shards.push(shard.into_owned());
                    // A position needs an entry of at least six bytes in a text of at most 1 GiB.
                    u32::try_from(index.shards.len() - 1).unwrap_or(u32::MAX)
                }),
            };
            last = Some(at);
            index.keys.push((key.into(), at));
        }
        self.found.index = Some(index);
        Ok(None)
    }
}

#[cfg(test)]
mod tests;
