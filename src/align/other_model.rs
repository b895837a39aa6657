//! Renames that are taken back as a whole, since the two sides are different models.
//!
//! Networks of one kind share shapes: a hundred convolutions of one fit somewhere into the other, and mean nothing there. In a
//! conversion at least one side is used up, in a subset the smaller one. Measured on 260 real conversions: the least that one
//! of the sides is used up is 37 % of its parameters; on pairs of different models it is 20 % and less.
//!
//! Relatives (Inception v3 and v4) share more than that, but only in pieces: renames follow no pattern, sizes differ here and there,
//! and on both sides much is left over. No conversion of 205 has more than one of the three; see [`piecemeal`].

use super::{Alignment, How, Match};
use crate::checkpoint::StateDict;

/// Less than this share of the parameters of both sides has found a place, ...
const PARAMETERS: f64 = 0.3;

/// ... and less than this share of their tensors.
const TENSORS: f64 = 0.5;

/// Takes back all renames where neither side is used up.
pub(crate) fn take_back(out: &mut Alignment, source: &StateDict<'_>, target: &StateDict<'_>) {
    let renamed = |m: &Match| m.how != How::Identical;
    if !out.matches.iter().any(renamed) || fits(out, source, target) {
        return;
    }
    take_back_all(out, source, target);
}

/// Takes back every rename, and what was undecided.
pub(crate) fn take_back_all(out: &mut Alignment, source: &StateDict<'_>, target: &StateDict<'_>) {
    out.matches.retain(|m| m.how == How::Identical);
    out.renames.clear();
    out.pieces.clear();
    out.ambiguous.clear();
    let left = |side: &StateDict<'_>, used: &dyn Fn(&Match) -> Vec<u32>| -> Vec<u32> {
        let mut open = vec![true; side.entries.len()];
        for i in out.matches.iter().flat_map(used) {
            open[i as usize] = false;
        }
        (0..open.len() as u32).filter(|&i| open[i as usize]).collect()
    };
    (out.missing, out.unexpected) = (left(target, &|m| vec![m.target]), left(source, &|m| m.source.clone()));
}

/// Of renamed tensors at least this share has another size, but not most of them, as in a model of another width. Measured: at
/// most 1.3 % in 205 conversions, 6 to 18 % between relatives.
const RESIZED: std::ops::Range<f64> = 0.05..0.5;

/// At least this share of the smaller side's tensors is left over, on both sides. Measured: at most 10 % in conversions, for which
/// the head of another task is enough; 12 to 41 % between relatives.
const LEFT_OVER: f64 = 0.1;

/// At least so many rules a renamed tensor. Measured: 0.22 to 0.56 between relatives; most conversions have less than 0.1, those of
/// irregular names up to 0.8.
const RULES: f64 = 0.2;

/// The elements of a tensor, where its shape is known.
fn size(side: &StateDict<'_>, i: u32) -> Option<u64> {
    side.entries[i as usize].shape().and_then(|s| s.numel())
}

/// Whether a match is of two whole tensors that are known not to hold as much.
fn has_another_size(m: &Match, source: &StateDict<'_>, target: &StateDict<'_>) -> bool {
    let whole = m.source.len() == 1 && !matches!(m.how, How::Split | How::Merged);
    whole && size(source, m.source[0]).zip(size(target, m.target)).is_some_and(|(given, wanted)| given != wanted)
}

/// Whether renames, for which rules have been found, are pieces that two relatives have in common rather than a conversion: only
/// where all three signs agree.
pub(crate) fn piecemeal(out: &Alignment, source: &StateDict<'_>, target: &StateDict<'_>) -> bool {
    let (mut renamed, mut resized) = (0usize, 0usize);
    for m in out.matches.iter().filter(|m| m.how != How::Identical) {
        renamed += 1;
        resized += usize::from(has_another_size(m, source, target));
    }
    let smaller = source.entries.len().min(target.entries.len());
    let left = out.missing.len().min(out.unexpected.len());
    RESIZED.contains(&(resized as f64 / renamed.max(1) as f64))
        && left as f64 >= LEFT_OVER * smaller as f64
        && out.renames.len() as f64 >= RULES * renamed as f64
}

