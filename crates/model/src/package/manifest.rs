//! `portend.json`: what a package says about its model, checked field by field and turned into core values.
//! The format is described in docs/reference/package.md.

use std::collections::HashSet;
use std::hash::Hash;

use portend_core::{Dtype, Feature, Label, Target, TargetKind};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Number, Value};

use super::unique_keys::UniqueKeys;
use super::{CHECKSUMS, MANIFEST, SIGNATURE, SIGNATURE_NOTE};
use crate::runtime::{self, Iterations, Task};

/// The manifest as written. Fields that are not known are ignored.
#[derive(Debug, Default, Deserialize, Serialize)]
pub(crate) struct Manifest {
    format: String,
    format_version: u32,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) id: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) name: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) version: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) created: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) description: String,
    pub(crate) model: ModelEntry,
    pub(crate) task: String,
    pub(crate) target: TargetEntry,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) outputs: Vec<OutputEntry>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) features: Vec<FeatureEntry>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) missing_values: Vec<String>,
    /// Not read yet, only shown.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub(crate) explanations: Value,
    /// Not read yet, only shown.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub(crate) monitoring: Value,
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub(crate) metadata: Map<String, Value>,
}

#[derive(Debug, Default, Deserialize, Serialize)]
pub(crate) struct ModelEntry {
    pub(crate) kind: String,
    pub(crate) path: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) framework_version: String,
    #[serde(default, skip_serializing_if = "Options::is_empty")]
    pub(crate) options: Options,
}

#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Options {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) iterations: Option<Value>,
}

impl Options {
    fn is_empty(&self) -> bool {
        self.iterations.is_none()
    }
}

#[derive(Debug, Default, Deserialize, Serialize)]
pub(crate) struct TargetEntry {
    pub(crate) name: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) classes: Vec<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) positive_class: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) threshold: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) prediction_column_suffix: Option<String>,
}

/// The name of one of several numbers.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
pub(crate) struct OutputEntry {
    pub(crate) name: String,
}

#[derive(Debug, Clone, Default, Deserialize, Serialize)]
pub(crate) struct FeatureEntry {
    pub(crate) name: String,
    pub(crate) dtype: String,
    #[serde(default = "yes")]
    pub(crate) required: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) nullable: Option<bool>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) categories: Vec<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) min: Option<Number>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) max: Option<Number>,
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub(crate) default: Value,
    #[serde(default)]
    pub(crate) order: u64,
}

fn yes() -> bool {
    true
}

/// What `format` and `format_version` say.
const FORMAT: (&str, u32) = ("portend.mlpkg", 1);

impl Manifest {
    /// A manifest of this format that says nothing yet.
    pub(super) fn new() -> Self {
        Self { format: FORMAT.0.to_owned(), format_version: FORMAT.1, ..Self::default() }
    }

    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let manifest: Self = serde_json::from_str(text).map_err(|e| e.to_string())?;
        serde_json::from_str::<UniqueKeys>(text).map_err(|e| e.to_string())?;
        let (format, version) = (&manifest.format, manifest.format_version);
        if (format.as_str(), version) != FORMAT {
            return Err(format!(
                "format '{format}' version {version} is not '{}' version {}",
                FORMAT.0, FORMAT.1
            ));
        }
        manifest.iterations()?;
        let path = &manifest.model.path;
        if [MANIFEST, CHECKSUMS, SIGNATURE, SIGNATURE_NOTE].contains(&path.as_str()) {
            return Err(format!(
                "model.path is '{path}', a name that the format keeps for itself: rename the model file"
            ));
        }
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
        self.check_target(task)?;
        Ok(Target { name: self.target.name.clone(), kind })
    }

    /// The name becomes part of column names; what a model of this task does not have would be ignored.
    fn check_target(&self, task: Task) -> Result<(), String> {
        let TargetEntry { name, classes, positive_class, threshold, .. } = &self.target;
        if name.trim().is_empty() || name.contains(char::is_control) {
            return Err(format!("target.name is {name:?}: it must be text without control characters"));
        }
        let labelled = matches!(task, Task::Binary | Task::Multiclass | Task::Multilabel);
        let unfit = [
            ("classes", !classes.is_empty() && !labelled),
            ("positive_class", positive_class.is_some() && task != Task::Binary),
            ("threshold", threshold.is_some() && !matches!(task, Task::Binary | Task::Multilabel)),
        ];
        match unfit.iter().find(|(_, unfit)| *unfit) {
            Some((field, _)) => {
                Err(format!("target.{field} is given, and a model that predicts {task} has none"))
            }
            None => Ok(()),
        }
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
    check_range(entry, dtype)?;
    let levels: Vec<Label> = entry.categories.iter().map(label).collect::<Result<_, _>>()?;
    if let Some(twice) = twice(levels.iter().map(|level| format!("{level:?}"))) {
        return Err(format!("feature '{name}': category '{}' occurs twice", levels[twice]));
    }
    Ok(Feature { name, dtype, required: entry.required, levels })
}

/// `min` and `max` describe the training data and refuse no row, but they must make sense.
fn check_range(entry: &FeatureEntry, dtype: Dtype) -> Result<(), String> {
    let (name, min, max) = (&entry.name, entry.min.as_ref(), entry.max.as_ref());
    if !dtype.is_numeric() && (min.is_some() || max.is_some()) {
        return Err(format!(
            "feature '{name}': min and max are for numbers, its dtype is '{}'",
            dtype.name()
        ));
    }
    match (min, max) {
        (Some(min), Some(max)) if min.as_f64() > max.as_f64() => {
            Err(format!("feature '{name}': min {min} is greater than max {max}"))
        }
        _ => Ok(()),
    }
}

/// The position of the first item that was there before. Lists come from the package: they may be long.
pub(crate) fn twice<T: Eq + Hash>(items: impl Iterator<Item = T>) -> Option<usize> {
    let mut seen = HashSet::new();
    items.into_iter().position(|item| !seen.insert(item))
}

/// The label as manifests write it.
pub(crate) fn value(label: &Label) -> Value {
    match label {
        Label::Text(text) => text.as_str().into(),
        Label::Integer(value) => (*value).into(),
        Label::Number(value) => (*value).into(),
        Label::Bool(value) => (*value).into(),
    }
}

fn label(value: &Value) -> Result<Label, String> {
    let known = runtime::label(value.clone());
    known.ok_or_else(|| format!("{value} is not a class or category: it is text, a number, true or false"))
}
