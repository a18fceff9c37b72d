//! The query parameters of the prediction routes: all are known and checked; those that ask for explanations or
//! time series are refused while no model offers them. Texts of errors are the original's where it has them.

use std::collections::BTreeSet;

use portend_core::{Target, TargetKind, shortened};
use portend_model::frame::Keep;
use serde_json::{Value, json};

use crate::error::ServerError;
use crate::openapi::schema::{array, query};

/// What the query of a prediction request asks for.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Parameters {
    /// Columns to repeat.
    pub(super) keep: Keep,
    /// The most digits after the point of predicted numbers.
    pub(super) decimals: Option<usize>,
}

/// The keys that are known, with the form of their values.
const KEYS: [(&str, Form); 16] = [
    ("passthroughColumns", Form::Columns),
    ("passthroughColumnsSet", Form::All),
    ("decimalsNumber", Form::Count(15)),
    ("maxExplanations", Form::CountOrAll),
    ("maxCodes", Form::CountOrAll),
    ("maxNgramExplanations", Form::CountOrAll),
    ("thresholdLow", Form::Number),
    ("thresholdHigh", Form::Number),
    ("excludeAdjustedPredictions", Form::Bool),
    ("explanationNumTopClasses", Form::Count(u32::MAX as usize)),
    ("explanationClassNames", Form::Columns),
    ("explanationAlgorithm", Form::Algorithm),
    ("forecastPoint", Form::Time),
    ("predictionsStartDate", Form::Time),
    ("predictionsEndDate", Form::Time),
    ("relaxKnownInAdvanceFeaturesCheck", Form::Bool),
];

#[derive(Debug, Clone, Copy, PartialEq)]
enum Form {
    /// Any text but none; the key may be repeated.
    Columns,
    /// `all`.
    All,
    /// A whole number from 0 to the limit.
    Count(usize),
    /// A whole number or `all`.
    CountOrAll,
    /// A number.
    Number,
    /// A truth value.
    Bool,
    /// `xemp` or `shap`.
    Algorithm,
    /// An ISO 8601 date or time.
    Time,
}

impl Parameters {
    /// Reads and checks a query string.
    pub(super) fn parse(query: &str, target: &Target) -> Result<Self, ServerError> {
        if query.is_empty() {
            return Ok(Self::default());
        }
        let mut given: Vec<(&'static str, String)> = Vec::new();
        for (key, value) in form_urlencoded::parse(query.as_bytes()) {
            let known = KEYS.iter().find(|(name, _)| *name == key);
            let unknown = || refused(&shortened(&key), &format!("{} is not allowed key", shortened(&key)));
            let (name, form) = known.ok_or_else(unknown)?;
            form.check(&value).map_err(|reason| refused(name, &reason))?;
            if *form != Form::Columns && given.iter().any(|(other, _)| other == name) {
                return Err(refused(name, "given more than once"));
            }
            given.push((name, value.into_owned()));
        }
        check_explanations(&given, target)?;
        check_time_series(&given)?;
        let decimals = value(&given, "decimalsNumber").and_then(|text| text.parse().ok());
        Ok(Self { keep: keep(&given)?, decimals })
    }
}

/// The parameters as a document tells them.
pub(super) fn schemas() -> Value {
    KEYS.iter().map(|(name, form)| query(name, &form.schema(), "")).collect()
}

fn refused(key: &str, reason: &str) -> ServerError {
    ServerError::BadParameter(format!("'{key}': {reason}"))
}

fn value<'g>(given: &'g [(&str, String)], key: &str) -> Option<&'g str> {
    given.iter().find(|(name, _)| *name == key).map(|(_, value)| value.as_str())
}

fn keep(given: &[(&str, String)]) -> Result<Keep, ServerError> {
    let columns = given.iter().filter(|(name, _)| *name == "passthroughColumns");
    let names: BTreeSet<String> = columns.map(|(_, value)| value.clone()).collect();
    match (value(given, "passthroughColumnsSet"), names.is_empty()) {
        (Some(_), false) => {
            Err(refused("passthroughColumnsSet", "not allowed together with passthroughColumns"))
        }
        (Some(_), true) => Ok(Keep::All),
        (None, false) => Ok(Keep::Named(names)),
        (None, true) => Ok(Keep::None),
    }
}

const NOT_AVAILABLE: &str = "not available for this model";

