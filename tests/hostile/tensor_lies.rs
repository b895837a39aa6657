//! Tensors that cannot be what they claim to be. Wanted: an error that names the tensor; the others are still listed.

use crate::harness::{Outcome, inspect};
use crate::torch_files::*;

/// A checkpoint with the sound tensor `good` and `bad` beside it.
fn beside(bad: Vec<u8>) -> Outcome {
    inspect("model.pth", checkpoint(&dict(&[("good", four("0")), ("bad", bad)])))
}

/// The tensor `bad` must be named as unreadable for a reason with these words, in a file with and without another tensor.
fn lies(bad: Vec<u8>, words: &str) {
    let found = beside(bad.clone());
    assert_eq!(found.tensors(), ["good"], "{found:?}");
    unreadable(&found, words);
    assert_ne!(found.code, 0, "{}", found.said());
    let alone = inspect("model.pth", checkpoint(&dict(&[("bad", bad)])));
    assert_ne!(alone.code, 0, "{alone:?}");
    assert!(format!("{} {}", alone.out, alone.err).contains(words), "{alone:?}");
}

fn unreadable(found: &Outcome, words: &str) {
    let list = found.json["unreadable"].as_array().expect("a list");
    let bad = list.iter().find(|u| u["path"] == "bad").unwrap_or_else(|| panic!("bad is not in {list:?}"));
    let why = bad["why"].as_str().expect("a reason");
    assert!(why.contains(words), "{words:?} is not in {why:?}");
}

/// A tensor over storage 0 of four floats.
fn over(offset: Vec<u8>, size: Vec<u8>, stride: Vec<u8>) -> Vec<u8> {
    tensor(&storage("FloatStorage", "0", 4), offset, size, stride)
}

fn sized(size: Vec<u8>) -> Vec<u8> {
    over(int(0), size, tuple(&[int(1)]))
}

/// Four floats over a storage made of this persistent id.
fn with_id(id: Vec<u8>) -> Vec<u8> {
    tensor(&[id, b"Q".to_vec()].concat(), int(0), tuple(&[int(4)]), tuple(&[int(1)]))
}

#[test]
fn control() {
    beside(sized(tuple(&[int(4)]))).sound(&["good", "bad"]);
}

#[test]
fn a_negative_size() {
    lies(sized(tuple(&[int(-4)])), "shape[0] is -4");
}

#[test]
fn a_negative_stride() {
    lies(over(int(0), tuple(&[int(4)]), tuple(&[int(-1)])), "stride[0] is -1");
}

#[test]
fn a_negative_offset() {
    lies(over(int(-1), tuple(&[int(4)]), tuple(&[int(1)])), "the offset is -1");
}

#[test]
fn a_size_whose_product_overflows() {
    let huge = long(1 << 40);
    let strides = tuple(&[int(0), int(0)]);
    lies(over(int(0), tuple(&[huge.clone(), huge]), strides), "more elements than 63 bits count");
}

#[test]
fn a_stride_whose_product_overflows() {
    let strides = tuple(&[long(i64::MAX), int(1)]);
    lies(over(int(0), tuple(&[int(3), int(2)]), strides), "it reaches");
}

#[test]
fn an_offset_of_2_to_the_63() {
    lies(over(long(i64::MAX), tuple(&[int(4)]), tuple(&[int(1)])), "it reaches");
}

#[test]
fn ten_thousand_elements_in_a_storage_of_four() {
    lies(sized(tuple(&[int(10_000)])), "to element 9999 of a storage of 4 elements");
}

#[test]
fn a_storage_that_its_record_is_too_short_for() {
    let bad = tensor(&storage("FloatStorage", "1", 1_000_000_000), int(0), tuple(&[int(4)]), tuple(&[int(1)]));
    let mut all = members(&dict(&[("good", four("0")), ("bad", bad)]));
    all.push(Member::new("archive/data/1", [0; 16]));
    let found = inspect("model.pth", zip(&all, End::default()));
    assert_eq!(found.tensors(), ["good"]);
    unreadable(&found, "record data/1 has 16 bytes, the pickle wants 4000000000");
}

