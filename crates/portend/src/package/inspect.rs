//! `portend package inspect`: what a package is, as a page for people or as JSON.

use std::process::ExitCode;

use portend_model::package::{Check, Description, FeatureFacts, Trust};
use serde_json::Value;

use super::arguments::{Form, InspectArguments};
use super::verify::word;
use super::{print, print_json, table};
use crate::CommandError;
use crate::artifact::place::Fetched;

/// Levels and classes that are shown; there may be thousands.
const SHOWN: usize = 6;

pub(super) fn run(arguments: &InspectArguments) -> Result<ExitCode, CommandError> {
    let fetched = Fetched::of(&arguments.path)?;
    let described = Description::of(&fetched.path, &Trust::default());
    let described = described.map_err(|e| CommandError::Package(fetched.told(&e.to_string())))?;
    match arguments.form.output {
        Form::Json => print_json(&described)?,
        Form::Table => print(&page(&described)),
    }
    Ok(ExitCode::SUCCESS)
}

fn page(described: &Description) -> String {
    let features = format!("\nfeatures ({})\n", described.features.len());
    let mut sections = vec![table::aligned(&facts(described)), features, feature_table(&described.features)];
    if !described.files.is_empty() {
        let row = |path: &str, bytes: u64| vec![format!("  {path}"), size(bytes)];
        let files = described.files.iter().map(|file| row(&file.path, file.bytes));
        sections.push(format!("\nfiles ({})\n", described.files.len()));
        sections.push(table::aligned(&files.collect::<Vec<_>>()));
    }
    sections.concat()
}

/// What is told in one line each; what is not there is left out.
fn facts(described: &Description) -> Vec<Vec<String>> {
    let (package, target, model) = (&described.package, &described.target, &described.model);
    let check = |check: &Check| format!("{}: {}", word(check.state), check.detail);
    let metadata = package.metadata.iter().map(|(key, value)| format!("{key}={}", plain(value)));
    let rows = [
        ("id", package.id.clone()),
        ("name", package.name.clone()),
        ("version", package.version.clone()),
        ("created", package.created.clone()),
        ("description", package.description.clone()),
        ("container", described.container.to_owned()),
        ("kind", format!("{} ({})", model.kind, model.library)),
        ("task", format!("{} ({})", target.task, model.objective)),
        ("target", target.name.clone()),
        ("classes", list(&target.classes)),
        ("positive class", target.positive_class.as_ref().map(plain).unwrap_or_default()),
        ("threshold", target.threshold.map(|t| t.to_string()).unwrap_or_default()),
        ("trees", model.trees.to_string()),
        ("outputs", model.outputs.to_string()),
        ("model file", format!("{}, {}", model.path, size(model.bytes))),
        ("missing values", package.missing_values.join(", ")),
        ("metadata", metadata.collect::<Vec<_>>().join(", ")),
        ("checksums", check(&described.checksums)),
        ("signature", check(&described.signature)),
        ("samples", check(&described.samples)),
    ];
    let told = rows.into_iter().filter(|(_, value)| !value.is_empty());
    told.map(|(name, value)| vec![name.to_owned(), value]).collect()
}

fn feature_table(features: &[FeatureFacts]) -> String {
    let titles = ["  name", "dtype", "required", "nullable", "levels or range"];
    let mut rows = vec![titles.map(str::to_owned).to_vec()];
    for feature in features {
        let nullable = feature.nullable.map_or("", yes_or_no);
        rows.push(vec![
            format!("  {}", feature.name),
            feature.dtype.to_owned(),
            yes_or_no(feature.required).to_owned(),
            nullable.to_owned(),
            domain(feature),
        ]);
    }
    table::aligned(&rows)
}

fn yes_or_no(value: bool) -> &'static str {
    if value { "yes" } else { "no" }
}

/// The levels, or the range, of a feature.
fn domain(feature: &FeatureFacts) -> String {
    match (&feature.min, &feature.max) {
        _ if !feature.categories.is_empty() => {
            format!("{}: {}", feature.categories.len(), list(&feature.categories))
        }
        (Value::Null, Value::Null) => String::new(),
        (min, Value::Null) => format!("from {min}"),
        (Value::Null, max) => format!("to {max}"),
        (min, max) => format!("{min} to {max}"),
    }
}

fn list(values: &[Value]) -> String {
    let mut texts: Vec<String> = values.iter().take(SHOWN).map(plain).collect();
    if values.len() > SHOWN {
        texts.push("…".to_owned());
    }
    texts.join(", ")
}

/// A value without the quotes of JSON.
pub(crate) fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

pub(crate) fn size(bytes: u64) -> String {
    match bytes {
        0..10_000 => format!("{bytes} bytes"),
        10_000..10_000_000 => format!("{:.1} kB", bytes as f64 / 1e3),
        _ => format!("{:.1} MB", bytes as f64 / 1e6),
    }
}
