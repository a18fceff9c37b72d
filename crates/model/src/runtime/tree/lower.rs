//! Lowers trees as the libraries write them into the flat ensemble: near nodes near each other, unreachable ones dropped,
//! every rule about missing values and categories turned into a slot and a comparison.

use std::collections::{HashMap, VecDeque};

use super::Float;
use super::categories::{CodeRule, MEMBERSHIP_WORDS, Membership, Set};
use super::ensemble::{Draft, Ensemble, LANES, LEAF_SLOT, Node, Tree};
use super::inputs::{Form, SlotKind, Slots};

/// A node as a reader gives it.
#[derive(Debug, Clone)]
pub(super) enum SourceNode<T> {
    /// A leaf with its value and the library's index of it.
    Leaf { value: T, id: u32 },
    /// Left if and only if the value is at most `threshold`, which is not NaN.
    Number { feature: u32, threshold: T, missing: Missing, children: [u32; 2] },
    /// Left or right by membership of the code.
    Category { feature: u32, set: Set, children: [u32; 2] },
}

/// Where a numeric split sends what is missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Missing {
    /// NaN goes right.
    pub(super) right: bool,
    /// Zero is missing, too.
    pub(super) zero: bool,
}

/// The most nodes that all trees together may have: offsets are 32 bits.
const MOST_NODES: usize = u32::MAX as usize / 2;

/// Two children whose place is not chosen yet.
struct Pair {
    parent: usize,
    ids: [u32; 2],
    level: u32,
}

/// Nodes are laid down in blocks of a pair and the pairs below it, this many levels in all: a walk then finds its
/// next nodes in the cache line that it has, or in the one after.
const BLOCK_LEVELS: usize = 2;

/// Collects trees and the slots that they need.
pub(super) struct Lowering<T> {
    features: u32,
    rule: CodeRule,
    plain: HashMap<(u32, SlotKind), u32>,
    /// Which of its feature's sets each one is. Held once only: sets may be most of a file.
    sets: HashMap<(u32, Set), u32>,
    /// The number of sets by feature.
    set_counts: Vec<u32>,
    drafts: Vec<Draft<T>>,
    /// Where a set split stands and which set of which feature it asks: its slot is known at the end only.
    set_nodes: Vec<(usize, u32, u32)>,
    trees: Vec<Tree>,
}

impl<T: Float> Lowering<T> {
    pub(super) fn new(features: usize, rule: CodeRule) -> Result<Self, String> {
        Ok(Self {
            features: u32::try_from(features).map_err(|_| "too many features".to_owned())?,
            rule,
            plain: HashMap::new(),
            sets: HashMap::new(),
            set_counts: vec![0; features],
            drafts: Vec::new(),
            set_nodes: Vec::new(),
            trees: Vec::new(),
        })
    }

    /// Appends a tree whose root is `source(0)`; `count` is the number of its nodes. A child out of range, a node
    /// reached twice (a cycle or a shared child), an unknown feature and a leaf value that is not finite are errors.
    pub(super) fn add_tree(
        &mut self,
        group: u32,
        count: usize,
        mut source: impl FnMut(u32) -> Result<SourceNode<T>, String>,
    ) -> Result<(), String> {
        let root = self.drafts.len();
        let mut reached = vec![false; count];
        let mut depth = 0;
        visit(&mut reached, 0)?;
        self.push_nodes(1)?;
        let children = self.place(root, source(0)?)?;
        let mut waiting = VecDeque::from_iter(children.map(|ids| Pair { parent: root, ids, level: 1 }));
        while let Some(top) = waiting.pop_front() {
            let mut block = vec![top];
            for _ in 0..BLOCK_LEVELS {
                let mut below = Vec::new();
                for pair in block {
                    depth = depth.max(pair.level);
                    let first = self.push_nodes(2)?;
                    self.drafts[pair.parent].node.child = first as u32;
                    for (at, id) in (first..).zip(pair.ids) {
                        visit(&mut reached, id)?;
                        let children = self.place(at, source(id)?)?;
                        below.extend(children.map(|ids| Pair { parent: at, ids, level: pair.level + 1 }));
                    }
                }
                block = below;
            }
            waiting.extend(block);
        }
        self.trees.push(Tree { root: root as u32, depth, group });
        Ok(())
    }

