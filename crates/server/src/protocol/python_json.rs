//! JSON as Python writes it: with words for numbers that are not finite, which the grammar does not have.

/// Words that Python's JSON has for numbers, and what they become.
const WORDS: [(&str, &str); 3] =
    [("NaN", "null"), ("-Infinity", "\"-Infinity\""), ("Infinity", "\"Infinity\"")];

/// The same in the words that the grammar has, in one pass; None where no such word occurs.
pub(super) fn plain_json(text: &str) -> Option<String> {
    let has = |word: &str| memchr::memmem::find(text.as_bytes(), word.as_bytes()).is_some();
    if !has("NaN") && !has("Infinity") {
        return None;
    }
    let mut plain = String::with_capacity(text.len() + text.len() / 8);
    let mut rest = text;
    while let Some(at) = rest.find(['"', 'N', 'I', '-']) {
        plain.push_str(&rest[..at]);
        rest = &rest[at..];
        let (taken, written) = match WORDS.iter().find(|(word, _)| rest.starts_with(word)) {
            Some((word, written)) => (word.len(), *written),
            None if rest.starts_with('"') => {
                let end = quoted(rest);
                (end, &rest[..end])
            }
            None => (1, &rest[..1]),
        };
        plain.push_str(written);
        rest = &rest[taken..];
    }
    plain.push_str(rest);
    Some(plain)
}

/// Where the text ends that begins with a quote.
fn quoted(text: &str) -> usize {
    let bytes = text.as_bytes();
    let mut at = 1;
    while let Some(found) = memchr::memchr2(b'"', b'\\', bytes.get(at..).unwrap_or_default()) {
        at += found;
        if bytes[at] == b'"' {
            return at + 1;
        }
        at += 2;
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_python_become_words_of_json() {
        for (text, expected) in [
            ("[1,NaN,-Infinity,Infinity]", "[1,null,\"-Infinity\",\"Infinity\"]"),
            ("[\"NaN\",NaN]", "[\"NaN\",null]"),
            (r#"{"a\"NaN":"\\",NaN:-1}"#, r#"{"a\"NaN":"\\",null:-1}"#),
            ("[\"NaN", "[\"NaN"),
            ("\"NaN\\", "\"NaN\\"),
            ("\"NaN\\ü", "\"NaN\\ü"),
            ("NaNNaN ü", "nullnull ü"),
        ] {
            assert_eq!(plain_json(text).as_deref(), Some(expected), "{text}");
        }
        assert_eq!(plain_json("[-1]"), None);
    }
}
