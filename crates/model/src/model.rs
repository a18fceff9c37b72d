//! A loaded model: package, schema and runtime joined, checked against each other and against the package's own
//! sample rows. The one way from a path to predictions.

use std::borrow::Cow;
use std::collections::HashMap;
use std::ops::Range;
use std::path::Path;

use portend_core::{Dtype, Feature, Label, Target, TargetKind};

use crate::error::{DataError, LoadError};
use crate::frame::csv::HeaderLine;
use crate::frame::{
    Columns, Frame, Inputs, Keep, Matching, Precision, array, csv, json, parquet, underscored,
};
use crate::package::{Manifest, Package, Trust, shortened, twice};
use crate::predictions::Predictions;
use crate::runtime::{self, LevelLists, ModelFeature, Output, Prepared, Rounds, Runtime, Task};

/// A model that is ready to score; shared by all threads.
pub struct Model {
    /// What it predicts.
    pub target: Target,
    /// The columns it reads.
    pub inputs: Inputs,
    /// The same columns with their types.
    pub features: Vec<Feature>,
    /// The manifest's id; empty for a bare file.
    pub id: String,
    /// The manifest's version; empty for a bare file.
    pub version: String,
    /// The library that trained it, with the version or format version that its file names.
    pub library: String,
    /// The objective in the library's words.
    pub objective: String,
    /// The boosting iterations that are used, for models that have any.
    pub rounds: Option<Rounds>,
    /// How many sample rows it was checked against.
    pub samples: usize,
    /// The first of them as the runtime reads it, a number for each feature: NaN is missing, levels are their codes.
    pub sample: Vec<f64>,
    /// What is wrong with the package's signature where that is a warning only.
    pub warning: Option<String>,
    /// SHA-256 in hexadecimal: of a package's `checksums.txt`, which stands for all of it, else of the file.
    pub digest: String,
    runtime: Box<dyn Runtime>,
}

impl std::fmt::Debug for Model {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Model")
            .field("target", &self.target)
            .field("library", &self.library)
            .finish_non_exhaustive()
    }
}

impl Model {
    /// Loads a package or bare model file and scores its samples. `default_target` names the target of a
    /// bare model file.
    pub fn load(path: &Path, default_target: &str) -> Result<Self, LoadError> {
        Self::load_trusted(path, default_target, &Trust::default())
    }

    /// The same for a package that must also be signed as `trust` demands.
    pub fn load_trusted(path: &Path, default_target: &str, trust: &Trust) -> Result<Self, LoadError> {
        let (mut package, warning) = Package::open_trusted(path, trust)?;
        let mut model = Self::unchecked(&mut package, default_target)?;
        (model.samples, model.sample) = model.check_samples(&mut package)?;
        model.warning = warning;
        Ok(model)
    }

    /// The model of a package, without a look at its samples.
    pub(crate) fn unchecked(package: &mut Package, default_target: &str) -> Result<Self, LoadError> {
        let (kind, file, bytes) = package.read_model()?;
        let iterations = package.manifest().map(Manifest::iterations).transpose();
        let iterations = iterations.map_err(|reason| package.bad(&reason))?.unwrap_or_default();
        let prepared = runtime::prepare(kind, &file, &bytes, iterations).map_err(|e| match e {
            LoadError::BadModel { file, reason } => LoadError::BadModel { file, reason: shortened(&reason) },
            other => other,
        })?;
        let digest = package.digest(&bytes)?;
        drop(bytes);
        let mut model = Self::join(package.manifest(), prepared, default_target)
            .map_err(|reason| package.bad(&reason))?;
        model.digest = digest;
        Ok(model)
    }

    /// What a manifest, if there is one, and a model file say together.
    pub(crate) fn join(
        manifest: Option<&Manifest>,
        prepared: Prepared,
        default_target: &str,
    ) -> Result<Self, String> {
        let target = match manifest {
            Some(manifest) => manifest.target(prepared.task, &prepared.labels)?,
            None => bare_target(default_target, prepared.task, &prepared.labels),
        };
        let described = manifest.map(|m| m.features()).transpose()?.unwrap_or_default();
        let matching = if described.is_empty() { prepared.matching } else { Matching::Name };
        let features = join_features(described, &prepared)?;
        let missing_words = manifest.map(|m| m.missing_values.clone()).unwrap_or_default();
        Ok(Self {
            target,
            inputs: Inputs::new(&features, prepared.runtime.precision(), matching, missing_words),
            features,
            id: manifest.map(|m| m.id.clone()).unwrap_or_default(),
            version: manifest.map(|m| m.version.clone()).unwrap_or_default(),
            library: prepared.library,
            objective: prepared.objective,
            rounds: prepared.rounds,
            samples: 0,
            sample: Vec::new(),
            warning: None,
            digest: String::new(),
            runtime: prepared.runtime,
        })
    }

