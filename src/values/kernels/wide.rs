//! The kernels for AVX2, FMA and F16C, chosen when the program runs.
//!
//! This is the only module with `unsafe` code. Why: what is built for every x86-64 may use SSE2 only, and there the
//! kernels take 0.44 ns a pair of singles and 1.4 to 1.5 ns a pair of halves or 8-bit floats, against 0.11 to 0.16 and
//! 0.11 to 0.28 with these instructions. What the statistics cost beside a plain comparison stands in benches/README.md. A
//! function of the instruction set can only be called with `unsafe` from outside of it. The instructions are spelled out,
//! since whether the compiler finds them hung on the order of the lines: where it did not, they took five times as long.
//!
//! Sixteen numbers are handled at once, in two registers. Each has sums of its own where registers are left for that: a
//! sum waits four cycles for the one before it. Where decoding or the look at relative differences needs the registers,
//! one set of sums was faster (by two thirds).
#![allow(unsafe_code)]

use std::arch::x86_64::*;

use super::super::numbers::Real;
use super::{Block, Kernel, LANES, MOST_RELATIVE, fold, larger, none};

/// The kernels, where this machine has the instructions.
pub(super) fn pick(real: Real) -> Option<Kernel> {
    let there = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") && is_x86_feature_detected!("f16c");
    if !there {
        return None;
    }
    Some(match real {
        Real::F32 => f32(),
        Real::BF16 => bf16(),
        Real::F16 => f16(),
        Real::E5M2 => e5m2(),
        Real::E4M3 => Kernel {
            // SAFETY: the instructions are there.
            special: |a| unsafe { all_ones(a) },
            ..e4m3()
        },
        Real::E5M2Fnuz | Real::E4M3Fnuz => Kernel {
            // SAFETY: as above.
            special: |a| unsafe { minus_zero(a) },
            ..if real == Real::E5M2Fnuz { e5m2() } else { e4m3() }
        },
        _ => return None,
    })
}

/// Sixteen numbers as singles.
type Singles = [__m256; 2];

/// Bytes as what they fill: registers.
macro_rules! registers {
    ($bytes:expr, $from:ty => $to:ty) => {
        // SAFETY: both types are plain bits of one size (else this does not compile), and the bytes are copied.
        unsafe { std::mem::transmute::<$from, $to>(*$bytes) }
    };
}

#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn singles(bytes: &[u8; 64]) -> Singles {
    registers!(bytes, [u8; 64] => Singles)
}

#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn brains(bytes: &[u8; 32]) -> Singles {
    registers!(bytes, [u8; 32] => [__m128i; 2])
        .map(|half| _mm256_castsi256_ps(_mm256_slli_epi32::<16>(_mm256_cvtepu16_epi32(half))))
}

#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn halves(bytes: &[u8; 32]) -> Singles {
    registers!(bytes, [u8; 32] => [__m128i; 2]).map(|half| _mm256_cvtph_ps(half))
}

/// Each byte as the upper one of 16 bits: what E5M2 is, as halves.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn high(bytes: &[u8; 16]) -> [__m128i; 2] {
    let (bytes, zero) = (registers!(bytes, [u8; 16] => __m128i), _mm_setzero_si128());
    [_mm_unpacklo_epi8(zero, bytes), _mm_unpackhi_epi8(zero, bytes)]
}

#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn five(bytes: &[u8; 16]) -> Singles {
    high(bytes).map(|half| _mm256_cvtph_ps(half))
}

/// E4M3 as the halves that have a 256th of the value.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn four(bytes: &[u8; 16]) -> Singles {
    let kept = _mm_set1_epi16(0xbf80_u16 as i16);
    high(bytes).map(|half| _mm256_cvtph_ps(_mm_and_si128(_mm_srai_epi16::<1>(half), kept)))
}

/// Whether E4M3 has its code for NaN: all bits but the sign.
#[target_feature(enable = "avx2")]
fn all_ones(bytes: &[u8]) -> bool {
    let (wide, rest) = bytes.as_chunks::<32>();
    let mask = _mm256_set1_epi8(0x7f);
    let mut most = _mm256_setzero_si256();
    for bytes in wide {
        most = _mm256_max_epu8(_mm256_and_si256(registers!(bytes, [u8; 32] => __m256i), mask), most);
    }
    _mm256_movemask_epi8(_mm256_cmpeq_epi8(most, mask)) != 0 || super::all_ones(rest)
}

/// Whether an FNUZ format has its code for NaN.
#[target_feature(enable = "avx2")]
fn minus_zero(bytes: &[u8]) -> bool {
    let (wide, rest) = bytes.as_chunks::<32>();
    let code = _mm256_set1_epi8(i8::MIN);
    let mut seen = _mm256_setzero_si256();
    for bytes in wide {
        seen = _mm256_or_si256(_mm256_cmpeq_epi8(registers!(bytes, [u8; 32] => __m256i), code), seen);
    }
    _mm256_movemask_epi8(seen) != 0 || super::minus_zero(rest)
}

