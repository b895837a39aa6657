//! Keys that together mean that modules are stored in another way, or that the file is not a model: rules of `groups/`.

use std::collections::HashSet;

use super::Remedy;
use super::case::{Case, Cause, Rank, count};
use super::prefix::unwrap;
use crate::checkpoint::Key;
use crate::compare::Difference;
use crate::rules::{Group, GroupRemedy};

/// Explains what the rules of `groups/` recognise.
pub(super) fn explain(case: &mut Case<'_>) {
    for group in &case.rules.groups {
        explain_one(case, group);
    }
}

/// A key of one side that may belong to the group.
struct Member<'a> {
    difference: u32,
    key: Key<'a>,
}

fn explain_one(case: &mut Case<'_>, group: &Group) {
    let mut given: Vec<Member<'_>> = members(case.unexpected());
    let mut wanted: Vec<Member<'_>> = members(case.missing());
    // A key that was found under another name counts when both of its names belong to the group.
    for (difference, _, source, target) in case.renamed() {
        let ours = (group.given.iter().any(|p| p.contains(source.key)) || group.also_given.contains(source.key))
            && (group.wanted.iter().any(|p| p.contains(target.key)) || group.also_wanted.contains(target.key));
        if ours {
            given.push(Member { difference, key: source.key });
            wanted.push(Member { difference, key: target.key });
        }
    }
    // What was joined from several tensors: a quantised weight.
    for (difference, fact) in case.open() {
        let Difference::Renamed { matched } = *fact else { continue };
        let Some(m) = case.matched(matched).filter(|m| m.source.len() > 1) else { continue };
        let Some(target) = case.target.entries.get(m.target as usize) else { continue };
        let sources = m.source.iter().filter_map(|&s| case.source.entries.get(s as usize));
        let signs: Vec<Key<'_>> =
            sources.map(|e| e.key).filter(|&k| group.given.iter().any(|p| p.contains(k))).collect();
        if !signs.is_empty() {
            given.extend(signs.into_iter().map(|key| Member { difference, key }));
            wanted.push(Member { difference, key: target.key });
        }
    }
    let all_there = group.given.iter().all(|p| given.iter().any(|m| p.contains(m.key)))
        && group.wanted.iter().all(|p| wanted.iter().any(|m| p.contains(m.key)));
    if !all_there {
        return;
    }
    let signs = |members: &[Member<'_>], patterns: &[crate::rules::PatternMap<()>]| -> Vec<u32> {
        let sign = |m: &&Member<'_>| patterns.iter().any(|p| p.contains(m.key));
        members.iter().filter(sign).map(|m| m.difference).collect()
    };
    let mut claims = signs(&given, &group.given);
    claims.extend(signs(&wanted, &group.wanted));
    claims.sort_unstable();
    claims.dedup();
    let signed: HashSet<u32> = claims.iter().copied().collect();
    let modules: HashSet<String> =
        given.iter().chain(&wanted).filter(|m| signed.contains(&m.difference)).map(|m| module(case, m.key)).collect();
    // Beside a sign, below it (`weight.quant_state.…` beside `weight.absmax`), or the tensor the signs hang on.
    let beside = |m: &&Member<'_>| {
        let module = module(case, m.key);
        let mut above = module.as_str();
        modules.contains(&bare(case, m.key))
            || std::iter::from_fn(|| above.rsplit_once('.').map(|(parent, _)| above = parent).map(|()| above))
                .take(2)
                .chain([module.as_str()])
                .any(|m| modules.contains(m))
    };
    claims.extend(given.iter().filter(|m| group.also_given.contains(m.key)).filter(beside).map(|m| m.difference));
    claims.extend(wanted.iter().filter(|m| group.also_wanted.contains(m.key)).filter(beside).map(|m| m.difference));
    let keys = modules.len();
    // The tensor that stays under its name holds other values: packed, scaled, halved.
    claims.extend(case.open().filter_map(|(difference, fact)| match *fact {
        Difference::SizeMismatch { matched } | Difference::DtypeMismatch { matched, .. } => {
            let m = case.matched(matched)?;
            let target = case.target.entries.get(m.target as usize)?;
            let member = Member { difference, key: target.key };
            let ours = group.also_wanted.contains(target.key) || modules.contains(&bare(case, target.key));
            (ours && beside(&&member)).then_some(difference)
        }
        _ => None,
    }));
    let whole = group.whole && claims.len() * 2 >= case.source.entries.len();
    if whole {
        let rest = case.open().filter(|(_, d)| matches!(d, Difference::Missing { .. } | Difference::Unexpected { .. }));
        claims.extend(rest.map(|(i, _)| i));
    }
    let Some(code) = super::known_code(&group.code) else { return };
    let remedy = match group.remedy {
        GroupRemedy::Edit => Remedy::Edit,
        GroupRemedy::Lost => Remedy::Lost,
    };
    let message = format!("{} ({})", group.message, count(keys, "module"));
    let rank = if whole { Rank::File } else { Rank::Stored };
    let cause = Cause::new(code, rank, remedy, message).by(case.rules.rule(&group.rule)).with("modules", keys);
    case.claim(claims, cause);
}

fn members<'a>(entries: Vec<(u32, crate::checkpoint::Entry<'a>)>) -> Vec<Member<'a>> {
    entries.into_iter().map(|(difference, e)| Member { difference, key: e.key }).collect()
}

/// The module of a key, without wrappers, so that both sides name it alike.
fn module(case: &Case<'_>, key: Key<'_>) -> String {
    unwrap(case.rules, key.module()).1
}

/// The key itself without wrappers: what `fc.weight.absmax` lies below.
fn bare(case: &Case<'_>, key: Key<'_>) -> String {
    unwrap(case.rules, key.as_str()).1
}
