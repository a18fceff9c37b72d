//! gRPC: where it is spoken, that it says what REST says bit for bit, and how it ends.

use std::net::{SocketAddr, TcpListener};
use std::time::{Duration, Instant};

use bytes::Bytes;
use prost::Message;
use serde_json::Value;

use crate::connection::Connection;
use crate::grpc_connection::inference::infer_parameter::ParameterChoice;
use crate::grpc_connection::inference::model_infer_request::{InferInputTensor, InferRequestedOutputTensor};
use crate::grpc_connection::inference::{
    InferParameter, InferTensorContents, ModelInferRequest, ModelInferResponse, ModelStreamInferResponse,
    ServerReadyRequest, ServerReadyResponse,
};
use crate::grpc_connection::{Caller, SERVICE, framed};
use crate::repository;
use crate::running_server::{RunningServer, portend};
use crate::uploads::stump;
use crate::v2::ROW;

/// A server with these settings of the port for gRPC alone.
fn serve(grpc_port: &str) -> RunningServer {
    let mut command = portend();
    command.arg("serve").arg(repository("examples/demo")).args(["--port", "0"]);
    command.env("PORTEND_GRPC_PORT", grpc_port);
    RunningServer::start(command)
}

/// A server of one model of one feature, which tells 0 from 1, with these settings in the environment.
pub(crate) fn serve_stump(settings: &[(&str, &str)]) -> RunningServer {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.txt");
    std::fs::write(&path, stump(3.0, 4.0)).unwrap();
    let mut command = portend();
    command.arg("serve").arg(path).args(["--port", "0", "--no-access-log"]).envs(settings.iter().copied());
    RunningServer::start(command) // which has read the file by now
}

/// The address of the port for gRPC alone, as it is told.
fn grpc_address(server: &RunningServer) -> Option<SocketAddr> {
    let log = server.log();
    let address = log.lines().find_map(|line| line.strip_prefix("listening for gRPC alone on http://"));
    address.map(|address| address.parse().unwrap())
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

#[test]
fn the_port_for_grpc_alone_has_no_other_routes() {
    let free = free_port();
    let server = serve(&free.to_string());
    let address = grpc_address(&server).unwrap();
    assert_eq!(address.port(), free);
    for target in ["/ready", "/deployments", "/v2"] {
        let answer = Connection::open(address).ask("GET", target, &[], b"");
        let expected = "{\"message\":\"this port speaks gRPC alone: the other protocols are on the server's main port\"}";
        assert_eq!((answer.status, answer.text()), (404, expected), "{target}");
    }
    server.stop();
    let server = serve("0");
    assert_eq!(grpc_address(&server), None);
    server.stop();
}

#[test]
fn a_port_for_grpc_that_is_taken_ends_the_start_where_it_was_asked_for() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let mut command = portend();
    command.arg("serve").arg(repository("examples/demo")).args(["--port", "0", "--grpc-port", &port]);
    let ended = command.output().unwrap();
    let told = String::from_utf8(ended.stderr).unwrap();
    assert!(!ended.status.success() && told.contains("--grpc-port") && told.contains(&port), "{told}");
}

const OUTPUTS: [&str; 4] = ["label", "probabilities", "margin", "leaf"];

/// A few rows for the fraud model, as raw bytes of each input.
pub(crate) fn columns() -> Vec<(&'static str, &'static str, Vec<u8>)> {
    let of = |(name, value): (&'static str, &'static str)| {
        if value.starts_with('"') {
            let text = value.trim_matches('"').as_bytes();
            let one = [&(text.len() as u32).to_le_bytes()[..], text].concat();
            return (name, "BYTES", one.repeat(3));
        }
        let value = value.parse().unwrap_or(f64::NAN);
        let values = [value, value * 1.5, f64::NAN];
        (name, "FP64", values.iter().flat_map(|value| value.to_le_bytes()).collect())
    };
    ROW.map(of).into()
}

