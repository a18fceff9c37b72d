//! One inference as a message: read, answered, and the answer put together in the chunks that were written.

use axum::http::HeaderMap;
use bytes::Bytes;
use portend_model::frame::Frame;
use portend_model::runtime::Output;
use portend_model::{Model, Predictions};

use super::contents::list;
use super::request::{InferMessage, Meant};
use crate::body::{Packing, Payload};
use crate::error::ServerError;
use crate::http::App;
use crate::protocol::find_model;
use crate::protocol::grpc::message::{prefix_of, within_limit};
use crate::protocol::grpc::wire::{put_bytes, put_length, put_varint};
use crate::protocol::v2::datatype::Datatype;
use crate::protocol::v2::infer::Called;
use crate::protocol::v2::outputs::Tensors;
use crate::protocol::v2::tensors::Lengths;
use crate::protocol::v2::{in_version, version};
use crate::repository::Ready;
use crate::score::{Answer, Block, Encoder, Exchange, Sections};

/// Whether an answer is a message of its own, or one of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Alone,
    Stream,
}

/// Scores a request.
pub(super) async fn inferred(
    app: &App,
    payload: Payload,
    place: Place,
) -> Result<(Ready, Answer), ServerError> {
    let payload = unpacked(app, payload).await?;
    let meant = Meant::of(&payload.bytes)?;
    let ready = found(app, meant.name, meant.version).await?;
    let name = if meant.name.is_empty() { ready.deployment.id.as_str() } else { meant.name };
    let called = Called { name: name.to_owned(), version: version(&ready.model).to_owned() };
    let exchange = InferExchange { called, id: meant.id.to_owned(), payload, place };
    let answer = app.scorer.answer(&app.admission, &ready, exchange).await?;
    Ok((ready, within_limit(answer, app)?))
}

/// The model of a message; an empty name means the only one or the default, an empty version any.
pub(super) async fn found(app: &App, name: &str, version: &str) -> Result<Ready, ServerError> {
    let given = |text| Some(text).filter(|text: &&str| !text.is_empty());
    in_version(find_model(app, None, given(name)).await?, given(version))
}

/// Decompressed, where it was compressed: the message has to be read to find its model. Whoever decompresses holds a
/// permit to score, and room for what comes of it.
async fn unpacked(app: &App, mut payload: Payload) -> Result<Payload, ServerError> {
    if payload.packing == Packing::Plain {
        return Ok(payload);
    }
    let permit = app.admission.permit().await?;
    let unpacked = tokio::task::spawn_blocking(move || {
        let bytes = Bytes::from(payload.unpacked()?.into_owned());
        (payload.bytes, payload.packing) = (bytes, Packing::Plain);
        drop(permit);
        Ok(payload)
    });
    let mut payload = unpacked.await.unwrap_or(Err(ServerError::Internal))?;
    app.admission.take_room(&mut payload.room, payload.bytes.len())?;
    Ok(payload)
}

struct InferExchange {
    called: Called,
    id: String,
    payload: Payload,
    place: Place,
}

impl Exchange for InferExchange {
    type Encoder = InferEncoder;

    fn size(&self, model: &Model) -> Option<(usize, usize)> {
        // a row has a value for each of these at least, of four bytes, as most are
        let needed = model.features.iter().filter(|feature| feature.required).count().max(1);
        let bytes = self.payload.bytes.len();
        Some((bytes, bytes / 4 / needed + 1))
    }

    fn decode(self, model: &Model, _: usize) -> Result<(Vec<Frame>, InferEncoder), ServerError> {
        let request = InferMessage::parse(&self.payload.bytes)?;
        let (tensors, raw) = (Tensors::new(request.writers(model)?), request.is_raw());
        let frame = request.frame(model)?;
        let Self { called, id, place, .. } = self;
        Ok((vec![frame], InferEncoder { called, id, tensors, raw, place }))
    }
}

/// What writes the answer: a section of raw bytes for each tensor.
struct InferEncoder {
    called: Called,
    id: String,
    tensors: Tensors,
    /// Whether tensors are sent as these bytes, or as lists of values.
    raw: bool,
    place: Place,
}

impl Encoder for InferEncoder {
    fn outputs(&self) -> &[Output] {
        &self.tensors.outputs
    }

    fn sections(&self) -> usize {
        self.tensors.writers.len()
    }

