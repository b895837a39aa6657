//! Keys that together mean that modules are stored in another way, or that the file is not a model: rules of `groups/`.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use super::Remedy;
use super::case::{Case, Cause, Rank, count};
use crate::checkpoint::{Entry, Key};
use crate::compare::Difference;
use crate::rules::{Group, GroupPart, GroupRemedy, Role};

/// A key of one side that plays a part in a group.
#[derive(Clone, Copy)]
struct Member<'a> {
    difference: u32,
    key: Key<'a>,
    part: GroupPart,
}

impl Member<'_> {
    fn is_sign(&self) -> bool {
        matches!(self.part, GroupPart::Given(_) | GroupPart::Wanted(_))
    }
}

/// Explains what the rules of `groups/` recognise.
pub(super) fn explain(case: &mut Case<'_>) {
    let mut members: BTreeMap<usize, Vec<Member<'_>>> = BTreeMap::new();
    let given = |part| matches!(part, GroupPart::Given(_) | GroupPart::AlsoGiven);
    for (difference, entry) in case.unexpected() {
        for role in case.rules.group_roles.get(entry.key).filter(|r| given(r.part)) {
            members.entry(role.group).or_default().push(Member { difference, key: entry.key, part: role.part });
        }
    }
    for (difference, entry) in case.missing() {
        for role in case.rules.group_roles.get(entry.key).filter(|r| !given(r.part)) {
            members.entry(role.group).or_default().push(Member { difference, key: entry.key, part: role.part });
        }
    }
    // A key that was found under another name counts when both of its names belong to the group.
    for (difference, _, source, target) in case.renamed() {
        // A prefix that came or went says nothing of how the module is stored.
        if source.key.as_str().ends_with(target.key.as_str()) || target.key.as_str().ends_with(source.key.as_str()) {
            continue;
        }
        let here: Vec<&Role> = case.rules.group_roles.get(source.key).filter(|r| given(r.part)).collect();
        if here.is_empty() {
            continue;
        }
        for there in case.rules.group_roles.get(target.key).filter(|r| !given(r.part)) {
            for role in here.iter().filter(|r| r.group == there.group) {
                let group = members.entry(role.group).or_default();
                group.push(Member { difference, key: source.key, part: role.part });
                group.push(Member { difference, key: target.key, part: there.part });
            }
        }
    }
    undecided(case, &mut members);
    // What was joined from several tensors: a quantised weight.
    for (difference, fact) in case.open() {
        let Difference::Renamed { matched } = *fact else { continue };
        let Some(m) = case.matched(matched).filter(|m| m.source.len() > 1) else { continue };
        for entry in m.source.iter().filter_map(|&s| case.source.entries.get(s as usize)) {
            for role in case.rules.group_roles.get(entry.key).filter(|r| matches!(r.part, GroupPart::Given(_))) {
                members.entry(role.group).or_default().push(Member { difference, key: entry.key, part: role.part });
            }
        }
    }
    for (group, members) in members {
        if let Some(group) = case.rules.groups.get(group) {
            explain_one(case, group, &members);
        }
    }
}

/// Adds groups that no shape could decide, where every key of both sides plays a part in one rule.
fn undecided<'a>(case: &Case<'a>, members: &mut BTreeMap<usize, Vec<Member<'a>>>) {
    for (difference, fact) in case.open() {
        let Difference::Ambiguous { group } = *fact else { continue };
        let Some(group) = case.alignment.ambiguous.get(group as usize) else { continue };
        let source = group.source.iter().filter_map(|&s| case.source.entries.get(s as usize));
        let target = group.target.iter().filter_map(|&t| case.target.entries.get(t as usize));
        let all: Vec<(bool, &Entry<'a>)> = source.map(|e| (true, e)).chain(target.map(|e| (false, e))).collect();
        if all.iter().any(|(_, e)| e.shape().is_some()) {
            continue;
        }
        let role = |given: bool, entry: &Entry<'a>, group: usize| {
            let mut roles = case.rules.group_roles.get(entry.key);
            let sign = |part| match part {
                GroupPart::Given(_) => given,
                GroupPart::Wanted(_) => !given,
                _ => false,
            };
            roles.find(|r| r.group == group && sign(r.part)).map(|r| r.part)
        };
        let Some((_, first)) = all.first() else { continue };
        let groups: BTreeSet<usize> = case.rules.group_roles.get(first.key).map(|r| r.group).collect();
        let Some(&rule) = groups.iter().find(|&&g| all.iter().all(|(given, e)| role(*given, e, g).is_some())) else {
            continue;
        };
        let list = members.entry(rule).or_default();
        list.extend(
            all.iter().filter_map(|(given, e)| Some(Member { difference, key: e.key, part: role(*given, e, rule)? })),
        );
    }
}

