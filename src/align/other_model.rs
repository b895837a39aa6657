//! Renames that are taken back as a whole, since the two sides are different models.
//!
//! Networks of one kind share shapes: a hundred convolutions of one fit somewhere into the other, and mean nothing there. In a
//! conversion at least one side is used up, in a subset the smaller one. Measured on 260 real conversions: the least that one
//! of the sides is used up is 37 % of its parameters; on pairs of different models it is 20 % and less.

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
    out.matches.retain(|m| !renamed(m));
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

/// Whether enough of one side at least has found a place, or too little is known to tell.
fn fits(out: &Alignment, source: &StateDict<'_>, target: &StateDict<'_>) -> bool {
    let size = |side: &StateDict<'_>, i: u32| side.entries[i as usize].shape().and_then(|s| s.numel());
    let all = |side: &StateDict<'_>| -> Option<f64> {
        (0..side.entries.len() as u32).map(|i| size(side, i).map(|n| n as f64)).sum::<Option<f64>>()
    };
    let (Some(given), Some(wanted)) = (all(source), all(target)) else { return true };
    let mut used = [vec![false; source.entries.len()], vec![false; target.entries.len()]];
    for m in &out.matches {
        let whole = m.source.len() == 1 && !matches!(m.how, How::Split | How::Merged);
        if whole && size(source, m.source[0]) != size(target, m.target) {
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
    use crate::align::cases::aligned;

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
}
