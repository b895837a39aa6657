//! What must hold for every pair of checkpoints, tried on made-up ones.

use std::collections::{BTreeSet, HashMap};
use std::sync::LazyLock;

use ckdiff::align::{Alignment, How, align};
use ckdiff::checkpoint::{Checkpoint, Format, Role, StateDict, TensorInfo};
use ckdiff::compare::{Difference, compare};
use ckdiff::explain::{Finding, explain};
use ckdiff::judge::{Coverage, Evidence, Level, Verdict, judge};
use ckdiff::report::style::Style;
use ckdiff::report::{json, text};
use ckdiff::rules::RuleSet;
use proptest::prelude::*;

/// Keys and shapes, in order.
type Spec = Vec<(String, Vec<u64>)>;

fn checkpoint(spec: &Spec) -> Checkpoint {
    let mut checkpoint = Checkpoint::new("made-up.json", Format::Json);
    checkpoint.tensors = spec
        .iter()
        .map(|(key, shape)| TensorInfo {
            path: key.as_str().into(),
            container: 0,
            dtype: None,
            shape: Some(shape.clone().into()),
            role: Role::Unknown,
            placement: None,
        })
        .collect();
    checkpoint.containers[0].tensors = spec.len();
    checkpoint
}

/// A small model: blocks of a few layers with weights and biases, in registration order.
fn model() -> impl Strategy<Value = Spec> {
    let layer = prop::sample::select(vec!["attn.qkv", "attn.proj", "norm1", "norm2", "mlp.fc1", "mlp.fc2", "dw"]);
    let stem = prop::sample::select(vec!["blocks", "layers", "encoder.layer", "stages"]);
    (stem, 1..4usize, prop::collection::btree_set(layer, 1..5), 1..4u64, any::<bool>()).prop_map(
        |(stem, depth, layers, width, head)| {
            let mut spec = Spec::new();
            for block in 0..depth {
                for (i, layer) in layers.iter().enumerate() {
                    let wide = 8 * width * (i as u64 + 1);
                    let weight = if layer.starts_with("norm") { vec![8 * width] } else { vec![wide, 8 * width] };
                    spec.push((format!("{stem}.{block}.{layer}.weight"), weight.clone()));
                    spec.push((format!("{stem}.{block}.{layer}.bias"), vec![weight[0]]));
                }
            }
            if head {
                spec.push(("head.weight".into(), vec![10, 8 * width]));
                spec.push(("head.bias".into(), vec![10]));
            }
            spec
        },
    )
}

