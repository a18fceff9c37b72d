//! What calls are refused for: the code, a text that names the thing, and nothing else affected.

use prost::Message;

use crate::connection::Connection;
use crate::grpc::{of_one, raw_request, serve_stump};
use crate::grpc_connection::inference::{
    InferTensorContents, ModelInferRequest, ModelInferResponse, ModelReadyRequest, ModelReadyResponse,
    RepositoryModelLoadRequest, ServerLiveRequest, ServerLiveResponse,
};
use crate::grpc_connection::{Caller, Ended, SERVICE, framed};
use crate::repository;
use crate::running_server::{RunningServer, portend};

const INVALID: u32 = 3;
const DEADLINE: u32 = 4;
const NOT_FOUND: u32 = 5;
const EXHAUSTED: u32 = 8;
const UNIMPLEMENTED: u32 = 12;
const UNAUTHENTICATED: u32 = 16;

fn demo() -> RunningServer {
    let mut command = portend();
    command.arg("serve").arg(repository("examples/demo")).args(["--port", "0"]);
    RunningServer::start(command)
}

fn infer(caller: &mut Caller, headers: &[(&str, &str)], body: &[u8]) -> Ended {
    caller.call(&format!("{SERVICE}ModelInfer"), headers, body)
}

/// The request for the fraud model with something changed.
fn changed(change: impl FnOnce(&mut ModelInferRequest)) -> Vec<u8> {
    let mut request = raw_request();
    change(&mut request);
    framed(&request.encode_to_vec())
}

fn lists() -> InferTensorContents {
    InferTensorContents { fp64_contents: vec![0.1, 0.2, 0.3], ..Default::default() }
}

