//! The same figures under the names that dashboards of Seldon Core and Triton ask for, where the operator wants them.
//! Models in memory are told, as those servers do; the others have no version.

use super::histogram::Counts;
use super::models::{SECOND, Seen};
use super::text::{Kind, Text};
use crate::config::CompatibleMetrics;
use crate::statistics::Statistics;

/// Writes the names that are wanted.
pub(super) fn write(text: &mut Text, wanted: CompatibleMetrics, models: &[Seen<'_>]) {
    let loaded: Vec<_> = models
        .iter()
        .filter_map(|seen| {
            let model = &seen.snapshot.loaded.as_ref()?.model;
            Some((seen, if model.version.is_empty() { "1" } else { model.version.as_str() }))
        })
        .collect();
    if wanted.seldon {
        requests(text, &EXECUTORS, &loaded);
    }
    if wanted.seldon_engine {
        requests(text, &ENGINES, &loaded);
    }
    if wanted.seldon || wanted.seldon_engine {
        feedback(text, &loaded);
    }
    if wanted.triton {
        triton(text, &loaded);
    }
}

/// The bounds of Seldon's executor, in nanoseconds; the engine's were of its own making.
const EXECUTOR: [u64; 14] = [
    5_000_000,
    10_000_000,
    25_000_000,
    50_000_000,
    75_000_000,
    100_000_000,
    250_000_000,
    500_000_000,
    750_000_000,
    1_000_000_000,
    2_500_000_000,
    5_000_000_000,
    7_500_000_000,
    10_000_000_000,
];

/// How a server of Seldon's tells requests: under two names, its own side and the model's side, between which there is no
/// hop here.
struct Side {
    histogram: &'static str,
    /// The same without bounds, where it is told.
    summary: Option<&'static str>,
    /// Whether it has the labels of the model.
    of_model: bool,
    /// The label that has the code.
    code: &'static str,
}

const EXECUTORS: [Side; 2] = [
    Side {
        histogram: "seldon_api_executor_server_requests_seconds",
        summary: Some("seldon_api_executor_server_requests_seconds_summary"),
        of_model: false,
        code: "code",
    },
    Side {
        histogram: "seldon_api_executor_client_requests_seconds",
        summary: Some("seldon_api_executor_client_requests_seconds_summary"),
        of_model: true,
        code: "code",
    },
];

/// Those of the engine, which came before the executor.
const ENGINES: [Side; 2] = [
    Side {
        histogram: "seldon_api_engine_server_requests_duration_seconds",
        summary: None,
        of_model: false,
        code: "status",
    },
    Side {
        histogram: "seldon_api_engine_client_requests_duration_seconds",
        summary: None,
        of_model: true,
        code: "status",
    },
];

fn requests(text: &mut Text, sides: &[Side], loaded: &[(&Seen<'_>, &str)]) {
    for side in sides {
        text.family(Kind::Histogram, side.histogram, "Requests for predictions, as Seldon Core tells them.");
        each_answer(loaded, side, |labels, counts| {
            let up_to = counts.up_to.iter().filter(|(bound, _)| EXECUTOR.contains(bound)).copied().collect();
            text.histogram(labels, &Counts { up_to, ..*counts }, SECOND, &[]);
        });
        let Some(summary) = side.summary else { continue };
        text.family(Kind::Summary, summary, "The same without bounds.");
        each_answer(loaded, side, |labels, counts| {
            text.summary(labels, counts.count, std::time::Duration::from_nanos(counts.sum));
        });
    }
}

/// A number of a deployment.
type Number = fn(&Statistics) -> f64;

/// What Seldon's wrapper tells of feedback. Rewards may be negative, so that their sum is no counter.
const FEEDBACK: [(Kind, &str, &str, Number); 2] = [
    (
        Kind::Counter,
        "seldon_api_model_feedback_total",
        "Feedback, as Seldon's wrapper tells it.",
        |statistics| statistics.feedback().0 as f64,
    ),
    (Kind::Unknown, "seldon_api_model_feedback_reward_total", "The sum of its rewards.", |statistics| {
        statistics.feedback().1
    }),
];

fn feedback(text: &mut Text, loaded: &[(&Seen<'_>, &str)]) {
    let told = || loaded.iter().filter(|(seen, _)| seen.statistics.feedback().0 > 0);
    for (kind, name, help, figure) in FEEDBACK {
        text.family(kind, name, help);
        for (seen, version) in told() {
            let labels = [
                ("deployment_name", seen.id),
                ("model_name", seen.id),
                ("model_image", seen.id),
                ("model_version", *version),
                ("predictor_name", "default"),
                ("predictor_version", *version),
                ("seldon_deployment_name", seen.id),
                ("image_name", seen.id),
                ("image_version", *version),
                ("method", "feedback"),
            ];
            text.number(&labels, figure(seen.statistics));
        }
    }
}

fn each_answer(loaded: &[(&Seen<'_>, &str)], side: &Side, mut write: impl FnMut(&[(&str, &str)], &Counts)) {
    for (seen, version) in loaded {
        // protocols that are called the same are one series here
        let mut series: Vec<([&str; 3], Counts)> = Vec::new();
        for (protocol, code, counts, _) in &seen.answers {
            let called = called(protocol, code);
            match series.iter_mut().find(|(known, _)| *known == called) {
                Some((_, all)) => all.add(counts),
                None => series.push((called, counts.clone())),
            }
        }
        for ([service, method, code], counts) in series {
            let mut labels = vec![
                ("deployment_name", seen.id),
                ("predictor_name", "default"),
                ("predictor_version", *version),
                ("service", service),
                ("method", method),
                (side.code, code),
            ];
            if side.of_model {
                labels.extend([
                    ("model_name", seen.id),
                    ("model_image", seen.id),
                    ("model_version", version),
                ]);
            }
            write(&labels, &counts);
        }
    }
}

/// Service, method and code of answers, which gRPC has words of its own for.
fn called<'a>(protocol: &str, code: &'a str) -> [&'a str; 3] {
    let service = match protocol {
        "seldon-grpc" => "/seldon.protos.Seldon/Predict",
        "v2-grpc" => "/inference.GRPCInferenceService/ModelInfer",
        _ => return ["predictions", "post", code],
    };
    let code = match code {
        "200" => "OK",
        "400" | "422" => "InvalidArgument",
        "401" => "Unauthenticated",
        "403" => "PermissionDenied",
        "404" => "NotFound",
        "405" | "415" | "501" => "Unimplemented",
        "408" | "504" => "DeadlineExceeded",
        "409" => "FailedPrecondition",
        "413" | "414" | "431" | "507" => "ResourceExhausted",
        "429" | "503" => "Unavailable",
        "500" => "Internal",
        _ => "Unknown",
    };
    [service, "unary", code]
}

/// A figure of Triton, of which some are microseconds.
type Figure = fn(&Statistics) -> u64;

const TRITON: [(&str, &str, Figure); 9] = [
    ("nv_inference_request_success", "Requests that were answered.", |s| s.success.count()),
    ("nv_inference_request_failure", "Requests that failed.", |s| s.failure.count()),
    ("nv_inference_count", "Rows that were predicted.", |s| s.rows.sum()),
    ("nv_inference_exec_count", "Runs of the model.", |s| s.success.count()),
    ("nv_inference_request_duration_us", "Time of answered requests.", |s| micros(s.success.time())),
    ("nv_inference_queue_duration_us", "Time that they waited.", |s| s.queue.sum() / 1000),
    ("nv_inference_compute_input_duration_us", "Time that was spent decoding.", |s| micros(s.decode.get())),
    ("nv_inference_compute_infer_duration_us", "Time that was spent in the model.", |s| {
        micros(s.predict.get())
    }),
    ("nv_inference_compute_output_duration_us", "Time that was spent encoding.", |s| micros(s.encode.get())),
];

fn micros(time: std::time::Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

fn triton(text: &mut Text, loaded: &[(&Seen<'_>, &str)]) {
    for (name, help, figure) in TRITON {
        text.family(Kind::Counter, name, help);
        for (seen, version) in loaded {
            text.count(&[("model", seen.id), ("version", version)], figure(seen.statistics));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::histogram::TIMES;

    #[test]
    fn the_bounds_of_the_executor_are_among_ours() {
        assert!(EXECUTOR.iter().all(|bound| TIMES.contains(bound)));
    }
}
