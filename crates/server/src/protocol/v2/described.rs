//! What the OpenAPI document tells of this protocol.

use portend_core::Feature;
use serde_json::{Value, json};

use super::datatype::Datatype;
use super::outputs::OutputTensor;
use crate::error::Cause;
use crate::openapi::Subject;
use crate::openapi::schema::{array, header, json_of, object, reference, texts};
use crate::protocol::Operation;

/// The schemas of tensors.
pub(super) fn schemas(subject: &Subject<'_>) -> Value {
    let text = json!({ "type": "string" });
    let parameters = json!({ "type": "object" });
    let shape = array(&json!({ "type": "integer", "minimum": 0 }));
    let datatype = json!({ "enum": Datatype::names().collect::<Vec<_>>() });
    let outputs = subject.model.map(|model| OutputTensor::offered(model).0);
    let output = match outputs {
        Some(outputs) => json!({ "enum": outputs.into_iter().map(OutputTensor::name).collect::<Vec<_>>() }),
        None => text.clone(),
    };
    let data = json!({
        "type": "array",
        "items": { "anyOf": [reference("Cell"), array(&json!({}))] },
        "description": "Values, flat or in lists of lists; as many as the shape says.",
    });
    let input = json!({
        "type": "object",
        "description": "The values of a feature, by its name; or of all features, if it is the only input.",
        "properties": { "name": text, "shape": shape, "datatype": datatype, "parameters": parameters, "data": data },
        "required": ["name", "shape", "datatype"],
    });
    let requested = json!({
        "type": "object",
        "properties": { "name": output, "parameters": parameters },
        "required": ["name"],
    });
    let told = json!({
        "type": "object",
        "properties": { "name": output, "shape": shape, "datatype": datatype, "parameters": parameters, "data": array(&json!({})) },
        "required": ["name", "shape", "datatype"],
    });
    let tensor = json!({
        "type": "object",
        "properties": { "name": text, "datatype": datatype, "shape": array(&json!({ "type": "integer" })), "labels": texts() },
        "required": ["name", "datatype", "shape"],
    });
    json!({
        "InferRequest": {
            "type": "object",
            "properties": {
                "id": { "type": ["string", "null"] },
                "parameters": parameters,
                "inputs": array(&input),
                "outputs": array(&requested),
            },
            "required": ["inputs"],
        },
        "InferResponse": {
            "type": "object",
            "properties": { "model_name": text, "model_version": text, "id": text, "outputs": array(&told) },
            "required": ["model_name", "model_version", "outputs"],
        },
        "ModelMetadata": object(&json!({
            "name": text, "versions": texts(), "platform": text, "inputs": array(&tensor), "outputs": array(&tensor),
        })),
        "ModelStatistics": object(&json!({ "model_stats": array(&json!({ "type": "object" })) })),
    })
}

pub(super) fn live(operation: Operation) -> Operation {
    operation.gives(200, "Yes", |_| json_of(&object(&json!({ "live": { "const": true } }))))
}

pub(super) fn ready(operation: Operation) -> Operation {
    operation
        .gives(200, "Yes", |_| {
            json_of(&object(&json!({ "ready": { "const": true }, "live": { "const": true } })))
        })
        .gives(503, "No", |_| {
            json_of(&object(&json!({ "error": { "type": "string" }, "ready": { "const": false } })))
        })
}

pub(super) fn server(operation: Operation) -> Operation {
    operation.gives(200, "Name, version and extensions", |_| {
        let text = json!({ "type": "string" });
        json_of(&object(&json!({ "name": text, "version": text, "extensions": texts() })))
    })
}

pub(super) fn models(operation: Operation) -> Operation {
    operation.gives(200, "The names", |_| json_of(&object(&json!({ "models": texts() }))))
}

pub(super) fn statistics(operation: Operation) -> Operation {
    operation.gives(200, "In Triton's form", |_| json_of(&reference("ModelStatistics")))
}

pub(super) fn model_statistics(operation: Operation) -> Operation {
    statistics(operation).may(&[Cause::Model])
}

pub(super) fn model(operation: Operation) -> Operation {
    operation.gives(200, "The model", |_| json_of(&reference("ModelMetadata"))).may(&[Cause::Model])
}

pub(super) fn config(operation: Operation) -> Operation {
    operation.gives(200, "The model", |_| json_of(&json!({ "type": "object" }))).may(&[Cause::Model])
}

pub(super) fn model_ready(operation: Operation) -> Operation {
    let ready = |_: &Subject<'_>| {
        json_of(&object(&json!({ "name": { "type": "string" }, "ready": { "const": true } })))
    };
    operation.gives(200, "It can, and was loaded if it was not", ready).may(&[Cause::Model])
}

pub(super) fn index(operation: Operation) -> Operation {
    let body = |_: &Subject<'_>| {
        json_of(&json!({ "type": "object", "properties": { "ready": { "type": ["boolean", "null"] } } }))
    };
    let listed = |_: &Subject<'_>| {
        let text = json!({ "type": "string" });
        let state = json!({ "enum": ["READY", "LOADING", "UNAVAILABLE"] });
        json_of(&array(&object(&json!({ "name": text, "version": text, "state": state, "reason": text }))))
    };
    operation.may_take(body).gives(200, "The models", listed).may(&[Cause::Body, Cause::Message])
}

pub(super) fn load(operation: Operation) -> Operation {
    let body = |_: &Subject<'_>| {
        json_of(&json!({ "type": "object", "properties": { "parameters": { "type": ["object", "null"] } } }))
    };
    operation.may_take(body).gives(200, "Done", |_| json_of(&json!({ "type": "object" }))).may(&[
        Cause::Model,
        Cause::Body,
        Cause::Message,
        Cause::Writing,
    ])
}

pub(super) fn refused(operation: Operation) -> Operation {
    operation.may(&[Cause::Message])
}

pub(super) fn infer(operation: Operation) -> Operation {
    let answer = |_: &Subject<'_>| {
        let mut content = json_of(&reference("InferResponse"));
        content["application/octet-stream"] = json!({});
        content
    };
    operation
        .described(
            "One input for each feature, or one for all of them with the values of a row in the model's order. Tensors may \
             follow the JSON as raw bytes; the header Inference-Header-Content-Length then tells where they begin.",
        )
        .with(|_| {
            let length = json!({ "type": "integer", "minimum": 0 });
            json!([header("Inference-Header-Content-Length", &length, "The bytes of JSON, where raw tensors follow.")])
        })
        .takes(body)
        .gives(200, "The outputs; as raw bytes those that were asked for so", answer)
        .may(&[Cause::Model, Cause::Body, Cause::Message, Cause::Rows])
}

fn body(subject: &Subject<'_>) -> Value {
    let example = |subject: &Subject<'_>| {
        let input = |(feature, value): (&Feature, &Value)| {
            let datatype = Datatype::of_feature(feature);
            json!({ "name": feature.name, "datatype": datatype.name(), "shape": [1], "data": [value] })
        };
        json!({ "inputs": subject.values().map(input).collect::<Vec<_>>() })
    };
    json!({
        "application/json": subject.content(&reference("InferRequest"), example),
        "application/octet-stream": {},
    })
}
