//! What a server is told at its start. Where the values come from (flags, environment) is the binary's business.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use portend_core::{ArtifactStore, ArtifactUrl};
use portend_model::package::Trust;
use serde::Deserialize;

/// The settings of a server, validated by whoever made them.
#[derive(Debug, Clone)]
pub struct Config {
    /// A model file, a package, or a repository of sub-directories.
    pub path: PathBuf,
    /// The object store that the path lies in, if it does.
    pub store: Option<StoreConfig>,
    /// The model that is meant by requests that name none, where several are served.
    pub default_model: Option<String>,
    /// Which metrics are told a second time under names of other servers.
    pub compatible_metrics: CompatibleMetrics,
    /// What the protocols that answer one plain value a row answer for models with classes.
    pub class_predictions: ClassPredictions,
    /// Whether `/ping` tells that models can be asked, as SageMaker means it, and not only that the process is alive.
    pub ping_is_readiness: bool,
    /// Paths of Vertex AI's contract.
    pub vertex: VertexRoutes,
    /// The address to listen on, a name or an IP address.
    pub host: String,
    /// The port to listen on; 0 takes a free one.
    pub port: u16,
    /// A port for gRPC alone, which `port` speaks as well.
    pub grpc_port: GrpcPort,
    /// How many requests may score at once, and how many threads score; one or more.
    pub workers: usize,
    /// The target's name for model files that come without a manifest.
    pub target: String,
    /// Whose packages are loaded, and what is done about others.
    pub trust: Trust,
    /// The largest request body in bytes, before and after decompression.
    pub body_limit: usize,
    /// The largest answer to a call of gRPC, in bytes.
    pub grpc_answer_limit: usize,
    /// How long a client may take to send a request's headers.
    pub header_timeout: Duration,
    /// How long running requests may take to end once the server is told to stop.
    pub drain_timeout: Duration,
    /// How each request is logged in one line on standard error.
    pub access_log: AccessLogFormat,
    /// HTTPS instead of HTTP, on the same one listener.
    pub tls: Option<TlsConfig>,
    /// How much of a repository is kept loaded.
    pub cache: CacheLimits,
    /// How old the view of the repository's files may be when a request comes: zero looks each time.
    pub repository_ttl: Duration,
    /// Whether all models are loaded at the start; None: a single model is, those of a repository are not.
    pub preload: Option<bool>,
    /// What is known of a single model beside its package; in a repository `config.yml` says it of each.
    pub deployment: DeploymentSettings,
    /// The largest package that may be uploaded, in bytes.
    pub upload_limit: u64,
    /// Refuses uploads and deletes.
    pub read_only: bool,
    /// What clients must send as `Authorization: Bearer …`; None: nothing.
    pub token: Option<Secret>,
    /// Serves `/openapi.json` and `/docs`.
    pub docs: bool,
    /// The origins that browsers may call from; `*` for any; empty: none.
    pub cors: Vec<String>,
    /// Bytes of request bodies that may be held at once, by all requests together.
    pub bodies_limit: usize,
    /// Bytes a second that a body must arrive with, and an answer be taken with, after a first grace time.
    pub body_rate: usize,
    /// Requests that may wait for a permit to score; further ones are answered 429.
    pub queue: usize,
    /// Traces for a collector; None: none are made.
    pub traces: Option<TraceConfig>,
}

/// Which requests are traced, and where their spans go.
#[derive(Debug, Clone)]
pub struct TraceConfig {
    /// The URL that spans are posted to, OTLP in protobuf.
    pub endpoint: String,
    /// Headers that go with them.
    pub headers: Vec<(String, Secret)>,
    /// How long it may take until a collector has taken a batch.
    pub timeout: Duration,
    /// Spans that may wait to be sent; further ones are dropped.
    pub queue: usize,
    /// Which requests are traced.
    pub sampler: TraceSampler,
    /// The headers that tell whose trace a request belongs to: the first counts that says something.
    pub propagators: Vec<Propagator>,
    /// What is said of this server with its spans.
    pub resource: Vec<(String, String)>,
}

/// Which requests are traced.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TraceSampler {
    /// Whether callers decide that say so.
    pub parent_based: bool,
    /// The share of all others.
    pub ratio: f64,
}

/// Headers that tell whose trace a request belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Propagator {
    /// `traceparent` and `tracestate`, as the W3C has them.
    TraceContext,
    /// `b3`.
    B3,
    /// `X-B3-TraceId` and others.
    B3Multi,
}

/// Packages in an object store.
#[derive(Clone)]
pub struct StoreConfig {
    /// How it is asked.
    pub store: Arc<dyn ArtifactStore>,
    /// What of it is served: one package, or a repository.
    pub url: ArtifactUrl,
    /// What tells it from a place that is called the same elsewhere.
    pub identity: String,
    /// Where copies of packages lie on this machine, those of other servers included.
    pub cache: PathBuf,
    /// How many bytes copies may take that are not being read.
    pub cache_bytes: u64,
}

