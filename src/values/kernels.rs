//! One pass over two blocks of numbers: what differs, and the sums that the statistics are made of.
//!
//! A block is 4096 numbers. Within it sums are single precision in eight or sixteen lanes; from block to block they are
//! double precision. What the fast way cannot do (NaN and infinity in a block, squares that over- or underflow) it notices by
//! its sums, and the block is done again number by number.
//!
//! The largest relative difference needs a division for each pair, and dividing takes longer than all the rest. But a
//! block matters only if one of its pairs exceeds the largest so far, and whether one does can be told by multiplying:
//! few blocks do, and only those are divided. Two numbers of opposite sign and one size differ most, by 2: once that was
//! seen, nothing is left to ask.

use super::numbers::Real;
use super::sums::Sums;

#[cfg(target_arch = "x86_64")]
mod wide;

/// Numbers in a block.
pub(super) const BLOCK: usize = 4096;
/// Numbers that are handled at once.
const LANES: usize = 8;
/// What a kernel is given is a multiple of so many numbers.
const STEP: usize = 2 * LANES;
/// Below this a sum of squares may have lost what was too small for single precision.
const TOO_SMALL: f32 = 1e-28;
/// No relative difference is larger.
const MOST_RELATIVE: f32 = 2.0;

/// The sums of one block.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Block {
    max_abs: f32,
    /// Whether a relative difference is larger than the one that was known.
    exceeds: bool,
    dd: f32,
    aa: f32,
    bb: f32,
    ab: f32,
}

/// What is done with blocks of one format, of any length that is a multiple of [`STEP`] numbers.
#[derive(Clone, Copy)]
struct Kernel {
    /// The sums of two blocks, told the largest relative difference so far, which may be [`MOST_RELATIVE`].
    both: fn(&[u8], &[u8], f32) -> Block,
    /// The largest relative difference in two blocks.
    relative: fn(&[u8], &[u8]) -> f32,
    /// The sum of squares of one block.
    one: fn(&[u8]) -> f32,
    /// Whether codes are there that the others take for numbers and that are none.
    special: fn(&[u8]) -> bool,
}

/// The kernel of a format on this machine.
#[derive(Clone, Copy)]
pub(super) struct Kernels {
    real: Real,
    kernel: Kernel,
    /// What the numbers that the kernel sees have to be multiplied by.
    scale: f64,
}

impl Kernels {
    /// The kernels of a format; `None` for one that is done number by number.
    pub(super) fn of(real: Real) -> Option<Kernels> {
        Kernels::with(real, pick(real)?)
    }

    fn with(real: Real, kernel: Kernel) -> Option<Kernels> {
        let scale = match real {
            Real::E4M3 => 256.0,
            Real::E4M3Fnuz => 128.0,
            Real::E5M2Fnuz => 0.5,
            _ => 1.0,
        };
        Some(Kernels { real, kernel, scale })
    }

