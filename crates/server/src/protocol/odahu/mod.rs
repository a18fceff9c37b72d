//! The model server of ODAHU: rows in, predictions out, and a description of the model with its columns.

mod describe;
mod request;

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::Response;
use axum::routing::{get, post};
use serde_json::json;

use super::rows::answered;
use super::v2::version;
use super::{PathId, Protocol, Route};
use crate::error::ServerError;
use crate::http::{self, App};
use crate::repository::Ready;
use request::Matrix;

/// The model server.
pub(super) const PROTOCOL: Protocol =
    Protocol { name: "odahu", routes, paths: &["/api/model", "/healthcheck"], error_form: message };

const MODEL_NAME: HeaderName = HeaderName::from_static("model-name");
const MODEL_VERSION: HeaderName = HeaderName::from_static("model-version");

fn routes() -> Vec<Route> {
    vec![
        Route::model("/api/model/invoke", post(invoke)),
        Route::model("/api/model/info", get(info)),
        Route::health("/healthcheck", get(healthcheck)),
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
            let document = describe::document(ready.deployment.id.as_str(), &ready.model);
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
