//! Folders of `torch.distributed.checkpoint`, and pickles beside weights. Wanted: nothing leads out of the folder, every pickle
//! that somebody loads is searched, and what is missing or made up is said.

use crate::harness::{Folder, Outcome};
use crate::torch_files::*;

const MODULE: &str = "torch.distributed.checkpoint.metadata";

/// An object of a class with these attributes.
fn object(module: &str, class: &str, attributes: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let state: Vec<u8> = attributes.iter().flat_map(|(key, value)| [text(key), value.clone()].concat()).collect();
    [global(module, class), b")\x81}(".to_vec(), state, b"ub".to_vec()].concat()
}

/// What the metadata says of a tensor of four floats.
fn tensor_of(size: &[i32]) -> Vec<u8> {
    let properties =
        [global(MODULE, "TensorProperties"), b")\x81".to_vec(), tuple(&[global("torch", "float32")]), b"b".to_vec()];
    let size: Vec<Vec<u8>> = size.iter().map(|&n| int(n)).collect();
    let size = call("torch", "Size", &[tuple(&size)]);
    object(MODULE, "TensorStorageMetadata", &[("properties", properties.concat()), ("size", size)])
}

/// A place of a part.
fn place(file: &str, offset: i64, length: i64) -> Vec<u8> {
    let attributes = [("relative_path", text(file)), ("offset", long(offset)), ("length", long(length))];
    object("torch.distributed.checkpoint.filesystem", "_StorageInfo", &attributes)
}

fn pairs(pairs: &[(Vec<u8>, Vec<u8>)]) -> Vec<u8> {
    let items: Vec<u8> = pairs.iter().flat_map(|(k, v)| [k.clone(), v.clone()].concat()).collect();
    [b"}(".as_slice(), &items, b"u"].concat()
}

/// Metadata of tensor `w` and of the object `o`, with these places.
fn metadata(places: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let listed = [(text("w"), tensor_of(&[4])), (text("o"), object(MODULE, "BytesStorageMetadata", &[]))];
    let index = |key: &str| object(MODULE, "MetadataIndex", &[("fqn", text(key))]);
    let places: Vec<_> = places.iter().map(|(key, place)| (index(key), place.clone())).collect();
    let state = [("state_dict_metadata", pairs(&listed)), ("storage_data", pairs(&places))];
    [b"\x80\x02".to_vec(), object(MODULE, "Metadata", &state), b".".to_vec()].concat()
}

/// The part that holds the tensor.
fn part() -> Vec<u8> {
    checkpoint(&[b"\x80\x02".to_vec(), four("0"), b".".to_vec()].concat())
}

/// A part that would run something.
fn evil() -> Vec<u8> {
    checkpoint(&[b"\x80\x02".to_vec(), system(), b".".to_vec()].concat())
}

fn folder(metadata: Vec<u8>, parts: &[(&str, Vec<u8>)]) -> Outcome {
    let mut folder = Folder::new().put("dcp/.metadata", metadata);
    for (name, bytes) in parts {
        folder = folder.put(&format!("dcp/{name}"), bytes);
    }
    folder.inspect("dcp")
}

fn length(bytes: &[u8]) -> i64 {
    i64::try_from(bytes.len()).unwrap()
}

fn dangerous(found: &Outcome, word: &str) {
    assert_eq!(found.code, 1, "{found:?}");
    assert!(found.said().contains("CK501") && found.said().contains(word), "{}", found.said());
}

#[test]
fn a_sound_folder_is_a_control() {
    let whole = [part(), checkpoint(&dict(&[]))].concat();
    let first = length(&part());
    let places = [("w", place("__0_0.distcp", 0, first)), ("o", place("__0_0.distcp", first, length(&whole) - first))];
    let found = folder(metadata(&places), &[("__0_0.distcp", whole)]);
    found.sound(&["w"]);
    assert_eq!(found.json["format"], "torch-dcp");
    assert_eq!(found.json["complete"], true);
}

#[test]
fn a_payload_in_the_metadata() {
    let calm = metadata(&[("w", place("__0_0.distcp", 0, length(&part())))]);
    let loud = [b"\x80\x02".to_vec(), system(), b"0".to_vec(), calm[2..].to_vec()].concat();
    let found = folder(loud, &[("__0_0.distcp", part())]);
    dangerous(&found, "posix.system (.metadata");
    assert_eq!(found.tensors(), ["w"]);
}

#[test]
fn metadata_that_is_nothing_but_a_payload() {
    let found = folder([b"\x80\x02".to_vec(), system(), b".".to_vec()].concat(), &[("__0_0.distcp", part())]);
    dangerous(&found, "posix.system");
}

#[test]
fn a_payload_in_the_part_of_an_object() {
    let whole = [part(), evil()].concat();
    let first = length(&part());
    let places = [("w", place("a.distcp", 0, first)), ("o", place("a.distcp", first, length(&evil())))];
    let found = folder(metadata(&places), &[("a.distcp", whole)]);
    dangerous(&found, "a.distcp, the part for `o`");
    assert_eq!(found.tensors(), ["w"]);
}

#[test]
fn a_part_that_is_a_bare_pickle() {
    let bare = [b"\x80\x02".to_vec(), system(), b".".to_vec()].concat();
    let places = [("o", place("a.distcp", 0, length(&bare)))];
    dangerous(&folder(metadata(&places), &[("a.distcp", bare)]), "posix.system");
}

