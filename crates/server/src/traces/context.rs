//! Whose trace a request belongs to, as its headers say it: W3C Trace Context, and B3 in one header or in several.

use axum::http::HeaderMap;
use opentelemetry::Context;
use opentelemetry::propagation::{Extractor, TextMapPropagator};
use opentelemetry::trace::{SpanContext, SpanId, SpanKind, TraceContextExt, TraceFlags, TraceId, TraceState};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::{Sampler, SamplingDecision, ShouldSample};

use crate::config::{Propagator, TraceConfig, TraceSampler};

/// Which headers are read, and what is decided about requests that come without a decision.
#[derive(Debug)]
pub(crate) struct Propagation {
    propagators: Vec<Propagator>,
    sampler: TraceSampler,
}

/// A span elsewhere that a request is a part of.
#[derive(Debug, Clone, PartialEq)]
struct Caller {
    trace: TraceId,
    span: SpanId,
    /// Whether the trace is sent; None: the next one decides.
    sampled: Option<bool>,
    state: TraceState,
}

/// What headers say.
#[derive(Debug, PartialEq)]
enum Said {
    /// The request is part of this.
    Part(Caller),
    /// It is not to be traced, and part of nothing.
    Not,
}

/// A longer list of other systems' marks is not taken over.
const MOST_STATE: usize = 512;

struct Headers<'h>(&'h HeaderMap);

impl Extractor for Headers<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        let text = self.0.get(key)?.to_str().ok()?;
        (key != "tracestate" || text.len() <= MOST_STATE).then_some(text)
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(|name| name.as_str()).collect()
    }
}

impl Propagation {
    pub(super) fn new(config: &TraceConfig) -> Self {
        Self { propagators: config.propagators.clone(), sampler: config.sampler }
    }

    /// What decides about a request.
    pub(super) fn sampler(&self) -> Sampler {
        let own = Sampler::TraceIdRatioBased(self.sampler.ratio);
        if self.sampler.parent_based { Sampler::ParentBased(Box::new(own)) } else { own }
    }

    /// What a request's span is started in. The first of the headers counts that says something.
    pub(super) fn context(&self, headers: &HeaderMap) -> Context {
        let headers = Headers(headers);
        let said = self.propagators.iter().find_map(|propagator| match propagator {
            Propagator::TraceContext => trace_context(&headers),
            Propagator::B3 => headers.get("b3").and_then(b3),
            Propagator::B3Multi => b3_multi(&headers),
        });
        match said {
            None => Context::new(),
            Some(Said::Not) if self.sampler.parent_based => Context::new().with_telemetry_suppressed(),
            Some(Said::Not) => Context::new(),
            Some(Said::Part(caller)) => {
                let sampled = caller.sampled.unwrap_or_else(|| self.samples(caller.trace));
                let flags = TraceFlags::default().with_sampled(sampled);
                let span = SpanContext::new(caller.trace, caller.span, flags, true, caller.state);
                Context::new().with_remote_span_context(span)
            }
        }
    }

    fn samples(&self, trace: TraceId) -> bool {
        let own = Sampler::TraceIdRatioBased(self.sampler.ratio);
        let result = own.should_sample(None, trace, "", &SpanKind::Server, &[], &[]);
        result.decision == SamplingDecision::RecordAndSample
    }
}

fn trace_context(headers: &Headers<'_>) -> Option<Said> {
    let context = TraceContextPropagator::new().extract_with_context(&Context::new(), headers);
    let span = context.span().span_context().clone();
    let (trace, id) = (span.trace_id(), span.span_id());
    span.is_valid().then(|| {
        let (sampled, state) = (Some(span.is_sampled()), span.trace_state().clone());
        Said::Part(Caller { trace, span: id, sampled, state })
    })
}

/// `{trace}-{span}-{sampled}-{parent}`, of which the last two may be left out; or only the decision.
fn b3(text: &str) -> Option<Said> {
    let parts: Vec<_> = text.trim().split('-').collect();
    match parts[..] {
        ["0"] => Some(Said::Not),
        [trace, span] => caller(trace, span, None),
        [trace, span, sampled] | [trace, span, sampled, _] => caller(trace, span, Some(decision(sampled)?)),
        _ => None,
    }
}

fn b3_multi(headers: &Headers<'_>) -> Option<Said> {
    let debug = headers.get("x-b3-flags").is_some_and(|flags| flags == "1");
    let sampled = headers.get("x-b3-sampled").and_then(decision).or(debug.then_some(true));
    match (headers.get("x-b3-traceid"), headers.get("x-b3-spanid")) {
        (Some(trace), Some(span)) => caller(trace, span, sampled),
        _ => (sampled == Some(false)).then_some(Said::Not),
    }
}

/// `d` for debugging is more than yes.
fn decision(text: &str) -> Option<bool> {
    match text {
        "1" | "d" | "true" => Some(true),
        "0" | "false" => Some(false),
        _ => None,
    }
}