/// Without what may be secret.
impl std::fmt::Debug for StoreConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.url)
    }
}

/// A port for gRPC alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GrpcPort {
    /// None.
    Off,
    /// This one, unless somebody else has it.
    IfFree(u16),
    /// This one; without it the server does not start.
    Wanted(u16),
}

/// Other servers whose names of metrics are told as well.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CompatibleMetrics {
    /// Those of Seldon's executor.
    pub seldon: bool,
    /// Those of the engine that Seldon Core had before, to version 1.0.
    pub seldon_engine: bool,
    /// Those of Triton.
    pub triton: bool,
}

/// What an operator says of one deployment.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub struct DeploymentSettings {
    /// The id of the deployment elsewhere.
    pub deployment_id: Option<String>,
    /// Which column tells requests' rows apart.
    pub association_id_settings: Option<AssociationIdSettings>,
}

/// Which column of a request tells its rows apart, so that outcomes can be joined to predictions.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct AssociationIdSettings {
    /// The column.
    pub column_name: String,
    /// Whether rows may come without.
    #[serde(default)]
    pub allow_missing_values: bool,
}

impl DeploymentSettings {
    /// These, and those of `others` that are not among them.
    pub(crate) fn or(self, others: &Self) -> Self {
        Self {
            deployment_id: self.deployment_id.or_else(|| others.deployment_id.clone()),
            association_id_settings: self
                .association_id_settings
                .or_else(|| others.association_id_settings.clone()),
        }
    }

    /// The column that no row may come without.
    pub(crate) fn required_column(&self) -> Option<&str> {
        let settings =
            self.association_id_settings.as_ref().filter(|settings| !settings.allow_missing_values);
        settings.map(|settings| settings.column_name.as_str())
    }
}

/// What is answered for models with classes where an answer has one plain value a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClassPredictions {
    /// Probabilities, as the training library's booster gives them: of two classes the second one's.
    Probabilities,
    /// The predicted label, as a classifier gives it.
    Labels,
}

/// The paths that Vertex AI gives a container.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct VertexRoutes {
    /// Where predictions are asked for.
    pub predict: Option<String>,
    /// Where health is asked for.
    pub health: Option<String>,
}

/// The form of the access log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AccessLogFormat {
    /// No access log.
    Off,
    /// Words separated by spaces.
    Text,
    /// A JSON object a line.
    Json,
}

/// How much of a repository is kept loaded; what was not asked for the longest goes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CacheLimits {
    /// The most models.
    pub models: Option<usize>,
    /// The most bytes that loaded models take together, by their own count. One model is always kept.
    pub bytes: u64,
}

/// HTTPS as it was asked for; `tls/` checks it.
#[derive(Debug, Clone)]
pub struct TlsConfig {
    /// The certificate and its chain, PEM; a text without `-----BEGIN` is the path of a PEM file.
    pub certificate: String,
    /// Its private key, PEM, or the path of a PEM file.
    pub key: Secret,
    /// What an encrypted key is opened with.
    pub key_password: Option<Secret>,
    /// Protocol versions, as words separated by spaces (`TLSv1.2 TLSv1.3`).
    pub protocols: String,
    /// Cipher suites by their OpenSSL or IANA names, separated by colons, commas or spaces; empty: all that are
    /// safe.
    pub ciphers: String,
}

/// A text that is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(pub String);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("***")
    }
}

impl Config {
    /// The defaults for a path: loopback, port 8080, all cores, signatures not looked at, 50 MiB bodies, access log on.
    pub fn new(path: PathBuf) -> Self {
        Self {
            path,
            store: None,
            default_model: None,
            compatible_metrics: CompatibleMetrics::default(),
            class_predictions: ClassPredictions::Probabilities,
            ping_is_readiness: false,
            vertex: VertexRoutes::default(),
            host: "127.0.0.1".to_owned(),
            port: 8080,
            grpc_port: GrpcPort::IfFree(8001),
            workers: std::thread::available_parallelism().map_or(1, usize::from),
            target: "target".to_owned(),
            trust: Trust::default(),
            body_limit: 50 << 20,
            grpc_answer_limit: 512 << 20,
            header_timeout: Duration::from_secs(30),
            drain_timeout: Duration::from_secs(30),
            access_log: AccessLogFormat::Text,
            tls: None,
            cache: CacheLimits { models: None, bytes: 4 << 30 },
            repository_ttl: Duration::from_secs(60),
            preload: None,
            deployment: DeploymentSettings::default(),
            upload_limit: 4 << 30,
            read_only: false,
            token: None,
            docs: true,
            cors: Vec::new(),
            bodies_limit: 1 << 30,
            body_rate: 1 << 10,
            queue: 1024,
            traces: None,
        }
    }
}
