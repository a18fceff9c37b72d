//! Seldon's protocol as it goes over the wire: each way to send a message gets the same numbers, in the encoding that it
//! came in, on the paths of the executor and of the wrapper.

use std::io::Write;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};

use crate::connection::{Answer, Connection};
use crate::repository;
use crate::running_server::{RunningServer, portend};

/// The fraud model's features, in its order.
pub(crate) const NAMES: &str =
    r#"["dir","hir","lvr","ccs","mcs","uria","comdominiom","pbcr","dmi","self","single"]"#;
/// Two rows of them.
pub(crate) const ROWS: &str =
    r#"[[0.35,0.2,null,3,2,2,0,"no","no","no","no"],[0.36,0.2,null,6,2,5.3,0,"yes","no","no","yes"]]"#;
const TABLE: &str = "dir,hir,lvr,ccs,mcs,uria,comdominiom,pbcr,dmi,self,single\n\
                     0.35,0.2,,3,2,2,0,no,no,no,no\n0.36,0.2,,6,2,5.3,0,yes,no,no,yes\n";
pub(crate) const PREDICT: &str = "/seldon/any/fraud/api/v1.0/predictions";
pub(crate) const JSON: &str = "Content-Type: application/json";
const FORM: &str = "Content-Type: application/x-www-form-urlencoded";
const PARTS: &str = "Content-Type: multipart/form-data; boundary=xx";

