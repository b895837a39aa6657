//! Numbers of two dtypes against each other.

use super::kernels::{BLOCK, Kernels};
use super::numbers::Real;
use super::sums::Sums;

/// Adds numbers of one format against those of another; `same` becomes false where a number of the wider format does
/// not become that of the narrower one when it is converted.
pub(super) fn add((a, x): (Real, &[u8]), (b, y): (Real, &[u8]), same: &mut bool, sums: &mut Sums) {
    let singles = Kernels::of(a).is_some() && Kernels::of(b).is_some();
    for (x, y) in x.chunks(BLOCK * a.bytes()).zip(y.chunks(BLOCK * b.bytes())) {
        let (mut p, mut q) = ([0.0; BLOCK], [0.0; BLOCK]);
        let n = a.decode(x, &mut p).min(b.decode(y, &mut q));
        let (p, q) = (p.get(..n).unwrap_or_default(), q.get(..n).unwrap_or_default());
        if *same {
            *same = p.iter().zip(q).all(|(&p, &q)| becomes(a, b, p, q));
        }
        match Kernels::of(Real::F32).filter(|_| singles) {
            Some(kernels) => {
                // Every number of these formats is one of single precision.
                let bytes = |of: &[f64]| of.iter().flat_map(|&x| (x as f32).to_le_bytes()).collect::<Vec<u8>>();
                kernels.add(&bytes(p), &bytes(q), sums);
            }
            None => p.iter().zip(q).for_each(|(&p, &q)| sums.pair(p, q)),
        }
    }
}

/// Whether `p` of format `a` and `q` of format `b` are one number but for a conversion, in the direction that loses bits.
fn becomes(a: Real, b: Real, p: f64, q: f64) -> bool {
    match a.bytes().cmp(&b.bytes()) {
        std::cmp::Ordering::Greater => b.becomes(p, q),
        std::cmp::Ordering::Less => a.becomes(q, p),
        std::cmp::Ordering::Equal => b.becomes(p, q) || a.becomes(q, p),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn singles_and_the_brain_floats_rounded_from_them_are_one_but_for_conversion() {
        let numbers: Vec<f32> = (0..3000).map(|i| (i as f32 * 0.37).sin()).collect();
        let singles: Vec<u8> = numbers.iter().flat_map(|x| x.to_le_bytes()).collect();
        let rounded = |x: &f32| ((x.to_bits() + 0x7fff + (x.to_bits() >> 16 & 1)) >> 16) as u16;
        let mut brains: Vec<u8> = numbers.iter().flat_map(|x| rounded(x).to_le_bytes()).collect();
        let (mut same, mut sums) = (true, Sums::default());
        add((Real::F32, &singles), (Real::BF16, &brains), &mut same, &mut sums);
        assert!(same && sums.max_abs > 0.0 && sums.max_rel < 0.005 && sums.finite == 3000, "{sums:?}");
        brains[2000] ^= 1;
        let (mut same, mut sums) = (true, Sums::default());
        add((Real::BF16, &brains), (Real::F32, &singles), &mut same, &mut sums);
        assert!(!same);
    }

    #[test]
    fn doubles_and_integers_are_compared_in_double_precision() {
        let doubles: Vec<u8> = [1.0f64, 2.5, -3.0].iter().flat_map(|x| x.to_le_bytes()).collect();
        let whole: Vec<u8> = [1i64, 2, -3].iter().flat_map(|x| x.to_le_bytes()).collect();
        let (mut same, mut sums) = (true, Sums::default());
        add((Real::F64, &doubles), (Real::I64, &whole), &mut same, &mut sums);
        assert!(same && sums.max_abs == 0.5);
    }
}