/// Bodies, and what they are answered.
fn bodies() -> Vec<(&'static str, Vec<u8>, u32, &'static str)> {
    let not_valid = "the message is not valid protobuf: it is cut off, or something else was sent";
    let raw = |bytes: &[u8]| framed(bytes);
    let good = raw_request().encode_to_vec();
    let cut = &good[..good.len() - 1];
    vec![
        ("no message", vec![], INVALID, "the call has no message, which begins with 5 bytes"),
        ("half a prefix", vec![0, 0, 0], INVALID, "the call has no message, which begins with 5 bytes"),
        (
            "less than announced",
            vec![0, 0, 0, 0, 9, 1],
            INVALID,
            "the message's prefix says that it has 9 bytes, and 1 follow",
        ),
        (
            "two messages",
            framed(b"").repeat(2),
            INVALID,
            "the message's prefix says that it has 0 bytes, and 5 follow",
        ),
        (
            "a huge length",
            vec![0, 255, 255, 255, 255],
            INVALID,
            "the message's prefix says that it has 4294967295 bytes, and 0 follow",
        ),
        (
            "a prefix of another kind",
            vec![7, 0, 0, 0, 0],
            INVALID,
            "the message's prefix does not begin with 0 or 1",
        ),
        (
            "compressed in no way",
            vec![1, 0, 0, 0, 0],
            INVALID,
            "the message says that it is compressed, and grpc-encoding does not say how",
        ),
        ("JSON", raw(b"{\"inputs\":[]}"), INVALID, not_valid),
        ("text", raw(b"hello"), INVALID, not_valid),
        ("cut off", raw(cut), INVALID, not_valid),
        ("a length past the end", raw(&[0x2a, 0xff, 0xff, 0xff, 0xff, 0x0f]), INVALID, not_valid),
        (
            "a number without end",
            raw(&[0x28, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]),
            INVALID,
            not_valid,
        ),
        ("a name that is a number", raw(&[0x08, 1]), INVALID, not_valid),
        ("a name that is no text", raw(&[0x0a, 1, 0xff]), INVALID, "a text of the message is not UTF-8"),
        (
            "no inputs",
            changed(|r| {
                r.inputs.clear();
                r.raw_input_contents.clear();
            }),
            INVALID,
            "the request has no inputs",
        ),
        (
            "another model",
            changed(|r| r.model_name = "nope".to_owned()),
            NOT_FOUND,
            "there is no such deployment; there are: fraud, revenue",
        ),
        (
            "another version",
            changed(|r| r.model_version = "2".to_owned()),
            NOT_FOUND,
            "model 'fraud' has no version '2': it has 1",
        ),
        (
            "no datatype",
            changed(|r| r.inputs[0].datatype.clear()),
            INVALID,
            "input 'dir': datatype '' is not known",
        ),
        (
            "no shape",
            changed(|r| r.inputs[0].shape.clear()),
            INVALID,
            "input 'dir': its shape has no dimension, or is larger than any body",
        ),
        (
            "a size below 0",
            changed(|r| r.inputs[0].shape = vec![-1, 1]),
            INVALID,
            "the shape of an input has a size below 0",
        ),
        (
            "a shape past all numbers",
            changed(|r| r.inputs[0].shape = vec![i64::MAX, i64::MAX]),
            INVALID,
            "input 'dir': its shape has no dimension, or is larger than any body",
        ),
        (
            "nine dimensions",
            changed(|r| r.inputs[0].shape = vec![1; 9]),
            INVALID,
            "the shape of an input has more than 8 sizes",
        ),
        (
            "a shape of more",
            changed(|r| r.inputs[0].shape = vec![4, 1]),
            INVALID,
            "input 'dir': it has 24 bytes of data, its shape needs 32",
        ),
        (
            "raw for some",
            changed(|r| {
                r.raw_input_contents.pop();
            }),
            INVALID,
            "the request has 11 inputs and 10 raw_input_contents: send one for each input, or none",
        ),
        (
            "raw and lists",
            changed(|r| r.inputs[0].contents = Some(lists())),
            INVALID,
            "input 'dir': it has contents, and the request raw_input_contents: only one may be",
        ),
        (
            "texts cut off",
            changed(|r| r.raw_input_contents[7] = b"\x09\0\0\0AAAAAAAA".to_vec().into()),
            INVALID,
            "input 'pbcr': its value 0 is cut off",
        ),
        (
            "texts less",
            changed(|r| r.raw_input_contents[7] = b"\x08\0\0\0AAAAAAAA".to_vec().into()),
            INVALID,
            "input 'pbcr': it has 1 values, its shape needs 3",
        ),
        (
            "less than the lengths of the texts",
            changed(|r| r.raw_input_contents[7].truncate(6)),
            INVALID,
            "input 'pbcr': it has 6 bytes of data, its shape needs 12 or more",
        ),
        (
            "an unknown output",
            changed(|r| r.outputs[0].name = "nope".to_owned()),
            INVALID,
            "the model has no output 'nope': it has label, probabilities, margin, leaf",
        ),
        (
            "an output twice",
            changed(|r| r.outputs[1].name = "label".to_owned()),
            INVALID,
            "output 'label' is asked for twice",
        ),
        (
            "65 outputs",
            changed(|r| r.outputs = vec![r.outputs[0].clone(); 65]),
            INVALID,
            "the request has more than 64 outputs",
        ),
        (
            "too many inputs",
            changed(|r| r.inputs = vec![Default::default(); 65_537]),
            INVALID,
            "the request has more than 65536 inputs",
        ),
        (
            "shared memory",
            changed(|r| {
                r.inputs[0].parameters.insert("shared_memory_region".to_owned(), Default::default());
            }),
            INVALID,
            "input 'dir': shared memory is not offered, send tensors in the body",
        ),
        (
            "a column less",
            changed(|r| {
                r.inputs.remove(2);
                r.raw_input_contents.remove(2);
            }),
            INVALID,
            "column 'lvr' is missing: the model needs it",
        ),
    ]
}

#[test]
fn a_body_that_cannot_be_read_is_refused_by_name_and_nothing_else_is_affected() {
    let server = demo();
    let mut caller = Caller::open(server.address);
    let all = bodies();
    assert!(all.len() >= 25);
    for (what, body, code, text) in all {
        let ended = infer(&mut caller, &[], &body);
        assert_eq!((ended.http, ended.code, &*ended.text), (200, Some(code), text), "{what}");
        assert!(ended.messages.is_empty(), "{what}");
    }
    let answer: ModelInferResponse = caller.ask("ModelInfer", &raw_request());
    assert_eq!(answer.raw_output_contents.len(), 4);
    server.stop();
}

