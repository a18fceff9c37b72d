//! The Open Inference Protocol over gRPC, with the calls of Triton's extensions. Models are named in messages. What is
//! told of server and models is what REST tells.

pub(super) mod contents;
mod infer;
mod request;
mod stream;

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::Response;
use axum::routing::post;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{describe, manage};
use crate::error::ServerError;
use crate::http::App;
use crate::protocol::grpc::generated::inference::model_version_policy::{Latest, PolicyChoice};
use crate::protocol::grpc::generated::inference::{
    CudaSharedMemoryStatusRequest, CudaSharedMemoryStatusResponse, CudaSharedMemoryUnregisterRequest,
    CudaSharedMemoryUnregisterResponse, DataType, ModelConfig, ModelConfigRequest, ModelConfigResponse,
    ModelInput, ModelMetadataRequest, ModelMetadataResponse, ModelOutput, ModelReadyRequest,
    ModelReadyResponse, ModelStatisticsRequest, ModelStatisticsResponse, ModelVersionPolicy,
    RepositoryIndexRequest, RepositoryIndexResponse, RepositoryModelLoadRequest, RepositoryModelLoadResponse,
    RepositoryModelUnloadRequest, RepositoryModelUnloadResponse, ServerLiveRequest, ServerLiveResponse,
    ServerMetadataRequest, ServerMetadataResponse, ServerReadyRequest, ServerReadyResponse,
    SystemSharedMemoryStatusRequest, SystemSharedMemoryStatusResponse, SystemSharedMemoryUnregisterRequest,
    SystemSharedMemoryUnregisterResponse, repository_index_response,
};
use crate::protocol::grpc::{called, message, unary};
use crate::protocol::{Protocol, Route};
use infer::{Place, found, inferred};

/// What the paths of all calls begin with.
const SERVICE: &str = "/inference.GRPCInferenceService";

/// The protocol.
pub(in crate::protocol) const PROTOCOL: Protocol = Protocol::of_calls("v2-grpc", routes, &[SERVICE]);

fn routes() -> Vec<Route> {
    let call = |name: &str, methods| Route::call(format!("{SERVICE}/{name}"), methods);
    vec![
        Route::health_call(format!("{SERVICE}/ServerLive"), post(server_live)),
        Route::health_call(format!("{SERVICE}/ServerReady"), post(server_ready)),
        call("ModelReady", post(model_ready)),
        call("ServerMetadata", post(server_metadata)),
        call("ModelMetadata", post(model_metadata)),
        call("ModelConfig", post(model_config)),
        call("ModelStatistics", post(model_statistics)),
        call("ModelInfer", post(model_infer)),
        call("ModelStreamInfer", post(stream::model_stream_infer)),
        call("RepositoryIndex", post(repository_index)),
        call("RepositoryModelLoad", post(repository_model_load)),
        call("RepositoryModelUnload", post(repository_model_unload)),
        call("SystemSharedMemoryStatus", post(system_memory_status)),
        call("SystemSharedMemoryRegister", post(no_memory)),
        call("SystemSharedMemoryUnregister", post(system_memory_unregister)),
        call("CudaSharedMemoryStatus", post(cuda_memory_status)),
        call("CudaSharedMemoryRegister", post(no_memory)),
        call("CudaSharedMemoryUnregister", post(cuda_memory_unregister)),
        call("TraceSetting", post(no_settings)),
        call("LogSettings", post(no_settings)),
    ]
}

type Server = State<Arc<App>>;

/// The process is alive.
async fn server_live(State(app): Server, request: Request) -> Response {
    unary(&app, request, |ServerLiveRequest {}| async { Ok(ServerLiveResponse { live: true }) }).await
}

/// Models can be asked.
async fn server_ready(State(app): Server, request: Request) -> Response {
    let answer = |ServerReadyRequest {}| async {
        Ok(ServerReadyResponse { ready: app.readiness(None).await.is_ok() })
    };
    unary(&app, request, answer).await
}

/// A model can be asked: it is loaded if it is not. Only names that there are not are an error.
async fn model_ready(State(app): Server, request: Request) -> Response {
    let app = &app;
    let answer = |ModelReadyRequest { name, version }| async move {
        match found(app, &name, &version).await {
            Err(error @ ServerError::NotFound(_)) => Err(error),
            found => Ok(ModelReadyResponse { ready: found.is_ok() && !app.is_stopping() }),
        }
    };
    unary(app, request, answer).await
}

async fn server_metadata(State(app): Server, request: Request) -> Response {
    let answer = |ServerMetadataRequest {}| async {
        let (name, version) = ("portend".to_owned(), env!("CARGO_PKG_VERSION").to_owned());
        let extensions = describe::EXTENSIONS.iter().filter(|name| **name != "binary_tensor_data");
        Ok(ServerMetadataResponse {
            name,
            version,
            extensions: extensions.map(|&name| name.to_owned()).collect(),
        })
    };
    unary(&app, request, answer).await
}

/// A message that says what REST says.
fn told<M: DeserializeOwned>(value: Value) -> Result<M, ServerError> {
    serde_json::from_value(value).map_err(|_| ServerError::Internal)
}

async fn model_metadata(State(app): Server, request: Request) -> Response {
    let app = &app;
    let answer = |ModelMetadataRequest { name, version }| async move {
        let ready = found(app, &name, &version).await?;
        told::<ModelMetadataResponse>(describe::metadata(ready.deployment.id.as_str(), &ready.model))
    };
    unary(app, request, answer).await
}

