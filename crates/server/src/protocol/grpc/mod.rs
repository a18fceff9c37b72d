//! gRPC, as its protocols share it: how calls come and end over HTTP/2, and the services that every server of it has,
//! health and reflection. A call is a request like any other: its head passes the same checks, its body the same gates.

mod deadline;
#[rustfmt::skip]
pub(crate) mod generated;
mod health;
pub(crate) mod incoming;
pub(crate) mod message;
mod reflection;
pub(crate) mod status;
pub(crate) mod wire;

use std::convert::Infallible;

use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderMap, StatusCode, Version, header};
use axum::response::Response;
use axum::routing::post;
use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};
use http_body::Frame;
use http_body_util::StreamBody;
use prost::Message;
use tokio::time::timeout_at;

use super::{Protocol, Route};
use crate::admission::Room;
use crate::error::ServerError;
use crate::http::{self, App};
use crate::metrics::asked;
use deadline::Deadline;

/// The services of every server.
pub(super) const PROTOCOL: Protocol =
    Protocol::of_calls("grpc", routes, &["/grpc.health.v1.Health", REFLECTION, REFLECTION_ALPHA]);

const REFLECTION: &str = "/grpc.reflection.v1.ServerReflection";
const REFLECTION_ALPHA: &str = "/grpc.reflection.v1alpha.ServerReflection";

fn routes() -> Vec<Route> {
    vec![
        Route::health_call("/grpc.health.v1.Health/Check", post(health::check)),
        Route::health_call("/grpc.health.v1.Health/Watch", post(health::watch)),
        Route::call(format!("{REFLECTION}/ServerReflectionInfo"), post(reflection::info)),
        Route::call(format!("{REFLECTION_ALPHA}/ServerReflectionInfo"), post(reflection::info)),
    ]
}

/// The bytes of a message that holds a few words.
pub(crate) const SMALL: usize = 1 << 20;

/// True for calls of gRPC, whatever they are about.
pub(crate) fn is_call(headers: &HeaderMap) -> bool {
    let rest = headers.get(header::CONTENT_TYPE).and_then(|v| v.as_bytes().strip_prefix(b"application/grpc"));
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(b"+") || rest.starts_with(b";"))
}

/// Whether there is a service of this full name.
fn is_service(name: &str) -> bool {
    generated::FILES.iter().any(|file| file.services.contains(&name))
}

/// What comes to the path of a call and is none.
fn refusal(request: &Request) -> Option<Response> {
    let (status, message) = if !is_call(request.headers()) {
        (
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "this is a call of gRPC: send it with Content-Type application/grpc",
        )
    } else if request.version() != Version::HTTP_2 {
        (
            StatusCode::HTTP_VERSION_NOT_SUPPORTED,
            "gRPC is spoken over HTTP/2: send HTTP/2 with prior knowledge",
        )
    } else {
        return None;
    };
    Some(http::json(status, serde_json::json!({ "message": message }).to_string()))
}

/// A call with one message each way, of which the first is a few words. It asks for no predictions, and is not counted
/// among those that do.
pub(crate) async fn unary<Q: Message + Default, A: Message, F>(
    app: &App,
    request: Request,
    work: impl FnOnce(Q) -> F,
) -> Response
where
    F: Future<Output = Result<A, ServerError>>,
{
    called(request, |headers, body| async move {
        let asked = gathered_message(&headers, body, app).await?;
        let (answer, _) = asked::noted(work(asked)).await;
        Ok(message::reply(&answer?))
    })
    .await
}

/// A call that is answered within its deadline; `work` is given head and body.
pub(crate) async fn called<F>(request: Request, work: impl FnOnce(HeaderMap, Body) -> F) -> Response
where
    F: Future<Output = Result<Response, ServerError>>,
{
    if let Some(refusal) = refusal(&request) {
        return refusal;
    }
    let (head, body) = request.into_parts();
    let worked = match Deadline::of(&head.headers) {
        Ok(deadline) => deadline.within(work(head.headers, body)).await,
        Err(error) => Err(error),
    };
    worked.unwrap_or_else(|error| status::error_form(&error))
}

/// The one small message of a request.
async fn gathered_message<M: Message + Default>(
    headers: &HeaderMap,
    body: Body,
    app: &App,
) -> Result<M, ServerError> {
    let limit = app.config.body_limit.min(SMALL);
    message::decoded(&message::gathered(headers, body, app, limit).await?)
}

/// A message of an answer in its chunks, prefix included, and what it holds of the budget of answers.
pub(crate) struct Frames {
    pub(crate) chunks: Vec<Bytes>,
    pub(crate) room: Room,
}

impl Frames {
    /// Those of one message.
    fn of(message: &impl Message) -> Self {
        Self { chunks: vec![message::framed(message)], room: Room::default() }
    }
}

/// A call that is answered with several messages, until its deadline; `messages` is given head and body. An error is
/// the end.
pub(crate) fn streaming<S>(request: Request, messages: impl FnOnce(HeaderMap, Body) -> S) -> Response
where
    S: Stream<Item = Result<Frames, ServerError>> + Send + 'static,
{
    if let Some(refusal) = refusal(&request) {
        return refusal;
    }
    let (head, body) = request.into_parts();
    let deadline = match Deadline::of(&head.headers) {
        Ok(deadline) => deadline.ends(),
        Err(error) => return status::error_form(&error),
    };
    let start = Some((Box::pin(messages(head.headers, body)), deadline));
    let items = stream::unfold(start, |state| async {
        let (mut messages, deadline) = state?;
        let next = match deadline {
            None => messages.next().await,
            Some(end) => {
                timeout_at(end, messages.next()).await.unwrap_or(Some(Err(ServerError::DeadlineExceeded)))
            }
        };
        Some(match next {
            Some(Ok(frames)) => (Ok(frames), Some((messages, deadline))),
            Some(Err(error)) => (Err(status::failed(&error)), None),
            None => (Err(status::ok()), None),
        })
    });
    let frames = items.flat_map(|item| {
        let (frames, room) = match item {
            Ok(Frames { chunks, room }) => (chunks.into_iter().map(Frame::data).collect(), room),
            Err(trailers) => (vec![Frame::trailers(trailers)], Room::default()),
        };
        stream::iter(frames.into_iter().map(move |frame| {
            _ = &room; // given back when the last frame was taken
            Ok::<_, Infallible>(frame)
        }))
    });
    message::with_head(Body::new(StreamBody::new(frames)))
}
