//! Pickles that are small and want much. Wanted: an answer in time and memory proportional to the file, without recursion.

use crate::harness::{Outcome, inspect};
use crate::torch_files::*;

/// A checkpoint with the tensor `w` and `value` beside it: the tensor must be listed, and nothing may take long.
fn beside(value: &[u8]) -> Outcome {
    let found = inspect("model.pth", checkpoint(&dict(&[("w", four("0")), ("x", value.to_vec())])));
    assert!(found.tensors().contains(&"w"), "{found:?}");
    found
}

/// A pickle that breaks, or is refused, with these words.
fn refused(pickle: &[u8], words: &str) {
    let found = inspect("model.pkl", pickle);
    assert_ne!(found.code, 0, "{found:?}");
    assert!(found.said().contains(words), "{words:?} is not in {}", found.said());
}

#[test]
fn a_tuple_doubled_a_hundred_times() {
    let mut value = b"Nq\x01".to_vec();
    for _ in 0..100 {
        value.extend(b"0h\x01h\x01\x86q\x01");
    }
    beside(&value);
}

#[test]
fn a_tuple_around_a_tensor_doubled_sixty_times() {
    let mut value = [four("0"), b"q\x01".to_vec()].concat();
    for _ in 0..60 {
        value.extend(b"0h\x01h\x01\x86q\x01");
    }
    let found = beside(&value);
    assert!(found.said().contains("CK064"), "{}", found.said());
}

#[test]
fn a_dict_doubled_sixty_times() {
    let mut value = [b"}".to_vec(), text("t"), four("0"), b"sq\x01".to_vec()].concat();
    for _ in 0..60 {
        value.extend(
            [b"0}(".to_vec(), text("left"), b"h\x01".to_vec(), text("right"), b"h\x01uq\x01".to_vec()].concat(),
        );
    }
    let found = beside(&value);
    assert!(found.said().contains("CK064"), "{}", found.said());
}

#[test]
fn a_dict_without_tensors_doubled_sixty_times_costs_nothing() {
    let mut value = b"}q\x01".to_vec();
    for _ in 0..60 {
        value.extend(
            [b"0}(".to_vec(), text("left"), b"h\x01".to_vec(), text("right"), b"h\x01uq\x01".to_vec()].concat(),
        );
    }
    beside(&value).sound(&["w"]);
}

#[test]
fn a_million_nested_lists() {
    let value = [vec![b']'; 1_000_000], vec![b'a'; 999_999]].concat();
    beside(&value);
}

#[test]
fn a_million_nested_lists_that_are_never_closed() {
    refused(&[b"\x80\x02".to_vec(), vec![b']'; 1_000_000]].concat(), "without STOP");
}

#[test]
fn a_hundred_thousand_nested_dicts() {
    let mut value: Vec<u8> = b"}U\x01a".repeat(100_000);
    value.extend(four("0"));
    value.extend(b"s".repeat(100_000));
    let found = beside(&value);
    assert!(found.said().contains("CK064"), "{}", found.said());
}

#[test]
fn fifty_thousand_nested_calls() {
    let mut value = global("builtins", "list").repeat(50_000);
    value.extend(b")R");
    value.extend(b"\x85R".repeat(49_999));
    beside(&value);
}

#[test]
fn fifty_thousand_nested_objects_around_a_tensor() {
    let mut value = global("__main__", "Box").repeat(50_000);
    value.extend(four("0"));
    value.extend(b"\x85R".repeat(50_000));
    beside(&value);
}

#[test]
fn a_length_of_text_beyond_the_file() {
    refused(&[b"\x80\x04\x8d".as_slice(), &u64::MAX.to_le_bytes()].concat(), "BINUNICODE8 at byte 2");
}

#[test]
fn a_length_of_bytes_beyond_the_file() {
    refused(&[b"\x80\x05\x96".as_slice(), &(1u64 << 62).to_le_bytes(), b"abc"].concat(), "BYTEARRAY8 at byte 2");
    refused(&[b"\x80\x04\x8e".as_slice(), &(1u64 << 40).to_le_bytes(), b"abc"].concat(), "BINBYTES8 at byte 2");
    refused(&[b"\x80\x03B".as_slice(), &u32::MAX.to_le_bytes(), b"abc"].concat(), "BINBYTES at byte 2");
}

