//! The tensors that a model answers with: which there are, what shape they have, and their values as JSON and as raw
//! bytes.

use portend_core::{Label, Target, TargetKind};
use portend_model::frame::Precision;
use portend_model::runtime::Output;
use portend_model::{Model, Predictions};

use super::datatype::Datatype;
use crate::decimal::Format;

/// A tensor that an answer may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OutputTensor {
    /// The predicted number, or numbers.
    Prediction,
    /// The predicted label; with several labels, for each whether it is predicted.
    Label,
    /// One probability a label.
    Probabilities,
    /// The sums before the output transform.
    Margin,
    /// The leaf that the row reaches in each tree.
    Leaf,
}

impl OutputTensor {
    /// Those that a model has, in order; the first `usual` are given where a request names none.
    pub(crate) fn offered(model: &Model) -> (Vec<Self>, usize) {
        let numbers =
            matches!(model.target.kind, TargetKind::Regression | TargetKind::MultiRegression { .. });
        let mut all = if numbers { vec![Self::Prediction] } else { vec![Self::Label, Self::Probabilities] };
        let usual = all.len();
        all.push(Self::Margin);
        if model.width(Output::Leaf) > 0 {
            all.push(Self::Leaf);
        }
        (all, usual)
    }

    /// Its name.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Prediction => "prediction",
            Self::Label => "label",
            Self::Probabilities => "probabilities",
            Self::Margin => "margin",
            Self::Leaf => "leaf",
        }
    }

    /// What the runtime computes for it.
    pub(crate) fn output(self) -> Output {
        match self {
            Self::Prediction | Self::Label | Self::Probabilities => Output::Prediction,
            Self::Margin => Output::Margin,
            Self::Leaf => Output::Leaf,
        }
    }

    /// The values of a row; None for one that stands for itself, without a dimension of its own.
    pub(crate) fn width(self, model: &Model) -> Option<usize> {
        let several = |width: usize| (width != 1).then_some(width);
        match self {
            Self::Prediction => several(model.target.width()),
            Self::Label => match &model.target.kind {
                TargetKind::Multilabel { labels, .. } => Some(labels.len()),
                _ => None,
            },
            Self::Probabilities => Some(model.target.width()),
            Self::Margin | Self::Leaf => several(model.width(self.output())),
        }
    }

    /// What its values are.
    pub(crate) fn datatype(self, model: &Model) -> Datatype {
        match self {
            Self::Prediction | Self::Probabilities | Self::Margin => match model.inputs.precision {
                Precision::Single => Datatype::Fp32,
                Precision::Double => Datatype::Fp64,
            },
            Self::Label if matches!(model.target.kind, TargetKind::Multilabel { .. }) => Datatype::Bool,
            Self::Label => Datatype::of_labels(model.target.labels()),
            Self::Leaf => Datatype::Int32,
        }
    }

    /// The names of the values of a row, where they have any.
    pub(crate) fn labels(self, target: &Target) -> &[Label] {
        if matches!(self, Self::Margin | Self::Leaf) { &[] } else { target.labels() }
    }
}

/// Writes one tensor.
#[derive(Debug)]
pub(crate) struct TensorWriter {
    /// Which.
    pub(crate) tensor: OutputTensor,
    /// Whether as raw bytes.
    pub(crate) binary: bool,
    /// The labels as they are written.
    labels: Vec<Vec<u8>>,
}

/// The tensors of one answer: a section for each.
#[derive(Debug)]
pub(crate) struct Tensors {
    /// What writes them.
    pub(crate) writers: Vec<TensorWriter>,
    /// What they are made of, each once.
    pub(crate) outputs: Vec<Output>,
}

impl Tensors {
    /// Those that `writers` write.
    pub(crate) fn new(writers: Vec<TensorWriter>) -> Self {
        let mut outputs: Vec<Output> = writers.iter().map(|writer| writer.tensor.output()).collect();
        outputs.sort_unstable_by_key(|output| *output as u8);
        outputs.dedup();
        Self { writers, outputs }
    }

    /// Writes rows to the section of each tensor; `scores` has them for each of the outputs.
    pub(crate) fn rows(&self, model: &Model, scores: &[Predictions], out: &mut [Vec<u8>]) {
        for (writer, out) in self.writers.iter().zip(out) {
            let scores =
                self.outputs.iter().zip(scores).find(|(output, _)| **output == writer.tensor.output());
            if let Some((_, scores)) = scores {
                writer.rows(&model.target, scores, out);
            }
        }
    }
}

