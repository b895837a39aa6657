//! Real error texts: the first cause that is told must be the one that was found in the thread.
//!
//! `causes.json` says which codes and rules stand for each cause of the manifest. `tests/logs/README.md` is the outcome as a
//! table; `UPDATE=1 cargo test --test log_causes` writes it anew. `CKDIFF_LOGS=FOLDER` runs the same over another folder.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;

/// What stands above the table.
const HEAD: &str = "# Real error texts\n
Texts as people posted them, with the cause that the thread found (`manifest.json` holds the address of each) and the first
cause that `ckdiff explain` tells. Written by `UPDATE=1 cargo test --test log_causes`.\n
| text | cause found in the thread | expected | first told |\n|---|---|---|---|\n";

fn folder() -> PathBuf {
    std::env::var_os("CKDIFF_LOGS")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/logs"), Into::into)
}

fn read(name: &str) -> Value {
    let text = fs::read_to_string(folder().join(name)).unwrap_or_else(|e| panic!("{name}: {e}"));
    serde_json::from_str(&text).unwrap_or_else(|e| panic!("{name}: {e}"))
}

/// What `ckdiff explain` prints of a log, in the given format.
fn explain(file: &str, format: &str) -> String {
    let done = Command::new(env!("CARGO_BIN_EXE_ckdiff"))
        .arg("explain")
        .arg(folder().join(file))
        .args(["--format", format, "--color", "never"])
        .output()
        .expect("ckdiff starts");
    assert!(done.stderr.is_empty(), "{file}: {}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8(done.stdout).expect("output is UTF-8")
}

fn words(value: &Value) -> Vec<&str> {
    value.as_array().expect("a list").iter().map(|w| w.as_str().expect("a word")).collect()
}

/// Whether a finding is the cause: its code and rule are listed, and it says all the words.
fn is_cause(finding: &Value, cause: &Value) -> bool {
    let text = |field: &str| finding[field].as_str().unwrap_or("");
    let listed = words(&cause["first"]).into_iter().any(|known| {
        let (code, rule) = known.split_once(' ').unwrap_or((known, ""));
        code == text("code") && rule == text("rule")
    });
    let said = format!("{}; {}", text("message"), text("help"));
    listed && words(&cause["says"]).into_iter().all(|word| said.contains(word))
}

#[test]
fn the_first_cause_of_every_real_log_is_the_one_that_was_found() {
    let causes: BTreeMap<String, Value> =
        serde_json::from_value(read("causes.json")).expect("causes.json is an object");
    let (mut table, mut wrong) = (HEAD.to_owned(), Vec::new());
    for case in read("manifest.json").as_array().expect("a list of cases") {
        let file = case["file"].as_str().expect("a case has a file");
        let category = case["category"].as_str().expect("a case has a category");
        let cause = causes.get(category).unwrap_or_else(|| panic!("causes.json lacks {category:?}"));
        let report: Value = serde_json::from_str(&explain(file, "json")).expect("output is JSON");
        let first = &report["findings"][0];
        let text = |field: &str| first[field].as_str().unwrap_or("").to_owned();
        let line = format!(
            "| [{file}]({}) | {} | {} | {} {}: {} |\n",
            case["url"].as_str().unwrap_or(file),
            case["diagnosis"].as_str().unwrap_or(category).replace('|', "\\|"),
            words(&cause["first"]).join(", "),
            text("code"),
            text("rule"),
            text("message").replace('|', "\\|"),
        );
        if !is_cause(first, cause) {
            wrong.push(line.clone());
        }
        table += &line;
    }
    assert!(wrong.is_empty(), "{} first causes are wrong:\n{}", wrong.len(), wrong.concat());
    if std::env::var_os("CKDIFF_LOGS").is_some() {
        return;
    }
    let page = folder().join("README.md");
    if std::env::var_os("UPDATE").is_some() {
        fs::write(&page, &table).expect("tests can be written");
    }
    let known = fs::read_to_string(&page).unwrap_or_default();
    assert!(known == table, "tests/logs/README.md is not what is told now: UPDATE=1 cargo test --test log_causes");
}

/// Texts that libraries print, each written for one situation (`more.json` says which library, and where people met it).
#[test]
fn the_first_cause_of_every_other_text_is_the_one_it_was_written_for() {
    if std::env::var_os("CKDIFF_LOGS").is_some() {
        return;
    }
    let cases = read("more.json");
    let cases = cases.as_array().expect("a list of cases");
    assert!(cases.len() >= 60);
    let mut wrong = String::new();
    for case in cases {
        let file = case["file"].as_str().expect("a case has a file");
        let report: Value = serde_json::from_str(&explain(file, "json")).expect("output is JSON");
        let first = &report["findings"][0];
        if !is_cause(first, case) {
            wrong += &format!("{file}: {} {}: {}\n", first["code"], first["rule"], first["message"]);
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

#[test]
fn every_log_is_explained_in_under_fifteen_lines() {
    let mut cases = read("manifest.json").as_array().expect("a list of cases").clone();
    if std::env::var_os("CKDIFF_LOGS").is_none() {
        cases.extend(read("more.json").as_array().expect("a list of cases").iter().cloned());
    }
    for case in cases {
        let file = case["file"].as_str().expect("a case has a file");
        let text = explain(file, "text");
        assert!(text.lines().count() < 15, "{file}: {} lines\n{text}", text.lines().count());
    }
}
