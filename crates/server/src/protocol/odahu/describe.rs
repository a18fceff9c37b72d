//! What is told of a model: a Swagger 2.0 document with its columns and an example that can be sent.

use portend_core::{Dtype, Feature, Label};
use portend_model::Model;
use serde_json::{Value, json};

use crate::protocol::rows::label_value;
use crate::protocol::v2::version;

/// The document of a model.
pub(super) fn document(name: &str, model: &Model) -> Value {
    let columns: Vec<&str> = model.features.iter().map(|feature| feature.name.as_str()).collect();
    let row: Vec<Value> = model.features.iter().map(example).collect();
    let parameters = json!({
        "type": "object",
        "properties": {
            "columns": { "type": "array", "items": { "type": "string" }, "example": columns },
            "data": {
                "type": "array",
                "items": { "type": "array", "items": { "type": "number" } },
                "example": [row],
            },
        },
        "required": ["data"],
    });
    json!({
        "swagger": "2.0",
        "info": {
            "title": name,
            "version": version(model),
            "description": "This is a EDI server.",
            "termsOfService": "",
            "contact": { "email": "" },
            "license": { "name": "Apache 2.0", "url": "https://www.apache.org/licenses/LICENSE-2.0.html" },
        },
        "schemes": ["https"],
        "host": "",
        "basePath": "",
        "paths": {
            "/api/model/info": { "get": operation("Info", "What the model is", None, &json!({ "type": "object" })) },
            "/api/model/invoke": {
                "post": operation("Invoke", "Predictions of rows", Some(&parameters), &response(&model.target.name)),
            },
        },
    })
}

fn operation(id: &str, summary: &str, body: Option<&Value>, response: &Value) -> Value {
    let body = body.map(
        |schema| json!({ "in": "body", "name": "PredictionParameters", "required": true, "schema": schema }),
    );
    json!({
        "operationId": id,
        "summary": summary,
        "consumes": ["application/json"],
        "produces": ["application/json"],
        "parameters": body.into_iter().collect::<Vec<_>>(),
        "responses": { "200": { "description": summary, "schema": response } },
    })
}

fn response(target: &str) -> Value {
    json!({
        "type": "object",
        "properties": {
            "prediction": { "type": "array", "items": {} },
            "columns": { "type": "array", "items": { "type": "string" }, "example": [target] },
        },
    })
}

/// A value that the model reads.
fn example(feature: &Feature) -> Value {
    match (feature.levels.first(), feature.dtype) {
        (Some(level), _) => label_value(level),
        (None, Dtype::Bool) => label_value(&Label::Bool(false)),
        (None, _) => json!(0),
    }
}
