//! One plain value for each row: a number, a label, or a list of them, as JSON or as lines of CSV.

use axum::http::{HeaderMap, HeaderValue, header};
use portend_core::{Label, Target, TargetKind};
use portend_model::frame::{Frame, Precision};
use portend_model::runtime::Output;
use portend_model::{Model, Predictions};

use crate::config::ClassPredictions;
use crate::decimal::Format;
use crate::protocol::pps::write_cell;
use crate::score::{Block, Encoder, Sections};

/// What is answered for a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answered {
    /// What the training library computes: a number, the second class's probability, or a list of numbers.
    Values,
    /// The predicted label; with several labels, for each 1 or 0 whether it is predicted.
    Labels,
    /// The sums before the output transform.
    Margin,
    /// The leaf that the row reaches in each tree.
    Leaf,
    /// A list of labels with their probabilities.
    Scores,
}

impl From<ClassPredictions> for Answered {
    fn from(classes: ClassPredictions) -> Self {
        match classes {
            ClassPredictions::Probabilities => Self::Values,
            ClassPredictions::Labels => Self::Labels,
        }
    }
}

impl Answered {
    fn output(self) -> Output {
        match self {
            Self::Values | Self::Labels | Self::Scores => Output::Prediction,
            Self::Margin => Output::Margin,
            Self::Leaf => Output::Leaf,
        }
    }
}

/// What stands around the values.
#[derive(Debug)]
pub(crate) enum Around {
    /// JSON: the text before the list of values, and after it.
    Json(&'static str, String),
    /// Lines of CSV.
    Csv,
}

/// The form of an answer.
#[derive(Debug)]
pub(crate) struct RowsAnswer {
    answered: Answered,
    around: Around,
    output: [Output; 1],
    /// The labels as they are written.
    labels: Vec<Vec<u8>>,
}

impl RowsAnswer {
    /// For the answers of a model.
    pub(crate) fn new(answered: Answered, around: Around, model: &Model) -> Self {
        let write = |label: &Label| match around {
            Around::Json(..) => label_value(label).to_string().into_bytes(),
            Around::Csv => {
                let mut cell = Vec::new();
                write_cell(&label.to_string(), &mut cell);
                cell
            }
        };
        let labels = model.target.labels().iter().map(write).collect();
        Self { answered, around, output: [answered.output()], labels }
    }

    fn row(&self, target: &Target, values: &[f64], precision: Precision, out: &mut Vec<u8>) {
        let number = |value: f64, out: &mut Vec<u8>| {
            // JSON has no word for what is not finite, and a cell of CSV is empty
            if !Format::SHORTEST.write(value, precision, out) && matches!(self.around, Around::Json(..)) {
                out.extend_from_slice(b"null");
            }
        };
        let whole = |value: f64, out: &mut Vec<u8>| {
            out.extend_from_slice(itoa::Buffer::new().format(value as i64).as_bytes());
        };
        match (self.answered, &target.kind) {
            (Answered::Leaf, _) => self.list(values, out, |value, out| whole(*value, out)),
            (Answered::Margin, _) if values.len() == 1 => number(values[0], out),
            (Answered::Margin, _) => self.list(values, out, |value, out| number(*value, out)),
            (Answered::Labels, TargetKind::Binary { .. } | TargetKind::Multiclass { .. }) => {
                let label = target.predicted(values).and_then(|at| self.labels.get(at));
                out.extend_from_slice(label.map_or(&[][..], |label| label));
            }
            (Answered::Labels, TargetKind::Multilabel { threshold, .. }) => {
                self.list(values, out, |value, out| whole(f64::from(u8::from(value > threshold)), out));
            }
            (
                Answered::Scores,
                TargetKind::Binary { .. } | TargetKind::Multiclass { .. } | TargetKind::Multilabel { .. },
            ) => {
                self.list(values.iter().zip(&self.labels), out, |(value, label), out| {
                    out.push(b'[');
                    out.extend_from_slice(label);
                    out.push(b',');
                    number(*value, out);
                    out.push(b']');
                });
            }
            (_, TargetKind::Regression) => number(values[0], out),
            (_, TargetKind::Binary { .. }) => number(values[1], out),
            _ => self.list(values, out, |value, out| number(*value, out)),
        }
    }

    /// A list in JSON, cells in CSV.
    fn list<T>(
        &self,
        items: impl IntoIterator<Item = T>,
        out: &mut Vec<u8>,
        mut write: impl FnMut(T, &mut Vec<u8>),
    ) {
        let json = matches!(self.around, Around::Json(..));
        if json {
            out.push(b'[');
        }
        for (i, item) in items.into_iter().enumerate() {
            if i > 0 {
                out.push(b',');
            }
            write(item, out);
        }
        if json {
            out.push(b']');
        }
    }
}

/// A label in its own JSON type.
pub(crate) fn label_value(label: &Label) -> serde_json::Value {
    match label {
        Label::Text(text) => text.as_str().into(),
        Label::Integer(value) => (*value).into(),
        Label::Number(value) => (*value).into(),
        Label::Bool(value) => (*value).into(),
    }
}

impl Encoder for RowsAnswer {
    fn outputs(&self) -> &[Output] {
        &self.output
    }

    fn row_bytes(&self, model: &Model, _: &Frame, _: usize) -> usize {
        const NUMBER: usize = 12;
        let labels = self.labels.iter().map(|label| label.len() + 1);
        match self.answered {
            Answered::Labels => labels.max().unwrap_or(0).max(NUMBER),
            Answered::Scores => labels.sum::<usize>() + self.labels.len() * NUMBER + 2,
            _ => model.width(self.output[0]) * NUMBER + 3,
        }
    }

    fn head(&self, _: &Model, _: &Frame, out: &mut Vec<u8>) {
        if let Around::Json(head, _) = &self.around {
            out.extend_from_slice(head.as_bytes());
        }
    }

    fn rows(&self, model: &Model, rows: &Block<'_>, scores: &[Predictions], out: &mut [Vec<u8>]) {
        let ([scores], [out]) = (scores, out) else { return }; // one output, one section
        for (i, values) in scores.rows().enumerate() {
            if rows.row_id + i > 0 && matches!(self.around, Around::Json(..)) {
                out.push(b',');
            }
            self.row(&model.target, values, scores.precision, out);
            if matches!(self.around, Around::Csv) {
                out.push(b'\n');
            }
        }
    }

    fn tail(&self, out: &mut Vec<u8>) {
        if let Around::Json(_, tail) = &self.around {
            out.extend_from_slice(tail.as_bytes());
        }
    }

    fn assemble(&self, _: &Model, _: usize, sections: Sections, headers: &mut HeaderMap) -> Vec<Vec<u8>> {
        let content_type = match self.around {
            Around::Json(..) => "application/json",
            Around::Csv => "text/csv; charset=utf-8",
        };
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
        sections.into_iter().flatten().collect()
    }
}
