//! Predictions in the two forms of this protocol: JSON rows and CSV columns, written straight from values.

use axum::http::{HeaderMap, header};
use portend_core::{Label, Target, TargetKind};
use portend_model::frame::{Frame, Precision, TextCell};
use portend_model::{Model, Predictions};

use crate::decimal::Format;
use crate::score::{Block, Encoder};

/// True when CSV is preferred over JSON, which is the default.
pub(in crate::protocol) fn wants_csv(headers: &HeaderMap) -> bool {
    let accept = headers.get(header::ACCEPT).and_then(|v| v.to_str().ok()).unwrap_or_default();
    let mut best = (0.0, false);
    for item in accept.split(',') {
        let mut parts = item.split(';').map(str::trim);
        let csv = match parts.next().unwrap_or_default().to_ascii_lowercase().as_str() {
            "text/csv" | "text/*" => true,
            "application/json" | "application/*" | "*/*" => false,
            _ => continue,
        };
        let weight = parts.find_map(|p| p.strip_prefix("q=")?.parse::<f32>().ok()).unwrap_or(1.0);
        if weight > best.0 {
            best = (weight, csv);
        }
    }
    best.1
}

/// The form of an answer.
#[derive(Debug)]
pub(super) enum AnswerFormat {
    Csv(CsvAnswer),
    Json(JsonAnswer),
}

/// Bytes of a usual row around its labels and names: in JSON beside and for each value, and in CSV.
const JSON_ROW: usize = 64;
const JSON_VALUE: usize = 32;
const CSV_CELL: usize = 12;

impl AnswerFormat {
    /// CSV or JSON, whose predicted numbers have at most so many digits after the point.
    pub(super) fn new(csv: bool, decimals: Option<usize>) -> Self {
        match csv {
            true => Self::Csv(CsvAnswer(Format { decimals, exponents: false })),
            false => Self::Json(JsonAnswer(Format { decimals, exponents: true })),
        }
    }
}

impl Encoder for AnswerFormat {
    fn row_bytes(&self, model: &Model, first: &Frame, _: usize) -> usize {
        let target = &model.target;
        let labels = target.labels().iter().map(|label| match label {
            Label::Text(text) => text.len(),
            _ => CSV_CELL,
        });
        let label = labels.clone().max().unwrap_or(0);
        let kept = first.passthrough.iter();
        match self {
            Self::Csv(_) => (target.width() + 3) * CSV_CELL + 2 * label + kept.len(),
            Self::Json(_) => {
                let names = if label == 0 { target.name.len() } else { label + labels.sum::<usize>() };
                let kept = kept.map(|column| column.name.len() + "\"\":null,".len());
                JSON_ROW + target.width() * JSON_VALUE + names + kept.sum::<usize>()
            }
        }
    }

    fn head(&self, model: &Model, first: &Frame, out: &mut Vec<u8>) {
        match self {
            Self::Csv(_) => CsvAnswer::head(&model.target, first, out),
            Self::Json(_) => out.extend_from_slice(b"{\"data\":["),
        }
    }

    fn rows(&self, model: &Model, rows: &Block<'_>, scores: &[Predictions], out: &mut [Vec<u8>]) {
        let ([predictions], [out]) = (scores, out) else { return }; // one output, one section
        match self {
            Self::Csv(csv) => csv.rows(&model.target, rows, predictions, out),
            Self::Json(json) => json.rows(&model.target, rows, predictions, out),
        }
    }

    fn tail(&self, out: &mut Vec<u8>) {
        if matches!(self, Self::Json(_)) {
            out.extend_from_slice(b"]}");
        }
    }
}

/// The order in which a target's outputs are told: the positive class first, else as the model has them.
fn order(target: &Target) -> impl Iterator<Item = usize> {
    // For two classes, 0 1 or 1 0: counting from the positive class, around.
    let (width, first) = match target.kind {
        TargetKind::Binary { positive, .. } => (2, positive),
        _ => (target.width(), 0),
    };
    (0..width).map(move |i| (first + i) % width)
}

