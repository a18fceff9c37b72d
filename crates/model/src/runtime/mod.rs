//! The seam behind which models run: prepared once, immutable and shared by all threads; scores frames, knows
//! neither packages nor protocols. One folder per kind of runtime.

mod linear;
mod link;
mod missing;
pub mod tree;

use std::fmt;
use std::ops::Range;

use portend_core::Label;

use crate::error::LoadError;
use crate::frame::{Frame, Matching, Precision};
use crate::predictions::Predictions;

/// What to compute for each row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Output {
    /// What the training library's `predict` gives: a number, or one probability a class
    /// (two for binary models: of class 0 and of class 1).
    Prediction,
    /// The sum before the output transform: one value, or one a class for multiclass models.
    Margin,
    /// The library's own index of the leaf that the row reaches, one a tree.
    Leaf,
}

/// A model that is ready to score.
pub trait Runtime: Send + Sync {
    /// The width of the numbers it reads and answers in.
    fn precision(&self) -> Precision;

    /// Values per row for an output.
    fn width(&self, output: Output) -> usize;

    /// Scores some rows of a frame that was decoded by this runtime's precision and inputs.
    /// Rows outside the frame, or a frame of the other precision, are a defect of the caller.
    fn score(&self, frame: &Frame, rows: Range<usize>, output: Output) -> Predictions;

    /// Several outputs of the same rows, in the order of `outputs`; what they share is computed once.
    fn score_all(&self, frame: &Frame, rows: Range<usize>, outputs: &[Output]) -> Vec<Predictions> {
        outputs.iter().map(|output| self.score(frame, rows.clone(), *output)).collect()
    }

    /// About how many nanoseconds a row takes on one core: decides whether a request is worth splitting.
    fn row_cost(&self) -> f64;

    /// About how many bytes it holds.
    fn memory(&self) -> usize;
}

/// The kind of prediction that a model file tells of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Task {
    /// One number a row.
    Regression,
    /// Several numbers a row.
    MultiRegression,
    /// Two classes.
    Binary,
    /// Three classes or more (or two trained as such).
    Multiclass,
    /// Several labels, each on its own.
    Multilabel,
}

impl fmt::Display for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Regression => "a number",
            Self::MultiRegression => "several numbers",
            Self::Binary => "two classes",
            Self::Multiclass => "several classes",
            Self::Multilabel => "several labels",
        })
    }
}

/// A feature as a model file tells of it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ModelFeature {
    /// Its name; a made-up one when the file has none.
    pub name: String,
    /// The levels in code order, when the file has them.
    pub levels: Vec<Label>,
    /// True when the file has levels but not in a form that can be relied on.
    pub levels_lost: bool,
    /// Whether splits treat it as codes of levels.
    pub categorical: bool,
    /// The greatest code that an XGBoost model's splits name.
    pub greatest_code: Option<u32>,
}

/// A model file, read: the runtime and what the file tells beside it.
pub struct Prepared {
    /// What scores.
    pub runtime: Box<dyn Runtime>,
    /// The features in the model's order.
    pub features: Vec<ModelFeature>,
    /// Lists of levels in the order of the columns that they belong to, where the file does not say which these are
    /// (LightGBM's `pandas_categorical`). Where it is certain, the features have their lists as well.
    pub level_lists: LevelLists,
    /// How columns find the features: by position when the file does not name them.
    pub matching: Matching,
    /// What it predicts.
    pub task: Task,
    /// The class labels, or names of several numbers, in output order, as the file tells them, else counted from 0;
    /// none for one number.
    pub labels: Vec<Label>,
    /// The objective in the library's own words.
    pub objective: String,
    /// The boosting iterations that are used, for models that have any.
    pub rounds: Option<Rounds>,
    /// The library and, where the file has it, the version that wrote it.
    pub library: String,
}

/// Lists of levels without their columns.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct LevelLists {
    /// One a column.
    pub lists: Vec<Vec<Label>>,
    /// True when the columns can only be others than those that the features tell if a manifest says so.
    pub certain: bool,
}

/// Which boosting iterations to use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Iterations {
    /// What the library does with the file: all, or those up to the best one if the scikit-learn wrapper wrote it.
    #[default]
    Default,
    /// Those up to the best one of early stopping.
    Best,
    /// All.
    All,
    /// This many from the start, or all if there are fewer.
    First(usize),
}

/// The boosting iterations of a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rounds {
    /// Those that are used, from the start.
    pub used: usize,
    /// Those that the file has.
    pub of: usize,
}

/// A label or level out of a model file or manifest; None for what is no single value.
pub(crate) fn label(value: serde_json::Value) -> Option<Label> {
    match value {
        serde_json::Value::String(text) => Some(Label::Text(text)),
        serde_json::Value::Bool(value) => Some(Label::Bool(value)),
        serde_json::Value::Number(number) => Some(match number.as_i64() {
            Some(integer) => Label::Integer(integer),
            None => Label::Number(number.as_f64().unwrap_or(f64::NAN)),
        }),
        _ => None,
    }
}

/// The libraries whose files are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// XGBoost JSON and UBJSON.
    XgBoost,
    /// LightGBM text.
    LightGbm,
}

impl Kind {
    /// The kind called `name` in manifests.
    pub fn parse(name: &str) -> Option<Self> {
        match name {
            "xgboost" => Some(Self::XgBoost),
            "lightgbm" => Some(Self::LightGbm),
            _ => None,
        }
    }

    /// The name in manifests.
    pub fn name(self) -> &'static str {
        match self {
            Self::XgBoost => "xgboost",
            Self::LightGbm => "lightgbm",
        }
    }

    /// The kind of a bare file, by its first bytes; an error says what was seen.
    pub fn detect(bytes: &[u8]) -> Result<Self, &'static str> {
        let text = bytes.trim_ascii_start();
        match text.first() {
            None => Err("the file is empty"),
            Some(b'{') => Ok(Self::XgBoost),
            Some(_) if text.starts_with(b"tree\n") || text.starts_with(b"tree\r\n") => Ok(Self::LightGbm),
            Some(_) if text.starts_with(b"binf") || text.starts_with(b"bs64") => Err(OLD_XGBOOST),
            Some(_) if matches!(bytes, [0x80, 2..=5, ..]) => Err(PICKLE),
            Some(_) if text.starts_with(b"PK\x03\x04") => Err("it is a zip archive without portend.json"),
            Some(_) => Err("it is neither XGBoost JSON or UBJSON nor LightGBM text \
                (XGBoost's old binary format must be saved again as JSON with XGBoost 3.0 or older)"),
        }
    }
}

/// Protocols 2 to 5; joblib writes such files, too.
const PICKLE: &str = "it is a Python pickle, which is not read, because loading one runs whatever is in it: load it in \
    Python and save the model with its save_model (of LightGBM's scikit-learn wrapper booster_.save_model)";
const OLD_XGBOOST: &str = "it is XGBoost's old binary format, which is not read: load it with XGBoost 3.0 or older and save it as .json";

/// Reads a model file. `file` names it in errors.
pub fn prepare(kind: Kind, file: &str, bytes: &[u8], iterations: Iterations) -> Result<Prepared, LoadError> {
    let prepared = match kind {
        Kind::XgBoost => tree::xgboost::read(bytes, iterations),
        Kind::LightGbm => tree::lightgbm::read(bytes, iterations),
    };
    prepared.map_err(|reason| LoadError::BadModel { file: file.to_owned(), reason })
}
