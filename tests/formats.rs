//! What each format for review tools writes, as committed under `tests/formats`.
//!
//! `TRYCMD=overwrite cargo test --test formats` writes what the program says now; look at the diff before committing it.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use safetensors::tensor::{Dtype, TensorView};

/// A pair with an error, a warning and a note, and a list of keys that holds.
const PAIR: [&str; 2] = ["tests/formats/checkpoint.json", "tests/formats/expected.json"];

fn ckdiff(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_ckdiff")).args(arguments).output().expect("ckdiff starts")
}

/// Compares standard output with the committed file.
fn shows(file: &str, arguments: &[&str], status: i32) {
    holds(file, ckdiff(arguments), status);
}

/// Compares what a run wrote to standard output with the committed file.
fn holds(file: &str, done: Output, status: i32) {
    assert_eq!((done.status.code(), String::from_utf8_lossy(&done.stderr).as_ref()), (Some(status), ""));
    let now = String::from_utf8(done.stdout).expect("output is UTF-8");
    let path = Path::new("tests/formats").join(file);
    if std::env::var("TRYCMD").as_deref() == Ok("overwrite") {
        std::fs::write(&path, now).expect("a committed file is writable");
        return;
    }
    let then = std::fs::read_to_string(&path).expect("a committed file is readable");
    let diff = similar::TextDiff::from_lines(then.as_str(), now.as_str());
    assert!(then == now, "{}:\n{}", path.display(), diff.unified_diff());
}

#[test]
fn sarif_of_a_run_with_every_severity() {
    shows("mixed.sarif", &[PAIR[0], PAIR[1], "--format", "sarif"], 1);
}

#[test]
fn annotations_of_a_run_with_every_severity() {
    shows("mixed.log", &[PAIR[0], PAIR[1], "--format", "github"], 1);
}

#[test]
fn a_comment_on_a_run_with_every_severity() {
    shows("mixed.md", &[PAIR[0], PAIR[1], "--format", "markdown"], 1);
}

#[test]
fn test_results_of_a_run_with_every_severity() {
    shows("mixed.xml", &[PAIR[0], PAIR[1], "--format", "junit"], 1);
}

/// What a project with files in folders, with spaces and in other scripts has promised, and does not hold.
const CONFIG: &str = r#"[[contract]]
name = "detector"
source = "weights/dé*.safetensors"
expected = "models/vue détaillée/expected.json"

[[contract]]
name = "classifier, old"
source = ["weights/old/*.safetensors", "weights/exact.safetensors"]
expected = "models/classifier.json"
level = "fixable"

[[contract]]
name = "not fetched"
source = "weights/模型.pth"
expected = "models/classifier.json"

[[contract]]
name = "gone"
source = "weights/none-*.pth"
expected = "models/classifier.json"

[[ignore]]
code = "dtype-widened"
contract = "classifier*"
reason = "released in half precision | on purpose"

[[ignore]]
code = "tied"
reason = "was mended long ago"
"#;

type Key = (&'static str, Dtype, &'static [usize]);

const DETECTOR: [Key; 8] = [
    ("backbone.conv.weight", Dtype::F32, &[4, 3, 3, 3]),
    ("backbone.bn.weight", Dtype::F32, &[4]),
    ("backbone.bn.bias", Dtype::F32, &[4]),
    ("backbone.bn.running_mean", Dtype::F32, &[4]),
    ("backbone.bn.running_var", Dtype::F32, &[4]),
    ("backbone.bn.num_batches_tracked", Dtype::I64, &[]),
    ("head.weight", Dtype::F32, &[10, 4]),
    ("head.bias", Dtype::F32, &[10]),
];

const RELEASED: [Key; 8] = [
    ("module.backbone.conv.weight", Dtype::F32, &[4, 3, 3, 3]),
    ("module.backbone.bn.weight", Dtype::F32, &[4]),
    ("module.backbone.bn.bias", Dtype::F32, &[4]),
    ("module.backbone.bn.running_mean", Dtype::F32, &[4]),
    ("module.backbone.bn.running_var", Dtype::F32, &[4]),
    ("module.head.weight", Dtype::F32, &[20, 4]),
    ("module.head.bias", Dtype::F32, &[20]),
    ("module.neck.conv.weight", Dtype::F32, &[4, 4, 1, 1]),
];

const CLASSIFIER: [Key; 4] = [
    ("body.0.weight", Dtype::F32, &[4, 3]),
    ("body.0.bias", Dtype::F32, &[4]),
    ("classifier.weight", Dtype::F32, &[5, 4]),
    ("classifier.bias", Dtype::F32, &[5]),
];

