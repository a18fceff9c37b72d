//! One folder per protocol: decode and encode around the one scoring path, in that protocol's own shapes. A protocol has
//! routes, exchanges ([`crate::score::Exchange`]) and an error form; it never scores. This file has what all of them
//! share: where their routes stand, how they find their model, and whose error form an answer takes.

mod azure;
pub(crate) mod grpc;
mod mlflow;
mod odahu;
pub(crate) mod pps;
mod python_json;
mod route;
mod rows;
mod seldon;
mod tensor;
mod v1;
pub(crate) mod v2;
pub(crate) mod vertex;

use std::convert::Infallible;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{FromRequestParts, RawPathParams, Request};
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use http_body::{Frame, SizeHint};
use portend_core::shortened;
use serde_json::{Value, json};

use crate::admission::Room;
use crate::error::ServerError;
use crate::http::{self, App};
use crate::openapi::Subject;
use crate::repository::Ready;
use crate::score::Answer;
use crate::{metrics, openapi};
pub(crate) use pps::write_cell;
pub(crate) use route::{Operation, Route, Tell, delete, get, post};
pub(crate) use rows::label_value;
pub(crate) use v2::version;

/// A protocol, as the server needs to know it.
pub(crate) struct Protocol {
    /// What it is called in metrics.
    name: &'static str,
    /// What it is called in documents.
    title: &'static str,
    /// Its routes.
    routes: fn() -> Vec<Route>,
    /// What the paths begin with whose errors are told in its form, those of routes that do not exist included.
    paths: &'static [&'static str],
    /// Its form of an error.
    error_form: fn(&ServerError) -> Response,
    /// The schema of that form.
    error_schema: fn() -> Value,
    /// The schemas by name that descriptions of its routes refer to.
    schemas: fn(&Subject<'_>) -> Value,
}

impl Protocol {
    /// One of calls of gRPC, which server reflection describes.
    const fn of_calls(
        name: &'static str,
        routes: fn() -> Vec<Route>,
        paths: &'static [&'static str],
    ) -> Self {
        let error_form = grpc::status::error_form;
        Self {
            name,
            title: name,
            routes,
            paths,
            error_form,
            error_schema: Value::default,
            schemas: no_schemas,
        }
    }

    /// An error in its form.
    pub(crate) fn error_response(&self, error: &ServerError) -> Response {
        let mut response = (self.error_form)(error);
        if matches!(error, ServerError::Loading(_) | ServerError::Overloaded(_)) {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}

/// All of them. The first one's form of an error is taken where no path says which.
const PROTOCOLS: [Protocol; 11] = [
    pps::PROTOCOL,
    v2::PROTOCOL,
    seldon::PROTOCOL,
    mlflow::PROTOCOL,
    v1::PROTOCOL,
    odahu::PROTOCOL,
    vertex::PROTOCOL,
    azure::PROTOCOL,
    v2::grpc::PROTOCOL,
    seldon::grpc::PROTOCOL,
    grpc::PROTOCOL,
];

/// How many there are.
pub(crate) const COUNT: usize = PROTOCOLS.len();

/// The name of one of them.
pub(crate) fn name(place: usize) -> &'static str {
    PROTOCOLS[place].name
}

/// The title of one of them.
pub(crate) fn title(place: usize) -> &'static str {
    PROTOCOLS[place].title
}

/// The schemas that one of them refers to.
pub(crate) fn schemas(place: usize, subject: &Subject<'_>) -> Value {
    (PROTOCOLS[place].schemas)(subject)
}

/// The schema of the form that one of them gives errors.
pub(crate) fn error_schema(place: usize) -> Value {
    (PROTOCOLS[place].error_schema)()
}

/// An error in the form of one of them.
pub(crate) fn told_by(place: usize, error: &ServerError) -> Response {
    PROTOCOLS[place].error_response(error)
}

/// Prefixes that name the model for whatever follows.
pub(crate) const PREFIXES: [&str; 5] =
    ["/model/{id}", "/deployment/{id}", "/deployments/{id}", "/seldon/{id}", "/seldon/{namespace}/{id}"];

/// All routes, each with the place of its protocol; None for those of the server itself.
pub(crate) fn all_routes() -> Vec<(Option<usize>, Route)> {
    let of_protocols = PROTOCOLS.iter().enumerate();
    let of_protocols = of_protocols
        .flat_map(|(place, protocol)| (protocol.routes)().into_iter().map(move |route| (Some(place), route)));
    let own = [http::own_routes(), metrics::routes(), openapi::routes()];
    of_protocols.chain(own.into_iter().flatten().map(|route| (None, route))).collect()
}

/// These routes on their paths: those that ask for the token where one is set, and the others.
pub(crate) fn routes(wanted: impl Fn(&Route) -> bool) -> (Router<Arc<App>>, Router<Arc<App>>) {
    let (mut guarded, mut open) = (Router::new(), Router::new());
    for (_, route) in all_routes().into_iter().filter(|(_, route)| wanted(route)) {
        let prefixes: &[&str] = if route.is_about_a_model() { &PREFIXES } else { &[] };
        let router = if route.is_guarded() { &mut guarded } else { &mut open };
        let (path, methods) = (route.path.clone(), route.methods());
        for prefix in std::iter::once(&"").chain(prefixes) {
            *router = std::mem::take(router).route(&format!("{prefix}{path}"), methods.clone());
        }
    }
    (guarded, open)
}

/// The model's id in a prefix of the path, or in a path of this protocol, if there is one.
pub(crate) struct PathId(pub(crate) Option<String>);

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

