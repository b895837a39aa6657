//! Small values of JSON of any type, read without failing: what is not wanted is named, never an error by itself.

use std::borrow::Cow;
use std::fmt;

use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

/// A size or an offset, or what stands in its place.
#[derive(Debug, PartialEq)]
pub(super) enum Item {
    /// A whole number from 0 on.
    Whole(u64),
    /// A whole number below 0.
    Negative(i64),
    /// A number with a fraction, or one too large for 64 bits.
    Float(f64),
    /// Something that is no number.
    Other(&'static str),
}

impl fmt::Display for Item {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Item::Whole(n) => write!(f, "{n}"),
            Item::Negative(n) => write!(f, "{n}"),
            Item::Float(n) if n.abs() < 1e15 => write!(f, "{n:?}"),
            Item::Float(n) => write!(f, "{n:e}"),
            Item::Other(what) => f.write_str(what),
        }
    }
}

/// A string, or what stands in its place.
#[derive(Debug, PartialEq)]
pub(super) enum Text<'a> {
    /// A string.
    Is(Cow<'a, str>),
    /// `null`.
    Null,
    /// Something else.
    Other(&'static str),
}

/// Two offsets, or what is wrong with them.
#[derive(Debug, PartialEq)]
pub(super) enum Pair {
    /// First and second.
    Is(u64, u64),
    /// A phrase that goes on after the field's name.
    Other(String),
}

/// A field of a tensor's entry.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Field {
    Dtype,
    Shape,
    Offsets,
    /// What a snapshot says about the values.
    Values,
    Other,
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Field::Dtype => "dtype",
            Field::Shape => "shape",
            Field::Offsets => "data_offsets",
            Field::Values => "values",
            Field::Other => "a field",
        })
    }
}

/// Deserialises with a visitor that takes a value of any type; `$other` makes the result of an unwanted one.
macro_rules! any_type {
    ($type:ident $(<$life:lifetime>)?, $visitor:ident, $other:expr, { $($wanted:tt)* }, [$($kind:ident)*]) => {
        struct $visitor;
        impl<'de $(: $life, $life)?> Deserialize<'de> for $type $(<$life>)? {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_any($visitor)
            }
        }
        impl<'de> Visitor<'de> for $visitor {
            type Value = any_type!(@value $type $(<$life>)?);
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("any value")
            }
            $($wanted)*
            $(any_type!(@$kind $other);)*
        }
    };
    (@value $type:ident) => { $type };
    (@value $type:ident <$life:lifetime>) => { $type<'de> };
    (@bool $other:expr) => { fn visit_bool<E: de::Error>(self, _: bool) -> Result<Self::Value, E> { Ok($other("true or false")) } };
    (@number $other:expr) => {
        fn visit_u64<E: de::Error>(self, _: u64) -> Result<Self::Value, E> { Ok($other("a number")) }
        fn visit_i64<E: de::Error>(self, _: i64) -> Result<Self::Value, E> { Ok($other("a number")) }
        fn visit_f64<E: de::Error>(self, _: f64) -> Result<Self::Value, E> { Ok($other("a number")) }
    };
    (@text $other:expr) => { fn visit_str<E: de::Error>(self, _: &str) -> Result<Self::Value, E> { Ok($other("a string")) } };
    (@null $other:expr) => { fn visit_unit<E: de::Error>(self) -> Result<Self::Value, E> { Ok($other("null")) } };
    (@list $other:expr) => {
        fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
            while seq.next_element::<Skip>()?.is_some() {}
            Ok($other("a list"))
        }
    };
    (@object $other:expr) => {
        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            while map.next_entry::<Field, Skip>()?.is_some() {}
            Ok($other("an object"))
        }
    };
}

any_type!(Item, ItemVisitor, Item::Other, {
    fn visit_u64<E: de::Error>(self, n: u64) -> Result<Item, E> { Ok(Item::Whole(n)) }
    fn visit_i64<E: de::Error>(self, n: i64) -> Result<Item, E> { Ok(u64::try_from(n).map_or(Item::Negative(n), Item::Whole)) }
    fn visit_f64<E: de::Error>(self, n: f64) -> Result<Item, E> { Ok(Item::Float(n)) }
}, [bool text null list object]);

any_type!(Text<'a>, TextVisitor, Text::Other, {
    fn visit_borrowed_str<E: de::Error>(self, text: &'de str) -> Result<Text<'de>, E> { Ok(Text::Is(Cow::Borrowed(text))) }
    fn visit_str<E: de::Error>(self, text: &str) -> Result<Text<'de>, E> { Ok(Text::Is(Cow::Owned(text.into()))) }
    fn visit_unit<E: de::Error>(self) -> Result<Text<'de>, E> { Ok(Text::Null) }
}, [bool number list object]);

any_type!(Pair, PairVisitor, is_no_pair, {
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Pair, A::Error> {
        let (mut found, mut count, mut wrong) = ([0; 2], 0usize, None);
        while let Some(item) = seq.next_element::<Item>()? {
            match item {
                Item::Whole(n) => if let Some(slot) = found.get_mut(count) { *slot = n },
                other => wrong = wrong.or(Some(other)),
            }
            count += 1;
        }
        Ok(match (wrong, count) {
            (Some(wrong), _) => Pair::Other(format!("holds {wrong}, which is no byte offset")),
            (None, 2) => Pair::Is(found[0], found[1]),
            (None, n) => Pair::Other(format!("has {n} numbers, not two")),
        })
    }
}, [bool number text null object]);

fn is_no_pair(what: &str) -> Pair {
    Pair::Other(format!("is {what}, not two numbers"))
}

/// Any value, passed over. Unlike [`de::IgnoredAny`] it meets the parser's limit on nesting, as it does in the safetensors library.
#[derive(Debug, PartialEq)]
pub(super) struct Skip;

fn skipped(_: &str) -> Skip {
    Skip
}

any_type!(Skip, SkipVisitor, skipped, {}, [bool number text null list object]);

struct FieldVisitor;

impl<'de> Deserialize<'de> for Field {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_identifier(FieldVisitor)
    }
}

impl Visitor<'_> for FieldVisitor {
    type Value = Field;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of a field")
    }
    fn visit_str<E: de::Error>(self, name: &str) -> Result<Field, E> {
        Ok(match name {
            "dtype" => Field::Dtype,
            "shape" => Field::Shape,
            "data_offsets" => Field::Offsets,
            "values" => Field::Values,
            _ => Field::Other,
        })
    }
}
