//! The data plane: accepts HTTP, finds the model, lets a protocol decode and encode around the one scoring
//! path. It knows nothing of command lines or environments: it is told a [`Config`].

#![forbid(unsafe_code)]

mod access;
mod access_log;
mod admission;
mod body;
mod config;
mod connection;
mod decimal;
mod error;
mod giving_back;
mod http;
mod listen;
mod metrics;
mod openapi;
mod opening;
mod packing;
mod patience;
mod prompt;
mod protocol;
mod repository;
mod request_id;
mod score;
mod stall;
mod statistics;
mod taking;
mod tally;
mod tls;
mod traces;
mod unread;

pub use config::{
    AccessLogFormat, AssociationIdSettings, CacheLimits, ClassPredictions, CompatibleMetrics, Config,
    DeploymentSettings, GrpcPort, Propagator, Secret, StoreConfig, TlsConfig, TraceConfig, TraceSampler,
    VertexRoutes,
};
pub use http::{App, HttpService};
pub use listen::{End, Server};
pub use openapi::openapi;
pub use repository::{StartError, model_name};
pub use tls::TlsError;
