//! Shallow trees in bytes: a second layout of an ensemble, for processors that compare 64 bytes at once.
//!
//! Libraries that train on histograms choose thresholds from at most 255 values per feature. Then the rank of a value
//! among its slot's thresholds, one byte, answers every question: `value > threshold` is `rank > rank of
//! threshold`. A tree of up to [`LEVELS`] levels is made complete, its questions numbered from the root (1) so that
//! the children of `i` are `2 i` and `2 i + 1`: all 63 are asked at once and the path is read from the 64 answers.

#![cfg_attr(not(target_arch = "x86_64"), allow(dead_code))] // nothing walks it there

use super::Float;
use super::ensemble::{LANES, LEAF_SLOT, Node, Tree};

/// The most levels of splits that a tree may have.
pub(super) const LEVELS: u32 = 6;

/// Leaves of a complete tree, and questions with the one that nobody asks.
pub(super) const LEAVES: usize = 1 << LEVELS;

/// The most slots, without that of leaves, and the room for the ranks of one row.
pub(super) const SLOTS: usize = 128;

/// The ranks of one row.
#[derive(Clone, Copy)]
#[repr(align(64))]
pub(super) struct Row(pub(super) [u8; SLOTS]);

/// The questions of one tree: does the rank of `slots[i]` exceed `ranks[i]`?
#[derive(Debug, Clone)]
#[repr(align(64))]
pub(super) struct Questions {
    pub(super) slots: [u8; LEAVES],
    pub(super) ranks: [u8; LEAVES],
}

impl Questions {
    /// Questions that every row answers with no: there is no higher rank.
    const fn none() -> Self {
        Self { slots: [0; LEAVES], ranks: [u8::MAX; LEAVES] }
    }
}

/// Trees, or rows, that are walked side by side.
pub(super) const CHUNK: usize = 8;

/// Thresholds per slot, the last of them infinite.
const TABLE: usize = 1 << u8::BITS;

/// A complete layout may take this many times the nodes that it stands for.
const MOST_PADDING: usize = 4;

/// All trees of an ensemble, in its order.
#[derive(Debug)]
pub(super) struct RankedTrees<T> {
    /// The thresholds of each slot, ascending, filled up with infinity.
    tables: Vec<[T; TABLE]>,
    questions: Vec<[Questions; CHUNK]>,
    values: Vec<[[T; LEAVES]; CHUNK]>,
}

impl<T: Float> RankedTrees<T> {
    /// The layout of these trees; nothing if one is too deep, they use too many slots or thresholds, or
    /// are so small that most of it would be padding.
    pub(super) fn new(nodes: &[Node<T>], trees: &[Tree], slots: usize) -> Option<Self> {
        let fits = slots <= SLOTS + 1 && trees.len() * LEAVES <= nodes.len() * MOST_PADDING;
        if !fits || trees.iter().any(|tree| tree.depth > LEVELS) {
            return None;
        }
        let mut thresholds = vec![Vec::new(); slots];
        for node in nodes {
            thresholds[node.slot as usize / LANES].push(node.threshold);
        }
        let mut tables = Vec::with_capacity(slots - 1);
        for mut all in thresholds.into_iter().skip(1) {
            all.sort_unstable_by(|a, b| a.partial_cmp(b).unwrap_or(std::cmp::Ordering::Equal));
            all.dedup();
            let mut table = [T::INFINITY; TABLE];
            table[..TABLE - 1].get_mut(..all.len())?.copy_from_slice(&all);
            tables.push(table);
        }
        let mut ranked = Self { tables, questions: Vec::new(), values: Vec::new() };
        for chunk in trees.chunks(CHUNK) {
            // What fills the last chunk adds nothing to any sum, not even to the sign of a zero.
            let mut questions = [const { Questions::none() }; CHUNK];
            let mut values = [[-T::ZERO; LEAVES]; CHUNK];
            for ((tree, questions), values) in chunk.iter().zip(&mut questions).zip(&mut values) {
                ranked.complete(nodes, tree.root, questions, values);
            }
            ranked.questions.push(questions);
            ranked.values.push(values);
        }
        Some(ranked)
    }

    /// Writes a tree as a complete one.
    fn complete(&self, nodes: &[Node<T>], root: u32, questions: &mut Questions, values: &mut [T; LEAVES]) {
        let mut waiting = vec![(root, 1_usize)];
        while let Some((at, place)) = waiting.pop() {
            let node = &nodes[at as usize];
            if node.slot == LEAF_SLOT || place >= LEAVES {
                // Below a leaf, questions that nobody answers with yes lead to the leftmost place.
                values[(place << (LEAVES.ilog2() - place.ilog2())) - LEAVES] = node.threshold;
                continue;
            }
            let slot = node.slot as usize / LANES - 1;
            questions.slots[place] = slot as u8;
            questions.ranks[place] = self.tables[slot].partition_point(|t| *t < node.threshold) as u8;
            waiting.extend([(node.child, 2 * place), (node.child + 1, 2 * place + 1)]);
        }
    }

    /// The ranks of lane `lane` of a group of rows. NaN exceeds nothing, and so has rank 0.
    #[inline]
    pub(super) fn rank(&self, group: &[T], lane: usize, row: &mut Row) {
        for ((table, values), rank) in
            self.tables.iter().zip(group.chunks_exact(LANES).skip(1)).zip(&mut row.0)
        {
            let value = values[lane];
            let mut below = 0;
            for half in (0..u8::BITS).rev().map(|bit| 1_usize << bit) {
                below += usize::from(value > table[(below + half - 1) % TABLE]) * half;
            }
            *rank = below as u8;
        }
    }

    /// Questions and leaf values of all trees.
    pub(super) fn chunks(&self) -> (&[[Questions; CHUNK]], &[[[T; LEAVES]; CHUNK]]) {
        (&self.questions, &self.values)
    }
}
