//! What can be told of a package or model file: facts of manifest, model file and container side by side, as plain
//! values. How they are shown is the command line's business.

use std::path::Path;

use portend_core::{Feature, Target, TargetKind};
use serde::Serialize;
use serde_json::{Map, Value};

use super::manifest::{FeatureEntry, value};
use super::verify::{CHECKSUMS, SAMPLES, SIGNATURE};
use super::{Check, CheckState, Examination, Files, Manifest, Package, Trust};
use crate::error::LoadError;
use crate::model::Model;
use crate::runtime::Output;

/// Everything that is told of a package.
#[derive(Debug, Serialize)]
pub struct Description {
    /// Where it lies.
    pub path: String,
    /// `archive`, `directory` or `file`, a bare model file.
    pub container: &'static str,
    /// What the manifest says of the package.
    #[serde(flatten)]
    pub package: PackageFacts,
    /// What it predicts.
    pub target: TargetFacts,
    /// The model file.
    pub model: ModelFacts,
    /// The columns that it reads, in the model's order.
    pub features: Vec<FeatureFacts>,
    /// The files in it by their path.
    pub files: Vec<FileFacts>,
    /// Whether the checksums are right.
    pub checksums: Check,
    /// Whether the signature is right.
    pub signature: Check,
    /// Whether the sample rows are predicted as the package says.
    pub samples: Check,
}

/// What a manifest says of its package. All of it is empty for bare model files.
#[derive(Debug, Default, Serialize)]
pub struct PackageFacts {
    /// The id.
    pub id: String,
    /// The name.
    pub name: String,
    /// The version.
    pub version: String,
    /// When it was made, as the manifest tells it.
    pub created: String,
    /// The description.
    pub description: String,
    /// Further words that mean "missing".
    pub missing_values: Vec<String>,
    /// What monitoring is told.
    pub monitoring: Value,
    /// What explanations are told.
    pub explanations: Value,
    /// Whatever else its maker wrote.
    pub metadata: Map<String, Value>,
}

/// What is predicted.
#[derive(Debug, Serialize)]
pub struct TargetFacts {
    /// The kind of prediction, in the manifest's word.
    pub task: &'static str,
    /// The target's name.
    pub name: String,
    /// The labels, or the names of several numbers, in the order of the model's outputs.
    pub classes: Vec<Value>,
    /// For binary targets.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub positive_class: Option<Value>,
    /// For binary and multilabel targets.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub threshold: Option<f64>,
}

/// What a model file says of itself.
#[derive(Debug, Serialize)]
pub struct ModelFacts {
    /// The kind, in the manifest's word.
    pub kind: String,
    /// The library with the version that the file names.
    pub library: String,
    /// The objective in the library's words.
    pub objective: String,
    /// The number of trees.
    pub trees: usize,
    /// The number of values that it predicts a row.
    pub outputs: usize,
    /// Where it lies in the package; its file name when it is bare.
    pub path: String,
    /// Its length in bytes.
    pub bytes: u64,
    /// Its SHA-256.
    pub sha256: String,
}

/// A column that the model reads.
#[derive(Debug, Serialize)]
pub struct FeatureFacts {
    /// Its name.
    pub name: String,
    /// The type of its cells.
    pub dtype: &'static str,
    /// Whether a request without it is refused.
    pub required: bool,
    /// Whether the training data had missing cells, if the manifest says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nullable: Option<bool>,
    /// The levels in code order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub categories: Vec<Value>,
    /// The least value in the training data, if the manifest says.
    #[serde(skip_serializing_if = "Value::is_null")]
    pub min: Value,
    /// The greatest value in the training data, if the manifest says.
    #[serde(skip_serializing_if = "Value::is_null")]
    pub max: Value,
}

/// A file of a package.
#[derive(Debug, Serialize)]
pub struct FileFacts {
    /// Its path inside the package.
    pub path: String,
    /// Its length.
    pub bytes: u64,
    /// Its SHA-256.
    pub sha256: String,
}

