//! A number that stands for "missing", which releases of XGBoost's scikit-learn classes before 2.0 write into the file.

use std::ops::Range;

use super::{Output, Runtime};
use crate::frame::{Frame, Precision};
use crate::predictions::Predictions;

/// A runtime in single precision to which one number is as good as NaN.
pub(super) struct MissingNumber {
    /// What scores.
    pub(super) inner: Box<dyn Runtime>,
    /// The number.
    pub(super) number: f32,
}

impl Runtime for MissingNumber {
    fn precision(&self) -> Precision {
        self.inner.precision()
    }

    fn width(&self, output: Output) -> usize {
        self.inner.width(output)
    }

    fn score(&self, frame: &Frame, rows: Range<usize>, output: Output) -> Predictions {
        let count = rows.len();
        let cleared = frame.mapped(rows, |value: f32| if value == self.number { f32::NAN } else { value });
        self.inner.score(&cleared, 0..count, output)
    }

    fn row_cost(&self) -> f64 {
        self.inner.row_cost()
    }

    fn memory(&self) -> usize {
        size_of::<Self>() + self.inner.memory()
    }
}
