//! expected.json: what a checkpoint holds, one key a line, in order, so that `diff` and review tools show changes key by key.

use std::collections::HashMap;
use std::io::{self, Write};

use serde::Serialize;

use super::json::element;
use crate::checkpoint::{Content, Shape, StateDict};

/// One key's entry: `{"dtype": "F32", "shape": [64, 3, 7, 7]}`, with `values` where those were read.
#[derive(Serialize)]
struct Entry<'a> {
    dtype: Option<&'static str>,
    shape: Option<&'a [u64]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    values: Option<Values>,
}

/// `{"xxh3": "…", "min": -0.1, "max": 0.1, "mean": 0.0, "rms": 0.02, "nan": 0, "inf": 0}`
#[derive(Serialize)]
struct Values {
    xxh3: String,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    summary: Option<Numbers>,
}

#[derive(Serialize)]
struct Numbers {
    min: Option<f64>,
    max: Option<f64>,
    mean: Option<f64>,
    rms: Option<f64>,
    nan: u64,
    inf: u64,
}

impl Values {
    fn of(content: &Content) -> Values {
        let Content { digest, summary, .. } = content;
        let summary =
            summary.map(|s| Numbers { min: s.min, max: s.max, mean: s.mean, rms: s.rms, nan: s.nan, inf: s.inf });
        Values { xxh3: format!("{digest:032x}"), summary }
    }
}

/// Writes a state_dict as expected.json. What is not known of a tensor is `null`, which reads back as not known.
///
/// # Errors
/// What the writer reports.
pub fn write(state_dict: &StateDict<'_>, out: &mut dyn Write) -> io::Result<()> {
    write_all(&[(state_dict, &state_dict.checkpoint.contents)], out)
}

/// As [`write()`], several one after another, with what is known of their values by path.
///
/// # Errors
/// What the writer reports.
pub fn write_all(parts: &[(&StateDict<'_>, &HashMap<Box<str>, Content>)], out: &mut dyn Write) -> io::Result<()> {
    let mut separator: &[u8] = b"{\n  ";
    for (entry, contents) in parts.iter().flat_map(|(side, contents)| side.entries.iter().map(move |e| (e, contents))) {
        out.write_all(separator)?;
        separator = b",\n  ";
        element(out, entry.key.as_str())?;
        out.write_all(b": ")?;
        let (dtype, shape) = (entry.dtype().map(|d| d.name()), entry.shape().map(Shape::dims));
        let values = contents.get(&*entry.tensor.path).map(Values::of);
        element(out, &Entry { dtype, shape, values })?;
    }
    out.write_all(if separator.starts_with(b"{") { b"{}\n" } else { b"\n}\n" })
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use proptest::prelude::*;

    use super::*;
    use crate::checkpoint::{Checkpoint, Dtype, Format, TensorInfo};

    fn checkpoint(keys: &[(String, Option<Dtype>, Option<Vec<u64>>)]) -> Checkpoint {
        let mut out = Checkpoint::new("model.safetensors", Format::Safetensors);
        out.tensors = (keys.iter())
            .map(|(key, dtype, shape)| TensorInfo {
                path: key.as_str().into(),
                container: 0,
                dtype: *dtype,
                shape: shape.clone().map(Shape::from),
                role: Default::default(),
                placement: None,
            })
            .collect();
        out.containers[0].tensors = keys.len();
        out
    }

    fn written(checkpoint: &Checkpoint) -> String {
        let mut out = Vec::new();
        write(&StateDict::below(checkpoint, 0), &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn one_key_a_line_in_order() {
        let c = checkpoint(&[
            ("conv1.weight".into(), Some(Dtype::F32), Some(vec![64, 3, 7, 7])),
            ("bn1.num_batches_tracked".into(), Some(Dtype::I64), Some(vec![])),
            ("said\u{1b}\"nothing".into(), None, None),
        ]);
        assert_eq!(
            written(&c),
            "{\n  \"conv1.weight\": {\"dtype\": \"F32\", \"shape\": [64, 3, 7, 7]},\n  \
             \"bn1.num_batches_tracked\": {\"dtype\": \"I64\", \"shape\": []},\n  \
             \"said\\u001b\\\"nothing\": {\"dtype\": null, \"shape\": null}\n}\n"
        );
    }

    #[test]
    fn nothing_is_an_empty_object() {
        assert_eq!(written(&checkpoint(&[])), "{}\n");
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(keys in prop::collection::btree_map(".{0,12}", (prop::option::of(0usize..29), prop::option::of(prop::collection::vec(0u64..9, 0..4))), 0..12)) {
            let special = ["metadata", "weight_map", "__metadata__"];
            prop_assume!(!keys.keys().any(|k| special.contains(&k.as_str())));
            let keys: Vec<_> = keys.into_iter().map(|(k, (d, s))| (k, d.map(|d| Dtype::ALL[d]), s)).collect();
            let mut file = tempfile::NamedTempFile::new().unwrap();
            file.write_all(written(&checkpoint(&keys)).as_bytes()).unwrap();
            let back = crate::read::read(file.path()).unwrap();
            let back: Vec<_> = back.tensors.iter().map(|t| (t.path.to_string(), t.dtype, t.shape.as_ref().map(|s| s.dims().to_vec()))).collect();
            prop_assert_eq!(back, keys);
        }
    }
}