/// The rows as a request with raw contents.
pub(crate) fn raw_request() -> ModelInferRequest {
    let columns = columns();
    let input = |(name, datatype, _): &(&str, &str, Vec<u8>)| InferInputTensor {
        name: (*name).to_owned(),
        datatype: (*datatype).to_owned(),
        shape: vec![3, 1],
        ..Default::default()
    };
    ModelInferRequest {
        model_name: "fraud".to_owned(),
        id: "7".to_owned(),
        inputs: columns.iter().map(input).collect(),
        outputs: OUTPUTS
            .map(|name| InferRequestedOutputTensor { name: name.to_owned(), ..Default::default() })
            .into(),
        raw_input_contents: columns.into_iter().map(|(.., bytes)| Bytes::from(bytes)).collect(),
        ..Default::default()
    }
}

/// The same with lists of values.
fn listed_request() -> ModelInferRequest {
    let mut request = raw_request();
    let raw = std::mem::take(&mut request.raw_input_contents);
    for (input, raw) in request.inputs.iter_mut().zip(raw) {
        let mut contents = InferTensorContents::default();
        if input.datatype == "BYTES" {
            let length = u32::from_le_bytes(raw[..4].try_into().unwrap()) as usize;
            contents.bytes_contents = vec![raw.slice(4..4 + length); 3];
        } else {
            let values = raw.chunks_exact(8).map(|value| f64::from_le_bytes(value.try_into().unwrap()));
            contents.fp64_contents = values.collect();
        }
        input.contents = Some(contents);
    }
    request
}

