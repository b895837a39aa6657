//! Pairs that are known from elsewhere (equal bytes): they stand above names and shapes.

use std::collections::{HashMap, HashSet};

use super::{Alignment, Ambiguous, How, Match, Step};
use crate::checkpoint::{Key, StateDict};

/// Puts the pairs `(source, target)` into an alignment. What contradicts them gives way; what that leaves without a match is
/// missing or unexpected, and a group of two that is down to one pair of equal shape is a match.
pub(super) fn apply(out: &mut Alignment, pairs: &[(u32, u32)], source: &StateDict<'_>, target: &StateDict<'_>) {
    let by_source: HashMap<u32, u32> = pairs.iter().copied().collect();
    let by_target: HashMap<u32, u32> = pairs.iter().map(|&(s, t)| (t, s)).collect();
    if by_source.len() != pairs.len() || by_target.len() != pairs.len() {
        return; // Not one to one: not certain.
    }
    let key = |side: &StateDict<'_>, i: u32| side.entries.get(i as usize).map(|e| e.key.as_str().to_owned());
    let agrees = |m: &Match| match by_target.get(&m.target) {
        Some(s) => m.source == [*s],
        None => !m.source.iter().any(|s| by_source.contains_key(s)) || m.step == Step::Tied,
    };
    let mut dropped = HashSet::new();
    out.matches.retain(|m| agrees(m) || !dropped.insert(m.target));
    out.pieces.retain(|p| !dropped.contains(&p.target) && !by_target.contains_key(&p.target));
    let known: HashMap<u32, usize> = out.matches.iter().enumerate().map(|(i, m)| (m.target, i)).collect();
    for &(s, t) in pairs {
        match known.get(&t).and_then(|&i| out.matches.get_mut(i)) {
            Some(m) => (m.step, m.confidence) = (if m.how == How::Identical { m.step } else { Step::Content }, 1.0),
            None => {
                let how = if key(source, s) == key(target, t) { How::Identical } else { How::Renamed };
                out.matches.push(Match { target: t, source: vec![s], how, step: Step::Content, confidence: 1.0 });
            }
        }
    }
    for group in std::mem::take(&mut out.ambiguous) {
        let Ambiguous { target: mut targets, source: mut sources, why } = group;
        let before = targets.len();
        targets.retain(|t| !by_target.contains_key(t));
        sources.retain(|s| !by_source.contains_key(s));
        match (targets.as_slice(), sources.as_slice()) {
            ([], _) | (_, []) => {}
            (&[t], &[s]) if before > 1 && same_shape(source, s, target, t) => {
                out.matches.push(Match {
                    target: t,
                    source: vec![s],
                    how: How::Renamed,
                    step: Step::Structure,
                    confidence: 0.9,
                });
            }
            _ => out.ambiguous.push(Ambiguous { target: targets, source: sources, why }),
        }
    }
    out.matches.sort_by_key(|m| m.target);
    recount(out, source, target);
}

/// What is in no match and in no group.
fn recount(out: &mut Alignment, source: &StateDict<'_>, target: &StateDict<'_>) {
    let targets: HashSet<u32> = out
        .matches
        .iter()
        .map(|m| m.target)
        .chain(out.ambiguous.iter().flat_map(|a| a.target.iter().copied()))
        .collect();
    let sources: HashSet<u32> = out
        .matches
        .iter()
        .flat_map(|m| m.source.iter().copied())
        .chain(out.ambiguous.iter().flat_map(|a| a.source.iter().copied()))
        .collect();
    let open = |count: usize, taken: &HashSet<u32>| (0..count as u32).filter(|i| !taken.contains(i)).collect();
    out.missing = open(target.entries.len(), &targets);
    out.unexpected = open(source.entries.len(), &sources);
    // A source whose name the target has as well is the likelier one for what has lost its match.
    let names: HashMap<Key<'_>, u32> =
        out.unexpected.iter().filter_map(|&s| Some((source.entries.get(s as usize)?.key, s))).collect();
    let mut found = Vec::new();
    out.missing.retain(|&t| {
        let Some(key) = target.entries.get(t as usize).map(|e| e.key) else { return true };
        let Some(&s) = names.get(&key).filter(|&&s| same_shape(source, s, target, t)) else { return true };
        found.push((s, t));
        false
    });
    for (s, t) in found {
        out.unexpected.retain(|&u| u != s);
        out.matches.push(Match {
            target: t,
            source: vec![s],
            how: How::Identical,
            step: Step::Identical,
            confidence: 1.0,
        });
    }
    out.matches.sort_by_key(|m| m.target);
}

fn same_shape(source: &StateDict<'_>, s: u32, target: &StateDict<'_>, t: u32) -> bool {
    let shape = |side: &StateDict<'_>, i: u32| side.entries.get(i as usize).and_then(|e| e.shape().cloned());
    shape(source, s).is_some() && shape(source, s) == shape(target, t)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::align::align_with;
    use crate::rules::{Example, Line, RuleSet};

    fn aligned(source: &[&str], target: &[&str], certain: &[(u32, u32)]) -> Vec<(String, Vec<String>, f32)> {
        let lines = |text: &[&str]| text.iter().map(|l| Line::try_from((*l).to_owned()).unwrap()).collect();
        let case = Example { source: lines(source), target: lines(target), ..Example::default() };
        let (a, b) = case.checkpoints();
        let (a, b) = (StateDict::below(&a, 0), StateDict::below(&b, 0));
        let found = align_with(&a, &b, &RuleSet::embedded(), certain);
        let all =
            found.matches.len() + found.missing.len() + found.ambiguous.iter().map(|g| g.target.len()).sum::<usize>();
        assert_eq!(all, b.entries.len(), "every target is somewhere: {found:?}");
        let name = |side: &StateDict<'_>, i: u32| side.entries[i as usize].key.to_string();
        found
            .matches
            .iter()
            .map(|m| (name(&b, m.target), m.source.iter().map(|&s| name(&a, s)).collect(), m.confidence))
            .collect()
    }

    #[test]
    fn equal_bytes_settle_two_copies_that_names_cannot_tell_apart() {
        let source = ["x1.fc.weight F32 [4, 4]", "x1.fc.bias F32 [4]", "x2.fc.weight F32 [4, 4]", "x2.fc.bias F32 [4]"];
        let target = ["t.p.weight F32 [4, 4]", "t.p.bias F32 [4]", "s.p.weight F32 [4, 4]", "s.p.bias F32 [4]"];
        let found = aligned(&source, &target, &[(0, 2), (2, 0), (1, 3), (3, 1)]);
        let pairs: Vec<(&str, &str)> = found.iter().map(|(t, s, _)| (t.as_str(), s[0].as_str())).collect();
        assert_eq!(
            pairs,
            [
                ("t.p.weight", "x2.fc.weight"),
                ("t.p.bias", "x2.fc.bias"),
                ("s.p.weight", "x1.fc.weight"),
                ("s.p.bias", "x1.fc.bias")
            ]
        );
        assert!(found.iter().all(|(_, _, confidence)| *confidence == 1.0));
    }

    #[test]
    fn equal_bytes_stand_above_equal_names() {
        let source = ["a.weight F32 [4, 4]", "b.weight F32 [4, 4]"];
        let found = aligned(&source, &source, &[(0, 1)]);
        assert!(found.iter().any(|(t, s, _)| t == "b.weight" && s == &["a.weight"]), "{found:?}");
        assert!(!found.iter().any(|(t, s, _)| t == "a.weight" && s == &["a.weight"]), "{found:?}");
    }
}
