//! Formats that are recognised and not read: GGUF, NumPy, HDF5, ONNX, Keras, distributed checkpoints. Wanted: what it is, and
//! what to do; nothing is allocated by the counts that a file declares, and no header is evaluated.

use crate::harness::{Folder, inspect};

/// A GGUF file: version, number of tensors and of key-values, then what follows.
fn gguf(version: u32, tensors: u64, pairs: u64, rest: &[u8]) -> Vec<u8> {
    let mut bytes = b"GGUF".to_vec();
    bytes.extend(version.to_le_bytes());
    bytes.extend(tensors.to_le_bytes());
    bytes.extend(pairs.to_le_bytes());
    bytes.extend(rest);
    bytes
}

fn text(length: u64, text: &str) -> Vec<u8> {
    [&length.to_le_bytes()[..], text.as_bytes()].concat()
}

#[test]
fn gguf_control() {
    inspect("model.gguf", gguf(3, 0, 0, &[])).refused("a GGUF file (version 3)");
}

#[test]
fn gguf_named_safetensors() {
    inspect("model.safetensors", gguf(3, 0, 0, &[])).refused("a GGUF file (version 3)");
}

#[test]
fn gguf_with_2_to_the_63_key_values() {
    inspect("model.gguf", gguf(3, 1 << 63, 1 << 63, &[])).refused("GGUF");
}

#[test]
fn gguf_version_0() {
    inspect("model.gguf", gguf(0, 1, 1, &[])).refused("unknown version (0)");
}

#[test]
fn gguf_version_1() {
    inspect("model.gguf", gguf(1, 1, 1, &[])).refused("GGUF file (version 1)");
}

#[test]
fn gguf_version_of_a_far_future() {
    inspect("model.gguf", gguf(77_777, 1, 1, &[])).refused("unknown version (77777)");
}

#[test]
fn gguf_of_an_old_kind() {
    inspect("model.bin", b"tjgg\x03\0\0\0\0\x7d\0\0").refused("ggjt");
    inspect("model.bin", b"lmgg\0\0\0\0").refused("ggml");
    inspect("model.bin", b"fmgg\x01\0\0\0").refused("ggmf");
}

#[test]
fn gguf_string_length_2_to_the_63() {
    inspect("model.gguf", gguf(3, 0, 1, &text(u64::MAX >> 1, "general.name"))).refused("GGUF");
}

#[test]
fn gguf_array_of_2_to_the_40_strings() {
    let mut rest = text(1, "k");
    rest.extend([9, 0, 0, 0, 8, 0, 0, 0]);
    rest.extend((1u64 << 40).to_le_bytes());
    inspect("model.gguf", gguf(3, 0, 1, &rest)).refused("GGUF");
}

#[test]
fn gguf_value_type_77() {
    let rest = [text(1, "k"), vec![77, 0, 0, 0]].concat();
    inspect("model.gguf", gguf(3, 0, 1, &rest)).refused("GGUF");
}

#[test]
fn gguf_dimensions_overflow() {
    let mut rest = text(1, "t");
    rest.extend(4u32.to_le_bytes());
    rest.extend([0xff; 32]);
    inspect("model.gguf", gguf(3, 1, 0, &rest)).refused("GGUF");
}

#[test]
fn gguf_alignment_0() {
    let mut rest = text(17, "general.alignment");
    rest.extend([4, 0, 0, 0, 0, 0, 0, 0]);
    inspect("model.gguf", gguf(3, 1, 1, &rest)).refused("GGUF");
}

#[test]
fn gguf_of_4_bytes() {
    inspect("model.gguf", b"GGUF").refused("half a download");
}

#[test]
fn gguf_big_endian_then_zeros() {
    let mut bytes = b"GGUF\0\0\0\x03".to_vec();
    bytes.resize(4096, 0);
    inspect("model.gguf", bytes).refused("big-endian");
}

/// A .npy file of version 1 with this header.
fn npy(header: &str, data: usize) -> Vec<u8> {
    let mut bytes = b"\x93NUMPY\x01\0".to_vec();
    bytes.extend((header.len() as u16).to_le_bytes());
    bytes.extend(header.as_bytes());
    bytes.resize(bytes.len() + data, 0);
    bytes
}

#[test]
fn npy_control() {
    inspect("a.npy", npy("{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }\n", 8))
        .refused("a NumPy array (.npy)");
}

