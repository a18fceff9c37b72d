//! What the OpenAPI document tells of this protocol.

use serde_json::{Value, json};

use super::Call;
use crate::error::Cause;
use crate::openapi::Subject;
use crate::openapi::schema::{json_of, object, reference, text_of};
use crate::protocol::Operation;

const MESSAGE: &str = "SeldonMessage";
const FEEDBACK: &str = "SeldonFeedback";

/// What a call takes and gives.
pub(super) fn operation(call: Call, operation: Operation) -> Operation {
    let message = |_: &Subject<'_>| json_of(&reference(MESSAGE));
    match call {
        Call::Predict => {
            taking(operation, messages, in_query).gives(200, "Predictions", message).may(MESSAGES)
        }
        Call::Transform => {
            taking(operation, messages, in_query).gives(200, "The rows", message).may(MESSAGES)
        }
        Call::Feedback => {
            taking(operation, feedback, feedback_in_query).gives(200, "It is counted", message).may(MESSAGES)
        }
        Call::NotDefined(_) => operation.may(&[Cause::Message]),
        Call::Metadata => told(operation, |_| json_of(&reference("SeldonModelMetadata"))),
        Call::Graph => told(operation, |_| json_of(&reference("SeldonGraphMetadata"))),
        Call::Health => told(operation, message),
        Call::Ready => operation.gives_nothing(200, "They can").gives_nothing(503, "They cannot"),
        Call::Ping => operation.gives(200, "Yes", |_| text_of("text/html")),
        Call::Live => operation.gives_nothing(200, "Yes"),
        Call::Page => operation.gives(200, "Swagger UI", |_| text_of("text/html")).may(&[Cause::Name]),
        Call::Document(_) => operation
            .gives(200, "An OpenAPI 3.1 document", |_| json_of(&json!({ "type": "object" })))
            .may(&[Cause::Defect]),
    }
}

/// What a request with a message can end with.
const MESSAGES: &[Cause] = &[Cause::Model, Cause::Body, Cause::Message, Cause::Rows];

fn told(operation: Operation, body: crate::protocol::Tell) -> Operation {
    operation.gives(200, "What is asked for", body).may(&[Cause::Model])
}

/// With a message, which is the body, or in the query where there is none.
fn taking(operation: Operation, body: crate::protocol::Tell, query: crate::protocol::Tell) -> Operation {
    match operation.method {
        "get" => operation.with(query),
        _ => operation.takes(body),
    }
}

fn in_query(subject: &Subject<'_>) -> Value {
    json!([{ "name": "json", "in": "query", "required": true, "content": {
        "application/json": subject.content(&reference(MESSAGE), example)
    } }])
}

fn feedback_in_query(subject: &Subject<'_>) -> Value {
    json!([{ "name": "json", "in": "query", "required": true, "content": {
        "application/json": subject.content(&reference(FEEDBACK), feedback_example)
    } }])
}

fn example(subject: &Subject<'_>) -> Value {
    json!({ "data": { "names": subject.columns(), "ndarray": [subject.row()] } })
}

fn feedback_example(subject: &Subject<'_>) -> Value {
    json!({ "request": example(subject), "reward": 1 })
}

fn messages(subject: &Subject<'_>) -> Value {
    request_body(MESSAGE, subject, example)
}

fn feedback(subject: &Subject<'_>) -> Value {
    request_body(FEEDBACK, subject, feedback_example)
}

/// A message is the body, or the field `json` of a form, or each of its keys is a part.
fn request_body(name: &str, subject: &Subject<'_>, example: fn(&Subject<'_>) -> Value) -> Value {
    let form = object(&json!({ "json": reference(name) }));
    json!({
        "application/json": subject.content(&reference(name), example),
        "application/x-www-form-urlencoded": {
            "schema": form, "encoding": { "json": { "contentType": "application/json" } }
        },
        "multipart/form-data": { "schema": reference(name) },
    })
}

/// The form of an error.
pub(super) fn error() -> Value {
    object(&json!({ "status": reference("SeldonStatus") }))
}

/// The schemas of messages.
pub(super) fn schemas(_: &Subject<'_>) -> Value {
    let text = json!({ "type": "string" });
    let texts = json!({ "type": "array", "items": text });
    let numbers = json!({ "type": "array", "items": { "type": "number" } });
    let whole = json!({ "type": "array", "items": { "type": "integer" } });
    let tensor = json!({ "type": "object", "properties": { "shape": whole, "values": numbers } });
    let any_list = json!({ "type": "array", "items": {} });
    let any_object = json!({ "type": "object" });
    let arrays = json!({ "type": "array", "items": any_object });
    json!({
        "SeldonMessage": { "type": "object", "properties": {
            "status": reference("SeldonStatus"),
            "meta": reference("SeldonMeta"),
            "data": { "type": "object", "properties": {
                "names": texts, "tensor": tensor, "ndarray": any_list, "tftensor": any_object,
            } },
            "jsonData": {},
            "strData": text,
            "binData": { "type": "string", "format": "byte" },
        } },
        "SeldonMeta": { "type": "object", "properties": {
            "puid": text,
            "tags": {},
            "routing": { "type": "object", "additionalProperties": { "type": "integer" } },
            "requestPath": { "type": "object", "additionalProperties": text },
            "metrics": {},
        } },
        "SeldonStatus": { "type": "object", "properties": {
            "code": { "type": "integer" }, "info": text, "reason": text, "status": { "type": "integer" },
        } },
        "SeldonFeedback": { "type": "object", "additionalProperties": false, "properties": {
            "request": reference(MESSAGE),
            "response": reference(MESSAGE),
            "reward": { "type": "number", "format": "float" },
            "truth": reference(MESSAGE),
        } },
        "SeldonModelMetadata": { "type": "object", "properties": {
            "name": text, "versions": texts, "platform": text, "inputs": arrays, "outputs": arrays, "custom": any_object,
        } },
        "SeldonGraphMetadata": { "type": "object", "properties": {
            "name": text,
            "models": { "type": "object", "additionalProperties": reference("SeldonModelMetadata") },
            "graphinputs": arrays,
            "graphoutputs": arrays,
        } },
    })
}
