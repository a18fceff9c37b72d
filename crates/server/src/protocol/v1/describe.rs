//! What is told of models: their names, whether they can be asked, and their columns.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use portend_core::{Dtype, Feature};
use portend_model::Model;
use portend_model::frame::Precision;
use serde_json::{Map, Value, json};

use super::{PROTOCOL, answer};
use crate::http::App;
use crate::protocol::PathId;
use crate::protocol::v2::{ModelPath, version};

/// The names of all models; under a prefix of the one.
pub(super) async fn models(State(app): State<Arc<App>>, PathId(id): PathId) -> Response {
    let deployments = app.repository.deployments(id.as_deref()).await;
    let names: Vec<&str> = deployments.iter().map(|deployment| deployment.id.as_str()).collect();
    answer(&json!({ "models": names }))
}

/// A model can be asked: it is loaded if it is not. Each protocol reads its own keys.
pub(super) async fn status(State(app): State<Arc<App>>, path: ModelPath) -> Response {
    match path.find(&app).await {
        Ok(ready) => answer(&json!({
            "name": path.name,
            "ready": true,
            "model_version_status": [{
                "version": version(&ready.model),
                "state": "AVAILABLE",
                "status": { "error_code": "OK", "error_message": "" },
            }],
        })),
        Err(error) => PROTOCOL.error_response(&error),
    }
}

/// Inputs and outputs in the form of TensorFlow Serving.
pub(super) async fn metadata(State(app): State<Arc<App>>, path: ModelPath) -> Response {
    match path.find(&app).await {
        Ok(ready) => {
            let model = &ready.model;
            answer(&json!({
                "model_spec": { "name": path.name, "signature_name": "", "version": version(model) },
                "metadata": { "signature_def": { "signature_def": { "serving_default": signature(model) } } },
            }))
        }
        Err(error) => PROTOCOL.error_response(&error),
    }
}

fn signature(model: &Model) -> Value {
    let inputs: Map<String, Value> = model
        .features
        .iter()
        .map(|feature| (feature.name.clone(), tensor(&feature.name, dtype(feature), None)))
        .collect();
    let numbers = match model.inputs.precision {
        Precision::Single => "DT_FLOAT",
        Precision::Double => "DT_DOUBLE",
    };
    let width = model.target.width();
    // of two classes the probability of one is answered
    let values = (width > 2 || model.target.labels().len() == 1).then_some(width);
    let output = tensor("predictions", numbers, values);
    json!({ "inputs": inputs, "outputs": { "predictions": output }, "method_name": "tensorflow/serving/predict" })
}

fn dtype(feature: &Feature) -> &'static str {
    match feature.dtype {
        Dtype::Float64 => "DT_DOUBLE",
        Dtype::Float32 => "DT_FLOAT",
        Dtype::Int64 => "DT_INT64",
        Dtype::Bool => "DT_BOOL",
        Dtype::String | Dtype::Category => "DT_STRING",
    }
}

fn tensor(name: &str, dtype: &str, width: Option<usize>) -> Value {
    let dimension = |size: String| json!({ "size": size, "name": "" });
    let dimensions: Vec<Value> =
        std::iter::once("-1".to_owned()).chain(width.map(|width| width.to_string())).map(dimension).collect();
    json!({ "dtype": dtype, "name": name, "tensor_shape": { "dim": dimensions, "unknown_rank": false } })
}
