//! One tensor's entry in JSON: `{"dtype": "F32", "shape": [64, 3], "data_offsets": [0, 768]}`, or a bare shape.
//!
//! expected.json and safetensors headers share it. The first wants an error at the place of the fault; the second goes on to the
//! next tensor and keeps the fault, so that one bad tensor never loses the file.

use std::fmt;

use serde::de::{
    self, Deserialize as _, DeserializeSeed, Deserializer, IntoDeserializer as _, MapAccess, SeqAccess, Visitor,
};

use super::json::{Field, Item, Pair, Skip, Text};
use crate::checkpoint::{Content, Dtype, Shape, quoted};

/// More dimensions than any framework handles (PyTorch and NumPy stop at 64).
const MOST_DIMENSIONS: usize = 64;

/// What was found for one key.
#[derive(Debug, Default)]
pub(super) struct Entry {
    /// The element type, where given and known.
    pub dtype: Option<Dtype>,
    /// The sizes, where given and sound.
    pub shape: Option<Shape>,
    /// First byte and the one after the last, from the start of the data.
    pub offsets: Option<(u64, u64)>,
    /// What a snapshot says about the values.
    pub content: Option<Content>,
    /// What is wrong with it (lenient reading only).
    pub fault: Option<String>,
    /// The entry was an object with none of the fields above.
    pub foreign: bool,
}

/// How entries are read, and what is reused from one to the next.
pub(super) struct Reading {
    /// Faults are errors at their place, not kept.
    pub strict: bool,
    /// Only the spellings of the safetensors library count as a dtype.
    pub official: bool,
    /// dtype texts seen so far: a file has a handful.
    dtypes: Vec<(Box<str>, Option<Dtype>)>,
    dims: Vec<u64>,
}

impl Default for Reading {
    fn default() -> Self {
        Reading::new(true, false)
    }
}

impl Reading {
    pub(super) fn new(strict: bool, official: bool) -> Self {
        Reading { strict, official, dtypes: Vec::new(), dims: Vec::new() }
    }

    /// The dtype that `text` spells; `None` where it spells none.
    pub(super) fn dtype(&mut self, text: &str) -> Option<Dtype> {
        if let Some((_, dtype)) = self.dtypes.iter().find(|(seen, _)| &**seen == text) {
            return *dtype;
        }
        // The library itself says what it would accept; its names are ours as well.
        let official = || {
            let text: de::value::StrDeserializer<'_, de::value::Error> = text.into_deserializer();
            safetensors::Dtype::deserialize(text).is_ok()
        };
        let dtype = if self.official && !official() { None } else { Dtype::parse(text) };
        // Bounded: a hostile file with a million spellings pays the price itself.
        if self.dtypes.len() < 64 {
            self.dtypes.push((text.into(), dtype));
        }
        dtype
    }
}

/// Reads the entry of `key`.
pub(super) struct EntrySeed<'a> {
    pub key: &'a str,
    pub reading: &'a mut Reading,
}

impl EntrySeed<'_> {
    /// A fault: an error where reading is strict, otherwise kept (the first one).
    fn fault<E: de::Error>(&self, entry: &mut Entry, what: fmt::Arguments<'_>) -> Result<(), E> {
        if self.reading.strict {
            return Err(E::custom(format_args!("{}: {what}", quoted(self.key))));
        }
        if entry.fault.is_none() {
            entry.fault = Some(what.to_string());
        }
        Ok(())
    }

    /// Sizes up to the end of the list.
    fn sizes<'de, A: SeqAccess<'de>>(&mut self, seq: &mut A, entry: &mut Entry) -> Result<(), A::Error> {
        self.reading.dims.clear();
        let mut rank = 0usize;
        let mut sound = true;
        while let Some(item) = seq.next_element::<Item>()? {
            rank += 1;
            match item {
                Item::Whole(size) if rank <= MOST_DIMENSIONS => self.reading.dims.push(size),
                Item::Whole(_) => {
                    sound = false;
                    if rank == MOST_DIMENSIONS + 1 {
                        self.fault(
                            entry,
                            format_args!("more than {MOST_DIMENSIONS} dimensions, which no framework handles"),
                        )?;
                    }
                }
                other => {
                    sound = false;
                    self.fault(entry, format_args!("{other} is no size (dimension {})", rank - 1))?;
                }
            }
        }
        if sound {
            let shape = Shape(self.reading.dims.as_slice().into());
            if shape.numel().is_none() {
                self.fault(entry, format_args!("the sizes {shape} multiply to more than 64 bits hold"))?;
            }
            entry.shape = Some(shape);
        }
        Ok(())
    }
}

