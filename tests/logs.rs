//! Real error texts: what the parser reads must be exactly what stands in them.
//!
//! `CKDIFF_LOGS=FOLDER` runs the same over another folder with a `manifest.json`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;

use ckdiff::read::log;
use ckdiff::rules::RuleSet;
use serde_json::Value;

fn folder() -> PathBuf {
    std::env::var_os("CKDIFF_LOGS")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/logs"), Into::into)
}

fn cases() -> Vec<(String, Value, Vec<u8>)> {
    let manifest = fs::read_to_string(folder().join("manifest.json")).unwrap();
    let manifest: Vec<Value> = serde_json::from_str(&manifest).unwrap();
    assert!(manifest.len() > 10);
    manifest
        .into_iter()
        .map(|case| {
            let file = case["file"].as_str().unwrap().to_owned();
            let text = fs::read(folder().join(&file)).unwrap();
            (file, case, text)
        })
        .collect()
}

fn names(case: &Value, field: &str) -> Option<BTreeSet<String>> {
    Some(case.get(field)?.as_array()?.iter().filter_map(|k| Some(k.as_str()?.to_owned())).collect())
}

#[test]
fn every_real_log_gives_exactly_the_keys_that_stand_in_it() {
    let rules = RuleSet::embedded();
    let mut wrong = Vec::new();
    for (file, case, bytes) in cases() {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        // A terminal may have broken a key.
        let solid: String = text.split_whitespace().collect();
        let report = log::parse(&bytes, &rules);
        for (field, read) in [("missing", &report.missing_keys), ("unexpected", &report.unexpected_keys)] {
            let Some(mut wanted) = names(&case, field) else { continue };
            // Texts that were cut short hold only some of the keys that the diagnosis knows.
            wanted.retain(|k| {
                solid.contains(&format!("{k}\""))
                    || solid.contains(&format!("{k}'"))
                    || solid.contains(&format!("{k},"))
                    || solid.contains(k.as_str()) && !report.truncated
            });
            let read: BTreeSet<String> = read.iter().cloned().collect();
            if wanted != read {
                let lost: Vec<_> = wanted.difference(&read).take(3).collect();
                let made_up: Vec<_> = read.difference(&wanted).take(3).collect();
                wrong.push(format!("{file} {field}: lost {lost:?}, made up {made_up:?}"));
            }
        }
        if let Some(wanted) = case.get("mismatch").and_then(Value::as_object) {
            let dims = |s: &Value| s.as_array().unwrap().iter().map(|d| d.as_u64().unwrap()).collect::<Vec<u64>>();
            let wanted: BTreeMap<_, _> = wanted.iter().map(|(k, v)| (k.clone(), (dims(&v[0]), dims(&v[1])))).collect();
            let read: BTreeMap<_, _> = report
                .size_mismatches
                .iter()
                .map(|m| (m.key.clone(), (m.source.dims().to_vec(), m.target.dims().to_vec())))
                .collect();
            if wanted != read {
                wrong.push(format!("{file} mismatch: {} wanted, {} read", wanted.len(), read.len()));
            }
        }
        if let Some(class) = case["model_class"].as_str() {
            let said = solid.contains(class);
            if said && report.model_class.as_deref() != Some(class) {
                wrong.push(format!("{file} model_class: {:?} for {class}", report.model_class));
            }
        }
        if report.is_empty() {
            wrong.push(format!("{file}: nothing recognised"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The texts of `more.json` that say what stands in them, or to which other text they come down (`same_as`).
#[test]
fn every_other_text_gives_exactly_the_keys_that_stand_in_it() {
    if std::env::var_os("CKDIFF_LOGS").is_some() {
        return;
    }
    let rules = RuleSet::embedded();
    let read = |file: &str| {
        let bytes = fs::read(folder().join(file)).unwrap_or_else(|e| panic!("{file}: {e}"));
        log::parse(&bytes, &rules)
    };
    let cases: Vec<Value> = serde_json::from_str(&fs::read_to_string(folder().join("more.json")).unwrap()).unwrap();
    let (mut wrong, mut checked) = (Vec::new(), 0);
    for case in &cases {
        let file = case["file"].as_str().unwrap();
        let report = read(file);
        let mut differ = |field: &str, what: String| wrong.push(format!("{file} {field}: {what}"));
        if let Some(other) = case["same_as"].as_str() {
            checked += 1;
            let other = read(other);
            let same = (&report.missing_keys, &report.unexpected_keys, &report.size_mismatches, &report.kind)
                == (&other.missing_keys, &other.unexpected_keys, &other.size_mismatches, &other.kind);
            if !same || report.model_class != other.model_class {
                differ(
                    "same_as",
                    format!("{} missing, {} unexpected", report.missing_keys.len(), report.unexpected_keys.len()),
                );
            }
            continue;
        }
        for (field, keys) in [("missing", &report.missing_keys), ("unexpected", &report.unexpected_keys)] {
            let Some(wanted) = names(case, field) else { continue };
            checked += 1;
            let keys: BTreeSet<String> = keys.iter().cloned().collect();
            if wanted != keys {
                let lost: Vec<_> = wanted.difference(&keys).take(3).collect();
                let made_up: Vec<_> = keys.difference(&wanted).take(3).collect();
                differ(field, format!("lost {lost:?}, made up {made_up:?}"));
            }
        }
        if let Some(wanted) = case["mismatch"].as_object() {
            let read: BTreeMap<&str, Value> = report
                .size_mismatches
                .iter()
                .map(|m| (m.key.as_str(), serde_json::json!([m.source.dims(), m.target.dims()])))
                .collect();
            let wanted: BTreeMap<&str, Value> = wanted.iter().map(|(k, v)| (k.as_str(), v.clone())).collect();
            if read != wanted {
                differ("mismatch", format!("{read:?}"));
            }
        }
        for (field, value) in [("model_class", report.model_class.as_deref()), ("kind", Some(report.kind.as_str()))] {
            if let Some(wanted) = case[field].as_str()
                && value != Some(wanted)
            {
                differ(field, format!("{value:?} for {wanted}"));
            }
        }
    }
    assert!(checked > 200, "{checked}");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_rule_of_error_texts_hears_its_examples_and_not_its_counterexamples() {
    let rules = RuleSet::embedded();
    for about in rules.about.iter().filter(|a| a.id.starts_with("texts/")) {
        assert!(
            !about.examples.is_empty() && !about.counterexamples.is_empty(),
            "{} needs both kinds of example",
            about.id
        );
        let heard = |log: &str| -> Option<String> {
            let report = log::parse(log.as_bytes(), &rules);
            let mine = |said: &&log::Said| rules.sayings[said.saying].rule == about.id;
            report.said.iter().find(mine).map(|said| rules.sayings[said.saying].message(&said.words))
        };
        for example in &about.examples {
            let message = heard(&example.log);
            assert!(
                message.as_ref().is_some_and(|m| m.contains(&example.says)),
                "{}: {message:?} for {:?}",
                about.id,
                example.log
            );
        }
        for example in &about.counterexamples {
            assert_eq!(heard(&example.log), None, "{}: {:?}", about.id, example.log);
        }
    }
}

/// The same text as it arrives from elsewhere.
fn surroundings(text: &str) -> Vec<(&'static str, Vec<u8>)> {
    let each = |f: &dyn Fn(&str) -> String| text.lines().map(f).collect::<Vec<_>>().join("\n");
    let broken = |width: usize| {
        each(&|line| {
            let chars: Vec<char> = line.replace('\t', "        ").chars().collect();
            chars.chunks(width).map(|c| c.iter().collect::<String>()).collect::<Vec<_>>().join("\n")
        })
    };
    let lines: Vec<String> = text.lines().map(|l| format!("{l}\n")).collect();
    let notebook = serde_json::json!({"cells": [{"cell_type": "code", "source": ["x"], "outputs": [
        {"output_type": "stream", "name": "stderr", "text": lines}]}], "nbformat": 4});
    let traceback = serde_json::json!({"cells": [{"outputs": [
        {"output_type": "error", "ename": "E", "evalue": "v", "traceback": [text]}]}]});
    let mut wide: Vec<u8> = vec![0xff, 0xfe];
    wide.extend(text.encode_utf16().flat_map(u16::to_le_bytes));
    vec![
        ("windows line ends", text.replace('\n', "\r\n").into_bytes()),
        ("colours", each(&|l| format!("\u{1b}[31m{l}\u{1b}[0m")).into_bytes()),
        ("torchrun", each(&|l| format!("[rank0]:[rank0]: {l}")).into_bytes()),
        ("ray", each(&|l| format!("(train_fn pid=4711, ip=10.0.0.3) {l}")).into_bytes()),
        ("pytest", each(&|l| format!("E       {l}")).into_bytes()),
        ("hosted runner", each(&|l| format!("2024-05-06T07:08:09.1234567Z {l}")).into_bytes()),
        ("quoted", each(&|l| format!("> {l}")).into_bytes()),
        ("box", each(&|l| format!("│ {l} │")).into_bytes()),
        ("terminal of 80 columns", broken(80).into_bytes()),
        ("terminal of 137 columns", broken(137).into_bytes()),
        ("notebook stream", serde_json::to_vec_pretty(&notebook).unwrap()),
        ("notebook traceback", serde_json::to_vec(&traceback).unwrap()),
        (
            "half a notebook",
            serde_json::to_string_pretty(&notebook).unwrap().replace("\"cells\"", "\"cell").into_bytes(),
        ),
        ("json line", format!("{}\n", serde_json::json!({"log": text, "stream": "stderr"})).into_bytes()),
        ("utf-16", wide),
        ("twice", format!("{text}\n{text}").into_bytes()),
    ]
}

#[test]
fn the_same_is_read_in_whatever_surroundings_a_text_arrives() {
    let rules = RuleSet::embedded();
    let mut wrong = Vec::new();
    for (file, _, bytes) in cases() {
        let plain = log::parse(&bytes, &rules);
        for (what, bytes) in surroundings(&String::from_utf8(bytes).unwrap()) {
            let read = log::parse(&bytes, &rules);
            let same = |a: &[String], b: &[String]| a == b;
            if !same(&plain.missing_keys, &read.missing_keys) || !same(&plain.unexpected_keys, &read.unexpected_keys) {
                let odd = |a: &[String], b: &[String]| {
                    a.iter().filter(|k| !b.contains(k)).take(2).cloned().collect::<Vec<_>>()
                };
                wrong.push(format!(
                    "{file}, {what}: lost {:?} {:?}, made up {:?} {:?}",
                    odd(&plain.missing_keys, &read.missing_keys),
                    odd(&plain.unexpected_keys, &read.unexpected_keys),
                    odd(&read.missing_keys, &plain.missing_keys),
                    odd(&read.unexpected_keys, &plain.unexpected_keys),
                ));
            }
            if plain.size_mismatches != read.size_mismatches {
                wrong.push(format!(
                    "{file}, {what}: {} of {} mismatches",
                    read.size_mismatches.len(),
                    plain.size_mismatches.len()
                ));
            }
            if plain.model_class != read.model_class || plain.said != read.said {
                wrong.push(format!("{file}, {what}: {:?} {:?}", read.model_class, read.said));
            }
            if plain.key_errors.len() != read.key_errors.len() {
                wrong.push(format!("{file}, {what}: {:?}", read.key_errors));
            }
        }
    }
    assert!(wrong.is_empty(), "{} cases:\n{}", wrong.len(), wrong.join("\n"));
}
