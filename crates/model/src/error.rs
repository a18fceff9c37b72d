//! What can go wrong: with a package while it is loaded, and with rows while they are read.
//! Which HTTP status a failure becomes is decided by the server.

use std::path::{Path, PathBuf};

use portend_core::{shortened, shortened_to};

/// Why a package or model file was not loaded. Each text names the thing and, where one exists, the remedy.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The file system refused.
    #[error("cannot read {}: {source}", path.display())]
    Io {
        /// What was read.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The path holds nothing that Portend reads.
    #[error("{} is not a model that Portend reads: {reason}", path.display())]
    NotAModel {
        /// What was looked at.
        path: PathBuf,
        /// What is wrong and what would be right.
        reason: String,
    },
    /// A package breaks the rules of its container or manifest.
    #[error("package {}: {reason}", path.display())]
    BadPackage {
        /// The package.
        path: PathBuf,
        /// The rule that is broken, naming the entry or field.
        reason: String,
    },
    /// A package is not signed as the operator demands.
    #[error("package {}: {reason}", path.display())]
    Untrusted {
        /// The package or bare file.
        path: PathBuf,
        /// What is wrong with its signature and what would be right.
        reason: String,
    },
    /// A model file is damaged or uses something that is not read yet.
    #[error("model file {file}: {reason}")]
    BadModel {
        /// The file, inside its package or bare.
        file: String,
        /// What is wrong, naming the tree, field or feature.
        reason: String,
    },
    /// The model does not reproduce the package's sample predictions.
    #[error(
        "package {}: sample row {row}: the package expects {} and the model gives {}",
        path.display(),
        shortened_to(MOST_REASON, &format!("{expected:?}")),
        shortened_to(MOST_REASON, &format!("{found:?}"))
    )]
    SampleDiffers {
        /// The package.
        path: PathBuf,
        /// 0-based row of `samples/input`.
        row: usize,
        /// The row of `samples/output.json`.
        expected: Vec<f64>,
        /// What was computed.
        found: Vec<f64>,
    },
}

impl LoadError {
    pub(crate) fn io(path: &Path, source: std::io::Error) -> Self {
        Self::Io { path: path.to_owned(), source }
    }

    /// A stable word for the kind of failure.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Io { .. } => "io",
            Self::NotAModel { .. } => "not_a_model",
            Self::BadPackage { .. } => "bad_package",
            Self::Untrusted { .. } => "untrusted",
            Self::BadModel { .. } => "bad_model",
            Self::SampleDiffers { .. } => "sample_differs",
        }
    }
}

