//! Universal Binary JSON (ubjson.org, draft 12) as XGBoost writes it, as a serde source, so that one set of
//! structures reads both of its formats. Input is hostile: every length is checked against what is left.

use std::fmt;

use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde::forward_to_deserialize_any;

/// Nesting deeper than this is refused; XGBoost's own is 8.
const MOST_DEPTH: usize = 64;

/// What is wrong, and at which byte.
#[derive(Debug)]
pub(super) struct Error(String);

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Error {}

impl de::Error for Error {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self(message.to_string())
    }
}

/// Reads one value that takes all of `bytes`.
pub(super) fn from_slice<T: de::DeserializeOwned>(bytes: &[u8]) -> Result<T, Error> {
    let mut reader = Reader { bytes, at: 0, depth: 0 };
    let value = T::deserialize(&mut reader).map_err(|e| Error(format!("{e} (near byte {})", reader.at)))?;
    if reader.at < bytes.len() {
        return Err(Error(format!("{} bytes follow the model's end", bytes.len() - reader.at)));
    }
    Ok(value)
}

struct Reader<'de> {
    bytes: &'de [u8],
    at: usize,
    depth: usize,
}

impl<'de> Reader<'de> {
    fn take(&mut self, count: usize) -> Result<&'de [u8], Error> {
        let end = self.at.checked_add(count).filter(|end| *end <= self.bytes.len());
        let end = end.ok_or_else(|| Error("the file ends too early".to_owned()))?;
        let taken = &self.bytes[self.at..end];
        self.at = end;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Error> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    /// The next marker that is not padding.
    fn marker(&mut self) -> Result<u8, Error> {
        loop {
            match self.take(1)?[0] {
                b'N' => {}
                marker => return Ok(marker),
            }
        }
    }

    fn integer(&mut self, marker: u8) -> Result<i64, Error> {
        Ok(match marker {
            b'i' => i8::from_be_bytes(self.array()?).into(),
            b'U' => u8::from_be_bytes(self.array()?).into(),
            b'I' => i16::from_be_bytes(self.array()?).into(),
            b'l' => i32::from_be_bytes(self.array()?).into(),
            b'L' => i64::from_be_bytes(self.array()?),
            other => return Err(unexpected(other, "an integer")),
        })
    }

    /// A length; each counted thing takes a byte or more, so it cannot exceed what is left.
    fn length(&mut self) -> Result<usize, Error> {
        let marker = self.take(1)?[0];
        let length = self.integer(marker)?;
        let left = self.bytes.len() - self.at;
        usize::try_from(length)
            .ok()
            .filter(|length| *length <= left)
            .ok_or_else(|| Error(format!("a length of {length} where {left} bytes are left")))
    }

    fn text(&mut self) -> Result<&'de str, Error> {
        let length = self.length()?;
        std::str::from_utf8(self.take(length)?).map_err(|_| Error("a text is not UTF-8".to_owned()))
    }

    /// What follows `[` or `{`: type and count, count, or nothing.
    fn container(&mut self) -> Result<Items, Error> {
        let mut kind = None;
        if self.peek() == Some(b'$') {
            let marker = self.array::<2>()?[1];
            if !b"iUIlLdDSC[{".contains(&marker) {
                return Err(unexpected(marker, "the type of a list's items"));
            }
            kind = Some(marker);
        }
        let left = if self.peek() == Some(b'#') {
            self.at += 1;
            Some(self.length()?)
        } else {
            None
        };
        if kind.is_some() && left.is_none() {
            return Err(Error("a typed list has no length".to_owned()));
        }
        Ok(Items { kind, left })
    }

    fn value<V: Visitor<'de>>(&mut self, marker: u8, visitor: V) -> Result<V::Value, Error> {
        match marker {
            b'Z' => visitor.visit_unit(),
            b'T' => visitor.visit_bool(true),
            b'F' => visitor.visit_bool(false),
            b'i' | b'U' | b'I' | b'l' | b'L' => visitor.visit_i64(self.integer(marker)?),
            b'd' => visitor.visit_f32(f32::from_be_bytes(self.array()?)),
            b'D' => visitor.visit_f64(f64::from_be_bytes(self.array()?)),
            b'C' => visitor.visit_char(char::from(self.take(1)?[0])),
            b'S' => visitor.visit_borrowed_str(self.text()?),
            b'[' | b'{' => {
                self.depth += 1;
                if self.depth > MOST_DEPTH {
                    return Err(Error("values are nested too deeply".to_owned()));
                }
                let items = self.container()?;
                let mut inside =
                    Inside { reader: self, items, end: if marker == b'[' { b']' } else { b'}' } };
                let value = if marker == b'[' {
                    visitor.visit_seq(&mut inside)
                } else {
                    visitor.visit_map(&mut inside)
                }?;
                if inside.more()? {
                    return Err(Error("a list has more items than expected".to_owned()));
                }
                self.depth -= 1;
                Ok(value)
            }
            other => Err(unexpected(other, "a value")),
        }
    }
}

