//! Makes a package of a model file and whatever else is known: training data, sample rows, names. Pure: texts in,
//! files out. What is not given is inferred, and each inference is told with where it comes from.

mod error;
mod inference;
mod training;

pub use error::CreateError;

use std::collections::HashMap;

use portend_core::{Label, ModelId, Target, TargetKind};
use serde_json::{Map, Value};

use self::inference::Inference;
use self::training::{Table, as_labels, labels, spread, summary, text, write_csv};
use super::baseline::{Baseline, OutputBaseline, PredictionBaseline, Summary};
use super::manifest::{ModelEntry, TargetEntry, value};
use super::write::{PackageFiles, add_checksums};
use super::{MANIFEST, Manifest, describe};
use crate::error::LoadError;
use crate::frame::{Keep, Levels, TextColumn};
use crate::model::{Model, bare_target};
use crate::predictions::Predictions;
use crate::runtime::{self, Kind, Output, Prepared};

/// The most rows that are kept of training data, as samples and as background.
const SAMPLE_ROWS: usize = 10;
const BACKGROUND_ROWS: usize = 100;
/// Rows that are scored at once.
const BLOCK: usize = 4096;

/// A text with the name of its file, for messages.
#[derive(Debug, Clone, Copy)]
pub struct Source<'a> {
    /// The file's name.
    pub name: &'a str,
    /// Its content.
    pub text: &'a str,
}

/// What a package is made of. What is None or empty is inferred or left out.
#[derive(Debug, Default)]
pub struct Recipe<'a> {
    /// The name of the model file.
    pub model_name: &'a str,
    /// Its content.
    pub model: &'a [u8],
    /// Rows that the model was trained on, as CSV.
    pub training: Option<Source<'a>>,
    /// Sample rows: CSV, or JSON records if the name ends in `.json`.
    pub samples: Option<Source<'a>>,
    /// What the training library predicts for them, as `samples/output.json` has it.
    pub expected: Option<Source<'a>>,
    /// The target's name.
    pub target: Option<String>,
    /// The kind of prediction, in the manifest's word.
    pub task: Option<String>,
    /// The class labels in the order of the model's outputs, as text.
    pub classes: Vec<String>,
    /// One of the classes.
    pub positive_class: Option<String>,
    /// From 0 to 1.
    pub threshold: Option<f64>,
    /// Levels of features that take their codes, in code order, as text.
    pub levels: Vec<(String, Vec<String>)>,
    /// The package's id.
    pub id: Option<String>,
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: Option<String>,
    /// What it is, in a sentence.
    pub description: String,
    /// When it was made; left out when empty.
    pub created: String,
    /// Further words that mean "missing".
    pub missing_values: Vec<String>,
    /// Whatever else is to be kept.
    pub metadata: Map<String, Value>,
}

/// Something that the package says, and where it comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What it is about.
    pub subject: &'static str,
    /// What was found.
    pub value: String,
    /// Where.
    pub origin: String,
}

/// A package that was made and not yet written.
#[derive(Debug)]
pub struct Created {
    /// Its id.
    pub id: String,
    /// Its files.
    pub files: PackageFiles,
    /// What was found out, in the order of the manifest.
    pub findings: Vec<Finding>,
}

