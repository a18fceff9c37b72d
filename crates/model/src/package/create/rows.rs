//! Rows that go into a package or are summed up in it: samples with their predictions, and the baseline.

use std::collections::HashMap;

use portend_core::{Label, Target, TargetKind};

use super::table::{Column, Table, each_frame};
use super::training::{summary, write_csv};
use super::{CreateError, Source, Work, json, shown, value};
use crate::frame::{Frame, Keep, Levels};
use crate::model::Model;
use crate::package::baseline::{Baseline, OutputBaseline, PredictionBaseline, Summary};
use crate::package::twice;
use crate::package::write::PackageFiles;
use crate::runtime::Output;

/// The most rows that become samples.
const SAMPLE_ROWS: usize = 10;
/// Rows that are scored at once.
const BLOCK: usize = 4096;
/// Predicted values that are held at once: a gigabyte.
const MOST_VALUES: usize = 1 << 27;

impl Work<'_> {
    /// Adds sample rows with what is expected for them: those given, else the first of the training data.
    pub(super) fn add_samples(
        &mut self,
        model: &Model,
        table: Option<&Table>,
        files: &mut PackageFiles,
    ) -> Result<(), CreateError> {
        let recipe = self.recipe;
        let (name, path, rows) = match (recipe.samples, table, recipe.training) {
            (Some(given), ..) if given.name.ends_with(".json") => {
                (given.name, "samples/input.json", given.text.to_owned())
            }
            (Some(given), ..) => (given.name, "samples/input.csv", given.text.to_owned()),
            (None, Some(table), Some(training)) => {
                let rows = 0..table.rows.min(SAMPLE_ROWS);
                let rows = write_csv(&self.feature_columns(model, table), rows);
                (training.name, "samples/input.csv", rows)
            }
            _ if recipe.expected.is_some() => return Err(CreateError::ExpectedWithoutSamples),
            _ => {
                self.found(
                    "note",
                    "there are no sample rows: nothing is checked at load",
                    "neither samples nor training data",
                );
                return Ok(());
            }
        };
        let decoded = match path {
            "samples/input.json" => model.decode_json(&rows, &Keep::None),
            _ => model.decode_csv(&rows, &Keep::None, 1).map(|mut frames| frames.remove(0)),
        };
        let frame = decoded.map_err(|e| CreateError::data(name, e))?;
        if frame.rows() == 0 {
            return Err(CreateError::NoRows { file: name.to_owned() });
        }
        let output = match recipe.expected {
            Some(expected) => expected.text.as_bytes().to_vec(),
            None => {
                let predictions = model.predict(&frame, 0..frame.rows());
                json(&serde_json::json!({ "predictions": predictions.rows().collect::<Vec<_>>() }), false)?
            }
        };
        let by = recipe
            .expected
            .map_or("as this program predicts them", |_| "with the expected predictions given");
        self.found("samples", format!("{} rows, {by}", frame.rows()), name);
        files.insert(path.to_owned(), rows.into_bytes());
        files.insert("samples/output.json".to_owned(), output);
        Ok(())
    }

    /// The columns of the model's features in the model's order, by the names that the manifest gave them.
    pub(super) fn feature_columns<'t>(&self, model: &Model, table: &'t Table) -> Vec<&'t Column> {
        let by_name: HashMap<&str, &Column> =
            table.columns.iter().map(|column| (column.name.as_str(), column)).collect();
        model.features.iter().filter_map(|feature| by_name.get(feature.name.as_str()).copied()).collect()
    }

    /// The summaries of training data and predictions.
    pub(super) fn baseline(
        &mut self,
        model: &Model,
        training: Source<'_>,
        table: &Table,
    ) -> Result<Baseline, CreateError> {
        let words = &self.recipe.missing_values;
        let columns = self.feature_columns(model, table);
        let features = model.features.iter().zip(columns).map(|(feature, column)| {
            let levels = (!feature.dtype.is_numeric()).then_some(feature.levels.as_slice());
            (feature.name.clone(), summary(column, levels, words))
        });
        let features = features.collect();
        let (predictions, largest) = prediction_baseline(model, training, table.rows)?;
        self.compare_labels(model, table, &largest, training.name);
        Ok(Baseline { features, predictions })
    }

    /// Labels in the wrong order are the one mistake that nothing else would show: predictions are compared with the
    /// labels of the training data. `largest` is each row's output with the largest value.
    fn compare_labels(&mut self, model: &Model, table: &Table, largest: &[u32], training: &str) {
        // several labels or numbers a row: no column of the training data holds them
        if !matches!(model.target.kind, TargetKind::Binary { .. } | TargetKind::Multiclass { .. }) {
            return;
        }
        let labels = model.target.labels();
        let Some(at) = table.position(&model.target.name) else { return };
        if let Some((found, order)) = better_order(&table.columns[at], labels, largest) {
            let order: Vec<Label> = order.into_iter().map(|label| labels[label].clone()).collect();
            let value = format!(
                "the classes may be in the wrong order: {found} of {} rows are predicted as labelled; the predictions \
                 suggest {}",
                table.rows,
                shown(&order)
            );
            self.found("WARNING", value, training);
        }
    }
}