/// Rows as `{"data": [{"rowId": …}, …]}`.
#[derive(Debug)]
pub(super) struct JsonAnswer(Format);

impl JsonAnswer {
    fn rows(&self, target: &Target, block: &Block<'_>, predictions: &Predictions, out: &mut Vec<u8>) {
        let labels = target.labels();
        let mut integer = itoa::Buffer::new();
        for (i, values) in predictions.rows().enumerate() {
            let row_id = block.row_id + i;
            out.extend_from_slice(if row_id == 0 { b"{\"rowId\":" } else { b",{\"rowId\":" });
            out.extend_from_slice(integer.format(row_id).as_bytes());
            out.extend_from_slice(b",\"prediction\":");
            match &target.kind {
                TargetKind::Regression => self.number(values[0], predictions.precision, out),
                TargetKind::Binary { .. } | TargetKind::Multiclass { .. } => {
                    if let Some(at) = target.predicted(values) {
                        write_label(&labels[at], out);
                    }
                }
                TargetKind::MultiRegression { .. } => {
                    list(values, out, |value, out| self.number(*value, predictions.precision, out));
                }
                TargetKind::Multilabel { threshold, .. } => {
                    list(above(labels, values, *threshold), out, write_label);
                }
            }
            if let Some(threshold) = target.threshold() {
                out.extend_from_slice(b",\"predictionThreshold\":");
                Format::SHORTEST.write(threshold, Precision::Double, out);
            }
            out.extend_from_slice(b",\"predictionValues\":[");
            for (n, at) in order(target).enumerate() {
                out.extend_from_slice(if n == 0 { b"{\"label\":" } else { b",{\"label\":" });
                match labels.get(at) {
                    Some(label) => write_label(label, out),
                    None => write_text(&target.name, out),
                }
                out.extend_from_slice(b",\"value\":");
                self.number(values[at], predictions.precision, out);
                out.push(b'}');
            }
            out.push(b']');
            if !block.frame.passthrough.is_empty() {
                write_kept(block, i, out);
            }
            out.push(b'}');
        }
    }

    /// JSON has no word for what is not finite.
    fn number(&self, value: f64, precision: Precision, out: &mut Vec<u8>) {
        if !self.0.write(value, precision, out) {
            out.extend_from_slice(b"null");
        }
    }
}

fn write_kept(block: &Block<'_>, row: usize, out: &mut Vec<u8>) {
    out.extend_from_slice(b",\"passthroughValues\":{");
    for (i, column) in block.frame.passthrough.iter().enumerate() {
        if i > 0 {
            out.push(b',');
        }
        write_text(&column.name, out);
        out.push(b':');
        match column.get(block.rows.start + row) {
            TextCell::Missing => out.extend_from_slice(b"null"),
            TextCell::Literal(text) => out.extend_from_slice(text.as_bytes()),
            TextCell::Text(text) => write_text(text, out),
        }
    }
    out.push(b'}');
}

/// The labels whose probability is greater than the threshold.
fn above<'l>(labels: &'l [Label], values: &[f64], threshold: f64) -> impl Iterator<Item = &'l Label> {
    labels.iter().zip(values).filter(move |(_, value)| **value > threshold).map(|(label, _)| label)
}

/// A JSON list.
fn list<T>(items: impl IntoIterator<Item = T>, out: &mut Vec<u8>, mut write: impl FnMut(T, &mut Vec<u8>)) {
    out.push(b'[');
    for (i, item) in items.into_iter().enumerate() {
        if i > 0 {
            out.push(b',');
        }
        write(item, out);
    }
    out.push(b']');
}

/// A label in its own JSON type.
fn write_label(label: &Label, out: &mut Vec<u8>) {
    match label {
        Label::Text(text) => write_text(text, out),
        Label::Integer(value) => out.extend_from_slice(itoa::Buffer::new().format(*value).as_bytes()),
        Label::Number(value) => _ = Format::SHORTEST.write(*value, Precision::Double, out),
        Label::Bool(value) => out.extend_from_slice(if *value { b"true" } else { b"false" }),
    }
}