    /// Decodes CSV into at most `parts` frames; see [`csv::decode`].
    pub fn decode_csv(&self, text: &str, keep: &Keep, parts: usize) -> Result<Vec<Frame>, DataError> {
        csv::decode(text, &self.inputs, keep, parts)
    }

    /// The same for CSV that may have no header line.
    pub fn decode_csv_with(
        &self,
        text: &str,
        header: HeaderLine,
        keep: &Keep,
        parts: usize,
    ) -> Result<Vec<Frame>, DataError> {
        csv::decode_with(text, header, &self.inputs, keep, parts)
    }

    /// Decodes JSON records; see [`json::decode`].
    pub fn decode_json(&self, text: &str, keep: &Keep) -> Result<Frame, DataError> {
        json::decode(text, &self.inputs, keep)
    }

    /// Decodes a JSON list of rows that are lists; see [`array::decode_rows`].
    pub fn decode_rows(&self, json: &str, names: Option<&[&str]>) -> Result<Frame, DataError> {
        array::decode_rows(json, &self.inputs, names)
    }

    /// Decodes a Parquet file; see [`parquet::decode`].
    pub fn decode_parquet(&self, file: &[u8], limit: usize) -> Result<Frame, DataError> {
        parquet::decode(file, &self.inputs, limit)
    }

    /// A frame for `rows` rows of typed values, to be written by the caller.
    pub fn columns(&self, rows: usize) -> Result<Columns<'_>, DataError> {
        Columns::new(&self.inputs, rows)
    }

    /// Predicts rows of a frame that this model decoded: per row one value for regression, else one
    /// probability per label in the order of the target's labels.
    pub fn predict(&self, frame: &Frame, rows: Range<usize>) -> Predictions {
        self.runtime.score(frame, rows, Output::Prediction)
    }

    /// Any output of the runtime for rows of a frame that this model decoded.
    pub fn score(&self, frame: &Frame, rows: Range<usize>, output: Output) -> Predictions {
        self.runtime.score(frame, rows, output)
    }

    /// Several outputs of the runtime at once, in the order of `outputs`.
    pub fn score_all(&self, frame: &Frame, rows: Range<usize>, outputs: &[Output]) -> Vec<Predictions> {
        self.runtime.score_all(frame, rows, outputs)
    }

    /// Values per row for an output; as many leaves as trees.
    pub fn width(&self, output: Output) -> usize {
        self.runtime.width(output)
    }

    /// About how many nanoseconds a row takes on one core.
    pub fn row_cost(&self) -> f64 {
        self.runtime.row_cost()
    }

    /// About how many bytes it holds in memory: its runtime, and its features with their levels.
    pub fn memory(&self) -> usize {
        let text = |label: &Label| if let Label::Text(text) = label { text.len() } else { 0 };
        let levels = |feature: &Feature| -> usize {
            feature.levels.iter().map(|label| size_of::<Label>() + text(label)).sum()
        };
        let feature = |feature: &Feature| size_of::<Feature>() + feature.name.len() + levels(feature);
        // once as they are told, once as inputs, once as the index of names and levels
        self.runtime.memory() + 3 * self.features.iter().map(feature).sum::<usize>()
    }

    /// Scores the package's samples, if it has any, and gives their number and the first of them.
    pub(crate) fn check_samples(&self, package: &mut Package) -> Result<(usize, Vec<f64>), LoadError> {
        let bad =
            |package: &Package, file: &str, e: &dyn std::fmt::Display| package.bad(&format!("{file}: {e}"));
        let frame = if let Some(text) = package.read_text("samples/input.csv")? {
            let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
            let frames = self.decode_csv(text, &Keep::None, 1);
            frames.map_err(|e| bad(package, "samples/input.csv", &e))?.remove(0)
        } else if let Some(text) = package.read_text("samples/input.json")? {
            self.decode_json(&text, &Keep::None).map_err(|e| bad(package, "samples/input.json", &e))?
        } else {
            return Ok((0, Vec::new()));
        };
        let output = package.read_text("samples/output.json")?;
        let output = output.ok_or_else(|| package.bad("samples/output.json is missing"))?;
        let expected: SampleOutput =
            serde_json::from_str(&output).map_err(|e| bad(package, "samples/output.json", &e))?;
        if expected.predictions.len() != frame.rows() {
            return Err(package.bad("samples/output.json has another number of rows than the sample input"));
        }
        // before they are computed: the rows of many outputs take far more memory than those of the input
        let width = self.runtime.width(Output::Prediction);
        if let Some(row) = expected.predictions.iter().position(|row| row.len() != width) {
            let listed = expected.predictions[row].len();
            let reason = format!("row {row} has {listed} values, the model gives {width}");
            return Err(bad(package, "samples/output.json", &reason));
        }
        let found = self.predict(&frame, 0..frame.rows());
        for (row, (expected, found)) in expected.predictions.into_iter().zip(found.rows()).enumerate() {
            if !agree(&expected, found, self.runtime.precision()) {
                return Err(LoadError::SampleDiffers {
                    path: package.path().to_owned(),
                    row,
                    expected,
                    found: found.to_vec(),
                });
            }
        }
        Ok((frame.rows(), frame.row(0)))
    }
}

