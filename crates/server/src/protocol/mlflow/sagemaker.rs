//! What SageMaker asks of a container beside `/invocations`: models listed, loaded and unloaded by request, where one
//! endpoint has several. Models come from the repository; what lies elsewhere is not loaded.

use std::sync::Arc;

use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use portend_core::shortened;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{PROTOCOL, described, invoked};
use crate::body::gather;
use crate::error::ServerError;
use crate::http::{self, App};
use crate::protocol::{Route, delete, get, post};
use crate::repository::Deployment;

pub(super) fn routes() -> [Route; 3] {
    [
        Route::root(
            "/models",
            [
                described::models(get(models, "The models that are in memory")),
                described::load(post(load, "Loads a model of the repository")),
            ],
        ),
        Route::root(
            "/models/{name}",
            [
                described::model(get(model, "A model that is in memory")),
                described::unload(delete(unload, "Unloads a model")),
            ],
        ),
        Route::root("/models/{name}/invoke", described::invocations(post(invoke, "Predictions for rows"))),
    ]
}

/// Bytes of a request to load.
const MOST_BYTES: usize = 64 << 10;

/// What is to be loaded.
#[derive(Deserialize)]
#[serde(expecting = "a JSON object")]
struct LoadRequest {
    model_name: String,
    url: Option<String>,
}

/// Models that are in memory.
async fn models(State(app): State<Arc<App>>) -> Response {
    let deployments = app.repository.deployments(None).await;
    let loaded = deployments.iter().filter(|deployment| deployment.snapshot().loaded.is_some());
    let models: Vec<Value> = loaded.map(|deployment| described(deployment)).collect();
    http::json(StatusCode::OK, json!({ "models": models }).to_string())
}

fn described(deployment: &Deployment) -> Value {
    json!({ "modelName": deployment.id.as_str(), "modelUrl": deployment.snapshot().package })
}

async fn model(State(app): State<Arc<App>>, Path(name): Path<String>) -> Response {
    match loaded(&app, &name).await {
        Ok(deployment) => http::json(StatusCode::OK, described(&deployment).to_string()),
        Err(error) => PROTOCOL.error_response(&error),
    }
}

/// A model that is in memory, called exactly so.
async fn loaded(app: &App, name: &str) -> Result<Arc<Deployment>, ServerError> {
    let deployments = app.repository.deployments(Some(name)).await;
    let called = deployments.into_iter().find(|deployment| deployment.id.as_str() == name);
    let deployment = called.ok_or_else(|| app.repository.unknown(Some(name)))?;
    match deployment.snapshot().loaded {
        Some(_) => Ok(deployment),
        None => Err(ServerError::NotFound(format!("model '{}' is not loaded", shortened(name)))),
    }
}

async fn load(State(app): State<Arc<App>>, request: Request) -> Response {
    match load_named(&app, request).await {
        Ok(()) => http::json(StatusCode::OK, "{}"),
        Err(error) => PROTOCOL.error_response(&error),
    }
}

async fn load_named(app: &App, request: Request) -> Result<(), ServerError> {
    let (head, body) = request.into_parts();
    let (bytes, _room) = gather(body, &head.headers, &app.admission, MOST_BYTES).await?;
    let LoadRequest { model_name: name, url } = serde_json::from_slice(&bytes).map_err(|error| {
        ServerError::BadBody(format!("a JSON object with 'model_name' and 'url' is needed: {error}"))
    })?;
    if loaded(app, &name).await.is_ok() {
        return Err(ServerError::Conflict(format!("model '{name}' is loaded already")));
    }
    app.repository.load(&name).await.map_err(|error| match (error, url) {
        (ServerError::NotFound(known), Some(url)) => ServerError::NotFound(format!(
            "{known}: models are loaded from the repository, not from '{}'",
            shortened(&url)
        )),
        (error, _) => error,
    })
}

async fn unload(State(app): State<Arc<App>>, Path(name): Path<String>) -> Response {
    let unloaded = async {
        loaded(&app, &name).await?;
        app.repository.unload(&name).await
    };
    match unloaded.await {
        Ok(()) => http::json(StatusCode::OK, "{}"),
        Err(error) => PROTOCOL.error_response(&error),
    }
}

async fn invoke(State(app): State<Arc<App>>, Path(name): Path<String>, request: Request) -> Response {
    match super::super::find_model(&app, None, Some(&name)).await {
        Ok(_) => invoked(&app, Some(&name), request).await,
        Err(error) => PROTOCOL.error_response(&error),
    }
}
