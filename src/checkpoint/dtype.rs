//! Element types, in every spelling the field uses.

use std::fmt;

macro_rules! dtypes {
    ($($variant:ident $name:literal $bits:literal $kind:ident [$($alias:literal),*] $doc:literal;)*) => {
        /// The element type of a tensor.
        ///
        /// Named as safetensors names it where it does (crate `safetensors` 0.8, `Dtype`), otherwise as PyTorch does.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Dtype {
            $(#[doc = $doc] $variant,)*
            /// NumPy's array of text, so many characters of 32 bits an element; no tensor can be that.
            Text(u16),
        }

        impl Dtype {
            /// Every element type that a tensor can have.
            pub const ALL: &'static [Dtype] = &[$(Dtype::$variant,)*];

            /// The canonical name: `F32`, `BF16`, `F8_E4M3`, `QINT8`.
            pub fn name(self) -> &'static str {
                match self { $(Dtype::$variant => $name,)* Dtype::Text(_) => "TEXT" }
            }

            /// Size of one element in bits.
            pub fn bits(self) -> u32 {
                match self { $(Dtype::$variant => $bits,)* Dtype::Text(n) => 32 * n as u32 }
            }

            /// Floating point, integer, …
            pub fn kind(self) -> DtypeKind {
                match self { $(Dtype::$variant => DtypeKind::$kind,)* Dtype::Text(_) => DtypeKind::Text }
            }

            /// Any spelling: `F32`, `float32`, `torch.float32`, `numpy.float32`, `float`; `None` when it is none of them.
            pub fn parse(text: &str) -> Option<Dtype> {
                let text = text.trim();
                let text = text.strip_prefix("torch.").or_else(|| text.strip_prefix("numpy.")).unwrap_or(text);
                let text = text.strip_prefix("np.").unwrap_or(text).to_ascii_lowercase();
                $(if text.eq_ignore_ascii_case($name) $(|| text == $alias)* { return Some(Dtype::$variant); })*
                None
            }
        }
    };
}

dtypes! {
    Bool "BOOL" 8 Bool ["bool", "bool_"] "One byte, 0 or 1.";
    U8 "U8" 8 Int ["uint8", "byte"] "Unsigned, 8 bits.";
    I8 "I8" 8 Int ["int8", "char"] "Signed, 8 bits.";
    I16 "I16" 16 Int ["int16", "short"] "Signed, 16 bits.";
    U16 "U16" 16 Int ["uint16"] "Unsigned, 16 bits.";
    I32 "I32" 32 Int ["int32", "int"] "Signed, 32 bits.";
    U32 "U32" 32 Int ["uint32"] "Unsigned, 32 bits.";
    I64 "I64" 64 Int ["int64", "long"] "Signed, 64 bits.";
    U64 "U64" 64 Int ["uint64"] "Unsigned, 64 bits.";
    F16 "F16" 16 Float ["float16", "half"] "IEEE 754 half.";
    BF16 "BF16" 16 Float ["bfloat16"] "The upper half of a float32.";
    F32 "F32" 32 Float ["float32", "float"] "IEEE 754 single.";
    F64 "F64" 64 Float ["float64", "double"] "IEEE 754 double.";
    F8E4M3 "F8_E4M3" 8 Float ["float8_e4m3fn", "f8_e4m3fn"] "4 exponent bits, 3 of mantissa, no infinities.";
    F8E5M2 "F8_E5M2" 8 Float ["float8_e5m2"] "5 exponent bits, 2 of mantissa.";
    F8E4M3FNUZ "F8_E4M3FNUZ" 8 Float ["float8_e4m3fnuz"] "As E4M3, no negative zero.";
    F8E5M2FNUZ "F8_E5M2FNUZ" 8 Float ["float8_e5m2fnuz"] "As E5M2, no negative zero.";
    F8E8M0 "F8_E8M0" 8 Float ["float8_e8m0fnu", "f8_e8m0fnu"] "A power of two: block scales.";
    F6E2M3 "F6_E2M3" 6 Float [] "6 bits, 2 of exponent.";
    F6E3M2 "F6_E3M2" 6 Float [] "6 bits, 3 of exponent.";
    F4 "F4" 4 Float ["float4_e2m1fn_x2", "f4_e2m1"] "4 bits, E2M1.";
    C32 "C32" 32 Complex ["complex32", "chalf"] "Two halves.";
    C64 "C64" 64 Complex ["complex64", "cfloat"] "Two singles.";
    C128 "C128" 128 Complex ["complex128", "cdouble"] "Two doubles.";
    QInt8 "QINT8" 8 Quantized ["qint8"] "Quantised, signed 8 bits with scale and zero point.";
    QUInt8 "QUINT8" 8 Quantized ["quint8"] "Quantised, unsigned 8 bits.";
    QInt32 "QINT32" 32 Quantized ["qint32"] "Quantised, signed 32 bits.";
    QUInt4x2 "QUINT4X2" 4 Quantized ["quint4x2"] "Two quantised 4-bit values a byte.";
    QUInt2x4 "QUINT2X4" 2 Quantized ["quint2x4"] "Four quantised 2-bit values a byte.";
}

