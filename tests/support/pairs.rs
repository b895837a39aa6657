//! Pairs of real key sets with known truth: what the tests and the bench read.

#![allow(dead_code, unreachable_pub, reason = "shared by targets that each use a part of it")]

use std::path::Path;

use ckdiff::checkpoint::{Checkpoint, Dtype, Format, Shape, TensorInfo};

/// A side in stored order: `serde_json::Value` would sort its keys.
pub struct Ordered(pub Vec<(String, (String, Vec<u64>))>);

impl<'de> serde::Deserialize<'de> for Ordered {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct Rows;
        impl<'de> serde::de::Visitor<'de> for Rows {
            type Value = Ordered;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object of [dtype, shape]")
            }
            fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Ordered, A::Error> {
                let mut out = Vec::new();
                while let Some(row) = map.next_entry()? {
                    out.push(row);
                }
                Ok(Ordered(out))
            }
        }
        d.deserialize_map(Rows)
    }
}

#[derive(serde::Deserialize)]
pub struct Pair {
    pub name: String,
    pub family: String,
    pub source: Ordered,
    pub target: Ordered,
    pub truth: Vec<Truth>,
    pub target_missing: Vec<String>,
    #[serde(default)]
    pub ambiguous_twins: bool,
    #[serde(default)]
    pub undiscoverable: bool,
}

#[derive(serde::Deserialize)]
pub struct Truth {
    pub target: String,
    pub source: Vec<String>,
    pub op: String,
}

pub fn load(path: &Path) -> Pair {
    let bytes = std::fs::read(path).expect("a pair can be read");
    if path.extension().is_some_and(|e| e == "gz") {
        // Ten bytes of gzip header, then the name up to its zero byte where the flag says so.
        let mut at = 10;
        if bytes[3] & 8 != 0 {
            at += bytes[at..].iter().position(|&b| b == 0).expect("a name ends") + 1;
        }
        let text = miniz_oxide::inflate::decompress_to_vec(&bytes[at..]).expect("the pair inflates");
        serde_json::from_slice(&text).expect("a pair is JSON")
    } else {
        serde_json::from_slice(&bytes).expect("a pair is JSON")
    }
}

pub fn checkpoint(side: &Ordered) -> Checkpoint {
    let mut out = Checkpoint::new("pair.json", Format::Json);
    for (key, (dtype, shape)) in &side.0 {
        out.tensors.push(TensorInfo {
            path: key.as_str().into(),
            container: 0,
            dtype: Dtype::parse(dtype),
            shape: Some(Shape(shape.as_slice().into())),
            role: Default::default(),
            placement: None,
        });
    }
    out.containers[0].tensors = out.tensors.len();
    out
}
