//! Sends batches of spans: OTLP, protobuf over HTTP, on the one thread that the SDK keeps for it. No request waits here.

use std::io::{Write, stderr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use axum::http::{HeaderMap, HeaderName, HeaderValue, Uri};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::transform::common::tonic::ResourceAttributesWithSchema;
use opentelemetry_proto::transform::trace::tonic::group_spans_by_resource_and_scope;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::{OTelSdkError, OTelSdkResult};
use opentelemetry_sdk::trace::{SpanData, SpanExporter};
use prost::Message;
use ureq::Agent;
use ureq::tls::{Certificate, RootCerts, TlsConfig};

use super::Progress;
use crate::config::TraceConfig;

/// Answers after which a batch is sent again, as OTLP has it.
const RETRIED: [u16; 4] = [429, 502, 503, 504];
/// The wait before a batch is sent again, twice as long before the next time.
const FIRST_WAIT: Duration = Duration::from_millis(250);
/// What is read of an answer.
const MOST_ANSWER: u64 = 64 << 10;

/// Where batches go.
#[derive(Debug)]
pub(super) struct Exporter {
    agent: Agent,
    endpoint: String,
    headers: HeaderMap,
    timeout: Duration,
    resource: ResourceAttributesWithSchema,
    progress: Arc<Progress>,
    /// Whether the operator was told that it does not work.
    told: AtomicBool,
}

/// Why a batch was not taken.
struct Failure {
    reason: String,
    /// Whether it may be taken later, and not before so long.
    again: Option<Duration>,
}

impl Exporter {
    /// Checks what it is told; nothing is sent yet.
    pub(super) fn new(config: &TraceConfig, progress: Arc<Progress>) -> Result<Self, String> {
        let uri: Uri =
            config.endpoint.parse().map_err(|e| format!("'{}' is not a URL: {e}", config.endpoint))?;
        if uri.host().is_none_or(str::is_empty) {
            return Err(format!("'{}' is not a URL: it has no host", config.endpoint));
        }
        let header = |(name, value): &(String, crate::Secret)| {
            let parsed = (name.parse::<HeaderName>(), HeaderValue::try_from(&value.0));
            let (Ok(name), Ok(value)) = parsed else {
                return Err(format!("the header '{name}' cannot be sent"));
            };
            Ok((name, value))
        };
        let headers = config.headers.iter().map(header).collect::<Result<_, _>>()?;
        let tls = TlsConfig::builder();
        let tls = match uri.scheme_str() {
            Some("https") => tls.root_certs(authorities()),
            _ => tls,
        };
        let agent = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .user_agent(concat!("portend/", env!("CARGO_PKG_VERSION")))
            .tls_config(tls.build())
            .build()
            .new_agent();
        let (endpoint, timeout, told) = (config.endpoint.clone(), config.timeout, AtomicBool::new(false));
        let resource = ResourceAttributesWithSchema::default();
        Ok(Self { agent, endpoint, headers, timeout, resource, progress, told })
    }

    /// Sends a batch, again and again if need be; gives how many of its spans were refused.
    fn send(&self, batch: &[u8]) -> Result<usize, String> {
        let end = Instant::now() + self.timeout;
        let mut wait = FIRST_WAIT;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let Failure { reason, again } = match self.post(batch, left) {
                Ok(refused) => return Ok(refused),
                Err(failure) => failure,
            };
            let Some(least) = again else { return Err(reason) };
            let rest = wait.max(least);
            if rest >= end.saturating_duration_since(Instant::now()) {
                return Err(reason);
            }
            std::thread::sleep(rest);
            wait *= 2;
        }
    }

    fn post(&self, batch: &[u8], within: Duration) -> Result<usize, Failure> {
        let mut request = self.agent.post(&self.endpoint).config().timeout_global(Some(within)).build();
        request = request.header("content-type", "application/x-protobuf");
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        let answer = request.send(batch);
        let mut answer =
            answer.map_err(|e| Failure { reason: e.to_string(), again: Some(Duration::ZERO) })?;
        let status = answer.status();
        if !status.is_success() {
            let after =
                answer.headers().get("retry-after").and_then(|value| value.to_str().ok()?.parse().ok());
            let after = Duration::from_secs(after.unwrap_or(0));
            let again = RETRIED.contains(&status.as_u16()).then_some(after);
            return Err(Failure { reason: format!("it answers {status}"), again });
        }
        // what cannot be read of an answer that says yes says no more
        let body = answer.body_mut().with_config().limit(MOST_ANSWER).read_to_vec().unwrap_or_default();
        let said = ExportTraceServiceResponse::decode(body.as_slice()).unwrap_or_default();
        let refused = said.partial_success.map_or(0, |partly| partly.rejected_spans);
        Ok(usize::try_from(refused).unwrap_or(0))
    }

    /// Tells the operator once that sending fails, and once that it works again.
    fn tell(&self, outcome: &Result<usize, String>) {
        if self.told.swap(outcome.is_err(), Ordering::Relaxed) == outcome.is_err() {
            return;
        }
        // without what a URL may hold beside the host
        let uri = self.endpoint.parse::<Uri>().unwrap_or_default();
        let host = uri.host().unwrap_or_default();
        _ = match outcome {
            Ok(_) => writeln!(stderr(), "traces are sent to {host} again"),
            Err(reason) => writeln!(stderr(), "warning: traces cannot be sent to {host}: {reason}"),
        };
    }
}

impl SpanExporter for Exporter {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let spans = batch.len();
        let resource_spans = group_spans_by_resource_and_scope(batch, &self.resource);
        let outcome = self.send(&ExportTraceServiceRequest { resource_spans }.encode_to_vec());
        self.tell(&outcome);
        let refused = outcome.as_ref().map_or(spans, |refused| *refused);
        self.progress.done(spans.saturating_sub(refused), spans);
        outcome.map(|_| ()).map_err(OTelSdkError::InternalFailure)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.resource = resource.into();
    }
}

/// The system's certificate authorities; without any those that the program brings with it.
fn authorities() -> RootCerts {
    let system = rustls_native_certs::load_native_certs().certs;
    let roots: Vec<_> = system.iter().map(|der| Certificate::from_der(der).to_owned()).collect();
    if roots.is_empty() { RootCerts::WebPki } else { RootCerts::new_with_certs(&roots) }
}