#[test]
fn a_negative_length_of_a_string() {
    refused(&[b"\x80\x02T".as_slice(), &(-5i32).to_le_bytes(), b"abc"].concat(), "a length of -5");
}

#[test]
fn a_negative_length_of_an_int() {
    refused(&[b"\x80\x02\x8b".as_slice(), &i32::MIN.to_le_bytes(), b"abc"].concat(), "a length of -2147483648");
}

#[test]
fn a_frame_longer_than_the_file() {
    refused(&[b"\x80\x04\x95".as_slice(), &(1u64 << 60).to_le_bytes(), b"N."].concat(), "FRAME at byte 2");
}

#[test]
fn memo_number_4294967295() {
    beside(b"Nr\xff\xff\xff\xff");
}

#[test]
fn memo_numbers_far_apart() {
    let mut value = b"N".to_vec();
    for i in 0..100_000u32 {
        value.push(b'r');
        value.extend((i.wrapping_mul(40_503)).to_le_bytes());
    }
    beside(&value);
}

#[test]
fn an_int_of_a_million_digits() {
    beside(&[b"L".to_vec(), vec![b'7'; 1_000_000], b"L\n".to_vec()].concat());
}

#[test]
fn a_binary_int_of_a_megabyte() {
    beside(&[b"\x8b".as_slice(), &1_000_000u32.to_le_bytes(), &vec![0x7f; 1_000_000]].concat());
}

#[test]
fn an_int_of_a_megabyte_as_a_key() {
    let key = [b"\x8b".as_slice(), &1_000_000u32.to_le_bytes(), &vec![0x7f; 1_000_000]].concat();
    beside(&[b"}".to_vec(), key, four("0"), b"s".to_vec()].concat());
}

#[test]
fn memoize_a_million_times() {
    beside(&[b"N".to_vec(), vec![0x94; 1_000_000]].concat());
}

#[test]
fn duplicate_the_top_three_million_times() {
    let pickle = [b"\x80\x02N".to_vec(), vec![b'2'; 3_000_000], b".".to_vec()].concat();
    inspect("model.pkl", pickle);
}

#[test]
fn three_million_empty_dicts() {
    let value = [b"(".to_vec(), vec![b'}'; 3_000_000], b"l".to_vec()].concat();
    inspect("model.pth", checkpoint(&dict(&[("w", four("0")), ("x", value)])));
}

#[test]
fn three_million_empty_dicts_each_memoized() {
    let value = [b"(".to_vec(), b"}\x94".repeat(1_500_000), b"l".to_vec()].concat();
    inspect("model.pth", checkpoint(&dict(&[("w", four("0")), ("x", value)])));
}

#[test]
fn a_million_objects() {
    let value =
        [global("m", "C"), b"q\x01(".to_vec(), b"h\x01)R".repeat(1_000_000), b"l0".to_vec(), b"N".to_vec()].concat();
    inspect("model.pkl", [b"\x80\x02".to_vec(), value, b".".to_vec()].concat());
}

#[test]
fn a_dict_that_contains_itself_beside_a_tensor() {
    let value = [b"}q\x01".to_vec(), text("me"), b"h\x01s".to_vec(), text("t"), four("0"), b"s".to_vec()].concat();
    beside(&value).sound(&["w", "x.t"]);
}

#[test]
fn a_list_that_contains_itself_ten_thousand_times() {
    let value = [b"]q\x01(".to_vec(), b"h\x01".repeat(10_000), four("0"), b"e".to_vec()].concat();
    beside(&value);
}

#[test]
fn sets_made_of_one_list_again_and_again() {
    let list = [b"](".to_vec(), b"N".repeat(50_000), b"eq\x01".to_vec()].concat();
    let copy = [global("collections", "OrderedDict"), b"q\x02".to_vec()].concat();
    let value = [list, copy, b"(".to_vec(), b"h\x02h\x01\x85R".repeat(50_000), b"l".to_vec()].concat();
    inspect("model.pkl", [b"\x80\x02".to_vec(), value, b".".to_vec()].concat());
}

