//! The law of explanations: every difference is claimed by exactly one finding, whatever the two sides are.

use ckdiff::align::{Alignment, Ambiguous, How, Match, Step, align};
use ckdiff::checkpoint::{Checkpoint, Dtype, Format, Role, Shape, StateDict, TensorInfo};
use ckdiff::compare::{Difference, compare};
use ckdiff::explain::{Finding, Severity, explain};
use ckdiff::rules::RuleSet;
use proptest::prelude::*;
use std::sync::LazyLock;

static RULES: LazyLock<RuleSet> = LazyLock::new(RuleSet::embedded);

/// A tensor as the strategies draw it: name, dtype, shape.
type Drawn = (String, Option<Dtype>, Option<Vec<u64>>);

/// Names out of words that many rules know, so that explanations meet.
fn name() -> impl Strategy<Value = String> {
    let words = [
        "module",
        "_orig_mod",
        "backbone",
        "neck",
        "head",
        "fc",
        "layers",
        "blocks",
        "layer1",
        "attn",
        "norm1",
        "bn1",
        "conv3",
        "0",
        "1",
        "2",
        "teacher",
        "model",
        "lora_A",
        "k_proj",
        "lm_head",
        "embed_tokens",
        "ema_model",
        "state_dict",
        "é",
        "",
    ];
    let leaves = [
        "weight",
        "bias",
        "running_mean",
        "running_var",
        "num_batches_tracked",
        "relative_position_index",
        "qweight",
        "scales",
        "relative_position_bias_table",
        "attention_biases",
        "position_ids",
        "inv_freq",
        "weight_g",
        "weight_v",
        "weight_u",
        "gamma",
        "exp_avg",
        "_flat_param",
        "pos_embed",
        "qzeros",
        "masked_bias",
        "ight",
    ];
    let words = prop::collection::vec(prop::sample::select(words.to_vec()), 0..4);
    (words, prop::sample::select(leaves.to_vec())).prop_map(|(mut words, leaf)| {
        words.push(leaf);
        words.join(".")
    })
}

fn tensor() -> impl Strategy<Value = Drawn> {
    let dtype = prop::option::of(prop::sample::select(vec![Dtype::F32, Dtype::F16, Dtype::I64, Dtype::U8]));
    let sizes = prop::sample::select(vec![0, 1, 2, 3, 9, 16, 49, 64, 169, 529, 197, 577, 1000, u64::MAX]);
    let shape = prop::option::of(prop::collection::vec(sizes, 0..5));
    (name(), dtype, shape)
}

fn side() -> impl Strategy<Value = Vec<Drawn>> {
    prop::collection::vec(tensor(), 0..25)
}

fn checkpoint(drawn: &[Drawn], format: Format) -> Checkpoint {
    let mut out = Checkpoint::new("x", format);
    out.tensors = drawn
        .iter()
        .map(|(path, dtype, shape)| TensorInfo {
            path: path.as_str().into(),
            container: 0,
            dtype: *dtype,
            shape: shape.clone().map(Shape::from),
            role: Role::Unknown,
            placement: None,
        })
        .collect();
    out
}

/// An alignment that may be wrong in every way but one: no key is used twice.
fn some_alignment(source: usize, target: usize, seed: u64) -> Alignment {
    let mut state = seed | 1;
    let mut next = |n: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % n.max(1)
    };
    let hows = [How::Identical, How::Renamed, How::Split, How::Merged, How::Transposed, How::Reshaped];
    let mut free: Vec<u32> = (0..source as u32).collect();
    let mut out = Alignment::default();
    for t in 0..target as u32 {
        if free.is_empty() || next(3) == 0 {
            out.missing.push(t);
            continue;
        }
        let mut take = vec![free.swap_remove(next(free.len()))];
        if next(8) == 0 && !free.is_empty() {
            take.push(free.swap_remove(next(free.len())));
        }
        if next(8) == 0 {
            out.ambiguous.push(Ambiguous { target: vec![t], source: take, why: "two towers".into() });
        } else {
            let how = hows[next(hows.len())];
            out.matches.push(Match { target: t, source: take, how, step: Step::Structure, confidence: 0.5 });
        }
    }
    out.unexpected = free;
    out
}

fn claimed_once(differences: &[Difference], findings: &[Finding]) -> Result<(), TestCaseError> {
    let mut claims = vec![0; differences.len()];
    for finding in findings {
        prop_assert!(!finding.claims.is_empty() && finding.keys > 0 && !finding.examples.is_empty(), "{finding:?}");
        prop_assert!(finding.examples.len() <= 3 && !finding.message.is_empty(), "{finding:?}");
        for &claim in &finding.claims {
            claims[claim as usize] += 1;
        }
    }
    for (difference, n) in differences.iter().zip(&claims) {
        prop_assert_eq!(*n, 1, "{:?} is claimed {} times", difference, n);
    }
    prop_assert!(findings.is_sorted_by_key(|f| std::cmp::Reverse(f.severity)), "graver findings come first");
    Ok(())
}

proptest! {
    #[test]
    fn every_difference_has_one_cause(a in side(), b in side(), text in any::<bool>()) {
        let (source, target) = (checkpoint(&a, if text { Format::Text } else { Format::Json }), checkpoint(&b, Format::Json));
        let (source, target) = (StateDict::below(&source, 0), StateDict::below(&target, 0));
        let alignment = align(&source, &target, &RULES);
        let differences = compare(&source, &target, &alignment);
        claimed_once(&differences, &explain(&source, &target, &alignment, &differences, &RULES))?;
    }

    #[test]
    fn whatever_the_alignment_says_every_difference_has_one_cause(a in side(), b in side(), seed in any::<u64>()) {
        let (source, target) = (checkpoint(&a, Format::TorchZip), checkpoint(&b, Format::Json));
        let (source, target) = (StateDict::below(&source, 0), StateDict::below(&target, 0));
        let alignment = some_alignment(a.len(), b.len(), seed);
        let differences = compare(&source, &target, &alignment);
        let findings = explain(&source, &target, &alignment, &differences, &RULES);
        claimed_once(&differences, &findings)?;
        let none = RuleSet::default();
        claimed_once(&differences, &explain(&source, &target, &alignment, &differences, &none))?;
    }

    #[test]
    fn what_does_not_load_has_an_error(a in side(), b in side()) {
        let (source, target) = (checkpoint(&a, Format::Json), checkpoint(&b, Format::Json));
        let (source, target) = (StateDict::below(&source, 0), StateDict::below(&target, 0));
        let alignment = align(&source, &target, &RULES);
        let differences = compare(&source, &target, &alignment);
        let findings = explain(&source, &target, &alignment, &differences, &RULES);
        let refused = differences.iter().any(|d| !matches!(d, Difference::DtypeMismatch { .. }));
        prop_assert!(!refused || findings.iter().any(|f| f.severity == Severity::Error), "{findings:?}");
    }
}
