//! Plain facts about an alignment: what differs, key by key, without judgement.

use crate::align::{Alignment, How, Match};
use crate::checkpoint::{DtypeChange, Entry, Shape, StateDict};

/// One fact. Indices go into the entries of the two state_dicts, and into the parts of the [`Alignment`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Difference {
    /// A target key that nothing in the source makes.
    Missing {
        /// Target entry.
        target: u32,
    },
    /// A source key that the target has no use for.
    Unexpected {
        /// Source entry.
        source: u32,
    },
    /// A match under another name, or out of several sources, or with its values rearranged. Index into [`Alignment::matches`].
    Renamed {
        /// Index into the alignment's matches.
        matched: u32,
    },
    /// A match whose shapes differ, so that PyTorch refuses to copy.
    SizeMismatch {
        /// Index into the alignment's matches.
        matched: u32,
    },
    /// A match whose dtypes differ, about which PyTorch says nothing.
    DtypeMismatch {
        /// Index into the alignment's matches.
        matched: u32,
        /// What the copy does to the values.
        change: DtypeChange,
    },
    /// A group that could not be decided. Index into [`Alignment::ambiguous`].
    Ambiguous {
        /// Index into the alignment's ambiguous groups.
        group: u32,
    },
}

/// Lists every difference, in target order, unexpected keys last.
///
/// A match may differ in several ways at once: a renamed tensor of another size is two facts.
pub fn compare(source: &StateDict<'_>, target: &StateDict<'_>, alignment: &Alignment) -> Vec<Difference> {
    let mut facts: Vec<(u32, Difference)> = Vec::new();
    for (i, m) in alignment.matches.iter().enumerate() {
        let matched = i as u32;
        if m.how != How::Identical {
            facts.push((m.target, Difference::Renamed { matched }));
        }
        if !sizes_fit(m, source, target) {
            facts.push((m.target, Difference::SizeMismatch { matched }));
        }
        match dtype_change(m, source, target) {
            DtypeChange::Equal => {}
            change => facts.push((m.target, Difference::DtypeMismatch { matched, change })),
        }
    }
    facts.extend(alignment.missing.iter().map(|&target| (target, Difference::Missing { target })));
    for (i, group) in alignment.ambiguous.iter().enumerate() {
        let place = group.target.first().copied().unwrap_or(u32::MAX);
        facts.push((place, Difference::Ambiguous { group: i as u32 }));
    }
    // Stable: the facts of one match stay in the order above.
    facts.sort_by_key(|&(place, _)| place);
    let unexpected = alignment.unexpected.iter().map(|&source| Difference::Unexpected { source });
    facts.into_iter().map(|(_, fact)| fact).chain(unexpected).collect()
}

/// Whether PyTorch would copy a tensor of one shape into a parameter of the other, as it is.
pub fn shape_fits(source: &Shape, target: &Shape) -> bool {
    // A tensor of one element goes into a scalar: `Module._load_from_state_dict` keeps this for files of PyTorch 0.3.
    source == target || (target.rank() == 0 && source.dims() == [1])
}

/// Whether the values of a match fill its target, after what its `how` says has been done to them.
fn sizes_fit(m: &Match, source: &StateDict<'_>, target: &StateDict<'_>) -> bool {
    let Some(wanted) = target.entries.get(m.target as usize).and_then(Entry::shape) else { return true };
    let given: Option<Vec<&Shape>> =
        m.source.iter().map(|&s| source.entries.get(s as usize).and_then(Entry::shape)).collect();
    let Some(given) = given else { return true };
    match (m.how, given.as_slice()) {
        (How::Identical | How::Renamed, [one]) => shape_fits(one, wanted),
        (How::Transposed, [one]) => {
            let (mut a, mut b) = (one.dims().to_vec(), wanted.dims().to_vec());
            a.sort_unstable();
            b.sort_unstable();
            a == b
        }
        (How::Split, [one]) => match (one.numel(), wanted.numel()) {
            (Some(a), Some(b)) => a >= b,
            _ => true,
        },
        (_, several) => {
            let numel = several.iter().try_fold(0u64, |n, s| n.checked_add(s.numel()?));
            match (numel, wanted.numel()) {
                (Some(a), Some(b)) => a == b,
                _ => true,
            }
        }
    }
}

