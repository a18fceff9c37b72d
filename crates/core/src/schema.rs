//! What a model expects and what it answers: features, labels and the target.
//! Reading these from a manifest or a model file is the model crate's business.

use std::fmt;

/// The type of a feature as the user's table holds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dtype {
    /// 64-bit floating point.
    Float64,
    /// 32-bit floating point.
    Float32,
    /// Whole numbers.
    Int64,
    /// Truth values; 1 and 0 to the model.
    Bool,
    /// Free text out of a list of levels.
    String,
    /// One of a fixed list of levels, text or numbers.
    Category,
}

impl Dtype {
    /// True for types whose cells are numbers to the model without a list of levels.
    pub fn is_numeric(self) -> bool {
        !matches!(self, Self::String | Self::Category)
    }

    /// The type's name in manifests.
    pub fn name(self) -> &'static str {
        match self {
            Self::Float64 => "float64",
            Self::Float32 => "float32",
            Self::Int64 => "int64",
            Self::Bool => "bool",
            Self::String => "string",
            Self::Category => "category",
        }
    }
}

/// A class label or category level, in its own type.
#[derive(Debug, Clone, PartialEq)]
pub enum Label {
    /// Text.
    Text(String),
    /// A whole number.
    Integer(i64),
    /// Any other number.
    Number(f64),
    /// A truth value.
    Bool(bool),
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text),
            Self::Integer(value) => write!(f, "{value}"),
            Self::Number(value) => write!(f, "{value:?}"),
            Self::Bool(value) => write!(f, "{value}"),
        }
    }
}

/// One column that a model reads.
#[derive(Debug, Clone, PartialEq)]
pub struct Feature {
    /// The column's name in requests.
    pub name: String,
    /// The type of its cells.
    pub dtype: Dtype,
    /// True when a request without this column is refused.
    pub required: bool,
    /// The levels in code order (level `i` is code `i` to the model); empty for numeric features.
    pub levels: Vec<Label>,
}

impl Feature {
    /// A required numeric feature.
    pub fn number(name: impl Into<String>) -> Self {
        Self { name: name.into(), dtype: Dtype::Float64, required: true, levels: Vec::new() }
    }
}

/// What a model predicts.
#[derive(Debug, Clone, PartialEq)]
pub struct Target {
    /// The target column's name, part of the answer's column names.
    pub name: String,
    /// The kind of prediction with its labels.
    pub kind: TargetKind,
}

/// The kinds of prediction and what each needs to be told as an answer.
#[derive(Debug, Clone, PartialEq)]
pub enum TargetKind {
    /// One number a row.
    Regression,
    /// Two class probabilities a row.
    Binary {
        /// The labels in the order of the model's outputs.
        labels: [Label; 2],
        /// Which of the two is the positive class: 0 or 1.
        positive: usize,
        /// The positive class is predicted when its probability is greater than this.
        threshold: f64,
    },
    /// One probability a class and row; the largest (the first of equals) is predicted.
    Multiclass {
        /// The labels in the order of the model's outputs.
        labels: Vec<Label>,
    },
    /// Several numbers a row.
    MultiRegression {
        /// Their names in the order of the model's outputs.
        names: Vec<Label>,
    },
    /// One probability a label and row, each on its own: a row may have all of the labels or none.
    Multilabel {
        /// The labels in the order of the model's outputs.
        labels: Vec<Label>,
        /// A label is predicted when its probability is greater than this.
        threshold: f64,
    },
}

impl Target {
    /// How many output values a row has: 1, 2 or the number of labels.
    pub fn width(&self) -> usize {
        self.labels().len().max(1)
    }

    /// The class labels, or the names of several numbers, in output order; none for one number.
    pub fn labels(&self) -> &[Label] {
        match &self.kind {
            TargetKind::Regression => &[],
            TargetKind::Binary { labels, .. } => labels,
            TargetKind::Multiclass { labels } | TargetKind::Multilabel { labels, .. } => labels,
            TargetKind::MultiRegression { names } => names,
        }
    }

    /// What a label's probability must exceed, where there is such a threshold.
    pub fn threshold(&self) -> Option<f64> {
        match self.kind {
            TargetKind::Binary { threshold, .. } | TargetKind::Multilabel { threshold, .. } => {
                Some(threshold)
            }
            _ => None,
        }
    }

    /// The index of the predicted label for one row of class probabilities; None where no single label is predicted.
    pub fn predicted(&self, values: &[f64]) -> Option<usize> {
        match self.kind {
            TargetKind::Regression | TargetKind::MultiRegression { .. } | TargetKind::Multilabel { .. } => {
                None
            }
            TargetKind::Binary { positive, threshold, .. } => {
                Some(if values[positive] > threshold { positive } else { 1 - positive })
            }
            TargetKind::Multiclass { .. } => {
                Some((1..values.len()).fold(0, |best, i| if values[i] > values[best] { i } else { best }))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(kind: TargetKind, values: &[f64], expected: impl Into<Option<usize>>) {
        assert_eq!(Target { name: "t".into(), kind }.predicted(values), expected.into());
    }

    #[test]
    fn the_positive_class_needs_more_than_the_threshold() {
        let labels = || [Label::Text("no".into()), Label::Text("yes".into())];
        let kind = |positive, threshold| TargetKind::Binary { labels: labels(), positive, threshold };
        check(kind(1, 0.5), &[0.5, 0.5], 0);
        check(kind(1, 0.5), &[0.4, 0.6], 1);
        check(kind(0, 0.3), &[0.4, 0.6], 0);
        check(kind(0, 0.4), &[0.4, 0.6], 1);
    }

    #[test]
    fn the_first_of_equal_classes_wins() {
        let kind = TargetKind::Multiclass { labels: (0..3).map(Label::Integer).collect() };
        check(kind.clone(), &[0.4, 0.4, 0.2], 0);
        check(kind, &[0.1, 0.3, 0.6], 2);
    }

    #[test]
    fn no_single_label_is_predicted_for_numbers_and_several_labels() {
        let labels = || (0..2).map(Label::Integer).collect();
        check(TargetKind::Regression, &[0.9], None);
        check(TargetKind::MultiRegression { names: labels() }, &[0.1, 0.9], None);
        check(TargetKind::Multilabel { labels: labels(), threshold: 0.5 }, &[0.1, 0.9], None);
    }
}
