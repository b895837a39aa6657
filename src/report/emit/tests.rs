use super::*;
use crate::align::{Drop, Match, Rename, Step};
use crate::checkpoint::{Checkpoint, Container, Role, Shape, TensorInfo};

/// A checkpoint of these keys and shapes within a dict of this name.
fn checkpoint(path: &str, container: &str, keys: &[(&str, &[u64])]) -> Checkpoint {
    let mut out = Checkpoint::new(path, Format::TorchZip);
    let inner = u32::from(!container.is_empty());
    if inner == 1 {
        out.containers.push(Container { name: container.into(), parent: Some(0), tensors: keys.len(), version: None });
    }
    let within = if container.is_empty() { String::new() } else { format!("{container}.") };
    out.tensors.extend(keys.iter().map(|(key, shape)| TensorInfo {
        path: format!("{within}{key}").into(),
        container: inner,
        dtype: None,
        shape: Some(Shape::from(shape.to_vec())),
        role: Role::Unknown,
        placement: None,
    }));
    out
}

fn pair(target: u32, source: u32, how: How) -> Match {
    Match { target, source: vec![source], how, step: Step::Structure, confidence: 1.0 }
}

fn emit(form: Form, source: &Checkpoint, target: &Checkpoint, alignment: &Alignment) -> String {
    let inner = if source.containers.len() > 1 { 1 } else { 0 };
    let (source, target) = (StateDict::below(source, inner), StateDict::below(target, 0));
    let plan = Plan::new(&source, &target, alignment, &RuleSet::embedded());
    let mut out = Vec::new();
    write(form, &plan, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

/// A detector's checkpoint and its backbone.
fn detector() -> (Checkpoint, Checkpoint, Alignment) {
    let source = checkpoint("det.pth", "state_dict", &[("backbone.fc.weight", &[2, 3]), ("neck.fc.weight", &[2, 2])]);
    let target = checkpoint("model.json", "", &[("fc.weight", &[2, 3])]);
    let alignment = Alignment {
        matches: vec![pair(0, 0, How::Renamed)],
        unexpected: vec![1],
        renames: vec![Rename { pattern: r"^backbone\.".into(), replacement: String::new(), keys: 1 }],
        drops: vec![Drop { pattern: r"^(neck|head)\.".into(), keys: 1 }],
        ..Alignment::default()
    };
    (source, target, alignment)
}

#[test]
fn every_form_renames_from_the_start_of_the_key_and_says_what_is_left_out() {
    let (source, target, alignment) = detector();
    let of = |form| emit(form, &source, &target, &alignment);
    let python = of(Form::Python);
    for line in ["r\"^(neck|head)\\.\",", "(r\"^backbone\\.\", r\"\"),", "checkpoint[\"state_dict\"]", "strict=True"] {
        assert!(python.contains(line), "{line} in\n{python}");
    }
    assert!(of(Form::Mmengine).contains("prefix=\"backbone.\""));
    assert!(of(Form::Mmengine).contains("revise_keys=["));
    assert!(of(Form::Transformers).contains("r\"^backbone\\.\": r\"\""));
    let vllm = of(Form::Vllm);
    assert!(vllm.contains("\"neck.\": None,") && vllm.contains("\"backbone.\": \"\","), "{vllm}");
    let burn = of(Form::Burn);
    assert!(burn.contains(".with_top_level_key(\"state_dict\")"), "{burn}");
    assert!(burn.contains(".with_key_remapping(r\"^backbone\\.\", \"\")"), "{burn}");
    let json: serde_json::Value = serde_json::from_str(&of(Form::Json)).unwrap();
    assert_eq!(json["container"], "state_dict");
    assert_eq!(json["drops"][0]["pattern"], r"^(neck|head)\.");
}

#[test]
fn a_match_that_no_rename_reaches_gets_one_of_its_own() {
    let (source, target, mut alignment) = detector();
    alignment.renames.clear();
    let python = emit(Form::Python, &source, &target, &alignment);
    assert!(python.contains("(r\"^backbone\\.fc\\.weight$\", r\"fc.weight\"),"), "{python}");
}

#[test]
fn what_cannot_be_filled_makes_the_load_lenient_and_is_counted() {
    let source = checkpoint("a.pth", "", &[("fc.weight", &[1000, 4]), ("bias", &[2])]);
    let target = checkpoint("b.json", "", &[("fc.weight", &[10, 4]), ("bias", &[2]), ("new", &[1])]);
    let matches = vec![pair(0, 0, How::Identical), pair(1, 1, How::Identical)];
    let alignment = Alignment { matches, missing: vec![2], ..Alignment::default() };
    let python = emit(Form::Python, &source, &target, &alignment);
    assert!(python.contains("# Fills 1 of the 3 keys"), "{python}");
    assert!(python.contains("strict=False") && python.contains("len(result.missing_keys) == 2"), "{python}");
    assert!(emit(Form::Mmengine, &source, &target, &alignment).starts_with("# 1 tensors have another size"));
}

#[test]
fn tables_are_resized_by_their_law_and_told_by_their_ending() {
    let table = "attn.relative_position_bias_table";
    let keys = [format!("blocks.0.{table}"), format!("blocks.1.{table}"), format!("blocks.2.{table}")];
    let of = |rows: u64| -> Checkpoint {
        let shape = [rows, 4];
        let list: Vec<(&str, &[u64])> = keys.iter().map(|k| (k.as_str(), shape.as_slice())).collect();
        checkpoint("x.pth", "", &list)
    };
    let matches = (0..3).map(|i| pair(i, i, How::Identical)).collect();
    let alignment = Alignment { matches, ..Alignment::default() };
    let python = emit(Form::Python, &of(169), &of(529), &alignment);
    let line = "(r\"(^|\\.)attn\\.relative_position_bias_table$\", window([7,7], [12,12], 0)),  # 3 keys";
    assert!(python.contains(line), "{python}");
    assert!(python.contains("strict=True"));
}

#[test]
fn a_name_that_tries_to_be_code_stays_a_name() {
    let evil = "a\"); import os; os.system(\"x\") #\nb";
    let source = checkpoint(evil, evil, &[(evil, &[1])]);
    let target = checkpoint("b.json", "", &[("fc", &[1])]);
    let alignment = Alignment { matches: vec![pair(0, 0, How::Renamed)], ..Alignment::default() };
    for form in [Form::Python, Form::Mmengine, Form::Transformers, Form::Vllm, Form::Burn, Form::Json] {
        let text = emit(form, &source, &target, &alignment);
        // Outside of literals the words would stand at the start of a line or behind a closing quote that is not escaped.
        assert!(!text.lines().any(|l| l.starts_with("b") || l.starts_with("import os")), "{text}");
        assert!(!text.contains("a\"); import os"), "{text}");
    }
}
