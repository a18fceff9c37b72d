//! Settings of the real binary: what `--print-config` tells of each variable and flag, what is refused and how, which
//! source wins, and that a secret is never printed.

use std::fs;
use std::io::pipe;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::{Value, json};

use crate::repository;
use crate::running_server::{RunningServer, portend};

const SECRET: &str = "sesame-5417";

fn serve(arguments: &[&str], environment: &[(&str, &str)]) -> Command {
    let mut command = portend();
    command.arg("serve").args(arguments).envs(environment.iter().copied());
    command
}

/// Exit code, standard output, standard error.
fn ended(mut command: Command) -> (Option<i32>, String, String) {
    let Output { status, stdout, stderr } = command.output().unwrap();
    (status.code(), String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
}

fn printed(command: Command) -> Value {
    let (code, stdout, stderr) = ended(command);
    assert_eq!(code, Some(0), "{stderr}");
    serde_json::from_str(&stdout).unwrap_or_else(|error| panic!("{error}: {stdout}"))
}

/// Variable, a value, the setting it is printed as, with which value; and a value that is refused, if there is one.
type Row = (&'static str, &'static str, &'static str, Value, Option<&'static str>);

const PEM: &str = "-----BEGIN X-----\nsesame-5417\n-----END X-----";

fn of_the_data_plane() -> Vec<Row> {
    vec![
        ("PREDICTION_API_WORKERS", " 3 ", "workers", json!(3), Some("0")),
        ("PREDICTION_API_MODEL_REPOSITORY_PATH", "/models", "path", json!("/models"), None),
        ("PREDICTION_API_PRELOAD_MODELS_ENABLED", "Y", "preload", json!(true), Some("maybe")),
        ("PREDICTION_API_SCORING_MODEL_CACHE_MAXSIZE", "4", "cache-models", json!(4), Some("-1")),
        (
            "PREDICTION_API_DEPLOYED_MODEL_RESOLVER_CACHE_TTL_SEC",
            "0",
            "repository-ttl",
            json!(0),
            Some("soon"),
        ),
        (
            "PREDICTION_API_DEPLOYED_MODEL_RESOLVER_CACHE_TTL_SEC",
            "99999999999999999999999999",
            "repository-ttl",
            json!(3_153_600_000_u64),
            None,
        ),
        ("PREDICTION_API_TLS_ENABLED", "NO", "tls", json!(false), Some("on")),
        ("PREDICTION_API_TLS_CERTIFICATE", "a.pem", "tls-certificate", json!("a.pem"), None),
        ("PREDICTION_API_TLS_CERTIFICATE", PEM, "tls-certificate", json!("***"), None),
        ("PREDICTION_API_TLS_CERTIFICATE_KEY", PEM, "tls-certificate-key", json!("***"), None),
        (
            "PREDICTION_API_TLS_CERTIFICATE_KEY_PASSWORD",
            SECRET,
            "tls-certificate-key-password",
            json!("***"),
            None,
        ),
        ("PREDICTION_API_TLS_PROTOCOLS", "TLSv1.3", "tls-protocols", json!("TLSv1.3"), None),
        ("PREDICTION_API_TLS_CIPHERS", "A:B", "tls-ciphers", json!("A:B"), None),
        ("PREDICTION_API_RPC_DUAL_COMPUTE_ENABLED", "1", "rpc-dual-compute-enabled", json!(true), Some("2")),
        ("PYTHON3_SERVICES", "n", "python3-services", json!(false), Some("3")),
        ("PORTEND_DEFAULT_MODEL", "fraud", "default-model", json!("fraud"), None),
        ("PORTEND_TARGET", "churn", "target", json!("churn"), None),
        ("PORTEND_CACHE_BYTES", "2GiB", "cache-bytes", json!(2_u64 << 30), Some("2G")),
        ("PORTEND_HOST", "::1", "host", json!("::1"), Some("localhost:80")),
        ("PORTEND_PORT", "0", "port", json!(0), Some("65536")),
        ("SAGEMAKER_BIND_TO_PORT", "8081", "port", json!(8081), Some("tcp")),
        ("AIP_HTTP_PORT", "8082", "port", json!(8082), Some("-1")),
        ("AIP_PREDICT_ROUTE", "/a:predict", "vertex-predict-route", json!("/a:predict"), Some("predict")),
        ("AIP_HEALTH_ROUTE", "/a/b", "vertex-health-route", json!("/a/b"), Some("/a?b")),
        ("PORTEND_SAGEMAKER", "yes", "sagemaker", json!(true), Some("aws")),
        ("PORTEND_CLASS_PREDICTIONS", "Labels", "class-predictions", json!("labels"), Some("classes")),
        ("PORTEND_GRPC_PORT", "9001", "grpc-port", json!(9001), Some("http")),
        ("PORTEND_ACCESS_LOG", "JSON", "access-log", json!("json"), Some("none")),
        ("PORTEND_TOKEN", SECRET, "token", json!("***"), None),
        ("PORTEND_DOCS", "0", "docs", json!(false), Some("docs")),
        ("PORTEND_READ_ONLY", "true", "read-only", json!(true), Some("ro")),
        ("PORTEND_CORS", "http://a,http://b", "cors", json!(["http://a", "http://b"]), Some("a.example")),
        ("PORTEND_QUEUE", "0", "queue", json!(0), Some("many")),
        ("PORTEND_BODY_LIMIT", "100 MiB", "body-limit", json!(100 << 20), Some("1KiB")),
        ("PORTEND_GRPC_ANSWER_LIMIT", "1MiB", "grpc-answer-limit", json!(1 << 20), Some("1")),
        ("PORTEND_BODIES_LIMIT", "52428800", "bodies-limit", json!(52_428_800), Some("half")),
        ("PORTEND_BODY_RATE", "10kB", "body-rate", json!(10_000), Some("0")),
        ("PORTEND_UPLOAD_LIMIT", "512MiB", "upload-limit", json!(512 << 20), Some("-5")),
        ("PORTEND_HEADER_TIMEOUT", "1m", "header-timeout", json!(60), Some("0")),
        ("PORTEND_DRAIN_TIMEOUT", "250ms", "drain-timeout", json!(0.25), Some("2 weeks")),
        ("PORTEND_CACHE_DIR", "/a", "cache-dir", json!("/a"), None),
        ("PORTEND_CACHE_DISK", "1GiB", "cache-disk", json!(1 << 30), Some("much")),
        ("PORTEND_CA_FILE", "/a.pem", "ca-file", json!("/a.pem"), None),
        ("PORTEND_COMPATIBLE_METRICS", "triton", "compatible-metrics", json!("triton"), Some("nagios")),
    ]
}

fn of_monitoring() -> Vec<Row> {
    vec![
        ("PREDICTION_API_MONITORING_ENABLED", "TRUE", "monitoring-enabled", json!(true), Some("y es")),
        (
            "PREDICTION_API_MONITORING_SETTINGS",
            "a=b;c=d=sesame-5417",
            "monitoring-settings",
            json!("***"),
            Some(SECRET),
        ),
        (
            "PORTABLE_PREDICTION_API_MONITORING_SETTINGS",
            "a=sesame-5417",
            "monitoring-settings",
            json!("***"),
            Some(SECRET),
        ),
        ("MONITORING_AGENT", "no", "monitoring-agent", json!(false), Some("agent")),
        (
            "MONITORING_AGENT_DATAROBOT_APP_URL",
            "https://a",
            "monitoring-agent-app-url",
            json!("https://a"),
            Some("a"),
        ),
        (
            "MONITORING_AGENT_DATAROBOT_APP_TOKEN",
            SECRET,
            "monitoring-agent-app-token",
            json!("***"),
            Some("sesame 5417"),
        ),
        ("MLOPS_DEPLOYMENT_ID", "5fc9", "mlops-deployment-id", json!("5fc9"), None),
        ("MLOPS_MODEL_ID", "5fae", "mlops-model-id", json!("5fae"), None),
        ("MLOPS_ASSOCIATION_ID_COLUMN", "id", "mlops-association-id-column", json!("id"), None),
        (
            "MLOPS_ASSOCIATION_ID_ALLOW_MISSING_VALUES",
            "yes",
            "mlops-association-id-allow-missing-values",
            json!(true),
            Some("nil"),
        ),
        ("MLOPS_SPOOLER_TYPE", "sqs", "mlops-spooler-type", json!("SQS"), Some("FTP")),
        ("MLOPS_MAX_FEATURES_TO_MONITOR", "25", "mlops-max-features-to-monitor", json!(25), Some("301")),
        ("MLOPS_SERVICE_URL", "http://a:1/b", "mlops-service-url", json!("http://a:1/b"), Some("ftp://a")),
        ("MLOPS_API_TOKEN", SECRET, "mlops-api-token", json!("***"), Some("sesame 5417")),
        ("MLOPS_AGENT_CONFIG_YAML", "/a.yaml", "mlops-agent-config-yaml", json!("/a.yaml"), None),
        ("MLOPS_AGENT_LOG_DIR", "/a", "mlops-agent-log-dir", json!("/a"), None),
        ("MLOPS_AGENT_TMP_DIR", "/a", "mlops-agent-tmp-dir", json!("/a"), None),
    ]
}

fn of_traces() -> Vec<Row> {
    const URL: &str = "http://a:4318/v1/traces";
    const HEADERS: &str = "api-key=sesame-5417,b=c%20d";
    vec![
        ("PORTEND_TRACE_ENDPOINT", URL, "trace-endpoint", json!(URL), Some("a:4318")),
        ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", URL, "trace-endpoint", json!(URL), Some("grpc://a")),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://a:4318", "otlp-endpoint", json!("http://a:4318"), Some("a")),
        (
            "OTEL_EXPORTER_OTLP_PROTOCOL",
            "http/protobuf",
            "otlp-protocol",
            json!("http/protobuf"),
            Some("tcp"),
        ),
        ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "grpc", "otlp-protocol", json!("grpc"), Some("udp")),
        ("PORTEND_TRACE_HEADERS", HEADERS, "trace-headers", json!("***"), Some(SECRET)),
        ("OTEL_EXPORTER_OTLP_TRACES_HEADERS", HEADERS, "trace-headers", json!("***"), Some("a b=c")),
        ("OTEL_EXPORTER_OTLP_HEADERS", HEADERS, "trace-headers", json!("***"), Some("a=%0d")),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "3000", "trace-timeout", json!(3000), Some("3s")),
        ("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "1", "trace-timeout", json!(1), Some("0")),
        ("PORTEND_TRACE_QUEUE", "16384", "trace-queue", json!(16384), Some("0")),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "1", "trace-queue", json!(1), Some("many")),
        ("OTEL_TRACES_SAMPLER", "traceidratio", "trace-sampler", json!("traceidratio"), Some("xray")),
        ("OTEL_TRACES_SAMPLER_ARG", "0.25", "trace-sampler-ratio", json!("0.25"), Some("25")),
        (
            "OTEL_PROPAGATORS",
            "tracecontext,baggage,b3multi",
            "trace-propagators",
            json!(["tracecontext", "baggage", "b3multi"]),
            Some("jaeger"),
        ),
        ("OTEL_SERVICE_NAME", "churn", "service-name", json!("churn"), None),
        ("OTEL_RESOURCE_ATTRIBUTES", "a=b,c=d", "resource-attributes", json!("a=b,c=d"), Some("a")),
        ("OTEL_TRACES_EXPORTER", "none", "trace-exporter", json!("none"), Some("console")),
        ("OTEL_SDK_DISABLED", "true", "otel-sdk-disabled", json!(true), Some("off")),
    ]
}

