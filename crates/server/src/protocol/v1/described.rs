//! What the OpenAPI document tells of this protocol.

use serde_json::{Value, json};

use crate::error::Cause;
use crate::openapi::Subject;
use crate::openapi::schema::{array, json_of, object, reference, texts};
use crate::protocol::Operation;
use crate::protocol::rows::{ROWS_CAUSES, columns_schema, parameters_schema, predictions, rows_schema};

pub(super) fn alive(operation: Operation) -> Operation {
    operation.gives(200, "Yes", |_| {
        let text = json!({ "type": "string" });
        json_of(&object(&json!({ "status": { "const": "alive" }, "name": text, "version": text })))
    })
}

pub(super) fn models(operation: Operation) -> Operation {
    operation.gives(200, "The names", |_| json_of(&object(&json!({ "models": texts() }))))
}

pub(super) fn status(operation: Operation) -> Operation {
    let status = |_: &Subject<'_>| {
        let text = json!({ "type": "string" });
        let version = object(
            &json!({ "version": text, "state": { "const": "AVAILABLE" }, "status": { "type": "object" } }),
        );
        json_of(&object(&json!({
            "name": text, "ready": { "const": true }, "model_version_status": array(&version),
        })))
    };
    operation.gives(200, "It can, and was loaded if it was not", status).may(&[Cause::Model])
}

pub(super) fn metadata(operation: Operation) -> Operation {
    let metadata = |_: &Subject<'_>| {
        let object_of_any = json!({ "type": "object" });
        json_of(&object(&json!({ "model_spec": object_of_any, "metadata": object_of_any })))
    };
    operation.gives(200, "In the form of TensorFlow Serving", metadata).may(&[Cause::Model])
}

pub(super) fn no_labels(operation: Operation) -> Operation {
    operation.may(&[Cause::Model])
}

pub(super) fn predict(operation: Operation) -> Operation {
    let answer = |_: &Subject<'_>| {
        let content = |key| predictions(key)["application/json"]["schema"].clone();
        json_of(&json!({ "oneOf": [content("predictions"), content("outputs")] }))
    };
    operation
        .described(
            "Rows are sent as `instances`, and then answered as `predictions`, or as `inputs`, by column.",
        )
        .takes(rows)
        .gives(200, "One value for each row", answer)
        .may(ROWS_CAUSES)
}

fn rows(subject: &Subject<'_>) -> Value {
    let schema = json!({
        "type": "object",
        "properties": {
            "signature_name": { "enum": ["", "serving_default", null] },
            "instances": rows_schema(),
            "inputs": { "anyOf": [rows_schema(), columns_schema()] },
            "parameters": parameters_schema(),
        },
        "oneOf": [{ "required": ["instances"] }, { "required": ["inputs"] }],
    });
    json!({ "application/json": subject.content(&schema, |subject| json!({ "instances": [subject.record()] })) })
}

pub(super) fn classify(operation: Operation) -> Operation {
    let answer = |_: &Subject<'_>| json_of(&object(&json!({ "result": array(&array(&array(&json!({})))) })));
    operation
        .described("Of models that predict classes; 400 of others.")
        .takes(examples)
        .gives(200, "A list of labels with their probabilities for each example", answer)
        .may(ROWS_CAUSES)
}

pub(super) fn regress(operation: Operation) -> Operation {
    operation
        .described("Of models that predict one number; 400 of others.")
        .takes(examples)
        .gives(200, "A number for each example", |_| predictions("result"))
        .may(ROWS_CAUSES)
}

fn examples(subject: &Subject<'_>) -> Value {
    let schema = json!({
        "type": "object",
        "properties": {
            "signature_name": { "enum": ["", "serving_default", null] },
            "examples": array(&reference("Record")),
            "context": { "type": ["object", "null"], "maxProperties": 0 },
        },
        "required": ["examples"],
    });
    json!({ "application/json": subject.content(&schema, |subject| json!({ "examples": [subject.record()] })) })
}