    /// Adds blocks of equal length to the sums, which tell what was the largest relative difference before.
    pub(super) fn add(&self, a: &[u8], b: &[u8], sums: &mut Sums) {
        let size = self.real.bytes();
        for (a, b) in a.chunks(BLOCK * size).zip(b.chunks(BLOCK * size)) {
            let whole = a.len() / (STEP * size) * STEP * size;
            let ((a, a_rest), (b, b_rest)) = (a.split_at(whole), b.split_at(whole));
            let block = (self.kernel.both)(a, b, above(sums.max_rel));
            if self.sound(&block) && !(self.kernel.special)(a) && !(self.kernel.special)(b) {
                let square = self.scale * self.scale;
                let max_rel = if block.exceeds { (self.kernel.relative)(a, b) } else { 0.0 };
                sums.add(
                    (whole / size) as u64,
                    f64::from(block.max_abs) * self.scale,
                    f64::from(max_rel),
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
            let (a, rest) = a.split_at(a.len() / (STEP * size) * STEP * size);
            let squares = (self.kernel.one)(a);
            if squares.is_finite() && squares > TOO_SMALL && !(self.kernel.special)(a) {
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

/// The least single that is not below a number.
fn above(x: f64) -> f32 {
    let single = x as f32;
    if f64::from(single) < x { single.next_up() } else { single }
}

/// Whether E4M3 has its code for NaN: all bits but the sign.
fn all_ones(bytes: &[u8]) -> bool {
    bytes.iter().fold(0, |most, &b| (b & 0x7f).max(most)) == 0x7f
}

/// Whether an FNUZ format has its code for NaN: what would be minus zero.
fn minus_zero(bytes: &[u8]) -> bool {
    bytes.iter().fold(0xff, |least, &b| (b ^ 0x80).min(least)) == 0
}

/// Formats whose NaN and infinity the kernels decode as what they are: the sums tell.
fn none(_: &[u8]) -> bool {
    false
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
fn pick(real: Real) -> Option<Kernel> {
    #[cfg(target_arch = "x86_64")]
    if let Some(found) = wide::pick(real) {
        return Some(found);
    }
    plain(real)
}

/// The kernels in what every machine can do.
fn plain(real: Real) -> Option<Kernel> {
    macro_rules! kernel {
        ($width:literal, $decode:expr, $special:expr) => {
            Kernel {
                both: |a, b, known| both::<$width>(a, b, known, $decode),
                relative: |a, b| relative::<$width>(a, b, $decode),
                one: |a| one::<$width>(a, $decode),
                special: $special,
            }
        };
    }
    Some(match real {
        Real::F32 => kernel!(32, singles, none),
        Real::BF16 => kernel!(16, brains, none),
        Real::F16 => kernel!(16, halves, none),
        Real::E5M2 => kernel!(8, e5m2, none),
        Real::E5M2Fnuz => kernel!(8, e5m2, minus_zero),
        Real::E4M3 => kernel!(8, e4m3, all_ones),
        Real::E4M3Fnuz => kernel!(8, e4m3, minus_zero),
        _ => return None,
    })
}

/// The kernel: `decode` turns the bytes of eight numbers into singles.
#[inline(always)]
fn both<const W: usize>(a: &[u8], b: &[u8], known: f32, decode: impl Fn(&[u8; W]) -> [f32; LANES]) -> Block {
    let zero = [0.0f32; LANES];
    let (mut abs, mut over, mut dd, mut aa, mut bb, mut ab) = (zero, zero, zero, zero, zero, zero);
    for (x, y) in a.as_chunks::<W>().0.iter().zip(b.as_chunks::<W>().0) {
        let (x, y) = (decode(x), decode(y));
        for i in 0..LANES {
            let (p, q) = (x[i], y[i]);
            let difference = p - q;
            let size = difference.abs();
            abs[i] = larger(size, abs[i]);
            over[i] = larger(size - larger(p.abs(), q.abs()) * known, over[i]);
            dd[i] += difference * difference;
            aa[i] += p * p;
            bb[i] += q * q;
            ab[i] += p * q;
        }
    }
    let sum = |lanes| fold(lanes, |x, y| x + y);
    Block {
        max_abs: fold(abs, larger),
        exceeds: fold(over, larger) > 0.0,
        dd: sum(dd),
        aa: sum(aa),
        bb: sum(bb),
        ab: sum(ab),
    }
}

/// The larger of two numbers; the second where the first is NaN. `f32::max` takes three instructions, this takes one.
#[inline(always)]
fn larger(x: f32, y: f32) -> f32 {
    if x > y { x } else { y }
}

/// The lanes made one: halves upon halves, so that no step waits for seven others.
#[inline(always)]
fn fold([a, b, c, d, e, f, g, h]: [f32; LANES], with: impl Fn(f32, f32) -> f32) -> f32 {
    let (a, b, c, d) = (with(a, e), with(b, f), with(c, g), with(d, h));
    with(with(a, c), with(b, d))
}

/// The largest relative difference.
#[inline(always)]
fn relative<const W: usize>(a: &[u8], b: &[u8], decode: impl Fn(&[u8; W]) -> [f32; LANES]) -> f32 {
    let mut most = [0.0f32; LANES];
    for (x, y) in a.as_chunks::<W>().0.iter().zip(b.as_chunks::<W>().0) {
        let (x, y) = (decode(x), decode(y));
        for i in 0..LANES {
            most[i] = larger((x[i] - y[i]).abs() / larger(x[i].abs(), y[i].abs()), most[i]);
        }
    }
    fold(most, larger)
}

/// The sum of squares.
#[inline(always)]
fn one<const W: usize>(a: &[u8], decode: impl Fn(&[u8; W]) -> [f32; LANES]) -> f32 {
    let mut sums = [[0.0f32; LANES]; 4];
    let mut steps = a.as_chunks::<W>().0.chunks_exact(4);
    for four in &mut steps {
        for (x, sum) in four.iter().zip(&mut sums) {
            let x = decode(x);
            for i in 0..LANES {
                sum[i] += x[i] * x[i];
            }
        }
    }
    for x in steps.remainder() {
        let x = decode(x);
        for i in 0..LANES {
            sums[0][i] += x[i] * x[i];
        }
    }
    let [a, b, c, d] = sums;
    fold(std::array::from_fn(|i| (a[i] + b[i]) + (c[i] + d[i])), |x, y| x + y)
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
    let halves = pairs(bytes);
    std::array::from_fn(|i| f32::from_bits(u32::from(halves[i]) << 16))
}

#[inline(always)]
fn halves(bytes: &[u8; 16]) -> [f32; LANES] {
    let halves = pairs(bytes);
    std::array::from_fn(|i| super::numbers::half(halves[i]))
}

/// As the half that has the same value.
#[inline(always)]
fn e5m2(bytes: &[u8; 8]) -> [f32; LANES] {
    std::array::from_fn(|i| super::numbers::half(u16::from(bytes[i]) << 8))
}

/// As the half that has a 256th of the value: its exponent counts from 15, that of E4M3 from 7.
#[inline(always)]
fn e4m3(bytes: &[u8; 8]) -> [f32; LANES] {
    std::array::from_fn(|i| super::numbers::half(((u16::from(bytes[i]) << 8) as i16 >> 1) as u16 & 0xbf80))
}

#[cfg(test)]
mod tests;
