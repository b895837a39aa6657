//! Element types as numbers: decoded one by one, and rounded as a conversion rounds.

use crate::checkpoint::Dtype;

/// Formats whose bytes are real numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Real {
    F64,
    F32,
    F16,
    BF16,
    E4M3,
    E5M2,
    E4M3Fnuz,
    E5M2Fnuz,
    E8M0,
    Bool,
    U8,
    I8,
    U16,
    I16,
    U32,
    I32,
    U64,
    I64,
}

impl Real {
    /// The numbers that a dtype is made of (of complex ones the parts, of quantised ones the integers); `None` of those
    /// whose elements are no whole bytes, and of text.
    pub(super) fn of(dtype: Dtype) -> Option<Real> {
        Some(match dtype {
            Dtype::F64 | Dtype::C128 => Real::F64,
            Dtype::F32 | Dtype::C64 => Real::F32,
            Dtype::F16 | Dtype::C32 => Real::F16,
            Dtype::BF16 => Real::BF16,
            Dtype::F8E4M3 => Real::E4M3,
            Dtype::F8E5M2 => Real::E5M2,
            Dtype::F8E4M3FNUZ => Real::E4M3Fnuz,
            Dtype::F8E5M2FNUZ => Real::E5M2Fnuz,
            Dtype::F8E8M0 => Real::E8M0,
            Dtype::Bool => Real::Bool,
            Dtype::U8 | Dtype::QUInt8 => Real::U8,
            Dtype::I8 | Dtype::QInt8 => Real::I8,
            Dtype::U16 => Real::U16,
            Dtype::I16 => Real::I16,
            Dtype::U32 => Real::U32,
            Dtype::I32 | Dtype::QInt32 => Real::I32,
            Dtype::U64 => Real::U64,
            Dtype::I64 => Real::I64,
            _ => return None,
        })
    }

    /// Size in bytes.
    pub(super) fn bytes(self) -> usize {
        match self {
            Real::F64 | Real::U64 | Real::I64 => 8,
            Real::F32 | Real::U32 | Real::I32 => 4,
            Real::F16 | Real::BF16 | Real::U16 | Real::I16 => 2,
            _ => 1,
        }
    }

    /// Whether it is an integer format, or true and false.
    pub(super) fn whole(self) -> bool {
        self.layout().is_none() && !matches!(self, Real::F64 | Real::E8M0)
    }

    /// Decodes as many numbers as both sides hold, and says how many.
    pub(super) fn decode(self, bytes: &[u8], into: &mut [f64]) -> usize {
        fn all<const N: usize>(bytes: &[u8], into: &mut [f64], number: impl Fn([u8; N]) -> f64) -> usize {
            let (numbers, _) = bytes.as_chunks::<N>();
            for (slot, bytes) in into.iter_mut().zip(numbers) {
                *slot = number(*bytes);
            }
            numbers.len().min(into.len())
        }
        match self {
            Real::F64 => all(bytes, into, f64::from_le_bytes),
            Real::F32 => all(bytes, into, |b| f32::from_le_bytes(b).into()),
            Real::F16 => all(bytes, into, |b| half(u16::from_le_bytes(b)).into()),
            Real::BF16 => all(bytes, into, |b| f32::from_bits(u32::from(u16::from_le_bytes(b)) << 16).into()),
            Real::E4M3 => all(bytes, into, |[b]| if b & 0x7f == 0x7f { f64::NAN } else { eight(b, 3, 7) }),
            Real::E5M2 => all(bytes, into, |[b]| half(u16::from(b) << 8).into()),
            Real::E4M3Fnuz => all(bytes, into, |[b]| if b == 0x80 { f64::NAN } else { eight(b, 3, 8) }),
            Real::E5M2Fnuz => all(bytes, into, |[b]| if b == 0x80 { f64::NAN } else { eight(b, 2, 16) }),
            Real::E8M0 => all(bytes, into, |[b]| if b == 0xff { f64::NAN } else { power(i32::from(b) - 127) }),
            Real::Bool => all(bytes, into, |[b]| f64::from(u8::from(b != 0))),
            Real::U8 => all(bytes, into, |[b]| b.into()),
            Real::I8 => all(bytes, into, |b| i8::from_le_bytes(b).into()),
            Real::U16 => all(bytes, into, |b| u16::from_le_bytes(b).into()),
            Real::I16 => all(bytes, into, |b| i16::from_le_bytes(b).into()),
            Real::U32 => all(bytes, into, |b| u32::from_le_bytes(b).into()),
            Real::I32 => all(bytes, into, |b| i32::from_le_bytes(b).into()),
            Real::U64 => all(bytes, into, |b| u64::from_le_bytes(b) as f64),
            Real::I64 => all(bytes, into, |b| i64::from_le_bytes(b) as f64),
        }
    }

