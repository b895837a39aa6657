//! What identifies the content of a tensor: a digest over its dtype, shape and values, and a summary of the numbers.
//!
//! Defined over the logical tensor, so that file format, strides, byte order and sharding do not matter: XXH3 with 128 bits
//! over the canonical name of the dtype, a zero byte, the number of dimensions, each size (eight bytes, little-endian),
//! then the elements, row-major and little-endian. Two different tensors of a billion share a digest by chance with a
//! probability below 2⁻⁶⁸. XXH3 is no cryptographic hash: who wants two tensors to collide can make them; digests find
//! what was changed, not who changed it.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use xxhash_rust::xxh3::Xxh3;

use super::numbers::Real;
use crate::checkpoint::{Content, Entry, StateDict, Summary};
use crate::payload::{Payload, PayloadError, Tensor};

/// The content of every entry that `wanted` picks, by path; entries that cannot be read are listed with the reason.
pub fn contents(
    side: &StateDict<'_>,
    summaries: bool,
    wanted: impl Fn(&Entry<'_>) -> bool,
) -> (HashMap<Box<str>, Content>, Vec<PayloadError>) {
    let payload = Payload::new(side.checkpoint);
    let entries: Vec<&Entry<'_>> = side.entries.iter().filter(|e| wanted(e)).collect();
    let next = AtomicUsize::new(0);
    let done = Mutex::new((HashMap::new(), Vec::new()));
    let worker = || {
        let mut buffer = Vec::new();
        while let Some(entry) = entries.get(next.fetch_add(1, Ordering::Relaxed)) {
            let content = payload.tensor(entry.tensor).and_then(|t| content_of(&t, summaries, &mut buffer));
            let mut done = done.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            match content {
                Ok(content) => drop(done.0.insert(entry.tensor.path.clone(), content)),
                Err(e) => done.1.push(e),
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..super::threads().min(entries.len()) {
            scope.spawn(worker);
        }
    });
    let (found, mut errors) = done.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    errors.sort_by(|a, b| a.key.cmp(&b.key));
    (found, errors)
}

/// The content of one tensor, read through `buffer`.
///
/// # Errors
/// Where its bytes cannot be read.
pub fn content_of(tensor: &Tensor, summary: bool, buffer: &mut Vec<u8>) -> Result<Content, PayloadError> {
    let mut hash = Xxh3::new();
    hash.update(tensor.dtype().to_string().as_bytes());
    hash.update(&[0]);
    hash.update(&(tensor.shape().len() as u64).to_le_bytes());
    tensor.shape().iter().for_each(|size| hash.update(&size.to_le_bytes()));
    let real = Real::of(tensor.dtype()).filter(|_| summary);
    let mut running = Running::default();
    let mut first: Option<Vec<u8>> = None;
    let mut constant = true;
    let item = (tensor.dtype().bits() as usize / 8).max(1);
    tensor.each_chunk::<PayloadError>(buffer, |chunk| {
        hash.update(chunk);
        if constant {
            let pattern = first.get_or_insert_with(|| chunk.get(..item).unwrap_or(chunk).to_vec());
            constant = chunk.chunks(item).all(|element| element == pattern.as_slice());
        }
        if let Some(real) = real {
            running.add(real, chunk);
        }
        Ok(())
    })?;
    let summary = real.map(|_| running.finish());
    Ok(Content { digest: hash.digest128(), constant, summary })
}

/// Sums of a summary.
struct Running {
    count: u64,
    min: f64,
    max: f64,
    sum: f64,
    squares: f64,
    nan: u64,
    inf: u64,
}

impl Default for Running {
    fn default() -> Self {
        Running { count: 0, min: f64::INFINITY, max: f64::NEG_INFINITY, sum: 0.0, squares: 0.0, nan: 0, inf: 0 }
    }
}

impl Running {
    fn add(&mut self, real: Real, bytes: &[u8]) {
        let mut numbers = [0.0; 256];
        for part in bytes.chunks(256 * real.bytes()) {
            let n = real.decode(part, &mut numbers);
            let numbers = numbers.get(..n).unwrap_or_default();
            let squares: f64 = numbers.iter().map(|x| x * x).sum();
            if squares.is_finite() {
                self.count += n as u64;
                self.sum += numbers.iter().sum::<f64>();
                self.squares += squares;
                self.min = numbers.iter().fold(self.min, |a, &b| if b < a { b } else { a });
                self.max = numbers.iter().fold(self.max, |a, &b| if b > a { b } else { a });
                continue;
            }
            for &x in numbers {
                if x.is_finite() {
                    self.count += 1;
                    self.sum += x;
                    self.squares += x * x;
                    self.min = self.min.min(x);
                    self.max = self.max.max(x);
                } else {
                    self.nan += u64::from(x.is_nan());
                    self.inf += u64::from(x.is_infinite());
                }
            }
        }
    }

    fn finish(self) -> Summary {
        let some = |x: f64| (self.count > 0).then_some(x);
        let count = self.count.max(1) as f64;
        Summary {
            min: some(self.min),
            max: some(self.max),
            mean: some(self.sum / count),
            rms: some((self.squares / count).sqrt()),
            nan: self.nan,
            inf: self.inf,
        }
    }
}
