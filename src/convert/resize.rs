//! Tables of positions at another size, with the numbers of `torch.nn.functional.interpolate`.
//!
//! Computed in double precision and rounded once: within the last digits of what PyTorch finds in single precision.

use crate::rules::{Law, Reading};

/// What is done to a tensor of another size.
#[derive(Clone, Debug, PartialEq)]
pub enum Resize {
    /// `(rows, heads)`: a plane of relative positions, bicubic, and rows behind it that are kept.
    Window {
        /// Sides of the plane as it is.
        from: [u64; 2],
        /// Sides of the plane as it should be.
        to: [u64; 2],
        /// Rows behind the plane.
        rest: u64,
    },
    /// `(heads, S²)`, bicubic.
    Square {
        /// The side as it is.
        from: u64,
        /// The side as it should be.
        to: u64,
    },
    /// Position embeddings over patches, bicubic, with tokens before them that are kept.
    Tokens {
        /// Sides of the grid as it is.
        from: [u64; 2],
        /// Sides of the grid as it should be.
        to: [u64; 2],
        /// Tokens before the grid, as it is and as it should be; new ones are zero.
        before: [u64; 2],
        /// Whether the width of the model is the last dimension; otherwise it comes before the grid.
        last: bool,
    },
    /// `(2S−1, dim)`, linear.
    Line {
        /// Rows as they are.
        from: u64,
        /// Rows as they should be.
        to: u64,
    },
    /// Rows of a table are kept as far as there are any; new ones are the mean of the old.
    Rows {
        /// Rows as they are.
        from: u64,
        /// Rows as they should be.
        to: u64,
    },
    /// The sum over the input channels of a kernel, shared out evenly.
    Channels {
        /// Channels as they are.
        from: u64,
        /// Channels as they should be.
        to: u64,
    },
}

impl Resize {
    /// What a law's reading comes to for a tensor of shape `from`; `None` where the law names no resize.
    pub fn new(law: Law, reading: &Reading, from: &[u64], to: &[u64]) -> Option<Resize> {
        let fact = |name: &str| reading.facts.iter().find(|(n, _)| *n == name).map(|(_, value)| value);
        let pair = |name: &str| -> Option<[u64; 2]> {
            let list = fact(name)?.as_array()?;
            list.iter().map(serde_json::Value::as_u64).collect::<Option<Vec<u64>>>()?.try_into().ok()
        };
        let number = |name: &str| fact(name).and_then(serde_json::Value::as_u64);
        let resize = match law {
            Law::WindowBias => {
                let plane = |w: [u64; 2]| w.map(|side| (2 * side).saturating_sub(1));
                let (old, new) = (plane(pair("from")?), plane(pair("to")?));
                let rest = from.first()?.checked_sub(old[0].checked_mul(old[1])?)?;
                Resize::Window { from: old, to: new, rest }
            }
            Law::SquareBias => Resize::Square { from: number("from")?, to: number("to")? },
            Law::TokenGrid => Resize::Tokens {
                from: pair("from")?,
                to: pair("to")?,
                before: [number("prefix_from").unwrap_or(0), number("prefix_to").unwrap_or(0)],
                last: from.last() == to.last(),
            },
            Law::RelPos => Resize::Line { from: *from.first()?, to: *to.first()? },
            Law::Vocabulary | Law::ContextLength => {
                let axis = from.iter().zip(to).position(|(a, b)| a != b)?;
                // Rows of rows would have to be taken apart.
                let leading = from.iter().take(axis).all(|&d| d == 1);
                leading.then_some(Resize::Rows { from: *from.get(axis)?, to: *to.get(axis)? })?
            }
            Law::InChannels => Resize::Channels { from: *from.get(1)?, to: *to.get(1)? },
            _ => return None,
        };
        Some(resize)
    }