#[test]
fn every_variable_takes_effect_or_is_refused_by_name() {
    let rows: Vec<_> = of_the_data_plane().into_iter().chain(of_monitoring()).chain(of_traces()).collect();
    for (variable, value, setting, expected, bad) in &rows {
        let found = printed(serve(&["--print-config=json"], &[(variable, value)]));
        let expected = json!({ "value": expected, "origin": "environment", "key": variable });
        assert_eq!(found[setting], expected, "{variable}={value}");
        let Some(bad) = bad else { continue };
        let (code, stdout, stderr) = ended(serve(&["/no/such/model"], &[(variable, bad)]));
        let secret = expected["value"] == "***";
        let told = match secret {
            true => format!("portend: {variable} is not usable (it is secret and not shown): "),
            false => format!("portend: {variable} is '{bad}': "),
        };
        assert_eq!((code, stdout.as_str()), (Some(64), ""), "{variable}={bad}: {stderr}");
        assert!(stderr.starts_with(&told) && stderr.contains(" is needed"), "{stderr}");
        assert!(!stderr.contains("5417"), "{stderr}");
    }
    // the table of the program has no variable that this one lacks
    let all = printed(serve(&["--print-config=json"], &[]));
    let without = ["token-file", "signature-policy", "public-key"]; // below, and in package_sign.rs
    for name in all.as_object().unwrap().keys().filter(|name| !without.contains(&name.as_str())) {
        assert!(rows.iter().any(|row| row.2 == name), "{name} is not tested");
    }
}

