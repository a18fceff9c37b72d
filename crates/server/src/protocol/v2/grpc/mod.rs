//! The Open Inference Protocol over gRPC, with the calls of Triton's extensions. Models are named in messages.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::Response;
use axum::routing::post;

use crate::http::App;
use crate::protocol::grpc::generated::inference::{
    ServerLiveRequest, ServerLiveResponse, ServerReadyRequest, ServerReadyResponse,
};
use crate::protocol::grpc::{status, unary};
use crate::protocol::{Protocol, Route};

/// What the paths of all calls begin with.
const SERVICE: &str = "/inference.GRPCInferenceService";

/// The protocol.
pub(in crate::protocol) const PROTOCOL: Protocol =
    Protocol { name: "v2-grpc", routes, paths: &[SERVICE], error_form: status::error_form };

fn routes() -> Vec<Route> {
    vec![
        Route::health_call(format!("{SERVICE}/ServerLive"), post(server_live)),
        Route::health_call(format!("{SERVICE}/ServerReady"), post(server_ready)),
    ]
}

/// The process is alive.
async fn server_live(State(app): State<Arc<App>>, request: Request) -> Response {
    unary(&app, request, |ServerLiveRequest {}| async { Ok(ServerLiveResponse { live: true }) }).await
}

/// Models can be asked.
async fn server_ready(State(app): State<Arc<App>>, request: Request) -> Response {
    let answer = |ServerReadyRequest {}| async {
        Ok(ServerReadyResponse { ready: app.readiness(None).await.is_ok() })
    };
    unary(&app, request, answer).await
}
