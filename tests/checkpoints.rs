//! The small real files of `tests/checkpoints`, against what their writer says they hold.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use ckdiff::checkpoint::{Checkpoint, Trust};
use ckdiff::inspect::inspect;
use ckdiff::read::read;

/// What `make.py` says of one file.
#[derive(serde::Deserialize)]
struct Made {
    format: String,
    /// The worst of the imports: `none`, `known`, `unknown`, `dangerous`.
    imports: String,
    /// Whether `ckdiff inspect` must fail.
    fails: bool,
    /// Path, dtype, shape.
    tensors: Vec<(String, Option<String>, Option<Vec<u64>>)>,
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/checkpoints")
}

fn manifest() -> BTreeMap<String, Made> {
    let text = std::fs::read_to_string(folder().join("manifest.json")).expect("the manifest is there");
    serde_json::from_str(&text).expect("the manifest parses")
}

fn tensors(checkpoint: &Checkpoint) -> Vec<(String, Option<String>, Option<Vec<u64>>)> {
    let row = |t: &ckdiff::checkpoint::TensorInfo| {
        (t.path.to_string(), t.dtype.map(|d| d.name().to_owned()), t.shape.as_ref().map(|s| s.dims().to_vec()))
    };
    checkpoint.tensors.iter().map(row).collect()
}

#[test]
fn every_file_reads_as_its_writer_says() {
    let mut wrong = String::new();
    for (name, made) in manifest() {
        let checkpoint = match read(&folder().join(&name)) {
            Ok(checkpoint) => checkpoint,
            Err(why) => {
                wrong += &format!("{name}: {why}\n");
                continue;
            }
        };
        let worst = checkpoint.imports.iter().map(|i| i.trust).max();
        let imports = match worst {
            None => "none",
            Some(Trust::Known) => "known",
            Some(Trust::Unknown) => "unknown",
            Some(Trust::Dangerous) => "dangerous",
        };
        let found = (checkpoint.format.id(), imports, inspect(&checkpoint).fails());
        if found != (&*made.format, &*made.imports, made.fails) && !(imports == "none" && made.imports == "known") {
            wrong += &format!("{name}: {found:?} {:?} {:?}\n", checkpoint.remarks, checkpoint.imports);
        }
        if tensors(&checkpoint) != made.tensors {
            wrong += &format!("{name}: {:?}\n   wanted {:?}\n", tensors(&checkpoint), made.tensors);
        }
        assert!(checkpoint.complete, "{name}");
    }
    assert!(wrong.is_empty(), "{wrong}");
}

#[test]
fn every_file_of_the_folder_is_in_the_manifest_and_the_folder_stays_small() {
    let manifest = manifest();
    let mut bytes = 0;
    for entry in std::fs::read_dir(folder()).expect("the folder can be listed").flatten() {
        let name = entry.file_name().into_string().expect("names are text");
        let kind = entry.file_type().expect("it has a type");
        bytes += if kind.is_file() { entry.metadata().expect("it has a size").len() } else { 0 };
        assert!(
            ["make.py", "manifest.json"].contains(&&*name) || manifest.contains_key(&name),
            "{name} is not in the manifest: run make.py"
        );
    }
    assert!(bytes < 300_000, "{bytes} bytes of fixtures");
}

/// `_NormBase._load_from_state_dict` makes a counter that is not there unless the state_dict says that it should be.
#[test]
fn a_missing_batch_counter_is_an_error_only_where_the_file_says_that_it_has_counters() {
    for (name, container, version, severity) in [
        ("zip_protocol2.pt", "", Some(2), "error"),
        ("legacy_protocol4.pt", "", Some(2), "error"),
        ("zip_training.pt", "state_dict", Some(1), "note"),
        ("zip_views.pt", "", None, "note"),
    ] {
        let file = folder().join(name);
        let checkpoint = read(&file).expect("the file is sound");
        let found = checkpoint.containers.iter().find(|c| *c.name == *container).expect("the container is there");
        assert_eq!(found.version, version, "{name}");
        let below = |path: &str| path.strip_prefix(container).map(|p| p.trim_start_matches('.').to_owned());
        let mut wanted: serde_json::Map<String, serde_json::Value> = checkpoint
            .tensors
            .iter()
            .filter_map(|t| Some((below(&t.path)?, serde_json::json!(t.shape.as_ref()?.dims()))))
            .collect();
        wanted.insert("extra.num_batches_tracked".into(), serde_json::json!([]));
        let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("counted-{name}.json"));
        std::fs::write(&target, serde_json::Value::from(wanted).to_string())
            .expect("the folder of tests can be written");
        let done = std::process::Command::new(env!("CARGO_BIN_EXE_ckdiff"))
            .args([&file, &target])
            .args(["--format", "json", "--container", container])
            .output()
            .expect("ckdiff starts");
        let report: serde_json::Value = serde_json::from_slice(&done.stdout).expect("output is JSON");
        let findings = report["findings"].as_array().expect("a list of findings");
        let counter = findings.iter().find(|f| f["code"] == "CK402").unwrap_or_else(|| panic!("{name}: {report}"));
        assert_eq!(counter["severity"], severity, "{name}: {counter}");
    }
}
