//! Linear models in XGBoost's arithmetic (`gblinear`): single precision, the start and the bias first, then the
//! features in order, no fused multiply-add. A missing value adds nothing.

use std::ops::Range;

use super::link::Link;
use super::{Output, Runtime};
use crate::frame::{Frame, Precision};
use crate::predictions::Predictions;

/// A linear model.
pub(super) struct LinearRuntime {
    /// Where each output's sum starts: base margin plus bias.
    start: Vec<f32>,
    /// Feature after feature, one weight an output.
    weights: Vec<f32>,
    link: Link,
}

impl LinearRuntime {
    /// Joins weights of `features` features, feature after feature and the biases last; `base` has a margin an output.
    /// Before its first round a booster has none.
    pub(super) fn new(
        features: usize,
        weights: &[Option<f32>],
        rounds: Option<u64>,
        base: &[f32],
        link: Link,
    ) -> Result<Self, String> {
        let outputs = base.len();
        if weights.is_empty() && rounds == Some(0) {
            return Ok(Self { start: vec![base[0]; outputs], weights: Vec::new(), link });
        }
        if weights.len() != (features + 1) * outputs {
            let (found, expected) = (weights.len(), (features + 1) * outputs);
            return Err(format!("gblinear has {found} weights where {expected} belong"));
        }
        let finite: Option<Vec<f32>> =
            weights.iter().map(|weight| weight.filter(|w| w.is_finite())).collect();
        let weights = finite.ok_or(
            "gblinear has a weight that is not a finite number: its training diverged; train it again with a \
             lower eta or more regularization",
        )?;
        let (weights, biases) = weights.split_at(features * outputs);
        // XGBoost's gblinear starts all outputs at the first one's base margin, also where the file has one for each.
        let start = biases.iter().map(|bias| base[0] + bias).collect();
        Ok(Self { start, weights: weights.to_vec(), link })
    }

    fn margins(&self, columns: &[f32], stride: usize, row: usize, sums: &mut [f32]) {
        sums.copy_from_slice(&self.start);
        for (column, weights) in columns.chunks_exact(stride).zip(self.weights.chunks_exact(sums.len())) {
            let value = column[row];
            if !value.is_nan() {
                sums.iter_mut().zip(weights).for_each(|(sum, weight)| *sum += value * weight);
            }
        }
    }
}

/// Nanoseconds per feature and output of a row.
const TERM_COST: f64 = 0.7;

impl Runtime for LinearRuntime {
    fn precision(&self) -> Precision {
        Precision::Single
    }

    fn width(&self, output: Output) -> usize {
        match output {
            Output::Prediction => self.link.width(self.start.len()),
            Output::Margin => self.start.len(),
            Output::Leaf => 0,
        }
    }

    fn score(&self, frame: &Frame, rows: Range<usize>, output: Output) -> Predictions {
        let (columns, stride) =
            frame.columns::<f32>().expect("frames are decoded in the runtime's precision");
        let mut values = Vec::with_capacity(rows.len() * self.width(output));
        let mut sums = self.start.clone();
        for row in rows.filter(|_| output != Output::Leaf) {
            self.margins(columns, stride, row, &mut sums);
            match output {
                Output::Prediction => self.link.single(&sums, &mut values),
                _ => values.extend(sums.iter().map(|sum| f64::from(*sum))),
            }
        }
        Predictions { width: self.width(output), precision: Precision::Single, values }
    }

    fn row_cost(&self) -> f64 {
        self.weights.len() as f64 * TERM_COST
    }

    fn memory(&self) -> usize {
        size_of::<Self>() + size_of_val(&*self.start) + size_of_val(&*self.weights)
    }
}
