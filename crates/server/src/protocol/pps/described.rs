//! What the OpenAPI document tells of the prediction API.

use portend_core::TargetKind;
use serde_json::{Value, json};

use super::{parameters, request};
use crate::error::Cause;
use crate::openapi::Subject;
use crate::openapi::schema::{array, json_of, nullable, object, reference};
use crate::protocol::Operation;

/// The form of an error.
pub(super) fn error() -> Value {
    object(&json!({ "message": { "type": "string" } }))
}

/// The schemas of answers.
pub(super) fn schemas(subject: &Subject<'_>) -> Value {
    let number = nullable("number");
    let value = object(&json!({ "label": { "type": ["string", "number", "boolean"] }, "value": number }));
    let mut prediction = object(&json!({
        "rowId": { "type": "integer" },
        "prediction": subject.prediction(),
        "predictionValues": array(&value),
    }));
    let optional = &mut prediction["properties"];
    optional["passthroughValues"] = json!({ "type": "object", "additionalProperties": reference("Cell") });
    let has_threshold =
        matches!(subject.target.kind, TargetKind::Binary { .. } | TargetKind::Multilabel { .. });
    if has_threshold || subject.model.is_none() {
        optional["predictionThreshold"] = json!({ "type": "number" });
    }
    let failure = object(&json!({ "code": { "type": "string" }, "message": { "type": "string" } }));
    let mut deployment = object(&json!({
        "id": { "type": "string" },
        "package": nullable("string"),
        "deploymentId": nullable("string"),
        "loaded": { "type": "boolean" },
        "state": { "enum": ["ready", "loading", "failed", "unloaded"] },
        "lastUse": nullable("string"),
    }));
    deployment["properties"]["error"] = failure;
    json!({
        "Predictions": object(&json!({ "data": array(&reference("Prediction")) })),
        "Prediction": prediction,
        "Deployment": deployment,
        "Uploaded": object(&json!({ "id": { "type": "string" }, "created": { "type": "boolean" } })),
    })
}

pub(super) fn predictions(operation: Operation) -> Operation {
    let answer = |_: &Subject<'_>| {
        let mut content = json_of(&reference("Predictions"));
        content["text/csv"] = json!({ "schema": { "type": "string" } });
        content
    };
    operation
        .described(
            "Rows are CSV with a header line, also as text/plain or application/csv, or a list of records; a form has them as its first file. `Accept: text/csv` asks \
             for CSV. The answer's X-DataRobot-Model-Cache-Hit tells whether the model was in memory.",
        )
        .with(|_| parameters::schemas())
        .takes(rows)
        .gives(200, "A prediction for each row", answer)
        .may(&[
            Cause::Model,
            Cause::Parameters,
            Cause::MediaType,
            Cause::Body,
            Cause::Rows,
            Cause::AssociationId,
        ])
}

fn rows(subject: &Subject<'_>) -> Value {
    let mut content = json!({ request::FORM: { "schema": {
        "type": "object",
        "properties": { "file": { "type": "string", "format": "binary" } },
        "required": ["file"],
    } } });
    for (name, is_json) in request::media_types() {
        content[name] = match is_json {
            true => subject.content(&array(&reference("Record")), |subject| json!([subject.record()])),
            false => subject.content(&json!({ "type": "string" }), |subject| subject.csv().into()),
        };
    }
    content
}

pub(super) fn not_offered(operation: Operation) -> Operation {
    operation.may(&[Cause::Model, Cause::NotOffered])
}

pub(super) fn info(operation: Operation) -> Operation {
    operation.gives(200, "The facts", |_| json_of(&reference("Deployment"))).may(&[Cause::Name])
}

pub(super) fn deployments(operation: Operation) -> Operation {
    let all = |_: &Subject<'_>| json_of(&object(&json!({ "deployments": array(&reference("Deployment")) })));
    operation.gives(200, "The deployments", all)
}

pub(super) fn upload(operation: Operation) -> Operation {
    let package = |_: &Subject<'_>| {
        json!({
            "application/octet-stream": {},
            request::FORM: { "schema": {
                "type": "object",
                "properties": { "file": { "type": "string", "format": "binary" } },
                "required": ["file"],
            } },
        })
    };
    operation
        .described("The package's bytes, or a form that has them as its first file. It is loaded before it is stored.")
        .takes(package)
        .gives(200, "It stands in the place of the former one", |_| json_of(&reference("Uploaded")))
        .gives(201, "There was none before", |_| json_of(&reference("Uploaded")))
        .may(&[Cause::Name, Cause::Writing, Cause::Body, Cause::Storing, Cause::Defect])
}

pub(super) fn delete(operation: Operation) -> Operation {
    operation.gives_nothing(204, "There is no package any more").may(&[
        Cause::Name,
        Cause::Message,
        Cause::Writing,
        Cause::Defect,
    ])
}

pub(super) fn ready(operation: Operation) -> Operation {
    operation.gives(200, "Yes", |_| json_of(&object(&json!({ "ready": { "const": true } })))).gives(
        503,
        "No",
        |_| json_of(&error()),
    )
}

pub(super) fn api_token(operation: Operation) -> Operation {
    operation.gives(200, "Any will do", |_| json_of(&object(&json!({ "api_token": { "type": "string" } }))))
}
