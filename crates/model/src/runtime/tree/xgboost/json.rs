//! What XGBoost's JSON writes beside the standard: words for numbers that JSON does not have, truth values as numbers.

use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Deserializer, de};

/// What XGBoost writes for numbers that JSON does not have.
const NO_NUMBERS: [&[u8]; 3] = [b"NaN", b"Infinity", b"-Infinity"];

/// The JSON of release 1.7 holds bare `NaN` words, and any release may write infinities into statistics:
/// they become `null`.
pub(super) fn no_number_as_null(bytes: &[u8]) -> Cow<'_, [u8]> {
    if NO_NUMBERS.iter().all(|word| memchr::memmem::find(bytes, word).is_none()) {
        return Cow::Borrowed(bytes);
    }
    let mut json = Vec::with_capacity(bytes.len() + bytes.len() / 8);
    let (mut in_text, mut at) = (false, 0);
    while at < bytes.len() {
        let (taken, written): (usize, &[u8]) = match bytes[at] {
            b'\\' if in_text => (2, &bytes[at..bytes.len().min(at + 2)]),
            byte => {
                in_text ^= byte == b'"';
                let starts = |word: &&&[u8]| !in_text && bytes[at..].starts_with(word);
                let word =
                    if matches!(byte, b'N' | b'I' | b'-') { NO_NUMBERS.iter().find(starts) } else { None };
                word.map_or((1, &bytes[at..=at]), |word| (word.len(), b"null"))
            }
        };
        json.extend_from_slice(written);
        at += taken;
    }
    Cow::Owned(json)
}

/// Releases before 2.0 write true and false, later ones 1 and 0.
pub(super) struct Flag(pub(super) bool);

impl<'de> Deserialize<'de> for Flag {
    fn deserialize<D: Deserializer<'de>>(source: D) -> Result<Self, D::Error> {
        source.deserialize_any(FlagVisitor)
    }
}

struct FlagVisitor;

impl de::Visitor<'_> for FlagVisitor {
    type Value = Flag;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("true, false, 0 or 1")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Flag, E> {
        Ok(Flag(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Flag, E> {
        Ok(Flag(value != 0))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Flag, E> {
        Ok(Flag(value != 0))
    }
}
