//! `portend.json`: what a package says about its model, checked field by field and turned into core values.
//! The format is described in docs/reference/package.md.

use std::collections::HashSet;
use std::hash::Hash;

use portend_core::{Dtype, Feature, Label, Target, TargetKind};
use serde::Deserialize;
use serde_json::Value;

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
    features: Vec<FeatureEntry>,
    #[serde(default)]
    pub(crate) missing_values: Vec<String>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct ModelEntry {
    pub(crate) kind: String,
    pub(crate) path: String,
    #[serde(default)]
    options: serde_json::Map<String, Value>,
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
        if manifest.format != "portend.mlpkg" || manifest.format_version != 1 {
            let (format, version) = (&manifest.format, manifest.format_version);
            return Err(format!("format '{format}' version {version} is not 'portend.mlpkg' version 1"));
        }
        if let Some(option) = manifest.model.options.keys().next() {
            return Err(format!("model.options.{option} is not known"));
        }
        if manifest.target.prediction_column_suffix.as_deref().is_some_and(|s| s != "PREDICTION") {
            return Err("target.prediction_column_suffix other than 'PREDICTION' is not supported".to_owned());
        }
        Ok(manifest)
    }

    /// The target; for classification, `classes` defaults to 0, 1, … `width - 1`.
    pub(crate) fn target(&self, width: usize) -> Result<Target, String> {
        let classes: Vec<Label> = self.target.classes.iter().map(label).collect::<Result<_, _>>()?;
        let classes =
            if classes.is_empty() { (0..width as i64).map(Label::Integer).collect() } else { classes };
        if self.task != "regression" && classes.len() != width {
            return Err(format!("target.classes has {} labels, the model {width} classes", classes.len()));
        }
        if let Some(twice) = twice(classes.iter().map(|label| format!("{label:?}"))) {
            return Err(format!("target.classes has '{}' twice", classes[twice]));
        }
        let kind = match self.task.as_str() {
            "regression" if width == 1 => TargetKind::Regression,
            "binary" if width == 2 => self.binary(classes)?,
            "multiclass" if width > 1 => TargetKind::Multiclass { labels: classes },
            "regression" | "binary" | "multiclass" => {
                return Err(format!("task '{}' does not fit a model with {width} outputs", self.task));
            }
            other => return Err(format!("task '{other}' is not supported yet")),
        };
        Ok(Target { name: self.target.name.clone(), kind })
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
        let threshold = self.target.threshold.unwrap_or(0.5);
        if !(0.0..=1.0).contains(&threshold) {
            return Err(format!("target.threshold is {threshold}, not from 0 to 1"));
        }
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
    match value {
        Value::String(text) => Ok(Label::Text(text.clone())),
        Value::Bool(value) => Ok(Label::Bool(*value)),
        Value::Number(number) => Ok(match number.as_i64() {
            Some(integer) => Label::Integer(integer),
            None => Label::Number(number.as_f64().unwrap_or(f64::NAN)),
        }),
        other => Err(format!("{other} is not a class or category: it is text, a number, true or false")),
    }
}
