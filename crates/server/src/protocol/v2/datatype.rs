//! The datatypes of tensors: their names, their sizes, and their values out of raw bytes.

use portend_core::{Dtype, Feature, Label};
use portend_model::frame::{Columns, Place};

/// What the values of a tensor are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Datatype {
    Bool,
    Uint8,
    Uint16,
    Uint32,
    Uint64,
    Int8,
    Int16,
    Int32,
    Int64,
    Fp16,
    Bf16,
    Fp32,
    Fp64,
    /// Texts.
    Bytes,
}

/// All of them with their names, and the bytes of a value where all values have as many.
const ALL: [(Datatype, &str, Option<usize>); 14] = [
    (Datatype::Bool, "BOOL", Some(1)),
    (Datatype::Uint8, "UINT8", Some(1)),
    (Datatype::Uint16, "UINT16", Some(2)),
    (Datatype::Uint32, "UINT32", Some(4)),
    (Datatype::Uint64, "UINT64", Some(8)),
    (Datatype::Int8, "INT8", Some(1)),
    (Datatype::Int16, "INT16", Some(2)),
    (Datatype::Int32, "INT32", Some(4)),
    (Datatype::Int64, "INT64", Some(8)),
    (Datatype::Fp16, "FP16", Some(2)),
    (Datatype::Bf16, "BF16", Some(2)),
    (Datatype::Fp32, "FP32", Some(4)),
    (Datatype::Fp64, "FP64", Some(8)),
    (Datatype::Bytes, "BYTES", None),
];

impl Datatype {
    /// The datatype called `name`.
    pub(crate) fn parse(name: &str) -> Option<Self> {
        ALL.iter().find(|(_, other, _)| *other == name).map(|(datatype, ..)| *datatype)
    }

    /// All names.
    pub(crate) fn names() -> impl Iterator<Item = &'static str> {
        ALL.iter().map(|(_, name, _)| *name)
    }

    /// Its name in this protocol.
    pub(crate) fn name(self) -> &'static str {
        ALL[self as usize].1
    }

    /// Its name in a model's configuration.
    pub(crate) fn config_name(self) -> String {
        let name = if self == Self::Bytes { "STRING" } else { self.name() };
        format!("TYPE_{name}")
    }

    /// The bytes of one value; None where values differ in length.
    pub(crate) fn size(self) -> Option<usize> {
        ALL[self as usize].2
    }

    /// What a feature is told to be.
    pub(crate) fn of_feature(feature: &Feature) -> Self {
        match feature.dtype {
            Dtype::Float64 => Self::Fp64,
            Dtype::Float32 => Self::Fp32,
            Dtype::Int64 => Self::Int64,
            Dtype::Bool => Self::Bool,
            Dtype::String => Self::Bytes,
            Dtype::Category => Self::of_labels(&feature.levels),
        }
    }

    /// What holds all of these labels in their own type, else their texts.
    pub(crate) fn of_labels(labels: &[Label]) -> Self {
        let all = |is: fn(&Label) -> bool| !labels.is_empty() && labels.iter().all(is);
        match () {
            () if all(|label| matches!(label, Label::Integer(_))) => Self::Int64,
            () if all(|label| matches!(label, Label::Integer(_) | Label::Number(_))) => Self::Fp64,
            () if all(|label| matches!(label, Label::Bool(_))) => Self::Bool,
            () => Self::Bytes,
        }
    }

    /// Writes the values of raw bytes, little-endian, to `places`; texts are no numbers and write nothing.
    pub(crate) fn fill(self, columns: &mut Columns<'_>, places: &[Place], bytes: &[u8]) {
        macro_rules! fill {
            ($number:ty) => {{
                let values = bytes.chunks_exact(size_of::<$number>());
                columns.fill(places, values.map(|value| <$number>::from_le_bytes(array(value)) as f64))
            }};
        }
        match self {
            Self::Bool => columns.fill(places, bytes.iter().map(|byte| f64::from(u8::from(*byte != 0)))),
            Self::Uint8 => fill!(u8),
            Self::Uint16 => fill!(u16),
            Self::Uint32 => fill!(u32),
            Self::Uint64 => fill!(u64),
            Self::Int8 => fill!(i8),
            Self::Int16 => fill!(i16),
            Self::Int32 => fill!(i32),
            Self::Int64 => fill!(i64),
            Self::Fp32 => fill!(f32),
            Self::Fp64 => fill!(f64),
            Self::Fp16 => columns.fill(places, bytes.chunks_exact(2).map(|value| half(array(value)))),
            Self::Bf16 => columns.fill(places, bytes.chunks_exact(2).map(|value| brain(array(value)))),
            Self::Bytes => {}
        }
    }
}

/// The bytes of one value out of a piece that has just so many.
fn array<const N: usize>(piece: &[u8]) -> [u8; N] {
    std::array::from_fn(|i| piece[i])
}

/// A number of 16 bits: a sign, 5 bits of exponent and 10 of fraction.
fn half(bytes: [u8; 2]) -> f64 {
    let bits = u16::from_le_bytes(bytes);
    let sign = if bits >> 15 == 0 { 1.0 } else { -1.0 };
    let (exponent, fraction) = (i32::from(bits >> 10 & 0x1f), f64::from(bits & 0x3ff));
    sign * match exponent {
        0 => fraction * 2f64.powi(-24),
        31 if fraction == 0.0 => f64::INFINITY,
        31 => f64::NAN,
        _ => (1.0 + fraction / 1024.0) * 2f64.powi(exponent - 15),
    }
}

/// The upper half of an f32.
fn brain(bytes: [u8; 2]) -> f64 {
    f64::from(f32::from_bits(u32::from(u16::from_le_bytes(bytes)) << 16))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_sixteen_bits_are_read_exactly() {
        for (bits, expected) in [
            (0x0000_u16, 0.0),
            (0x3c00, 1.0),
            (0xc000, -2.0),
            (0x3555, 0.333251953125),
            (0x0001, 5.960464477539063e-8),
            (0x7bff, 65504.0),
            (0x7c00, f64::INFINITY),
            (0xfc00, f64::NEG_INFINITY),
        ] {
            assert_eq!(half(bits.to_le_bytes()), expected, "{bits:x}");
        }
        assert!(half(0x7e00_u16.to_le_bytes()).is_nan());
        assert_eq!(brain(0x3fc0_u16.to_le_bytes()), 1.5);
        assert_eq!(brain(0xff80_u16.to_le_bytes()), f64::NEG_INFINITY);
    }

    #[test]
    fn datatypes_stand_at_their_place() {
        for (at, (datatype, name, _)) in ALL.iter().enumerate() {
            assert_eq!((*datatype as usize, Datatype::parse(name)), (at, Some(*datatype)));
        }
        assert_eq!(Datatype::parse("fp32"), None);
    }

    #[test]
    fn labels_are_told_in_a_type_that_holds_them_all() {
        for (labels, expected) in [
            (vec![Label::Integer(0), Label::Integer(1)], Datatype::Int64),
            (vec![Label::Integer(0), Label::Number(0.5)], Datatype::Fp64),
            (vec![Label::Bool(true)], Datatype::Bool),
            (vec![Label::Integer(0), Label::Text("a".into())], Datatype::Bytes),
            (vec![], Datatype::Bytes),
        ] {
            assert_eq!(Datatype::of_labels(&labels), expected, "{labels:?}");
        }
    }
}
