//! Reads LightGBM text models as releases 3.x and 4.x write them: `key=value` lines, a block per tree, then
//! parameters. The rules of a split follow LightGBM's documentation and source; what is not read is refused.

use std::collections::HashMap;
use std::str::FromStr;

use portend_core::Label;

use super::TreeRuntime;
use super::categories::{CodeRule, Codes, Set};
use super::inputs::ZERO_BOUND;
use super::leaves::{LeafOutput, LinearLeaves};
use super::lower::{Lowering, Missing, SourceNode};
use crate::frame::Matching;
use crate::runtime::link::Link;
use crate::runtime::{Iterations, LevelLists, ModelFeature, Prepared, Rounds, Task, label};

/// The `key=value` lines of the header or of a tree block.
struct Block<'t> {
    lines: HashMap<&'t str, &'t str>,
}

impl<'t> Block<'t> {
    /// Takes lines up to an empty one or one that starts another block. A key that comes twice is an error.
    fn read(lines: &mut std::iter::Peekable<std::str::Lines<'t>>) -> Result<Self, String> {
        let mut block = HashMap::new();
        while let Some(line) = lines.next_if(|l| !l.starts_with("Tree=") && *l != "end of trees") {
            let (key, value) = line.split_once('=').unwrap_or((line, ""));
            if !line.is_empty() && block.insert(key, value).is_some() {
                return Err(format!("'{key}' occurs twice"));
            }
        }
        Ok(Self { lines: block })
    }

    fn get(&self, key: &str) -> Option<&'t str> {
        self.lines.get(key).copied()
    }

    fn need(&self, key: &str) -> Result<&'t str, String> {
        self.get(key).ok_or_else(|| format!("'{key}' is missing"))
    }

    fn number<N: FromStr>(&self, key: &str) -> Result<N, String> {
        let text = self.need(key)?;
        text.trim().parse().map_err(|_| format!("{key}={text} is not a number that fits"))
    }

    /// A list of exactly `count` numbers; none when the key is missing and `count` is 0.
    fn list<N: FromStr>(&self, key: &str, count: usize) -> Result<Vec<N>, String> {
        let text = if count == 0 { self.get(key).unwrap_or("") } else { self.need(key)? };
        let list: Result<Vec<N>, _> = text.split_ascii_whitespace().map(str::parse).collect();
        let list = list.map_err(|_| format!("{key} holds something that is not a number"))?;
        if list.len() != count {
            return Err(format!("{key} has {} values where {count} belong", list.len()));
        }
        Ok(list)
    }
}

