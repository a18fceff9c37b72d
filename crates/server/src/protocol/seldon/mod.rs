//! Seldon's protocol, version 1: what its executor answers outside and its wrapper inside, on the same paths, so that one
//! server is valid as either. Routes and handlers of REST; what is in a message stands in the files below, and gRPC in
//! `grpc/`.

mod arrival;
mod described;
mod exchange;
mod feedback;
pub(super) mod grpc;
mod identity;
mod message;
mod passthrough;
mod rows;
mod unit;

use std::convert::Infallible;
use std::sync::Arc;

use axum::extract::{FromRequestParts, RawPathParams, Request, State};
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::{Operation, Protocol, Route, find_model, of_path};
use crate::error::ServerError;
use crate::http::{self, App};
use crate::openapi::{Reach, answer, page};
use crate::repository::Ready;
use crate::score::guarded;
use arrival::Arrival;
use exchange::SeldonExchange;
use feedback::Feedback;
use identity::Identity;
use unit::Unit;

/// The protocol.
pub(super) const PROTOCOL: Protocol = Protocol {
    name: "seldon",
    title: "Seldon",
    routes,
    paths: &PATHS,
    error_form: envelope,
    error_schema: described::error,
    schemas: described::schemas,
};

/// Its paths, but for `/ready`, which others share.
const PATHS: [&str; 13] = [
    "/api/v1.0",
    "/api/v0.1",
    "/predict",
    "/transform-input",
    "/transform-output",
    "/route",
    "/aggregate",
    "/send-feedback",
    "/health/ping",
    "/health/status",
    "/metadata",
    "/seldon.json",
    "/live",
];

fn routes() -> Vec<Route> {
    let inside = |path: &'static str, call, told: &'static str| {
        Route::model(path, ["get", "post"].map(|method| called(method, call, told)))
    };
    let mut routes = vec![
        inside("/predict", Call::Predict, "Predictions for rows"),
        inside("/transform-input", Call::Transform, "The rows as they are, under the names of the outputs"),
        inside("/transform-output", Call::Transform, "The same"),
        inside("/route", Call::NotDefined("Route"), "Refused: a model does not route"),
        inside("/aggregate", Call::NotDefined("Aggregate"), "Refused: a model does not aggregate"),
        inside("/send-feedback", Call::Feedback, "What turned out"),
        Route::model("/metadata", called("get", Call::Metadata, "The model's inputs and outputs")),
        Route::model(
            "/seldon.json",
            called("get", Call::Document(0), "The OpenAPI document of these routes"),
        ),
        Route::model("/api/v1.0/metadata", outside("get", Call::Graph, "The graph, which is one model")),
        Route::health(
            "/api/v1.0/status",
            outside("get", Call::Ready, "Whether predictions can be asked for"),
        ),
        Route::health(
            "/api/v1.0/health/status",
            outside("get", Call::Health, "Whether the model can be asked"),
        ),
        Route::health("/health/status", called("get", Call::Health, "Whether the model can be asked")),
        Route::health("/health/ping", called("get", Call::Ping, "Whether the process answers")),
        Route::health("/live", outside("get", Call::Live, "Whether the process answers")),
    ];
    for version in ["/api/v1.0", "/api/v0.1"] {
        let at = |path: &str| format!("{version}{path}");
        routes.extend([
            Route::model(at("/predictions"), outside("post", Call::Predict, "Predictions for rows")),
            Route::model(at("/feedback"), outside("post", Call::Feedback, "What turned out")),
            Route::model(
                at("/metadata/{name}"),
                outside("get", Call::Metadata, "The model's inputs and outputs"),
            ),
            Route::health(
                at("/status/{name}"),
                outside("get", Call::Health, "Whether the model can be asked"),
            ),
            Route::model(at("/doc"), outside("get", Call::Page, "A page that shows the document")),
            Route::model(
                at("/doc/seldon.json"),
                outside("get", Call::Document(3), "The OpenAPI document of these routes"),
            ),
        ]);
    }
    routes
}

/// What a route does.
#[derive(Debug, Clone, Copy)]
enum Call {
    Predict,
    Transform,
    Feedback,
    /// What graphs have units for, and a model is none of them.
    NotDefined(&'static str),
    Metadata,
    Graph,
    Health,
    Ready,
    Ping,
    Live,
    Page,
    /// The document, which stands so many levels below what its paths begin with.
    Document(usize),
}

fn called(method: &'static str, call: Call, told: &'static str) -> Operation {
    let handler = move |State(app): State<Arc<App>>, path: UnitPath, request: Request| async move {
        let identity = Identity::of(&request);
        let called = call.answer(&app, &path, request).await;
        let mut response = called.unwrap_or_else(|error| PROTOCOL.error_response(&error));
        let (deployment, namespace) = match identity.is_event() {
            true => path.deployment(&app).await,
            false => Default::default(),
        };
        identity.stamp(&mut response, &deployment, &namespace);
        response
    };
    described::operation(call, Operation::of(method, handler, told))
}

/// The same for what is called from outside: browsers ask first what may be sent. What they may is a setting of the server.
fn outside(method: &'static str, call: Call, told: &'static str) -> [Operation; 2] {
    let options = Operation::of("options", || async { StatusCode::OK }, "What browsers ask first");
    [called(method, call, told), options.gives_nothing(200, "Nothing")]
}

/// What a path says of the unit that is meant.
struct UnitPath {
    /// The id in its prefix.
    prefix: Option<String>,
    namespace: Option<String>,
    /// The name of a node of the graph.
    name: Option<String>,
}

impl<S: Send + Sync> FromRequestParts<S> for UnitPath {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Infallible> {
        let Ok(parameters) = RawPathParams::from_request_parts(parts, state).await else {
            // not text: there is no model of that name, and the look-up says so
            return Ok(Self { prefix: Some(String::new()), namespace: None, name: None });
        };
        let of = |wanted: &str| {
            parameters.iter().find(|(name, _)| *name == wanted).map(|(_, value)| value.to_owned())
        };
        Ok(Self { prefix: of("id"), namespace: of("namespace"), name: of("name") })
    }
}

impl UnitPath {
    async fn find(&self, app: &App) -> Result<Ready, ServerError> {
        find_model(app, self.prefix.as_deref(), self.name.as_deref()).await
    }

