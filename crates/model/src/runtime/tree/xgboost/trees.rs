//! XGBoost's trees, lowered into the flat ensemble.

use serde::Deserialize;

use super::count;
use super::json::Flag;
use crate::runtime::tree::Float;
use crate::runtime::tree::categories::{CodeRule, Codes, Set};
use crate::runtime::tree::ensemble::Ensemble;
use crate::runtime::tree::leaves::{LeafOutput, VectorLeaves};
use crate::runtime::tree::lower::{Lowering, Missing, SourceNode};

#[derive(Deserialize)]
pub(super) struct Tree {
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
    /// Of trees with several outputs, up to release 3.1: these many values for each node.
    #[serde(default)]
    base_weights: Vec<Option<f32>>,
    /// The same from release 3.2 on, for each leaf; its number is its right child.
    leaf_weights: Option<Vec<Option<f32>>>,
    tree_param: TreeParam,
}

#[derive(Deserialize)]
struct TreeParam {
    #[serde(default)]
    size_leaf_vector: String,
}

/// XGBoost's own limit for categories: codes are f32 and exact below it.
const CODE_LIMIT: u32 = 1 << 24;

/// The left child of a leaf.
const LEAF: i32 = -1;

/// Collects the trees of a model.
pub(super) struct Reader {
    lowering: Lowering<f32>,
    outputs: usize,
    trees: usize,
    vectors: Option<VectorLeaves<f32>>,
}

impl Reader {
    pub(super) fn new(features: usize, outputs: usize) -> Result<Self, String> {
        Ok(Self { lowering: Lowering::new(features, CodeRule::SignFirst)?, outputs, trees: 0, vectors: None })
    }

    /// Appends a tree. `weight` is the factor of a `dart` tree's leaves.
    pub(super) fn add(&mut self, tree: &Tree, group: u32, weight: Option<f32>) -> Result<(), String> {
        tree.check()?;
        let size = count("size_leaf_vector", &tree.tree_param.size_leaf_vector)?;
        self.trees += 1;
        if size > 1 {
            if self.trees > 1 && self.vectors.is_none() {
                return Err("its leaves have several values, those of the trees before one".to_owned());
            }
            if size != self.outputs {
                return Err(format!("its leaves have {size} values, the model {} outputs", self.outputs));
            }
            let vectors = self.vectors.get_or_insert_with(|| VectorLeaves::new(size));
            let (places, values) = tree.vectors();
            let weighed = |value: &Option<f32>| value.unwrap_or(f32::NAN) * weight.unwrap_or(1.0);
            vectors.add_tree(places, values.iter().map(weighed))?;
        } else if self.vectors.is_some() {
            return Err("its leaves have one value, those of the trees before several".to_owned());
        }
        if group as usize >= self.outputs {
            return Err(format!("tree_info gives it output {group}, the model has {}", self.outputs));
        }
        self.lowering.add_tree(group, tree.left_children.len(), |id| tree.source_node(id, weight, size > 1))
    }

    pub(super) fn finish(self, base: Vec<f32>) -> Result<(Ensemble<f32>, LeafOutput<f32>), String> {
        let leaves = self.vectors.map_or(LeafOutput::Own, LeafOutput::Vector);
        Ok((self.lowering.finish(base)?, leaves))
    }
}

impl Tree {
    /// True when a leaf has several values.
    pub(super) fn is_vector(&self) -> bool {
        !matches!(self.tree_param.size_leaf_vector.as_str(), "" | "0" | "1")
    }

    /// For each categorical split its feature and the greatest code that it names; none of a tree that is refused.
    pub(super) fn greatest_codes(&self) -> impl Iterator<Item = (u32, u32)> {
        let nodes = if self.check().is_ok() { self.categories_nodes.as_slice() } else { &[] };
        let splits = nodes.iter().zip(self.categories_segments.iter().zip(&self.categories_sizes));
        splits.filter_map(|(id, (start, size))| {
            let feature = self.split_indices.get(*id as usize)?;
            Some((*feature, *self.category_range(*start, *size)?.iter().max()?))
        })
    }

