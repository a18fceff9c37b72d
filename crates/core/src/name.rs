//! Ids under which loaded models are addressed in URLs and found as directories.

use std::borrow::Borrow;
use std::fmt;

/// The id of a model in a repository: `[A-Za-z0-9._-]+`, at most 255 bytes, neither `.` nor `..`.
/// It is a directory name as well as a URL segment, so it can hold no separator.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ModelId(String);

/// Why a text is not a [`ModelId`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelIdError;

impl fmt::Display for ModelIdError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a model id is 1 to 255 letters, digits, '.', '_' or '-', and is not '.' or '..'")
    }
}

impl std::error::Error for ModelIdError {}

impl ModelId {
    /// Checks `text` against the rule above.
    pub fn parse(text: &str) -> Result<Self, ModelIdError> {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
        let fits = (1..=255).contains(&text.len()) && text.bytes().all(allowed);
        if fits && text != "." && text != ".." { Ok(Self(text.to_owned())) } else { Err(ModelIdError) }
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A map of ids is asked for any text, which need not be an id.
impl Borrow<str> for ModelId {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ModelId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_a_safe_directory_name() {
        for (text, expected) in [
            ("fraud", true),
            ("5fc92906ad764dde6c3264fa", true),
            ("a.b_c-1", true),
            ("..a", true),
            ("", false),
            (".", false),
            ("..", false),
            ("a/b", false),
            ("a\\b", false),
            ("a b", false),
            ("ä", false),
            ("a\0", false),
        ] {
            assert_eq!(ModelId::parse(text).is_ok(), expected, "{text:?}");
        }
        assert!(ModelId::parse(&"x".repeat(256)).is_err());
    }
}
