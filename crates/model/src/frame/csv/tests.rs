//! CSV as people and programs really write it, good and bad, whole and in parts.

use portend_core::{Dtype, Feature, Label};

use super::*;
use crate::frame::Matching;

fn inputs() -> Inputs {
    let level = Feature {
        name: "c".into(),
        dtype: Dtype::Category,
        required: true,
        levels: vec![Label::Text("x".into()), Label::Text("ü, \"y\"\n".into())],
    };
    let optional = Feature { required: false, ..Feature::number("o") };
    let features = [Feature::number("a"), level, optional];
    Inputs::new(&features, Precision::Double, Matching::Name, Vec::new())
}

/// The rows as `a|c|o`, NaN as `-`, followed by the kept cells.
fn render(frames: &[Frame]) -> Vec<String> {
    let mut rows = Vec::new();
    for frame in frames {
        let (values, stride) = frame.columns::<f64>().unwrap();
        for row in 0..frame.rows() {
            let number = |c: usize| match values[c * stride + row] {
                v if v.is_nan() => "-".to_owned(),
                v => format!("{v:?}"),
            };
            let mut cells: Vec<_> = (0..3).map(number).collect();
            cells.extend(frame.passthrough.iter().map(|c| format!("{:?}", c.get(row))));
            rows.push(cells.join("|"));
        }
    }
    rows
}

fn check(text: &str, keep: &Keep, expected: &[&str]) {
    for parts in [1, 2, 3, 7] {
        let frames = decode(text, &inputs(), keep, parts).unwrap();
        assert_eq!(render(&frames), expected, "{text:?} in {parts} parts");
    }
}

fn check_error(text: &str, expected: &str) {
    for parts in [1, 2, 3, 7] {
        let error = decode(text, &inputs(), &Keep::None, parts).unwrap_err();
        assert_eq!(error.to_string(), expected, "{text:?} in {parts} parts");
    }
}

#[test]
fn a_carriage_return_alone_ends_no_line() {
    check_error(
        "a,c\r1,x\r2,y\r",
        "line 1: a carriage return stands alone in the header: end lines with LF or CRLF",
    );
    check_error("a,c\n1\r,x\n2\r3,x\n", "column 'a', row 1: '2\r3' is not a number");
}

#[test]
fn names_and_cells_are_repeated_shortened() {
    let long = "n".repeat(1 << 20);
    check_error(
        &format!("{long},{long}\n1,2\n"),
        &format!("column '{}…' occurs more than once", &long[..40]),
    );
    let keep = Keep::Named((0..30).map(|i| format!("{i:02}{long}")).collect());
    let error = decode("a,c\n", &inputs(), &keep, 1).unwrap_err().to_string();
    assert!(error.len() < 1200 && error.ends_with("…', … 30 in all]"), "{error}");
}

#[test]
fn rows_are_read_whatever_their_line_ends() {
    let rows = ["1.0|0.0|-", "-2.5|-|-"];
    check("a,c\n1,x\n-2.5,\n", &Keep::None, &rows);
    check("a,c\r\n1,x\r\n-2.5,\r\n", &Keep::None, &rows);
    check("a,c\n1,x\n-2.5,", &Keep::None, &rows);
    check("\n\na,c\n\n1,x\n\r\n-2.5,z\n\n", &Keep::None, &rows);
    check("c,extra,a\nx,\"skipped, \"\"text\"\"\n\",1\n,,-2.5\n", &Keep::None, &rows);
    check("a,c\n", &Keep::None, &[]);
    check("a,c", &Keep::None, &[]);
}

#[test]
fn quoted_cells_hold_anything() {
    check(
        "\"a\",\"c\",\"o\"\n\"1\",\"ü, \"\"y\"\"\n\",\" 3 \"\n2,x,1e3\n NA ,\"x\",true\n",
        &Keep::None,
        &["1.0|1.0|3.0", "2.0|0.0|1000.0", "-|0.0|1.0"],
    );
}

#[test]
fn kept_columns_are_repeated_as_they_came() {
    let keep = Keep::Named(["a".into(), "id".into()].into());
    check(
        "id,a,c\n\"q\"\"1\",01,x\n,1.50,x\n",
        &keep,
        &["1.0|0.0|-|Text(\"q\\\"1\")|Text(\"01\")", "1.5|0.0|-|Missing|Literal(\"1.50\")"],
    );
    check("a,c\n1,x\n", &Keep::All, &["1.0|0.0|-|Literal(\"1\")|Text(\"x\")"]);
    let error = decode("a,c\n1,x\n", &inputs(), &keep, 1).unwrap_err();
    assert_eq!(
        error.to_string(),
        "passthroughColumns do not match columns, columns expected but not found: ['id']"
    );
}

