//! Buffers whose values follow from their shape: written, so that a strict load finds them.

use crate::checkpoint::{Dtype, DtypeKind, Shape};
use crate::rules::Made;

/// More elements than any index table of a window has.
const MOST: u64 = 1 << 26;

/// The values of a buffer of this dtype and shape; `None` where they do not follow from it.
pub(super) fn made(how: Made, dtype: Dtype, shape: &Shape) -> Option<Vec<u8>> {
    let numel = shape.numel().filter(|&n| n <= MOST)?;
    if dtype.kind() != DtypeKind::Int {
        return None;
    }
    let item = dtype.bits() as usize / 8;
    let mut out = Vec::with_capacity(numel as usize * item);
    // Indices are small: what the first bytes do not hold is zero.
    let mut put = |n: u64| match item {
        1 => u8::try_from(n).map(|n| out.extend(n.to_le_bytes())).ok(),
        2 => u16::try_from(n).map(|n| out.extend(n.to_le_bytes())).ok(),
        4 => u32::try_from(n).map(|n| out.extend(n.to_le_bytes())).ok(),
        _ => {
            out.extend(n.to_le_bytes());
            Some(())
        }
    };
    match how {
        Made::Zeros => (0..numel).try_for_each(|_| put(0))?,
        Made::Positions => {
            let last = *shape.dims().last()?;
            (0..numel).try_for_each(|i| put(i % last.max(1)))?;
        }
        Made::WindowIndex => {
            places(shape, |side, (y, x), (v, u)| put((y + side - 1 - v) * (2 * side - 1) + (x + side - 1 - u)))?
        }
        Made::OffsetIndex => places(shape, |side, (y, x), (v, u)| put(y.abs_diff(v) * side + x.abs_diff(u)))?,
    }
    Some(out)
}

/// Every pair of places of a square window, in the order of a `[side², side²]` table.
fn places(shape: &Shape, mut each: impl FnMut(u64, (u64, u64), (u64, u64)) -> Option<()>) -> Option<()> {
    let &[a, b] = shape.dims() else { return None };
    let side = a.isqrt();
    if a != b || side * side != a || side == 0 {
        return None;
    }
    for i in 0..a {
        for j in 0..a {
            each(side, (i / side, i % side), (j / side, j % side))?;
        }
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(how: Made, shape: &[u64]) -> Option<Vec<i64>> {
        let bytes = made(how, Dtype::I64, &Shape::from(shape.to_vec()))?;
        Some(bytes.as_chunks::<8>().0.iter().map(|b| i64::from_le_bytes(*b)).collect())
    }

    #[test]
    fn indices_are_those_that_the_models_compute() {
        // Swin with a window of 2 (`relative_coords.sum(-1)`), and LeViT at a resolution of 2.
        let swin = [4, 3, 1, 0, 5, 4, 2, 1, 7, 6, 4, 3, 8, 7, 5, 4];
        assert_eq!(numbers(Made::WindowIndex, &[4, 4]).unwrap(), swin);
        let levit = [0, 1, 2, 3, 1, 0, 3, 2, 2, 3, 0, 1, 3, 2, 1, 0];
        assert_eq!(numbers(Made::OffsetIndex, &[4, 4]).unwrap(), levit);
        assert_eq!(numbers(Made::Positions, &[1, 3]).unwrap(), [0, 1, 2]);
        assert_eq!(numbers(Made::Zeros, &[]).unwrap(), [0]);
    }

    #[test]
    fn what_the_shape_does_not_tell_is_not_made() {
        assert_eq!(numbers(Made::WindowIndex, &[5, 5]), None);
        assert_eq!(made(Made::Positions, Dtype::F32, &Shape::from([1, 3])), None);
        assert_eq!(made(Made::Positions, Dtype::U8, &Shape::from([1, 300])), None);
        assert_eq!(numbers(Made::Zeros, &[u64::MAX, 2]), None);
    }
}
