//! Makes a package of a model file and whatever else is known: training data, sample rows, names. Pure: texts in,
//! files out. What is not given is inferred, and each inference is told with where it comes from.

mod error;
mod inference;
mod rows;
mod table;
mod target;
mod training;

pub use error::CreateError;
pub use table::MOST_TRAINING_BYTES;

use portend_core::{Label, ModelId, Target};
use serde_json::{Map, Value};

use self::inference::Inference;
use self::table::{Column, Table};
use self::training::{spread, write_csv};
use super::manifest::{ModelEntry, value};
use super::write::{PackageFiles, add_checksums};
use super::{MANIFEST, Manifest, REQUIREMENTS, describe};
use crate::error::LoadError;
use crate::model::{Model, bare_target};
use crate::runtime::{self, Iterations, Kind, Output, Prepared};

/// Other words for a task that answers with numbers.
const NUMBERS: [&str; 3] = ["ranking", "quantile", "anomaly"];

/// The most rows that become background.
const BACKGROUND_ROWS: usize = 100;

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
    /// A list of Python packages to bring.
    pub requirements: Option<Source<'a>>,
    /// The target's name.
    pub target: Option<String>,
    /// The kind of prediction, in the manifest's word.
    pub task: Option<String>,
    /// The class labels, or the names of several numbers, in the order of the model's outputs, as text.
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
    let prepared = runtime::prepare(kind, recipe.model_name, recipe.model, Iterations::Default)?;
    let mut work = Work { recipe, findings: Vec::new() };
    let trees = prepared.runtime.width(Output::Leaf);
    work.found(
        "model",
        format!("{}, {}, {trees} trees", prepared.library, prepared.objective),
        "the model file",
    );
    let table = recipe.training.map(|training| Table::read(training.name, training.text)).transpose()?;
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
    if let Some(requirements) = recipe.requirements {
        files.insert(REQUIREMENTS.to_owned(), requirements.text.as_bytes().to_vec());
        work.found("requirements", "as they are".to_owned(), requirements.name);
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
        let own = bare_target("", prepared.task, &prepared.labels);
        manifest.task = self.task(&own, prepared)?;
        let target = recipe.target.as_deref().unwrap_or("target");
        let inference = Inference { kind, prepared, table, recipe, target };
        manifest.features = inference.features(&mut self.findings)?;
        manifest.target = self.target(&own, target, table)?;
        manifest.outputs = self.outputs(&own)?;
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
        let fits = |given: &str| given == found || found == "regression" && NUMBERS.contains(&given);
        if let Some(given) = given.filter(|given| !fits(given)) {
            let (given, objective) = (given.to_owned(), prepared.objective.clone());
            return Err(CreateError::Task { given, found, objective, outputs: own.width() });
        }
        let origin =
            given.map_or_else(|| format!("the model file's {}", prepared.objective), |_| "given".to_owned());
        let task = given.unwrap_or(found);
        self.found("task", task, origin);
        Ok(task.to_owned())
    }
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
fn cell(column: &Column, row: usize) -> String {
    column.cell(row).chars().take(40).collect()
}
