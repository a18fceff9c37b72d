//! Traces for an OpenTelemetry collector: whose trace a request belongs to (`context.rs`), a span for the request and one
//! for each part of scoring it (`spans.rs`), and how spans leave (`export.rs`, bounded by `queue.rs`). Off unless an
//! endpoint is set; then nothing of this runs.

mod context;
mod export;
mod queue;
mod spans;

use std::io::{Write, stderr};
use std::sync::Arc;
use std::time::Duration;

use opentelemetry::trace::{TraceId, TracerProvider};
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::resource::TelemetryResourceDetector;
use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider};

use crate::config::TraceConfig;
pub(crate) use context::Propagation;
use export::Exporter;
pub(crate) use queue::Progress;
use queue::Queue;
pub(crate) use spans::{Ended, Traced};

/// How long the end of the process waits for the last spans.
const FLUSH_TIME: Duration = Duration::from_secs(3);

/// What makes and sends spans.
#[derive(Debug)]
pub(crate) struct Traces {
    provider: SdkTracerProvider,
    tracer: SdkTracer,
    propagation: Propagation,
    scheme: &'static str,
    /// How sending goes.
    pub(crate) progress: Arc<Progress>,
}

/// The trace that a request belongs to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Trace {
    /// Its id.
    pub(crate) id: TraceId,
    /// Whether its spans are sent.
    pub(crate) sampled: bool,
}

impl Traces {
    /// Starts the thread that sends. The error says what cannot be used.
    pub(crate) fn new(config: &TraceConfig, scheme: &'static str) -> Result<Self, String> {
        let progress = Arc::new(Progress::new(config.queue));
        let exporter = Exporter::new(config, Arc::clone(&progress))?;
        let propagation = Propagation::new(config);
        let attributes = config.resource.iter().map(|(key, value)| KeyValue::new(key.clone(), value.clone()));
        let resource = Resource::builder_empty()
            .with_detector(Box::new(TelemetryResourceDetector))
            .with_attributes(attributes);
        let provider = SdkTracerProvider::builder()
            .with_sampler(propagation.sampler())
            .with_resource(resource.build())
            .with_span_processor(Queue::new(exporter, Arc::clone(&progress)))
            .build();
        let scope = InstrumentationScope::builder("portend").with_version(env!("CARGO_PKG_VERSION"));
        let tracer = provider.tracer_with_scope(scope.build());
        Ok(Self { provider, tracer, propagation, scheme, progress })
    }

    /// Sends what waits, or as much of it as a short time allows.
    pub(crate) fn flush(&self) {
        if self.provider.shutdown_with_timeout(FLUSH_TIME).is_err() {
            let waiting = self.progress.waiting();
            // nobody has to read it
            _ = writeln!(stderr(), "warning: the last traces could not be sent: {waiting} spans are lost");
        }
    }
}
