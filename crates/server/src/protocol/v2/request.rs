//! An inference request: what its JSON says, and its tensors written into a frame. Nothing of a tensor is copied on the
//! way: JSON values and raw bytes go from the body straight to their columns.

use std::borrow::Cow;

use portend_core::shortened;
use portend_model::frame::{Columns, Frame, Place, Value, array};
use portend_model::{DataError, Model};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use super::datatype::Datatype;
use super::outputs::{OutputTensor, TensorWriter};
use crate::error::ServerError;
use crate::protocol::tensor::{AtMost, dimensions};

/// The JSON of a request. What is not known is ignored.
#[derive(Debug, Deserialize)]
#[serde(expecting = "a JSON object with 'inputs'")]
pub(super) struct InferRequest<'b> {
    pub(super) id: Option<String>,
    parameters: Option<Parameters>,
    #[serde(borrow)]
    inputs: AtMost<Input<'b>, 65_536>,
    #[serde(borrow)]
    outputs: Option<AtMost<RequestedOutput<'b>, 64>>,
}

#[derive(Debug, Deserialize)]
#[serde(expecting = "an input, which is a JSON object")]
struct Input<'b> {
    #[serde(borrow)]
    name: Cow<'b, str>,
    shape: AtMost<i64, 8>,
    #[serde(borrow)]
    datatype: Cow<'b, str>,
    parameters: Option<Parameters>,
    #[serde(borrow)]
    data: Option<&'b RawValue>,
}

#[derive(Debug, Deserialize)]
#[serde(expecting = "an output, which is a JSON object")]
struct RequestedOutput<'b> {
    #[serde(borrow)]
    name: Cow<'b, str>,
    parameters: Option<Parameters>,
}

/// The parameters that mean something here.
#[derive(Debug, Default, Deserialize)]
#[serde(expecting = "parameters, which are a JSON object")]
struct Parameters {
    binary_data_size: Option<u64>,
    binary_data: Option<bool>,
    binary_data_output: Option<bool>,
    content_type: Option<String>,
    shared_memory_region: Option<IgnoredAny>,
    classification: Option<IgnoredAny>,
}

/// The content types of MLServer that mean what is done here anyway.
const CONTENT_TYPES: [&str; 5] = ["np", "pd", "str", "datetime", "hg_json"];

/// A tensor of the request.
#[derive(Debug)]
struct Tensor<'b> {
    name: Cow<'b, str>,
    datatype: Datatype,
    rows: usize,
    /// Values in a row.
    width: usize,
    data: Data<'b>,
}

