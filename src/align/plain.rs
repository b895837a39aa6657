//! The cheap step: one side's keys are all there on the other side, by name, as they are or under one prefix.
//!
//! It speaks only where nothing is left to decide: every key of the smaller side is found, every shape agrees, and no
//! second prefix would do as well (a student beside its teacher). All else is for the structural step.

use std::collections::HashMap;

use super::{Alignment, How, Match, Step};
use crate::checkpoint::{Entry, StateDict};

/// Keys of a side to their indices.
type Names<'a> = HashMap<&'a str, u32, foldhash::fast::RandomState>;

/// The alignment by names alone, where they leave nothing open.
pub(crate) fn align(source: &StateDict<'_>, target: &StateDict<'_>) -> Option<Alignment> {
    let target_is_smaller = target.entries.len() <= source.entries.len();
    let (small, large) = if target_is_smaller { (target, source) } else { (source, target) };
    let first = small.entries.first()?;
    let names: Names<'_> = large.entries.iter().enumerate().map(|(i, e)| (e.key.as_str(), i as u32)).collect();
    let found = place_of_each(small, large, &names, Prefix::Kept)
        .or_else(|| only_one(candidates(first, large), |p| place_of_each(small, large, &names, p)))?;
    let mut used = vec![false; large.entries.len()];
    let mut matches: Vec<Match> = Vec::with_capacity(found.len());
    for (s, &l) in found.iter().enumerate() {
        used[l as usize] = true;
        let (target_index, source_index) = if target_is_smaller { (s as u32, l) } else { (l, s as u32) };
        let identical = small.entries[s].key == large.entries[l as usize].key;
        let (how, step) = if identical { (How::Identical, Step::Identical) } else { (How::Renamed, Step::Prefix) };
        let confidence = if identical { 1.0 } else { 0.99 };
        matches.push(Match { target: target_index, source: vec![source_index], how, step, confidence });
    }
    matches.sort_by_key(|m| m.target);
    let left: Vec<u32> = (0..used.len() as u32).filter(|&i| !used[i as usize]).collect();
    let (missing, unexpected) = if target_is_smaller { (Vec::new(), left) } else { (left, Vec::new()) };
    Some(Alignment { matches, missing, unexpected, ..Alignment::default() })
}

/// What is done to a key of the smaller side to find it on the larger one.
#[derive(Clone, Copy)]
enum Prefix<'a> {
    Kept,
    Added(&'a str),
    Removed(&'a str),
}

/// The prefixes, each ending in a dot, under which the first key of the smaller side is found on the larger one.
fn candidates<'a>(first: &'a Entry<'_>, large: &'a StateDict<'_>) -> impl Iterator<Item = Prefix<'a>> {
    let key = first.key.as_str();
    let added = large.entries.iter().filter_map(move |e| {
        let prefix = e.key.as_str().strip_suffix(key)?;
        prefix.ends_with('.').then_some(Prefix::Added(prefix))
    });
    added.take(64).chain(key.match_indices('.').map(move |(dot, _)| Prefix::Removed(&key[..=dot])))
}

/// Where each key of the smaller side is on the larger one; nothing where one is not there, or in another shape.
fn place_of_each(
    small: &StateDict<'_>,
    large: &StateDict<'_>,
    names: &Names<'_>,
    prefix: Prefix<'_>,
) -> Option<Vec<u32>> {
    let mut name = String::new();
    small
        .entries
        .iter()
        .map(|e| {
            let key = e.key.as_str();
            let wanted = match prefix {
                Prefix::Kept => key,
                Prefix::Added(prefix) => {
                    name.clear();
                    name.push_str(prefix);
                    name.push_str(key);
                    name.as_str()
                }
                Prefix::Removed(prefix) => key.strip_prefix(prefix)?,
            };
            let &i = names.get(wanted)?;
            let there = &large.entries[i as usize];
            e.shape().zip(there.shape()).is_none_or(|(a, b)| a == b).then_some(i)
        })
        .collect()
}

/// The answer of the only prefix that has one.
fn only_one<'a>(
    prefixes: impl Iterator<Item = Prefix<'a>>,
    mut ask: impl FnMut(Prefix<'a>) -> Option<Vec<u32>>,
) -> Option<Vec<u32>> {
    let mut answers = prefixes.filter_map(&mut ask);
    let answer = answers.next()?;
    answers.next().is_none().then_some(answer)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::{Example, Line};

    /// For each target key the source key it got, or nothing where names leave something open.
    fn aligned(source: &[&str], target: &[&str]) -> Option<Vec<(usize, usize)>> {
        let lines = |text: &[&str]| text.iter().map(|l| Line::try_from((*l).to_owned()).unwrap()).collect();
        let example = Example { source: lines(source), target: lines(target), ..Example::default() };
        let (a, b) = example.checkpoints();
        let out = align(&StateDict::below(&a, 0), &StateDict::below(&b, 0))?;
        Some(out.matches.iter().map(|m| (m.target as usize, m.source[0] as usize)).collect())
    }

    #[test]
    fn one_prefix_on_either_side_is_seen() {
        let (bare, wrapped) = (["a.w F32 [2]", "b F32 [3]"], ["m.b F32 [3]", "m.a.w F32 [2]", "neck.a.w F32 [2]"]);
        assert_eq!(aligned(&wrapped, &bare), Some(vec![(0, 1), (1, 0)]));
        assert_eq!(aligned(&bare, &wrapped), Some(vec![(0, 1), (1, 0)]));
        assert_eq!(aligned(&wrapped[..2], &bare), Some(vec![(0, 1), (1, 0)]));
        assert_eq!(aligned(&["m.a F32 [2]"], &["a F32 [2]", "b F32 [2]"]), Some(vec![(0, 0)]));
    }

    #[test]
    fn names_that_are_there_as_they_are_come_before_any_prefix() {
        assert_eq!(aligned(&["ema.a F32 [2]", "a F32 [2]"], &["a F32 [2]"]), Some(vec![(0, 1)]));
    }

    #[test]
    fn two_prefixes_that_do_as_well_leave_it_open() {
        assert_eq!(aligned(&["student.a F32 [2]", "teacher.a F32 [2]"], &["a F32 [2]"]), None);
    }

    #[test]
    fn another_shape_or_a_key_that_is_not_there_leaves_it_open() {
        assert_eq!(aligned(&["a F32 [2]", "b F32 [2]"], &["a F32 [2]", "b F32 [3]"]), None);
        assert_eq!(aligned(&["m.a F32 [2]", "m.c F32 [2]"], &["a F32 [2]", "b F32 [2]"]), None);
        assert_eq!(aligned(&[], &["a F32 [2]"]), None);
    }
}
