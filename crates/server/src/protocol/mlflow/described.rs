//! What the OpenAPI document tells of these protocols.

use serde_json::{Value, json};

use super::CUSTOM_ATTRIBUTES;
use crate::error::Cause;
use crate::openapi::Subject;
use crate::openapi::schema::{array, header, json_of, object, reference, texts};
use crate::protocol::Operation;
use crate::protocol::rows::{columns_schema, parameters_schema, predictions, rows_schema};

/// The form of an error.
pub(super) fn error() -> Value {
    let text = json!({ "type": "string" });
    object(&json!({ "error_code": text, "message": text }))
}

pub(super) fn invocations(operation: Operation) -> Operation {
    let answer = |_: &Subject<'_>| {
        let mut content = predictions("predictions");
        content["text/csv"] = json!({ "schema": { "type": "string" } });
        content
    };
    operation
        .described(
            "A JSON body has one of `dataframe_split`, `dataframe_records`, `instances` and `inputs`. A Parquet file is one \
             that `DataFrame.to_parquet` writes.",
        )
        .with(|_| {
            let text = json!({ "type": "string" });
            json!([header(CUSTOM_ATTRIBUTES.as_str(), &text, "Repeated by the answer.")])
        })
        .takes(body)
        .gives(200, "One value for each row", answer)
        .may(&[Cause::Model, Cause::MediaType, Cause::Body, Cause::Message, Cause::Rows])
}

fn body(subject: &Subject<'_>) -> Value {
    let split = json!({
        "type": "object",
        "additionalProperties": false,
        "properties": { "columns": texts(), "index": {}, "data": array(&reference("Row")) },
        "required": ["data"],
    });
    let columns = columns_schema();
    let by_column = json!({ "anyOf": [rows_schema(), columns] });
    let one_of = ["dataframe_split", "dataframe_records", "instances", "inputs"]
        .map(|key| json!({ "required": [key] }));
    let schema = json!({
        "type": "object",
        "properties": {
            "dataframe_split": split,
            "dataframe_records": array(&reference("Record")),
            "instances": by_column,
            "inputs": by_column,
            "params": parameters_schema(),
        },
        "oneOf": one_of,
    });
    let example = |subject: &Subject<'_>| json!({ "dataframe_split": { "columns": subject.columns(), "data": [subject.row()] } });
    json!({
        "application/json": subject.content(&schema, example),
        "text/csv": subject.content(&json!({ "type": "string" }), |subject| subject.csv().into()),
        "application/vnd.apache.parquet": {},
    })
}

pub(super) fn health(operation: Operation) -> Operation {
    // a line end alone is no JSON, and what the original sends
    operation.gives(200, "Yes; the body is a line end", |_| json!({ "application/json": {} })).gives(
        503,
        "No",
        |_| json_of(&error()),
    )
}

pub(super) fn version(operation: Operation) -> Operation {
    // as is a bare word
    operation.gives(
        200,
        "Three numbers with points between, without quotes",
        |_| json!({ "application/json": {} }),
    )
}

fn loaded() -> Value {
    object(&json!({ "modelName": { "type": "string" }, "modelUrl": { "type": ["string", "null"] } }))
}

pub(super) fn models(operation: Operation) -> Operation {
    operation.gives(200, "The models", |_| json_of(&object(&json!({ "models": array(&loaded()) }))))
}

pub(super) fn model(operation: Operation) -> Operation {
    operation.gives(200, "The model", |_| json_of(&loaded())).may(&[Cause::Name])
}

pub(super) fn load(operation: Operation) -> Operation {
    let body = |subject: &Subject<'_>| {
        let text = json!({ "type": "string" });
        let schema = json!({
            "type": "object",
            "properties": { "model_name": text, "url": { "type": ["string", "null"] } },
            "required": ["model_name"],
        });
        let example = json!({ "model_name": subject.name, "url": "any" });
        json!({ "application/json": { "schema": schema, "example": example } })
    };
    operation
        .described("`url` is for messages only: models are loaded from the repository.")
        .takes(body)
        .gives(200, "It is loaded", |_| json_of(&json!({ "type": "object" })))
        .may(&[Cause::Model, Cause::Body, Cause::Message, Cause::Loaded, Cause::Writing])
}

pub(super) fn unload(operation: Operation) -> Operation {
    operation
        .gives(200, "It is no longer in memory", |_| json_of(&json!({ "type": "object" })))
        .may(&[Cause::Name, Cause::Writing])
}