async fn model_config(State(app): Server, request: Request) -> Response {
    let app = &app;
    let answer = |ModelConfigRequest { name, version }| async move {
        let ready = found(app, &name, &version).await?;
        let config = config(&describe::configuration(ready.deployment.id.as_str(), &ready.model));
        Ok(ModelConfigResponse { config: Some(config) })
    };
    unary(app, request, answer).await
}

/// The configuration that REST tells, with its numbers for words.
fn config(value: &Value) -> ModelConfig {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let data_type = |tensor: &Value| {
        DataType::from_str_name(tensor["data_type"].as_str().unwrap_or_default()).unwrap_or_default().into()
    };
    let dims =
        |tensor: &Value| tensor["dims"].as_array().into_iter().flatten().filter_map(Value::as_i64).collect();
    let list = |key: &str| value[key].as_array().map(Vec::as_slice).unwrap_or_default();
    let input = |t: &Value| ModelInput { name: text(&t["name"]), data_type: data_type(t), dims: dims(t) };
    let output = |t: &Value| ModelOutput { name: text(&t["name"]), data_type: data_type(t), dims: dims(t) };
    ModelConfig {
        name: text(&value["name"]),
        platform: text(&value["platform"]),
        backend: text(&value["backend"]),
        version_policy: Some(ModelVersionPolicy {
            policy_choice: Some(PolicyChoice::Latest(Latest { num_versions: 1 })),
        }),
        max_batch_size: 0,
        input: list("input").iter().map(input).collect(),
        output: list("output").iter().map(output).collect(),
    }
}

/// Of one model, or of all.
async fn model_statistics(State(app): Server, request: Request) -> Response {
    let app = &app;
    let answer = |ModelStatisticsRequest { name, version }| async move {
        let deployments = match name.as_str() {
            "" => app.repository.deployments(None).await,
            name => vec![found(app, name, &version).await?.deployment],
        };
        let of = |d: &Arc<crate::repository::Deployment>| {
            told(describe::model_statistics(d.id.as_str(), d, &d.snapshot()))
        };
        Ok(ModelStatisticsResponse { model_stats: deployments.iter().map(of).collect::<Result<_, _>>()? })
    };
    unary(app, request, answer).await
}

async fn model_infer(State(app): Server, request: Request) -> Response {
    let app = &app;
    called(request, |headers, body| async move {
        let payload = message::gathered(&headers, body, app, app.config.body_limit).await?;
        let (_, answer) = inferred(app, payload, Place::Alone).await?;
        Ok(message::response(answer))
    })
    .await
}

async fn repository_index(State(app): Server, request: Request) -> Response {
    let app = &app;
    let answer = |RepositoryIndexRequest { ready, .. }| async move {
        let deployments = app.repository.deployments(None).await;
        let entries = deployments.iter().map(|d| told(manage::entry(&d.id, &d.snapshot())));
        let mut models: Vec<repository_index_response::ModelIndex> = entries.collect::<Result<_, _>>()?;
        models.retain(|model| !ready || model.state == "READY");
        Ok(RepositoryIndexResponse { models })
    };
    unary(app, request, answer).await
}

async fn repository_model_load(State(app): Server, request: Request) -> Response {
    let app = &app;
    let answer = |RepositoryModelLoadRequest { model_name, parameters, .. }| async move {
        manage::check_parameters(parameters.keys())?;
        app.repository.load(&model_name).await?;
        Ok(RepositoryModelLoadResponse {})
    };
    unary(app, request, answer).await
}

async fn repository_model_unload(State(app): Server, request: Request) -> Response {
    let app = &app;
    let answer = |RepositoryModelUnloadRequest { model_name, .. }| async move {
        app.repository.unload(&model_name).await?;
        Ok(RepositoryModelUnloadResponse {})
    };
    unary(app, request, answer).await
}

/// No memory is shared: there is none to tell of.
async fn system_memory_status(State(app): Server, request: Request) -> Response {
    let answer =
        |_: SystemSharedMemoryStatusRequest| async { Ok(SystemSharedMemoryStatusResponse::default()) };
    unary(&app, request, answer).await
}

/// Clients give back what a former run of theirs may have left.
async fn system_memory_unregister(State(app): Server, request: Request) -> Response {
    let answer =
        |_: SystemSharedMemoryUnregisterRequest| async { Ok(SystemSharedMemoryUnregisterResponse {}) };
    unary(&app, request, answer).await
}

async fn cuda_memory_status(State(app): Server, request: Request) -> Response {
    let answer = |_: CudaSharedMemoryStatusRequest| async { Ok(CudaSharedMemoryStatusResponse::default()) };
    unary(&app, request, answer).await
}

async fn cuda_memory_unregister(State(app): Server, request: Request) -> Response {
    let answer = |_: CudaSharedMemoryUnregisterRequest| async { Ok(CudaSharedMemoryUnregisterResponse {}) };
    unary(&app, request, answer).await
}

async fn no_memory() -> Response {
    let reason = "shared memory is not offered: send tensors in the message";
    PROTOCOL.error_response(&ServerError::Unimplemented(reason.to_owned()))
}

async fn no_settings() -> Response {
    let reason = "settings are not changed by calls: they are given to the server at its start";
    PROTOCOL.error_response(&ServerError::Unimplemented(reason.to_owned()))
}
