//! Messages of Seldon's protocol that cannot be answered: each is refused with a status in the wrapper's envelope, and none
//! harms the requests after it.

use serde_json::{Value, json};

use crate::connection::{Answer, Connection};
use crate::repository;
use crate::running_server::RunningServer;
use crate::seldon::{JSON, NAMES, PREDICT, ROWS, field, good, parts};

/// One request to be refused.
struct Case {
    method: &'static str,
    target: String,
    header: &'static str,
    body: Vec<u8>,
    status: u16,
    info: String,
}

fn case(body: impl Into<Vec<u8>>, info: impl Into<String>) -> Case {
    let (body, info) = (body.into(), info.into());
    Case { method: "POST", target: PREDICT.to_owned(), header: JSON, body, status: 400, info }
}

fn data(data: &str, info: impl Into<String>) -> Case {
    case(format!(r#"{{"data":{data}}}"#), info)
}

fn routed(target: &str, status: u16, info: impl Into<String>) -> Case {
    Case { target: target.to_owned(), status, ..case(good(), info) }
}

fn headed(header: &'static str, body: impl Into<Vec<u8>>, info: impl Into<String>) -> Case {
    Case { header, ..case(body, info) }
}

const NO_JSON: &str = "Can't find JSON in data: send it with Content-Type application/json, or as the field 'json' of a \
                       form or query";
const BROKEN: &str = "Can't find JSON in data: the message cannot be read";
const WRONG: &str = "Invalid JSON: the message cannot be read";

fn bad_messages() -> Vec<Case> {
    let not_object = "Invalid request data type: a message is a JSON object";
    let nothing = "Invalid request data type: the message has none of data, jsonData, strData and binData";
    vec![
        case("", NO_JSON),
        case(" \n", NO_JSON),
        headed("Content-Type: text/plain", good(), NO_JSON),
        headed("Accept: */*", good(), NO_JSON),
        headed("Content-Type: application/x-www-form-urlencoded", good(), NO_JSON),
        headed("Content-Type: application/x-www-form-urlencoded", "json=", NO_JSON),
        headed("Content-Type: application/x-www-form-urlencoded", "json={", {
            format!("{BROKEN}: EOF while parsing an object at line 1 column 1")
        }),
        Case { target: format!("{PREDICT}?{}", field("7")), ..case("", not_object) },
        Case {
            target: format!("{PREDICT}?{}", field("{")),
            ..case("", format!("{BROKEN}: EOF while parsing an object at line 1 column 1"))
        },
        Case { method: "GET", target: "/model/fraud/predict".to_owned(), ..case("", NO_JSON) },
        case("{", format!("{BROKEN}: EOF while parsing an object at line 1 column 1")),
        case("dir,hir\n1,2\n", not_object),
        case("7", not_object),
        case("[]", not_object),
        case("[".repeat(100_000), not_object),
        case(r#"{"data":{}} {}"#, format!("{BROKEN}: trailing characters at line 1 column 13")),
        case(
            b"{\"strData\":\"\xff\"}",
            "the body is not valid UTF-8 (line 1): name its charset in Content-Type, as in 'text/csv; charset=latin1'",
        ),
        case("{}", nothing),
        case(r#"{"foo":1}"#, nothing),
        case(r#"{"data":null,"meta":{"puid":"a"}}"#, nothing),
        case(r#"{"data":7}"#, {
            format!("{WRONG}: invalid type: integer `7`, expected struct Data at line 1 column 9")
        }),
        case(r#"{"data":{},"data":{}}"#, format!("{WRONG}: duplicate field `data` at line 1 column 17")),
        case(r#"{"strData":7}"#, {
            format!("{WRONG}: invalid type: integer `7`, expected a string at line 1 column 12")
        }),
        case(format!(r#"{{"meta":{{"tags":[1]}},{}"#, &good()[1..]), "meta.tags is not an object"),
        case(format!(r#"{{"meta":{{"metrics":{{}}}},{}"#, &good()[1..]), "meta.metrics is not a list"),
        case(
            format!(r#"{{"meta":{{"requestPath":{{"a":"{}"}}}},{}"#, "x".repeat(70_000), &good()[1..]),
            "meta.requestPath is larger than 64 KiB",
        ),
    ]
}

fn bad_arrays() -> Vec<Case> {
    let start = "line 1: expected a JSON list of rows, each a list of values";
    let nested = "column 'dir', row 0: a record is flat, lists and objects are not values";
    let others = r#"0.2,null,3,2,2,0,"no","no","no","no""#;
    let row = |first: &str| format!(r#"{{"ndarray":[[{first},{others}]]}}"#);
    let tensor = |shape: &str, values: &str| format!(r#"{{"tensor":{{"shape":{shape},"values":{values}}}}}"#);
    let long_names: Vec<u32> = vec![0; 65_537];
    let long_names = json!(long_names.iter().map(|_| "").collect::<Vec<_>>());
    vec![
        data(r#"{"ndarray":7}"#, {
            format!("{start}: invalid type: integer `7`, expected a list of rows (column 1)")
        }),
        data(r#"{"ndarray":[7]}"#, {
            format!(
                "{start}: invalid type: integer `7`, expected a row, which is a list of values (column 2)"
            )
        }),
        data(r#"{"ndarray":[[1,2]]}"#, "row 0 has 2 values where 11 belong"),
        data(
            &format!(r#"{{"ndarray":[{},[1]]}}"#, &ROWS[1..ROWS.len() - 1]),
            "row 2 has 1 values where 11 belong",
        ),
        data(&row("\"abc\""), "column 'dir', row 0: 'abc' is not a number"),
        data(&row("[1]"), nested),
        data(&row("{}"), nested),
        data(&row(&format!("{}1{}", "[".repeat(10_000), "]".repeat(10_000))), nested),
        data(&row("1e400"), format!("{start}: number out of range (column 7)")),
        data(&format!(r#"{{"names":["dir"],"ndarray":{ROWS}}}"#), "row 0 has 11 values where 1 belong"),
        data(&format!(r#"{{"names":["dir","dir"],"ndarray":{ROWS}}}"#), "column 'dir' occurs more than once"),
        data(
            &format!(r#"{{"names":{},"ndarray":{ROWS}}}"#, NAMES.replace("hir", "Hir")),
            "column 'hir' is missing: the model needs it",
        ),
        data(&format!(r#"{{"names":{long_names},"ndarray":{ROWS}}}"#), {
            format!("{WRONG}: a list has more than 65536 items at line 1 column 196629")
        }),
        data(&tensor("[]", "[]"), "data.tensor: its shape has no dimension, or is larger than any body"),
        data(
            &tensor("[4294967296,4294967296]", "[]"),
            "data.tensor: its shape has no dimension, or is larger than any body",
        ),
        data(
            &tensor("[1000000000,11]", "[1]"),
            "data.tensor: it has less than the 11000000000 values of its shape",
        ),
        data(&tensor("[3000000,0]", "[]"), "data.tensor: it has less than the 3000000 values of its shape"),
        data(&tensor("[1,11]", "[1,2,3,4,5,6]"), "data.tensor: it has 6 values, its shape needs 11"),
        data(
            &tensor("[11]", "[1,2,3,4,5,6,7,8,9,10,11]"),
            "the array has 1 values in a row, the model has 11 features: send all of them in the model's order",
        ),
        data(&tensor("[-1,11]", "[1]"), {
            format!("{WRONG}: invalid value: integer `-1`, expected u64 at line 1 column 30")
        }),
        data(
            r#"{"names":["dir"],"tensor":{"shape":[1,2],"values":[1,2]}}"#,
            "data.names has 1 names, a row has 2 values",
        ),
        data(
            r#"{"tftensor":{}}"#,
            "data.tftensor: dtype '' is not read: send numbers, as DT_DOUBLE or DT_FLOAT",
        ),
        data(
            r#"{"tftensor":{"dtype":"DT_STRING"}}"#,
            "data.tftensor: dtype 'DT_STRING' is not read: send numbers, as DT_DOUBLE or DT_FLOAT",
        ),
        data(
            r#"{"tftensor":{"dtype":1}}"#,
            "data.tftensor: its shape has no dimension, or is larger than any body",
        ),
        data(
            r#"{"tftensor":{"dtype":1,"tensorShape":{"dim":[{"size":"x"}]}}}"#,
            "data.tftensor: a size of its shape is not a whole number",
        ),
        data(
            r#"{"tftensor":{"dtype":1,"tensorShape":{"dim":[{"size":"2"}]},"tensorContent":"AAA"}}"#,
            "data.tftensor: tensorContent is not base64: Invalid padding",
        ),
        data(
            r#"{"tftensor":{"dtype":1,"tensorShape":{"dim":[{"size":"2"}]},"tensorContent":"AAAA"}}"#,
            "data.tftensor: its values have 3 bytes, its shape needs 8",
        ),
        data(
            r#"{"tftensor":{"dtype":1,"tensorShape":{"dim":[{"size":1},{"size":11}]},"doubleVal":[1]}}"#,
            "data.tftensor: it has less than the 11 values of its shape",
        ),
    ]
}

fn bad_texts() -> Vec<Case> {
    let text = |key: &str, value: &str| json!({ key: value }).to_string();
    vec![
        case(
            text("strData", ""),
            "the request body is empty: send a header line and rows, or a list of records",
        ),
        case(text("strData", "a,b\n1,2\n"), "column 'dir' is missing: the model needs it"),
        case(
            text("strData", "[7]"),
            "line 1: expected a JSON list of flat records: invalid type: integer `7`, expected a flat record (column 2)",
        ),
        case(text("binData", "?"), "binData is not base64: Invalid symbol 63, offset 0."),
        case(text("binData", "//79"), "binData is not UTF-8 text"),
        case(
            r#"{"jsonData":7}"#,
            "line 1: expected a JSON list of flat records: invalid type: integer `7`, expected a list of records (column 1)",
        ),
        case(
            r#"{"jsonData":"\"\\\"[[1]]\\\"\""}"#,
            "jsonData is a text in a text: send records, or rows that are lists",
        ),
        case(r#"{"jsonData":[{"dir":1}]}"#, "column 'hir' is missing: the model needs it"),
    ]
}

fn bad_forms() -> Vec<Case> {
    const PARTS: &str = "Content-Type: multipart/form-data; boundary=xx";
    let form = |sent: &[(&str, &str)], info: &str| headed(PARTS, parts(sent), info);
    let many = vec![("name=\"a\"", "1"); 17];
    vec![
        headed("Content-Type: multipart/form-data", "", "multipart/form-data has no boundary"),
        headed(PARTS, "nothing", "the multipart body cannot be read: incomplete multipart stream"),
        form(&[], "Invalid request data type: the message has none of data, jsonData, strData and binData"),
        form(
            &[("name=\"json\"", &good())],
            "Invalid request data type: the message has none of data, jsonData, strData and binData",
        ),
        form(
            &[("name=\"data\"", "{")],
            "the part 'data' is not JSON: EOF while parsing an object at line 1 column 1",
        ),
        form(
            &[("name=\"data\"", "1,\"strData\":\"\"")],
            "the part 'data' is not JSON: trailing characters at line 1 column 2",
        ),
        headed(
            PARTS,
            b"--xx\r\nContent-Disposition: form-data; name=\"strData\"\r\n\r\n\xff\r\n--xx--\r\n",
            "the part 'strData' is not UTF-8 text",
        ),
        form(&many, "the multipart body has more than 16 parts"),
    ]
}

fn bad_routes() -> Vec<Case> {
    let unknown = "there is no such deployment; there are: fraud, revenue";
    let feedback = "Invalid JSON: the feedback cannot be read";
    let of = |body: &str, info: String| Case {
        target: "/model/fraud/send-feedback".to_owned(),
        ..case(body, info)
    };
    vec![
        routed("/model/fraud/route", 400, "Route not defined"),
        routed("/model/fraud/aggregate", 400, "Aggregate not defined"),
        routed("/seldon/any/nope/api/v1.0/predictions", 404, unknown),
        routed("/seldon/any/%FF/predict", 404, unknown),
        routed("/model/fraud/api/v1.0/metadata", 405, "this route does not take POST requests"),
        routed(
            "/model/fraud/api/v1.0/explain",
            404,
            "there is no such route; predictions are at POST /predictions and POST /deployments/{id}/predictions",
        ),
        Case { method: "GET", body: Vec::new(), ..routed("/api/v1.0/status/nope", 404, unknown) },
        of("[]", "Invalid JSON: a feedback is a JSON object".to_owned()),
        of(r#"{"rewardx":1}"#, {
            format!(
                "{feedback}: unknown field `rewardx`, expected one of `request`, `response`, `reward`, `truth` at line 1 column 10"
            )
        }),
        of(r#"{"reward":"much"}"#, "Invalid JSON: the reward is not a number of 32 bits".to_owned()),
        of(r#"{"truth":{"datas":1}}"#, {
            format!(
                "{feedback}: unknown field `datas`, expected one of `status`, `meta`, `data`, `binData`, `strData`, `jsonData`, `customData` at line 1 column 17"
            )
        }),
        Case {
            target: "/model/fraud/transform-input".to_owned(),
            ..data(r#"{"ndarray":7}"#, "data.ndarray is not a list")
        },
        Case {
            target: "/model/fraud/transform-input".to_owned(),
            ..data(
                r#"{"tensor":{"shape":[2,2],"values":[1,2,3]}}"#,
                "data.tensor: it has 3 values, its shape needs 4",
            )
        },
        Case {
            target: "/model/fraud/transform-output".to_owned(),
            ..data(r#"{"tftensor":{"dtype":1}}"#, "a tftensor is not transformed: send a tensor")
        },
    ]
}

/// What is wrong with the answer to a case.
fn check(case: &Case, answer: &Answer) -> Option<String> {
    let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    let found = (answer.status, answer.header("content-type"), body);
    let status = json!({ "status": 1, "info": case.info, "code": -1, "reason": "MICROSERVICE_BAD_DATA" });
    let expected = (case.status, Some("application/json"), json!({ "status": status }));
    let start: String = String::from_utf8_lossy(&case.body).chars().take(120).collect();
    let said = || format!("{} {start:?}\n   expected {expected:?}\n   found    {found:?}\n", case.target);
    (found != expected).then(said)
}

fn send(connection: &mut Connection, case: &Case) -> Answer {
    connection.ask(case.method, &case.target, &[case.header], &case.body)
}

#[test]
fn bad_messages_are_refused_and_leave_the_server_as_it_was() {
    let server = RunningServer::serve(&repository("examples/demo"));
    let mut connection = server.connect();
    let good = case(good(), "");
    let before = send(&mut connection, &good);
    assert_eq!(before.status, 200, "{}", before.text());
    let cases = [bad_messages(), bad_arrays(), bad_texts(), bad_forms(), bad_routes()];
    let cases: Vec<Case> = cases.into_iter().flatten().collect();
    assert!(cases.len() >= 70);
    let mut wrong = String::new();
    for case in &cases {
        let answer = send(&mut connection, case);
        wrong.extend(check(case, &answer));
        if answer.is_last() {
            connection = server.connect();
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
    assert_eq!(send(&mut connection, &good).body, before.body);
    server.stop();
}