fn unexpected(marker: u8, expected: &str) -> Error {
    Error(format!("{:?} where {expected} should be", char::from(marker)))
}

/// The items that a container still has.
struct Items {
    /// The marker that all items share.
    kind: Option<u8>,
    /// How many are left, where that was said at the start.
    left: Option<usize>,
}

/// The inside of a list or an object.
struct Inside<'r, 'de> {
    reader: &'r mut Reader<'de>,
    items: Items,
    end: u8,
}

impl Inside<'_, '_> {
    /// True if another item follows; takes the end marker if not. Safe to ask again after the end.
    fn more(&mut self) -> Result<bool, Error> {
        match &mut self.items.left {
            Some(left) => Ok(*left > 0),
            None => {
                while self.reader.peek() == Some(b'N') {
                    self.reader.at += 1;
                }
                if self.reader.peek() == Some(self.end) {
                    self.reader.at += 1;
                    self.items.left = Some(0);
                    return Ok(false);
                }
                Ok(true)
            }
        }
    }

    fn item<'de, S: DeserializeSeed<'de>>(
        reader: &mut Reader<'de>,
        items: &mut Items,
        seed: S,
    ) -> Result<S::Value, Error> {
        if let Some(left) = &mut items.left {
            *left -= 1;
        }
        match items.kind {
            Some(kind) => seed.deserialize(Typed { reader, kind }),
            None => seed.deserialize(reader),
        }
    }
}

impl<'de> SeqAccess<'de> for &mut Inside<'_, 'de> {
    type Error = Error;

    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Error> {
        if !self.more()? {
            return Ok(None);
        }
        Inside::item(self.reader, &mut self.items, seed).map(Some)
    }

    fn size_hint(&self) -> Option<usize> {
        self.items.left
    }
}

impl<'de> MapAccess<'de> for &mut Inside<'_, 'de> {
    type Error = Error;

    fn next_key_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Error> {
        if !self.more()? {
            return Ok(None);
        }
        seed.deserialize(de::value::BorrowedStrDeserializer::new(self.reader.text()?)).map(Some)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, Error> {
        Inside::item(self.reader, &mut self.items, seed)
    }
}

impl<'de> Deserializer<'de> for &mut Reader<'de> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let marker = self.marker()?;
        self.value(marker, visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        if self.peek() == Some(b'Z') { self.deserialize_any(visitor) } else { visitor.visit_some(self) }
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct
        newtype_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }
}

/// An item of a typed list: its marker was said once for all.
struct Typed<'r, 'de> {
    reader: &'r mut Reader<'de>,
    kind: u8,
}

impl<'de> Deserializer<'de> for Typed<'_, 'de> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.reader.value(self.kind, visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_some(self)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct
        newtype_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(bytes: &[u8], expected: Result<&str, &str>) {
        let found = from_slice::<serde_json::Value>(bytes).map(|v| v.to_string()).map_err(|e| e.to_string());
        assert_eq!(found.as_deref().map_err(String::as_str), expected, "{bytes:?}");
    }

    #[test]
    fn every_form_of_value_is_read() {
        check(b"Z", Ok("null"));
        check(b"SU\x02ab", Ok("\"ab\""));
        check(b"[$d#L\0\0\0\0\0\0\0\x01\x3f\x80\0\0", Ok("[1.0]"));
        check(b"[#U\x02Ti\xff", Ok("[true,-1]"));
        check(b"[NI\x01\0NN]", Ok("[256]"));
        check(b"{U\x01a[]U\x01bD\x3f\xf0\0\0\0\0\0\0}", Ok("{\"a\":[],\"b\":1.0}"));
        check(b"{#U\x01U\x01al\0\0\0\x02", Ok("{\"a\":2}"));
    }

    #[test]
    fn damage_is_an_error_with_its_place() {
        check(b"", Err("the file ends too early (near byte 0)"));
        check(b"[#l\x7f\xff\xff\xff", Err("a length of 2147483647 where 0 bytes are left (near byte 7)"));
        check(b"SU\x05ab", Err("a length of 5 where 2 bytes are left (near byte 3)"));
        check(b"[$T#U\x05", Err("'T' where the type of a list's items should be (near byte 3)"));
        check(b"SU\x01\xff", Err("a text is not UTF-8 (near byte 4)"));
        check(b"Si\xff", Err("a length of -1 where 0 bytes are left (near byte 3)"));
        check(b"?", Err("'?' where a value should be (near byte 1)"));
        check(b"TT", Err("1 bytes follow the model's end"));
        check(&[b'['; 5000], Err("values are nested too deeply (near byte 65)"));
    }
}
