//! Why a package was not made.

use crate::error::{DataError, LoadError};

/// Why a package was not made. Each text names the thing and, where one exists, the remedy.
#[derive(Debug, thiserror::Error)]
pub enum CreateError {
    /// The model file cannot be used.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// It is a zip archive.
    #[error(
        "{file} is a package or another zip archive: give the model file that the training library wrote"
    )]
    AlreadyAPackage {
        /// The file.
        file: String,
    },
    /// Rows cannot be read.
    #[error("{file}: {error}")]
    Data {
        /// The file.
        file: String,
        /// What is wrong with them.
        error: DataError,
    },
    /// There is nothing in the file.
    #[error("{file} is empty: a header line and rows, or a list of records, are needed")]
    Empty {
        /// The file.
        file: String,
    },
    /// The training data are longer than is read.
    #[error("{file} is larger than {limit_mib} MiB: give fewer rows of the training data, evenly spread")]
    TooLong {
        /// The file.
        file: String,
        /// The limit.
        limit_mib: usize,
    },
    /// There are more sample rows than could be checked whenever the package is loaded.
    #[error(
        "{file} has too many rows: samples are checked whenever the package is loaded, and a few are enough"
    )]
    TooManySamples {
        /// The file.
        file: String,
    },
    /// Samples of a model without names have another number of columns.
    #[error("{file} has {found} columns, and the model, which matches them by position, {expected} features")]
    SampleColumns {
        /// The file.
        file: String,
        /// Columns of the file.
        found: usize,
        /// Features of the model.
        expected: usize,
    },
    /// There is a header and nothing else.
    #[error("{file} has no rows")]
    NoRows {
        /// The file.
        file: String,
    },
    /// The task is another than the model's.
    #[error(
        "type '{given}' is not what the model predicts: its objective '{objective}' makes it '{found}' with {outputs} outputs"
    )]
    Task {
        /// What was given.
        given: String,
        /// What the model file says.
        found: &'static str,
        /// Its objective.
        objective: String,
        /// Its values per row.
        outputs: usize,
    },
    /// Something was given that models of this task do not have.
    #[error("{setting} was given, and a model of type '{task}' has none")]
    Unfit {
        /// What.
        setting: &'static str,
        /// The task.
        task: &'static str,
    },
    /// There are more or fewer labels than the model has classes.
    #[error(
        "{origin}: {found} classes ({classes}), and the model has {needed}; list them in the order of the model's outputs"
    )]
    ClassCount {
        /// Where they come from.
        origin: String,
        /// How many there are.
        found: usize,
        /// Their labels.
        classes: String,
        /// How many there must be.
        needed: usize,
    },
    /// A label occurs twice.
    #[error("class '{0}' is listed twice")]
    ClassTwice(String),
    /// The positive class is no class.
    #[error("positive class '{given}' is not one of the classes: {classes}")]
    PositiveClass {
        /// What was given.
        given: String,
        /// The labels.
        classes: String,
    },
    /// The threshold is no probability.
    #[error("threshold {0} is not a number from 0 to 1")]
    Threshold(f64),
    /// The id cannot be one.
    #[error("id '{id}': {rule}; give another one")]
    Id {
        /// The id.
        id: String,
        /// The rule.
        rule: String,
    },
    /// The training data lack columns that the model reads.
    #[error("{file} has no column for {missing}: training data need every feature of the model, by its name")]
    FeaturesMissing {
        /// The file.
        file: String,
        /// The features.
        missing: String,
    },
    /// The model names no features, and the training data have another number of columns.
    #[error(
        "the model has {needed} features without names, and {file} has {found} columns beside the target '{target}': \
         training data need exactly the features, in the order of the training"
    )]
    ColumnCount {
        /// The file.
        file: String,
        /// Features of the model.
        needed: usize,
        /// Columns of the data.
        found: usize,
        /// The target's name.
        target: String,
    },
    /// A cell is no number where the model reads one.
    #[error(
        "{file}: column '{column}', row {row}: '{value}' is not a number, and the model file has no levels for it: give \
         the data as the model was trained on, the levels of '{column}' in the order of their codes, or '{value}' as a \
         missing value"
    )]
    NotANumber {
        /// The file.
        file: String,
        /// The column.
        column: String,
        /// The row, from 0.
        row: usize,
        /// The cell.
        value: String,
    },
    /// A column can be read neither as codes nor as levels.
    #[error(
        "{file}: column '{column}' holds {values}, its splits name codes up to {greatest}, and the model file has no \
         levels for it: give the data as the model was trained on, or the levels, that of code 0 first: \
         --levels '{column}=A,B,…'"
    )]
    NeitherCodesNorLevels {
        /// The file.
        file: String,
        /// The column.
        column: String,
        /// Its values.
        values: String,
        /// The greatest code in the model's splits.
        greatest: u32,
    },
    /// Most values of a column are none of the feature's levels.
    #[error(
        "{file}: {unknown} of the {count} values of column '{column}' are none of the levels that the model file has for \
         it: {values}, not {levels}; give the data as the model was trained on{}",
        elsewhere(*lists)
    )]
    OtherLevels {
        /// The file.
        file: String,
        /// The column.
        column: String,
        /// How many values are unknown.
        unknown: usize,
        /// How many there are.
        count: usize,
        /// The unknown ones.
        values: String,
        /// The levels of the model file.
        levels: String,
        /// How many lists of levels the model file has without their columns.
        lists: usize,
    },
    /// Levels were given for something else than a feature.
    #[error("levels were given for '{0}', which is not a feature of the model")]
    LevelsOfNothing(String),
    /// Predictions were given for samples that were not.
    #[error("expected predictions were given without the sample rows that they belong to")]
    ExpectedWithoutSamples,
    /// What was made is not a package that would be loaded.
    #[error("{0}")]
    Rejected(String),
}

/// How lists of levels get to other columns than the model file seems to mean.
fn elsewhere(lists: usize) -> String {
    match lists {
        0 => String::new(),
        _ => format!(
            ", or say which columns the model file's {lists} lists belong to, with one --levels 'COLUMN=A,B,…' for each"
        ),
    }
}

impl CreateError {
    pub(super) fn data(file: &str, error: DataError) -> Self {
        // the words of these are for whoever sends a request
        let file = file.to_owned();
        match error {
            DataError::Empty => Self::Empty { file },
            DataError::TooManyRows { .. } => Self::TooManySamples { file },
            DataError::ColumnCount { expected, found } => Self::SampleColumns { file, found, expected },
            error => Self::Data { file, error },
        }
    }
}