    /// Makes room for nodes; gives the place of the first.
    fn push_nodes(&mut self, count: usize) -> Result<usize, String> {
        let first = self.drafts.len();
        if first + count > MOST_NODES {
            return Err("too many nodes".to_owned());
        }
        let node = Node { threshold: T::ZERO, slot: LEAF_SLOT, child: 0 };
        self.drafts.extend(std::iter::repeat_n(Draft { node, leaf: 0 }, count));
        Ok(first)
    }

    /// Writes node `at`, all but the place of its children; gives these in their final order.
    fn place(&mut self, at: usize, node: SourceNode<T>) -> Result<Option<[u32; 2]>, String> {
        let (slot, threshold, children) = match node {
            SourceNode::Leaf { value, id } => {
                if !value.to_f64().is_finite() {
                    return Err(format!("the value of leaf {id} is not a finite number"));
                }
                let node = Node { threshold: value, slot: LEAF_SLOT, child: at as u32 };
                self.drafts[at] = Draft { node, leaf: id };
                return Ok(None);
            }
            SourceNode::Number { feature, threshold, missing, children: [left, right] } => {
                let form = match (missing.right, threshold == T::INFINITY) {
                    (false, _) => Form::Plain,
                    (true, false) => Form::Mirrored,
                    (true, true) => Form::Present,
                };
                let slot = self.plain_slot(feature, SlotKind { form, zero_is_missing: missing.zero })?;
                match form {
                    Form::Plain => (slot, threshold, [left, right]),
                    // left iff x <= t, that is -x >= -t, that is -x > the value below -t; NaN stays on this side
                    Form::Mirrored => (slot, (-threshold).below(), [right, left]),
                    Form::Present => (slot, T::from_f64(0.5), [right, left]),
                }
            }
            SourceNode::Category { feature, set, children } => {
                let set = self.set(feature, set)?;
                self.set_nodes.push((at, feature, set));
                (0, T::from_f64(0.5), children)
            }
        };
        self.drafts[at].node = Node { threshold, slot, child: 0 };
        Ok(Some(children))
    }

    fn plain_slot(&mut self, feature: u32, kind: SlotKind) -> Result<u32, String> {
        self.check_feature(feature)?;
        let next = self.plain.len() as u32 + 1; // after the slot of leaves
        Ok(*self.plain.entry((feature, kind)).or_insert(next) * LANES as u32)
    }

    fn set(&mut self, feature: u32, set: Set) -> Result<u32, String> {
        self.check_feature(feature)?;
        let count = &mut self.set_counts[feature as usize];
        Ok(*self.sets.entry((feature, set)).or_insert_with(|| {
            *count += 1;
            *count - 1
        }))
    }

    fn check_feature(&self, feature: u32) -> Result<(), String> {
        if feature < self.features {
            return Ok(());
        }
        Err(format!("a split asks for feature {feature}, the model has {}", self.features))
    }

    /// The ensemble, with one start value per output group.
    pub(super) fn finish(mut self, base: Vec<T>) -> Result<Ensemble<T>, String> {
        let mut plain: Vec<_> = self.plain.into_iter().map(|(slot, at)| (at, slot)).collect();
        plain.sort_unstable_by_key(|(at, _)| *at);
        let mut first = plain.len() as u32 + 1;
        let mut memberships = Vec::new();
        let mut words_left = MEMBERSHIP_WORDS;
        let mut first_slots = vec![0; self.set_counts.len()];
        let mut sets: Vec<_> = self.sets.into_iter().map(|((feature, set), at)| (feature, at, set)).collect();
        sets.sort_unstable_by_key(|(feature, at, _)| (*feature, *at));
        for sets in sets.chunk_by(|a, b| a.0 == b.0) {
            let feature = sets[0].0;
            let sets: Vec<&Set> = sets.iter().map(|(_, _, set)| set).collect();
            memberships.push(Membership::new(feature, self.rule, first, &sets, &mut words_left)?);
            first_slots[feature as usize] = first;
            first += sets.len() as u32;
        }
        for (at, feature, set) in self.set_nodes {
            self.drafts[at].node.slot = (first_slots[feature as usize] + set) * LANES as u32;
        }
        let plain = plain.into_iter().map(|(_, slot)| slot).collect();
        Ensemble::new(Slots::new(plain, memberships), &self.drafts, self.trees, base)
    }
}

fn visit(reached: &mut [bool], id: u32) -> Result<(), String> {
    match reached.get_mut(id as usize) {
        None => Err(format!("node {id} does not exist")),
        Some(true) => Err(format!("node {id} is reached twice: the nodes form no tree")),
        Some(seen) => {
            *seen = true;
            Ok(())
        }
    }
}