#[test]
fn defaults_are_those_of_the_reference() {
    let found = printed(serve(&["--print-config=json"], &[]));
    let value = |name: &str| found[name]["value"].clone();
    let cores = std::thread::available_parallelism().unwrap().get();
    let expected = [
        ("path", json!("/opt/ml/model/")),
        ("workers", json!(cores)),
        ("host", json!("127.0.0.1")),
        ("port", json!(8080)),
        ("cache-models", json!(null)),
        ("cache-bytes", json!(4_u64 << 30)),
        ("repository-ttl", json!(60)),
        ("preload", json!(null)),
        ("tls", json!(false)),
        ("body-limit", json!(50 << 20)),
        ("access-log", json!("text")),
        ("cors", json!([])),
    ];
    for (name, expected) in expected {
        assert_eq!((value(name), &found[name]["origin"]), (expected, &json!("default")), "{name}");
    }
    let tls = [("PREDICTION_API_TLS_ENABLED", "true")];
    let (code, stdout, stderr) = ended(serve(&["--print-config=json"], &tls));
    let found: Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!(found["port"]["value"], 8443);
    let told =
        "portend: PREDICTION_API_TLS_CERTIFICATE is empty: give the PEM text, or the path of a PEM file";
    assert!(code == Some(64) && stderr.starts_with(told), "{code:?} {stderr}");
    let count = [("PREDICTION_API_SCORING_MODEL_CACHE_MAXSIZE", "4")];
    assert_eq!(printed(serve(&["--print-config=json"], &count))["cache-bytes"]["value"], json!(null));
}