/// Reads a model file's bytes; an error is a sentence about the model.
pub(crate) fn read(bytes: &[u8], iterations: Iterations) -> Result<Prepared, String> {
    let text = std::str::from_utf8(bytes).map_err(|_| "the file is not UTF-8 text".to_owned())?;
    let mut lines = text.lines().peekable();
    if !text.trim_ascii_start().starts_with("tree") {
        return Err("not a LightGBM text model: it does not start with the line 'tree'".to_owned());
    }
    let header = Block::read(&mut lines)?;
    let classes: usize = header.number("num_class")?;
    let groups: u32 = header.number("num_tree_per_iteration")?;
    let (task, link) = objective(header.get("objective"), classes, groups)?;
    let names = feature_names(&header)?;
    let most = match iterations {
        Iterations::Default | Iterations::All => u32::MAX,
        Iterations::Best => return Err("the file names no best iteration: it holds no later ones".to_owned()),
        Iterations::First(count) => u32::try_from(count).unwrap_or(u32::MAX).saturating_mul(groups),
    };
    let linear = memchr::memmem::find(bytes, b"\nis_linear=1").is_some();
    let mut ensemble = Trees::new(names.len(), linear)?;
    let mut trees = 0;
    while let Some(start) = lines.next_if(|l| l.starts_with("Tree=")) {
        if start.trim_end() != format!("Tree={trees}") {
            return Err(format!("{start} stands where Tree={trees} belongs"));
        }
        let add = |block: Block<'_>| if trees < most { ensemble.add(&block, trees % groups) } else { Ok(()) };
        Block::read(&mut lines).and_then(add).map_err(|reason| format!("{start}: {reason}"))?;
        trees += 1;
    }
    if lines.next() != Some("end of trees") {
        return Err("the file ends before 'end of trees': it is cut off".to_owned());
    }
    let sizes = header.get("tree_sizes").map(|sizes| sizes.split_ascii_whitespace().count());
    if sizes.is_some_and(|sizes| sizes != trees as usize) {
        return Err(format!("{trees} trees where tree_sizes lists {}", sizes.unwrap_or(0)));
    }
    if trees % groups != 0 {
        return Err(format!("{trees} trees are no whole number of iterations of {groups} trees each"));
    }
    let tail = Tail::read(lines)?;
    // names that LightGBM made up when it was given none
    let made_up =
        names.iter().enumerate().all(|(i, name)| name.strip_prefix("Column_") == Some(&i.to_string()));
    let ensemble_trees = trees.min(most);
    // a forest's prediction is of the mean over iterations, its raw score the sum
    let averaged = header.get("average_output").map(|_| f64::from((ensemble_trees / groups).max(1)));
    let rounds = Rounds { used: (ensemble_trees / groups) as usize, of: (trees / groups) as usize };
    let width = if task == Task::Regression { 0 } else { link.width(groups as usize) };
    let (features, level_lists) = tail.features(&header, names)?;
    Ok(Prepared {
        runtime: Box::new(ensemble.finish(groups as usize, link, averaged)?),
        features,
        level_lists,
        matching: if made_up { Matching::Position } else { Matching::NameUnderscored },
        task,
        labels: (0..width as i64).map(Label::Integer).collect(),
        rounds: Some(rounds),
        objective: header.get("objective").unwrap_or("custom").to_owned(),
        library: format!("lightgbm {}", header.get("version").unwrap_or("")).trim_end().to_owned(),
    })
}

/// Task and output transform for an objective line: a name and `key:value` words.
fn objective(line: Option<&str>, classes: usize, groups: u32) -> Result<(Task, Link), String> {
    let line = line.unwrap_or("custom");
    let mut words = line.split_ascii_whitespace();
    let name = words.next().unwrap_or_default();
    let words: Vec<_> = words.collect();
    let scale = words.iter().find_map(|w| w.strip_prefix("sigmoid:")).unwrap_or("1");
    let scale = scale.parse().ok().filter(|scale: &f64| scale.is_finite());
    let scale = scale.ok_or_else(|| format!("objective '{line}' has a bad sigmoid"))?;
    let told = words.iter().find_map(|w| w.strip_prefix("num_class:"));
    if told.is_some_and(|told| told.parse() != Ok(classes)) {
        return Err(format!("objective '{line}' does not agree with num_class={classes}"));
    }
    let (task, link) = match name {
        "regression" | "regression_l1" | "fair" | "quantile" | "mape" if words.contains(&"sqrt") => {
            (Task::Regression, Link::SignedSquare)
        }
        // a word that changes what is predicted
        _ if words.iter().any(|word| !word.contains(':')) => {
            return Err(format!("objective '{line}' is not read yet"));
        }
        "regression" | "regression_l1" | "huber" | "fair" | "quantile" | "mape" | "lambdarank"
        | "rank_xendcg" => (Task::Regression, Link::Identity),
        // an objective of the user's own: what it means is not in the file
        "custom" if classes > 1 => (Task::MultiRegression, Link::Identity),
        "custom" => (Task::Regression, Link::Identity),
        "poisson" | "gamma" | "tweedie" => (Task::Regression, Link::Exp),
        "cross_entropy" => (Task::Regression, Link::Sigmoid),
        "cross_entropy_lambda" => (Task::Regression, Link::LogExp),
        "binary" => (Task::Binary, Link::Binary { scale }),
        "multiclass" => (Task::Multiclass, Link::Softmax),
        "multiclassova" => (Task::Multiclass, Link::OneVsAll { scale }),
        other => return Err(format!("objective '{other}' is not read yet")),
    };
    let several = matches!(task, Task::Multiclass | Task::MultiRegression);
    let expected = if several { 2..=1 << 16 } else { 1..=1 };
    if groups as usize != classes || !expected.contains(&classes) {
        return Err(format!(
            "objective '{line}' with {classes} classes and {groups} trees an iteration is not read"
        ));
    }
    Ok((task, link))
}