#[test]
fn sizes_made_of_one_list_again_and_again() {
    let list = [b"](".to_vec(), b"K\x01".repeat(50_000), b"eq\x01".to_vec()].concat();
    let value =
        [list, global("torch", "Size"), b"q\x02(".to_vec(), b"h\x02h\x01\x85R".repeat(50_000), b"l".to_vec()].concat();
    refused(&[b"\x80\x02".to_vec(), value, b".".to_vec()].concat(), "again and again");
}

#[test]
fn bytes_encoded_from_one_text_again_and_again() {
    let long = text(&"\u{e9}".repeat(200_000));
    let value =
        [long, b"q\x01".to_vec(), text("latin1"), b"q\x03".to_vec(), global("_codecs", "encode"), b"q\x02(".to_vec()];
    let pickle =
        [b"\x80\x02".to_vec(), value.concat(), b"h\x02h\x01h\x03\x86R".repeat(20_000), b"l.".to_vec()].concat();
    refused(&pickle, "again and again");
}

#[test]
fn names_of_globals_multiplied_through_the_memo() {
    let mut value = Vec::new();
    for i in 0..100u8 {
        value.extend([text(&format!("{i}").repeat(200)), vec![b'q', i]].concat());
    }
    for i in 0..100u8 {
        for j in 0..100u8 {
            value.extend([b'h', i, b'h', j, 0x93, b'0']);
        }
    }
    inspect("model.pkl", [b"\x80\x04".to_vec(), value, b".".to_vec()].concat());
}

#[test]
fn getattr_of_getattr_of_getattr() {
    let mut value = [global("a", "b"), b"q\x01".to_vec(), text(&"x".repeat(150)), b"q\x02".to_vec()].concat();
    value.extend([global("builtins", "getattr"), b"q\x03".to_vec(), b"h\x01".to_vec()].concat());
    for _ in 0..20_000 {
        value.extend(b"q\x01h\x03h\x01h\x02\x86R");
    }
    inspect("model.pkl", [b"\x80\x02".to_vec(), value, b".".to_vec()].concat());
}

#[test]
fn one_nested_pickle_loaded_again_and_again() {
    let inner = [b"\x80\x02".to_vec(), vec![b'N'; 100_000], b".".to_vec()].concat();
    let bytes = [b"B".as_slice(), &(inner.len() as u32).to_le_bytes(), &inner, b"q\x01"].concat();
    let value =
        [bytes, global("torch.storage", "_load_from_bytes"), b"q\x02(".to_vec(), b"h\x02h\x01\x85R".repeat(50_000)];
    inspect("model.pkl", [b"\x80\x02".to_vec(), value.concat(), b"l.".to_vec()].concat());
}

#[test]
fn a_key_of_a_megabyte_in_a_thousand_nested_dicts() {
    let key = text(&"k".repeat(1_000_000));
    let mut value = [key, b"q\x010".to_vec()].concat();
    value.extend(b"}h\x01".repeat(900));
    value.extend(four("0"));
    value.extend(b"s".repeat(900));
    let found = inspect("model.pkl", [b"\x80\x02".to_vec(), value, b".".to_vec()].concat());
    assert!(found.said().contains("CK064"), "{}", found.said());
}

#[test]
fn half_a_million_keys_that_are_no_tensors() {
    let items: Vec<u8> = (0..500_000u32).flat_map(|i| [b"J".as_slice(), &i.to_le_bytes(), b"N"].concat()).collect();
    beside(&[b"}(".to_vec(), items, b"u".to_vec()].concat()).sound(&["w"]);
}

#[test]
fn the_same_key_set_a_hundred_thousand_times() {
    let value = [b"}q\x01".to_vec(), b"U\x01kNs".repeat(100_000)].concat();
    let found = beside(&value);
    assert!(found.said().contains("CK004"), "{}", found.said());
}

#[test]
fn a_hundred_thousand_marks() {
    refused(&[b"\x80\x02".to_vec(), vec![b'('; 100_000], b".".to_vec()].concat(), "STOP");
}
