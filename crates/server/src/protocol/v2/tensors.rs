//! The tensors of a request, however they came, written into a frame. Nothing of a tensor is copied on the way: JSON
//! values, raw bytes and the contents of messages go from the body straight to their columns.

use std::borrow::Cow;

use portend_core::shortened;
use portend_model::frame::{Columns, Frame, Place, Value, array};
use portend_model::{DataError, Model};

use super::datatype::Datatype;
use super::grpc::contents::Contents;
use super::outputs::{OutputTensor, TensorWriter};
use super::request::bad;
use crate::error::ServerError;
use crate::protocol::tensor::dimensions;

/// A tensor of the request.
#[derive(Debug)]
pub(super) struct Tensor<'b> {
    head: Head<'b>,
    data: Data<'b>,
}

/// What a tensor says of itself.
#[derive(Debug)]
pub(super) struct Head<'b> {
    name: Cow<'b, str>,
    pub(super) datatype: Datatype,
    rows: usize,
    /// Values in a row.
    width: usize,
}

#[derive(Debug)]
pub(super) enum Data<'b> {
    Json(&'b str),
    Raw(&'b [u8]),
    Contents(Contents<'b>),
}

impl<'b> Head<'b> {
    /// What `name`, `datatype` and `shape` say.
    pub(super) fn new(name: Cow<'b, str>, datatype: &str, shape: &[u64]) -> Result<Self, ServerError> {
        let bad = |reason: String| bad(format!("input '{}': {reason}", shortened(&name)));
        let datatype = Datatype::parse(datatype)
            .ok_or_else(|| bad(format!("datatype '{}' is not known", shortened(datatype))))?;
        let Some((rows, width)) = dimensions(shape) else {
            return Err(bad("its shape has no dimension, or is larger than any body".to_owned()));
        };
        if rows > 0 && width == 0 {
            return Err(bad("its shape has rows without values".to_owned()));
        }
        Ok(Self { name, datatype, rows, width })
    }

    /// The number of its values.
    pub(super) fn values(&self) -> usize {
        self.rows * self.width
    }

    /// Says that something of it is wrong.
    pub(super) fn bad(&self, reason: impl std::fmt::Display) -> ServerError {
        bad(format!("input '{}': {reason}", shortened(&self.name)))
    }

    /// With its data, which may have as many values as the shape says: room is made for these before they are read.
    pub(super) fn with(self, data: Data<'b>) -> Result<Tensor<'b>, ServerError> {
        const LENGTH: usize = 4; // before each text
        let values = self.values();
        match (&data, self.datatype.size()) {
            (Data::Raw(bytes), Some(size)) if bytes.len() != values.saturating_mul(size) => {
                let wanted = values.saturating_mul(size);
                Err(self.bad(format!("it has {} bytes of data, its shape needs {wanted}", bytes.len())))
            }
            (Data::Raw(bytes), None) if bytes.len() < values.saturating_mul(LENGTH) => {
                let (found, wanted) = (bytes.len(), values.saturating_mul(LENGTH));
                Err(self.bad(format!("it has {found} bytes of data, its shape needs {wanted} or more")))
            }
            (Data::Contents(Contents { count, .. }), _) if *count != values => {
                Err(self.bad(format!("it has {count} values, its shape needs {values}")))
            }
            _ => Ok(Tensor { head: self, data }),
        }
    }
}

/// One tensor of all features, or one for each.
pub(super) fn fill(tensors: &[Tensor<'_>], model: &Model) -> Result<Frame, ServerError> {
    let Some(first) = tensors.first() else { return Err(bad("the request has no inputs")) };
    let is_feature = |name: &str| model.features.iter().any(|feature| feature.name == *name);
    let is_array = tensors.len() == 1 && (first.head.width != 1 || !is_feature(&first.head.name));
    if let Some(tensor) = tensors.iter().find(|tensor| !is_array && tensor.head.width != 1) {
        return Err(bad(format!(
            "input '{}' has {} values in a row: send one value a row for each feature, or all features as the only input",
            shortened(&tensor.head.name),
            tensor.head.width
        )));
    }
    if let Some(tensor) = tensors.iter().find(|tensor| tensor.head.rows != first.head.rows) {
        let (column, expected, found) = (tensor.head.name.to_string(), first.head.rows, tensor.head.rows);
        return Err(DataError::ColumnLength { column, expected, found }.into());
    }
    let mut columns = model.columns(first.head.rows)?;
    if is_array {
        let places = columns.all_places(first.head.width)?;
        first.fill(&mut columns, &places)?;
        return Ok(columns.finish(first.head.width)?);
    }
    for (position, tensor) in tensors.iter().enumerate() {
        let place = columns.place(&tensor.head.name, position)?;
        tensor.fill(&mut columns, &[place])?;
    }
    Ok(columns.finish(tensors.len())?)
}

impl Tensor<'_> {
    fn fill(&self, columns: &mut Columns<'_>, places: &[Place]) -> Result<(), ServerError> {
        let head = &self.head;
        let values = head.values();
        let found = match &self.data {
            Data::Raw(bytes) if head.datatype == Datatype::Bytes => {
                self.fill_texts(columns, places, Lengths::new(bytes))?
            }
            Data::Raw(bytes) => {
                head.datatype.fill(columns, places, bytes);
                values
            }
            Data::Contents(contents) if head.datatype == Datatype::Bytes => {
                self.fill_texts(columns, places, contents.texts().map(Ok))?
            }
            Data::Contents(contents) => {
                columns.fill(places, contents.numbers());
                contents.count
            }
            Data::Json(json) => array::fill(columns, places, json)?,
        };
        match found == values {
            true => Ok(()),
            false => Err(head.bad(format!("it has {found} values, its shape needs {values}"))),
        }
    }

    /// Writes texts; gives their number.
    fn fill_texts<'t>(
        &self,
        columns: &mut Columns<'_>,
        places: &[Place],
        texts: impl Iterator<Item = Result<&'t [u8], usize>>,
    ) -> Result<usize, ServerError> {
        let (width, mut count) = (self.head.width.max(1), 0);
        for text in texts {
            let text = text.map_err(|at| self.head.bad(format!("its value {at} is cut off")))?;
            let (row, place) = (count / width, places.get(count % width).copied().flatten());
            if let (Some(input), true) = (place, row < self.head.rows) {
                let text = std::str::from_utf8(text)
                    .map_err(|_| DataError::NotText { column: columns.name(place).to_owned(), row })?;
                columns.set(row, input, Value::Text(text))?;
            }
            count += 1;
        }
        Ok(count)
    }
}

/// Raw texts, each behind its length; an error is the place of one that is cut off, and the end.
pub(super) struct Lengths<'t> {
    bytes: &'t [u8],
    count: usize,
}

impl<'t> Lengths<'t> {
    /// The texts in these bytes.
    pub(super) fn new(bytes: &'t [u8]) -> Self {
        Self { bytes, count: 0 }
    }
}

impl<'t> Iterator for Lengths<'t> {
    type Item = Result<&'t [u8], usize>;

    fn next(&mut self) -> Option<Self::Item> {
        let bytes = std::mem::take(&mut self.bytes);
        if bytes.is_empty() {
            return None;
        }
        let split = bytes
            .split_first_chunk()
            .and_then(|(length, rest)| rest.split_at_checked(u32::from_le_bytes(*length) as usize));
        let Some((text, rest)) = split else { return Some(Err(self.count)) };
        (self.bytes, self.count) = (rest, self.count + 1);
        Some(Ok(text))
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
