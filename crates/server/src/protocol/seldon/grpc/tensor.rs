//! Tensors out of their bytes: Seldon's own, and TensorFlow's. Their numbers go straight into columns.

use std::borrow::Cow;

use portend_model::Model;
use portend_model::frame::Frame;

use super::super::bad;
use super::super::rows::{TF, checked, places, tf_content, tf_datatype};
use super::wire::{Field, append, fields, varints};
use crate::error::ServerError;
use crate::protocol::v2::datatype::Datatype;

const TENSOR: &str = "data.tensor";

/// More dimensions are refused while they are read.
const MOST_DIMENSIONS: usize = 8;

/// Numbers row after row, all doubles.
#[derive(Debug, Default)]
pub(super) struct Tensor<'b> {
    /// How many in each dimension.
    pub(super) shape: Vec<u64>,
    values: Cow<'b, [u8]>,
}

impl<'b> Tensor<'b> {
    /// Reads a Tensor.
    pub(super) fn read(bytes: &'b [u8]) -> Result<Self, ServerError> {
        const DOUBLE: Field<'_> = Field::Eight([0; 8]);
        let mut tensor = Self::default();
        for field in fields(TENSOR, bytes) {
            match field? {
                (1, sizes) => {
                    for size in varints(&sizes.numbers(Field::Varint(0), TENSOR)?) {
                        push_size(&mut tensor.shape, size, TENSOR)?;
                    }
                }
                (2, values) => append(&mut tensor.values, values.numbers(DOUBLE, TENSOR)?),
                _ => {}
            }
        }
        Ok(tensor)
    }

    /// Rows, and values in each, of which there are just so many.
    pub(super) fn dimensions(&self) -> Result<(usize, usize), ServerError> {
        let (found, rest) = (self.values.len() / size_of::<f64>(), self.values.len() % size_of::<f64>());
        let (rows, width) = checked(&self.shape, TENSOR, self.values.len())?;
        match (found == rows * width, rest) {
            (true, 0) => Ok((rows, width)),
            (_, 0) => Err(bad(format!("{TENSOR}: it has {found} values, its shape needs {}", rows * width))),
            _ => Err(bad(format!("Invalid message: {TENSOR} has values of another type"))),
        }
    }

    /// Decodes it.
    pub(super) fn frame(&self, names: Option<&[&str]>, model: &Model) -> Result<Frame, ServerError> {
        let (rows, width) = self.dimensions()?;
        let mut columns = model.columns(rows)?;
        let places = places(&mut columns, names, width)?;
        Datatype::Fp64.fill(&mut columns, &places, &self.values);
        Ok(columns.finish(width)?)
    }
}

/// Adds a size to a shape.
fn push_size(shape: &mut Vec<u64>, size: Option<u64>, of: &str) -> Result<(), ServerError> {
    // a negative one is a large one here
    let size = size.filter(|size| i64::try_from(*size).is_ok());
    let size = size.ok_or_else(|| bad(format!("{of}: a size of its shape is not a whole number")))?;
    if shape.len() == MOST_DIMENSIONS {
        return Err(bad(format!("{of}: its shape has more than {MOST_DIMENSIONS} dimensions")));
    }
    shape.push(size);
    Ok(())
}

/// A TensorProto.
#[derive(Debug, Default)]
pub(super) struct TfTensor<'b> {
    datatype: u64,
    /// How many in each dimension.
    pub(super) shape: Vec<u64>,
    content: &'b [u8],
    /// Its lists of values.
    lists: [Cow<'b, [u8]>; LISTS.len()],
}

/// The fields of the lists that are read, and how a value looks in each.
const LISTS: [(u64, Field<'_>); 7] = [
    (5, Field::Four([0; 4])),
    (6, Field::Eight([0; 8])),
    (7, Field::Varint(0)),
    (10, Field::Varint(0)),
    (11, Field::Varint(0)),
    (16, Field::Varint(0)),
    (17, Field::Varint(0)),
];

/// The field that values of a type are listed in; None for types that nobody lists.
fn list_of(datatype: Datatype) -> Option<u64> {
    Some(match datatype {
        Datatype::Fp32 => 5,
        Datatype::Fp64 => 6,
        Datatype::Int64 => 10,
        Datatype::Bool => 11,
        Datatype::Uint32 => 16,
        Datatype::Uint64 => 17,
        Datatype::Int32 | Datatype::Int16 | Datatype::Int8 | Datatype::Uint16 | Datatype::Uint8 => 7,
        Datatype::Fp16 | Datatype::Bf16 | Datatype::Bytes => return None,
    })
}

impl<'b> TfTensor<'b> {
    /// Reads a TensorProto.
    pub(super) fn read(bytes: &'b [u8]) -> Result<Self, ServerError> {
        let mut tensor = Self::default();
        for field in fields(TF, bytes) {
            match field? {
                (1, datatype) => tensor.datatype = datatype.varint(TF)?,
                (2, shape) => tensor.read_shape(shape.bytes(TF)?)?,
                (4, content) => tensor.content = content.bytes(TF)?,
                (number, list) => {
                    if let Some(at) = LISTS.iter().position(|(known, _)| *known == number) {
                        append(&mut tensor.lists[at], list.numbers(LISTS[at].1, TF)?);
                    }
                }
            }
        }
        Ok(tensor)
    }

    fn read_shape(&mut self, shape: &'b [u8]) -> Result<(), ServerError> {
        for dimension in fields(TF, shape) {
            let (2, dimension) = dimension? else { continue };
            let mut size = 0;
            for field in fields(TF, dimension.bytes(TF)?) {
                if let (1, told) = field? {
                    size = told.varint(TF)?;
                }
            }
            push_size(&mut self.shape, Some(size), TF)?;
        }
        Ok(())
    }

    /// Decodes it.
    pub(super) fn frame(&self, names: Option<&[&str]>, model: &Model) -> Result<Frame, ServerError> {
        let datatype = tf_datatype(&self.datatype.to_string())?;
        if !self.content.is_empty() {
            return tf_content(datatype, &self.shape, self.content, names, model);
        }
        let at = list_of(datatype).and_then(|number| LISTS.iter().position(|(known, _)| *known == number));
        let Some((list, (_, like))) = at.map(|at| (&self.lists[at], LISTS[at])) else {
            return tf_content(datatype, &self.shape, &[], names, model);
        };
        match like {
            Field::Varint(_) => self.integers(datatype, list, names, model),
            _ => tf_content(datatype, &self.shape, list, names, model),
        }
    }

    /// Decodes integers, each in as many bytes as it needs.
    fn integers(
        &self,
        datatype: Datatype,
        list: &[u8],
        names: Option<&[&str]>,
        model: &Model,
    ) -> Result<Frame, ServerError> {
        let (rows, width) = checked(&self.shape, TF, list.len())?;
        let found = list.iter().filter(|byte| **byte < 0x80).count();
        if varints(list).any(|value| value.is_none()) {
            return Err(bad(format!("Invalid message: {TF} has values of another type")));
        }
        if found != rows * width {
            return Err(bad(format!("{TF}: it has {found} values, its shape needs {}", rows * width)));
        }
        let mut columns = model.columns(rows)?;
        let places = places(&mut columns, names, width)?;
        let number = |value: u64| match datatype {
            Datatype::Uint32 | Datatype::Uint64 => value as f64,
            Datatype::Bool => f64::from(u8::from(value != 0)),
            _ => value as i64 as f64,
        };
        columns.fill(&places, varints(list).flatten().map(number));
        Ok(columns.finish(width)?)
    }
}
