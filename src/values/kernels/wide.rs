//! The kernels compiled for AVX2, FMA and F16C, chosen when the program runs.
//!
//! This is the only module with `unsafe` code. Why: what is built for every x86-64 may use SSE2 only, and there the
//! kernels take 0.44 ns a pair of singles and 1.4 to 1.5 ns a pair of halves or 8-bit floats, against 0.23, 0.25 and 0.28 to
//! 0.35 with these instructions; reading both files takes 0.9, 0.45 and 0.2. What the statistics cost beside a plain
//! comparison stands in benches/README.md. A function of the instruction set can only be called with `unsafe` from outside of it.
#![allow(unsafe_code)]

use std::arch::x86_64::{
    __m128i, __m256, _mm_and_si128, _mm_cvtsi64_si128, _mm_set1_epi16, _mm_setzero_si128, _mm_srai_epi16,
    _mm_unpacklo_epi8, _mm256_cvtph_ps,
};

use super::super::numbers::Real;
use super::{Block, Kernel, LANES, both, brains, one, relative, singles};

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
        Real::E5M2 | Real::E5M2Fnuz => e5m2(),
        Real::E4M3 | Real::E4M3Fnuz => e4m3(),
        _ => return None,
    })
}

/// Eight halves as singles.
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
fn wide(halves: __m128i) -> [f32; LANES] {
    let singles: __m256 = _mm256_cvtph_ps(halves);
    // SAFETY: both types have the same size, no invalid values and no padding.
    unsafe { std::mem::transmute(singles) }
}

/// Eight halves as they lie in the file.
#[inline]
fn packed(bytes: &[u8; 16]) -> __m128i {
    // SAFETY: as above.
    unsafe { std::mem::transmute(*bytes) }
}

/// Eight bytes, each as the upper one of 16 bits: what E5M2 is, as halves.
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
fn high(bytes: &[u8; 8]) -> __m128i {
    _mm_unpacklo_epi8(_mm_setzero_si128(), _mm_cvtsi64_si128(i64::from_le_bytes(*bytes)))
}

/// E4M3 as the halves that have a 256th of the value, from what [`high`] gives.
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
fn e4m3_as_half(high: __m128i) -> __m128i {
    _mm_and_si128(_mm_srai_epi16::<1>(high), _mm_set1_epi16(0xbf80_u16 as i16))
}

macro_rules! kernels {
    ($($name:ident $width:literal $most:literal $decode:expr;)*) => {$(
        fn $name() -> Kernel {
            #[target_feature(enable = "avx2,fma,f16c")]
            fn two(a: &[u8], b: &[u8], known: f32) -> Block {
                both::<$width, true, $most>(a, b, known, $decode)
            }
            #[target_feature(enable = "avx2,fma,f16c")]
            fn largest(a: &[u8], b: &[u8]) -> f32 {
                relative::<$width>(a, b, $decode)
            }
            #[target_feature(enable = "avx2,fma,f16c")]
            fn squares(a: &[u8]) -> (f32, f32) {
                one::<$width, true, $most>(a, $decode)
            }
            Kernel {
                // SAFETY: `pick`, the only way here, has seen that the machine has these instructions.
                both: |a, b, known| unsafe { two(a, b, known) },
                // SAFETY: as above.
                relative: |a, b| unsafe { largest(a, b) },
                // SAFETY: as above.
                one: |a| unsafe { squares(a) },
            }
        }
    )*};
}

kernels! {
    f32 32 false singles;
    bf16 16 false brains;
    f16 16 false |x| wide(packed(x));
    e5m2 8 false |x| wide(high(x));
    e4m3 8 true |x| wide(e4m3_as_half(high(x)));
}
