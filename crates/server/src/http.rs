//! All routes and layers on one page, and what they share.

use std::hash::{BuildHasher, RandomState};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderValue, Method, Request, StatusCode, Uri, header};
use axum::middleware::map_request;
use axum::response::{IntoResponse, Response};
use tower::ServiceExt;

use crate::access_log::{AccessLog, Entry, method_and_path};
use crate::admission::Admission;
use crate::config::Config;
use crate::error::ServerError;
use crate::metrics::answers::Codes;
use crate::metrics::asked::{self, Asked};
use crate::openapi::Subject;
use crate::openapi::schema::{json_of, object};
use crate::protocol::grpc::status::Told;
use crate::protocol::{self, PathId, Route, get, pps};
use crate::repository::{Deployment, Repository, StartError};
use crate::request_id::{self, RequestId};
use crate::score::Scorer;
use crate::traces::{Ended, Traced, Traces};
use crate::{access, openapi, unread};

/// What all requests share.
#[derive(Debug)]
pub struct App {
    pub(crate) config: Config,
    pub(crate) repository: Arc<Repository>,
    pub(crate) scorer: Scorer,
    pub(crate) admission: Admission,
    pub(crate) log: AccessLog,
    /// True once the server was told to stop.
    pub(crate) stopping: AtomicBool,
    /// When the server started, by both clocks.
    pub(crate) started: (Instant, SystemTime),
    /// All answers.
    pub(crate) responses: Codes,
    /// None: requests are not traced.
    pub(crate) traces: Option<Traces>,
    next_id: AtomicU64,
}

impl App {
    /// Looks at the configured path; nothing is loaded yet.
    pub fn new(config: Config) -> Result<Self, StartError> {
        let repository = Repository::open(&config)?;
        let scorer =
            Scorer::new(config.workers).map_err(|e| StartError::Threads(std::io::Error::other(e)))?;
        let log = AccessLog::new(config.access_log);
        // Ids differ between processes, and count up within one.
        let next_id = AtomicU64::new(RandomState::new().hash_one(std::process::id()) << 20);
        let admission = Admission::new(&config);
        let started = (Instant::now(), SystemTime::now());
        let (stopping, responses) = (AtomicBool::new(false), Codes::default());
        let scheme = if config.tls.is_some() { "https" } else { "http" };
        let traces = config.traces.as_ref().map(|traces| Traces::new(traces, scheme));
        let traces = traces.transpose().map_err(StartError::Traces)?;
        Ok(Self { config, repository, scorer, admission, log, stopping, started, responses, traces, next_id })
    }

    /// Whether the server was told to stop.
    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }

    /// Counts an answer within a stream, which is many requests in one.
    pub(crate) fn count(&self, deployment: &Deployment, protocol: usize, code: u16, start: Instant) {
        let (took, after) = (start.elapsed(), start.saturating_duration_since(self.started.0));
        let id = RequestId::Own(self.next_id.fetch_add(1, Ordering::Relaxed));
        deployment.statistics.answers.add(protocol, code, took, after, &id, None);
    }

    /// Loads the models that are loaded at the start; see [`crate::Server::run`].
    pub fn load(&self) -> Result<(), StartError> {
        self.repository.preload()
    }

    /// Whether requests should be sent here, for the model called `id` or for any; else why not.
    pub(crate) async fn readiness(&self, id: Option<&str>) -> Result<(), String> {
        if self.is_stopping() {
            return Err("the server is stopping".to_owned());
        }
        match id {
            Some(id) => {
                let ready = self.repository.model(Some(id)).await;
                ready.map(|_| ()).map_err(|error| self.for_anybody(error).to_string())
            }
            None => self.repository.readiness().await.map_err(str::to_owned),
        }
    }

    /// An error as those are told it who ask for health: where a token is set they need none, and see no names of models.
    pub(crate) fn for_anybody(&self, error: ServerError) -> ServerError {
        match error {
            ServerError::NotFound(_) if self.config.token.is_some() => {
                ServerError::NotFound("there is no such deployment, or the path names none".to_owned())
            }
            error => error,
        }
    }

    /// With a path that the operator named as the route that it leads to: it may be any, also that of another route.
    fn with_known_path(&self, mut request: Request<Body>) -> Request<Body> {
        let route = protocol::vertex::named_route(&self.config.vertex, request.uri().path());
        if let Some(route) = route {
            *request.uri_mut() = Uri::from_static(route);
        }
        request
    }
}

