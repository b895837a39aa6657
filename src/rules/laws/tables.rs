//! Laws of tables that hold one row a relative position.

use super::{Mend, Reading, list, only_first, root, times};

/// Rows that BEiT keeps for the class token: to it, from it, with itself.
const CLASS_TOKEN_ROWS: u64 = 3;

/// `((2Wh−1)(2Ww−1) [+3], heads)`, heads last.
pub(super) fn window_bias(from: &[u64], to: &[u64]) -> Option<Reading> {
    let ([a, heads], [b, same]) = (from, to) else { return None };
    if heads != same {
        return None;
    }
    // A table is taken to have class-token rows only where it is no window without them.
    let both = |extra: u64| Some((window(a.checked_sub(extra)?)?, window(b.checked_sub(extra)?)?));
    let square = |pair: &(Vec<u64>, Vec<u64>)| is_square(&pair.0) && is_square(&pair.1);
    let (wa, wb) = both(0)
        .filter(square)
        .or_else(|| both(CLASS_TOKEN_ROWS).filter(square))
        .or_else(|| both(0))
        .or_else(|| both(CLASS_TOKEN_ROWS))?;
    Some(window_reading(&wa, &wb, Mend::Resize))
}

fn window_reading(a: &[u64], b: &[u64], mend: Mend) -> Reading {
    let name = |w: &[u64]| if is_square(w) { w.first().map_or_else(String::new, u64::to_string) } else { times(w) };
    Reading::from_to(format!("window {} → {}", name(a), name(b)), list(a), list(b), mend)
}

fn is_square(window: &[u64]) -> bool {
    matches!(window, [h, w] if h == w)
}

/// The window `[h, w]` with `(2h−1)(2w−1) = rows`, as near to a square as there is one.
fn window(rows: u64) -> Option<Vec<u64>> {
    // A row count beyond this is no window, and looking for its divisors would take long.
    if rows.is_multiple_of(2) || !(9..=1 << 32).contains(&rows) {
        return None;
    }
    let mut side = rows.isqrt();
    while side > 1 && !(side % 2 == 1 && rows.is_multiple_of(side)) {
        side -= 1;
    }
    (side > 1).then(|| vec![side.div_ceil(2), (rows / side).div_ceil(2)])
}

/// `(heads, S²)`, heads first.
pub(super) fn square_bias(from: &[u64], to: &[u64]) -> Option<Reading> {
    let ([heads, a], [same, b]) = (from, to) else { return None };
    if heads != same {
        return None;
    }
    let (a, b) = (root(*a)?, root(*b)?);
    Some(Reading::from_to(format!("{a}×{a} → {b}×{b}"), a, b, Mend::Resize))
}

/// `(2S−1, dim)`.
pub(super) fn rel_pos(from: &[u64], to: &[u64]) -> Option<Reading> {
    let (a, b) = only_first(from, to).filter(|_| from.len() == 2)?;
    if a % 2 == 0 || b % 2 == 0 {
        return None;
    }
    let (a, b) = (a.div_ceil(2), b.div_ceil(2));
    Some(Reading::from_to(format!("side {a} → {b}"), a, b, Mend::Resize))
}

/// `(buckets, heads)`.
pub(super) fn buckets(from: &[u64], to: &[u64]) -> Option<Reading> {
    let (a, b) = only_first(from, to).filter(|_| from.len() == 2)?;
    Some(Reading::from_to(format!("{a} → {b} buckets of relative positions"), a, b, Mend::Lost))
}

/// `(1, 2Wh−1, 2Ww−1, 2)`.
pub(super) fn coords_table(from: &[u64], to: &[u64]) -> Option<Reading> {
    let side = |shape: &[u64]| match *shape {
        [1, h, w, 2] if h % 2 == 1 && w % 2 == 1 => Some(vec![h.div_ceil(2), w.div_ceil(2)]),
        _ => None,
    };
    Some(window_reading(&side(from)?, &side(to)?, Mend::Edit))
}

/// `(W², W²)`, or `(W² + 1, W² + 1)` with a class token.
pub(super) fn square_index(from: &[u64], to: &[u64]) -> Option<Reading> {
    let side = |shape: &[u64]| match *shape {
        [a, b] if a == b && a > 1 => root(a).or_else(|| root(a - 1)),
        _ => None,
    };
    let (a, b) = (side(from)?, side(to)?);
    Some(window_reading(&[a, a], &[b, b], Mend::Edit))
}

#[cfg(test)]
mod tests {
    use super::super::Law;

    fn words(law: Law, from: &[u64], to: &[u64]) -> Option<String> {
        law.read(from, to).map(|r| r.words)
    }

    #[test]
    fn swin_tables_tell_their_window() {
        assert_eq!(words(Law::WindowBias, &[169, 3], &[529, 3]).as_deref(), Some("window 7 → 12"));
        assert_eq!(words(Law::WindowBias, &[225, 4], &[961, 4]).as_deref(), Some("window 8 → 16"));
        assert_eq!(words(Law::WindowBias, &[729, 4], &[2209, 4]).as_deref(), Some("window 14 → 24"));
    }

    #[test]
    fn beit_tables_have_three_rows_more() {
        assert_eq!(words(Law::WindowBias, &[732, 12], &[2212, 12]).as_deref(), Some("window 14 → 24"));
    }

    #[test]
    fn windows_need_not_be_square() {
        assert_eq!(words(Law::WindowBias, &[169, 3], &[11 * 23, 3]).as_deref(), Some("window 7 → 6×12"));
    }

    #[test]
    fn another_number_of_heads_is_no_window() {
        assert_eq!(words(Law::WindowBias, &[169, 3], &[529, 4]), None);
        assert_eq!(words(Law::WindowBias, &[168, 3], &[529, 3]), None);
        assert_eq!(words(Law::WindowBias, &[u64::MAX, 3], &[529, 3]), None);
    }

    #[test]
    fn heads_first_tables_tell_their_resolution() {
        assert_eq!(words(Law::SquareBias, &[4, 16], &[4, 49]).as_deref(), Some("4×4 → 7×7"));
        assert_eq!(words(Law::SquareBias, &[4, 16], &[8, 49]), None);
        assert_eq!(words(Law::SquareBias, &[4, 17], &[4, 49]), None);
    }

    #[test]
    fn coordinates_and_indices_are_rebuilt() {
        assert_eq!(words(Law::CoordsTable, &[1, 15, 15, 2], &[1, 31, 31, 2]).as_deref(), Some("window 8 → 16"));
        assert_eq!(words(Law::SquareIndex, &[64, 64], &[256, 256]).as_deref(), Some("window 8 → 16"));
        assert_eq!(words(Law::RelPos, &[27, 64], &[127, 64]).as_deref(), Some("side 14 → 64"));
    }
}
