//! From one shape to another without changing a value: what has to be turned or named anew.

use super::plan::Step;
use crate::checkpoint::Shape;

/// The orders in which frameworks keep the dimensions of one kind of tensor, as permutations that lead from one to the other.
///
/// Two dimensions: `nn.Linear` against Conv1D of GPT-2 and every dense kernel of TensorFlow and Flax. Three: a stack of
/// matrices, or 1-d convolutions (`WIO` ↔ `OIW`).
const ORDERS: &[&[usize]] = &[&[1, 0], &[0, 2, 1], &[2, 1, 0]];

/// Of convolutions with so many dimensions: towards PyTorch (`HWIO` → `OIHW`), back, and the same of depthwise ones
/// (`HWC1` → `C1HW` and back), which have a dimension of one element.
const KERNELS: &[[&[usize]; 4]] = &[
    [&[3, 2, 0, 1], &[2, 3, 1, 0], &[2, 3, 0, 1], &[2, 3, 0, 1]],
    [&[4, 3, 0, 1, 2], &[2, 3, 4, 1, 0], &[3, 4, 0, 1, 2], &[2, 3, 4, 0, 1]],
];

/// What makes a tensor of shape `to` out of one of shape `from`; `None` where nothing that keeps its meaning does.
///
/// `crossed` says that one side names its matrices as frameworks do that keep them input first, and the other does not. Equal
/// shapes need nothing: whether a square matrix has to be turned all the same is asked elsewhere.
pub(super) fn fit(from: &[u64], to: &[u64], crossed: bool) -> Option<Vec<Step>> {
    if from == to {
        return Some(Vec::new());
    }
    let ones = |dims: &[u64]| dims.iter().copied().filter(|&d| d != 1).collect::<Vec<u64>>();
    if crossed && let Some(steps) = crossed_over(&ones(from), &ones(to), to) {
        return Some(steps);
    }
    if ones(from) == ones(to) {
        return Some(vec![Step::Reshape(to.to_vec())]);
    }
    if let Some(order) = turned(from, to) {
        return Some(vec![Step::Permute(order)]);
    }
    // `[1, 1, in, out]` as `[out, in]`: without the ones first.
    let (a, b) = (ones(from), ones(to));
    if (a.len(), b.len()) != (from.len(), to.len())
        && let Some(order) = turned(&a, &b)
    {
        return Some(vec![Step::Reshape(a), Step::Permute(order), Step::Reshape(to.to_vec())]);
    }
    Shape::joins(&a, &b).then(|| vec![Step::Reshape(to.to_vec())])
}

/// From input first to output first or back where the sizes do not show it, both without ones: a square matrix under other
/// ones, and the projections of heads, `[in, heads, width]` and `[heads, width, out]` in Flax.
fn crossed_over(from: &[u64], to: &[u64], whole: &[u64]) -> Option<Vec<Step>> {
    let reversed = |dims: &[u64]| dims.iter().rev().copied().collect::<Vec<u64>>();
    let turn = Step::Permute(vec![1, 0]);
    let steps = match (from, to) {
        (&[a, b], &[c, _]) if from == to && a == b && a == c => vec![Step::Reshape(from.to_vec()), turn],
        (long, &[_, _]) if long.len() == 3 && Shape::joins(long, &reversed(to)) => {
            vec![Step::Reshape(reversed(to)), turn]
        }
        (&[_, _], long) if long.len() == 3 && Shape::joins(long, &reversed(from)) => {
            vec![Step::Reshape(from.to_vec()), turn]
        }
        _ => return None,
    };
    Some(steps.into_iter().chain([Step::Reshape(whole.to_vec())]).collect())
}

