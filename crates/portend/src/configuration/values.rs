//! What a setting's text may be: parsed, checked, and shown again. Which setting has which kind is the table's
//! business (`settings.rs`).

use std::fmt::{self, Display, Formatter};
use std::time::Duration;

use super::Draft;
use super::form::Form;

/// A text as a source has it, or several where it has a list.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Given {
    One(String),
    Many(Vec<String>),
}

/// What a setting takes, and where the parsed value goes.
#[derive(Clone, Copy)]
pub(crate) enum Kind {
    Boolean(fn(&mut Draft, bool)),
    Number {
        least: u64,
        most: u64,
        set: fn(&mut Draft, u64),
    },
    /// Bytes.
    Size {
        least: u64,
        most: u64,
        set: fn(&mut Draft, u64),
    },
    /// What is longer than `most` is an error, or counts as `most` where nobody could tell the difference.
    Time {
        least: Duration,
        most: Duration,
        set: fn(&mut Draft, Duration),
    },
    Choice {
        of: &'static [&'static str],
        set: fn(&mut Draft, &str),
    },
    Text {
        form: Form,
        set: fn(&mut Draft, String),
    },
    /// Words with any of `between` between them.
    List {
        form: Form,
        between: &'static [char],
        set: fn(&mut Draft, Vec<String>),
    },
}

/// A value that passed.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    Boolean(bool),
    Number(u64),
    Size(u64),
    Time(Duration),
    Text(String),
    List(Vec<String>),
}

/// So long that nobody waits for its end.
pub(crate) const FOR_EVER: Duration = Duration::from_secs(100 * 365 * 86_400);

const UNITS: [(&str, u64); 9] = [
    ("b", 1),
    ("kib", 1 << 10),
    ("mib", 1 << 20),
    ("gib", 1 << 30),
    ("tib", 1 << 40),
    ("kb", 1_000),
    ("mb", 1_000_000),
    ("gb", 1_000_000_000),
    ("tb", 1_000_000_000_000),
];

impl Kind {
    /// Parses what was given and sets it; the error says what is needed.
    pub(crate) fn apply(&self, given: &Given, draft: &mut Draft) -> Result<Value, String> {
        let text = match (self, given) {
            (Self::List { form, between, set }, given) => {
                let words =
                    list(given, *form, between).ok_or_else(|| format!("{} is needed", form.needed))?;
                set(draft, words.clone());
                return Ok(Value::List(words));
            }
            (_, Given::One(text)) => text.as_str(),
            (_, Given::Many(_)) => return Err(format!("{} is needed, not a list", self.needed())),
        };
        self.apply_one(text, draft).ok_or_else(|| format!("{} is needed", self.needed()))
    }

    fn apply_one(&self, text: &str, draft: &mut Draft) -> Option<Value> {
        Some(match *self {
            Self::Boolean(set) => {
                let value = boolean(text)?;
                set(draft, value);
                Value::Boolean(value)
            }
            Self::Number { least, most, set } => {
                let value = text.trim().parse().ok().filter(|value| (least..=most).contains(value))?;
                set(draft, value);
                Value::Number(value)
            }
            Self::Size { least, most, set } => {
                let value = size(text).filter(|value| (least..=most).contains(value))?;
                set(draft, value);
                Value::Size(value)
            }
            Self::Time { least, most, set } => {
                let value =
                    time(text).filter(|value| (least <= *value && *value <= most) || most == FOR_EVER)?;
                let value = value.min(most);
                set(draft, value);
                Value::Time(value)
            }
            Self::Choice { of, set } => {
                let value = of.iter().find(|word| word.eq_ignore_ascii_case(text.trim()))?;
                set(draft, value);
                Value::Text((*value).to_owned())
            }
            Self::Text { form, set } => {
                let value = Some(text).filter(|text| (form.holds)(text))?;
                set(draft, value.to_owned());
                Value::Text(value.to_owned())
            }
            Self::List { .. } => return None, // taken apart by the caller
        })
    }

