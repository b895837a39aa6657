//! Indices of shards. Wanted: never leaves the folder; both directions are checked; the missing or wrong shard is named.

use crate::harness::{Folder, Outcome};
use crate::safetensors::file;
use crate::torch_files::system;

const A: &str = "m-00001-of-00002.safetensors";
const B: &str = "m-00002-of-00002.safetensors";

/// A shard with tensors of one byte each.
fn shard(keys: &[&str]) -> Vec<u8> {
    let row =
        |(i, key): (usize, &&str)| format!(r#""{key}":{{"dtype":"U8","shape":[1],"data_offsets":[{i},{}]}}"#, i + 1);
    let rows: Vec<String> = keys.iter().enumerate().map(row).collect();
    file(&format!("{{{}}}", rows.join(",")), keys.len())
}

/// A folder with the index given and two shards that hold `a` and `b`.
fn folder(index: &str) -> Folder {
    Folder::new().put("m.safetensors.index.json", index).put(A, shard(&["a"])).put(B, shard(&["b"]))
}

/// The index `{"weight_map": …}` with these entries.
fn map(entries: &[(&str, &str)]) -> String {
    let entries: Vec<String> = entries.iter().map(|(k, v)| format!("{k:?}: {v:?}")).collect();
    format!("{{\"metadata\": {{\"total_size\": 2}}, \"weight_map\": {{{}}}}}", entries.join(", "))
}

/// Reads the index itself and the folder around it, which must agree but for what only the folder shows.
fn read(folder: &Folder) -> Outcome {
    let by_folder = folder.run(&["inspect", ".", "--format", "json"]);
    let by_index = folder.inspect("m.safetensors.index.json");
    assert_eq!(by_folder.tensors(), by_index.tensors());
    by_index
}

fn with(index: &str) -> Outcome {
    read(&folder(index))
}

#[test]
fn control() {
    with(&map(&[("a", A), ("b", B)])).sound(&["a", "b"]);
}

#[test]
fn absolute_shard_path() {
    with(&map(&[("a", A), ("b", "/etc/passwd")])).faulty("CK012 the shard `/etc/passwd` is not read", &["a"]);
}

#[test]
fn shard_path_with_two_dots() {
    with(&map(&[("a", A), ("b", "../../../etc/passwd")])).faulty("leads out of the folder", &["a"]);
    with(&map(&[("a", A), ("b", "x/../../y")])).faulty("leads out of the folder", &["a"]);
}

#[test]
fn shard_path_of_windows() {
    with(&map(&[("a", A), ("b", "C:\\x.safetensors")])).faulty("CK012", &["a"]);
    with(&map(&[("a", A), ("b", "..\\x.safetensors")])).faulty("CK012", &["a"]);
}

#[test]
fn shard_name_is_empty() {
    with(&map(&[("a", A), ("b", "")])).faulty("CK012", &["a"]);
}

#[test]
fn shard_name_is_a_dot() {
    with(&map(&[("a", A), ("b", ".")])).faulty("CK012", &["a"]);
}

#[test]
fn shard_name_has_a_nul() {
    let index = format!(r#"{{"weight_map": {{"a": "{A}", "b": "m\u0000.safetensors"}}}}"#);
    with(&index).faulty("CK012", &["a"]);
}

#[test]
fn shard_name_has_terminal_escapes() {
    let index = format!(r#"{{"weight_map": {{"a": "{A}", "b": "\u001b[31mred"}}}}"#);
    with(&index).faulty("CK010", &["a"]);
}

#[test]
fn shard_name_of_a_megabyte() {
    with(&map(&[("a", A), ("b", &"x".repeat(1 << 20))])).faulty("CK01", &["a"]);
}

#[test]
fn shard_is_a_folder() {
    let folder = folder(&map(&[("a", A), ("b", "sub")])).put("sub/x", "");
    read(&folder).faulty("the shard `sub` is not read: a directory", &["a"]);
}

#[test]
fn shard_in_a_folder_below() {
    let folder = folder(&map(&[("a", A), ("c", "sub/x.safetensors")])).put("sub/x.safetensors", shard(&["c"]));
    assert_eq!(read(&folder).tensors(), ["a", "c"]);
}

#[test]
fn second_shard_missing() {
    let folder =
        Folder::new().put("m.safetensors.index.json", map(&[("a", A), ("b", B), ("c", B)])).put(A, shard(&["a"]));
    let outcome = read(&folder);
    outcome.faulty(&format!("1 of 2 shards is missing: `{B}`; with it 2 keys are lost"), &["a"]);
    assert_eq!(outcome.json["complete"], false);
}

#[test]
fn second_shard_cut_short() {
    let whole = shard(&["b"]);
    let folder = folder(&map(&[("a", A), ("b", B)])).put(B, &whole[..whole.len() - 1]);
    read(&folder).faulty("ends 1 bytes early", &["a", "b"]);
}

#[test]
fn second_shard_cut_within_its_header() {
    let whole = shard(&["b"]);
    let folder = folder(&map(&[("a", A), ("b", B)])).put(B, &whole[..30]);
    read(&folder).faulty("half a download", &["a"]);
}

#[test]
fn second_shard_empty() {
    let folder = folder(&map(&[("a", A), ("b", B)])).put(B, "");
    read(&folder).faulty("an empty file", &["a"]);
}

#[test]
fn second_shard_is_a_git_lfs_pointer() {
    let pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 99\n";
    let folder = folder(&map(&[("a", A), ("b", B)])).put(B, pointer);
    read(&folder).faulty("git-lfs pointer", &["a"]);
}

#[test]
fn second_shard_is_json() {
    let folder = folder(&map(&[("a", A), ("b", B)])).put(B, "{\"b\": [1]}");
    read(&folder).faulty(&format!("the shard `{B}` is not read"), &["a"]);
}

#[test]
fn shard_that_the_index_does_not_name() {
    let folder = folder(&map(&[("a", A), ("b", B)])).put("m-00003-of-00002.safetensors", shard(&["c"]));
    let outcome = read(&folder);
    outcome.sound(&["a", "b"]);
    assert!(outcome.said().contains("`m-00003-of-00002.safetensors` is there, but the index does not name it"));
}

#[test]
fn weight_map_given_twice() {
    with(&format!(r#"{{"weight_map": {{"a": "{A}"}}, "weight_map": {{"b": "{A}"}}}}"#))
        .refused("weight_map is given twice");
}

#[test]
fn a_compressed_payload_beside_the_shards() {
    let packed = miniz_oxide::deflate::compress_to_vec_zlib(&[b"\x80\x02".as_slice(), &system(), b"."].concat(), 6);
    let found = folder(&map(&[("a", A), ("b", B)])).put("optimizer.joblib", packed).inspect(".");
    found.dangerous("posix.system");
}

#[test]
fn total_size_is_wrong() {
    let index = map(&[("a", A), ("b", B)]).replace("\"total_size\": 2", "\"total_size\": 77");
    let outcome = with(&index);
    outcome.sound(&["a", "b"]);
    assert!(outcome.said().contains("the tensors take 77 bytes, they take 2"), "{}", outcome.said());
}

#[test]
fn total_size_is_nonsense() {
    for size in ["-1", "1e300", "\"many\"", "null", "[1]", "99999999999999999999999"] {
        let index = map(&[("a", A), ("b", B)]).replace("\"total_size\": 2", &format!("\"total_size\": {size}"));
        with(&index).sound(&["a", "b"]);
    }
}

#[test]
fn no_weight_map() {
    let folder = folder("{\"metadata\": {\"total_size\": 2}}");
    folder.run(&["inspect", "."]).refused("it has no weight_map");
}

#[test]
fn weight_map_is_empty() {
    folder("{\"weight_map\": {}}").inspect("m.safetensors.index.json").refused("names none");
}

#[test]
fn weight_map_is_null() {
    folder("{\"weight_map\": null}").inspect("m.safetensors.index.json").refused("line 1, column");
}

#[test]
fn shard_name_is_a_number() {
    let index = format!(r#"{{"weight_map": {{"a": "{A}", "b": 2}}}}"#);
    with(&index).faulty("the shard of `b` is a number, not a file name", &["a"]);
}

#[test]
fn shard_names_of_every_wrong_kind() {
    let index = format!(r#"{{"weight_map": {{"a": "{A}", "b": null, "c": ["x"], "d": {{"e": 1}}, "f": true}}}}"#);
    with(&index).faulty("the shards of 4 keys are no file names, as of `b` (null)", &["a"]);
}

#[test]
fn html_in_the_index() {
    folder("<!doctype html><html>").inspect("m.safetensors.index.json").refused("a web page");
    folder("<!doctype html><html>").run(&["inspect", "."]).refused("line 1, column 1");
}

#[test]
fn index_cut_off() {
    folder("{\"weight_map\": {\"a\": \"m-000").inspect("m.safetensors.index.json").refused("the file is cut off");
}

#[test]
fn key_twice_in_the_weight_map() {
    let outcome = with(&map(&[("a", A), ("b", B), ("a", A)]));
    outcome.sound(&["a", "b"]);
    assert!(outcome.said().contains("CK004 the key `a` is given more than once"), "{}", outcome.said());
}

#[test]
fn key_in_both_shards() {
    let folder = folder(&map(&[("a", A), ("b", B)])).put(B, shard(&["b", "a"]));
    let outcome = read(&folder);
    outcome.sound(&["a", "b"]);
    assert!(outcome.said().contains("`a` is in more than one shard"), "{}", outcome.said());
}

#[test]
fn key_in_another_shard() {
    let outcome = with(&map(&[("a", B), ("b", A)]));
    outcome.sound(&["a", "b"]);
    assert!(outcome.said().contains("2 keys are in another shard than the index gives for them"), "{}", outcome.said());
}

#[test]
fn key_in_no_shard() {
    with(&map(&[("a", A), ("b", B), ("ghost", B)]))
        .faulty("`ghost` that the index names is not in the shard", &["a", "b"]);
}

#[test]
fn key_that_the_index_does_not_name() {
    let folder = folder(&map(&[("a", A), ("b", B)])).put(B, shard(&["b", "extra"]));
    let outcome = read(&folder);
    outcome.sound(&["a", "b", "extra"]);
    assert!(outcome.said().contains("`extra` of the shards is not in the index"), "{}", outcome.said());
}

#[test]
fn fifty_thousand_shards_none_there() {
    let entries: Vec<String> = (0..50_000).map(|n| format!("\"k{n}\": \"m-{n:05}-of-50000.safetensors\"")).collect();
    let folder =
        Folder::new().put("m.safetensors.index.json", format!("{{\"weight_map\": {{{}}}}}", entries.join(",")));
    let outcome = folder.inspect("m.safetensors.index.json");
    assert!(outcome.said().contains("none of the 50000 shards is there"), "{}", outcome.said());
    assert_eq!(folder.run(&["inspect", "."]).code, 1);
}

#[test]
fn fifty_thousand_shards_one_there() {
    let entries: Vec<String> = (0..50_000).map(|n| format!("\"k{n}\": \"m-{n:05}-of-50000.safetensors\"")).collect();
    let folder = Folder::new()
        .put("m.safetensors.index.json", format!("{{\"weight_map\": {{{}}}}}", entries.join(",")))
        .put("m-00007-of-50000.safetensors", shard(&["k7"]));
    folder.inspect("m.safetensors.index.json").faulty("49999 of 50000 shards are missing", &["k7"]);
}

#[test]
fn index_names_itself() {
    with(&map(&[("a", A), ("b", "m.safetensors.index.json")])).faulty("`m.safetensors.index.json` is not read", &["a"]);
}

#[test]
fn index_names_another_index() {
    let folder =
        folder(&map(&[("a", A), ("b", "other.json")])).put("other.json", map(&[("b", "m.safetensors.index.json")]));
    read(&folder).faulty("`other.json` is not read", &["a"]);
}

#[test]
fn numbered_shards_without_an_index() {
    let folder = Folder::new().put(A, shard(&["a"])).put(B, shard(&["b"]));
    folder.run(&["inspect", ".", "--format", "json"]).sound(&["a", "b"]);
    let folder = Folder::new()
        .put("m-00001-of-00003.safetensors", shard(&["a"]))
        .put("m-00003-of-00003.safetensors", shard(&["c"]));
    folder.run(&["inspect", ".", "--format", "json"]).faulty("shard 2 of 3 is missing", &["a", "c"]);
}

#[test]
fn numbered_shard_that_says_there_are_four_billion() {
    let folder = Folder::new().put("m-00001-of-4294967295.safetensors", shard(&["a"]));
    assert_eq!(folder.run(&["inspect", ".", "--format", "json"]).tensors(), ["a"]);
}

#[cfg(unix)]
mod links {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn shard_links_form_a_cycle() {
        let folder = folder(&map(&[("a", A), ("b", "x"), ("c", "y")]));
        symlink("x", folder.path("y")).unwrap();
        symlink("y", folder.path("x")).unwrap();
        read(&folder).faulty("leads back to itself", &["a"]);
    }

    #[test]
    fn shard_links_to_its_own_folder() {
        let folder = folder(&map(&[("a", A), ("b", "dir")]));
        symlink(".", folder.path("dir")).unwrap();
        read(&folder).faulty("the shard `dir` is not read", &["a"]);
    }

    #[test]
    fn shard_behind_a_link_to_its_own_folder() {
        let folder = folder(&map(&[("a", A), ("b", &format!("dir/dir/dir/{B}"))]));
        symlink(".", folder.path("dir")).unwrap();
        assert_eq!(folder.inspect("m.safetensors.index.json").tensors(), ["b", "a"]);
    }

    #[test]
    fn shard_links_out_of_the_folder() {
        let elsewhere = Folder::new().put("secret", shard(&["secret"]));
        let folder = folder(&map(&[("a", A), ("secret", "x")]));
        symlink(elsewhere.path("secret"), folder.path("x")).unwrap();
        read(&folder).faulty("leads out of the folder", &["a"]);
    }

    #[test]
    fn shard_behind_a_folder_that_links_out() {
        let elsewhere = Folder::new().put("secret", shard(&["secret"]));
        let folder = folder(&map(&[("a", A), ("secret", "x/secret")]));
        symlink(elsewhere.path(""), folder.path("x")).unwrap();
        read(&folder).faulty("leads out of the folder", &["a"]);
    }

    #[test]
    fn single_file_of_a_folder_links_out() {
        let elsewhere = Folder::new().put("secret", shard(&["secret"]));
        let folder = Folder::new();
        symlink(elsewhere.path("secret"), folder.path("model.safetensors")).unwrap();
        folder.run(&["inspect", "."]).refused("leads out of the folder");
    }

    #[test]
    fn shard_is_a_named_pipe() {
        let folder = folder(&map(&[("a", A), ("b", "pipe")]));
        crate::mishap::named_pipe(&folder.path("pipe"));
        read(&folder).faulty("a named pipe", &["a"]);
    }

    #[test]
    fn shard_links_to_a_device() {
        let folder = folder(&map(&[("a", A), ("b", "zero")]));
        symlink("/dev/zero", folder.path("zero")).unwrap();
        read(&folder).faulty("leads out of the folder", &["a"]);
    }
}
