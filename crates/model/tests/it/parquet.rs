//! Parquet files that pandas and pyarrow wrote, in `testdata/parquet`: the model says of them what it says of the same
//! rows as JSON, bit for bit, and names what it does not read.

use std::fs;
use std::path::PathBuf;

use portend_model::Model;
use portend_model::frame::{Frame, Keep};
use portend_model::runtime::Output;

/// More than any of the files holds.
const LIMIT: usize = 1 << 20;

fn testdata(path: &str) -> PathBuf {
    crate::repository("testdata").join(path)
}

fn models() -> [Model; 2] {
    ["lgb_penguins", "xgb_penguins"]
        .map(|case| Model::load(&testdata(&format!("models/{case}/package")), case).unwrap())
}

fn said(model: &Model, frame: &Frame) -> Vec<u64> {
    assert_eq!(frame.rows(), 64);
    let all = [Output::Prediction, Output::Margin, Output::Leaf].map(|o| model.score(frame, 0..64, o).values);
    all.concat().into_iter().map(f64::to_bits).collect()
}

fn check_same(file: &str, records: &str) {
    let bytes = fs::read(testdata(&format!("parquet/{file}.parquet"))).unwrap();
    let text = fs::read_to_string(testdata(&format!("parquet/{records}.json"))).unwrap();
    for model in models() {
        let found = model.decode_parquet(&bytes, LIMIT).unwrap_or_else(|error| panic!("{file}: {error}"));
        let expected = model.decode_json(&text, &Keep::None).unwrap();
        assert_eq!(said(&model, &found), said(&model, &expected), "{file}, {}", model.id);
    }
}

#[test]
fn a_file_gets_the_predictions_of_the_same_rows_as_json() {
    let other = |name: &str| name.starts_with("bad_") || name.starts_with("truths") || name == "required";
    let mut files = 0;
    for entry in fs::read_dir(testdata("parquet")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        if path.extension().is_some_and(|e| e == "parquet") && !other(&name) {
            check_same(&name, "rows");
            files += 1;
        }
    }
    assert_eq!(files, 20);
    // missing numbers are NaN there, and missing levels are no text
    check_same("required", "rows");
    for file in ["truths", "truths_second_pages", "truths_plain"] {
        check_same(file, "truths");
    }
}

#[test]
fn what_is_not_read_is_named_with_the_remedy() {
    let of = |column: &str, reason: &str| {
        format!("column '{column}' of the Parquet file cannot be read: {reason}")
    };
    let holds = |what: &str| {
        let remedy = "write numbers, truth values or text, or leave it out if the model can do without";
        of("year", &format!("it holds {what}, which are not read: {remedy}"))
    };
    let compressed = |name: &str| {
        let remedy = "write the file with snappy, gzip, zstd or no compression";
        of("island", &format!("it is compressed with {name}: {remedy}"))
    };
    let encoded = |column: &str, name: &str| {
        let remedy = "write it with pyarrow's default encodings, a dictionary or PLAIN";
        of(column, &format!("its encoding {name} is not read: {remedy}"))
    };
    let [model, _] = models();
    for (file, expected) in [
        ("timestamps", holds("timestamps")),
        ("dates", holds("dates")),
        ("lists", holds("lists or structs")),
        ("structs", holds("lists or structs")),
        ("decimals", holds("decimals")),
        ("int96", holds("timestamps of 96 bits")),
        ("lz4", compressed("LZ4")),
        ("brotli", compressed("Brotli")),
        ("delta", encoded("year", "DELTA_BINARY_PACKED")),
        ("split", encoded("bill_length_mm", "BYTE_STREAM_SPLIT")),
        ("text", "column 'bill_length_mm', row 0: 'abc' is not a number".to_owned()),
        ("missing", "column 'year' is missing: the model needs it".to_owned()),
    ] {
        let bytes = fs::read(testdata(&format!("parquet/bad_{file}.parquet"))).unwrap();
        let error = model.decode_parquet(&bytes, LIMIT).unwrap_err();
        assert_eq!(error.to_string(), expected, "{file}");
    }
}

#[test]
fn a_file_of_more_rows_than_a_request_may_have_is_refused() {
    let [model, _] = models();
    let bytes = fs::read(testdata("parquet/default.parquet")).unwrap();
    assert!(model.decode_parquet(&bytes, 64 * 7).is_err(), "its pages have more bytes than that");
    assert_eq!(
        model.decode_parquet(&bytes, 64 * 7 - 1).unwrap_err().to_string(),
        "the Parquet file has 64 rows: with a byte for each value that would be more than the 447 bytes that a request may \
         have; send fewer rows at a time"
    );
}