/// `samples/output.json`: per row the values of [`Model::predict`].
#[derive(serde::Deserialize)]
struct SampleOutput {
    predictions: Vec<Vec<f64>>,
}

/// Rows of one length: equal within 1e-6 relative, or within a few units of rounding near one for the probability 1 - p.
fn agree(expected: &[f64], found: &[f64], precision: Precision) -> bool {
    let rounding = if precision == Precision::Single { 2e-7 } else { 1e-12 };
    let close = |(a, b): (&f64, &f64)| a == b || (a - b).abs() <= 1e-6 * a.abs().max(b.abs()) + rounding;
    expected.iter().zip(found).all(close)
}

/// The target of a model file that nobody describes.
pub(crate) fn bare_target(name: &str, task: Task, labels: &[Label]) -> Target {
    let kind = match (task, labels) {
        (Task::Binary, [zero, one]) => {
            TargetKind::Binary { labels: [zero.clone(), one.clone()], positive: 1, threshold: 0.5 }
        }
        (Task::Regression | Task::Binary, _) => TargetKind::Regression,
        (Task::MultiRegression, names) => TargetKind::MultiRegression { names: names.to_vec() },
        (Task::Multiclass, labels) => TargetKind::Multiclass { labels: labels.to_vec() },
        (Task::Multilabel, labels) => TargetKind::Multilabel { labels: labels.to_vec(), threshold: 0.5 },
    };
    Target { name: name.to_owned(), kind }
}

/// The features in the model's order: what the manifest says of each, completed by what the model file knows.
fn join_features(described: Vec<Feature>, prepared: &Prepared) -> Result<Vec<Feature>, String> {
    if let Some(i) = twice(prepared.features.iter().map(|f| &f.name)) {
        return Err(format!("the model file names two features '{}'", prepared.features[i].name));
    }
    if described.is_empty() {
        settle_levels(&[], prepared)?;
        return prepared.features.iter().map(|f| complete(Feature::number(f.name.clone()), f)).collect();
    }
    if let Some(i) = twice(described.iter().map(|f| &f.name)) {
        return Err(format!("feature '{}' is described twice", described[i].name));
    }
    if prepared.matching == Matching::Position {
        let (described_count, count) = (described.len(), prepared.features.len());
        if described_count != count {
            return Err(format!("{described_count} features are described, the model has {count}"));
        }
        let known = settle_levels(&described.iter().collect::<Vec<_>>(), prepared)?;
        return described.into_iter().zip(known.iter()).map(|(d, f)| complete(d, f)).collect();
    }
    let mut by_name: HashMap<String, &Feature> = HashMap::new();
    if prepared.matching == Matching::NameUnderscored {
        by_name.extend(described.iter().map(|d| (underscored(&d.name), d)));
    }
    by_name.extend(described.iter().map(|d| (d.name.clone(), d))); // a name as it is goes before one so changed
    let find = |feature: &ModelFeature| {
        let found = by_name.get(&feature.name).copied();
        found.ok_or_else(|| format!("the model's feature '{}' is not described", feature.name))
    };
    let described = prepared.features.iter().map(find).collect::<Result<Vec<&Feature>, _>>()?;
    let known = settle_levels(&described, prepared)?;
    described.into_iter().zip(known.iter()).map(|(d, f)| complete(d.clone(), f)).collect()
}

