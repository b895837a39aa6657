use std::fs;

use super::*;
use crate::read::read;

/// A safetensors file of U8 tensors of one byte each.
fn shard(keys: &[&str]) -> Vec<u8> {
    let rows: Vec<String> = keys
        .iter()
        .enumerate()
        .map(|(i, key)| format!(r#""{key}":{{"dtype":"U8","shape":[1],"data_offsets":[{i},{}]}}"#, i + 1))
        .collect();
    let header = format!("{{{}}}", rows.join(","));
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header.as_bytes());
    bytes.resize(bytes.len() + keys.len(), 0);
    bytes
}

const A: &str = "m-00001-of-00002.safetensors";
const B: &str = "m-00002-of-00002.safetensors";

/// A folder with two shards (`a`, `b` and `c`) and the index given.
fn folder(index: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join(A), shard(&["a", "b"])).unwrap();
    fs::write(dir.path().join(B), shard(&["c"])).unwrap();
    fs::write(dir.path().join("m.safetensors.index.json"), index).unwrap();
    dir
}

fn good() -> String {
    format!(r#"{{"metadata":{{"total_size":3}},"weight_map":{{"c":"{B}","a":"{A}","b":"{A}"}}}}"#)
}

fn keys(c: &Checkpoint) -> Vec<&str> {
    c.tensors.iter().map(|t| &*t.path).collect()
}

/// Code, whether it is an error, and message of every remark.
fn remarks(c: &Checkpoint) -> Vec<String> {
    c.remarks.iter().map(|r| format!("{} {} {}", r.code, r.error, r.message)).collect()
}

#[test]
fn shards_are_read_in_the_order_of_their_numbers() {
    let dir = folder(&good());
    for path in [dir.path().to_path_buf(), dir.path().join("m.safetensors.index.json")] {
        let read = read(&path).unwrap();
        assert_eq!((keys(&read), read.format), (vec!["a", "b", "c"], Format::SafetensorsSharded));
        assert!(read.remarks.is_empty(), "{:?}", read.remarks);
        assert_eq!((read.files.len(), read.containers[0].tensors), (2, 3));
        let storage = read.tensors[2].placement.as_ref().unwrap().storage;
        assert_eq!(read.storages[storage as usize].file, 1);
    }
}

#[test]
fn a_missing_shard_is_named_and_the_rest_is_read() {
    let dir = folder(&good());
    fs::remove_file(dir.path().join(B)).unwrap();
    let read = read(dir.path()).unwrap();
    assert_eq!(keys(&read), ["a", "b"]);
    assert_eq!(remarks(&read), [format!("CK010 true 1 of 2 shards is missing: `{B}`; with it `c` is lost")]);
    assert!(!read.complete);
}

#[test]
fn an_index_without_any_of_its_shards_is_a_list_of_keys() {
    let dir = folder(&good());
    fs::remove_file(dir.path().join(A)).unwrap();
    fs::remove_file(dir.path().join(B)).unwrap();
    let alone = read(&dir.path().join("m.safetensors.index.json")).unwrap();
    assert_eq!((keys(&alone), alone.format), (vec!["c", "a", "b"], Format::Json));
    assert!(remarks(&alone)[0].starts_with("CK010 false none of the 2 shards is there"));
    assert!(remarks(&read(dir.path()).unwrap())[0].starts_with("CK010 true none of the 2"));
}

#[test]
fn a_shard_that_cannot_be_read_is_named_with_its_cause() {
    let dir = folder(&good());
    fs::write(dir.path().join(B), "version https://git-lfs.github.com/spec/v1\nsize 5\n").unwrap();
    let read = read(dir.path()).unwrap();
    assert_eq!(keys(&read), ["a", "b"]);
    assert!(
        read.unreadable[0].path == B && read.unreadable[0].why.contains("git-lfs pointer"),
        "{:?}",
        read.unreadable
    );
    assert!(read.remarks[0].error && read.remarks[0].message.contains("git-lfs pointer"));
}

#[test]
fn index_and_headers_are_held_against_each_other() {
    let index = format!(r#"{{"metadata":{{"total_size":9}},"weight_map":{{"a":"{B}","b":"{A}","x":"{A}"}}}}"#);
    let said = remarks(&read(folder(&index).path()).unwrap());
    assert_eq!(
        said,
        [
            "CK011 true the key `x` that the index names is not in the shard it gives for it",
            "CK011 false the key `a` is in another shard than the index gives for it",
            "CK011 false the key `c` of the shards is not in the index, which should name it",
            "CK011 false the index says that the tensors take 9 bytes, they take 3",
        ]
    );
}

#[test]
fn a_key_in_two_shards_is_taken_from_the_one_that_the_index_names() {
    let dir = folder(&good());
    fs::write(dir.path().join(B), shard(&["c", "a"])).unwrap();
    let read = read(dir.path()).unwrap();
    assert_eq!(keys(&read), ["a", "b", "c"]);
    assert_eq!(remarks(&read)[0], "CK011 false `a` is in more than one shard");
}

#[test]
fn a_shard_name_that_is_no_text_and_a_key_given_twice_are_findings() {
    let index = format!(r#"{{"weight_map":{{"a":"{A}","b":7,"c":"{A}","c":"{B}"}}}}"#);
    let said = remarks(&read(folder(&index).path()).unwrap());
    assert!(said.iter().any(|s| s == "CK011 true the shard of `b` is a number, not a file name"), "{said:?}");
    assert!(said.iter().any(|s| s == "CK004 false the key `c` is given more than once"), "{said:?}");
}

#[test]
fn a_shard_that_the_index_does_not_name_is_a_remark() {
    let dir = folder(&good());
    fs::write(dir.path().join("m-00003-of-00002.safetensors"), shard(&["d"])).unwrap();
    assert!(
        remarks(&read(dir.path()).unwrap())[0]
            .contains("`m-00003-of-00002.safetensors` is there, but the index does not name it")
    );
}

#[test]
fn names_that_lead_out_of_the_folder_are_never_followed() {
    let outside = tempfile::tempdir().unwrap();
    fs::write(outside.path().join("secret.safetensors"), shard(&["secret"])).unwrap();
    let absolute = outside.path().join("secret.safetensors").display().to_string();
    let relative = format!("../{}/secret.safetensors", outside.path().file_name().unwrap().to_string_lossy());
    for name in [
        &*absolute,
        &*relative,
        "",
        ".",
        "..",
        "sub/../../x",
        "C:\\\\x",
        "a\\\\b",
        "x\\u0000y",
        "./m.safetensors.index.json",
    ] {
        let index = format!(r#"{{"weight_map":{{"a":"{A}","secret":"{name}"}}}}"#);
        let read = read(folder(&index).path()).unwrap();
        assert!(!keys(&read).contains(&"secret"));
        assert!(read.remarks.iter().any(|r| r.code == "CK012" && r.error), "{name}: {:?}", read.remarks);
    }
}

#[test]
fn the_index_cannot_name_itself_as_a_shard() {
    let index = format!(r#"{{"weight_map":{{"a":"{A}","z":"m.safetensors.index.json"}}}}"#);
    let read = read(folder(&index).path()).unwrap();
    assert!(
        read.remarks.iter().any(|r| r.error && r.message.contains("`m.safetensors.index.json` is not read")),
        "{:?}",
        read.remarks
    );
}

#[cfg(unix)]
#[test]
fn symbolic_links_out_of_the_folder_and_in_circles_are_not_followed() {
    use std::os::unix::fs::symlink;
    let outside = tempfile::tempdir().unwrap();
    fs::write(outside.path().join("secret"), shard(&["secret"])).unwrap();
    let dir = folder(&format!(r#"{{"weight_map":{{"a":"{A}","secret":"x","d":"l1","e":"nowhere"}}}}"#));
    symlink(outside.path().join("secret"), dir.path().join("x")).unwrap();
    symlink("l2", dir.path().join("l1")).unwrap();
    symlink("l1", dir.path().join("l2")).unwrap();
    symlink("gone", dir.path().join("nowhere")).unwrap();
    let read = read(dir.path()).unwrap();
    assert!(!keys(&read).contains(&"secret"));
    let why: Vec<&str> = read.unreadable.iter().map(|u| u.why.as_str()).collect();
    assert!(why.iter().any(|w| w.contains("leads out of the folder")), "{why:?}");
    assert!(why.iter().any(|w| w.contains("back to itself")), "{why:?}");
    assert!(why.iter().any(|w| w.contains("link to nowhere")), "{why:?}");
}

#[cfg(unix)]
#[test]
fn the_cache_of_huggingface_hub_with_its_links_to_blobs_is_read() {
    use std::os::unix::fs::symlink;
    let root = tempfile::tempdir().unwrap();
    let (blobs, snapshot) = (root.path().join("models--x/blobs"), root.path().join("models--x/snapshots/abc"));
    fs::create_dir_all(&blobs).unwrap();
    fs::create_dir_all(&snapshot).unwrap();
    let index = format!(r#"{{"weight_map":{{"a":"{A}"}}}}"#);
    for (name, bytes) in [(A, shard(&["a"])), ("model.safetensors.index.json", index.into_bytes())] {
        fs::write(blobs.join(format!("sha-{name}")), bytes).unwrap();
        symlink(format!("../../blobs/sha-{name}"), snapshot.join(name)).unwrap();
    }
    let read = read(&snapshot).unwrap();
    assert_eq!(keys(&read), ["a"]);
    assert!(read.remarks.is_empty(), "{:?}", read.remarks);
}

#[test]
fn numbers_are_read_out_of_shard_names() {
    let n = numbered("pytorch_model-00002-of-00033.bin").unwrap();
    assert_eq!((n.stem, n.number, n.of, n.suffix), ("pytorch_model", 2, 33, "bin"));
    assert_eq!(numbered("model.safetensors"), None);
    assert_eq!(numbered("a-x-of-3.bin"), None);
    assert_eq!(numbered("a-99999999999-of-3.bin"), None);
}
