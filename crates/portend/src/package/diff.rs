//! `portend package diff`: what differs between two packages. Exit codes are those of `diff`: 0 the same, 1 different,
//! 2 one of them cannot be read.

use std::path::Path;
use std::process::ExitCode;

use portend_model::LoadError;
use portend_model::package::{Change, Comparison, Description, Trust};
use serde_json::Value;

use super::arguments::{DiffArguments, Form};
use super::inspect::plain;
use super::{print, print_json, table};
use crate::CommandError;
use crate::artifact::place::Fetched;

pub(super) fn run(arguments: &DiffArguments) -> Result<ExitCode, CommandError> {
    let found = Comparison::of(&describe(&arguments.a)?, &describe(&arguments.b)?);
    match arguments.form.output {
        Form::Json => print_json(&found)?,
        Form::Table => print(&page(&found)),
    }
    Ok(ExitCode::from(u8::from(!found.same)))
}

fn describe(path: &Path) -> Result<Description, CommandError> {
    let fetched = Fetched::of(path).map_err(|e| CommandError::Incomparable(e.to_string()))?;
    let told = |error: LoadError| CommandError::Incomparable(fetched.told(&error.to_string()));
    Description::of(&fetched.path, &Trust::default()).map_err(told)
}

fn page(found: &Comparison) -> String {
    if found.same {
        return "nothing differs\n".to_owned();
    }
    let mut rows: Vec<Vec<String>> = Vec::new();
    let mut add = |area: &str, what: &str, change: String| {
        rows.push(vec![area.to_owned(), what.to_owned(), change]);
    };
    found.manifest.iter().for_each(|c| add("manifest", &c.field, arrow(c)));
    found.features.added.iter().for_each(|name| add("feature", name, "added".to_owned()));
    found.features.removed.iter().for_each(|name| add("feature", name, "removed".to_owned()));
    for feature in &found.features.changed {
        let changes = feature.changes.iter().map(|c| format!("{} {}", c.field, arrow(c)));
        add("feature", &feature.name, changes.collect::<Vec<_>>().join("; "));
    }
    if found.features_reordered {
        add("feature", "order", "the same features in another order".to_owned());
    }
    add("model", "bytes", if found.model_same_bytes { "the same" } else { "different" }.to_owned());
    found.model.iter().for_each(|c| add("model", &c.field, arrow(c)));
    found.files.added.iter().for_each(|path| add("file", path, "added".to_owned()));
    found.files.removed.iter().for_each(|path| add("file", path, "removed".to_owned()));
    found.files.changed.iter().for_each(|path| add("file", path, "changed".to_owned()));
    table::aligned(&rows)
}

fn arrow(change: &Change) -> String {
    format!("{} -> {}", side(&change.a), side(&change.b))
}

fn side(value: &Value) -> String {
    let text = if value.is_null() { "nothing".to_owned() } else { plain(value) };
    let shown: String = text.chars().take(80).collect();
    if shown.len() < text.len() { format!("{shown}…") } else { shown }
}