/// The model that a request means: the one whose prefix it came under, whatever `name` the protocol calls it by; else the
/// one called `name`, exactly; else the only one, or the default.
pub(crate) async fn find_model(
    app: &App,
    prefix: Option<&str>,
    name: Option<&str>,
) -> Result<Ready, ServerError> {
    let ready = app.repository.model(prefix.or(name)).await?;
    match name {
        // a single model answers under every id, but is not called so
        Some(name) if prefix.is_none() && ready.deployment.id.as_str() != name => {
            Err(app.repository.unknown(Some(name)))
        }
        _ => Ok(ready),
    }
}

/// An error in the form of the protocol that `path` belongs to.
pub(crate) fn error_response(path: &str, error: &ServerError) -> Response {
    PROTOCOLS[of_path(path)].error_response(error)
}

/// The place of the protocol that `path` belongs to.
pub(crate) fn of_path(path: &str) -> usize {
    let rests = rests(path);
    let is_its = |protocol: &Protocol| {
        rests.iter().flatten().any(|path| {
            // the second character tells most of them apart, without a call for each
            let may = |start: &&&str| start.as_bytes().get(1) == path.as_bytes().get(1);
            let begins =
                |start: &&str| path.strip_prefix(*start).is_some_and(|r| r.is_empty() || r.starts_with('/'));
            protocol.paths.iter().filter(may).any(begins)
        })
    };
    PROTOCOLS.iter().position(is_its).unwrap_or(0)
}

/// A path, and without each prefix that it may have.
fn rests(path: &str) -> [Option<&str>; PREFIXES.len() + 1] {
    std::array::from_fn(|i| {
        let Some(prefix) = i.checked_sub(1).map(|i| PREFIXES[i]) else { return Some(path) };
        // each request for predictions comes by, so nothing is searched: most paths differ in the second character
        let same = prefix.bytes().zip(path.bytes()).position(|(a, b)| a != b || a == b'{')?;
        if prefix.as_bytes()[same] != b'{' {
            return None;
        }
        let (at, _) = path.match_indices('/').nth(prefix.matches('/').count())?;
        Some(&path[at..])
    })
}

/// `{"error": …}`, the form of several protocols. What is wrong with rows is always 400.
fn error_key(error: &ServerError) -> Response {
    let status = match error.status() {
        StatusCode::UNPROCESSABLE_ENTITY => StatusCode::BAD_REQUEST,
        status => status,
    };
    http::json(status, json!({ "error": error.to_string() }).to_string())
}

fn error_key_schema() -> Value {
    openapi::schema::object(&json!({ "error": { "type": "string" } }))
}

/// For protocols whose descriptions need no schemas of their own.
fn no_schemas(_: &Subject<'_>) -> Value {
    json!({})
}

/// The answer to a path that has no route.
pub(crate) async fn unknown_route(request: Request) -> Response {
    if grpc::is_call(request.headers()) {
        let path = shortened(request.uri().path()).into_owned();
        let error =
            ServerError::Unimplemented(format!("there is no call {path}: server reflection lists all"));
        return grpc::status::error_form(&error);
    }
    let error = ServerError::NotFound(
        "there is no such route; predictions are at POST /predictions and POST /deployments/{id}/predictions"
            .to_owned(),
    );
    error_response(request.uri().path(), &error)
}

/// The answer to what comes to the port for gRPC alone and is something else.
pub(crate) async fn only_grpc(request: Request) -> Response {
    if grpc::is_call(request.headers()) {
        return unknown_route(request).await;
    }
    let error = "this port speaks gRPC alone: the other protocols are on the server's main port";
    error_response("", &ServerError::NotFound(error.to_owned()))
}

/// The answer to a method that a route does not have.
pub(crate) async fn unknown_method(request: Request) -> Response {
    let method = shortened(request.method().as_str()).into_owned();
    error_response(request.uri().path(), &ServerError::MethodNotAllowed(method))
}

/// An answer as a response: its headers, and a body of known length.
pub(crate) fn response(answer: Answer) -> Response {
    let Answer { mut chunks, headers, room } = answer;
    let body = match chunks.len() {
        1 if room.is_empty() => Body::from(chunks.remove(0)),
        _ => Body::new(Chunks { chunks: chunks.into_iter().collect(), _room: room }),
    };
    let mut response = Response::new(body);
    *response.headers_mut() = headers;
    response
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_protocol_has_a_name_of_its_own_that_the_reference_of_metrics_knows() {
        let page = include_str!("../../../../docs/reference/metrics.md");
        for (place, protocol) in PROTOCOLS.iter().enumerate() {
            assert!(page.contains(&format!("`{}`: ", protocol.name)), "{}", protocol.name);
            assert!(PROTOCOLS[..place].iter().all(|other| other.name != protocol.name), "{}", protocol.name);
        }
    }

    #[test]
    fn a_prefix_that_names_a_model_is_told_from_what_follows() {
        for (path, expected) in [
            ("/v2/models/a", vec!["/v2/models/a"]),
            ("/model/a/v2", vec!["/model/a/v2", "/v2"]),
            ("/deployment/a/v2/health", vec!["/deployment/a/v2/health", "/v2/health"]),
            ("/deployments/a/v2", vec!["/deployments/a/v2", "/v2"]),
            ("/seldon/ns/a/v2", vec!["/seldon/ns/a/v2", "/a/v2", "/v2"]),
            ("/seldon/a/v2", vec!["/seldon/a/v2", "/v2"]),
            ("/seldon.json", vec!["/seldon.json"]),
            ("/models/a/v2", vec!["/models/a/v2"]),
            ("/model", vec!["/model"]),
            ("/", vec!["/"]),
        ] {
            assert_eq!(rests(path).into_iter().flatten().collect::<Vec<_>>(), expected, "{path}");
        }
    }
}