fn explain_one(case: &mut Case<'_>, group: &Group, members: &[Member<'_>]) {
    let (mut given, mut wanted) = (BTreeSet::new(), BTreeSet::new());
    for member in members {
        match member.part {
            GroupPart::Given(sign) => given.insert(sign),
            GroupPart::Wanted(sign) => wanted.insert(sign),
            _ => false,
        };
    }
    if given.len() < group.given || wanted.len() < group.wanted {
        return;
    }
    let modules: HashSet<String> = members.iter().filter(|m| m.is_sign()).map(|m| module(case, m.key)).collect();
    // Beside a sign, below it (`weight.quant_state.…` beside `weight.absmax`), or the tensor the signs hang on.
    // `q.lora_B.default` is beside `q.lora_A.default`: both lie below `q`.
    let mut above: HashSet<&str> = HashSet::new();
    for (parent, _) in modules.iter().filter_map(|m| m.rsplit_once('.')) {
        above.insert(parent);
        above.extend(parent.rsplit_once('.').map(|(grand, _)| grand));
    }
    let below = |key: Key<'_>| {
        let module = module(case, key);
        let mut ends = module.match_indices('.').map(|(at, _)| at).chain([module.len()]);
        ends.any(|at| module.get(..at).is_some_and(|m| above.contains(m)))
    };
    let beside = |key: Key<'_>| {
        let module = module(case, key);
        let mut above = module.as_str();
        modules.contains(&bare(case, key))
            || std::iter::from_fn(|| above.rsplit_once('.').map(|(parent, _)| above = parent).map(|()| above))
                .take(2)
                .chain([module.as_str()])
                .any(|m| modules.contains(m))
    };
    let mut claims: Vec<u32> = members
        .iter()
        .filter(|m| m.is_sign() || beside(m.key) || group.whole && below(m.key))
        .map(|m| m.difference)
        .collect();
    // One module may have its signs in several on the other side (q, k and v), or in one of its own.
    let on = |given: bool| {
        let signs = members.iter().filter(|m| m.is_sign() && matches!(m.part, GroupPart::Given(_)) == given);
        signs.map(|m| module(case, m.key)).collect::<HashSet<String>>().len()
    };
    claims.sort_unstable();
    claims.dedup();
    let keys = [on(true), on(false)].into_iter().filter(|&n| n > 0).min().unwrap_or(0);
    let also_wanted = |key: Key<'_>| {
        let mut roles = case.rules.group_roles.get(key);
        let this = |r: &Role| case.rules.groups.get(r.group).is_some_and(|g| g.rule == group.rule);
        roles.any(|r| r.part == GroupPart::AlsoWanted && this(r))
    };
    // The tensor that stays under its name holds other values: packed, scaled, halved.
    claims.extend(case.open().filter_map(|(difference, fact)| match *fact {
        Difference::SizeMismatch { matched } | Difference::DtypeMismatch { matched, .. } => {
            let target = case.target.entries.get(case.matched(matched)?.target as usize)?;
            let ours = also_wanted(target.key) || modules.contains(&bare(case, target.key));
            (ours && beside(target.key)).then_some(difference)
        }
        _ => None,
    }));
    // Modules that the model has under no name, stored this way or another, are a head that was left behind.
    let other_side = |i: &u32| !matches!(case.differences.get(*i as usize), Some(Difference::Unexpected { .. }));
    let matched = || {
        let sources = case.alignment.matches.iter().flat_map(|m| &m.source);
        let mut keys = sources.filter_map(|&s| case.source.entries.get(s as usize)).map(|e| e.key);
        keys.any(|key| modules.contains(&module(case, key)) || modules.contains(&bare(case, key)))
    };
    if group.otherwise && !case.partial() && !claims.iter().any(other_side) && !matched() {
        return;
    }
    let whole = group.whole && claims.len() * 2 >= case.source.entries.len();
    if whole {
        let open = |d: &Difference| {
            matches!(d, Difference::Missing { .. } | Difference::Unexpected { .. } | Difference::Ambiguous { .. })
        };
        let rest = case.open().filter(|(_, d)| open(d));
        claims.extend(rest.map(|(i, _)| i));
    }
    let Some(code) = super::known_code(&group.code) else { return };
    let remedy = match group.remedy {
        GroupRemedy::Edit => Remedy::Edit,
        GroupRemedy::Lost => Remedy::Lost,
    };
    let words = if whole || group.partly.is_empty() { &group.message } else { &group.partly };
    let message = format!("{words} ({})", count(keys, "module"));
    let rank = if whole { Rank::File } else { Rank::Stored };
    let cause = Cause::new(code, rank, remedy, message).by(case.rules.rule(&group.rule)).with("modules", keys);
    case.claim(claims, cause);
}

/// The module of a key, without wrappers, so that both sides name it alike.
fn module(case: &Case<'_>, key: Key<'_>) -> String {
    case.rules.unwrap(key.module()).1.into_owned()
}

/// The key itself without wrappers: what `fc.weight.absmax` lies below.
fn bare(case: &Case<'_>, key: Key<'_>) -> String {
    case.rules.unwrap(key.as_str()).1.into_owned()
}