impl TensorWriter {
    /// For the answers of a model.
    pub(crate) fn new(tensor: OutputTensor, binary: bool, model: &Model) -> Self {
        let datatype = tensor.datatype(model);
        let write =
            |label: &Label| if binary { raw_label(label, datatype) } else { json_label(label, datatype) };
        let labels = match tensor {
            OutputTensor::Label => model.target.labels().iter().map(write).collect(),
            _ => Vec::new(),
        };
        Self { tensor, binary, labels }
    }

    /// About how many bytes a row takes.
    pub(crate) fn row_bytes(&self, model: &Model) -> usize {
        const JSON_NUMBER: usize = 20;
        let width = self.tensor.width(model).unwrap_or(1);
        match self.labels.iter().map(Vec::len).max() {
            Some(longest) if self.tensor.width(model).is_none() => longest + 1,
            _ if self.binary => width * self.tensor.datatype(model).size().unwrap_or_default(),
            _ => width * JSON_NUMBER,
        }
    }

    /// Writes rows. In JSON a comma follows each value.
    pub(crate) fn rows(&self, target: &Target, scores: &Predictions, out: &mut Vec<u8>) {
        match (self.tensor, &target.kind) {
            (OutputTensor::Label, TargetKind::Multilabel { threshold, .. }) => {
                scores.values.iter().for_each(|value| self.truth(value > threshold, out));
            }
            (OutputTensor::Label, _) => {
                for values in scores.rows() {
                    let label = target.predicted(values).and_then(|at| self.labels.get(at));
                    out.extend_from_slice(label.map_or(&[][..], |label| label));
                }
            }
            (OutputTensor::Leaf, _) if self.binary => {
                scores.values.iter().for_each(|leaf| out.extend_from_slice(&(*leaf as i32).to_le_bytes()));
            }
            (OutputTensor::Leaf, _) => {
                let mut digits = itoa::Buffer::new();
                for leaf in &scores.values {
                    out.extend_from_slice(digits.format(*leaf as i64).as_bytes());
                    out.push(b',');
                }
            }
            _ => self.numbers(scores, out),
        }
    }

    fn numbers(&self, scores: &Predictions, out: &mut Vec<u8>) {
        let values = scores.values.iter();
        match (self.binary, scores.precision) {
            (true, Precision::Single) => {
                values.for_each(|value| out.extend_from_slice(&(*value as f32).to_le_bytes()));
            }
            (true, Precision::Double) => {
                values.for_each(|value| out.extend_from_slice(&value.to_le_bytes()));
            }
            // JSON has no word for what is not finite
            (false, precision) => values.for_each(|value| {
                if !Format::SHORTEST.write(*value, precision, out) {
                    out.extend_from_slice(b"null");
                }
                out.push(b',');
            }),
        }
    }

    fn truth(&self, value: bool, out: &mut Vec<u8>) {
        match self.binary {
            true => out.push(u8::from(value)),
            false => out.extend_from_slice(if value { b"true," } else { b"false," }),
        }
    }
}

fn json_label(label: &Label, datatype: Datatype) -> Vec<u8> {
    let text = match (datatype, label) {
        (Datatype::Bytes, label) => serde_json::Value::from(label.to_string()).to_string(),
        (_, label) => label.to_string(),
    };
    format!("{text},").into_bytes()
}

fn raw_label(label: &Label, datatype: Datatype) -> Vec<u8> {
    match (datatype, label) {
        (Datatype::Int64, Label::Integer(value)) => value.to_le_bytes().to_vec(),
        (Datatype::Fp64, Label::Integer(value)) => (*value as f64).to_le_bytes().to_vec(),
        (Datatype::Fp64, Label::Number(value)) => value.to_le_bytes().to_vec(),
        (Datatype::Bool, Label::Bool(value)) => vec![u8::from(*value)],
        (_, label) => {
            let text = label.to_string();
            let length = u32::try_from(text.len()).unwrap_or(u32::MAX);
            [&length.to_le_bytes()[..], text.as_bytes()].concat()
        }
    }
}
