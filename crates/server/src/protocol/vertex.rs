//! The contract of Vertex AI for containers: instances in, predictions out, at the paths that its variables name.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use portend_model::Model;
use serde_json::{Value, json};

use super::rows::{
    Answered, Around, Asked, Contract, Object, ROWS_CAUSES, RowsAnswer, Table, answered, parameters_schema,
    predictions, rows_schema,
};
use super::{PathId, Protocol, Route, error_key, error_key_schema, get, no_schemas, post};
use crate::config::{ClassPredictions, VertexRoutes};
use crate::error::ServerError;
use crate::http::{self, App};
use crate::openapi::Subject;
use crate::openapi::schema::json_of;

/// The contract.
pub(super) const PROTOCOL: Protocol = Protocol {
    name: "vertex",
    title: "Vertex AI",
    routes,
    paths: &["/vertex"],
    error_form: error_key,
    error_schema: error_key_schema,
    schemas: no_schemas,
};

/// Where its routes stand; those that the operator names lead to them.
const PREDICT: &str = "/vertex/predict";
const HEALTH: &str = "/vertex/health";

fn routes() -> Vec<Route> {
    let predict = post(predict, "Predictions for instances")
        .described("`AIP_PREDICT_ROUTE` names a further path for it.")
        .takes(instances)
        .gives(200, "One value for each instance", |_| predictions("predictions"))
        .may(ROWS_CAUSES);
    let health = get(health, "Models can be asked for predictions")
        .described("`AIP_HEALTH_ROUTE` names a further path for it.")
        .gives(200, "Yes", |_| json_of(&json!({ "type": "object" })))
        .gives(503, "No", |_| json_of(&error_key_schema()));
    vec![Route::model(PREDICT, predict), Route::health(HEALTH, health)]
}

fn instances(subject: &Subject<'_>) -> Value {
    let schema = json!({
        "type": "object",
        "properties": { "instances": rows_schema(), "parameters": parameters_schema() },
        "required": ["instances"],
    });
    json!({ "application/json": subject.content(&schema, |subject| json!({ "instances": [subject.record()] })) })
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