    /// The names that an event's attributes have: of the deployment, and of its namespace.
    async fn deployment(self, app: &App) -> (String, String) {
        let named = match self.prefix {
            Some(id) => Some(id),
            None => app.repository.snapshot(None).await.ok().map(|(id, _)| id.as_str().to_owned()),
        };
        (named.unwrap_or_default(), self.namespace.unwrap_or_else(|| "default".to_owned()))
    }
}

impl Call {
    async fn answer(self, app: &App, path: &UnitPath, request: Request) -> Result<Response, ServerError> {
        let is_ready = || app.readiness(path.prefix.as_deref());
        match self {
            Self::Predict => predict(app, &path.find(app).await?, request).await,
            Self::Transform => {
                let ready = path.find(app).await?;
                let answer = |text: &str| passthrough::answer(text, &Unit::of(&ready), &ready.model);
                Ok(answered(with_text(app, request, answer).await?))
            }
            Self::Feedback => {
                let ready = path.find(app).await?;
                let answer = |text: &str| {
                    let feedback = Feedback::parse(text)?;
                    Ok((feedback.reward()?, feedback.answer(&Unit::of(&ready))?))
                };
                let (reward, answer) = with_text(app, request, answer).await?;
                ready.deployment.statistics.add_feedback(reward);
                Ok(answered(answer))
            }
            Self::NotDefined(what) => Err(bad(format!("{what} not defined"))),
            Self::Metadata => {
                let ready = path.find(app).await?;
                Ok(answered(Unit::of(&ready).metadata(&ready.model).to_string()))
            }
            Self::Graph => {
                let ready = path.find(app).await?;
                Ok(answered(Unit::of(&ready).graph(&ready.model).to_string()))
            }
            Self::Health => {
                let ready = path.find(app).await.map_err(|error| app.for_anybody(error))?;
                Ok(answered(Unit::of(&ready).healthy()?))
            }
            Self::Ready if is_ready().await.is_err() => Ok(StatusCode::SERVICE_UNAVAILABLE.into_response()),
            Self::Ready | Self::Live => Ok(StatusCode::OK.into_response()),
            Self::Ping => Ok(html("pong")),
            Self::Page if app.config.docs => Ok(page(&request, "../../docs/", "doc/seldon.json")),
            Self::Page => {
                Err(ServerError::NotFound("this server does not serve its documents as pages".to_owned()))
            }
            Self::Document(levels) => {
                let ready = path.find(app).await.ok();
                Ok(answer(app, ready.as_ref(), Reach::Protocol(of_path(PATHS[0]), levels)))
            }
        }
    }
}

async fn predict(app: &App, ready: &Ready, request: Request) -> Result<Response, ServerError> {
    let arrival = Arrival::read(request, &app.admission, app.config.body_limit).await?;
    let exchange = SeldonExchange { arrival, unit: Unit::of(ready) };
    Ok(super::response(app.scorer.answer(&app.admission, ready, exchange).await?))
}

/// Reads the text of a message that is not scored.
async fn with_text<T>(
    app: &App,
    request: Request,
    work: impl FnOnce(&str) -> Result<T, ServerError>,
) -> Result<T, ServerError> {
    let arrival = Arrival::read(request, &app.admission, app.config.body_limit).await?;
    worked(app, arrival.plain().map(<[u8]>::len), || arrival.text().and_then(|text| work(&text))).await
}

/// Does what is no scoring with a permit, as whatever takes time; `bytes` are the message's, where they say how much it is.
async fn worked<T>(
    app: &App,
    bytes: Option<usize>,
    work: impl FnOnce() -> Result<T, ServerError>,
) -> Result<T, ServerError> {
    const SMALL: usize = 64 << 10;
    let _permit = app.admission.permit().await?;
    // other requests on this thread go on elsewhere meanwhile
    if bytes.is_some_and(|bytes| bytes <= SMALL) {
        guarded(work)
    } else {
        tokio::task::block_in_place(|| guarded(work))
    }
}

fn answered(body: String) -> Response {
    http::json(StatusCode::OK, body)
}

fn html(body: impl Into<axum::body::Body>) -> Response {
    ([(header::CONTENT_TYPE, "text/html; charset=utf-8")], body.into()).into_response()
}

fn bad(reason: impl Into<String>) -> ServerError {
    ServerError::BadBody(reason.into())
}

/// The wrapper's form of an error. What is wrong with rows is always 400.
fn envelope(error: &ServerError) -> Response {
    let status = match error.status() {
        StatusCode::UNPROCESSABLE_ENTITY => StatusCode::BAD_REQUEST,
        status => status,
    };
    let reason =
        if status.is_server_error() { "MICROSERVICE_INTERNAL_ERROR" } else { "MICROSERVICE_BAD_DATA" };
    let status_of = json!({ "status": 1, "info": error.to_string(), "code": -1, "reason": reason });
    http::json(status, json!({ "status": status_of }).to_string())
}