#[derive(Debug)]
enum Data<'b> {
    Json(&'b str),
    Raw(&'b [u8]),
}

fn bad(reason: impl Into<String>) -> ServerError {
    ServerError::BadBody(reason.into())
}

impl<'b> InferRequest<'b> {
    /// Reads the JSON of a request.
    pub(super) fn parse(json: &'b [u8]) -> Result<Self, ServerError> {
        if json.trim_ascii().is_empty() {
            return Err(bad("the request body is empty: send a JSON object with 'inputs'"));
        }
        serde_json::from_slice(json).map_err(|error| {
            let reason = error.to_string();
            bad(format!("the body is not an inference request: {}", portend_core::shortened_to(200, &reason)))
        })
    }

    /// A frame of all rows; `raw` is what follows the JSON.
    pub(super) fn frame(&self, raw: Option<&'b [u8]>, model: &Model) -> Result<Frame, ServerError> {
        check_content_type(self.parameters.as_ref(), "the request")?;
        let mut rest = raw;
        let tensors =
            self.inputs.0.iter().map(|input| input.tensor(&mut rest)).collect::<Result<Vec<_>, _>>()?;
        match rest {
            Some(rest) if !rest.is_empty() => {
                Err(bad(format!("{} bytes follow the last tensor of the body", rest.len())))
            }
            _ => fill(&tensors, model),
        }
    }

    /// What writes the answer: the outputs that are asked for in their order, or the usual ones.
    pub(super) fn writers(&self, model: &Model) -> Result<Vec<TensorWriter>, ServerError> {
        let (offered, usual) = OutputTensor::offered(model);
        let binary = self.parameters.as_ref().and_then(|p| p.binary_data_output).unwrap_or(false);
        let named = self.outputs.as_ref().map_or(&[][..], |outputs| &outputs.0);
        if named.is_empty() {
            return Ok(offered[..usual].iter().map(|t| TensorWriter::new(*t, binary, model)).collect());
        }
        let mut writers: Vec<TensorWriter> = Vec::new();
        for RequestedOutput { name, parameters } in named {
            let Some(tensor) = offered.iter().find(|tensor| tensor.name() == *name) else {
                let names: Vec<_> = offered.iter().map(|tensor| tensor.name()).collect();
                return Err(bad(format!(
                    "the model has no output '{}': it has {}",
                    shortened(name),
                    names.join(", ")
                )));
            };
            if writers.iter().any(|writer| writer.tensor == *tensor) {
                return Err(bad(format!("output '{name}' is asked for twice")));
            }
            check_memory(parameters.as_ref(), "output", name)?;
            if parameters.as_ref().is_some_and(|p| p.classification.is_some()) {
                return Err(bad(format!("output '{name}': the classification extension is not offered")));
            }
            let binary = parameters.as_ref().and_then(|p| p.binary_data).unwrap_or(binary);
            writers.push(TensorWriter::new(*tensor, binary, model));
        }
        Ok(writers)
    }
}

fn check_content_type(parameters: Option<&Parameters>, of: &str) -> Result<(), ServerError> {
    match parameters.and_then(|parameters| parameters.content_type.as_deref()) {
        Some(other) if !CONTENT_TYPES.contains(&other) => Err(bad(format!(
            "{of}: content_type '{}' is not read, only {} are",
            shortened(other),
            CONTENT_TYPES.join(", ")
        ))),
        _ => Ok(()),
    }
}

fn check_memory(parameters: Option<&Parameters>, kind: &str, name: &str) -> Result<(), ServerError> {
    match parameters {
        Some(Parameters { shared_memory_region: Some(_), .. }) => Err(bad(format!(
            "{kind} '{}': shared memory is not offered, send tensors in the body",
            shortened(name)
        ))),
        _ => Ok(()),
    }
}

impl<'b> Input<'b> {
    /// Checks what it says of itself, and takes its bytes from the `rest` of the body.
    fn tensor(&self, rest: &mut Option<&'b [u8]>) -> Result<Tensor<'b>, ServerError> {
        let name = shortened(&self.name);
        let bad = |reason: String| bad(format!("input '{name}': {reason}"));
        let datatype = Datatype::parse(&self.datatype)
            .ok_or_else(|| bad(format!("datatype '{}' is not known", shortened(&self.datatype))))?;
        check_content_type(self.parameters.as_ref(), &format!("input '{name}'"))?;
        check_memory(self.parameters.as_ref(), "input", &self.name)?;
        let (rows, width) = self.rows_and_width().map_err(|reason| bad(reason.to_owned()))?;
        let values = rows * width;
        let data = match (self.parameters.as_ref().and_then(|p| p.binary_data_size), self.data) {
            (Some(_), Some(_)) => {
                return Err(bad("it has data and binary_data_size, only one may be".to_owned()));
            }
            (None, None) => return Err(bad("it has neither data nor binary_data_size".to_owned())),
            (None, Some(_)) if matches!(datatype, Datatype::Fp16 | Datatype::Bf16) => {
                return Err(bad(format!("{} is read as binary data only", datatype.name())));
            }
            (None, Some(data)) if values > data.get().len() => {
                return Err(bad(format!("its data has less than the {values} values of its shape")));
            }
            (None, Some(data)) => Data::Json(data.get()),
            (Some(size), None) => Data::Raw(take(rest, size).map_err(bad)?),
        };
        if let Data::Raw(bytes) = data {
            check_size(bytes.len(), values, datatype).map_err(bad)?;
        }
        Ok(Tensor { name: self.name.clone(), datatype, rows, width, data })
    }

    /// What its shape means.
    fn rows_and_width(&self) -> Result<(usize, usize), &'static str> {
        let sizes: Option<Vec<u64>> = self.shape.0.iter().map(|size| u64::try_from(*size).ok()).collect();
        let sizes = sizes.ok_or("its shape has a negative size: tell how many rows are sent")?;
        match dimensions(&sizes) {
            None => Err("its shape has no dimension, or is larger than any body"),
            // rows would be made of nothing sent
            Some((1.., 0)) => Err("its shape has rows without values"),
            Some(sizes) => Ok(sizes),
        }
    }
}

/// Whether so many bytes may hold the values of a shape, before room is made for these.
fn check_size(found: usize, values: usize, datatype: Datatype) -> Result<(), String> {
    const LENGTH: usize = 4; // before each text
    let wanted = values.saturating_mul(datatype.size().unwrap_or(LENGTH));
    match datatype.size() {
        Some(_) if found != wanted => Err(format!("it has {found} bytes of data, its shape needs {wanted}")),
        None if found < wanted => {
            Err(format!("it has {found} bytes of data, its shape needs {wanted} or more"))
        }
        _ => Ok(()),
    }
}

/// The next bytes behind the JSON.
fn take<'b>(rest: &mut Option<&'b [u8]>, size: u64) -> Result<&'b [u8], String> {
    let Some(left) = *rest else {
        return Err("it has binary_data_size, and the request no Inference-Header-Content-Length".to_owned());
    };
    let taken = usize::try_from(size).ok().and_then(|size| left.split_at_checked(size));
    let (bytes, others) = taken.ok_or_else(|| {
        format!("its binary_data_size is {size}, only {} bytes of the body are left", left.len())
    })?;
    *rest = Some(others);
    Ok(bytes)
}

