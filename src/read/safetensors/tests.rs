use std::io::Write as _;

use proptest::prelude::*;

use super::*;
use crate::checkpoint::Dtype;

fn file(header: &str, data: usize) -> Vec<u8> {
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header.as_bytes());
    bytes.resize(bytes.len() + data, 1);
    bytes
}

fn read_bytes(bytes: &[u8]) -> Result<Checkpoint, ReadError> {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(bytes).unwrap();
    match crate::read::input::open(file.path())? {
        crate::read::input::Named::File(mut input) => read(&mut input),
        crate::read::input::Named::Directory => unreachable!(),
    }
}

fn header(header: &str, data: usize) -> Checkpoint {
    read_bytes(&file(header, data)).unwrap()
}

/// Codes and messages of the remarks that are errors.
fn errors(checkpoint: &Checkpoint) -> Vec<String> {
    checkpoint.remarks.iter().filter(|r| r.error).map(|r| format!("{} {}", r.code, r.message)).collect()
}

fn refused(bytes: &[u8]) -> String {
    let error = read_bytes(bytes).expect_err("was read");
    format!("{} {}", error.code, error.what)
}

fn library_loads(bytes: &[u8]) -> bool {
    safetensors::SafeTensors::deserialize(bytes).is_ok()
}

const TWO: &str = r#"{"b":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]},"a":{"dtype":"I64","shape":[],"data_offsets":[24,32]}}"#;

#[test]
fn tensors_are_listed_in_stored_order_with_their_place_in_the_file() {
    let read = header(TWO, 32);
    let listed: Vec<_> = read.tensors.iter().map(|t| (&*t.path, t.dtype.unwrap(), t.shape.clone().unwrap())).collect();
    assert_eq!(listed, [("b", Dtype::F32, Shape::from([2, 3])), ("a", Dtype::I64, Shape::from([]))]);
    let starts: Vec<_> = read.storages.iter().map(|s| (s.start, s.bytes)).collect();
    let data = 8 + TWO.len() as u64;
    assert_eq!(starts, [(Some(data), 24), (Some(data + 24), 8)]);
    assert!(read.remarks.is_empty() && read.complete && read.containers[0].tensors == 2);
}

