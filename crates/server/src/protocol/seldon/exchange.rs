//! One prediction: a message decoded into frames, and predictions encoded as the message that answers it.

use std::io::Write;

use axum::http::{HeaderMap, HeaderValue, header};
use base64::prelude::BASE64_STANDARD;
use base64::write::EncoderWriter;
use portend_model::frame::{Frame, Precision};
use portend_model::{Model, Predictions};

use super::arrival::Arrival;
use super::identity::PUID;
use super::message::{Message, Meta};
use super::rows::{Encoding, frames};
use super::unit::{Unit, class_names};
use crate::decimal::Format;
use crate::error::ServerError;
use crate::score::{Block, Encoder, Exchange, Sections};

/// One request, read.
#[derive(Debug)]
pub(super) struct SeldonExchange {
    /// The message.
    pub(super) arrival: Arrival,
    /// Who answers.
    pub(super) unit: Unit,
}

impl Exchange for SeldonExchange {
    type Encoder = SeldonEncoder;

    fn size(&self, model: &Model) -> Option<(usize, usize)> {
        let bytes = self.arrival.plain()?;
        // a comma follows most values; looked for only where it can matter
        let values = memchr::memchr_iter(b',', &bytes[..bytes.len().min(64 << 10)]).count();
        Some((bytes.len(), values / model.features.len().max(1) + 1))
    }

    fn decode(self, model: &Model, parts: usize) -> Result<(Vec<Frame>, SeldonEncoder), ServerError> {
        let text = self.arrival.text()?;
        let message = Message::parse(&text)?;
        let encoding = Encoding::of_answer(&message.rows()?);
        let meta = self.unit.meta(message.meta.as_ref())?;
        let puid = message.meta.as_ref().and_then(Meta::puid);
        Ok((frames(&message, model, parts)?, SeldonEncoder { encoding, meta, puid }))
    }
}

/// What writes the answer.
#[derive(Debug)]
pub(super) struct SeldonEncoder {
    encoding: Encoding,
    /// The JSON of `meta`.
    meta: String,
    puid: Option<HeaderValue>,
}

impl Encoder for SeldonEncoder {
    fn row_bytes(&self, model: &Model, _: &Frame, _: usize) -> usize {
        const JSON_NUMBER: usize = 20;
        match self.encoding {
            Encoding::Ndarray => 3 + model.target.width() * JSON_NUMBER,
            Encoding::Tensor => model.target.width() * JSON_NUMBER,
            // in base64 as well
            Encoding::TfTensor => model.target.width() * (size_of::<f64>() + size_of::<f64>() * 4 / 3),
        }
    }

    fn rows(&self, _: &Model, _: &Block<'_>, scores: &[Predictions], out: &mut [Vec<u8>]) {
        let ([predictions], [out]) = (scores, out) else { return }; // one output, one section
        match self.encoding {
            Encoding::Ndarray => predictions.rows().for_each(|row| {
                out.push(b'[');
                row.iter().for_each(|value| number(*value, predictions.precision, "null", out));
                _ = out.pop();
                out.extend_from_slice(b"],");
            }),
            // what is not finite has a word in the JSON of a protobuf number
            Encoding::Tensor => predictions.values.iter().for_each(|value| {
                number(*value, predictions.precision, word(*value), out);
            }),
            Encoding::TfTensor => push_exact(predictions, out),
        }
    }

    fn assemble(
        &self,
        model: &Model,
        rows: usize,
        mut sections: Sections,
        headers: &mut HeaderMap,
    ) -> Vec<Vec<u8>> {
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Some(puid) = &self.puid {
            headers.insert(PUID, puid.clone());
        }
        let width = model.target.width();
        let names = serde_json::json!(class_names(model));
        let mut values = sections.pop().unwrap_or_default();
        let (start, end) = match self.encoding {
            Encoding::Ndarray => ("\"ndarray\":[".to_owned(), "]"),
            Encoding::Tensor => (format!("\"tensor\":{{\"shape\":[{rows},{width}],\"values\":["), "]}"),
            Encoding::TfTensor => {
                values = vec![in_base64(&values)];
                let datatype = if model.inputs.precision == Precision::Single { "FLOAT" } else { "DOUBLE" };
                let dim = format!("[{{\"size\":\"{rows}\"}},{{\"size\":\"{width}\"}}]");
                let start = format!(
                    "\"tftensor\":{{\"dtype\":\"DT_{datatype}\",\"tensorShape\":{{\"dim\":{dim}}},\"tensorContent\":\""
                );
                (start, "\"}")
            }
        };
        if self.encoding != Encoding::TfTensor {
            // each value has a comma after it
            _ = values.iter_mut().rev().find_map(Vec::pop);
        }
        let mut chunks = vec![format!("{{\"data\":{{\"names\":{names},{start}").into_bytes()];
        chunks.extend(values);
        chunks.push(format!("{end}}},\"meta\":{}}}", self.meta).into_bytes());
        chunks
    }
}

/// Appends numbers in the precision in which they were computed.
pub(super) fn push_exact(predictions: &Predictions, out: &mut Vec<u8>) {
    predictions.values.iter().for_each(|value| match predictions.precision {
        Precision::Single => out.extend_from_slice(&(*value as f32).to_le_bytes()),
        Precision::Double => out.extend_from_slice(&value.to_le_bytes()),
    });
}

fn number(value: f64, precision: Precision, other: &str, out: &mut Vec<u8>) {
    if !Format::SHORTEST.write(value, precision, out) {
        out.extend_from_slice(other.as_bytes());
    }
    out.push(b',');
}

fn word(value: f64) -> &'static str {
    match value {
        value if value.is_nan() => "\"NaN\"",
        value if value > 0.0 => "\"Infinity\"",
        _ => "\"-Infinity\"",
    }
}

fn in_base64(chunks: &[Vec<u8>]) -> Vec<u8> {
    let length: usize = chunks.iter().map(Vec::len).sum();
    let mut encoder = EncoderWriter::new(Vec::with_capacity(length.div_ceil(3) * 4), &BASE64_STANDARD);
    // writing to a vector cannot fail
    _ = chunks.iter().try_for_each(|chunk| encoder.write_all(chunk));
    encoder.finish().unwrap_or_default()
}
