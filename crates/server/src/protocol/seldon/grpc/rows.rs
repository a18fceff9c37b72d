//! The rows of a message as frames, whichever of its payloads they came in.

use portend_model::Model;
use portend_model::frame::Frame;

use super::super::bad;
use super::super::rows::{Encoding, json_rows, telling, text_rows};
use super::message::{Array, Data, Message, Payload};
use super::tensor::{Tensor, TfTensor};
use super::value::{self, Kind};
use super::wire::fields;
use crate::error::ServerError;

/// What an answer to these rows is written in: the same, or a tensor where they came in no array.
pub(super) fn encoding(array: Option<&Array<'_>>) -> Encoding {
    match array {
        Some(Array::Ndarray(_) | Array::Nothing) => Encoding::Ndarray,
        Some(Array::TfTensor(_)) => Encoding::TfTensor,
        Some(Array::Tensor(_)) | None => Encoding::Tensor,
    }
}

/// Decodes the rows of a message into at most `parts` frames.
pub(super) fn frames(message: &Message<'_>, model: &Model, parts: usize) -> Result<Vec<Frame>, ServerError> {
    match message.payload()? {
        Payload::Array(data) => Ok(vec![array(data, model)?]),
        Payload::Json(value) => json_rows(&value::json("jsonData", Kind::Value, value)?, model, parts),
        Payload::Text(text) => text_rows(text, model, parts),
        Payload::Bytes(bytes) => bytes_rows(bytes, model, parts),
        Payload::Custom(any) => custom_rows(any, model, parts),
    }
}

fn array(data: &Data<'_>, model: &Model) -> Result<Frame, ServerError> {
    let names = telling(&data.names, model);
    match data.array {
        Array::Nothing => Ok(model.decode_rows("[]", None)?),
        Array::Tensor(tensor) => Tensor::read(tensor)?.frame(names, model),
        Array::Ndarray(list) => value::rows(list, names, model),
        Array::TfTensor(tensor) => TfTensor::read(tensor)?.frame(names, model),
    }
}

fn bytes_rows(bytes: &[u8], model: &Model, parts: usize) -> Result<Vec<Frame>, ServerError> {
    let text = std::str::from_utf8(bytes).map_err(|_| bad("binData is not UTF-8 text"))?;
    text_rows(text, model, parts)
}

/// Rows in a message of any type, of those that say themselves what their bytes are.
fn custom_rows(any: &[u8], model: &Model, parts: usize) -> Result<Vec<Frame>, ServerError> {
    const OF: &str = "customData";
    let (mut kind, mut content) = ("", &[][..]);
    for field in fields(OF, any) {
        match field? {
            (1, text) => kind = text.text(OF)?,
            (2, bytes) => content = bytes.bytes(OF)?,
            _ => {}
        }
    }
    let json = |kind| json_rows(&value::json(OF, kind, content)?, model, parts);
    match kind.rsplit('/').next().unwrap_or_default() {
        "google.protobuf.Value" => json(Kind::Value),
        "google.protobuf.Struct" => json(Kind::Object),
        "google.protobuf.ListValue" => json(Kind::List),
        "google.protobuf.StringValue" | "google.protobuf.BytesValue" => {
            let first = fields(OF, content).next().transpose()?;
            bytes_rows(first.map_or(Ok(&[][..]), |(_, bytes)| bytes.bytes(OF))?, model, parts)
        }
        "seldon.protos.DefaultData" => Ok(vec![array(&Data::read(content)?, model)?]),
        "seldon.protos.Tensor" => Ok(vec![Tensor::read(content)?.frame(None, model)?]),
        "tensorflow.TensorProto" => Ok(vec![TfTensor::read(content)?.frame(None, model)?]),
        kind => Err(bad(format!(
            "customData of the type '{}' is not read: send data, jsonData, strData or binData",
            portend_core::shortened(kind)
        ))),
    }
}
