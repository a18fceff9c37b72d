//! Requests that cannot be answered, to the contracts that answer one plain value a row: each is refused with a status and
//! a text that says what is wrong, in the form of its contract, and none harms the requests after it.

mod mlflow;

use serde_json::{Value, json};

use crate::contracts::{Row, row, serve};

const JSON: &str = "Content-Type: application/json";

/// One request to be refused.
struct Case {
    method: &'static str,
    target: &'static str,
    header: String,
    body: Vec<u8>,
    status: u16,
    error: String,
    /// MLflow's word for it.
    code: &'static str,
}

/// A contract: where its cases go by default, and how it tells an error.
struct Contract {
    target: &'static str,
    header: &'static str,
    status: u16,
    form: fn(&Case) -> Value,
    good: String,
    cases: Vec<Case>,
}

impl Contract {
    fn case(&mut self, body: impl Into<Vec<u8>>, error: impl Into<String>) -> &mut Case {
        let (target, header, status) = (self.target, self.header.to_owned(), self.status);
        let (body, error) = (body.into(), error.into());
        self.cases.push(Case { method: "POST", target, header, body, status, error, code: "BAD_REQUEST" });
        self.cases.last_mut().unwrap()
    }

    /// The same with other headers, of the status that a wrong media type has.
    fn media(&mut self, header: &str, body: impl Into<Vec<u8>>, error: impl Into<String>) {
        let case = self.case(body, error);
        (case.header, case.status) = (header.to_owned(), 415);
    }

    fn routed(&mut self, method: &'static str, target: &'static str, status: u16, error: &str) {
        let good = self.good.clone();
        let case = self.case(good, error);
        (case.method, case.target, case.status) = (method, target, status);
        case.code = match status {
            404 => "RESOURCE_DOES_NOT_EXIST",
            405 => "ENDPOINT_NOT_FOUND",
            _ => "BAD_REQUEST",
        };
    }

    /// Rows that are wrong wherever they stand; `body` puts them into a body, `of_rows` is what is said before.
    fn bad_rows(&mut self, body: impl Fn(&str) -> String, of_rows: &str) {
        let Row { values, record, .. } = row();
        let first = |value: &str| values.replacen("0.35", value, 1);
        let in_record = |value: &str| record.replacen("0.35", value, 1);
        let wide = "where 11 belong";
        let flat = "column 'dir', row 0: a record is flat, lists and objects are not values";
        let rows = "line 1: expected a JSON list of rows, each a list of values:";
        let records = "line 1: expected a JSON list of flat records:";
        let deep = format!("[[{}{}]]", "[".repeat(50_000), "]".repeat(50_000));
        for (wrong, error, code) in [
            ("[[1]]".to_owned(), format!("row 0 has 1 values {wide}"), "BAD_REQUEST"),
            (format!("[{values},[]]"), format!("row 1 has 0 values {wide}"), "BAD_REQUEST"),
            (
                format!("[{}]", values.replacen(']', ",1]", 1)),
                format!("row 0 has 12 values {wide}"),
                "BAD_REQUEST",
            ),
            (
                format!("[{}]", first("\"abc\"")),
                "column 'dir', row 0: 'abc' is not a number".into(),
                "BAD_REQUEST",
            ),
            (
                format!("[{values},{}]", first("\"1,5\"")),
                "column 'dir', row 1: '1,5' is not a number".into(),
                "BAD_REQUEST",
            ),
            (format!("[{}]", first("{}")), flat.into(), "BAD_REQUEST"),
            (format!("[{}]", first("[1]")), flat.into(), "BAD_REQUEST"),
            (deep, flat.into(), "BAD_REQUEST"),
            (
                format!("[{}]", first("1e400")),
                format!("{rows} number out of range (column 7)"),
                "BAD_REQUEST",
            ),
            (
                format!("[{values},{record}]"),
                format!(
                    "{rows} invalid type: map, expected a row, which is a list of values (column {})",
                    values.len() + 2
                ),
                "BAD_REQUEST",
            ),
            ("[{}]".into(), "column 'dir' is missing: the model needs it".into(), "INVALID_PARAMETER_VALUE"),
            (
                format!("[{}]", record.replacen("\"dir\"", "\"Dir\"", 1)),
                "column 'dir' is missing: the model needs it".into(),
                "INVALID_PARAMETER_VALUE",
            ),
            (
                format!("[{}]", record.replacen('{', "{\"dir\":1,", 1)),
                "column 'dir' occurs more than once".into(),
                "INVALID_PARAMETER_VALUE",
            ),
            (
                format!("[{}]", in_record("\"abc\"")),
                "column 'dir', row 0: 'abc' is not a number".into(),
                "BAD_REQUEST",
            ),
            (format!("[{}]", in_record("[0.35]")), flat.into(), "BAD_REQUEST"),
            (
                format!("[{record},5]"),
                format!(
                    "{records} invalid type: integer `5`, expected a flat record (column {})",
                    record.len() + 3
                ),
                "BAD_REQUEST",
            ),
        ] {
            self.case(body(&wrong), format!("{of_rows}{error}")).code = code;
        }
    }

