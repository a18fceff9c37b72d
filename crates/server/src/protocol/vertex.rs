//! The contract of Vertex AI for containers: instances in, predictions out, at the paths that its variables name.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::{get, post};
use portend_model::Model;
use serde_json::json;

use super::rows::{Answered, Around, Asked, Contract, Object, RowsAnswer, Table, answered};
use super::{PathId, Protocol, Route, error_key};
use crate::config::{ClassPredictions, VertexRoutes};
use crate::error::ServerError;
use crate::http::{self, App};

/// The contract.
pub(super) const PROTOCOL: Protocol =
    Protocol { name: "vertex", routes, paths: &["/vertex"], error_form: error_key };

/// Where its routes stand; those that the operator names lead to them.
const PREDICT: &str = "/vertex/predict";
const HEALTH: &str = "/vertex/health";

fn routes() -> Vec<Route> {
    vec![Route::model(PREDICT, post(predict)), Route::health(HEALTH, get(health))]
}

/// The route that a path leads to which the operator named.
pub(crate) fn named_route(routes: &VertexRoutes, path: &str) -> Option<&'static str> {
    let is = |named: &Option<String>| named.as_deref() == Some(path);
    if is(&routes.predict) {
        return Some(PREDICT);
    }
    is(&routes.health).then_some(HEALTH)
}

async fn predict(State(app): State<Arc<App>>, PathId(id): PathId, request: Request) -> Response {
    let predicted = async {
        let ready = app.repository.model(id.as_deref()).await?;
        answered(&app, &ready, request, Instances(app.config.class_predictions)).await
    };
    predicted.await.unwrap_or_else(|error| PROTOCOL.error_response(&error))
}

/// Models can be asked; under a prefix the one.
async fn health(State(app): State<Arc<App>>, PathId(id): PathId) -> Response {
    match app.readiness(id.as_deref()).await {
        Ok(()) => http::json(StatusCode::OK, "{}"),
        Err(reason) => http::json(StatusCode::SERVICE_UNAVAILABLE, json!({ "error": reason }).to_string()),
    }
}

/// One request.
struct Instances(ClassPredictions);

impl Contract for Instances {
    fn read<'b>(&self, text: &'b str, model: &Model) -> Result<Asked<'b>, ServerError> {
        let bad = |reason: String| ServerError::BadBody(reason);
        let body =
            Object::parse(text).map_err(|reason| bad(format!("the body is not a JSON object: {reason}")))?;
        let instances = body.get("instances");
        let instances =
            instances.ok_or_else(|| bad("the body has no 'instances': send a list of rows".to_owned()))?;
        let table = Table::of_list("instances", instances)?;
        let answered = Answered::from(self.0).asked("parameters", body.get("parameters"))?;
        let around = Around::Json("{\"predictions\":[", "]}".to_owned());
        Ok(Asked { table, answer: RowsAnswer::new(answered, around, model) })
    }
}
