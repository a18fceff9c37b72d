//! One prediction: a message decoded into frames, and predictions encoded as the message that answers it.

use axum::http::{HeaderMap, HeaderValue};
use portend_model::frame::{Frame, Precision};
use portend_model::{Model, Predictions};

use super::super::exchange::push_exact;
use super::super::identity::PUID;
use super::super::rows::Encoding;
use super::super::unit::{Unit, class_names};
use super::message::Message;
use super::rows::{encoding, frames};
use super::wire::{field_len, push_bytes, push_double, push_head, push_integer, push_integers};
use crate::body::Payload;
use crate::error::ServerError;
use crate::protocol::grpc::message::prefix_of;
use crate::score::{Block, Encoder, Exchange, Sections};

/// One call.
#[derive(Debug)]
pub(super) struct GrpcExchange {
    /// Its message.
    pub(super) message: Payload,
    /// Who answers.
    pub(super) unit: Unit,
}

impl Exchange for GrpcExchange {
    type Encoder = GrpcEncoder;

    fn size(&self, model: &Model) -> Option<(usize, usize)> {
        let bytes = self.message.plain()?.len();
        // most values come as doubles
        Some((bytes, bytes / size_of::<f64>() / model.features.len().max(1) + 1))
    }

    fn decode(self, model: &Model, parts: usize) -> Result<(Vec<Frame>, GrpcEncoder), ServerError> {
        let bytes = self.message.unpacked()?;
        let message = Message::read(&bytes)?;
        let encoder = GrpcEncoder {
            encoding: encoding(message.array()),
            meta: message.meta.answer(&self.unit),
            puid: message.meta.puid(),
        };
        Ok((frames(&message, model, parts)?, encoder))
    }
}

/// What writes the answer.
#[derive(Debug)]
pub(super) struct GrpcEncoder {
    encoding: Encoding,
    /// The bytes of its Meta.
    meta: Vec<u8>,
    puid: Option<HeaderValue>,
}

/// The bytes of a Value that is a number, with the head of its field.
const NUMBER: usize = 11;

impl Encoder for GrpcEncoder {
    fn row_bytes(&self, model: &Model, _: &Frame, _: usize) -> usize {
        const HEADS: usize = 12;
        match self.encoding {
            Encoding::Ndarray => HEADS + model.target.width() * NUMBER,
            Encoding::Tensor | Encoding::TfTensor => model.target.width() * size_of::<f64>(),
        }
    }

    fn rows(&self, _: &Model, _: &Block<'_>, scores: &[Predictions], out: &mut [Vec<u8>]) {
        let ([predictions], [out]) = (scores, out) else { return }; // one output, one section
        match self.encoding {
            Encoding::Ndarray => predictions.rows().for_each(|row| push_row(row, predictions.precision, out)),
            Encoding::Tensor => predictions
                .values
                .iter()
                .for_each(|value| out.extend_from_slice(&exact(*value, predictions.precision).to_le_bytes())),
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
        if let Some(puid) = &self.puid {
            headers.insert(PUID, puid.clone());
        }
        let values = sections.pop().unwrap_or_default();
        let length: usize = values.iter().map(Vec::len).sum();
        let mut names = Vec::new();
        push_names(model, &mut names);
        // what stands between the head of an array and its values
        let (number, before) = match self.encoding {
            Encoding::Tensor => (2, tensor_head(rows, model.target.width(), length)),
            Encoding::Ndarray => (3, Vec::new()),
            Encoding::TfTensor => (4, tf_head(model, rows, length)),
        };
        let array = before.len() + length;
        let data = names.len() + field_len(array);
        let mut start = Vec::with_capacity(64 + names.len() + before.len() + self.meta.len());
        start.extend_from_slice(&prefix_of(field_len(self.meta.len()) + field_len(data)));
        push_bytes(2, &self.meta, &mut start);
        push_head(3, data, &mut start);
        start.extend_from_slice(&names);
        push_head(number, array, &mut start);
        start.extend_from_slice(&before);
        std::iter::once(start).chain(values).collect()
    }
}

/// A number as it was computed; all numbers but TensorFlow's are doubles here.
fn exact(value: f64, precision: Precision) -> f64 {
    match precision {
        Precision::Single => f64::from(value as f32),
        Precision::Double => value,
    }
}

/// The names of an answer's columns, in a DefaultData.
pub(super) fn push_names(model: &Model, out: &mut Vec<u8>) {
    class_names(model).iter().for_each(|name| push_bytes(1, name, out));
}

/// A row in a ListValue: a Value that is a list of numbers. What is not finite is null, as JSON has no word for it.
fn push_row(row: &[f64], precision: Precision, out: &mut Vec<u8>) {
    const NULL: usize = 4;
    let list = row.iter().map(|value| if value.is_finite() { NUMBER } else { NULL }).sum();
    push_head(1, field_len(list), out);
    push_head(6, list, out);
    for value in row {
        match value.is_finite() {
            true => {
                push_head(1, NUMBER - 2, out);
                push_double(2, exact(*value, precision), out);
            }
            false => {
                push_head(1, NULL - 2, out);
                push_integer(1, 0, out);
            }
        }
    }
}

/// What stands before the values of a Tensor.
fn tensor_head(rows: usize, width: usize, length: usize) -> Vec<u8> {
    let mut head = Vec::new();
    push_integers(1, [rows as u64, width as u64].into_iter(), &mut head);
    push_head(2, length, &mut head);
    head
}

/// What stands before the content of a TensorProto.
fn tf_head(model: &Model, rows: usize, length: usize) -> Vec<u8> {
    let (mut head, mut shape) = (Vec::new(), Vec::new());
    for size in [rows, model.target.width()] {
        let mut dimension = Vec::new();
        push_integer(1, size as u64, &mut dimension);
        push_bytes(2, dimension, &mut shape);
    }
    push_integer(1, if model.inputs.precision == Precision::Single { 1 } else { 2 }, &mut head);
    push_bytes(2, shape, &mut head);
    push_head(4, length, &mut head);
    head
}