    /// Bits of mantissa, smallest exponent of a normal number, largest number.
    fn layout(self) -> Option<(i32, i32, f64)> {
        Some(match self {
            Real::F32 => (23, -126, f64::from(f32::MAX)),
            Real::F16 => (10, -14, 65504.0),
            Real::BF16 => (7, -126, power(127) * (2.0 - power(-7))),
            Real::E4M3 => (3, -6, 448.0),
            Real::E5M2 => (2, -14, 57344.0),
            Real::E4M3Fnuz => (3, -7, 240.0),
            Real::E5M2Fnuz => (2, -15, 57344.0),
            _ => return None,
        })
    }

    /// Whether `x` becomes `y` when it is converted to this format, as PyTorch converts it or saturating.
    pub(super) fn becomes(self, x: f64, y: f64) -> bool {
        if x == y || (x.is_nan() && y.is_nan()) {
            return true;
        }
        let Some((mantissa, least, most)) = self.layout() else {
            return match self {
                Real::Bool => y == f64::from(u8::from(x != 0.0)),
                _ => self.whole() && x.trunc() == y,
            };
        };
        if x.is_nan() {
            return false;
        }
        // Doubles go by way of a single in PyTorch, which may round twice.
        let rounded = |x: f64| round(x, mantissa, least);
        let (direct, twice) = (rounded(x), rounded(f64::from(x as f32)));
        if direct.abs() > most {
            return y.is_nan() || (y.abs() >= most && y.is_sign_negative() == x.is_sign_negative());
        }
        direct == y || twice == y
    }
}

/// 2 to the power of `n`, for -1022 to 1023.
fn power(n: i32) -> f64 {
    f64::from_bits(((n + 1023).clamp(1, 2046) as u64) << 52)
}

/// An 8-bit float with so many bits of mantissa, its exponent counted from `bias`.
fn eight(bits: u8, mantissa: u32, bias: i32) -> f64 {
    let exponent = i32::from((bits & 0x7f) >> mantissa);
    let fraction = f64::from(bits & ((1 << mantissa) - 1)) / f64::from(1 << mantissa);
    let size = match exponent {
        0 => fraction * power(1 - bias),
        e => (1.0 + fraction) * power(e - bias),
    };
    if bits & 0x80 == 0 { size } else { -size }
}

/// To so many bits of mantissa, ties to even; below the exponent `least` as a subnormal number.
fn round(x: f64, mantissa: i32, least: i32) -> f64 {
    if !x.is_finite() {
        return x;
    }
    let exponent = (((x.to_bits() >> 52) & 0x7ff) as i32 - 1023).max(least);
    // Steps of a double are finer than those of any format here, so that scaling by a power of two is exact.
    let step = power(exponent - mantissa);
    (x / step).round_ties_even() * step
}

