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