/// What the copy does to the values; the worst of several sources.
fn dtype_change(m: &Match, source: &StateDict<'_>, target: &StateDict<'_>) -> DtypeChange {
    let Some(wanted) = target.entries.get(m.target as usize).and_then(Entry::dtype) else { return DtypeChange::Equal };
    let changes = m.source.iter().filter_map(|&s| Some(source.entries.get(s as usize)?.dtype()?.change_to(wanted)));
    let rank = |change: &DtypeChange| match change {
        DtypeChange::Equal => 0,
        DtypeChange::Widened => 1,
        DtypeChange::Narrowed => 2,
        DtypeChange::KindChanged => 3,
    };
    changes.max_by_key(rank).unwrap_or(DtypeChange::Equal)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::align::Step;
    use crate::rules::{Example, Line};

    fn lines(text: &[&str]) -> Vec<Line> {
        text.iter().map(|l| Line::try_from((*l).to_owned()).unwrap()).collect()
    }

    fn facts(source: &[&str], target: &[&str], alignment: &Alignment) -> Vec<Difference> {
        let case = Example { source: lines(source), target: lines(target), ..Example::default() };
        let (a, b) = case.checkpoints();
        compare(&StateDict::below(&a, 0), &StateDict::below(&b, 0), alignment)
    }

    fn one(how: How) -> Alignment {
        let m = Match { target: 0, source: vec![0], how, step: Step::Structure, confidence: 1.0 };
        Alignment { matches: vec![m], ..Alignment::default() }
    }

    #[test]
    fn a_match_under_another_name_of_another_size_and_dtype_is_three_facts() {
        let found = facts(&["a F32 [2]"], &["b I64 [3]"], &one(How::Renamed));
        let change = DtypeChange::KindChanged;
        let all = [
            Difference::Renamed { matched: 0 },
            Difference::SizeMismatch { matched: 0 },
            Difference::DtypeMismatch { matched: 0, change },
        ];
        assert_eq!(found, all);
    }

    #[test]
    fn what_is_not_known_of_a_tensor_is_no_difference() {
        assert_eq!(facts(&["a"], &["a F32 [3]"], &one(How::Identical)), []);
        assert_eq!(facts(&["a [2]"], &["a"], &one(How::Identical)), []);
    }

    #[test]
    fn one_element_loads_into_a_scalar_but_not_the_other_way_round() {
        assert_eq!(facts(&["a [1]"], &["a []"], &one(How::Identical)), []);
        assert_eq!(facts(&["a []"], &["a [1]"], &one(How::Identical)), [Difference::SizeMismatch { matched: 0 }]);
    }

    #[test]
    fn a_transposed_match_fits_when_its_sizes_are_the_same_in_another_order() {
        assert_eq!(facts(&["a [2, 3]"], &["a [3, 2]"], &one(How::Transposed)), [Difference::Renamed { matched: 0 }]);
    }

    #[test]
    fn facts_stand_in_target_order_and_unexpected_keys_come_last() {
        let mut alignment = one(How::Renamed);
        alignment.matches[0].target = 1;
        alignment.missing = vec![0, 2];
        alignment.unexpected = vec![1];
        let found = facts(&["a [2]", "z [1]"], &["x [1]", "b [2]", "y [1]"], &alignment);
        let all = [
            Difference::Missing { target: 0 },
            Difference::Renamed { matched: 0 },
            Difference::Missing { target: 2 },
            Difference::Unexpected { source: 1 },
        ];
        assert_eq!(found, all);
    }
}
