//! What is told of a model: body and answer of a request for predictions, and both in a Swagger 2.0 document with the
//! model's columns and an example that can be sent.

use serde_json::{Value, json};

use crate::openapi::Subject;
use crate::openapi::schema::{array, object, reference, texts};

/// A request's body by its media types.
pub(super) fn body(subject: &Subject<'_>) -> Value {
    let schema = json!({
        "type": "object",
        "properties": { "columns": texts(), "data": array(&reference("Row")) },
        "required": ["data"],
    });
    json!({ "application/json": subject.content(&schema, example) })
}

fn example(subject: &Subject<'_>) -> Value {
    json!({ "columns": subject.columns(), "data": [subject.row()] })
}

/// The schema of an answer.
pub(super) fn answer(_: &Subject<'_>) -> Value {
    object(&json!({ "prediction": array(&reference("PlainPrediction")), "columns": texts() }))
}

/// The document, whose form is that of the original: of values it says that they are numbers, whatever they are.
pub(super) fn document(subject: &Subject<'_>, version: &str) -> Value {
    let example = example(subject);
    let numbers = json!({ "type": "array", "items": { "type": "array", "items": { "type": "number" } } });
    let parameters = json!({
        "type": "object",
        "properties": { "columns": with_example(texts(), &example["columns"]), "data": with_example(numbers, &example["data"]) },
        "required": ["data"],
    });
    let answer = json!({
        "type": "object",
        "properties": {
            "prediction": array(&json!({})),
            "columns": with_example(texts(), &json!([subject.target.name])),
        },
    });
    let info = json!({ "type": "object" });
    json!({
        "swagger": "2.0",
        "info": {
            "title": subject.name,
            "version": version,
            "description": "This is a EDI server.",
            "termsOfService": "",
            "contact": { "email": "" },
            "license": { "name": "Apache 2.0", "url": "https://www.apache.org/licenses/LICENSE-2.0.html" },
        },
        "schemes": ["https"],
        "host": "",
        "basePath": "",
        "paths": {
            "/api/model/info": { "get": operation("Info", "What the model is", None, &info) },
            "/api/model/invoke": {
                "post": operation("Invoke", "Predictions of rows", Some(&parameters), &answer),
            },
        },
    })
}

fn with_example(mut schema: Value, example: &Value) -> Value {
    schema["example"] = example.clone();
    schema
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
