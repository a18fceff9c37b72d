//! The one table of what can be set: parsing, `--help`, `--print-config` and the reference page come from it. The
//! variables of monitoring stand in `monitoring.rs`, what platforms set in `platforms.rs`, what concerns object stores in
//! `stores.rs`, traces in `traces.rs`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::ValueEnum;
use portend_core::ArtifactUrl;
use portend_server::{AccessLogFormat, ClassPredictions, CompatibleMetrics, GrpcPort, Secret};

use super::Draft;
use super::form;
use super::monitoring;
use super::platforms;
use super::stores;
use super::traces;
use super::values::{FOR_EVER, Kind};
use crate::package::arguments::Policy;

/// One thing that can be set.
pub(crate) struct Setting {
    /// What it is called in the Portend file, and as a flag with `--` before it.
    pub(crate) name: &'static str,
    pub(crate) reach: Reach,
    /// Environment variables, the first that is set wins.
    pub(crate) variables: &'static [&'static str],
    pub(crate) kind: Kind,
    pub(crate) default: Unset,
    /// Never shown, and never taken from the command line, which other users can see.
    pub(crate) secret: bool,
    /// What it does, without a final stop.
    pub(crate) sentence: &'static str,
    pub(crate) example: &'static str,
}

/// Where a setting may stand besides the environment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reach {
    /// First on the command line, without a flag, and in the Portend file.
    Positional,
    /// As a flag with a value of this name, and in the Portend file.
    Flag(&'static str),
    /// In the Portend file.
    File,
    /// Nowhere else: it keeps the name that it has in another product.
    Variable,
}

