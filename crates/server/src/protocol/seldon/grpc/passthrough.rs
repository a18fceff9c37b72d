//! Transforming, which a model alone does not do: what comes in goes out again, under the names of the model's outputs.

use portend_model::Model;

use super::super::unit::Unit;
use super::exchange::push_names;
use super::message::{Array, Message, Payload};
use super::tensor::{Tensor, TfTensor};
use super::value;
use super::wire::{fields, push_bytes};
use crate::error::ServerError;

/// The answer to a message: its own rows.
pub(super) fn answer(message: &[u8], unit: &Unit, model: &Model) -> Result<Vec<u8>, ServerError> {
    let message = Message::read(message)?;
    let mut answer = Vec::new();
    push_bytes(2, message.meta.answer(unit), &mut answer);
    match *message.payload()? {
        Payload::Array(ref data) => {
            let (number, array, has_columns) = passed(&data.array)?;
            let mut data = Vec::new();
            if has_columns {
                push_names(model, &mut data);
            }
            push_bytes(number, array, &mut data);
            push_bytes(3, data, &mut answer);
        }
        Payload::Bytes(bytes) => push_bytes(4, bytes, &mut answer),
        Payload::Text(text) => push_bytes(5, text, &mut answer),
        Payload::Json(json) => {
            value::check_value("jsonData", json)?;
            push_bytes(6, json, &mut answer);
        }
        Payload::Custom(any) => {
            fields("customData", any).try_for_each(|field| field.map(|_| ()))?;
            push_bytes(7, any, &mut answer);
        }
    }
    Ok(answer)
}

/// The field of an array in a DefaultData, its bytes, and whether it has columns, for only then it has names.
fn passed<'b>(array: &Array<'b>) -> Result<(u8, &'b [u8], bool), ServerError> {
    Ok(match *array {
        Array::Nothing => (3, &[], false),
        Array::Tensor(bytes) => {
            let tensor = Tensor::read(bytes)?;
            tensor.dimensions()?;
            (2, bytes, tensor.shape.len() > 1)
        }
        Array::Ndarray(list) => (3, list, value::is_list_of_lists("data.ndarray", list)?),
        Array::TfTensor(bytes) => (4, bytes, TfTensor::read(bytes)?.shape.len() > 1),
    })
}
