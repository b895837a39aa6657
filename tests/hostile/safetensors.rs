//! safetensors: headers that lie, break or overflow. Wanted: the key and the numbers; what is sound is still read.

use crate::harness::{Outcome, inspect, many};

/// A file: its header, and `data` bytes of data.
pub(crate) fn file(header: &str, data: usize) -> Vec<u8> {
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header.as_bytes());
    bytes.resize(bytes.len() + data, 1);
    bytes
}

fn header(header: &str, data: usize) -> Outcome {
    inspect("model.safetensors", file(header, data))
}

/// A file with a good tensor of 4 bytes and one described by `entry`; 8 bytes of data.
fn beside(entry: &str) -> Outcome {
    header(&format!(r#"{{"good":{{"dtype":"U8","shape":[4],"data_offsets":[0,4]}},"bad":{entry}}}"#), 8)
}

const TWO: &str =
    r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"F32","shape":[1],"data_offsets":[8,12]}}"#;

#[test]
fn control() {
    header(TWO, 12).sound(&["a", "b"]);
}

#[test]
fn header_length_2_to_the_63() {
    let mut bytes = file(TWO, 12);
    bytes[..8].copy_from_slice(&(1u64 << 63).to_le_bytes());
    inspect("model.safetensors", bytes).refused("9223372036854775808");
}

#[test]
fn header_length_all_ones() {
    let mut bytes = file(TWO, 12);
    bytes[..8].copy_from_slice(&u64::MAX.to_le_bytes());
    inspect("model.safetensors", bytes).refused("18446744073709551615");
}

#[test]
fn header_length_beyond_the_file() {
    let mut bytes = file(TWO, 12);
    bytes[..8].copy_from_slice(&1000u64.to_le_bytes());
    inspect("model.safetensors", bytes).refused("1000");
}

#[test]
fn header_length_cuts_the_json() {
    let mut bytes = file(TWO, 12);
    bytes[..8].copy_from_slice(&60u64.to_le_bytes());
    inspect("model.safetensors", bytes).refused("the header's length is wrong");
}

#[test]
fn header_length_reaches_into_the_data() {
    let mut bytes = file(TWO, 12);
    bytes[..8].copy_from_slice(&(TWO.len() as u64 + 4).to_le_bytes());
    inspect("model.safetensors", bytes).refused("the header's length is wrong");
}

#[test]
fn header_length_zero() {
    inspect("model.safetensors", [0; 8]).refused("CK006");
    inspect("model.safetensors", [0; 40]).refused("zero bytes");
}

#[test]
fn seven_bytes() {
    inspect("model.safetensors", [2, 0, 0, 0, 0, 0, 0]).refused("7 bytes");
}

#[test]
fn header_is_an_array() {
    header("[1, 2]", 0).refused("CK006");
}

#[test]
fn header_is_null() {
    header("null", 0).refused("CK006");
}

#[test]
fn header_is_a_string() {
    header("\"abc\"", 0).refused("CK0");
}

#[test]
fn single_quotes() {
    header("{'a': {'dtype': 'F32'}}", 0).refused("at byte 9");
}

