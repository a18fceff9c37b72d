//! The contracts that answer one plain value a row (MLflow, SageMaker, KServe v1 and TensorFlow Serving, ODAHU, Vertex AI,
//! Azure ML): each form of a request gets the numbers of the prediction API, and platforms find what they ask for.

use std::io::Write;

use serde_json::{Value, json};

use crate::connection::Connection;
use crate::repository;
use crate::running_server::{RunningServer, portend};
use crate::v2::ROW;

/// The demo's models, with settings.
pub(crate) fn serve(arguments: &[&str], variables: &[(&str, &str)]) -> RunningServer {
    let mut command = portend();
    command.arg("serve").arg(repository("examples/demo")).args(["--port", "0"]).args(arguments);
    command.envs(variables.iter().copied());
    RunningServer::start(command)
}

/// The row's names, values, and record, as JSON.
pub(crate) struct Row {
    pub(crate) names: String,
    pub(crate) values: String,
    pub(crate) record: String,
    pub(crate) columns: String,
}

pub(crate) fn row() -> Row {
    let joined = |part: &dyn Fn(&(&str, &str)) -> String| ROW.iter().map(part).collect::<Vec<_>>().join(",");
    Row {
        names: format!("[{}]", joined(&|(name, _)| format!("\"{name}\""))),
        values: format!("[{}]", joined(&|(_, value)| (*value).to_owned())),
        record: format!("{{{}}}", joined(&|(name, value)| format!("\"{name}\":{value}"))),
        columns: format!("{{{}}}", joined(&|(name, value)| format!("\"{name}\":[{value}]"))),
    }
}

/// The row as CSV, without its header.
pub(crate) const CSV: &str = "0.35,0.2,,3,2,2,0,no,no,no,no\n";

pub(crate) fn header() -> String {
    let names: Vec<&str> = ROW.iter().map(|(name, _)| *name).collect();
    format!("{}\n", names.join(","))
}

/// What the prediction API and the Open Inference Protocol say of the row.
struct Known {
    no: Value,
    yes: Value,
    margin: Value,
    leaf: Value,
}

fn known(connection: &mut Connection) -> Known {
    let csv = format!("{}{CSV}", header());
    let answer =
        connection.ask("POST", "/deployments/fraud/predictions", &["Content-Type: text/csv"], csv.as_bytes());
    let answer: Value = serde_json::from_slice(&answer.body).unwrap();
    let value = |label: &str| {
        let values = answer["data"][0]["predictionValues"].as_array().unwrap();
        values.iter().find(|value| value["label"] == label).unwrap()["value"].clone()
    };
    let input = json!({ "name": "x", "datatype": "BYTES", "shape": [1, 11],
        "data": serde_json::from_str::<Value>(&row().values).unwrap() });
    let outputs = ["margin", "leaf"].map(|name| json!({ "name": name }));
    let body = json!({ "inputs": [input], "outputs": outputs }).to_string();
    let raw = connection.ask("POST", "/v2/models/fraud/infer", &[], body.as_bytes());
    let raw: Value = serde_json::from_slice(&raw.body).unwrap();
    Known {
        no: value("no"),
        yes: value("yes"),
        margin: raw["outputs"][0]["data"][0].clone(),
        leaf: raw["outputs"][1]["data"].clone(),
    }
}

/// A request and the body of its answer.
type Case = (&'static str, &'static str, String, Value);

