//! Traces: a part of the one table (`settings.rs`), with the variables that OpenTelemetry has for every program, and how
//! they make one configuration.

use std::time::Duration;

use percent_encoding::percent_decode_str;
use portend_server::{Propagator, Secret, TraceConfig, TraceSampler};

use super::form;
use super::settings::{Reach, Setting, Unset};
use super::values::Kind;

pub(crate) const TRACES: [Setting; 13] = [
    Setting {
        name: "trace-endpoint",
        reach: Reach::Flag("URL"),
        variables: &["PORTEND_TRACE_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"],
        kind: Kind::Text { form: form::URL, set: |draft, url| draft.traces.endpoint = Some(url) },
        default: Unset::Nothing,
        secret: false,
        sentence: "Trace requests and send their spans to this URL of an OpenTelemetry collector, as OTLP in protobuf over \
                   HTTP; without it and otlp-endpoint nothing is traced",
        example: "http://localhost:4318/v1/traces",
    },
    Setting {
        name: "otlp-endpoint",
        reach: Reach::File,
        variables: &["OTEL_EXPORTER_OTLP_ENDPOINT"],
        kind: Kind::Text { form: form::URL, set: |draft, url| draft.traces.base = Some(url) },
        default: Unset::Nothing,
        secret: false,
        sentence: "The same where trace-endpoint is not set: `/v1/traces` is added to this URL",
        example: "http://localhost:4318",
    },
    Setting {
        name: "otlp-protocol",
        reach: Reach::File,
        variables: &["OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"],
        kind: Kind::Choice {
            of: &[HTTP, "grpc", "http/json"],
            set: |draft, protocol| protocol.clone_into(&mut draft.traces.protocol),
        },
        default: Unset::Is(HTTP),
        secret: false,
        sentence: "How spans are sent: http/protobuf. The others are refused where requests are traced",
        example: HTTP,
    },
    Setting {
        name: "trace-headers",
        reach: Reach::File,
        variables: &[
            "PORTEND_TRACE_HEADERS",
            "OTEL_EXPORTER_OTLP_TRACES_HEADERS",
            "OTEL_EXPORTER_OTLP_HEADERS",
        ],
        kind: Kind::Text {
            form: form::HEADERS,
            set: |draft, text| {
                let secret = |(name, value)| (name, Secret(value));
                draft.traces.config.headers = pairs(&text).map(secret).collect();
            },
        },
        default: Unset::Nothing,
        secret: true,
        sentence: "Headers that spans are sent with, for collectors that want to know who sends",
        example: "api-key=x",
    },
    Setting {
        name: "trace-timeout",
        reach: Reach::File,
        variables: &["OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "OTEL_EXPORTER_OTLP_TIMEOUT"],
        kind: Kind::Number {
            least: 1,
            most: 600_000,
            set: |draft, time| draft.traces.config.timeout = Duration::from_millis(time),
        },
        default: Unset::Is("10000"),
        secret: false,
        sentence: "How many milliseconds sending some spans may take, repetitions included",
        example: "3000",
    },
    Setting {
        name: "trace-queue",
        reach: Reach::File,
        variables: &["PORTEND_TRACE_QUEUE", "OTEL_BSP_MAX_QUEUE_SIZE"],
        kind: Kind::Number {
            least: 1,
            most: 1_000_000,
            set: |draft, spans| {
                draft.traces.config.queue = usize::try_from(spans).unwrap_or(usize::MAX);
            },
        },
        default: Unset::Is("2048"),
        secret: false,
        sentence: "How many spans may wait to be sent; further ones are dropped and counted",
        example: "16384",
    },
    Setting {
        name: "trace-sampler",
        reach: Reach::File,
        variables: &["OTEL_TRACES_SAMPLER"],
        kind: Kind::Choice { of: &SAMPLERS, set: |draft, name| name.clone_into(&mut draft.traces.sampler) },
        default: Unset::Is("parentbased_always_on"),
        secret: false,
        sentence: "Which requests are traced: all, none, or a share of them; with `parentbased_` only where the caller has \
                   not decided",
        example: "parentbased_traceidratio",
    },
    Setting {
        name: "trace-sampler-ratio",
        reach: Reach::File,
        variables: &["OTEL_TRACES_SAMPLER_ARG"],
        kind: Kind::Text {
            form: form::RATIO,
            set: |draft, text| draft.traces.ratio = text.trim().parse().unwrap_or(1.0),
        },
        default: Unset::Is("1"),
        secret: false,
        sentence: "The share of requests that is traced, for the samplers with `traceidratio`",
        example: "0.01",
    },
    Setting {
        name: "trace-propagators",
        reach: Reach::File,
        variables: &["OTEL_PROPAGATORS"],
        kind: Kind::List {
            form: form::PROPAGATOR,
            between: &[',', ' '],
            set: |draft, names| {
                let known = |name: &String| match name.as_str() {
                    "tracecontext" => Some(Propagator::TraceContext),
                    "b3" => Some(Propagator::B3),
                    "b3multi" => Some(Propagator::B3Multi),
                    _ => None,
                };
                draft.traces.config.propagators = names.iter().filter_map(known).collect();
            },
        },
        default: Unset::Is("tracecontext b3 b3multi"),
        secret: false,
        sentence: "The headers that say whose trace a request belongs to, the first counts that says something; `baggage` \
                   has no effect, and with `none` each request begins a trace",
        example: "b3multi",
    },
    Setting {
        name: "service-name",
        reach: Reach::File,
        variables: &["OTEL_SERVICE_NAME"],
        kind: Kind::Text { form: form::TEXT, set: |draft, name| draft.traces.service = Some(name) },
        default: Unset::Follows("portend, or service.name of resource-attributes", |_| None),
        secret: false,
        sentence: "What the server is called in traces",
        example: "churn",
    },
    Setting {
        name: "resource-attributes",
        reach: Reach::File,
        variables: &["OTEL_RESOURCE_ATTRIBUTES"],
        kind: Kind::Text {
            form: form::ATTRIBUTES,
            set: |draft, text| draft.traces.config.resource = pairs(&text).collect(),
        },
        default: Unset::Nothing,
        secret: false,
        sentence: "What else is said of the server in traces",
        example: "deployment.environment.name=test,k8s.pod.name=a-1",
    },
    Setting {
        name: "trace-exporter",
        reach: Reach::File,
        variables: &["OTEL_TRACES_EXPORTER"],
        kind: Kind::Choice {
            of: &["otlp", "none"],
            set: |draft, exporter| draft.traces.unsent = exporter == "none",
        },
        default: Unset::Is("otlp"),
        secret: false,
        sentence: "With none nothing is traced, whatever else is set",
        example: "none",
    },
    Setting {
        name: "otel-sdk-disabled",
        reach: Reach::File,
        variables: &["OTEL_SDK_DISABLED"],
        kind: Kind::Boolean(|draft, on| draft.traces.disabled = on),
        default: Unset::Is("false"),
        secret: false,
        sentence: "With true nothing is traced, whatever else is set",
        example: "true",
    },
];

/// What traces are sent as.
const HTTP: &str = "http/protobuf";

const SAMPLERS: [&str; 6] = [
    "always_on",
    "always_off",
    "traceidratio",
    "parentbased_always_on",
    "parentbased_always_off",
    "parentbased_traceidratio",
];

/// Texts after their names, both percent-decoded, with commas between.
fn pairs(text: &str) -> impl Iterator<Item = (String, String)> {
    let decoded = |text: &str| percent_decode_str(text.trim()).decode_utf8_lossy().into_owned();
    let named = text.split(',').filter_map(|pair| pair.split_once('='));
    named.map(move |(name, value)| (decoded(name), decoded(value)))
}

/// What is set of traces.
pub(crate) struct Traces {
    endpoint: Option<String>,
    base: Option<String>,
    protocol: String,
    sampler: String,
    ratio: f64,
    service: Option<String>,
    unsent: bool,
    disabled: bool,
    config: TraceConfig,
}

impl Default for Traces {
    fn default() -> Self {
        let config = TraceConfig {
            endpoint: String::new(),
            headers: Vec::new(),
            timeout: Duration::ZERO,
            queue: 0,
            sampler: TraceSampler { parent_based: true, ratio: 1.0 },
            propagators: Vec::new(),
            resource: Vec::new(),
        };
        let (protocol, sampler) = (String::new(), String::new());
        let (endpoint, base, service) = (None, None, None);
        let (unsent, disabled) = (false, false);
        Self { endpoint, base, protocol, sampler, ratio: 1.0, service, unsent, disabled, config }
    }
}

impl Traces {
    /// The configuration where requests are traced. `set` tells where a setting was set, if it was.
    pub(super) fn finish(&self, set: &dyn Fn(&str) -> Option<String>) -> Result<Option<TraceConfig>, String> {
        let base = self.base.as_ref().map(|base| format!("{}/v1/traces", base.trim_end_matches('/')));
        let Some(endpoint) = self.endpoint.clone().or(base).filter(|_| !self.unsent && !self.disabled) else {
            return Ok(None);
        };
        if self.protocol != HTTP {
            let place = set("otlp-protocol").unwrap_or_default();
            return Err(format!(
                "{place} is '{}': traces are sent as {HTTP} only, which collectors take on port 4318 as a rule",
                self.protocol
            ));
        }
        let ratio = match self.sampler.trim_start_matches("parentbased_") {
            "always_on" => 1.0,
            "always_off" => 0.0,
            _ => self.ratio,
        };
        let sampler = TraceSampler { parent_based: self.sampler.starts_with("parentbased_"), ratio };
        let mut config = TraceConfig { endpoint, sampler, ..self.config.clone() };
        let is_name = |(key, _): &(String, String)| key == "service.name";
        let named = config.resource.iter().position(is_name).map(|place| config.resource.remove(place));
        let named = self.service.clone().or(named.map(|(_, name)| name));
        config.resource.push(("service.name".to_owned(), named.unwrap_or_else(|| "portend".to_owned())));
        Ok(Some(config))
    }
}
