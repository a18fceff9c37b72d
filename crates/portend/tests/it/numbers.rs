//! How cells become numbers: each odd form of a cell is answered with the same bytes as the plain form of its value.

use std::collections::BTreeSet;
use std::path::PathBuf;

use crate::repository;
use crate::running_server::RunningServer;

const COLUMNS: [&str; 10] = ["age", "sex", "bmi", "bp", "s1", "s2", "s3", "s4", "s5", "s6"];
/// Where the cells under test stand: the column that the model heeds most.
const TESTED: &str = "bmi";

fn model() -> PathBuf {
    repository("testdata/models/xgb_diabetes/package/model/model.json")
}

/// One row of CSV in which all other cells are 0.01.
fn csv(cell: &str) -> String {
    let cells = COLUMNS.map(|column| if column == TESTED { cell } else { "0.01" });
    format!("{}\n{}\n", COLUMNS.join(","), cells.join(","))
}

/// Two records, the second with `member` in place of the tested key; the first keeps the column from being missing.
fn json(member: &str) -> String {
    let others =
        COLUMNS.iter().filter(|column| **column != TESTED).map(|column| format!("\"{column}\":0.01"));
    let others = others.collect::<Vec<_>>().join(",");
    format!("[{{\"{TESTED}\":0.01,{others}}},{{{member}{others}}}]")
}

fn post(server: &RunningServer, content_type: &str, body: &str) -> Vec<u8> {
    let header = format!("Content-Type: {content_type}");
    let answer = server.connect().ask("POST", "/predictions", &[&header], body.as_bytes());
    assert_eq!(answer.status, 200, "{body}\n{}", answer.text());
    answer.body
}

#[test]
fn odd_csv_cells_are_answered_like_their_plain_form() {
    let server = RunningServer::serve(&model());
    let check = |cell: &str, plain: &str| {
        let (found, expected) = (csv(cell), csv(plain));
        let answers = [&found, &expected].map(|rows| post(&server, "text/csv", rows));
        assert_eq!(answers[0], answers[1], "{cell:?} is not read as {plain}");
    };
    for cell in [
        " 0.06",
        "0.06 ",
        "\t0.06  ",
        "+0.06",
        ".06",
        "0.060",
        "6e-2",
        "6E-2",
        "0.6e-1",
        "600e-4",
        "\"0.06\"",
        "\" 0.06\"",
        "00.06",
    ] {
        check(cell, "0.06");
    }
    for cell in [
        "", " ", "\"\"", "NA", "na", "N/A", "n/a", "NaN", "nan", "NAN", "-nan", "null", "NULL", "None",
        "none", " NA ",
    ] {
        check(cell, "\"NA\"");
    }
    for cell in ["true", "True", "TRUE", " true", "1", "1.", "1.0", "+1", "01"] {
        check(cell, "1.0");
    }
    for cell in ["false", "False", "FALSE", "-0", "-0.0", "0e9", "1e-400"] {
        check(cell, "0");
    }
    for cell in ["9007199254740993", "9007199254740992.0", "9007199254740993.000", "9.007199254740992e15"] {
        check(cell, "9007199254740992");
    }
    for cell in ["Infinity", "+inf", "INF", "1e400", "1e39", &"9".repeat(400)] {
        check(cell, "inf");
    }
    for cell in ["-Infinity", "-INF", "-1e400"] {
        check(cell, "-inf");
    }
    // many digits: the nearest value, not a cut one
    check("0.0600000000000000000000000000000000001", "0.06");
    check("0.059999999999999999999999999999999999", "0.06");
    server.stop();
}

#[test]
fn odd_json_values_are_answered_like_their_plain_form() {
    let server = RunningServer::serve(&model());
    let check = |value: &str, plain: &str| {
        let member =
            |value: &str| if value.is_empty() { String::new() } else { format!("\"{TESTED}\":{value},") };
        let answers = [value, plain].map(|value| post(&server, "application/json", &json(&member(value))));
        assert_eq!(answers[0], answers[1], "{value:?} is not read as {plain}");
    };
    for value in ["6e-2", "0.060", "\"0.06\"", "\" 0.06 \"", "\"6E-2\"", "\"+.06\"", "\"\\u0030.06\""] {
        check(value, "0.06");
    }
    // an absent key, and all words for it
    for value in ["", "\"\"", "\" \"", "\"NA\"", "\"n/a\"", "\"nan\"", "\"NULL\"", "\"None\""] {
        check(value, "null");
    }
    for (value, plain) in
        [("true", "1"), ("\"TRUE\"", "1"), ("false", "0"), ("\"False\"", "0"), ("-0", "0"), ("-0.0", "0")]
    {
        check(value, plain);
    }
    for value in ["9007199254740993", "\"9007199254740993\"", "9007199254740992.0", "9007199254740993.0"] {
        check(value, "9007199254740992");
    }
    for (value, plain) in
        [("123456789012345678901234567890", "1.2345678901234568e29"), ("-99999999999999999999", "-1e20")]
    {
        check(value, plain);
    }
    for value in ["\"Infinity\"", "\"1e400\"", "1e39", "1e308"] {
        check(value, "\"inf\"");
    }
    server.stop();
}

#[test]
fn csv_and_json_are_answered_alike_and_values_make_a_difference() {
    let server = RunningServer::serve(&model());
    let mut answers = BTreeSet::new();
    for (cell, value) in
        [("0.06", "0.06"), ("-0.06", "-0.06"), ("", "null"), ("0.01", "0.01"), ("0.1", "\"0.1\"")]
    {
        let by_csv =
            post(&server, "text/csv", &format!("{}{}", csv("0.01"), csv(cell).lines().nth(1).unwrap()));
        let by_json = post(&server, "application/json", &json(&format!("\"{TESTED}\":{value},")));
        assert_eq!(by_csv, by_json, "{cell}");
        answers.insert(by_csv);
    }
    assert!(answers.len() >= 4, "only {} different answers: the table above tests nothing", answers.len());
    server.stop();
}
