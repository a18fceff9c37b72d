//! The rows of a message as frames, and the encoding that they are answered in.

use std::borrow::Cow;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use portend_core::shortened;
use portend_model::Model;
use portend_model::frame::{Columns, Frame, Keep, Place, array};
use serde_json::value::RawValue;

use super::arrival::with_numbers_quoted;
use super::bad;
use super::message::{Message, Rows, Tensor, TfShape, TfSize, TfTensor};
use crate::error::ServerError;
use crate::protocol::tensor::dimensions;
use crate::protocol::v2::datatype::Datatype;

/// The encodings of an array.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Encoding {
    Ndarray,
    Tensor,
    TfTensor,
}

impl Encoding {
    /// What an answer to these rows is written in: the same, or a tensor where they came in no array.
    pub(super) fn of_answer(rows: &Rows<'_>) -> Self {
        match rows {
            Rows::Ndarray(_) | Rows::Nothing => Self::Ndarray,
            Rows::TfTensor(_) => Self::TfTensor,
            Rows::Tensor(_) | Rows::Json(_) | Rows::Text(_) | Rows::Bytes(_) => Self::Tensor,
        }
    }
}

/// Decodes the rows of a message into at most `parts` frames.
pub(super) fn frames(message: &Message<'_>, model: &Model, parts: usize) -> Result<Vec<Frame>, ServerError> {
    let names = telling(message.names(), model);
    match message.rows()? {
        Rows::Ndarray(json) => {
            let names: Option<Vec<&str>> = names.map(|names| names.iter().map(AsRef::as_ref).collect());
            Ok(vec![model.decode_rows(json, names.as_deref())?])
        }
        Rows::Tensor(tensor) => Ok(vec![tensor.frame(names, model)?]),
        Rows::TfTensor(tensor) => Ok(vec![tensor.frame(names, model)?]),
        Rows::Nothing => Ok(vec![model.decode_rows("[]", None)?]),
        Rows::Json(json) => json_rows(json, model, parts),
        Rows::Text(text) => text_rows(text, model, parts),
        Rows::Bytes(text) => {
            let bytes =
                BASE64_STANDARD.decode(text).map_err(|e| bad(format!("binData is not base64: {e}")))?;
            let text = std::str::from_utf8(&bytes);
            text_rows(text.map_err(|_| bad("binData is not UTF-8 text"))?, model, parts)
        }
    }
}

/// The names, if they say which feature a column is. Most models behind this protocol never looked at them, and clients
/// send what they like: where no feature has such a name, columns are taken in the model's order.
pub(super) fn telling<'n, N: AsRef<str>>(names: &'n [N], model: &Model) -> Option<&'n [N]> {
    names.iter().any(|name| model.inputs.knows(name.as_ref())).then_some(names)
}

/// CSV with a header, or JSON.
pub(super) fn text_rows(text: &str, model: &Model, parts: usize) -> Result<Vec<Frame>, ServerError> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    match text.trim_ascii_start().starts_with(['[', '{']) {
        true => json_rows(&with_numbers_quoted(Cow::Borrowed(text)), model, parts),
        false => Ok(model.decode_csv(text, &Keep::None, parts)?),
    }
}

/// Records, a single record, or rows that are lists; as a text, whatever the text is.
pub(super) fn json_rows(json: &str, model: &Model, parts: usize) -> Result<Vec<Frame>, ServerError> {
    let json = json.trim_ascii();
    let inside = json.strip_prefix('[').map(str::trim_ascii_start);
    match (json.as_bytes().first(), inside) {
        (Some(b'"'), _) => {
            let text: String = serde_json::from_str(json).map_err(|_| bad("jsonData is not JSON"))?;
            match text.trim_ascii_start().starts_with('"') {
                true => Err(bad("jsonData is a text in a text: send records, or rows that are lists")),
                false => text_rows(&text, model, parts),
            }
        }
        (Some(b'{'), _) => Ok(vec![model.decode_json(&format!("[{json}]"), &Keep::None)?]),
        (_, Some(inside)) if inside.starts_with('[') => Ok(vec![model.decode_rows(json, None)?]),
        _ => Ok(vec![model.decode_json(json, &Keep::None)?]),
    }
}

/// The places of the columns of an array.
pub(super) fn places(
    columns: &mut Columns<'_>,
    names: Option<&[impl AsRef<str>]>,
    width: usize,
) -> Result<Vec<Place>, ServerError> {
    let Some(names) = names else { return Ok(columns.all_places(width)?) };
    if names.len() != width {
        return Err(bad(format!("data.names has {} names, a row has {width} values", names.len())));
    }
    let named = names.iter().enumerate();
    named.map(|(position, name)| Ok(columns.place(name.as_ref(), position)?)).collect()
}

/// Rows and the values in each, if there can be so many in `bytes` of a request.
pub(super) fn checked(shape: &[u64], of: &str, bytes: usize) -> Result<(usize, usize), ServerError> {
    let Some((rows, width)) = dimensions(shape) else {
        return Err(bad(format!("{of}: its shape has no dimension, or is larger than any body")));
    };
    // rows without values are refused later, and make no room before
    let values = rows * width.max(1);
    match values > bytes {
        true => Err(bad(format!("{of}: it has less than the {values} values of its shape"))),
        false => Ok((rows, width)),
    }
}