/// What the model file knows of its features. Lists of levels whose columns the file does not tell for sure are given to
/// columns by the manifest, if that has the same lists in the same order and no others; else by the file, as far as that
/// is certain and the manifest says nothing else.
fn settle_levels<'p>(
    described: &[&Feature],
    prepared: &'p Prepared,
) -> Result<Cow<'p, [ModelFeature]>, String> {
    let LevelLists { lists, certain } = &prepared.level_lists;
    if lists.is_empty() {
        return Ok(Cow::Borrowed(&prepared.features));
    }
    let given: Vec<&Vec<Label>> =
        described.iter().map(|d| &d.levels).filter(|levels| !levels.is_empty()).collect();
    let same = |(given, list): (&&Vec<Label>, &Vec<Label>)| same_levels(given, list);
    if given.len() == lists.len() && given.iter().zip(lists).all(same) {
        return Ok(Cow::Owned(without_levels(&prepared.features)));
    }
    let as_in_file =
        |(d, f): (&&Feature, &ModelFeature)| d.levels.is_empty() || same_levels(&d.levels, &f.levels);
    let unknown = match (*certain, described.iter().zip(&prepared.features).find(|pair| !as_in_file(*pair))) {
        (true, None) => return Ok(Cow::Borrowed(&prepared.features)),
        (true, Some((feature, _))) => format!("which are not those that '{}' was given", feature.name),
        (false, _) => "and does not tell their columns".to_owned(),
    };
    let shown: Vec<String> = lists.iter().take(3).map(|list| list_start(list)).collect();
    let more = if lists.len() > shown.len() { "; …" } else { "" };
    Err(format!(
        "the model file has {} lists of levels {unknown} ({}{more}): give each to its column, in this order and to no \
         other column, as `categories` in portend.json, or with `package create --levels FEATURE=…`",
        lists.len(),
        shown.join("; "),
    ))
}

/// The features without what the model file says of their levels.
pub(crate) fn without_levels(features: &[ModelFeature]) -> Vec<ModelFeature> {
    features.iter().map(|feature| ModelFeature { levels: Vec::new(), ..feature.clone() }).collect()
}

fn list_start(levels: &[Label]) -> String {
    let start: Vec<String> =
        levels.iter().take(4).map(|l| portend_core::shortened(&l.to_string()).into_owned()).collect();
    format!("{}{}", start.join(", "), if levels.len() > start.len() { ", …" } else { "" })
}

fn complete(mut described: Feature, known: &ModelFeature) -> Result<Feature, String> {
    if described.levels.is_empty() {
        described.levels.clone_from(&known.levels);
    } else if !known.levels.is_empty() && !same_levels(&described.levels, &known.levels) {
        return Err(format!(
            "feature '{}': its categories are not those of the model file, which go without saying: {}",
            described.name,
            list_start(&known.levels)
        ));
    }
    if described.levels.is_empty() && known.levels_lost {
        return Err(format!(
            "feature '{}': the levels in the model file are cut off beyond ASCII (a fault of XGBoost 3.1 and 3.2); \
             list them in a package's portend.json",
            described.name
        ));
    }
    if described.levels.is_empty() && described.dtype == Dtype::String {
        return Err(format!(
            "feature '{}': neither manifest nor model file lists its levels",
            described.name
        ));
    }
    if described.dtype.is_numeric() && !described.levels.is_empty() {
        described.dtype = Dtype::Category;
    }
    Ok(described)
}

/// The same levels in the same order; 1 and 1.0 are the same.
pub(crate) fn same_levels(a: &[Label], b: &[Label]) -> bool {
    let number = |label: &Label| match label {
        Label::Integer(value) => Some(*value as f64),
        Label::Number(value) => Some(*value),
        _ => None,
    };
    let same = |(a, b): (&Label, &Label)| a == b || (number(a).is_some() && number(a) == number(b));
    a.len() == b.len() && a.iter().zip(b).all(same)
}
