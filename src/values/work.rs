//! Pairs of tensors read piece by piece, on every core, in an order that does not change the result.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::kernels::{Kernels, slow};
use super::numbers::Real;
use super::pairs::Views;
use super::sums::Sums;
use crate::payload::PayloadError;

/// Bytes read at a time of each side. Two such buffers lie in the second-level cache of a core, where they are compared
/// without going back to memory; smaller ones cost more system calls (measured: 64 KiB 15 % more time).
const CHUNK: usize = 512 << 10;
/// Chunks that a thread takes at a time.
const RUN: u64 = 16;

/// What the comparison of two views gives.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Found {
    /// Whether every byte is the same.
    pub same_bytes: bool,
    /// Whether every number has the same value, after conversion where the dtypes differ.
    pub same_values: bool,
    /// Sums, where the bytes are numbers and statistics were asked for.
    pub sums: Option<Sums>,
}

/// One piece of work: part of a pair of views.
struct Piece {
    pair: usize,
    /// First element and how many.
    from: u64,
    count: u64,
}

/// Compares every pair; with `exact` only until the first byte that differs.
///
/// # Errors
/// For each pair where its bytes cannot be read.
pub(super) fn compare(pairs: &[Views], exact: bool, threads: usize) -> Vec<Result<Found, PayloadError>> {
    let mut pieces = Vec::new();
    for (pair, (a, b)) in pairs.iter().enumerate() {
        let width = u64::from(a.dtype().bits().max(b.dtype().bits()).max(1));
        let numel = a.numel().min(b.numel());
        // Whole bytes on both sides, whatever the width of an element.
        let step = ((CHUNK as u64 * RUN * 8) / width).next_multiple_of(64);
        let mut from = 0;
        while from < numel {
            let count = step.min(numel - from);
            pieces.push(Piece { pair, from, count });
            from += count;
        }
    }
    let next = AtomicUsize::new(0);
    let differs: Vec<AtomicBool> = pairs.iter().map(|_| AtomicBool::new(false)).collect();
    let done: Mutex<Vec<(usize, Result<Found, PayloadError>)>> = Mutex::new(Vec::with_capacity(pieces.len()));
    let worker = || {
        let mut buffers = (vec![0; CHUNK], vec![0; CHUNK]);
        let mut mine = Vec::new();
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let Some(piece) = pieces.get(at) else { break };
            let Some((views, differs)) = pairs.get(piece.pair).zip(differs.get(piece.pair)) else { break };
            if exact && differs.load(Ordering::Relaxed) {
                continue;
            }
            let found = one(views, piece, exact, &mut buffers);
            if found.as_ref().is_ok_and(|f| !f.same_bytes) {
                differs.store(true, Ordering::Relaxed);
            }
            mine.push((at, found));
        }
        done.lock().unwrap_or_else(std::sync::PoisonError::into_inner).extend(mine);
    };
    if threads < 2 || pieces.len() < 2 {
        worker();
    } else {
        std::thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(worker);
            }
        });
    }
    let mut done = done.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    // Sums of floating-point numbers depend on the order in which they are added: always that of the pieces.
    done.sort_by_key(|(at, _)| *at);
    let whole = |(a, b): &Views| Found {
        same_bytes: a.dtype() == b.dtype(),
        same_values: true,
        sums: (!exact && Real::of(a.dtype()).is_some() && Real::of(b.dtype()).is_some()).then(Sums::default),
    };
    let mut out: Vec<Result<Found, PayloadError>> = pairs.iter().map(|views| Ok(whole(views))).collect();
    for (at, found) in done {
        let Some(slot) = pieces.get(at).and_then(|p| out.get_mut(p.pair)) else { continue };
        match (slot, found) {
            (Ok(all), Ok(found)) => {
                all.same_bytes &= found.same_bytes;
                all.same_values &= found.same_values;
                if let (Some(all), Some(sums)) = (&mut all.sums, &found.sums) {
                    all.merge(sums);
                }
            }
            (slot @ Ok(_), Err(e)) => *slot = Err(e),
            (Err(_), _) => {}
        }
    }
    out
}

/// Compares a piece of two views.
fn one((a, b): &Views, piece: &Piece, exact: bool, buffers: &mut (Vec<u8>, Vec<u8>)) -> Result<Found, PayloadError> {
    let (a_bits, b_bits) = (u64::from(a.dtype().bits()), u64::from(b.dtype().bits()));
    let (reals, same_dtype) = (Real::of(a.dtype()).zip(Real::of(b.dtype())), a.dtype() == b.dtype());
    let mut found = Found { same_bytes: same_dtype, same_values: true, sums: None };
    if exact && !same_dtype {
        return Ok(Found { same_values: false, ..found });
    }
    if reals.is_none() && !same_dtype {
        return Ok(Found { same_values: false, ..found });
    }
    let mut sums = Sums::default();
    let step = (CHUNK as u64 * 8 / a_bits.max(b_bits).max(1)).next_multiple_of(64).min(CHUNK as u64 * 4);
    let kernels = reals.and_then(|(real, _)| Kernels::of(real));
    let mut at = piece.from;
    let end = piece.from + piece.count;
    while at < end {
        let count = step.min(end - at);
        let x = part(a, at, count, a_bits, &mut buffers.0)?;
        let y = part(b, at, count, b_bits, &mut buffers.1)?;
        at += count;
        let same = same_dtype && x == y;
        found.same_bytes &= same;
        if exact {
            if !same {
                return Ok(found);
            }
            continue;
        }
        match (reals, kernels) {
            (None, _) => found.same_values &= same,
            (Some(_), Some(kernels)) if same => kernels.add_equal(x, &mut sums),
            (Some((real, _)), _) if same => slow(real, x, x, &mut sums),
            (Some((real, other)), kernels) if same_dtype => {
                let mut here = Sums { max_rel: sums.max_rel, ..Sums::default() };
                match kernels {
                    Some(kernels) => kernels.add(x, y, &mut here),
                    None => slow(real, x, y, &mut here),
                }
                // Integers of 64 bits may differ in what a double does not hold.
                found.same_values &= here.equal() && !(real.whole() && other.whole());
                sums.merge(&here);
            }
            (Some((real, other)), _) => super::mixed::add((real, x), (other, y), &mut found.same_values, &mut sums),
        }
    }
    found.sums = (!exact && reals.is_some()).then_some(sums);
    Ok(found)
}

/// Elements `at` to `at + count` of a tensor, as bytes.
fn part<'b>(
    tensor: &crate::payload::Tensor,
    at: u64,
    count: u64,
    bits: u64,
    buffer: &'b mut Vec<u8>,
) -> Result<&'b [u8], PayloadError> {
    let from = at * bits / 8;
    let size = ((at + count) * bits).div_ceil(8).min(tensor.len()) - from;
    let size = size as usize;
    if buffer.len() < size {
        buffer.resize(size, 0);
    }
    let (part, _) = buffer.split_at_mut(size);
    tensor.read_at(from, part)?;
    Ok(part)
}