#[test]
fn npy_with_an_expression_in_its_header() {
    let header = "{'descr': __import__('os').system('touch CKDIFF_PWNED'), 'shape': (2,)}";
    inspect("a.npy", npy(header, 8)).refused("a NumPy array");
}

#[test]
fn npy_header_length_beyond_the_file() {
    inspect("a.npy", b"\x93NUMPY\x02\0\xff\xff\xff\xff{").refused("a NumPy array");
}

#[test]
fn npy_with_20000_nested_parentheses() {
    inspect("a.npy", npy(&"(".repeat(20_000), 0)).refused("a NumPy array");
}

#[test]
fn npy_with_python_2_longs() {
    inspect("a.npy", npy("{'descr': '<f4', 'fortran_order': False, 'shape': (3L, 4L), }", 48)).refused("a NumPy array");
}

#[test]
fn npy_cut_short() {
    inspect("a.npy", b"\x93NUMPY").refused("a NumPy array");
}

/// A zip archive of stored members, its checksums left at zero, which nobody looks at before a member is read.
pub(crate) fn zip(members: &[(&str, &[u8])]) -> Vec<u8> {
    let (mut bytes, mut directory) = (Vec::new(), Vec::new());
    for (name, data) in members {
        let start = bytes.len() as u32;
        let size = (data.len() as u32).to_le_bytes();
        let lengths = [&(name.len() as u16).to_le_bytes()[..], &[0, 0]].concat();
        let middle = [&[0u8; 12][..], &size, &size, &lengths].concat();
        bytes.extend([b"PK\x03\x04\x14\0", &middle[..]].concat());
        bytes.extend(name.as_bytes());
        bytes.extend(*data);
        directory.extend([b"PK\x01\x02\x14\0\x14\0", &middle[..], &[0; 10]].concat());
        directory.extend(start.to_le_bytes());
        directory.extend(name.as_bytes());
    }
    let start = bytes.len() as u32;
    bytes.extend(&directory);
    bytes.extend(b"PK\x05\x06\0\0\0\0");
    let count = (members.len() as u16).to_le_bytes();
    bytes.extend([&count[..], &count, &(directory.len() as u32).to_le_bytes(), &start.to_le_bytes(), &[0, 0]].concat());
    bytes
}

#[test]
fn npz() {
    inspect("a.npz", zip(&[("a.npy", &npy("{}", 0)), ("b.npy", &npy("{}", 0))])).refused("NumPy arrays (.npz)");
}

#[test]
fn keras_archive() {
    let members: &[(&str, &[u8])] =
        &[("metadata.json", b"{}"), ("config.json", b"{\"class_name\": \"Dense\"}"), ("model.weights.h5", b"\x89HDF")];
    inspect("model.keras", zip(members)).refused("a Keras model (.keras)");
}

#[test]
fn keras_archive_with_a_lambda_layer() {
    let config: &[u8] = br#"{"layers": [{"class_name": "Lambda", "config": {"function": ["stub"]}}]}"#;
    let members: &[(&str, &[u8])] =
        &[("metadata.json", b"{}"), ("config.json", config), ("model.weights.h5", b"\x89HDF")];
    inspect("model.keras", zip(members)).refused("a Lambda layer, which runs code");
}

#[test]
fn java_archive() {
    inspect("a.jar", zip(&[("META-INF/MANIFEST.MF", b""), ("A.class", b"")])).refused("a Java archive");
}

#[test]
fn pth_zipped_again_by_a_person() {
    inspect("model.zip", zip(&[("model.pth", b"PK\x03\x04")])).refused("unzip it first");
}

#[test]
fn zip_of_documents() {
    inspect("model.zip", zip(&[("a.txt", b"x"), ("b.txt", b"y")])).refused("without a data.pkl");
}

#[test]
fn zip_that_is_empty() {
    inspect("model.zip", zip(&[])).refused("zip archive");
}

/// The first bytes of an HDF5 file whose superblock says how long it should be.
fn hdf5(end: u64) -> Vec<u8> {
    let mut bytes = b"\x89HDF\r\n\x1a\n".to_vec();
    bytes.resize(2048, 0);
    bytes[40..48].copy_from_slice(&end.to_le_bytes());
    bytes
}

#[test]
fn hdf5_control() {
    inspect("model.h5", hdf5(2048)).refused("an HDF5 file");
}