#[test]
fn a_part_outside_the_folder_is_not_followed() {
    for name in ["../secret.pt", "/etc/passwd", "a/../../secret.pt", "..\\secret.pt"] {
        let found = Folder::new()
            .put("secret.pt", evil())
            .put("dcp/.metadata", metadata(&[("w", place(name, 0, 100))]))
            .put("dcp/a.distcp", part())
            .inspect("dcp");
        found.faulty("cannot be read", &["w"]);
        assert!(found.said().contains("CK010") && !found.said().contains("CK501"), "{name}: {}", found.said());
        assert_eq!(found.json["complete"], false);
    }
}

#[cfg(unix)]
#[test]
fn a_part_that_is_a_link_out_of_the_folder() {
    let folder = Folder::new()
        .put("secret.pt", evil())
        .put("dcp/.metadata", metadata(&[("w", place("a.distcp", 0, length(&evil())))]));
    std::os::unix::fs::symlink("../secret.pt", folder.path("dcp/a.distcp")).unwrap();
    let found = folder.inspect("dcp");
    found.faulty("leads out of the folder", &["w"]);
    assert!(!found.said().contains("CK501"), "{}", found.said());
}

#[test]
fn a_part_that_is_missing_is_named() {
    let places = [("w", place("__1_0.distcp", 0, length(&part())))];
    let found = folder(metadata(&places), &[("__0_0.distcp", part())]);
    found.faulty("__1_0.distcp", &["w"]);
    assert!(found.said().contains("CK010"), "{}", found.said());
}

#[test]
fn a_part_beyond_the_end_of_its_file() {
    for (offset, length) in [(0, 1 << 40), (i64::MAX, 1), (i64::MAX, i64::MAX), (1 << 40, 1)] {
        let found = folder(metadata(&[("w", place("a.distcp", offset, length))]), &[("a.distcp", part())]);
        found.faulty("not its own, or not there", &["w"]);
    }
}

#[test]
fn a_negative_place() {
    let found = folder(metadata(&[("w", place("a.distcp", -1, 4))]), &[("a.distcp", part())]);
    found.faulty("not said in a way that ckdiff knows", &["w"]);
}

#[test]
fn a_hundred_thousand_parts_in_one_place() {
    let places: Vec<_> = (0..100_000).map(|_| ("o", place("a.distcp", 0, length(&evil())))).collect();
    dangerous(&folder(metadata(&places), &[("a.distcp", evil())]), "posix.system");
}

#[test]
fn a_size_that_lies() {
    for size in [vec![-1], vec![i32::MAX; 5], vec![1; 100]] {
        let listed = [(text("w"), tensor_of(&size)), (text("v"), tensor_of(&[4]))];
        let state = [("state_dict_metadata", pairs(&listed)), ("storage_data", pairs(&[]))];
        let pickle = [b"\x80\x02".to_vec(), object(MODULE, "Metadata", &state), b".".to_vec()].concat();
        folder(pickle, &[("a.distcp", part())]).faulty("CK008", &["v"]);
    }
}

#[test]
fn metadata_cut_off_at_any_place_is_not_clean() {
    let whole = metadata(&[("w", place("a.distcp", 0, length(&part())))]);
    for end in (1..whole.len()).step_by(61) {
        let found = folder(whole[..end].to_vec(), &[("a.distcp", part())]);
        assert_ne!(found.code, 0, "the first {end} bytes: {}", found.said());
    }
}

#[test]
fn a_dangerous_pickle_beside_the_weights() {
    let weights = crate::safetensors::file("{}", 0);
    let bare = [b"\x80\x02".to_vec(), system(), b".".to_vec()].concat();
    for name in ["training_args.bin", "optimizer.pt", "scheduler.pt", "rng_state_0.pth", "scaler.pt", "vocab.pkl"] {
        for bytes in [evil(), legacy(&bare), bare.clone()] {
            let found =
                Folder::new().put("m/model.safetensors", &weights).put(&format!("m/{name}"), bytes).inspect("m");
            dangerous(&found, &format!("{name}, beside the weights"));
        }
    }
}

#[test]
fn a_harmless_pickle_beside_the_weights() {
    let weights = crate::safetensors::file("{}", 0);
    let arguments =
        object("transformers.training_args", "TrainingArguments", &[("lr", b"G?\x50bM\xd2\xf1\xa9\xfc".to_vec())]);
    let arguments = checkpoint(&[b"\x80\x02".to_vec(), arguments, b".".to_vec()].concat());
    let found = Folder::new().put("m/model.safetensors", &weights).put("m/training_args.bin", arguments).inspect("m");
    found.sound(&[]);
    assert_eq!(found.json["imports"][0]["verdict"], "unknown");
}

#[test]
fn a_pickle_beside_the_weights_that_breaks_off() {
    let weights = crate::safetensors::file("{}", 0);
    let broken = [b"\x80\x02".to_vec(), global("collections", "OrderedDict"), b")R\xff".to_vec()].concat();
    let found = Folder::new().put("m/model.safetensors", &weights).put("m/optimizer.pt", broken).inspect("m");
    assert!(found.said().contains("CK503") && found.said().contains("optimizer.pt"), "{}", found.said());
}