#[test]
fn lists_of_values_are_those_of_the_datatype() {
    let server = serve_stump(&[]);
    let mut caller = Caller::open(server.address);
    let none = InferTensorContents::default;
    for (datatype, contents, text) in [
        ("FP32", lists(), "input 'x': FP32 is read out of fp32_contents, and it has fp64_contents"),
        ("FP16", lists(), "input 'x': FP16 is read out of raw_input_contents only"),
        (
            "FP64",
            InferTensorContents { fp64_contents: vec![1.0], ..none() },
            "input 'x': it has 8 bytes of data, its shape needs 24",
        ),
        ("FP64", none(), "input 'x': it has 0 values, its shape needs 3"),
        (
            "INT8",
            InferTensorContents { int_contents: vec![1, 2, 128], ..none() },
            "input 'x': a value of its int_contents is no INT8",
        ),
        (
            "UINT8",
            InferTensorContents { uint_contents: vec![1, 2, 256], ..none() },
            "input 'x': a value of its uint_contents is no UINT8",
        ),
        (
            "INT64",
            InferTensorContents { int64_contents: vec![1, 2], ..none() },
            "input 'x': it has 2 values, its shape needs 3",
        ),
        (
            "BOOL",
            InferTensorContents { bool_contents: vec![true; 4], ..none() },
            "input 'x': it has 4 values, its shape needs 3",
        ),
        (
            "BYTES",
            InferTensorContents { bytes_contents: vec!["1".into()], ..none() },
            "input 'x': it has 1 values, its shape needs 3",
        ),
        (
            "BYTES",
            InferTensorContents { bytes_contents: vec!["a".into(); 3], ..none() },
            "column 'x', row 0: 'a' is not a number",
        ),
    ] {
        let body = framed(&of_one(datatype, &[3], contents).encode_to_vec());
        let ended = infer(&mut caller, &[], &body);
        assert_eq!((ended.code, &*ended.text), (Some(INVALID), text), "{datatype}");
    }
    server.stop();
}

#[test]
fn what_is_no_call_is_told_so() {
    let server = demo();
    let mut caller = Caller::open(server.address);
    for (path, headers, http, code, text) in [
        (
            "/inference.GRPCInferenceService/Nope",
            &[][..],
            200,
            Some(UNIMPLEMENTED),
            "there is no call /inference.GRPCInferenceService/Nope: server reflection lists all",
        ),
        ("/a.B/C", &[], 200, Some(UNIMPLEMENTED), "there is no call /a.B/C: server reflection lists all"),
        (
            "/inference.GRPCInferenceService/ServerLive",
            &[("content-type", "application/json")],
            415,
            None,
            "",
        ),
        (
            "/inference.GRPCInferenceService/ServerLive",
            &[("content-type", "application/grpc-web")],
            415,
            None,
            "",
        ),
        (
            "/inference.GRPCInferenceService/ServerLive",
            &[("grpc-timeout", "soon")],
            200,
            Some(INVALID),
            "grpc-timeout is not a number of at most 8 digits and one of the units H M S m u n",
        ),
        (
            "/inference.GRPCInferenceService/LogSettings",
            &[],
            200,
            Some(UNIMPLEMENTED),
            "settings are not changed by calls: they are given to the server at its start",
        ),
    ] {
        let ended = caller.call(path, headers, &framed(b""));
        assert_eq!((ended.http, ended.code, &*ended.text), (http, code, text), "{path} {headers:?}");
    }
    let compressed = [("grpc-encoding", "snappy")];
    let ended = infer(&mut caller, &compressed, &[1, 0, 0, 0, 0]);
    let text = "grpc-encoding 'snappy' is not read, only identity, gzip and deflate are";
    assert_eq!((ended.code, &*ended.text), (Some(UNIMPLEMENTED), text));
    let ended = infer(&mut caller, &[("grpc-encoding", "gzip")], &[1, 0, 0, 0, 1, 65]);
    assert_eq!(ended.code, Some(INVALID));
    assert!(ended.text.starts_with("the body is not valid gzip"), "{}", ended.text);
    let headers = ["Content-Type: application/grpc"];
    let answer =
        Connection::open(server.address).ask("POST", &format!("{SERVICE}ServerLive"), &headers, &framed(b""));
    assert_eq!(answer.status, 505, "{}", answer.text());
    let live: ServerLiveResponse = caller.ask("ServerLive", &ServerLiveRequest {});
    assert!(live.live);
    server.stop();
}

