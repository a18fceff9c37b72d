//! What this protocol answers, as an OpenAPI document and as a page for people; both come from one table.

use std::fmt::Write;

use serde_json::{Map, Value, json};

/// A route: its methods, its path, what it takes, what it answers, and what it is for.
struct Described {
    methods: &'static [&'static str],
    path: &'static str,
    takes: Option<&'static str>,
    gives: Gives,
    summary: &'static str,
}

/// What an answer is.
#[derive(Debug, Clone, Copy)]
enum Gives {
    Schema(&'static str),
    Html,
    Nothing,
}

const fn message(methods: &'static [&'static str], path: &'static str, summary: &'static str) -> Described {
    Described { methods, path, takes: Some(MESSAGE), gives: Gives::Schema(MESSAGE), summary }
}

const fn told(path: &'static str, gives: Gives, summary: &'static str) -> Described {
    Described { methods: &["get"], path, takes: None, gives, summary }
}

const MESSAGE: &str = "SeldonMessage";
const FEEDBACK: &str = "Feedback";
const BOTH: &[&str] = &["get", "post"];

const ROUTES: [Described; 18] = [
    message(&["post"], "/api/v1.0/predictions", "Predictions for rows"),
    message(&["post"], "/api/v0.1/predictions", "The same for older clients"),
    Described { takes: Some(FEEDBACK), ..message(&["post"], "/api/v1.0/feedback", "What turned out") },
    Described {
        takes: Some(FEEDBACK),
        ..message(&["post"], "/api/v0.1/feedback", "The same for older clients")
    },
    told("/api/v1.0/metadata", Gives::Schema("GraphMetadata"), "The graph, which is one model"),
    told("/api/v1.0/metadata/{model}", Gives::Schema("ModelMetadata"), "The model's inputs and outputs"),
    told("/api/v1.0/status", Gives::Nothing, "Whether predictions can be asked for"),
    told("/api/v1.0/status/{model}", Gives::Schema(MESSAGE), "Whether the model can be asked"),
    told("/api/v1.0/health/status", Gives::Schema(MESSAGE), "The same"),
    told("/api/v1.0/doc", Gives::Html, "This page"),
    message(BOTH, "/predict", "Predictions for rows"),
    message(BOTH, "/transform-input", "The rows as they are, under the names of the outputs"),
    message(BOTH, "/transform-output", "The same"),
    Described { takes: Some(FEEDBACK), ..message(BOTH, "/send-feedback", "What turned out") },
    told("/metadata", Gives::Schema("ModelMetadata"), "The model's inputs and outputs"),
    told("/health/ping", Gives::Html, "Whether the process answers"),
    told("/health/status", Gives::Schema(MESSAGE), "Whether the model can be asked"),
    told("/seldon.json", Gives::Schema("Document"), "This document"),
];

/// The OpenAPI document.
pub(super) fn open_api() -> Value {
    let mut paths = Map::new();
    for route in &ROUTES {
        let operations = route.methods.iter().map(|method| (method.to_string(), operation(route, method)));
        paths.insert(route.path.to_owned(), Value::Object(operations.collect()));
    }
    json!({
        "openapi": "3.0.3",
        "info": { "title": "Seldon protocol", "version": env!("CARGO_PKG_VERSION") },
        "paths": paths,
        "components": { "schemas": schemas() },
    })
}

fn operation(route: &Described, method: &str) -> Value {
    let content = match route.gives {
        Gives::Schema(name) => json!({ "application/json": { "schema": reference(name) } }),
        Gives::Html => json!({ "text/html": { "schema": { "type": "string" } } }),
        Gives::Nothing => json!({}),
    };
    let refused = json!({
        "description": "What is wrong, as `status`",
        "content": { "application/json": { "schema": reference(MESSAGE) } },
    });
    let mut operation = json!({
        "summary": route.summary,
        "responses": { "200": { "description": "Done", "content": content }, "default": refused },
    });
    let mut parameters = Vec::new();
    if route.path.ends_with("{model}") {
        parameters
            .push(json!({ "name": "model", "in": "path", "required": true, "schema": { "type": "string" } }));
    }
    match route.takes {
        Some(name) if method == "post" => operation["requestBody"] = request_body(name),
        Some(name) => {
            let content = json!({ "application/json": { "schema": reference(name) } });
            parameters.push(json!({ "name": "json", "in": "query", "required": true, "content": content }));
        }
        None => {}
    }
    if !parameters.is_empty() {
        operation["parameters"] = parameters.into();
    }
    operation
}

/// A message is the body, or the field `json` of a form.
fn request_body(name: &str) -> Value {
    let form = json!({ "type": "object", "properties": { "json": reference(name) }, "required": ["json"] });
    json!({
        "required": true,
        "content": {
            "application/json": { "schema": reference(name) },
            "application/x-www-form-urlencoded": {
                "schema": form, "encoding": { "json": { "contentType": "application/json" } }
            },
            "multipart/form-data": { "schema": reference(name) },
        },
    })
}

fn reference(schema: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{schema}") })
}

fn schemas() -> Value {
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
            "status": reference("Status"),
            "meta": reference("Meta"),
            "data": { "type": "object", "properties": {
                "names": texts, "tensor": tensor, "ndarray": any_list, "tftensor": any_object,
            } },
            "jsonData": {},
            "strData": text,
            "binData": { "type": "string", "format": "byte" },
        } },
        "Meta": { "type": "object", "properties": {
            "puid": text,
            "tags": any_object,
            "routing": { "type": "object", "additionalProperties": { "type": "integer" } },
            "requestPath": { "type": "object", "additionalProperties": text },
            "metrics": arrays,
        } },
        "Status": { "type": "object", "properties": {
            "code": { "type": "integer" }, "info": text, "reason": text, "status": { "type": "integer" },
        } },
        "Feedback": { "type": "object", "additionalProperties": false, "properties": {
            "request": reference(MESSAGE),
            "response": reference(MESSAGE),
            "reward": { "type": "number", "format": "float" },
            "truth": reference(MESSAGE),
        } },
        "ModelMetadata": { "type": "object", "properties": {
            "name": text, "versions": texts, "platform": text, "inputs": arrays, "outputs": arrays, "custom": any_object,
        } },
        "GraphMetadata": { "type": "object", "properties": {
            "name": text,
            "models": { "type": "object", "additionalProperties": reference("ModelMetadata") },
            "graphinputs": arrays,
            "graphoutputs": arrays,
        } },
        "Document": any_object,
    })
}

/// The same for people.
pub(super) fn page() -> String {
    let mut page = String::from(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>Seldon protocol</title></head><body>\
         <h1>Seldon protocol</h1><p>Schemas are in <a href=\"seldon.json\">seldon.json</a>, an OpenAPI document.</p><table>",
    );
    for Described { methods, path, takes, summary, .. } in &ROUTES {
        let methods = methods.join(", ").to_uppercase();
        let takes = takes.unwrap_or_default();
        // writing to a text cannot fail
        _ = write!(page, "<tr><td>{methods}</td><td>{path}</td><td>{takes}</td><td>{summary}</td></tr>");
    }
    page.push_str("</table></body></html>\n");
    page
}
