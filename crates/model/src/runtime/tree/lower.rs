//! Lowers trees as the libraries write them into the flat ensemble: breadth first, unreachable nodes dropped,
//! every rule about missing values and categories turned into a slot and a comparison.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use super::Float;
use super::ensemble::{Draft, Ensemble, LANES, Node, Tree};
use super::inputs::{CodeRule, MEMBERSHIP_WORDS, Membership, Set, SlotKind, Slots};

/// A node as a reader gives it.
#[derive(Debug, Clone)]
pub(super) enum SourceNode<T> {
    /// A leaf with its value and the library's index of it.
    Leaf { value: T, id: u32 },
    /// Left if and only if the value is at most `threshold`.
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

/// Collects trees and the slots that they need.
pub(super) struct Lowering<T> {
    features: u32,
    rule: CodeRule,
    plain: HashMap<(u32, SlotKind), u32>,
    sets: Vec<Vec<Set>>,
    set_index: HashMap<(u32, Set), u32>,
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
            sets: vec![Vec::new(); features],
            set_index: HashMap::new(),
            drafts: Vec::new(),
            set_nodes: Vec::new(),
            trees: Vec::new(),
        })
    }

    /// Appends a tree whose root is `source(0)`; `count` is the number of its nodes. A child out of range, a node
    /// reached twice (a cycle or a shared child), an unknown feature and an infinite threshold are errors.
    pub(super) fn add_tree(
        &mut self,
        group: u32,
        count: usize,
        mut source: impl FnMut(u32) -> Result<SourceNode<T>, String>,
    ) -> Result<(), String> {
        let root = self.drafts.len();
        let mut reached = vec![false; count];
        let mut level = vec![0];
        let mut depth = 0;
        visit(&mut reached, 0)?;
        self.push_placeholders(1)?;
        let mut at = root;
        loop {
            let mut next = Vec::new();
            for id in level {
                let child = self.drafts.len();
                let children = self.place(at, child as u32, source(id)?)?;
                for id in children.into_iter().flatten() {
                    visit(&mut reached, id)?;
                    next.push(id);
                }
                self.push_placeholders(if children.is_some() { 2 } else { 0 })?;
                at += 1;
            }
            if next.is_empty() {
                self.trees.push(Tree { root: root as u32, depth, group });
                return Ok(());
            }
            depth += 1;
            level = next;
        }
    }

    fn push_placeholders(&mut self, count: usize) -> Result<(), String> {
        if self.drafts.len() + count > MOST_NODES {
            return Err("too many nodes".to_owned());
        }
        let node = Node { threshold: T::INFINITY, slot: 0, child: 0 };
        self.drafts.extend(std::iter::repeat_n(Draft { node, value: T::ZERO, leaf: 0 }, count));
        Ok(())
    }

    /// Writes node `at` and gives its children in their final order.
    fn place(&mut self, at: usize, child: u32, node: SourceNode<T>) -> Result<Option<[u32; 2]>, String> {
        let (slot, threshold, children) = match node {
            SourceNode::Leaf { value, id } => {
                if !value.to_f64().is_finite() {
                    return Err(format!("the value of leaf {id} is not a finite number"));
                }
                let node = Node { threshold: T::INFINITY, slot: 0, child: at as u32 };
                self.drafts[at] = Draft { node, value, leaf: id };
                return Ok(None);
            }
            SourceNode::Number { feature, threshold, missing, children: [left, right] } => {
                if threshold.to_f64().is_nan() || threshold == T::INFINITY {
                    return Err(format!(
                        "the threshold of a split on feature {feature} is not a finite number"
                    ));
                }
                let kind = SlotKind { mirrored: missing.right, zero_is_missing: missing.zero };
                let slot = self.plain_slot(feature, kind)?;
                if missing.right {
                    // left iff x <= t, that is -x >= -t, that is -x > the value below -t; NaN stays on this side
                    (slot, (-threshold).below(), [right, left])
                } else {
                    (slot, threshold, [left, right])
                }
            }
            SourceNode::Category { feature, set, children } => {
                let set = self.set(feature, set)?;
                self.set_nodes.push((at, feature, set));
                (0, T::from_f64(0.5), children)
            }
        };
        self.drafts[at].node = Node { threshold, slot, child };
        Ok(Some(children))
    }

    fn plain_slot(&mut self, feature: u32, kind: SlotKind) -> Result<u32, String> {
        self.check_feature(feature)?;
        let next = self.plain.len() as u32;
        Ok(*self.plain.entry((feature, kind)).or_insert(next) * LANES as u32)
    }

    fn set(&mut self, feature: u32, set: Set) -> Result<u32, String> {
        self.check_feature(feature)?;
        let sets = &mut self.sets[feature as usize];
        match self.set_index.entry((feature, set)) {
            Entry::Occupied(known) => Ok(*known.get()),
            Entry::Vacant(new) => {
                sets.push(new.key().1.clone());
                Ok(*new.insert(sets.len() as u32 - 1))
            }
        }
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
        let mut first = plain.len() as u32;
        let mut memberships = Vec::new();
        let mut words_left = MEMBERSHIP_WORDS;
        let mut first_slots = vec![0; self.sets.len()];
        for (feature, sets) in self.sets.iter().enumerate().filter(|(_, sets)| !sets.is_empty()) {
            memberships.push(Membership::new(feature as u32, self.rule, first, sets, &mut words_left)?);
            first_slots[feature] = first;
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
