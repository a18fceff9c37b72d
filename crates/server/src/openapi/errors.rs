//! What documents tell of errors: the examples of each cause, passed through the form of the protocol that tells them.

use std::collections::{BTreeMap, BTreeSet};

use axum::http::{StatusCode, header};
use futures_util::FutureExt;
use http_body_util::BodyExt;
use serde_json::{Map, Value, json};

use super::{EACH, header_references, schema};
use crate::error::{Cause, ServerError};
use crate::protocol;

/// The answers that operations refer to.
pub(super) struct Errors {
    /// By the place of a protocol and status: each answer with its name.
    told: BTreeMap<(usize, StatusCode), BTreeMap<String, Told>>,
}

/// An error as clients get it.
struct Told {
    content_type: String,
    body: Value,
}

impl Errors {
    pub(super) fn new() -> Self {
        Self { told: BTreeMap::new() }
    }

    /// References to the answers of an operation, by status.
    pub(super) fn of(
        &mut self,
        path: &str,
        place: Option<usize>,
        causes: &[Cause],
        guarded: bool,
    ) -> Map<String, Value> {
        let of_path = protocol::of_path(path);
        let token = [Cause::Token];
        let around = EACH.iter().chain(token.iter().filter(|_| guarded)).map(|cause| (of_path, cause));
        let inside = causes.iter().map(|cause| (place.unwrap_or(of_path), cause));
        let mut found = BTreeSet::new();
        for (place, cause) in around.chain(inside) {
            for error in cause.errors() {
                found.insert((self.add(place, &error), place));
            }
        }
        let reference = |(status, place): (StatusCode, usize)| {
            let name = response_name(place, status);
            (status.as_str().to_owned(), json!({ "$ref": format!("#/components/responses/{name}") }))
        };
        found.into_iter().map(reference).collect()
    }

    /// Takes note of an error, and gives its status.
    fn add(&mut self, place: usize, error: &ServerError) -> StatusCode {
        let response = protocol::told_by(place, error);
        let status = response.status();
        let content_type = response.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let content_type = content_type.unwrap_or_default().to_owned();
        // all of it is there: nothing is waited for
        let body = response.into_body().collect().now_or_never().and_then(Result::ok);
        let body = body.map(|body| body.to_bytes()).unwrap_or_default();
        let body = serde_json::from_slice(&body)
            .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(&body).into_owned()));
        let told = self.told.entry((place, status)).or_default();
        told.insert(name_of(error), Told { content_type, body });
        status
    }

    /// The answers, by name.
    pub(super) fn responses(&self) -> Value {
        let response = |((place, status), told): (&(usize, StatusCode), &BTreeMap<String, Told>)| {
            let mut content: Map<String, Value> = Map::new();
            for (name, Told { content_type, body }) in told {
                let schema = match body {
                    Value::String(_) => json!({ "type": "string" }),
                    _ => schema::reference(&schema_name(*place)),
                };
                let essence = content_type.split(';').next().unwrap_or_default();
                let entry =
                    content.entry(essence).or_insert_with(|| json!({ "schema": schema, "examples": {} }));
                entry["examples"][name] = json!({ "value": body });
            }
            let mut headers = header_references();
            if *status == StatusCode::UNAUTHORIZED {
                headers["WWW-Authenticate"] = json!({ "schema": { "const": "Bearer" } });
            }
            if matches!(*status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE) {
                headers["Retry-After"] = json!({
                    "description": "Seconds after which it may be tried again, where waiting helps.",
                    "schema": { "type": "string", "pattern": "^[0-9]+$" },
                });
            }
            let description = status.canonical_reason().unwrap_or_default();
            let response = json!({ "description": description, "headers": headers, "content": content });
            (response_name(*place, *status), response)
        };
        self.told.iter().map(response).collect::<Map<_, _>>().into()
    }

    /// The forms that they have.
    pub(super) fn schemas(&self) -> Value {
        let places: BTreeSet<usize> = self.told.keys().map(|(place, _)| *place).collect();
        let schemas = places.into_iter().map(|place| (schema_name(place), protocol::error_schema(place)));
        schemas.collect::<Map<_, _>>().into()
    }
}

fn response_name(place: usize, status: StatusCode) -> String {
    format!("{}-{}", protocol::name(place), status.as_str())
}

fn schema_name(place: usize) -> String {
    let name = protocol::name(place);
    let (first, rest) = name.split_at(1);
    format!("{}{rest}Error", first.to_uppercase())
}

/// The word for an error in the code: that of its variant, and of rows that of theirs.
fn name_of(error: &ServerError) -> String {
    let shown = format!("{error:?}");
    let mut words = shown.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    let own = if let ServerError::Data(_) = error { words.nth(1) } else { words.next() };
    own.unwrap_or_default().to_owned()
}
