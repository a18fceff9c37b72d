//! The wire format of messages, read in place: fields one after the other, each of which is a number or some bytes.

use crate::error::ServerError;

/// The fields of a message. One that cannot be read is an error, and the last.
#[derive(Debug, Clone)]
pub(crate) struct Fields<'b>(pub(crate) &'b [u8]);

/// What a field holds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Held<'b> {
    Varint(u64),
    Eight([u8; 8]),
    Four([u8; 4]),
    /// A text, bytes, a message, or packed numbers.
    Bytes(&'b [u8]),
}

/// Bytes that are no message.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Malformed;

fn bad(reason: &str) -> ServerError {
    ServerError::BadBody(reason.to_owned())
}

impl From<Malformed> for ServerError {
    fn from(Malformed: Malformed) -> Self {
        bad("the message is not valid protobuf: it is cut off, or something else was sent")
    }
}

impl<'b> Iterator for Fields<'b> {
    type Item = Result<(u64, Held<'b>), Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let field = self.field().ok_or(Malformed);
        if field.is_err() {
            self.0 = &[];
        }
        Some(field)
    }
}

impl<'b> Fields<'b> {
    fn field(&mut self) -> Option<(u64, Held<'b>)> {
        let key = varint(&mut self.0)?;
        let held = match key & 7 {
            0 => Held::Varint(varint(&mut self.0)?),
            1 => Held::Eight(*self.chunk()?),
            2 => {
                let length = usize::try_from(varint(&mut self.0)?).ok()?;
                let (bytes, rest) = self.0.split_at_checked(length)?;
                self.0 = rest;
                Held::Bytes(bytes)
            }
            5 => Held::Four(*self.chunk()?),
            _ => return None, // groups are of another time
        };
        (key >> 3 != 0 && key >> 3 < 1 << 29).then_some((key >> 3, held))
    }

    fn chunk<const N: usize>(&mut self) -> Option<&'b [u8; N]> {
        let (chunk, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(chunk)
    }
}

/// A number of at most ten bytes of seven bits.
pub(crate) fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for (at, byte) in bytes.iter().take(10).enumerate() {
        number |= u64::from(byte & 0x7f) << (7 * at).min(63);
        if byte & 0x80 == 0 {
            *bytes = &bytes[at + 1..];
            return (at < 9 || *byte < 2).then_some(number);
        }
    }
    None
}

/// A text.
pub(crate) fn text<'b>(held: Held<'b>) -> Result<&'b str, ServerError> {
    match held {
        Held::Bytes(bytes) => {
            std::str::from_utf8(bytes).map_err(|_| bad("a text of the message is not UTF-8"))
        }
        _ => Err(Malformed.into()),
    }
}

/// A message, or bytes.
pub(crate) fn bytes<'b>(held: Held<'b>) -> Result<&'b [u8], ServerError> {
    match held {
        Held::Bytes(bytes) => Ok(bytes),
        _ => Err(Malformed.into()),
    }
}

/// Writes a number.
pub(crate) fn put_varint(mut number: u64, out: &mut Vec<u8>) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// Writes what stands before bytes of a field.
pub(crate) fn put_length(field: u64, length: usize, out: &mut Vec<u8>) {
    put_varint(field << 3 | 2, out);
    put_varint(length as u64, out);
}

/// Writes a text, or bytes; nothing where there are none.
pub(crate) fn put_bytes(field: u64, bytes: &[u8], out: &mut Vec<u8>) {
    if !bytes.is_empty() {
        put_length(field, bytes.len(), out);
        out.extend_from_slice(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_as_they_are_written_and_not_beyond_their_bits() {
        for number in [0, 1, 127, 128, 300, u64::from(u32::MAX), u64::MAX - 1, u64::MAX] {
            let mut bytes = Vec::new();
            put_varint(number, &mut bytes);
            assert_eq!(varint(&mut &bytes[..]), Some(number));
            assert_eq!(varint(&mut &bytes[..bytes.len() - 1]), None);
        }
        assert_eq!(varint(&mut &[0xff; 11][..]), None);
        assert_eq!(varint(&mut &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2][..]), None);
    }

    #[test]
    fn what_is_no_message_is_the_end() {
        for (message, expected) in [
            (&[][..], vec![]),
            (&[8, 1, 16, 2][..], vec![Ok((1, Held::Varint(1))), Ok((2, Held::Varint(2)))]),
            (&[10, 2, 65, 66][..], vec![Ok((1, Held::Bytes(b"AB")))]),
            (&[13, 1, 2, 3, 4][..], vec![Ok((1, Held::Four([1, 2, 3, 4])))]),
            (&[10, 3, 65, 66][..], vec![Err(Malformed)]), // cut off
            (&[10, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1, 0][..], vec![Err(Malformed)]),
            (&[11, 12][..], vec![Err(Malformed)]), // a group
            (&[0, 1][..], vec![Err(Malformed)]),   // no field has the number 0
            (&[8][..], vec![Err(Malformed)]),
            (&[9, 1, 2, 3][..], vec![Err(Malformed)]),
        ] {
            assert_eq!(Fields(message).collect::<Vec<_>>(), expected, "{message:?}");
        }
    }
}
