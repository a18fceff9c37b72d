//! Output transforms: from the margins of a row to its predictions, in the arithmetic of the library that
//! trained the model (XGBoost: f32, LightGBM: f64). Formulas as the libraries document them.

/// From margin to prediction.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Link {
    /// The margin itself.
    Identity,
    /// e^x.
    Exp,
    /// sign(x) x², for LightGBM's `reg_sqrt`.
    SignedSquare,
    /// 1 / (1 + e^-x), one value (a regression on 0 to 1).
    Sigmoid,
    /// 1 / (1 + e^-sx) as the probability of class 1 of two.
    Binary {
        /// The factor s.
        scale: f64,
    },
    /// 1 if x > 0, else 0, as the probability of class 1 of two.
    Hinge,
    /// The same for each of several labels.
    Step,
    /// ln(1 + e^x).
    LogExp,
    /// e^x_k / Σ e^x_j.
    Softmax,
    /// 1 / (1 + e^-s x_k) for each class, not normalised.
    OneVsAll {
        /// The factor s.
        scale: f64,
    },
}

fn step(margin: f64) -> f64 {
    if margin > 0.0 { 1.0 } else { 0.0 }
}

fn hinge(margin: f64, out: &mut Vec<f64>) {
    out.extend([1.0 - step(margin), step(margin)]);
}

/// XGBoost clamps the exponent of its sigmoid here, below where f32 overflows.
const XGBOOST_EXPONENT_LIMIT: f32 = 88.7;

impl Link {
    /// Values per row, given the number of margins.
    pub(super) fn width(&self, groups: usize) -> usize {
        if matches!(self, Self::Binary { .. } | Self::Hinge) { 2 } else { groups }
    }

    /// In XGBoost's arithmetic.
    pub(super) fn single(&self, margins: &[f32], out: &mut Vec<f64>) {
        let sigmoid = |x: f32| 1.0 / ((-x).min(XGBOOST_EXPONENT_LIMIT).exp() + 1.0 + 1e-16);
        let mut each = |f: &dyn Fn(f32) -> f32| out.extend(margins.iter().map(|m| f64::from(f(*m))));
        match self {
            Self::Identity => each(&|x| x),
            Self::Exp => each(&f32::exp),
            Self::SignedSquare => each(&|x| x.abs() * x),
            Self::LogExp => each(&|x| x.exp().ln_1p()),
            Self::Sigmoid | Self::OneVsAll { .. } => each(&sigmoid),
            Self::Hinge => hinge(f64::from(margins[0]), out),
            Self::Step => out.extend(margins.iter().map(|m| step(f64::from(*m)))),
            Self::Binary { .. } => {
                let p = sigmoid(margins[0]);
                out.extend([f64::from(1.0 - p), f64::from(p)]);
            }
            Self::Softmax => {
                let most = margins.iter().copied().fold(f32::NEG_INFINITY, f32::max);
                // Accumulated in f64 and divided in f32, as XGBoost does.
                let sum = margins.iter().map(|m| f64::from((m - most).exp())).sum::<f64>() as f32;
                each(&|x| (x - most).exp() / sum);
            }
        }
    }

    /// In LightGBM's arithmetic.
    pub(super) fn double(&self, margins: &[f64], out: &mut Vec<f64>) {
        let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
        let mut each = |f: &dyn Fn(f64) -> f64| out.extend(margins.iter().map(|m| f(*m)));
        match self {
            Self::Identity => each(&|x| x),
            Self::Exp => each(&f64::exp),
            Self::SignedSquare => each(&|x| x.abs() * x),
            Self::LogExp => each(&|x| x.exp().ln_1p()),
            Self::Sigmoid => each(&sigmoid),
            Self::Hinge => hinge(margins[0], out),
            Self::Step => each(&step),
            Self::OneVsAll { scale } => each(&|x| sigmoid(scale * x)),
            Self::Binary { scale } => {
                let p = sigmoid(scale * margins[0]);
                out.extend([1.0 - p, p]);
            }
            Self::Softmax => {
                let most = margins.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                let sum: f64 = margins.iter().map(|m| (m - most).exp()).sum();
                each(&|x| (x - most).exp() / sum);
            }
        }
    }
}