/// The usual order of dimensions that leads from one shape to the other.
fn turned(from: &[u64], to: &[u64]) -> Option<Vec<usize>> {
    let fits = |order: &&[usize]| {
        order.len() == from.len()
            && order.len() == to.len()
            && order.iter().zip(to).all(|(&d, t)| from.get(d) == Some(t))
    };
    if let Some([there, back, depthwise, depthwise_back]) = from.len().checked_sub(4).and_then(|n| KERNELS.get(n)) {
        let places = from.len() - 2;
        let numel = |dims: Option<&[u64]>| dims.map_or(0, |d| d.iter().fold(1u64, |n, &x| n.saturating_mul(x)));
        // Where the sides of a kernel stand is told by their size: a kernel of 64×64 places for 3×3 channels is none.
        let first = numel(from.get(..places)) <= numel(from.get(from.len() - places..));
        let one = |at: usize| from.get(at) == Some(&1);
        let orders = match first {
            true if one(from.len() - 1) => [depthwise, there, back],
            true => [there, back, depthwise],
            false if one(1) => [depthwise_back, back, there],
            false => [back, there, depthwise_back],
        };
        return orders.into_iter().copied().find(fits).map(<[usize]>::to_vec);
    }
    ORDERS.iter().copied().find(fits).map(<[usize]>::to_vec)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_shapes_need_nothing_and_ones_are_only_named_anew() {
        assert_eq!(fit(&[4, 3], &[4, 3], false), Some(vec![]));
        assert_eq!(fit(&[4, 3, 1, 1], &[4, 3], false), Some(vec![Step::Reshape(vec![4, 3])]));
    }

    #[test]
    fn kernels_of_other_frameworks_are_turned() {
        assert_eq!(fit(&[768, 2304], &[2304, 768], false), Some(vec![Step::Permute(vec![1, 0])]));
        assert_eq!(fit(&[3, 3, 16, 32], &[32, 16, 3, 3], false), Some(vec![Step::Permute(vec![3, 2, 0, 1])]));
        assert_eq!(fit(&[3, 3, 16, 16], &[16, 16, 3, 3], false), Some(vec![Step::Permute(vec![3, 2, 0, 1])]));
        assert_eq!(fit(&[16, 16, 3, 3], &[3, 3, 16, 16], false), Some(vec![Step::Permute(vec![2, 3, 1, 0])]));
        assert_eq!(fit(&[3, 3, 16, 1], &[16, 1, 3, 3], false), Some(vec![Step::Permute(vec![2, 3, 0, 1])]));
        assert_eq!(fit(&[16, 1, 3, 3], &[3, 3, 16, 1], false), Some(vec![Step::Permute(vec![2, 3, 0, 1])]));
        assert_eq!(fit(&[3, 3, 3, 8, 9], &[9, 8, 3, 3, 3], false), Some(vec![Step::Permute(vec![4, 3, 0, 1, 2])]));
        assert_eq!(fit(&[5, 16, 32], &[32, 16, 5], false), Some(vec![Step::Permute(vec![2, 1, 0])]));
        assert_eq!(fit(&[8, 16, 32], &[8, 32, 16], false), Some(vec![Step::Permute(vec![0, 2, 1])]));
    }

    #[test]
    fn a_kernel_of_one_place_is_turned_without_its_ones() {
        let steps = vec![Step::Reshape(vec![3, 5]), Step::Permute(vec![1, 0]), Step::Reshape(vec![5, 3])];
        assert_eq!(fit(&[1, 1, 3, 5], &[5, 3], false), Some(steps));
    }

    #[test]
    fn neighbours_are_joined_but_the_same_count_alone_is_no_fit() {
        assert_eq!(fit(&[12, 64, 700], &[768, 700], false), Some(vec![Step::Reshape(vec![768, 700])]));
        assert_eq!(fit(&[6, 4], &[8, 3], false), None);
        assert_eq!(fit(&[2, 3, 5], &[5, 6], false), None);
    }

    #[test]
    fn projections_of_heads_are_joined_and_turned_between_frameworks() {
        let turned = |a: &[u64], b: &[u64]| {
            vec![Step::Reshape(a.to_vec()), Step::Permute(vec![1, 0]), Step::Reshape(b.to_vec())]
        };
        assert_eq!(fit(&[5, 2, 3], &[6, 5], true), Some(turned(&[5, 6], &[6, 5])));
        assert_eq!(fit(&[2, 3, 5], &[5, 6], true), Some(turned(&[6, 5], &[5, 6])));
        assert_eq!(fit(&[5, 6], &[2, 3, 5], true), Some(turned(&[5, 6], &[2, 3, 5])));
        // Square, where the sizes of either way fit.
        assert_eq!(fit(&[6, 2, 3], &[6, 6], true), Some(turned(&[6, 6], &[6, 6])));
        assert_eq!(fit(&[6, 2, 3], &[6, 6], false), Some(vec![Step::Reshape(vec![6, 6])]));
        assert_eq!(fit(&[2, 3], &[6], true), Some(vec![Step::Reshape(vec![6])]));
    }

    #[test]
    fn a_square_kernel_of_one_place_is_turned_where_the_names_say_so() {
        let steps = vec![Step::Reshape(vec![4, 4]), Step::Permute(vec![1, 0]), Step::Reshape(vec![4, 4, 1, 1])];
        assert_eq!(fit(&[1, 1, 4, 4], &[4, 4, 1, 1], true), Some(steps));
        assert_eq!(fit(&[1, 1, 4, 4], &[4, 4, 1, 1], false), Some(vec![Step::Reshape(vec![4, 4, 1, 1])]));
    }
}
