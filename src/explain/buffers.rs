//! Buffers that the model fills by itself, and the few that it cannot.

use std::collections::{BTreeMap, HashSet};

use super::case::{Case, Cause, Rank, count};
use super::{Remedy, Severity};
use crate::checkpoint::{Entry, Format};
use crate::compare::Difference;
use crate::rules::{Buffer, Filled, Form};

/// What is amiss with the buffers of one rule.
#[derive(Default)]
struct Amiss {
    claims: Vec<u32>,
    missing: usize,
    unexpected: usize,
    resized: usize,
}

/// Explains missing, unexpected and resized buffers, one finding a rule.
pub(super) fn explain(case: &mut Case<'_>) {
    let mut found: BTreeMap<(&str, u8), (&Buffer, Amiss)> = BTreeMap::new();
    let norms = norms_amiss(case);
    for (difference, fact) in case.open() {
        let source = |i: u32| case.source.entries.get(i as usize).copied();
        let target = |i: u32| case.target.entries.get(i as usize).copied();
        let (entry, kind) = match *fact {
            Difference::Missing { target: t } => (target(t), 0),
            Difference::Unexpected { source: s } => (source(s), 1),
            Difference::SizeMismatch { matched } => (case.matched(matched).and_then(|m| target(m.target)), 2),
            _ => (None, 3),
        };
        let Some(buffer) = entry.and_then(|e| of(case, &e)) else { continue };
        // The counter of a norm that is missing or unexpected as a whole goes with it.
        let whole = entry.is_some_and(|e| norms.contains(&(kind == 0, e.key.module())));
        if buffer.filled == Filled::ByCounting && whole {
            continue;
        }
        // Counting has its own account of each side; everything else is told as one.
        let side = if buffer.filled == Filled::ByCounting { kind } else { 0 };
        let (_, amiss) = found.entry((&buffer.rule, side)).or_insert_with(|| (buffer, Amiss::default()));
        amiss.claims.push(difference);
        match kind {
            0 => amiss.missing += 1,
            1 => amiss.unexpected += 1,
            _ => amiss.resized += 1,
        }
    }
    for (buffer, amiss) in found.into_values() {
        let cause = match buffer.filled {
            Filled::ByTheModel => rebuilt(case, buffer, &amiss),
            Filled::ByCounting => counted(case, buffer, &amiss),
            Filled::ByTheFile => needed(case, buffer, &amiss),
        };
        case.claim(amiss.claims, cause);
    }
}

/// Modules whose running mean is missing (`true`) or unexpected (`false`).
fn norms_amiss<'a>(case: &Case<'a>) -> HashSet<(bool, &'a str)> {
    let mean = |e: &Entry<'a>| (e.key.leaf() == "running_mean").then(|| e.key.module());
    let missing = case.missing();
    let missing = missing.iter().filter_map(|(_, e)| mean(e)).map(|m| (true, m));
    let unexpected = case.unexpected();
    missing.chain(unexpected.iter().filter_map(|(_, e)| mean(e)).map(|m| (false, m))).collect()
}

/// The rule that knows the entry as a buffer.
fn of<'a>(case: &Case<'a>, entry: &Entry<'a>) -> Option<&'a Buffer> {
    let mut rules =
        case.rules.buffers.get(entry.key).filter(|b| b.form.fits(entry.shape()) || mask_of_a_text(case, b, entry));
    let first = rules.next()?;
    // What only the file can fill wins over the many that the model fills.
    Some(rules.find(|b| b.filled == Filled::ByTheFile).unwrap_or(first))
}

/// Whether a text without shapes names a causal mask: a `bias` with a `masked_bias` beside it in the checkpoint.
fn mask_of_a_text(case: &Case<'_>, buffer: &Buffer, entry: &Entry<'_>) -> bool {
    let beside = |e: &Entry<'_>| e.key.leaf() == "masked_bias" && e.key.module() == entry.key.module();
    case.partial()
        && buffer.form == Form::CausalMask
        && entry.shape().is_none()
        && case.source.entries.iter().any(beside)
}

/// `3 missing, 2 of another size`.
fn account(amiss: &Amiss) -> String {
    let parts = [(amiss.missing, "missing"), (amiss.unexpected, "unexpected"), (amiss.resized, "of another size")];
    let parts: Vec<String> = parts.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{n} {what}")).collect();
    parts.join(", ")
}