fn check_explanations(given: &[(&str, String)], target: &Target) -> Result<(), ServerError> {
    let algorithm = value(given, "explanationAlgorithm");
    for key in ["explanationNumTopClasses", "explanationClassNames"] {
        if value(given, key).is_some() && !matches!(target.kind, TargetKind::Multiclass { .. }) {
            return Err(refused(key, "only allowed for multiclass models"));
        }
    }
    if value(given, "explanationNumTopClasses").is_some() && value(given, "explanationClassNames").is_some() {
        return Err(refused("explanationClassNames", "not allowed together with explanationNumTopClasses"));
    }
    if value(given, "maxExplanations") == Some("all") && algorithm != Some("shap") {
        return Err(refused("maxExplanations", "'all' is only allowed with explanationAlgorithm=shap"));
    }
    for key in ["maxExplanations", "maxCodes", "maxNgramExplanations"] {
        if value(given, key).is_some_and(|text| text.parse() != Ok(0_usize)) {
            return Err(refused(key, NOT_AVAILABLE));
        }
    }
    for key in ["explanationNumTopClasses", "explanationClassNames"] {
        if value(given, key).is_some() {
            return Err(refused(key, NOT_AVAILABLE));
        }
    }
    // SHAP without a number means all features; XEMP without one means none.
    if algorithm == Some("shap") {
        return Err(refused("explanationAlgorithm", NOT_AVAILABLE));
    }
    Ok(())
}

fn check_time_series(given: &[(&str, String)]) -> Result<(), ServerError> {
    let [point, start, end] =
        ["forecastPoint", "predictionsStartDate", "predictionsEndDate"].map(|k| value(given, k));
    if point.is_some() && (start.is_some() || end.is_some()) {
        return Err(refused(
            "forecastPoint",
            "not allowed together with predictionsStartDate and predictionsEndDate",
        ));
    }
    match (start, end) {
        (Some(_), None) => {
            return Err(refused("predictionsEndDate", "needed together with predictionsStartDate"));
        }
        (None, Some(_)) => {
            return Err(refused("predictionsStartDate", "needed together with predictionsEndDate"));
        }
        _ => {}
    }
    let relaxed =
        value(given, "relaxKnownInAdvanceFeaturesCheck").filter(|text| parse_bool(text) == Some(true));
    let asked = [
        ("forecastPoint", point),
        ("predictionsStartDate", start),
        ("relaxKnownInAdvanceFeaturesCheck", relaxed),
    ];
    match asked.iter().find(|(_, value)| value.is_some()) {
        Some((key, _)) => Err(refused(key, NOT_AVAILABLE)),
        None => Ok(()),
    }
}

impl Form {
    fn schema(self) -> Value {
        let limit = |most: usize| json!({ "type": "integer", "minimum": 0, "maximum": most });
        match self {
            Self::Columns => array(&json!({ "type": "string", "minLength": 1 })),
            Self::All => json!({ "const": "all" }),
            Self::Count(most) => limit(most),
            Self::CountOrAll => json!({ "anyOf": [{ "type": "integer", "minimum": 0 }, { "const": "all" }] }),
            Self::Number => json!({ "type": "number" }),
            Self::Bool => json!({ "type": "boolean" }),
            Self::Algorithm => json!({ "enum": ["xemp", "shap"] }),
            Self::Time => json!({ "type": "string", "format": "date-time" }),
        }
    }

    fn check(self, text: &str) -> Result<(), String> {
        let fits = match self {
            Self::Columns if text.is_empty() => return Err("blank value is not allowed".to_owned()),
            Self::Columns => true,
            Self::All if text != "all" => return Err("value is not exactly 'all'".to_owned()),
            Self::All => true,
            Self::Count(most) => text.parse::<usize>().is_ok_and(|count| count <= most),
            Self::CountOrAll => text == "all" || text.parse::<usize>().is_ok(),
            Self::Number => text.parse::<f64>().is_ok_and(f64::is_finite),
            Self::Bool => parse_bool(text).is_some(),
            Self::Algorithm => matches!(text, "xemp" | "shap"),
            Self::Time => is_time(text),
        };
        let expected = match self {
            _ if fits => return Ok(()),
            Self::Count(most) if most < 1000 => format!("a whole number from 0 to {most}"),
            Self::Count(_) => "a whole number".to_owned(),
            Self::CountOrAll => "a whole number of 0 or more, or 'all'".to_owned(),
            Self::Number => "a number".to_owned(),
            Self::Bool => "true or false".to_owned(),
            Self::Algorithm => "'xemp' or 'shap'".to_owned(),
            _ => "an ISO 8601 date and time".to_owned(),
        };
        Err(format!("value is not {expected}"))
    }
}

fn parse_bool(text: &str) -> Option<bool> {
    match text {
        "true" | "True" | "1" => Some(true),
        "false" | "False" | "0" => Some(false),
        _ => None,
    }
}

