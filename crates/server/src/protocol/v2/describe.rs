//! What is told of server and models: metadata, configuration, statistics.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use portend_core::Label;
use portend_model::Model;
use serde_json::{Value, json};

use super::datatype::Datatype;
use super::outputs::OutputTensor;
use super::{ModelPath, PROTOCOL, answer, version};
use crate::http::App;
use crate::protocol::PathId;
use crate::repository::{Deployment, LoadFacts, Snapshot};
use crate::statistics::Statistics;

/// The extensions of the protocol that are offered.
pub(super) const EXTENSIONS: [&str; 5] = [
    "binary_tensor_data",
    "model_configuration",
    "model_repository",
    "model_repository(unload_dependents)",
    "statistics",
];

pub(super) async fn server() -> Response {
    let version = env!("CARGO_PKG_VERSION");
    answer(StatusCode::OK, &json!({ "name": "portend", "version": version, "extensions": EXTENSIONS }))
}

/// The names of all models; under a prefix of the one.
pub(super) async fn models(State(app): State<Arc<App>>, PathId(id): PathId) -> Response {
    let deployments = app.repository.deployments(id.as_deref()).await;
    let names: Vec<&str> = deployments.iter().map(|deployment| deployment.id.as_str()).collect();
    answer(StatusCode::OK, &json!({ "models": names }))
}

pub(super) async fn model(State(app): State<Arc<App>>, path: ModelPath) -> Response {
    match path.find(&app).await {
        Ok(ready) => answer(StatusCode::OK, &metadata(&path.name, &ready.model)),
        Err(error) => PROTOCOL.error_response(&error),
    }
}

pub(super) async fn config(State(app): State<Arc<App>>, path: ModelPath) -> Response {
    match path.find(&app).await {
        Ok(ready) => answer(StatusCode::OK, &configuration(&path.name, &ready.model)),
        Err(error) => PROTOCOL.error_response(&error),
    }
}

/// Of one model.
pub(super) async fn statistics(State(app): State<Arc<App>>, path: ModelPath) -> Response {
    match path.find(&app).await {
        Ok(ready) => {
            let stats = model_statistics(&path.name, &ready.deployment, &ready.deployment.snapshot());
            answer(StatusCode::OK, &json!({ "model_stats": [stats] }))
        }
        Err(error) => PROTOCOL.error_response(&error),
    }
}

/// Of all models.
pub(super) async fn all_statistics(State(app): State<Arc<App>>, PathId(id): PathId) -> Response {
    let deployments = app.repository.deployments(id.as_deref()).await;
    let stats: Vec<Value> =
        deployments.iter().map(|d| model_statistics(d.id.as_str(), d, &d.snapshot())).collect();
    answer(StatusCode::OK, &json!({ "model_stats": stats }))
}

/// The library, as the name of what runs the model.
fn platform(model: &Model) -> &str {
    model.library.split(' ').next().unwrap_or_default()
}

/// What is told of a model's tensors.
pub(super) fn metadata(name: &str, model: &Model) -> Value {
    let inputs: Vec<Value> = model
        .features
        .iter()
        .map(|f| json!({ "name": f.name, "datatype": Datatype::of_feature(f).name(), "shape": [-1, 1] }))
        .collect();
    let outputs = OutputTensor::offered(model).0;
    let outputs: Vec<Value> = outputs
        .into_iter()
        .map(|tensor| {
            let datatype = tensor.datatype(model).name();
            let mut told =
                json!({ "name": tensor.name(), "datatype": datatype, "shape": shape(tensor, model) });
            let labels = tensor.labels(&model.target);
            if !labels.is_empty() {
                told["labels"] = labels.iter().map(Label::to_string).collect();
            }
            told
        })
        .collect();
    json!({
        "name": name, "versions": [version(model)], "platform": platform(model), "inputs": inputs, "outputs": outputs
    })
}

/// -1 for the rows.
fn shape(tensor: OutputTensor, model: &Model) -> Value {
    tensor.width(model).map_or_else(|| json!([-1]), |width| json!([-1, width]))
}

/// A model's configuration.
pub(super) fn configuration(name: &str, model: &Model) -> Value {
    let inputs: Vec<Value> = model
        .features
        .iter()
        .map(|f| json!({ "name": f.name, "data_type": Datatype::of_feature(f).config_name(), "dims": [-1, 1] }))
        .collect();
    let outputs = OutputTensor::offered(model).0;
    let outputs: Vec<Value> = outputs
        .into_iter()
        .map(|tensor| {
            let datatype = tensor.datatype(model).config_name();
            json!({ "name": tensor.name(), "data_type": datatype, "dims": shape(tensor, model) })
        })
        .collect();
    json!({
        "name": name,
        "platform": platform(model),
        "backend": "portend",
        "version_policy": { "latest": { "num_versions": 1 } },
        "max_batch_size": 0,
        "input": inputs,
        "output": outputs,
    })
}

/// The statistics of a model.
pub(super) fn model_statistics(name: &str, deployment: &Deployment, snapshot: &Snapshot) -> Value {
    let Statistics { success, failure, queue, decode, predict, encode, rows, .. } = &deployment.statistics;
    let all = success.count();
    let version = snapshot.loaded.as_ref().map_or("", |loaded| version(&loaded.model));
    let memory: Vec<Value> = snapshot
        .last
        .iter()
        .filter(|_| snapshot.loaded.is_some())
        .map(|LoadFacts { memory, .. }| json!({ "type": "CPU", "id": 0, "byte_size": memory }))
        .collect();
    json!({
        "name": name,
        "version": version,
        "last_inference": deployment.statistics.last(),
        "inference_count": rows.sum(),
        "execution_count": all,
        "inference_stats": {
            "success": duration(all, success.time()),
            "fail": duration(failure.count(), failure.time()),
            "queue": duration(all, Duration::from_nanos(queue.sum())),
            "compute_input": duration(all, decode.get()),
            "compute_infer": duration(all, predict.get()),
            "compute_output": duration(all, encode.get()),
            "cache_hit": duration(0, Duration::ZERO),
            "cache_miss": duration(0, Duration::ZERO),
        },
        "response_stats": {},
        "batch_stats": [],
        "memory_usage": memory,
    })
}

fn duration(count: u64, time: Duration) -> Value {
    json!({ "count": count, "ns": u64::try_from(time.as_nanos()).unwrap_or(u64::MAX) })
}
