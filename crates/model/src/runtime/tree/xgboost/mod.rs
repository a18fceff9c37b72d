//! Reads XGBoost models, JSON and UBJSON, as releases 1.0 to 3.x write them.
//! The format follows XGBoost's published model schema; what is not read here is refused by its name.

mod features;
mod json;
mod objective;
mod trees;

use features::Categories;
use objective::Objective;
use portend_core::Label;
use serde::Deserialize;

use super::{TreeRuntime, ubjson};
use crate::frame::Matching;
use crate::runtime::linear::LinearRuntime;
use crate::runtime::missing::MissingNumber;
use crate::runtime::{Iterations, LevelLists, Prepared, Rounds, Runtime, Task, label};

#[derive(Deserialize)]
struct Document {
    #[serde(default)]
    version: Vec<u32>,
    learner: Learner,
}

#[derive(Deserialize)]
struct Learner {
    #[serde(default)]
    attributes: Attributes,
    #[serde(default)]
    feature_names: Vec<String>,
    #[serde(default)]
    feature_types: Vec<String>,
    learner_model_param: LearnerParam,
    objective: ObjectiveEntry,
    gradient_booster: Booster,
}

/// The attributes that change what a model predicts; users may set others.
#[derive(Default, Deserialize)]
struct Attributes {
    best_iteration: Option<String>,
    scikit_learn: Option<String>,
}

#[derive(Deserialize)]
struct ObjectiveEntry {
    name: String,
    quantile_loss_param: Option<QuantileParam>,
}

#[derive(Deserialize)]
struct QuantileParam {
    quantile_alpha: String,
}

/// Numbers are written as texts here.
#[derive(Deserialize)]
struct LearnerParam {
    base_score: String,
    #[serde(default)]
    num_class: String,
    num_feature: String,
    #[serde(default)]
    num_target: String,
}

#[derive(Deserialize)]
struct Booster {
    name: String,
    /// Of `gbtree` and `gblinear`.
    model: Option<Model>,
    /// Of `dart`, with the factor of each tree beside it.
    gbtree: Option<Inner>,
    #[serde(default)]
    weight_drop: Vec<f32>,
}

#[derive(Deserialize)]
struct Inner {
    model: Model,
}

#[derive(Deserialize)]
struct Model {
    #[serde(default)]
    trees: Vec<trees::Tree>,
    #[serde(default)]
    tree_info: Vec<u32>,
    /// The number of trees before each iteration; releases before 2.0 do not write it.
    #[serde(default)]
    iteration_indptr: Vec<usize>,
    gbtree_model_param: Option<TreesParam>,
    cats: Option<Categories>,
    /// Of `gblinear`; NaN (read as null) where its training diverged.
    weights: Option<Vec<Option<f32>>>,
    boosted_rounds: Option<u64>,
}

#[derive(Deserialize)]
struct TreesParam {
    #[serde(default)]
    num_parallel_tree: String,
}

