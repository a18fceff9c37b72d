//! Health checking: whether the server can be asked, a service of it, or a model.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::response::Response;
use futures_util::{Stream, StreamExt, stream};

use super::generated::health::health_check_response::ServingStatus;
use super::generated::health::{HealthCheckRequest, HealthCheckResponse};
use super::{Frames, gathered_message, is_service, streaming, unary};
use crate::error::ServerError;
use crate::http::App;
use crate::protocol::find_model;

/// How often is looked whether there is something new to tell.
const LOOK: Duration = Duration::from_millis(500);

/// What holds now. A model is loaded for it if it is not.
pub(super) async fn check(State(app): State<Arc<App>>, request: Request) -> Response {
    unary(&app, request, |HealthCheckRequest { service }| async {
        let service = service; // moved in
        let status = match about_server(&service) {
            true => status(app.readiness(None).await.is_ok()),
            false => match find_model(&app, None, Some(&service)).await {
                Ok(_) => status(app.readiness(Some(&service)).await.is_ok()),
                Err(ServerError::NotFound(reason)) => {
                    let reason = format!("'{}' is no service: {reason}", portend_core::shortened(&service));
                    return Err(ServerError::NotFound(reason));
                }
                Err(_) => ServingStatus::NotServing,
            },
        };
        Ok(HealthCheckResponse { status: status.into() })
    })
    .await
}

fn status(ready: bool) -> ServingStatus {
    if ready { ServingStatus::Serving } else { ServingStatus::NotServing }
}

/// The empty name is the server's own; its services can be asked when it can.
fn about_server(name: &str) -> bool {
    name.is_empty() || is_service(name)
}

/// What holds now, and whenever that changes. No model is loaded for it: one that would be if it were asked is serving.
pub(super) async fn watch(State(app): State<Arc<App>>, request: Request) -> Response {
    streaming(request, |headers, body| {
        let asked = async move {
            let asked = gathered_message::<HealthCheckRequest>(&headers, body, &app).await;
            asked.map(|HealthCheckRequest { service }| changes(app, service))
        };
        stream::once(asked).flat_map(|changes| match changes {
            Ok(changes) => changes.left_stream(),
            Err(error) => stream::once(async { Err(error) }).right_stream(),
        })
    })
}

fn changes(app: Arc<App>, service: String) -> impl Stream<Item = Result<Frames, ServerError>> {
    let start = (app, service, None::<ServingStatus>);
    stream::try_unfold(start, |(app, service, told)| async move {
        loop {
            if told == Some(ServingStatus::NotServing) && app.is_stopping() {
                return Err(ServerError::Stopping);
            }
            let now = seen(&app, &service).await;
            if told != Some(now) {
                let told = HealthCheckResponse { status: now.into() };
                return Ok(Some((Frames::of(&told), (app, service, Some(now)))));
            }
            tokio::time::sleep(LOOK).await;
        }
    })
}

/// What holds now, without loading anything.
async fn seen(app: &App, service: &str) -> ServingStatus {
    if app.is_stopping() {
        return ServingStatus::NotServing;
    }
    if about_server(service) {
        return status(app.readiness(None).await.is_ok());
    }
    let deployments = app.repository.deployments(Some(service)).await;
    match deployments.iter().find(|deployment| deployment.id.as_str() == service) {
        None => ServingStatus::ServiceUnknown,
        Some(deployment) => {
            let seen = deployment.snapshot();
            status(seen.loaded.is_some() || !(seen.loading || seen.withdrawn || seen.failure.is_some()))
        }
    }
}
