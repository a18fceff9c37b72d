//! What each setting does: it is set as a variable, a server is started, and the server is asked. Settings whose effect
//! takes more than a question have tests elsewhere, which are named here, so that no setting is without one.

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::repository;
use crate::running_server::{RunningServer, portend};
use crate::uploads::{predict, stump, stumps};

/// A repository of two models, and a single one.
fn models() -> TempDir {
    let folder = stumps(&[("many/a/m.txt", 1.0), ("many/b/m.txt", 2.0), ("one/m.txt", 3.0)]);
    fs::write(folder.path().join("token"), "sesame\n").unwrap();
    folder
}

/// A server in that folder with these settings and no argument.
fn command(folder: &Path, settings: &[(&str, &str)]) -> Command {
    let mut command = portend();
    command.arg("serve").current_dir(folder).envs(settings.iter().copied());
    if settings.iter().all(|(name, _)| *name != "PORTEND_PORT") {
        command.env("PORTEND_PORT", "0");
    }
    command
}

fn told(server: &RunningServer, target: &str) -> Value {
    serde_json::from_slice(&server.get(target).body).unwrap()
}

/// Status and text of an answer to rows.
fn asked(server: &RunningServer, target: &str, rows: &str) -> (u16, String) {
    let answer = server.post_csv(target, rows);
    (answer.status, answer.text().to_owned())
}

fn loaded(server: &RunningServer) -> usize {
    server.get("/deployments").text().matches("\"loaded\":true").count()
}

fn uploaded(server: &RunningServer) -> (u16, String) {
    let answer = server.connect().ask("POST", "/deployments/c", &[], stump(1.0, 1.0).as_bytes());
    (answer.status, answer.text().to_owned())
}

/// What is asked of a server that was started with one more setting.
type Ask = fn(&RunningServer) -> Value;

const WITHOUT_IDS: &str = "x\n1\n";

