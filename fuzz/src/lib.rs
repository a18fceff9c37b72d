//! What a fuzz target does with its input: read it as hostile bytes and, where something was read, score with it.
//! Whatever the bytes are, nothing here may panic. The model crate's tests include this file and give it the corpus.

use std::io::{Cursor, Write};
use std::sync::LazyLock;

use portend_core::TargetKind;
use portend_model::Model;
use portend_model::frame::{Frame, Keep};
use portend_model::runtime::Output;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

/// Model files that are good: the ones that packages hold and rows are scored with.
const MODELS: [(&str, &[u8]); 5] = [
    ("model/classes.json", include_bytes!("../corpus/xgboost_json/classes_categories.json")),
    ("model/labels.json", include_bytes!("../corpus/xgboost_json/labels.json")),
    ("model/numbers.json", include_bytes!("../corpus/xgboost_json/linear_outputs.json")),
    ("model/levels.txt", include_bytes!("../corpus/lightgbm_text/pandas_levels.txt")),
    ("model/forest.txt", include_bytes!("../corpus/lightgbm_text/forest.txt")),
];

const MANIFEST: &[u8] = include_bytes!("../corpus/manifest/classes.json");

/// A model of more columns is loaded and not scored: the rows would be larger than any input.
const MOST_COLUMNS: usize = 4096;

/// What the rows of a Parquet file may be without compression.
const MOST_BYTES: usize = 1 << 20;

/// Loads a bare model file and scores with it; true when that was possible.
pub fn model_file(bytes: &[u8]) -> bool {
    load(bytes, ".model").is_some_and(|model| score_own_rows(&model))
}

/// The same with a package's archive.
pub fn package(bytes: &[u8]) -> bool {
    load(bytes, ".mlpkg").is_some_and(|model| score_own_rows(&model))
}

/// The same with a sound package of which only the manifest comes from the input; it chooses one of [`MODELS`].
pub fn manifest(bytes: &[u8]) -> bool {
    package(&archive(&[("portend.json", bytes)]))
}

/// The same with a package of which only the checksums come from the input.
pub fn checksums(bytes: &[u8]) -> bool {
    package(&archive(&[("portend.json", MANIFEST), ("checksums.txt", bytes)]))
}

/// Decodes CSV for one model in single and one in double precision, and scores it.
/// The first byte chooses how many parts it is cut into and whether its columns are kept.
pub fn csv_rows(bytes: &[u8]) -> bool {
    rows(bytes, |model, text, keep, parts| model.decode_csv(text, keep, parts).ok())
}

/// The same with JSON records.
pub fn json_rows(bytes: &[u8]) -> bool {
    rows(bytes, |model, text, keep, _| Some(vec![model.decode_json(text, keep).ok()?]))
}

/// The same with a Parquet file, which is all of the input.
pub fn parquet_rows(bytes: &[u8]) -> bool {
    let score =
        |model: &Model| model.decode_parquet(bytes, MOST_BYTES).ok().map(|frame| score(model, &[frame]));
    both().iter().filter_map(score).count() > 0
}

fn rows(bytes: &[u8], decode: impl Fn(&Model, &str, &Keep, usize) -> Option<Vec<Frame>>) -> bool {
    let Some((first, rest)) = bytes.split_first() else { return false };
    let Ok(text) = std::str::from_utf8(rest) else { return false };
    let keep = if first & 1 == 1 { Keep::All } else { Keep::None };
    let parts = 1 + usize::from(first >> 1 & 3);
    let score = |model: &Model| decode(model, text, &keep, parts).map(|frames| score(model, &frames));
    both().iter().filter_map(score).count() > 0
}

/// The models that rows are decoded for: one in single and one in double precision.
fn both() -> &'static [Model] {
    static BOTH: LazyLock<Vec<Model>> = LazyLock::new(|| {
        let good =
            |name: &str| MODELS.iter().find(|(model, _)| *model == name).and_then(|(_, b)| load(b, ".model"));
        ["model/classes.json", "model/levels.txt"].map(|name| good(name).expect("the corpus is good")).into()
    });
    &BOTH
}

fn load(bytes: &[u8], suffix: &str) -> Option<Model> {
    let mut file =
        tempfile::Builder::new().suffix(suffix).tempfile().expect("the temporary folder can be written");
    file.write_all(bytes).expect("the temporary folder can be written");
    let loaded = Model::load(file.path(), "target");
    loaded.inspect_err(|error| assert!(error.to_string().len() < 4000, "a long error: {error}")).ok()
}

/// An archive with these files beside all of [`MODELS`].
fn archive(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    let stored = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
    for (name, bytes) in files.iter().chain(&MODELS) {
        zip.start_file(*name, stored).expect("the name is good");
        zip.write_all(bytes).expect("memory is written");
    }
    zip.finish().expect("memory is written").into_inner()
}

/// Scores rows that fit the model: nothing, zero, large numbers, and levels that it knows and does not know.
fn score_own_rows(model: &Model) -> bool {
    if model.features.len() > MOST_COLUMNS {
        return false;
    }
    let quoted = |cell: &str| format!("\"{}\"", cell.replace('"', "\"\""));
    let line = |cells: Vec<String>| cells.join(",") + "\n";
    let mut text = line(model.features.iter().map(|feature| quoted(&feature.name)).collect());
    for number in ["", "0", "-0.5", "1e38", "-1e300", "16777216", "nan"] {
        text += &line(model.features.iter().map(|_| quoted(number)).collect());
    }
    let level = |i: usize| {
        move |feature: &portend_core::Feature| match feature.levels.get(i) {
            Some(level) => quoted(&level.to_string()),
            None if feature.levels.is_empty() => i.to_string(),
            None => "unknown".to_owned(),
        }
    };
    for i in [0, 1, usize::MAX] {
        text += &line(model.features.iter().map(level(i)).collect());
    }
    match model.decode_csv(&text, &Keep::All, 2) {
        Ok(frames) => score(model, &frames) > 0,
        Err(_) => false,
    }
}

/// Computes every output of every row; how many numbers that were.
fn score(model: &Model, frames: &[Frame]) -> usize {
    let mut count = 0;
    for frame in frames {
        for output in [Output::Prediction, Output::Margin, Output::Leaf] {
            let scored = model.score(frame, 0..frame.rows(), output);
            assert_eq!(scored.values.len(), frame.rows() * scored.width);
            count += scored.values.len();
        }
        let labels = match &model.target.kind {
            TargetKind::Regression => 1,
            TargetKind::Binary { .. } => 2,
            TargetKind::MultiRegression { names } => names.len(),
            TargetKind::Multiclass { labels } | TargetKind::Multilabel { labels, .. } => labels.len(),
        };
        assert_eq!(model.predict(frame, 0..frame.rows()).width, labels);
    }
    count
}