pub(crate) fn good() -> String {
    format!(r#"{{"data":{{"ndarray":{ROWS}}}}}"#)
}

fn value(answer: &Answer) -> Value {
    serde_json::from_slice(&answer.body).unwrap_or_else(|e| panic!("{e}: {}", answer.text()))
}

/// The records that the rows are.
fn records() -> Value {
    let (names, rows): (Vec<String>, Vec<Vec<Value>>) =
        (serde_json::from_str(NAMES).unwrap(), serde_json::from_str(ROWS).unwrap());
    rows.into_iter().map(|row| names.iter().cloned().zip(row).collect::<Value>()).collect()
}

/// What the prediction API says about the rows: the probabilities of no and yes.
fn expected(connection: &mut Connection) -> Vec<f64> {
    let body = records().to_string();
    let answer = value(&connection.ask("POST", "/deployments/fraud/predictions", &[JSON], body.as_bytes()));
    let of = |row: &Value, at: usize| row["predictionValues"][at]["value"].as_f64().unwrap();
    answer["data"].as_array().unwrap().iter().flat_map(|row| [of(row, 1), of(row, 0)]).collect()
}

/// The encoding of an answer's array, and its numbers.
fn numbers(answer: &Value) -> (&'static str, Vec<f64>) {
    let flat = |value: &Value| value.as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect();
    let data = &answer["data"];
    if let Some(rows) = data["ndarray"].as_array() {
        return ("ndarray", rows.iter().flat_map(flat).collect());
    }
    if data["tensor"].is_object() {
        assert_eq!(data["tensor"]["shape"], json!([2, 2]), "{answer}");
        return ("tensor", flat(&data["tensor"]["values"]));
    }
    let tensor = &data["tftensor"];
    assert_eq!(tensor["dtype"], "DT_FLOAT", "{answer}");
    assert_eq!(tensor["tensorShape"], json!({ "dim": [{ "size": "2" }, { "size": "2" }] }), "{answer}");
    let bytes = BASE64_STANDARD.decode(tensor["tensorContent"].as_str().unwrap()).unwrap();
    let shortest = |b: &[u8]| f32::from_le_bytes(b.try_into().unwrap()).to_string().parse().unwrap();
    ("tftensor", bytes.chunks(4).map(shortest).collect())
}

/// A form with these parts: the rest of their disposition, and their content.
pub(crate) fn parts(parts: &[(&str, &str)]) -> String {
    let part = |(name, content): &(&str, &str)| {
        format!("--xx\r\nContent-Disposition: form-data; {name}\r\n\r\n{content}\r\n")
    };
    parts.iter().map(part).collect::<String>() + "--xx--\r\n"
}

/// A field of a form or query.
pub(crate) fn field(json: &str) -> String {
    let escaped = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    "json=".to_owned() + &json.bytes().map(escaped).collect::<String>()
}

#[test]
fn every_way_to_send_a_message_gets_the_same_numbers() {
    let server = RunningServer::serve(&repository("examples/demo"));
    let mut connection = server.connect();
    let wanted = expected(&mut connection);
    let mut check = |method: &str, target: &str, header: &str, body: &[u8], encoding: &str| {
        let answer = connection.ask(method, target, &[header], body);
        assert_eq!(answer.status, 200, "{method} {target} {header}: {}", answer.text());
        let answer = value(&answer);
        assert_eq!(numbers(&answer), (encoding_name(encoding), wanted.clone()), "{answer}");
        assert_eq!(answer["data"]["names"], json!(["no", "yes"]));
        assert_eq!(answer["meta"], json!({ "requestPath": { "fraud": "fraud:1" } }));
        assert_eq!(answer.as_object().unwrap().len(), 2, "keys of its own: {answer}");
    };
    let good = good();
    for path in ["/api/v1.0/predictions", "/api/v0.1/predictions", "/predict", "/api/v1.0/predictions/"] {
        for prefix in
            ["/model/fraud", "/deployment/fraud", "/deployments/fraud", "/seldon/any/fraud", "/seldon/fraud"]
        {
            check("POST", &format!("{prefix}{path}"), JSON, good.as_bytes(), "ndarray");
        }
    }
    let mut body = |json: &str, encoding: &str| check("POST", PREDICT, JSON, json.as_bytes(), encoding);
    body(&format!(r#"{{"data":{{"names":{NAMES},"ndarray":{ROWS}}}}}"#), "ndarray");
    // names that no feature has say nothing
    let nobody = NAMES.replace('"', "\"t:").replace("\"t:,\"t:", "\",\"t:").replace("\"t:]", "\"]");
    body(&format!(r#"{{"data":{{"names":{nobody},"ndarray":{ROWS}}}}}"#), "ndarray");
    body(&good.replace("null", "NaN"), "ndarray");
    let flat = ROWS.replace("],[", ",").replace("[[", "[").replace("]]", "]");
    body(&format!(r#"{{"data":{{"tensor":{{"shape":[2,11],"values":{flat}}}}}}}"#), "tensor");
    body(&format!(r#"{{"jsonData":{ROWS}}}"#), "tensor");
    body(&format!(r#"{{"jsonData":{}}}"#, records()), "tensor");
    body(&json!({ "jsonData": records().to_string() }).to_string(), "tensor");
    body(&json!({ "strData": TABLE }).to_string(), "tensor");
    body(&json!({ "strData": records().to_string() }).to_string(), "tensor");
    let bytes = BASE64_STANDARD.encode(TABLE);
    body(&json!({ "binData": bytes }).to_string(), "tensor");
    // of several the first in a fixed order counts
    body(&format!(r#"{{"binData":"?","strData":"?","foo":[],{}"#, &good[1..]), "ndarray");
    check("POST", PREDICT, "Content-Type: application/vnd.a+json; charset=utf-8", good.as_bytes(), "ndarray");

    check("POST", PREDICT, FORM, field(&good).as_bytes(), "ndarray");
    let query = format!("{PREDICT}?{}", field(&good));
    check("POST", &query, JSON, b"this is not looked at", "ndarray");
    check("POST", &query, FORM, b"json=", "ndarray");
    check("GET", &format!("/model/fraud/predict?{}", field(&good)), "Accept: */*", b"", "ndarray");

    let mut form = |sent: &[(&str, &str)], encoding: &str| {
        check("POST", PREDICT, PARTS, parts(sent).as_bytes(), encoding);
    };
    form(&[(r#"name="data""#, &format!(r#"{{"ndarray":{ROWS}}}"#)), (r#"name="meta""#, "{}")], "ndarray");
    form(&[(r#"name="strData""#, TABLE)], "tensor");
    form(&[(r#"name="strData"; filename="a.csv""#, TABLE)], "tensor");
    form(&[(r#"name="binData"; filename="a.csv""#, TABLE)], "tensor");
    form(&[(r#"name="jsonData""#, ROWS)], "tensor");
    form(&[(r#"name="jsonData"; filename="a.json""#, ROWS)], "tensor");

    let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
    packed.write_all(parts(&[(r#"name="strData""#, TABLE)]).as_bytes()).unwrap();
    let header = format!("Content-Encoding: gzip\r\n{PARTS}");
    check("POST", PREDICT, &header, &packed.finish().unwrap(), "tensor");
    server.stop();
}

fn encoding_name(encoding: &str) -> &'static str {
    ["ndarray", "tensor", "tftensor"].into_iter().find(|name| *name == encoding).unwrap()
}

#[test]
fn tensors_of_tensorflow_are_read_and_answered_in_kind() {
    let server = RunningServer::serve(&repository("testdata/models/xgb_breast_cancer/package"));
    let mut connection = server.connect();
    let mut ask = |data: &str| {
        let body = format!(r#"{{"data":{data}}}"#);
        let answer = connection.ask("POST", "/predict", &[JSON], body.as_bytes());
        assert_eq!(answer.status, 200, "{}", answer.text());
        value(&answer)
    };
    let values: Vec<f64> = (0..60).map(|at| f64::from(at) * 0.25).collect();
    let list = serde_json::to_string(&values).unwrap();
    let (_, wanted) = numbers(&ask(&format!(r#"{{"tensor":{{"shape":[2,30],"values":{list}}}}}"#)));
    let shape = r#""tensorShape":{"dim":[{"size":"2"},{"size":30,"name":"x"}]}"#;
    let doubles: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
    let singles: Vec<u8> = values.iter().flat_map(|v| (*v as f32).to_le_bytes()).collect();
    for (dtype, key, content) in [
        ("\"DT_DOUBLE\"", "doubleVal", list.clone()),
        ("2", "double_val", list.clone()),
        ("\"DT_FLOAT\"", "floatVal", list),
        ("\"DT_DOUBLE\"", "tensorContent", format!("\"{}\"", BASE64_STANDARD.encode(doubles))),
        ("\"DT_FLOAT\"", "tensor_content", format!("\"{}\"", BASE64_STANDARD.encode(singles))),
    ] {
        let answer = ask(&format!(r#"{{"tftensor":{{"dtype":{dtype},{shape},"{key}":{content}}}}}"#));
        assert_eq!(numbers(&answer), ("tftensor", wanted.clone()), "{key}");
    }
    let whole: Vec<String> = (0..60).map(|at| format!("\"{at}\"")).collect();
    let list = whole.join(",");
    let answer = ask(&format!(
        r#"{{"tftensor":{{"dtype":"DT_INT64",{shape},"versionNumber":7,"int64Val":[{list}]}}}}"#
    ));
    let plain = ask(&format!(r#"{{"tensor":{{"shape":[2,30],"values":[{}]}}}}"#, list.replace('"', "")));
    assert_eq!(numbers(&answer).1, numbers(&plain).1);
    server.stop();
}

#[test]
fn many_rows_are_answered_in_order_whatever_their_encoding() {
    const ROWS: usize = 9_001; // more than are scored together
    let server = RunningServer::serve(&repository("testdata/models/xgb_breast_cancer/package"));
    let mut connection = server.connect();
    let row =
        |at: usize| (0..30).map(|column| ((at * 7 + column) % 90).to_string()).collect::<Vec<_>>().join(",");
    let mut ask = |data: String| {
        let answer = connection.ask("POST", "/predict", &[JSON], format!(r#"{{"data":{data}}}"#).as_bytes());
        assert_eq!(answer.status, 200, "{}", answer.text());
        value(&answer)["data"].take()
    };
    let rows: Vec<String> = (0..ROWS).map(row).collect();
    let ndarray = ask(format!(r#"{{"ndarray":[[{}]]}}"#, rows.join("],[")))["ndarray"].take();
    let ndarray = ndarray.as_array().unwrap();
    assert_eq!(ndarray.len(), ROWS);
    for at in [0, 4095, 4096, 8192, ROWS - 1] {
        assert_eq!(ask(format!(r#"{{"ndarray":[[{}]]}}"#, rows[at]))["ndarray"][0], ndarray[at], "row {at}");
    }
    let flat: Vec<Value> = ndarray.iter().flat_map(|row| row.as_array().unwrap().clone()).collect();
    let list = rows.join(",");
    let tensor = ask(format!(r#"{{"tensor":{{"shape":[{ROWS},30],"values":[{list}]}}}}"#));
    assert_eq!(tensor["tensor"], json!({ "shape": [ROWS, 2], "values": flat }));
    let shape = format!(r#"{{"dim":[{{"size":{ROWS}}},{{"size":30}}]}}"#);
    let tftensor = ask(format!(r#"{{"tftensor":{{"dtype":1,"tensorShape":{shape},"floatVal":[{list}]}}}}"#));
    let bytes = BASE64_STANDARD.decode(tftensor["tftensor"]["tensorContent"].as_str().unwrap()).unwrap();
    let found: Vec<f32> = bytes.chunks(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect();
    assert_eq!(found, flat.iter().map(|v| v.as_f64().unwrap() as f32).collect::<Vec<_>>());
    server.stop();
}

#[test]
fn rows_that_there_are_none_of_and_numbers_alone_are_answered_as_arrays() {
    let server = RunningServer::serve(&repository("testdata/models/lgb_diabetes/package"));
    let mut connection = server.connect();
    let mut check = |body: &str, expected: Value| {
        let answer = connection.ask("POST", "/predict", &[JSON], body.as_bytes());
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert_eq!(value(&answer)["data"], expected, "{body}");
    };
    let names = json!(["progression"]);
    check(r#"{"data":{}}"#, json!({ "names": names, "ndarray": [] }));
    check(r#"{"data":{"ndarray":[]}}"#, json!({ "names": names, "ndarray": [] }));
    check(r#"{"data":{"tensor":{"shape":[0,10]}}}"#, {
        json!({ "names": names, "tensor": { "shape": [0, 1], "values": [] } })
    });
    check(r#"{"jsonData":[]}"#, json!({ "names": names, "tensor": { "shape": [0, 1], "values": [] } }));
    let answer =
        connection.ask("POST", "/predict", &[JSON], br#"{"data":{"ndarray":[[0,0,0,0,0,0,0,0,0,0]]}}"#);
    let answer = value(&answer);
    assert!(answer["data"]["ndarray"][0][0].is_f64(), "{answer}");
    assert_eq!(answer["data"]["ndarray"][0].as_array().unwrap().len(), 1);
    server.stop();
}

#[test]
fn an_answer_has_the_metadata_of_its_request() {
    let server = RunningServer::serve(&repository("examples/demo"));
    let mut connection = server.connect();
    let mut ask = |headers: &[&str], meta: &str| {
        let body = format!(r#"{{"meta":{meta},{}"#, &good()[1..]);
        let answer = connection.ask("POST", PREDICT, &[headers, &[JSON]].concat(), body.as_bytes());
        assert_eq!(answer.status, 200, "{}", answer.text());
        let header = |name: &str| answer.header(name).unwrap_or_default().to_owned();
        (header("seldon-puid"), header("ce-type"), header("ce-id"), value(&answer)["meta"].clone())
    };
    let path = json!({ "fraud": "fraud:1" });
    let (puid, event, id, meta) = ask(&[], r#"{"puid":"abc","tags":{"z":2},"routing":{"r":1}}"#);
    assert_eq!((puid.as_str(), event.as_str(), id.as_str()), ("abc", "", ""));
    assert_eq!(meta, json!({ "puid": "abc", "tags": { "z": 2 }, "requestPath": path }));
    let (puid, event, id, meta) = ask(
        &["Seldon-Puid: mine", "Ce-Specversion: 1.0"],
        r#"{"puid":"abc","metrics":[{"key":"k","value":1}],"requestPath":{"a":"b:1"}}"#,
    );
    assert_eq!((puid.as_str(), event.as_str(), id.as_str()), ("mine", "seldon.fraud.any.response", "mine"));
    let path = json!({ "a": "b:1", "fraud": "fraud:1" });
    let metrics = json!([{ "key": "k", "value": 1 }]);
    assert_eq!(meta, json!({ "puid": "abc", "metrics": metrics, "requestPath": path }));
    let (puid, .., meta) = ask(&[], "{}");
    assert_eq!((puid.len(), &puid[14..15], meta.get("puid")), (36, "4", None));
    server.stop();
}

#[test]
fn fixed_routes_answer_as_executor_and_wrapper_do() {
    let server = RunningServer::serve(&repository("testdata/models/lgb_wine/package"));
    let mut connection = server.connect();
    let mut check = |method: &str, target: &str, status: u16, content: Option<&str>, body: &str| {
        let answer = connection.ask(method, target, &[], b"");
        assert_eq!((answer.status, answer.header("content-type")), (status, content), "{method} {target}");
        assert_eq!(answer.text(), body, "{method} {target}");
        let puid = answer.header("seldon-puid").is_some();
        assert_eq!(puid, method == "GET" && !target.ends_with("/ready"), "{method} {target}");
    };
    let json = Some("application/json");
    let html = Some("text/html; charset=utf-8");
    let healthy = r#"{"meta":{"requestPath":{"package":"package:1"}},"strData":"healthy"}"#;
    for prefix in ["", "/seldon/ns/package", "/seldon/package", "/deployment/package"] {
        let mut at = |method: &str, path: &str, content: Option<&str>, body: &str| {
            check(method, &format!("{prefix}{path}"), 200, content, body);
        };
        at("GET", "/health/ping", html, "pong");
        at("GET", "/health/status", json, healthy);
        at("GET", "/api/v1.0/health/status", json, healthy);
        at("GET", "/api/v1.0/status/package", json, healthy);
        at("GET", "/api/v0.1/status/package", json, healthy);
        at("GET", "/api/v1.0/status", None, "");
        at("GET", "/live", None, "");
        at("GET", "/ready", json, "{\"ready\":true}");
        at("OPTIONS", "/api/v1.0/predictions", None, "");
        at("OPTIONS", "/api/v1.0/status/package", None, "");
    }
    check("OPTIONS", "/predict", 405, json, {
        r#"{"status":{"code":-1,"info":"this route does not take OPTIONS requests","reason":"MICROSERVICE_BAD_DATA","status":1}}"#
    });
    server.stop();
}

#[test]
fn a_model_and_its_graph_are_described() {
    let server = RunningServer::serve(&repository("testdata/models/lgb_diabetes/package"));
    let names = json!(["age", "sex", "bmi", "bp", "s1", "s2", "s3", "s4", "s5", "s6"]);
    let inputs = json!([{ "messagetype": "tensor", "schema": { "names": names, "shape": [10] } }]);
    let outputs = json!([{ "messagetype": "tensor", "schema": { "names": ["progression"], "shape": [1] } }]);
    let model = json!({
        "name": "package", "versions": ["1"], "platform": "lightgbm", "inputs": inputs, "outputs": outputs, "custom": {}
    });
    assert_eq!(value(&server.get("/metadata")), model);
    assert_eq!(value(&server.get("/api/v1.0/metadata/package")), model);
    assert_eq!(value(&server.get("/deployment/package/api/v0.1/metadata/any")), model);
    let graph = json!({
        "name": "package", "models": { "package": model }, "graphinputs": inputs, "graphoutputs": outputs
    });
    assert_eq!(value(&server.get("/api/v1.0/metadata")), graph);
    server.stop();
}

#[test]
fn the_document_tells_of_routes_that_there_are() {
    let server = RunningServer::serve(&repository("testdata/models/lgb_diabetes/package"));
    let document = value(&server.get("/seldon.json"));
    let other = value(&server.get("/api/v1.0/doc/seldon.json"));
    assert_eq!(other["paths"], document["paths"]);
    assert_eq!(
        (&document["servers"][0]["url"], &other["servers"][0]["url"]),
        (&json!("./"), &json!("../../.././"))
    );
    let mut connection = server.connect();
    let paths = document["paths"].as_object().unwrap();
    assert!(paths.len() >= 18);
    for (path, operations) in paths {
        for method in operations.as_object().unwrap().keys().filter(|key| *key != "parameters") {
            let target = path.replace("{name}", "package");
            let answer = connection.ask(&method.to_uppercase(), &target, &[], b"");
            // a message is missing; anything but no such route or method
            assert!([200, 400].contains(&answer.status), "{method} {path}: {}", answer.text());
        }
    }
    server.stop();
}

#[test]
fn what_a_model_does_not_transform_passes_through() {
    let server = RunningServer::serve(&repository("testdata/models/lgb_diabetes/package"));
    let mut connection = server.connect();
    let mut check = |body: &str, expected: Value| {
        for path in ["/transform-input", "/transform-output"] {
            let mut answer = value(&connection.ask("POST", path, &[JSON], body.as_bytes()));
            let meta = answer.as_object_mut().unwrap().remove("meta").unwrap();
            assert_eq!(meta, json!({ "requestPath": { "package": "package:1" } }), "{path} {body}");
            assert_eq!(answer, expected, "{path} {body}");
        }
    };
    let names = json!(["progression"]);
    check(r#"{"data":{"names":["a"],"ndarray":[[1,"x",{"a":[]}]]}}"#, {
        json!({ "data": { "names": names, "ndarray": [[1, "x", { "a": [] }]] } })
    });
    check(r#"{"data":{"ndarray":[ 1, 2.5]}}"#, json!({ "data": { "names": [], "ndarray": [1, 2.5] } }));
    check(r#"{"data":{"tensor":{"shape":[1,2],"values":[1,2]}}}"#, {
        json!({ "data": { "names": names, "tensor": { "shape": [1, 2], "values": [1, 2] } } })
    });
    check(r#"{"data":{}}"#, json!({ "data": { "names": [], "ndarray": [] } }));
    check(r#"{"strData":"ü\n"}"#, json!({ "strData": "ü\n" }));
    check(r#"{"binData":"aGk="}"#, json!({ "binData": "aGk=" }));
    check(r#"{"jsonData":{"a":[1]}}"#, json!({ "jsonData": { "a": [1] } }));
    server.stop();
}

#[test]
fn feedback_is_counted_and_answered_with_no_rows() {
    let server = RunningServer::serve(&repository("examples/demo"));
    let mut connection = server.connect();
    let info = |connection: &mut Connection| {
        value(&connection.ask("GET", "/deployments/fraud/info", &[], b""))["feedback"].clone()
    };
    assert_eq!(info(&mut connection), Value::Null);
    let path = json!({ "requestPath": { "fraud": "fraud:1" } });
    let mut check = |target: &str, body: &str, data: Value, meta: &Value| {
        let answer = connection.ask("POST", target, &[JSON], body.as_bytes());
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert_eq!(value(&answer), json!({ "data": data, "meta": meta }), "{body}");
    };
    let request = r#""request":{"data":{"ndarray":[[1]]},"meta":{"puid":"abc","tags":{"z":2}}}"#;
    let told = json!({ "puid": "abc", "requestPath": { "fraud": "fraud:1" } });
    check(
        "/seldon/any/fraud/api/v1.0/feedback",
        &format!(
            r#"{{{request},"reward":1.5,"response":{{"meta":{{"routing":{{"a":1}}}}}},"truth":{{"data":{{}}}}}}"#
        ),
        json!({ "ndarray": [] }),
        &told,
    );
    check(
        "/model/fraud/api/v0.1/feedback",
        r#"{"request":{"data":{"tensor":{"shape":[0]}}}}"#,
        json!({ "tensor": { "shape": [0] } }),
        &path,
    );
    check("/model/fraud/send-feedback", r#"{"reward":-1}"#, json!({ "tensor": { "shape": [0] } }), &path);
    assert_eq!(info(&mut connection), json!({ "count": 3, "reward": 0.5 }));
    let refused = connection.ask("POST", "/model/fraud/send-feedback", &[JSON], br#"{"rewardx":1}"#);
    assert_eq!(refused.status, 400);
    assert_eq!(info(&mut connection)["count"], 3);
    server.stop();
}

#[test]
fn without_a_name_the_default_model_is_meant() {
    let mut command = portend();
    command.arg("serve").arg(repository("examples/demo")).args(["--port", "0", "--default-model", "fraud"]);
    let server = RunningServer::start(command);
    let mut connection = server.connect();
    let answer = connection.ask("POST", "/api/v1.0/predictions", &[JSON], good().as_bytes());
    assert_eq!((answer.status, numbers(&value(&answer)).1), (200, expected(&mut connection)));
    server.stop();
}

#[test]
fn seldons_client_is_let_in_with_its_token() {
    let mut command = portend();
    command.arg("serve").arg(repository("examples/demo")).args(["--port", "0"]);
    command.env("PORTEND_TOKEN", "s3cret");
    let server = RunningServer::start(command);
    let mut connection = server.connect();
    for (header, status) in
        [("X-Auth-Token: s3cret", 200), ("Authorization: Bearer s3cret", 200), ("X-Auth-Token: no", 401)]
    {
        let answer = connection.ask("POST", PREDICT, &[JSON, header], good().as_bytes());
        assert_eq!(answer.status, status, "{header}");
        if status == 401 {
            assert_eq!(value(&answer)["status"]["code"], -1);
            connection = server.connect();
        }
    }
    assert_eq!(server.get("/health/ping").status, 200);
    server.stop();
}