fn mlflow_cases(known: &Known) -> Vec<Case> {
    const JSON: &str = "Content-Type: application/json";
    const PATH: &str = "/deployment/fraud/invocations";
    let Row { names, values, record, columns } = row();
    let Known { yes, margin, leaf, .. } = known;
    let one = json!({ "predictions": [yes] });
    let two = json!({ "predictions": [yes, yes] });
    let split =
        |rest: &str| format!(r#"{{"dataframe_split":{{"columns":{names},"data":[{values}]}}{rest}}}"#);
    let python = values.replacen("null", "NaN", 1);
    vec![
        (PATH, JSON, split(""), one.clone()),
        (PATH, "Content-Type: application/json; charset=UTF-8", split(",\"params\":null"), one.clone()),
        (
            PATH,
            JSON,
            format!(r#"{{"dataframe_split":{{"columns":{names},"index":[7],"data":[{python}]}}}}"#),
            one.clone(),
        ),
        (PATH, JSON, format!(r#"{{"dataframe_split":{{"data":[{values},{values}]}}}}"#), two.clone()),
        (
            PATH,
            JSON,
            format!(r#"{{"dataframe_split":{{"columns":{names},"data":[]}}}}"#),
            json!({ "predictions": [] }),
        ),
        (PATH, JSON, format!(r#"{{"dataframe_records":[{record},{record}]}}"#), two.clone()),
        (PATH, JSON, format!(r#"{{"instances":[{record}]}}"#), one.clone()),
        (PATH, JSON, format!(r#"{{"instances":[{values},{values}]}}"#), two.clone()),
        (PATH, JSON, format!(r#"{{"inputs":{columns},"unknown":1}}"#), one.clone()),
        (PATH, JSON, format!(r#"{{"inputs":{record}}}"#), one.clone()),
        (PATH, JSON, format!(r#"{{"inputs":[{record}]}}"#), one.clone()),
        (PATH, JSON, split(",\"params\":{\"output_margin\":true}"), json!({ "predictions": [margin] })),
        (PATH, JSON, split(",\"params\":{\"pred_leaf\":true}"), json!({ "predictions": [leaf] })),
        (PATH, JSON, split(",\"params\":{\"predict_method\":\"predict\"}"), json!({ "predictions": ["no"] })),
        (PATH, JSON, split(",\"params\":{\"raw_score\":false}"), one.clone()),
        (PATH, "Content-Type: text/csv", format!("{}{CSV}", header()), one.clone()),
        (PATH, "Content-Type: text/csv", format!("{CSV}{CSV}"), two),
        (PATH, "Content-Type: text/csv; header=absent", CSV.to_owned(), one.clone()),
        (PATH, "Content-Type: text/csv; header=present", format!("{}{CSV}", header()), one.clone()),
        ("/models/fraud/invoke", "Content-Type: text/csv", CSV.to_owned(), one),
    ]
}

fn v1_cases(known: &Known) -> Vec<Case> {
    const JSON: &str = "Content-Type: application/json";
    let Row { values, record, columns, .. } = row();
    let Known { yes, no, margin, .. } = known;
    let predictions = json!({ "predictions": [yes] });
    let instances = format!(r#"{{"instances":[{values}]}}"#);
    let mut cases: Vec<Case> = [
        "/v1/models/fraud:predict",
        "/v1/models/fraud/versions/1:predict",
        "/v1/models/fraud/:predict",
        "/v1/models/fraud%3Apredict",
        "/deployments/fraud/v1/models/any:predict",
        "/seldon/any/fraud/v1/models/classifier/:predict",
        "/model/fraud/v1/models:predict",
    ]
    .map(|path| (path, "X-Content-Type: none", instances.clone(), predictions.clone()))
    .into();
    const PREDICT: &str = "/v1/models/fraud:predict";
    cases.extend([
        (
            PREDICT,
            JSON,
            format!(r#"{{"signature_name":"serving_default","instances":[{record}]}}"#),
            predictions,
        ),
        (PREDICT, JSON, format!(r#"{{"inputs":{columns}}}"#), json!({ "outputs": [yes] })),
        (PREDICT, JSON, format!(r#"{{"inputs":[{values}]}}"#), json!({ "outputs": [yes] })),
        (
            PREDICT,
            JSON,
            format!(r#"{{"instances":[{values}],"parameters":{{"output_margin":true}}}}"#),
            json!({ "predictions": [margin] }),
        ),
        (
            "/v1/models/fraud:classify",
            JSON,
            format!(r#"{{"context":{{}},"examples":[{record}]}}"#),
            json!({ "result": [[["no", no], ["yes", yes]]] }),
        ),
    ]);
    cases
}

fn platform_cases(known: &Known) -> Vec<Case> {
    const JSON: &str = "Content-Type: application/json";
    let Row { names, values, record, columns } = row();
    let Known { yes, .. } = known;
    let odahu = json!({ "prediction": [yes], "columns": ["deny"] });
    let list = json!([yes]);
    vec![
        (
            "/model/fraud/api/model/invoke",
            "Content-Type: text/anything",
            format!(r#"{{"columns":{names},"data":[{values}]}}"#),
            odahu.clone(),
        ),
        ("/model/fraud/api/model/invoke", JSON, format!(r#"{{"data":[{values}]}}"#), odahu),
        (
            "/model/fraud/vertex/predict",
            JSON,
            format!(r#"{{"instances":[{record}],"parameters":{{}}}}"#),
            json!({ "predictions": [yes] }),
        ),
        (
            "/model/fraud/score",
            JSON,
            format!(r#"{{"input_data":{{"columns":{names},"index":[0],"data":[{values}]}}}}"#),
            list.clone(),
        ),
        ("/model/fraud/score", JSON, format!(r#"{{"input_data":{columns}}}"#), list.clone()),
        ("/model/fraud/score", JSON, format!(r#"{{"input_data":[{record}]}}"#), list.clone()),
        ("/model/fraud/score", JSON, format!(r#"{{"data":[{values}]}}"#), list),
    ]
}

#[test]
fn every_contract_gives_the_numbers_of_the_prediction_api() {
    let server = RunningServer::serve(&repository("examples/demo"));
    let mut connection = server.connect();
    let known = known(&mut connection);
    let cases = [mlflow_cases(&known), v1_cases(&known), platform_cases(&known)].concat();
    let mut wrong = String::new();
    for (target, header, body, expected) in cases {
        let answer = connection.ask("POST", target, &[header], body.as_bytes());
        let found: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        if (answer.status, &found, answer.header("content-type"))
            != (200, &expected, Some("application/json"))
        {
            wrong.push_str(&format!(
                "{target} {header} {body}\n  expected {expected}\n  found {}\n",
                answer.text()
            ));
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
    let headers = ["Content-Type: text/csv", "Accept: text/csv"];
    let csv = connection.ask("POST", "/model/fraud/invocations", &headers, format!("{CSV}{CSV}").as_bytes());
    assert_eq!(csv.text(), format!("{0}\n{0}\n", known.yes));
    assert_eq!(csv.header("content-type"), Some("text/csv; charset=utf-8"));
    server.stop();
}

#[test]
fn classes_may_be_answered_as_labels() {
    let server = serve(&["--class-predictions", "labels", "--default-model", "fraud"], &[]);
    let mut connection = server.connect();
    let Row { values, .. } = row();
    for (target, body, expected) in [
        ("/invocations", format!(r#"{{"instances":[{values}]}}"#), json!({ "predictions": ["no"] })),
        ("/v1/models:predict", format!(r#"{{"instances":[{values}]}}"#), json!({ "predictions": ["no"] })),
        (
            "/api/model/invoke",
            format!(r#"{{"data":[{values}]}}"#),
            json!({ "prediction": ["no"], "columns": ["deny"] }),
        ),
        ("/score", format!(r#"{{"data":[{values}]}}"#), json!(["no"])),
    ] {
        let answer = connection.ask("POST", target, &["Content-Type: application/json"], body.as_bytes());
        assert_eq!(serde_json::from_slice::<Value>(&answer.body).unwrap(), expected, "{target}");
    }
    server.stop();
}

#[test]
fn several_classes_and_numbers_are_a_list_a_row() {
    let check = |model: &str, is_list: bool| {
        let folder = repository("testdata/models").join(model);
        let server = RunningServer::serve(&folder.join("package"));
        let rows = std::fs::read_to_string(folder.join("rows.csv")).unwrap();
        let mut connection = server.connect();
        let mut ask = |target: &str| {
            let answer = connection.ask("POST", target, &["Content-Type: text/csv"], rows.as_bytes());
            serde_json::from_slice::<Value>(&answer.body).unwrap()
        };
        let (plain, told) = (ask("/invocations"), ask("/predictions"));
        let plain = plain["predictions"].as_array().unwrap();
        for (found, told) in plain.iter().zip(told["data"].as_array().unwrap()) {
            let values = told["predictionValues"].as_array().unwrap().iter().map(|v| v["value"].clone());
            let expected = if is_list { values.collect() } else { told["prediction"].clone() };
            assert_eq!(*found, expected, "{model}");
        }
        assert_eq!(plain.len(), rows.lines().count() - 1);
        server.stop();
    };
    check("xgb_penguins", true);
    check("xgb_outputs", true);
    check("lgb_diabetes", false);
}

#[test]
fn a_parquet_file_gets_the_answer_of_its_rows_as_json() {
    let server = RunningServer::serve(&repository("testdata/models/lgb_penguins/package"));
    let mut connection = server.connect();
    let read = |name: &str| std::fs::read(repository("testdata/parquet").join(name)).unwrap();
    let mut ask = |headers: &[&str], body: &[u8]| {
        let answer = connection.ask("POST", "/invocations", headers, body);
        (answer.status, answer.text().to_owned())
    };
    let records = String::from_utf8(read("rows.json")).unwrap();
    let records = format!("{{\"dataframe_records\":{records}}}");
    let expected = ask(&["Content-Type: application/json"], records.as_bytes());
    assert_eq!(expected.0, 200);
    let parquet = "Content-Type: application/vnd.apache.parquet";
    for name in ["default", "categories", "second_pages_gzip", "row_groups", "zstd"] {
        let file = read(&format!("{name}.parquet"));
        assert_eq!(ask(&[parquet], &file), expected, "{name}");
        let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        packed.write_all(&file).unwrap();
        let packed = packed.finish().unwrap();
        assert_eq!(ask(&[parquet, "Content-Encoding: gzip"], &packed), expected, "{name}, packed");
    }
    let error = |message: &str| (400, json!({ "error_code": "BAD_REQUEST", "message": message }).to_string());
    let remedy = "write numbers, truth values or text, or leave it out if the model can do without";
    let dates = format!(
        "column 'year' of the Parquet file cannot be read: it holds dates, which are not read: {remedy}"
    );
    assert_eq!(ask(&[parquet], &read("bad_dates.parquet")), error(&dates));
    let text = "column 'bill_length_mm', row 0: 'abc' is not a number";
    assert_eq!(ask(&[parquet], &read("bad_text.parquet")), error(text));
    server.stop();
}

#[test]
fn what_platforms_look_for_is_there() {
    let server = RunningServer::serve(&repository("examples/demo"));
    let mut connection = server.connect();
    assert_eq!(connection.ask("GET", "/model/fraud/v1/models/x", &[], b"").status, 200);
    let alive = json!({ "status": "alive", "name": "portend", "version": env!("CARGO_PKG_VERSION") });
    let status = json!([{ "version": "1", "state": "AVAILABLE", "status": { "error_code": "OK", "error_message": "" } }]);
    for (target, expected) in [
        ("/ping", json!({ "response": "pong" })),
        ("/", alive.clone()),
        ("/model/fraud/", alive.clone()),
        ("/deployment/fraud", alive.clone()),
        ("/seldon/any/fraud/", alive.clone()),
        ("/seldon/fraud", alive),
        ("/healthcheck", json!({ "status": true })),
        ("/model/fraud/healthcheck", json!({ "status": true })),
        ("/vertex/health", json!({})),
        ("/deployment/fraud/vertex/health", json!({})),
        ("/v1/models", json!({ "models": ["fraud", "revenue"] })),
        ("/model/fraud/v1/models", json!({ "models": ["fraud"] })),
        ("/v1/models/fraud", json!({ "name": "fraud", "ready": true, "model_version_status": status })),
        ("/models", json!({ "models": [{ "modelName": "fraud", "modelUrl": "model_x.mlpkg" }] })),
        ("/models/fraud", json!({ "modelName": "fraud", "modelUrl": "model_x.mlpkg" })),
    ] {
        let answer = connection.ask("GET", target, &[], b"");
        assert_eq!(
            (answer.status, answer.header("content-type")),
            (200, Some("application/json")),
            "{target}"
        );
        assert_eq!(serde_json::from_slice::<Value>(&answer.body).unwrap(), expected, "{target}");
    }
    for (target, expected) in [
        ("/health", "\n"),
        ("/version", "3.17.2"),
        ("/model/fraud/health", "\n"),
        ("/model/fraud/version", "3.17.2"),
    ] {
        assert_eq!(connection.ask("GET", target, &[], b"").text(), expected);
    }
    let metadata: Value =
        serde_json::from_slice(&connection.ask("GET", "/v1/models/fraud/metadata", &[], b"").body).unwrap();
    let signature = &metadata["metadata"]["signature_def"]["signature_def"]["serving_default"];
    assert_eq!(metadata["model_spec"], json!({ "name": "fraud", "signature_name": "", "version": "1" }));
    assert_eq!(signature["inputs"]["pbcr"]["dtype"], "DT_STRING");
    assert_eq!(signature["outputs"]["predictions"]["dtype"], "DT_FLOAT");
    server.stop();
}

#[test]
fn the_description_for_odahu_has_columns_and_an_example_that_works() {
    let server = RunningServer::serve(&repository("examples/demo"));
    let mut connection = server.connect();
    for model in ["fraud", "revenue"] {
        let info = connection.ask("GET", &format!("/model/{model}/api/model/info"), &[], b"");
        assert_eq!((info.header("model-name"), info.header("model-version")), (Some(model), Some("1")));
        let info: Value = serde_json::from_slice(&info.body).unwrap();
        assert_eq!((&info["swagger"], &info["info"]["title"]), (&json!("2.0"), &json!(model)));
        let schema = &info["paths"]["/api/model/invoke"]["post"]["parameters"][0]["schema"]["properties"];
        let body = json!({ "columns": schema["columns"]["example"], "data": schema["data"]["example"] });
        let target = format!("/model/{model}/api/model/invoke");
        let answer = connection.ask("POST", &target, &[], body.to_string().as_bytes());
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert_eq!((answer.header("model-name"), answer.header("model-version")), (Some(model), Some("1")));
    }
    server.stop();
}

#[test]
fn custom_attributes_come_back_with_answers_and_errors() {
    let server = serve(&["--default-model", "fraud"], &[]);
    let mut connection = server.connect();
    for (body, status) in [(CSV, 200), ("1,2\n", 400)] {
        let headers = ["Content-Type: text/csv", "X-Amzn-SageMaker-Custom-Attributes: trace=7"];
        let answer = connection.ask("POST", "/invocations", &headers, body.as_bytes());
        let attributes = answer.header("x-amzn-sagemaker-custom-attributes");
        assert_eq!((answer.status, attributes), (status, Some("trace=7")));
    }
    server.stop();
}

#[test]
fn sagemaker_loads_and_unloads_models_of_the_repository() {
    let server = RunningServer::serve(&repository("examples/demo"));
    let mut connection = server.connect();
    let load = br#"{"model_name":"fraud","url":"/opt/ml/models/fraud/model"}"#;
    let mut check = |method: &str, target: &str, body: &[u8], expected: (u16, &str)| {
        let answer = connection.ask(method, target, &["Content-Type: text/csv"], body);
        assert!(
            answer.status == expected.0 && answer.text().contains(expected.1),
            "{method} {target}: {answer:?}"
        );
    };
    check("GET", "/models/fraud", b"", (404, "model 'fraud' is not loaded"));
    check("POST", "/models", load, (200, "{}"));
    check("POST", "/models", load, (409, "model 'fraud' is loaded already"));
    check("GET", "/models", b"", (200, "model_x.mlpkg"));
    check("POST", "/models/fraud/invoke", CSV.as_bytes(), (200, "predictions"));
    check("DELETE", "/models/fraud", b"", (200, "{}"));
    check("DELETE", "/models/fraud", b"", (404, "model 'fraud' is not loaded"));
    check("POST", "/models/fraud/invoke", CSV.as_bytes(), (503, "was unloaded"));
    check("POST", "/models", load, (200, "{}"));
    check("POST", "/models/fraud/invoke", CSV.as_bytes(), (200, "predictions"));
    check(
        "POST",
        "/models",
        br#"{"model_name":"../etc","url":"/etc"}"#,
        (404, "models are loaded from the repository"),
    );
    server.stop();
}

#[test]
fn platforms_configure_the_server_by_their_own_variables() {
    let server = serve(
        &["--default-model", "fraud"],
        &[("AIP_PREDICT_ROUTE", "/predictions"), ("AIP_HEALTH_ROUTE", "/ping"), ("PORTEND_TOKEN", "sesame")],
    );
    let mut connection = server.connect();
    assert_eq!(connection.ask("GET", "/ping", &[], b"").text(), "{}");
    let body = format!(r#"{{"instances":[{}]}}"#, row().values);
    assert_eq!(connection.ask("POST", "/predictions", &[], body.as_bytes()).status, 401);
    let token = ["Authorization: Bearer sesame"];
    let answer = connection.ask("POST", "/predictions", &token, body.as_bytes());
    assert!(answer.text().starts_with("{\"predictions\":["), "{}", answer.text());
    server.stop();
}

#[test]
fn on_sagemaker_ping_waits_for_models() {
    let empty = tempfile::tempdir().unwrap();
    let ping = |variables: &[(&str, &str)]| {
        let mut command = portend();
        command.arg("serve").arg(empty.path()).envs(variables.iter().copied());
        if variables.is_empty() {
            command.args(["--port", "0"]);
        }
        let server = RunningServer::listening("http", command);
        let status = server.get("/ping").status;
        server.stop();
        status
    };
    assert_eq!(ping(&[]), 200);
    assert_eq!(ping(&[("SAGEMAKER_BIND_TO_PORT", "0")]), 503);
}