    fn category_range(&self, start: u64, size: u64) -> Option<&[u32]> {
        let (start, size) = (usize::try_from(start).ok()?, usize::try_from(size).ok()?);
        self.categories.get(start..start.checked_add(size)?)
    }

    /// Refuses lists of different lengths and sets of categories that overlap.
    fn check(&self) -> Result<(), String> {
        let nodes = self.left_children.len();
        let lengths = [
            self.right_children.len(),
            self.split_indices.len(),
            self.split_conditions.len(),
            self.default_left.len(),
        ];
        let types = self.split_type.len(); // none before release 1.3
        if nodes == 0 || lengths.iter().any(|l| *l != nodes) || (types != 0 && types != nodes) {
            return Err(format!("its node lists have different lengths: {nodes}, {lengths:?}, {types}"));
        }
        // sets that share codes would let a small file ask for any amount of memory
        let sizes = self.categories_sizes.iter().fold(0, |sum: u64, size| sum.saturating_add(*size));
        if sizes > self.categories.len() as u64 {
            return Err(format!(
                "categories_sizes sum up to {sizes} of {} categories",
                self.categories.len()
            ));
        }
        if let Some(code) = self.categories.iter().find(|code| **code >= CODE_LIMIT) {
            return Err(format!("category {code} is not below {CODE_LIMIT}"));
        }
        Ok(())
    }

    fn source_node(&self, id: u32, weight: Option<f32>, vector: bool) -> Result<SourceNode<f32>, String> {
        let n = id as usize;
        let condition = self.split_conditions[n].unwrap_or(f32::NAN);
        if self.left_children[n] == LEAF {
            let value = weight.map_or(condition, |weight| weight * condition);
            return Ok(SourceNode::Leaf { value: if vector { 0.0 } else { value }, id });
        }
        let child = |c: i32| u32::try_from(c).map_err(|_| format!("node {id} has child {c}"));
        let children = [child(self.left_children[n])?, child(self.right_children[n])?];
        let feature = self.split_indices[n];
        let missing_right = !self.default_left[n].0;
        match self.split_type.get(n).copied().unwrap_or(0) {
            // x < t is x <= the value below t
            0 if condition.is_finite() => {
                let missing = Missing { right: missing_right, zero: false };
                Ok(SourceNode::Number { feature, threshold: condition.below(), missing, children })
            }
            0 => Err(format!("the threshold of node {id} is not a finite number")),
            1 => {
                let members = Codes::of_list(self.categories(id)?);
                let set = Set { members, members_right: true, missing_right };
                Ok(SourceNode::Category { feature, set, children })
            }
            other => Err(format!("node {id} has the unknown split type {other}")),
        }
    }

    /// For a tree with several outputs: by node, the place of its values, and the values.
    fn vectors(&self) -> (impl Iterator<Item = u32>, &[Option<f32>]) {
        let by_leaf = self.leaf_weights.is_some();
        let place = move |(n, left): (usize, &i32)| match (*left == LEAF, by_leaf) {
            (false, _) => 0, // no row ends there
            (true, false) => n as u32,
            (true, true) => u32::try_from(self.right_children[n]).unwrap_or(u32::MAX),
        };
        let values = self.leaf_weights.as_ref().unwrap_or(&self.base_weights);
        (self.left_children.iter().enumerate().map(place), values)
    }

    /// The categories of node `id`, which XGBoost lists by ascending node.
    fn categories(&self, id: u32) -> Result<&[u32], String> {
        let at = self.categories_nodes.binary_search(&id);
        let codes = at.ok().and_then(|at| {
            self.category_range(*self.categories_segments.get(at)?, *self.categories_sizes.get(at)?)
        });
        codes.ok_or_else(|| format!("the categories of node {id} are missing"))
    }
}