/// What holds where nothing is set.
pub(crate) enum Unset {
    Is(&'static str),
    /// Nothing.
    Nothing,
    /// In words, and as it follows from what is set.
    Follows(&'static str, fn(&Draft) -> Option<String>),
}

/// Settings that belong together, under their heading.
pub(crate) struct Group {
    pub(crate) heading: &'static str,
    pub(crate) settings: &'static [Setting],
}

pub(crate) const GROUPS: [Group; 12] = [
    Group { heading: "Models", settings: &MODELS },
    Group { heading: "Object stores", settings: &stores::STORES },
    Group { heading: "Signatures", settings: &SIGNATURES },
    Group { heading: "Listening", settings: &LISTENING },
    Group { heading: "Platforms", settings: &platforms::PLATFORMS },
    Group { heading: "HTTPS", settings: &HTTPS },
    Group { heading: "Access", settings: &ACCESS },
    Group { heading: "Limits", settings: &LIMITS },
    Group { heading: "Metrics", settings: &METRICS },
    Group { heading: "Traces", settings: &traces::TRACES },
    Group { heading: "Monitoring", settings: &monitoring::MONITORING },
    Group { heading: "Without effect", settings: &monitoring::WITHOUT_EFFECT },
];

/// All settings, in the order of the reference.
pub(crate) fn settings() -> impl Iterator<Item = &'static Setting> {
    GROUPS.iter().flat_map(|group| group.settings)
}

/// A path without a slash at its end, with which a file would not be found: a package may be mounted as /opt/ml/model.
/// A URL is left as it is.
fn plain_path(text: &str) -> PathBuf {
    if ArtifactUrl::is_url(text) { text.into() } else { Path::new(text).components().collect() }
}

const MODELS: [Setting; 8] = [
    Setting {
        name: "path",
        reach: Reach::Positional,
        variables: &["PREDICTION_API_MODEL_REPOSITORY_PATH"],
        kind: Kind::Text { form: form::PATH, set: |draft, path| draft.config.path = plain_path(&path) },
        default: Unset::Is("/opt/ml/model/"),
        secret: false,
        sentence: "A model file (XGBoost JSON or UBJSON, LightGBM text), a package (.mlpkg, or a directory with \
                   portend.json), or a directory with one sub-directory per model; or the URL of one of these in an object \
                   store (s3://, gs://, az://), or of a file on a web server (https://)",
        example: "models/",
    },
    Setting {
        name: "target",
        reach: Reach::Flag("NAME"),
        variables: &["PORTEND_TARGET"],
        kind: Kind::Text { form: form::TEXT, set: |draft, name| draft.config.target = name },
        default: Unset::Is("target"),
        secret: false,
        sentence: "The target's name in answers, for model files without a package",
        example: "churn",
    },
    Setting {
        name: "default-model",
        reach: Reach::Flag("ID"),
        variables: &["PORTEND_DEFAULT_MODEL"],
        kind: Kind::Text { form: form::TEXT, set: |draft, id| draft.config.default_model = Some(id) },
        default: Unset::Nothing,
        secret: false,
        sentence: "The model that is meant by requests that name none, where several are served",
        example: "fraud",
    },
    Setting {
        name: "class-predictions",
        reach: Reach::Flag("FORM"),
        variables: &["PORTEND_CLASS_PREDICTIONS"],
        kind: Kind::Choice {
            of: &["probabilities", "labels"],
            set: |draft, form| {
                draft.config.class_predictions = match form {
                    "labels" => ClassPredictions::Labels,
                    _ => ClassPredictions::Probabilities,
                }
            },
        },
        default: Unset::Is("probabilities"),
        secret: false,
        sentence: "What a model with classes answers where a protocol has one plain value a row (MLflow, SageMaker, \
                   KServe v1, ODAHU, Vertex AI, Azure ML): probabilities, as a booster gives them, or the label, as a \
                   classifier does",
        example: "labels",
    },
    Setting {
        name: "preload",
        reach: Reach::Flag("BOOLEAN"),
        variables: &["PREDICTION_API_PRELOAD_MODELS_ENABLED"],
        kind: Kind::Boolean(|draft, on| draft.config.preload = Some(on)),
        default: Unset::Follows("true for one model, false for a repository", |_| None),
        secret: false,
        sentence: "Load all models at the start, not when they are first asked for",
        example: "true",
    },
    Setting {
        name: "cache-models",
        reach: Reach::Flag("N"),
        variables: &["PREDICTION_API_SCORING_MODEL_CACHE_MAXSIZE"],
        kind: Kind::Number {
            least: 1,
            most: 1_000_000,
            set: |draft, models| draft.config.cache.models = Some(clamped(models)),
        },
        default: Unset::Follows("bounded by cache-bytes", |_| None),
        secret: false,
        sentence: "How many models of a repository are kept loaded; all workers share them",
        example: "16",
    },
    Setting {
        name: "cache-bytes",
        reach: Reach::Flag("SIZE"),
        variables: &["PORTEND_CACHE_BYTES"],
        kind: Kind::Size { least: 0, most: 1 << 50, set: |draft, bytes| draft.config.cache.bytes = bytes },
        default: Unset::Follows("4GiB; no bound where cache-models is set", |draft| {
            draft.config.cache.models.is_none().then(|| "4GiB".to_owned())
        }),
        secret: false,
        sentence: "How many bytes the loaded models of a repository may take together; one is always kept",
        example: "16GiB",
    },
    Setting {
        name: "repository-ttl",
        reach: Reach::Flag("TIME"),
        variables: &["PREDICTION_API_DEPLOYED_MODEL_RESOLVER_CACHE_TTL_SEC"],
        kind: Kind::Time {
            least: Duration::ZERO,
            most: FOR_EVER,
            set: |draft, time| draft.config.repository_ttl = time,
        },
        default: Unset::Is("60s"),
        secret: false,
        sentence: "How old the view of the repository's files may be: 0 looks at each request, a huge number never",
        example: "10",
    },
];

const SIGNATURES: [Setting; 2] = [
    Setting {
        name: "signature-policy",
        reach: Reach::Flag("POLICY"),
        variables: &["PORTEND_SIGNATURE_POLICY"],
        kind: Kind::Choice {
            of: &["off", "warn", "require"],
            set: |draft, policy| draft.trust.signature_policy = Policy::from_str(policy, true).ok(),
        },
        default: Unset::Follows("require with a public key, else off", |_| None),
        secret: false,
        sentence: "What is done about packages that none of the public keys signed: nothing (off), a warning (warn), or \
                   they are refused (require)",
        example: "warn",
    },
    Setting {
        name: "public-key",
        reach: Reach::Flag("FILE"),
        variables: &["PORTEND_SIGNATURE_PUBLIC_KEYS"],
        kind: Kind::List {
            form: form::PATH,
            between: &[':'],
            set: |draft, paths| draft.trust.public_key = paths.into_iter().map(Into::into).collect(),
        },
        default: Unset::Follows("none", |_| Some(String::new())),
        secret: false,
        sentence: "A public key (PEM, Ed25519) that packages may be signed with; several have ':' between them, or the \
                   flag is repeated",
        example: "/etc/portend/ops.pub.pem",
    },
];

const LISTENING: [Setting; 4] = [
    Setting {
        name: "host",
        reach: Reach::Flag("HOST"),
        variables: &["PORTEND_HOST"],
        kind: Kind::Text { form: form::HOST, set: |draft, host| draft.config.host = host },
        default: Unset::Is("127.0.0.1"),
        secret: false,
        sentence: "The address to listen on; 0.0.0.0 for all",
        example: "0.0.0.0",
    },
    Setting {
        name: "port",
        reach: Reach::Flag("PORT"),
        variables: &["PORTEND_PORT", "SAGEMAKER_BIND_TO_PORT", "AIP_HTTP_PORT"],
        kind: Kind::Number {
            least: 0,
            most: u16::MAX as u64,
            set: |draft, port| draft.config.port = u16::try_from(port).unwrap_or(u16::MAX),
        },
        default: Unset::Follows("8080; 8443 with HTTPS", |draft| {
            Some(if draft.tls_enabled { "8443" } else { "8080" }.to_owned())
        }),
        secret: false,
        sentence: "The port to listen on; 0 takes a free one. The address is printed on standard error",
        example: "9000",
    },
    Setting {
        name: "grpc-port",
        reach: Reach::Flag("PORT"),
        variables: &["PORTEND_GRPC_PORT"],
        kind: Kind::Number {
            least: 0,
            most: u16::MAX as u64,
            set: |draft, port| {
                draft.config.grpc_port = match u16::try_from(port).unwrap_or(u16::MAX) {
                    0 => GrpcPort::Off,
                    port => GrpcPort::Wanted(port),
                }
            },
        },
        default: Unset::Follows("8001 where it is free", |_| None),
        secret: false,
        sentence: "A port that speaks gRPC alone, beside the one for everything; 0 for none",
        example: "9001",
    },
    Setting {
        name: "access-log",
        reach: Reach::Flag("FORM"),
        variables: &["PORTEND_ACCESS_LOG"],
        kind: Kind::Choice {
            of: &["off", "text", "json"],
            set: |draft, form| {
                draft.config.access_log = match form {
                    "off" => AccessLogFormat::Off,
                    "json" => AccessLogFormat::Json,
                    _ => AccessLogFormat::Text,
                }
            },
        },
        default: Unset::Is("text"),
        secret: false,
        sentence: "How each request is told in one line on standard error",
        example: "json",
    },
];

const HTTPS: [Setting; 6] = [
    Setting {
        name: "tls",
        reach: Reach::Flag("BOOLEAN"),
        variables: &["PREDICTION_API_TLS_ENABLED"],
        kind: Kind::Boolean(|draft, on| draft.tls_enabled = on),
        default: Unset::Is("false"),
        secret: false,
        sentence: "HTTPS instead of HTTP; without it the other settings of HTTPS have no effect",
        example: "true",
    },
    Setting {
        name: "tls-certificate",
        reach: Reach::Flag("FILE"),
        variables: &["PREDICTION_API_TLS_CERTIFICATE"],
        kind: Kind::Text { form: form::PEM, set: |draft, text| draft.tls.certificate = text },
        default: Unset::Nothing,
        secret: false,
        sentence: "The certificate and its chain: PEM text, or the path of a file that holds it",
        example: "/etc/portend/tls.crt",
    },
    Setting {
        name: "tls-certificate-key",
        reach: Reach::Flag("FILE"),
        variables: &["PREDICTION_API_TLS_CERTIFICATE_KEY"],
        kind: Kind::Text { form: form::PEM, set: |draft, text| draft.tls.key = Secret(text) },
        default: Unset::Nothing,
        secret: true,
        sentence: "The certificate's private key: PEM text, or the path of a file that holds it",
        example: "/etc/portend/tls.key",
    },
    Setting {
        name: "tls-certificate-key-password",
        reach: Reach::File,
        variables: &["PREDICTION_API_TLS_CERTIFICATE_KEY_PASSWORD"],
        kind: Kind::Text {
            form: form::PASSWORD,
            set: |draft, text| draft.tls.key_password = Some(Secret(text)),
        },
        default: Unset::Nothing,
        secret: true,
        sentence: "What an encrypted private key is opened with",
        example: "…",
    },
    Setting {
        name: "tls-protocols",
        reach: Reach::Flag("WORDS"),
        variables: &["PREDICTION_API_TLS_PROTOCOLS"],
        kind: Kind::Text { form: form::TEXT, set: |draft, text| draft.tls.protocols = text },
        default: Unset::Is("TLSv1.2 TLSv1.3"),
        secret: false,
        sentence: "The protocol versions, separated by spaces",
        example: "TLSv1.3",
    },
    Setting {
        name: "tls-ciphers",
        reach: Reach::Flag("NAMES"),
        variables: &["PREDICTION_API_TLS_CIPHERS"],
        kind: Kind::Text { form: form::TEXT, set: |draft, text| draft.tls.ciphers = text },
        default: Unset::Follows("all that are safe", |_| None),
        secret: false,
        sentence: "The cipher suites, by their OpenSSL or IANA names, separated by colons, commas or spaces",
        example: "ECDHE-RSA-AES256-GCM-SHA384",
    },
];

const ACCESS: [Setting; 5] = [
    Setting {
        name: "token",
        reach: Reach::File,
        variables: &["PORTEND_TOKEN"],
        kind: Kind::Text { form: form::TOKEN, set: |draft, token| draft.config.token = Some(Secret(token)) },
        default: Unset::Nothing,
        secret: true,
        sentence: "What clients must send as `Authorization: Bearer …`; without it anybody may call",
        example: "…",
    },
    Setting {
        name: "token-file",
        reach: Reach::Flag("FILE"),
        variables: &["PORTEND_TOKEN_FILE"],
        kind: Kind::Text { form: form::PATH, set: |draft, path| draft.token_file = Some(path) },
        default: Unset::Nothing,
        secret: false,
        sentence: "A file that holds the token",
        example: "/run/secrets/portend-token",
    },
    Setting {
        name: "read-only",
        reach: Reach::Flag("BOOLEAN"),
        variables: &["PORTEND_READ_ONLY"],
        kind: Kind::Boolean(|draft, on| draft.config.read_only = on),
        default: Unset::Is("false"),
        secret: false,
        sentence: "Refuse to upload and to delete packages, and to load and unload models",
        example: "true",
    },
    Setting {
        name: "docs",
        reach: Reach::Flag("BOOLEAN"),
        variables: &["PORTEND_DOCS"],
        kind: Kind::Boolean(|draft, on| draft.config.docs = on),
        default: Unset::Is("true"),
        secret: false,
        sentence: "Serve the OpenAPI documents at `/openapi.json` and the pages that show them at `/docs`",
        example: "false",
    },
    Setting {
        name: "cors",
        reach: Reach::Flag("ORIGIN"),
        variables: &["PORTEND_CORS"],
        kind: Kind::List {
            form: form::ORIGIN,
            between: &[',', ' ', '\t', '\n'],
            set: |draft, origins| draft.config.cors = origins,
        },
        default: Unset::Follows("none", |_| Some(String::new())),
        secret: false,
        sentence: "The origins that browsers may call from, separated by commas or spaces; * for any",
        example: "https://app.example.com",
    },
];

const LIMITS: [Setting; 9] = [
    Setting {
        name: "workers",
        reach: Reach::Flag("N"),
        variables: &["PREDICTION_API_WORKERS"],
        kind: Kind::Number {
            least: 1,
            most: 1024,
            set: |draft, workers| draft.config.workers = clamped(workers),
        },
        default: Unset::Follows("all cores", |draft| Some(draft.config.workers.to_string())),
        secret: false,
        sentence: "How many requests score at once, and how many threads score",
        example: "8",
    },
    Setting {
        name: "queue",
        reach: Reach::Flag("N"),
        variables: &["PORTEND_QUEUE"],
        kind: Kind::Number {
            least: 0,
            most: 1_000_000,
            set: |draft, queue| draft.config.queue = clamped(queue),
        },
        default: Unset::Is("1024"),
        secret: false,
        sentence: "How many requests may wait to be scored; further ones are answered 429",
        example: "256",
    },
    Setting {
        name: "body-limit",
        reach: Reach::Flag("SIZE"),
        variables: &["PORTEND_BODY_LIMIT"],
        kind: Kind::Size {
            least: 1 << 20,
            most: 1 << 30,
            set: |draft, bytes| draft.config.body_limit = clamped(bytes),
        },
        default: Unset::Is("50MiB"),
        secret: false,
        sentence: "The largest body of a request or message of gRPC, as sent and again when decompressed",
        example: "100MiB",
    },
    Setting {
        name: "grpc-answer-limit",
        reach: Reach::Flag("SIZE"),
        variables: &["PORTEND_GRPC_ANSWER_LIMIT"],
        kind: Kind::Size {
            least: 1 << 10,
            most: 1 << 30,
            set: |draft, bytes| draft.config.grpc_answer_limit = clamped(bytes),
        },
        default: Unset::Is("512MiB"),
        secret: false,
        sentence: "The largest message of an answer of gRPC",
        example: "100MiB",
    },
    Setting {
        name: "bodies-limit",
        reach: Reach::Flag("SIZE"),
        variables: &["PORTEND_BODIES_LIMIT"],
        kind: Kind::Size {
            least: 1 << 20,
            most: 1 << 40,
            set: |draft, bytes| draft.config.bodies_limit = clamped(bytes),
        },
        default: Unset::Is("1GiB"),
        secret: false,
        sentence: "How many bytes of bodies may be held at once, by all requests together",
        example: "512MiB",
    },
    Setting {
        name: "body-rate",
        reach: Reach::Flag("SIZE"),
        variables: &["PORTEND_BODY_RATE"],
        kind: Kind::Size {
            least: 1,
            most: 1 << 30,
            set: |draft, bytes| draft.config.body_rate = clamped(bytes),
        },
        default: Unset::Is("1KiB"),
        secret: false,
        sentence: "How many bytes a second a body or a package must arrive with, and an answer be taken with, after a \
                   first grace time",
        example: "10KiB",
    },
    Setting {
        name: "upload-limit",
        reach: Reach::Flag("SIZE"),
        variables: &["PORTEND_UPLOAD_LIMIT"],
        kind: Kind::Size { least: 1, most: 1 << 40, set: |draft, bytes| draft.config.upload_limit = bytes },
        default: Unset::Is("4GiB"),
        secret: false,
        sentence: "The largest package that may be uploaded",
        example: "512MiB",
    },
    Setting {
        name: "header-timeout",
        reach: Reach::Flag("TIME"),
        variables: &["PORTEND_HEADER_TIMEOUT"],
        kind: Kind::Time {
            least: Duration::from_millis(100),
            most: Duration::from_secs(86_400),
            set: |draft, time| draft.config.header_timeout = time,
        },
        default: Unset::Is("30s"),
        secret: false,
        sentence: "How long a client may take to send a request's headers, and to be idle between requests",
        example: "75s",
    },
    Setting {
        name: "drain-timeout",
        reach: Reach::Flag("TIME"),
        variables: &["PORTEND_DRAIN_TIMEOUT"],
        kind: Kind::Time {
            least: Duration::ZERO,
            most: Duration::from_secs(86_400),
            set: |draft, time| draft.config.drain_timeout = time,
        },
        default: Unset::Is("30s"),
        secret: false,
        sentence: "How long running requests may take to end once the server is told to stop",
        example: "2m",
    },
];

const METRICS: [Setting; 1] = [Setting {
    name: "compatible-metrics",
    reach: Reach::Flag("NAMES"),
    variables: &["PORTEND_COMPATIBLE_METRICS"],
    kind: Kind::Choice {
        of: &["off", "seldon", "seldon-engine", "triton", "all"],
        set: |draft, names| {
            draft.config.compatible_metrics = CompatibleMetrics {
                seldon: matches!(names, "seldon" | "all"),
                seldon_engine: matches!(names, "seldon-engine" | "all"),
                triton: matches!(names, "triton" | "all"),
            };
        },
    },
    default: Unset::Is("off"),
    secret: false,
    sentence: "Tell metrics a second time under the names of Seldon's executor or its older engine, of Triton, or all, \
               for dashboards that ask for them",
    example: "seldon",
}];

/// Bounded by the table; on a machine whose words are too short, by that.
fn clamped(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}
