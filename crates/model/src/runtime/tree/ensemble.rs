//! The one flat representation of tree ensembles, for both ways of walking it (see `kernel`).
//!
//! Every split is `value of slot > threshold`: true takes the right child, false the left. Slots are the model's
//! inputs made ready for that question (see `inputs`): NaN compares false and so goes left; a split that
//! sends NaN right asks the mirrored question of the mirrored slot; membership in a set of categories is a slot of
//! its own. So there is one kind of node, no branch for missing values, and nothing to check per step.
//!
//! The two children of a node lie next to each other. A leaf is a node that no walk leaves: it asks slot 0, which
//! holds minus infinity and so is greater than nothing, and its child is itself. A walk may therefore
//! take more steps than the path is long, and the leaf's value has the place of the threshold.
//!
//! Shallow trees with few thresholds stand here a second time, in bytes (see `ranks`).

use super::Float;
use super::inputs::Slots;
use super::kernel;
use super::ranks::RankedTrees;

/// A split or a leaf.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub(super) struct Node<T> {
    /// What the slot is compared with; the value of a leaf.
    pub(super) threshold: T,
    /// Offset of the slot in a group of rows: slot number times [`LANES`].
    pub(super) slot: u32,
    /// The left child; the right one follows it.
    pub(super) child: u32,
}

/// Rows that are walked side by side; a slot holds as many values.
pub(super) const LANES: usize = 8;

/// The slot that leaves ask. Nothing is ever written to it.
pub(super) const LEAF_SLOT: u32 = 0;

/// One tree.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tree {
    /// Its root.
    pub(super) root: u32,
    /// Steps that reach every leaf.
    pub(super) depth: u32,
    /// The output that its leaf values are added to.
    pub(super) group: u32,
}

/// A node with its leaf data while an ensemble is put together.
#[derive(Debug, Clone, Copy)]
pub(super) struct Draft<T> {
    pub(super) node: Node<T>,
    /// The library's index of a leaf.
    pub(super) leaf: u32,
}

/// Trees in the order in which the library sums them, nodes of all of them in one array. Its fields are private
/// and checked once, in [`Ensemble::new`]: the kernel relies on every index being in range.
#[derive(Debug)]
pub(super) struct Ensemble<T> {
    slots: Slots<T>,
    nodes: Vec<Node<T>>,
    leaves: Vec<u32>,
    trees: Vec<Tree>,
    base: Vec<T>,
    steps: usize,
    ranked: Option<RankedTrees<T>>,
}

impl<T: Float> Ensemble<T> {
    /// Puts an ensemble together; `base` has one start value per output group.
    /// An index that is out of range, or no output group, is an error.
    pub(super) fn new(
        slots: Slots<T>,
        drafts: &[Draft<T>],
        trees: Vec<Tree>,
        base: Vec<T>,
    ) -> Result<Self, String> {
        let (count, width) = (drafts.len(), slots.len() * LANES);
        // With the padding below, the node after any child exists as well: whatever the slots hold, even a leaf's
        // step stays inside.
        let node_fits =
            |d: &Draft<T>| (d.node.child as usize) < count && d.node.slot as usize + LANES <= width;
        if !drafts.iter().all(node_fits) {
            return Err("a node refers to a node or feature that does not exist".to_owned());
        }
        if base.is_empty() {
            return Err("the model has no outputs".to_owned());
        }
        if !trees.iter().all(|t| (t.root as usize) < count && (t.group as usize) < base.len()) {
            return Err("a tree has no nodes or adds to an output that does not exist".to_owned());
        }
        let padding = Node { threshold: T::ZERO, slot: LEAF_SLOT, child: 0 };
        let nodes: Vec<_> = drafts.iter().map(|d| d.node).chain([padding]).collect();
        let ranked = match kernel::walks_ranks() {
            true => RankedTrees::new(&nodes, &trees, slots.len()),
            false => None,
        };
        Ok(Self {
            ranked,
            slots,
            nodes,
            leaves: drafts.iter().map(|d| d.leaf).collect(),
            steps: trees.iter().map(|t| t.depth as usize).sum(),
            trees,
            base,
        })
    }

    pub(super) fn slots(&self) -> &Slots<T> {
        &self.slots
    }

    pub(super) fn trees(&self) -> &[Tree] {
        &self.trees
    }

    /// All nodes; children, and slots against [`Ensemble::slots`], are in range.
    pub(super) fn nodes(&self) -> &[Node<T>] {
        &self.nodes
    }

    /// The value of a leaf.
    pub(super) fn value(&self, leaf: usize) -> T {
        self.nodes[leaf].threshold
    }

    /// The same trees in bytes, where they can be and the processor can walk them.
    pub(super) fn ranked(&self) -> Option<&RankedTrees<T>> {
        self.ranked.as_ref()
    }

    /// The library's leaf indices, by node.
    pub(super) fn leaves(&self) -> &[u32] {
        &self.leaves
    }

    /// The sums of `rows` rows before any tree, row after row.
    pub(super) fn start_sums(&self, rows: usize) -> Vec<T> {
        self.base.iter().copied().cycle().take(rows * self.groups()).collect()
    }

    /// The number of output groups.
    pub(super) fn groups(&self) -> usize {
        self.base.len()
    }

    /// The bytes that it holds.
    pub(super) fn memory(&self) -> usize {
        size_of_val(&*self.nodes)
            + size_of_val(&*self.leaves)
            + size_of_val(&*self.trees)
            + size_of_val(&*self.base)
            + self.slots.memory()
    }

    /// Steps that a row takes at most.
    pub(super) fn steps(&self) -> usize {
        self.steps
    }
}
