//! Tree ensembles: whatever library wrote them, they are lowered into one flat representation and walked by one
//! kernel. This file joins ensemble and output transform into a runtime; readers are a file per format.

mod categories;
mod ensemble;
mod inputs;
mod kernel;
mod leaves;
pub mod lightgbm;
mod lower;
mod ranks;
mod ubjson;
pub mod xgboost;

use std::ops::{AddAssign, Div, Mul, Neg, Range};

use ensemble::Ensemble;
use leaves::LeafOutput;

use super::link::Link;
use super::{Output, Runtime};
use crate::frame::{Frame, Precision, Real};
use crate::predictions::Predictions;

/// Numbers that trees are made of: what a frame holds, with the arithmetic that kernels and links need.
trait Float: Real + Neg<Output = Self> + AddAssign + Mul<Output = Self> + Div<Output = Self> {
    const ZERO: Self;
    const ONE: Self;
    const INFINITY: Self;
    const NEG_INFINITY: Self;
    /// The frame precision of this width.
    const PRECISION: Precision;
    /// The largest value below `self`.
    fn below(self) -> Self;
    /// Applies an output transform to the margins of one row, writing the row's predictions.
    fn transform(link: &Link, margins: &[Self], out: &mut Vec<f64>);
}

impl Float for f32 {
    const ZERO: Self = 0.0;
    const ONE: Self = 1.0;
    const INFINITY: Self = f32::INFINITY;
    const NEG_INFINITY: Self = f32::NEG_INFINITY;
    const PRECISION: Precision = Precision::Single;
    fn below(self) -> Self {
        self.next_down()
    }
    fn transform(link: &Link, margins: &[Self], out: &mut Vec<f64>) {
        link.single(margins, out);
    }
}

impl Float for f64 {
    const ZERO: Self = 0.0;
    const ONE: Self = 1.0;
    const INFINITY: Self = f64::INFINITY;
    const NEG_INFINITY: Self = f64::NEG_INFINITY;
    const PRECISION: Precision = Precision::Double;
    fn below(self) -> Self {
        self.next_down()
    }
    fn transform(link: &Link, margins: &[Self], out: &mut Vec<f64>) {
        link.double(margins, out);
    }
}

/// An ensemble with its output transform.
struct TreeRuntime<T> {
    ensemble: Ensemble<T>,
    leaves: LeafOutput<T>,
    link: Link,
    /// What margins are divided by before the output transform (LightGBM's random forests).
    averaged: Option<T>,
}

/// Nanoseconds per step of a walk on one core, a rough middle of what the benchmark measures; and of a walk by ranks.
const STEP_COST: f64 = 1.2;
const RANKED_STEP_COST: f64 = 0.5;

impl<T: Float> Runtime for TreeRuntime<T> {
    fn precision(&self) -> Precision {
        T::PRECISION
    }

    fn width(&self, output: Output) -> usize {
        match output {
            Output::Prediction => self.link.width(self.ensemble.groups()),
            Output::Margin => self.ensemble.groups(),
            Output::Leaf => self.ensemble.trees().len(),
        }
    }

    fn score(&self, frame: &Frame, rows: Range<usize>, output: Output) -> Predictions {
        let (columns, stride) = frame.columns::<T>().expect("frames are decoded in the runtime's precision");
        let width = self.width(output);
        let mut values = Vec::with_capacity(rows.len() * width);
        if output == Output::Leaf {
            kernel::leaves(&self.ensemble, columns, stride, rows, |leaf| values.push(f64::from(leaf)));
        } else {
            let mut margins = self.leaves.margins(&self.ensemble, columns, stride, rows);
            if let Some(count) = self.averaged.filter(|_| output == Output::Prediction) {
                margins.iter_mut().for_each(|margin| *margin = *margin / count);
            }
            for row in margins.chunks_exact(self.ensemble.groups()) {
                match output {
                    Output::Prediction => T::transform(&self.link, row, &mut values),
                    _ => values.extend(row.iter().map(|m| m.to_f64())),
                }
            }
        }
        Predictions { width, precision: T::PRECISION, values }
    }

    fn row_cost(&self) -> f64 {
        let step = if self.ensemble.ranked().is_some() { RANKED_STEP_COST } else { STEP_COST };
        self.ensemble.steps() as f64 * step + self.ensemble.slots().len() as f64
    }

    fn memory(&self) -> usize {
        size_of::<Self>() + self.ensemble.memory() + self.leaves.memory()
    }
}
