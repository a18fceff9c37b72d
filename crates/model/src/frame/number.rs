//! Decimal text to numbers, exactly: the nearest f64, as the training libraries' own readers give.
//! Also the words that mean "missing" and "true".

/// A cell of a numeric column.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Cell {
    /// A number, not NaN.
    Value(f64),
    /// Empty, or a missing word.
    Missing,
    /// Neither.
    Bad,
}

/// Words that mean "missing" in numeric columns, in any case.
const MISSING_WORDS: [&str; 5] = ["NA", "N/A", "NaN", "null", "None"];

/// Powers of ten that f64 holds exactly and that 19 digits can need.
const POWERS: [f64; 20] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18,
    1e19,
];

/// Reads a plain decimal that starts at `at` and ends before `,`, a line end or the end of `bytes`.
/// None for anything odd (spaces, exponents, quotes, words, more than 2^53): [`parse`] decides then.
/// Digits and point are both exact in f64, so that one division rounds once, correctly.
#[inline]
pub fn scan(bytes: &[u8], at: usize) -> Option<(f64, usize)> {
    let negative = bytes.get(at) == Some(&b'-');
    let first = at + usize::from(negative);
    let (whole, mut end) = digits(bytes, first, 0);
    let mut count = end - first;
    let (mut mantissa, mut places) = (whole, 0);
    if bytes.get(end) == Some(&b'.') {
        let (all, stop) = digits(bytes, end + 1, whole);
        places = stop - (end + 1);
        count += places;
        (mantissa, end) = (all, stop);
    }
    let ends = match bytes.get(end) {
        None | Some(b',' | b'\n') => true,
        Some(b'\r') => bytes.get(end + 1) == Some(&b'\n'),
        Some(_) => false,
    };
    if !ends || count == 0 || count > 19 || mantissa > 1 << 53 {
        return None;
    }
    let value = mantissa as f64 / POWERS[places];
    Some((if negative { -value } else { value }, end))
}

/// Appends the digits from `at` on to `value` (which wraps past 19 digits; the caller counts).
#[inline]
fn digits(bytes: &[u8], mut at: usize, mut value: u64) -> (u64, usize) {
    while let Some(digit) = bytes.get(at).map(|b| b.wrapping_sub(b'0')).filter(|d| *d < 10) {
        value = value.wrapping_mul(10).wrapping_add(u64::from(digit));
        at += 1;
    }
    (value, at)
}

/// Reads the text of one cell: spaces around it are ignored, `true` and `false` are 1 and 0, infinities are
/// numbers. `missing_words` are further words for "missing".
pub fn parse(text: &str, missing_words: &[String]) -> Cell {
    let text = text.trim_ascii();
    if is_missing(text, missing_words) {
        return Cell::Missing;
    }
    if text.eq_ignore_ascii_case("true") {
        return Cell::Value(1.0);
    }
    if text.eq_ignore_ascii_case("false") {
        return Cell::Value(0.0);
    }
    match text.parse::<f64>() {
        Ok(value) if value.is_nan() => Cell::Missing,
        Ok(value) => Cell::Value(value),
        Err(_) => Cell::Bad,
    }
}

fn is_missing(text: &str, missing_words: &[String]) -> bool {
    text.is_empty()
        || MISSING_WORDS.iter().any(|word| text.eq_ignore_ascii_case(word))
        || missing_words.iter().any(|word| word == text)
}

/// True if `text` is a number by the grammar of JSON, so that it can be repeated as it is.
pub fn is_json_number(text: &str) -> bool {
    let digits = |t: &str| !t.is_empty() && t.bytes().all(|b| b.is_ascii_digit());
    let text = text.strip_prefix('-').unwrap_or(text);
    let (rest, exponent) = match text.split_once(['e', 'E']) {
        Some((rest, exponent)) => (rest, Some(exponent.strip_prefix(['+', '-']).unwrap_or(exponent))),
        None => (text, None),
    };
    let (whole, fraction) = match rest.split_once('.') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (rest, None),
    };
    let whole_fits = digits(whole) && (whole == "0" || !whole.starts_with('0'));
    whole_fits && fraction.is_none_or(digits) && exponent.is_none_or(digits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scanned_number_is_the_nearest_f64() {
        for text in [
            "0",
            "-0",
            "1",
            "-17",
            "0.1",
            "3.14159",
            "123456789.123456",
            "9007199254740992",
            "0.000001",
            "5.",
            ".5",
            "-.25",
            "0.30000000000000004",
            "1234567890123.4567",
        ] {
            let expected: f64 = text.parse().unwrap();
            if let Some((value, end)) = scan(text.as_bytes(), 0) {
                assert_eq!((value.to_bits(), end), (expected.to_bits(), text.len()), "{text}");
            }
            assert_eq!(parse(text, &[]), Cell::Value(expected), "{text}");
        }
    }

    #[test]
    fn what_the_scan_does_not_settle_it_leaves() {
        for text in
            ["", "-", ".", "1e5", " 1", "1 ", "\"1\"", "nan", "9007199254740993", "12345678901234567890"]
        {
            assert_eq!(scan(text.as_bytes(), 0), None, "{text:?}");
        }
        assert_eq!(scan(b"x,12.5,y", 2), Some((12.5, 6)));
        assert_eq!(scan(b"7\r\n", 0), Some((7.0, 1)));
        assert_eq!(scan(b"7\r8", 0), None);
    }

    #[test]
    fn words_and_spaces_are_understood() {
        for (text, expected) in [
            (" 1.5\t", Cell::Value(1.5)),
            ("+3", Cell::Value(3.0)),
            ("1e400", Cell::Value(f64::INFINITY)),
            ("-inf", Cell::Value(f64::NEG_INFINITY)),
            ("Infinity", Cell::Value(f64::INFINITY)),
            ("9007199254740993", Cell::Value(9007199254740992.0)),
            ("TRUE", Cell::Value(1.0)),
            ("False", Cell::Value(0.0)),
            ("", Cell::Missing),
            ("  ", Cell::Missing),
            ("na", Cell::Missing),
            ("N/A", Cell::Missing),
            ("-nan", Cell::Missing),
            ("NULL", Cell::Missing),
            ("none", Cell::Missing),
            ("?", Cell::Missing),
            ("1,5", Cell::Bad),
            ("1 000", Cell::Bad),
            ("0x10", Cell::Bad),
            ("yes", Cell::Bad),
        ] {
            assert_eq!(parse(text, &["?".to_owned()]), expected, "{text:?}");
        }
    }

    #[test]
    fn json_numbers_are_told_from_other_numbers() {
        for (text, expected) in [
            ("0", true),
            ("-1.5", true),
            ("1e5", true),
            ("2E-7", true),
            ("10", true),
            ("01", false),
            ("1.", false),
            (".5", false),
            ("+1", false),
            ("inf", false),
            ("", false),
            ("-", false),
            ("1e", false),
            ("1_0", false),
        ] {
            assert_eq!(is_json_number(text), expected, "{text:?}");
        }
    }
}
