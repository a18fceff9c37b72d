//! What the descriptions of such contracts share.

use serde_json::{Value, json};

use crate::error::Cause;
use crate::openapi::schema::{array, json_of, object, reference};

/// What a request of rows can end with.
pub(crate) const ROWS_CAUSES: &[Cause] = &[Cause::Model, Cause::Body, Cause::Message, Cause::Rows];

/// Rows as records, lists, or the values of the only column.
pub(crate) fn rows_schema() -> Value {
    json!({ "anyOf": [array(&reference("Record")), array(&reference("Row")), array(&reference("Cell"))] })
}

/// The values of each column by its name.
pub(crate) fn columns_schema() -> Value {
    let values = json!({ "anyOf": [reference("Cell"), array(&reference("Cell")), array(&reference("Row"))] });
    json!({ "type": "object", "additionalProperties": values })
}

/// What may be asked beside the rows.
pub(crate) fn parameters_schema() -> Value {
    let flag = json!({ "type": ["boolean", "null"] });
    json!({
        "type": ["object", "null"],
        "additionalProperties": false,
        "properties": {
            "output_margin": flag,
            "raw_score": flag,
            "pred_leaf": flag,
            "predict_method": { "enum": ["predict", "predict_proba"] },
        },
    })
}

/// One value for each row under this key.
pub(crate) fn predictions(key: &str) -> Value {
    json_of(&object(&json!({ key: array(&reference("PlainPrediction")) })))
}
