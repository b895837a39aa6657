//! Subjects made by hand, for the tests of the formats, and where findings point to.

use std::path::Path;

use super::*;
use crate::align::{Alignment, How, Match, Step};
use crate::checkpoint::{Checkpoint, Format, StateDict};
use crate::compare::compare;
use crate::explain::Remedy;
use crate::judge::{Evidence, judge};
use crate::rules::Example;

fn finding(code: &'static str, severity: Severity, message: &str, claims: &[u32]) -> Finding {
    Finding {
        rule: Some("wrappers/detector-backbone".into()),
        claims: claims.to_vec(),
        keys: claims.len(),
        confidence: 0.99,
        remedy: Remedy::Edit,
        arguments: [("prefix", "backbone.".into())].into(),
        ..Finding::new(code, severity, message, "strip the prefix")
    }
}

/// A pair with an error (a rename), a warning and a note (an unexpected key).
///
/// The model is the list of keys at `target`, the checkpoint is binary, unless the file says otherwise.
fn pair(name: &str, source: Format, target: &Path, base: &Base) -> Subject {
    let lines = |text: &[&str]| text.iter().map(|l| (*l).to_owned().try_into().unwrap()).collect();
    let case = Example {
        source: lines(&["backbone.a [2]", "backbone.b [3]", "neck.c [4]"]),
        target: lines(&["a [2]", "b [3]"]),
        ..Example::default()
    };
    let (mut a, mut b) = case.checkpoints();
    (a.path, a.format) = ("weights/det ector.pth".into(), source);
    b.path = target.into();
    let (source, target) = (StateDict::below(&a, 0), StateDict::below(&b, 0));
    let found = |i| Match { target: i, source: vec![i], how: How::Renamed, step: Step::Prefix, confidence: 1.0 };
    let alignment = Alignment { matches: vec![found(0), found(1)], unexpected: vec![2], ..Alignment::default() };
    let differences = compare(&source, &target, &alignment);
    let evidence = Evidence::new(
        &source,
        &target,
        &alignment,
        &differences,
        vec![
            finding("CK103", Severity::Error, "all 2 keys are under `backbone.`", &[0, 1]),
            finding("CK013", Severity::Warning, "100 % of it, at: a\nb", &[]),
            finding("CK108", Severity::Note, "1 key `neck|c` of @nobody is left over", &[2]),
        ],
    );
    Subject::verdict(name, &judge(evidence, Level::Strict), base)
}

/// A pair that fails, with findings of every severity.
pub(crate) fn failing(name: impl Into<String>) -> Subject {
    pair(&name.into(), Format::TorchZip, Path::new("expected.json"), &Base::new("/repo"))
}

/// Two subjects: a pair of which one finding is accepted, and a file that holds.
pub(crate) fn mixed() -> Vec<Subject> {
    let mut pair = failing("detector");
    pair.items[2].accepted = Some(Accepted { by: "ckdiff.toml".into(), reason: "the neck is trained anew".into() });
    let mut file = Checkpoint::new("/elsewhere/a.safetensors", Format::Safetensors);
    file.metadata.push(("format".into(), "pt".into()));
    let file = Subject::inspected("", &crate::inspect::inspect(&file), &Base::new("/repo"));
    vec![pair, file]
}

/// What a sheet writes.
pub(crate) fn written(sheet: Sheet, subjects: &[Subject]) -> String {
    let mut out = Vec::new();
    sheet.write(subjects, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn a_finding_points_to_the_line_of_its_key_in_a_list_of_keys() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().canonicalize().unwrap();
    let list = folder.join("expected.json");
    std::fs::write(&list, "{\n  \"a\": [2],\n\n  \"b\": [3]\n}\n").unwrap();
    let subject = pair("", Format::TorchZip, &list, &Base::new(&folder));
    let [renamed, remark, left] = &subject.items[..] else { panic!("three findings") };
    assert_eq!(
        (renamed.place.file.path.as_str(), renamed.place.line, &*renamed.place.key),
        ("expected.json", Some(2), "a")
    );
    assert_eq!(renamed.others.iter().map(|p| p.line).collect::<Vec<_>>(), [Some(4)]);
    // What the reader remarked on has no key, and what only the checkpoint has is found there.
    assert_eq!((remark.place.line, &*remark.place.key), (None, ""));
    assert_eq!((left.place.file.path.as_str(), left.place.line), ("weights/det ector.pth", None));
    assert_eq!(left.place.key, "neck.c");
}

#[test]
fn the_fingerprint_goes_by_the_name_of_the_contract_or_by_both_paths() {
    let (one, same, other) = (failing("a"), failing("a"), failing("b"));
    assert_eq!(one.items[0].fingerprint, same.items[0].fingerprint);
    assert_ne!(one.items[0].fingerprint, other.items[0].fingerprint);
    assert_ne!(failing("").items[0].fingerprint, one.items[0].fingerprint);
}

#[test]
fn what_is_accepted_does_not_count() {
    let subjects = mixed();
    assert_eq!(subjects[0].tally(), "1 error, 1 warning");
    assert!(!subjects[0].holds() && subjects[1].holds());
}

#[test]
fn what_the_level_accepts_is_no_error_to_a_review_tool() {
    let mut subject = failing("a");
    assert_eq!(subject.tally(), "1 error, 1 warning, 1 note");
    subject.set_holds(true);
    assert_eq!(subject.tally(), "1 warning, 2 notes");
    let written = written(Sheet::Github, &[subject]);
    assert!(!written.contains("::error") && written.contains("::notice file=expected.json"), "{written}");
}
