//! Rows that go into a package or are summed up in it: samples with their predictions, and the baseline.

use std::collections::HashMap;

use portend_core::{Label, TargetKind};

use super::training::{Table, summary, text, write_csv};
use super::{CreateError, Source, Work, json, shown, value};
use crate::frame::{Keep, Levels, TextColumn};
use crate::model::Model;
use crate::package::baseline::{Baseline, OutputBaseline, PredictionBaseline, Summary};
use crate::package::twice;
use crate::package::write::PackageFiles;
use crate::predictions::Predictions;
use crate::runtime::Output;

/// The most rows that become samples.
const SAMPLE_ROWS: usize = 10;
/// Rows that are scored at once.
const BLOCK: usize = 4096;

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
    pub(super) fn feature_columns<'t>(&self, model: &Model, table: &'t Table) -> Vec<&'t TextColumn> {
        let by_name: HashMap<&str, &TextColumn> =
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
        let decoded = model.decode_csv(training.text, &Keep::None, 1);
        let frame = decoded.map_err(|e| CreateError::data(training.name, e))?.remove(0);
        let blocks = (0..frame.rows()).step_by(BLOCK).map(|start| start..(start + BLOCK).min(frame.rows()));
        let predicted: Vec<Predictions> = blocks.map(|rows| model.predict(&frame, rows)).collect();
        let predictions = prediction_baseline(model, &predicted);
        let baseline = Baseline { features: features.collect(), predictions };
        self.compare_labels(model, table, &predicted, training.name);
        Ok(baseline)
    }

    /// Labels in the wrong order are the one mistake that nothing else would show: predictions are compared with the
    /// labels of the training data.
    fn compare_labels(&mut self, model: &Model, table: &Table, predicted: &[Predictions], training: &str) {
        // several labels or numbers a row: no column of the training data holds them
        if !matches!(model.target.kind, TargetKind::Binary { .. } | TargetKind::Multiclass { .. }) {
            return;
        }
        let labels = model.target.labels();
        let Some(at) = table.position(&model.target.name) else { return };
        let largest =
            |row: &[f64]| (1..row.len()).fold(0, |best, i| if row[i] > row[best] { i } else { best });
        let outputs: Vec<usize> = predicted.iter().flat_map(Predictions::rows).map(largest).collect();
        if let Some((found, order)) = better_order(&table.columns[at], labels, &outputs) {
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
fn better_order(column: &TextColumn, labels: &[Label], outputs: &[usize]) -> Option<(usize, Vec<usize>)> {
    let codes = Levels::new(labels);
    let mut counts: HashMap<(usize, usize), usize> = HashMap::new();
    for (row, output) in outputs.iter().enumerate() {
        let code = codes.code(text(column, row));
        if !code.is_nan() {
            *counts.entry((*output, code as usize)).or_default() += 1;
        }
    }
    let count = |output, label| counts.get(&(output, label)).copied().unwrap_or_default();
    let mostly = |output| (0..labels.len()).max_by_key(|label| (count(output, *label), *label == output));
    let order: Vec<usize> = (0..labels.len()).filter_map(mostly).collect();
    let found = (0..labels.len()).map(|label| count(label, label)).sum();
    let suggests = twice(order.iter()).is_none() && !order.iter().copied().eq(0..labels.len());
    suggests.then_some((found, order))
}

fn prediction_baseline(model: &Model, predicted: &[Predictions]) -> PredictionBaseline {
    let rows = || predicted.iter().flat_map(Predictions::rows);
    let labels = model.target.labels();
    let numbers = matches!(model.target.kind, TargetKind::MultiRegression { .. });
    let outputs = (0..model.width(Output::Prediction)).map(|output| {
        let label = labels.get(output).map(value);
        let (class, name) = if numbers { (None, label) } else { (label, None) };
        OutputBaseline { class, name, summary: Summary::numeric(rows().map(|row| row[output])) }
    });
    let mut counts = vec![0; labels.len()];
    match &model.target.kind {
        TargetKind::Regression | TargetKind::MultiRegression { .. } => {
            return PredictionBaseline { outputs: outputs.collect(), classes: None };
        }
        TargetKind::Binary { .. } | TargetKind::Multiclass { .. } => {
            rows().filter_map(|row| model.target.predicted(row)).for_each(|label| counts[label] += 1);
        }
        TargetKind::Multilabel { threshold, .. } => {
            for (label, _) in rows().flat_map(|row| row.iter().enumerate()).filter(|(_, p)| *p > threshold) {
                counts[label] += 1;
            }
        }
    }
    let classes = Summary::categorical(labels.iter().cloned().zip(counts), 0, 0);
    PredictionBaseline { outputs: outputs.collect(), classes: Some(classes) }
}
