//! Digests made by a process for each shard are those of the whole checkpoint.

use std::path::{Path, PathBuf};
use std::process::{Child, Command};

const SHARDS: [&str; 2] = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"];

fn example(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/08-digests").join(name)
}

fn ckdiff() -> Command {
    Command::new(env!("CARGO_BIN_EXE_ckdiff"))
}

fn succeeds(mut child: Child) {
    assert!(child.wait().expect("it ends").success());
}

#[test]
fn two_processes_and_a_merge_give_what_the_example_shows() {
    let folder = tempfile::tempdir().unwrap();
    let parts: Vec<PathBuf> = (1..=2).map(|n| folder.path().join(format!("{n}.json"))).collect();
    let jobs: Vec<Child> = SHARDS
        .iter()
        .zip(&parts)
        .map(|(shard, part)| {
            ckdiff().arg("snapshot").arg(example(shard)).args(["--digest", "-o"]).arg(part).spawn().unwrap()
        })
        .collect();
    jobs.into_iter().for_each(succeeds);
    let merged = folder.path().join("model.json");
    succeeds(ckdiff().arg("snapshot").args(&parts).arg("-o").arg(&merged).spawn().unwrap());
    let text = |path: &Path| std::fs::read_to_string(path).unwrap();
    assert_eq!(text(&merged), text(&example("model.json")));
    // Keys that two files have are refused: the order of arguments must not decide.
    let twice = ckdiff().arg("snapshot").args([&parts[0], &merged]).output().unwrap();
    assert_eq!(twice.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&twice.stderr).contains("is in"));
}

#[cfg(unix)]
#[test]
fn the_script_of_the_example_does_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("model.json");
    let mut script = Command::new(example("digests.sh"));
    script.env("CKDIFF", env!("CARGO_BIN_EXE_ckdiff")).arg(&out).args(SHARDS.map(example));
    succeeds(script.spawn().unwrap());
    assert_eq!(std::fs::read_to_string(out).unwrap(), std::fs::read_to_string(example("model.json")).unwrap());
}

#[test]
fn digests_tell_a_changed_tensor_without_the_data() {
    let run = |a: &str, b: &str| {
        let done =
            ckdiff().args([example(a), example(b)]).args(["--values=exact", "--format", "json"]).output().unwrap();
        let json: serde_json::Value = serde_json::from_slice(&done.stdout).unwrap();
        (done.status.code(), json["values_summary"]["identical"].as_u64(), json["values_summary"]["changed"].as_u64())
    };
    assert_eq!(run("model.json", "model.json"), (Some(0), Some(14), Some(0)));
    assert_eq!(run("model.json", "other.json"), (Some(1), Some(12), Some(2)));
    assert_eq!(run("model-00001-of-00002.safetensors", "part-1.json"), (Some(0), Some(7), Some(0)));
    assert_eq!(run("other-00002-of-00002.safetensors", "part-2.json"), (Some(1), Some(5), Some(2)));
}
