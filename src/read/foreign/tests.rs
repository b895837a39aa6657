use std::io::Write as _;

use super::*;
use crate::read::input::{Named, open};

/// What is said about a file of these bytes.
fn said(bytes: &[u8], suffix: &str) -> String {
    let mut file = tempfile::Builder::new().suffix(suffix).tempfile().unwrap();
    file.write_all(bytes).unwrap();
    let Named::File(mut input) = open(file.path()).unwrap() else { panic!("no file") };
    let error = certain(&mut input).unwrap_or_else(|| name(&mut input));
    assert!(!error.remedy.is_empty(), "{error}");
    format!("{} {}; {}", error.code, error.what, error.remedy)
}

const POINTER: &str = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 13431\n";

#[test]
fn a_git_lfs_pointer_is_named_with_the_size_of_its_file() {
    let said = said(POINTER.as_bytes(), ".safetensors");
    assert!(
        said.contains("git-lfs pointer") && said.contains("13431 bytes") && said.contains("git lfs pull"),
        "{said}"
    );
}

#[test]
fn a_xet_pointer_is_named() {
    assert!(
        said(b"# xet version 0\nfilesize = 77\nhash = 'ab'\n", ".bin")
            .contains("git-xet pointer that stands for a file of 77 bytes")
    );
}

#[test]
fn saved_pages_are_named_and_not_repeated() {
    let page = said(b"\n<!DOCTYPE html><html><head><title>Sign in secret</title>", ".pth");
    assert!(page.contains("web page") && !page.contains("secret"), "{page}");
    assert!(said(b"<html><title>Google Drive - Virus scan warning</title>", ".pth").contains("gdown"));
    assert!(said(b"<?xml version=\"1.0\"?><Error><Code>AccessDenied</Code>", ".pth").contains("storage server"));
}

#[test]
fn archives_and_other_formats_are_named_by_their_first_bytes() {
    for (bytes, name) in [
        (&b"\x1f\x8b\x08\0"[..], "gzip"),
        (b"\xfd7zXZ\0\0", "xz"),
        (b"\x28\xb5\x2f\xfd", "zstd"),
        (b"BZh91AY", "bzip2"),
        (b"Rar!\x1a\x07\x01\0", "RAR"),
        (b"7z\xbc\xaf\x27\x1c", "7-Zip"),
        (b"\x89PNG\r\n\x1a\n", "PNG"),
        (b"SQLite format 3\0", "SQLite"),
        (b"\x93NUMPY\x01\0", "NumPy array"),
        (b"tjgg\x03\0\0\0", "ggjt"),
        (b"GGUF\x03\0\0\0", "GGUF file (version 3)"),
        (b"GGUF\0\0\0\x03", "big-endian"),
        (b"GGUF\0\0\0\0", "unknown version (0)"),
        (b"GGUF", "half a download"),
    ] {
        assert!(said(bytes, ".bin").contains(name), "{}", said(bytes, ".bin"));
    }
}

#[test]
fn an_hdf5_file_that_is_shorter_than_its_superblock_says_is_half_a_download() {
    let mut bytes = b"\x89HDF\r\n\x1a\n".to_vec();
    bytes.resize(64, 0);
    bytes[40..48].copy_from_slice(&1000u64.to_le_bytes());
    assert!(said(&bytes, ".h5").contains("ends 936 bytes early (half a download)"), "{}", said(&bytes, ".h5"));
    bytes.extend(br#"{"class_name": "Lambda", "config": {}}"#);
    assert!(said(&bytes, ".h5").contains("Lambda layer, which runs code"));
}

#[test]
fn a_zip_archive_without_its_end_is_half_a_download() {
    let mut bytes = b"PK\x03\x04".to_vec();
    bytes.resize(4000, 7);
    assert!(said(&bytes, ".pth").starts_with("CK005") && said(&bytes, ".pth").contains("half a download"));
    bytes.resize(8000, 0);
    assert!(said(&bytes, ".pth").contains("ends in zero bytes"));
    assert!(said(b"PK", ".pth").contains("the first 2 bytes of a zip archive"));
}

#[test]
fn an_empty_file_and_one_of_zeros_are_named() {
    assert!(said(b"", ".pth").contains("empty file"));
    assert!(said(&[0; 9000], ".safetensors").contains("zero bytes only"));
    let mut mixed = vec![0; 8999];
    mixed.push(1);
    assert!(said(&mixed, ".safetensors").contains("whose beginning is zero bytes"));
    assert!(said(b"x\xff", ".pth").contains("2 bytes of a file"));
}

#[test]
fn texts_are_named_by_what_they_are() {
    for (text, name) in [
        ("import torch\n\nclass Net(torch.nn.Module):\n", "Python source code"),
        ("OrderedDict([('a', tensor(1))])", "Python's repr"),
        ("Traceback (most recent call last):\n  File", "ckdiff explain"),
        ("model_checkpoint_path: \"model.ckpt-100\"\n", "TensorFlow"),
        ("learning_rate: 0.1\n", "a text, not a checkpoint"),
        ("  \n\n ", "white space only"),
    ] {
        assert!(said(text.as_bytes(), ".pth").contains(name), "{}", said(text.as_bytes(), ".pth"));
    }
    let utf16: Vec<u8> = "\u{feff}{\"a\": [1]}".encode_utf16().flat_map(u16::to_le_bytes).collect();
    assert!(said(&utf16, ".json").contains("UTF-16"));
    assert!(said(&utf16[2..], ".json").contains("UTF-16"));
}

#[test]
fn bytes_changed_on_their_way_are_named() {
    let mangled: Vec<u8> = (0..200u8).filter(|&n| n != b'\n').flat_map(|n| [200 + n % 50, n, b'\r', b'\n']).collect();
    assert!(said(&mangled, ".pth").contains("as if it were text"), "{}", said(&mangled, ".pth"));
    let replaced = [&b"\x01\x02"[..], &"\u{fffd}a\x03".repeat(20).into_bytes()].concat();
    assert!(said(&replaced, ".pth").contains("replacement characters"));
}

#[test]
fn what_is_like_nothing_known_is_said_to_be_so() {
    let bytes: Vec<u8> = (0..4000u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    assert!(said(&bytes, ".pth").contains("not a format that ckdiff knows"));
}
