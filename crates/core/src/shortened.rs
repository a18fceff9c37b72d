//! Texts of others as they may be shown: a request or file can hold megabytes where a name is expected.

use std::borrow::Cow;

/// Characters of a name or value that an error repeats.
const MOST_SHOWN: usize = 40;

/// `text` as an error may repeat it: whole up to 40 characters, else those and `…`.
pub fn shortened(text: &str) -> Cow<'_, str> {
    shortened_to(MOST_SHOWN, text)
}

/// `text` whole up to `most` characters, else those and `…`.
pub fn shortened_to(most: usize, text: &str) -> Cow<'_, str> {
    match text.char_indices().nth(most) {
        Some((end, _)) => Cow::Owned(format!("{}…", &text[..end])),
        None => Cow::Borrowed(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_longer_is_cut_and_never_inside_a_character() {
        for (text, expected) in [
            ("", ""),
            ("a", "a"),
            (&"x".repeat(40), &*"x".repeat(40)),
            (&"x".repeat(41), &format!("{}…", "x".repeat(40))),
            (&"ü".repeat(40), &"ü".repeat(40)),
            (&"漢".repeat(1000), &format!("{}…", "漢".repeat(40))),
        ] {
            assert_eq!(shortened(text), expected, "{text}");
        }
        assert_eq!(shortened_to(2, "abc"), "ab…");
    }
}