#[test]
fn hdf5_cut_in_half() {
    inspect("model.h5", hdf5(4096)).refused("ends 2048 bytes early (half a download)");
}

#[test]
fn hdf5_superblock_then_random_bytes() {
    let mut bytes = hdf5(2048);
    for (n, byte) in bytes.iter_mut().enumerate().skip(9) {
        *byte = (n as u32).wrapping_mul(2_654_435_761).to_le_bytes()[3];
    }
    inspect("model.h5", bytes).refused("an HDF5 file");
}

#[test]
fn hdf5_addresses_all_ff() {
    let mut bytes = hdf5(0);
    bytes[24..56].fill(0xff);
    inspect("model.h5", bytes).refused("an HDF5 file");
}

#[test]
fn hdf5_with_a_lambda_layer() {
    let mut bytes = hdf5(2048);
    bytes.extend(br#"{"class_name": "Sequential", "config": [{"class_name": "Lambda"}]}"#);
    inspect("model.h5", bytes).refused("a Lambda layer, which runs code");
}

#[test]
fn onnx_minimal_graph() {
    inspect("model.onnx", b"\x08\x08\x12\x07pytorch\x1a\x032.1").refused("an ONNX model");
    inspect("model.bin", b"\x08\x08\x12\x07pytorch\x1a\x032.1").refused("an ONNX model");
}

#[test]
fn onnx_with_data_outside_the_folder() {
    inspect("model.onnx", b"\x08\x08\x12\x07pytorch\x3a\x20location../../../../x").refused("an ONNX model");
}

#[test]
fn tensorflow_checkpoint() {
    let mut index = vec![7; 100];
    index.extend(0xdb47_7524_8b80_fb57_u64.to_le_bytes());
    inspect("model.ckpt.index", index).refused("the index of a TensorFlow checkpoint");
    inspect("model.ckpt.data-00000-of-00001", [9, 200, 1, 0x80]).refused("TensorFlow checkpoint");
    inspect("checkpoint", "model_checkpoint_path: \"model.ckpt-1\"\n").refused("TensorFlow");
}

#[test]
fn flax_msgpack() {
    inspect("flax_model.msgpack", b"\x81\xa6params\x80").refused("Flax weights");
    inspect("weights", b"\x81\xa6params\x80").refused("Flax weights");
}

#[test]
fn tensorflow_lite() {
    inspect("model.tflite", b"\x1c\0\0\0TFL3\0\0").refused("TensorFlow Lite");
}

#[test]
fn distributed_part_without_its_metadata() {
    let folder = Folder::new().put("__0_0.distcp", zip(&[("x", b"")]));
    folder.run(&["inspect", "."]).refused("whose .metadata is missing");
}

#[test]
fn distributed_metadata_without_its_parts() {
    let folder = Folder::new().put(".metadata", b"\x80\x02}q\0.");
    folder.run(&["inspect", "."]).refused(".distcp files are missing");
}

#[test]
fn distributed_checkpoint() {
    let folder = Folder::new().put(".metadata", b"\x80\x02}q\0.").put("__0_0.distcp", zip(&[("x", b"")]));
    folder.run(&["inspect", "."]).refused("dcp_to_torch");
}

#[test]
fn deepspeed_ranks() {
    let folder = Folder::new().put("global_step5/mp_rank_00_model_states.pt", b"PK");
    folder.run(&["inspect", "."]).refused("zero_to_fp32.py");
}

#[test]
fn folder_with_remote_code() {
    let weights = crate::safetensors::file("{}", 0);
    let folder = Folder::new()
        .put("model.safetensors", weights)
        .put("config.json", r#"{"auto_map": {"AutoModel": "evil.Model"}}"#);
    let outcome = folder.run(&["inspect", ".", "--format", "json"]);
    assert!(outcome.said().contains("CK510") && outcome.said().contains("trust_remote_code"), "{}", outcome.said());
}

#[test]
fn config_that_is_broken_does_not_matter() {
    let weights = crate::safetensors::file("{}", 0);
    for config in ["{", "[]", "null", "{\"auto_map\": null}", "\u{fffd}"] {
        let folder = Folder::new().put("model.safetensors", &weights).put("config.json", config);
        folder.run(&["inspect", ".", "--format", "json"]).sound(&[]);
    }
}