    /// Bodies that are no JSON object; `said` is put around what the parser says, `start` is said of other JSON.
    fn bad_json(&mut self, said: impl Fn(&str) -> String) {
        for (body, error) in [
            ("{", "EOF while parsing an object at line 1 column 1"),
            ("{\"a\":1", "EOF while parsing an object at line 1 column 6"),
            ("{\"a\":1} x", "trailing characters at line 1 column 9"),
            ("{'a':1}", "key must be a string at line 1 column 2"),
            ("{\"a\":}", "expected value at line 1 column 6"),
            ("dir,hir\n1,2\n", "expected value at line 1 column 1"),
        ] {
            self.case(body, said(error));
        }
    }
}

fn error_key(case: &Case) -> Value {
    json!({ "error": case.error })
}

fn v1() -> Contract {
    const PATH: &str = "/v1/models/fraud:predict";
    let Row { values, record, columns, .. } = row();
    let good = format!(r#"{{"instances":[{values}]}}"#);
    let mut all =
        Contract { target: PATH, header: JSON, status: 400, form: error_key, good, cases: Vec::new() };
    let said = |error: &str| format!("the body is not a JSON object: {error}");
    all.case("", said("EOF while parsing a value at line 1 column 0"));
    all.case("[]", said("invalid type: sequence, expected a JSON object at line 1 column 0"));
    all.case("5", said("invalid type: integer `5`, expected a JSON object at line 1 column 1"));
    all.bad_json(said);
    all.bad_rows(|rows| format!("{{\"instances\":{rows}}}"), "");
    all.case("{}", "the body has neither 'instances' nor 'inputs': send rows as one of them");
    all.case(
        r#"{"instances":null}"#,
        "the body has neither 'instances' nor 'inputs': send rows as one of them",
    );
    all.case(format!(r#"{{"instances":[{values}],"inputs":[{values}]}}"#), {
        "the body has 'instances' and 'inputs': send one of them"
    });
    all.case(format!(r#"{{"instances":{columns}}}"#), "'instances' is not a list");
    all.case(r#"{"inputs":"x"}"#, "'inputs' is not a list");
    all.case(r#"{"inputs":{"dir":[1],"hir":[1,2]}}"#, "column 'hir' has 2 rows, the first one has 1");
    all.case(format!(r#"{{"signature_name":"nope","instances":[{values}]}}"#), {
        "there is no signature 'nope': the model has 'serving_default'"
    });
    all.case(b"\xff".to_vec(), {
        "the body is not UTF-8 text: invalid utf-8 sequence of 1 bytes from index 0"
    });
    let mut of = |target: &'static str, body: String, error: &str| all.case(body, error).target = target;
    let classify = "/v1/models/fraud:classify";
    of(
        classify,
        format!(r#"{{"instances":[{record}]}}"#),
        "the body has no 'examples': send a list of records",
    );
    of(classify, format!(r#"{{"examples":{record}}}"#), "'examples' is not a list of records");
    of(classify, format!(r#"{{"context":{{"dir":1}},"examples":[{record}]}}"#), {
        "'context' is not read: put its values into each of the examples"
    });
    let unknown = "there is no such deployment; there are: fraud, revenue";
    all.routed("POST", "/v1/models/fraud:regress", 400, {
        "the model predicts classes, not a number: ask for :classify or :predict"
    });
    all.routed("POST", "/v1/models/revenue:classify", 400, {
        "the model predicts numbers, not classes: ask for :regress or :predict"
    });
    all.routed("POST", "/v1/models/fraud:explain", 400, "explanations are not offered: ask for :predict");
    all.routed(
        "POST",
        "/v1/models/fraud:nope",
        404,
        "there is no ':nope': ask for :predict, :classify or :regress",
    );
    all.routed("POST", "/v1/models/nope:predict", 404, unknown);
    all.routed(
        "POST",
        "/v1/models:predict",
        404,
        "several models are served, name one in the path: fraud, revenue",
    );
    all.routed("POST", "/v1/models/fraud", 405, "this route does not take POST requests");
    all.routed("GET", "/v1/models/nope", 404, unknown);
    all.routed("GET", "/v1/models/fraud/versions/7", 404, "model 'fraud' has no version '7': it has 1");
    all.routed("POST", "/v1/models/fraud/labels/stable", 404, {
        "model 'fraud' has no version labels: name it without one, or its version"
    });
    all
}

fn odahu() -> Contract {
    const PATH: &str = "/model/fraud/api/model/invoke";
    let form = |case: &Case| json!({ "message": case.error });
    let Row { names, values, .. } = row();
    let good = format!(r#"{{"columns":{names},"data":[{values}]}}"#);
    let mut all = Contract { target: PATH, header: JSON, status: 500, form, good, cases: Vec::new() };
    let said = |error: &str| format!("Can not parse input as JSON: {error}");
    all.case("", "Please provide data with this POST request");
    all.bad_json(said);
    all.case("[]", said("invalid type: sequence, expected a JSON object at line 1 column 0"));
    all.case("null", said("invalid type: null, expected a JSON object at line 1 column 4"));
    all.case(" ", said("EOF while parsing a value at line 1 column 1"));
    all.case(b"\xff".to_vec(), {
        "Can not decode POST data using utf-8 charset: invalid utf-8 sequence of 1 bytes from index 0"
    });
    for body in ["{}", r#"{"data":null}"#, r#"{"data":[]}"#, r#"{"data":[ ]}"#, r#"{"columns":["dir"]}"#] {
        all.case(body, "Matrix is not provided");
    }
    all.case(r#"{"data":[[NaN]]}"#, said("expected value at line 1 column 11"));
    all.case(r#"{"columns":5,"data":[[1]]}"#, "'columns' of the body is not a list of names");
    let start = "Exception during prediction: ";
    let first = |value: &str| format!(r#"{{"data":[{}]}}"#, values.replacen("0.35", value, 1));
    let rows = "line 1: expected a JSON list of rows, each a list of values:";
    let flat = "column 'dir', row 0: a record is flat, lists and objects are not values";
    for (body, error) in [
        (r#"{"data":[[1]]}"#.to_owned(), "row 0 has 1 values where 11 belong".to_owned()),
        (r#"{"data":[[]]}"#.into(), "row 0 has 0 values where 11 belong".into()),
        (r#"{"columns":["dir"],"data":[[1]]}"#.into(), "column 'hir' is missing: the model needs it".into()),
        (r#"{"columns":["dir","dir"],"data":[[1,1]]}"#.into(), "column 'dir' occurs more than once".into()),
        (r#"{"columns":["dir"],"data":[[1,1]]}"#.into(), "row 0 has 2 values where 1 belong".into()),
        (first("\"abc\""), "column 'dir', row 0: 'abc' is not a number".into()),
        (first("[1]"), flat.into()),
        (first("{}"), flat.into()),
        (first("1e400"), format!("{rows} number out of range (column 7)")),
        (
            r#"{"data":[1]}"#.into(),
            format!("{rows} invalid type: integer `1`, expected a row, which is a list of values (column 2)"),
        ),
        (
            r#"{"data":[{"dir":1}]}"#.into(),
            format!("{rows} invalid type: map, expected a row, which is a list of values (column 1)"),
        ),
        (
            r#"{"data":"x"}"#.into(),
            format!("{rows} invalid type: string \"x\", expected a list of rows (column 3)"),
        ),
    ] {
        all.case(body, format!("{start}{error}"));
    }
    let gzip = all.case(first("1"), "the body is not valid gzip: invalid gzip header");
    gzip.header = "Content-Encoding: gzip".to_owned();
    all.routed(
        "POST",
        "/model/nope/api/model/invoke",
        404,
        "there is no such deployment; there are: fraud, revenue",
    );
    all.routed(
        "GET",
        "/model/nope/api/model/info",
        404,
        "there is no such deployment; there are: fraud, revenue",
    );
    all.routed("GET", "/model/fraud/api/model/invoke", 405, "this route does not take GET requests");
    all.routed(
        "POST",
        "/api/model/invoke",
        404,
        "several models are served, name one in the path: fraud, revenue",
    );
    all
}

fn vertex() -> Contract {
    const PATH: &str = "/model/fraud/vertex/predict";
    let good = format!(r#"{{"instances":[{}]}}"#, row().values);
    let mut all =
        Contract { target: PATH, header: JSON, status: 400, form: error_key, good, cases: Vec::new() };
    let said = |error: &str| format!("the body is not a JSON object: {error}");
    all.case("", said("EOF while parsing a value at line 1 column 0"));
    all.case("[]", said("invalid type: sequence, expected a JSON object at line 1 column 0"));
    all.bad_json(said);
    all.bad_rows(|rows| format!("{{\"instances\":{rows}}}"), "");
    all.case("{}", "the body has no 'instances': send a list of rows");
    all.case(r#"{"instances":"x"}"#, "'instances' is not a list");
    all.case(format!(r#"{{"instances":[{}],"parameters":{{"top":1}}}}"#, row().values), {
        "parameter 'top' is not read: output_margin, raw_score, pred_leaf and predict_method are"
    });
    all.routed(
        "POST",
        "/vertex/predict",
        404,
        "several models are served, name one in the path: fraud, revenue",
    );
    all.routed("GET", "/vertex/predict", 405, "this route does not take GET requests");
    all
}

fn azure() -> Contract {
    const PATH: &str = "/model/fraud/score";
    let Row { values, record, .. } = row();
    let good = format!(r#"{{"input_data":[{values}]}}"#);
    let mut all =
        Contract { target: PATH, header: JSON, status: 400, form: error_key, good, cases: Vec::new() };
    let said = |error: &str| format!("the body is not a JSON object: {error}");
    all.case("", said("EOF while parsing a value at line 1 column 0"));
    all.case("[]", said("invalid type: sequence, expected a JSON object at line 1 column 0"));
    all.bad_json(said);
    all.bad_rows(|rows| format!("{{\"input_data\":{rows}}}"), "");
    all.case("{}", "the body has neither 'input_data' nor 'data': send rows as one of them");
    all.case(format!(r#"{{"input_data":[{values}],"data":[{values}]}}"#), {
        "the body has 'input_data' and 'data': send one of them"
    });
    all.case(format!(r#"{{"data":{record}}}"#), "'data' is not a list");
    all.case(r#"{"input_data":{"columns":["dir"],"data":[[1]],"more":1}}"#, {
        "'input_data' has 'more': it may have 'columns', 'index' and 'data'"
    });
    all.case(r#"{"input_data":{"dir":[1],"hir":[]}}"#, "column 'hir' has 0 rows, the first one has 1");
    all.routed("POST", "/score", 404, "several models are served, name one in the path: fraud, revenue");
    all
}

#[test]
fn bad_requests_to_each_contract_are_refused_and_leave_the_server_as_it_was() {
    let server = serve(&[], &[]);
    let mut connection = server.connect();
    let mut wrong = String::new();
    for contract in [mlflow::contract(), v1(), odahu(), vertex(), azure()] {
        let good = connection.ask("POST", contract.target, &[contract.header], contract.good.as_bytes());
        assert_eq!(good.status, 200, "{}: {}", contract.target, good.text());
        assert!(contract.cases.len() >= 25, "{}: {}", contract.target, contract.cases.len());
        for case in &contract.cases {
            let answer = connection.ask(case.method, case.target, &[&case.header], &case.body);
            let plain = || Value::from(String::from_utf8_lossy(&answer.body).into_owned());
            let found: Value = serde_json::from_slice(&answer.body).unwrap_or_else(|_| plain());
            let expected = (contract.form)(case);
            if (answer.status, &found) != (case.status, &expected) {
                let start: String = String::from_utf8_lossy(&case.body).chars().take(100).collect();
                wrong.push_str(&format!(
                    "{} {} {start:?}\n  expected {} {expected}\n  found    {} {found}\n",
                    case.target, case.header, case.status, answer.status
                ));
            }
            if answer.is_last() {
                connection = server.connect();
            }
        }
        let again = connection.ask("POST", contract.target, &[contract.header], contract.good.as_bytes());
        assert_eq!(again.body, good.body, "{}", contract.target);
    }
    assert!(wrong.is_empty(), "{wrong}");
    server.stop();
}

#[test]
fn a_route_that_does_not_exist_is_refused_in_the_form_of_its_contract() {
    let server = serve(&[], &[]);
    for (target, expected) in [
        ("/v1/nothing", "error"),
        ("/v1/models/fraud/nothing", "error"),
        ("/model/fraud/v1/nothing", "error"),
        ("/invocations/nothing", "error_code"),
        ("/models/fraud/nothing", "error_code"),
        ("/api/model/nothing", "message"),
        ("/vertex/nothing", "error"),
        ("/score/nothing", "error"),
    ] {
        let answer = server.get(target);
        let body: Value = serde_json::from_slice(&answer.body).unwrap();
        let keys = body.as_object().unwrap().keys().next().unwrap().clone();
        assert_eq!((answer.status, keys.as_str()), (404, expected), "{target}");
    }
    server.stop();
}
