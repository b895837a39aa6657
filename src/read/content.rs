//! What a snapshot says about the values of a tensor: `{"xxh3": "…", "min": …, "max": …, "mean": …, "rms": …, "nan": 0, "inf": 0}`.

use serde_json::Value;

use crate::checkpoint::{Content, Summary};

/// Reads the field; `None` where it is something else that happens to have the name.
///
/// # Errors
/// What is wrong with the digest.
pub(super) fn content(value: &Value) -> Result<Option<Content>, String> {
    let Some(digest) = value.get("xxh3") else { return Ok(None) };
    let text = digest.as_str().filter(|t| t.len() == 32 && t.bytes().all(|b| b.is_ascii_hexdigit()));
    let digest = text.and_then(|t| u128::from_str_radix(t, 16).ok());
    let Some(digest) = digest else {
        return Err("values: xxh3 is no digest of 32 hexadecimal digits".into());
    };
    let number = |name: &str| value.get(name).and_then(Value::as_f64);
    let count = |name: &str| value.get(name).and_then(Value::as_u64);
    let summary = count("nan").map(|nan| Summary {
        min: number("min"),
        max: number("max"),
        mean: number("mean"),
        rms: number("rms"),
        nan,
        inf: count("inf").unwrap_or(0),
    });
    let constant = summary.is_some_and(|s| s.min.is_some() && s.min == s.max && s.nan + s.inf == 0);
    Ok(Some(Content { digest, constant, summary }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_is_read_and_a_broken_one_is_named() {
        let good =
            serde_json::json!({"xxh3": "000102030405060708090a0b0c0d0e0f", "min": -1.5, "max": 2, "nan": 0, "inf": 0});
        let read = content(&good).unwrap().unwrap();
        assert_eq!(read.digest, 0x0001_0203_0405_0607_0809_0a0b_0c0d_0e0f);
        assert_eq!(read.summary.unwrap().max, Some(2.0));
        assert!(!read.constant);
        assert!(content(&serde_json::json!({"xxh3": "+00102030405060708090a0b0c0d0e0f"})).is_err());
        assert_eq!(content(&serde_json::json!(["something", "else"])), Ok(None));
    }
}
