//! The values of a tensor as a message holds them: one list for each kind of number, and one for texts. They are checked
//! and counted once, and read where they lie.

use crate::error::ServerError;
use crate::protocol::grpc::wire::{Fields, Held, varint};
use crate::protocol::v2::datatype::Datatype;
use crate::protocol::v2::tensors::{Data, Head};

/// The lists by their number in the message, and their names.
const LISTS: [(u64, &str); 8] = [
    (1, "bool_contents"),
    (2, "int_contents"),
    (3, "int64_contents"),
    (4, "uint_contents"),
    (5, "uint64_contents"),
    (6, "fp32_contents"),
    (7, "fp64_contents"),
    (8, "bytes_contents"),
];

/// The list that has the values of a datatype.
pub(super) fn list(datatype: Datatype) -> Option<u64> {
    match datatype {
        Datatype::Bool => Some(1),
        Datatype::Int8 | Datatype::Int16 | Datatype::Int32 => Some(2),
        Datatype::Int64 => Some(3),
        Datatype::Uint8 | Datatype::Uint16 | Datatype::Uint32 => Some(4),
        Datatype::Uint64 => Some(5),
        Datatype::Fp32 => Some(6),
        Datatype::Fp64 => Some(7),
        Datatype::Bytes => Some(8),
        Datatype::Fp16 | Datatype::Bf16 => None,
    }
}

fn name(list: u64) -> &'static str {
    LISTS.iter().find(|(number, _)| *number == list).map_or("another list", |(_, name)| name)
}

/// The values of one tensor, checked.
#[derive(Debug)]
pub(in crate::protocol::v2) struct Contents<'b> {
    message: &'b [u8],
    datatype: Datatype,
    list: u64,
    pub(in crate::protocol::v2) count: usize,
}

/// Checks and counts the values in `message`; those that lie there as raw bytes do are taken as such.
pub(super) fn data<'b>(message: &'b [u8], head: &Head<'_>) -> Result<Data<'b>, ServerError> {
    let datatype = head.datatype;
    let Some(list) = list(datatype) else {
        return Err(head.bad(format!("{} is read out of raw_input_contents only", datatype.name())));
    };
    let (mut count, mut lists, mut first) = (0, 0, None);
    for field in Fields(message) {
        let (found, held) = field?;
        if found != list {
            let (found, wanted) = (name(found), name(list));
            return Err(head.bad(format!("{} is read out of {wanted}, and it has {found}", datatype.name())));
        }
        count += checked(datatype, held)
            .ok_or_else(|| head.bad(format!("a value of its {} is no {}", name(list), datatype.name())))?;
        lists += 1;
        first = Some(held);
    }
    match first {
        Some(Held::Bytes(bytes)) if lists == 1 && matches!(datatype, Datatype::Fp32 | Datatype::Fp64) => {
            Ok(Data::Raw(bytes))
        }
        _ => Ok(Data::Contents(Contents { message, datatype, list, count })),
    }
}

/// The number of values in a field, if all of them are of the datatype.
fn checked(datatype: Datatype, held: Held<'_>) -> Option<usize> {
    match (datatype, held) {
        (Datatype::Bytes, Held::Bytes(_))
        | (Datatype::Fp32, Held::Four(_))
        | (Datatype::Fp64, Held::Eight(_)) => Some(1),
        (Datatype::Fp32, Held::Bytes(bytes)) => bytes.len().is_multiple_of(4).then_some(bytes.len() / 4),
        (Datatype::Fp64, Held::Bytes(bytes)) => bytes.len().is_multiple_of(8).then_some(bytes.len() / 8),
        (Datatype::Bytes | Datatype::Fp32 | Datatype::Fp64, _) => None,
        (_, Held::Varint(value)) => number(datatype, value).map(|_| 1),
        (_, Held::Bytes(mut bytes)) => {
            let mut count = 0;
            while !bytes.is_empty() {
                number(datatype, varint(&mut bytes)?)?;
                count += 1;
            }
            Some(count)
        }
        _ => None,
    }
}

/// A whole number of the datatype.
fn number(datatype: Datatype, value: u64) -> Option<f64> {
    let signed = value as i64;
    match datatype {
        Datatype::Bool => Some(f64::from(u8::from(value != 0))),
        Datatype::Int8 => i8::try_from(signed).ok().map(f64::from),
        Datatype::Int16 => i16::try_from(signed).ok().map(f64::from),
        Datatype::Int32 => i32::try_from(signed).ok().map(f64::from),
        Datatype::Int64 => Some(signed as f64),
        Datatype::Uint8 => u8::try_from(value).ok().map(f64::from),
        Datatype::Uint16 => u16::try_from(value).ok().map(f64::from),
        Datatype::Uint32 => u32::try_from(value).ok().map(f64::from),
        Datatype::Uint64 => Some(value as f64),
        _ => None,
    }
}

impl<'b> Contents<'b> {
    fn lists(&self) -> impl Iterator<Item = Held<'b>> + use<'b> {
        let list = self.list;
        Fields(self.message).flatten().filter(move |(field, _)| *field == list).map(|(_, held)| held)
    }

    /// The numbers.
    pub(in crate::protocol::v2) fn numbers(&self) -> impl Iterator<Item = f64> + use<'b> {
        let datatype = self.datatype;
        self.lists().flat_map(move |held| Numbers { datatype, held: Some(held) })
    }

    /// The texts.
    pub(in crate::protocol::v2) fn texts(&self) -> impl Iterator<Item = &'b [u8]> + use<'b> {
        self.lists().filter_map(|held| match held {
            Held::Bytes(text) => Some(text),
            _ => None,
        })
    }
}

/// The numbers of one field.
struct Numbers<'b> {
    datatype: Datatype,
    held: Option<Held<'b>>,
}

impl Iterator for Numbers<'_> {
    type Item = f64;

    fn next(&mut self) -> Option<f64> {
        match self.held.take()? {
            Held::Varint(value) => number(self.datatype, value),
            Held::Four(bytes) => Some(f64::from(f32::from_le_bytes(bytes))),
            Held::Eight(bytes) => Some(f64::from_le_bytes(bytes)),
            Held::Bytes([]) => None,
            Held::Bytes(mut bytes) => {
                let value = match self.datatype {
                    Datatype::Fp32 => f64::from(f32::from_le_bytes(taken(&mut bytes)?)),
                    Datatype::Fp64 => f64::from_le_bytes(taken(&mut bytes)?),
                    datatype => number(datatype, varint(&mut bytes)?)?,
                };
                self.held = Some(Held::Bytes(bytes));
                Some(value)
            }
        }
    }
}

fn taken<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (value, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(*value)
}
