//! One file or several: sizes, names, and which tensor goes where.

use std::path::{Path, PathBuf};

use super::plan::Output;

/// A size as people write it (`5GB`, `500MB`, `2GiB`, `1000000`), in bytes.
///
/// # Errors
/// What is wrong with the text.
pub fn parse_size(text: &str) -> Result<u64, String> {
    let digits = text.trim().trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = text.trim().get(digits.len()..).unwrap_or("").to_ascii_uppercase();
    let factor: u64 = match unit.as_str() {
        "" | "B" => 1,
        "KB" => 1000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        "TB" => 1_000_000_000_000,
        "KIB" => 1 << 10,
        "MIB" => 1 << 20,
        "GIB" => 1 << 30,
        "TIB" => 1 << 40,
        _ => return Err(format!("`{unit}` is no unit: B, KB, MB, GB, TB, or KiB, MiB, GiB, TiB")),
    };
    let number: u64 = digits.trim().parse().map_err(|_| format!("`{}` is no whole number", digits.trim()))?;
    number.checked_mul(factor).filter(|&n| n > 0).ok_or_else(|| "not a size that a file can have".into())
}

/// Sorts outputs into shards of at most `limit` bytes, in order. A tensor that is larger has a shard of its own.
pub(super) fn split(outputs: &[Output], limit: Option<u64>) -> Vec<Vec<&Output>> {
    let Some(limit) = limit else { return vec![outputs.iter().collect()] };
    let mut shards: Vec<Vec<&Output>> = Vec::new();
    let mut size = 0u64;
    for output in outputs {
        match shards.last_mut().filter(|_| size.saturating_add(output.bytes()) <= limit) {
            Some(shard) => {
                shard.push(output);
                size = size.saturating_add(output.bytes());
            }
            None => {
                shards.push(vec![output]);
                size = output.bytes();
            }
        }
    }
    if shards.is_empty() { vec![Vec::new()] } else { shards }
}

/// The paths of so many shards and of their index, as the Hugging Face libraries name them; the path itself for one shard.
pub fn names(path: &Path, shards: usize) -> (Vec<PathBuf>, Option<PathBuf>) {
    if shards < 2 {
        return (vec![path.to_owned()], None);
    }
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let stem = name.strip_suffix(".safetensors").unwrap_or(&name);
    let shard = |i| path.with_file_name(format!("{stem}-{i:05}-of-{shards:05}.safetensors"));
    ((1..=shards).map(shard).collect(), Some(path.with_file_name(format!("{stem}.safetensors.index.json"))))
}

/// The index: which key is in which file, as `transformers` writes it.
pub(super) fn index(shards: &[Vec<&Output>], paths: &[PathBuf]) -> Vec<u8> {
    let total: u64 = shards.iter().flatten().fold(0, |n, o| n.saturating_add(o.bytes()));
    let mut pairs: Vec<(&str, String)> = Vec::new();
    for (shard, path) in shards.iter().zip(paths) {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        pairs.extend(shard.iter().map(|o| (o.key.as_str(), name.clone())));
    }
    pairs.sort_unstable();
    let text = |s: &str| serde_json::Value::from(s).to_string();
    let lines: Vec<String> = pairs.iter().map(|(key, file)| format!("    {}: {}", text(key), text(file))).collect();
    let lines = lines.join(",\n");
    format!("{{\n  \"metadata\": {{\n    \"total_size\": {total}\n  }},\n  \"weight_map\": {{\n{lines}\n  }}\n}}\n")
        .into_bytes()
}

#[cfg(test)]
mod tests {
    use super::super::plan::{Change, Recipe};
    use super::*;
    use crate::checkpoint::{Dtype, Shape};

    #[test]
    fn sizes_are_read_as_people_write_them() {
        assert_eq!(parse_size("5GB"), Ok(5_000_000_000));
        assert_eq!(parse_size("2GiB"), Ok(2 << 30));
        assert_eq!(parse_size("1000"), Ok(1000));
        assert!(parse_size("five").is_err() && parse_size("5XB").is_err() && parse_size("0").is_err());
        assert!(parse_size("99999999999TB").is_err());
    }

    #[test]
    fn shards_are_filled_in_order_and_a_large_tensor_has_its_own() {
        let output = |key: &str, n: u64| {
            let recipe = Recipe::Join { axis: 0, slice: vec![n], slices: Vec::new() };
            let (shape, dtype) = (Shape::from([n]), Dtype::U8);
            Output { key: key.into(), dtype, given: dtype, shape, recipe, change: Change::Kept }
        };
        let outputs = [output("a", 4), output("b", 5), output("c", 30), output("d", 1), output("e", 9)];
        let shards = split(&outputs, Some(10));
        let names_of = |s: &Vec<&Output>| s.iter().map(|o| o.key.clone()).collect::<String>();
        assert_eq!(shards.iter().map(names_of).collect::<Vec<_>>(), ["ab", "c", "de"]);
        let (paths, index_path) = names(Path::new("out/model.safetensors"), 3);
        assert_eq!(paths[1], Path::new("out/model-00002-of-00003.safetensors"));
        assert_eq!(index_path.as_deref(), Some(Path::new("out/model.safetensors.index.json")));
        let json: serde_json::Value = serde_json::from_slice(&index(&shards, &paths)).unwrap();
        assert_eq!(json["weight_map"]["d"], "model-00003-of-00003.safetensors");
        assert_eq!(json["metadata"]["total_size"], 49);
    }
}
