//! What `--emit burn` prints, used as Burn uses it: each pattern in turn, on what the ones before have made of the name
//! (`KeyRemapper::remap` of burn-store). `CKDIFF_PAIRS=FOLDER` does it with other pairs.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use ckdiff::align::{How, align};
use ckdiff::checkpoint::StateDict;
use ckdiff::report::emit::{Form, Plan, write};
use ckdiff::rules::RuleSet;
use regex::Regex;

#[path = "support/pairs.rs"]
mod pairs;

fn files() -> Vec<PathBuf> {
    let own = || Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/pairs");
    let folder = std::env::var_os("CKDIFF_PAIRS").map_or_else(own, Into::into);
    let entries = std::fs::read_dir(folder).expect("the folder of pairs is there").flatten();
    let pair = |p: &PathBuf| p.extension().is_some_and(|e| e == "json" || e == "gz");
    let mut out: Vec<PathBuf> = entries.map(|e| e.path()).filter(pair).collect();
    out.sort();
    out
}

/// A string literal of Rust at the beginning of `code`, raw or not, and what follows it.
fn literal(code: &str) -> (String, &str) {
    if let Some(raw) = code.strip_prefix("r\"") {
        let (inner, rest) = raw.split_once('"').expect("a raw literal ends");
        return (inner.to_owned(), rest);
    }
    let mut inner = String::new();
    let mut chars = code.strip_prefix('"').expect("a literal begins").char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return (inner, &code[at + 2..]),
            '\\' => match chars.next().expect("an escape has a letter").1 {
                'n' => inner.push('\n'),
                escaped @ ('\\' | '"' | '\'') => inner.push(escaped),
                other => panic!("no escape of Rust is expected here: {other}"),
            },
            c => inner.push(c),
        }
    }
    panic!("a literal ends: {code}");
}

/// The arguments of every `.with_key_remapping(…, …)` of the snippet, compiled.
fn remapper(snippet: &str) -> Vec<(Regex, String)> {
    let calls = snippet.split(".with_key_remapping(").skip(1);
    let pair = |call: &str| {
        let (pattern, rest) = literal(call);
        let (replacement, rest) = literal(rest.strip_prefix(", ").expect("two arguments"));
        assert!(rest.starts_with(')'), "{rest}");
        (Regex::new(&pattern).unwrap_or_else(|e| panic!("{pattern} does not compile: {e}")), replacement)
    };
    calls.map(pair).collect()
}

/// What Burn makes of a name.
fn remap(name: &str, patterns: &[(Regex, String)]) -> String {
    let mut name = name.to_owned();
    for (pattern, replacement) in patterns {
        if pattern.is_match(&name) {
            name = pattern.replace_all(&name, replacement.as_str()).to_string();
        }
    }
    name
}

#[test]
fn the_patterns_compile_and_give_every_tensor_the_name_that_is_wanted() {
    let rules = RuleSet::embedded();
    let (mut checked, mut renamed) = (0, 0);
    for path in files() {
        let pair = pairs::load(&path);
        let (a, b) = (pairs::checkpoint(&pair.source), pairs::checkpoint(&pair.target));
        let (source, target) = (StateDict::below(&a, 0), StateDict::below(&b, 0));
        let alignment = align(&source, &target, &rules);
        let mut snippet = Vec::new();
        write(Form::Burn, &Plan::new(&source, &target, &alignment, &rules), &mut snippet).expect("memory takes it");
        let patterns = remapper(std::str::from_utf8(&snippet).expect("a snippet is UTF-8"));

        let mut wanted: BTreeMap<&str, &str> = BTreeMap::new();
        for m in &alignment.matches {
            let one = matches!(m.how, How::Identical | How::Renamed | How::Transposed | How::Reshaped);
            if let ([only], true) = (m.source.as_slice(), one) {
                // A source that fills several targets can be given one name alone.
                let given = source.entries[*only as usize].key.as_str();
                wanted.entry(given).or_insert(target.entries[m.target as usize].key.as_str());
            }
        }
        let taken: BTreeSet<&str> = wanted.values().copied().collect();
        for entry in &source.entries {
            let (given, now) = (entry.key.as_str(), remap(entry.key.as_str(), &patterns));
            match wanted.get(given) {
                Some(name) => {
                    let several = alignment
                        .matches
                        .iter()
                        .filter(|m| m.source.iter().any(|&s| source.entries[s as usize].key.as_str() == given));
                    let names: BTreeSet<&str> =
                        several.map(|m| target.entries[m.target as usize].key.as_str()).collect();
                    assert!(names.contains(now.as_str()), "{}: {given} becomes {now} and not {name}", pair.name);
                    renamed += usize::from(now != given);
                }
                None => {
                    assert!(!taken.contains(now.as_str()), "{}: {given}, which is unused, becomes {now}", pair.name)
                }
            }
            checked += 1;
        }
    }
    assert!(checked > 1000 && renamed > 500, "{checked} names, {renamed} of them renamed");
}
