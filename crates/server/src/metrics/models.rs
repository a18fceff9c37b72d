//! What is told of each model: what it was asked, where the time went, and how it comes and goes in memory.

use super::histogram::Counts;
use super::text::{Kind, Text};
use crate::metrics::answers::Latency;
use crate::repository::{Deployment, Snapshot};
use crate::statistics::Statistics;

/// Nanoseconds in a second.
pub(super) const SECOND: f64 = 1e9;

/// A deployment as it is told.
pub(super) struct Seen<'d> {
    pub(super) id: &'d str,
    pub(super) statistics: &'d Statistics,
    pub(super) snapshot: Snapshot,
    /// Its answers, with the protocol and the code.
    pub(super) answers: Vec<(&'static str, String, Counts, &'d Latency)>,
}

impl<'d> Seen<'d> {
    pub(super) fn new(deployment: &'d Deployment) -> Self {
        let statistics = &deployment.statistics;
        let answers = statistics.answers.each();
        let answers =
            answers.map(|(protocol, code, latency)| (protocol, code, latency.times.counts(), latency));
        let answers = answers.collect();
        Self { id: deployment.id.as_str(), statistics, snapshot: deployment.snapshot(), answers }
    }
}

/// A number of a model, if there is one.
type Number = fn(&Seen<'_>) -> Option<f64>;

/// Families that have one number for each model.
const NUMBERS: [(Kind, &str, &str, Number); 10] = [
    (Kind::Counter, "portend_rows_total", "Rows that were predicted.", |seen| {
        Some(seen.statistics.rows.sum() as f64)
    }),
    (Kind::Gauge, "portend_model_loaded", "1 for a model in memory, else 0.", |seen| {
        Some(f64::from(u8::from(seen.snapshot.loaded.is_some())))
    }),
    (Kind::Gauge, "portend_model_memory_bytes", "About what a model in memory takes.", |seen| {
        Some(seen.snapshot.loaded.as_ref()?.facts.memory as f64)
    }),
    (Kind::Gauge, "portend_model_load_seconds", "What the latest load took.", |seen| {
        Some(seen.snapshot.last.as_ref()?.took.as_secs_f64())
    }),
    (
        Kind::Gauge,
        "portend_model_failed",
        "1 for a model whose package cannot be loaded as it lies there, else 0.",
        |seen| Some(f64::from(u8::from(seen.snapshot.failure.is_some()))),
    ),
    (Kind::Counter, "portend_model_loads_total", "Loads, uploads included.", |seen| {
        Some(seen.statistics.loads.get() as f64)
    }),
    (Kind::Counter, "portend_model_load_failures_total", "Loads that failed.", |seen| {
        Some(seen.statistics.load_failures.get() as f64)
    }),
    (
        Kind::Counter,
        "portend_model_evictions_total",
        "How often the model left memory to make room for others.",
        |seen| Some(seen.statistics.evictions.get() as f64),
    ),
    (
        Kind::Counter,
        "portend_model_cache_hits_total",
        "Requests to be scored that found the model in memory.",
        |seen| Some(seen.statistics.cache_hits.get() as f64),
    ),
    (
        Kind::Counter,
        "portend_model_cache_misses_total",
        "Requests to be scored that waited for the model to be loaded.",
        |seen| Some(seen.statistics.cache_misses.get() as f64),
    ),
];

/// Writes all that is told of models.
pub(super) fn write(text: &mut Text, models: &[Seen<'_>]) {
    answers(text, models);
    phases(text, models);
    for (kind, name, help, number) in NUMBERS {
        text.family(kind, name, help);
        for seen in models {
            if let Some(value) = number(seen) {
                text.number(&[("model", seen.id)], value);
            }
        }
    }
}

fn answers(text: &mut Text, models: &[Seen<'_>]) {
    text.family(
        Kind::Counter,
        "portend_requests_total",
        "Requests for predictions of a model that there is.",
    );
    for seen in models {
        for (protocol, code, counts, _) in &seen.answers {
            text.count(&[("model", seen.id), ("protocol", protocol), ("code", code)], counts.count);
        }
    }
    text.family(
        Kind::Histogram,
        "portend_request_duration_seconds",
        "Time from the head of such a request to its answer.",
    );
    for seen in models {
        for (protocol, code, counts, latency) in &seen.answers {
            let labels = [("model", seen.id), ("protocol", protocol), ("code", code)];
            text.histogram(&labels, counts, SECOND, &latency.exemplars());
        }
    }
}

/// Where the time of requests went that were answered with predictions.
fn phases(text: &mut Text, models: &[Seen<'_>]) {
    // thirty lines for each model that nobody asked would be most of a large repository's metrics
    let scored = || models.iter().filter(|seen| seen.statistics.success.count() > 0);
    text.family(Kind::Histogram, "portend_queue_seconds", "Time that scored requests waited for a worker.");
    for seen in scored() {
        text.histogram(&[("model", seen.id)], &seen.statistics.queue.counts(), SECOND, &[]);
    }
    text.family(Kind::Histogram, "portend_request_rows", "Rows of scored requests.");
    for seen in scored() {
        text.histogram(&[("model", seen.id)], &seen.statistics.rows.counts(), 1.0, &[]);
    }
    for (name, help, time) in [
        (
            "portend_decode_seconds",
            "Time from bytes to columns.",
            (|s| &s.decode) as fn(&Statistics) -> &super::histogram::Nanoseconds,
        ),
        ("portend_predict_seconds", "Time in the model, of all threads together.", |s| &s.predict),
        ("portend_encode_seconds", "Time from predictions to bytes, of all threads together.", |s| &s.encode),
    ] {
        text.family(Kind::Summary, name, help);
        for seen in scored() {
            let count = seen.statistics.success.count();
            text.summary(&[("model", seen.id)], count, time(seen.statistics).get());
        }
    }
}
