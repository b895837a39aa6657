//! Whether the stored order is kept, learned from what was assigned.

use super::Sides;

/// Whether the order of registration is kept, learned from what was assigned.
pub(super) struct Order {
    trust: f32,
    /// For each source position, the target position that its neighbours suggest.
    expected: Vec<f32>,
}

impl Order {
    pub(super) fn new(sides: &Sides<'_>, assigned: &[(u32, u32)]) -> Order {
        let n = sides.source.len();
        if !sides.ordered || assigned.len() < 3 {
            return Order { trust: 0.0, expected: Vec::new() };
        }
        // Neighbours in the target that are neighbours in the same order in the source.
        let kept = assigned.windows(2).filter(|w| w[1].1 > w[0].1 && w[1].1 - w[0].1 <= 3).count();
        let share = kept as f32 / (assigned.len() - 1) as f32;
        let trust = ((share - 0.5) * 2.0).clamp(0.0, 1.0);
        let mut at = vec![f32::NAN; n];
        for &(t, s) in assigned {
            at[s as usize] = t as f32;
        }
        // The median of the offsets in a window says where a source would stand if it followed its neighbours.
        let mut expected = vec![f32::NAN; n];
        let mut near = Vec::new();
        for (s, e) in expected.iter_mut().enumerate() {
            near.clear();
            let window = s.saturating_sub(6)..(s + 7).min(n);
            near.extend(window.filter(|&i| i != s && !at[i].is_nan()).map(|i| at[i] - i as f32));
            if !near.is_empty() {
                near.sort_unstable_by(f32::total_cmp);
                *e = s as f32 + near[near.len() / 2];
            }
        }
        Order { trust, expected }
    }

    pub(super) fn agrees(&self, source: u32, target: u32) -> f32 {
        let Some(e) = self.expected.get(source as usize) else { return 0.0 };
        if e.is_nan() {
            return 0.0;
        }
        self.trust * (1.0 - (target as f32 - e).abs() / 4.0).max(0.0)
    }
}
