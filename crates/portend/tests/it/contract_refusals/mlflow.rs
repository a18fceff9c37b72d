//! Bad requests to MLflow's scoring server and SageMaker's contract.

use serde_json::json;

use super::{Case, Contract, JSON};
use crate::contracts::{CSV, Row, header, row};

pub(super) fn contract() -> Contract {
    const PATH: &str = "/model/fraud/invocations";
    let form = |case: &Case| match case.status {
        415 => json!(case.error),
        _ => json!({ "error_code": case.code, "message": case.error }),
    };
    let Row { names, values, record, columns } = row();
    let good = format!(r#"{{"dataframe_split":{{"columns":{names},"data":[{values}]}}}}"#);
    let mut all =
        Contract { target: PATH, header: JSON, status: 400, form, good: good.clone(), cases: Vec::new() };
    let required = "The input must be a JSON dictionary with exactly one of the input fields {'dataframe_split', \
                    'dataframe_records', 'instances', 'inputs'}.";
    let invalid =
        |error: &str| format!("Ensure that input is a valid JSON formatted string. Error: '{error}'");
    all.case("", invalid("EOF while parsing a value at line 1 column 0"));
    all.bad_json(invalid);
    all.case("[]", format!("{required} Received a list."));
    all.case(format!("[{record}]"), format!("{required} Received a list."));
    for body in ["5", "null", "\"x\"", "true"] {
        all.case(body, format!("{required} Received a single value."));
    }
    all.case("{}", format!("{required} Received dictionary with input fields: []."));
    all.case("{\"data\":[[1]]}", format!("{required} Received dictionary with input fields: ['data']."));
    all.case(format!(r#"{{"instances":[{record}],"inputs":[{record}]}}"#), {
        format!("{required} Received dictionary with input fields: ['instances', 'inputs'].")
    });
    all.case(r#"{"messages":[{"role":"user","content":"hi"}]}"#, {
        format!("{required} 'messages' is a field of language models, and there is none here.")
    });
    all.bad_rows(|rows| format!("{{\"instances\":{rows}}}"), "");
    all.case(r#"{"instances":5}"#, "'instances' is not a list");
    all.case(r#"{"instances":null}"#, "'instances' is null: rows are needed");
    all.case(r#"{"instances":[1,2]}"#, {
        "rows are single values, and the model has 11 features: send a list of values, or an object, for each row"
    });
    all.case(r#"{"dataframe_split":[[1]]}"#, {
        "'dataframe_split' cannot be read: invalid type: sequence, expected a JSON object at line 1 column 0"
    });
    all.case(r#"{"dataframe_split":{"columns":["dir"]}}"#, {
        "'dataframe_split' has no 'data': send 'columns' and 'data'"
    });
    all.case(r#"{"dataframe_split":{"columns":"dir","data":[]}}"#, {
        "'columns' of 'dataframe_split' is not a list of names"
    });
    all.case(r#"{"dataframe_split":{"data":[],"extra":1}}"#, {
        "'dataframe_split' has 'extra': it may have 'columns', 'index' and 'data'"
    });
    all.case(format!(r#"{{"dataframe_split":{{"columns":["dir"],"data":[{values}]}}}}"#), {
        "row 0 has 11 values where 1 belong"
    });
    all.case(
        r#"{"dataframe_split":{"columns":["dir"],"data":[[1]]}}"#,
        "column 'hir' is missing: the model needs it",
    )
    .code = "INVALID_PARAMETER_VALUE";
    all.case(
        r#"{"dataframe_split":{"columns":["dir","dir"],"data":[[1,2]]}}"#,
        "column 'dir' occurs more than once",
    )
    .code = "INVALID_PARAMETER_VALUE";
    all.case(format!(r#"{{"dataframe_records":{record}}}"#), "'dataframe_records' is not a list of records");
    all.case(format!(r#"{{"inputs":{}}}"#, columns.replacen("[0.35]", "[0.35,1]", 1)), {
        "column 'hir' has 1 rows, the first one has 2"
    })
    .code = "INVALID_PARAMETER_VALUE";
    all.case(format!(r#"{{"inputs":{}}}"#, columns.replacen("[0.35]", "{}", 1)), {
        "column 'dir' is not a list of values"
    });
    all.case(format!(r#"{{"inputs":{}}}"#, columns.replacen("[0.35]", "[[1,2]]", 1)), {
        "column 'dir' does not have one value a row"
    });
    let with = |params: &str| format!(r#"{{"instances":[{record}],"params":{params}}}"#);
    all.case(with("5"), {
        "'params' cannot be read: invalid type: integer `5`, expected a JSON object at line 1 column 1"
    });
    all.case(with(r#"{"temperature":1}"#), {
        "parameter 'temperature' is not read: output_margin, raw_score, pred_leaf and predict_method are"
    });
    all.case(with(r#"{"pred_leaf":1}"#), "parameter 'pred_leaf' is 1: true or false is needed");
    all.case(with(r#"{"predict_method":"x"}"#), {
        "parameter 'predict_method' is \"x\": \"predict\" or \"predict_proba\" is needed"
    });
    all.case(b"{\"instances\":[[\"\xff\"]]}".to_vec(), {
        "Ensure that input is a valid UTF-8 encoded string. Error: 'invalid utf-8 sequence of 1 bytes from index 16'"
    });
    csv_and_media(&mut all, &good);
    models(&mut all);
    all
}

fn csv_and_media(all: &mut Contract, good: &str) {
    let mut csv = |body: String, error: &str, code: &'static str| {
        let case = all.case(body, error);
        (case.header, case.code) = ("Content-Type: text/csv".to_owned(), code);
    };
    let header = header();
    csv(
        String::new(),
        "the request body is empty: send a header line and rows, or a list of records",
        "BAD_REQUEST",
    );
    csv("1,2\n".into(), "column 'dir' is missing: the model needs it", "INVALID_PARAMETER_VALUE");
    csv(format!("{header}1,2\n"), "line 2: 2 cells in a row, the header has 11", "BAD_REQUEST");
    csv(format!("{CSV}1,2\n"), "line 2: 2 cells in a row, the model has 11 features", "BAD_REQUEST");
    csv(
        format!("{header}{}", CSV.replacen("0.35", "abc", 1)),
        "column 'dir', row 0: 'abc' is not a number",
        "BAD_REQUEST",
    );
    csv(format!("dir,{header}1,{CSV}"), "column 'dir' occurs more than once", "INVALID_PARAMETER_VALUE");
    csv(format!("{header}\"0.35"), "line 2: a quoted cell is not closed before the end", "BAD_REQUEST");
    let parquet = |all: &mut Contract, body: &str, error: &str| {
        all.case(body, error).header = "Content-Type: application/vnd.apache.parquet".to_owned();
    };
    let cut = "its metadata would be 1048576 bytes, more than the file has: it is cut off or damaged";
    parquet(all, "PAR1\0\0\x10\0PAR1", &format!("the Parquet file cannot be read: {cut}"));
    let not = "it is not a Parquet file, which begins and ends with the bytes PAR1";
    parquet(all, good, &format!("the Parquet file cannot be read: {not}"));
    parquet(all, "", "the request body is empty: send a header line and rows, or a list of records");
    let only = "This predictor only supports the following content types: Types: ['text/csv', 'application/json', \
         'application/vnd.apache.parquet'].";
    all.media("Content-Type: text/plain", good, format!("{only} Got 'text/plain'."));
    all.media("X-Content-Type: none", good, format!("{only} Got ''."));
    all.media(
        "Content-Type: application/json; charset=latin1",
        good,
        "The scoring server only supports UTF-8",
    );
    all.media("Content-Type: application/json; format=pandas-split", good, {
        "Unrecognized content type parameters: format: only charset=utf-8 is known, and header=present or header=absent \
         of text/csv"
    });
    all.media("Content-Type: application/json\r\nContent-Encoding: br", good, {
        "Content-Encoding 'br' is not read, only gzip and deflate are"
    });
    let case = all.case(good, "the body is not valid gzip: invalid gzip header");
    case.header = "Content-Type: application/json\r\nContent-Encoding: gzip".to_owned();
}

fn models(all: &mut Contract) {
    let unknown = "there is no such deployment; there are: fraud, revenue";
    all.routed("POST", "/model/nope/invocations", 404, unknown);
    all.routed("POST", "/models/nope/invoke", 404, unknown);
    all.routed("GET", "/invocations", 405, "this route does not take GET requests");
    all.routed("DELETE", "/models/nope", 404, unknown);
    for (body, error) in [
        (
            "",
            "a JSON object with 'model_name' and 'url' is needed: EOF while parsing a value at line 1 column 0",
        ),
        (
            "{}",
            "a JSON object with 'model_name' and 'url' is needed: missing field `model_name` at line 1 column 2",
        ),
    ] {
        all.case(body, error).target = "/models";
    }
    let case = all.case(r#"{"model_name":"nope","url":"/etc"}"#, {
        format!("{unknown}: models are loaded from the repository, not from '/etc'")
    });
    (case.target, case.status, case.code) = ("/models", 404, "RESOURCE_DOES_NOT_EXIST");
}
