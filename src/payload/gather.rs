//! Elements that do not follow one another, brought together.

use std::sync::Arc;

use super::{PayloadError, Tensor};

/// Runs of at least so many bytes are read from the file one by one; shorter ones are picked out of memory.
const LONG: u64 = 4096;
/// A span is held in memory where it is at most so many times what is wanted of it, or small.
const SPREAD: u64 = 16;
/// Spans that are always held, in bytes.
const SMALL: u64 = 16 << 20;

/// Where the next elements are: an odometer over all dimensions but the innermost.
struct Walk {
    /// Size and step of each outer dimension, the innermost of them last.
    outer: Vec<(u64, i64)>,
    index: Vec<u64>,
    /// Byte of the row's first element.
    row: u64,
}

impl Walk {
    fn at(outer: Vec<(u64, i64)>, start: u64, mut row: u64) -> Option<Walk> {
        let mut walk = Walk { index: vec![0; outer.len()], outer, row: start };
        for (index, &(size, step)) in walk.index.iter_mut().zip(&walk.outer).rev() {
            *index = row % size.max(1);
            row /= size.max(1);
            walk.row = walk.row.checked_add_signed(i64::try_from(*index).ok()?.checked_mul(step)?)?;
        }
        Some(walk)
    }

    fn step(&mut self) {
        for (index, &(size, step)) in self.index.iter_mut().zip(&self.outer).rev() {
            *index += 1;
            if *index < size {
                self.row = self.row.wrapping_add_signed(step);
                return;
            }
            // Back to the first of this dimension; the ways stay within the span, which was checked.
            self.row = self.row.wrapping_add_signed(step.wrapping_mul(*index as i64 - 1).wrapping_neg());
            *index = 0;
        }
    }
}

impl Tensor {
    /// Fills `into` with whole elements from byte `at` of the contiguous order on.
    pub(super) fn gather(&self, at: u64, into: &mut [u8]) -> Result<(), PayloadError> {
        let item = self.view.item().unwrap_or(1);
        let mut dims = self.view.merged();
        // What is left of the innermost dimension steps by one element, or each element is a run by itself.
        let (count, step) = dims.pop().unwrap_or((1, item as i64));
        let beyond = || self.error(None, "its strides lead beyond 64 bits".into());
        let row_bytes = count * item;
        let mut walk = Walk::at(dims, self.start, at / row_bytes).ok_or_else(beyond)?;
        let mut column = at % row_bytes / item;
        let run = if step == item as i64 { row_bytes } else { item };
        let held = match run < LONG {
            true => self.held()?,
            false => None,
        };
        let memory = held.as_ref().map(|held| (held.as_slice(), self.span.0)).or(self.store.memory().map(|m| (m, 0)));
        let mut rest = into;
        while !rest.is_empty() {
            let wanted = ((count - column) * item).min(rest.len() as u64) as usize;
            let (row, behind) = rest.split_at_mut(wanted);
            let first = walk.row.wrapping_add_signed(step.wrapping_mul(column as i64));
            match memory {
                Some((bytes, base)) => {
                    let from = usize::try_from(first.wrapping_sub(base)).unwrap_or(usize::MAX);
                    pick(bytes, from, step, item as usize, row).ok_or_else(beyond)?;
                }
                None if step == item as i64 => self.copy(first, row)?,
                None => {
                    let mut place = first;
                    for element in row.chunks_exact_mut(item as usize) {
                        self.copy(place, element)?;
                        place = place.wrapping_add_signed(step);
                    }
                }
            }
            rest = behind;
            column = 0;
            walk.step();
        }
        Ok(())
    }

    /// The span in memory; `None` where it is too much for what is wanted of it.
    fn held(&self) -> Result<Option<Arc<Vec<u8>>>, PayloadError> {
        let size = self.span.1 - self.span.0;
        if self.store.memory().is_some() || (size > SMALL && size / SPREAD > self.len) {
            return Ok(None);
        }
        let read = || {
            let size = usize::try_from(size).map_err(|e| self.error(None, e.to_string()))?;
            let mut bytes = vec![0; size];
            self.copy(self.span.0, &mut bytes)?;
            Ok(Arc::new(bytes))
        };
        self.held.get_or_init(read).clone().map(Some)
    }
}

/// Copies elements of `item` bytes that lie `step` bytes apart, the first at `from`; `None` where they are not all there.
fn pick(bytes: &[u8], from: usize, step: i64, item: usize, into: &mut [u8]) -> Option<()> {
    if step == item as i64 {
        into.copy_from_slice(bytes.get(from..from.checked_add(into.len())?)?);
        return Some(());
    }
    match item {
        1 => pick_sized::<1>(bytes, from, step, into),
        2 => pick_sized::<2>(bytes, from, step, into),
        4 => pick_sized::<4>(bytes, from, step, into),
        8 => pick_sized::<8>(bytes, from, step, into),
        _ => {
            let mut place = from;
            for element in into.chunks_exact_mut(item) {
                element.copy_from_slice(bytes.get(place..place.checked_add(item)?)?);
                place = place.wrapping_add_signed(step as isize);
            }
            Some(())
        }
    }
}

/// As [`pick`], of a size that the compiler knows.
fn pick_sized<const N: usize>(bytes: &[u8], from: usize, step: i64, into: &mut [u8]) -> Option<()> {
    let mut place = from;
    for element in into.as_chunks_mut::<N>().0 {
        *element = *bytes.get(place..)?.first_chunk::<N>()?;
        place = place.wrapping_add_signed(step as isize);
    }
    Some(())
}
