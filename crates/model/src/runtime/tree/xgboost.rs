//! Reads XGBoost models, JSON and UBJSON, as releases 1.0 to 3.x write them (boosters `gbtree` and `dart`).
//! The format follows XGBoost's published model schema; what is not read here is refused by its name.

use std::borrow::Cow;
use std::fmt;

use portend_core::Label;
use serde::{Deserialize, Deserializer, de};

use super::inputs::{CodeRule, Set};
use super::link::Link;
use super::lower::{Lowering, Missing, SourceNode};
use super::{Float, TreeRuntime, ubjson};
use crate::frame::Matching;
use crate::runtime::{ModelFeature, Prepared, Task};

#[derive(Deserialize)]
struct Document {
    #[serde(default)]
    version: Vec<u32>,
    learner: Learner,
}

#[derive(Deserialize)]
struct Learner {
    #[serde(default)]
    feature_names: Vec<String>,
    #[serde(default)]
    feature_types: Vec<String>,
    learner_model_param: LearnerParam,
    objective: Named,
    gradient_booster: Booster,
}

#[derive(Deserialize)]
struct Named {
    name: String,
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
    /// Of `gbtree`.
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
    trees: Vec<Tree>,
    tree_info: Vec<u32>,
    #[serde(default)]
    cats: Option<Categories>,
}

#[derive(Deserialize)]
struct Tree {
    left_children: Vec<i32>,
    right_children: Vec<i32>,
    split_indices: Vec<u32>,
    /// Threshold or leaf value; release 1.7 writes NaN (read as null) where a split is categorical.
    split_conditions: Vec<Option<f32>>,
    default_left: Vec<Flag>,
    #[serde(default)]
    split_type: Vec<u8>,
    #[serde(default)]
    categories: Vec<u32>,
    #[serde(default)]
    categories_nodes: Vec<u32>,
    #[serde(default)]
    categories_segments: Vec<u64>,
    #[serde(default)]
    categories_sizes: Vec<u64>,
    tree_param: TreeParam,
}

#[derive(Deserialize)]
struct TreeParam {
    #[serde(default)]
    size_leaf_vector: String,
}

/// The categories that releases from 3.1 on keep, per feature.
#[derive(Deserialize)]
struct Categories {
    #[serde(default)]
    enc: Vec<Encoding>,
}

/// Text levels are UTF-8 bytes cut at `offsets`; others are a list of numbers.
#[derive(Deserialize)]
struct Encoding {
    offsets: Option<Vec<usize>>,
    #[serde(default)]
    values: Vec<serde_json::Number>,
}

/// Releases before 2.0 write true and false, later ones 1 and 0.
struct Flag(bool);

impl<'de> Deserialize<'de> for Flag {
    fn deserialize<D: Deserializer<'de>>(source: D) -> Result<Self, D::Error> {
        source.deserialize_any(FlagVisitor)
    }
}

struct FlagVisitor;

