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

impl CreateError {
    pub(super) fn data(file: &str, error: DataError) -> Self {
        Self::Data { file: file.to_owned(), error }
    }
}