/// LightGBM reads every cell within its bound of zero as zero: a threshold there has all of them on one side.
fn beside_zero(threshold: f64) -> f64 {
    match threshold {
        t if t.is_nan() || t.abs() > ZERO_BOUND => t,
        t if t >= 0.0 => ZERO_BOUND,
        _ => (-ZERO_BOUND).next_down(),
    }
}

fn feature_names<'t>(header: &Block<'t>) -> Result<Vec<&'t str>, String> {
    let count = header.number::<usize>("max_feature_idx")?.saturating_add(1);
    let names: Vec<_> = header.need("feature_names")?.split(' ').collect();
    if names.len() != count {
        return Err(format!("{count} features but {} feature_names", names.len()));
    }
    Ok(names)
}

/// Words of 32 codes in one set of categories.
const MOST_WORDS: usize = 1 << 22;

/// The fields of a tree block that predictions need.
struct Tree {
    split_feature: Vec<u32>,
    threshold: Vec<f64>,
    decision_type: Vec<u8>,
    children: Vec<[i32; 2]>,
    leaf_value: Vec<f64>,
    cat_boundaries: Vec<usize>,
    cat_threshold: Vec<u32>,
}

impl Tree {
    fn read(block: &Block<'_>) -> Result<Self, String> {
        let leaves: usize = block.number("num_leaves")?;
        let splits = leaves.checked_sub(1).ok_or("it has no leaves")?;
        let categorical: usize = block.number("num_cat")?;
        let boundaries = if categorical == 0 { 0 } else { categorical.saturating_add(1) };
        let cat_boundaries: Vec<usize> = block.list("cat_boundaries", boundaries)?;
        if !cat_boundaries.is_sorted() {
            return Err("cat_boundaries do not ascend".to_owned());
        }
        let left: Vec<i32> = block.list("left_child", splits)?;
        let right: Vec<i32> = block.list("right_child", splits)?;
        let tree = Self {
            split_feature: block.list("split_feature", splits)?,
            threshold: block.list("threshold", splits)?,
            decision_type: match block.get("decision_type") {
                Some(_) => block.list("decision_type", splits)?,
                None => vec![0; splits],
            },
            children: left.into_iter().zip(right).map(|(l, r)| [l, r]).collect(),
            leaf_value: block.list("leaf_value", leaves)?,
            cat_threshold: block.list("cat_threshold", cat_boundaries.last().copied().unwrap_or(0))?,
            cat_boundaries,
        };
        tree.check_sets(categorical)?;
        Ok(tree)
    }

    /// Each set belongs to one split: sets that are shared would let a small file ask for any amount of memory.
    fn check_sets(&self, count: usize) -> Result<(), String> {
        let mut used = vec![false; count];
        for (n, at) in self.threshold.iter().enumerate().filter(|(n, _)| self.decision_type[*n] & 1 == 1) {
            match used.get_mut(*at as usize).filter(|_| *at >= 0.0 && at.fract() == 0.0) {
                None => return Err(format!("split {n} asks for set {at} of {count} sets of categories")),
                Some(true) => return Err(format!("two splits ask for set {at} of categories")),
                Some(used) => *used = true,
            }
        }
        Ok(())
    }

    /// Splits come first, then leaves: a child c < 0 is leaf -c-1.
    fn id(&self, child: i32) -> u32 {
        if child >= 0 { child as u32 } else { (self.children.len() as u32).wrapping_add(!child as u32) }
    }

    fn source_node(&self, id: u32) -> Result<SourceNode<f64>, String> {
        let n = id as usize;
        let Some(leaf) = n.checked_sub(self.children.len()) else {
            return self.split(n);
        };
        Ok(SourceNode::Leaf { value: self.leaf_value[leaf], id: leaf as u32 })
    }