/// What sort of numbers a dtype holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DtypeKind {
    /// Truth values.
    Bool,
    /// Whole numbers.
    Int,
    /// Floating point.
    Float,
    /// Complex numbers.
    Complex,
    /// Integers with scale and zero point.
    Quantized,
    /// Characters.
    Text,
}

/// What happens to the values when a tensor of one dtype is copied into one of another, as `Tensor.copy_` does silently.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DtypeChange {
    /// The same dtype.
    Equal,
    /// Same kind, every value kept.
    Widened,
    /// Same kind, fewer bits of range or precision.
    Narrowed,
    /// Another kind of number: `2.87` becomes `2`.
    KindChanged,
}

impl DtypeChange {
    /// The name in JSON output: `kind-changed`.
    pub fn id(self) -> &'static str {
        match self {
            DtypeChange::Equal => "equal",
            DtypeChange::Widened => "widened",
            DtypeChange::Narrowed => "narrowed",
            DtypeChange::KindChanged => "kind-changed",
        }
    }
}

impl Dtype {
    /// What a copy from `self` into a tensor of dtype `target` does.
    pub fn change_to(self, target: Dtype) -> DtypeChange {
        if self == target {
            DtypeChange::Equal
        } else if self.kind() != target.kind() {
            DtypeChange::KindChanged
        } else if target.bits() > self.bits() && !self.loses_sign_in(target) {
            DtypeChange::Widened
        } else {
            // Equal width and another layout (F16 and BF16, I8 and U8) loses range or precision as well.
            DtypeChange::Narrowed
        }
    }

    /// Whether negative values have no place in `target`.
    fn loses_sign_in(self, target: Dtype) -> bool {
        let unsigned = |d: Dtype| matches!(d, Dtype::U8 | Dtype::U16 | Dtype::U32 | Dtype::U64);
        unsigned(target) && !unsigned(self) && self.kind() == DtypeKind::Int
    }
}

impl fmt::Display for Dtype {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // As NumPy spells it.
            Dtype::Text(characters) => write!(f, "<U{characters}"),
            other => f.write_str(other.name()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_and_its_torch_spelling_parses_back() {
        for &d in Dtype::ALL {
            assert_eq!(Dtype::parse(d.name()), Some(d));
        }
        assert_eq!(Dtype::parse("torch.float32"), Some(Dtype::F32));
        assert_eq!(Dtype::parse("float8_e4m3fn"), Some(Dtype::F8E4M3));
        assert_eq!(Dtype::parse("float33"), None);
    }

    #[test]
    fn a_copy_between_halves_narrows_and_into_integers_changes_kind() {
        assert_eq!(Dtype::F16.change_to(Dtype::F32), DtypeChange::Widened);
        assert_eq!(Dtype::F16.change_to(Dtype::BF16), DtypeChange::Narrowed);
        assert_eq!(Dtype::F32.change_to(Dtype::I64), DtypeChange::KindChanged);
        assert_eq!(Dtype::I8.change_to(Dtype::U16), DtypeChange::Narrowed);
        assert_eq!(Dtype::U8.change_to(Dtype::I16), DtypeChange::Widened);
    }
}
