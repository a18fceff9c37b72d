//! The same protocol over gRPC: the services of its executor and of its wrappers, side by side on one port. Which model is
//! meant is told where Seldon's gateway is told it, in the metadata of a call. Rows and what stands beside them go the same
//! ways as over REST; only the bytes differ.

mod describe;
mod exchange;
mod message;
mod passthrough;
mod rows;
mod tensor;
mod value;
mod wire;

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName};
use axum::routing::{MethodRouter, post};
use bytes::Bytes;
use portend_model::Model;

use super::identity::Identity;
use super::unit::Unit;
use super::worked;
use crate::admission::Room;
use crate::body::Payload;
use crate::error::ServerError;
use crate::http::App;
use crate::metrics::asked::noted;
use crate::protocol::grpc::message::{PREFIX, gathered, prefix_of, response, within_limit};
use crate::protocol::grpc::{SMALL, called};
use crate::protocol::{Protocol, Route, find_model};
use crate::repository::Ready;
use crate::score::Answer;
use exchange::GrpcExchange;
use message::Feedback;

/// The protocol.
pub(in crate::protocol) const PROTOCOL: Protocol = Protocol::of_calls("seldon-grpc", routes, &SERVICES);

const SERVICES: [&str; 7] = [
    "/seldon.protos.Seldon",
    "/seldon.protos.Model",
    "/seldon.protos.Generic",
    "/seldon.protos.Transformer",
    "/seldon.protos.OutputTransformer",
    "/seldon.protos.Router",
    "/seldon.protos.Combiner",
];

/// The calls of each service.
const CALLS: [&[(&str, Call)]; SERVICES.len()] = [
    &[
        ("Predict", Call::Predict),
        ("SendFeedback", Call::Feedback),
        ("ModelMetadata", Call::Metadata),
        ("GraphMetadata", Call::Graph),
    ],
    &[("Predict", Call::Predict), ("SendFeedback", Call::Feedback), ("Metadata", Call::Metadata)],
    &[
        ("TransformInput", Call::Transform),
        ("TransformOutput", Call::Transform),
        ("Route", Call::NotDefined("Route")),
        ("Aggregate", Call::NotDefined("Aggregate")),
        ("SendFeedback", Call::Feedback),
    ],
    &[("TransformInput", Call::Transform)],
    &[("TransformOutput", Call::Transform)],
    &[("Route", Call::NotDefined("Route")), ("SendFeedback", Call::Feedback)],
    &[("Aggregate", Call::NotDefined("Aggregate"))],
];

fn routes() -> Vec<Route> {
    let calls = SERVICES.iter().zip(CALLS);
    let routes = calls.flat_map(|(service, calls)| {
        calls.iter().map(move |(name, call)| Route::call(format!("{service}/{name}"), handler(*call)))
    });
    routes.collect()
}

/// What a call does.
#[derive(Debug, Clone, Copy)]
enum Call {
    Predict,
    Transform,
    Feedback,
    /// What graphs have units for, and a model is none of them.
    NotDefined(&'static str),
    Metadata,
    Graph,
}

fn handler(call: Call) -> MethodRouter<Arc<App>> {
    post(move |State(app): State<Arc<App>>, request: Request| async move {
        let identity = Identity::of(&request);
        let answer = |headers: HeaderMap, body| async move {
            within_limit(call.answer(&app, &headers, body).await?, &app).map(response)
        };
        let mut response = called(request, answer).await;
        identity.stamp_puid(response.headers_mut());
        response
    })
}

/// The deployment that is meant, as Seldon's client tells its gateway. The namespace that it tells as well says nothing
/// here.
const DEPLOYMENT: HeaderName = HeaderName::from_static("seldon");

/// The model that a call means, by the name of a node of the graph or without.
async fn find(app: &App, headers: &HeaderMap, name: Option<&str>) -> Result<Ready, ServerError> {
    let deployment = headers.get(DEPLOYMENT).map(|id| String::from_utf8_lossy(id.as_bytes()));
    let name = name.filter(|name| !name.is_empty());
    find_model(app, deployment.as_deref(), name).await.map_err(|error| match error {
        // all calls have the same paths
        ServerError::NotFound(reason) => {
            ServerError::NotFound(reason.replace("in the path", "in the metadata 'seldon'"))
        }
        error => error,
    })
}

impl Call {
    async fn answer(self, app: &App, headers: &HeaderMap, body: Body) -> Result<Answer, ServerError> {
        match self {
            Self::Predict => {
                let (message, ready) = asked(app, headers, body).await?;
                let exchange = GrpcExchange { message, unit: Unit::of(&ready) };
                app.scorer.answer(&app.admission, &ready, exchange).await
            }
            Self::Transform => {
                let (message, ready) = asked(app, headers, body).await?;
                let answer = |bytes: &[u8]| passthrough::answer(bytes, &Unit::of(&ready), &ready.model);
                Ok(answered(&with_message(app, &message, answer).await?))
            }
            Self::Feedback => {
                let (message, ready) = asked(app, headers, body).await?;
                let read = |bytes: &[u8]| {
                    let feedback = Feedback::read(bytes)?;
                    Ok((feedback.reward, feedback.answer(&Unit::of(&ready))))
                };
                let (reward, answer) = with_message(app, &message, read).await?;
                ready.deployment.statistics.add_feedback(reward);
                Ok(answered(&answer))
            }
            Self::NotDefined(what) => Err(ServerError::Unimplemented(format!("{what} not defined"))),
            Self::Metadata => described(app, headers, body, describe::model_metadata).await,
            Self::Graph => described(app, headers, body, describe::graph_metadata).await,
        }
    }
}

/// The message of a call, and the model that it means.
async fn asked(app: &App, headers: &HeaderMap, body: Body) -> Result<(Payload, Ready), ServerError> {
    let message = gathered(headers, body, app, app.config.body_limit).await?;
    Ok((message, find(app, headers, None).await?))
}

/// What is told of a model or its graph.
async fn described(
    app: &App,
    headers: &HeaderMap,
    body: Body,
    describe: fn(&Unit, &Model) -> Vec<u8>,
) -> Result<Answer, ServerError> {
    let message = gathered(headers, body, app, app.config.body_limit.min(SMALL)).await?;
    let name = with_message(app, &message, node).await?;
    // this is no request for predictions: who counts those does not hear of the look-up
    let (ready, _) = noted(find(app, headers, Some(&name))).await;
    let ready = ready?;
    Ok(answered(&describe(&Unit::of(&ready), &ready.model)))
}

/// Reads a message that is not scored.
async fn with_message<T>(
    app: &App,
    message: &Payload,
    work: impl FnOnce(&[u8]) -> Result<T, ServerError>,
) -> Result<T, ServerError> {
    worked(app, message.plain().map(<[u8]>::len), || message.unpacked().and_then(|bytes| work(&bytes))).await
}

/// The name of a node of the graph that metadata is asked of; a message without any field names none.
fn node(message: &[u8]) -> Result<String, ServerError> {
    let mut name = "";
    for field in wire::fields("the message", message) {
        if let (1, text) = field? {
            name = text.text("name")?;
        }
    }
    Ok(name.to_owned())
}

/// An answer that is one small message.
fn answered(message: &[u8]) -> Answer {
    let mut bytes = Vec::with_capacity(PREFIX + message.len());
    bytes.extend_from_slice(&prefix_of(message.len()));
    bytes.extend_from_slice(message);
    Answer { chunks: vec![Bytes::from(bytes)], headers: HeaderMap::new(), room: Room::default() }
}
