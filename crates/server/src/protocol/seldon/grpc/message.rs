//! What a SeldonMessage says over gRPC, as far as it means something here. Values of rows stay where they are in the
//! request's bytes.

use std::collections::BTreeMap;

use axum::http::HeaderValue;

use super::super::bad;
use super::super::message::{MOST_PATH, in_header, path_too_large};
use super::super::rows::Encoding;
use super::super::unit::Unit;
use super::rows::encoding;
use super::value;
use super::wire::{Field, fields, push_bytes};
use crate::error::ServerError;

/// A SeldonMessage.
#[derive(Debug, Default)]
pub(super) struct Message<'b> {
    /// What is told beside the rows.
    pub(super) meta: Meta<'b>,
    payload: Option<Payload<'b>>,
}

/// What the rows may come in. Of several the last one counts, as protobuf has it.
#[derive(Debug)]
pub(super) enum Payload<'b> {
    /// `data`.
    Array(Data<'b>),
    /// `jsonData`, a Value.
    Json(&'b [u8]),
    /// `strData`.
    Text(&'b str),
    /// `binData`.
    Bytes(&'b [u8]),
    /// `customData`, an Any.
    Custom(&'b [u8]),
}

/// A DefaultData.
#[derive(Debug, Default)]
pub(super) struct Data<'b> {
    /// The columns' names.
    pub(super) names: Vec<&'b str>,
    /// The rows.
    pub(super) array: Array<'b>,
}

/// An array of rows, in one of three encodings.
#[derive(Debug, Default)]
pub(super) enum Array<'b> {
    #[default]
    Nothing,
    Tensor(&'b [u8]),
    /// A ListValue.
    Ndarray(&'b [u8]),
    TfTensor(&'b [u8]),
}

/// As many names are read.
const MOST_NAMES: usize = 65_536;

impl<'b> Message<'b> {
    /// Reads a message.
    pub(super) fn read(bytes: &'b [u8]) -> Result<Self, ServerError> {
        let mut message = Self::default();
        for field in fields("the message", bytes) {
            let payload = match field? {
                (2, meta) => {
                    message.meta.read(meta.bytes("meta")?)?;
                    continue;
                }
                (3, data) => Payload::Array(Data::read(data.bytes("data")?)?),
                (4, bytes) => Payload::Bytes(bytes.bytes("binData")?),
                (5, text) => Payload::Text(text.text("strData")?),
                (6, value) => Payload::Json(value.bytes("jsonData")?),
                (7, any) => Payload::Custom(any.bytes("customData")?),
                _ => continue,
            };
            message.payload = Some(payload);
        }
        Ok(message)
    }

    /// What the rows came in.
    pub(super) fn payload(&self) -> Result<&Payload<'b>, ServerError> {
        self.payload.as_ref().ok_or_else(|| {
            bad(
                "Invalid request data type: the message has none of data, jsonData, strData, binData and customData",
            )
        })
    }

    /// The array that the rows came in, if they came in one.
    pub(super) fn array(&self) -> Option<&Array<'b>> {
        match &self.payload {
            Some(Payload::Array(data)) => Some(&data.array),
            _ => None,
        }
    }
}

impl<'b> Data<'b> {
    /// Reads a DefaultData.
    pub(super) fn read(bytes: &'b [u8]) -> Result<Self, ServerError> {
        let mut data = Self::default();
        for field in fields("data", bytes) {
            match field? {
                (1, _) if data.names.len() == MOST_NAMES => {
                    return Err(bad(format!("data.names has more than {MOST_NAMES} names")));
                }
                (1, name) => data.names.push(name.text("data.names")?),
                (2, tensor) => data.array = Array::Tensor(tensor.bytes("data.tensor")?),
                (3, list) => data.array = Array::Ndarray(list.bytes("data.ndarray")?),
                (4, tensor) => data.array = Array::TfTensor(tensor.bytes("data.tftensor")?),
                _ => {}
            }
        }
        Ok(data)
    }
}

/// What is told beside the rows.
#[derive(Debug, Default)]
pub(super) struct Meta<'b> {
    puid: &'b str,
    /// Tags and metrics, as they stand in a Meta.
    repeated: Vec<u8>,
    path: BTreeMap<&'b str, &'b str>,
    path_bytes: usize,
}

impl<'b> Meta<'b> {
    /// Reads a Meta, or what one has besides.
    fn read(&mut self, bytes: &'b [u8]) -> Result<(), ServerError> {
        for field in fields("meta", bytes) {
            match field? {
                (1, puid) => self.puid = puid.text("meta.puid")?,
                (2, tag) => {
                    let tag = tag.bytes("meta.tags")?;
                    value::check_entry("meta.tags", tag)?;
                    push_bytes(2, tag, &mut self.repeated);
                }
                (4, entry) => self.read_path(entry.bytes("meta.requestPath")?)?,
                (5, metric) => {
                    let metric = metric.bytes("meta.metrics")?;
                    check_metric(metric)?;
                    push_bytes(5, metric, &mut self.repeated);
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn read_path(&mut self, entry: &'b [u8]) -> Result<(), ServerError> {
        self.path_bytes += entry.len();
        if self.path_bytes > MOST_PATH {
            return Err(path_too_large());
        }
        let (name, image) = text_entry("meta.requestPath", entry)?;
        self.path.insert(name, image);
        Ok(())
    }

    /// The caller's id for the prediction, where a header can say it.
    pub(super) fn puid(&self) -> Option<HeaderValue> {
        in_header(self.puid)
    }

    /// The same with nothing but the id.
    pub(super) fn only_puid(&self) -> Self {
        Self { puid: self.puid, ..Self::default() }
    }

    /// The `meta` of an answer by this unit: what the request said, as it is.
    pub(super) fn answer(&self, unit: &Unit) -> Vec<u8> {
        let mut answer = Vec::new();
        if !self.puid.is_empty() {
            push_bytes(1, self.puid, &mut answer);
        }
        answer.extend_from_slice(&self.repeated);
        let own = BTreeMap::from([(unit.name(), unit.image())]);
        for (name, image) in own.iter().filter(|(name, _)| !self.path.contains_key(*name)).chain(&self.path) {
            let mut entry = Vec::new();
            push_bytes(1, name, &mut entry);
            push_bytes(2, image, &mut entry);
            push_bytes(4, entry, &mut answer);
        }
        answer
    }
}

/// Key and value of an entry of a map of texts.
fn text_entry<'b>(of: &'static str, entry: &'b [u8]) -> Result<(&'b str, &'b str), ServerError> {
    let (mut key, mut value) = ("", "");
    for field in fields(of, entry) {
        match field? {
            (1, text) => key = text.text(of)?,
            (2, text) => value = text.text(of)?,
            _ => {}
        }
    }
    Ok((key, value))
}

/// Refuses a Metric that its reader would refuse.
fn check_metric(metric: &[u8]) -> Result<(), ServerError> {
    const OF: &str = "meta.metrics";
    for field in fields(OF, metric) {
        match field? {
            (1, key) => _ = key.text(OF)?,
            (4, tag) => _ = text_entry(OF, tag.bytes(OF)?)?,
            _ => {}
        }
    }
    Ok(())
}

/// A Feedback.
#[derive(Debug)]
pub(super) struct Feedback<'b> {
    /// What the feedback is about.
    pub(super) request: Message<'b>,
    /// What it was worth.
    pub(super) reward: f64,
}

impl<'b> Feedback<'b> {
    /// Reads a feedback; what it does not look at must be messages as well.
    pub(super) fn read(bytes: &'b [u8]) -> Result<Self, ServerError> {
        let mut feedback = Self { request: Message::default(), reward: 0.0 };
        for field in fields("the feedback", bytes) {
            match field? {
                (1, request) => feedback.request = Message::read(request.bytes("request")?)?,
                (2, response) => _ = Message::read(response.bytes("response")?)?,
                (3, Field::Four(reward)) => feedback.reward = f32::from_le_bytes(reward).into(),
                (3, _) => return Err(bad("Invalid message: the reward is of another type")),
                (4, truth) => _ = Message::read(truth.bytes("truth")?)?,
                _ => {}
            }
        }
        match feedback.reward.is_finite() {
            true => Ok(feedback),
            false => Err(bad("Invalid message: the reward is not a finite number")),
        }
    }

    /// The answer: no rows, in the encoding of the request that the feedback is about, of whose meta only its id is told.
    pub(super) fn answer(&self, unit: &Unit) -> Vec<u8> {
        let (mut answer, mut data) = (Vec::new(), Vec::new());
        push_bytes(2, self.request.meta.only_puid().answer(unit), &mut answer);
        match encoding(self.request.array()) {
            Encoding::Tensor => push_bytes(2, [0x0a, 1, 0], &mut data), // of a shape of 0
            Encoding::Ndarray => push_bytes(3, [], &mut data),
            // of doubles, and of a shape of 0
            Encoding::TfTensor => push_bytes(4, [0x08, 2, 0x12, 4, 0x12, 2, 0x08, 0], &mut data),
        }
        push_bytes(3, data, &mut answer);
        answer
    }
}

#[cfg(test)]
mod tests {
    use super::super::wire::push_integer;
    use super::*;

    fn made(write: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
        let mut message = Vec::new();
        write(&mut message);
        message
    }

    fn entry(key: &str, value: &[u8]) -> Vec<u8> {
        made(|entry| {
            push_bytes(1, key, entry);
            push_bytes(2, value, entry);
        })
    }

    #[test]
    fn an_answer_repeats_what_the_request_said_beside_its_rows() {
        let unit = Unit::named("clf", "clf:1");
        let check = |meta: &[u8], expected: Result<&[u8], &str>| {
            let mut read = Meta::default();
            let found = read.read(meta).map(|()| read.answer(&unit)).map_err(|e| e.to_string());
            assert_eq!(found.as_deref().map_err(String::as_str), expected);
        };
        let own = made(|meta| push_bytes(4, entry("clf", b"clf:1"), meta));
        check(b"", Ok(&own));
        let said = made(|meta| {
            push_bytes(1, "p", meta);
            push_bytes(2, entry("z", &made(|v| push_integer(4, 1, v))), meta);
            push_bytes(5, made(|metric| push_bytes(1, "k", metric)), meta);
        });
        check(&said, Ok(&[&said[..], &own].concat()));
        let routing = made(|meta| push_bytes(3, entry("a", b""), meta));
        check(&routing, Ok(&own));
        let path = made(|meta| push_bytes(4, entry("a", b"b:1"), meta));
        check(&path, Ok(&[&own[..], &path].concat()));
        let other = made(|meta| push_bytes(4, entry("clf", b"mine"), meta));
        check(&other, Ok(&other));
        let long = made(|meta| push_bytes(4, entry("a", &[b'a'; 70_000]), meta));
        check(&long, Err("meta.requestPath is larger than 64 KiB"));
        let wrong = |number, bytes: &[u8]| made(|meta| push_bytes(number, bytes, meta));
        check(&wrong(1, b"\xff"), Err("Invalid message: meta.puid is not UTF-8 text"));
        check(&wrong(2, b"\xff"), Err("Invalid message: meta.tags is not a protobuf message"));
        check(&wrong(2, &entry("a", b"\x0b")), Err("Invalid message: meta.tags is not a protobuf message"));
        check(&wrong(4, &entry("a", b"\xff")), Err("Invalid message: meta.requestPath is not UTF-8 text"));
        check(&wrong(5, &entry("\u{1}", b"")), Ok(&[&wrong(5, &entry("\u{1}", b""))[..], &own].concat()));
        check(&wrong(5, b"\x0a\x01\xff"), Err("Invalid message: meta.metrics is not UTF-8 text"));
    }

    #[test]
    fn a_reward_is_a_finite_number() {
        let check = |reward: &[u8], expected: Option<f64>| {
            assert_eq!(Feedback::read(reward).map(|feedback| feedback.reward).ok(), expected);
        };
        let of = |reward: f32| [&[3 << 3 | 5][..], &reward.to_le_bytes()].concat();
        check(b"", Some(0.0));
        check(&of(-0.5), Some(-0.5));
        check(&of(f32::NAN), None);
        check(&of(f32::INFINITY), None);
        check(&made(|feedback| push_integer(3, 1, feedback)), None);
        check(b"\x0a\x01\x0a", None);
        check(b"\x22\x01\x0a", None);
    }
}
