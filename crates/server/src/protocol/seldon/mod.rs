//! Seldon's protocol, version 1, over REST: what its executor answers outside and its wrapper inside, on the same paths, so
//! that one server is valid as either. Routes and handlers; what is in a message stands in the files below.

mod arrival;
mod document;
mod exchange;
mod feedback;
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
use axum::routing::{MethodFilter, MethodRouter, on};
use serde_json::json;

use super::{Protocol, Route, find_model};
use crate::error::ServerError;
use crate::http::{self, App};
use crate::repository::Ready;
use crate::score::guarded;
use arrival::Arrival;
use exchange::SeldonExchange;
use feedback::Feedback;
use identity::Identity;
use unit::Unit;

/// The protocol.
pub(super) const PROTOCOL: Protocol =
    Protocol { name: "seldon", routes, paths: &PATHS, error_form: envelope };

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

const GET: MethodFilter = MethodFilter::GET;
const POST: MethodFilter = MethodFilter::POST;

fn routes() -> Vec<Route> {
    let either = GET.or(POST);
    let inside = |path: &'static str, call| Route::model(path, called(either, call));
    let mut routes = vec![
        inside("/predict", Call::Predict),
        inside("/transform-input", Call::Transform),
        inside("/transform-output", Call::Transform),
        inside("/route", Call::NotDefined("Route")),
        inside("/aggregate", Call::NotDefined("Aggregate")),
        inside("/send-feedback", Call::Feedback),
        Route::model("/metadata", called(GET, Call::Metadata)),
        Route::model("/seldon.json", called(GET, Call::Document)),
        Route::model("/api/v1.0/metadata", outside(GET, Call::Graph)),
        Route::health("/api/v1.0/status", outside(GET, Call::Ready)),
        Route::health("/api/v1.0/health/status", outside(GET, Call::Health)),
        Route::health("/health/status", called(GET, Call::Health)),
        Route::health("/health/ping", called(GET, Call::Ping)),
        Route::health("/live", outside(GET, Call::Live)),
    ];
    for version in ["/api/v1.0", "/api/v0.1"] {
        routes.extend([
            Route::model(format!("{version}/predictions"), outside(POST, Call::Predict)),
            Route::model(format!("{version}/feedback"), outside(POST, Call::Feedback)),
            Route::model(format!("{version}/metadata/{{name}}"), outside(GET, Call::Metadata)),
            Route::health(format!("{version}/status/{{name}}"), outside(GET, Call::Health)),
            Route::model(format!("{version}/doc"), outside(GET, Call::Page)),
            Route::model(format!("{version}/doc/seldon.json"), outside(GET, Call::Document)),
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
    Document,
}

fn called(methods: MethodFilter, call: Call) -> MethodRouter<Arc<App>> {
    on(methods, move |State(app): State<Arc<App>>, path: UnitPath, request: Request| async move {
        let identity = Identity::of(&request);
        let called = call.answer(&app, &path, request).await;
        let mut response = called.unwrap_or_else(|error| PROTOCOL.error_response(&error));
        let (deployment, namespace) = match identity.is_event() {
            true => path.deployment(&app).await,
            false => Default::default(),
        };
        identity.stamp(&mut response, &deployment, &namespace);
        response
    })
}

/// The same for what is called from outside: browsers ask first what may be sent. What they may is a setting of the server.
fn outside(methods: MethodFilter, call: Call) -> MethodRouter<Arc<App>> {
    called(methods, call).options(|| async { StatusCode::OK })
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
                Ok(answered(worked(app, request, answer).await?))
            }
            Self::Feedback => {
                let ready = path.find(app).await?;
                let answer = |text: &str| {
                    let feedback = Feedback::parse(text)?;
                    Ok((feedback.reward()?, feedback.answer(&Unit::of(&ready))?))
                };
                let (reward, answer) = worked(app, request, answer).await?;
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
            Self::Page => Ok(html(document::page())),
            Self::Document => Ok(answered(document::open_api().to_string())),
        }
    }
}

async fn predict(app: &App, ready: &Ready, request: Request) -> Result<Response, ServerError> {
    let arrival = Arrival::read(request, &app.admission, app.config.body_limit).await?;
    let exchange = SeldonExchange { arrival, unit: Unit::of(ready) };
    Ok(super::response(app.scorer.answer(&app.admission, ready, exchange).await?))
}

/// Reads a message that is not scored, and answers it with a permit, as whatever takes time.
async fn worked<T>(
    app: &App,
    request: Request,
    work: impl FnOnce(&str) -> Result<T, ServerError>,
) -> Result<T, ServerError> {
    const SMALL: usize = 64 << 10;
    let arrival = Arrival::read(request, &app.admission, app.config.body_limit).await?;
    let _permit = app.admission.permit().await?;
    let is_small = arrival.plain().is_some_and(|bytes| bytes.len() <= SMALL);
    let work = || guarded(|| arrival.text().and_then(|text| work(&text)));
    // other requests on this thread go on elsewhere meanwhile
    if is_small { work() } else { tokio::task::block_in_place(work) }
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