/// `YYYY-MM-DD`, optionally with `Thh:mm[:ss[.f]]` and `Z` or an offset.
fn is_time(text: &str) -> bool {
    let shape = |text: &str, pattern: &str| {
        let same = |(c, p): (char, char)| if p == '0' { c.is_ascii_digit() } else { c == p };
        text.len() == pattern.len() && text.chars().zip(pattern.chars()).all(same)
    };
    let (date, time) = text.split_once(['T', ' ']).map_or((text, None), |(date, time)| (date, Some(time)));
    if !shape(date, "0000-00-00") {
        return false;
    }
    let Some(time) = time else { return true };
    let (clock, zone) = match time.find(['Z', '+', '-']) {
        Some(at) => time.split_at(at),
        None => (time, ""),
    };
    let zone_fits = zone.is_empty() || zone == "Z" || shape(&zone[1..], "00:00") || shape(&zone[1..], "0000");
    let (clock, fraction) = clock.split_once('.').unwrap_or((clock, "0"));
    let fraction_fits = !fraction.is_empty() && fraction.bytes().all(|b| b.is_ascii_digit());
    zone_fits && fraction_fits && (shape(clock, "00:00:00") || shape(clock, "00:00"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[expect(clippy::needless_pass_by_value, reason = "tables read better without references")]
    fn check(query: &str, expected: Result<(Keep, Option<usize>), &str>) {
        let target = Target { name: "t".into(), kind: TargetKind::Regression };
        let found =
            Parameters::parse(query, &target).map(|p| (p.keep, p.decimals)).map_err(|e| e.to_string());
        assert_eq!(found.as_ref().map_err(String::as_str), expected.as_ref().map_err(|e| *e), "{query}");
    }

    #[test]
    fn what_clients_always_send_is_fine() {
        check("", Ok((Keep::None, None)));
        check("maxExplanations=0", Ok((Keep::None, None)));
        check(
            "maxExplanations=0&explanationAlgorithm=xemp&maxCodes=0&thresholdLow=0.1",
            Ok((Keep::None, None)),
        );
        check(
            "excludeAdjustedPredictions=True&relaxKnownInAdvanceFeaturesCheck=False",
            Ok((Keep::None, None)),
        );
        check("passthroughColumns=a&passthroughColumns=b%20%C3%BC&passthroughColumns=a&decimalsNumber=15", {
            Ok((Keep::Named(["a".into(), "b ü".into()].into()), Some(15)))
        });
        check("passthroughColumnsSet=all", Ok((Keep::All, None)));
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (query, expected) in [
            ("wd=1", "'wd': wd is not allowed key"),
            ("passthroughColumns=", "'passthroughColumns': blank value is not allowed"),
            ("passthroughColumnsSet=some", "'passthroughColumnsSet': value is not exactly 'all'"),
            (
                "passthroughColumnsSet=all&passthroughColumns=a",
                "'passthroughColumnsSet': not allowed together with passthroughColumns",
            ),
            ("decimalsNumber=16", "'decimalsNumber': value is not a whole number from 0 to 15"),
            ("decimalsNumber=1&decimalsNumber=2", "'decimalsNumber': given more than once"),
            ("maxExplanations=-1", "'maxExplanations': value is not a whole number of 0 or more, or 'all'"),
            ("maxExplanations=3", "'maxExplanations': not available for this model"),
            ("maxCodes=3", "'maxCodes': not available for this model"),
            (
                "maxExplanations=all",
                "'maxExplanations': 'all' is only allowed with explanationAlgorithm=shap",
            ),
            ("explanationAlgorithm=shap", "'explanationAlgorithm': not available for this model"),
            ("explanationAlgorithm=lime", "'explanationAlgorithm': value is not 'xemp' or 'shap'"),
            ("explanationNumTopClasses=2", "'explanationNumTopClasses': only allowed for multiclass models"),
            ("thresholdLow=low", "'thresholdLow': value is not a number"),
            ("excludeAdjustedPredictions=maybe", "'excludeAdjustedPredictions': value is not true or false"),
            ("forecastPoint=yesterday", "'forecastPoint': value is not an ISO 8601 date and time"),
            ("forecastPoint=2024-03-01T00:00:00Z", "'forecastPoint': not available for this model"),
            (
                "predictionsStartDate=2024-03-01",
                "'predictionsEndDate': needed together with predictionsStartDate",
            ),
            (
                "predictionsStartDate=1900-01-01T00:00:00.000000Z\
                 &predictionsEndDate=2262-04-11T23:47:16.854775%2B00:00",
                "'predictionsStartDate': not available for this model",
            ),
            ("relaxKnownInAdvanceFeaturesCheck=true", {
                "'relaxKnownInAdvanceFeaturesCheck': not available for this model"
            }),
        ] {
            check(query, Err(expected));
        }
    }
}
