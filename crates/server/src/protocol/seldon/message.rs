//! What a message says, as far as it means something here. Values of rows stay where they are in the request's text.

use std::borrow::Cow;
use std::collections::BTreeMap;

use axum::http::HeaderValue;
use portend_core::shortened_to;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::bad;
use crate::error::ServerError;
use crate::protocol::tensor::AtMost;

/// A SeldonMessage. What is not known is ignored.
#[derive(Debug, Deserialize)]
pub(super) struct Message<'b> {
    #[serde(borrow)]
    data: Option<Data<'b>>,
    #[serde(borrow, rename = "jsonData")]
    json_data: Option<&'b RawValue>,
    #[serde(borrow, rename = "strData")]
    str_data: Option<Cow<'b, str>>,
    #[serde(borrow, rename = "binData")]
    bin_data: Option<Cow<'b, str>>,
    /// What is told beside the rows.
    #[serde(borrow)]
    pub(super) meta: Option<Meta<'b>>,
}

/// An array of rows, in one of three encodings.
#[derive(Debug, Deserialize)]
pub(super) struct Data<'b> {
    /// The columns' names; may be left out.
    #[serde(borrow)]
    pub(super) names: Option<AtMost<Cow<'b, str>, 65_536>>,
    #[serde(borrow)]
    tensor: Option<Tensor<'b>>,
    #[serde(borrow)]
    ndarray: Option<&'b RawValue>,
    #[serde(borrow)]
    tftensor: Option<TfTensor<'b>>,
}

/// Numbers, row after row.
#[derive(Debug, Deserialize)]
pub(super) struct Tensor<'b> {
    pub(super) shape: AtMost<u64, 8>,
    #[serde(borrow)]
    pub(super) values: Option<&'b RawValue>,
}

/// A TensorFlow TensorProto as JSON, whose fields may be spelt either way.
#[derive(Debug, Deserialize)]
pub(super) struct TfTensor<'b> {
    #[serde(borrow)]
    pub(super) dtype: Option<&'b RawValue>,
    #[serde(rename = "tensorShape", alias = "tensor_shape")]
    pub(super) shape: Option<TfShape>,
    #[serde(borrow, rename = "tensorContent", alias = "tensor_content")]
    pub(super) content: Option<Cow<'b, str>>,
    #[serde(borrow, rename = "floatVal", alias = "float_val")]
    pub(super) floats: Option<&'b RawValue>,
    #[serde(borrow, rename = "doubleVal", alias = "double_val")]
    pub(super) doubles: Option<&'b RawValue>,
    #[serde(borrow, rename = "intVal", alias = "int_val")]
    pub(super) integers: Option<&'b RawValue>,
    #[serde(borrow, rename = "int64Val", alias = "int64_val")]
    pub(super) long_integers: Option<&'b RawValue>,
    #[serde(borrow, rename = "uint32Val", alias = "uint32_val")]
    pub(super) unsigned: Option<&'b RawValue>,
    #[serde(borrow, rename = "uint64Val", alias = "uint64_val")]
    pub(super) long_unsigned: Option<&'b RawValue>,
    #[serde(borrow, rename = "boolVal", alias = "bool_val")]
    pub(super) truths: Option<&'b RawValue>,
}

#[derive(Debug, Deserialize)]
pub(super) struct TfShape {
    #[serde(default = "no_dimensions")]
    pub(super) dim: AtMost<TfDimension, 8>,
}

fn no_dimensions() -> AtMost<TfDimension, 8> {
    AtMost(Vec::new())
}

#[derive(Debug, Deserialize)]
pub(super) struct TfDimension {
    #[serde(default)]
    pub(super) size: TfSize,
}

/// A size: 64-bit numbers may be texts in the JSON of a protobuf message.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum TfSize {
    Number(u64),
    Text(String),
}

impl Default for TfSize {
    fn default() -> Self {
        Self::Number(0)
    }
}

/// What is told beside the rows.
#[derive(Debug, Deserialize)]
pub(super) struct Meta<'b> {
    puid: Option<String>,
    #[serde(borrow)]
    tags: Option<&'b RawValue>,
    #[serde(borrow)]
    metrics: Option<&'b RawValue>,
    #[serde(borrow, rename = "requestPath")]
    path: Option<&'b RawValue>,
}

