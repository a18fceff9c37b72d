//! Transforming, which a model alone does not do: what comes in goes out again, under the names of the model's outputs.

use portend_model::Model;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use super::bad;
use super::message::{Message, Rows};
use super::rows::checked;
use super::unit::{Unit, class_names};
use crate::error::ServerError;

/// The answer to a message: its own rows.
pub(super) fn answer(text: &str, unit: &Unit, model: &Model) -> Result<String, ServerError> {
    let message = Message::parse(text)?;
    let payload = match message.rows()? {
        Rows::Tensor(tensor) => {
            let values = tensor.values.map_or("[]", RawValue::get);
            let shape = &tensor.shape.0;
            let (rows, width) = checked(shape, "data.tensor", values.len())?;
            match count(values) {
                Some(found) if found == rows * width => {}
                Some(found) => {
                    let wanted = rows * width;
                    return Err(bad(format!("data.tensor: it has {found} values, its shape needs {wanted}")));
                }
                None => return Err(bad("data.tensor: its values are not a list")),
            }
            let body = format!("\"tensor\":{{\"shape\":{},\"values\":{values}}}", serde_json::json!(shape));
            data(&body, shape.len() > 1, model)
        }
        Rows::Ndarray(rows) => {
            let Some(inside) = rows.strip_prefix('[') else { return Err(bad("data.ndarray is not a list")) };
            data(&format!("\"ndarray\":{rows}"), inside.trim_ascii_start().starts_with('['), model)
        }
        Rows::TfTensor(_) => return Err(bad("a tftensor is not transformed: send a tensor")),
        Rows::Nothing => data("\"ndarray\":[]", false, model),
        Rows::Json(json) => format!("\"jsonData\":{json}"),
        Rows::Text(text) => format!("\"strData\":{}", serde_json::Value::from(text)),
        Rows::Bytes(bytes) => format!("\"binData\":{}", serde_json::Value::from(bytes)),
    };
    Ok(format!("{{{payload},\"meta\":{}}}", unit.meta(message.meta.as_ref())?))
}

/// An array; only one that has columns has names for them.
fn data(body: &str, has_columns: bool, model: &Model) -> String {
    let names = if has_columns { class_names(model) } else { Vec::new() };
    format!("\"data\":{{\"names\":{},{body}}}", serde_json::json!(names))
}

/// The number of items in a JSON list.
fn count(json: &str) -> Option<usize> {
    serde_json::from_str::<Vec<IgnoredAny>>(json).ok().map(|items| items.len())
}
