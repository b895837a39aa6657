//! Numbers of one floating-point dtype as another, as PyTorch's `Tensor.to` rounds: to the nearest, ties to even.

use crate::checkpoint::Dtype;

/// Whether values of this dtype can be read and written as numbers here.
pub fn is_number(dtype: Dtype) -> bool {
    matches!(dtype, Dtype::F64 | Dtype::F32 | Dtype::F16 | Dtype::BF16)
}

/// Whether values of dtype `from` can be written as `to`.
pub(super) fn castable(from: Dtype, to: Dtype) -> bool {
    from == to || ((is_number(from) || eight(from, 0).is_some()) && is_number(to))
}

/// Appends the values in `bytes` as `to`. What is no whole number of elements at the end is left out.
///
/// A double becomes a half by way of a single, as it does in PyTorch.
pub(super) fn cast(bytes: &[u8], from: Dtype, to: Dtype, out: &mut Vec<u8>) {
    match (from, to) {
        _ if from == to => out.extend_from_slice(bytes),
        (Dtype::F64, Dtype::F32) => doubles(bytes, out, |x| (x as f32).to_le_bytes()),
        (Dtype::F64, Dtype::F16) => doubles(bytes, out, |x| half(x as f32).to_le_bytes()),
        (Dtype::F64, Dtype::BF16) => doubles(bytes, out, |x| brain(x as f32).to_le_bytes()),
        (_, Dtype::F64) => singles(bytes, from, out, |x| f64::from(x).to_le_bytes()),
        (_, Dtype::F32) => singles(bytes, from, out, f32::to_le_bytes),
        (_, Dtype::F16) => singles(bytes, from, out, |x| half(x).to_le_bytes()),
        (_, Dtype::BF16) => singles(bytes, from, out, |x| brain(x).to_le_bytes()),
        _ => {}
    }
}

/// Numbers in double precision, which holds every value of the dtypes here.
pub(super) fn numbers(bytes: &[u8], dtype: Dtype) -> Vec<f64> {
    let mut out = Vec::new();
    cast(bytes, dtype, Dtype::F64, &mut out);
    out.as_chunks::<8>().0.iter().map(|b| f64::from_le_bytes(*b)).collect()
}

/// Appends numbers in a dtype.
pub(super) fn write_numbers(values: &[f64], dtype: Dtype, out: &mut Vec<u8>) {
    for value in values {
        cast(&value.to_le_bytes(), Dtype::F64, dtype, out);
    }
}

fn doubles<const N: usize>(bytes: &[u8], out: &mut Vec<u8>, to: impl Fn(f64) -> [u8; N]) {
    out.extend(bytes.as_chunks::<8>().0.iter().flat_map(|b| to(f64::from_le_bytes(*b))));
}

fn singles<const N: usize>(bytes: &[u8], from: Dtype, out: &mut Vec<u8>, to: impl Fn(f32) -> [u8; N]) {
    match from {
        Dtype::F32 => out.extend(bytes.as_chunks::<4>().0.iter().flat_map(|b| to(f32::from_le_bytes(*b)))),
        Dtype::F16 => out.extend(bytes.as_chunks::<2>().0.iter().flat_map(|b| to(of_half(u16::from_le_bytes(*b))))),
        Dtype::BF16 => {
            let wide = |b: &[u8; 2]| f32::from_bits(u32::from(u16::from_le_bytes(*b)) << 16);
            out.extend(bytes.as_chunks::<2>().0.iter().flat_map(|b| to(wide(b))));
        }
        other => out.extend(bytes.iter().filter_map(|&b| eight(other, b)).flat_map(to)),
    }
}

/// A single as IEEE half.
fn half(x: f32) -> u16 {
    let bits = x.to_bits();
    let sign = (bits >> 16) as u16 & 0x8000;
    let bits = bits & 0x7fff_ffff;
    if bits > 0x7f80_0000 {
        // NaN stays NaN, whatever of its payload is cut off.
        return sign | 0x7e00 | (bits >> 13) as u16 & 0x1ff;
    }
    if bits >= 0x4780_0000 {
        return sign | 0x7c00; // 65536 and more
    }
    if bits < 0x3880_0000 {
        // Below the smallest normal half, 2⁻¹⁴: a fixed grid of 2⁻²⁴, onto which an addition rounds to even.
        let grid = f32::from_bits(bits) + 0.5;
        return sign | (grid.to_bits() - 0x3f00_0000) as u16;
    }
    let odd = bits >> 13 & 1;
    // May carry into the exponent, up to infinity, which is what rounding means there.
    sign | ((bits - 0x3800_0000 + 0xfff + odd) >> 13) as u16
}

