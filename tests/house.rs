//! The order of the house: which part of the source may know which.

use std::fs;
use std::path::{Path, PathBuf};

/// The stages in the order of the flow. A module may use those before it, never one behind it.
const STAGES: &[&str] = &[
    "checkpoint",
    "codes",
    "rules",
    "read",
    "payload",
    "align",
    "compare",
    "explain",
    "judge",
    "config",
    "inspect",
    "convert",
    "values",
    "report",
    "cli",
    "run",
];

fn source_files() -> Vec<PathBuf> {
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src")];
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("src can be listed").map(|e| e.expect("src can be listed").path()) {
            if entry.is_dir() {
                folders.push(entry);
            } else if entry.extension().is_some_and(|e| e == "rs") {
                files.push(entry);
            }
        }
    }
    files.sort();
    files
}

/// The stage a file belongs to: `align` of `src/align/prefixes.rs`; `None` for `lib.rs` and `main.rs`.
fn stage(file: &Path) -> Option<String> {
    let below = file.strip_prefix(Path::new(env!("CARGO_MANIFEST_DIR")).join("src")).expect("below src");
    let first = below.components().next()?.as_os_str().to_string_lossy().into_owned();
    let name = first.strip_suffix(".rs").unwrap_or(&first).to_owned();
    (name != "lib" && name != "main").then_some(name)
}

/// The part of a file that ships: unit tests may look ahead to show what a value is for.
fn shipped(text: &str) -> &str {
    text.split("#[cfg(test)]\nmod tests").next().unwrap_or(text)
}

#[test]
fn no_stage_imports_a_later_one() {
    let rank = |name: &str| STAGES.iter().position(|s| *s == name);
    let mut wrong = Vec::new();
    for file in source_files() {
        let Some(own) = stage(&file) else { continue };
        let own_rank = rank(&own).unwrap_or_else(|| panic!("give the module {own} its place in STAGES"));
        let text = fs::read_to_string(&file).expect("source is UTF-8");
        for (number, line) in shipped(&text).lines().enumerate() {
            if line.trim_start().starts_with("//") {
                continue; // A doc comment may point ahead.
            }
            for used in line.split("crate::").skip(1) {
                let used: String = used.chars().take_while(|c| c.is_ascii_lowercase() || *c == '_').collect();
                if rank(&used).is_some_and(|r| r > own_rank) {
                    wrong.push(format!("{}:{}: {own} uses {used}", file.display(), number + 1));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "the flow is one-way:\n{}", wrong.join("\n"));
}

#[test]
fn no_source_file_grows_beyond_what_one_reads_at_a_sitting() {
    let long: Vec<String> = source_files()
        .into_iter()
        .map(|f| (fs::read_to_string(&f).expect("source is UTF-8").lines().count(), f))
        .filter(|(lines, _)| *lines > 450)
        .map(|(lines, f)| format!("{}: {lines} lines", f.display()))
        .collect();
    assert!(long.is_empty(), "split these:\n{}", long.join("\n"));
}

#[test]
fn only_the_binary_prints() {
    for file in source_files() {
        let text = fs::read_to_string(&file).expect("source is UTF-8");
        for word in ["println!", "print!(", "eprintln!", "eprint!(", "dbg!(", "allow(clippy::print_st"] {
            let printed = shipped(&text).lines().any(|l| !l.trim_start().starts_with("//") && l.contains(word));
            assert!(!printed, "{} has {word}", file.display());
        }
    }
}
