//! One inference over HTTP: headers, body, and the answer put together, with tensors as JSON or as raw bytes behind it.

use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use encoding_rs::UTF_8;
use portend_model::frame::Frame;
use portend_model::runtime::Output;
use portend_model::{Model, Predictions};

use super::outputs::Tensors;
use super::request::InferRequest;
use super::tensors::raw_frame;
use crate::admission::Admission;
use crate::body::{Packing, Payload, gather, packing};
use crate::error::ServerError;
use crate::packing::{accepted_packing, packed};
use crate::protocol::python_json::plain_json;
use crate::score::{Block, Encoder, Exchange, Sections};

/// The bytes of JSON at the start of a body; raw tensors follow.
const JSON_LENGTH: HeaderName = HeaderName::from_static("inference-header-content-length");

/// What an answer says of the model.
#[derive(Debug)]
pub(super) struct Called {
    /// The name that the request used.
    pub(super) name: String,
    /// The model's version.
    pub(super) version: String,
}

/// One request, read.
#[derive(Debug)]
pub(super) struct InferExchange {
    payload: Payload,
    /// The length of the JSON where raw tensors follow it.
    json_length: Option<usize>,
    packed_answer: Packing,
    called: Called,
}

impl InferExchange {
    /// Reads headers and gathers the body; nothing is decoded yet.
    pub(super) async fn read(
        request: Request,
        called: Called,
        admission: &Admission,
        limit: usize,
    ) -> Result<Self, ServerError> {
        let (head, body) = request.into_parts();
        let packing = packing(&head.headers)?;
        let json_length = json_length(&head.headers)?;
        let packed_answer = accepted_packing(&head.headers);
        let (bytes, room) = gather(body, &head.headers, admission, limit).await?;
        let payload = Payload { bytes, packing, charset: UTF_8, limit, room };
        Ok(Self { payload, json_length, packed_answer, called })
    }
}

fn json_length(headers: &HeaderMap) -> Result<Option<usize>, ServerError> {
    let Some(value) = headers.get(JSON_LENGTH) else { return Ok(None) };
    let length = value.to_str().ok().and_then(|text| text.trim().parse().ok());
    length.map(Some).ok_or_else(|| {
        ServerError::BadBody("Inference-Header-Content-Length is not a number of bytes".to_owned())
    })
}

impl Exchange for InferExchange {
    type Encoder = InferEncoder;

    fn size(&self, model: &Model) -> Option<(usize, usize)> {
        if self.payload.packing != Packing::Plain {
            return None;
        }
        let bytes = &self.payload.bytes;
        // a row has a value for each of these at least
        let needed = model.features.iter().filter(|feature| feature.required).count().max(1);
        // values of four bytes, as most are; in JSON a comma follows each, looked for only where it can matter
        let values = match self.json_length {
            Some(json) => bytes.len().saturating_sub(json) / 4,
            None => memchr::memchr_iter(b',', &bytes[..bytes.len().min(64 << 10)]).count(),
        };
        Some((bytes.len(), values / needed + 1))
    }

    fn decode(self, model: &Model, _: usize) -> Result<(Vec<Frame>, InferEncoder), ServerError> {
        let body = self.payload.unpacked()?;
        let (frame, writers, id) = match self.json_length {
            Some(0) => {
                let (frame, writers) = raw_frame(&body, model)?;
                (frame, writers, None)
            }
            length => {
                let (json, raw) = parts(&body, length)?;
                let plain;
                let request = match InferRequest::parse(json) {
                    Ok(request) => request,
                    Err(error) => {
                        plain = from_python(json).ok_or(error)?;
                        InferRequest::parse(plain.as_bytes())?
                    }
                };
                let writers = request.writers(model)?;
                (request.frame(raw, model)?, writers, request.id)
            }
        };
        let tensors = Tensors::new(writers);
        let encoder = InferEncoder { called: self.called, id, tensors, packing: self.packed_answer };
        Ok((vec![frame], encoder))
    }
}

/// The JSON of a client that writes NaN and Infinity as Python does, which no parser of JSON takes.
fn from_python(json: &[u8]) -> Option<String> {
    plain_json(std::str::from_utf8(json).ok()?)
}

/// The JSON of a body, and what follows it.
fn parts(body: &[u8], length: Option<usize>) -> Result<(&[u8], Option<&[u8]>), ServerError> {
    let Some(length) = length else { return Ok((body, None)) };
    let (json, raw) = body.split_at_checked(length).ok_or_else(|| {
        let found = body.len();
        let reason = format!("Inference-Header-Content-Length is {length}, the body has {found} bytes");
        ServerError::BadBody(reason)
    })?;
    Ok((json, Some(raw)))
}

/// What writes the answer: a section for each tensor.
#[derive(Debug)]
pub(super) struct InferEncoder {
    called: Called,
    id: Option<String>,
    tensors: Tensors,
    packing: Packing,
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

    fn assemble(
        &self,
        model: &Model,
        rows: usize,
        sections: Sections,
        headers: &mut HeaderMap,
    ) -> Vec<Vec<u8>> {
        let (mut chunks, raw) = self.json(model, rows, sections);
        let content_type = if raw.is_empty() { "application/json" } else { "application/octet-stream" };
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
        if self.tensors.writers.iter().any(|writer| writer.binary) {
            headers.insert(JSON_LENGTH, HeaderValue::from(chunks.iter().map(Vec::len).sum::<usize>()));
        }
        chunks.extend(raw);
        packed(chunks, self.packing, headers)
    }
}

impl InferEncoder {
    /// The JSON of an answer, and the raw tensors that follow it.
    fn json(&self, model: &Model, rows: usize, sections: Sections) -> (Vec<Vec<u8>>, Vec<Vec<u8>>) {
        let (mut chunks, mut raw) = (Vec::new(), Vec::new());
        let mut json = Vec::with_capacity(256);
        json.extend_from_slice(b"{\"model_name\":");
        write_text(&self.called.name, &mut json);
        json.extend_from_slice(b",\"model_version\":");
        write_text(&self.called.version, &mut json);
        if let Some(id) = &self.id {
            json.extend_from_slice(b",\"id\":");
            write_text(id, &mut json);
        }
        json.extend_from_slice(b",\"outputs\":[");
        for (i, (writer, mut section)) in self.tensors.writers.iter().zip(sections).enumerate() {
            let (tensor, datatype) = (writer.tensor, writer.tensor.datatype(model).name());
            let comma = if i > 0 { "," } else { "" };
            let shape =
                tensor.width(model).map_or_else(|| rows.to_string(), |width| format!("{rows},{width}"));
            let name = tensor.name();
            let head =
                format!("{comma}{{\"name\":\"{name}\",\"datatype\":\"{datatype}\",\"shape\":[{shape}],");
            json.extend_from_slice(head.as_bytes());
            if writer.binary {
                let size: usize = section.iter().map(Vec::len).sum();
                json.extend_from_slice(
                    format!("\"parameters\":{{\"binary_data_size\":{size}}}}}").as_bytes(),
                );
                raw.extend(section);
            } else {
                json.extend_from_slice(b"\"data\":[");
                // each value has a comma after it
                _ = section.iter_mut().rev().find_map(Vec::pop);
                chunks.push(std::mem::take(&mut json));
                chunks.extend(section);
                json.extend_from_slice(b"]}");
            }
        }
        json.extend_from_slice(b"]}");
        chunks.push(json);
        (chunks, raw)
    }
}

/// A JSON text. Writing to a vector cannot fail.
fn write_text(text: &str, out: &mut Vec<u8>) {
    _ = serde_json::to_writer(out, text);
}
