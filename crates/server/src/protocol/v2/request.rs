//! An inference request as JSON: what it says of tensors, and where their values are.

use std::borrow::Cow;

use portend_core::shortened;
use portend_model::Model;
use portend_model::frame::Frame;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use super::datatype::Datatype;
use super::outputs::{OutputTensor, TensorWriter};
use super::tensors::{Data, Head, Tensor, fill};
use crate::error::ServerError;
use crate::protocol::tensor::AtMost;

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

/// An output that is asked for.
#[derive(Debug, Deserialize)]
#[serde(expecting = "an output, which is a JSON object")]
pub(super) struct RequestedOutput<'b> {
    #[serde(borrow)]
    pub(super) name: Cow<'b, str>,
    pub(super) parameters: Option<Parameters>,
}

/// The parameters that mean something here.
#[derive(Debug, Default, Deserialize)]
#[serde(expecting = "parameters, which are a JSON object")]
pub(super) struct Parameters {
    binary_data_size: Option<u64>,
    binary_data: Option<bool>,
    binary_data_output: Option<bool>,
    pub(super) content_type: Option<String>,
    pub(super) shared_memory_region: Option<IgnoredAny>,
    pub(super) classification: Option<IgnoredAny>,
}

/// The content types of MLServer that mean what is done here anyway.
const CONTENT_TYPES: [&str; 5] = ["np", "pd", "str", "datetime", "hg_json"];

/// A request that is not what it should be.
pub(super) fn bad(reason: impl Into<String>) -> ServerError {
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

    /// What writes the answer: the outputs that are asked for, or the usual ones.
    pub(super) fn writers(&self, model: &Model) -> Result<Vec<TensorWriter>, ServerError> {
        let binary = self.parameters.as_ref().and_then(|p| p.binary_data_output).unwrap_or(false);
        writers(self.outputs.as_ref().map_or(&[][..], |outputs| &outputs.0), binary, model)
    }
}

/// What writes the outputs that are asked for, in their order, or the usual ones.
pub(super) fn writers(
    named: &[RequestedOutput<'_>],
    binary: bool,
    model: &Model,
) -> Result<Vec<TensorWriter>, ServerError> {
    let (offered, usual) = OutputTensor::offered(model);
    if named.is_empty() {
        return Ok(offered[..usual].iter().map(|t| TensorWriter::new(*t, binary, model)).collect());
    }
    let mut writers: Vec<TensorWriter> = Vec::new();
    for RequestedOutput { name, parameters } in named {
        let Some(tensor) = offered.iter().find(|tensor| tensor.name() == *name) else {
            let names: Vec<_> = offered.iter().map(|tensor| tensor.name()).collect();
            let (name, names) = (shortened(name), names.join(", "));
            return Err(bad(format!("the model has no output '{name}': it has {names}")));
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

/// Refuses content types that would mean something else.
pub(super) fn check_content_type(parameters: Option<&Parameters>, of: &str) -> Result<(), ServerError> {
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
        let shape: Option<Vec<u64>> = self.shape.0.iter().map(|size| u64::try_from(*size).ok()).collect();
        let shape = shape.ok_or_else(|| {
            let name = shortened(&self.name);
            bad(format!("input '{name}': its shape has a negative size: tell how many rows are sent"))
        })?;
        let head = Head::new(self.name.clone(), &self.datatype, &shape)?;
        check_input(self.parameters.as_ref(), &self.name)?;
        let size = self.parameters.as_ref().and_then(|parameters| parameters.binary_data_size);
        let data = match (size, self.data) {
            (Some(_), Some(_)) => Err("it has data and binary_data_size, only one may be".to_owned()),
            (None, None) => Err("it has neither data nor binary_data_size".to_owned()),
            (None, Some(_)) if matches!(head.datatype, Datatype::Fp16 | Datatype::Bf16) => {
                Err(format!("{} is read as binary data only", head.datatype.name()))
            }
            (None, Some(data)) if head.values() > data.get().len() => {
                Err(format!("its data has less than the {} values of its shape", head.values()))
            }
            (None, Some(data)) => Ok(Data::Json(data.get())),
            (Some(size), None) => take(rest, size).map(Data::Raw),
        };
        let data = data.map_err(|reason| head.bad(reason))?;
        head.with(data)
    }
}

/// Checks the parameters of an input.
pub(super) fn check_input(parameters: Option<&Parameters>, name: &str) -> Result<(), ServerError> {
    check_content_type(parameters, &format!("input '{}'", shortened(name)))?;
    check_memory(parameters, "input", name)
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
