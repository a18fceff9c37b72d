//! The Open Inference Protocol as it goes over the wire: each form of a request gets the same numbers, and a model comes
//! and goes as it is asked to.

use std::fs;
use std::io::Write;

use flate2::Compression;
use flate2::write::{GzEncoder, ZlibEncoder};
use serde_json::{Value, json};

use crate::connection::{Answer, Connection};
use crate::repository;
use crate::running_server::{RunningServer, portend};

/// The fraud model's features with the values of one row, the last four of which are levels.
pub(crate) const ROW: [(&str, &str); 11] = [
    ("dir", "0.35"),
    ("hir", "0.2"),
    ("lvr", "null"),
    ("ccs", "3"),
    ("mcs", "2"),
    ("uria", "2"),
    ("comdominiom", "0"),
    ("pbcr", "\"no\""),
    ("dmi", "\"no\""),
    ("self", "\"no\""),
    ("single", "\"no\""),
];

pub(crate) fn input(name: &str, datatype: &str, shape: &str, rest: &str) -> String {
    format!(r#"{{"name":"{name}","datatype":"{datatype}","shape":{shape},{rest}}}"#)
}

/// An input for each feature, with the first one's as given.
pub(crate) fn inputs(first: &str) -> String {
    let others = ROW[1..].iter().map(|(name, value)| {
        let datatype = if value.starts_with('"') { "BYTES" } else { "FP64" };
        input(name, datatype, "[1]", &format!(r#""data":[{value}]"#))
    });
    [first.to_owned()].into_iter().chain(others).collect::<Vec<_>>().join(",")
}

pub(crate) fn good_first() -> String {
    input("dir", "FP64", "[1]", r#""data":[0.35]"#)
}

pub(crate) fn good() -> String {
    format!(r#"{{"inputs":[{}]}}"#, inputs(&good_first()))
}

/// The same with something else in the request.
pub(crate) fn good_with(rest: &str) -> String {
    format!(r#"{{"inputs":[{}],{rest}}}"#, inputs(&good_first()))
}

/// Where the fraud model is asked.
pub(crate) const INFER: &str = "/v2/models/fraud/infer";

pub(crate) fn ask(connection: &mut Connection, target: &str, headers: &[&str], body: &[u8]) -> Answer {
    connection.ask("POST", target, headers, body)
}

/// The model's inputs and what a golden case says about its rows.
struct Golden {
    names: Vec<String>,
    cells: Vec<Vec<String>>,
    expected: Value,
}

impl Golden {
    fn read(name: &str) -> Self {
        let folder = repository("testdata/models").join(name);
        let rows = fs::read_to_string(folder.join("rows.csv")).unwrap();
        let mut lines = rows.lines().map(|line| line.split(',').map(str::to_owned).collect::<Vec<_>>());
        let expected = fs::read_to_string(folder.join("expected.json")).unwrap();
        let names = lines.next().unwrap();
        Self { names, cells: lines.collect(), expected: serde_json::from_str(&expected).unwrap() }
    }

    /// An input of texts for each column.
    fn request(&self) -> Value {
        let column = |at: usize| self.cells.iter().map(|row| row[at].clone()).collect::<Vec<_>>();
        let inputs = self.names.iter().enumerate().map(|(at, name)| {
            json!({ "name": name, "datatype": "BYTES", "shape": [self.cells.len(), 1], "data": column(at) })
        });
        let outputs = ["margin", "leaf"].map(|name| json!({ "name": name }));
        json!({ "inputs": inputs.collect::<Vec<_>>(), "outputs": outputs })
    }
}

#[test]
fn margins_and_leaves_are_those_of_the_library() {
    let check = |name: &str| {
        let golden = Golden::read(name);
        let server = RunningServer::serve(&repository("testdata/models").join(name).join("package"));
        let body = golden.request().to_string();
        let answer = server.connect().ask("POST", "/v2/models/package/infer", &[], body.as_bytes());
        let answer: Value = serde_json::from_slice(&answer.body).unwrap();
        for (at, key) in [(0, "margins"), (1, "leaves")] {
            let rows = golden.expected[key].as_array().unwrap();
            let expected: Vec<f64> =
                rows.iter().flat_map(|row| row.as_array().unwrap()).map(|v| v.as_f64().unwrap()).collect();
            let found =
                answer["outputs"][at]["data"].as_array().unwrap_or_else(|| panic!("{name}: {answer}"));
            let found: Vec<f64> = found.iter().map(|value| value.as_f64().unwrap()).collect();
            let single = name.starts_with("xgb");
            let same = |a: f64, b: f64| if single { a as f32 == b as f32 } else { a == b };
            let all = found.len() == expected.len() && found.iter().zip(&expected).all(|(a, b)| same(*a, *b));
            assert!(all, "{name} {key}");
        }
        server.stop();
    };
    ["xgb_breast_cancer", "xgb_penguins", "lgb_penguins", "lgb_forest"].into_iter().for_each(check);
}

/// The tensors of an answer as flat JSON, whether they came so or as raw bytes.
fn tensors(answer: &Answer) -> Vec<Value> {
    let json_length: Option<usize> =
        answer.header("inference-header-content-length").map(|length| length.parse().unwrap());
    let single = |bytes: &[u8]| f32::from_le_bytes(bytes.try_into().unwrap());
    let (json, mut raw) = answer.body.split_at(json_length.unwrap_or(answer.body.len()));
    let body: Value = serde_json::from_slice(json).unwrap();
    let mut all = Vec::new();
    for output in body["outputs"].as_array().unwrap() {
        let Some(size) = output["parameters"]["binary_data_size"].as_u64() else {
            all.push(output["data"].clone());
            continue;
        };
        let (bytes, rest) = raw.split_at(usize::try_from(size).unwrap());
        raw = rest;
        all.push(match output["datatype"].as_str().unwrap() {
            // in the form in which JSON has it
            "FP32" => bytes
                .chunks(4)
                .map(|b| single(b).to_string().parse::<f64>().unwrap())
                .collect::<Vec<_>>()
                .into(),
            "BYTES" => {
                let mut texts = Vec::new();
                let mut bytes = bytes;
                while let Some((length, rest)) = bytes.split_first_chunk::<4>() {
                    let (text, rest) = rest.split_at(u32::from_le_bytes(*length) as usize);
                    texts.push(String::from_utf8(text.to_vec()).unwrap());
                    bytes = rest;
                }
                texts.into()
            }
            other => panic!("{other}"),
        });
    }
    assert!(raw.is_empty());
    all
}

fn packed(encoding: &str, bytes: &[u8]) -> Vec<u8> {
    if encoding == "gzip" {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(bytes).unwrap();
        return encoder.finish().unwrap();
    }
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn every_form_of_a_request_gets_the_same_numbers() {
    let server = RunningServer::serve(&repository("examples/demo"));
    let mut connection = server.connect();
    let plain = ask(&mut connection, INFER, &[], good().as_bytes());
    let expected = tensors(&plain);
    let record: Vec<_> = ROW.iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
    let pps = ask(
        &mut connection,
        "/deployments/fraud/predictions",
        &["Content-Type: application/json"],
        format!("[{{{}}}]", record.join(",")).as_bytes(),
    );
    let pps: Value = serde_json::from_slice(&pps.body).unwrap();
    assert_eq!(expected[0], json!([pps["data"][0]["prediction"]]));
    let value = |i: usize| pps["data"][0]["predictionValues"][i]["value"].clone();
    assert_eq!(expected[1], json!([value(1), value(0)]));

    let mut same = |what: &str, target: &str, headers: &[&str], body: &[u8]| {
        let answer = ask(&mut connection, target, headers, body);
        assert_eq!(answer.status, 200, "{what}: {}", String::from_utf8_lossy(&answer.body));
        assert_eq!(tensors(&answer), expected, "{what}");
    };
    let good = good();
    same("a version", "/v2/models/fraud/versions/1/infer", &[], good.as_bytes());
    for prefix in ["/model/fraud", "/deployment/fraud", "/deployments/fraud", "/seldon/any/fraud"] {
        // the name behind a prefix is the client's own
        same(prefix, &format!("{prefix}/v2/models/classifier/infer"), &[], good.as_bytes());
    }
    let binary = good_with(r#""parameters":{"binary_data_output":true}"#);
    same("raw outputs", INFER, &[], binary.as_bytes());
    let mixed = r#""outputs":[{"name":"label","parameters":{"binary_data":true}},{"name":"probabilities"}]"#;
    same("one raw output", INFER, &[], good_with(mixed).as_bytes());
    for encoding in ["gzip", "deflate"] {
        let header = format!("Content-Encoding: {encoding}");
        same(encoding, INFER, &[&header], &packed(encoding, good.as_bytes()));
    }
    same("NaN as Python writes it", INFER, &[], good.replace("null", "NaN").as_bytes());
    let values: Vec<&str> = ROW.iter().map(|(_, value)| *value).collect();
    for (shape, data) in
        [("[1,11]", format!("[{}]", values.join(","))), ("[1,11]", format!("[[{}]]", values.join(",")))]
    {
        let array = input("everything", "BYTES", shape, &format!(r#""data":{data}"#));
        same("an array", INFER, &[], format!(r#"{{"inputs":[{array}]}}"#).as_bytes());
    }
    for (datatype, bytes) in
        [("FP64", 0.35_f64.to_le_bytes().to_vec()), ("FP32", 0.35_f32.to_le_bytes().to_vec())]
    {
        let rest = format!(r#""parameters":{{"binary_data_size":{}}}"#, bytes.len());
        let json = format!(r#"{{"inputs":[{}]}}"#, inputs(&input("dir", datatype, "[1,1]", &rest)));
        let header = format!("Inference-Header-Content-Length: {}", json.len());
        same(datatype, INFER, &[&header], &[json.as_bytes(), &bytes].concat());
    }
    server.stop();
}

#[test]
fn requests_that_name_no_model_mean_the_default() {
    let serve = |arguments: &[&str]| {
        let mut command = portend();
        command.arg("serve").arg(repository("examples/demo")).args(["--port", "0"]).args(arguments);
        RunningServer::start(command)
    };
    let check = |arguments: &[&str], expected: (u16, &str)| {
        let server = serve(arguments);
        let found = server.get("/info");
        assert!(found.status == expected.0 && found.text().contains(expected.1), "{}", found.text());
        server.stop();
    };
    check(&[], (404, "several models are served, name one in the path: fraud, revenue"));
    check(&["--default-model", "revenue"], (200, "\"id\":\"revenue\""));
    check(
        &["--default-model", "nope"],
        (404, "there is no model 'nope', which is the default here; there are: fraud"),
    );
}

#[test]
fn a_model_that_was_unloaded_answers_503_until_it_is_loaded() {
    let server = RunningServer::serve(&repository("examples/demo"));
    let mut connection = server.connect();
    let states = |connection: &mut Connection| {
        let index: Value =
            serde_json::from_slice(&ask(connection, "/v2/repository/index", &[], b"").body).unwrap();
        let entry = |entry: &Value| {
            format!("{}:{}", entry["name"].as_str().unwrap(), entry["state"].as_str().unwrap())
        };
        index.as_array().unwrap().iter().map(entry).collect::<Vec<_>>().join(" ")
    };
    let infer = |connection: &mut Connection| ask(connection, INFER, &[], good().as_bytes());
    assert_eq!(infer(&mut connection).status, 200);
    assert_eq!(states(&mut connection), "fraud:READY revenue:UNAVAILABLE");
    assert_eq!(ask(&mut connection, "/v2/repository/models/fraud/unload", &[], b"").status, 200);
    let refused = infer(&mut connection);
    let error = "model 'fraud' was unloaded: POST /v2/repository/models/fraud/load brings it back";
    assert_eq!((refused.status, refused.text()), (503, json!({ "error": error }).to_string().as_str()));
    assert_eq!(server.get("/v2/models/fraud/ready").status, 503);
    assert_eq!(states(&mut connection), "fraud:UNAVAILABLE revenue:UNAVAILABLE");
    for _ in 0..2 {
        assert_eq!(ask(&mut connection, "/v2/repository/models/fraud/load", &[], b"{}").status, 200);
        assert_eq!(infer(&mut connection).status, 200);
    }
    assert_eq!(states(&mut connection), "fraud:READY revenue:UNAVAILABLE");
    server.stop();
}