/// Makes a package.
pub fn create(recipe: &Recipe<'_>) -> Result<Created, CreateError> {
    let kind = detect(recipe)?;
    let prepared = runtime::prepare(kind, recipe.model_name, recipe.model)?;
    let mut work = Work { recipe, findings: Vec::new() };
    let trees = prepared.runtime.width(Output::Leaf);
    work.found(
        "model",
        format!("{}, {}, {trees} trees", prepared.library, prepared.objective),
        "the model file",
    );
    let table = recipe.training.map(|training| work.table(training)).transpose()?;
    let model_path = format!("model/model.{}", extension(kind, recipe.model));
    let manifest = work.manifest(kind, &model_path, &prepared, table.as_ref())?;
    let model = Model::join(Some(&manifest), prepared, "").map_err(CreateError::Rejected)?;
    let mut files = PackageFiles::new();
    files.insert(model_path, recipe.model.to_vec());
    files.insert(MANIFEST.to_owned(), json(&manifest, true)?);
    work.add_samples(&model, table.as_ref(), &mut files)?;
    if let (Some(training), Some(table)) = (recipe.training, &table) {
        let baseline = work.baseline(&model, training, table)?;
        files.insert("baseline.json".to_owned(), json(&baseline, false)?);
        let columns = work.feature_columns(&model, table);
        let background = write_csv(&columns, spread(table.rows, BACKGROUND_ROWS));
        files.insert("background.csv".to_owned(), background.into_bytes());
        let kept = table.rows.min(BACKGROUND_ROWS);
        work.found("baseline", format!("of {} rows", table.rows), training.name);
        work.found("background", format!("{kept} rows, evenly spread"), training.name);
    }
    add_checksums(&mut files).map_err(|e| CreateError::Rejected(e.to_string()))?;
    Ok(Created { id: manifest.id, files, findings: work.findings })
}

fn detect(recipe: &Recipe<'_>) -> Result<Kind, CreateError> {
    if recipe.model.starts_with(b"PK\x03\x04") {
        return Err(CreateError::AlreadyAPackage { file: recipe.model_name.to_owned() });
    }
    Kind::detect(recipe.model).map_err(|reason| {
        let path = recipe.model_name.into();
        CreateError::Load(LoadError::NotAModel { path, reason: reason.to_owned() })
    })
}

/// What a file of this kind is called. UBJSON goes on with a length where JSON has a quote or white space.
fn extension(kind: Kind, bytes: &[u8]) -> &'static str {
    let second = bytes.trim_ascii_start().get(1);
    match kind {
        Kind::LightGbm => "txt",
        Kind::XgBoost if second.is_some_and(|b| b.is_ascii_whitespace() || matches!(b, b'"' | b'}')) => {
            "json"
        }
        Kind::XgBoost => "ubj",
    }
}

fn json(value: &impl serde::Serialize, pretty: bool) -> Result<Vec<u8>, CreateError> {
    let text = if pretty { serde_json::to_string_pretty(value) } else { serde_json::to_string(value) };
    text.map(|text| format!("{text}\n").into_bytes()).map_err(|e| CreateError::Rejected(e.to_string()))
}

/// A package while it is made.
struct Work<'a> {
    recipe: &'a Recipe<'a>,
    findings: Vec<Finding>,
}

