//! Requests of the Open Inference Protocol that cannot be answered: each is refused with a status and an `error` that says
//! what is wrong, and none harms the requests after it.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};

use crate::connection::Answer;
use crate::repository;
use crate::running_server::RunningServer;
use crate::v2::{INFER, ask, good, good_first, good_with, input, inputs};

/// One request to be refused.
struct Case {
    target: &'static str,
    headers: Vec<String>,
    body: Vec<u8>,
    status: u16,
    error: String,
}

fn case(body: impl Into<Vec<u8>>, error: impl Into<String>) -> Case {
    Case { target: INFER, headers: Vec::new(), body: body.into(), status: 400, error: error.into() }
}

/// The first input is another.
fn first(input: &str, error: impl Into<String>) -> Case {
    case(format!(r#"{{"inputs":[{}]}}"#, inputs(input)), error)
}

/// The JSON, and raw bytes after it.
fn raw(json: &str, bytes: &[u8], error: impl Into<String>) -> Case {
    let headers = vec![format!("Inference-Header-Content-Length: {}", json.len())];
    Case { headers, ..case([json.as_bytes(), bytes].concat(), error) }
}

/// The first input comes as raw bytes.
fn raw_first(datatype: &str, size: usize, bytes: &[u8], error: impl Into<String>) -> Case {
    let first = input("dir", datatype, "[1]", &format!(r#""parameters":{{"binary_data_size":{size}}}"#));
    raw(&format!(r#"{{"inputs":[{}]}}"#, inputs(&first)), bytes, error)
}

fn headed(header: &str, body: impl Into<Vec<u8>>, status: u16, error: impl Into<String>) -> Case {
    Case { headers: vec![header.to_owned()], status, ..case(body, error) }
}

fn routed(target: &'static str, status: u16, error: impl Into<String>) -> Case {
    Case { target, status, ..case(good(), error) }
}

fn bad_json() -> Vec<Case> {
    let start = "the body is not an inference request";
    let shape = |shape: &str| input("dir", "FP64", shape, r#""data":[0.35]"#);
    vec![
        case("", "the request body is empty: send a JSON object with 'inputs'"),
        case(" \n", "the request body is empty: send a JSON object with 'inputs'"),
        case("{", format!("{start}: EOF while parsing an object at line 1 column 1")),
        case(
            "7",
            format!(
                "{start}: invalid type: integer `7`, expected a JSON object with 'inputs' at line 1 column 1"
            ),
        ),
        case("{}", format!("{start}: missing field `inputs` at line 1 column 2")),
        case("dir,hir\n1,2\n", format!("{start}: expected value at line 1 column 1")),
        case(r#"{"inputs":{}}"#, {
            format!("{start}: invalid type: map, expected a list of at most 65536 items at line 1 column 10")
        }),
        case(r#"{"inputs":[{"shape":[1],"datatype":"FP64","data":[1]}]}"#, {
            format!("{start}: missing field `name` at line 1 column 53")
        }),
        case(
            "[]",
            format!("{start}: invalid length 0, expected a JSON object with 'inputs' at line 1 column 2"),
        ),
        case(r#"{"inputs":[1]}"#, {
            format!(
                "{start}: invalid type: integer `1`, expected an input, which is a JSON object at line 1 column 12"
            )
        }),
        case(r#"{"inputs":[],"outputs":["label"]}"#, {
            format!(
                "{start}: invalid type: string \"label\", expected an output, which is a JSON object at line 1 column 31"
            )
        }),
        case(r#"{"inputs":[],"parameters":7}"#, {
            format!(
                "{start}: invalid type: integer `7`, expected parameters, which are a JSON object at line 1 column 27"
            )
        }),
        case(r#"{"inputs":[{"name":"dir","shape":[1,1,1,1,1,1,1,1,1],"datatype":"FP64","data":[1]}]}"#, {
            format!("{start}: a list has more than 8 items at line 1 column 52")
        }),
        case(format!("{}{}", "[".repeat(100_000), "]".repeat(100_000)), {
            format!("{start}: invalid type: sequence, expected a string at line 1 column 1")
        }),
        case(r#"{"inputs":[]}"#, "the request has no inputs"),
        first(&shape("[]"), "input 'dir': its shape has no dimension, or is larger than any body"),
        first(&shape("[-1]"), "input 'dir': its shape has a negative size: tell how many rows are sent"),
        first(&shape("[3000000,0]"), "input 'dir': its shape has rows without values"),
        first(&shape("[4294967296,4294967296]"), {
            "input 'dir': its shape has no dimension, or is larger than any body"
        }),
        first(&shape("[1000000000]"), {
            "input 'dir': its data has less than the 1000000000 values of its shape"
        }),
        first(&shape("[2]"), "column 'hir' has 1 rows, the first one has 2"),
        first(
            &input("dir", "FP64", "[1]", r#""data":[[]]"#),
            "input 'dir': it has 0 values, its shape needs 1",
        ),
        first(
            &input("dir", "FP64", "[1]", r#""data":[1,2]"#),
            "input 'dir': it has 2 values, its shape needs 1",
        ),
        first(&input("dir", "FLOAT", "[1]", r#""data":[1]"#), "input 'dir': datatype 'FLOAT' is not known"),
        first(&input("dir", "FP16", "[1]", r#""data":[1]"#), "input 'dir': FP16 is read as binary data only"),
        first(
            &input("dir", "FP64", "[1]", r#""data":["abc"]"#),
            "column 'dir', row 0: 'abc' is not a number",
        ),
        first(&input("dir", "FP64", "[1]", r#""data":[{"a":1}]"#), {
            "column 'dir', row 0: a record is flat, lists and objects are not values"
        }),
        first(&input("dir", "FP64", "[1]", r#""data":[1e400]"#), {
            "line 1: expected values or nested lists of values: number out of range (column 6)"
        }),
        first(&input("dir", "FP64", "[1]", r#""parameters":{}"#), {
            "input 'dir': it has neither data nor binary_data_size"
        }),
        first(&input("dir", "FP64", "[1]", r#""parameters":{"content_type":"base64"},"data":[1]"#), {
            "input 'dir': content_type 'base64' is not read, only np, pd, str, datetime, hg_json are"
        }),
        first(&input("dir", "FP64", "[1]", r#""parameters":{"shared_memory_region":"a"},"data":[1]"#), {
            "input 'dir': shared memory is not offered, send tensors in the body"
        }),
    ]
}

fn bad_columns() -> Vec<Case> {
    let both = format!("{},{}", good_first(), good_first());
    let array = |shape: &str| input("x", "FP64", shape, r#""data":[1,2,3,4,5,6,7,8,9,10,11]"#);
    vec![
        first(&input("Dir", "FP64", "[1]", r#""data":[1]"#), "column 'dir' is missing: the model needs it"),
        first(&both, "column 'dir' occurs more than once"),
        first(
            &input("dir", "FP64", "[2]", r#""data":[1,2]"#),
            "column 'hir' has 1 rows, the first one has 2",
        ),
        first(&input("dir", "FP64", "[1,2]", r#""data":[1,2]"#), {
            "input 'dir' has 2 values in a row: send one value a row for each feature, or all features as the only input"
        }),
        case(format!(r#"{{"inputs":[{}]}}"#, array("[11]")), {
            "the array has 1 values in a row, the model has 11 features: send all of them in the model's order"
        }),
        case(
            format!(r#"{{"inputs":[{}]}}"#, array("[0,11]")),
            "input 'x': it has 11 values, its shape needs 0",
        ),
        case(good_with(r#""outputs":[{"name":"nope"}]"#), {
            "the model has no output 'nope': it has label, probabilities, margin, leaf"
        }),
        case(good_with(r#""outputs":[{"name":"leaf"},{"name":"leaf"}]"#), "output 'leaf' is asked for twice"),
        case(good_with(r#""outputs":[{"name":"label","parameters":{"classification":1}}]"#), {
            "output 'label': the classification extension is not offered"
        }),
        case(good_with(r#""outputs":[{"name":"label","parameters":{"shared_memory_region":"a"}}]"#), {
            "output 'label': shared memory is not offered, send tensors in the body"
        }),
        case(good_with(r#""parameters":{"content_type":"klingon"}"#), {
            "the request: content_type 'klingon' is not read, only np, pd, str, datetime, hg_json are"
        }),
    ]
}

fn bad_bytes() -> Vec<Case> {
    let sized = |rest: &str| {
        let first = input("dir", "FP64", "[1]", rest);
        format!(r#"{{"inputs":[{}]}}"#, inputs(&first))
    };
    let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
    packed.write_all(good().as_bytes()).unwrap();
    let packed = packed.finish().unwrap();
    let length = good().len();
    vec![
        case(sized(r#""parameters":{"binary_data_size":8}"#), {
            "input 'dir': it has binary_data_size, and the request no Inference-Header-Content-Length"
        }),
        raw(&sized(r#""parameters":{"binary_data_size":8},"data":[1]"#), &[0; 8], {
            "input 'dir': it has data and binary_data_size, only one may be"
        }),
        raw_first(
            "FP64",
            8,
            &[0; 7],
            "input 'dir': its binary_data_size is 8, only 7 bytes of the body are left",
        ),
        raw_first("FP64", 8, &[0; 9], "1 bytes follow the last tensor of the body"),
        raw_first("FP32", 8, &[0; 8], "input 'dir': it has 8 bytes of data, its shape needs 4"),
        raw_first("BYTES", 3, &[0; 3], "input 'dir': it has 3 bytes of data, its shape needs 4 or more"),
        raw(
            r#"{"inputs":[{"name":"x","datatype":"BYTES","shape":[3000000,11],"parameters":{"binary_data_size":5}}]}"#,
            b"\x01\0\0\0a",
            "input 'x': it has 5 bytes of data, its shape needs 132000000 or more",
        ),
        raw_first("BYTES", 8, b"\x05\0\0\0abcd", "input 'dir': its value 0 is cut off"),
        raw_first("BYTES", 8, b"\0\0\0\0\0\0\0\0", "input 'dir': it has 2 values, its shape needs 1"),
        raw_first("BYTES", 5, b"\x01\0\0\0\xff", "column 'dir', row 0: the bytes are not UTF-8 text"),
        raw_first("BYTES", 5, b"\x01\0\0\0x", "column 'dir', row 0: 'x' is not a number"),
        headed("Inference-Header-Content-Length: ten", good(), 400, {
            "Inference-Header-Content-Length is not a number of bytes"
        }),
        headed("Inference-Header-Content-Length: 100000", good(), 400, {
            format!("Inference-Header-Content-Length is 100000, the body has {length} bytes")
        }),
        headed("Inference-Header-Content-Length: 0", vec![0; 8], 400, {
            "Inference-Header-Content-Length is 0, and a body without JSON needs a model of one feature: this one has 11"
        }),
        headed("Content-Encoding: gzip", good(), 400, "the body is not valid gzip: invalid gzip header"),
        headed(
            "Content-Encoding: deflate",
            good(),
            400,
            "the body is not valid deflate: corrupt deflate stream",
        ),
        headed("Content-Encoding: gzip", &packed[..packed.len() - 9], 400, {
            "the body is not valid gzip: incomplete deflate stream"
        }),
        headed(
            "Content-Encoding: br",
            good(),
            415,
            "Content-Encoding 'br' is not read, only gzip and deflate are",
        ),
    ]
}

fn bad_routes() -> Vec<Case> {
    let unknown = "there is no such deployment; there are: fraud, revenue";
    vec![
        routed("/v2/models/nope/infer", 404, unknown),
        routed("/v2/models/%FF/infer", 404, unknown),
        routed("/model/nope/v2/models/fraud/infer", 404, unknown),
        routed("/v2/models/fraud/versions/7/infer", 404, "model 'fraud' has no version '7': it has 1"),
        routed("/v2/models/fraud", 405, "this route does not take POST requests"),
        routed("/v2/repository/models/nope/load", 404, unknown),
        routed("/v2/repository/models/nope/unload", 404, unknown),
        Case {
            body: br#"{"parameters":{"config":"{}"}}"#.to_vec(),
            ..routed("/v2/repository/models/fraud/load", 400, {
                "parameter 'config' is not offered: a model is loaded as it lies in the repository, and uploaded with \
                 POST /deployments/{id}"
            })
        },
        routed("/v2/systemsharedmemory/region/a/register", 400, {
            "shared memory is not offered: send tensors in the body"
        }),
    ]
}

/// What is wrong with the answer to a case.
fn check(case: &Case, answer: &Answer) -> Option<String> {
    let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    let found = (answer.status, answer.header("content-type"), body);
    let expected = (case.status, Some("application/json"), json!({ "error": case.error }));
    let start: String = String::from_utf8_lossy(&case.body).chars().take(120).collect();
    let said = || format!("{} {start:?}\n   expected {expected:?}\n   found    {found:?}\n", case.target);
    (found != expected).then(said)
}

#[test]
fn bad_inference_requests_are_refused_and_leave_the_server_as_it_was() {
    let server = RunningServer::serve(&repository("examples/demo"));
    let mut connection = server.connect();
    let before = ask(&mut connection, INFER, &[], good().as_bytes());
    assert_eq!(before.status, 200, "{}", before.text());
    let cases: Vec<Case> =
        [bad_json(), bad_columns(), bad_bytes(), bad_routes()].into_iter().flatten().collect();
    assert!(cases.len() >= 50);
    let mut wrong = String::new();
    for case in &cases {
        let headers: Vec<&str> = case.headers.iter().map(String::as_str).collect();
        let answer = ask(&mut connection, case.target, &headers, &case.body);
        wrong.extend(check(case, &answer));
        if answer.is_last() {
            connection = server.connect();
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
    assert_eq!(ask(&mut connection, INFER, &[], good().as_bytes()).body, before.body);
    server.stop();
}

#[test]
fn a_route_that_does_not_exist_is_refused_in_the_form_of_its_protocol() {
    let server = RunningServer::serve(&repository("examples/demo"));
    let key = |target: &str| {
        let body: Value = serde_json::from_slice(&server.get(target).body).unwrap();
        body.as_object().unwrap().keys().next().unwrap().clone()
    };
    for (target, expected) in [
        ("/v2/nothing", "error"),
        ("/model/fraud/v2/nothing", "error"),
        ("/seldon/any/fraud/v2/nothing", "error"),
        ("/v2nothing", "message"),
        ("/nothing", "message"),
    ] {
        assert_eq!(key(target), expected, "{target}");
    }
    server.stop();
}