#[test]
fn invalid_utf8_in_a_key() {
    let mut bytes = file(r#"{"?":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}"#, 1);
    bytes[10] = 0xff;
    inspect("model.safetensors", bytes).refused("at byte 10: not UTF-8");
}

#[test]
fn dtype_given_twice() {
    beside(r#"{"dtype":"U8","dtype":"I8","shape":[4],"data_offsets":[4,8]}"#).faulty("dtype is given twice", &["good"]);
}

#[test]
fn shape_given_twice() {
    beside(r#"{"dtype":"U8","shape":[4],"shape":[2,2],"data_offsets":[4,8]}"#)
        .faulty("shape is given twice", &["good"]);
}

#[test]
fn offsets_given_twice() {
    beside(r#"{"dtype":"U8","shape":[4],"data_offsets":[4,8],"data_offsets":[4,8]}"#)
        .faulty("data_offsets is given twice", &["good"]);
}

#[test]
fn key_given_twice() {
    let entry = r#"{"dtype":"U8","shape":[4],"data_offsets":[0,4]}"#;
    let outcome = header(&format!(r#"{{"a":{entry},"a":{entry}}}"#), 4);
    outcome.sound(&["a"]);
    assert!(outcome.said().contains("warning CK004 the key `a` is given more than once"), "{}", outcome.said());
}

#[test]
fn two_tensors_share_one_range() {
    let entry = r#"{"dtype":"U8","shape":[4],"data_offsets":[0,4]}"#;
    header(&format!(r#"{{"a":{entry},"b":{entry}}}"#), 4).faulty("`a` and `b` both hold bytes 0 to 4", &["a", "b"]);
}

#[test]
fn two_tensors_overlap() {
    let text =
        r#"{"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},"b":{"dtype":"U8","shape":[4],"data_offsets":[2,6]}}"#;
    header(text, 6).faulty("`a` and `b` both hold bytes 2 to 4", &["a", "b"]);
}

#[test]
fn first_tensor_does_not_start_at_0() {
    header(r#"{"a":{"dtype":"U8","shape":[4],"data_offsets":[4,8]}}"#, 8)
        .faulty("no tensor covers bytes 0 to 4", &["a"]);
}

#[test]
fn hole_between_tensors() {
    let text = r#"{"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},"b":{"dtype":"U8","shape":[4],"data_offsets":[1004,1008]}}"#;
    header(text, 1008).faulty("no tensor covers bytes 4 to 1004 of the data, before `b`", &["a", "b"]);
}

#[test]
fn bytes_behind_the_last_tensor() {
    header(TWO, 4000).faulty("3988 bytes follow after the last tensor", &["a", "b"]);
}

#[test]
fn zip_archive_behind_the_last_tensor() {
    let mut bytes = file(TWO, 12);
    bytes.extend(b"PK\x05\x06\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0");
    inspect("model.safetensors", bytes).faulty("22 bytes follow after the last tensor", &["a", "b"]);
}

#[test]
fn data_cut_short() {
    let outcome = header(TWO, 5);
    outcome.faulty("the file ends 7 bytes early (half a download)", &["a", "b"]);
    assert_eq!(outcome.json["complete"], false);
}

#[test]
fn offsets_beyond_the_file() {
    header(r#"{"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},"b":{"dtype":"U8","shape":[4],"data_offsets":[5000,5004]}}"#, 8)
        .faulty("data_offsets [5000, 5004] lie beyond the 8 bytes of data", &["a"]);
}

#[test]
fn offsets_near_2_to_the_64() {
    beside(r#"{"dtype":"U8","shape":[4],"data_offsets":[18446744073709551611,18446744073709551615]}"#)
        .faulty("`bad`", &["good"]);
}

#[test]
fn offsets_that_end_before_they_begin() {
    beside(r#"{"dtype":"U8","shape":[4],"data_offsets":[8,4]}"#)
        .faulty("data_offsets [8, 4] end before they begin", &["good"]);
}

#[test]
fn negative_offset() {
    beside(r#"{"dtype":"U8","shape":[4],"data_offsets":[-4,8]}"#).faulty("data_offsets holds -4", &["good"]);
}

#[test]
fn offset_1e400() {
    beside(r#"{"dtype":"U8","shape":[4],"data_offsets":[4,1e400]}"#).refused("number out of range");
}

#[test]
fn offset_1e30() {
    beside(r#"{"dtype":"U8","shape":[4],"data_offsets":[4,1e30]}"#).faulty("data_offsets holds 1e30", &["good"]);
}

#[test]
fn offset_with_a_fraction() {
    beside(r#"{"dtype":"U8","shape":[4],"data_offsets":[4,8.0]}"#).faulty("data_offsets holds 8.0", &["good"]);
}

#[test]
fn three_offsets() {
    beside(r#"{"dtype":"U8","shape":[4],"data_offsets":[4,8,12]}"#)
        .faulty("data_offsets has 3 numbers, not two", &["good"]);
}

#[test]
fn one_offset() {
    beside(r#"{"dtype":"U8","shape":[4],"data_offsets":[4]}"#).faulty("data_offsets has 1 numbers, not two", &["good"]);
}

#[test]
fn offsets_are_a_string() {
    beside(r#"{"dtype":"U8","shape":[4],"data_offsets":"4-8"}"#).faulty("data_offsets is a string", &["good"]);
}

#[test]
fn dtype_f13() {
    beside(r#"{"dtype":"F13","shape":[4],"data_offsets":[4,8]}"#)
        .faulty("dtype `F13` is not one that safetensors stores", &["good"]);
}

#[test]
fn dtype_without_a_name() {
    beside(r#"{"dtype":"","shape":[0],"data_offsets":[4,4]}"#).faulty("dtype ``", &["good"]);
}

#[test]
fn dtype_of_a_future_version() {
    beside(r#"{"dtype":"F8_E3M4","shape":[4],"data_offsets":[4,8]}"#).faulty("dtype `F8_E3M4`", &["good"]);
}

#[test]
fn dtype_in_torch_spelling() {
    beside(r#"{"dtype":"torch.uint8","shape":[4],"data_offsets":[4,8]}"#).faulty("dtype `torch.uint8`", &["good"]);
}

#[test]
fn dtype_null() {
    beside(r#"{"dtype":null,"shape":[4],"data_offsets":[4,8]}"#).faulty("dtype is null", &["good"]);
}

#[test]
fn dtype_a_number() {
    beside(r#"{"dtype":7,"shape":[4],"data_offsets":[4,8]}"#).faulty("dtype is a number, not a string", &["good"]);
}

#[test]
fn dtype_a_megabyte_long() {
    beside(&format!(r#"{{"dtype":"{}","shape":[4],"data_offsets":[4,8]}}"#, "F".repeat(1 << 20)))
        .faulty("(1048576 bytes)", &["good"]);
}

#[test]
fn a_hundred_thousand_unknown_dtypes() {
    let rows: Vec<String> =
        (0..100_000).map(|n| format!(r#""k{n}":{{"dtype":"X{n}","shape":[0],"data_offsets":[0,0]}}"#)).collect();
    let outcome = header(&format!("{{{}}}", rows.join(",")), 0);
    outcome.faulty("100000 tensors cannot be read, the first is `k0`", &[]);
}

#[test]
fn shape_product_overflows() {
    beside(r#"{"dtype":"U8","shape":[4294967296,4294967296,4],"data_offsets":[4,8]}"#).faulty("64 bits", &["good"]);
}

#[test]
fn shape_product_wraps_to_4() {
    // 2^62 · 4 + 4 elements would be 4 in 64 bits: 4611686018427387905 · 4.
    beside(r#"{"dtype":"U8","shape":[4611686018427387905,4],"data_offsets":[4,8]}"#).faulty("64 bits", &["good"]);
}

#[test]
fn shape_times_dtype_wraps_to_4() {
    beside(r#"{"dtype":"F32","shape":[4611686018427387905],"data_offsets":[4,8]}"#).faulty("64 bits", &["good"]);
}

#[test]
fn overflow_beside_a_zero() {
    beside(r#"{"dtype":"U8","shape":[9223372036854775807,9223372036854775807,0],"data_offsets":[4,4]}"#)
        .faulty("64 bits", &["good"]);
}

#[test]
fn shape_against_bytes() {
    beside(r#"{"dtype":"F32","shape":[7,3],"data_offsets":[4,8]}"#)
        .faulty("shape [7, 3] of F32 takes 84 bytes, data_offsets [4, 8] hold 4", &["good"]);
}

#[test]
fn float_dim() {
    beside(r#"{"dtype":"U8","shape":[4.0],"data_offsets":[4,8]}"#).faulty("4.0 is no size (dimension 0)", &["good"]);
}

#[test]
fn negative_dim() {
    beside(r#"{"dtype":"U8","shape":[2,-2],"data_offsets":[4,8]}"#).faulty("-2 is no size (dimension 1)", &["good"]);
}

#[test]
fn dim_beyond_64_bits() {
    beside(r#"{"dtype":"U8","shape":[18446744073709551616],"data_offsets":[4,8]}"#).faulty("is no size", &["good"]);
}

#[test]
fn bool_dim() {
    beside(r#"{"dtype":"U8","shape":[true],"data_offsets":[4,8]}"#).faulty("true or false is no size", &["good"]);
}

#[test]
fn nested_dim() {
    beside(r#"{"dtype":"U8","shape":[[4]],"data_offsets":[4,8]}"#).faulty("a list is no size", &["good"]);
}

#[test]
fn shape_missing() {
    beside(r#"{"dtype":"U8","data_offsets":[4,8]}"#).faulty("`bad`: shape is missing", &["good"]);
}

#[test]
fn dtype_missing() {
    beside(r#"{"shape":[4],"data_offsets":[4,8]}"#).faulty("`bad`: dtype is missing", &["good"]);
}

#[test]
fn offsets_missing() {
    beside(r#"{"dtype":"U8","shape":[4]}"#).faulty("`bad`: data_offsets is missing", &["good"]);
}

#[test]
fn shape_a_string() {
    beside(r#"{"dtype":"U8","shape":"[4]","data_offsets":[4,8]}"#)
        .faulty("shape is a string, not a list of sizes", &["good"]);
}

#[test]
fn shape_null() {
    beside(r#"{"dtype":"U8","shape":null,"data_offsets":[4,8]}"#).faulty("shape is null", &["good"]);
}

#[test]
fn shape_an_object() {
    beside(r#"{"dtype":"U8","shape":{"0":4},"data_offsets":[4,8]}"#).faulty("shape is an object", &["good"]);
}

#[test]
fn entry_a_list() {
    beside("[4]").faulty("a list, not an object", &["good"]);
}

#[test]
fn entry_null() {
    beside("null").faulty("null instead of dtype, shape and data_offsets", &["good"]);
}

#[test]
fn entry_a_string() {
    beside("\"U8\"").faulty("a string instead of dtype, shape and data_offsets", &["good"]);
}

#[test]
fn unknown_field_is_passed_over() {
    header(r#"{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1],"note":{"x":[1,{"y":null}]}}}"#, 1).sound(&["a"]);
}

#[test]
fn metadata_is_a_list() {
    header(r#"{"__metadata__":["a"],"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}"#, 1)
        .faulty("`__metadata__` is a list, not an object of texts", &["a"]);
}

#[test]
fn metadata_shaped_like_a_tensor() {
    header(r#"{"__metadata__":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}"#, 1)
        .faulty("`shape` of `__metadata__` is a list", &[]);
}

#[test]
fn metadata_given_twice() {
    header(r#"{"__metadata__":{"a":"b"},"__metadata__":{"a":"c"}}"#, 0).faulty("`__metadata__` is given twice", &[]);
}

#[test]
fn metadata_of_a_megabyte() {
    let outcome = header(&format!(r#"{{"__metadata__":{{"prompt":"{}"}}}}"#, "x".repeat(1 << 20)), 0);
    outcome.sound(&[]);
}

#[test]
fn terminal_escapes_in_a_key_and_in_metadata() {
    let text = r#"{"__metadata__":{"\u001b[2J":"\u001b]0;owned\u0007"},"\u001b[31m\u202ea\u009b1m\u007f":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}"#;
    header(text, 1).sound(&["\u{1b}[31m\u{202e}a\u{9b}1m\u{7f}"]);
}

#[test]
fn terminal_escapes_in_the_key_of_a_bad_tensor() {
    header(r#"{"\u001b[31m":{"dtype":"\u001b[32m","shape":[1],"data_offsets":[0,1]}}"#, 1).faulty("CK008", &[]);
}

#[test]
fn newline_in_a_key() {
    let outcome = header(r#"{"a\nerror  CK501  fake":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}"#, 1);
    outcome.sound(&["a\nerror  CK501  fake"]);
}

#[test]
fn padded_with_spaces() {
    header(&format!("{TWO}{}", " ".repeat(50)), 12).sound(&["a", "b"]);
}

#[test]
fn spaces_before_the_header() {
    header(&format!("   {TWO}"), 12).sound(&["a", "b"]);
}

#[test]
fn byte_order_mark() {
    header(&format!("\u{feff}{TWO}"), 12).refused("byte order mark");
}

#[test]
fn lone_surrogate_escape_in_a_key() {
    header(r#"{"\ud800":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}"#, 1).refused("surrogate pair");
}

#[test]
fn a_hundred_thousand_nested_objects() {
    let deep = format!(r#"{{"a":{{"x":{}1{}}}}}"#, "{\"y\":".repeat(100_000), "}".repeat(100_000));
    header(&deep, 0).refused("nested more than 127 deep");
}

#[test]
fn a_hundred_thousand_nested_lists_in_metadata() {
    let deep = format!(r#"{{"__metadata__":{}{}}}"#, "[".repeat(100_000), "]".repeat(100_000));
    header(&deep, 0).refused("nested more than 127 deep");
}

#[test]
fn a_hundred_thousand_nested_lists_without_an_end() {
    header(&format!(r#"{{"a":{}"#, "[".repeat(100_000)), 0).refused("nested more than 127 deep");
}

#[test]
fn a_key_of_a_megabyte() {
    let key = "k".repeat(1 << 20);
    header(&format!(r#"{{"{key}":{{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}}}"#), 1).sound(&[&key]);
}

#[test]
fn a_key_of_a_hundred_thousand_dots() {
    let key = ".".repeat(100_000);
    header(&format!(r#"{{"{key}":{{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}}}"#), 1).sound(&[&key]);
}

#[test]
fn an_empty_key() {
    header(r#"{"":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}"#, 1).sound(&[""]);
}

#[test]
fn rank_100000() {
    let shape = vec!["1"; 100_000].join(",");
    beside(&format!(r#"{{"dtype":"U8","shape":[{shape}],"data_offsets":[4,5]}}"#))
        .faulty("more than 64 dimensions", &["good"]);
}

#[test]
fn sub_byte_dtype_not_a_whole_number_of_bytes() {
    beside(r#"{"dtype":"F4","shape":[7],"data_offsets":[4,8]}"#)
        .faulty("28 bits, which is no whole number of bytes", &["good"]);
}

#[test]
fn sub_byte_dtype_that_fills_its_bytes() {
    header(r#"{"a":{"dtype":"F6_E2M3","shape":[4],"data_offsets":[0,3]}}"#, 3).sound(&["a"]);
}

#[test]
fn every_value_is_nan() {
    let mut bytes = file(r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}"#, 0);
    bytes.extend([0xff; 8]);
    inspect("model.safetensors", bytes).sound(&["a"]);
}

#[test]
fn misaligned_tensor() {
    let text =
        r#"{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"b":{"dtype":"F32","shape":[1],"data_offsets":[1,5]}}"#;
    header(text, 5).sound(&["a", "b"]);
}

#[test]
fn two_headers_one_after_the_other() {
    header(&format!("{TWO}{TWO}"), 12).refused("something follows after the end of the JSON");
}

#[test]
fn nul_bytes_behind_the_header() {
    header(&format!("{TWO}\0\0\0"), 12).refused("CK006");
}

#[test]
fn a_million_zero_size_tensors() {
    use std::fmt::Write as _;
    let mut text = String::from("{");
    for n in 0..many() {
        write!(
            text,
            r#"{}"layers.{n}.weight":{{"dtype":"F32","shape":[0],"data_offsets":[0,0]}}"#,
            if n == 0 { "" } else { "," }
        )
        .unwrap();
    }
    text.push('}');
    let outcome = header(&text, 0);
    assert_eq!((outcome.code, outcome.tensors().len()), (0, many()), "{}", outcome.err);
}

#[test]
fn two_hundred_thousand_gaps() {
    let rows: Vec<String> = (0..200_000)
        .map(|n| format!(r#""k{n}":{{"dtype":"U8","shape":[1],"data_offsets":[{},{}]}}"#, 2 * n + 1, 2 * n + 2))
        .collect();
    let outcome = header(&format!("{{{}}}", rows.join(",")), 400_000);
    assert!(outcome.said().contains("and 199997 more"), "{}", outcome.said());
}

#[test]
fn all_tensors_on_one_range() {
    let rows: Vec<String> =
        (0..100_000).map(|n| format!(r#""k{n}":{{"dtype":"U8","shape":[9],"data_offsets":[0,9]}}"#)).collect();
    let outcome = header(&format!("{{{}}}", rows.join(",")), 9);
    assert!(outcome.said().contains("both hold bytes 0 to 9") && outcome.code == 1, "{}", outcome.said());
}

#[test]
fn one_key_a_hundred_thousand_times() {
    let rows = vec![r#""a":{"dtype":"U8","shape":[9],"data_offsets":[0,9]}"#; 100_000];
    header(&format!("{{{}}}", rows.join(",")), 9).sound(&["a"]);
}
