//! What the stories of the examples claim is so.

use std::process::Command;

use serde_json::Value;

const SEED: [&str; 2] =
    ["examples/01-backbone-prefix/retinanet_efficientvit_m4.pth", "examples/01-backbone-prefix/expected.json"];
const CLASSIFIER: [&str; 2] =
    ["examples/02-classification-into-backbone/efficientvit_m4.pth", "examples/01-backbone-prefix/expected.json"];
const WINDOW: [&str; 2] =
    ["examples/03-swin-window/swin_base_patch4_window7_224.pth", "examples/03-swin-window/expected.json"];
const DEPTH: [&str; 2] = ["examples/04-swin-depth/swin_small.pth", "examples/04-swin-depth/expected.json"];

/// Runs the program at the root of the repository; gives exit status and standard output.
fn ckdiff(arguments: &[&str]) -> (i32, String) {
    let done = Command::new(env!("CARGO_BIN_EXE_ckdiff")).args(arguments).output().expect("ckdiff starts");
    (done.status.code().expect("ckdiff exits by itself"), String::from_utf8(done.stdout).expect("output is UTF-8"))
}

fn json([source, target]: [&str; 2]) -> Value {
    serde_json::from_str(&ckdiff(&[source, target, "--format", "json"]).1).expect("output is JSON")
}

/// Exit statuses at the four levels, strictest first.
fn by_level([source, target]: [&str; 2]) -> [i32; 4] {
    ["strict", "fixable", "resizable", "partial"].map(|level| ckdiff(&[source, target, "-q", "--level", level]).0)
}

/// How many matches have `shapes` as named.
fn matches_with(report: &Value, shapes: &str) -> usize {
    report["matches"].as_array().expect("matches is a list").iter().filter(|m| m["shapes"] == shapes).count()
}

/// Whether any finding's message holds all of `words`.
fn says(report: &Value, words: &[&str]) -> bool {
    let findings = report["findings"].as_array().expect("findings is a list");
    findings.iter().filter_map(|f| f["message"].as_str()).any(|text| words.iter().all(|word| text.contains(word)))
}

#[test]
fn the_seed_story_fits_in_twelve_lines_and_loads_after_the_named_fix() {
    let (status, text) = ckdiff(&SEED);
    assert_eq!(status, 1);
    assert!(text.lines().count() <= 12, "{text}");
    assert_eq!(by_level(SEED), [1, 0, 0, 0]);

    let report = json(SEED);
    assert_eq!(report["verdict"], "loads-after-fix");
    assert_eq!(report["source"]["container"], "state_dict");
    assert_eq!(
        (&report["coverage"]["before"], &report["coverage"]["after"], &report["coverage"]["of"]),
        (&0.into(), &692.into(), &692.into())
    );
    assert_eq!(report["renames"][0]["pattern"], r"^backbone\.");
    assert_eq!(report["renames"].as_array().map(Vec::len), Some(1));
    let dropped: u64 = report["drops"].as_array().expect("a list").iter().filter_map(|d| d["keys"].as_u64()).sum();
    assert_eq!(dropped, 38);
}

#[test]
fn a_file_with_the_prefix_stripped_is_silent() {
    let expected = SEED[1];
    assert_eq!(ckdiff(&[expected, expected]), (0, String::new()));
}

#[test]
fn every_example_against_itself_is_silent() {
    for [source, _] in [SEED, CLASSIFIER, WINDOW, DEPTH] {
        assert_eq!(ckdiff(&[source, source]), (0, String::new()), "{source}");
    }
}

#[test]
fn the_classifier_needs_three_tables_resized_and_nothing_else() {
    assert_eq!(by_level(CLASSIFIER), [1, 1, 0, 0]);
    let report = json(CLASSIFIER);
    assert_eq!(report["coverage"]["before"], 686);
    assert!(says(&report, &["3 ", "4×4 → 7×7"]), "{}", report["findings"]);
    assert_eq!(report["unexpected_keys"].as_array().map(Vec::len), Some(7));
    assert_eq!(report["missing_keys"].as_array().map(Vec::len), Some(0));
}

#[test]
fn a_swin_window_is_named_and_its_indices_are_rebuilt() {
    assert_eq!(by_level(WINDOW), [1, 1, 0, 0]);
    let report = json(WINDOW);
    assert!(says(&report, &["24 ", "7 → 12"]) || says(&report, &["24 ", "7×7 → 12×12"]), "{}", report["findings"]);
    assert_eq!((matches_with(&report, "resizable"), matches_with(&report, "different")), (24, 35));
    assert_eq!(report["renames"].as_array().map(Vec::len), Some(0));
}

#[test]
fn another_depth_is_not_answered_with_a_prefix() {
    assert_eq!(by_level(DEPTH), [1, 1, 1, 0]);
    let report = json(DEPTH);
    assert_eq!(report["verdict"], "does-not-load");
    assert!(says(&report, &["18", "6"]), "{}", report["findings"]);
    assert_eq!(report["findings"][0]["code"], "CK106");
    for rename in report["renames"].as_array().expect("a list") {
        let pattern = regex::Regex::new(rename["pattern"].as_str().expect("a pattern")).expect("a regular expression");
        assert!(!pattern.is_match("stages.2.blocks.6.attn.w_msa.relative_position_bias_table"), "{rename}");
    }
}
