//! Every case in `testdata/models`: rows through the decoders and the runtime, against the numbers that the training
//! library gave. Margins bit for bit (but for `survival:cox`, within 1 ulp), leaves exactly, predictions within 1e-6
//! (XGBoost) and 1e-12 (LightGBM): each case states its tolerance.

use std::fs;
use std::path::PathBuf;

use portend_model::Model;
use portend_model::frame::{Frame, Keep, Precision};
use portend_model::runtime::Output;

#[derive(serde::Deserialize)]
struct Expected {
    library: String,
    margins: Vec<Vec<f64>>,
    predictions: Vec<Vec<f64>>,
    /// One a tree; no rows for models without trees.
    leaves: Vec<Vec<f64>>,
    tolerance: Tolerance,
}

/// The largest relative difference that is allowed.
#[derive(serde::Deserialize)]
struct Tolerance {
    margins: f64,
    predictions: f64,
}

fn cases() -> Vec<PathBuf> {
    let root = crate::repository("testdata/models");
    let mut cases: Vec<_> = fs::read_dir(root)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.join("expected.json").is_file())
        .collect();
    cases.sort();
    cases
}

/// All rows of an output: decoded in `parts` parts, scored `block` rows at a time.
fn score(model: &Model, text: &str, parts: usize, block: usize, output: Output) -> Vec<Vec<f64>> {
    let frames: Vec<Frame> = model.decode_csv(text, &Keep::None, parts).unwrap();
    let mut rows = Vec::new();
    for frame in &frames {
        for start in (0..frame.rows()).step_by(block) {
            let end = (start + block).min(frame.rows());
            rows.extend(model.score(frame, start..end, output).rows().map(<[f64]>::to_vec));
        }
    }
    rows
}

/// The largest relative difference, with probabilities near zero measured against one unit of rounding at one.
fn largest_difference(found: &[Vec<f64>], expected: &[Vec<f64>], precision: Precision) -> f64 {
    let floor = if precision == Precision::Single { 0.1 } else { 1e-4 };
    let pairs = found.iter().flatten().zip(expected.iter().flatten());
    pairs.map(|(a, b)| if a == b { 0.0 } else { (a - b).abs() / b.abs().max(floor) }).fold(0.0, f64::max)
}

#[test]
fn every_golden_case_equals_its_library() {
    let cases = cases();
    assert!(cases.len() >= 80, "only {} golden cases found", cases.len());
    println!("{:<25} {:<18} {:>5} {:>6} {:>13}", "case", "library", "rows", "trees", "largest diff");
    let mut total = 0;
    for case in &cases {
        let name = case.file_name().unwrap().to_string_lossy();
        let model = Model::load(&case.join("package"), "target").unwrap_or_else(|e| panic!("{name}: {e}"));
        let text = fs::read_to_string(case.join("rows.csv")).unwrap();
        let Expected {
            library,
            margins: expected_margins,
            predictions: expected,
            leaves: expected_leaves,
            tolerance,
        } = serde_json::from_str(&fs::read_to_string(case.join("expected.json")).unwrap()).unwrap();
        // one part and many, rows in blocks and trees in step: the same bits
        for (parts, block) in [(1, usize::MAX >> 1), (3, 64), (1, 1), (7, 13)] {
            let margins = score(&model, &text, parts, block, Output::Margin);
            for (row, (found, expected)) in margins.iter().zip(&expected_margins).enumerate() {
                let near = |(a, b): (&f64, &f64)| a == b || (a - b).abs() <= tolerance.margins * b.abs();
                assert!(
                    found.len() == expected.len() && found.iter().zip(expected).all(near),
                    "{name}: margin of row {row} is {found:?} and not {expected:?}, {parts} parts, blocks of {block}"
                );
            }
            assert_eq!(margins.len(), expected_margins.len(), "{name}: rows");
        }
        let leaves = score(&model, &text, 1, 1000, Output::Leaf);
        assert_eq!(leaves.concat(), expected_leaves.concat(), "{name}: leaves");
        let precision = model.inputs.precision;
        let predictions = score(&model, &text, 1, 1000, Output::Prediction);
        let difference = largest_difference(&predictions, &expected, precision);
        assert_eq!(predictions.concat().len(), expected.concat().len(), "{name}: predictions");
        assert!(difference <= tolerance.predictions, "{name}: predictions differ by {difference:e}");
        let (rows, trees) = (predictions.len(), leaves.first().map_or(0, Vec::len));
        println!("{name:<25} {library:<18} {rows:>5} {trees:>6} {difference:>13.1e}");
        total += rows;
    }
    println!("golden cases: {}, rows: {total}, margins and leaves equal bit for bit", cases.len());
}

#[test]
fn json_records_give_the_same_margins_as_csv() {
    for case in cases() {
        let name = case.file_name().unwrap().to_string_lossy().into_owned();
        let model = Model::load(&case.join("package"), "target").unwrap();
        let text = fs::read_to_string(case.join("rows.csv")).unwrap();
        let json = records(&model, &text);
        let frame = model.decode_json(&json, &Keep::None).unwrap();
        let from_json = model.score(&frame, 0..frame.rows(), Output::Margin);
        let from_csv = score(&model, &text, 1, 1000, Output::Margin).concat();
        assert_eq!(from_json.values, from_csv, "{name}");
    }
}

/// The rows as records of texts: quoted numbers count as numbers.
fn records(model: &Model, text: &str) -> String {
    let frame = &model.decode_csv(text, &Keep::All, 1).unwrap()[0];
    let row = |row: usize| {
        let cells = frame.passthrough.iter().map(|column| {
            use portend_model::frame::TextCell::{Literal, Missing, Text};
            let value = match column.get(row) {
                Missing => serde_json::Value::Null,
                Literal(text) | Text(text) => serde_json::Value::String(text.to_owned()),
            };
            (column.name.clone(), value)
        });
        serde_json::Value::Object(cells.collect())
    };
    serde_json::Value::Array((0..frame.rows()).map(row).collect()).to_string()
}