    /// The values at the new size; `None` where there are not as many as the sizes say.
    ///
    pub(super) fn apply(&self, values: &[f64], to_shape: &[u64]) -> Option<Vec<f64>> {
        let size = |n: u64| usize::try_from(n).ok();
        let sides = |s: [u64; 2]| Some([size(s[0])?, size(s[1])?]);
        match self {
            Resize::Window { from, to, rest } => {
                let (old, new) = (sides(*from)?, sides(*to)?);
                let width = columns(values.len(), old[0] * old[1] + size(*rest)?)?;
                let (grid, behind) = values.split_at_checked(old[0] * old[1] * width)?;
                let mut out = plane(grid, old, new, width)?;
                out.extend_from_slice(behind);
                Some(out)
            }
            Resize::Square { from, to } => {
                let (old, new) = (size(*from)?, size(*to)?);
                let heads = columns(values.len(), old * old)?;
                let turned = transpose(values, heads, old * old);
                Some(transpose(&plane(&turned, [old; 2], [new; 2], heads)?, new * new, heads))
            }
            Resize::Tokens { from, to, before, last } => {
                let (old, new) = (sides(*from)?, sides(*to)?);
                let [have, want] = sides(*before)?;
                let (places, made) = (old[0] * old[1] + have, new[0] * new[1] + want);
                let width = columns(values.len(), places)?;
                let turned;
                let rows = if *last {
                    values
                } else {
                    turned = transpose(values, width, places);
                    &turned
                };
                let (head, grid) = rows.split_at_checked(have * width)?;
                let mut out = head.to_vec();
                out.resize(want * width, 0.0);
                out.extend(plane(grid, old, new, width)?);
                Some(if *last { out } else { transpose(&out, made, width) })
            }
            Resize::Line { from, to } => line(values, size(*from)?, size(*to)?),
            Resize::Channels { from, to } => {
                let (have, want) = (size(*from)?, size(*to)?);
                let outputs = size(*to_shape.first()?)?;
                let kernel = columns(values.len(), outputs * have)?;
                let mut out = Vec::with_capacity(outputs * want * kernel);
                for filter in values.chunks_exact((have * kernel).max(1)) {
                    let mut sum = vec![0.0; kernel];
                    for channel in filter.chunks_exact(kernel.max(1)) {
                        sum.iter_mut().zip(channel).for_each(|(s, v)| *s += v);
                    }
                    for _ in 0..want {
                        out.extend(sum.iter().map(|s| s / want as f64));
                    }
                }
                Some(out)
            }
            // Of large tables no more than a row is held: that is done where they are written.
            Resize::Rows { .. } => None,
        }
    }
}

fn columns(values: usize, rows: usize) -> Option<usize> {
    (rows > 0 && values.is_multiple_of(rows)).then(|| values / rows)
}

/// `rows × columns` as `columns × rows`.
fn transpose(values: &[f64], rows: usize, columns: usize) -> Vec<f64> {
    (0..columns).flat_map(|c| (0..rows).filter_map(move |r| values.get(r * columns + c).copied())).collect()
}

/// Of each new place the four old ones around it and their weights: cubic convolution with a = −0.75, places beyond the
/// border taken for the border (aten/src/ATen/native/UpSample.h, `align_corners=False`).
fn cubic(from: usize, to: usize) -> Vec<[(usize, f64); 4]> {
    const A: f64 = -0.75;
    let near = |x: f64| ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0;
    let far = |x: f64| ((A * x - 5.0 * A) * x + 8.0 * A) * x - 4.0 * A;
    let scale = from as f64 / to as f64;
    (0..to)
        .map(|i| {
            let at = scale * (i as f64 + 0.5) - 0.5;
            let base = at.floor();
            let t = at - base;
            let weights = [far(t + 1.0), near(t), near(1.0 - t), far(2.0 - t)];
            let place = |k: usize| (base as i64 + k as i64 - 1).clamp(0, from as i64 - 1) as usize;
            std::array::from_fn(|k| (place(k), weights.get(k).copied().unwrap_or(0.0)))
        })
        .collect()
}

