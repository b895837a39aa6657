//! Legacy streams and tars that lie. Wanted: what torch reads is read, otherwise a clear error.

use crate::harness::{Outcome, inspect};
use crate::torch_files::*;

fn object() -> Vec<u8> {
    dict(&[("w", four("0"))])
}

fn stream(parts: &[&[u8]]) -> Outcome {
    inspect("model.pth", parts.concat())
}

/// An error, said with these words.
fn faulty(found: &Outcome, words: &str) {
    assert_ne!(found.code, 0, "{found:?}");
    let all = format!("{}{}", found.said(), found.json["unreadable"]);
    assert!(all.contains(words), "{words:?} is not in {all}");
}

#[test]
fn control() {
    inspect("model.pth", legacy(&object())).sound(&["w"]);
}

#[test]
fn the_magic_number_is_off_by_one() {
    let mut magic = MAGIC.to_vec();
    magic[4] ^= 1;
    let found = stream(&[&magic, PROTOCOL, &system_info(), &object(), &keys(&["0"]), &data(4, 16)]);
    assert_eq!(found.code, 2, "{found:?}");
    faulty(&found, "magic number");
}

#[test]
fn another_protocol() {
    let found = stream(&[MAGIC, b"\x80\x02M\xea\x03.", &system_info(), &object(), &keys(&["0"]), &data(4, 16)]);
    faulty(&found, "protocol version 1002");
    assert_eq!(found.tensors(), ["w"]);
}

#[test]
fn written_on_a_big_endian_system() {
    let info = dict(&[("protocol_version", b"M\xe9\x03".to_vec()), ("little_endian", b"\x89".to_vec())]);
    let count = 4u64.to_be_bytes();
    let found = stream(&[MAGIC, PROTOCOL, &info, &object(), &keys(&["0"]), &count, &[1; 16]]);
    found.sound(&["w"]);
}

#[test]
fn a_storage_of_2_to_the_62_elements() {
    let found = stream(&[MAGIC, PROTOCOL, &system_info(), &object(), &keys(&["0"]), &data(1 << 62, 16)]);
    faulty(&found, "half downloaded");
}

#[test]
fn a_storage_that_is_shorter_than_the_pickle_says() {
    let found = stream(&[MAGIC, PROTOCOL, &system_info(), &object(), &keys(&["0"]), &data(2, 8)]);
    faulty(&found, "its storage holds 8 bytes, the pickle wants 16");
}

#[test]
fn cut_off_behind_the_list_of_storages() {
    let found = stream(&[MAGIC, PROTOCOL, &system_info(), &object(), &keys(&["0"])]);
    faulty(&found, "CK062");
}

#[test]
fn no_list_of_storages() {
    let found = stream(&[MAGIC, PROTOCOL, &system_info(), &object()]);
    faulty(&found, "before pickle 5 of 5");
}

#[test]
fn an_empty_list_of_storages() {
    let found = stream(&[MAGIC, PROTOCOL, &system_info(), &object(), b"\x80\x02]."]);
    faulty(&found, "not in the list");
}

#[test]
fn a_list_of_storages_that_is_a_number() {
    let found = stream(&[MAGIC, PROTOCOL, &system_info(), &object(), b"\x80\x02K\x01."]);
    faulty(&found, "no list of storages");
}

#[test]
fn a_storage_in_the_list_that_no_tensor_uses() {
    let found = stream(&[MAGIC, PROTOCOL, &system_info(), &object(), &keys(&["0", "1"]), &data(4, 16), &data(4, 16)]);
    faulty(&found, "no tensor uses");
    assert_eq!(found.tensors(), ["w"]);
}

#[test]
fn a_million_storages_in_the_list() {
    let many: Vec<u8> = [b"\x80\x02](".as_slice(), &b"U\x01x".repeat(1_000_000), b"e."].concat();
    let found = stream(&[MAGIC, PROTOCOL, &system_info(), &object(), &many, &data(4, 16)]);
    assert_ne!(found.code, 0, "{found:?}");
}

#[test]
fn garbage_behind_the_last_storage() {
    let found = inspect("model.pth", [legacy(&object()), vec![0xee; 1000]].concat());
    found.sound(&["w"]);
    assert!(found.said().contains("1000 bytes stand behind"), "{}", found.said());
}

