//! Pickles that break. Wanted: an error with the opcode and its byte offset.

use crate::harness::{Outcome, inspect};
use crate::torch_files::*;

/// What is said of a pickle (with a header of protocol 2 before it).
fn broken(opcodes: &[u8], words: &str) {
    let pickle = [b"\x80\x02".as_slice(), opcodes].concat();
    for (name, bytes) in [("model.pkl", pickle.clone()), ("model.pth", checkpoint(&pickle))] {
        let found = inspect(name, bytes);
        assert_ne!(found.code, 0, "{found:?}");
        assert!(found.said().contains("CK060"), "{}", found.said());
        assert!(found.said().contains(words), "{words:?} is not in {}", found.said());
    }
}

#[test]
fn stop_on_an_empty_stack() {
    broken(b".", "STOP at byte 2");
}

#[test]
fn pop_from_an_empty_stack() {
    broken(b"0.", "POP at byte 2");
}

#[test]
fn setitem_without_a_dict() {
    broken(b"]NNs.", "SETITEM at byte 5: the target is no dict but list");
}

#[test]
fn append_without_a_list() {
    broken(b"}Na.", "APPEND at byte 4: the target is no list but dict");
}

#[test]
fn tuple_without_a_mark() {
    broken(b"Nt.", "TUPLE at byte 3: no MARK");
}

#[test]
fn an_opcode_that_does_not_exist() {
    broken(b"N\xff.", "at byte 3: byte 0xff is no opcode");
}

#[test]
fn nothing_but_a_protocol() {
    broken(b"", "without STOP");
}

#[test]
fn build_of_none() {
    broken(b"N}b.", "BUILD at byte 4: None takes no state");
}

#[test]
fn stop_right_behind_a_mark() {
    broken(b"N(.", "STOP at byte 4");
}

#[test]
fn a_string_without_quotes() {
    broken(b"Sabc\n.", "STRING at byte 2");
}

#[test]
fn a_broken_unicode_escape() {
    broken(b"V\\u12\n.", "UNICODE at byte 2");
}

#[test]
fn an_int_that_is_none() {
    broken(b"I12x\n.", "INT at byte 2");
}

#[test]
fn a_float_that_is_none() {
    broken(b"Fpi\n.", "FLOAT at byte 2");
}

#[test]
fn a_global_without_a_name() {
    broken(b"c\n\n.", "GLOBAL at byte 2");
}

#[test]
fn text_that_is_not_utf_8() {
    broken(b"X\x02\0\0\0\xff\xfe.", "BINUNICODE at byte 2");
}

#[test]
fn readonly_buffer_on_an_empty_stack() {
    broken(b"\x98.", "READONLY_BUFFER at byte 2");
}

#[test]
fn a_buffer_from_outside_the_stream() {
    broken(b"\x97.", "NEXT_BUFFER at byte 2");
}

#[test]
fn a_list_as_a_key() {
    broken(b"}]Ns.", "SETITEM at byte 5: a list cannot be a key");
}

#[test]
fn newobj_without_a_tuple() {
    broken(&[global("a", "b"), b"N\x81.".to_vec()].concat(), "NEWOBJ at byte 8: arguments must be a tuple");
}

#[test]
fn a_call_of_a_number() {
    broken(b"K\x01)R.", "REDUCE at byte 5: int cannot be called");
}

#[test]
fn a_memo_number_that_was_never_set() {
    broken(b"h\x07.", "BINGET at byte 2: memo number 7");
}

#[test]
fn a_key_without_a_value() {
    broken(b"}(Nu.", "SETITEMS at byte 5: a key without a value");
}

#[test]
fn names_of_a_global_that_are_numbers() {
    broken(b"K\x01K\x02\x93.", "STACK_GLOBAL at byte 6");
}

#[test]
fn extension_code_zero() {
    broken(b"\x82\x00.", "EXT1 at byte 2");
}

#[test]
fn protocol_255() {
    let found = inspect("model.pkl", b"\x80\xffN.");
    assert_eq!(found.code, 2);
    assert!(found.said().contains("PROTO at byte 0: protocol 255"), "{}", found.said());
}

#[test]
fn items_below_a_mark_are_out_of_reach() {
    broken(b"]N(a.", "APPEND at byte 5: the stack is empty");
    broken(b"K\x01(\x85.", "TUPLE1");
}

#[test]
fn the_same_key_twice_counts_as_the_last() {
    let other = tensor(&storage("FloatStorage", "0", 4), int(0), tuple(&[int(2)]), tuple(&[int(1)]));
    let object = dict(&[("w", four("0")), ("b", four("0")), ("w", other)]);
    let found: Outcome = inspect("model.pth", checkpoint(&object));
    assert_eq!(found.tensors(), ["w", "b"]);
    assert_eq!(found.json["tensors"][0]["shape"], serde_json::json!([2]));
    assert!(found.said().contains("CK004"), "{}", found.said());
}

#[test]
fn what_was_built_before_the_break_is_listed() {
    let object = dict(&[("a", four("0")), ("b", four("0")), ("c", four("0"))]);
    let cut = object.len() - four("0").len();
    let found = inspect("model.pth", checkpoint(&object[..cut]));
    assert_eq!(found.tensors(), ["a", "b"]);
    assert_eq!(found.json["complete"], false);
    assert_eq!(found.code, 1);
}
