//! Seldon's protocol over gRPC as it goes over the wire: each payload gets the numbers that REST gets, and calls that cannot
//! be answered are refused with a code and a reason, and harm nothing.

use serde_json::{Value, json};

use crate::grpc_connection::{Caller, framed};
use crate::protobuf::{double, field, integer, varint};
use crate::repository;
use crate::running_server::RunningServer;
use crate::seldon::{JSON, NAMES, PREDICT, ROWS, good};

const CALL: &str = "/seldon.protos.Seldon/Predict";
const FRAUD: (&str, &str) = ("seldon", "fraud");

/// A Value of this JSON.
fn value(json: &Value) -> Vec<u8> {
    match json {
        Value::Null => integer(1, 0),
        Value::Number(number) => double(2, number.as_f64().unwrap()),
        Value::String(text) => field(3, text),
        Value::Bool(truth) => integer(4, u64::from(*truth)),
        Value::Object(_) => field(5, fields_of(json)),
        Value::Array(items) => field(6, list(items)),
    }
}

/// A ListValue.
fn list(items: &[Value]) -> Vec<u8> {
    items.iter().flat_map(|item| field(1, value(item))).collect()
}

fn parsed(json: &str) -> Vec<Value> {
    serde_json::from_str(json).unwrap()
}

fn names() -> Vec<String> {
    serde_json::from_str(NAMES).unwrap()
}

/// The rows as numbers; the fraud model's texts have no number.
fn numbers() -> Vec<f64> {
    parsed(ROWS)
        .iter()
        .flat_map(|row| row.as_array().unwrap().clone())
        .map(|v| v.as_f64().unwrap_or(f64::NAN))
        .collect()
}

