//! One pass over two blocks of numbers: what differs, and the sums that the statistics are made of.
//!
//! A block is 1024 numbers. Within it sums are single precision in eight lanes, which the compiler turns into vector
//! instructions; from block to block they are double precision. What the fast way cannot do (NaN and infinity in a block,
//! squares that over- or underflow) it notices by its sums, and the block is done again number by number.

use super::numbers::Real;
use super::sums::Sums;

#[cfg(target_arch = "x86_64")]
mod wide;

/// Numbers in a block.
pub(super) const BLOCK: usize = 1024;
/// Numbers that are handled at once.
const LANES: usize = 8;
/// Below this a sum of squares may have lost what was too small for single precision.
const TOO_SMALL: f32 = 1e-28;

/// The sums of one block.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Block {
    max_abs: f32,
    max_rel: f32,
    dd: f32,
    aa: f32,
    bb: f32,
    ab: f32,
}

/// What a kernel does with blocks `a` and `b`, of any length that is a multiple of eight numbers.
type Kernel = fn(&[u8], &[u8]) -> Block;
/// The sum of squares of one block.
type Norm = fn(&[u8]) -> f32;

/// The kernels of a format on this machine.
#[derive(Clone, Copy)]
pub(super) struct Kernels {
    real: Real,
    both: Kernel,
    one: Norm,
    /// What the numbers that the kernel sees have to be multiplied by.
    scale: f64,
}

impl Kernels {
    /// The kernels of a format; `None` for one that is done number by number.
    pub(super) fn of(real: Real) -> Option<Kernels> {
        Kernels::with(real, pick(real)?)
    }

    fn with(real: Real, (both, one): (Kernel, Norm)) -> Option<Kernels> {
        let scale = match real {
            Real::E4M3 => 256.0,
            Real::E4M3Fnuz => 128.0,
            Real::E5M2Fnuz => 0.5,
            _ => 1.0,
        };
        Some(Kernels { real, both, one, scale })
    }

    /// Adds blocks of equal length to the sums.
    pub(super) fn add(&self, a: &[u8], b: &[u8], sums: &mut Sums) {
        let size = self.real.bytes();
        for (a, b) in a.chunks(BLOCK * size).zip(b.chunks(BLOCK * size)) {
            let whole = a.len() / (LANES * size) * LANES * size;
            let ((a, a_rest), (b, b_rest)) = (a.split_at(whole), b.split_at(whole));
            let block = (self.both)(a, b);
            if self.sound(&block) && !special(self.real, a) && !special(self.real, b) {
                let square = self.scale * self.scale;
                sums.add(
                    (whole / size) as u64,
                    f64::from(block.max_abs) * self.scale,
                    f64::from(block.max_rel),
                    [block.dd, block.aa, block.bb, block.ab].map(|x| f64::from(x) * square),
                );
            } else {
                slow(self.real, a, b, sums);
            }
            slow(self.real, a_rest, b_rest, sums);
        }
    }

    /// Adds a block that is the same on both sides.
    pub(super) fn add_equal(&self, a: &[u8], sums: &mut Sums) {
        let size = self.real.bytes();
        for a in a.chunks(BLOCK * size) {
            let (a, rest) = a.split_at(a.len() / (LANES * size) * LANES * size);
            let squares = (self.one)(a);
            if squares.is_finite() && squares > TOO_SMALL && !special(self.real, a) {
                let squares = f64::from(squares) * self.scale * self.scale;
                sums.add((a.len() / size) as u64, 0.0, 0.0, [0.0, squares, squares, squares]);
            } else {
                slow(self.real, a, a, sums);
            }
            slow(self.real, rest, rest, sums);
        }
    }

    /// Whether single precision was enough.
    fn sound(&self, block: &Block) -> bool {
        let Block { max_abs, dd, aa, bb, ab, .. } = *block;
        (dd + aa + bb + ab).is_finite() && aa > TOO_SMALL && bb > TOO_SMALL && (dd > TOO_SMALL || max_abs == 0.0)
    }
}

/// Whether codes are there that the kernels take for numbers and that are none.
fn special(real: Real, bytes: &[u8]) -> bool {
    match real {
        Real::E4M3 => bytes.iter().fold(0, |most, &b| (b & 0x7f).max(most)) == 0x7f,
        Real::E4M3Fnuz | Real::E5M2Fnuz => bytes.iter().fold(0xff, |least, &b| (b ^ 0x80).min(least)) == 0,
        _ => false,
    }
}

/// Number by number, in double precision.
pub(super) fn slow(real: Real, a: &[u8], b: &[u8], sums: &mut Sums) {
    let (mut x, mut y) = ([0.0; 256], [0.0; 256]);
    let size = real.bytes();
    for (a, b) in a.chunks(256 * size).zip(b.chunks(256 * size)) {
        let n = real.decode(a, &mut x).min(real.decode(b, &mut y));
        for (&p, &q) in x.iter().zip(&y).take(n) {
            sums.pair(p, q);
        }
    }
}

/// The kernels for this machine: with vector instructions where it has those that are wanted.
fn pick(real: Real) -> Option<(Kernel, Norm)> {
    #[cfg(target_arch = "x86_64")]
    if let Some(found) = wide::pick(real) {
        return Some(found);
    }
    plain(real)
}

