//! A JSON object whose values are not read yet: they stay where they are in the body.

use std::borrow::Cow;
use std::fmt;

use portend_core::shortened_to;
use serde::Deserialize;
use serde::de::{Deserializer, Error, MapAccess, Visitor};
use serde_json::value::RawValue;

/// More keys are not read: no contract has so many, and no model so many columns.
const MOST_KEYS: usize = 1 << 16;

/// The keys of a JSON object with their values, in order.
#[derive(Debug)]
pub(crate) struct Object<'b>(Vec<(Cow<'b, str>, &'b RawValue)>);

/// A key, borrowed where it has no escapes.
#[derive(Deserialize)]
struct Key<'b>(#[serde(borrow)] Cow<'b, str>);

impl<'de> Deserialize<'de> for Object<'de> {
    fn deserialize<D: Deserializer<'de>>(json: D) -> Result<Self, D::Error> {
        json.deserialize_map(ObjectVisitor)
    }
}

struct ObjectVisitor;

impl<'de> Visitor<'de> for ObjectVisitor {
    type Value = Object<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Self::Value, A::Error> {
        let mut entries = Vec::new();
        while let Some((Key(key), value)) = object.next_entry()? {
            if entries.len() == MOST_KEYS {
                return Err(A::Error::custom(format!("an object has more than {MOST_KEYS} keys")));
            }
            entries.push((key, value));
        }
        Ok(Object(entries))
    }
}

impl<'b> Object<'b> {
    /// Reads an object; the error is the parser's, shortened.
    pub(crate) fn parse(json: &'b str) -> Result<Self, String> {
        serde_json::from_str(json).map_err(|error| shortened_to(200, &error.to_string()).into_owned())
    }

    /// The value under a key, the last one if there are several; a null counts as none.
    pub(crate) fn get(&self, key: &str) -> Option<&'b str> {
        let entry = self.0.iter().rev().find(|(name, _)| name == key);
        entry.map(|(_, value)| value.get()).filter(|value| *value != "null")
    }

    /// All keys.
    pub(crate) fn keys(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(key, _)| &**key)
    }

    /// All keys with their values.
    pub(crate) fn entries(&self) -> impl Iterator<Item = (&str, &'b str)> {
        self.0.iter().map(|(key, value)| (&**key, value.get()))
    }
}
