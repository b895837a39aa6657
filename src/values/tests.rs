use std::fs;
use std::path::Path;

use super::*;
use crate::align::align;
use crate::checkpoint::Checkpoint;
use crate::compare::compare as differences_of;
use crate::explain::explain;
use crate::judge::{Evidence, Level, judge};
use crate::read::read;

/// Writes a safetensors file of F32 tensors.
fn file(folder: &Path, name: &str, tensors: &[(&str, &[u64], Vec<f32>)]) -> Checkpoint {
    let (mut header, mut data) = (serde_json::Map::new(), Vec::new());
    for (key, shape, numbers) in tensors {
        let start = data.len();
        data.extend(numbers.iter().flat_map(|x| x.to_le_bytes()));
        let entry = serde_json::json!({"dtype": "F32", "shape": shape, "data_offsets": [start, data.len()]});
        header.insert((*key).to_owned(), entry);
    }
    let header = serde_json::Value::from(header).to_string();
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header.as_bytes());
    bytes.extend(data);
    fs::write(folder.join(name), bytes).unwrap();
    read(&folder.join(name)).unwrap()
}

fn values(a: &Checkpoint, b: &Checkpoint, mode: Mode) -> Values {
    let rules = RuleSet::embedded();
    let (source, target) = (StateDict::below(a, 0), StateDict::below(b, 0));
    let alignment = align(&source, &target, &rules);
    let differences = differences_of(&source, &target, &alignment);
    let findings = explain(&source, &target, &alignment, &differences, &rules);
    let evidence = Evidence::new(&source, &target, &alignment, &differences, findings);
    compare(&judge(evidence, Level::Strict), &differences, &rules, mode, &Known::default())
}

fn wave(count: usize, step: f32) -> Vec<f32> {
    (0..count).map(|i| (i as f32 * step).sin()).collect()
}

#[test]
fn a_file_and_its_copy_are_identical_and_a_changed_number_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let tensors = |x: f32| {
        let mut w = wave(600_000, 0.7);
        w[500_001] += x;
        vec![("a.weight", [600u64, 1000].as_slice().to_vec(), w), ("a.bias", vec![7], wave(7, 0.3))]
    };
    let write = |name: &str, x: f32| {
        let tensors = tensors(x);
        let tensors: Vec<(&str, &[u64], Vec<f32>)> =
            tensors.iter().map(|(k, s, v)| (*k, s.as_slice(), v.clone())).collect();
        file(folder.path(), name, &tensors)
    };
    let (a, b, c) = (write("a", 0.0), write("b", 0.0), write("c", 0.25));
    for mode in [Mode::Exact, Mode::Statistics] {
        let same = values(&a, &b, mode);
        assert_eq!(same.counts(), [2, 0, 0, 0]);
        assert!(same.holds() && same.findings.is_empty());
        let changed = values(&a, &c, mode);
        assert_eq!(changed.counts(), [1, 0, 1, 0]);
        assert_eq!(changed.holds(), mode == Mode::Statistics);
    }
    let sums =
        values(&a, &c, Mode::Statistics).compared.iter().find(|c| c.same == Same::Changed).unwrap().sums.unwrap();
    assert!((sums.max_abs - 0.25).abs() < 1e-6 && sums.finite == 600_000);
    assert!((sums.rms() - (0.0625f64 / 600_000.0).sqrt()).abs() < 1e-9);
}

#[test]
fn zero_and_minus_zero_are_equal_but_not_identical() {
    let folder = tempfile::tempdir().unwrap();
    let a = file(folder.path(), "a", &[("w", &[2], vec![0.0, 1.0])]);
    let b = file(folder.path(), "b", &[("w", &[2], vec![-0.0, 1.0])]);
    assert_eq!(values(&a, &b, Mode::Statistics).counts(), [0, 1, 0, 0]);
    assert!(!values(&a, &b, Mode::Exact).holds());
}

#[test]
fn blocks_that_did_not_change_are_counted() {
    let folder = tempfile::tempdir().unwrap();
    let names: Vec<String> = (0..12).map(|i| format!("layers.{i}.weight")).collect();
    let write = |name: &str, last: f32| {
        let tensors: Vec<(&str, &[u64], Vec<f32>)> = names
            .iter()
            .enumerate()
            .map(|(i, n)| (n.as_str(), [4u64].as_slice(), vec![i as f32, 1.0, 2.0, if i == 11 { last } else { 3.0 }]))
            .collect();
        file(folder.path(), name, &tensors)
    };
    let found = values(&write("a", 3.0), &write("b", 4.0), Mode::Statistics);
    let [row] = found.untouched.as_slice() else { panic!("{:?}", found.untouched) };
    assert_eq!((row.prefix.as_str(), row.still.len(), row.changed.iter().copied().collect()), ("layers", 11, vec![11]));
}

#[test]
fn a_renamed_and_split_tensor_is_compared_part_by_part() {
    let folder = tempfile::tempdir().unwrap();
    let qkv = wave(12 * 4, 0.9);
    let a = file(
        folder.path(),
        "a",
        &[
            ("h.0.attn.qkv.weight", &[12, 4], qkv.clone()),
            ("h.0.mlp.fc1.weight", &[8, 4], wave(32, 0.2)),
            ("h.0.mlp.fc2.weight", &[4, 8], wave(32, 0.21)),
        ],
    );
    let mut v = qkv[32..].to_vec();
    v[3] += 1.0;
    let b = file(
        folder.path(),
        "b",
        &[
            ("layers.0.attn.q_proj.weight", &[4, 4], qkv[..16].to_vec()),
            ("layers.0.attn.k_proj.weight", &[4, 4], qkv[16..32].to_vec()),
            ("layers.0.attn.v_proj.weight", &[4, 4], v),
            ("layers.0.mlp.fc1.weight", &[8, 4], wave(32, 0.2)),
            ("layers.0.mlp.fc2.weight", &[4, 8], wave(32, 0.21)),
        ],
    );
    let found = values(&a, &b, Mode::Statistics);
    assert_eq!(found.counts(), [4, 0, 1, 0], "{:#?}", found.compared);
}