/// Ids in hexadecimal digits; of a trace's there may be half as many.
fn caller(trace: &str, span: &str, sampled: Option<bool>) -> Option<Said> {
    let is_hex = |text: &str| text.bytes().all(|byte| byte.is_ascii_hexdigit());
    if !matches!(trace.len(), 16 | 32) || span.len() != 16 || !is_hex(trace) || !is_hex(span) {
        return None;
    }
    let (trace, span) = (TraceId::from_hex(trace).ok()?, SpanId::from_hex(span).ok()?);
    let valid = trace != TraceId::INVALID && span != SpanId::INVALID;
    valid.then(|| Said::Part(Caller { trace, span, sampled, state: TraceState::default() }))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
    const SPAN: &str = "00f067aa0ba902b7";

    fn found(propagators: &[Propagator], ratio: f64, headers: &[(&'static str, &str)]) -> String {
        let sampler = TraceSampler { parent_based: true, ratio };
        let propagation = Propagation { propagators: propagators.to_vec(), sampler };
        let headers = headers
            .iter()
            .map(|(name, value)| (axum::http::HeaderName::from_static(name), value.parse().unwrap()));
        let context = propagation.context(&headers.collect());
        let span = context.span().span_context().clone();
        match (context.is_telemetry_suppressed(), span.is_valid()) {
            (true, _) => "not traced".to_owned(),
            (_, false) => "new".to_owned(),
            (_, true) => format!("{}-{}-{}", span.trace_id(), span.span_id(), u8::from(span.is_sampled())),
        }
    }

    const ALL: [Propagator; 3] = [Propagator::TraceContext, Propagator::B3, Propagator::B3Multi];

    #[test]
    fn a_request_belongs_to_the_trace_that_its_headers_tell() {
        let parent = |sampled: &str| format!("{TRACE}-{SPAN}-{sampled}");
        let check = |headers: &[(&'static str, &str)], expected: &str| {
            assert_eq!(found(&ALL, 1.0, headers), expected, "{headers:?}");
        };
        check(&[], "new");
        check(&[("traceparent", &format!("00-{TRACE}-{SPAN}-01"))], &parent("1"));
        check(&[("traceparent", &format!("00-{TRACE}-{SPAN}-00"))], &parent("0"));
        check(&[("traceparent", &format!("cc-{TRACE}-{SPAN}-01-what-later-versions-say"))], &parent("1"));
        for bad in
            ["", "x", "00-0-0-01", &format!("ff-{TRACE}-{SPAN}-01"), &format!("00-{TRACE}-{SPAN}-01-x")]
        {
            check(&[("traceparent", bad)], "new");
        }
        check(&[("traceparent", &format!("00-{}-{SPAN}-01", "0".repeat(32)))], "new");
        check(&[("b3", &format!("{TRACE}-{SPAN}-1"))], &parent("1"));
        check(&[("b3", &format!("{TRACE}-{SPAN}-d-{SPAN}"))], &parent("1"));
        check(&[("b3", &format!("{TRACE}-{SPAN}-0"))], &parent("0"));
        let short = &TRACE[16..];
        check(&[("b3", &format!("{short}-{SPAN}-1"))], &format!("{}{short}-{SPAN}-1", "0".repeat(16)));
        check(&[("b3", "0")], "not traced");
        check(&[("b3", "1")], "new");
        for bad in ["", "-", "a-b-1", &format!("{TRACE}-{SPAN}-2"), &format!("+{}-{SPAN}-1", &TRACE[1..])] {
            check(&[("b3", bad)], "new");
        }
        let ids = [("x-b3-traceid", TRACE), ("x-b3-spanid", SPAN)];
        check(&[ids[0], ids[1], ("x-b3-sampled", "1")], &parent("1"));
        check(&[ids[0], ids[1], ("x-b3-sampled", "false")], &parent("0"));
        check(&[ids[0], ids[1], ("x-b3-flags", "1")], &parent("1"));
        check(&[ids[0], ("x-b3-sampled", "1")], "new");
        check(&[("x-b3-sampled", "0")], "not traced");
    }

    #[test]
    fn whoever_leaves_the_decision_to_us_gets_ours() {
        let deferred = format!("{TRACE}-{SPAN}");
        assert!(found(&ALL, 1.0, &[("b3", &deferred)]).ends_with("-1"));
        assert!(found(&ALL, 0.0, &[("b3", &deferred)]).ends_with("-0"));
    }

    #[test]
    fn only_headers_that_were_asked_for_are_read_and_the_first_counts() {
        let (w3c, other) = (format!("00-{TRACE}-{SPAN}-01"), format!("{}-{SPAN}-0", "1".repeat(32)));
        let both = [("traceparent", w3c.as_str()), ("b3", other.as_str())];
        assert_eq!(found(&[], 1.0, &both), "new");
        assert!(found(&[Propagator::B3, Propagator::TraceContext], 1.0, &both).starts_with("1111"));
        assert!(found(&[Propagator::TraceContext, Propagator::B3], 1.0, &both).starts_with(TRACE));
    }

    #[test]
    fn marks_of_other_systems_are_kept_within_bounds() {
        let parent = format!("00-{TRACE}-{SPAN}-01");
        let state = |text: &str| {
            let headers = [("traceparent", parent.as_str()), ("tracestate", text)];
            let headers = headers
                .map(|(name, value)| (axum::http::HeaderName::from_static(name), value.parse().unwrap()));
            let Some(Said::Part(caller)) = trace_context(&Headers(&headers.into_iter().collect())) else {
                panic!("{text}")
            };
            caller.state.header()
        };
        assert_eq!(state("a=1,b=2"), "a=1,b=2");
        let long = |last: usize| format!("a={},b={}", "x".repeat(255), "x".repeat(last));
        assert_eq!(state(&long(252)), long(252));
        assert_eq!(state(&long(253)), "");
    }
}