/// What the rows stand in.
#[derive(Debug)]
pub(super) enum Rows<'m> {
    Tensor(&'m Tensor<'m>),
    Ndarray(&'m str),
    TfTensor(&'m TfTensor<'m>),
    /// `data` with nothing in it.
    Nothing,
    Json(&'m str),
    Text(&'m str),
    /// In base64.
    Bytes(&'m str),
}

impl<'b> Message<'b> {
    /// Reads the JSON of a message.
    pub(super) fn parse(json: &'b str) -> Result<Self, ServerError> {
        if !json.trim_ascii_start().starts_with('{') {
            return Err(bad("Invalid request data type: a message is a JSON object"));
        }
        serde_json::from_str(json).map_err(|error| not_read("message", &error))
    }

    /// The rows. Of several keys the first one counts, in this order.
    pub(super) fn rows(&self) -> Result<Rows<'_>, ServerError> {
        let Self { data, json_data, str_data, bin_data, .. } = self;
        Ok(match (data, json_data, str_data, bin_data) {
            (Some(Data { tensor: Some(tensor), .. }), ..) => Rows::Tensor(tensor),
            (Some(Data { ndarray: Some(ndarray), .. }), ..) => Rows::Ndarray(ndarray.get()),
            (Some(Data { tftensor: Some(tftensor), .. }), ..) => Rows::TfTensor(tftensor),
            (Some(_), ..) => Rows::Nothing,
            (None, Some(json), ..) => Rows::Json(json.get()),
            (None, None, Some(text), _) => Rows::Text(text),
            (None, None, None, Some(bytes)) => Rows::Bytes(bytes),
            (None, None, None, None) => {
                return Err(bad(
                    "Invalid request data type: the message has none of data, jsonData, strData and binData",
                ));
            }
        })
    }

    /// The names of the columns, if it has any.
    pub(super) fn names(&self) -> &[Cow<'b, str>] {
        let names = self.data.as_ref().and_then(|data| data.names.as_ref());
        names.map_or(&[], |names| &names.0)
    }
}

/// Why JSON is not what it should be.
pub(super) fn not_read(what: &str, error: &serde_json::Error) -> ServerError {
    let reason = error.to_string();
    let start = if error.is_data() { "Invalid JSON" } else { "Can't find JSON in data" };
    bad(format!("{start}: the {what} cannot be read: {}", shortened_to(200, &reason)))
}

/// Bytes of a request's path: names and images of the units that it has passed.
pub(super) const MOST_PATH: usize = 64 << 10;

/// A longer id is not told in a header.
const MOST_PUID: usize = 256;

/// An id of a prediction, where a header can say it.
pub(super) fn in_header(puid: &str) -> Option<HeaderValue> {
    (1..=MOST_PUID).contains(&puid.len()).then(|| HeaderValue::from_str(puid).ok())?
}

/// Why a request's path is refused.
pub(super) fn path_too_large() -> ServerError {
    bad(format!("meta.requestPath is larger than {} KiB", MOST_PATH >> 10))
}

impl Meta<'_> {
    /// The caller's id for the prediction, where a header can say it.
    pub(super) fn puid(&self) -> Option<HeaderValue> {
        in_header(self.puid.as_deref().unwrap_or_default())
    }

    /// The same with nothing but the id.
    pub(super) fn only_puid(&self) -> Self {
        Self { puid: self.puid.clone(), tags: None, metrics: None, path: None }
    }

    /// The `meta` of an answer by the unit `name` with this `image`: what the request said, as it is.
    pub(super) fn answer(meta: Option<&Self>, name: &str, image: &str) -> Result<String, ServerError> {
        let mut answer = String::from("{");
        let mut path = BTreeMap::from([(Cow::Borrowed(name), Cow::Borrowed(image))]);
        if let Some(meta) = meta {
            for (key, value, start) in [("tags", meta.tags, '{'), ("metrics", meta.metrics, '[')] {
                let Some(value) = value.map(RawValue::get) else { continue };
                if !value.starts_with(start) {
                    return Err(bad(format!(
                        "meta.{key} is not {}",
                        if start == '{' { "an object" } else { "a list" }
                    )));
                }
                if !value[1..].trim_ascii_start().starts_with(['}', ']']) {
                    answer.extend(["\"", key, "\":", value, ","]);
                }
            }
            if let Some(puid) = meta.puid.as_deref().filter(|puid| !puid.is_empty()) {
                answer.extend(["\"puid\":", &serde_json::Value::from(puid).to_string(), ","]);
            }
            path.extend(meta.path()?);
        }
        answer.push_str("\"requestPath\":");
        answer.push_str(&serde_json::json!(path).to_string());
        answer.push('}');
        Ok(answer)
    }

    fn path(&self) -> Result<BTreeMap<Cow<'_, str>, Cow<'_, str>>, ServerError> {
        match self.path.map(RawValue::get) {
            None => Ok(BTreeMap::new()),
            Some(path) if path.len() > MOST_PATH => Err(path_too_large()),
            Some(path) => serde_json::from_str(path).map_err(|error| not_read("meta.requestPath", &error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_repeats_what_the_request_said_beside_its_rows() {
        let check = |meta: &str, expected: Result<&str, &str>| {
            let meta: Meta<'_> = serde_json::from_str(meta).unwrap();
            let found = Meta::answer(Some(&meta), "clf", "clf:1").map_err(|e| e.to_string());
            assert_eq!(found.as_deref().map_err(String::as_str), expected);
        };
        check("{}", Ok(r#"{"requestPath":{"clf":"clf:1"}}"#));
        check(
            r#"{"tags":{"z": 2},"metrics":[{"key":"k"}],"puid":"\"","routing":{"a":1},"requestPath":{"a":"b:1"}}"#,
            Ok(
                r#"{"tags":{"z": 2},"metrics":[{"key":"k"}],"puid":"\"","requestPath":{"a":"b:1","clf":"clf:1"}}"#,
            ),
        );
        check(
            r#"{"tags":{ },"metrics":[],"puid":"","requestPath":{"clf":"mine"}}"#,
            Ok(r#"{"requestPath":{"clf":"mine"}}"#),
        );
        check(r#"{"tags":[]}"#, Err("meta.tags is not an object"));
        check(r#"{"metrics":7}"#, Err("meta.metrics is not a list"));
        check(
            r#"{"requestPath":{"a":1}}"#,
            Err(
                "Invalid JSON: the meta.requestPath cannot be read: invalid type: integer `1`, expected a string at line 1 column 6",
            ),
        );
    }
}