/// The raw tensors that REST answers to the same rows.
fn by_rest(server: &RunningServer) -> Vec<Bytes> {
    let columns = columns();
    let input = |(name, datatype, raw): &(&str, &str, Vec<u8>)| {
        let size = raw.len();
        format!(
            r#"{{"name":"{name}","datatype":"{datatype}","shape":[3,1],"parameters":{{"binary_data_size":{size}}}}}"#
        )
    };
    let inputs: Vec<_> = columns.iter().map(input).collect();
    let outputs =
        OUTPUTS.map(|name| format!(r#"{{"name":"{name}","parameters":{{"binary_data":true}}}}"#)).join(",");
    let json = format!(r#"{{"inputs":[{}],"outputs":[{outputs}]}}"#, inputs.join(","));
    let length = format!("Inference-Header-Content-Length: {}", json.len());
    let body = [json.into_bytes(), columns.into_iter().flat_map(|(.., raw)| raw).collect()].concat();
    let answer = server.connect().ask("POST", "/v2/models/fraud/infer", &[&length], &body);
    assert_eq!(answer.status, 200, "{}", answer.text());
    let length: usize = answer.header("inference-header-content-length").unwrap().parse().unwrap();
    let json: Value = serde_json::from_slice(&answer.body[..length]).unwrap();
    let mut rest = Bytes::from(answer.body[length..].to_vec());
    let outputs = json["outputs"].as_array().unwrap();
    let size = |output: &Value| output["parameters"]["binary_data_size"].as_u64().unwrap() as usize;
    outputs.iter().map(|output| rest.split_to(size(output))).collect()
}

#[test]
fn both_ports_answer_what_rest_answers_bit_for_bit() {
    let server = serve(&free_port().to_string());
    let wanted = by_rest(&server);
    for address in [server.address, grpc_address(&server).unwrap()] {
        let mut caller = Caller::open(address);
        let answer: ModelInferResponse = caller.ask("ModelInfer", &raw_request());
        let said = (&*answer.model_name, &*answer.model_version, &*answer.id);
        assert_eq!(said, ("fraud", "1", "7"));
        let told: Vec<_> = answer.outputs.iter().map(|o| (&*o.name, &*o.datatype, o.shape.clone())).collect();
        let expected = [
            ("label", "BYTES", vec![3]),
            ("probabilities", "FP32", vec![3, 2]),
            ("margin", "FP32", vec![3]),
            ("leaf", "INT32", vec![3, 40]),
        ];
        assert_eq!(told, expected);
        assert_eq!(answer.raw_output_contents, wanted);
        assert!(answer.outputs.iter().all(|output| output.contents.is_none()));

        let listed: ModelInferResponse = caller.ask("ModelInfer", &listed_request());
        assert!(listed.raw_output_contents.is_empty());
        let contents = |at: usize| listed.outputs[at].contents.as_ref().unwrap();
        let floats =
            |at: usize| contents(at).fp32_contents.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<_>>();
        let texts = contents(0).bytes_contents.iter();
        let texts: Vec<_> = texts.flat_map(|t| [&(t.len() as u32).to_le_bytes()[..], t].concat()).collect();
        let leaves: Vec<_> = contents(3).int_contents.iter().flat_map(|v| v.to_le_bytes()).collect();
        assert_eq!([texts, floats(1), floats(2), leaves].map(Bytes::from).to_vec(), wanted);
    }
    server.stop();
}

/// A request of one input called x, for a model of one feature.
pub(crate) fn of_one(datatype: &str, shape: &[i64], contents: InferTensorContents) -> ModelInferRequest {
    let (name, datatype, shape) = ("x".to_owned(), datatype.to_owned(), shape.to_vec());
    let input = InferInputTensor { name, datatype, shape, contents: Some(contents), ..Default::default() };
    ModelInferRequest { inputs: vec![input], ..Default::default() }
}

#[test]
fn every_datatype_is_read_raw_and_out_of_its_list() {
    let server = serve_stump(&[]);
    let mut caller = Caller::open(server.address);
    let lists = InferTensorContents::default;
    // the stump tells 0 from 1
    for (datatype, raw, contents) in [
        ("BOOL", vec![0, 1], Some(InferTensorContents { bool_contents: vec![false, true], ..lists() })),
        ("INT8", vec![0, 1], Some(InferTensorContents { int_contents: vec![0, 1], ..lists() })),
        ("INT16", vec![0, 0, 1, 0], Some(InferTensorContents { int_contents: vec![-300, 300], ..lists() })),
        (
            "INT32",
            [0_i32, 1].map(i32::to_le_bytes).concat(),
            Some(InferTensorContents { int_contents: vec![i32::MIN, i32::MAX], ..lists() }),
        ),
        (
            "INT64",
            [0_i64, 1].map(i64::to_le_bytes).concat(),
            Some(InferTensorContents { int64_contents: vec![i64::MIN, i64::MAX], ..lists() }),
        ),
        ("UINT8", vec![0, 255], Some(InferTensorContents { uint_contents: vec![0, 255], ..lists() })),
        ("UINT16", vec![0, 0, 1, 0], Some(InferTensorContents { uint_contents: vec![0, 65_535], ..lists() })),
        (
            "UINT32",
            [0_u32, 1].map(u32::to_le_bytes).concat(),
            Some(InferTensorContents { uint_contents: vec![0, u32::MAX], ..lists() }),
        ),
        (
            "UINT64",
            [0_u64, 1].map(u64::to_le_bytes).concat(),
            Some(InferTensorContents { uint64_contents: vec![0, u64::MAX], ..lists() }),
        ),
        ("FP16", vec![0, 0, 0, 0x3c], None),
        ("BF16", vec![0, 0, 0x80, 0x3f], None),
        (
            "FP32",
            [0_f32, 1.0].map(f32::to_le_bytes).concat(),
            Some(InferTensorContents { fp32_contents: vec![-1.0, 1.0], ..lists() }),
        ),
        (
            "FP64",
            [0_f64, 1.0].map(f64::to_le_bytes).concat(),
            Some(InferTensorContents { fp64_contents: vec![-1.0, 1.0], ..lists() }),
        ),
        (
            "BYTES",
            [&[1, 0, 0, 0, b'0'][..], &[3, 0, 0, 0, b'1', b'.', b'5']].concat(),
            Some(InferTensorContents { bytes_contents: vec!["0".into(), "1.5".into()], ..lists() }),
        ),
    ] {
        let mut request = of_one(datatype, &[2, 1], lists());
        request.raw_input_contents = vec![raw.into()];
        let answer: ModelInferResponse = caller.ask("ModelInfer", &request);
        let expected = [3.0_f64, 4.0].map(f64::to_le_bytes).concat();
        assert_eq!(answer.raw_output_contents, [expected], "{datatype}");
        let Some(contents) = contents else { continue };
        let answer: ModelInferResponse = caller.ask("ModelInfer", &of_one(datatype, &[2], contents));
        assert_eq!(answer.outputs[0].contents.as_ref().unwrap().fp64_contents, [3.0, 4.0], "{datatype}");
    }
    server.stop();
}

#[test]
fn a_stream_answers_each_request_and_goes_on_after_one_that_fails() {
    let server = serve("0");
    let mut caller = Caller::open(server.address);
    let mut wrong = raw_request();
    wrong.id = "8".to_owned();
    wrong.inputs[0].datatype = "FP128".to_owned();
    let mut open = caller.begin(&format!("{SERVICE}ModelStreamInfer"), &[]);
    let all: Vec<u8> =
        [raw_request(), wrong, raw_request()].iter().flat_map(|one| framed(&one.encode_to_vec())).collect();
    for piece in all.chunks(100) {
        caller.send(&mut open, piece, false);
    }
    caller.send(&mut open, b"", true);
    let ended = caller.end(open);
    assert_eq!((ended.code, ended.messages.len()), (Some(0), 3), "{ended:?}");
    let answers: Vec<_> =
        ended.messages.into_iter().map(|one| ModelStreamInferResponse::decode(one).unwrap()).collect();
    assert_eq!(answers[1].error_message, "input 'dir': datatype 'FP128' is not known");
    assert_eq!(answers[1].infer_response.as_ref().unwrap().id, "8");
    for answer in [&answers[0], &answers[2]] {
        let response = answer.infer_response.as_ref().unwrap();
        assert_eq!((&*answer.error_message, &*response.id), ("", "7"));
        assert_eq!(response.raw_output_contents, by_rest(&server));
        let last = InferParameter { parameter_choice: Some(ParameterChoice::BoolParam(true)) };
        assert_eq!(response.parameters["triton_final_response"], last);
    }
    let metrics = server.get("/metrics").text().to_owned();
    assert!(
        metrics.contains(r#"portend_requests_total{model="fraud",protocol="v2-grpc",code="200"} 2"#),
        "{metrics}"
    );
    server.stop();
}

#[test]
fn streams_end_when_the_server_stops_and_what_is_under_way_is_answered() {
    let server = serve("0");
    let mut caller = Caller::open(server.address);
    let streams = ["/inference.GRPCInferenceService/ModelStreamInfer", "/grpc.health.v1.Health/Watch"];
    let [mut inference, mut watch] = streams.map(|path| caller.begin(path, &[]));
    caller.send(&mut watch, &framed(b""), true);
    caller.send(&mut inference, &framed(&raw_request().encode_to_vec()), false);
    let mut begun = caller.begin(&format!("{SERVICE}ModelInfer"), &[]);
    let body = framed(&raw_request().encode_to_vec());
    caller.send(&mut begun, &body[..100], false);
    std::thread::sleep(Duration::from_millis(200));
    let start = Instant::now();
    server.terminate();
    std::thread::sleep(Duration::from_millis(100));
    caller.send(&mut begun, &body[100..], true);
    let answered = caller.end(begun);
    assert_eq!((answered.code, answered.messages.len()), (Some(0), 1), "{answered:?}");
    let stopping = (Some(14), "the server is stopping");
    let ended = caller.end(inference);
    assert_eq!((ended.code, &*ended.text, ended.messages.len()), (stopping.0, stopping.1, 1), "{ended:?}");
    let ended = caller.end(watch);
    let serving_and_not = [Bytes::from_static(&[8, 1]), Bytes::from_static(&[8, 2])];
    assert_eq!((ended.code, &*ended.text), stopping);
    assert_eq!(ended.messages, serving_and_not);
    let (code, log) = server.end();
    assert_eq!(code, Some(0), "{log}");
    assert!(start.elapsed() < Duration::from_secs(15), "{:?}", start.elapsed());
}

#[test]
fn an_idle_connection_does_not_delay_the_end() {
    let server = serve("0");
    let mut caller = Caller::open(server.address);
    let ready: ServerReadyResponse = caller.ask("ServerReady", &ServerReadyRequest {});
    assert!(ready.ready);
    let silent = server.connect(); // never says which version of HTTP it speaks
    let start = Instant::now();
    server.stop();
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
    drop((caller, silent));
}