#[test]
fn the_first_of_five_sources_wins() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (variables, named) = (path("config"), path("named.toml"));
    fs::write(&variables, "# of this image\nPREDICTION_API_WORKERS=\"4\"\n").unwrap();
    fs::write(&named, "workers = 3\n").unwrap();
    fs::write(path("portend.toml"), "workers = 2\n").unwrap();
    let variables = ("PORTEND_ENVIRONMENT_FILE", variables.as_str());
    let check = |arguments: &[&str], environment: &[(&str, &str)], expected: Value| {
        let arguments = [&["--print-config=json"], arguments].concat();
        let mut command = serve(&arguments, environment);
        command.current_dir(&folder);
        let found = printed(command)["workers"].take();
        assert_eq!(found, expected, "{arguments:?} {environment:?}");
    };
    let five = [("PREDICTION_API_WORKERS", "5"), variables];
    let config = ["--config", &named];
    check(
        &["--workers=6", config[0], config[1]],
        &five,
        json!({"value": 6, "origin": "flag", "key": "--workers"}),
    );
    check(&config, &five, json!({"value": 5, "origin": "environment", "key": "PREDICTION_API_WORKERS"}));
    check(&config, &five[1..], json!({"value": 4, "origin": variables.1, "key": "PREDICTION_API_WORKERS"}));
    check(&config, &[], json!({"value": 3, "origin": named, "key": "workers"}));
    check(&[], &[], json!({"value": 2, "origin": "portend.toml", "key": "workers"}));
}

/// Lays out the files below directories of a program's own, where that is possible, and then runs it.
const ELSEWHERE: &str = "set -e; mount -t tmpfs tmpfs /opt; mount -t tmpfs tmpfs /etc; mkdir /opt/ml /etc/portend; \
                         echo PREDICTION_API_WORKERS=4 > /opt/ml/config; \
                         echo PORTEND_QUEUE=4 >> /opt/ml/config; \
                         printf 'workers = 3\nqueue = 3\nport = 3\n' > /etc/portend/portend.toml; exec \"$@\"";

