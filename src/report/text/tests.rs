//! The text report on hand-made findings.

use super::verdict;
use crate::align::{Alignment, Drop, How, Match, Rename, Step};
use crate::checkpoint::{Candidate, StateDict};
use crate::compare::compare;
use crate::explain::{Finding, Remedy, Severity};
use crate::judge::{Evidence, Level, judge};
use crate::report::style::Style;
use crate::rules::{Example, Line};

fn lines(text: &[&str]) -> Vec<Line> {
    text.iter().map(|l| Line::try_from((*l).to_owned()).unwrap()).collect()
}

fn finding(severity: Severity, message: &str, help: &str, rule: Option<&str>, claims: Vec<u32>) -> Finding {
    Finding {
        rule: rule.map(str::to_owned),
        keys: claims.len(),
        claims,
        remedy: Remedy::Edit,
        ..Finding::new("CK103", severity, message, help)
    }
}

/// A backbone of two keys inside a detector of three, as text.
fn detector(style: Style, level: Level, message: &str) -> String {
    let case = Example {
        source: lines(&["backbone.a [2]", "backbone.b [3]", "neck.c [4]"]),
        target: lines(&["a [2]", "b [3]"]),
        ..Example::default()
    };
    let (mut a, mut b) = case.checkpoints();
    (a.path, b.path) = ("weights/detector.json".into(), "weights/模型.json".into());
    let (mut source, target) = (StateDict::below(&a, 0), StateDict::below(&b, 0));
    source.container = "model";
    let found = |i| Match { target: i, source: vec![i], how: How::Renamed, step: Step::Prefix, confidence: 1.0 };
    let alignment = Alignment {
        matches: vec![found(0), found(1)],
        unexpected: vec![2],
        renames: vec![Rename { pattern: r"^backbone\.".into(), replacement: String::new(), keys: 2 }],
        drops: vec![Drop { pattern: r"^neck\.".into(), keys: 1 }],
        ..Alignment::default()
    };
    let differences = compare(&source, &target, &alignment);
    let findings = vec![
        finding(Severity::Error, message, "strip the prefix", Some("wrappers/detector-backbone"), vec![0, 1]),
        finding(Severity::Note, "1 key is not needed", "", None, vec![2]),
    ];
    let others = vec![Candidate { container: 1, name: "ema".into(), tensors: 3 }];
    let evidence = Evidence { others, ..Evidence::new(&source, &target, &alignment, &differences, findings) };
    let mut out = Vec::new();
    verdict(&judge(evidence, level), &style, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

const MESSAGE: &str = "all 2 expected keys are there under `backbone.`";

#[test]
fn a_cause_is_a_line_and_the_verdict_comes_last() {
    let expected = "\
source  detector.json   `model`, 3 tensors, 9 parameters
target  模型.json       2 tensors, 5 parameters
        also in the file: `ema` (3 tensors); --container picks

error  CK103  all 2 expected keys are there under `backbone.`             wrappers/detector-backbone
              strip the prefix
note   CK103  1 key is not needed

as it is  0 of 2 keys load
fixed     2 of 2 keys load     renames: ^backbone\\. → \"\"    drops: ^neck\\.
verdict   loads after the fix, not as it is   --level fixable accepts that, --emit python writes it
";
    assert_eq!(detector(Style::default(), Level::Strict, MESSAGE), expected);
}

#[test]
fn a_level_that_accepts_the_fix_is_named() {
    let text = detector(Style::default(), Level::Fixable, MESSAGE);
    assert!(text.ends_with("verdict   loads after the fix, not as it is   accepted at --level fixable\n"), "{text}");
}

#[test]
fn no_line_is_wider_than_a_terminal_of_fifty_columns() {
    use unicode_width::UnicodeWidthStr as _;
    let style = Style { width: 50, wrap: true, ..Style::default() };
    let text = detector(style, Level::Strict, MESSAGE);
    for line in text.lines() {
        assert!(line.width() <= 50, "{} columns: {line}", line.width());
    }
    assert!(text.contains("wrappers/detector-backbone"), "{text}");
}

#[test]
fn what_a_message_smuggles_in_is_written_out() {
    let text = detector(Style::default(), Level::Strict, "a key `\x1b]0;owned\x07x\u{202e}`");
    assert!(text.contains("a key `\\x1b]0;owned\\x07x\\u{202e}`"), "{text}");
    assert!(!text.contains('\x1b'));
}

#[test]
fn every_key_is_listed_when_asked_for() {
    let text = detector(Style { all: true, ..Style::default() }, Level::Strict, MESSAGE);
    for line in ["  neck.c  [4]  ?\n", "  backbone.a → a\n", "  backbone.b → b\n"] {
        assert!(text.contains(line), "{line:?} in\n{text}");
    }
}