impl de::Visitor<'_> for FlagVisitor {
    type Value = Flag;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("true, false, 0 or 1")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Flag, E> {
        Ok(Flag(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Flag, E> {
        Ok(Flag(value != 0))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Flag, E> {
        Ok(Flag(value != 0))
    }
}

/// How an objective turns margins into predictions, and `base_score` into a margin.
struct Objective {
    task: Task,
    link: Link,
    base_margin: fn(f32) -> f32,
}

/// Reads a model file's bytes; an error is a sentence about the model.
pub(crate) fn read(bytes: &[u8]) -> Result<Prepared, String> {
    let document = parse(bytes)?;
    let learner = &document.learner;
    let booster = &learner.gradient_booster;
    let model = match booster.name.as_str() {
        "gbtree" => booster.model.as_ref(),
        "dart" => booster.gbtree.as_ref().map(|inner| &inner.model),
        other => return Err(format!("booster '{other}' is not read yet")),
    };
    let model = model.ok_or("gradient_booster has no model")?;
    let param = &learner.learner_model_param;
    let classes = count("num_class", &param.num_class)?;
    let groups = classes.max(count("num_target", &param.num_target)?).max(1);
    let objective = objective(&learner.objective.name, classes, groups)?;
    let features = count("num_feature", &param.num_feature)?;
    let base = base_margins(&param.base_score, groups, objective.base_margin)?;
    let mut lowering = Lowering::new(checked_features(learner, features)?, CodeRule::SignFirst)?;
    if model.tree_info.len() != model.trees.len() {
        return Err(format!("{} trees but tree_info for {}", model.trees.len(), model.tree_info.len()));
    }
    if booster.name == "dart" && booster.weight_drop.len() != model.trees.len() {
        return Err(format!("{} trees but weight_drop for {}", model.trees.len(), booster.weight_drop.len()));
    }
    for (i, (tree, group)) in model.trees.iter().zip(&model.tree_info).enumerate() {
        let weight = booster.weight_drop.get(i).copied();
        if *group as usize >= groups {
            return Err(format!("tree {i}: tree_info gives it output {group}, the model has {groups}"));
        }
        add_tree(&mut lowering, tree, *group, weight).map_err(|reason| format!("tree {i}: {reason}"))?;
    }
    let version: Vec<_> = document.version.iter().map(u32::to_string).collect();
    Ok(Prepared {
        runtime: Box::new(TreeRuntime {
            ensemble: lowering.finish(base)?,
            link: objective.link,
            averaged: None,
        }),
        features: model_features(learner, model.cats.as_ref(), features)?,
        matching: if learner.feature_names.is_empty() { Matching::Position } else { Matching::Name },
        task: objective.task,
        objective: learner.objective.name.clone(),
        library: format!("xgboost {}", version.join(".")).trim_end().to_owned(),
    })
}

fn parse(bytes: &[u8]) -> Result<Document, String> {
    // JSON goes on with white space or a quote after the first brace, UBJSON with a length.
    let json =
        bytes.trim_ascii_start().get(1).is_some_and(|b| b.is_ascii_whitespace() || matches!(b, b'"' | b'}'));
    if json {
        serde_json::from_slice(&no_number_as_null(bytes))
            .map_err(|e| format!("not an XGBoost JSON model: {e}"))
    } else {
        ubjson::from_slice(bytes).map_err(|e| format!("not an XGBoost UBJSON model: {e}"))
    }
}

/// What XGBoost writes for numbers that JSON does not have.
const NO_NUMBERS: [&[u8]; 3] = [b"NaN", b"Infinity", b"-Infinity"];

/// The JSON of release 1.7 holds bare `NaN` words, and any release may write infinities into statistics:
/// they become `null`.
fn no_number_as_null(bytes: &[u8]) -> Cow<'_, [u8]> {
    if NO_NUMBERS.iter().all(|word| memchr::memmem::find(bytes, word).is_none()) {
        return Cow::Borrowed(bytes);
    }
    let mut json = Vec::with_capacity(bytes.len() + bytes.len() / 8);
    let (mut in_text, mut at) = (false, 0);
    while at < bytes.len() {
        let (taken, written): (usize, &[u8]) = match bytes[at] {
            b'\\' if in_text => (2, &bytes[at..bytes.len().min(at + 2)]),
            byte => {
                in_text ^= byte == b'"';
                let starts = |word: &&&[u8]| !in_text && bytes[at..].starts_with(word);
                let word =
                    if matches!(byte, b'N' | b'I' | b'-') { NO_NUMBERS.iter().find(starts) } else { None };
                word.map_or((1, &bytes[at..=at]), |word| (word.len(), b"null"))
            }
        };
        json.extend_from_slice(written);
        at += taken;
    }
    Cow::Owned(json)
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

/// More outputs than this are taken for damage: they bound the memory that a row's answer takes.
const MOST_OUTPUTS: usize = 1 << 16;

fn objective(name: &str, classes: usize, groups: usize) -> Result<Objective, String> {
    let logit: fn(f32) -> f32 = |p| -(1.0 / p - 1.0).ln();
    let (task, link, base_margin): (_, _, fn(f32) -> f32) = match name {
        "reg:squarederror"
        | "reg:linear"
        | "reg:squaredlogerror"
        | "reg:absoluteerror"
        | "reg:pseudohubererror" => (Task::Regression, Link::Identity, |b| b),
        "reg:logistic" => (Task::Regression, Link::Sigmoid, logit),
        "count:poisson" | "reg:gamma" | "reg:tweedie" => (Task::Regression, Link::Exp, f32::ln),
        "binary:logistic" => (Task::Binary, Link::Binary { scale: 1.0 }, logit),
        "multi:softprob" | "multi:softmax" => (Task::Multiclass(classes), Link::Softmax, |b| b),
        other => return Err(format!("objective '{other}' is not read yet")),
    };
    match (task, groups) {
        // checked before anything is as long as there are outputs
        (_, n) if n > MOST_OUTPUTS => {
            Err(format!("{n} outputs (num_class, num_target) are not read, at most {MOST_OUTPUTS} are"))
        }
        (Task::Multiclass(classes), n) if n > classes.max(1) => {
            Err(format!("'{name}' with {classes} classes and {n} outputs is not read"))
        }
        (Task::Multiclass(0 | 1), _) => Err(format!("objective '{name}' needs num_class of 2 or more")),
        (Task::Regression | Task::Binary, 2..) => {
            Err(format!("'{name}' with {groups} outputs is not read yet"))
        }
        _ => Ok(Objective { task, link, base_margin }),
    }
}

/// One number up to release 3.0, a list with one or `groups` numbers from 3.1 on.
fn base_margins(text: &str, groups: usize, margin: fn(f32) -> f32) -> Result<Vec<f32>, String> {
    let list = text.trim_start_matches('[').trim_end_matches(']').split(',');
    let scores: Result<Vec<f32>, _> = list.map(|s| s.trim().parse::<f32>()).collect();
    let margins: Vec<f32> = scores
        .map_err(|_| format!("base_score is '{text}', not a number"))?
        .into_iter()
        .map(margin)
        .collect();
    let finite = margins.iter().all(|m| m.is_finite());
    match margins.as_slice() {
        [one] if finite => Ok(vec![*one; groups]),
        all if finite && all.len() == groups => Ok(margins),
        _ => Err(format!("base_score '{text}' does not fit the objective and its {groups} outputs")),
    }
}

/// XGBoost's own limit for categories: codes are f32 and exact below it.
const CODE_LIMIT: u32 = 1 << 24;

/// `weight` is the factor of a `dart` tree's leaves.
fn add_tree(
    lowering: &mut Lowering<f32>,
    tree: &Tree,
    group: u32,
    weight: Option<f32>,
) -> Result<(), String> {
    let nodes = tree.left_children.len();
    let lengths = [
        tree.right_children.len(),
        tree.split_indices.len(),
        tree.split_conditions.len(),
        tree.default_left.len(),
    ];
    let types = tree.split_type.len(); // none before release 1.3
    if nodes == 0 || lengths.iter().any(|l| *l != nodes) || (types != 0 && types != nodes) {
        return Err(format!("its node lists have different lengths: {nodes}, {lengths:?}, {types}"));
    }
    // sets that share codes would let a small file ask for any amount of memory
    let sizes = tree.categories_sizes.iter().fold(0, |sum: u64, size| sum.saturating_add(*size));
    if sizes > tree.categories.len() as u64 {
        return Err(format!("categories_sizes sum up to {sizes} of {} categories", tree.categories.len()));
    }
    if let Some(code) = tree.categories.iter().find(|code| **code >= CODE_LIMIT) {
        return Err(format!("category {code} is not below {CODE_LIMIT}"));
    }
    if !matches!(tree.tree_param.size_leaf_vector.as_str(), "" | "0" | "1") {
        return Err("trees with several outputs (multi_output_tree) are not read yet".to_owned());
    }
    lowering.add_tree(group, nodes, |id| source_node(tree, id, weight))
}

fn source_node(tree: &Tree, id: u32, weight: Option<f32>) -> Result<SourceNode<f32>, String> {
    let n = id as usize;
    let condition = tree.split_conditions[n].unwrap_or(f32::NAN);
    if tree.left_children[n] == -1 {
        let value = weight.map_or(condition, |weight| weight * condition);
        return Ok(SourceNode::Leaf { value, id });
    }
    let child = |c: i32| u32::try_from(c).map_err(|_| format!("node {id} has child {c}"));
    let children = [child(tree.left_children[n])?, child(tree.right_children[n])?];
    let feature = tree.split_indices[n];
    let missing_right = !tree.default_left[n].0;
    match tree.split_type.get(n).copied().unwrap_or(0) {
        // x < t is x <= the value below t
        0 if condition.is_finite() => {
            let missing = Missing { right: missing_right, zero: false };
            Ok(SourceNode::Number { feature, threshold: condition.below(), missing, children })
        }
        0 => Err(format!("the threshold of node {id} is not a finite number")),
        1 => {
            let mut members = categories(tree, id)?.to_vec();
            members.sort_unstable();
            members.dedup();
            Ok(SourceNode::Category {
                feature,
                set: Set { members, members_right: true, missing_right },
                children,
            })
        }
        other => Err(format!("node {id} has the unknown split type {other}")),
    }
}

/// The categories of node `id`, which XGBoost lists by ascending node.
fn categories(tree: &Tree, id: u32) -> Result<&[u32], String> {
    let at = tree.categories_nodes.binary_search(&id);
    let range = at.ok().and_then(|at| {
        let start = usize::try_from(*tree.categories_segments.get(at)?).ok()?;
        let size = usize::try_from(*tree.categories_sizes.get(at)?).ok()?;
        Some(start..start.checked_add(size)?)
    });
    range
        .and_then(|range| tree.categories.get(range))
        .ok_or_else(|| format!("the categories of node {id} are missing"))
}

fn model_features(
    learner: &Learner,
    categories: Option<&Categories>,
    count: usize,
) -> Result<Vec<ModelFeature>, String> {
    (0..count)
        .map(|i| {
            let name = learner.feature_names.get(i).map_or_else(|| format!("f{i}").into(), Cow::from);
            let encoding = categories.and_then(|c| c.enc.get(i));
            let (levels, levels_lost) = match encoding.map(levels) {
                None => (Vec::new(), false),
                Some(Some(levels)) => (levels, false),
                Some(None) => (Vec::new(), true),
            };
            let categorical = learner.feature_types.get(i).is_some_and(|t| t == "c");
            Ok(ModelFeature { name: name.into_owned(), levels, levels_lost, categorical })
        })
        .collect()
}

/// The levels of a feature; None when they cannot be told. Releases 3.1 and 3.2 count characters where they cut
/// bytes, so that beyond ASCII the texts in the file are shifted and cut off.
fn levels(encoding: &Encoding) -> Option<Vec<Label>> {
    let Some(offsets) = &encoding.offsets else {
        return encoding.values.iter().map(number_label).collect();
    };
    let ascii = |v: &serde_json::Number| u8::try_from(v.as_i64()?).ok().filter(u8::is_ascii).map(char::from);
    let text: String = encoding.values.iter().map(ascii).collect::<Option<_>>()?;
    offsets.windows(2).map(|range| Some(Label::Text(text.get(range[0]..range[1])?.to_owned()))).collect()
}

fn number_label(number: &serde_json::Number) -> Option<Label> {
    match number.as_i64() {
        Some(integer) => Some(Label::Integer(integer)),
        None => number.as_f64().map(Label::Number),
    }
}
