//! Figures about server and models for Prometheus, at `/metrics` and `/prometheus`. Requests add to atomics; only who
//! asks for the figures pays for telling them. Each series is about the server or about a deployment that there is, so
//! that no request can make one up.

pub(crate) mod answers;
pub(crate) mod asked;
mod compatible;
pub(crate) mod histogram;
mod models;
mod process;
mod text;

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};

use crate::admission::Gauges;
use crate::error::{Cause, ServerError};
use crate::http::App;
use crate::packing::{accepted_packing, packed};
use crate::protocol::{self, PathId, Route, get};
use crate::repository::Deployment;
use crate::traces::Progress;
use models::Seen;
use serde_json::json;
use text::{Kind, Text};

/// Where figures are told: under the root all of them, under a prefix those of the one model.
pub(crate) fn routes() -> Vec<Route> {
    let told = || {
        get(metrics, "Figures about the server and its models")
            .gives(200, "The classic text format, or OpenMetrics 1.0 if that is asked for", |_| {
                let text = json!({ "schema": { "type": "string" } });
                json!({ "text/plain": text, "application/openmetrics-text": text })
            })
            .may(&[Cause::Name, Cause::Defect])
    };
    vec![Route::model("/metrics", told()), Route::model("/prometheus", told())]
}

/// The figures, in the form that is asked for.
async fn metrics(State(app): State<Arc<App>>, PathId(id): PathId, headers: HeaderMap) -> Response {
    let open = asks_for_open_metrics(&headers);
    let deployments = app.repository.deployments(id.as_deref()).await;
    if deployments.is_empty() && id.is_some() {
        return protocol::error_response("/metrics", &app.repository.unknown(id.as_deref()));
    }
    let (of_server, packing) = (id.is_none(), accepted_packing(&headers));
    // counts files, and may write megabytes
    let told = tokio::task::spawn_blocking(move || {
        let text = written(&app, &deployments, of_server, open);
        let mut headers = HeaderMap::new();
        let chunks = packed(vec![text.into_bytes()], packing, &mut headers);
        (headers, chunks.concat())
    });
    match told.await {
        Ok((headers, text)) => {
            let content_type = match open {
                true => "application/openmetrics-text; version=1.0.0; charset=utf-8",
                false => "text/plain; version=0.0.4; charset=utf-8",
            };
            (StatusCode::OK, headers, [(header::CONTENT_TYPE, content_type)], text).into_response()
        }
        Err(_) => protocol::error_response("/metrics", &ServerError::Internal),
    }
}

/// Whether the headers name OpenMetrics in the version that is written here, and not the classic format with a greater
/// weight.
fn asks_for_open_metrics(headers: &HeaderMap) -> bool {
    let (mut open, mut classic) = (0.0_f64, 0.0_f64);
    let accepted = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    for item in accepted.flat_map(|value| value.split(',')) {
        let mut parts = item.split(';').map(str::trim);
        let name = parts.next().unwrap_or_default();
        let parameters: Vec<_> = parts.filter_map(|part| part.split_once('=')).collect();
        let parameter = |wanted: &str| {
            let found = parameters.iter().find(|(name, _)| name.eq_ignore_ascii_case(wanted));
            found.map(|(_, value)| value.trim_matches('"'))
        };
        let weight = parameter("q").map_or(1.0, |q| q.parse().unwrap_or(0.0));
        if name.eq_ignore_ascii_case("text/plain") {
            classic = classic.max(weight);
        } else if name.eq_ignore_ascii_case("application/openmetrics-text")
            && matches!(parameter("version"), None | Some("1.0.0" | "0.0.1"))
        {
            open = open.max(weight);
        }
    }
    open > 0.0 && open >= classic
}

fn written(app: &App, deployments: &[Arc<Deployment>], of_server: bool, open: bool) -> String {
    let seen: Vec<Seen<'_>> = deployments.iter().map(|deployment| Seen::new(deployment)).collect();
    let mut text = Text::new(open);
    if of_server {
        server(&mut text, app, seen.len());
    }
    models::write(&mut text, &seen);
    if of_server {
        process::write(&mut text, app.started.1);
    }
    compatible::write(&mut text, app.config.compatible_metrics, &seen);
    text.finish()
}

