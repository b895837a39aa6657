//! What each format for review tools writes, as committed under `tests/formats`.
//!
//! `TRYCMD=overwrite cargo test --test formats` writes what the program says now; look at the diff before committing it.

use std::path::Path;
use std::process::{Command, Output};

/// A pair with an error, a warning and a note, and a list of keys that holds.
const PAIR: [&str; 2] = ["tests/formats/checkpoint.json", "tests/formats/expected.json"];

fn ckdiff(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_ckdiff")).args(arguments).output().expect("ckdiff starts")
}

/// Compares standard output with the committed file.
fn shows(file: &str, arguments: &[&str], status: i32) {
    let done = ckdiff(arguments);
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
fn an_inspected_file_in_every_format() {
    let file = "examples/01-backbone-prefix/retinanet_efficientvit_m4.pth";
    shows("inspect.sarif", &["inspect", file, "--format", "sarif"], 0);
    shows("inspect.log", &["inspect", file, "--format", "github"], 0);
    shows("inspect.md", &["inspect", file, "--format", "markdown"], 0);
}

#[test]
fn a_format_without_a_meaning_for_a_command_is_refused() {
    for (command, file) in [("snapshot", PAIR[0]), ("explain", "tests/logs/81.txt"), ("rules", "CK103")] {
        for format in ["sarif", "github", "markdown", "html"] {
            let done = ckdiff(&[command, file, "--format", format]);
            let told = String::from_utf8_lossy(&done.stderr).into_owned();
            assert_eq!(done.status.code(), Some(2), "{command} {format}");
            assert!(told.contains(&format!("--format {format} has no meaning for `{command}`")), "{told}");
            assert!(done.stdout.is_empty());
        }
    }
}
