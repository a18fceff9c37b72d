//! Triton's settings of logging and traces: what holds is told, and cannot be changed by request, because it is set at the
//! start. A client that asks for what holds already gets it.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use portend_core::shortened;
use serde_json::{Map, Value, json};

use super::manage::body;
use super::{ModelPath, PROTOCOL, answer};
use crate::config::AccessLogFormat;
use crate::error::ServerError;
use crate::http::App;

/// Lines go to standard error. What Triton calls info is the access log here.
fn logging(app: &App) -> Value {
    json!({
        "log_file": "",
        "log_info": app.config.access_log != AccessLogFormat::Off,
        "log_warning": true,
        "log_error": true,
        "log_verbose_level": 0,
        "log_format": "default",
    })
}

/// The same for all models. A rate is one request out of so many.
fn tracing(app: &App) -> Value {
    let ratio = app.config.traces.as_ref().map_or(0.0, |traces| traces.sampler.ratio);
    let (level, rate) = if ratio > 0.0 { ("TIMESTAMPS", (1.0 / ratio).round()) } else { ("OFF", 0.0) };
    json!({
        "trace_level": [level],
        "trace_rate": format!("{rate}"),
        "trace_count": "-1",
        "log_frequency": "0",
        "trace_file": "",
        "trace_mode": "opentelemetry",
    })
}

pub(super) async fn get_logging(State(app): State<Arc<App>>) -> Response {
    answer(StatusCode::OK, &logging(&app))
}

pub(super) async fn update_logging(State(app): State<Arc<App>>, request: Request) -> Response {
    updated(&app, request, logging(&app), "--access-log").await
}

pub(super) async fn get_tracing(State(app): State<Arc<App>>) -> Response {
    answer(StatusCode::OK, &tracing(&app))
}

pub(super) async fn update_tracing(State(app): State<Arc<App>>, request: Request) -> Response {
    updated(&app, request, tracing(&app), "--trace-endpoint and OTEL_TRACES_SAMPLER").await
}

pub(super) async fn get_model_tracing(state: State<Arc<App>>, path: ModelPath) -> Response {
    match path.find(&state.0).await {
        Ok(_) => get_tracing(state).await,
        Err(error) => PROTOCOL.error_response(&error),
    }
}

pub(super) async fn update_model_tracing(
    state: State<Arc<App>>,
    path: ModelPath,
    request: Request,
) -> Response {
    match path.find(&state.0).await {
        Ok(_) => update_tracing(state, request).await,
        Err(error) => PROTOCOL.error_response(&error),
    }
}

/// What holds, if nothing else is asked for.
async fn updated(app: &App, request: Request, holds: Value, set_by: &str) -> Response {
    let asked: Result<Map<String, Value>, _> = body(app, request).await;
    match asked.and_then(|asked| check(&asked, &holds, set_by)) {
        Ok(()) => answer(StatusCode::OK, &holds),
        Err(error) => PROTOCOL.error_response(&error),
    }
}

/// null asks for what holds without a request.
fn check(asked: &Map<String, Value>, holds: &Value, set_by: &str) -> Result<(), ServerError> {
    for (name, value) in asked {
        let Some(current) = holds.get(name) else {
            return Err(ServerError::BadBody(format!("there is no setting '{}'", shortened(name))));
        };
        if !value.is_null() && !same(value, current) {
            return Err(ServerError::BadBody(format!(
                "'{name}' is {current} and is not changed by request: it is set at the start, by {set_by}"
            )));
        }
    }
    Ok(())
}

/// Clients write numbers as numbers or as texts.
fn same(asked: &Value, current: &Value) -> bool {
    let plain = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    plain(asked) == plain(current)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_holds_can_be_asked_for() {
        let holds = json!({ "rate": "1", "level": ["OFF"], "info": true });
        let told = |asked: Value| {
            let asked = asked.as_object().unwrap().clone();
            check(&asked, &holds, "--x").map_err(|error| error.to_string())
        };
        for good in
            [json!({}), json!({ "rate": 1, "level": ["OFF"], "info": true }), json!({ "level": null })]
        {
            assert_eq!(told(good), Ok(()));
        }
        let changed = "'info' is true and is not changed by request: it is set at the start, by --x";
        assert_eq!(told(json!({ "info": false })), Err(changed.to_owned()));
        assert_eq!(told(json!({ "nope": 1 })), Err("there is no setting 'nope'".to_owned()));
    }
}