/// The last word of the buffers' names, when they have one in common.
fn name(case: &Case<'_>, buffer: &Buffer, amiss: &Amiss) -> String {
    let leaf = |&i: &u32| match *case.differences.get(i as usize)? {
        Difference::Missing { target } => case.target.entries.get(target as usize).map(|e| e.key.leaf()),
        Difference::Unexpected { source } => case.source.entries.get(source as usize).map(|e| e.key.leaf()),
        Difference::SizeMismatch { matched } => {
            case.matched(matched).and_then(|m| case.target.entries.get(m.target as usize)).map(|e| e.key.leaf())
        }
        _ => None,
    };
    let mut names: Vec<&str> = amiss.claims.iter().filter_map(leaf).collect();
    names.sort_unstable();
    names.dedup();
    if names.is_empty() {
        buffer.rule.clone()
    } else {
        names.iter().map(|n| format!("`{n}`")).collect::<Vec<_>>().join(", ")
    }
}

fn rebuilt(case: &Case<'_>, buffer: &Buffer, amiss: &Amiss) -> Cause {
    let name = name(case, buffer, amiss);
    let n = count(amiss.claims.len(), "buffer");
    let are = if amiss.claims.len() == 1 { "is" } else { "are" };
    let message = format!("{n} {name} {are} rebuilt by the model ({})", account(amiss));
    let help = match (amiss.missing, amiss.unexpected + amiss.resized) {
        (_, 0) => "nothing is lost: load with strict=False",
        (0, _) => "nothing is lost: drop from the checkpoint",
        _ => "nothing is lost: drop from the checkpoint, and load with strict=False",
    };
    Cause::new("CK401", Rank::Harmless, Remedy::Edit, message)
        .by(case.rules.rule(&buffer.rule))
        .help(help)
        .rider()
        .with("missing", amiss.missing)
        .with("unexpected", amiss.unexpected)
        .with("resized", amiss.resized)
}

fn counted(case: &Case<'_>, buffer: &Buffer, amiss: &Amiss) -> Cause {
    let n = count(amiss.claims.len(), "batch counter");
    let rule = case.rules.rule(&buffer.rule);
    let finding = |message: String, help: &str| {
        Cause::new("CK402", Rank::Harmless, Remedy::Edit, message)
            .by(rule)
            .help(help)
            .rider()
            .with("missing", amiss.missing)
            .with("unexpected", amiss.unexpected)
    };
    if amiss.missing == 0 {
        return finding(
            format!(
                "{n} `num_batches_tracked` of the checkpoint {} no place in the model",
                if amiss.claims.len() == 1 { "has" } else { "have" }
            ),
            "harmless: drop them; only BatchNorm with momentum=None reads them",
        );
    }
    let message = format!("{n} `num_batches_tracked` {} missing", if amiss.claims.len() == 1 { "is" } else { "are" });
    let mut cause = finding(message, "harmless: load with strict=False, or start each from 0");
    // `_NormBase._load_from_state_dict` makes the counter where the state_dict carries no version of the module, or one
    // before the counter came; with version 2 a strict load refuses.
    let made = match version(case) {
        Versions::None => Some("the state_dict has no versions of its modules (`_metadata`)"),
        Versions::Known(version) if version < COUNTED_SINCE => Some("the file is from before PyTorch 0.4.1"),
        Versions::Known(_) => {
            cause.help =
                "PyTorch refuses because `_metadata` says that the file should have them; harmless: load with \
                          strict=False, or as a plain dict (dict(state_dict))"
                    .to_owned();
            None
        }
        Versions::Unknown => None,
    };
    if let Some(why) = made {
        cause.severity = Severity::Note;
        cause.remedy = Remedy::None;
        cause.help = format!("nothing to do: PyTorch starts each from 0, since {why}");
    }
    cause
}

/// The version of BatchNorm that first had the counter.
const COUNTED_SINCE: u32 = 2;

/// What is known of the versions of modules in the checkpoint.
enum Versions {
    /// It cannot have any, or has none.
    None,
    /// The highest.
    Known(u32),
    /// The checkpoint is known by its keys alone.
    Unknown,
}

fn version(case: &Case<'_>) -> Versions {
    let checkpoint = case.source.checkpoint;
    let of = |format| match format {
        Format::Safetensors | Format::SafetensorsSharded => Versions::None,
        Format::TorchZip | Format::TorchLegacy | Format::TorchTar | Format::TorchSharded | Format::Pickle => {
            let container = checkpoint.containers.iter().find(|c| *c.name == *case.source.container);
            container.and_then(|c| c.version).map_or(Versions::None, Versions::Known)
        }
        _ => Versions::Unknown,
    };
    of(checkpoint.format)
}

fn needed(case: &Case<'_>, buffer: &Buffer, amiss: &Amiss) -> Cause {
    let name = name(case, buffer, amiss);
    let n = count(amiss.claims.len(), "buffer");
    let message = format!("{n} {name} must come from the file ({})", account(amiss));
    Cause::new("CK404", Rank::Missing, Remedy::Lost, message).by(case.rules.rule(&buffer.rule))
}
