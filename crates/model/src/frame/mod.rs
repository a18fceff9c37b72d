//! A frame: the rows of one request as columns of numbers, in the precision that the runtime reads.
//! CSV and JSON records are decoded into it by two files below, typed values by `columns.rs`, `array.rs` and
//! `parquet/`; protocols never see how.

pub mod array;
mod columns;
pub mod csv;
mod inputs;
pub mod json;
pub mod number;
pub mod parquet;
mod text;

pub use columns::{Columns, Place, Value};
pub(crate) use inputs::underscored;
pub use inputs::{Input, InputKind, Inputs, Levels, Matching};
pub use text::{TextCell, TextColumn};

use std::collections::{BTreeSet, HashSet};
use std::ops::Range;

use crate::error::DataError;

/// The numbers of one request take at most this much memory, and the cells that it repeats as much again beside
/// their text. A body of 50 MiB that fills every column stays below it.
const TABLE_LIMIT_MIB: usize = 256;

/// What a cell to repeat takes beside its text.
const KEPT_CELL_BYTES: usize = 8;

/// The most rows that a request may have, with `width` numbers of type `T` and `kept` cells to repeat in each.
fn most_rows<T>(width: usize, kept: usize) -> usize {
    let row = (width * size_of::<T>()).max(kept * KEPT_CELL_BYTES).max(1);
    (TABLE_LIMIT_MIB << 20) / row
}

/// The floating point width that a runtime reads and answers in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Precision {
    /// 32 bits, XGBoost's.
    Single,
    /// 64 bits, LightGBM's.
    Double,
}

/// The numbers of a frame, column after column, each `stride` long.
#[derive(Debug, Clone, PartialEq)]
pub enum Numbers {
    /// For runtimes of [`Precision::Single`].
    Single(Vec<f32>),
    /// For runtimes of [`Precision::Double`].
    Double(Vec<f64>),
}

/// `f32` or `f64` as element of a frame.
pub trait Real: Copy + PartialOrd + Default + Send + Sync + 'static {
    /// A missing cell.
    const NAN: Self;
    /// Rounds to nearest, as a C cast does.
    fn from_f64(value: f64) -> Self;
    /// Exact.
    fn to_f64(self) -> f64;
    /// Wraps a table of this width.
    fn numbers(values: Vec<Self>) -> Numbers;
    /// The table, if it has this width.
    fn of(numbers: &Numbers) -> Option<&[Self]>;
}

impl Real for f32 {
    const NAN: Self = f32::NAN;
    fn from_f64(value: f64) -> Self {
        value as f32
    }
    fn to_f64(self) -> f64 {
        f64::from(self)
    }
    fn numbers(values: Vec<Self>) -> Numbers {
        Numbers::Single(values)
    }
    fn of(numbers: &Numbers) -> Option<&[Self]> {
        if let Numbers::Single(values) = numbers { Some(values) } else { None }
    }
}

impl Real for f64 {
    const NAN: Self = f64::NAN;
    fn from_f64(value: f64) -> Self {
        value
    }
    fn to_f64(self) -> f64 {
        self
    }
    fn numbers(values: Vec<Self>) -> Numbers {
        Numbers::Double(values)
    }
    fn of(numbers: &Numbers) -> Option<&[Self]> {
        if let Numbers::Double(values) = numbers { Some(values) } else { None }
    }
}

/// Rows as columns: one numeric column per input of the model (NaN is missing, levels are their codes),
/// and the text of the columns that the answer repeats.
#[derive(Debug, Clone, PartialEq)]
pub struct Frame {
    rows: usize,
    stride: usize,
    numbers: Numbers,
    /// The columns to repeat in the answer, in the order of the request's columns.
    pub passthrough: Vec<TextColumn>,
}

impl Frame {
    /// The number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// All columns of width `T` with their stride: cell (row, column) is at `column * stride + row`.
    /// None when the frame has the other width.
    pub fn columns<T: Real>(&self) -> Option<(&[T], usize)> {
        Some((T::of(&self.numbers)?, self.stride))
    }

    /// The numbers of a row, one for each column; none where there is no such row.
    pub(crate) fn row(&self, row: usize) -> Vec<f64> {
        fn cells<T: Real>(values: &[T], stride: usize, row: usize) -> Vec<f64> {
            values.iter().skip(row).step_by(stride).map(|value| value.to_f64()).collect()
        }
        match &self.numbers {
            _ if row >= self.rows => Vec::new(),
            Numbers::Single(values) => cells(values, self.stride, row),
            Numbers::Double(values) => cells(values, self.stride, row),
        }
    }

    /// Some of its rows with other numbers, nothing to repeat. A frame of the other width is a defect of the caller.
    pub(crate) fn mapped<T: Real>(&self, rows: Range<usize>, map: impl Fn(T) -> T) -> Self {
        let (columns, stride) = self.columns::<T>().expect("frames are decoded in the runtime's precision");
        let columns = columns.chunks_exact(stride.max(1)).flat_map(|column| &column[rows.clone()]);
        let numbers = T::numbers(columns.map(|value| map(*value)).collect());
        Self { rows: rows.len(), stride: rows.len(), numbers, passthrough: Vec::new() }
    }
}

/// What to repeat in the answer.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum Keep {
    /// Nothing.
    #[default]
    None,
    /// Every column of the request.
    All,
    /// These columns; one that the request does not have is an error.
    Named(BTreeSet<String>),
}

impl Keep {
    fn wants(&self, name: &str) -> bool {
        match self {
            Self::None => false,
            Self::All => true,
            Self::Named(names) => names.contains(name),
        }
    }

    fn check_found(&self, found: &[TextColumn]) -> Result<(), DataError> {
        let Self::Named(names) = self else { return Ok(()) };
        let found: HashSet<&str> = found.iter().map(|column| column.name.as_str()).collect();
        let absent: Vec<_> = names.iter().filter(|name| !found.contains(name.as_str())).cloned().collect();
        if absent.is_empty() { Ok(()) } else { Err(DataError::PassthroughMissing { names: absent }) }
    }
}

/// A table under construction: cells start as missing.
#[derive(Debug)]
struct Table<T> {
    values: Vec<T>,
    stride: usize,
}

impl<T: Real> Table<T> {
    /// Room for `rows` rows, but for no more than a request may have.
    fn new(width: usize, rows: usize) -> Self {
        let stride = rows.min(most_rows::<T>(width, 0));
        Self { values: vec![T::NAN; width * stride], stride }
    }

    /// Refuses row number `row` if there is no room for it and `kept` cells to repeat in each row.
    fn check_room(&self, row: usize, kept: usize) -> Result<(), DataError> {
        let kept_bytes = (row + 1).saturating_mul(kept * KEPT_CELL_BYTES);
        if row < self.stride && kept_bytes <= TABLE_LIMIT_MIB << 20 {
            return Ok(());
        }
        Err(DataError::TooManyRows { limit_mib: TABLE_LIMIT_MIB })
    }

    /// The cells of a column.
    fn column(&mut self, column: usize) -> &mut [T] {
        &mut self.values[column * self.stride..][..self.stride]
    }

    fn set(&mut self, row: usize, column: usize, value: f64) {
        self.values[column * self.stride + row] = T::from_f64(value);
    }

    fn into_frame(self, rows: usize, passthrough: Vec<TextColumn>) -> Frame {
        Frame { rows, stride: self.stride, numbers: T::numbers(self.values), passthrough }
    }
}