    /// What is needed, as a part of a sentence.
    fn needed(&self) -> String {
        match self {
            Self::Boolean(_) => "true, yes, y, 1 or false, no, n, 0".to_owned(),
            Self::Number { least, most: u64::MAX, .. } => format!("a whole number of {least} or more"),
            Self::Number { least, most, .. } => format!("a whole number from {least} to {most}"),
            Self::Size { least, most, .. } => {
                let (least, most) = (Value::Size(*least), Value::Size(*most));
                format!("a number of bytes, or a size with a unit (KiB, MiB, GiB), from {least} to {most},")
            }
            Self::Time { most: FOR_EVER, .. } => {
                "a number of seconds, or a time with a unit (s, m, h, d),".to_owned()
            }
            Self::Time { least, most, .. } => {
                let (least, most) = (Value::Time(*least), Value::Time(*most));
                format!("a number of seconds, or a time with a unit (ms, s, m, h), from {least} to {most},")
            }
            Self::Choice { of, .. } => format!("one of {}", of.join(", ")),
            Self::Text { form, .. } | Self::List { form, .. } => form.needed.to_owned(),
        }
    }

    /// For the reference: what is allowed, in a few words.
    #[cfg(test)]
    pub(crate) fn allowed(&self) -> String {
        match self {
            Self::Boolean(_) => "true or false".to_owned(),
            Self::Number { .. } => self.needed().trim_start_matches("a whole ").to_owned(),
            Self::Size { least, most, .. } => {
                format!("size from {} to {}", Value::Size(*least), Value::Size(*most))
            }
            Self::Time { most: FOR_EVER, .. } => "time".to_owned(),
            Self::Time { least, most, .. } => {
                format!("time from {} to {}", Value::Time(*least), Value::Time(*most))
            }
            Self::Choice { of, .. } => {
                of.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ")
            }
            Self::Text { form, .. } => form.name.to_owned(),
            Self::List { form, .. } => format!("list of {}s", form.name),
        }
    }
}

fn boolean(text: &str) -> Option<bool> {
    match text.trim().to_ascii_lowercase().as_str() {
        "true" | "yes" | "y" | "1" => Some(true),
        "false" | "no" | "n" | "0" => Some(false),
        _ => None,
    }
}

/// A number, and its unit without the space that may stand between.
fn number_and_unit(text: &str) -> Option<(u128, String)> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, unit) = text.split_at(end);
    let number = match digits.len() {
        0 => return None,
        1..=30 => digits.parse().ok()?,
        _ => u128::MAX,
    };
    Some((number, unit.trim_start().to_ascii_lowercase()))
}

fn size(text: &str) -> Option<u64> {
    let (number, unit) = number_and_unit(text)?;
    let unit = if unit.is_empty() { "b" } else { &unit };
    let (_, factor) = UNITS.iter().find(|(name, _)| *name == unit)?;
    u64::try_from(number.checked_mul((*factor).into())?).ok()
}

