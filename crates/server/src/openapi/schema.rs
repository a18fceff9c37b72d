//! Pieces of JSON Schema that descriptions of operations are made of.

use serde_json::{Value, json};

/// The schema of this name.
pub(crate) fn reference(name: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{name}") })
}

/// A list.
pub(crate) fn array(items: &Value) -> Value {
    json!({ "type": "array", "items": items })
}

/// A list of texts.
pub(crate) fn texts() -> Value {
    array(&json!({ "type": "string" }))
}

/// Values of a type, or none.
pub(crate) fn nullable(kind: &str) -> Value {
    json!({ "type": [kind, "null"] })
}

/// An object in which all of these are.
pub(crate) fn object(properties: &Value) -> Value {
    let required: Vec<&String> =
        properties.as_object().into_iter().flat_map(|object| object.keys()).collect();
    json!({ "type": "object", "required": required, "properties": properties })
}

/// JSON of this schema, as a body by media types.
pub(crate) fn json_of(schema: &Value) -> Value {
    json!({ "application/json": { "schema": schema } })
}

/// A text, as a body by media types.
pub(crate) fn text_of(media_type: &str) -> Value {
    json!({ media_type: { "schema": { "type": "string" } } })
}

/// A parameter of the query.
pub(crate) fn query(name: &str, schema: &Value, description: &str) -> Value {
    json!({ "name": name, "in": "query", "schema": schema, "description": description })
}

/// A header of the request.
pub(crate) fn header(name: &str, schema: &Value, description: &str) -> Value {
    json!({ "name": name, "in": "header", "schema": schema, "description": description })
}
