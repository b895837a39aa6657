//! Keys that go where others like them went: `pos_embed4` to `layers.3.pos_embed`, when `pos_embed1` went to `layers.0.pos_embed`.
//!
//! Shapes decide nothing here: the keys in question are those that fit nowhere by their size.

use std::collections::{HashMap, HashSet};

use super::renames::template;
use crate::checkpoint::StateDict;

/// Where a number of the second name comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Origin {
    /// It is always the same.
    Constant(i64),
    /// A number of the first name and a difference.
    Shifted(usize, i64),
}

/// The numbers of both names of a pair.
type Numbers = (Vec<i64>, Vec<i64>);

/// Pairs of open keys, first of `first` and second of `second`, whose names relate as those of at least two pairs that were found.
pub(super) fn find(
    first: &StateDict<'_>,
    second: &StateDict<'_>,
    pairs: &[(u32, u32)],
    open_first: &[u32],
    open_second: &[u32],
) -> Vec<(u32, u32)> {
    let key = |side: &StateDict<'_>, i: u32| cut(side.entries[i as usize].key.as_str());
    let mut open: HashMap<String, Vec<(Vec<i64>, u32)>> = HashMap::new();
    for &a in open_first {
        if let Some((form, numbers)) = key(first, a) {
            open.entry(form).or_default().push((numbers, a));
        }
    }
    let mut wanted: HashMap<(String, Vec<i64>), u32> = HashMap::new();
    let mut forms: HashSet<String> = HashSet::new();
    for &b in open_second {
        if let Some((form, numbers)) = key(second, b) {
            forms.insert(form.clone());
            wanted.insert((form, numbers), b);
        }
    }
    let mut seen: HashMap<(String, String), Vec<Numbers>> = HashMap::new();
    for &(a, b) in pairs {
        let Some((x, n)) = key(first, a).filter(|(x, _)| open.contains_key(x)) else { continue };
        let Some((y, m)) = key(second, b).filter(|(y, _)| forms.contains(y)) else { continue };
        seen.entry((x, y)).or_default().push((n, m));
    }
    let mut found: Vec<(u32, u32)> = Vec::new();
    for ((x, y), examples) in &seen {
        let Some(origins) = origins(examples) else { continue };
        for (numbers, a) in &open[x] {
            let Some(there) = apply(&origins, numbers, examples) else { continue };
            let Some(&b) = wanted.get(&(y.clone(), there)) else { continue };
            let rank = |side: &StateDict<'_>, i: u32| side.entries[i as usize].shape().map(|s| s.rank());
            if rank(first, *a) == rank(second, b) {
                found.push((*a, b));
            }
        }
    }
    // What two analogies send to two places is sent to none.
    let mut uses: HashMap<(bool, u32), usize> = HashMap::new();
    for &(a, b) in &found {
        *uses.entry((false, a)).or_default() += 1;
        *uses.entry((true, b)).or_default() += 1;
    }
    found.retain(|&(a, b)| uses[&(false, a)] == 1 && uses[&(true, b)] == 1);
    found.sort_unstable();
    found
}

/// A name with `#` for every number, and the numbers; none where it has no number or one that is too long.
fn cut(name: &str) -> Option<(String, Vec<i64>)> {
    let (form, digits) = template(name);
    let numbers: Vec<i64> = digits.iter().map(|d| d.parse().ok()).collect::<Option<_>>()?;
    (!numbers.is_empty()).then_some((form, numbers))
}

/// Where each number of the second names comes from, if that is the same for all examples and shown by more than one.
fn origins(examples: &[Numbers]) -> Option<Vec<Origin>> {
    let (first, rest) = examples.split_first()?;
    if rest.is_empty() {
        return None;
    }
    (0..first.1.len())
        .map(|j| {
            if rest.iter().all(|e| e.1[j] == first.1[j]) {
                return Some(Origin::Constant(first.1[j]));
            }
            (0..first.0.len())
                .map(|i| (i, first.1[j].checked_sub(first.0[i])))
                .find(|&(i, by)| by.is_some() && rest.iter().all(|e| e.1[j].checked_sub(e.0[i]) == by))
                .and_then(|(i, by)| Some(Origin::Shifted(i, by?)))
        })
        .collect()
}

/// The numbers of the second name for those of a first; none where the first has a number that no example shows to be free.
fn apply(origins: &[Origin], numbers: &[i64], examples: &[Numbers]) -> Option<Vec<i64>> {
    for (i, n) in numbers.iter().enumerate() {
        let free = origins.iter().any(|o| matches!(o, Origin::Shifted(k, _) if *k == i));
        if !free && examples.iter().all(|e| e.0[i] != *n) {
            return None;
        }
    }
    origins
        .iter()
        .map(|o| match *o {
            Origin::Constant(c) => Some(c),
            Origin::Shifted(i, by) => numbers[i].checked_add(by),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_that_moved_by_one_moves_by_one_again() {
        let examples = [(vec![1], vec![0, 1, 0]), (vec![3], vec![2, 1, 0])];
        let origins = origins(&examples).unwrap();
        assert_eq!(apply(&origins, &[4], &examples), Some(vec![3, 1, 0]));
    }

    #[test]
    fn one_example_shows_no_law() {
        assert_eq!(origins(&[(vec![1], vec![0])]), None);
    }

    #[test]
    fn a_number_that_never_moved_is_no_guide_for_another() {
        let examples = [(vec![0, 1], vec![1]), (vec![0, 2], vec![2])];
        let origins = origins(&examples).unwrap();
        assert_eq!(apply(&origins, &[7, 3], &examples), None);
        assert_eq!(apply(&origins, &[0, 3], &examples), Some(vec![3]));
    }
}
