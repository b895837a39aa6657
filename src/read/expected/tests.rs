use std::io::Write as _;

use super::*;
use crate::checkpoint::Dtype;

fn read_text(text: impl AsRef<[u8]>) -> Result<Json, ReadError> {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(text.as_ref()).unwrap();
    match super::super::input::open(file.path())? {
        super::super::input::Named::File(mut input) => read(&mut input),
        super::super::input::Named::Directory => unreachable!(),
    }
}

fn keys(text: impl AsRef<[u8]>) -> Checkpoint {
    match read_text(text).unwrap() {
        Json::Keys(checkpoint) => checkpoint,
        Json::Index(_) => panic!("an index"),
    }
}

fn listed(text: impl AsRef<[u8]>) -> Vec<(String, Option<Dtype>, Option<Vec<u64>>)> {
    keys(text)
        .tensors
        .iter()
        .map(|t| (t.path.to_string(), t.dtype, t.shape.as_ref().map(|s| s.dims().to_vec())))
        .collect()
}

fn refused(text: impl AsRef<[u8]>) -> String {
    match read_text(text) {
        Err(error) => format!("{}; {}", error.what, error.remedy),
        Ok(_) => panic!("was read"),
    }
}

#[test]
fn what_snapshot_writes_is_read_in_order() {
    let text = r#"{"b": {"dtype": "F32", "shape": [64, 3, 7, 7]},
"a": {"dtype": "I64", "shape": []}}"#;
    let wanted =
        [("b".into(), Some(Dtype::F32), Some(vec![64, 3, 7, 7])), ("a".into(), Some(Dtype::I64), Some(vec![]))];
    assert_eq!(listed(text), wanted);
}