#[test]
fn a_storage_of_minus_four_elements() {
    lies(
        tensor(&storage("FloatStorage", "0", -4), int(0), tuple(&[int(4)]), tuple(&[int(1)])),
        "a storage of -4 elements",
    );
}

#[test]
fn a_storage_of_2_to_the_63_elements() {
    let bad = tensor(&storage("FloatStorage", "9", i64::MAX), int(0), tuple(&[int(4)]), tuple(&[int(1)]));
    lies(bad, "more than any file holds");
}

#[test]
fn a_storage_whose_size_is_text() {
    let items = [text("storage"), global("torch", "FloatStorage"), text("9"), text("cpu"), text("4")];
    lies(with_id(tuple(&items)), "the size of the storage is a str");
}

#[test]
fn a_storage_of_two_elements_for_a_tensor_of_four() {
    lies(
        tensor(&storage("FloatStorage", "9", 2), int(0), tuple(&[int(4)]), tuple(&[int(1)])),
        "to element 3 of a storage of 2 elements",
    );
}

#[test]
fn a_record_that_is_not_there() {
    lies(four("7"), "record data/7 is not in the archive");
}

#[test]
fn a_storage_key_that_is_a_path() {
    lies(four("../../etc/passwd"), "is not in the archive");
}

#[test]
fn a_storage_key_that_is_an_int_is_read_as_python_reads_it() {
    let items = [text("storage"), global("torch", "FloatStorage"), int(0), text("cpu"), long(4)];
    beside(with_id(tuple(&items))).sound(&["good", "bad"]);
}

#[test]
fn a_persistent_id_that_is_no_tuple() {
    lies(with_id(text("storage")), "a persistent id that is a str, not a tuple");
}

#[test]
fn a_persistent_id_of_two_items() {
    lies(with_id(tuple(&[text("storage"), global("torch", "FloatStorage")])), "a persistent id of 2 items");
}

#[test]
fn the_persistent_id_of_a_legacy_module() {
    lies(with_id(tuple(&[text("module"), global("a", "B"), text("f"), text("s")])), "of kind `module`");
}

#[test]
fn an_unknown_storage_class() {
    lies(tensor(&storage("QuaternionStorage", "0", 4), int(0), tuple(&[int(4)]), tuple(&[int(1)])), "no storage class");
}

#[test]
fn a_float_in_the_shape() {
    let half = [b"G".as_slice(), &2.5f64.to_be_bytes()].concat();
    lies(sized(tuple(&[half])), "shape[0] is a float");
}

#[test]
fn text_in_the_shape() {
    lies(sized(tuple(&[text("4")])), "shape[0] is a str");
}

#[test]
fn a_shape_that_is_none() {
    lies(sized(b"N".to_vec()), "the shape is a None");
}

#[test]
fn a_shape_that_is_a_list_is_read_as_pytorch_reads_it() {
    beside(sized([b"](".to_vec(), int(4), b"e".to_vec()].concat())).sound(&["good", "bad"]);
}

#[test]
fn a_bool_in_the_shape() {
    lies(sized(tuple(&[b"\x88".to_vec()])), "shape[0] is a bool");
}

#[test]
fn a_shape_of_a_hundred_thousand_dimensions() {
    let ones = tuple(&vec![int(1); 100_000]);
    lies(over(int(0), ones.clone(), ones), "a shape of 100000 dimensions");
}

#[test]
fn more_strides_than_dimensions() {
    lies(over(int(0), tuple(&[int(4)]), tuple(&[int(1), int(1)])), "2 strides for 1 dimensions");
}

#[test]
fn an_int_of_256_bits_in_the_shape() {
    let huge = [b"\x8a\x20".as_slice(), &[0x7f; 32]].concat();
    lies(sized(tuple(&[huge])), "shape[0] is a number beyond 64 bits");
}

#[test]
fn a_rebuild_without_arguments() {
    lies(call("torch._utils", "_rebuild_tensor_v2", &[]), "0 arguments");
}