/// How many rows are predicted as labelled, and for each output the label that it mostly stands for, if that is
/// another order of the labels.
fn better_order(column: &Column, labels: &[Label], outputs: &[u32]) -> Option<(usize, Vec<usize>)> {
    let codes = Levels::new(labels);
    let mut counts: HashMap<(usize, usize), usize> = HashMap::new();
    for (row, output) in outputs.iter().enumerate() {
        let code = codes.code(column.cell(row));
        if !code.is_nan() {
            *counts.entry((*output as usize, code as usize)).or_default() += 1;
        }
    }
    let count = |output, label| counts.get(&(output, label)).copied().unwrap_or_default();
    let mostly = |output| (0..labels.len()).max_by_key(|label| (count(output, *label), *label == output));
    let order: Vec<usize> = (0..labels.len()).filter_map(mostly).collect();
    let found = (0..labels.len()).map(|label| count(label, label)).sum();
    let suggests = twice(order.iter()).is_none() && !order.iter().copied().eq(0..labels.len());
    suggests.then_some((found, order))
}

/// Sums up what is predicted for the training data, and tells each row's output with the largest value.
fn prediction_baseline(
    model: &Model,
    training: Source<'_>,
    rows: usize,
) -> Result<(PredictionBaseline, Vec<u32>), CreateError> {
    let labels = model.target.labels();
    let several_numbers = matches!(model.target.kind, TargetKind::MultiRegression { .. });
    let width = model.width(Output::Prediction);
    let (mut counts, mut largest) = (vec![0; labels.len()], Vec::with_capacity(rows));
    let mut outputs = Vec::with_capacity(width);
    // one pass in all but extreme cases
    let at_once = (MOST_VALUES / rows.max(1)).max(1);
    for start in (0..width).step_by(at_once) {
        let group = start..(start + at_once).min(width);
        let mut columns = vec![Vec::with_capacity(rows); group.len()];
        each_prediction(model, training, |row| {
            columns.iter_mut().zip(&row[group.clone()]).for_each(|(column, value)| column.push(*value));
            if start == 0 {
                count_predicted(&model.target, row, &mut counts);
                largest
                    .push((1..row.len()).fold(0, |best, i| if row[i] > row[best] { i } else { best }) as u32);
            }
        })?;
        for (output, column) in group.zip(columns) {
            let label = labels.get(output).map(value);
            let (class, name) = if several_numbers { (None, label) } else { (label, None) };
            outputs.push(OutputBaseline { class, name, summary: Summary::numeric(column) });
        }
    }
    let classes = (!labels.is_empty() && !several_numbers)
        .then(|| Summary::categorical(labels.iter().cloned().zip(counts), 0, 0));
    Ok((PredictionBaseline { outputs, classes }, largest))
}

/// Predicts all rows of the training data and hands them on one by one.
fn each_prediction(
    model: &Model,
    training: Source<'_>,
    mut take: impl FnMut(&[f64]),
) -> Result<(), CreateError> {
    let decode = |piece: &str| model.decode_csv(piece, &Keep::None, 1);
    let predict = |frame: &Frame| {
        for start in (0..frame.rows()).step_by(BLOCK) {
            let predictions = model.predict(frame, start..(start + BLOCK).min(frame.rows()));
            predictions.rows().for_each(&mut take);
        }
    };
    each_frame(training.text, decode, predict).map_err(|e| CreateError::data(training.name, e))
}

/// Counts the class of a row, or each of its labels.
fn count_predicted(target: &Target, row: &[f64], counts: &mut [usize]) {
    if let TargetKind::Multilabel { threshold, .. } = target.kind {
        counts.iter_mut().zip(row).for_each(|(count, p)| *count += usize::from(*p > threshold));
    } else if let Some(class) = target.predicted(row) {
        counts[class] += 1;
    }
}
