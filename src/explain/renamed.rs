//! The same tensors under other names, or laid out in another way.

use super::Remedy;
use super::case::{Case, Cause, Rank, count};
use crate::align::How;
use crate::compare::Difference;
use crate::rules::Diagnosis;

/// Rename rules that are spelled out in a help line.
const SHOWN: usize = 3;

/// Explains what is left of the renamed matches: one finding for each way of renaming.
pub(super) fn explain(case: &mut Case<'_>) {
    for how in [How::Identical, How::Renamed, How::Split, How::Merged, How::Transposed, How::Reshaped] {
        let mut claims = Vec::new();
        let mut confidence = 0.0f64;
        for (difference, fact) in case.open() {
            if let Difference::Renamed { matched } = *fact
                && let Some(m) = case.matched(matched).filter(|m| m.how == how)
            {
                claims.push(difference);
                confidence += f64::from(m.confidence);
            }
        }
        if !claims.is_empty() {
            let mean = (confidence / claims.len() as f64) as f32;
            let mut cause = cause(case, how, claims.len()).confidence(mean);
            if how == How::Reshaped {
                // What does not fit at all says more of the cause than what only has to be laid out anew.
                cause.rank = Rank::Missing;
            }
            if code_of_names(how) && minor(case, claims.len()) {
                cause.rank = Rank::Harmless;
                cause.confidence = mean.min(MINOR);
            }
            case.claim(claims, cause);
        }
    }
}

/// How sure renames may be that a text alone suggests for a few of many keys.
const MINOR: f32 = 0.6;

fn code_of_names(how: How) -> bool {
    matches!(how, How::Renamed | How::Identical)
}

const DOZEN: usize = 12;

/// Whether a text alone suggests new names for so few of its keys that they are not what is wrong.
pub(super) fn minor(case: &Case<'_>, keys: usize) -> bool {
    let plain = |side: &crate::checkpoint::StateDict<'_>| side.entries.iter().filter(|e| e.shape().is_none()).count();
    let (given, wanted) = (plain(case.source), plain(case.target));
    // A dozen renames are none by chance; of keys by the hundred, a quarter must be explained.
    let few = keys < DOZEN && (keys * 3 < 2 * given.min(wanted) || keys * 2 < wanted);
    case.partial() && (few || keys * 4 < given.min(wanted))
}

fn cause(case: &Case<'_>, how: How, keys: usize) -> Cause {
    let n = count(keys, "key");
    let (are, hold) = if keys == 1 { ("is", "holds") } else { ("are", "hold") };
    let (code, message, help) = match how {
        How::Split => (
            "CK119",
            format!("{n} of the model {are} parts of fused tensors of the checkpoint"),
            "split the fused tensors (q, k and v of one projection) while loading",
        ),
        How::Merged => (
            "CK119",
            format!("{n} of the model {are} joined from several tensors of the checkpoint"),
            "join the parts (q, k and v, or the experts of one layer) while loading; names do not tell their order",
        ),
        How::Transposed => (
            "CK207",
            format!("{n} {are} transposed in the checkpoint"),
            "transpose them while loading; square ones must be transposed as well, and no shape tells",
        ),
        How::Reshaped => (
            "CK213",
            format!("{n} {hold} the same values in another shape{}", shapes(case)),
            "reshape them while loading (a 1×1 convolution is a linear layer)",
        ),
        How::Renamed | How::Identical => ("CK104", message(case, keys), ""),
    };
    let mut cause = Cause::new(code, Rank::Renamed, Remedy::Edit, message).with("how", how.id()).with("keys", keys);
    if code == "CK104" {
        cause = cause.by(case.rules.diagnosis(Diagnosis::Renamed)).help(renames(case));
    } else {
        // Groups have signs of their own, which these keys did not show.
        let law = |id: &str| !id.starts_with("groups/");
        let rule = case.rules.about.iter().find(|rule| rule.code.as_deref() == Some(code) && law(&rule.id));
        cause = cause.by(rule).help(help);
    }
    cause
}

/// `: [1, 64] → [64]`, the shapes of the first match that has to be reshaped.
fn shapes(case: &Case<'_>) -> String {
    let first = case.renamed().into_iter().find(|(_, m, ..)| m.how == How::Reshaped);
    let shapes = first.and_then(|(_, _, source, target)| Some((source.shape()?, target.shape()?)));
    shapes.map_or_else(String::new, |(from, to)| format!(": {from} → {to}"))
}

fn message(case: &Case<'_>, keys: usize) -> String {
    let total = case.target.entries.len();
    if keys >= total && keys > 1 {
        format!("all {total} expected keys are there under other names")
    } else {
        format!("{} of {total} expected keys {} there under other names", keys, if keys == 1 { "is" } else { "are" })
    }
}

/// The rename rules of the alignment, the first few in full.
fn renames(case: &Case<'_>) -> String {
    let rules = &case.alignment.renames;
    if rules.is_empty() {
        return "rename them one to one".to_owned();
    }
    let shown: Vec<String> =
        rules.iter().take(SHOWN).map(|r| format!("`{}` → `{}`", r.pattern, r.replacement)).collect();
    let rest = rules.len().saturating_sub(SHOWN);
    let more = if rest == 0 { String::new() } else { format!(" and {}", count(rest, "rule") + " more") };
    format!("rename {}{more}", shown.join(", "))
}
