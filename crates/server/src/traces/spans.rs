//! The span of a request, with the names of OpenTelemetry's conventions for HTTP, and one for each part of scoring it.

use std::time::{Duration, Instant, SystemTime};

use axum::http::{HeaderMap, Method, Request, Version, header};
use opentelemetry::trace::{Span as _, SpanBuilder, SpanKind, Status, TraceContextExt, Tracer};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::trace::{SdkTracer, Span};
use portend_core::shortened_to;

use super::{Trace, Traces};
use crate::metrics::asked::Asked;
use crate::protocol;
use crate::request_id::RequestId;
use crate::score::Course;

/// The most characters of a path or header that are kept.
const MOST_TEXT: usize = 256;

/// A request that is traced. One whose client goes away ends with this.
#[derive(Debug)]
pub(crate) struct Traced {
    span: Span,
    tracer: SdkTracer,
    method: &'static str,
    started: (Instant, SystemTime),
}

/// How a request ended.
pub(crate) struct Ended<'r> {
    /// What it turned out to be about.
    pub(crate) asked: &'r Asked,
    /// The place of its protocol.
    pub(crate) protocol: usize,
    /// What it was answered.
    pub(crate) status: u16,
    /// Its id.
    pub(crate) request_id: &'r RequestId,
}

impl Traces {
    /// Begins the span of a request that came at `started`.
    pub(crate) fn begin<B>(&self, request: &Request<B>, started: Instant) -> Box<Traced> {
        let context = self.propagation.context(request.headers());
        // one reading of each clock, together: the parts are told by the other one and must lie within the whole
        let begin = SystemTime::now() - started.elapsed();
        let method = method(request.method());
        let builder = SpanBuilder::from_name(method).with_kind(SpanKind::Server).with_start_time(begin);
        let mut span = self.tracer.build_with_context(builder, &context);
        if span.is_recording() {
            span.set_attributes(asked_for(request, method, self.scheme));
        }
        Box::new(Traced { span, tracer: self.tracer.clone(), method, started: (started, begin) })
    }
}

impl Traced {
    /// The trace; None where headers forbade one.
    pub(crate) fn trace(&self) -> Option<Trace> {
        let context = self.span.span_context();
        context.is_valid().then(|| Trace { id: context.trace_id(), sampled: context.is_sampled() })
    }

    /// Ends the span, with those of its parts in it.
    pub(crate) fn end(mut self, ended: &Ended<'_>) {
        if !self.span.is_recording() {
            return;
        }
        let Ended { asked, protocol, status, request_id } = ended;
        let mut attributes = vec![
            KeyValue::new("http.response.status_code", i64::from(*status)),
            KeyValue::new("portend.request_id", request_id.to_string()),
        ];
        let way = asked.way.as_deref();
        if let Some(route) = way.and_then(|way| way.route.as_ref()) {
            self.span.update_name(format!("{} {}", self.method, route.as_str()));
            attributes.push(KeyValue::new("http.route", route.as_str().to_owned()));
        }
        if let Some(deployment) = &asked.deployment {
            attributes.push(KeyValue::new("portend.model", deployment.id.as_str().to_owned()));
            attributes.push(KeyValue::new("portend.protocol", protocol::name(*protocol)));
        }
        if *status >= 500 {
            attributes.push(KeyValue::new("error.type", status.to_string()));
            self.span.set_status(Status::error(""));
        }
        if let Some(course) = way.and_then(|way| way.course.as_ref()) {
            let rows = i64::try_from(course.rows).unwrap_or(i64::MAX);
            attributes.push(KeyValue::new("portend.rows", rows));
            self.parts(course);
        }
        self.span.set_attributes(attributes);
        let (instant, system) = self.started;
        self.span.end_with_timestamp(system + instant.elapsed());
    }

    fn parts(&self, course: &Course) {
        let context = Context::new().with_remote_span_context(self.span.span_context().clone());
        let (instant, system) = self.started;
        let start = system + course.start.saturating_duration_since(instant);
        for (name, (from, to), threads) in [
            ("queue", course.queue, None),
            ("decode", course.decode, None),
            ("score", course.score, Some(course.predicting)),
            ("encode", course.encode, Some(course.encoding)),
        ] {
            let seconds = |time: Duration| KeyValue::new("portend.thread_seconds", time.as_secs_f64());
            let builder = SpanBuilder::from_name(name)
                .with_kind(SpanKind::Internal)
                .with_start_time(start + from)
                .with_attributes(threads.map(seconds));
            let mut span = self.tracer.build_with_context(builder, &context);
            span.end_with_timestamp(start + to);
        }
    }
}

/// Methods that anybody may make up are one.
fn method(method: &Method) -> &'static str {
    let known = ["GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH", "CONNECT", "TRACE"];
    known.into_iter().find(|known| method == known).unwrap_or("_OTHER")
}

fn text(headers: &HeaderMap, name: header::HeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok()
}

fn kept(text: &str) -> String {
    shortened_to(MOST_TEXT, text).into_owned()
}

/// What is known when a request comes. Its query is not told: it may hold data.
fn asked_for<B>(request: &Request<B>, method: &'static str, scheme: &'static str) -> Vec<KeyValue> {
    let mut attributes = vec![
        KeyValue::new("http.request.method", method),
        KeyValue::new("url.path", kept(request.uri().path())),
        KeyValue::new("url.scheme", scheme),
        KeyValue::new("network.protocol.version", version(request.version())),
    ];
    if method == "_OTHER" {
        attributes.push(KeyValue::new("http.request.method_original", kept(request.method().as_str())));
    }
    let authority = request.uri().authority().map(|authority| authority.as_str());
    if let Some(authority) = authority.or_else(|| text(request.headers(), header::HOST)) {
        // a bracket ends an address that has colons of its own
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !port.contains(']') => (host, port.parse::<u16>().ok()),
            _ => (authority, None),
        };
        attributes.push(KeyValue::new("server.address", kept(host)));
        attributes.extend(port.map(|port| KeyValue::new("server.port", i64::from(port))));
    }
    if let Some(agent) = text(request.headers(), header::USER_AGENT) {
        attributes.push(KeyValue::new("user_agent.original", kept(agent)));
    }
    attributes
}

fn version(version: Version) -> &'static str {
    match version {
        Version::HTTP_10 => "1.0",
        Version::HTTP_2 => "2",
        _ => "1.1",
    }
}
