//! The prediction API of the Portable Prediction Server: routes and handlers. The same handlers stand under the
//! root and under the prefixes that its clients put before it. Credentials that clients send are ignored, as there.

mod answer;
mod columns;
mod info;
mod manage;
mod parameters;
mod request;

use std::convert::Infallible;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{FromRequestParts, RawPathParams, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::Response;
use axum::routing::{any, get, post};
use axum::{Router, extract::RawQuery};
use http_body::{Frame, SizeHint};
use portend_core::shortened;

use crate::admission::Room;
use crate::error::ServerError;
use crate::http::{App, json};
use crate::repository::Ready;
use crate::score::Answer;
use columns::Columns;
use parameters::Parameters;
use request::PpsExchange;

/// Milliseconds from the request's head to its answer; clients rely on it.
pub(crate) const EXECUTION_TIME: HeaderName = HeaderName::from_static("x-datarobot-execution-time");
/// An id for this request.
pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-datarobot-request-id");
/// Whether the model was in memory when the request came.
const CACHE_HIT: HeaderName = HeaderName::from_static("x-datarobot-model-cache-hit");

/// What clients put before the routes.
const PREFIXES: [&str; 3] = ["", "/predApi/v1.0", "/api/v2"];

/// All routes of this protocol.
pub(crate) fn routes() -> Router<Arc<App>> {
    let mut router = Router::new();
    for prefix in PREFIXES {
        router = router
            .route(&format!("{prefix}/predictions"), post(predictions))
            .route(&format!("{prefix}/deployments/{{id}}/predictions"), post(predictions))
            .route(&format!("{prefix}/deployments/{{id}}/predictionExplanations"), post(not_offered))
            .route(&format!("{prefix}/deployments/{{id}}/predictionsUnstructured"), post(not_offered))
            .route(&format!("{prefix}/info"), get(info::info))
            .route(&format!("{prefix}/deployments"), get(info::deployments))
            .route(&format!("{prefix}/deployments/{{id}}/info"), get(info::info))
            .route(&format!("{prefix}/deployments/{{id}}"), post(manage::upload).delete(manage::delete));
    }
    router
        // Older commands of the batch client: a project id, then the model's.
        .route("/predApi/v1.0/{project}/{id}/predict", post(predictions))
        .route("/predApi/v1.0/{project}/{id}/reasonCodesPredictions", post(not_offered))
        .route("/api/v1/{project}/{id}/predict", post(predictions))
        .route("/predApi/v1.0/api_token", any(api_token))
}

/// The id in the path, if the route has one.
struct PathId(Option<String>);

impl<S: Send + Sync> FromRequestParts<S> for PathId {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Infallible> {
        Ok(Self(match RawPathParams::from_request_parts(parts, state).await {
            Ok(parameters) => parameters.iter().find(|(name, _)| *name == "id").map(|(_, id)| id.to_owned()),
            // Not text: there is no model of that name, and the look-up says so.
            Err(_) => Some(String::new()),
        }))
    }
}

async fn predictions(
    State(app): State<Arc<App>>,
    PathId(id): PathId,
    RawQuery(query): RawQuery,
    request: Request,
) -> Response {
    match predict(&app, id.as_deref(), query.as_deref(), request).await {
        Ok(response) => response,
        Err(error) => error_response(&error),
    }
}

async fn predict(
    app: &App,
    id: Option<&str>,
    query: Option<&str>,
    request: Request,
) -> Result<Response, ServerError> {
    let Ready { model, settings, was_loaded } = app.repository.model(id).await?;
    let parameters = Parameters::parse(query.unwrap_or_default(), &model.target)?;
    let csv = answer::wants_csv(request.headers());
    let columns = Columns::new(parameters.keep, settings.required_column());
    let form = answer::AnswerFormat::new(csv, parameters.decimals);
    let exchange = PpsExchange::read(request, columns, form, &app.admission, app.config.body_limit).await?;
    let answer = app.scorer.answer(&app.admission, model, exchange).await?;
    let mut response = Response::new(answer_body(answer));
    let content_type = if csv { "text/csv; charset=utf-8" } else { "application/json" };
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
        .headers_mut()
        .insert(CACHE_HIT, HeaderValue::from_static(if was_loaded { "true" } else { "false" }));
    Ok(response)
}

/// Routes of model kinds that are not served yet.
async fn not_offered(State(app): State<Arc<App>>, PathId(id): PathId) -> Response {
    let error = match app.repository.model(id.as_deref()).await {
        Ok(_) => ServerError::BadParameter("not available for this model".to_owned()),
        Err(error) => error,
    };
    error_response(&error)
}

/// Clients without a token ask for one first; any will do.
async fn api_token() -> Response {
    json(StatusCode::OK, "{\"api_token\":\"none-needed\"}")
}

pub(crate) async fn unknown_route() -> Response {
    error_response(&ServerError::NotFound(
        "there is no such route; predictions are at POST /predictions and POST /deployments/{id}/predictions"
            .to_owned(),
    ))
}

pub(crate) async fn unknown_method(request: Request) -> Response {
    error_response(&ServerError::MethodNotAllowed(shortened(request.method().as_str()).into_owned()))
}

/// `{"message": …}`, whatever the request accepts.
pub(crate) fn error_response(error: &ServerError) -> Response {
    let body = serde_json::json!({ "message": error.to_string() }).to_string();
    let mut response = json(error.status(), body);
    if matches!(error, ServerError::Loading(_) | ServerError::Overloaded(_)) {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    }
    response
}

/// An answer as a body of known length.
fn answer_body(answer: Answer) -> Body {
    let Answer { mut chunks, room } = answer;
    match chunks.len() {
        1 if room.is_empty() => Body::from(chunks.remove(0)),
        _ => Body::new(Chunks { chunks: chunks.into_iter().collect(), _room: room }),
    }
}

/// Chunks that are ready: sent one after the other, never joined.
struct Chunks {
    chunks: std::collections::VecDeque<bytes::Bytes>,
    /// Given back when the last of them is sent, or nobody reads them any more.
    _room: Room,
}

impl http_body::Body for Chunks {
    type Data = bytes::Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        std::task::Poll::Ready(self.chunks.pop_front().map(|chunk| Ok(Frame::data(chunk))))
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.chunks.iter().map(|chunk| chunk.len() as u64).sum())
    }
}
