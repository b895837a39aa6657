//! Real conversions, read off the real converters: what is claimed is true, and what is true is found.
//!
//! Each file of `tests/pairs/` names its origin. The report beside it is what a person sees; `TRYCMD=overwrite cargo test --test pairs`
//! writes it anew.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use ckdiff::align::{Alignment, align};
use ckdiff::checkpoint::StateDict;
use ckdiff::compare::compare;
use ckdiff::explain::explain;
use ckdiff::judge::{Evidence, Level, judge};
use ckdiff::report::style::Style;
use ckdiff::report::text;
use ckdiff::rules::RuleSet;

#[path = "support/pairs.rs"]
mod pairs;

fn files() -> Vec<PathBuf> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/pairs");
    let mut out: Vec<PathBuf> = std::fs::read_dir(folder)
        .expect("the folder of pairs is there")
        .flatten()
        .map(|e| e.path())
        .filter(|p| p.extension().is_some_and(|e| e == "json"))
        .collect();
    out.sort();
    assert!(out.len() > 10);
    out
}

/// For each target key the source keys it is said to come from.
fn said(found: &Alignment, source: &StateDict<'_>, target: &StateDict<'_>) -> BTreeMap<String, BTreeSet<String>> {
    let key = |side: &StateDict<'_>, i: u32| side.entries[i as usize].key.to_string();
    found.matches.iter().map(|m| (key(target, m.target), m.source.iter().map(|&s| key(source, s)).collect())).collect()
}

#[test]
fn every_claim_is_true_and_every_truth_is_found_or_named_as_one_of_several() {
    let rules = RuleSet::embedded();
    for path in files() {
        let pair = pairs::load(&path);
        let (a, b) = (pairs::checkpoint(&pair.source), pairs::checkpoint(&pair.target));
        let (source, target) = (StateDict::below(&a, 0), StateDict::below(&b, 0));
        let found = align(&source, &target, &rules);
        let mut claims = said(&found, &source, &target);
        for truth in &pair.truth {
            let sources: BTreeSet<String> = truth.source.iter().cloned().collect();
            match claims.remove(&truth.target) {
                Some(claimed) => assert_eq!(claimed, sources, "{}: {}", pair.name, truth.target),
                None => assert!(
                    pair.ambiguous_twins
                        && found.ambiguous.iter().any(|g| {
                            let has = |side: &StateDict<'_>, list: &[u32], key: &str| {
                                list.iter().any(|&i| side.entries[i as usize].key.as_str() == key)
                            };
                            has(&target, &g.target, &truth.target) && sources.iter().all(|s| has(&source, &g.source, s))
                        }),
                    "{}: {} was not found",
                    pair.name,
                    truth.target
                ),
            }
        }
        assert!(claims.is_empty(), "{}: nothing makes {:?}", pair.name, claims.keys().next());
    }
}

#[test]
fn the_report_of_each_pair_is_the_one_beside_it() {
    let rules = RuleSet::embedded();
    let mut stale = Vec::new();
    for path in files() {
        let pair = pairs::load(&path);
        let (a, b) = (pairs::checkpoint(&pair.source), pairs::checkpoint(&pair.target));
        let (source, target) = (StateDict::below(&a, 0), StateDict::below(&b, 0));
        let alignment = align(&source, &target, &rules);
        let differences = compare(&source, &target, &alignment);
        let findings = explain(&source, &target, &alignment, &differences, &rules);
        let evidence = Evidence::new(&source, &target, &alignment, &differences, findings);
        let mut now = Vec::new();
        text::verdict(&judge(evidence, Level::Strict), &Style::default(), &mut now).expect("writing to memory");
        let now = String::from_utf8(now).expect("a report is UTF-8");
        let beside = path.with_extension("txt");
        if std::fs::read_to_string(&beside).ok().as_deref() != Some(now.as_str()) {
            if std::env::var("TRYCMD").as_deref() == Ok("overwrite") {
                std::fs::write(&beside, &now).expect("a report can be written");
            } else {
                stale.push(format!("{}:\n{now}", beside.display()));
            }
        }
    }
    assert!(stale.is_empty(), "not what is said now (TRYCMD=overwrite writes it):\n{}", stale.join("\n"));
}
