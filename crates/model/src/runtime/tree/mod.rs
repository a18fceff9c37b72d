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
        match output {
            Output::Leaf => self.leaf_indices(frame, rows),
            _ => self.of_margins(&self.margins(frame, rows), output),
        }
    }

    /// Predictions and margins come from one walk.
    fn score_all(&self, frame: &Frame, rows: Range<usize>, outputs: &[Output]) -> Vec<Predictions> {
        let summed = outputs.iter().any(|output| *output != Output::Leaf);
        let margins = if summed { self.margins(frame, rows.clone()) } else { Vec::new() };
        let one = |output: &Output| match output {
            Output::Leaf => self.leaf_indices(frame, rows.clone()),
            _ => self.of_margins(&margins, *output),
        };
        outputs.iter().map(one).collect()
    }

    fn row_cost(&self) -> f64 {
        let step = if self.ensemble.ranked().is_some() { RANKED_STEP_COST } else { STEP_COST };
        self.ensemble.steps() as f64 * step + self.ensemble.slots().len() as f64
    }

    fn memory(&self) -> usize {
        size_of::<Self>() + self.ensemble.memory() + self.leaves.memory()
    }
}

impl<T: Float> TreeRuntime<T> {
    fn columns(frame: &Frame) -> (&[T], usize) {
        frame.columns::<T>().expect("frames are decoded in the runtime's precision")
    }

    fn margins(&self, frame: &Frame, rows: Range<usize>) -> Vec<T> {
        let (columns, stride) = Self::columns(frame);
        self.leaves.margins(&self.ensemble, columns, stride, rows)
    }

    fn leaf_indices(&self, frame: &Frame, rows: Range<usize>) -> Predictions {
        let (columns, stride) = Self::columns(frame);
        let width = self.width(Output::Leaf);
        let mut values = Vec::with_capacity(rows.len() * width);
        kernel::leaves(&self.ensemble, columns, stride, rows, |leaf| values.push(f64::from(leaf)));
        Predictions { width, precision: T::PRECISION, values }
    }

    /// The margins as they are, or what the model predicts by them.
    fn of_margins(&self, margins: &[T], output: Output) -> Predictions {
        let (groups, width) = (self.ensemble.groups(), self.width(output));
        let mut values = Vec::with_capacity(margins.len() / groups * width);
        match (output, self.averaged) {
            (Output::Prediction, None) => {
                margins.chunks_exact(groups).for_each(|row| T::transform(&self.link, row, &mut values));
            }
            (Output::Prediction, Some(count)) => {
                let averaged: Vec<T> = margins.iter().map(|margin| *margin / count).collect();
                averaged.chunks_exact(groups).for_each(|row| T::transform(&self.link, row, &mut values));
            }
            _ => values.extend(margins.iter().map(|margin| margin.to_f64())),
        }
        Predictions { width, precision: T::PRECISION, values }
    }
}