/// Interpolates `(from[0] · from[1], width)` values to `(to[0] · to[1], width)`.
fn plane(values: &[f64], from: [usize; 2], to: [usize; 2], width: usize) -> Option<Vec<f64>> {
    if values.len() != from[0] * from[1] * width || from.contains(&0) {
        return None;
    }
    let (rows, columns) = (cubic(from[0], to[0]), cubic(from[1], to[1]));
    // Along the columns first, then along the rows.
    let mut half = vec![0.0; from[0] * to[1] * width];
    for (line, out) in values.chunks_exact(from[1] * width).zip(half.chunks_exact_mut((to[1] * width).max(1))) {
        for (taps, cell) in columns.iter().zip(out.chunks_exact_mut(width.max(1))) {
            for &(place, weight) in taps {
                let given = line.get(place * width..(place + 1) * width)?;
                cell.iter_mut().zip(given).for_each(|(c, v)| *c += weight * v);
            }
        }
    }
    let across = to[1] * width;
    let mut out = vec![0.0; to[0] * across];
    for (taps, line) in rows.iter().zip(out.chunks_exact_mut(across.max(1))) {
        for &(place, weight) in taps {
            let given = half.get(place * across..(place + 1) * across)?;
            line.iter_mut().zip(given).for_each(|(c, v)| *c += weight * v);
        }
    }
    Some(out)
}

/// Interpolates rows linearly, as `interpolate(mode="linear", align_corners=False)` does.
fn line(values: &[f64], from: usize, to: usize) -> Option<Vec<f64>> {
    let width = columns(values.len(), from)?;
    let scale = from as f64 / to as f64;
    let mut out = Vec::with_capacity(to * width);
    for i in 0..to {
        let at = (scale * (i as f64 + 0.5) - 0.5).max(0.0);
        let base = (at.floor() as usize).min(from - 1);
        let next = (base + 1).min(from - 1);
        let t = at - base as f64;
        let (a, b) = (values.get(base * width..(base + 1) * width)?, values.get(next * width..(next + 1) * width)?);
        out.extend(a.iter().zip(b).map(|(a, b)| a + t * (b - a)));
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `F.interpolate(torch.arange(6.).reshape(1, 1, 2, 3) ** 2, size=(3, 5), mode="bicubic", align_corners=False)` of
    /// PyTorch 2.
    #[test]
    fn a_plane_has_the_numbers_of_pytorch() {
        let values: Vec<f64> = (0..6).map(|n| f64::from(n * n)).collect();
        let found = plane(&values, [2, 3], [3, 5], 1).unwrap();
        assert_eq!(found.len(), PLANE.len());
        for (a, b) in found.iter().zip(PLANE) {
            assert!((a - b).abs() < 1e-5, "{found:?}");
        }
    }

    const PLANE: [f64; 15] = [
        -0.827250, -0.773833, -0.302083, 1.249667, 2.415084, 4.116000, 5.620002, 8.500000, 12.460000, 15.076001,
        9.059250, 12.013836, 17.302082, 23.670334, 27.736916,
    ];

    #[test]
    fn the_same_size_changes_nothing() {
        let values: Vec<f64> = (0..24).map(|n| f64::from(n) * 0.37).collect();
        assert_eq!(plane(&values, [3, 4], [3, 4], 2).unwrap(), values);
        assert_eq!(line(&values, 12, 12).unwrap(), values);
    }

    #[test]
    fn heads_come_first_in_one_layout_and_last_in_the_other() {
        let values: Vec<f64> = (0..50).map(|n| f64::from(n).sin()).collect();
        let last = Resize::Window { from: [5, 5], to: [7, 7], rest: 0 }.apply(&values, &[49, 2]).unwrap();
        let first = Resize::Square { from: 5, to: 7 }.apply(&transpose(&values, 25, 2), &[2, 49]).unwrap();
        assert_eq!(transpose(&first, 2, 49), last);
    }

    #[test]
    fn rows_of_class_tokens_are_kept_and_new_ones_are_zero() {
        let values: Vec<f64> = (0..20).map(f64::from).collect();
        let tokens = Resize::Tokens { from: [3, 3], to: [2, 2], before: [1, 2], last: true };
        let out = tokens.apply(&values, &[1, 6, 2]).unwrap();
        assert_eq!((out.len(), &out[..4]), (12, &[0.0, 1.0, 0.0, 0.0][..]));
        let window = Resize::Window { from: [3, 3], to: [5, 5], rest: 1 };
        assert_eq!(window.apply(&values, &[26, 2]).unwrap()[50..], [18.0, 19.0]);
    }

    #[test]
    fn a_grey_image_gives_what_a_coloured_one_gave() {
        let channels = Resize::Channels { from: 3, to: 1 };
        assert_eq!(channels.apply(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], &[2, 1, 1, 1]).unwrap(), [6.0, 15.0]);
    }
}
