//! What a model answered: one row of values per input row.

use crate::frame::Precision;

/// Values of `rows` rows, `width` per row, row after row. Values of single precision are f32 values held
/// exactly, so that an encoder can write their shortest decimal form.
#[derive(Debug, Clone, PartialEq)]
pub struct Predictions {
    /// Values per row.
    pub width: usize,
    /// The width in which the values were computed.
    pub precision: Precision,
    /// `rows * width` values.
    pub values: Vec<f64>,
}

impl Predictions {
    /// The values of each row in order.
    pub fn rows(&self) -> impl ExactSizeIterator<Item = &[f64]> {
        self.values.chunks_exact(self.width.max(1))
    }
}