/// Times beyond all measure are as long as can be told.
fn time(text: &str) -> Option<Duration> {
    let (number, unit) = number_and_unit(text)?;
    let milliseconds = match unit.as_str() {
        "ms" => 1,
        "" | "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    Some(Duration::from_millis(u64::try_from(number.saturating_mul(milliseconds)).unwrap_or(u64::MAX)))
}

fn list(given: &Given, form: Form, between: &[char]) -> Option<Vec<String>> {
    let texts = match given {
        Given::One(text) => std::slice::from_ref(text),
        Given::Many(texts) => texts,
    };
    let words = texts.iter().flat_map(|text| text.split(between));
    let words: Vec<_> = words.filter(|word| !word.is_empty()).map(str::to_owned).collect();
    words.iter().all(|word| (form.holds)(word)).then_some(words)
}

impl Value {
    /// For programs: sizes in bytes, times in seconds.
    pub(crate) fn json(&self) -> serde_json::Value {
        match self {
            Self::Boolean(value) => (*value).into(),
            Self::Number(value) | Self::Size(value) => (*value).into(),
            Self::Time(value) if value.subsec_nanos() == 0 => value.as_secs().into(),
            Self::Time(value) => value.as_secs_f64().into(),
            Self::Text(value) => value.as_str().into(),
            Self::List(values) => values.as_slice().into(),
        }
    }
}

/// As it may be written in a source.
impl Display for Value {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Boolean(value) => write!(f, "{value}"),
            Self::Number(value) => write!(f, "{value}"),
            Self::Size(value) => {
                let (name, factor) =
                    [("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1_u64 << 10)]
                        .into_iter()
                        .find(|(_, factor)| *value > 0 && value % factor == 0)
                        .unwrap_or(("", 1));
                write!(f, "{}{name}", value / factor)
            }
            Self::Time(value) => {
                let (whole, unit) = match value.as_millis() {
                    ms if ms % 1_000 != 0 => (ms, "ms"),
                    ms if ms % 60_000 != 0 || ms == 0 => (ms / 1_000, "s"),
                    ms if ms % 3_600_000 != 0 => (ms / 60_000, "m"),
                    ms => (ms / 3_600_000, "h"),
                };
                write!(f, "{whole}{unit}")
            }
            Self::Text(value) => f.write_str(value),
            Self::List(values) => f.write_str(&values.join(" ")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn booleans_are_words_of_any_case() {
        for text in ["true", "TRUE", "Yes", "y", "1", " true\n"] {
            assert_eq!(boolean(text), Some(true), "{text:?}");
        }
        for text in ["false", "False", "NO", "n", "0"] {
            assert_eq!(boolean(text), Some(false), "{text:?}");
        }
        for text in ["", "on", "off", "2", "tru", "-1"] {
            assert_eq!(boolean(text), None, "{text:?}");
        }
    }

    #[test]
    fn sizes_have_units() {
        let check = |text: &str, expected| assert_eq!(size(text), expected, "{text:?}");
        check("0", Some(0));
        check("4GiB", Some(4 << 30));
        check(" 512 mib ", Some(512 << 20));
        check("50MB", Some(50_000_000));
        check("7B", Some(7));
        check("18446744073709551615", Some(u64::MAX));
        check("18446744073709551616", None);
        check("99999999999999999999999999999999999999999999999TiB", None);
        for text in ["", "GiB", "-1", "1.5GiB", "4G", "4Gi", "4 GiB x", "٣"] {
            check(text, None);
        }
    }

    #[test]
    fn times_have_units_and_are_seconds_without() {
        let check = |text: &str, expected| assert_eq!(time(text), expected, "{text:?}");
        check("30", Some(Duration::from_secs(30)));
        check("30s", Some(Duration::from_secs(30)));
        check("2m", Some(Duration::from_secs(120)));
        check("1 h", Some(Duration::from_secs(3600)));
        check("1d", Some(Duration::from_secs(86_400)));
        check("250ms", Some(Duration::from_millis(250)));
        check(&"9".repeat(60), Some(Duration::from_millis(u64::MAX)));
        for text in ["", "s", "-1", "1.5s", "2 weeks", "1m30s"] {
            check(text, None);
        }
    }

    #[test]
    fn a_shown_value_can_be_given_again() {
        for bytes in [0, 1, 1023, 1024, 1 << 30, (1 << 30) + 1, u64::MAX] {
            assert_eq!(size(&Value::Size(bytes).to_string()), Some(bytes));
        }
        for ms in [0, 1, 1_000, 61_000, 120_000, 3_600_000, 86_400_000] {
            let value = Duration::from_millis(ms);
            assert_eq!(time(&Value::Time(value).to_string()), Some(value));
        }
    }
}