#[test]
fn every_dtype_of_the_library_is_read() {
    for name in "BOOL F4 F6_E2M3 F6_E3M2 U8 I8 F8_E5M2 F8_E4M3 F8_E8M0 F8_E4M3FNUZ F8_E5M2FNUZ I16 U16 F16 BF16 I32 U32 F32 C64 F64 I64 U64".split(' ') {
        let bits = Dtype::parse(name).unwrap().bits() as usize;
        let text = format!(r#"{{"a":{{"dtype":"{name}","shape":[8],"data_offsets":[0,{bits}]}}}}"#);
        let read = header(&text, bits);
        assert!(errors(&read).is_empty() && read.tensors[0].dtype == Dtype::parse(name), "{name}: {:?}", read.remarks);
    }
}

#[test]
fn metadata_is_kept() {
    let read = header(r#"{"__metadata__":{"format":"pt"}}"#, 0);
    assert_eq!(read.metadata, [("format".to_string(), "pt".to_string())]);
}

#[test]
fn one_bad_tensor_does_not_lose_the_others() {
    let good = r#""good":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}"#;
    for (bad, why) in [
        (r#"{"dtype":"F13","shape":[1],"data_offsets":[4,8]}"#, "dtype `F13` is not one that safetensors stores"),
        (r#"{"dtype":"float32","shape":[1],"data_offsets":[4,8]}"#, "dtype `float32` is not one"),
        (r#"{"dtype":null,"shape":[1],"data_offsets":[4,8]}"#, "dtype is null"),
        (r#"{"dtype":"F32","shape":[1.5],"data_offsets":[4,8]}"#, "1.5 is no size"),
        (r#"{"dtype":"F32","shape":[-1],"data_offsets":[4,8]}"#, "-1 is no size"),
        (r#"{"dtype":"F32","data_offsets":[4,8]}"#, "shape is missing"),
        (r#"{"dtype":"F32","shape":[1],"data_offsets":[4,8,9]}"#, "data_offsets has 3 numbers, not two"),
        (r#"{"dtype":"F32","shape":[1],"data_offsets":[-4,8]}"#, "data_offsets holds -4"),
        (r#"{"dtype":"F32","dtype":"F16","shape":[1],"data_offsets":[4,8]}"#, "dtype is given twice"),
        (r#"{"dtype":"F32","shape":[2],"data_offsets":[4,8]}"#, "takes 8 bytes, data_offsets [4, 8] hold 4"),
        (r#"{"dtype":"F32","shape":[1],"data_offsets":[8,4]}"#, "data_offsets [8, 4] end before they begin"),
        (r#"{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[4,8]}"#, "more than 64 bits"),
        (r#"{"dtype":"F32","shape":[4611686018427387905],"data_offsets":[4,8]}"#, "more bytes than 64 bits can count"),
        (r#"{"dtype":"F4","shape":[3],"data_offsets":[4,8]}"#, "12 bits, which is no whole number of bytes"),
    ] {
        let text = format!("{{{good},\"bad\":{bad}}}");
        let read = header(&text, 8);
        assert_eq!(read.tensors.iter().map(|t| &*t.path).collect::<Vec<_>>(), ["good"], "{bad}");
        assert_eq!(read.unreadable.len(), 1, "{bad}");
        assert!(read.unreadable[0].path == "bad" && read.unreadable[0].why.contains(why), "{:?}", read.unreadable);
        assert!(errors(&read)[0].starts_with("CK008 `bad`: "), "{:?}", read.remarks);
        assert!(!library_loads(&file(&text, 8)));
    }
}

#[test]
fn half_a_download_says_how_many_bytes_are_missing() {
    let read = header(TWO, 20);
    assert_eq!(read.tensors.len(), 2);
    assert!(!read.complete);
    assert!(errors(&read)[0].contains("the file ends 12 bytes early"), "{:?}", read.remarks);
    assert!(errors(&read)[0].contains("2 of 2 tensors are cut off"), "{:?}", read.remarks);
}

#[test]
fn a_file_that_ends_within_its_header_is_half_a_download() {
    let said = refused(&file(TWO, 0)[..50]);
    assert!(said.starts_with("CK005") && said.contains("42 of 111 bytes are there, 69 are missing"), "{said}");
}

#[test]
fn bytes_behind_the_last_tensor_are_an_error() {
    assert!(errors(&header(TWO, 40))[0].contains("8 bytes follow after the last tensor"));
}

#[test]
fn a_gap_and_an_overlap_are_told_with_their_bytes() {
    let gap = header(r#"{"a":{"dtype":"U8","shape":[4],"data_offsets":[4,8]}}"#, 8);
    assert_eq!(errors(&gap), ["CK007 no tensor covers bytes 0 to 4 of the data, before `a`"]);
    let shared = header(
        r#"{"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},"b":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}}"#,
        4,
    );
    assert_eq!(errors(&shared), ["CK007 `a` and `b` both hold bytes 0 to 4 of the data"]);
}

#[test]
fn offsets_far_beyond_the_file_are_the_tensors_fault() {
    let read = header(r#"{"a":{"dtype":"U8","shape":[4],"data_offsets":[1000,1004]}}"#, 4);
    assert!(read.unreadable[0].why.contains("data_offsets [1000, 1004] lie beyond the 4 bytes of data"), "{read:?}");
}

#[test]
fn of_a_key_given_twice_the_last_counts() {
    let text =
        r#"{"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},"a":{"dtype":"I8","shape":[4],"data_offsets":[0,4]}}"#;
    let read = header(text, 4);
    assert_eq!((read.tensors.len(), read.tensors[0].dtype), (1, Some(Dtype::I8)));
    assert_eq!(read.remarks[0].code, "CK004");
    assert!(errors(&read).is_empty() && library_loads(&file(text, 4)));
}

#[test]
fn a_broken_entry_is_an_error_even_where_a_later_one_replaces_it() {
    let text =
        r#"{"a":{"dtype":"F33","shape":[0],"data_offsets":[0,0]},"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}}"#;
    let read = header(text, 4);
    assert_eq!((read.tensors.len(), read.unreadable.len()), (1, 0));
    assert!(errors(&read)[0].contains("first entry of `a`"), "{:?}", read.remarks);
    assert!(!library_loads(&file(text, 4)));
}

#[test]
fn a_gap_is_seen_where_an_entry_without_bytes_is_replaced() {
    let text =
        r#"{"b":{"dtype":"U8","shape":[],"data_offsets":[4,0]},"b":{"dtype":"U8","shape":[1],"data_offsets":[4,5]}}"#;
    assert!(errors(&header(text, 5))[0].contains("no tensor covers bytes 0 to 4"));
}

#[test]
fn a_header_length_that_lies_is_told_with_the_numbers() {
    let mut bytes = file(TWO, 32);
    bytes[..8].copy_from_slice(&(1u64 << 63).to_le_bytes());
    assert!(
        refused(&bytes).contains("9223372036854775808 bytes long, but only 143 bytes follow"),
        "{}",
        refused(&bytes)
    );
    bytes[..8].copy_from_slice(&60u64.to_le_bytes());
    assert!(refused(&bytes).contains("the header's length is wrong"), "{}", refused(&bytes));
}

#[test]
fn a_broken_header_is_refused_at_its_byte() {
    for (text, why) in [
        ("{'a':1}", "at byte 9: key must be a string"),
        ("[1]", "expected an object with an entry for every tensor"),
        ("null", "expected an object"),
        ("\u{feff}{}", "a byte order mark"),
        (r#"{"\ud800":{}}"#, "surrogate"),
    ] {
        let said = refused(&file(text, 0));
        assert!(said.starts_with("CK006") && said.contains(why), "{said}");
    }
    assert!(refused(b"\x05\0\0\0\0\0\0\0{\"\xff\"}").contains("at byte 10: not UTF-8"));
    let deep = format!(r#"{{"a":{{"x":{}"#, "{\"y\":".repeat(100_000));
    assert!(refused(&file(&deep, 0)).contains("nested more than 127 deep"));
}

#[test]
fn a_header_that_is_read_as_a_stream_gives_the_same() {
    let padded = format!("{TWO}{}", " ".repeat(AT_ONCE as usize));
    let read = header(&padded, 32);
    assert!(read.tensors.len() == 2 && read.remarks.is_empty());
    let broken = format!("{}{}", &TWO[..TWO.len() - 2], " ".repeat(AT_ONCE as usize));
    assert!(refused(&file(&broken, 32)).starts_with("CK006"));
}

#[test]
fn more_than_a_hundred_megabytes_of_header_are_remarked_on_and_no_error() {
    assert_eq!(too_long_for_the_library(100_000_000), None);
    assert!(too_long_for_the_library(126_000_000).is_some_and(|r| r.code == "CK009" && !r.error));
}

/// One tensor of a made-up header: dtype, shape, and what is wrong with it.
fn tensor() -> impl Strategy<Value = (usize, Vec<u64>, u8)> {
    (0usize..6, prop::collection::vec(0u64..4, 0..3), prop_oneof![30 => Just(0u8), 1 => 1u8..12])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// What has no error here loads in the library, and what has one does not.
    #[test]
    fn our_verdict_is_the_librarys(
        tensors in prop::collection::vec(tensor(), 0..8),
        names in prop::collection::vec("[a-d]{1,2}", 8),
        tail in prop_oneof![10 => Just(0i64), 1 => -3i64..4],
        metadata in prop_oneof![6 => Just(""), 1 => Just(r#""__metadata__":{"a":"b"},"#), 1 => Just(r#""__metadata__":[],"#)],
        shuffle in any::<bool>(),
    ) {
        let dtypes = ["F32", "U8", "BF16", "F4", "I64", "F6_E2M3"];
        let mut at = 0u64;
        let mut rows = Vec::new();
        for ((dtype, shape, fault), name) in tensors.iter().zip(&names) {
            let dtype = dtypes[*dtype];
            let bits = shape.iter().product::<u64>() * u64::from(Dtype::parse(dtype).unwrap().bits());
            let (mut start, mut end) = (at, at + bits / 8);
            at = end;
            let mut shape = format!("{shape:?}");
            let mut dtype = format!("\"{dtype}\"");
            let mut extra = String::new();
            match fault {
                1 => start += 1,
                2 => end += 1,
                3 => (start, end) = (0, end - start),
                4 => dtype = "\"F33\"".into(),
                5 => shape = "[1.0]".into(),
                6 => extra = ",\"note\":{\"x\":[1]}".into(),
                7 => extra = ",\"dtype\":\"U8\"".into(),
                8 => shape = "[-1]".into(),
                9 => shape = "[9223372036854775807,4,0]".into(),
                10 => (start, end) = (end, start),
                11 => dtype = "null".into(),
                _ => {}
            }
            rows.push(format!(r#""{name}":{{"dtype":{dtype},"shape":{shape},"data_offsets":[{start},{end}]{extra}}}"#));
        }
        if shuffle {
            rows.reverse();
        }
        let bytes = file(&format!("{{{metadata}{}}}", rows.join(",")).replace(",}", "}"), (at as i64 + tail).max(0) as usize);
        let sound = read_bytes(&bytes).is_ok_and(|read| errors(&read).is_empty() && read.unreadable.is_empty());
        prop_assert_eq!(sound, library_loads(&bytes), "{}", String::from_utf8_lossy(&bytes[8..]));
    }

    #[test]
    fn no_bytes_make_the_reader_panic(mut bytes in prop::collection::vec(any::<u8>(), 0..64), length in 0u64..64, at in 0usize..140, with in any::<u8>()) {
        let _ = read_bytes(&bytes);
        if bytes.len() >= 8 {
            bytes[..8].copy_from_slice(&length.to_le_bytes());
            let _ = read_bytes(&bytes);
        }
        let mut mutated = file(TWO, 32);
        if let Some(byte) = mutated.get_mut(at) {
            *byte = with;
        }
        let sound = read_bytes(&mutated).is_ok_and(|read| errors(&read).is_empty());
        prop_assert_eq!(sound, library_loads(&mutated), "{}", String::from_utf8_lossy(&mutated[8..]));
    }
}