/// The routes that belong to no protocol.
pub(crate) fn own_routes() -> Vec<Route> {
    let pong = |_: &Subject<'_>| json_of(&object(&serde_json::json!({ "response": { "const": "pong" } })));
    let reason = |_: &Subject<'_>| json_of(&object(&serde_json::json!({ "message": { "type": "string" } })));
    let ping = get(ping, "The process is alive; on SageMaker: models can be asked for predictions");
    vec![Route::root_health(
        "/ping",
        ping.gives(200, "Yes", pong).gives(503, "No, on SageMaker only", reason),
    )]
}

/// All routes of a server. Whoever watches the process needs no token.
fn routes(app: &Arc<App>) -> Router {
    let (guarded, health) = protocol::routes(|route| app.config.docs || !openapi::is_doc(route));
    let guarded = guarded
        .fallback(protocol::unknown_route)
        .method_not_allowed_fallback(protocol::unknown_method)
        .with_state(Arc::clone(app));
    let health = health.method_not_allowed_fallback(protocol::unknown_method).with_state(Arc::clone(app));
    noted(access::with_token(guarded, app.config.token.as_ref()).merge(health), app)
}

/// With the route noted, for traces.
fn noted(routes: Router, app: &App) -> Router {
    if app.traces.is_some() { routes.route_layer(map_request(asked::note_route)) } else { routes }
}

/// The routes of the port for gRPC alone.
fn grpc_routes(app: &Arc<App>) -> Router {
    let (guarded, health) = protocol::routes(Route::is_call);
    let fallback = |routes: Router<Arc<App>>| routes.method_not_allowed_fallback(protocol::only_grpc);
    let guarded = fallback(guarded.fallback(protocol::only_grpc)).with_state(Arc::clone(app));
    let health = fallback(health).with_state(Arc::clone(app));
    noted(access::with_token(guarded, app.config.token.as_ref()).merge(health), app)
}

/// Refuses a request for its head, behind what tells browsers of origins and before any route.
async fn refused_head(request: Request<Body>) -> Response {
    match check_head(&request) {
        Err(error) => protocol::error_response(request.uri().path(), &error),
        Ok(()) => protocol::unknown_route(request).await,
    }
}

/// The service of one server: what every request passes, around the routes.
#[derive(Debug, Clone)]
pub struct HttpService {
    app: Arc<App>,
    routes: Router,
    /// For requests whose head is too large.
    refused: Router,
}

impl HttpService {
    /// The service for `app`.
    pub fn new(app: Arc<App>) -> Self {
        Self::of(routes(&app), app)
    }

    /// The service of the port for gRPC alone.
    pub(crate) fn grpc_only(app: Arc<App>) -> Self {
        Self::of(grpc_routes(&app), app)
    }

    fn of(routes: Router, app: Arc<App>) -> Self {
        let with_origins = |routes| access::with_origins(routes, &app.config.cors);
        let refused = with_origins(Router::new().fallback(refused_head));
        Self { routes: with_origins(routes), refused, app }
    }