/// Reads a model file's bytes; an error is a sentence about the model.
pub(crate) fn read(bytes: &[u8], iterations: Iterations) -> Result<Prepared, String> {
    let document = parse(bytes)?;
    let learner = &document.learner;
    let param = &learner.learner_model_param;
    let name = &learner.objective.name;
    let objective = Objective::new(name, &param.num_class, &param.num_target)?;
    let features = checked_features(learner, count("num_feature", &param.num_feature)?)?;
    let base = objective.base_margins(&param.base_score)?;
    let booster = &learner.gradient_booster;
    let (runtime, rounds, model): (Box<dyn Runtime>, _, _) = match booster.name.as_str() {
        "gblinear" => {
            let known = booster
                .model
                .as_ref()
                .and_then(|model| Some((model.weights.as_ref()?, model.boosted_rounds)));
            let (weights, rounds) = known.ok_or("gradient_booster has no weights")?;
            (Box::new(LinearRuntime::new(features, weights, rounds, &base, objective.link)?), None, None)
        }
        "gbtree" | "dart" => {
            let inner = booster.gbtree.as_ref().map(|inner| &inner.model);
            let model = if booster.name == "dart" { inner } else { booster.model.as_ref() };
            let model = model.ok_or("gradient_booster has no model")?;
            let (rounds, trees) = model.rounds(learner, iterations, objective.outputs)?;
            let runtime = booster.trees(model, trees, features, base, &objective)?;
            (Box::new(runtime), Some(rounds), Some(model))
        }
        other => return Err(format!("booster '{other}' is not read yet")),
    };
    let wrapper = learner.wrapper()?;
    let runtime = match wrapper.missing.as_f64() {
        Some(number) => Box::new(MissingNumber { inner: runtime, number: number as f32 }),
        None => runtime,
    };
    let version: Vec<_> = document.version.iter().map(u32::to_string).collect();
    Ok(Prepared {
        runtime,
        features: features::model_features(learner, model, features)?,
        level_lists: LevelLists::default(),
        matching: if learner.feature_names.is_empty() { Matching::Position } else { Matching::Name },
        task: objective.task,
        labels: learner.labels(&objective, wrapper)?,
        objective: name.clone(),
        library: format!("xgboost {}", version.join(".")).trim_end().to_owned(),
        rounds,
    })
}

impl Learner {
    /// The labels of outputs: the quantiles, or what the scikit-learn wrapper of older releases wrote, else as counted.
    fn labels(&self, objective: &Objective, wrapper: Wrapper) -> Result<Vec<Label>, String> {
        let counted = objective.labels();
        let quantiles = self.objective.quantile_loss_param.as_ref();
        let known = match quantiles.filter(|_| self.objective.name == "reg:quantileerror") {
            Some(param) => Some(objective.quantiles(&param.quantile_alpha)?),
            None => wrapper.classes()?,
        };
        match known {
            Some(known) if known.len() == counted.len() => Ok(known),
            Some(known) if matches!(objective.task, Task::Binary | Task::Multiclass) => {
                let (found, expected) = (known.len(), counted.len());
                Err(format!("attribute scikit_learn: {found} classes where the model has {expected}"))
            }
            _ => Ok(counted),
        }
    }

    fn wrapper(&self) -> Result<Wrapper, String> {
        let Some(text) = &self.attributes.scikit_learn else { return Ok(Wrapper::default()) };
        // Python writes `NaN` into it for the value that stands for missing
        serde_json::from_slice(&json::no_number_as_null(text.as_bytes()))
            .map_err(|e| format!("attribute scikit_learn: {e}"))
    }

    /// The iterations up to the best one of early stopping, of `all` that there are; None when the file names none.
    fn best_iterations(&self, all: usize) -> Result<Option<usize>, String> {
        let Some(text) = &self.attributes.best_iteration else { return Ok(None) };
        match text.parse::<usize>() {
            Ok(best) if best < all => Ok(Some(best + 1)),
            _ => Err(format!("best_iteration is '{text}' where the model has {all} iterations")),
        }
    }
}

/// What the scikit-learn classes write into a file; most of it before release 2.0 only.
#[derive(Default, Deserialize)]
struct Wrapper {
    /// The number that they take for missing beside NaN.
    #[serde(default)]
    missing: serde_json::Value,
    #[serde(rename = "_le")]
    encoder: Option<Encoder>,
}

#[derive(Deserialize)]
struct Encoder {
    classes_: Vec<serde_json::Value>,
}

impl Wrapper {
    fn classes(self) -> Result<Option<Vec<Label>>, String> {
        let known = |value: serde_json::Value| {
            let text = value.to_string();
            label(value).ok_or_else(|| format!("attribute scikit_learn: {text} is not a class"))
        };
        self.encoder.map(|encoder| encoder.classes_.into_iter().map(known).collect()).transpose()
    }
}

