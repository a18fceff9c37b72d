//! Feedback: what turned out about a prediction. It is read strictly, counted, and not kept.

use std::borrow::Cow;

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::bad;
use super::message::{Meta, not_read};
use super::rows::Encoding;
use super::unit::Unit;
use crate::error::ServerError;

/// A Feedback. What is not known is refused: a misspelt reward would be lost unseen.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Feedback<'b> {
    #[serde(borrow)]
    request: Option<Told<'b>>,
    #[serde(borrow, rename = "response")]
    _response: Option<Told<'b>>,
    reward: Option<Reward>,
    #[serde(borrow, rename = "truth")]
    _truth: Option<Told<'b>>,
}

/// A reward; numbers may be texts in the JSON of a protobuf message.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Reward {
    Number(f64),
    Text(String),
}

/// A SeldonMessage, of which only the way it is encoded matters.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Told<'b> {
    #[serde(rename = "status")]
    _status: Option<Status>,
    #[serde(borrow)]
    meta: Option<Meta<'b>>,
    data: Option<Array>,
    #[serde(borrow, rename = "binData")]
    _bytes: Option<Cow<'b, str>>,
    #[serde(borrow, rename = "strData")]
    _text: Option<Cow<'b, str>>,
    #[serde(rename = "jsonData")]
    _json: Option<IgnoredAny>,
    #[serde(rename = "customData")]
    _custom: Option<IgnoredAny>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Status {
    #[serde(rename = "code")]
    _code: Option<IgnoredAny>,
    #[serde(rename = "info")]
    _info: Option<IgnoredAny>,
    #[serde(rename = "reason")]
    _reason: Option<IgnoredAny>,
    #[serde(rename = "status")]
    _status: Option<IgnoredAny>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Array {
    #[serde(rename = "names")]
    _names: Option<IgnoredAny>,
    tensor: Option<Numbers>,
    ndarray: Option<Vec<IgnoredAny>>,
    tftensor: Option<IgnoredAny>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Numbers {
    #[serde(rename = "shape")]
    _shape: Option<IgnoredAny>,
    #[serde(rename = "values")]
    _values: Option<IgnoredAny>,
}

impl<'b> Feedback<'b> {
    /// Reads the JSON of a feedback.
    pub(super) fn parse(json: &'b str) -> Result<Self, ServerError> {
        if !json.trim_ascii_start().starts_with('{') {
            return Err(bad("Invalid JSON: a feedback is a JSON object"));
        }
        serde_json::from_str(json).map_err(|error| not_read("feedback", &error))
    }

    /// The reward; none is 0.
    pub(super) fn reward(&self) -> Result<f64, ServerError> {
        let reward = match &self.reward {
            None => Some(0.0),
            Some(Reward::Number(reward)) => Some(*reward),
            Some(Reward::Text(reward)) => reward.parse().ok(),
        };
        // it is a number of 32 bits in the protocol
        let reward = reward.filter(|reward| (*reward as f32).is_finite());
        reward.ok_or_else(|| bad("Invalid JSON: the reward is not a number of 32 bits"))
    }

    /// The answer: no rows, in the encoding of the request that the feedback is about.
    pub(super) fn answer(&self, unit: &Unit) -> Result<String, ServerError> {
        let encoding = match self.request.as_ref().and_then(|request| request.data.as_ref()) {
            Some(Array { ndarray: Some(_), .. }) => Encoding::Ndarray,
            Some(Array { tftensor: Some(_), .. }) => Encoding::TfTensor,
            Some(Array { tensor: Some(_), .. }) | None => Encoding::Tensor,
            Some(_) => Encoding::Ndarray,
        };
        let data = match encoding {
            Encoding::Ndarray => "\"ndarray\":[]",
            Encoding::Tensor => "\"tensor\":{\"shape\":[0]}",
            Encoding::TfTensor => {
                "\"tftensor\":{\"dtype\":\"DT_DOUBLE\",\"tensorShape\":{\"dim\":[{\"size\":\"0\"}]}}"
            }
        };
        // of the request's meta only its id is told
        let meta = self.request.as_ref().and_then(|request| request.meta.as_ref()).map(Meta::only_puid);
        Ok(format!("{{\"data\":{{{data}}},\"meta\":{}}}", unit.meta(meta.as_ref())?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reward_is_a_finite_number() {
        let check = |json: &str, expected: Option<f64>| {
            let found = Feedback::parse(json).and_then(|feedback| feedback.reward());
            assert_eq!(found.ok(), expected, "{json}");
        };
        check("{}", Some(0.0));
        check(r#"{"reward":0.5}"#, Some(0.5));
        check(r#"{"reward":-1}"#, Some(-1.0));
        check(r#"{"reward":"1.5"}"#, Some(1.5));
        check(r#"{"reward":null}"#, Some(0.0));
        check(r#"{"reward":"NaN"}"#, None);
        check(r#"{"reward":1e300}"#, None);
        check(r#"{"reward":true}"#, None);
        check(r#"{"rewardx":1}"#, None);
        check(r#"{"request":{"data":{"ndarray":[],"shape":[1]}}}"#, None);
        check(r#"{"request":{"datas":{}}}"#, None);
        check("[]", None);
    }
}