    /// Answers one request. From the outside in: the path is made plain before a route is looked for; time,
    /// request id, metrics and access log cover all that the routes do, errors included.
    pub async fn answer<B>(self, request: Request<B>) -> Response
    where
        B: http_body::Body<Data = bytes::Bytes> + Send + Unpin + 'static,
        B::Error: Into<axum::BoxError>,
    {
        let started = Instant::now();
        let request_id = RequestId::of(request.headers(), self.app.next_id.fetch_add(1, Ordering::Relaxed));
        let log = &self.app.log;
        let logged = log.is_on().then(|| method_and_path(&request));
        let traced = self.app.traces.as_ref().map(|traces| traces.begin(&request, started));
        let (request, unread) = unread::watch(request);
        // what else is asked about a model is no request for predictions
        let may_predict = request.method() == Method::POST;
        let (mut asked, mut protocol) = (Asked::default(), 0);
        let answered = match check_head(&request) {
            Ok(()) => {
                let request = self.app.with_known_path(with_plain_path(request));
                if may_predict || traced.is_some() {
                    protocol = protocol::of_path(request.uri().path());
                }
                let answered;
                let answering = pin!(self.routes.oneshot(request));
                (answered, asked) = asked::noted(traced.is_some(), answering).await;
                answered
            }
            Err(_) => self.refused.oneshot(request).await,
        };
        let mut response = answered.unwrap_or_else(|never| match never {});
        unread::settle(unread, self.app.config.body_limit, &mut response);
        if self.app.is_stopping() {
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        let took = started.elapsed();
        stamp(&mut response, took, &request_id);
        let status = response.extensions().get::<Told>().map_or(response.status(), |told| told.0);
        let code = status.as_u16();
        self.app.responses.add(code);
        let trace = traced.as_deref().and_then(Traced::trace);
        if let Some(deployment) = asked.deployment.as_ref().filter(|_| may_predict) {
            let after = started.saturating_duration_since(self.app.started.0);
            deployment.statistics.answers.add(protocol, code, took, after, &request_id, trace);
        }
        if let Some(traced) = traced {
            traced.end(&Ended { asked: &asked, protocol, status: code, request_id: &request_id });
        }
        if let Some(method_and_path) = logged {
            log.write(Entry { method_and_path, status: code, took, request_id, trace });
        }
        response
    }
}

/// Bytes of path and query, and of all headers together.
const MOST_TARGET: usize = 8 << 10;
const MOST_HEADERS: usize = 8 << 10;

fn check_head<B>(request: &Request<B>) -> Result<(), ServerError> {
    let target = request.uri().path_and_query().map_or(0, |target| target.as_str().len());
    if target > MOST_TARGET {
        return Err(ServerError::TargetTooLong(MOST_TARGET));
    }
    let headers: usize =
        request.headers().iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
    if headers > MOST_HEADERS {
        return Err(ServerError::HeadersTooLarge(MOST_HEADERS));
    }
    Ok(())
}

/// Adds the headers that every answer has.
fn stamp(response: &mut Response, took: Duration, request_id: &RequestId) {
    let headers = response.headers_mut();
    let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX); // wider numbers are slow to write
    if let Ok(value) = HeaderValue::try_from(format!("{}.{:03}", micros / 1000, micros % 1000)) {
        headers.insert(pps::EXECUTION_TIME, value);
    }
    if let Some(value) = request_id.to_header() {
        if matches!(request_id, RequestId::Given(_)) {
            headers.insert(request_id::GIVEN, value.clone());
        }
        headers.insert(pps::REQUEST_ID, value);
    }
}

/// Beside a request whose path had a slash at its end: relative links in its answer begin one level deeper.
#[derive(Debug, Clone, Copy)]
pub(crate) struct EndedWithSlash;

/// Some clients join `/` and `/predictions` to `//predictions`: repeated and trailing slashes are dropped,
/// never redirected, because a redirected POST loses its body.
fn with_plain_path(mut request: Request<Body>) -> Request<Body> {
    let path = request.uri().path();
    let ended_with_slash = path.ends_with('/');
    if !path.contains("//") && (path == "/" || !ended_with_slash) {
        return request;
    }
    let plain: String =
        path.split('/').filter(|part| !part.is_empty()).flat_map(|part| ["/", part]).collect();
    let plain = if plain.is_empty() { "/".to_owned() } else { plain };
    let target = match request.uri().query() {
        Some(query) => format!("{plain}?{query}"),
        None => plain,
    };
    if ended_with_slash {
        request.extensions_mut().insert(EndedWithSlash);
    }
    if let Ok(uri) = target.parse::<Uri>() {
        *request.uri_mut() = uri;
    }
    request
}

/// The process is alive; on SageMaker: models can be asked for predictions.
async fn ping(State(app): State<Arc<App>>) -> Response {
    let state = if app.config.ping_is_readiness { app.readiness(None).await } else { Ok(()) };
    readiness(state, "{\"response\":\"pong\"}")
}

fn readiness(state: Result<(), String>, good: &'static str) -> Response {
    match state {
        Ok(()) => json(StatusCode::OK, good),
        Err(reason) => {
            let body = serde_json::json!({ "message": reason });
            json(StatusCode::SERVICE_UNAVAILABLE, body.to_string())
        }
    }
}

/// Models can be asked for predictions; under a prefix the one.
pub(crate) async fn ready(State(app): State<Arc<App>>, PathId(id): PathId) -> Response {
    readiness(app.readiness(id.as_deref()).await, "{\"ready\":true}")
}

/// A JSON response.
pub(crate) fn json(status: StatusCode, body: impl Into<Body>) -> Response {
    (status, [(header::CONTENT_TYPE, "application/json")], body.into()).into_response()
}
