//! What no other explanation claims: whole modules that one side does not have, then single keys, folded.

use std::collections::{BTreeMap, BTreeSet};

use super::case::{Case, Cause, Rank, count, some};
use super::fold::{Folded, fold_keys, roots};
use super::{Remedy, Severity};
use crate::checkpoint::Entry;
use crate::compare::Difference;
use crate::rules::{Diagnosis, Head};

/// Patterns spelled out in a message.
const SHOWN: usize = 4;

/// So many keys left over on each side may be the same under other names.
const MANY: usize = 4;

/// The most copies of one model that are told by their prefixes.
const MOST_COPIES: usize = 6;

/// Explains everything that is still open.
pub(super) fn explain(case: &mut Case<'_>) {
    beside_the_part(case);
    heads(case);
    ambiguous(case);
    fresh(case);
    unexpected(case);
    everything_else(case);
}

/// Modules of the larger model, when its checkpoint is loaded into a part of it.
fn beside_the_part(case: &mut Case<'_>) {
    let part = case.with_code("CK103").find_map(|f| {
        let text = |name| f.arguments.get(name).and_then(|v| v.as_str()).map(str::to_owned);
        (text("side")? == "source").then_some(())?;
        Some((text("whole")?, text("part")?, text("prefix")?))
    });
    let Some((whole, part, prefix)) = part else { return };
    let outside: Vec<(u32, Entry<'_>)> =
        case.unexpected().into_iter().filter(|(_, e)| !e.key.as_str().starts_with(&prefix)).collect();
    if outside.is_empty() {
        return;
    }
    let names: Vec<String> = places(case, &outside, true).into_iter().map(|f| f.pattern).collect();
    let are = if outside.len() == 1 { "is" } else { "are" };
    let message = format!(
        "{} of the {whole} {are} not part of the {part} ({})",
        count(outside.len(), "key"),
        some(&names, SHOWN)
    );
    let cause = Cause::new("CK108", Rank::Leftover, Remedy::Edit, message)
        .by(case.rules.diagnosis(Diagnosis::Leftover))
        .rider()
        .with("modules", names);
    case.claim(outside.into_iter().map(|(d, _)| d), cause);
}

/// Modules that the rules know as heads, on either side.
fn heads(case: &mut Case<'_>) {
    for given in [true, false] {
        let open = if given { case.unexpected() } else { case.missing() };
        let mut by_rule: BTreeMap<&str, (&Head, Vec<(u32, Entry<'_>)>)> = BTreeMap::new();
        for (difference, entry) in open {
            let head = head_of(case, entry.key.as_str());
            if let Some(head) = head {
                by_rule.entry(&head.rule).or_insert_with(|| (head, Vec::new())).1.push((difference, entry));
            }
        }
        for (head, keys) in by_rule.into_values() {
            let names: Vec<String> = places(case, &keys, given).into_iter().map(|f| f.pattern).collect();
            let n = count(keys.len(), "key");
            let place = some(&names, SHOWN);
            let cause = if given {
                let have = if keys.len() == 1 { "has" } else { "have" };
                let message = format!("{n} of the {}'s {} {have} no place in the model ({place})", head.of, head.what);
                Cause::new("CK108", Rank::Leftover, Remedy::Edit, message).rider().help("drop them")
            } else {
                let is = if head.what.ends_with('s') { "are" } else { "is" };
                let message = format!("the {}'s {} {is} not in the checkpoint ({place}, {n})", head.of, head.what);
                Cause::new("CK107", Rank::Missing, Remedy::Lost, message)
                    .help("it starts from its initialisation: train it, or take a checkpoint that has it")
            };
            let help = cause.help.clone();
            let cause = cause.by(case.rules.rule(&head.rule)).help(help).with("modules", names);
            case.claim(keys.into_iter().map(|(d, _)| d), cause);
        }
    }
}

/// The rule that knows the module at the top of a key as a head: `fc` within a block is a layer like any other.
pub(super) fn head_of<'a>(case: &Case<'a>, key: &str) -> Option<&'a Head> {
    let bare = case.rules.unwrap(key).1;
    let named = |key: &str| case.rules.head(key.split('.').next().unwrap_or(""));
    let part = || case.rules.parts.iter().find_map(|p| bare.strip_prefix(p.prefix.as_str())?.strip_prefix('.'));
    named(&bare).or_else(|| named(part()?))
}

/// Groups that could not be decided, one finding a reason.
fn ambiguous(case: &mut Case<'_>) {
    let mut by_reason: BTreeMap<&str, (Vec<u32>, usize)> = BTreeMap::new();
    for (difference, fact) in case.open() {
        if let Difference::Ambiguous { group } = *fact
            && let Some(group) = case.alignment.ambiguous.get(group as usize)
        {
            let reason = by_reason.entry(&group.why).or_default();
            reason.0.push(difference);
            reason.1 += group.target.len();
        }
    }
    for (why, (claims, keys)) in by_reason {
        let copies = copies_of(case, &claims);
        let message = match copies.len() {
            0 | 1 => format!("{} of the model could be one of several: {why}", count(keys, "key")),
            n => {
                let (are, times) =
                    (if keys == 1 { "is" } else { "are" }, if n == 2 { "twice".into() } else { format!("{n} times") });
                format!("{} {are} there {times}: under {}", count(keys, "expected key"), some(&copies, SHOWN))
            }
        };
        let mut cause = Cause::new("CK109", Rank::Ambiguous, Remedy::Lost, message)
            .by(case.rules.diagnosis(Diagnosis::Ambiguous))
            .confidence(0.5)
            .with("target_keys", keys);
        if super::renamed::minor(case, keys) {
            cause.rank = Rank::Harmless;
        }
        if copies.len() > 1 {
            cause = cause
                .help("keep the copy that is meant: filter by its prefix and strip it, and leave the others out")
                .with("copies", copies);
        }
        case.claim(claims, cause);
    }
}

/// The prefixes under which groups hold one expected key several times; empty where any member is not such a copy.
fn copies_of(case: &Case<'_>, claims: &[u32]) -> Vec<String> {
    let mut prefixes: BTreeSet<&str> = BTreeSet::new();
    for &claim in claims {
        let Some(Difference::Ambiguous { group }) = case.differences.get(claim as usize) else { continue };
        let Some(group) = case.alignment.ambiguous.get(*group as usize) else { continue };
        for &s in &group.source {
            let Some(source) = case.source.entries.get(s as usize).map(|e| e.key.as_str()) else { continue };
            let targets = group.target.iter().filter_map(|&t| case.target.entries.get(t as usize));
            let mut found = targets.filter_map(|t| source.strip_suffix(t.key.as_str()));
            match found.find(|p| p.ends_with('.')) {
                Some(prefix) => prefixes.insert(prefix),
                None => return Vec::new(),
            };
        }
        if prefixes.len() > MOST_COPIES {
            return Vec::new();
        }
    }
    prefixes.into_iter().map(str::to_owned).collect()
}

/// Modules, or single keys, that stay as they were initialised.
fn fresh(case: &mut Case<'_>) {
    let missing = case.missing();
    // Of a text that leaves many names of both sides over, the same tensors may have other names.
    let either = case.partial() && missing.len() >= MANY && case.unexpected().len() >= MANY;
    for (group, keys) in whole_and_single(case, missing, false) {
        let names: Vec<String> = group.iter().map(|f| f.pattern.clone()).collect();
        let n = count(keys.len(), "expected key");
        let whole = group.iter().all(|f| f.pattern.ends_with('.'));
        let are = if keys.len() == 1 { "is" } else { "are" };
        let message = format!("{n} {are} not in the checkpoint: {}", some(&names, SHOWN));
        let (code, rule) =
            if whole && !case.partial() { ("CK107", case.rules.diagnosis(Diagnosis::Fresh)) } else { ("CK101", None) };
        let cause = Cause::new(code, Rank::Missing, Remedy::Lost, message)
            .by(rule)
            .help("they keep their initial values under strict=False: check that the checkpoint belongs to this model")
            .confidence(if either { 0.5 } else { 1.0 })
            .with("modules", names);
        case.claim(keys, cause);
    }
}

/// Modules, or single keys, that the model has no use for.
fn unexpected(case: &mut Case<'_>) {
    let unexpected = case.unexpected();
    for (group, keys) in whole_and_single(case, unexpected, true) {
        let names: Vec<String> = group.iter().map(|f| f.pattern.clone()).collect();
        let whole = group.iter().all(|f| f.pattern.ends_with('.')) && !case.partial();
        let n = count(keys.len(), "key");
        let (code, rule) = if whole { ("CK108", case.rules.diagnosis(Diagnosis::Leftover)) } else { ("CK102", None) };
        let has = if keys.len() == 1 { "has" } else { "have" };
        let message = format!("{n} of the checkpoint {has} no place in the model: {}", some(&names, SHOWN));
        let mut cause = Cause::new(code, Rank::Leftover, Remedy::Edit, message).by(rule).with("modules", names);
        cause.help = "drop them, if the model is the one that is meant".to_owned();
        if whole {
            cause = cause.rider();
        }
        case.claim(keys, cause);
    }
}

/// Whatever is left: a fact is never lost for want of an explanation.
fn everything_else(case: &mut Case<'_>) {
    super::sizes::plain(case);
    let left: Vec<u32> = case.open().map(|(i, _)| i).collect();
    let message = format!("{} without an explanation", count(left.len(), "difference"));
    let mut cause = Cause::new("CK201", Rank::Size, Remedy::Lost, message);
    cause.severity = Severity::Error;
    case.claim(left, cause);
}

/// Folds keys into the modules they fill, or, where the other keys of a side are not known, into patterns of their names.
fn places(case: &Case<'_>, keys: &[(u32, Entry<'_>)], given: bool) -> Vec<Folded> {
    let names: Vec<&str> = keys.iter().map(|(_, e)| e.key.as_str()).collect();
    if case.partial() {
        return fold_keys(names.iter().copied());
    }
    let all = if given { &case.source.entries } else { &case.target.entries };
    let found = roots(&names, all.iter().map(|e| e.key.as_str()));
    // `layers.0.ls1.` … `layers.23.ls1.` are one place to a reader; what ends in a dot is a module, the rest are keys.
    let modules = found.iter().filter_map(|f| f.pattern.strip_suffix('.'));
    let single = found.iter().map(|f| f.pattern.as_str()).filter(|p| !p.ends_with('.'));
    let mut out: Vec<Folded> =
        fold_keys(modules).into_iter().map(|f| Folded { pattern: f.pattern + ".", ..f }).collect();
    out.extend(fold_keys(single));
    out
}