/// One tensor of all features, or one for each.
fn fill(tensors: &[Tensor<'_>], model: &Model) -> Result<Frame, ServerError> {
    let Some(first) = tensors.first() else { return Err(bad("the request has no inputs")) };
    let is_feature = |name: &str| model.features.iter().any(|feature| feature.name == *name);
    let is_array = tensors.len() == 1 && (first.width != 1 || !is_feature(&first.name));
    if let Some(tensor) = tensors.iter().find(|tensor| !is_array && tensor.width != 1) {
        return Err(bad(format!(
            "input '{}' has {} values in a row: send one value a row for each feature, or all features as the only input",
            shortened(&tensor.name),
            tensor.width
        )));
    }
    if let Some(tensor) = tensors.iter().find(|tensor| tensor.rows != first.rows) {
        let (column, expected, found) = (tensor.name.to_string(), first.rows, tensor.rows);
        return Err(DataError::ColumnLength { column, expected, found }.into());
    }
    let mut columns = model.columns(first.rows)?;
    if is_array {
        let places = columns.all_places(first.width)?;
        first.fill(&mut columns, &places)?;
        return Ok(columns.finish(first.width)?);
    }
    for (position, tensor) in tensors.iter().enumerate() {
        let place = columns.place(&tensor.name, position)?;
        tensor.fill(&mut columns, &[place])?;
    }
    Ok(columns.finish(tensors.len())?)
}

impl Tensor<'_> {
    fn fill(&self, columns: &mut Columns<'_>, places: &[Place]) -> Result<(), ServerError> {
        let values = self.rows * self.width;
        let found = match self.data {
            Data::Raw(bytes) if self.datatype == Datatype::Bytes => {
                self.fill_texts(columns, places, bytes)?
            }
            Data::Raw(bytes) => {
                self.datatype.fill(columns, places, bytes);
                values
            }
            Data::Json(json) => array::fill(columns, places, json)?,
        };
        match found == values {
            true => Ok(()),
            false => Err(bad(format!(
                "input '{}': it has {found} values, its shape needs {values}",
                shortened(&self.name)
            ))),
        }
    }

    /// Texts, each behind its length; gives their number.
    fn fill_texts(
        &self,
        columns: &mut Columns<'_>,
        places: &[Place],
        mut bytes: &[u8],
    ) -> Result<usize, ServerError> {
        let mut count = 0;
        while !bytes.is_empty() {
            let cut = || bad(format!("input '{}': its value {count} is cut off", shortened(&self.name)));
            let (length, rest) = bytes.split_first_chunk().ok_or_else(cut)?;
            let length = u32::from_le_bytes(*length) as usize;
            let (text, rest) = rest.split_at_checked(length).ok_or_else(cut)?;
            let (row, place) =
                (count / self.width.max(1), places.get(count % self.width.max(1)).copied().flatten());
            if let (Some(input), true) = (place, row < self.rows) {
                let text = std::str::from_utf8(text)
                    .map_err(|_| DataError::NotText { column: columns.name(place).to_owned(), row })?;
                columns.set(row, input, Value::Text(text))?;
            }
            (bytes, count) = (rest, count + 1);
        }
        Ok(count)
    }
}

/// The request that a body of raw values alone stands for: those of the only feature, and all outputs as raw bytes.
pub(super) fn raw_frame(bytes: &[u8], model: &Model) -> Result<(Frame, Vec<TensorWriter>), ServerError> {
    let [feature] = model.features.as_slice() else {
        return Err(bad(format!(
            "Inference-Header-Content-Length is 0, and a body without JSON needs a model of one feature: this one has {}",
            model.features.len()
        )));
    };
    let datatype = Datatype::of_feature(feature);
    let mut columns = match datatype.size() {
        Some(size) if !bytes.len().is_multiple_of(size) => {
            let reason =
                format!("the body has {} bytes, a value of {} has {size}", bytes.len(), datatype.name());
            return Err(bad(reason));
        }
        Some(size) => model.columns(bytes.len() / size)?,
        None => model.columns(1)?,
    };
    let place = columns.place(&feature.name, 0)?;
    if let (Datatype::Bytes, Some(input)) = (datatype, place) {
        let text = std::str::from_utf8(bytes);
        let text = text.map_err(|_| DataError::NotText { column: feature.name.clone(), row: 0 })?;
        columns.set(0, input, Value::Text(text))?;
    }
    datatype.fill(&mut columns, &[place], bytes);
    let (offered, usual) = OutputTensor::offered(model);
    let writers = offered[..usual].iter().map(|tensor| TensorWriter::new(*tensor, true, model));
    Ok((columns.finish(1)?, writers.collect()))
}