#[test]
fn only_the_magic_number() {
    let found = stream(&[MAGIC]);
    assert_eq!(found.code, 2, "{found:?}");
    faulty(&found, "before pickle 2 of 5");
}

#[test]
fn a_view_beyond_its_storage() {
    let view = tuple(&[text("v"), long(3), long(9)]);
    let items = [text("storage"), global("torch", "FloatStorage"), text("0"), text("cpu"), long(4), view];
    let id = [tuple(&items), b"Q".to_vec()].concat();
    let bad = tensor(&id, int(0), tuple(&[int(4)]), tuple(&[int(1)]));
    let object = dict(&[("w", four("0")), ("bad", bad)]);
    let found = inspect("model.pth", legacy(&object));
    faulty(&found, "a view of 9 elements from 3 on, in a storage of 4");
    assert_eq!(found.tensors(), ["w"]);
}

#[test]
fn cut_at_every_place() {
    let bytes = legacy(&object());
    for percent in [1, 20, 60, 90, 99] {
        let found = inspect("model.pth", &bytes[..bytes.len() * percent / 100]);
        assert_ne!(found.code, 0, "{percent} %: {found:?}");
    }
}

#[test]
fn the_last_two_fifths_are_zeros() {
    let mut bytes = legacy(&object());
    let from = bytes.len() * 3 / 5;
    bytes[from..].fill(0);
    let found = inspect("model.pth", bytes);
    assert_ne!(found.code, 0, "{found:?}");
}

/// One member of a tar archive.
fn member(name: &str, size: &str, content: &[u8]) -> Vec<u8> {
    let mut header = vec![0; 512];
    header[..name.len()].copy_from_slice(name.as_bytes());
    header[124..124 + size.len()].copy_from_slice(size.as_bytes());
    header[156] = b'0';
    header[257..263].copy_from_slice(b"ustar\0");
    let mut out = [header, content.to_vec()].concat();
    out.resize(out.len().next_multiple_of(512), 0);
    out
}

/// A checkpoint of the tar era with one tensor of 2 × 3 floats.
fn tar(storage_size: &str) -> Vec<u8> {
    let numbers = |n: &[i64]| n.iter().flat_map(|n| n.to_le_bytes()).collect::<Vec<u8>>();
    let key = [b"\x80\x02(K\x07".to_vec(), text("cpu"), global("torch", "FloatStorage"), b"t.".to_vec()].concat();
    let storages = [b"\x80\x02K\x01.".to_vec(), key, numbers(&[6]), vec![1; 24], b"\x80\x02].".to_vec()].concat();
    let key = [b"\x80\x02(K\x09K\x07".to_vec(), global("torch", "FloatTensor"), b"t.".to_vec()].concat();
    let tensors = [b"\x80\x02K\x01.".to_vec(), key, numbers(&[2, 2, 3, 3, 1, 0])].concat();
    let pickle = [b"\x80\x02}".to_vec(), text("w"), b"K\x09Qs.".to_vec()].concat();
    let octal = |b: &[u8]| format!("{:011o}", b.len());
    let size = if storage_size.is_empty() { octal(&storages) } else { storage_size.to_owned() };
    [
        member("sys_info", &octal(&system_info()), &system_info()),
        member("pickle", &octal(&pickle), &pickle),
        member("tensors", &octal(&tensors), &tensors),
        member("storages", &size, &storages),
        vec![0; 1024],
    ]
    .concat()
}

#[test]
fn tar_control() {
    let found = inspect("model.pth", tar(""));
    found.sound(&["w"]);
    assert_eq!(found.json["tensors"][0]["shape"], serde_json::json!([2, 3]));
}

#[test]
fn tar_with_a_member_of_8_gb() {
    inspect("model.pth", tar("77777777777"));
}

#[test]
fn tar_cut_off() {
    let bytes = tar("");
    for percent in [20, 40, 60] {
        let found = inspect("model.pth", &bytes[..bytes.len() * percent / 100]);
        assert_ne!(found.code, 0, "{percent} %: {found:?}");
    }
}

#[test]
fn tar_around_a_checkpoint() {
    let inner = legacy(&object());
    let found = inspect("model.pth.tar", member("model.pth", &format!("{:011o}", inner.len()), &inner));
    assert_eq!(found.code, 2, "{found:?}");
}
