//! The header of a safetensors file: keys in the order of the target, values so that each is aligned to its own size.

use std::collections::BTreeMap;

use super::ConvertError;
use super::plan::Output;
use crate::checkpoint::quoted;

/// What the official library refuses to read (`MAX_HEADER_SIZE` of safetensors/src/tensor.rs).
const MOST: usize = 100_000_000;

/// A header, and the order in which the values follow it.
pub(super) struct Header {
    /// Its length and its text, padded so that values begin at a multiple of eight.
    pub(super) bytes: Vec<u8>,
    /// Indices into the outputs.
    pub(super) order: Vec<usize>,
}

/// Writes the header of a file with these tensors. The same input gives the same bytes.
///
/// # Errors
/// Where the format has no room for it.
pub(super) fn header(outputs: &[&Output], metadata: &BTreeMap<String, String>) -> Result<Header, ConvertError> {
    // No gaps are allowed between tensors, so that large elements come first: then every tensor is aligned.
    let mut order: Vec<usize> = (0..outputs.len()).collect();
    order.sort_by_key(|&i| outputs.get(i).map(|o| std::cmp::Reverse(o.dtype.bits())));
    let mut places = vec![(0u64, 0u64); outputs.len()];
    let mut at = 0u64;
    for &i in &order {
        let (Some(output), Some(place)) = (outputs.get(i), places.get_mut(i)) else { continue };
        let end = at.checked_add(output.bytes());
        let end = end.ok_or_else(|| ConvertError::new("the tensors are larger than any file", ""))?;
        *place = (at, end);
        at = end;
    }
    let text = |s: &str| serde_json::Value::from(s).to_string();
    let mut json = String::from("{");
    if !metadata.is_empty() {
        let pairs: Vec<String> = metadata.iter().map(|(k, v)| format!("{}:{}", text(k), text(v))).collect();
        json.push_str(&format!("\"__metadata__\":{{{}}}", pairs.join(",")));
    }
    for (output, (from, to)) in outputs.iter().zip(places) {
        if output.key == "__metadata__" {
            let what = format!("a tensor called {} has no place in a safetensors file", quoted(&output.key));
            return Err(ConvertError::new(what, "rename it with --renames"));
        }
        if json.len() > 1 {
            json.push(',');
        }
        let shape: Vec<String> = output.shape.dims().iter().map(u64::to_string).collect();
        let dtype = output.dtype.name();
        let (key, shape) = (text(&output.key), shape.join(","));
        json.push_str(&format!("{key}:{{\"dtype\":\"{dtype}\",\"shape\":[{shape}],\"data_offsets\":[{from},{to}]}}"));
    }
    json.push('}');
    while !json.len().is_multiple_of(8) {
        json.push(' ');
    }
    if json.len() > MOST {
        let what = format!("the header would have {} bytes, more than safetensors reads ({MOST})", json.len());
        return Err(ConvertError::new(what, "write several files (--shard-size)"));
    }
    let mut bytes = (json.len() as u64).to_le_bytes().to_vec();
    bytes.extend_from_slice(json.as_bytes());
    Ok(Header { bytes, order })
}

#[cfg(test)]
mod tests {
    use super::super::plan::{Change, Recipe};
    use super::*;
    use crate::checkpoint::{Dtype, Shape};

    fn output(key: &str, dtype: Dtype, shape: &[u64]) -> Output {
        let recipe = Recipe::Join { axis: 0, slice: shape.to_vec(), slices: Vec::new() };
        let shape = Shape::from(shape.to_vec());
        Output { key: key.into(), dtype, given: dtype, shape, recipe, change: Change::Kept }
    }

    #[test]
    fn keys_keep_their_order_and_every_tensor_is_aligned() {
        let outputs = [
            output("b \"quoted\"", Dtype::U8, &[3]),
            output("a", Dtype::F64, &[2]),
            output("scalar", Dtype::F32, &[]),
            output("empty", Dtype::I64, &[0, 4]),
        ];
        let all: Vec<&Output> = outputs.iter().collect();
        let metadata = BTreeMap::from([("format".to_owned(), "pt".to_owned()), ("a".to_owned(), "ü\n".to_owned())]);
        let made = header(&all, &metadata).unwrap();
        let mut file = made.bytes.clone();
        file.resize(file.len() + 16 + 4 + 3, 0);
        assert!(made.bytes.len().is_multiple_of(8));
        // The official library reads it, and finds what was meant.
        let read = safetensors::SafeTensors::deserialize(&file).unwrap();
        assert_eq!(read.tensor("b \"quoted\"").unwrap().shape(), [3]);
        assert_eq!(read.tensor("scalar").unwrap().dtype(), safetensors::Dtype::F32);
        assert_eq!(read.tensor("a").unwrap().data().len(), 16);
        let text = std::str::from_utf8(&made.bytes[8..]).unwrap();
        let places = ["__metadata__", "quoted", "\"a\":{", "scalar"].map(|w| text.find(w).unwrap());
        assert!(places.is_sorted(), "{text}");
    }
}
