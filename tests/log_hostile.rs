//! Texts that were made to hurt: nothing panics, and the time grows with the length only.

use std::sync::LazyLock;
use std::time::{Duration, Instant};

use ckdiff::read::log;
use ckdiff::rules::RuleSet;
use proptest::prelude::*;

static RULES: LazyLock<RuleSet> = LazyLock::new(RuleSet::embedded);

/// Pieces that begin something.
const PIECES: &[&str] = &[
    "Missing key(s) in state_dict: ",
    "Unexpected key(s) in state_dict: ",
    "\"a.b\", ",
    "'",
    "\"",
    "[",
    "]",
    "{",
    "}",
    "(",
    ")",
    "...",
    ",",
    "\n",
    "\r",
    " ",
    "\\n\\t",
    "\\\"",
    "size mismatch for x.y: copying a param with shape torch.Size([",
    "64, 3]) from checkpoint, the shape in ",
    "KeyError: '",
    "KeyError: \"A: 'a.b'\"",
    "{0...23}",
    "{0...4000}.",
    " | UNEXPECTED | ",
    " | MISMATCH | [1] [2]",
    "\u{1b}[31m",
    "[0m",
    "é",
    "\u{2026}",
    "missing keys in source state_dict: a.b, c.d",
    "lora key not loaded: x",
    "invalid load key, '",
    "Unsupported global: GLOBAL ",
    "Error(s) in loading state_dict for Net:",
    "{\"cells\": [",
    "[rank0]: ",
    "E   ",
    "not found in the checkpoint:\n",
    "  norm.{bias, weight}\n",
    "these keys have mismatched shape:\n",
    "| a.b | [1] | [2] |\n",
    "Some weights of ",
    "99999999999999999999999",
    "Trying to set a tensor of shape ",
    "Shape of ",
    " in checkpoint is ",
    "&quot;",
    "\0",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn no_text_makes_it_panic(picks in prop::collection::vec(0..PIECES.len(), 0..60), noise in ".{0,40}") {
        let mut text: String = picks.iter().map(|&i| PIECES[i]).collect();
        text.push_str(&noise);
        let rules = &*RULES;
        let report = log::parse(text.as_bytes(), rules);
        prop_assert!(report.missing_keys.iter().all(|k| !k.is_empty() && !k.contains('\n')));
        // Cut anywhere, also within a character.
        let bytes = text.as_bytes();
        log::parse(&bytes[..bytes.len() / 2], rules);
        log::parse(&bytes[bytes.len() / 3..], rules);
    }

    #[test]
    fn what_is_written_as_pytorch_writes_it_is_read_back(
        missing in prop::collection::btree_set("[a-z_]{1,9}(\\.[a-z0-9_]{1,9}){1,5}", 0..30),
        unexpected in prop::collection::btree_set("[a-z_]{1,9}(\\.[a-z0-9_]{1,9}){1,5}", 0..30),
        width in 40usize..200,
    ) {
        let list = |keys: &std::collections::BTreeSet<String>| keys.iter().map(|k| format!("\"{k}\"")).collect::<Vec<_>>().join(", ");
        let mut text = String::from("RuntimeError: Error(s) in loading state_dict for Net:\n");
        if !missing.is_empty() {
            text += &format!("\tMissing key(s) in state_dict: {}. \n", list(&missing));
        }
        if !unexpected.is_empty() {
            text += &format!("\tUnexpected key(s) in state_dict: {}. ", list(&unexpected));
        }
        let broken: String = text.chars().enumerate().flat_map(|(i, c)| (i > 0 && i % width == 0).then_some('\n').into_iter().chain([c])).collect();
        for text in [&text, &broken] {
            let report = log::parse(text.as_bytes(), &RULES);
            prop_assert_eq!(report.missing_keys.len(), missing.len(), "{}", text);
            prop_assert_eq!(report.unexpected_keys.len(), unexpected.len(), "{}", text);
            prop_assert_eq!(&report.missing_keys.iter().cloned().collect::<std::collections::BTreeSet<_>>(), &missing);
            prop_assert_eq!(&report.unexpected_keys.iter().cloned().collect::<std::collections::BTreeSet<_>>(), &unexpected);
        }
    }
}

#[test]
fn twice_the_text_takes_no_more_than_some_times_the_time() {
    let rules = &*RULES;
    for piece in PIECES.iter().copied().chain([
        "missing keys: (a",
        "\"a\", \"b",
        "[[[[",
        "missing keys:\n",
        "{0...4000}|missing|\n",
        "x.{0...4000},",
    ]) {
        let time = |bytes: usize| {
            let text = piece.repeat(bytes / piece.len() + 1);
            let start = Instant::now();
            log::parse(text.as_bytes(), rules);
            start.elapsed()
        };
        time(1000);
        let (small, large) = (time(20_000), time(160_000));
        // Eight times the text; far beyond that is a cost that grows faster than the text.
        let bound = small * 40 + Duration::from_millis(150);
        assert!(large < bound, "{piece:?}: {small:?} for 20 kB, {large:?} for 160 kB");
    }
}
