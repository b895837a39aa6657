//! The sums that statistics are made of, and the statistics.

/// Sums over pairs of numbers, `a` of the source and `b` of the target. Pairs with NaN or infinity are only counted.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Sums {
    /// Pairs of finite numbers.
    pub finite: u64,
    /// Largest `|a - b|`.
    pub max_abs: f64,
    /// Largest `|a - b| / max(|a|, |b|)`.
    pub max_rel: f64,
    /// Sum of `(a - b)²`.
    pub dd: f64,
    /// Sum of `a²`.
    pub aa: f64,
    /// Sum of `b²`.
    pub bb: f64,
    /// Sum of `a b`.
    pub ab: f64,
    /// NaN in the source and in the target.
    pub nan: [u64; 2],
    /// Infinities in the source and in the target.
    pub inf: [u64; 2],
    /// Pairs of which one is NaN or infinite and the other something else.
    pub torn: u64,
}

impl Sums {
    /// Adds the sums over `count` pairs of finite numbers.
    pub(super) fn add(&mut self, count: u64, max_abs: f64, max_rel: f64, [dd, aa, bb, ab]: [f64; 4]) {
        self.finite += count;
        self.max_abs = self.max_abs.max(max_abs);
        self.max_rel = self.max_rel.max(max_rel);
        self.dd += dd;
        self.aa += aa;
        self.bb += bb;
        self.ab += ab;
    }

    /// Adds one pair.
    pub(super) fn pair(&mut self, a: f64, b: f64) {
        if a.is_finite() && b.is_finite() {
            let size = (a - b).abs();
            let larger = a.abs().max(b.abs());
            let part = if larger > 0.0 { size / larger } else { 0.0 };
            return self.add(1, size, part, [size * size, a * a, b * b, a * b]);
        }
        for (side, x) in [a, b].into_iter().enumerate() {
            self.nan[side] += u64::from(x.is_nan());
            self.inf[side] += u64::from(x.is_infinite());
        }
        self.torn += u64::from(!(a.is_nan() && b.is_nan()) && a != b);
    }

    /// Adds the sums of other pairs.
    pub fn merge(&mut self, other: &Sums) {
        self.add(other.finite, other.max_abs, other.max_rel, [other.dd, other.aa, other.bb, other.ab]);
        for side in 0..2 {
            self.nan[side] += other.nan[side];
            self.inf[side] += other.inf[side];
        }
        self.torn += other.torn;
    }

    /// Root of the mean square of the differences; 0 where there are no pairs.
    pub fn rms(&self) -> f64 {
        if self.finite == 0 { 0.0 } else { (self.dd / self.finite as f64).sqrt() }
    }

    /// Root of the sum of squares of the differences, by that of the target: how far it has moved, seen from its size.
    /// `None` where the target is zero throughout.
    pub fn relative(&self) -> Option<f64> {
        (self.bb > 0.0).then(|| (self.dd / self.bb).sqrt())
    }

    /// Cosine of the angle between the two; `None` where one of them is zero throughout.
    pub fn cosine(&self) -> Option<f64> {
        if self.aa == 0.0 || self.bb == 0.0 {
            return None;
        }
        if self.dd == 0.0 {
            return Some(1.0);
        }
        Some((self.ab / (self.aa.sqrt() * self.bb.sqrt())).clamp(-1.0, 1.0))
    }

    /// Whether every number has the same value on both sides.
    pub fn equal(&self) -> bool {
        self.max_abs == 0.0 && self.torn == 0
    }
}