#[test]
fn what_is_wrong_is_said_with_its_place() {
    check_error("", "the request body is empty: send a header line and rows, or a list of records");
    check_error(" \n", "the request body is empty: send a header line and rows, or a list of records");
    check_error("a,c,a\n1,x,2\n", "column 'a' occurs more than once");
    check_error("c\nx\n", "column 'a' is missing: the model needs it");
    check_error("a,c\n1,x\n1\n3,x\n", "line 3: 1 cells in a row, the header has 2");
    check_error("a,c\nabc,x,1\n", "line 2: 3 cells in a row, the header has 2");
    check_error("a,c\n1,x\n1,x,3,4\n", "line 3: 4 cells in a row, the header has 2");
    check_error("a,c\n1,x\n\n2,x\nabc,x\n4,x\n", "column 'a', row 2: 'abc' is not a number");
    check_error("a,c\n1,\"x\ny\"\n1\n3,x\n", "line 4: 1 cells in a row, the header has 2");
    check_error("a,c\n1,\"x\n2,x\n", "line 3: a quoted cell is not closed before the end");
    check_error("a,c\n1,\"x\"y\n", "line 2: text after the closing quote of a cell");
    check_error("a,\"c\n1,x\n", "line 1: a quoted column name is not closed");
}

#[test]
fn stray_quotes_fall_back_to_reading_in_order() {
    let mut text = "a,c\n".to_owned();
    let mut expected = Vec::new();
    for i in 0..50 {
        text += &format!("{i},5\" pipe\n");
        expected.push(format!("{i:?}.0|-|-"));
    }
    let expected: Vec<_> = expected.iter().map(String::as_str).collect();
    check(&text, &Keep::None, &expected);
}

#[test]
fn columns_without_names_are_matched_by_position() {
    let features = [Feature::number("f0"), Feature::number("f1")];
    let inputs = Inputs::new(&features, Precision::Single, Matching::Position, Vec::new());
    let frame = &decode("x,y\n1,2\n", &inputs, &Keep::None, 1).unwrap()[0];
    assert_eq!(frame.columns::<f32>().map(|(v, s)| (v[0], v[s])), Some((1.0, 2.0)));
    let error = decode("x,y,z\n1,2,3\n", &inputs, &Keep::None, 1).unwrap_err();
    assert_eq!(error, DataError::ColumnCount { expected: 2, found: 3 });
}

#[test]
fn a_header_may_be_absent() {
    let check = |text: &str, header: HeaderLine, expected: Result<&[&str], &str>| {
        for parts in [1, 2, 3, 7] {
            let found = decode_with(text, header, &inputs(), &Keep::None, parts);
            let found = found.map(|frames| render(&frames)).map_err(|error| error.to_string());
            let found = found.as_ref().map_err(String::as_str);
            assert_eq!(
                found.map(Vec::as_slice).map(<[_]>::to_vec),
                expected.map(|rows| rows.iter().map(|r| (*r).to_owned()).collect()),
                "{text:?}"
            );
        }
    };
    use HeaderLine::{Absent, Unknown};
    check("1,x,2\n,,\n", Absent, Ok(&["1.0|0.0|2.0", "-|-|-"]));
    check("a,c,o\n", Absent, Err("column 'a', row 0: 'a' is not a number"));
    check("1,x\n", Absent, Err("line 1: 2 cells in a row, the model has 3 features"));
    check("\n1,x,2\n1\n", Absent, Err("line 3: 1 cells in a row, the model has 3 features"));
    check("", Absent, Ok(&[]));
    check("1,x,2\n,,3\n", Unknown, Ok(&["1.0|0.0|2.0", "-|-|3.0"]));
    check(",x,\n", Unknown, Ok(&["-|0.0|-"]));
    check("o,a,c\n1,2,x\n", Unknown, Ok(&["2.0|0.0|1.0"]));
    check("1,x,2,c\n", Unknown, Err("column 'a' is missing: the model needs it"));
    check("0,1,2\n1,x,2\n", Unknown, Err("column 'a' is missing: the model needs it"));
    check("p,q,r\n1,x,2\n", Unknown, Err("column 'a' is missing: the model needs it"));
    check("", Unknown, Err("the request body is empty: send a header line and rows, or a list of records"));
}