/// What is told of the server as a whole.
fn server(text: &mut Text, app: &App, models: usize) {
    text.family(Kind::Gauge, "portend_build_info", "Always 1; the label tells the version of the program.");
    text.count(&[("version", env!("CARGO_PKG_VERSION"))], 1);
    text.family(
        Kind::Counter,
        "portend_http_responses_total",
        "Answers to all HTTP requests, whatever they asked for.",
    );
    app.responses.counts().for_each(|(code, count)| text.count(&[("code", &code)], count));
    let Gauges { workers, busy, waiting, queue, bodies, bodies_limit, answers, answers_limit } =
        app.admission.gauges();
    for (name, help, value) in [
        ("portend_workers", "Requests that may score at once.", workers),
        ("portend_workers_busy", "Requests that decode, score or encode now.", busy),
        ("portend_queue_length", "Requests that wait to be scored.", waiting),
        ("portend_queue_limit", "Requests that may wait; further ones are answered 429.", queue),
        ("portend_bodies_bytes", "Request bodies in several pieces that are held now.", bodies),
        ("portend_bodies_limit_bytes", "What such bodies may take together.", bodies_limit),
        ("portend_answers_bytes", "Large answers that wait to be read.", answers),
        ("portend_answers_limit_bytes", "What such answers may take together.", answers_limit),
        ("portend_models", "Models that there are, in memory or not.", models),
    ] {
        text.family(Kind::Gauge, name, help);
        text.count(&[], value as u64);
    }
    if let Some(traces) = &app.traces {
        spans(text, &traces.progress);
    }
    let (failures, fetched) = app.repository.store_figures();
    let help = "Looks at the store that packages lie in, downloads and uploads that failed.";
    text.family(Kind::Counter, "portend_store_failures_total", help);
    text.count(&[], failures);
    let help = "Bytes of packages got from the store.";
    text.family(Kind::Counter, "portend_store_fetched_bytes_total", help);
    text.count(&[], fetched);
    let limits = app.config.cache;
    text.family(Kind::Gauge, "portend_cache_limit_bytes", "What models in memory may take together.");
    text.count(&[], limits.bytes);
    if let Some(models) = limits.models {
        text.family(Kind::Gauge, "portend_cache_limit_models", "How many models may be in memory.");
        text.count(&[], models as u64);
    }
}

/// What became of the spans of traces, where traces are made.
fn spans(text: &mut Text, progress: &Progress) {
    text.family(Kind::Counter, "portend_trace_spans_total", "Spans, by what became of them.");
    let Progress { sent, failed, dropped, .. } = progress;
    for (outcome, count) in [("sent", sent), ("failed", failed), ("dropped", dropped)] {
        text.count(&[("outcome", outcome)], count.get());
    }
    for (name, help, value) in [
        ("portend_trace_queue_length", "Spans that wait to be sent.", progress.waiting()),
        ("portend_trace_queue_limit", "Spans that may wait; further ones are dropped.", progress.most),
    ] {
        text.family(Kind::Gauge, name, help);
        text.count(&[], value as u64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn open_metrics_are_written_only_where_they_are_asked_for() {
        let prometheus = "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,\
                          text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
        for (accept, expected) in [
            ("", false),
            ("*/*", false),
            ("text/html, */*;q=0.8", false),
            ("text/plain;version=0.0.4", false),
            ("application/openmetrics-text", true),
            ("Application/OpenMetrics-Text; Version=1.0.0; charset=utf-8", true),
            ("application/openmetrics-text;version=2.0.0", false),
            ("application/openmetrics-text;q=0", false),
            ("application/openmetrics-text;q=0.2,text/plain;q=0.5", false),
            ("application/openmetrics-text;q=x", false),
            (prometheus, true),
        ] {
            let headers = HeaderMap::from_iter([(header::ACCEPT, accept.parse().unwrap())]);
            assert_eq!(asks_for_open_metrics(&headers), expected, "{accept}");
        }
        assert!(!asks_for_open_metrics(&HeaderMap::new()));
    }
}