fn doubles(values: &[f64]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

/// A Tensor of this shape.
fn tensor(shape: &[u64], values: &[u8]) -> Vec<u8> {
    let shape: Vec<u8> = shape.iter().flat_map(|size| varint(*size)).collect();
    [field(1, shape), field(2, values)].concat()
}

/// A TensorProto of this datatype and shape, and what holds its values.
fn tf_tensor(datatype: u64, shape: &[u64], values: Vec<u8>) -> Vec<u8> {
    let shape: Vec<u8> = shape.iter().flat_map(|size| field(2, integer(1, *size))).collect();
    [integer(1, datatype), field(2, shape), values].concat()
}

/// A message of an array.
fn data(array: Vec<u8>) -> Vec<u8> {
    field(3, array)
}

/// Rows as a ListValue.
fn ndarray(rows: &str) -> Vec<u8> {
    data(field(3, list(&parsed(rows))))
}

/// What REST says to this message: the probabilities of no and yes of each row.
fn expected(server: &RunningServer, body: &str) -> Vec<Vec<f64>> {
    let answer = server.connect().ask("POST", PREDICT, &[JSON], body.as_bytes());
    assert_eq!(answer.status, 200, "{body}: {}", answer.text());
    let answer: Value = serde_json::from_slice(&answer.body).unwrap();
    let exact = |value: &Value| f64::from(value.as_f64().unwrap() as f32);
    let row = |row: &Value| row.as_array().unwrap().iter().map(exact).collect();
    answer["data"]["ndarray"].as_array().unwrap().iter().map(row).collect()
}

/// An answer with these probabilities, in the array of this number.
fn answer(rows: &[Vec<f64>], number: u64) -> Vec<u8> {
    let shape = [rows.len() as u64, 2];
    let values = rows.concat();
    let array = match number {
        2 => tensor(&shape, &doubles(&values)),
        3 => list(&rows.iter().map(|row| json!(row)).collect::<Vec<_>>()),
        _ => {
            let floats: Vec<u8> = values.iter().flat_map(|value| (*value as f32).to_le_bytes()).collect();
            tf_tensor(1, &shape, field(4, floats))
        }
    };
    let path = field(4, [field(1, "fraud"), field(2, "fraud:1")].concat());
    [field(2, path), field(3, [field(1, "no"), field(1, "yes"), field(number, array)].concat())].concat()
}

#[test]
fn every_payload_gets_the_numbers_of_rest_in_its_own_encoding() {
    let server = RunningServer::serve(&repository("examples/demo"));
    let mut caller = Caller::open(server.address);
    let texts = expected(&server, &good());
    let unquoted = ROWS.replace("\"no\"", "null").replace("\"yes\"", "null");
    let numeric = expected(&server, &good().replace(ROWS, &unquoted));
    let mut check = |what: &str, message: Vec<u8>, number: u64, rows: &[Vec<f64>]| {
        for call in [CALL, "/seldon.protos.Model/Predict"] {
            let ended = caller.call(call, &[FRAUD], &framed(&message));
            assert_eq!((ended.code, &*ended.text), (Some(0), ""), "{what}");
            assert_eq!(ended.messages, [answer(rows, number)], "{what}");
        }
    };
    check("ndarray", ndarray(ROWS), 3, &texts);
    let backwards: Vec<Value> =
        parsed(ROWS).iter().map(|row| row.as_array().unwrap().iter().rev().cloned().collect()).collect();
    let reversed: Vec<u8> = names().iter().rev().flat_map(|name| field(1, name)).collect();
    check("names", data([reversed, field(3, list(&backwards))].concat()), 3, &texts);
    let values = doubles(&numbers());
    check("tensor", data(field(2, tensor(&[2, 11], &values))), 2, &numeric);
    let one_by_one: Vec<u8> = numbers().iter().flat_map(|value| double(2, *value)).collect();
    let unpacked = [integer(1, 2), integer(1, 11), one_by_one].concat();
    check("tensor, one by one", data(field(2, unpacked)), 2, &numeric);
    let (first, second) = values.split_at(80);
    let pieces = [tensor(&[2, 11], first), field(2, second)].concat();
    check("tensor in two pieces", data(field(2, pieces)), 2, &numeric);
    check("content", data(field(4, tf_tensor(2, &[2, 11], field(4, &values)))), 4, &numeric);
    check("double_val", data(field(4, tf_tensor(2, &[2, 11], field(6, &values)))), 4, &numeric);
    let floats: Vec<u8> = numbers().iter().flat_map(|value| (*value as f32).to_le_bytes()).collect();
    check("float_val", data(field(4, tf_tensor(1, &[2, 11], field(5, &floats)))), 4, &numeric);
    let table = |separator: &str| {
        let row = |row: &Value| {
            let cells = row.as_array().unwrap().iter().map(|cell| match cell {
                Value::Null => String::new(),
                Value::String(text) => text.clone(),
                other => other.to_string(),
            });
            cells.collect::<Vec<_>>().join(",")
        };
        let rows = parsed(ROWS);
        let lines = std::iter::once(names().join(",")).chain(rows.iter().map(row));
        lines.collect::<Vec<_>>().join(separator)
    };
    check("strData", field(5, table("\n")), 2, &texts);
    check("binData", field(4, table("\r\n")), 2, &texts);
    let record =
        |row: &Value| -> Value { names().into_iter().zip(row.as_array().unwrap().iter().cloned()).collect() };
    let records: Vec<Value> = parsed(ROWS).iter().map(record).collect();
    check("jsonData", field(6, value(&json!(records))), 2, &texts);
    check("jsonData of one", field(6, value(&records[0])), 2, &texts[..1]);
    let packed = |kind: &str, content: Vec<u8>| {
        field(7, [field(1, format!("type.googleapis.com/{kind}")), field(2, content)].concat())
    };
    for (kind, content, rows) in [
        ("google.protobuf.ListValue", list(&records), &texts[..]),
        ("google.protobuf.Struct", fields_of(&records[1]), &texts[1..]),
        ("google.protobuf.StringValue", field(1, table("\n")), &texts[..]),
        ("seldon.protos.Tensor", tensor(&[2, 11], &values), &numeric[..]),
        ("tensorflow.TensorProto", tf_tensor(2, &[2, 11], field(4, &values)), &numeric[..]),
    ] {
        check(kind, packed(kind, content), 2, rows);
    }
    server.stop();
}

/// A Struct.
fn fields_of(object: &Value) -> Vec<u8> {
    let entries = object.as_object().unwrap().iter();
    entries.flat_map(|(key, item)| field(1, [field(1, key), field(2, value(item))].concat())).collect()
}

/// A call that is refused: its path, what is said beside it, its body, and how it ends.
struct Case {
    path: &'static str,
    metadata: &'static [(&'static str, &'static str)],
    body: Vec<u8>,
    code: u32,
    text: String,
}

const INVALID_ARGUMENT: u32 = 3;
const NOT_FOUND: u32 = 5;
const UNIMPLEMENTED: u32 = 12;

fn case(message: impl AsRef<[u8]>, text: impl Into<String>) -> Case {
    let body = framed(message.as_ref());
    Case { path: CALL, metadata: &[FRAUD], body, code: INVALID_ARGUMENT, text: text.into() }
}

fn routed(path: &'static str, message: impl AsRef<[u8]>, code: u32, text: &str) -> Case {
    Case { path, code, ..case(message, text) }
}

fn bad_messages() -> Vec<Case> {
    let broken = |of: &str| format!("Invalid message: {of} is not a protobuf message");
    let text = |of: &str| format!("Invalid message: {of} is not UTF-8 text");
    let other = |of: &str| format!("Invalid message: {of} is of another type");
    let nothing =
        "Invalid request data type: the message has none of data, jsonData, strData, binData and customData";
    let cut = ndarray(ROWS);
    let with_meta = |meta: Vec<u8>| [field(2, meta), ndarray(ROWS)].concat();
    let entry = |key: &[u8], value: &[u8]| [field(1, key), field(2, value)].concat();
    vec![
        case(b"", nothing),
        case(field(2, field(1, "p")), nothing),
        case(b"\xff", broken("the message")),
        case(good(), broken("the message")),
        case(&cut[..cut.len() - 1], broken("the message")),
        case([cut, vec![0x1b]].concat(), broken("the message")),
        case(integer(3, 1), other("data")),
        case(field(5, b"\xff"), text("strData")),
        case(with_meta(b"\x0a".to_vec()), broken("meta")),
        case(with_meta(field(1, b"\xff")), text("meta.puid")),
        case(with_meta(field(2, entry(b"a", b"\x1a"))), broken("meta.tags")),
        case(with_meta(field(2, entry(b"\xff", b""))), text("meta.tags")),
        case(with_meta(field(4, entry(b"a", b"\xff"))), text("meta.requestPath")),
        case(with_meta(field(4, entry(b"a", &[b'a'; 70_000]))), "meta.requestPath is larger than 64 KiB"),
        case(with_meta(field(5, integer(1, 1))), other("meta.metrics")),
    ]
}

fn bad_arrays() -> Vec<Case> {
    let row = |first: Value| {
        let mut row = parsed(ROWS)[0].as_array().unwrap().clone();
        row[0] = first;
        data(field(3, list(&[json!(row)])))
    };
    let nested = "column 'dir', row 0: a record is flat, lists and objects are not values";
    let deep = (0..100).fold(json!(1), |inner, _| json!([inner]));
    let of = |shape: &[u64], values: &[f64]| data(field(2, tensor(shape, &doubles(values))));
    let tf = |datatype, shape: &[u64], values| data(field(4, tf_tensor(datatype, shape, values)));
    let rows = numbers();
    let many_names: Vec<u8> = (0..65_537).flat_map(|_| field(1, "")).collect();
    vec![
        case(
            data(field(3, list(&[json!(7)]))),
            "data.ndarray: expected a list of rows, each a list of values",
        ),
        case(ndarray("[[1,2]]"), "row 0 has 2 values where 11 belong"),
        case(row(json!("abc")), "column 'dir', row 0: 'abc' is not a number"),
        case(row(json!([1])), nested),
        case(row(deep.clone()), nested),
        case(data(many_names), "data.names has more than 65536 names"),
        case(data([field(1, "dir"), field(3, list(&parsed(ROWS)))].concat()), {
            "row 0 has 11 values where 1 belong"
        }),
        case(of(&[2, 11], &rows[1..]), "data.tensor: it has 21 values, its shape needs 22"),
        case(of(&[200, 11], &rows), "data.tensor: it has less than the 2200 values of its shape"),
        case(of(&[1, 11], &rows), "data.tensor: it has 22 values, its shape needs 11"),
        case(of(&[], &rows), "data.tensor: its shape has no dimension, or is larger than any body"),
        case(of(&[u64::MAX, 11], &rows), "data.tensor: a size of its shape is not a whole number"),
        case(of(&[1 << 40, 1 << 40], &rows), {
            "data.tensor: its shape has no dimension, or is larger than any body"
        }),
        case(of(&[1; 9], &[1.0]), "data.tensor: its shape has more than 8 dimensions"),
        case(of(&[2, 2], &[1.0; 4]), {
            "the array has 2 values in a row, the model has 11 features: send all of them in the model's order"
        }),
        case(
            data(field(2, tensor(&[2, 11], &[0; 175]))),
            "Invalid message: data.tensor has values of another type",
        ),
        case(tf(7, &[1], field(8, "text")), {
            "data.tftensor: dtype '7' is not read: send numbers, as DT_DOUBLE or DT_FLOAT"
        }),
        case(tf(2, &[2], field(4, [0; 3])), "data.tftensor: its values have 3 bytes, its shape needs 16"),
        case(
            tf(9, &[2], field(10, b"\x01\xff")),
            "Invalid message: data.tftensor has values of another type",
        ),
        case(tf(9, &[1, 11], field(10, [1; 12])), "data.tftensor: it has 12 values, its shape needs 11"),
        case(field(6, value(&deep)), "Invalid message: jsonData is nested deeper than 64 times"),
        case(field(6, value(&json!([{ "dir": 1 }]))), "column 'hir' is missing: the model needs it"),
        case(field(4, b"\xff\xfe"), "binData is not UTF-8 text"),
        case(field(7, field(1, "a/b.C")), {
            "customData of the type 'b.C' is not read: send data, jsonData, strData or binData"
        }),
    ]
}

fn bad_calls() -> Vec<Case> {
    let unknown = "there is no such deployment; there are: fraud, revenue";
    let message = ndarray(ROWS);
    let feedback = "/seldon.protos.Model/SendFeedback";
    let not_finite = "Invalid message: the reward is not a finite number";
    let reward = |reward: f32| [vec![3 << 3 | 5], reward.to_le_bytes().to_vec()].concat();
    vec![
        routed("/seldon.protos.Model/Nothing", &message, UNIMPLEMENTED, {
            "there is no call /seldon.protos.Model/Nothing: server reflection lists all"
        }),
        routed("/seldon.protos.Router/Route", &message, UNIMPLEMENTED, "Route not defined"),
        routed("/seldon.protos.Generic/Aggregate", &message, UNIMPLEMENTED, "Aggregate not defined"),
        Case { metadata: &[("seldon", "nope")], code: NOT_FOUND, ..case(&message, unknown) },
        Case {
            metadata: &[],
            code: NOT_FOUND,
            ..case(&message, {
                "several models are served, name one in the metadata 'seldon': fraud, revenue"
            })
        },
        Case {
            metadata: &[],
            ..routed("/seldon.protos.Seldon/ModelMetadata", field(1, "nope"), NOT_FOUND, unknown)
        },
        routed(feedback, reward(f32::NAN), INVALID_ARGUMENT, not_finite),
        routed(feedback, reward(f32::INFINITY), INVALID_ARGUMENT, not_finite),
        routed(feedback, field(4, field(3, [0x1b])), INVALID_ARGUMENT, {
            "Invalid message: data is not a protobuf message"
        }),
        routed(
            "/seldon.protos.Generic/TransformInput",
            data(field(2, tensor(&[2], &[0; 8]))),
            INVALID_ARGUMENT,
            "data.tensor: it has 1 values, its shape needs 2",
        ),
        Case { body: Vec::new(), ..case("", "the call has no message, which begins with 5 bytes") },
        Case {
            body: framed(&message)[..20].to_vec(),
            ..case("", {
                format!("the message's prefix says that it has {} bytes, and 15 follow", message.len())
            })
        },
    ]
}

#[test]
fn bad_calls_are_refused_and_leave_the_server_as_it_was() {
    let server = RunningServer::serve(&repository("examples/demo"));
    let mut caller = Caller::open(server.address);
    let before = caller.call(CALL, &[FRAUD], &framed(&ndarray(ROWS)));
    assert_eq!((before.code, before.messages.len()), (Some(0), 1), "{}", before.text);
    let cases: Vec<Case> = [bad_messages(), bad_arrays(), bad_calls()].into_iter().flatten().collect();
    assert!(cases.len() >= 50);
    let mut wrong = String::new();
    for Case { path, metadata, body, code, text } in cases {
        let start = body[..body.len().min(40)].to_vec();
        let ended = caller.call(path, metadata, &body);
        if (ended.code, &ended.text) != (Some(code), &text) {
            wrong += &format!(
                "{path} {start:?}\n   expected {code} {text}\n   found    {:?} {}\n",
                ended.code, ended.text
            );
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
    assert_eq!(caller.call(CALL, &[FRAUD], &framed(&ndarray(ROWS))), before);
    server.stop();
}