/// A JSON text. Writing to a vector cannot fail.
fn write_text(text: &str, out: &mut Vec<u8>) {
    _ = serde_json::to_writer(out, text);
}

/// The columns of a CSV answer, before the repeated ones.
pub(super) fn output_columns(target: &Target) -> Vec<String> {
    let name = &target.name;
    let labels = target.labels();
    let mut columns: Vec<String> =
        order(target).filter_map(|i| labels.get(i)).map(|l| format!("{name}_{l}_PREDICTION")).collect();
    if !matches!(target.kind, TargetKind::MultiRegression { .. }) {
        columns.push(format!("{name}_PREDICTION"));
    }
    if matches!(target.kind, TargetKind::Binary { .. }) {
        columns.extend(["THRESHOLD".to_owned(), "POSITIVE_CLASS".to_owned()]);
    }
    columns
}

/// Rows as CSV.
#[derive(Debug)]
pub(super) struct CsvAnswer(Format);

impl CsvAnswer {
    fn head(target: &Target, first: &Frame, out: &mut Vec<u8>) {
        let columns = output_columns(target);
        let kept = first.passthrough.iter().map(|column| &column.name);
        for (i, name) in columns.iter().chain(kept).enumerate() {
            if i > 0 {
                out.push(b',');
            }
            write_cell(name, out);
        }
        out.push(b'\n');
    }

    fn rows(&self, target: &Target, block: &Block<'_>, predictions: &Predictions, out: &mut Vec<u8>) {
        let cell = |label: &Label| {
            let mut cell = Vec::new();
            write_cell(&label.to_string(), &mut cell);
            cell
        };
        let labels: Vec<Vec<u8>> = target.labels().iter().map(cell).collect();
        let tail = match &target.kind {
            TargetKind::Binary { positive, threshold, .. } => {
                [format!(",{threshold},").as_bytes(), &labels[*positive]].concat()
            }
            _ => Vec::new(),
        };
        for (i, values) in predictions.rows().enumerate() {
            // What is not finite is an empty cell.
            for (n, at) in order(target).enumerate() {
                if n > 0 {
                    out.push(b',');
                }
                self.0.write(values[at], predictions.precision, out);
            }
            match &target.kind {
                TargetKind::Regression | TargetKind::MultiRegression { .. } => {}
                TargetKind::Binary { .. } | TargetKind::Multiclass { .. } => {
                    out.push(b',');
                    if let Some(at) = target.predicted(values) {
                        out.extend_from_slice(&labels[at]);
                    }
                }
                TargetKind::Multilabel { labels, threshold } => {
                    out.push(b',');
                    let mut text = Vec::new();
                    list(above(labels, values, *threshold), &mut text, write_label);
                    write_cell(&String::from_utf8_lossy(&text), out);
                }
            }
            out.extend_from_slice(&tail);
            for column in &block.frame.passthrough {
                out.push(b',');
                if let TextCell::Text(text) | TextCell::Literal(text) = column.get(block.rows.start + i) {
                    write_cell(text, out);
                }
            }
            out.push(b'\n');
        }
    }
}

/// A cell, quoted only if it must be.
pub(crate) fn write_cell(text: &str, out: &mut Vec<u8>) {
    if !text.contains([',', '"', '\n', '\r']) {
        out.extend_from_slice(text.as_bytes());
        return;
    }
    out.push(b'"');
    for (i, part) in text.split('"').enumerate() {
        if i > 0 {
            out.extend_from_slice(b"\"\"");
        }
        out.extend_from_slice(part.as_bytes());
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_given_unless_csv_is_preferred() {
        for (accept, expected) in [
            ("", false),
            ("*/*", false),
            ("text/csv", true),
            ("TEXT/CSV; charset=utf-8", true),
            ("application/json", false),
            ("text/csv;q=0.5, application/json", false),
            ("text/html, text/csv", true),
            ("text/csv, */*;q=0.8", true),
            ("text/csv;q=0", false),
        ] {
            let headers = HeaderMap::from_iter([(header::ACCEPT, accept.parse().unwrap())]);
            assert_eq!(wants_csv(&headers), expected, "{accept}");
        }
    }
}