/// Values out of JSON, of which there must be as many as the shape says.
fn filled(
    (rows, width): (usize, usize),
    of: &str,
    json: &str,
    names: Option<&[Cow<'_, str>]>,
    model: &Model,
) -> Result<Frame, ServerError> {
    let mut columns = model.columns(rows)?;
    let places = places(&mut columns, names, width)?;
    let found = array::fill(&mut columns, &places, json)?;
    match found == rows * width {
        true => Ok(columns.finish(width)?),
        false => Err(bad(format!("{of}: it has {found} values, its shape needs {}", rows * width))),
    }
}

impl Tensor<'_> {
    fn frame(&self, names: Option<&[Cow<'_, str>]>, model: &Model) -> Result<Frame, ServerError> {
        let json = self.values.map_or("[]", RawValue::get);
        let shape = checked(&self.shape.0, "data.tensor", json.len())?;
        filled(shape, "data.tensor", json, names, model)
    }
}

/// What a TensorProto is called in errors.
pub(super) const TF: &str = "data.tftensor";

/// TensorFlow's datatypes, by number and name.
const TF_DATATYPES: [(&str, &str, Datatype); 13] = [
    ("1", "DT_FLOAT", Datatype::Fp32),
    ("2", "DT_DOUBLE", Datatype::Fp64),
    ("3", "DT_INT32", Datatype::Int32),
    ("4", "DT_UINT8", Datatype::Uint8),
    ("5", "DT_INT16", Datatype::Int16),
    ("6", "DT_INT8", Datatype::Int8),
    ("9", "DT_INT64", Datatype::Int64),
    ("10", "DT_BOOL", Datatype::Bool),
    ("14", "DT_BFLOAT16", Datatype::Bf16),
    ("17", "DT_UINT16", Datatype::Uint16),
    ("19", "DT_HALF", Datatype::Fp16),
    ("22", "DT_UINT32", Datatype::Uint32),
    ("23", "DT_UINT64", Datatype::Uint64),
];

/// The datatype of this number or name.
pub(super) fn tf_datatype(told: &str) -> Result<Datatype, ServerError> {
    let known = TF_DATATYPES.iter().find(|(number, name, _)| *number == told || *name == told);
    known.map(|(.., datatype)| *datatype).ok_or_else(|| {
        bad(format!("{TF}: dtype '{}' is not read: send numbers, as DT_DOUBLE or DT_FLOAT", shortened(told)))
    })
}

/// Values out of bytes, of which there must be as many as the shape says.
pub(super) fn tf_content(
    datatype: Datatype,
    shape: &[u64],
    bytes: &[u8],
    names: Option<&[impl AsRef<str>]>,
    model: &Model,
) -> Result<Frame, ServerError> {
    let (rows, width) = checked(shape, TF, bytes.len())?;
    let wanted = rows * width * datatype.size().unwrap_or_default();
    if bytes.len() != wanted {
        return Err(bad(format!("{TF}: its values have {} bytes, its shape needs {wanted}", bytes.len())));
    }
    let mut columns = model.columns(rows)?;
    let places = places(&mut columns, names, width)?;
    datatype.fill(&mut columns, &places, bytes);
    Ok(columns.finish(width)?)
}

impl TfTensor<'_> {
    fn frame(&self, names: Option<&[Cow<'_, str>]>, model: &Model) -> Result<Frame, ServerError> {
        let datatype = tf_datatype(self.dtype.map_or("", RawValue::get).trim_matches('"'))?;
        let shape = self.shape.as_ref().map(TfShape::sizes).transpose()?.unwrap_or_default();
        let Some(content) = self.content.as_deref().filter(|content| !content.is_empty()) else {
            let json = self.listed(datatype);
            return filled(checked(&shape, TF, json.len())?, TF, json, names, model);
        };
        let bytes = BASE64_STANDARD.decode(content);
        let bytes = bytes.map_err(|e| bad(format!("{TF}: tensorContent is not base64: {e}")))?;
        tf_content(datatype, &shape, &bytes, names, model)
    }

    /// The values where they are listed, under the key that its datatype has.
    fn listed(&self, datatype: Datatype) -> &str {
        let values = match datatype {
            Datatype::Fp32 => self.floats,
            Datatype::Fp64 => self.doubles,
            Datatype::Int64 => self.long_integers,
            Datatype::Uint32 => self.unsigned,
            Datatype::Uint64 => self.long_unsigned,
            Datatype::Bool => self.truths,
            Datatype::Bf16 | Datatype::Fp16 => None, // as bits, which nobody lists
            _ => self.integers,
        };
        values.map_or("[]", RawValue::get)
    }
}

impl TfShape {
    fn sizes(&self) -> Result<Vec<u64>, ServerError> {
        let sizes = self.dim.0.iter().map(|dimension| match &dimension.size {
            TfSize::Number(size) => Some(*size),
            TfSize::Text(size) => size.parse().ok(),
        });
        let sizes: Option<Vec<u64>> = sizes.collect();
        sizes.ok_or_else(|| bad(format!("{TF}: a size of its shape is not a whole number")))
    }
}