/// Parts keys into those of whole modules and single ones.
fn whole_and_single<'a>(case: &Case<'a>, keys: Vec<(u32, Entry<'a>)>, given: bool) -> Vec<(Vec<Folded>, Vec<u32>)> {
    let side = if given { &case.source.entries } else { &case.target.entries };
    let names: Vec<&str> = keys.iter().map(|(_, e)| e.key.as_str()).collect();
    let of: Vec<bool> = if case.partial() {
        vec![false; names.len()]
    } else {
        let found = roots(&names, side.iter().map(|e| e.key.as_str()));
        let whole: std::collections::HashSet<&str> =
            found.iter().map(|f| f.pattern.as_str()).filter(|p| p.ends_with('.')).collect();
        let below =
            |name: &&str| name.match_indices('.').any(|(at, _)| name.get(..=at).is_some_and(|p| whole.contains(p)));
        names.iter().map(below).collect()
    };
    let part = |wanted: bool| {
        let keys: Vec<(u32, Entry<'a>)> =
            keys.iter().zip(&of).filter(|(_, whole)| **whole == wanted).map(|(k, _)| *k).collect();
        (places(case, &keys, given), keys.into_iter().map(|(d, _)| d).collect::<Vec<u32>>())
    };
    [part(true), part(false)].into_iter().filter(|(_, keys)| !keys.is_empty()).collect()
}
