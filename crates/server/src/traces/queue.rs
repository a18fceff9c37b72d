//! The bound of what waits to be sent, and the counts of what became of it. The batches themselves are the SDK's.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use opentelemetry::Context;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{
    BatchConfigBuilder, BatchSpanProcessor, Span, SpanData, SpanExporter, SpanProcessor,
};

use crate::metrics::histogram::Counter;

/// Spans that are sent together at most, and how long they wait for others at most.
const BATCH: usize = 512;
const WAIT: Duration = Duration::from_secs(1);

/// What became of spans.
#[derive(Debug)]
pub(crate) struct Progress {
    waiting: AtomicUsize,
    /// How many may wait.
    pub(crate) most: usize,
    /// Spans that a collector took.
    pub(crate) sent: Counter,
    /// Spans that could not be sent, or that a collector refused.
    pub(crate) failed: Counter,
    /// Spans that found no room.
    pub(crate) dropped: Counter,
}

impl Progress {
    pub(super) fn new(most: usize) -> Self {
        let (sent, failed, dropped) = Default::default();
        Self { waiting: AtomicUsize::new(0), most, sent, failed, dropped }
    }

    /// Spans that wait, those included that are being sent.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// A batch is through: so many were taken of so many.
    pub(super) fn done(&self, taken: usize, all: usize) {
        self.sent.add_many(taken as u64);
        self.failed.add_many((all - taken) as u64);
        self.waiting.fetch_sub(all, Ordering::Relaxed);
    }

    fn enter(&self) -> bool {
        let enters = self.waiting.fetch_add(1, Ordering::Relaxed) < self.most;
        if !enters {
            self.waiting.fetch_sub(1, Ordering::Relaxed);
            self.dropped.add();
        }
        enters
    }
}

/// Spans on their way: those that find room go on to the SDK, whose own queue is as large and never full.
#[derive(Debug)]
pub(super) struct Queue {
    batches: BatchSpanProcessor,
    progress: Arc<Progress>,
}

impl Queue {
    /// Starts the thread that calls `exporter`, which tells the progress of each batch.
    pub(super) fn new(exporter: impl SpanExporter + 'static, progress: Arc<Progress>) -> Self {
        let config = BatchConfigBuilder::default()
            .with_max_queue_size(progress.most)
            .with_max_export_batch_size(BATCH)
            .with_scheduled_delay(WAIT);
        Self { batches: BatchSpanProcessor::new(exporter, config.build()), progress }
    }
}

impl SpanProcessor for Queue {
    fn on_start(&self, _span: &mut Span, _context: &Context) {}

    fn on_end(&self, span: SpanData) {
        if self.progress.enter() {
            self.batches.on_end(span);
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.batches.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.batches.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.batches.set_resource(resource);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_finds_no_room_is_counted_and_room_is_given_back() {
        let progress = Progress::new(2);
        let entered: Vec<_> = (0..4).map(|_| progress.enter()).collect();
        assert_eq!(entered, [true, true, false, false]);
        assert_eq!((progress.waiting(), progress.dropped.get()), (2, 2));
        progress.done(1, 2);
        assert_eq!((progress.waiting(), progress.sent.get(), progress.failed.get()), (0, 1, 1));
        assert!(progress.enter());
    }
}
