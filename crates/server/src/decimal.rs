//! Numbers as text: the shortest form that reads back as the same value, optionally rounded to some decimal places.

use portend_model::frame::Precision;

/// How the numbers of an answer are written.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Format {
    /// The most digits after the point; None for the shortest form as it is.
    pub(crate) decimals: Option<usize>,
    /// Whether exponents may be used.
    pub(crate) exponents: bool,
}

impl Format {
    /// The shortest form that reads back as the same number.
    pub(crate) const SHORTEST: Self = Self { decimals: None, exponents: true };

    /// Appends `value`, which was computed in `precision`; false (and nothing appended) if it is not finite.
    pub(crate) fn write(self, value: f64, precision: Precision, out: &mut Vec<u8>) -> bool {
        if !value.is_finite() || precision == Precision::Single && !(value as f32).is_finite() {
            return false;
        }
        let mut buffer = zmij::Buffer::new();
        let text = match precision {
            Precision::Single => buffer.format_finite(value as f32),
            Precision::Double => buffer.format_finite(value),
        };
        let plain = self.exponents && self.decimals.is_none() || !text.contains('e');
        match (plain, self.decimals, precision) {
            (true, None, _) => out.extend_from_slice(text.as_bytes()),
            (true, Some(places), _) => round(text, places, out),
            // the standard library writes shortest digits without exponents
            (false, _, Precision::Single) => round(&format!("{}", value as f32), self.places(), out),
            (false, _, Precision::Double) => round(&format!("{value}"), self.places(), out),
        }
        true
    }

    fn places(self) -> usize {
        self.decimals.unwrap_or(usize::MAX)
    }
}

/// Appends the plain decimal `text` with at most `places` digits after the point, half to even, no zeros at the end.
fn round(text: &str, places: usize, out: &mut Vec<u8>) {
    let Some((whole, fraction)) = text.split_once('.').filter(|(_, fraction)| fraction.len() > places) else {
        out.extend_from_slice(text.as_bytes());
        return;
    };
    let (kept, dropped) = fraction.as_bytes().split_at(places);
    let start = out.len();
    out.extend_from_slice(whole.as_bytes());
    out.extend_from_slice(kept);
    let odd = out.last().is_some_and(|digit| (digit - b'0') % 2 == 1);
    let up = match dropped {
        [b'5', rest @ ..] => odd || rest.iter().any(|d| *d != b'0'),
        [first, ..] => *first > b'5',
        [] => false,
    };
    if up {
        carry(start, out);
    }
    let kept_from = out.len() - places;
    let digits_end = out.iter().rposition(|d| *d != b'0').map_or(0, |last| last + 1).max(kept_from);
    out.truncate(digits_end);
    if out.len() > kept_from {
        out.insert(kept_from, b'.');
    }
    if &out[start..] == b"-0" {
        out.remove(start);
    }
}

/// Adds one to the last digit of the number that starts at `start`.
fn carry(start: usize, out: &mut Vec<u8>) {
    let first = start + usize::from(out[start] == b'-');
    for at in (first..out.len()).rev() {
        if out[at] < b'9' {
            out[at] += 1;
            return;
        }
        out[at] = b'0';
    }
    out.insert(first, b'1');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(value: f64, decimals: Option<usize>, exponents: bool, expected: &str) {
        let mut out = b"x".to_vec();
        assert!(Format { decimals, exponents }.write(value, Precision::Double, &mut out));
        assert_eq!(String::from_utf8_lossy(&out[1..]), expected, "{value} {decimals:?}");
    }

    #[test]
    fn the_shortest_form_reads_back() {
        check(0.1, None, true, "0.1");
        check(212.5, None, false, "212.5");
        check(1.0, None, true, "1.0");
        check(1e-7, None, false, "0.0000001");
        check(1.5e22, None, false, "15000000000000000000000");
        let mut out = Vec::new();
        Format { decimals: None, exponents: true }.write(f64::from(0.3_f32), Precision::Single, &mut out);
        assert_eq!(out, b"0.3");
    }

    #[test]
    fn places_are_rounded_half_to_even_and_not_padded() {
        check(0.5, Some(9), true, "0.5");
        check(0.125, Some(2), true, "0.12");
        check(0.375, Some(2), true, "0.38");
        check(0.1251, Some(2), true, "0.13");
        check(9.996, Some(2), true, "10");
        check(-9.995, Some(2), true, "-10");
        check(99.5, Some(0), true, "100");
        check(2.5, Some(0), true, "2");
        check(1e-7, Some(3), true, "0");
        check(-1e-7, Some(3), true, "0");
        check(1.2345678901234567, Some(15), true, "1.234567890123457");
        check(0.1000004, Some(5), true, "0.1");
        check(1e300, Some(2), true, &format!("1{}", "0".repeat(300)));
    }

    #[test]
    fn what_is_not_finite_is_not_written() {
        for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            assert!(!Format { decimals: None, exponents: true }.write(
                value,
                Precision::Single,
                &mut Vec::new()
            ));
        }
    }
}