/// Whether enough of one side at least has found a place, or too little is known to tell.
fn fits(out: &Alignment, source: &StateDict<'_>, target: &StateDict<'_>) -> bool {
    let all = |side: &StateDict<'_>| -> Option<f64> {
        (0..side.entries.len() as u32).map(|i| size(side, i).map(|n| n as f64)).sum::<Option<f64>>()
    };
    let (Some(given), Some(wanted)) = (all(source), all(target)) else { return true };
    let mut used = [vec![false; source.entries.len()], vec![false; target.entries.len()]];
    for m in &out.matches {
        if has_another_size(m, source, target) {
            continue;
        }
        m.source.iter().for_each(|&s| used[0][s as usize] = true);
        used[1][m.target as usize] = true;
    }
    // What is undecided has found a place as well: only not which.
    for group in &out.ambiguous {
        group.source.iter().for_each(|&s| used[0][s as usize] = true);
        group.target.iter().for_each(|&t| used[1][t as usize] = true);
    }
    let sides = [(source, given), (target, wanted)];
    sides.into_iter().zip(&used).any(|((side, all), used)| {
        let these: Vec<u32> = (0..used.len() as u32).filter(|&i| used[i as usize]).collect();
        let parameters: f64 = these.iter().filter_map(|&i| size(side, i)).map(|n| n as f64).sum();
        these.len() as f64 >= TENSORS * used.len() as f64 || parameters >= PARAMETERS * all
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::align::cases::aligned;
    use crate::align::{Rename, Step};
    use crate::rules::{Example, Line};

    fn matched(source: &[&str], target: &[&str]) -> usize {
        aligned(source, target, |found, _, _| found.matches.len())
    }

    #[test]
    fn a_few_shapes_in_common_make_no_conversion() {
        let one =
            ["stem.conv.weight [64, 3, 7, 7]", "stage.{0-9}.branch.weight [224, 224, 3, 3]", "top.weight [1000, 2048]"];
        let other = [
            "features.0.kernel.weight [64, 3, 7, 7]",
            "block.{0-9}.path.weight [192, 192, 3, 3]",
            "out.weight [1000, 1536]",
        ];
        assert_eq!(matched(&one, &other), 0);
    }

    #[test]
    fn a_backbone_in_a_larger_model_is_found() {
        let one = ["net.stem.weight [64, 3, 7, 7]", "net.stage.{0-3}.conv.weight [64, 64, 3, 3]"];
        let other = [
            "trunk.stem.weight [64, 3, 7, 7]",
            "trunk.blocks.{0-3}.conv.weight [64, 64, 3, 3]",
            "head.{0-30}.weight [512, 512]",
        ];
        assert_eq!(matched(&one, &other), 5);
    }

    #[test]
    fn relatives_that_share_pieces_are_told_by_three_signs_together() {
        let lines = |text: &str| vec![Line::try_from(text.to_owned()).unwrap()];
        let case = Example {
            source: lines("a.{0-19}.weight [8]"),
            target: lines("b.{0-18}.weight [8]").into_iter().chain(lines("b.19.weight [9]")).collect(),
            ..Example::default()
        };
        let (a, b) = case.checkpoints();
        let (a, b) = (StateDict::below(&a, 0), StateDict::below(&b, 0));
        let pieces = |resized: bool, left: u32, rules: usize| {
            let one = |i: u32| Match {
                target: i,
                source: vec![i],
                how: How::Renamed,
                step: Step::Structure,
                confidence: 0.8,
            };
            let matches = (0..10).chain(resized.then_some(19)).map(one).collect();
            let rule = Rename { pattern: "^a".into(), replacement: "b".into(), keys: 1 };
            let left: Vec<u32> = (10..10 + left).collect();
            let out = Alignment {
                matches,
                missing: left.clone(),
                unexpected: left,
                renames: vec![rule; rules],
                ..Alignment::default()
            };
            piecemeal(&out, &a, &b)
        };
        assert!(pieces(true, 9, 4));
        assert!(!pieces(false, 9, 4) && !pieces(true, 1, 4) && !pieces(true, 9, 1));
    }
}
