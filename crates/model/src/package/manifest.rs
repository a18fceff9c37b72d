//! `portend.json`: what a package says about its model, checked field by field and turned into core values.
//! The format is described in docs/reference/package.md.

use std::collections::HashSet;
use std::hash::Hash;

use portend_core::{Dtype, Feature, Label, Target, TargetKind};
use serde::Deserialize;
use serde_json::Value;

use super::unique_keys::UniqueKeys;
use crate::runtime::{self, Iterations, Task};

/// The manifest as written. Fields that nothing here reads yet (monitoring, explanations, …) are ignored.
#[derive(Debug, Deserialize)]
pub(crate) struct Manifest {
    format: String,
    format_version: u32,
    #[serde(default)]
    pub(crate) id: String,
    #[serde(default)]
    pub(crate) version: String,
    pub(crate) model: ModelEntry,
    task: String,
    target: TargetEntry,
    #[serde(default)]
    outputs: Vec<OutputEntry>,
    #[serde(default)]
    features: Vec<FeatureEntry>,
    #[serde(default)]
    pub(crate) missing_values: Vec<String>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct ModelEntry {
    pub(crate) kind: String,
    pub(crate) path: String,
    #[serde(default)]
    options: Options,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Options {
    iterations: Option<Value>,
}

#[derive(Debug, Deserialize)]
struct TargetEntry {
    name: String,
    #[serde(default)]
    classes: Vec<Value>,
    positive_class: Option<Value>,
    threshold: Option<f64>,
    prediction_column_suffix: Option<String>,
}

#[derive(Debug, Deserialize)]
struct OutputEntry {
    name: String,
}

#[derive(Debug, Deserialize)]
struct FeatureEntry {
    name: String,
    dtype: String,
    #[serde(default = "yes")]
    required: bool,
    #[serde(default)]
    categories: Vec<Value>,
    #[serde(default)]
    default: Value,
    #[serde(default)]
    order: u64,
}

fn yes() -> bool {
    true
}

impl Manifest {
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let manifest: Self = serde_json::from_str(text).map_err(|e| e.to_string())?;
        serde_json::from_str::<UniqueKeys>(text).map_err(|e| e.to_string())?;
        if manifest.format != "portend.mlpkg" || manifest.format_version != 1 {
            let (format, version) = (&manifest.format, manifest.format_version);
            return Err(format!("format '{format}' version {version} is not 'portend.mlpkg' version 1"));
        }
        manifest.iterations()?;
        if manifest.target.prediction_column_suffix.as_deref().is_some_and(|s| s != "PREDICTION") {
            return Err("target.prediction_column_suffix other than 'PREDICTION' is not supported".to_owned());
        }
        Ok(manifest)
    }

    /// The target of a model that predicts `task` with these labels or names of outputs, which stand where the
    /// manifest has none.
    pub(crate) fn target(&self, task: Task, labels: &[Label]) -> Result<Target, String> {
        if !self.outputs.is_empty() && task != Task::MultiRegression {
            return Err(format!("outputs are the names of several numbers, the model predicts {task}"));
        }
        let kind = match (self.task.as_str(), task) {
            ("regression" | "ranking" | "quantile" | "anomaly", Task::Regression) => TargetKind::Regression,
            ("regression" | "ranking" | "quantile" | "anomaly", Task::MultiRegression) => {
                let names: Vec<Label> = self.outputs.iter().map(|o| Label::Text(o.name.clone())).collect();
                TargetKind::MultiRegression { names: agreed("outputs", names, labels)? }
            }
            ("binary", Task::Binary) => self.binary(self.classes(labels)?)?,
            ("multiclass", Task::Multiclass) => TargetKind::Multiclass { labels: self.classes(labels)? },
            ("multilabel", Task::Multilabel) => {
                TargetKind::Multilabel { labels: self.classes(labels)?, threshold: self.threshold()? }
            }
            (
                "regression" | "ranking" | "quantile" | "anomaly" | "binary" | "multiclass" | "multilabel",
                task,
            ) => {
                return Err(format!("task '{}' does not fit a model that predicts {task}", self.task));
            }
            (other, _) => return Err(format!("task '{other}' is not supported yet")),
        };
        Ok(Target { name: self.target.name.clone(), kind })
    }

    /// The boosting iterations that are asked for.
    pub(crate) fn iterations(&self) -> Result<Iterations, String> {
        match &self.model.options.iterations {
            None => Ok(Iterations::Default),
            Some(Value::String(word)) if word == "best" => Ok(Iterations::Best),
            Some(Value::String(word)) if word == "all" => Ok(Iterations::All),
            Some(value) => match value.as_u64().filter(|count| *count > 0) {
                Some(count) => Ok(Iterations::First(usize::try_from(count).unwrap_or(usize::MAX))),
                None => {
                    Err(format!("model.options.iterations is {value}, not 'best', 'all' or a number from 1"))
                }
            },
        }
    }

    fn classes(&self, known: &[Label]) -> Result<Vec<Label>, String> {
        let classes = self.target.classes.iter().map(label).collect::<Result<_, _>>()?;
        agreed("target.classes", classes, known)
    }

    fn threshold(&self) -> Result<f64, String> {
        let threshold = self.target.threshold.unwrap_or(0.5);
        if !(0.0..=1.0).contains(&threshold) {
            return Err(format!("target.threshold is {threshold}, not from 0 to 1"));
        }
        Ok(threshold)
    }

    fn binary(&self, classes: Vec<Label>) -> Result<TargetKind, String> {
        let positive = match &self.target.positive_class {
            None => 1,
            Some(value) => {
                let positive = label(value)?;
                let at = classes.iter().position(|l| *l == positive);
                at.ok_or_else(|| format!("target.positive_class '{positive}' is not one of target.classes"))?
            }
        };
        let threshold = self.threshold()?;
        let labels = classes.try_into().map_err(|_| "a binary target has two classes".to_owned())?;
        Ok(TargetKind::Binary { labels, positive, threshold })
    }

    /// The features in their order; none when the manifest leaves them to the model file.
    pub(crate) fn features(&self) -> Result<Vec<Feature>, String> {
        let mut entries: Vec<&FeatureEntry> = self.features.iter().collect();
        entries.sort_by_key(|e| e.order); // stable: equal orders stay as written
        entries.into_iter().map(feature).collect()
    }
}

/// The listed labels, or the known ones if none are listed; their number is the model's.
fn agreed(field: &str, listed: Vec<Label>, known: &[Label]) -> Result<Vec<Label>, String> {
    if listed.is_empty() {
        return Ok(known.to_vec());
    }
    if listed.len() != known.len() {
        return Err(format!("{field} has {} entries where the model has {}", listed.len(), known.len()));
    }
    match twice(listed.iter().map(|label| format!("{label:?}"))) {
        Some(twice) => Err(format!("{field} has '{}' twice", listed[twice])),
        None => Ok(listed),
    }
}

fn feature(entry: &FeatureEntry) -> Result<Feature, String> {
    let name = entry.name.clone();
    let dtype = match entry.dtype.as_str() {
        "float64" => Dtype::Float64,
        "float32" => Dtype::Float32,
        "int64" => Dtype::Int64,
        "bool" => Dtype::Bool,
        "string" => Dtype::String,
        "category" => Dtype::Category,
        other => return Err(format!("feature '{name}': dtype '{other}' is not supported yet")),
    };
    if !entry.default.is_null() {
        return Err(format!("feature '{name}': a default is not supported yet"));
    }
    let levels: Vec<Label> = entry.categories.iter().map(label).collect::<Result<_, _>>()?;
    if let Some(twice) = twice(levels.iter().map(|level| format!("{level:?}"))) {
        return Err(format!("feature '{name}': category '{}' occurs twice", levels[twice]));
    }
    Ok(Feature { name, dtype, required: entry.required, levels })
}

/// The position of the first item that was there before. Lists come from the package: they may be long.
pub(crate) fn twice<T: Eq + Hash>(items: impl Iterator<Item = T>) -> Option<usize> {
    let mut seen = HashSet::new();
    items.into_iter().position(|item| !seen.insert(item))
}

fn label(value: &Value) -> Result<Label, String> {
    let known = runtime::label(value.clone());
    known.ok_or_else(|| format!("{value} is not a class or category: it is text, a number, true or false"))
}
