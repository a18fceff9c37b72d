//! An inference request as a message, read in place. Lists are bounded as those of JSON are, whatever their bytes.

use std::borrow::Cow;

use portend_core::shortened;
use portend_model::Model;
use portend_model::frame::Frame;
use serde::de::IgnoredAny;

use super::contents;
use crate::error::ServerError;
use crate::protocol::grpc::wire::{Fields, Held, Malformed, bytes, text, varint};
use crate::protocol::v2::outputs::TensorWriter;
use crate::protocol::v2::request::{
    Parameters, RequestedOutput, bad, check_content_type, check_input, writers,
};
use crate::protocol::v2::tensors::{Data, Head, Tensor, fill};

/// The most that a request may have of inputs, outputs, dimensions of an input, and parameters of anything.
const INPUTS: usize = 65_536;
const OUTPUTS: usize = 64;
const DIMENSIONS: usize = 8;
const PARAMETERS: usize = 256;

/// What a request says of the model, and its id.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Meant<'b> {
    pub(super) name: &'b str,
    pub(super) version: &'b str,
    pub(super) id: &'b str,
}

impl<'b> Meant<'b> {
    /// Looks for it; the rest of the message is passed over.
    pub(super) fn of(message: &'b [u8]) -> Result<Self, ServerError> {
        let mut meant = Self::default();
        for field in Fields(message) {
            match field? {
                (1, name) => meant.name = text(name)?,
                (2, version) => meant.version = text(version)?,
                (3, id) => meant.id = text(id)?,
                _ => {}
            }
        }
        Ok(meant)
    }
}

/// A request.
#[derive(Debug, Default)]
pub(super) struct InferMessage<'b> {
    parameters: Option<Parameters>,
    inputs: Vec<&'b [u8]>,
    outputs: Vec<RequestedOutput<'b>>,
    raw: Vec<&'b [u8]>,
}

fn push<T>(list: &mut Vec<T>, most: usize, what: &str, item: T) -> Result<(), ServerError> {
    if list.len() == most {
        return Err(bad(format!("the request has more than {most} {what}")));
    }
    list.push(item);
    Ok(())
}

impl<'b> InferMessage<'b> {
    /// Reads a message.
    pub(super) fn parse(message: &'b [u8]) -> Result<Self, ServerError> {
        let mut request = Self::default();
        let mut parameters = Bounded::default();
        for field in Fields(message) {
            match field? {
                (4, entry) => parameters.add(bytes(entry)?)?,
                (5, input) => push(&mut request.inputs, INPUTS, "inputs", bytes(input)?)?,
                (6, output) => {
                    push(&mut request.outputs, OUTPUTS, "outputs", requested_output(bytes(output)?)?)?;
                }
                (7, raw) => push(&mut request.raw, INPUTS, "raw_input_contents", bytes(raw)?)?,
                _ => {}
            }
        }
        request.parameters = parameters.found;
        Ok(request)
    }

    /// Whether the tensors come as raw contents: the answer's do as well then.
    pub(super) fn is_raw(&self) -> bool {
        !self.raw.is_empty()
    }

    /// A frame of all rows.
    pub(super) fn frame(&self, model: &Model) -> Result<Frame, ServerError> {
        check_content_type(self.parameters.as_ref(), "the request")?;
        if self.is_raw() && self.raw.len() != self.inputs.len() {
            let (inputs, raw) = (self.inputs.len(), self.raw.len());
            return Err(bad(format!(
                "the request has {inputs} inputs and {raw} raw_input_contents: send one for each input, or none"
            )));
        }
        let raw = self.raw.iter().copied().map(Some).chain(std::iter::repeat(None));
        let tensors: Vec<Tensor<'b>> =
            self.inputs.iter().zip(raw).map(|(input, raw)| tensor(input, raw)).collect::<Result<_, _>>()?;
        fill(&tensors, model)
    }

    /// What writes the answer.
    pub(super) fn writers(&self, model: &Model) -> Result<Vec<TensorWriter>, ServerError> {
        writers(&self.outputs, true, model)
    }
}