#[test]
fn sizes_are_bounded_in_both_directions() {
    let server = serve_stump(&[("PORTEND_BODY_LIMIT", "1MiB"), ("PORTEND_GRPC_ANSWER_LIMIT", "1KiB")]);
    let mut caller = Caller::open(server.address);
    let rows = |count: usize| {
        let contents = InferTensorContents { fp32_contents: vec![1.0; count], ..Default::default() };
        of_one("FP32", &[count as i64], contents)
    };
    let too_large = "the request body is larger than 1 MiB";
    let ended = infer(&mut caller, &[], &framed(&rows(1 << 18).encode_to_vec()));
    assert_eq!((ended.code, &*ended.text), (Some(EXHAUSTED), too_large));
    let mut open = caller.begin(&format!("{SERVICE}ModelStreamInfer"), &[]);
    caller.send(&mut open, &[0, 0, 16, 0, 1], false);
    let ended = caller.end(open);
    assert_eq!((ended.code, &*ended.text), (Some(EXHAUSTED), too_large), "refused by its prefix");
    let ended = infer(&mut caller, &[], &framed(&rows(1000).encode_to_vec()));
    let text = "the answer would be larger than 1 KiB: send fewer rows at a time, or raise grpc-answer-limit";
    assert_eq!((ended.code, &*ended.text), (Some(EXHAUSTED), text));
    let _: ModelInferResponse = caller.ask("ModelInfer", &rows(100));
    server.stop();
}

#[test]
fn a_call_ends_with_its_deadline() {
    let server = serve_stump(&[]);
    let mut caller = Caller::open(server.address);
    let rows = 4_000_000;
    let contents = InferTensorContents { fp32_contents: vec![1.0; rows], ..Default::default() };
    let body = framed(&of_one("FP32", &[rows as i64], contents).encode_to_vec());
    let text = "the deadline of the call is over before its answer was there";
    for path in ["ModelInfer", "ModelStreamInfer"] {
        // half a body that never ends, and a whole one
        let mut open = caller.begin(&format!("{SERVICE}{path}"), &[("grpc-timeout", "300m")]);
        caller.send(&mut open, &body[..1000], false);
        let ended = caller.end(open);
        assert_eq!((ended.code, &*ended.text), (Some(DEADLINE), text), "{path}");
        let ended = caller.call(&format!("{SERVICE}{path}"), &[("grpc-timeout", "1000u")], &body);
        assert_eq!((ended.code, &*ended.text), (Some(DEADLINE), text), "{path}");
        let ended = caller.call(&format!("{SERVICE}{path}"), &[("grpc-timeout", "50S")], &body);
        assert_eq!((ended.code, ended.messages.len()), (Some(0), 1), "{path}");
    }
    server.stop();
}

#[test]
fn calls_need_the_token_where_one_is_set_and_health_does_not() {
    let server = serve_stump(&[("PORTEND_TOKEN", "sesame")]);
    let mut caller = Caller::open(server.address);
    let body = framed(&ModelReadyRequest::default().encode_to_vec());
    let path = format!("{SERVICE}ModelReady");
    for headers in [&[][..], &[("authorization", "Bearer wrong")]] {
        let ended = caller.call(&path, headers, &body);
        assert_eq!(ended.code, Some(UNAUTHENTICATED), "{ended:?}");
    }
    let ended = caller.call(&path, &[("authorization", "Bearer sesame")], &body);
    assert!(ModelReadyResponse::decode(ended.messages[0].clone()).unwrap().ready);
    let ended = caller.call("/grpc.health.v1.Health/Check", &[], &framed(b""));
    assert_eq!((ended.code, &ended.messages[0][..]), (Some(0), &[8, 1][..]));
    let load = framed(&RepositoryModelLoadRequest::default().encode_to_vec());
    let ended = caller.call(&format!("{SERVICE}RepositoryModelLoad"), &[], &load);
    assert_eq!(ended.code, Some(UNAUTHENTICATED));
    server.stop();
}
