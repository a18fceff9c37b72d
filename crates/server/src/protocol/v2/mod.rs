//! The Open Inference Protocol, version 2, over REST, with Triton's extensions: binary tensors, repository, statistics,
//! configuration. Routes and handlers; what has to do with tensors stands in the files below and knows no HTTP.

pub(super) mod datatype;
mod describe;
mod described;
pub(super) mod grpc;
mod infer;
mod manage;
mod outputs;
mod request;
mod tensors;

use std::convert::Infallible;
use std::sync::Arc;

use axum::extract::{FromRequestParts, RawPathParams, Request, State};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::Response;
use portend_core::shortened;
use portend_model::Model;
use serde_json::{Value, json};

use super::{Operation, PathId, Protocol, Route, error_key, error_key_schema, find_model, get, post};
use crate::error::ServerError;
use crate::http::{self, App};
use crate::repository::Ready;
use infer::{Called, InferExchange};

/// The protocol. Its clients take a body without an `error` for a failure of their own.
pub(super) const PROTOCOL: Protocol = Protocol {
    name: "v2",
    title: "Open Inference Protocol",
    routes,
    paths: &["/v2"],
    error_form: error_key,
    error_schema: error_key_schema,
    schemas: described::schemas,
};

fn routes() -> Vec<Route> {
    let shared_memory = |path| {
        let refused = |method| Operation::of(method, shared_memory, "Refused: shared memory is not offered");
        Route::model(path, ["get", "post"].map(|method| described::refused(refused(method))))
    };
    let mut routes = vec![
        Route::health("/v2/health/live", described::live(get(live, "The process is alive"))),
        Route::health(
            "/v2/health/ready",
            described::ready(get(server_ready, "Models can be asked for predictions")),
        ),
        Route::model("/v2", described::server(get(describe::server, "The server and its extensions"))),
        Route::model("/v2/models", described::models(get(describe::models, "The names of all models"))),
        Route::model(
            "/v2/models/stats",
            described::statistics(get(describe::all_statistics, "Statistics of all models")),
        ),
        Route::model(
            "/v2/repository/index",
            described::index(post(manage::index, "All models with their state")),
        ),
        Route::model(
            "/v2/repository/models/{name}/load",
            described::load(post(manage::load, "Loads a model")),
        ),
        Route::model(
            "/v2/repository/models/{name}/unload",
            described::load(post(manage::unload, "Unloads a model")),
        ),
        shared_memory("/v2/systemsharedmemory/{*rest}"),
        shared_memory("/v2/cudasharedmemory/{*rest}"),
    ];
    for version in ["", "/versions/{version}"] {
        let model = format!("/v2/models/{{name}}{version}");
        let mut add = |path: String, operation: Operation| routes.push(Route::model(path, operation));
        add(
            format!("{model}/ready"),
            described::model_ready(get(model_ready, "Whether a model can be asked")),
        );
        add(format!("{model}/infer"), described::infer(post(infer, "Predictions for tensors")));
        add(
            format!("{model}/config"),
            described::config(get(describe::config, "The same in the form of Triton's configuration")),
        );
        add(
            format!("{model}/stats"),
            described::model_statistics(get(describe::statistics, "Statistics of a model")),
        );
        add(model, described::model(get(describe::model, "Inputs and outputs of a model")));
    }
    routes
}

/// What a path says of the model that is meant.
pub(super) struct ModelPath {
    /// The id in its prefix.
    prefix: Option<String>,
    pub(super) name: String,
    pub(super) version: Option<String>,
}

impl<S: Send + Sync> FromRequestParts<S> for ModelPath {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Infallible> {
        let parameters = RawPathParams::from_request_parts(parts, state).await.ok();
        let of = |wanted: &str| {
            let mut all = parameters.iter().flatten();
            all.find(|(name, _)| *name == wanted).map(|(_, value)| value.to_owned())
        };
        // a name that is not text is nobody's: the look-up says so
        Ok(Self { prefix: of("id"), name: of("name").unwrap_or_default(), version: of("version") })
    }
}

impl ModelPath {
    /// The model in the version that is asked for.
    pub(super) async fn find(&self, app: &App) -> Result<Ready, ServerError> {
        let ready = find_model(app, self.prefix.as_deref(), Some(&self.name)).await?;
        in_version(ready, self.version.as_deref())
    }
}

/// The model, if it has the version that is asked for.
fn in_version(ready: Ready, asked: Option<&str>) -> Result<Ready, ServerError> {
    let version = version(&ready.model);
    match asked {
        Some(asked) if asked != version => Err(ServerError::NotFound(format!(
            "model '{}' has no version '{}': it has {version}",
            ready.deployment.id,
            shortened(asked)
        ))),
        _ => Ok(ready),
    }
}

/// A model's version; those without one are the first.
pub(crate) fn version(model: &Model) -> &str {
    if model.version.is_empty() { "1" } else { &model.version }
}

async fn infer(State(app): State<Arc<App>>, path: ModelPath, request: Request) -> Response {
    inferred(&app, path, request).await.unwrap_or_else(|error| PROTOCOL.error_response(&error))
}

async fn inferred(app: &App, path: ModelPath, request: Request) -> Result<Response, ServerError> {
    let ready = path.find(app).await?;
    let called = Called { name: path.name, version: version(&ready.model).to_owned() };
    let exchange = InferExchange::read(request, called, &app.admission, app.config.body_limit).await?;
    Ok(super::response(app.scorer.answer(&app.admission, &ready, exchange).await?))
}

/// The process is alive.
async fn live() -> Response {
    http::json(StatusCode::OK, "{\"live\":true}")
}

/// Models can be asked.
async fn server_ready(State(app): State<Arc<App>>, PathId(id): PathId) -> Response {
    match app.readiness(id.as_deref()).await {
        Ok(()) => http::json(StatusCode::OK, "{\"ready\":true,\"live\":true}"),
        Err(reason) => answer(StatusCode::SERVICE_UNAVAILABLE, &json!({ "error": reason, "ready": false })),
    }
}

/// A model can be asked: it is loaded if it is not.
async fn model_ready(State(app): State<Arc<App>>, path: ModelPath) -> Response {
    match path.find(&app).await {
        Ok(_) => answer(StatusCode::OK, &json!({ "name": path.name, "ready": true })),
        Err(error) => PROTOCOL.error_response(&error),
    }
}

/// Shared memory is a client's and a server's on one machine: tensors are sent in bodies here.
async fn shared_memory() -> Response {
    PROTOCOL.error_response(&ServerError::BadBody(
        "shared memory is not offered: send tensors in the body".to_owned(),
    ))
}

fn answer(status: StatusCode, body: &Value) -> Response {
    http::json(status, body.to_string())
}