impl Description {
    /// Describes what lies at `path`. Container, manifest and model must be readable; what is wrong with checksums,
    /// signature and samples is told.
    pub fn of(path: &Path, trust: &Trust) -> Result<Self, LoadError> {
        let mut examination = Examination::of(path, trust);
        if let Some(error) = examination.error.take() {
            return Err(error);
        }
        let state = |subject: &'static str| {
            let found = examination.check(subject).cloned();
            found.unwrap_or(Check { subject, state: CheckState::Unchecked, detail: String::new() })
        };
        let (checksums, signature, samples) = (state(CHECKSUMS), state(SIGNATURE), state(SAMPLES));
        let (Some(mut package), Some(model)) = (examination.package, examination.model) else {
            let reason = "it holds no model".to_owned();
            return Err(LoadError::NotAModel { path: path.to_owned(), reason });
        };
        let files = file_facts(&mut package)?;
        Ok(Self {
            path: path.display().to_string(),
            container: match &package.files {
                Files::Archive(_) => "archive",
                Files::Folder(_) => "directory",
                Files::Bare => "file",
            },
            package: package.manifest().map(package_facts).unwrap_or_default(),
            target: target_facts(&model.target),
            model: model_facts(&mut package, &model, &files)?,
            features: feature_facts(&model, package.manifest()),
            files,
            checksums,
            signature,
            samples,
        })
    }
}

fn package_facts(manifest: &Manifest) -> PackageFacts {
    PackageFacts {
        id: manifest.id.clone(),
        name: manifest.name.clone(),
        version: manifest.version.clone(),
        created: manifest.created.clone(),
        description: manifest.description.clone(),
        missing_values: manifest.missing_values.clone(),
        monitoring: manifest.monitoring.clone(),
        explanations: manifest.explanations.clone(),
        metadata: manifest.metadata.clone(),
    }
}

fn target_facts(target: &Target) -> TargetFacts {
    let mut facts = TargetFacts {
        task: task(&target.kind),
        name: target.name.clone(),
        classes: target.labels().iter().map(value).collect(),
        positive_class: None,
        threshold: target.threshold(),
    };
    if let TargetKind::Binary { labels, positive, .. } = &target.kind {
        facts.positive_class = labels.get(*positive).map(value);
    }
    facts
}

/// The manifest's word for a kind of prediction.
pub(super) fn task(kind: &TargetKind) -> &'static str {
    match kind {
        TargetKind::Regression | TargetKind::MultiRegression { .. } => "regression",
        TargetKind::Multilabel { .. } => "multilabel",
        TargetKind::Binary { .. } => "binary",
        TargetKind::Multiclass { .. } => "multiclass",
    }
}

fn file_facts(package: &mut Package) -> Result<Vec<FileFacts>, LoadError> {
    let mut files = Vec::new();
    for path in package.names() {
        let (bytes, sha256) = package.measure(&path).map_err(|e| package.bad(&format!("'{path}': {e}")))?;
        files.push(FileFacts { path, bytes, sha256 });
    }
    Ok(files)
}

fn model_facts(package: &mut Package, model: &Model, files: &[FileFacts]) -> Result<ModelFacts, LoadError> {
    let library = model.library.clone();
    let (kind, path) = match package.manifest() {
        Some(manifest) => (manifest.model.kind.clone(), manifest.model.path.clone()),
        None => {
            let name = package.path().file_name().map(|n| n.to_string_lossy().into_owned());
            (library.split(' ').next().unwrap_or_default().to_owned(), name.unwrap_or_default())
        }
    };
    let (bytes, sha256) = match files.iter().find(|file| file.path == path) {
        Some(file) => (file.bytes, file.sha256.clone()),
        None => package.measure(&path).map_err(|e| package.bad(&format!("'{path}': {e}")))?,
    };
    let (trees, outputs) = (model.width(Output::Leaf), model.width(Output::Prediction));
    Ok(ModelFacts { kind, library, objective: model.objective.clone(), trees, outputs, path, bytes, sha256 })
}

fn feature_facts(model: &Model, manifest: Option<&Manifest>) -> Vec<FeatureFacts> {
    let entries = manifest.map(|m| m.features.as_slice()).unwrap_or_default();
    let entries: std::collections::HashMap<&str, &FeatureEntry> =
        entries.iter().map(|entry| (entry.name.as_str(), entry)).collect();
    let facts = |feature: &Feature| {
        let entry = entries.get(feature.name.as_str());
        let number = |number: Option<&serde_json::Number>| number.cloned().map_or(Value::Null, Value::Number);
        FeatureFacts {
            name: feature.name.clone(),
            dtype: feature.dtype.name(),
            required: feature.required,
            nullable: entry.and_then(|entry| entry.nullable),
            categories: feature.levels.iter().map(value).collect(),
            min: number(entry.and_then(|entry| entry.min.as_ref())),
            max: number(entry.and_then(|entry| entry.max.as_ref())),
        }
    };
    model.features.iter().map(facts).collect()
}
