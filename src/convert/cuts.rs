//! Where a fused tensor is cut: the axis and the sizes of its parts, from the shapes of what they become.

use super::fit::fit;

/// The parts of a fused tensor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Cut {
    /// The dimension along which the parts stand one after another.
    pub(super) axis: usize,
    /// How much of that dimension each part takes.
    pub(super) sizes: Vec<u64>,
}

impl Cut {
    /// Where part `k` begins, and how long it is.
    pub(super) fn part(&self, k: usize) -> Option<(u64, u64)> {
        let before = self.sizes.get(..k)?.iter().sum();
        Some((before, *self.sizes.get(k)?))
    }

    /// The shape of part `k` of a tensor of shape `whole`.
    pub(super) fn shape(&self, whole: &[u64], k: usize) -> Option<Vec<u64>> {
        let mut shape = whole.to_vec();
        *shape.get_mut(self.axis)? = *self.sizes.get(k)?;
        Some(shape)
    }
}

/// Finds the cut of `whole` into parts of these shapes (in any order of dimensions); `None` for a part that is not known.
///
/// Of several axes the first that fits is taken: fused rows are the rule.
pub(super) fn cut(whole: &[u64], parts: &[Option<&[u64]>]) -> Option<Cut> {
    let numel = |dims: &[u64]| dims.iter().try_fold(1u64, |n, &d| n.checked_mul(d));
    let total = numel(whole).filter(|&n| n > 0)?;
    (0..whole.len()).find_map(|axis| {
        let length = *whole.get(axis)?;
        let row = total / length;
        let mut sizes: Vec<Option<u64>> = Vec::with_capacity(parts.len());
        for part in parts {
            let Some(part) = part else {
                sizes.push(None);
                continue;
            };
            let n = numel(part)?;
            if !n.is_multiple_of(row) {
                return None;
            }
            let mut cut = whole.to_vec();
            *cut.get_mut(axis)? = n / row;
            fit(&cut, part, false).or_else(|| fit(&cut, part, true))?;
            sizes.push(Some(n / row));
        }
        let known: u64 = sizes.iter().flatten().sum();
        let open = sizes.iter().filter(|s| s.is_none()).count() as u64;
        // What is not known shares what is left; one part can have any size, several only the same as all.
        let left = length.checked_sub(known)?;
        let share = match open {
            0 => (left == 0).then_some(0)?,
            1 => left,
            _ => {
                let even = length / parts.len() as u64;
                (even * parts.len() as u64 == length && sizes.iter().flatten().all(|&s| s == even)).then_some(even)?
            }
        };
        Some(Cut { axis, sizes: sizes.into_iter().map(|s| s.unwrap_or(share)).collect() })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fused_rows_are_cut_along_the_first_axis_by_the_sizes_of_the_parts() {
        let square: &[u64] = &[8, 8];
        let found = cut(&[24, 8], &[Some(square), Some(square), Some(square)]).unwrap();
        assert_eq!((found.axis, found.part(1)), (0, Some((8, 8))));
        let found = cut(&[16, 8], &[Some(square), Some(&[4, 8]), Some(&[4, 8])]).unwrap();
        assert_eq!((found.axis, found.part(2)), (0, Some((12, 4))));
        assert_eq!(found.shape(&[16, 8], 1), Some(vec![4, 8]));
    }

    #[test]
    fn a_matrix_stored_input_first_is_cut_along_its_columns() {
        let square: &[u64] = &[8, 8];
        assert_eq!(cut(&[8, 24], &[Some(square), Some(square), Some(square)]).unwrap().axis, 1);
    }

    #[test]
    fn a_part_that_is_missing_takes_what_is_left() {
        let square: &[u64] = &[8, 8];
        assert_eq!(cut(&[20, 8], &[Some(square), None, Some(square)]).unwrap().sizes, [8, 4, 8]);
        assert_eq!(cut(&[24, 8], &[Some(square), None, None]).unwrap().sizes, [8, 8, 8]);
        assert_eq!(cut(&[20, 8], &[Some(square), None, None]), None);
        assert_eq!(cut(&[20, 8], &[Some(square), Some(square)]), None);
    }
}
