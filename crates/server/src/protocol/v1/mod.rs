//! Version 1 of KServe's protocol and of TensorFlow Serving's REST API, which share their paths: routes, handlers, and
//! what is told of models. Where the two have other keys for one thing, an answer has both.

mod describe;
mod described;
mod request;

use std::convert::Infallible;
use std::sync::Arc;

use axum::extract::{FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use portend_core::shortened;
use serde_json::{Value, json};

use super::rows::answered;
use super::v2::ModelPath;
use super::{
    Operation, PathId, Protocol, Route, error_key, error_key_schema, get, no_schemas, post, unknown_method,
    unknown_route,
};
use crate::error::ServerError;
use crate::http::{self, App};
use request::{Call, Verb};

/// The protocol.
pub(super) const PROTOCOL: Protocol = Protocol {
    name: "v1",
    title: "KServe v1 and TensorFlow Serving",
    routes,
    paths: &["/v1"],
    error_form: error_key,
    error_schema: error_key_schema,
    schemas: no_schemas,
};

/// What may be a server's address for clients of KServe, which ask there whether it is alive. What stands under
/// `/deployments/{id}` itself is its package.
const ADDRESSES: [&str; 5] =
    ["/", "/model/{id}", "/deployment/{id}", "/seldon/{id}", "/seldon/{namespace}/{id}"];

fn routes() -> Vec<Route> {
    let model = |path, calls: &'static [[&'static str; 1]; 3]| {
        let [predict, classify, regress] = calls;
        let operations = [
            described::status(get(describe::status, "Whether a model can be asked")),
            described::predict(post(call, "Predictions for rows")).at(predict),
            described::classify(Operation::beside("post", "Labels with their probabilities, for examples"))
                .at(classify),
            described::regress(Operation::beside("post", "Predicted numbers, for examples")).at(regress),
        ];
        Route::model(path, operations)
    };
    let metadata = || described::metadata(get(describe::metadata, "Inputs and outputs of a model"));
    let no_labels = || {
        ["get", "post"].map(|method| {
            described::no_labels(Operation::of(method, no_labels, "Refused: models have no labels"))
        })
    };
    let alive_at = |address: &&'static str| {
        Route::root_health(*address, described::alive(get(alive, "The process is alive")))
    };
    let mut routes: Vec<_> = ADDRESSES.iter().map(alive_at).collect();
    routes.extend([
        Route::model("/v1/models", described::models(get(describe::models, "The names of all models"))),
        model(
            "/v1/models/{name}",
            &[["/v1/models/{name}:predict"], ["/v1/models/{name}:classify"], ["/v1/models/{name}:regress"]],
        ),
        model(
            "/v1/models/{name}/versions/{version}",
            &[
                ["/v1/models/{name}/versions/{version}:predict"],
                ["/v1/models/{name}/versions/{version}:classify"],
                ["/v1/models/{name}/versions/{version}:regress"],
            ],
        ),
        Route::model("/v1/models/{name}/metadata", metadata()),
        Route::model("/v1/models/{name}/versions/{version}/metadata", metadata()),
        Route::model("/v1/models/{name}/labels/{label}", no_labels()),
        Route::model("/v1/models/{name}/labels/{label}/metadata", no_labels()),
        // as Seldon's executor sends them
        Route::model(
            "/v1/models:predict",
            described::predict(post(predict_meant, "The same of the model that is meant")),
        ),
        Route::model("/v1/models/{name}/{call}", {
            let call = post(call_behind, "The same as without the slash").otherwise(no_call);
            described::predict(call).at(&["/v1/models/{name}/:predict"])
        }),
    ]);
    routes
}

/// A path whose last part is a name or a version and, behind a colon, what is asked.
struct CallPath {
    path: ModelPath,
    verb: Option<String>,
}

impl<S: Send + Sync> FromRequestParts<S> for CallPath {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Infallible> {
        let mut path = ModelPath::from_request_parts(parts, state).await?;
        let last = path.version.as_mut().unwrap_or(&mut path.name);
        let verb = last.rsplit_once(':').map(|(rest, verb)| (rest.to_owned(), verb.to_owned()));
        let verb = verb.map(|(rest, verb)| {
            *last = rest;
            verb
        });
        Ok(Self { path, verb })
    }
}

/// A server that is there.
async fn alive() -> Response {
    let version = env!("CARGO_PKG_VERSION");
    answer(&json!({ "status": "alive", "name": "portend", "version": version }))
}

async fn call(State(app): State<Arc<App>>, path: CallPath, request: Request) -> Response {
    let CallPath { path, verb: Some(verb) } = path else {
        let mut refused = PROTOCOL.error_response(&ServerError::MethodNotAllowed("POST".to_owned()));
        refused.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET,HEAD"));
        return refused;
    };
    called(&app, &path, &verb, request).await.unwrap_or_else(|error| PROTOCOL.error_response(&error))
}

/// `/v1/models/{name}/:predict`.
async fn call_behind(State(app): State<Arc<App>>, path: ModelPath, request: Request) -> Response {
    let verb = request.uri().path().rsplit_once("/:").map(|(_, verb)| verb.to_owned());
    match verb {
        Some(verb) => {
            called(&app, &path, &verb, request).await.unwrap_or_else(|error| PROTOCOL.error_response(&error))
        }
        None => unknown_route(request).await,
    }
}

/// Another method there.
async fn no_call(request: Request) -> Response {
    match request.uri().path().contains("/:") {
        true => unknown_method(request).await,
        false => unknown_route(request).await,
    }
}

async fn called(app: &App, path: &ModelPath, verb: &str, request: Request) -> Result<Response, ServerError> {
    let ready = path.find(app).await?;
    let call = Call::new(Verb::of(verb, &ready.model.target)?, app.config.class_predictions);
    answered(app, &ready, request, call).await
}

/// Predictions of the model that is meant where none is named.
async fn predict_meant(State(app): State<Arc<App>>, PathId(id): PathId, request: Request) -> Response {
    let predicted = async {
        let ready = app.repository.model(id.as_deref()).await?;
        answered(&app, &ready, request, Call::new(Verb::Predict, app.config.class_predictions)).await
    };
    predicted.await.unwrap_or_else(|error| PROTOCOL.error_response(&error))
}

/// Models have one version and no labels.
async fn no_labels(State(app): State<Arc<App>>, path: ModelPath) -> Response {
    let error = match path.find(&app).await {
        Ok(_) => ServerError::NotFound(format!(
            "model '{}' has no version labels: name it without one, or its version",
            shortened(&path.name)
        )),
        Err(error) => error,
    };
    PROTOCOL.error_response(&error)
}

fn answer(body: &Value) -> Response {
    http::json(StatusCode::OK, body.to_string())
}