    fn split(&self, n: usize) -> Result<SourceNode<f64>, String> {
        let [left, right] = self.children[n];
        let exists = |c: i32| match usize::try_from(c) {
            Ok(split) => split < self.children.len(),
            Err(_) => (!c as usize) < self.leaf_value.len(),
        };
        if !exists(left) || !exists(right) {
            return Err(format!("split {n} has a child that does not exist"));
        }
        let children = [self.id(left), self.id(right)];
        let feature = self.split_feature[n];
        let decision = self.decision_type[n];
        if decision & 1 == 1 {
            let set = Set { members: self.members(n)?, members_right: false, missing_right: true };
            return Ok(SourceNode::Category { feature, set, children });
        }
        let threshold = beside_zero(self.threshold[n]);
        if threshold.is_nan() {
            return Err(format!("the threshold of split {n} is not a number"));
        }
        let default_right = decision & 2 == 0;
        let missing = match decision >> 2 & 3 {
            // NaN is read as zero
            0 => Missing { right: threshold < 0.0, zero: false },
            1 => Missing { right: default_right, zero: true },
            2 => Missing { right: default_right, zero: false },
            _ => return Err(format!("split {n} has an unknown missing type")),
        };
        Ok(SourceNode::Number { feature, threshold, missing, children })
    }

    /// The set bits of the words that belong to split `n`.
    fn members(&self, n: usize) -> Result<Codes, String> {
        let at = self.threshold[n] as usize;
        let bounds = self.cat_boundaries.get(at).zip(self.cat_boundaries.get(at + 1));
        let words = bounds.and_then(|(start, end)| self.cat_threshold.get(*start..*end));
        let words = words.ok_or_else(|| format!("the categories of split {n} are missing"))?;
        if words.len() > MOST_WORDS {
            return Err(format!("split {n} has categories beyond {}", MOST_WORDS * 32));
        }
        Ok(Codes::of_bits(words))
    }
}

/// Collects the trees of a model.
struct Trees {
    features: usize,
    lowering: Lowering<f64>,
    /// For models of which some tree has linear leaves.
    linear: Option<LinearLeaves<f64>>,
}

impl Trees {
    fn new(features: usize, linear: bool) -> Result<Self, String> {
        let lowering = Lowering::new(features, CodeRule::CutFirst)?;
        Ok(Self { features, lowering, linear: linear.then(LinearLeaves::new) })
    }

    fn add(&mut self, block: &Block<'_>, group: u32) -> Result<(), String> {
        let tree = Tree::read(block)?;
        self.add_leaves(block, &tree)?;
        let count = tree.children.len() + tree.leaf_value.len();
        self.lowering.add_tree(group, count, |id| tree.source_node(id))
    }

    /// Adds the linear functions of a tree's leaves; a leaf without one is its value.
    fn add_leaves(&mut self, block: &Block<'_>, tree: &Tree) -> Result<(), String> {
        let Some(linear) = &mut self.linear else { return Ok(()) };
        linear.add_tree();
        if block.get("is_linear").is_none_or(|value| value.trim() != "1") {
            tree.leaf_value.iter().for_each(|value| linear.add_leaf(*value, std::iter::empty(), *value));
            return Ok(());
        }
        let leaves = tree.leaf_value.len();
        // LightGBM writes, and computes with, factors that are not finite where its fit found none
        let constants: Vec<f64> = block.list("leaf_const", leaves)?;
        let counts: Vec<usize> = block.list("num_features", leaves)?;
        let all = counts.iter().fold(0, |sum: usize, count| sum.saturating_add(*count));
        let columns: Vec<u32> = block.list("leaf_features", all)?;
        let factors: Vec<f64> = block.list("leaf_coeff", all)?;
        if let Some(column) = columns.iter().find(|column| **column as usize >= self.features) {
            return Err(format!("a leaf asks for feature {column}, the model has {}", self.features));
        }
        let mut terms = columns.into_iter().zip(factors);
        for ((constant, count), value) in constants.into_iter().zip(counts).zip(&tree.leaf_value) {
            linear.add_leaf(constant, terms.by_ref().take(count), *value);
        }
        Ok(())
    }

    fn finish(self, groups: usize, link: Link, averaged: Option<f64>) -> Result<TreeRuntime<f64>, String> {
        let ensemble = self.lowering.finish(vec![0.0; groups])?;
        let leaves = self.linear.map_or(LeafOutput::Own, LeafOutput::Linear);
        Ok(TreeRuntime { ensemble, leaves, link, averaged })
    }
}

/// What follows the trees: which columns are categorical and the levels of pandas columns.
#[derive(Default)]
struct Tail {
    /// From the line `[categorical_feature: …]`; None without one.
    categorical: Option<Vec<usize>>,
    levels: Vec<Vec<Label>>,
}

