//! expected.json: what people hand over instead of JSON, and JSON that is no list of keys. Wanted: line and column.

use crate::harness::{Folder, Outcome, inspect};

fn json(text: impl AsRef<[u8]>) -> Outcome {
    inspect("expected.json", text)
}

#[test]
fn control() {
    json(
        r#"{"a": {"dtype": "F32", "shape": [2, 3]}, "b": [4], "c": {"shape": [1]}, "d": {"dtype": "torch.bfloat16"}}"#,
    )
    .sound(&["a", "b", "c", "d"]);
}

#[test]
fn byte_order_mark_and_crlf_are_read() {
    json("\u{feff}{\r\n  \"a\": [1],\r\n  \"b\": [2]\r\n}\r\n").sound(&["a", "b"]);
}

#[test]
fn list_of_keys() {
    json(r#"["a", "b"]"#).sound(&["a", "b"]);
}

#[test]
fn empty_object_and_empty_list() {
    json("{}").sound(&[]);
    json("[]").sound(&[]);
}

#[test]
fn html() {
    json("<!DOCTYPE html>\n<html><body>Not found</body></html>").refused("a web page (HTML)");
}

#[test]
fn null() {
    json("null").refused("the JSON holds null, not keys");
}

#[test]
fn a_number() {
    json("17").refused("expected.json");
}

#[test]
fn null_as_an_entry() {
    json("{\n\"a\": null}").refused("line 2, column 9: `a`: null instead of a shape");
}

#[test]
fn a_string_as_an_entry() {
    json("{\n\"a\": \"F32\"}").refused("line 2, column 10: `a`: a string instead of a shape");
}

#[test]
fn shape_is_a_string() {
    json("{\"a\": {\"dtype\": \"F32\",\n \"shape\": \"2x3\"}}").refused("line 2, column 15: `a`: shape is a string");
}

#[test]
fn shape_has_a_fraction() {
    json("{\"a\": [2,\n 3.5]}").refused("line 2, column 5: `a`: 3.5 is no size (dimension 1)");
}

#[test]
fn shape_is_negative() {
    json("{\"a\": [-1, 3]}").refused("line 1, column 11: `a`: -1 is no size");
}

#[test]
fn size_of_80_digits() {
    json(format!("{{\"a\": [{}]}}", "9".repeat(80))).refused("1e80 is no size");
}

#[test]
fn size_of_a_million_digits() {
    json(format!("{{\"a\": [{}]}}", "9".repeat(1_000_000))).refused("number out of range");
}

#[test]
fn size_1e400() {
    json("{\"a\": [1e400]}").refused("number out of range");
}

#[test]
fn product_of_sizes_overflows() {
    json("{\"a\": [9223372036854775807, 9223372036854775807]}").refused("multiply to more than 64 bits hold");
}

#[test]
fn rank_100000() {
    json(format!("{{\"a\": [{}]}}", vec!["1"; 100_000].join(","))).refused("more than 64 dimensions");
}

#[test]
fn nested_sizes() {
    json("{\"a\": [[2, 3]]}").refused("a list is no size");
}

#[test]
fn key_given_twice() {
    let outcome = json("{\"a\": [1], \"b\": [2], \"a\": [3]}");
    outcome.sound(&["a", "b"]);
    assert_eq!(outcome.json["tensors"][0]["shape"], serde_json::json!([3]));
    assert!(outcome.said().contains("CK004 the key `a` is given more than once"));
}

#[test]
fn key_given_a_hundred_thousand_times() {
    json(format!("{{{}}}", vec!["\"a\": [1]"; 100_000].join(","))).sound(&["a"]);
}

#[test]
fn dtype_given_twice() {
    json(r#"{"a": {"dtype": "F32", "dtype": "F16", "shape": [1]}}"#).refused("`a`: dtype is given twice");
}

#[test]
fn unknown_dtype() {
    json(r#"{"a": {"dtype": "F13", "shape": [1]}}"#).refused("dtype `F13` is not a known one");
}

#[test]
fn dtype_is_a_number() {
    json(r#"{"a": {"dtype": 32, "shape": [1]}}"#).refused("dtype is a number, not a string");
}

#[test]
fn utf16_with_a_mark() {
    let bytes: Vec<u8> = "\u{feff}{\"a\": [1]}".encode_utf16().flat_map(u16::to_le_bytes).collect();
    json(bytes).refused("UTF-16");
    let bytes: Vec<u8> = "\u{feff}{\"a\": [1]}".encode_utf16().flat_map(u16::to_be_bytes).collect();
    json(bytes).refused("UTF-16");
}

#[test]
fn utf16_without_a_mark() {
    let bytes: Vec<u8> = "{\"a\": [1], \"b\": [2]}".encode_utf16().flat_map(u16::to_le_bytes).collect();
    json(bytes).refused("UTF-16");
}

#[test]
fn comment() {
    json("{\n  // the first layer\n  \"a\": [1]\n}").refused("line 2, column 3");
    json("# sizes\n{\"a\": [1]}").refused("expected.json");
}

#[test]
fn comma_after_the_last_entry() {
    json("{\"a\": [1],\n}").refused("line 2, column 1");
}

#[test]
fn missing_comma() {
    json("{\"a\": [1]\n\"b\": [2]}").refused("line 2, column 1");
}

#[test]
fn invalid_utf8() {
    json(b"{\"a\": [1],\n \"\xc3\x28\": [2]}").refused("line 2, column 3: not UTF-8 (byte 13)");
}

#[test]
fn lone_surrogate() {
    json(r#"{"\udc00": [1]}"#).refused("line 1, column");
}

#[test]
fn nul_byte_in_the_text() {
    json(b"{\"a\": [1],\0 \"b\": [2]}").refused("expected.json");
}

#[test]
fn python_repr_of_a_dict() {
    json("{'a': [1], 'b': [2]}").refused("Python's repr");
}

#[test]
fn python_repr_of_an_ordered_dict() {
    json("OrderedDict([('a', torch.Size([1]))])").refused("Python's repr");
}

#[test]
fn python_repr_of_shapes() {
    json("{\"a\": torch.Size([1])}").refused("Python's repr");
    json("{\"a\": (64, 3)}").refused("Python's repr");
}

#[test]
fn nan_and_infinity() {
    json("{\"a\": [NaN]}").refused("line 1, column 8");
    json("{\"a\": [Infinity]}").refused("line 1, column 8");
}

#[test]
fn cut_off() {
    json("{\"a\": {\"dtype\": \"F32\", \"sha").refused("the file is cut off");
    json("{\"a\": [1").refused("line 1, column 8");
    json("[").refused("line 1, column 1");
}

#[test]
fn two_documents() {
    json("{\"a\": [1]}\n{\"b\": [2]}").refused("something follows after the end of the JSON");
}

#[test]
fn jsonl() {
    json("[\"a\"]\n[\"b\"]\n").refused("line 2, column 1");
}

#[test]
fn nested_state_dict() {
    json("{\n\"state_dict\": {\"a\": [1]}}").refused("keys stand at the top level");
}

#[test]
fn list_of_numbers() {
    json("[1, 2, 3]").refused("entry 0 of the list is a number, not a key");
}

#[test]
fn list_of_lists() {
    json("[[\"a\", [1]]]").refused("entry 0 of the list is a list, not a key");
}

#[test]
fn a_hundred_thousand_nested_objects() {
    json(format!("{}1{}", "{\"a\":".repeat(100_000), "}".repeat(100_000))).refused("nested more than 127 deep");
}

#[test]
fn a_hundred_thousand_nested_lists() {
    json("[".repeat(100_000)).refused("nested more than 127 deep");
    json(format!("{{\"a\": {}", "[".repeat(100_000))).refused("nested more than 127 deep");
}

#[test]
fn deep_nesting_in_a_field_that_is_passed_over() {
    let deep = format!("{{\"a\": {{\"shape\": [1], \"x\": {}{}}}}}", "[".repeat(100_000), "]".repeat(100_000));
    json(deep).refused("nested more than 127 deep");
}

#[test]
fn a_key_of_a_megabyte() {
    let key = "k".repeat(1 << 20);
    json(format!("{{\"{key}\": [1]}}")).sound(&[&key]);
    json(format!("{{\"{key}\": [1.5]}}")).refused("(1048576 bytes)");
}

#[test]
fn terminal_escapes_in_a_key() {
    json(r#"{"\u001b]0;owned\u0007": [1]}"#).sound(&["\u{1b}]0;owned\u{7}"]);
    json(r#"{"\u001b]0;owned\u0007": [1.5]}"#).refused("1.5 is no size");
}

#[test]
fn raw_control_characters_in_a_key() {
    json("{\"a\u{1b}[2J\": [1]}").refused("line 1, column");
}

#[test]
fn content_is_not_repeated() {
    let outcome = json("{\"token\": \"hf_very_secret\"}");
    assert_eq!(outcome.code, 2);
    assert!(!outcome.err.contains("secret"), "{}", outcome.err);
}

#[test]
fn error_message_of_a_server() {
    json("{\"error\": \"Repository not found\"}").refused("an error message of a server");
    json("{\"message\": \"Not Found\", \"status\": \"404\"}").refused("an error message of a server");
}

#[test]
fn config_json() {
    json("{\"_name_or_path\": \"gpt2\", \"model_type\": \"gpt2\"}").refused("a model's config.json");
}

#[test]
fn tokenizer_json() {
    json("{\"version\": \"1.0\", \"added_tokens\": []}").refused("a tokenizer");
}

#[test]
fn output_of_inspect() {
    let folder = Folder::new().put("a.json", "{\"a\": [1]}");
    let out = folder.inspect("a.json").out;
    json(out).refused("`ckdiff snapshot` writes what can be read back");
}

#[test]
fn broken_target_of_a_comparison() {
    let folder = Folder::new().put("a.json", "{\"a\": [1]}").put("b.json", "{\"a\": [1],\n\"b\": [x]}");
    let outcome = folder.run(&["a.json", "b.json"]);
    outcome.refused("b.json: line 2, column 7");
}