    fn row_bytes(&self, model: &Model, _: &Frame, section: usize) -> usize {
        self.tensors.writers[section].row_bytes(model)
    }

    fn rows(&self, model: &Model, _: &Block<'_>, scores: &[Predictions], out: &mut [Vec<u8>]) {
        self.tensors.rows(model, scores, out);
    }

    fn assemble(&self, model: &Model, rows: usize, sections: Sections, _: &mut HeaderMap) -> Vec<Vec<u8>> {
        let (mut chunks, mut raw) = (vec![Vec::new(), self.head()], Vec::new());
        for (writer, section) in self.tensors.writers.iter().zip(sections) {
            let (tensor, datatype) = (writer.tensor, writer.tensor.datatype(model));
            let mut output = Vec::with_capacity(64);
            put_bytes(1, tensor.name().as_bytes(), &mut output);
            put_bytes(2, datatype.name().as_bytes(), &mut output);
            put_bytes(3, &shape(rows, tensor.width(model)), &mut output);
            let mut contents = Vec::new();
            if self.raw {
                raw.push(length(6, &section));
                raw.extend(section);
            } else {
                contents = listed(datatype, section);
                output.extend(length(5, &contents));
            }
            let mut before = Vec::with_capacity(output.len() + 8);
            put_length(5, output.len() + bytes(&contents), &mut before);
            before.extend(output);
            chunks.push(before);
            chunks.extend(contents);
        }
        chunks.extend(raw);
        chunks[0] = self.before(bytes(&chunks));
        chunks
    }
}

fn bytes(chunks: &[Vec<u8>]) -> usize {
    chunks.iter().map(Vec::len).sum()
}

/// What stands before a field of these chunks.
fn length(field: u64, chunks: &[Vec<u8>]) -> Vec<u8> {
    let mut before = Vec::with_capacity(8);
    put_length(field, bytes(chunks), &mut before);
    before
}

impl InferEncoder {
    /// What stands before the tensors.
    fn head(&self) -> Vec<u8> {
        let mut head = Vec::with_capacity(64);
        put_bytes(1, self.called.name.as_bytes(), &mut head);
        put_bytes(2, self.called.version.as_bytes(), &mut head);
        put_bytes(3, self.id.as_bytes(), &mut head);
        if self.place == Place::Stream {
            put_bytes(4, FINAL, &mut head);
        }
        head
    }

    /// What stands before a response of so many bytes.
    fn before(&self, length: usize) -> Vec<u8> {
        let mut outer = Vec::with_capacity(16);
        if self.place == Place::Stream {
            put_length(2, length, &mut outer);
        }
        [&prefix_of(outer.len() + length)[..], &outer].concat()
    }
}

/// The parameter by which clients of streams know the last answer to a request, which is the only one here: its name
/// and a message that says true.
const FINAL: &[u8] = b"\x0a\x15triton_final_response\x12\x02\x08\x01";

fn shape(rows: usize, width: Option<usize>) -> Vec<u8> {
    let mut packed = Vec::with_capacity(8);
    put_varint(rows as u64, &mut packed);
    if let Some(width) = width {
        put_varint(width as u64, &mut packed);
    }
    packed
}

/// Raw values as the list of them that a message has.
fn listed(datatype: Datatype, section: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
    let list = list(datatype).unwrap_or_default(); // no tensor of ours is of 16 bits
    let texts = |chunk: &Vec<u8>| {
        let mut out = Vec::with_capacity(chunk.len());
        Lengths::new(chunk).flatten().for_each(|text| {
            put_length(list, text.len(), &mut out);
            out.extend_from_slice(text);
        });
        out
    };
    let values = match datatype {
        Datatype::Bytes => return section.iter().map(texts).collect(),
        Datatype::Int32 => varints(&section, |value| i64::from(i32::from_le_bytes(value))),
        Datatype::Int64 => varints(&section, i64::from_le_bytes),
        _ => section, // as raw as in a list
    };
    [vec![length(list, &values)], values].concat()
}

fn varints<const N: usize>(section: &[Vec<u8>], number: impl Fn([u8; N]) -> i64) -> Vec<Vec<u8>> {
    let chunk = |chunk: &Vec<u8>| {
        let mut out = Vec::with_capacity(chunk.len() / N * 2);
        chunk.as_chunks().0.iter().for_each(|value| put_varint(number(*value) as u64, &mut out));
        out
    };
    section.iter().map(chunk).collect()
}