/// Setting, variable, value, what is served, the question, and its answer with the setting; without it the answer is
/// another.
fn effects() -> Vec<(&'static str, &'static str, &'static str, &'static str, Ask, Value)> {
    const ONE: &str = "one";
    const MANY: &str = "many";
    vec![
        ("workers", "PREDICTION_API_WORKERS", "3", ONE, |s| json!(s.threads("score-")), json!(3)),
        ("preload", "PREDICTION_API_PRELOAD_MODELS_ENABLED", "true", MANY, |s| json!(loaded(s)), json!(2)),
        ("preload", "PREDICTION_API_PRELOAD_MODELS_ENABLED", "No", ONE, |s| json!(loaded(s)), json!(0)),
        ("target", "PORTEND_TARGET", "churn", ONE, |s| told(s, "/info")["targetName"].take(), json!("churn")),
        (
            "cache-bytes",
            "PORTEND_CACHE_BYTES",
            "0",
            MANY,
            |s| {
                assert_eq!((predict(s, "a"), predict(s, "b")), (Ok(1.0), Ok(2.0)));
                json!(loaded(s))
            },
            json!(1),
        ),
        ("host", "PORTEND_HOST", "127.0.0.2", ONE, |s| json!(s.address.ip()), json!("127.0.0.2")),
        (
            "access-log",
            "PORTEND_ACCESS_LOG",
            "off",
            ONE,
            |s| {
                s.get("/info");
                std::thread::sleep(Duration::from_millis(300));
                json!(s.log().contains("GET /info"))
            },
            json!(false),
        ),
        (
            "token-file",
            "PORTEND_TOKEN_FILE",
            "token",
            ONE,
            |s| {
                let right = s.connect().ask("GET", "/info", &["Authorization: Bearer sesame"], b"").status;
                json!([s.get("/info").status, right])
            },
            json!([401, 200]),
        ),
        ("docs", "PORTEND_DOCS", "no", ONE, |s| json!(s.get("/openapi.json").status), json!(404)),
        ("read-only", "PORTEND_READ_ONLY", "y", MANY, |s| json!(uploaded(s).0), json!(403)),
        (
            "upload-limit",
            "PORTEND_UPLOAD_LIMIT",
            "200",
            MANY,
            |s| json!(uploaded(s)),
            json!([413, r#"{"message":"the package is larger than 200 bytes"}"#]),
        ),
        (
            "body-limit",
            "PORTEND_BODY_LIMIT",
            "1MiB",
            ONE,
            |s| json!(asked(s, "/predictions", &format!("x\n{}", "\n".repeat(1 << 20)))),
            json!([413, r#"{"message":"the request body is larger than 1 MiB"}"#]),
        ),
        (
            "header-timeout",
            "PORTEND_HEADER_TIMEOUT",
            "200ms",
            ONE,
            |s| {
                let start = Instant::now();
                let mut silent = s.connect();
                silent.send_bytes(b"GET /ping HTTP/1.1\r\n");
                std::thread::sleep(Duration::from_millis(1500));
                silent.try_send_bytes(b"Host: a\r\n\r\n").ok();
                let answered = silent.try_receive().is_ok_and(|answer| answer.status == 200);
                json!(answered || start.elapsed() > Duration::from_secs(15))
            },
            json!(false),
        ),
        (
            "compatible-metrics",
            "PORTEND_COMPATIBLE_METRICS",
            "all",
            ONE,
            |s| {
                let text = s.get("/metrics").text().to_owned();
                json!(["nv_inference_count", "seldon_api_executor_server"].map(|name| text.contains(name)))
            },
            json!([true, true]),
        ),
        (
            "mlops-deployment-id",
            "MLOPS_DEPLOYMENT_ID",
            "5fc9",
            ONE,
            |s| told(s, "/info")["deploymentId"].take(),
            json!("5fc9"),
        ),
        (
            "mlops-association-id-column",
            "MLOPS_ASSOCIATION_ID_COLUMN",
            "id",
            ONE,
            |s| json!(asked(s, "/predictions", WITHOUT_IDS)),
            json!([
                422,
                r#"{"message":"column 'id' is missing: this deployment needs it as association id"}"#
            ]),
        ),
    ]
}

/// Settings whose effect is tested elsewhere: the file, and what stands in it for the setting.
const ELSEWHERE: [(&str, &str, &str); 46] = [
    ("path", "effects", "PREDICTION_API_MODEL_REPOSITORY_PATH"),
    ("port", "effects", "PORTEND_PORT"),
    ("grpc-port", "grpc", "PORTEND_GRPC_PORT"),
    ("grpc-answer-limit", "grpc_refusals", "PORTEND_GRPC_ANSWER_LIMIT"),
    ("default-model", "v2", "--default-model"),
    ("class-predictions", "contracts", "--class-predictions"),
    ("sagemaker", "contracts", "SAGEMAKER_BIND_TO_PORT"),
    ("vertex-predict-route", "contracts", "AIP_PREDICT_ROUTE"),
    ("vertex-health-route", "contracts", "AIP_HEALTH_ROUTE"),
    ("cache-models", "cache", "SCORING_MODEL_CACHE_MAXSIZE"),
    ("repository-ttl", "reload", "DEPLOYED_MODEL_RESOLVER_CACHE_TTL_SEC"),
    ("signature-policy", "package_sign", "--signature-policy"),
    ("public-key", "package_sign", "--public-key"),
    ("tls", "https", "PREDICTION_API_TLS_ENABLED"),
    ("tls-certificate", "https", "(\"CERTIFICATE\""),
    ("tls-certificate-key", "https", "(\"CERTIFICATE_KEY\""),
    ("tls-certificate-key-password", "https", "(\"CERTIFICATE_KEY_PASSWORD\""),
    ("tls-protocols", "https", "(\"PROTOCOLS\""),
    ("tls-ciphers", "https", "(\"CIPHERS\""),
    ("token", "access", "PORTEND_TOKEN"),
    ("cors", "access", "PORTEND_CORS"),
    ("queue", "overload", "PORTEND_QUEUE"),
    ("bodies-limit", "overload", "PORTEND_BODIES_LIMIT"),
    ("body-rate", "overload", "PORTEND_BODY_RATE"),
    ("drain-timeout", "life_cycle", "PORTEND_DRAIN_TIMEOUT"),
    ("cache-dir", "stores", "PORTEND_CACHE_DIR"),
    ("cache-disk", "stores", "PORTEND_CACHE_DISK"),
    ("ca-file", "stores", "PORTEND_CA_FILE"),
    ("mlops-association-id-allow-missing-values", "association_ids", "ALLOW_MISSING_VALUES"),
    ("trace-endpoint", "traces", "PORTEND_TRACE_ENDPOINT"),
    ("otlp-endpoint", "traces", "OTEL_EXPORTER_OTLP_ENDPOINT"),
    ("otlp-protocol", "traces", "OTEL_EXPORTER_OTLP_PROTOCOL"),
    ("trace-headers", "traces", "OTEL_EXPORTER_OTLP_HEADERS"),
    ("trace-timeout", "traces", "OTEL_EXPORTER_OTLP_TIMEOUT"),
    ("trace-queue", "traces", "PORTEND_TRACE_QUEUE"),
    ("trace-sampler", "traces", "(\"OTEL_TRACES_SAMPLER\""),
    ("trace-sampler-ratio", "traces", "OTEL_TRACES_SAMPLER_ARG"),
    ("trace-propagators", "traces", "OTEL_PROPAGATORS"),
    ("service-name", "traces", "OTEL_SERVICE_NAME"),
    ("resource-attributes", "traces", "OTEL_RESOURCE_ATTRIBUTES"),
    ("trace-exporter", "traces", "OTEL_TRACES_EXPORTER"),
    ("otel-sdk-disabled", "traces", "OTEL_SDK_DISABLED"),
    ("monitoring-enabled", "configuration", "predictions are NOT recorded"),
    ("monitoring-agent", "configuration", "there is no agent yet"),
    ("rpc-dual-compute-enabled", "configuration", "DUAL_COMPUTE_ENABLED has no meaning here"),
    ("python3-services", "configuration", "PYTHON3_SERVICES has no meaning here"),
];

/// Settings that wait for monitoring; `configuration.rs` tests that they are read.
const WITHOUT_EFFECT: [&str; 11] = [
    "monitoring-settings",
    "monitoring-agent-app-url",
    "monitoring-agent-app-token",
    "mlops-model-id",
    "mlops-spooler-type",
    "mlops-max-features-to-monitor",
    "mlops-service-url",
    "mlops-api-token",
    "mlops-agent-config-yaml",
    "mlops-agent-log-dir",
    "mlops-agent-tmp-dir",
];

#[test]
fn every_setting_changes_what_the_server_does() {
    for (setting, variable, value, path, ask, expected) in effects() {
        let folder = models();
        let settings = [("PREDICTION_API_MODEL_REPOSITORY_PATH", path), (variable, value)];
        let answers: Vec<Value> = [&settings[..1], &settings[..]]
            .map(|settings| {
                let server = RunningServer::start(command(folder.path(), settings));
                let answer = ask(&server);
                server.stop();
                _ = fs::remove_dir_all(folder.path().join("many/c"));
                answer
            })
            .into();
        assert_eq!(answers[1], expected, "{setting}: {variable}={value}");
        assert_ne!(answers[0], expected, "{setting}: the same without {variable}");
    }
}

#[test]
fn no_setting_is_without_a_test_of_its_effect() {
    let printed = portend().args(["serve", "--print-config=json"]).output().unwrap().stdout;
    let printed: Value = serde_json::from_slice(&printed).unwrap();
    let here: Vec<_> = effects().iter().map(|row| row.0).collect();
    for (name, file, words) in ELSEWHERE {
        let path = repository("crates/portend/tests/it").join(format!("{file}.rs"));
        assert!(fs::read_to_string(path).unwrap().contains(words), "{file}.rs has no {words} for {name}");
        assert!(printed.get(name).is_some(), "{name}");
    }
    for name in printed.as_object().unwrap().keys() {
        let elsewhere = ELSEWHERE.iter().any(|(other, ..)| other == name);
        let known = here.contains(&name.as_str()) || elsewhere || WITHOUT_EFFECT.contains(&name.as_str());
        assert!(known, "no test says what {name} does");
    }
}

#[test]
fn a_port_that_is_free_is_taken_and_one_that_is_not_is_named() {
    let folder = models();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let port = address.port().to_string();
    let settings = [("PREDICTION_API_MODEL_REPOSITORY_PATH", "one"), ("PORTEND_PORT", &port)];
    let done = command(folder.path(), &settings).output().unwrap();
    let error = String::from_utf8_lossy(&done.stderr).into_owned();
    let expected = format!("portend: PORTEND_PORT: cannot listen on {address}: Address already in use");
    assert!(done.status.code() == Some(1) && error.starts_with(&expected), "{error}");
    drop(listener);
    let server = RunningServer::start(command(folder.path(), &settings));
    assert_eq!(server.address, address);
    server.stop();
}

#[test]
fn a_path_or_host_that_cannot_be_used_is_named_with_its_setting() {
    let folder = models();
    fs::write(folder.path().join("portend.toml"), "path = \"gone\"\n").unwrap();
    fs::write(folder.path().join("config"), "PREDICTION_API_MODEL_REPOSITORY_PATH=token\n").unwrap();
    let check = |settings: &[(&str, &str)], expected: &str| {
        let done = command(folder.path(), settings).output().unwrap();
        let error = String::from_utf8_lossy(&done.stderr).into_owned();
        assert!(done.status.code() == Some(1) && error.contains(expected), "{error}");
    };
    let variable = "PREDICTION_API_MODEL_REPOSITORY_PATH";
    check(&[(variable, "no/such")], &format!("portend: {variable}: cannot read no/such: No such file"));
    check(
        &[("PORTEND_ENVIRONMENT_FILE", "config")],
        &format!("portend: {variable} in config: token is not a model"),
    );
    check(&[], "portend: path in portend.toml: cannot read gone: No such file");
    let host = [(variable, "one"), ("PORTEND_HOST", "no-such-host.invalid")];
    check(&host, "portend: PORTEND_HOST, PORTEND_PORT: cannot listen on no-such-host.invalid:0: ");
}

#[test]
fn only_a_server_that_takes_uploads_from_anybody_warns() {
    let folder = models();
    let warnings = |path: &str, settings: &[(&str, &str)]| {
        let settings = [settings, &[("PREDICTION_API_MODEL_REPOSITORY_PATH", path)]].concat();
        let log = RunningServer::start(command(folder.path(), &settings)).stop();
        log.lines()
            .filter(|line| line.starts_with("warning: whoever reaches 0.0.0.0 may score, upload"))
            .count()
    };
    let open = ("PORTEND_HOST", "0.0.0.0");
    assert_eq!(warnings("many", &[open]), 1);
    assert_eq!(warnings("many", &[]), 0);
    assert_eq!(warnings("many", &[open, ("PORTEND_READ_ONLY", "true")]), 0);
    assert_eq!(warnings("many", &[open, ("PORTEND_TOKEN", "sesame")]), 0);
    assert_eq!(warnings("one", &[open]), 0, "there are no uploads");
}