#[test]
fn files_of_settings_are_found_where_they_belong() {
    let can = Command::new("unshare").args(["-rm", "mount", "-t", "tmpfs", "tmpfs", "/opt"]).output();
    if !can.is_ok_and(|done| done.status.success()) {
        println!("!!!!!!!! LEFT OUT: default places of files, because nothing may be mounted here !!!!!!!!");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let found = || {
        let mut command = Command::new("unshare");
        command.args(["-rm", "sh", "-c", ELSEWHERE, "sh", env!("CARGO_BIN_EXE_portend"), "serve"]);
        command.arg("--print-config=json").current_dir(&folder).env_remove("PORTEND_ENVIRONMENT_FILE");
        command.env("PREDICTION_API_WORKERS", "5");
        let found = printed(command);
        ["workers", "queue", "port"].map(|name| found[name]["origin"].as_str().unwrap().to_owned())
    };
    assert_eq!(found(), ["environment", "/opt/ml/config", "/etc/portend/portend.toml"]);
    fs::write(folder.path().join("portend.toml"), "port = 2\n").unwrap();
    assert_eq!(found(), ["environment", "/opt/ml/config", "portend.toml"]);
}

#[test]
fn files_of_settings_that_cannot_be_used_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    let path = path.to_str().unwrap();
    let check = |text: &[u8], by: &str, expected: &str| {
        fs::write(path, text).unwrap();
        let command = match by {
            "--config" => serve(&["--config", path], &[]),
            _ => serve(&[], &[("PORTEND_ENVIRONMENT_FILE", path)]),
        };
        let (code, stdout, stderr) = ended(command);
        assert_eq!((code, stdout.as_str()), (Some(64), ""), "{stderr}");
        let stderr = stderr.replace(path, "FILE");
        assert!(stderr.starts_with(expected) && !stderr.contains(SECRET), "{stderr}");
    };
    check(b"PORTEND_TOKEN sesame-5417", "", "portend: FILE: line 1: KEY=value is needed\n");
    check(
        b"PORTEND_PORT=x",
        "",
        "portend: PORTEND_PORT in FILE is 'x': a whole number from 0 to 65535 is needed",
    );
    check(b"\xff", "", "portend: PORTEND_ENVIRONMENT_FILE is 'FILE': stream did not contain valid UTF-8");
    check(&vec![b'\n'; 2 << 20], "", "portend: PORTEND_ENVIRONMENT_FILE is 'FILE': larger than 1 MiB");
    check(b"port = 8080\ntoken = sesame-5417", "--config", "portend: FILE: line 2: not TOML: ");
    check(b"prot = 8080", "--config", "portend: FILE: there is no setting 'prot'\n");
    check(
        b"port = true",
        "--config",
        "portend: port in FILE is 'true': a whole number from 0 to 65535 is needed",
    );
    check(b"port = [\"1\"]", "--config", "portend: port in FILE is '1': a whole number");
    check(b"token = \"sesame-5417 \"", "--config", "portend: token in FILE is not usable (it is secret");
    let (code, _, stderr) = ended(serve(&["--config", "/no/such.toml"], &[]));
    let told = "portend: --config is '/no/such.toml': No such file or directory (os error 2)\n";
    assert_eq!((code, stderr.as_str()), (Some(64), told));
}

#[test]
fn a_token_comes_from_a_file_and_is_printed_nowhere() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    let path = file.to_str().unwrap();
    fs::write(&file, format!("{SECRET}\n")).unwrap();
    let found = printed(serve(&["--print-config=json", "--token-file", path], &[]));
    assert_eq!(found["token-file"], json!({"value": path, "origin": "flag", "key": "--token-file"}));
    fs::write(&file, format!("{SECRET} {SECRET}")).unwrap();
    let (code, _, stderr) = ended(serve(&["--token-file", path], &[]));
    assert!(
        code == Some(64) && stderr.contains("the file must hold") && !stderr.contains(SECRET),
        "{stderr}"
    );
    let (code, _, stderr) = ended(serve(&["--token", SECRET], &[]));
    assert_eq!(code, Some(2), "there is no such flag: {stderr}");
}

