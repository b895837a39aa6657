//! Shapes with strides: which elements a tensor looks at, and in which order.

/// Sizes and steps of dimensions, without the bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct View {
    shape: Vec<u64>,
    /// Bytes from one index to the next; `None` of dtypes narrower than a byte, which are contiguous always.
    steps: Option<Vec<i64>>,
    /// Bits of an element.
    bits: u64,
    contiguous: bool,
}

impl View {
    /// Row-major, of elements of so many bits; `None` where it is beyond 63 bits.
    pub(super) fn contiguous(shape: &[u64], bits: u64) -> Option<View> {
        let steps = match bits.is_multiple_of(8) {
            true => Some(row_major(shape, bits / 8)?),
            false => None,
        };
        Some(View { shape: shape.to_vec(), steps, bits, contiguous: true })
    }

    /// With strides in elements of `item` bytes; `None` where they do not fit the shape, or are beyond 63 bits.
    pub(super) fn strided(shape: &[u64], strides: &[i64], item: u64) -> Option<View> {
        let size = i64::try_from(item).ok()?;
        let steps: Vec<i64> = strides.iter().map(|s| s.checked_mul(size)).collect::<Option<_>>()?;
        (steps.len() == shape.len()).then(|| View::of(shape.to_vec(), steps, item * 8))
    }

    fn of(shape: Vec<u64>, steps: Vec<i64>, bits: u64) -> View {
        let mut view = View { shape, steps: Some(steps), bits, contiguous: false };
        view.contiguous = view.runs_through();
        view
    }

    /// Whether every element follows the one before it.
    fn runs_through(&self) -> bool {
        let Some(steps) = &self.steps else { return true };
        if self.shape.contains(&0) {
            return true;
        }
        let mut expected = i64::try_from(self.bits / 8).unwrap_or(i64::MAX);
        for (&size, &step) in self.shape.iter().zip(steps).rev() {
            if size != 1 && step != expected {
                return false;
            }
            expected = expected.saturating_mul(i64::try_from(size).unwrap_or(i64::MAX));
        }
        true
    }

    /// The sizes of dimensions.
    pub fn shape(&self) -> &[u64] {
        &self.shape
    }

    /// Whether the bytes stand in the order in which they are wanted.
    pub fn is_contiguous(&self) -> bool {
        self.contiguous
    }

    /// Bytes of an element; `None` where it is no whole number.
    pub(super) fn item(&self) -> Option<u64> {
        self.bits.is_multiple_of(8).then_some(self.bits / 8)
    }

    /// Bytes of all elements. Views are made of tensors whose size was checked, so that it fits.
    pub(super) fn len(&self) -> u64 {
        self.numel().saturating_mul(self.bits).div_ceil(8)
    }

    /// How many elements.
    pub(super) fn numel(&self) -> u64 {
        if self.shape.contains(&0) { 0 } else { self.shape.iter().fold(1u64, |n, &d| n.saturating_mul(d)) }
    }

    /// The bytes it touches when its first element stands at `start`: the first, and the one behind the last.
    pub(super) fn reach(&self, start: u64) -> Option<(u64, u64)> {
        if self.shape.contains(&0) {
            return Some((start, start));
        }
        let Some(steps) = &self.steps else { return Some((start, start.checked_add(self.len())?)) };
        let (mut low, mut high) = (start, start);
        for (&size, &step) in self.shape.iter().zip(steps) {
            let way = i64::try_from(size - 1).ok()?.checked_mul(step)?;
            match way < 0 {
                true => low = low.checked_add_signed(way)?,
                false => high = high.checked_add_signed(way)?,
            }
        }
        Some((low, high.checked_add(self.bits / 8)?))
    }

    /// Dimensions in another order.
    pub(super) fn permute(&self, order: &[usize]) -> Option<View> {
        let mut seen = vec![false; self.shape.len()];
        for &dim in order {
            if std::mem::replace(seen.get_mut(dim)?, true) {
                return None;
            }
        }
        let steps = self.steps.as_ref().filter(|_| order.len() == self.shape.len())?;
        let pick = |from: &[i64]| order.iter().filter_map(|&d| from.get(d).copied()).collect();
        let shape = order.iter().filter_map(|&d| self.shape.get(d).copied()).collect();
        Some(View::of(shape, pick(steps), self.bits))
    }

    /// Part of a dimension, and the bytes that its first element lies behind the old one.
    pub(super) fn narrow(&self, dim: usize, from: u64, len: u64) -> Option<(View, i64)> {
        let (&size, &step) = (self.shape.get(dim)?, self.steps.as_ref()?.get(dim)?);
        from.checked_add(len).filter(|&end| end <= size)?;
        let mut shape = self.shape.clone();
        *shape.get_mut(dim)? = len;
        let skip = i64::try_from(from).ok()?.checked_mul(step)?;
        Some((View::of(shape, self.steps.clone()?, self.bits), skip))
    }

    /// The same elements, in the same order, under another shape, as `Tensor.view` finds it without copying.
    pub(super) fn reshape(&self, shape: &[u64]) -> Option<View> {
        let numel = |dims: &[u64]| {
            if dims.contains(&0) { Some(0) } else { dims.iter().try_fold(1u64, |n, &d| n.checked_mul(d)) }
        };
        if numel(shape)? != numel(&self.shape)? {
            return None;
        }
        if self.contiguous {
            return View::contiguous(shape, self.bits);
        }
        // Runs of old dimensions that step evenly may be cut anew; walk both shapes from the inside out.
        let merged = self.merged();
        let mut steps = vec![0i64; shape.len()];
        let mut left = merged.iter().rev();
        let (mut room, mut step) = (1u64, self.bits as i64 / 8);
        for (slot, &size) in steps.iter_mut().zip(shape).rev() {
            if size == 1 {
                *slot = step;
                continue;
            }
            while room == 1 {
                let &(size, inner) = left.next()?;
                (room, step) = (size, inner);
            }
            if !room.is_multiple_of(size) {
                return None;
            }
            *slot = step;
            step = step.checked_mul(i64::try_from(size).ok()?)?;
            room /= size;
        }
        Some(View::of(shape.to_vec(), steps, self.bits))
    }

    /// Sizes and steps with dimensions of one element left out and those that follow one another joined, outermost first.
    pub(super) fn merged(&self) -> Vec<(u64, i64)> {
        let mut out: Vec<(u64, i64)> = Vec::with_capacity(self.shape.len());
        let steps = self.steps.as_deref().unwrap_or_default();
        for (&size, &step) in self.shape.iter().zip(steps).filter(|(size, _)| **size != 1) {
            let way = i64::try_from(size).ok().and_then(|size| size.checked_mul(step));
            match out.last_mut() {
                Some((outer, outer_step)) if Some(*outer_step) == way => {
                    *outer = outer.saturating_mul(size);
                    *outer_step = step;
                }
                _ => out.push((size, step)),
            }
        }
        out
    }
}

/// Bytes from one index to the next, of a row-major tensor; `None` where they are beyond 63 bits.
fn row_major(shape: &[u64], item: u64) -> Option<Vec<i64>> {
    let mut steps = vec![0; shape.len()];
    let mut step = i64::try_from(item).ok()?;
    for (slot, &size) in steps.iter_mut().zip(shape).rev() {
        *slot = step;
        // Nothing steps over a dimension without elements.
        step = if shape.contains(&0) { step } else { step.checked_mul(i64::try_from(size).ok()?)? };
    }
    Some(steps)
}
