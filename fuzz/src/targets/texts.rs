//! Texts that people paste and write: error logs, and rules of their own.

use std::path::Path;
use std::sync::LazyLock;

use ckdiff::align::align;
use ckdiff::checkpoint::{Checkpoint, Format, Role, Shape, StateDict, TensorInfo};
use ckdiff::compare::compare;
use ckdiff::explain::{explain, explain_text};
use ckdiff::read::log as error_text;
use ckdiff::report::explain::{Explained, Known, json, text};
use ckdiff::report::style::Style;
use ckdiff::rules::RuleSet;

use super::plain;

/// The rules that ship with the program, parsed once.
pub(super) fn embedded() -> &'static RuleSet {
    static RULES: LazyLock<RuleSet> = LazyLock::new(RuleSet::embedded);
    &RULES
}

/// An error text, and what `ckdiff explain` makes of it without the files.
pub fn log(data: &[u8]) {
    let rules = embedded();
    let path = Path::new("error.txt");
    let log = error_text::parse(data, rules);
    for key in log.missing_keys.iter().chain(&log.unexpected_keys) {
        assert!(!key.is_empty() && !key.contains('\n'), "a key {key:?}");
    }
    let (source, target) = log.sides(path);
    let (source, target) = (StateDict::below(&source, 0), StateDict::below(&target, 0));
    let alignment = align(&source, &target, rules);
    let differences = compare(&source, &target, &alignment);
    let causes = explain(&source, &target, &alignment, &differences, rules);
    let findings = explain_text(&log, causes, rules);
    let known = Known { source: false, target: false };
    let report = Explained { path, log: &log, findings: &findings, known, alignment: &alignment };
    let mut out = Vec::new();
    text(&report, &Style::default(), &mut out).expect("memory takes it");
    plain(std::str::from_utf8(&out).expect("text is UTF-8"));
    out.clear();
    json(&report, &mut out).expect("memory takes it");
    let _: serde_json::Value = serde_json::from_slice(&out).expect("JSON parses");
}

/// A rule of the user's: its first line is the folder it stands in. One that is accepted is tried on a few keys.
pub fn rules(data: &[u8]) {
    let Ok(whole) = std::str::from_utf8(data) else { return };
    let (kind, rule) = whole.split_once('\n').unwrap_or((whole, ""));
    let id = format!("{kind}/mine");
    let set = match RuleSet::parse(vec![(id.clone(), rule.to_owned())]) {
        Ok(set) => set,
        Err(why) => {
            assert!(!why.to_string().is_empty());
            return;
        }
    };
    let (source, target) = (few("backbone.module.", 7), few("", 12));
    let (source, target) = (StateDict::below(&source, 0), StateDict::below(&target, 0));
    let alignment = align(&source, &target, &set);
    let differences = compare(&source, &target, &alignment);
    let findings = explain(&source, &target, &alignment, &differences, &set);
    assert!(findings.len() <= differences.len() + 16);
    let mut out = Vec::new();
    ckdiff::report::rules::rule_page(&set, &id, &Style::default(), &mut out).expect("memory takes it");
    ckdiff::report::rules::list(&set, &Style::default(), &mut out).expect("memory takes it");
    plain(std::str::from_utf8(&out).expect("text is UTF-8"));
    error_text::parse(b"KeyError: 'a.b'\nUnexpected key(s) in state_dict: \"module.x.weight\"", &set);
}

/// Keys of the kinds that rules are about.
fn few(prefix: &str, window: u64) -> Checkpoint {
    let mut out = Checkpoint::new("few.json", Format::Json);
    let table = (2 * window - 1).pow(2);
    for (key, shape) in [
        ("patch_embed.proj.weight", vec![96, 3, 4, 4]),
        ("pos_embed", vec![1, window * window + 1, 96]),
        ("layers.0.blocks.0.attn.relative_position_bias_table", vec![table, 3]),
        ("layers.0.blocks.0.attn.qkv.weight", vec![288, 96]),
        ("layers.0.blocks.1.attn_mask", vec![64, 49, 49]),
        ("layers.0.blocks.0.norm1.weight", vec![96]),
        ("layers.0.blocks.0.bn.num_batches_tracked", vec![]),
        ("head.weight", vec![window * 100, 96]),
    ] {
        let (path, shape) = (format!("{prefix}{key}").into(), Some(Shape::from(shape)));
        out.tensors.push(TensorInfo { path, container: 0, dtype: None, shape, role: Role::Unknown, placement: None });
    }
    out.containers[0].tensors = out.tensors.len();
    out
}
