//! The model server of ODAHU: rows in, predictions out, and a description of the model with its columns.

mod describe;
mod request;

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::Response;
use serde_json::{Value, json};

use super::rows::{ROWS_CAUSES, answered};
use super::{PathId, Protocol, Route, get, no_schemas, post, version};
use crate::error::{Cause, ServerError};
use crate::http::{self, App};
use crate::openapi::Subject;
use crate::openapi::schema::{json_of, object};
use crate::repository::Ready;
use request::Matrix;

/// The model server.
pub(super) const PROTOCOL: Protocol = Protocol {
    name: "odahu",
    title: "ODAHU",
    routes,
    paths: &["/api/model", "/healthcheck"],
    error_form: message,
    error_schema: message_schema,
    schemas: no_schemas,
};

const MODEL_NAME: HeaderName = HeaderName::from_static("model-name");
const MODEL_VERSION: HeaderName = HeaderName::from_static("model-version");

fn routes() -> Vec<Route> {
    let invoke = post(invoke, "Predictions for rows")
        .described("What is wrong with a request is answered 500, as this contract has it.")
        .takes(describe::body)
        .gives(200, "One value for each row", |subject| json_of(&describe::answer(subject)))
        .may(ROWS_CAUSES);
    let info = get(info, "The model's columns, as a Swagger 2.0 document")
        .gives(200, "The document", |_| json_of(&json!({ "type": "object" })))
        .may(&[Cause::Model]);
    let health = get(healthcheck, "The process is alive")
        .gives(200, "Yes", |_| json_of(&object(&json!({ "status": { "const": true } }))));
    vec![
        Route::model("/api/model/invoke", invoke),
        Route::model("/api/model/info", info),
        Route::health("/healthcheck", health),
    ]
}

async fn invoke(State(app): State<Arc<App>>, PathId(id): PathId, request: Request) -> Response {
    invoked(&app, id.as_deref(), request).await.unwrap_or_else(|error| PROTOCOL.error_response(&error))
}

async fn invoked(app: &App, id: Option<&str>, request: Request) -> Result<Response, ServerError> {
    let ready = app.repository.model(id).await?;
    let matrix = Matrix { classes: app.config.class_predictions };
    Ok(named(answered(app, &ready, request, matrix).await?, &ready))
}

async fn info(State(app): State<Arc<App>>, PathId(id): PathId) -> Response {
    match app.repository.model(id.as_deref()).await {
        Ok(ready) => {
            let subject = Subject::of(ready.deployment.id.as_str(), &ready.model);
            let document = describe::document(&subject, version(&ready.model));
            named(http::json(StatusCode::OK, document.to_string()), &ready)
        }
        Err(error) => PROTOCOL.error_response(&error),
    }
}

/// Says which model it was.
fn named(mut response: Response, ready: &Ready) -> Response {
    let entries = [(MODEL_NAME, ready.deployment.id.as_str()), (MODEL_VERSION, version(&ready.model))];
    for (name, text) in entries {
        // a version may hold what no header can
        if let Ok(value) = HeaderValue::from_str(text) {
            response.headers_mut().insert(name, value);
        }
    }
    response
}

/// The process is alive.
async fn healthcheck() -> Response {
    http::json(StatusCode::OK, "{\"status\":true}")
}

/// `{"message": …}`. What is wrong with a request is 500, as this contract has it.
fn message(error: &ServerError) -> Response {
    let status = match error.status() {
        StatusCode::BAD_REQUEST | StatusCode::UNPROCESSABLE_ENTITY => StatusCode::INTERNAL_SERVER_ERROR,
        status => status,
    };
    let text = match error {
        ServerError::Data(error) => format!("Exception during prediction: {error}"),
        error => error.to_string(),
    };
    http::json(status, json!({ "message": text }).to_string())
}

fn message_schema() -> Value {
    object(&json!({ "message": { "type": "string" } }))
}