impl Tail {
    fn read<'t>(lines: impl Iterator<Item = &'t str>) -> Result<Self, String> {
        let mut tail = Self::default();
        let mut in_parameters = false;
        for line in lines {
            if let Some(list) = line.strip_prefix("[categorical_feature:") {
                let list = list.trim_end_matches(']').split(',').map(str::trim).filter(|w| !w.is_empty());
                tail.categorical = list.map(|w| w.parse().ok()).collect();
            } else if line == "parameters:" || line == "end of parameters" {
                in_parameters = line == "parameters:";
            } else if let Some(json) = line.strip_prefix("pandas_categorical:") {
                tail.levels = pandas_levels(json)?;
            }
        }
        if in_parameters {
            return Err("the file ends before 'end of parameters': it is cut off".to_owned());
        }
        Ok(tail)
    }

    /// The features, and the lists of pandas levels. These belong to the columns of pandas' category type in order,
    /// which are those that splits take as categories unless the user chose others, or their levels are ordered. The
    /// file does not tell, so it is certain only if no other column looks like the codes of a list.
    fn features(
        self,
        header: &Block<'_>,
        names: Vec<&str>,
    ) -> Result<(Vec<ModelFeature>, LevelLists), String> {
        let columns = self.categorical.unwrap_or_else(|| categorical_columns(header));
        let infos: Vec<_> = header.get("feature_infos").unwrap_or_default().split(' ').collect();
        let others = || infos.iter().enumerate().filter(|(i, _)| !columns.contains(i)).map(|(_, info)| *info);
        let looks_like =
            |list: &Vec<Label>| are_other_numbers(list) && others().any(|info| holds_codes(info, list.len()));
        let certain = columns.len() == self.levels.len() && !self.levels.iter().any(looks_like);
        let lists = self.levels.clone();
        let mut features: Vec<ModelFeature> = names
            .into_iter()
            .map(|name| ModelFeature { name: name.to_owned(), ..Default::default() })
            .collect();
        let mut levels = self.levels.into_iter().filter(|_| certain);
        for column in columns {
            let feature =
                features.get_mut(column).ok_or(format!("categorical column {column} does not exist"))?;
            feature.categorical = true;
            feature.levels = levels.next().unwrap_or_default();
        }
        Ok((features, LevelLists { lists, certain }))
    }
}

/// Numbers that are not their own codes: given to a wrong column they would be read as others, without a word. Text in a
/// column of numbers is refused, and what is its own code (0, 1, …; false, true) means the same in any column.
fn are_other_numbers(levels: &[Label]) -> bool {
    let number = |label: &Label| match label {
        Label::Text(_) => None,
        Label::Integer(value) => Some(*value as f64),
        Label::Number(value) => Some(*value),
        Label::Bool(value) => Some(f64::from(u8::from(*value))),
    };
    let numbers: Option<Vec<f64>> = levels.iter().map(number).collect();
    numbers.is_some_and(|numbers| numbers.iter().enumerate().any(|(code, value)| *value != code as f64))
}

/// Whether a range of values, `[min:max]`, is that of the codes of `count` levels.
fn holds_codes(info: &str, count: usize) -> bool {
    info == format!("[0:{}]", count.saturating_sub(1))
}

/// The columns whose value range is a list of codes (`a:b:c`) rather than `[min:max]`.
fn categorical_columns(header: &Block<'_>) -> Vec<usize> {
    let infos = header.get("feature_infos").unwrap_or("none").split(' ').enumerate();
    infos.filter(|(_, info)| !info.starts_with('[') && *info != "none").map(|(i, _)| i).collect()
}

fn pandas_levels(json: &str) -> Result<Vec<Vec<Label>>, String> {
    let lists: Option<Vec<Vec<serde_json::Value>>> =
        serde_json::from_str(json).map_err(|e| format!("pandas_categorical is not a list of lists: {e}"))?;
    let known = |value: serde_json::Value| {
        let text = value.to_string();
        label(value).ok_or_else(|| format!("pandas_categorical holds {text}, which is no level"))
    };
    lists.unwrap_or_default().into_iter().map(|list| list.into_iter().map(known).collect()).collect()
}