/// The lanes of a register.
fn lanes(of: __m256) -> [f32; LANES] {
    // SAFETY: both are eight singles.
    unsafe { std::mem::transmute::<__m256, [f32; LANES]>(of) }
}

/// The sum of the lanes of two registers.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn sum([a, b]: Singles) -> f32 {
    fold(lanes(_mm256_add_ps(a, b)), |x, y| x + y)
}

/// Name, bytes of sixteen numbers, sets of sums, and what decodes.
macro_rules! kernels {
    ($($name:ident $width:literal $sets:literal $decode:ident;)*) => {$(
        fn $name() -> Kernel {
            #[target_feature(enable = "avx2,fma,f16c")]
            fn two<const RELATIVE: bool>(a: &[u8], b: &[u8], known: f32) -> Block {
                let (sign, known) = (_mm256_set1_ps(-0.0), _mm256_set1_ps(known));
                let (mut abs, mut over) = (_mm256_setzero_ps(), _mm256_setzero_ps());
                let [mut dd, mut aa, mut bb, mut ab] = [[_mm256_setzero_ps(); 2]; 4];
                for (x, y) in a.as_chunks::<$width>().0.iter().zip(b.as_chunks::<$width>().0) {
                    let (x, y) = ($decode(x), $decode(y));
                    for i in 0..2 {
                        let to = i % if RELATIVE { 1 } else { $sets };
                        let difference = _mm256_sub_ps(x[i], y[i]);
                        let size = _mm256_andnot_ps(sign, difference);
                        abs = _mm256_max_ps(size, abs);
                        if RELATIVE {
                            let of_both = _mm256_max_ps(_mm256_andnot_ps(sign, x[i]), _mm256_andnot_ps(sign, y[i]));
                            over = _mm256_max_ps(_mm256_fnmadd_ps(of_both, known, size), over);
                        }
                        dd[to] = _mm256_fmadd_ps(difference, difference, dd[to]);
                        aa[to] = _mm256_fmadd_ps(x[i], x[i], aa[to]);
                        bb[to] = _mm256_fmadd_ps(y[i], y[i], bb[to]);
                        ab[to] = _mm256_fmadd_ps(x[i], y[i], ab[to]);
                    }
                }
                Block {
                    max_abs: fold(lanes(abs), larger),
                    exceeds: fold(lanes(over), larger) > 0.0,
                    dd: sum(dd),
                    aa: sum(aa),
                    bb: sum(bb),
                    ab: sum(ab),
                }
            }
            #[target_feature(enable = "avx2,fma,f16c")]
            fn largest(a: &[u8], b: &[u8]) -> f32 {
                let (sign, mut most) = (_mm256_set1_ps(-0.0), _mm256_setzero_ps());
                for (x, y) in a.as_chunks::<$width>().0.iter().zip(b.as_chunks::<$width>().0) {
                    let (x, y) = ($decode(x), $decode(y));
                    for i in 0..2 {
                        let size = _mm256_andnot_ps(sign, _mm256_sub_ps(x[i], y[i]));
                        let of_both = _mm256_max_ps(_mm256_andnot_ps(sign, x[i]), _mm256_andnot_ps(sign, y[i]));
                        most = _mm256_max_ps(_mm256_div_ps(size, of_both), most);
                    }
                }
                fold(lanes(most), larger)
            }
            #[target_feature(enable = "avx2,fma,f16c")]
            fn squares(a: &[u8]) -> f32 {
                let mut sums = [[_mm256_setzero_ps(); 2]; 2];
                let mut add = |bytes: &[u8; $width], to: usize| {
                    let x = $decode(bytes);
                    for i in 0..2 {
                        sums[to][i] = _mm256_fmadd_ps(x[i], x[i], sums[to][i]);
                    }
                };
                let (twos, one) = a.as_chunks::<$width>().0.as_chunks::<2>();
                for [x, y] in twos {
                    add(x, 0);
                    add(y, 1);
                }
                one.iter().for_each(|x| add(x, 0));
                sum(sums[0]) + sum(sums[1])
            }
            Kernel {
                // SAFETY: `pick`, the only way here, has seen that the machine has these instructions.
                both: |a, b, known| unsafe {
                    if known < MOST_RELATIVE { two::<true>(a, b, known) } else { two::<false>(a, b, known) }
                },
                // SAFETY: as above.
                relative: |a, b| unsafe { largest(a, b) },
                // SAFETY: as above.
                one: |a| unsafe { squares(a) },
                special: none,
            }
        }
    )*};
}

kernels! {
    f32 64 2 singles;
    bf16 32 2 brains;
    f16 32 2 halves;
    e5m2 16 1 five;
    e4m3 16 1 four;
}
