//! Every console block of the documents shows what the program prints.
//!
//! `TRYCMD=overwrite cargo test --test stories` writes into them what it says now; look at the diff before committing
//! it. The blocks are those of trycmd (`$ command`, `? status`, output), which is not used here since it takes every
//! backslash for a path separator, and the regular expressions in these documents are to be copied.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// README.md and the stories of the examples.
fn documents() -> Vec<PathBuf> {
    let examples = fs::read_dir("examples").expect("examples is a folder");
    let mut found: Vec<PathBuf> = examples
        .map(|entry| entry.expect("an entry").path().join("README.md"))
        .filter(|path| path.exists())
        .chain([PathBuf::from("README.md")])
        .collect();
    found.sort();
    found
}

/// Runs `command` at the root of the repository; gives the lines that a block shows below it.
fn run(command: &str) -> String {
    let mut words = command.split_whitespace();
    assert_eq!(words.next(), Some("ckdiff"), "only ckdiff is run: {command}");
    let done = Command::new(env!("CARGO_BIN_EXE_ckdiff")).args(words).output().expect("ckdiff starts");
    let mut shown = String::new();
    let status = done.status.code().expect("ckdiff exits by itself");
    if status != 0 {
        writeln!(shown, "? {status}").expect("a String takes everything");
    }
    shown += &String::from_utf8(done.stdout).expect("output is UTF-8");
    shown += &String::from_utf8(done.stderr).expect("errors are UTF-8");
    shown
}

/// The document as it should be: every command of a console block run anew. Also counts them.
fn played(text: &str) -> (String, usize) {
    let (mut out, mut commands, mut console) = (String::new(), 0, false);
    for line in text.lines() {
        if console && line.starts_with("$ ") {
            // A blank line separates a command from the output before it.
            if !out.ends_with("```console\n") && !out.ends_with("\n\n") {
                out.push('\n');
            }
            out += &format!("{line}\n{}", run(&line[2..]));
            commands += 1;
        } else if !console || line.starts_with("```") {
            console = line == "```console";
            out += &format!("{line}\n");
        }
    }
    (out, commands)
}

#[test]
fn every_document_shows_what_the_program_prints() {
    let mut stale = String::new();
    for path in documents() {
        let text = fs::read_to_string(&path).expect("a document is readable");
        let (now, commands) = played(&text);
        if path != Path::new("README.md") {
            assert!(commands > 0, "{} runs nothing", path.display());
        }
        if now != text && std::env::var("TRYCMD").as_deref() == Ok("overwrite") {
            fs::write(&path, now).expect("a document is writable");
        } else if now != text {
            let diff = similar::TextDiff::from_lines(text.as_str(), now.as_str());
            write!(stale, "{}:\n{}", path.display(), diff.unified_diff()).expect("a String takes everything");
        }
    }
    assert!(stale.is_empty(), "not what the program prints now (TRYCMD=overwrite writes it):\n{stale}");
}

#[test]
fn a_block_is_played_line_by_line() {
    let (text, commands) = played("before\n```console\n$ ckdiff --version\nold\n```\nafter\n");
    assert_eq!(commands, 1);
    assert_eq!(
        text,
        format!("before\n```console\n$ ckdiff --version\nckdiff {}\n```\nafter\n", env!("CARGO_PKG_VERSION"))
    );
}