/// The kernels in what every machine can do.
fn plain(real: Real) -> Option<(Kernel, Norm)> {
    Some(match real {
        Real::F32 => (|a, b| both::<32, false>(a, b, singles), |a| one::<32, false>(a, singles)),
        Real::BF16 => (|a, b| both::<16, false>(a, b, brains), |a| one::<16, false>(a, brains)),
        Real::F16 => (|a, b| both::<16, false>(a, b, halves), |a| one::<16, false>(a, halves)),
        Real::E5M2 | Real::E5M2Fnuz => (|a, b| both::<8, false>(a, b, e5m2), |a| one::<8, false>(a, e5m2)),
        Real::E4M3 | Real::E4M3Fnuz => (|a, b| both::<8, false>(a, b, e4m3), |a| one::<8, false>(a, e4m3)),
        _ => return None,
    })
}

/// One step of a sum of products, fused where the machine does that in one instruction.
#[inline(always)]
fn step<const FUSED: bool>(x: f32, y: f32, sum: f32) -> f32 {
    if FUSED { x.mul_add(y, sum) } else { x * y + sum }
}

/// The kernel: `decode` turns the bytes of eight numbers into singles.
#[inline(always)]
fn both<const W: usize, const FUSED: bool>(a: &[u8], b: &[u8], decode: impl Fn(&[u8; W]) -> [f32; LANES]) -> Block {
    let zero = [0.0f32; LANES];
    let (mut abs, mut rel, mut dd, mut aa, mut bb, mut ab) = (zero, zero, zero, zero, zero, zero);
    for (x, y) in a.as_chunks::<W>().0.iter().zip(b.as_chunks::<W>().0) {
        let (x, y) = (decode(x), decode(y));
        for i in 0..LANES {
            let (p, q) = (x[i], y[i]);
            let difference = p - q;
            let size = difference.abs();
            // Comparisons and not `max`: what is NaN never wins, and one instruction does it.
            abs[i] = if size > abs[i] { size } else { abs[i] };
            let larger = if p.abs() > q.abs() { p.abs() } else { q.abs() };
            let part = size / larger;
            rel[i] = if part > rel[i] { part } else { rel[i] };
            dd[i] = step::<FUSED>(difference, difference, dd[i]);
            aa[i] = step::<FUSED>(p, p, aa[i]);
            bb[i] = step::<FUSED>(q, q, bb[i]);
            ab[i] = step::<FUSED>(p, q, ab[i]);
        }
    }
    let most = |lanes: [f32; LANES]| lanes.into_iter().fold(0.0, f32::max);
    let sum = |lanes: [f32; LANES]| lanes.into_iter().sum();
    Block { max_abs: most(abs), max_rel: most(rel), dd: sum(dd), aa: sum(aa), bb: sum(bb), ab: sum(ab) }
}

/// The sum of squares.
#[inline(always)]
fn one<const W: usize, const FUSED: bool>(a: &[u8], decode: impl Fn(&[u8; W]) -> [f32; LANES]) -> f32 {
    let mut sums = [[0.0f32; LANES]; 4];
    let mut steps = a.as_chunks::<W>().0.chunks_exact(4);
    for four in &mut steps {
        for (x, sum) in four.iter().zip(&mut sums) {
            let x = decode(x);
            for i in 0..LANES {
                sum[i] = step::<FUSED>(x[i], x[i], sum[i]);
            }
        }
    }
    for x in steps.remainder() {
        let x = decode(x);
        for i in 0..LANES {
            sums[0][i] = step::<FUSED>(x[i], x[i], sums[0][i]);
        }
    }
    sums.as_flattened().iter().sum()
}

#[inline(always)]
fn singles(bytes: &[u8; 32]) -> [f32; LANES] {
    let four = |i: usize| [bytes[4 * i], bytes[4 * i + 1], bytes[4 * i + 2], bytes[4 * i + 3]];
    std::array::from_fn(|i| f32::from_le_bytes(four(i)))
}

#[inline(always)]
fn pairs(bytes: &[u8; 16]) -> [u16; LANES] {
    std::array::from_fn(|i| u16::from_le_bytes([bytes[2 * i], bytes[2 * i + 1]]))
}

#[inline(always)]
fn brains(bytes: &[u8; 16]) -> [f32; LANES] {
    pairs(bytes).map(|b| f32::from_bits(u32::from(b) << 16))
}

#[inline(always)]
fn halves(bytes: &[u8; 16]) -> [f32; LANES] {
    pairs(bytes).map(super::numbers::half)
}

/// The half that has the same value.
#[inline(always)]
fn e5m2_as_half(bytes: &[u8; 8]) -> [u16; LANES] {
    bytes.map(|b| u16::from(b) << 8)
}

/// The half that has a 256th of the value: its exponent counts from 15, that of E4M3 from 7.
#[inline(always)]
fn e4m3_as_half(bytes: &[u8; 8]) -> [u16; LANES] {
    bytes.map(|b| (((u16::from(b) << 8) as i16 >> 1) as u16) & 0xbf80)
}

#[inline(always)]
fn e5m2(bytes: &[u8; 8]) -> [f32; LANES] {
    e5m2_as_half(bytes).map(super::numbers::half)
}

#[inline(always)]
fn e4m3(bytes: &[u8; 8]) -> [f32; LANES] {
    e4m3_as_half(bytes).map(super::numbers::half)
}

#[cfg(test)]
mod tests;