const OLD: [Key; 4] = [
    ("body.0.weight", Dtype::F16, &[4, 3]),
    ("body.0.bias", Dtype::F16, &[4]),
    ("fc.weight", Dtype::F16, &[5, 4]),
    ("fc.bias", Dtype::F16, &[5]),
];

fn expected(keys: &[Key]) -> Vec<u8> {
    let lines: Vec<String> = keys
        .iter()
        .map(|(k, dtype, shape)| format!("  \"{k}\": {{\"dtype\": \"{dtype:?}\", \"shape\": {shape:?}}}"))
        .collect();
    format!("{{\n{}\n}}\n", lines.join(",\n")).into_bytes()
}

fn weights(keys: &[Key]) -> Vec<u8> {
    let zeros = vec![0u8; 1 << 12];
    let views = keys.iter().map(|(key, dtype, shape)| {
        let bytes = shape.iter().product::<usize>() * dtype.bitsize() / 8;
        (*key, TensorView::new(*dtype, shape.to_vec(), &zeros[..bytes]).expect("a view"))
    });
    safetensors::serialize(views, None).expect("serializes")
}

/// The project on disk.
fn project() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    for (name, content) in [
        ("ckdiff.toml", CONFIG.as_bytes().to_vec()),
        ("models/vue détaillée/expected.json", expected(&DETECTOR)),
        ("models/classifier.json", expected(&CLASSIFIER)),
        ("weights/détecteur v1.safetensors", weights(&RELEASED)),
        ("weights/exact.safetensors", weights(&CLASSIFIER)),
        ("weights/old/classifier.safetensors", weights(&OLD)),
        ("weights/模型.pth", b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n".to_vec()),
    ] {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().expect("in a folder")).expect("a folder can be made");
        fs::write(path, content).expect("a file can be written");
    }
    folder
}

/// What `check` of the project, from a folder within it, writes in a format.
fn check(folder: &Path, format: &str) -> Output {
    let mut done = Command::new(env!("CARGO_BIN_EXE_ckdiff"))
        .args(["check", "--format", format])
        .current_dir(folder)
        .output()
        .expect("ckdiff starts");
    let said = String::from_utf8(std::mem::take(&mut done.stderr)).expect("UTF-8");
    assert_eq!(said, "ckdiff check: 4 contracts, 4 files: 3 do not hold; 1 finding accepted\n");
    done
}

#[test]
fn a_check_of_many_contracts_in_every_format() {
    let folder = project();
    for (file, format) in
        [("check.sarif", "sarif"), ("check.log", "github"), ("check.md", "markdown"), ("check.xml", "junit")]
    {
        holds(file, check(folder.path(), format), 2);
    }
}

/// Undoes the percent-encoding of a URI.
fn decoded(uri: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = uri.as_bytes();
    while let [first, more @ ..] = rest {
        if let (b'%', Some((digits, more))) = (first, more.split_at_checked(2)) {
            let digits = std::str::from_utf8(digits).expect("ASCII");
            bytes.push(u8::from_str_radix(digits, 16).expect("two hexadecimal digits"));
            rest = more;
        } else {
            bytes.push(*first);
            rest = more;
        }
    }
    String::from_utf8(bytes).expect("UTF-8")
}

