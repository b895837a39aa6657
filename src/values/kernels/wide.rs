//! The kernels compiled for AVX2, FMA and F16C, chosen when the program runs.
//!
//! This is the only module with `unsafe` code. Why: what is built for every x86-64 may use SSE2 only, and there the
//! kernels take 0.42 ns a pair of singles and 1.3 to 1.5 ns a pair of halves or 8-bit floats, against 0.17, 0.17 and 0.25
//! with these instructions; reading both files takes 0.9, 0.45 and 0.2. What the statistics cost beside a plain
//! comparison stands in benches/README.md. A function of the instruction set can only be called with `unsafe` from outside of it.
#![allow(unsafe_code)]

use std::arch::x86_64::{__m128i, __m256, _mm256_cvtph_ps};

use super::super::numbers::Real;
use super::{Block, Kernel, LANES, Norm, both, brains, e4m3_as_half, e5m2_as_half, one, pairs, singles};

/// The kernels, where this machine has the instructions.
pub(super) fn pick(real: Real) -> Option<(Kernel, Norm)> {
    let there = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") && is_x86_feature_detected!("f16c");
    if !there {
        return None;
    }
    Some(match real {
        Real::F32 => (f32_both, f32_one),
        Real::BF16 => (bf16_both, bf16_one),
        Real::F16 => (f16_both, f16_one),
        Real::E5M2 | Real::E5M2Fnuz => (e5m2_both, e5m2_one),
        Real::E4M3 | Real::E4M3Fnuz => (e4m3_both, e4m3_one),
        _ => return None,
    })
}

/// Eight halves as singles.
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
fn wide(halves: [u16; LANES]) -> [f32; LANES] {
    // SAFETY: both pairs of types have the same size, no invalid values and no padding.
    let packed: __m128i = unsafe { std::mem::transmute(halves) };
    let singles: __m256 = _mm256_cvtph_ps(packed);
    // SAFETY: as above.
    unsafe { std::mem::transmute(singles) }
}

macro_rules! kernels {
    ($($both:ident $one:ident $width:literal $decode:expr;)*) => {$(
        fn $both(a: &[u8], b: &[u8]) -> Block {
            #[target_feature(enable = "avx2,fma,f16c")]
            fn inner(a: &[u8], b: &[u8]) -> Block {
                both::<$width, true>(a, b, $decode)
            }
            // SAFETY: `pick`, the only way here, has seen that the machine has these instructions.
            unsafe { inner(a, b) }
        }

        fn $one(a: &[u8]) -> f32 {
            #[target_feature(enable = "avx2,fma,f16c")]
            fn inner(a: &[u8]) -> f32 {
                one::<$width, true>(a, $decode)
            }
            // SAFETY: as above.
            unsafe { inner(a) }
        }
    )*};
}

kernels! {
    f32_both f32_one 32 singles;
    bf16_both bf16_one 16 brains;
    f16_both f16_one 16 |x| wide(pairs(x));
    e5m2_both e5m2_one 8 |x| wide(e5m2_as_half(x));
    e4m3_both e4m3_one 8 |x| wide(e4m3_as_half(x));
}