/// Why rows could not be read. Rows are 0-based (as `rowId` is), lines are 1-based lines of the request.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum DataError {
    /// There is nothing in the body.
    #[error("the request body is empty: send a header line and rows, or a list of records")]
    Empty,
    /// The text is not CSV or JSON of the expected form.
    #[error("line {line}: {}", shortened_to(MOST_REASON, .reason))]
    Malformed {
        /// Where.
        line: usize,
        /// What was expected.
        reason: String,
    },
    /// A CSV row has another number of cells than the header.
    #[error("line {line}: {found} cells in a row, the header has {expected}")]
    RaggedRow {
        /// Where.
        line: usize,
        /// Cells in the header.
        expected: usize,
        /// Cells in the row.
        found: usize,
    },
    /// A row of CSV without a header has another number of cells than the model features.
    #[error("line {line}: {found} cells in a row, the model has {expected} features")]
    CellCount {
        /// Where.
        line: usize,
        /// Features of the model.
        expected: usize,
        /// Cells in the row.
        found: usize,
    },
    /// A name occurs twice among the columns or in one record.
    #[error("column '{}' occurs more than once", shortened(.name))]
    DuplicateColumn {
        /// The name.
        name: String,
    },
    /// A required feature has no column.
    #[error("column '{name}' is missing: the model needs it")]
    ColumnMissing {
        /// The feature.
        name: String,
    },
    /// The model has no feature names and the number of columns is another than its own.
    #[error(
        "the model matches columns by position and has {expected} features, the request has {found} columns"
    )]
    ColumnCount {
        /// Features of the model.
        expected: usize,
        /// Columns of the request.
        found: usize,
    },
    /// Columns are matched by position, and a record has another key than the first one.
    #[error(
        "row {row} has the key '{}', which row 0 has not: the model matches columns by position, and all records need \
         the same keys",
        shortened(.key)
    )]
    UnknownKey {
        /// The key.
        key: String,
        /// The row.
        row: usize,
    },
    /// A cell of a numeric feature is not a number.
    #[error("column '{column}', row {row}: '{value}' is not a number")]
    NotANumber {
        /// The feature.
        column: String,
        /// The row.
        row: usize,
        /// The cell, shortened.
        value: String,
    },
    /// A cell holds a list or an object.
    #[error(
        "column '{}', row {row}: a record is flat, lists and objects are not values",
        shortened(.column)
    )]
    Nested {
        /// The column.
        column: String,
        /// The row.
        row: usize,
    },
    /// An array of all features has rows of another length.
    #[error(
        "the array has {found} values in a row, the model has {expected} features: send all of them in the model's order"
    )]
    ArrayWidth {
        /// Features of the model.
        expected: usize,
        /// Values in a row.
        found: usize,
    },
    /// A row that is a list has another number of values than there are columns.
    #[error("row {row} has {found} values where {expected} belong")]
    RowWidth {
        /// The row.
        row: usize,
        /// Columns.
        expected: usize,
        /// Values in the row.
        found: usize,
    },
    /// Columns have different numbers of rows.
    #[error("column '{}' has {found} rows, the first one has {expected}", shortened(.column))]
    ColumnLength {
        /// The column.
        column: String,
        /// Rows of the first column.
        expected: usize,
        /// Its own rows.
        found: usize,
    },
    /// The bytes of a cell are not text.
    #[error("column '{}', row {row}: the bytes are not UTF-8 text", shortened(.column))]
    NotText {
        /// The column.
        column: String,
        /// The row.
        row: usize,
    },
    /// A Parquet file cannot be read.
    #[error("the Parquet file cannot be read: {}", shortened_to(MOST_REASON, .reason))]
    BadFile {
        /// What is wrong, and what would be right.
        reason: String,
    },
    /// A column of a Parquet file cannot be read.
    #[error(
        "column '{}' of the Parquet file cannot be read: {}",
        shortened(.column),
        shortened_to(MOST_REASON, .reason)
    )]
    BadFileColumn {
        /// The column.
        column: String,
        /// What is wrong, and what would be right.
        reason: String,
    },
    /// A Parquet file claims more values than a request may have.
    #[error(
        "the Parquet file has {rows} rows: with a byte for each value that would be more than the {limit} bytes that a \
         request may have; send fewer rows at a time"
    )]
    TooManyValues {
        /// Its rows.
        rows: usize,
        /// The limit.
        limit: usize,
    },
    /// Columns asked to be passed through are not in the request.
    #[error(
        "passthroughColumns do not match columns, columns expected but not found: [{}]",
        listed(.names)
    )]
    PassthroughMissing {
        /// The columns.
        names: Vec<String>,
    },
    /// The decoded table would take too much memory.
    #[error(
        "the request has too many rows: their table would take more than {limit_mib} MiB; send fewer rows at a time"
    )]
    TooManyRows {
        /// The limit.
        limit_mib: usize,
    },
}

impl DataError {
    /// The same error with rows and lines counted from the start of the request rather than of a part of it.
    pub(crate) fn shifted(mut self, rows: usize, lines: usize) -> Self {
        match &mut self {
            Self::Malformed { line, .. } | Self::RaggedRow { line, .. } | Self::CellCount { line, .. } => {
                *line += lines;
            }
            Self::NotANumber { row, .. } | Self::Nested { row, .. } => *row += rows,
            _ => {}
        }
        self
    }

    pub(crate) fn not_a_number(column: &str, row: usize, value: &str) -> Self {
        let value = shortened(value).into_owned();
        Self::NotANumber { column: column.to_owned(), row, value }
    }
}

/// Characters of a reason that are repeated in an error: it may quote megabytes of request.
const MOST_REASON: usize = 200;
/// Names that are listed.
const MOST_NAMES: usize = 20;

fn listed(names: &[String]) -> String {
    let mut list: Vec<_> =
        names.iter().take(MOST_NAMES).map(|name| format!("'{}'", shortened(name))).collect();
    if names.len() > MOST_NAMES {
        list.push(format!("… {} in all", names.len()));
    }
    list.join(", ")
}