/// An input with its raw contents, or with those that it has itself.
fn tensor<'b>(message: &'b [u8], raw: Option<&'b [u8]>) -> Result<Tensor<'b>, ServerError> {
    let (mut name, mut datatype) = ("", "");
    let mut shape = Shape::default();
    let mut parameters = Bounded::default();
    let mut contents = None;
    for field in Fields(message) {
        match field? {
            (1, held) => name = text(held)?,
            (2, held) => datatype = text(held)?,
            (3, held) => shape.add(held)?,
            (4, held) => parameters.add(bytes(held)?)?,
            (5, held) if contents.is_none() => contents = Some(bytes(held)?),
            (5, _) => return Err(bad(format!("input '{}' has contents twice", shortened(name)))),
            _ => {}
        }
    }
    let head = Head::new(Cow::Borrowed(name), datatype, shape.sizes())?;
    check_input(parameters.found.as_ref(), name)?;
    let data = match (raw, contents) {
        (Some(_), Some([_, ..])) => {
            return Err(head.bad("it has contents, and the request raw_input_contents: only one may be"));
        }
        (Some(raw), _) => Data::Raw(raw),
        (None, contents) => contents::data(contents.unwrap_or_default(), &head)?,
    };
    head.with(data)
}

#[derive(Debug, Default)]
struct Shape {
    sizes: [u64; DIMENSIONS],
    count: usize,
}

impl Shape {
    fn add(&mut self, held: Held<'_>) -> Result<(), ServerError> {
        match held {
            Held::Varint(size) => self.push(size),
            Held::Bytes(mut packed) => {
                while !packed.is_empty() {
                    self.push(varint(&mut packed).ok_or(Malformed)?)?;
                }
                Ok(())
            }
            _ => Err(Malformed.into()),
        }
    }

    fn push(&mut self, size: u64) -> Result<(), ServerError> {
        if size > i64::MAX as u64 {
            return Err(bad("the shape of an input has a size below 0"));
        }
        let place = self.sizes.get_mut(self.count);
        *place.ok_or_else(|| bad(format!("the shape of an input has more than {DIMENSIONS} sizes")))? = size;
        self.count += 1;
        Ok(())
    }

    fn sizes(&self) -> &[u64] {
        &self.sizes[..self.count]
    }
}

fn requested_output(message: &[u8]) -> Result<RequestedOutput<'_>, ServerError> {
    let mut name = "";
    let mut parameters = Bounded::default();
    for field in Fields(message) {
        match field? {
            (1, held) => name = text(held)?,
            (2, held) => parameters.add(bytes(held)?)?,
            _ => {}
        }
    }
    Ok(RequestedOutput { name: Cow::Borrowed(name), parameters: parameters.found })
}

/// Parameters: those that mean something are kept, all are counted.
#[derive(Debug, Default)]
struct Bounded {
    count: usize,
    found: Option<Parameters>,
}

impl Bounded {
    /// Adds a name with its value.
    fn add(&mut self, entry: &[u8]) -> Result<(), ServerError> {
        self.count += 1;
        if self.count > PARAMETERS {
            return Err(bad(format!("something has more than {PARAMETERS} parameters")));
        }
        let (mut name, mut value) = ("", &[][..]);
        for field in Fields(entry) {
            match field? {
                (1, held) => name = text(held)?,
                (2, held) => value = bytes(held)?,
                _ => {}
            }
        }
        let mut found = self.found.take().unwrap_or_default();
        match name {
            "content_type" => found.content_type = Some(text_value(value)?),
            "shared_memory_region" => found.shared_memory_region = Some(IgnoredAny),
            "classification" => found.classification = Some(IgnoredAny),
            _ => {}
        }
        self.found = Some(found);
        Ok(())
    }
}

/// The text that a parameter is, shortened; of others nothing.
fn text_value(value: &[u8]) -> Result<String, ServerError> {
    for field in Fields(value) {
        if let (3, held) = field? {
            return Ok(shortened(text(held)?).into_owned());
        }
    }
    Ok(String::new())
}
