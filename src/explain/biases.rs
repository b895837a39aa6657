//! Layers that have a bias on one side only.

use std::collections::HashSet;

use super::Remedy;
use super::case::{Case, Cause, Rank, some};
use super::fold::fold_keys;
use crate::checkpoint::Entry;
use crate::rules::Diagnosis;

/// Patterns spelled out in a message.
const SHOWN: usize = 3;

/// Explains biases that are open while the weight beside them is not.
pub(super) fn explain(case: &mut Case<'_>) {
    let Some(about) = case.rules.diagnosis(Diagnosis::Bias) else { return };
    for given in [true, false] {
        let (open, others) =
            if given { (case.unexpected(), case.missing()) } else { (case.missing(), case.unexpected()) };
        if open.iter().all(|(_, e)| e.key.leaf() != "bias") {
            continue;
        }
        let side = if given { case.source } else { case.target };
        // A text names no weight that fits; where both sides are known it must be there.
        let weights: HashSet<&str, foldhash::fast::RandomState> =
            side.entries.iter().filter(|e| e.key.leaf() == "weight").map(|e| e.key.module()).collect();
        // `predictions.bias` beside an open `predictions.decoder.weight` is part of something larger.
        let mut open_elsewhere: HashSet<&str, foldhash::fast::RandomState> = HashSet::default();
        for (_, entry) in open.iter().chain(&others).filter(|(_, e)| e.key.leaf() != "bias") {
            let mut above = entry.key.as_str();
            while let Some((module, _)) = above.rsplit_once('.') {
                if !open_elsewhere.insert(module) {
                    break;
                }
                above = module;
            }
        }
        let alone = |e: &Entry<'_>| {
            let module = e.key.module();
            e.key.leaf() == "bias"
                && !module.is_empty()
                && !open_elsewhere.contains(module)
                && (case.partial() || weights.contains(module))
        };
        let biases: Vec<(u32, &str)> =
            open.iter().filter(|(_, e)| alone(e)).map(|(d, e)| (*d, e.key.as_str())).collect();
        // Where a text leaves the other side open as well, a bias may be the counterpart of anything.
        if biases.is_empty() || case.partial() && !others.is_empty() {
            continue;
        }
        let names: Vec<String> = fold_keys(biases.iter().map(|(_, key)| *key)).into_iter().map(|f| f.pattern).collect();
        let n = match biases.len() {
            1 => "1 bias".to_owned(),
            n => format!("{n} biases"),
        };
        let shown = some(&names, SHOWN);
        let cause = if given {
            let has = if biases.len() == 1 { "has" } else { "have" };
            let message = format!("{n} of the checkpoint {has} no place: the model's layers have none ({shown})");
            Cause::new("CK102", Rank::Leftover, Remedy::Edit, message).by(Some(about))
        } else {
            let are = if biases.len() == 1 { "is" } else { "are" };
            let message = format!("{n} {are} missing: the checkpoint's layers have none ({shown})");
            Cause::new("CK101", Rank::Missing, Remedy::Lost, message).by(Some(about)).help(
                "build the layers with bias=False, or start the biases at 0: both compute what the checkpoint did",
            )
        };
        let cause = cause.confidence(if case.partial() { 0.7 } else { 0.9 }).with("modules", names);
        case.claim(biases.into_iter().map(|(d, _)| d).collect::<Vec<_>>(), cause);
    }
}
