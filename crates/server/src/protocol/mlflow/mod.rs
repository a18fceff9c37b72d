//! The scoring server of MLflow, and with it the contract of SageMaker's containers, whose requests come by the same
//! path: `/invocations` in all its forms, health and version.

mod described;
mod request;
mod sagemaker;

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderName, StatusCode};
use axum::response::{IntoResponse, Response};
use portend_core::shortened_to;
use portend_model::DataError;
use serde_json::json;

use super::rows::answered;
use super::{PathId, Protocol, Route, get, no_schemas, post};
use crate::error::ServerError;
use crate::http::{self, App};
use request::Invocation;

/// The scoring server.
pub(super) const PROTOCOL: Protocol = Protocol {
    name: "mlflow",
    title: "MLflow and SageMaker",
    routes,
    paths: &["/invocations", "/health", "/version", "/models"],
    error_form: error,
    error_schema: described::error,
    schemas: no_schemas,
};

/// The release of MLflow whose protocol this is: clients compare it with their own.
const MLFLOW_VERSION: &str = "3.17.2";

/// What the caller of SageMaker's API sends along, and gets back.
const CUSTOM_ATTRIBUTES: HeaderName = HeaderName::from_static("x-amzn-sagemaker-custom-attributes");

fn routes() -> Vec<Route> {
    let mut routes = vec![
        Route::model("/invocations", described::invocations(post(invocations, "Predictions for rows"))),
        Route::health("/health", described::health(get(health, "Models can be asked for predictions"))),
        Route::health(
            "/version",
            described::version(get(version, "The release of MLflow whose protocol this is")),
        ),
    ];
    routes.extend(sagemaker::routes());
    routes
}

async fn invocations(State(app): State<Arc<App>>, PathId(id): PathId, request: Request) -> Response {
    invoked(&app, id.as_deref(), request).await
}

/// The answer for the model of this id, or for the one that is meant where there is none.
async fn invoked(app: &App, id: Option<&str>, request: Request) -> Response {
    let attributes = request.headers().get(CUSTOM_ATTRIBUTES).cloned();
    let mut response =
        predicted(app, id, request).await.unwrap_or_else(|error| PROTOCOL.error_response(&error));
    if let Some(attributes) = attributes {
        response.headers_mut().insert(CUSTOM_ATTRIBUTES, attributes);
    }
    response
}

async fn predicted(app: &App, id: Option<&str>, request: Request) -> Result<Response, ServerError> {
    let ready = app.repository.model(id).await?;
    // known before the body is read, so that a wrong type costs nobody an upload
    let invocation = Invocation::of(request.headers(), app.config.class_predictions)?;
    answered(app, &ready, request, invocation).await
}

/// Models can be asked; under a prefix the one.
async fn health(State(app): State<Arc<App>>, PathId(id): PathId) -> Response {
    match app.readiness(id.as_deref()).await {
        Ok(()) => http::json(StatusCode::OK, "\n"),
        Err(reason) => told(StatusCode::SERVICE_UNAVAILABLE, "TEMPORARILY_UNAVAILABLE", &reason),
    }
}

async fn version() -> Response {
    http::json(StatusCode::OK, MLFLOW_VERSION)
}

/// `{"error_code": …, "message": …}`; a media type that is not read is told in plain text. What is wrong with rows is
/// always 400.
fn error(error: &ServerError) -> Response {
    match error.status() {
        StatusCode::UNSUPPORTED_MEDIA_TYPE => {
            (StatusCode::UNSUPPORTED_MEDIA_TYPE, shortened_to(1000, &error.to_string()).into_owned())
                .into_response()
        }
        StatusCode::UNPROCESSABLE_ENTITY => told(StatusCode::BAD_REQUEST, code(error), &error.to_string()),
        status => told(status, code(error), &error.to_string()),
    }
}

fn told(status: StatusCode, code: &str, message: &str) -> Response {
    http::json(status, json!({ "error_code": code, "message": message }).to_string())
}

/// MLflow's word for an error.
fn code(error: &ServerError) -> &'static str {
    if let ServerError::Data(
        DataError::ColumnMissing { .. }
        | DataError::ColumnCount { .. }
        | DataError::ColumnLength { .. }
        | DataError::DuplicateColumn { .. }
        | DataError::UnknownKey { .. },
    ) = error
    {
        return "INVALID_PARAMETER_VALUE"; // the columns are not those of the model
    }
    match error.status() {
        StatusCode::UNAUTHORIZED => "UNAUTHENTICATED",
        StatusCode::FORBIDDEN => "PERMISSION_DENIED",
        StatusCode::NOT_FOUND => "RESOURCE_DOES_NOT_EXIST",
        StatusCode::METHOD_NOT_ALLOWED => "ENDPOINT_NOT_FOUND",
        StatusCode::CONFLICT => "RESOURCE_CONFLICT",
        StatusCode::TOO_MANY_REQUESTS => "REQUEST_LIMIT_EXCEEDED",
        StatusCode::SERVICE_UNAVAILABLE => "TEMPORARILY_UNAVAILABLE",
        StatusCode::INTERNAL_SERVER_ERROR => "INTERNAL_ERROR",
        _ => "BAD_REQUEST",
    }
}