#[test]
fn a_bare_shape_has_no_dtype() {
    assert_eq!(listed(r#"{"fc.weight": [10, 20]}"#), [("fc.weight".into(), None, Some(vec![10, 20]))]);
}

#[test]
fn dtypes_are_read_in_any_spelling() {
    for text in ["F32", "torch.float32", "float32", "float", "numpy.float32"] {
        assert_eq!(listed(format!(r#"{{"a": {{"dtype": "{text}", "shape": [2]}}}}"#))[0].1, Some(Dtype::F32), "{text}");
    }
}

#[test]
fn a_bare_list_of_keys_has_no_shapes() {
    assert_eq!(listed(r#"["b", "a"]"#), [("b".into(), None, None), ("a".into(), None, None)]);
}

#[test]
fn a_dumped_safetensors_header_is_read_with_its_metadata() {
    let text = r#"{"__metadata__": {"format": "pt"}, "a": {"dtype": "F16", "shape": [2], "data_offsets": [0, 4]}}"#;
    assert_eq!(listed(text), [("a".into(), Some(Dtype::F16), Some(vec![2]))]);
    assert_eq!(keys(text).metadata, [("format".to_string(), "pt".to_string())]);
}

#[test]
fn a_bom_and_crlf_are_read() {
    assert_eq!(listed("\u{feff}{\r\n\"a\": [1],\r\n\"b\": [2]\r\n}\r\n").len(), 2);
}

#[test]
fn a_tensor_may_be_called_metadata_or_weight_map() {
    let text = r#"{"metadata": {"dtype": "F32", "shape": [4]}, "weight_map": [2, 2]}"#;
    let wanted = [("metadata".into(), Some(Dtype::F32), Some(vec![4])), ("weight_map".into(), None, Some(vec![2, 2]))];
    assert_eq!(listed(text), wanted);
}

#[test]
fn an_index_of_shards_is_seen_as_one() {
    let text =
        r#"{"metadata": {"total_size": 12.0}, "weight_map": {"a": "m-1.safetensors", "b": "m-2.safetensors", "c": 3}}"#;
    let Json::Index(index) = read_text(text).unwrap() else { panic!("keys") };
    assert_eq!(index.total_size, Some(12));
    assert_eq!(index.keys, [("a".into(), 0), ("b".into(), 1)]);
    assert_eq!(index.shards, ["m-1.safetensors", "m-2.safetensors"]);
    assert_eq!(index.nameless, [("c".to_string(), "a number")]);
}

#[test]
fn of_a_key_given_twice_the_last_counts_and_it_is_said() {
    let read = keys(r#"{"a": [1], "b": [2], "a": [3]}"#);
    assert_eq!(listed(r#"{"a": [1], "b": [2], "a": [3]}"#)[0], ("a".into(), None, Some(vec![3])));
    assert_eq!((read.tensors.len(), read.containers[0].tensors), (2, 2));
    assert_eq!(read.remarks[0].code, "CK004");
    assert!(read.remarks[0].message.contains("`a`"), "{:?}", read.remarks);
}

#[test]
fn numbers_that_are_no_sizes_are_refused_at_their_place() {
    for (size, named) in [
        ("64.5", "64.5"),
        ("-1", "-1"),
        ("1e30", "1e30"),
        ("99999999999999999999999", "1e23"),
        ("true", "true or false"),
        ("[2]", "a list"),
    ] {
        let said = refused(format!("{{\"a\": [1],\n\"conv.weight\": [64, {size}]}}"));
        assert!(
            said.starts_with("line 2, column ") && said.contains("`conv.weight`") && said.contains(named),
            "{said}"
        );
    }
}

#[test]
fn sizes_whose_product_overflows_are_refused() {
    assert!(refused(r#"{"a": [9223372036854775807, 4]}"#).contains("multiply to more than 64 bits hold"));
}

#[test]
fn a_shape_that_is_a_string_is_refused() {
    assert!(refused(r#"{"a": {"dtype": "F32", "shape": "[2, 2]"}}"#).contains("shape is a string"));
}

#[test]
fn an_unknown_dtype_is_refused_by_name() {
    assert!(refused(r#"{"a": {"dtype": "F13", "shape": [2]}}"#).contains("dtype `F13`"));
}

#[test]
fn pythons_repr_is_named() {
    for text in ["{'a': [1]}", r#"{"a": torch.Size([1])}"#, r#"{"a": (1, 2)}"#, r#"{"a": None}"#] {
        assert!(refused(text).contains("Python"), "{text}: {}", refused(text));
    }
}

#[test]
fn a_comment_and_a_trailing_comma_are_named() {
    assert!(
        refused("{\n// sizes\n\"a\": [1]}").contains("line 2")
            && refused("{\n// sizes\n\"a\": [1]}").contains("no comments")
    );
    assert!(refused("{\"a\": [1],}").contains("comma"), "{}", refused("{\"a\": [1],}"));
}

#[test]
fn null_is_no_keys() {
    assert!(refused("null").contains("the JSON holds null, not keys"));
    assert!(refused("[1, 2]").contains("entry 0 of the list is a number"));
}

#[test]
fn a_nested_state_dict_is_told_to_stand_at_the_top() {
    let said = refused(r#"{"state_dict": {"a": [1]}}"#);
    assert!(said.contains("`state_dict`") && said.contains("top level"), "{said}");
}

#[test]
fn an_error_message_of_a_server_is_named_and_not_repeated() {
    let said = refused(r#"{"error": "Access to model secret/name is restricted"}"#);
    assert!(said.contains("error message of a server") && !said.contains("secret"), "{said}");
}

#[test]
fn a_config_is_named() {
    assert!(refused(r#"{"architectures": ["GPT2LMHeadModel"], "model_type": "gpt2"}"#).contains("config.json"));
}

#[test]
fn text_that_is_not_utf8_is_refused_at_its_byte() {
    assert!(refused(b"{\"a\": [1],\n \"\xff\": [2]}").contains("line 2, column 3: not UTF-8 (byte 13)"));
}

#[test]
fn deep_nesting_is_an_error_and_no_crash() {
    for text in ["[".repeat(100_000), "{\"a\":".repeat(100_000), format!("{{\"a\": [{}", "[".repeat(100_000))] {
        assert!(!refused(text).is_empty());
    }
}
