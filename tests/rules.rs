//! Runs every rule over every example and counterexample it carries, through the whole pipeline.

use ckdiff::align::align;
use ckdiff::checkpoint::StateDict;
use ckdiff::compare::compare;
use ckdiff::explain::{Finding, explain};
use ckdiff::rules::{Example, RuleSet};

/// What the pipeline says about an example.
fn findings(rules: &RuleSet, example: &Example) -> Vec<Finding> {
    let (source, target) = example.checkpoints();
    let (source, target) = (StateDict::below(&source, 0), StateDict::below(&target, 0));
    let alignment = align(&source, &target, rules);
    let differences = compare(&source, &target, &alignment);
    explain(&source, &target, &alignment, &differences, rules)
}

fn said(findings: &[Finding]) -> String {
    let lines = findings.iter().map(|f| {
        format!("    {} {} {}: {}; {}\n", f.severity.id(), f.code, f.rule.as_deref().unwrap_or("-"), f.message, f.help)
    });
    lines.collect()
}

#[test]
fn every_rule_speaks_in_its_examples_and_is_silent_in_its_counterexamples() {
    let rules = RuleSet::embedded();
    let mut failures = String::new();
    // Rules of `texts/` read logs and not pairs of checkpoints; their cases run beside their parser.
    let elsewhere = |id: &str| id.starts_with("texts/");
    for rule in rules.about.iter().filter(|r| !elsewhere(&r.id)) {
        for (n, example) in rule.examples.iter().enumerate() {
            let found = findings(&rules, example);
            let speaks = |f: &Finding| {
                f.rule.as_deref() == Some(&rule.id) && format!("{}; {}", f.message, f.help).contains(&example.says)
            };
            if !found.iter().any(speaks) {
                failures += &format!("{} example {}: expected \"{}\"\n{}", rule.id, n + 1, example.says, said(&found));
            }
        }
        for (n, example) in rule.counterexamples.iter().enumerate() {
            let found = findings(&rules, example);
            if found.iter().any(|f| f.rule.as_deref() == Some(&rule.id)) {
                failures +=
                    &format!("{} speaks in counterexample {} ({})\n{}", rule.id, n + 1, example.note, said(&found));
            }
        }
    }
    assert!(failures.is_empty(), "\n{failures}");
}

#[test]
fn every_rule_and_code_has_a_page() {
    let rules = RuleSet::embedded();
    let style = ckdiff::report::style::Style::default();
    for about in &rules.about {
        let mut page = Vec::new();
        assert!(ckdiff::report::rules::rule_page(&rules, &about.id, &style, &mut page).unwrap());
        let page = String::from_utf8(page).unwrap();
        assert!(page.contains(&about.summary) && page.contains("Matches"), "{page}");
        assert!(!about.explanation.is_empty(), "{} explains nothing", about.id);
        assert!(!about.counterexamples.is_empty(), "{} has no counterexample", about.id);
        let code = about.code.as_deref();
        assert!(code.is_none_or(|c| ckdiff::codes::page(c).is_some()), "{} has a code without a page", about.id);
    }
    for (code, _) in ckdiff::codes::PAGES {
        let mut page = Vec::new();
        assert!(ckdiff::report::rules::code_page(&rules, code, &style, &mut page).unwrap());
    }
}

/// `UPDATE=1 cargo test --test rules` writes it anew.
#[test]
fn the_table_of_rules_lists_them_all() {
    let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("rules/README.md");
    let mut table = Vec::new();
    ckdiff::report::rules::markdown(&RuleSet::embedded(), &mut table).expect("memory takes it");
    let table = String::from_utf8(table).expect("the table is UTF-8");
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&file, &table).expect("rules can be written");
    }
    let known = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(table == known, "rules changed: UPDATE=1 cargo test --test rules, and read the diff");
}
