//! The log of a run with findings of every severity.

use serde_json::Value;

use crate::report::subject::Sheet;
use crate::report::subject::tests::{failing, mixed, written};

fn log(subjects: &[crate::report::subject::Subject]) -> Value {
    serde_json::from_str(&written(Sheet::Sarif, subjects)).unwrap()
}

#[test]
fn every_result_names_a_rule_by_id_and_index() {
    let run = &log(&mixed())["runs"][0];
    let rules = run["tool"]["driver"]["rules"].as_array().unwrap();
    let results = run["results"].as_array().unwrap();
    assert_eq!((rules.len(), results.len()), (3, 3));
    for result in results {
        assert_eq!(rules[result["ruleIndex"].as_u64().unwrap() as usize]["id"], result["ruleId"]);
    }
    assert_eq!(results.iter().map(|r| r["level"].as_str().unwrap()).collect::<Vec<_>>(), ["error", "warning", "note"]);
    assert_eq!(run["invocations"][0]["exitCode"], 1);
}

#[test]
fn paths_are_relative_and_encoded_and_keys_of_binaries_are_logical_locations() {
    let run = &log(&mixed())["runs"][0];
    let place = &run["results"][2]["locations"][0];
    assert_eq!(place["physicalLocation"]["artifactLocation"]["uri"], "weights/det%20ector.pth");
    assert_eq!(place["physicalLocation"]["artifactLocation"]["uriBaseId"], "%SRCROOT%");
    assert!(place["physicalLocation"].get("region").is_none());
    assert_eq!(place["logicalLocations"][0]["fullyQualifiedName"], "neck.c");
}

#[test]
fn a_suppression_is_said_of_all_results_or_of_none() {
    let results = log(&mixed())["runs"][0]["results"].clone();
    assert_eq!(results[0]["suppressions"], serde_json::json!([]));
    assert_eq!(results[2]["suppressions"][0]["justification"], "ckdiff.toml: the neck is trained anew");
    let results = log(&[failing("a")])["runs"][0]["results"].clone();
    assert!(results[0].get("suppressions").is_none());
}

#[test]
fn nothing_to_say_is_a_run_without_results() {
    let log = log(&mixed()[1..]);
    assert_eq!(log["runs"][0]["results"], serde_json::json!([]));
    assert_eq!(log["runs"][0]["invocations"][0]["exitCode"], 0);
}
