//! What holds and where it comes from, for people and for programs. Secrets are stars in both.

use std::fmt::{self, Display, Formatter};

use serde_json::{Map, json as object};

use super::settings::{Reach, Unset};
use super::sources::Origin;
use super::values::Value;
use super::{Effective, Entry};

const STARS: &str = "***";

impl Display for Origin {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(flag) => f.write_str(flag),
            Self::Environment(variable) => f.write_str(variable),
            Self::EnvironmentFile(path, name) | Self::PortendFile(path, name) => {
                write!(f, "{name} in {path}")
            }
            Self::Default => f.write_str("default"),
        }
    }
}

impl Entry {
    /// What a person reads as the value.
    fn shown(&self) -> String {
        match &self.value {
            Some(value) if self.hides(value) => STARS.to_owned(),
            Some(value) if *value != Value::List(Vec::new()) => super::shortened(&value.to_string()),
            _ => match self.setting.default {
                Unset::Follows(words, _) => format!("({words})"),
                Unset::Is(_) | Unset::Nothing => String::new(),
            },
        }
    }

    fn origin(&self) -> String {
        match &self.origin {
            Origin::Flag(flag) => format!("flag {flag}"),
            Origin::Environment(variable) => format!("environment {variable}"),
            Origin::EnvironmentFile(path, _) | Origin::PortendFile(path, _) => path.clone(),
            Origin::Default => "default".to_owned(),
        }
    }

    /// Inline PEM is hidden too: a certificate's text may have its key beside it.
    fn hides(&self, value: &Value) -> bool {
        self.setting.secret || matches!(value, Value::Text(text) if text.contains("-----BEGIN"))
    }

    /// True for what has another product's name, no effect, and was not set.
    fn is_idle(&self) -> bool {
        self.setting.reach == Reach::Variable && self.origin == Origin::Default
    }
}

/// A table of all settings; variables without effect only where they are set.
pub(crate) fn table(effective: &Effective) -> String {
    let entries = effective.entries.iter().filter(|entry| !entry.is_idle());
    let rows = entries.map(|entry| [entry.setting.name.to_owned(), entry.shown(), entry.origin()]);
    let header = ["SETTING", "VALUE", "ORIGIN"].map(str::to_owned);
    let rows: Vec<_> = std::iter::once(header).chain(rows).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let (first, second) = (width(0), width(1));
    let line = |[name, shown, origin]: &[String; 3]| format!("{name:first$}  {shown:second$}  {origin}\n");
    rows.iter().map(line).collect()
}

/// An object with an entry for each setting: its value or null, where that comes from, and its name there.
pub(crate) fn json(effective: &Effective) -> String {
    let entry = |entry: &Entry| {
        let shown = entry.value.as_ref().map(|shown| match entry.hides(shown) {
            true => object!(STARS),
            false => shown.json(),
        });
        let (origin, key) = match &entry.origin {
            Origin::Flag(flag) => ("flag", Some(flag.as_str())),
            Origin::Environment(variable) => ("environment", Some(*variable)),
            Origin::EnvironmentFile(path, name) | Origin::PortendFile(path, name) => {
                (path.as_str(), Some(*name))
            }
            Origin::Default => ("default", None),
        };
        (entry.setting.name.to_owned(), object!({ "value": shown, "origin": origin, "key": key }))
    };
    let all: Map<_, _> = effective.entries.iter().map(entry).collect();
    format!("{:#}\n", serde_json::Value::Object(all))
}