impl Model {
    /// How many iterations are used of those that the file has, and the trees that these have.
    fn rounds(
        &self,
        learner: &Learner,
        asked: Iterations,
        outputs: usize,
    ) -> Result<(Rounds, usize), String> {
        let indptr = &self.iteration_indptr;
        let trees = self.trees.len();
        let cuts = indptr.is_sorted() && indptr.first() == Some(&0) && indptr.last() == Some(&trees);
        if !indptr.is_empty() && !cuts {
            return Err(format!("iteration_indptr does not cut {trees} trees into iterations"));
        }
        let parallel = match &self.gbtree_model_param {
            Some(param) => count("num_parallel_tree", &param.num_parallel_tree)?.max(1),
            None => 1,
        };
        let vector = self.trees.first().is_some_and(trees::Tree::is_vector);
        let each = if vector { parallel } else { parallel.saturating_mul(outputs) };
        let of = if indptr.is_empty() { trees.div_ceil(each) } else { indptr.len() - 1 };
        // `Booster.predict` takes all iterations, the scikit-learn wrapper none after the best one
        let wrapped = learner.attributes.scikit_learn.is_some();
        let used = match asked {
            Iterations::Default if wrapped => learner.best_iterations(of)?.unwrap_or(of),
            Iterations::Best => learner.best_iterations(of)?.ok_or("the file names no best iteration")?,
            Iterations::Default | Iterations::All => of,
            Iterations::First(count) => count,
        };
        let used = used.min(of);
        let trees = if indptr.is_empty() { trees.min(used.saturating_mul(each)) } else { indptr[used] };
        Ok((Rounds { used, of }, trees))
    }
}

impl Booster {
    /// The runtime of the first `count` trees.
    fn trees(
        &self,
        model: &Model,
        count: usize,
        features: usize,
        base: Vec<f32>,
        objective: &Objective,
    ) -> Result<TreeRuntime<f32>, String> {
        let trees = model.trees.len();
        if model.tree_info.len() != trees {
            return Err(format!("{trees} trees but tree_info for {}", model.tree_info.len()));
        }
        if self.name == "dart" && self.weight_drop.len() != trees {
            return Err(format!("{trees} trees but weight_drop for {}", self.weight_drop.len()));
        }
        let mut reader = trees::Reader::new(features, objective.outputs)?;
        for (i, (tree, group)) in model.trees.iter().zip(&model.tree_info).enumerate().take(count) {
            let weight = self.weight_drop.get(i).copied();
            reader.add(tree, *group, weight).map_err(|reason| format!("tree {i}: {reason}"))?;
        }
        let (ensemble, leaves) = reader.finish(base)?;
        Ok(TreeRuntime { ensemble, leaves, link: objective.link, averaged: None })
    }
}

fn parse(bytes: &[u8]) -> Result<Document, String> {
    // JSON goes on with white space or a quote after the first brace, UBJSON with a length.
    let is_json =
        bytes.trim_ascii_start().get(1).is_some_and(|b| b.is_ascii_whitespace() || matches!(b, b'"' | b'}'));
    if is_json {
        serde_json::from_slice(&json::no_number_as_null(bytes))
            .map_err(|e| format!("not an XGBoost JSON model: {e}"))
    } else {
        ubjson::from_slice(bytes).map_err(|e| format!("not an XGBoost UBJSON model: {e}"))
    }
}

fn count(name: &str, text: &str) -> Result<usize, String> {
    match text {
        "" => Ok(0),
        _ => text.parse::<u32>().map(|n| n as usize).map_err(|_| format!("{name} is '{text}', not a number")),
    }
}

/// The number of features, after a check that it is one that the file can back: it bounds memory.
fn checked_features(learner: &Learner, features: usize) -> Result<usize, String> {
    let named = learner.feature_names.len();
    if named > 0 && named != features {
        return Err(format!("num_feature is {features} but {named} features are named"));
    }
    if features == 0 || features > 1 << 20 {
        return Err(format!("num_feature is {features}: from 1 to 1048576 features are read"));
    }
    Ok(features)
}