#[test]
fn a_rebuild_with_fifty_nones() {
    lies(call("torch._utils", "_rebuild_tensor_v2", &vec![b"N".to_vec(); 50]), "the storage is a None");
}

#[test]
fn a_rebuild_function_of_a_future_version() {
    lies(call("torch._utils", "_rebuild_tensor_v9", &[b"N".to_vec()]), "_rebuild_tensor_v9 is not known to ckdiff");
}

#[test]
fn a_location_that_no_machine_has() {
    let items = [text("storage"), global("torch", "FloatStorage"), text("0"), text("cuda:999999999999"), long(4)];
    beside(with_id(tuple(&items))).sound(&["good", "bad"]);
}

#[test]
fn a_legal_expand_over_one_float() {
    let size = tuple(&[long(1 << 31), long(1 << 31)]);
    beside(over(int(0), size, tuple(&[int(0), int(0)]))).sound(&["good", "bad"]);
}

#[test]
fn a_parameter_made_of_text() {
    lies(call("torch._utils", "_rebuild_parameter", &[text("w"), b"\x88".to_vec(), b"}".to_vec()]), "a str");
}

#[test]
fn a_sparse_tensor_made_of_none() {
    let layout = call("torch.serialization", "_get_layout", &[text("torch.sparse_coo")]);
    let parts = tuple(&[b"N".to_vec(), b"N".to_vec(), b"N".to_vec()]);
    lies(call("torch._utils", "_rebuild_sparse_tensor", &[layout, parts]), "the values of a sparse tensor");
}

#[test]
fn a_dtype_that_nobody_knows() {
    let hooks = b"N".to_vec();
    let arguments = [
        storage("UntypedStorage", "0", 16),
        int(0),
        tuple(&[int(4)]),
        tuple(&[int(1)]),
        b"\x89".to_vec(),
        hooks,
        global("torch", "float3"),
    ];
    lies(call("torch._utils", "_rebuild_tensor_v3", &arguments), "torch.float3 is no dtype");
}

#[test]
fn an_array_whose_data_is_too_short() {
    let dtype = call("numpy", "dtype", &[text("f4"), b"\x89".to_vec(), b"\x88".to_vec()]);
    let empty =
        call("numpy.core.multiarray", "_reconstruct", &[global("numpy", "ndarray"), tuple(&[int(0)]), text("b")]);
    let state = tuple(&[int(1), tuple(&[int(100)]), dtype, b"\x89".to_vec(), b"C\x03abc".to_vec()]);
    lies([empty, state, b"b".to_vec()].concat(), "has 3 bytes; shape [100] of F32 needs 400");
}

#[test]
fn an_array_that_is_never_filled() {
    let empty =
        call("numpy.core.multiarray", "_reconstruct", &[global("numpy", "ndarray"), tuple(&[int(0)]), text("b")]);
    lies(empty, "an array without its data");
}

#[test]
fn a_version_from_the_future() {
    let mut all = members(&dict(&[("good", four("0"))]));
    all[3] = Member::new("archive/version", "99999999999999999999");
    let found = inspect("model.pth", zip(&all, End::default()));
    assert_eq!(found.tensors(), ["good"]);
    assert!(found.said().contains("CK066"), "{}", found.said());
}

#[test]
fn a_byte_order_that_does_not_exist() {
    let mut all = members(&dict(&[("good", four("0"))]));
    all[1] = Member::new("archive/byteorder", "middle");
    let found = inspect("model.pth", zip(&all, End::default()));
    assert!(found.said().contains("middle"), "{}", found.said());
}

#[test]
fn an_empty_data_pkl() {
    inspect("model.pth", checkpoint(b"")).refused("archive/data.pkl is empty");
}

#[test]
fn a_record_with_more_bytes_than_the_pickle_wants() {
    let mut all = members(&dict(&[("good", four("0"))]));
    all[2] = Member::new("archive/data/0", [1; 70]);
    let found = inspect("model.pth", zip(&all, End::default()));
    assert_eq!(found.tensors().len(), 0);
    assert!(found.said().contains("record data/0 has 70 bytes, the pickle wants 16"), "{}", found.said());
}
