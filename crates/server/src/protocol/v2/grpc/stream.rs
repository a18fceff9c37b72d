//! Inference over a stream: requests are answered one after the other, and one that fails ends nothing but itself.

use std::sync::Arc;
use std::time::Instant;

use axum::extract::{Request, State};
use axum::response::Response;
use futures_util::StreamExt;

use super::SERVICE;
use super::infer::{Place, inferred};
use super::request::Meant;
use crate::admission::Room;
use crate::body::Payload;
use crate::error::ServerError;
use crate::http::App;
use crate::protocol;
use crate::protocol::grpc::generated::inference::{ModelInferResponse, ModelStreamInferResponse};
use crate::protocol::grpc::incoming::incoming;
use crate::protocol::grpc::message::framed;
use crate::protocol::grpc::{Frames, streaming};

pub(super) async fn model_stream_infer(State(app): State<Arc<App>>, request: Request) -> Response {
    streaming(request, |headers, body| {
        let limit = app.config.body_limit;
        incoming(Arc::clone(&app), headers, body, limit).then(move |payload| {
            let app = Arc::clone(&app);
            async move { answered(&app, payload?).await }
        })
    })
}

/// The answer to one request, or what is wrong with it.
async fn answered(app: &App, payload: Payload) -> Result<Frames, ServerError> {
    let (start, bytes) = (Instant::now(), payload.bytes.clone());
    match inferred(app, payload, Place::Stream).await {
        Ok((ready, answer)) => {
            app.count(&ready.deployment, protocol::of_path(SERVICE), 200, start);
            Ok(Frames { chunks: answer.chunks, room: answer.room })
        }
        Err(error) => {
            let meant = Meant::of(&bytes).unwrap_or_default();
            let named = ModelInferResponse {
                model_name: meant.name.to_owned(),
                id: meant.id.to_owned(),
                ..Default::default()
            };
            let message = framed(&ModelStreamInferResponse {
                error_message: error.to_string(),
                infer_response: Some(named),
            });
            Ok(Frames { chunks: vec![message], room: Room::default() })
        }
    }
}