/// What happens to a checkpoint on its way through other people's hands.
#[derive(Clone, Debug)]
enum Mishap {
    Prefix(&'static str),
    Lose(usize),
    Add(&'static str),
    Resize(usize),
    Word(&'static str, &'static str),
    Shuffle(usize),
}

fn mishap() -> impl Strategy<Value = Mishap> {
    prop_oneof![
        prop::sample::select(vec!["module.", "backbone.", "_orig_mod.", "student."]).prop_map(Mishap::Prefix),
        any::<usize>().prop_map(Mishap::Lose),
        prop::sample::select(vec!["fc.weight", "neck.lateral.bias", "blocks.0.extra"]).prop_map(Mishap::Add),
        any::<usize>().prop_map(Mishap::Resize),
        prop::sample::select(vec![("attn", "self_attn"), ("mlp", "ffn"), ("blocks", "layers"), ("norm1", "ln_1")])
            .prop_map(|(a, b)| Mishap::Word(a, b)),
        any::<usize>().prop_map(Mishap::Shuffle),
    ]
}

fn suffer(mut spec: Spec, mishaps: &[Mishap]) -> Spec {
    for m in mishaps {
        let n = spec.len().max(1);
        match m {
            Mishap::Prefix(p) => spec.iter_mut().for_each(|(k, _)| *k = format!("{p}{k}")),
            Mishap::Lose(i) if !spec.is_empty() => drop(spec.remove(i % n)),
            Mishap::Add(k) if spec.iter().all(|(other, _)| other != k) => spec.push(((*k).into(), vec![5])),
            Mishap::Resize(i) if !spec.is_empty() => spec[i % n].1[0] += 1,
            Mishap::Word(a, b) => {
                let renamed: Spec = spec
                    .iter()
                    .map(|(k, s)| {
                        (k.split('.').map(|x| if x == *a { b } else { x }).collect::<Vec<_>>().join("."), s.clone())
                    })
                    .collect();
                let distinct: BTreeSet<_> = renamed.iter().map(|(k, _)| k).collect();
                if distinct.len() == renamed.len() {
                    spec = renamed;
                }
            }
            Mishap::Shuffle(i) if !spec.is_empty() => spec.rotate_left(i % n),
            _ => {}
        }
    }
    spec
}

fn pair() -> impl Strategy<Value = (Spec, Spec)> {
    (model(), prop::collection::vec(mishap(), 0..4), prop::collection::vec(mishap(), 0..2))
        .prop_map(|(spec, ours, theirs)| (suffer(spec.clone(), &ours), suffer(spec, &theirs)))
}

/// All that the pipeline says of a pair.
struct Outcome {
    alignment: Alignment,
    differences: Vec<Difference>,
    findings: Vec<Finding>,
    verdict: Verdict,
    coverage: Coverage,
    text: String,
    json: serde_json::Value,
}

fn outcome(source: &Spec, target: &Spec) -> Outcome {
    static RULES: LazyLock<RuleSet> = LazyLock::new(RuleSet::embedded);
    let rules = &*RULES;
    let (a, b) = (checkpoint(source), checkpoint(target));
    let (source, target) = (StateDict::below(&a, 0), StateDict::below(&b, 0));
    let alignment = align(&source, &target, rules);
    let differences = compare(&source, &target, &alignment);
    let findings = explain(&source, &target, &alignment, &differences, rules);
    let evidence = Evidence::new(&source, &target, &alignment, &differences, findings.clone());
    let report = judge(evidence, Level::Strict);
    let (mut plain, mut machine) = (Vec::new(), Vec::new());
    text::verdict(&report, &Style::default(), &mut plain).expect("writing to memory");
    json::verdict(&report, &mut machine).expect("writing to memory");
    let (verdict, coverage) = (report.verdict, report.coverage);
    Outcome {
        text: String::from_utf8(plain).expect("text is UTF-8"),
        json: serde_json::from_slice(&machine).expect("JSON parses"),
        verdict,
        coverage,
        alignment,
        differences,
        findings,
    }
}

/// Python's `re.sub` for each rename in turn.
fn renamed(key: &str, alignment: &Alignment) -> String {
    alignment.renames.iter().fold(key.to_owned(), |key, rule| {
        let pattern = regex::Regex::new(&rule.pattern).expect("a rename is a valid pattern");
        let replacement = regex::Regex::new(r"\\(\d+)").unwrap().replace_all(&rule.replacement, "$${$1}").into_owned();
        pattern.replace_all(&key, replacement.as_str()).into_owned()
    })
}

fn names(spec: &Spec, indices: &[u32]) -> BTreeSet<String> {
    indices.iter().map(|&i| spec[i as usize].0.clone()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_checkpoint_loads_into_itself_and_nothing_is_said((a, _) in pair()) {
        let out = outcome(&a, &a);
        prop_assert_eq!(out.verdict, Verdict::Loads);
        prop_assert_eq!(out.coverage, Coverage { before: a.len(), after: a.len(), resized: a.len(), rebuilt: 0, of: a.len() });
        prop_assert_eq!(out.text, "");
        prop_assert_eq!(out.findings, vec![]);
    }

    #[test]
    fn swapping_the_sides_swaps_missing_and_unexpected((a, b) in pair()) {
        let (there, back) = (outcome(&a, &b).alignment, outcome(&b, &a).alignment);
        prop_assert_eq!(names(&b, &there.missing), names(&b, &back.unexpected));
        prop_assert_eq!(names(&a, &there.unexpected), names(&a, &back.missing));
    }

    #[test]
    fn every_key_is_accounted_for_once((a, b) in pair()) {
        let alignment = outcome(&a, &b).alignment;
        let mut targets: Vec<u32> = alignment.matches.iter().map(|m| m.target).collect();
        targets.extend(&alignment.missing);
        targets.extend(alignment.ambiguous.iter().flat_map(|g| &g.target));
        targets.sort_unstable();
        prop_assert_eq!(targets, (0..b.len() as u32).collect::<Vec<_>>());
        let mut sources: BTreeSet<u32> = alignment.matches.iter().flat_map(|m| m.source.clone()).collect();
        sources.extend(alignment.ambiguous.iter().flat_map(|g| g.source.clone()));
        for s in &alignment.unexpected {
            prop_assert!(sources.insert(*s), "{} is unexpected and matched", a[*s as usize].0);
        }
        prop_assert_eq!(sources.len(), a.len());
    }

    #[test]
    fn renames_reproduce_the_renamed_matches_and_never_send_two_keys_to_one((a, b) in pair()) {
        let alignment = outcome(&a, &b).alignment;
        for m in alignment.matches.iter().filter(|m| m.how == How::Renamed) {
            let source = &a[m.source[0] as usize].0;
            prop_assert_eq!(&renamed(source, &alignment), &b[m.target as usize].0, "from {}", source);
        }
        let dropped: Vec<_> = alignment.drops.iter().map(|d| regex::Regex::new(&d.pattern).expect("a valid pattern")).collect();
        let mut to: HashMap<String, &str> = HashMap::new();
        for (key, _) in a.iter().filter(|(k, _)| !dropped.iter().any(|d| d.is_match(k))) {
            let new = renamed(key, &alignment);
            if let Some(other) = to.insert(new.clone(), key) {
                prop_assert!(false, "{other} and {key} both become {new}");
            }
        }
    }

    #[test]
    fn every_difference_is_claimed_by_exactly_one_finding((a, b) in pair()) {
        let out = outcome(&a, &b);
        let mut claims: Vec<u32> = out.findings.iter().flat_map(|f| f.claims.clone()).collect();
        claims.sort_unstable();
        prop_assert_eq!(claims, (0..out.differences.len() as u32).collect::<Vec<_>>());
    }

    #[test]
    fn json_says_what_the_library_says((a, b) in pair()) {
        let out = outcome(&a, &b);
        prop_assert_eq!(out.json["verdict"].as_str(), Some(out.verdict.id()));
        prop_assert_eq!(out.json["matches"].as_array().map(Vec::len), Some(out.alignment.matches.len()));
        prop_assert_eq!(out.json["coverage"]["after"].as_u64(), Some(out.coverage.after as u64));
        prop_assert_eq!(out.json["missing_keys"].as_array().map(Vec::len), Some(out.alignment.missing.len()));
        prop_assert_eq!(out.json["unexpected_keys"].as_array().map(Vec::len), Some(out.alignment.unexpected.len()));
        let positions: Vec<_> = out.alignment.matches.iter().map(|m| m.target).collect();
        prop_assert!(positions.is_sorted(), "matches stand in target order");
    }
}

#[test]
fn a_number_sign_in_a_key_is_a_character_like_any_other() {
    let keys = |all: &[&str]| all.iter().map(|k| ((*k).to_owned(), vec![8, 8])).collect::<Spec>();
    let source = keys(&["_orig_mod.policy_net.0.weight", "_orig_mod.policy_net.2.weight", "_orig_mod.a#b1.weight"]);
    let target = keys(&["policy_n#t.0.weight", "policy_net.2.weight", "a1b2.weight"]);
    outcome(&source, &target);
    let target = keys(&["policy_net.0.weight", "policy_net.2.weight", "a#b1.weight"]);
    let out = outcome(&source, &target);
    assert_eq!((out.coverage.after, out.verdict), (3, Verdict::LoadsAfterFix), "{:?}", out.alignment.renames);
}
