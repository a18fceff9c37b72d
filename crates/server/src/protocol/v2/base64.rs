//! Texts that come in Base64, as MLServer's content type of that name has them: each becomes the bytes that it stands for,
//! in the form of raw texts.

use std::fmt;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde::de::{DeserializeSeed, Deserializer, Error, SeqAccess, Visitor};

/// The texts of a JSON list, which may be nested, each behind its length.
pub(super) fn decoded(json: &str) -> Result<Vec<u8>, String> {
    let mut out = Vec::with_capacity(json.len() * 3 / 4);
    let mut reader = serde_json::Deserializer::from_str(json);
    Texts(&mut out).deserialize(&mut reader).map_err(|error| {
        let text = error.to_string();
        text.split(" at line ").next().unwrap_or_default().to_owned()
    })?;
    Ok(out)
}

struct Texts<'o>(&'o mut Vec<u8>);

impl<'de> DeserializeSeed<'de> for Texts<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        json.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Texts<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("texts in Base64, or nested lists of them")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<(), E> {
        let start = self.0.len();
        self.0.extend([0; 4]);
        BASE64_STANDARD
            .decode_vec(text, self.0)
            .map_err(|_| E::custom(format!("'{}' is not Base64", portend_core::shortened(text))))?;
        let length = u32::try_from(self.0.len() - start - 4).map_err(|_| E::custom("a text is too long"))?;
        self.0[start..start + 4].copy_from_slice(&length.to_le_bytes());
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        while list.next_element_seed(Texts(self.0))?.is_some() {}
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_become_what_they_stand_for_and_others_are_named() {
        for (json, expected) in [
            ("[]", Ok(&b""[..])),
            (r#"["bm8=", ""]"#, Ok(b"\x02\0\0\0no\0\0\0\0")),
            (r#"[["eWVz"], ["w7w="]]"#, Ok("\x03\0\0\0yes\x02\0\0\0ü".as_bytes())),
            (r#"["bm8"]"#, Err("'bm8' is not Base64")),
            ("[1]", Err("invalid type: integer `1`, expected texts in Base64, or nested lists of them")),
            ("[null]", Err("invalid type: null, expected texts in Base64, or nested lists of them")),
        ] {
            let found = decoded(json);
            assert_eq!(found.as_deref(), expected.map_err(str::to_owned).as_ref().map(|b| *b), "{json}");
        }
        let deep = "[".repeat(100_000);
        assert!(decoded(&deep).is_err());
    }
}
