//! The bytes of tensors are the same in whatever file they stand.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use ckdiff::checkpoint::Checkpoint;
use ckdiff::payload::{Payload, PayloadError};
use ckdiff::read::read;

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/payload").join(name)
}

fn values(checkpoint: &Checkpoint) -> HashMap<String, Vec<u8>> {
    let payload = Payload::new(checkpoint);
    let bytes = |t| payload.tensor(t).and_then(|t| t.read_all()).unwrap_or_else(|e| panic!("{e}"));
    checkpoint.tensors.iter().map(|t| (t.path.to_string(), bytes(t))).collect()
}

#[test]
fn every_container_byte_order_packing_and_stride_gives_the_same_bytes() {
    let plain = values(&read(&file("plain.safetensors")).unwrap());
    for name in
        ["zip.pt", "deflated.pt", "big_endian.pt", "big_endian_deflated.pt", "legacy.pt", "narrow.pt", "numpy.pkl"]
    {
        let other = read(&file(name)).unwrap();
        let found = values(&other);
        assert!(found.len() >= 6, "{name}");
        for (key, bytes) in found {
            assert_eq!(plain[&key], bytes, "{name}: {key}");
        }
    }
}

#[test]
fn bytes_read_in_any_pieces_are_the_bytes_read_at_once() {
    for name in ["zip.pt", "big_endian.pt"] {
        let checkpoint = read(&file(name)).unwrap();
        let payload = Payload::new(&checkpoint);
        for info in &checkpoint.tensors {
            let tensor = payload.tensor(info).unwrap();
            let whole = tensor.read_all().unwrap();
            for size in [1, 3, 8, 13] {
                let mut pieces = vec![0; whole.len()];
                for (at, piece) in pieces.chunks_mut(size).enumerate() {
                    tensor.read_at((at * size) as u64, piece).unwrap();
                }
                assert_eq!(pieces, whole, "{name}: {} in pieces of {size}", info.path);
            }
        }
    }
}

#[test]
fn only_what_stands_in_the_file_as_it_is_wanted_has_a_range_there() {
    let range = |name: &str, key: &str| {
        let checkpoint = read(&file(name)).unwrap();
        let tensor = checkpoint.tensors.iter().find(|t| &*t.path == key).unwrap();
        let bytes = Payload::new(&checkpoint).tensor(tensor).unwrap();
        let found = bytes.range().map(|r| (r.start as usize, r.len as usize));
        found.map(|(start, len)| fs::read(file(name)).unwrap()[start..start + len] == bytes.read_all().unwrap())
    };
    assert_eq!(range("zip.pt", "base"), Some(true));
    assert_eq!(range("zip.pt", "k"), Some(true));
    assert_eq!(range("legacy.pt", "last"), Some(true));
    assert_eq!(range("zip.pt", "transposed"), None);
    assert_eq!(range("deflated.pt", "base"), None);
    assert_eq!(range("big_endian.pt", "base"), None);
}

#[test]
fn a_file_that_shrinks_after_its_header_was_read_is_an_error_that_names_the_byte() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shrinks.safetensors");
    fs::copy(file("plain.safetensors"), &path).unwrap();
    let checkpoint = read(&path).unwrap();
    let payload = Payload::new(&checkpoint);
    let tensors: Vec<_> = checkpoint.tensors.iter().filter_map(|t| payload.tensor(t).ok()).collect();
    fs::File::options().write(true).open(&path).unwrap().set_len(2500).unwrap();
    let errors: Vec<PayloadError> = tensors.iter().filter_map(|t| t.read_all().err()).collect();
    assert!(!errors.is_empty() && errors.len() < tensors.len());
    assert!(errors.iter().all(|e| e.path == path && e.at.is_some() && !e.key.is_empty()), "{errors:?}");
    // Opened anew, what is cut off is known before anything is read.
    let again = Payload::new(&checkpoint);
    let refused = checkpoint.tensors.iter().filter(|t| again.tensor(t).is_err()).count();
    assert_eq!(refused, errors.len());
}

#[test]
fn a_list_of_keys_has_no_values() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("expected.json");
    fs::write(&path, r#"{"a": {"dtype": "F32", "shape": [2]}}"#).unwrap();
    let checkpoint = read(&path).unwrap();
    let error = Payload::new(&checkpoint).tensor(&checkpoint.tensors[0]).unwrap_err();
    assert!(error.to_string().contains("it has no bytes"), "{error}");
}
