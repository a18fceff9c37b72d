//! Fields of messages, read where they stand in the request's bytes and with their names in errors, and fields written.
//! Nothing is copied out of a request and nothing grows with it, so that a message of empty fields costs no more than its
//! bytes.

use std::borrow::Cow;

use super::super::bad;
use crate::error::ServerError;
use crate::protocol::grpc::wire::{self, put_length, put_varint, varint};

pub(super) use crate::protocol::grpc::wire::Held as Field;

/// The fields of a message in their order.
#[derive(Debug, Clone)]
pub(super) struct Fields<'b> {
    /// What the message is called in errors.
    of: &'static str,
    fields: wire::Fields<'b>,
}

/// The fields of the message `of` in `bytes`.
pub(super) fn fields<'b>(of: &'static str, bytes: &'b [u8]) -> Fields<'b> {
    Fields { of, fields: wire::Fields(bytes) }
}

impl<'b> Iterator for Fields<'b> {
    type Item = Result<(u64, Field<'b>), ServerError>;

    fn next(&mut self) -> Option<Self::Item> {
        let of = self.of;
        let field = self.fields.next()?;
        Some(field.map_err(|_| bad(format!("Invalid message: {of} is not a protobuf message"))))
    }
}

/// Adds numbers to those before them.
pub(super) fn append<'b>(numbers: &mut Cow<'b, [u8]>, more: Cow<'b, [u8]>) {
    match numbers.is_empty() {
        true => *numbers = more,
        false => numbers.to_mut().extend_from_slice(&more),
    }
}

/// Integers one after the other; None where they are none.
pub(super) fn varints(mut bytes: &[u8]) -> impl Iterator<Item = Option<u64>> {
    std::iter::from_fn(move || match bytes {
        [] => None,
        _ => {
            let value = varint(&mut bytes);
            if value.is_none() {
                bytes = &[];
            }
            Some(value)
        }
    })
}

impl<'b> Field<'b> {
    /// The bytes of a field that has some; `of` is what it is called in errors.
    pub(super) fn bytes(self, of: &str) -> Result<&'b [u8], ServerError> {
        match self {
            Self::Bytes(bytes) => Ok(bytes),
            _ => Err(bad(format!("Invalid message: {of} is of another type"))),
        }
    }

    /// Its numbers, one after the other. Writers send all of them in one field, which is not copied; readers are to take
    /// them one by one as well, each in a field `like` this.
    pub(super) fn numbers(self, like: Self, of: &str) -> Result<Cow<'b, [u8]>, ServerError> {
        Ok(match (self, like) {
            (Self::Bytes(bytes), _) => bytes.into(),
            (Self::Eight(bytes), Self::Eight(_)) => bytes.to_vec().into(),
            (Self::Four(bytes), Self::Four(_)) => bytes.to_vec().into(),
            (Self::Varint(value), Self::Varint(_)) => {
                let mut bytes = Vec::new();
                put_varint(value, &mut bytes);
                bytes.into()
            }
            _ => return Err(bad(format!("Invalid message: {of} has values of another type"))),
        })
    }

    /// Its text.
    pub(super) fn text(self, of: &str) -> Result<&'b str, ServerError> {
        std::str::from_utf8(self.bytes(of)?)
            .map_err(|_| bad(format!("Invalid message: {of} is not UTF-8 text")))
    }

    /// Its integer.
    pub(super) fn varint(self, of: &str) -> Result<u64, ServerError> {
        match self {
            Self::Varint(value) => Ok(value),
            _ => Err(bad(format!("Invalid message: {of} is of another type"))),
        }
    }
}

/// The bytes that an integer takes.
fn varint_len(value: u64) -> usize {
    (70 - (value | 1).leading_zeros() as usize) / 7
}

/// The bytes that a field takes whose bytes are so many; its number is below 16.
pub(super) fn field_len(bytes: usize) -> usize {
    1 + varint_len(bytes as u64) + bytes
}

/// Appends the head of a field whose `length` bytes follow.
pub(super) fn push_head(number: u8, length: usize, out: &mut Vec<u8>) {
    put_length(number.into(), length, out);
}

/// Appends a field of bytes, a text or a message.
pub(super) fn push_bytes(number: u8, bytes: impl AsRef<[u8]>, out: &mut Vec<u8>) {
    let bytes = bytes.as_ref();
    push_head(number, bytes.len(), out);
    out.extend_from_slice(bytes);
}

/// Appends an integer.
pub(super) fn push_integer(number: u8, value: u64, out: &mut Vec<u8>) {
    out.push(number << 3);
    put_varint(value, out);
}

/// Appends a double.
pub(super) fn push_double(number: u8, value: f64, out: &mut Vec<u8>) {
    out.push(number << 3 | 1);
    out.extend_from_slice(&value.to_le_bytes());
}

/// Appends integers one after the other.
pub(super) fn push_integers(number: u8, values: impl Iterator<Item = u64>, out: &mut Vec<u8>) {
    let mut packed = Vec::new();
    values.for_each(|value| put_varint(value, &mut packed));
    push_bytes(number, packed, out);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_as_the_same_fields() {
        let mut message = Vec::new();
        push_integer(1, u64::MAX, &mut message);
        push_bytes(2, "ü", &mut message);
        push_double(3, -0.5, &mut message);
        push_integers(4, [0, 127, 128, 1 << 62].into_iter(), &mut message);
        push_bytes(15, vec![7; 300], &mut message);
        let found: Vec<_> = fields("m", &message).map(Result::unwrap).collect();
        let packed = [0, 127, 128, 1, 128, 128, 128, 128, 128, 128, 128, 128, 64];
        let expected = [
            (1, Field::Varint(u64::MAX)),
            (2, Field::Bytes("ü".as_bytes())),
            (3, Field::Eight((-0.5f64).to_le_bytes())),
            (4, Field::Bytes(&packed)),
            (15, Field::Bytes(&[7; 300])),
        ];
        assert_eq!(found, expected);
        assert_eq!(message.len(), 11 + field_len(2) + 9 + field_len(13) + field_len(300));
    }

    #[test]
    fn lengths_are_told_before_they_are_written() {
        for value in (0..64).flat_map(|bit| [1 << bit, (1_u64 << bit) - 1, u64::MAX >> bit]) {
            let mut out = Vec::new();
            put_varint(value, &mut out);
            assert_eq!(out.len(), varint_len(value), "{value}");
            assert_eq!(varints(&out).collect::<Vec<_>>(), [Some(value)]);
        }
    }
}