#[test]
fn every_place_of_a_check_is_a_file_of_the_project_and_the_line_of_the_key_in_it() {
    let folder = project();
    let log: serde_json::Value = serde_json::from_slice(&check(folder.path(), "sarif").stdout).expect("JSON");
    let run = &log["runs"][0];
    assert_eq!(run["invocations"][0]["exitCode"], 2);
    let (mut files, mut lines, mut fingerprints) = (BTreeSet::new(), 0, BTreeSet::new());
    let results = run["results"].as_array().expect("a list");
    for result in results {
        assert!(fingerprints.insert(result["partialFingerprints"]["ckdiff/v1"].as_str()), "twice: {result}");
        let more = result["relatedLocations"].as_array().into_iter().flatten();
        for place in result["locations"].as_array().expect("a list").iter().chain(more) {
            let place = (&place["physicalLocation"], &place["logicalLocations"][0]["fullyQualifiedName"]);
            let uri = place.0["artifactLocation"]["uri"].as_str().expect("a URI");
            assert!(uri.is_ascii() && !uri.contains(' '), "{uri}");
            assert_eq!(place.0["artifactLocation"]["uriBaseId"], "%SRCROOT%");
            let path = decoded(uri);
            let content = fs::read(folder.path().join(&path)).unwrap_or_else(|e| panic!("{path}: {e}"));
            match (place.0["region"]["startLine"].as_u64(), place.1.as_str()) {
                (Some(line), key) => {
                    let text = String::from_utf8(content).expect("a list of keys is text");
                    let line = text.lines().nth(line as usize - 1).expect("the line is there");
                    assert!(key.is_none_or(|key| line.starts_with(&format!("  \"{key}\": "))), "{key:?}: {line}");
                    lines += 1;
                }
                (None, Some(key)) => assert!(path.ends_with(".safetensors"), "a key of {path} without its line: {key}"),
                (None, None) => assert_eq!(path, "weights/模型.pth"),
            }
            files.insert(path);
        }
    }
    let all: Vec<&str> = files.iter().map(String::as_str).collect();
    assert_eq!(
        all,
        [
            "ckdiff.toml",
            "models/classifier.json",
            "models/vue détaillée/expected.json",
            "weights/détecteur v1.safetensors",
            "weights/模型.pth"
        ]
    );
    assert!(lines > 10, "{lines} lines are named");
    let levels: BTreeSet<&str> = results.iter().map(|r| r["level"].as_str().expect("a level")).collect();
    assert_eq!(levels, BTreeSet::from(["error", "note", "warning"]));
    for rule in run["tool"]["driver"]["rules"].as_array().expect("a list") {
        assert!(rule["help"]["markdown"].as_str().is_some_and(|m| m.len() > 100), "{}", rule["id"]);
    }
}

#[test]
fn fingerprints_of_a_check_outlive_a_move_of_the_lines() {
    let folder = project();
    let prints = || -> Vec<String> {
        let log: serde_json::Value = serde_json::from_slice(&check(folder.path(), "sarif").stdout).expect("JSON");
        let results = log["runs"][0]["results"].as_array().expect("a list").clone();
        results.iter().map(|r| r["partialFingerprints"]["ckdiff/v1"].to_string()).collect()
    };
    let before = prints();
    let path = folder.path().join("models/vue détaillée/expected.json");
    let text = fs::read_to_string(&path).expect("it is there");
    fs::write(&path, text.replace("{\n  \"backbone.conv", "{\n\n\n  \"backbone.conv")).expect("writable");
    assert_eq!(prints(), before);
}

#[test]
fn a_check_from_a_folder_below_names_files_outside_of_it_whole() {
    let folder = project();
    let log: serde_json::Value =
        serde_json::from_slice(&check(&folder.path().join("weights"), "sarif").stdout).expect("JSON");
    let results = log["runs"][0]["results"].as_array().expect("a list").clone();
    let uris: BTreeSet<String> = results
        .iter()
        .map(|r| decoded(r["locations"][0]["physicalLocation"]["artifactLocation"]["uri"].as_str().expect("a URI")))
        .collect();
    assert!(uris.contains("模型.pth") && uris.contains("détecteur v1.safetensors"), "{uris:?}");
    let root = folder.path().canonicalize().expect("it is there");
    let whole = format!("file://{}/models/vue détaillée/expected.json", root.display());
    assert!(uris.contains(&whole), "{whole}: {uris:?}");
}

#[test]
fn an_inspected_file_in_every_format() {
    let file = "examples/01-backbone-prefix/retinanet_efficientvit_m4.pth";
    shows("inspect.sarif", &["inspect", file, "--format", "sarif"], 0);
    shows("inspect.log", &["inspect", file, "--format", "github"], 0);
    shows("inspect.md", &["inspect", file, "--format", "markdown"], 0);
    shows("inspect.xml", &["inspect", file, "--format", "junit"], 0);
}

#[test]
fn a_format_without_a_meaning_for_a_command_is_refused() {
    for (command, file) in [("snapshot", PAIR[0]), ("explain", "tests/logs/81.txt"), ("rules", "CK103")] {
        for format in ["sarif", "github", "markdown", "html", "junit"] {
            let done = ckdiff(&[command, file, "--format", format]);
            let told = String::from_utf8_lossy(&done.stderr).into_owned();
            assert_eq!(done.status.code(), Some(2), "{command} {format}");
            assert!(told.contains(&format!("--format {format} has no meaning for `{command}`")), "{told}");
            assert!(done.stdout.is_empty());
        }
    }
}