/// IEEE 754 half as a single, without a branch, so that it becomes vector instructions.
#[inline(always)]
pub(super) fn half(bits: u16) -> f32 {
    let shifted = (u32::from(bits) & 0x7fff) << 13;
    let exponent = shifted & 0x0f80_0000;
    let normal = shifted + ((127 - 15) << 23);
    // Of a subnormal number the difference of two normal ones.
    let subnormal = f32::from_bits(normal + (1 << 23)) - f32::from_bits(113 << 23);
    let mask = |is: bool| u32::from(is).wrapping_neg();
    let (tiny, endless) = (mask(exponent == 0), mask(exponent == 0x0f80_0000));
    let size = (subnormal.to_bits() & tiny) | (normal & !tiny);
    let size = size + (endless & ((128 - 16) << 23));
    f32::from_bits(size | ((u32::from(bits) & 0x8000) << 16))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(real: Real, bytes: &[u8]) -> f64 {
        let mut out = [0.0];
        assert_eq!(real.decode(bytes, &mut out), 1);
        out[0]
    }

    #[test]
    fn every_half_has_the_value_that_the_standard_gives_it() {
        for bits in 0..=u16::MAX {
            let (exponent, fraction) = (i32::from(bits >> 10 & 31), f64::from(bits & 1023) / 1024.0);
            let size = match exponent {
                0 => fraction * power(-14),
                31 if fraction == 0.0 => f64::INFINITY,
                31 => f64::NAN,
                e => (1.0 + fraction) * power(e - 15),
            };
            let wanted = if bits & 0x8000 == 0 { size } else { -size };
            let found = f64::from(half(bits));
            assert!(found == wanted || (found.is_nan() && wanted.is_nan()), "{bits:#x}: {found} {wanted}");
        }
    }

    #[test]
    fn eight_bit_floats_have_the_values_of_their_papers() {
        // Micikevicius et al. 2022, table 1; the FNUZ forms as in the OCP and ONNX tables.
        assert_eq!(decoded(Real::E4M3, &[0x7e]), 448.0);
        assert_eq!(decoded(Real::E4M3, &[0x01]), power(-9));
        assert!(decoded(Real::E4M3, &[0xff]).is_nan());
        assert_eq!(decoded(Real::E5M2, &[0x7b]), 57344.0);
        assert_eq!(decoded(Real::E5M2, &[0xfc]), f64::NEG_INFINITY);
        assert_eq!(decoded(Real::E4M3Fnuz, &[0x7f]), 240.0);
        assert_eq!(decoded(Real::E5M2Fnuz, &[0xff]), -57344.0);
        assert_eq!(decoded(Real::E5M2Fnuz, &[0x01]), power(-17));
        assert!(decoded(Real::E5M2Fnuz, &[0x80]).is_nan());
        assert_eq!(decoded(Real::E8M0, &[0x7f]), 1.0);
    }

    #[test]
    fn rounding_goes_to_the_nearest_and_ties_to_even() {
        assert!(Real::BF16.becomes(1.0 + power(-8), 1.0));
        assert!(Real::BF16.becomes(1.0 + 3.0 * power(-8), 1.0 + 4.0 * power(-8)));
        assert!(!Real::BF16.becomes(1.0 + power(-8), 1.0 + power(-7)));
        assert!(Real::F16.becomes(1e6, f64::INFINITY) && Real::F16.becomes(65519.0, 65504.0));
        assert!(!Real::F16.becomes(65519.0, f64::INFINITY));
        assert!(Real::F16.becomes(power(-25), 0.0) && Real::F16.becomes(1.01 * power(-25), power(-24)));
        assert!(Real::E4M3.becomes(1000.0, f64::NAN) && Real::E4M3.becomes(1000.0, 448.0));
        assert!(!Real::E4M3.becomes(-1000.0, 448.0));
        assert!(Real::F32.becomes(0.1, f64::from(0.1f32)));
        assert!(Real::I32.becomes(-2.87, -2.0) && Real::Bool.becomes(0.5, 1.0));
    }
}