/// An IEEE half as single.
fn of_half(h: u16) -> f32 {
    let sign = u32::from(h & 0x8000) << 16;
    let (exponent, fraction) = (u32::from(h >> 10 & 0x1f), u32::from(h & 0x3ff));
    match exponent {
        0 => {
            let value = fraction as f32 * f32::from_bits(0x3380_0000); // 2⁻²⁴
            f32::from_bits(sign | value.to_bits())
        }
        0x1f => f32::from_bits(sign | 0x7f80_0000 | fraction << 13),
        _ => f32::from_bits(sign | (exponent + 112) << 23 | fraction << 13),
    }
}

/// A single as bfloat16.
fn brain(x: f32) -> u16 {
    if x.is_nan() {
        return 0x7fc0;
    }
    let bits = x.to_bits();
    let odd = bits >> 16 & 1;
    (bits.wrapping_add(0x7fff + odd) >> 16) as u16
}

/// A number of eight bits; `None` for other dtypes.
fn eight(dtype: Dtype, byte: u8) -> Option<f32> {
    let sign = if byte & 0x80 != 0 { -1.0 } else { 1.0 };
    let small = |mantissa: u32, bias: i32| {
        let exponent = i32::from(byte & 0x7f) >> mantissa;
        let fraction = f32::from(byte & ((1 << mantissa) - 1)) / (1 << mantissa) as f32;
        let scale = |e: i32| f32::from_bits(((e + 127) as u32) << 23);
        sign * if exponent == 0 { fraction * scale(1 - bias) } else { (1.0 + fraction) * scale(exponent - bias) }
    };
    Some(match dtype {
        Dtype::F8E4M3 if byte & 0x7f == 0x7f => f32::NAN,
        Dtype::F8E4M3 => small(3, 7),
        Dtype::F8E5M2 if byte & 0x7f == 0x7c => sign * f32::INFINITY,
        Dtype::F8E5M2 if byte & 0x7f > 0x7c => f32::NAN,
        Dtype::F8E5M2 => small(2, 15),
        Dtype::F8E4M3FNUZ | Dtype::F8E5M2FNUZ if byte == 0x80 => f32::NAN,
        Dtype::F8E4M3FNUZ => small(3, 8),
        Dtype::F8E5M2FNUZ => small(2, 16),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_half_becomes_a_single_and_comes_back() {
        for h in 0..=u16::MAX {
            let x = of_half(h);
            let back = half(x);
            assert!(back == h || (x.is_nan() && of_half(back).is_nan()), "{h:04x} {x} {back:04x}");
        }
    }

    #[test]
    fn halves_are_rounded_to_the_nearest_and_ties_to_even() {
        for (x, h) in [
            (1.0f32, 0x3c00),
            (1.0 + 1.0 / 2048.0, 0x3c00),
            (1.0 + 3.0 / 2048.0, 0x3c02),
            (65504.0, 0x7bff),
            (65519.9, 0x7bff),
            (65520.0, 0x7c00),
            (-1e9, 0xfc00),
            (2f32.powi(-24), 1),
            (2f32.powi(-25), 0),
            (3.0 * 2f32.powi(-25), 2),
            (1023.5 * 2f32.powi(-24), 0x0400),
            (1e-30, 0),
            (-0.0, 0x8000),
        ] {
            assert_eq!(half(x), h, "{x}");
        }
    }

    #[test]
    fn brain_floats_are_rounded_and_not_a_number_stays_so() {
        for (x, b) in [(1.0f32, 0x3f80), (1.0 + 1.0 / 256.0, 0x3f80), (1.0 + 3.0 / 256.0, 0x3f82), (f32::MAX, 0x7f80)] {
            assert_eq!(brain(x), b, "{x}");
        }
        assert_eq!(brain(f32::from_bits(0x7f80_0001)), 0x7fc0);
        assert!(of_half(half(f32::from_bits(0x7f80_0001))).is_nan());
    }

    #[test]
    fn numbers_of_eight_bits_have_the_values_of_their_specification() {
        for (dtype, byte, x) in [
            (Dtype::F8E4M3, 0x7e, 448.0),
            (Dtype::F8E4M3, 0x01, 2f32.powi(-9)),
            (Dtype::F8E5M2, 0x7b, 57344.0),
            (Dtype::F8E5M2, 0xfc, f32::NEG_INFINITY),
            (Dtype::F8E4M3FNUZ, 0x7f, 240.0),
            (Dtype::F8E5M2FNUZ, 0x7f, 57344.0),
        ] {
            assert_eq!(eight(dtype, byte), Some(x), "{dtype} {byte:x}");
        }
        assert!(eight(Dtype::F8E4M3FNUZ, 0x80).is_some_and(f32::is_nan));
        assert_eq!(eight(Dtype::U8, 1), None);
    }
}
