//! The repository extension: which models there are, and loading and unloading them by request.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use encoding_rs::UTF_8;
use portend_core::{ModelId, shortened_to};
use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::{Value, json};

use super::{ModelPath, PROTOCOL, answer, version};
use crate::body::{Payload, gather, packing};
use crate::error::ServerError;
use crate::http::{self, App};
use crate::protocol::PathId;
use crate::repository::Snapshot;

/// The body of an index request.
#[derive(Debug, Default, Deserialize)]
#[serde(expecting = "a JSON object")]
struct IndexRequest {
    /// Whether only models are listed that can be asked.
    ready: Option<bool>,
}

/// The body of a load request.
#[derive(Debug, Default, Deserialize)]
#[serde(expecting = "a JSON object")]
struct LoadRequest {
    parameters: Option<std::collections::BTreeMap<String, IgnoredAny>>,
}

/// All models with their state; under a prefix the one.
pub(super) async fn index(State(app): State<Arc<App>>, PathId(id): PathId, request: Request) -> Response {
    let IndexRequest { ready } = match body(&app, request).await {
        Ok(body) => body,
        Err(error) => return PROTOCOL.error_response(&error),
    };
    let deployments = app.repository.deployments(id.as_deref()).await;
    let listed: Vec<Value> = deployments
        .iter()
        .map(|deployment| entry(&deployment.id, &deployment.snapshot()))
        .filter(|entry| !ready.unwrap_or(false) || entry["state"] == "READY")
        .collect();
    answer(StatusCode::OK, &Value::from(listed))
}

/// What the index says of a model.
pub(super) fn entry(id: &ModelId, snapshot: &Snapshot) -> Value {
    let Snapshot { loaded, loading, failure, withdrawn, .. } = snapshot;
    let (state, reason) = match (loaded, failure) {
        (Some(_), Some(failure)) => ("READY", format!("its new package does not load: {}", failure.message)),
        (Some(_), None) => ("READY", String::new()),
        _ if *loading => ("LOADING", String::new()),
        _ if *withdrawn => ("UNAVAILABLE", "unloaded".to_owned()),
        (None, Some(failure)) => ("UNAVAILABLE", failure.message.clone()),
        (None, None) => ("UNAVAILABLE", "not in memory: it is loaded when it is asked for".to_owned()),
    };
    let version = loaded.as_ref().map_or("", |loaded| version(&loaded.model));
    json!({ "name": id.as_str(), "version": version, "state": state, "reason": reason })
}

/// Loads a model, or again if its package changed.
pub(super) async fn load(State(app): State<Arc<App>>, path: ModelPath, request: Request) -> Response {
    let loaded = async {
        let LoadRequest { parameters } = body(&app, request).await?;
        check_parameters(parameters.iter().flatten().map(|(name, _)| name))?;
        app.repository.load(path.meant()).await
    };
    done(&loaded.await)
}

/// Refuses parameters of a load: they would bring another model than the repository has.
pub(super) fn check_parameters<'n>(mut names: impl Iterator<Item = &'n String>) -> Result<(), ServerError> {
    names.next().map_or(Ok(()), |name| {
        Err(ServerError::BadBody(format!(
            "parameter '{}' is not offered: a model is loaded as it lies in the repository, and uploaded with POST \
             /deployments/{{id}}",
            portend_core::shortened(name)
        )))
    })
}

/// Unloads a model, which answers 503 from then on.
pub(super) async fn unload(State(app): State<Arc<App>>, path: ModelPath, request: Request) -> Response {
    let unloaded = async {
        let IgnoredBody {} = body(&app, request).await?;
        app.repository.unload(path.meant()).await
    };
    done(&unloaded.await)
}

/// Any object: models have no dependents that could be unloaded with them.
#[derive(Debug, Default, Deserialize)]
#[serde(expecting = "a JSON object")]
struct IgnoredBody {}

fn done(done: &Result<(), ServerError>) -> Response {
    match done {
        Ok(()) => http::json(StatusCode::OK, "{}"),
        Err(error) => PROTOCOL.error_response(error),
    }
}

impl ModelPath {
    /// The id of the model that is meant.
    fn meant(&self) -> &str {
        self.prefix.as_deref().unwrap_or(&self.name)
    }
}

/// Bytes of a body that holds a few words.
const LARGEST: usize = 1 << 20;

/// A JSON object, or nothing.
async fn body<T: DeserializeOwned + Default>(app: &App, request: Request) -> Result<T, ServerError> {
    let (head, body) = request.into_parts();
    let (packing, limit) = (packing(&head.headers)?, app.config.body_limit.min(LARGEST));
    let (bytes, room) = gather(body, &head.headers, &app.admission, limit).await?;
    let payload = Payload { bytes, packing, charset: UTF_8, limit, room };
    let unpacked = payload.unpacked()?;
    if unpacked.trim_ascii().is_empty() {
        return Ok(T::default());
    }
    serde_json::from_slice(&unpacked).map_err(|error| {
        let reason = error.to_string();
        ServerError::BadBody(format!(
            "the body is not a JSON object as it belongs here: {}",
            shortened_to(200, &reason)
        ))
    })
}