impl<'de> DeserializeSeed<'de> for EntrySeed<'_> {
    type Value = Entry;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Entry, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for EntrySeed<'_> {
    type Value = Entry;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with dtype and shape, or a list of sizes")
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut seq: A) -> Result<Entry, A::Error> {
        let mut entry = Entry::default();
        if self.reading.official {
            while seq.next_element::<Skip>()?.is_some() {}
            self.fault(&mut entry, format_args!("a list, not an object with dtype, shape and data_offsets"))?;
        } else {
            self.sizes(&mut seq, &mut entry)?;
        }
        Ok(entry)
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<Entry, A::Error> {
        let mut entry = Entry::default();
        let (mut dtypes, mut shapes, mut offsets) = (0u32, 0u32, 0u32);
        while let Some(field) = map.next_key::<Field>()? {
            let count = match field {
                Field::Dtype => &mut dtypes,
                Field::Shape => &mut shapes,
                Field::Offsets => &mut offsets,
                Field::Values if !self.reading.official => {
                    match super::content::content(&map.next_value()?) {
                        Ok(content) => entry.content = content,
                        Err(what) => self.fault(&mut entry, format_args!("{what}"))?,
                    }
                    continue;
                }
                Field::Values | Field::Other => {
                    map.next_value::<Skip>()?;
                    continue;
                }
            };
            *count = count.saturating_add(1);
            if *count > 1 {
                map.next_value::<Skip>()?;
                self.fault(&mut entry, format_args!("{field} is given twice"))?;
                continue;
            }
            match field {
                Field::Dtype => match map.next_value::<Text>()? {
                    Text::Is(text) => {
                        entry.dtype = self.reading.dtype(&text);
                        if entry.dtype.is_none() && (self.reading.official || !text.is_empty()) {
                            let known = if self.reading.official {
                                "not one that safetensors stores"
                            } else {
                                "not a known one"
                            };
                            self.fault(&mut entry, format_args!("dtype {} is {known}", quoted(&text)))?;
                        }
                    }
                    Text::Null if !self.reading.official => {}
                    Text::Null => self.fault(&mut entry, format_args!("dtype is null"))?,
                    Text::Other(what) => self.fault(&mut entry, format_args!("dtype is {what}, not a string"))?,
                },
                Field::Shape => map.next_value_seed(ShapeField { seed: &mut self, entry: &mut entry })?,
                Field::Offsets => match map.next_value::<Pair>()? {
                    Pair::Is(start, end) => entry.offsets = Some((start, end)),
                    Pair::Other(what) => self.fault(&mut entry, format_args!("data_offsets {what}"))?,
                },
                Field::Values | Field::Other => {}
            }
        }
        entry.foreign = dtypes + shapes + offsets == 0;
        if self.reading.official {
            let absent = [(dtypes, "dtype"), (shapes, "shape"), (offsets, "data_offsets")];
            for (_, name) in absent.iter().filter(|(count, _)| *count == 0) {
                self.fault(&mut entry, format_args!("{name} is missing"))?;
            }
        }
        Ok(entry)
    }

    fn visit_bool<E: de::Error>(self, _: bool) -> Result<Entry, E> {
        self.nothing("true or false")
    }
    fn visit_i64<E: de::Error>(self, _: i64) -> Result<Entry, E> {
        self.nothing("a number")
    }
    fn visit_u64<E: de::Error>(self, _: u64) -> Result<Entry, E> {
        self.nothing("a number")
    }
    fn visit_f64<E: de::Error>(self, _: f64) -> Result<Entry, E> {
        self.nothing("a number")
    }
    fn visit_str<E: de::Error>(self, _: &str) -> Result<Entry, E> {
        self.nothing("a string")
    }
    fn visit_unit<E: de::Error>(self) -> Result<Entry, E> {
        self.nothing("null")
    }
}

impl EntrySeed<'_> {
    /// The entry is of a kind that describes no tensor.
    fn nothing<E: de::Error>(self, found: &str) -> Result<Entry, E> {
        let mut entry = Entry::default();
        let wanted = if self.reading.official {
            "dtype, shape and data_offsets"
        } else {
            "a shape like [64, 3, 7, 7] or dtype and shape"
        };
        self.fault(&mut entry, format_args!("{found} instead of {wanted}"))?;
        Ok(entry)
    }
}

/// The value of `shape`.
pub(super) struct ShapeField<'a, 'b> {
    pub seed: &'a mut EntrySeed<'b>,
    pub entry: &'a mut Entry,
}

impl<'de> DeserializeSeed<'de> for ShapeField<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl ShapeField<'_, '_> {
    fn wrong<E: de::Error>(self, found: &str) -> Result<(), E> {
        self.seed.fault(self.entry, format_args!("shape is {found}, not a list of sizes"))
    }
}

impl<'de> Visitor<'de> for ShapeField<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of sizes")
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        self.seed.sizes(&mut seq, self.entry)
    }
    fn visit_unit<E: de::Error>(self) -> Result<(), E> {
        if self.seed.reading.official { self.wrong("null") } else { Ok(()) }
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while map.next_entry::<Field, Skip>()?.is_some() {}
        self.wrong("an object")
    }
    fn visit_str<E: de::Error>(self, _: &str) -> Result<(), E> {
        self.wrong("a string")
    }
    fn visit_bool<E: de::Error>(self, _: bool) -> Result<(), E> {
        self.wrong("true or false")
    }
    fn visit_u64<E: de::Error>(self, _: u64) -> Result<(), E> {
        self.wrong("a number")
    }
    fn visit_i64<E: de::Error>(self, _: i64) -> Result<(), E> {
        self.wrong("a number")
    }
    fn visit_f64<E: de::Error>(self, _: f64) -> Result<(), E> {
        self.wrong("a number")
    }
}
