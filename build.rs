//! Embeds every file under `rules/` and every page under `src/codes/` into the binary.
//!
//! A build script and not an `include_dir!` macro, since only `rerun-if-changed` on the folder notices a *new* file.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs};

fn main() {
    let root = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets CARGO_MANIFEST_DIR"));
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    embed(&root.join("rules"), "toml", &out.join("rules.rs"));
    embed(&root.join("src/codes"), "md", &out.join("codes.rs"));
}

/// Writes a slice literal of `(id, text)` pairs for every file with `suffix` below `folder`; id = path without suffix.
fn embed(folder: &Path, suffix: &str, out: &Path) {
    println!("cargo:rerun-if-changed={}", folder.display());
    let mut files = Vec::new();
    collect(folder, suffix, &mut files);
    files.sort();
    let mut text = String::from("&[\n");
    for file in files {
        let id = file.strip_prefix(folder).expect("below the folder").with_extension("");
        let id = id.to_string_lossy().replace('\\', "/");
        writeln!(text, "    ({id:?}, include_str!({:?})),", file.display().to_string()).expect("writing to a string");
    }
    text.push_str("]\n");
    fs::write(out, text).unwrap_or_else(|e| panic!("cannot write {}: {e}", out.display()));
}

fn collect(folder: &Path, suffix: &str, files: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let path = entry.path();
        if path.is_dir() {
            println!("cargo:rerun-if-changed={}", path.display());
            collect(&path, suffix, files);
        } else if path.extension().is_some_and(|e| e == suffix) {
            println!("cargo:rerun-if-changed={}", path.display());
            files.push(path);
        }
    }
}