#[test]
fn secrets_are_in_no_table_and_no_log() {
    let secrets: Vec<_> =
        of_the_data_plane().into_iter().chain(of_monitoring()).filter(|row| row.3 == json!("***")).collect();
    let mut environment: Vec<_> = secrets.iter().map(|row| (row.0, row.1)).collect();
    environment.push(("PREDICTION_API_MONITORING_ENABLED", "true"));
    let (code, table, stderr) = ended(serve(&["--print-config", "--host", "0.0.0.0"], &environment));
    assert_eq!(code, Some(0), "{stderr}");
    assert_eq!(table.matches("***").count(), 7, "{table}");
    let mut command = serve(&["--port", "0"], &environment);
    command.arg(repository("examples/demo/fraud"));
    let server = RunningServer::start(command);
    server.get(&format!("/ping?token={SECRET}"));
    let log = server.stop();
    assert!(!(table + &stderr + &log).contains("5417"), "{log}");
}

#[test]
fn the_table_has_a_line_for_each_setting() {
    let (code, table, stderr) = ended(serve(&["--print-config", "models", "--no-access-log"], &[]));
    assert_eq!((code, stderr.as_str()), (Some(0), ""));
    let line = |name: &str| {
        let line = table.lines().find(|line| line.split(' ').next() == Some(name)).unwrap_or_default();
        line.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    assert_eq!(line("SETTING"), "SETTING VALUE ORIGIN");
    assert_eq!(line("path"), "path models flag PATH");
    assert_eq!(line("access-log"), "access-log off flag --access-log");
    assert_eq!(line("body-limit"), "body-limit 50MiB default");
    assert_eq!(line("preload"), "preload (true for one model, false for a repository) default");
    assert_eq!(line("mlops-model-id"), "", "what has no effect is left out unless it is set");
    let (reader, writer) = pipe().unwrap();
    drop(reader);
    let status = serve(&["--print-config"], &[]).stdout(writer).status().unwrap();
    assert_eq!(status.code(), Some(141));
}

#[test]
fn what_is_open_unknown_ignored_or_not_there_yet_is_said_once_at_the_start() {
    let fraud = repository("examples/demo/fraud");
    let log = |arguments: &[&str], environment: &[(&str, &str)]| {
        let mut command = serve(&[arguments, &["--port", "0", "--access-log=off"]].concat(), environment);
        command.arg(Path::new(&fraud));
        let log = RunningServer::start(command).stop();
        let usual =
            |line: &&str| line.starts_with("listening on ") || line.starts_with("model 'model_x' loaded ");
        log.lines().filter(|line| !usual(line)).map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(log(&[], &[]), [""; 0]);
    assert_eq!(
        log(&[], &[("PREDICTION_API_WORKER", "1"), ("PORTEND_TOKN", SECRET)]),
        ["warning: there are no such settings, they are ignored: PORTEND_TOKN, PREDICTION_API_WORKER"]
    );
    assert_eq!(
        log(&[], &[("PREDICTION_API_MONITORING_ENABLED", "true")]),
        [
            "WARNING: PREDICTION_API_MONITORING_ENABLED is true, but predictions are NOT recorded: monitoring records are \
         not yet spooled"
        ]
    );
    assert_eq!(
        log(&[], &[("MONITORING_AGENT", "yes")]),
        ["WARNING: MONITORING_AGENT is true, but there is no agent yet: nothing is reported"]
    );
    assert_eq!(
        log(&[], &[("PREDICTION_API_RPC_DUAL_COMPUTE_ENABLED", "0")]),
        ["PREDICTION_API_RPC_DUAL_COMPUTE_ENABLED has no meaning here and is ignored"]
    );
    assert_eq!(
        log(&[], &[("PYTHON3_SERVICES", "true")]),
        ["PYTHON3_SERVICES has no meaning here and is ignored"]
    );
    assert_eq!(log(&[], &[("PORTEND_PORT", "tcp://10.0.0.1:8080")]), [""; 0]);
}