impl Work<'_> {
    fn found(&mut self, subject: &'static str, value: impl Into<String>, origin: impl Into<String>) {
        self.findings.push(Finding { subject, value: value.into(), origin: origin.into() });
    }

    fn table(&mut self, training: Source<'_>) -> Result<Table, CreateError> {
        let file = training.name;
        let table = Table::read(training.text).map_err(|e| CreateError::data(file, e))?;
        if table.rows == 0 {
            return Err(CreateError::NoRows { file: file.to_owned() });
        }
        Ok(table)
    }

    fn manifest(
        &mut self,
        kind: Kind,
        model_path: &str,
        prepared: &Prepared,
        table: Option<&Table>,
    ) -> Result<Manifest, CreateError> {
        let recipe = self.recipe;
        let mut manifest = Manifest::new();
        manifest.id = self.id()?;
        manifest.name.clone_from(&recipe.name);
        manifest.version = recipe.version.clone().unwrap_or_else(|| "1".to_owned());
        manifest.created.clone_from(&recipe.created);
        manifest.description.clone_from(&recipe.description);
        manifest.missing_values.clone_from(&recipe.missing_values);
        manifest.metadata.clone_from(&recipe.metadata);
        let version = prepared.library.strip_prefix(kind.name()).unwrap_or_default().trim();
        manifest.model = ModelEntry {
            kind: kind.name().to_owned(),
            path: model_path.to_owned(),
            // LightGBM's files tell the version of their format only, v4
            framework_version: version.strip_prefix('v').map_or(version, |_| "").to_owned(),
            ..ModelEntry::default()
        };
        let own = bare_target("", prepared.task);
        manifest.task = self.task(&own, prepared)?;
        let target = recipe.target.as_deref().unwrap_or("target");
        let inference = Inference { prepared, table, recipe, target };
        manifest.features = inference.features(&mut self.findings)?;
        manifest.target = self.target(&own, target, table)?;
        if table.is_some() {
            manifest.monitoring = serde_json::json!({ "baseline": "baseline.json" });
            manifest.explanations = serde_json::json!({ "background": "background.csv" });
        }
        Ok(manifest)
    }

    fn id(&mut self) -> Result<String, CreateError> {
        let file = self.recipe.model_name;
        let stem = file.rsplit_once('.').map_or(file, |(stem, _)| stem);
        let plain = |c: char| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '-' };
        let (id, origin) = match &self.recipe.id {
            Some(id) => (id.clone(), "given"),
            None => (stem.chars().map(plain).collect(), "the model file's name"),
        };
        ModelId::parse(&id).map_err(|rule| CreateError::Id { id: id.clone(), rule: rule.to_string() })?;
        self.found("id", id.clone(), origin);
        Ok(id)
    }

    fn task(&mut self, own: &Target, prepared: &Prepared) -> Result<String, CreateError> {
        let found = describe::task(&own.kind);
        let given = self.recipe.task.as_deref();
        if let Some(given) = given.filter(|given| *given != found) {
            let (given, objective) = (given.to_owned(), prepared.objective.clone());
            return Err(CreateError::Task { given, found, objective, outputs: own.width() });
        }
        let origin =
            given.map_or_else(|| format!("the model file's {}", prepared.objective), |_| "given".to_owned());
        self.found("task", found, origin);
        Ok(found.to_owned())
    }

    fn target(
        &mut self,
        own: &Target,
        name: &str,
        table: Option<&Table>,
    ) -> Result<TargetEntry, CreateError> {
        let recipe = self.recipe;
        self.found("target", name, if recipe.target.is_some() { "given" } else { "the default" });
        let mut entry = TargetEntry { name: name.to_owned(), ..TargetEntry::default() };
        let task = describe::task(&own.kind);
        let unfit = |setting| Err(CreateError::Unfit { setting, task });
        match own.kind {
            _ if own.labels().is_empty() && !recipe.classes.is_empty() => return unfit("classes"),
            TargetKind::Binary { .. } => {}
            _ if recipe.positive_class.is_some() => return unfit("a positive class"),
            _ if recipe.threshold.is_some() => return unfit("a threshold"),
            _ => {}
        }
        if own.labels().is_empty() {
            return Ok(entry);
        }
        let classes = self.classes(own, name, table)?;
        entry.classes = classes.iter().map(value).collect();
        if matches!(own.kind, TargetKind::Binary { .. }) {
            self.binary(&classes, &mut entry)?;
        }
        Ok(entry)
    }

    fn binary(&mut self, classes: &[Label], entry: &mut TargetEntry) -> Result<(), CreateError> {
        let given = self.recipe.positive_class.as_deref();
        let positive = match given {
            Some(given) => classes.iter().find(|class| class.to_string() == given),
            None => classes.get(1),
        };
        let positive = positive.ok_or_else(|| CreateError::PositiveClass {
            given: given.unwrap_or_default().to_owned(),
            classes: shown(classes),
        })?;
        self.found(
            "positive class",
            positive.to_string(),
            if given.is_some() { "given" } else { "the second class" },
        );
        let threshold = self.recipe.threshold.unwrap_or(0.5);
        if !(0.0..=1.0).contains(&threshold) {
            return Err(CreateError::Threshold(threshold));
        }
        let origin = if self.recipe.threshold.is_some() { "given" } else { "the default" };
        self.found("threshold", threshold.to_string(), origin);
        entry.positive_class = Some(value(positive));
        entry.threshold = Some(threshold);
        Ok(())
    }

    /// The labels, in the order of the model's outputs.
    fn classes(
        &mut self,
        own: &Target,
        target: &str,
        table: Option<&Table>,
    ) -> Result<Vec<Label>, CreateError> {
        let recipe = self.recipe;
        let column = table.and_then(|table| Some((table, table.position(target)?)));
        let training = recipe.training.map(|training| training.name).unwrap_or_default();
        let (classes, origin) = match column {
            _ if !recipe.classes.is_empty() => {
                let texts: Vec<&str> = recipe.classes.iter().map(String::as_str).collect();
                (as_labels(&texts), "the given classes".to_owned())
            }
            Some((table, at)) => {
                let labels = labels(&table.columns[at], &recipe.missing_values);
                (labels, format!("column '{target}' of {training}"))
            }
            None => (own.labels().to_vec(), "the model's own numbers".to_owned()),
        };
        if classes.len() != own.width() {
            let (found, needed) = (classes.len(), own.width());
            return Err(CreateError::ClassCount { origin, found, classes: shown(&classes), needed });
        }
        if let Some(i) = super::twice(classes.iter().map(|class| format!("{class:?}"))) {
            return Err(CreateError::ClassTwice(classes[i].to_string()));
        }
        if table.is_some() && column.is_none() {
            self.found(
                "note",
                format!("there is no column '{target}', so that no labels are read"),
                training,
            );
        }
        let order = if column.is_some() && recipe.classes.is_empty() { ", in order of value" } else { "" };
        let origin = if recipe.classes.is_empty() { format!("{origin}{order}") } else { "given".to_owned() };
        self.found("classes", shown(&classes), origin);
        Ok(classes)
    }

    fn add_samples(
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
    fn feature_columns<'t>(&self, model: &Model, table: &'t Table) -> Vec<&'t TextColumn> {
        let column = |name: &str| table.position(name).map(|at| &table.columns[at]);
        model.features.iter().filter_map(|feature| column(&feature.name)).collect()
    }

    fn baseline(
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
        let labels = model.target.labels();
        let Some(at) = table.position(&model.target.name).filter(|_| !labels.is_empty()) else { return };
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
    let suggests = super::twice(order.iter()).is_none() && !order.iter().copied().eq(0..labels.len());
    suggests.then_some((found, order))
}

fn prediction_baseline(model: &Model, predicted: &[Predictions]) -> PredictionBaseline {
    let rows = || predicted.iter().flat_map(Predictions::rows);
    let labels = model.target.labels();
    let outputs = (0..model.width(Output::Prediction)).map(|output| OutputBaseline {
        class: labels.get(output).map(value),
        summary: Summary::numeric(rows().map(|row| row[output])),
    });
    let classes = (!labels.is_empty()).then(|| {
        let mut counts = vec![0; labels.len()];
        rows().for_each(|row| counts[model.target.predicted(row)] += 1);
        Summary::categorical(labels.iter().cloned().zip(counts), 0, 0)
    });
    PredictionBaseline { outputs: outputs.collect(), classes }
}

/// Labels in a message: not all of thousands.
fn shown(labels: &[Label]) -> String {
    let mut texts: Vec<String> = labels.iter().take(10).map(Label::to_string).collect();
    if labels.len() > texts.len() {
        texts.push(format!("… ({} in all)", labels.len()));
    }
    texts.join(", ")
}

/// The row and text of a cell, for a message.
fn cell(column: &TextColumn, row: usize) -> String {
    text(column, row).chars().take(40).collect()
}
