//! Walks an ensemble: the hot loop of all tree models. Two ways, one for each shape of request:
//! rows in blocks (a tree at a time over many rows, its nodes stay in the nearest cache) and, for few rows, trees in
//! step (several trees at a time for one row). Either keeps several independent walks in flight,
//! because a single one spends its time waiting for memory. Sums are taken in tree order, as the library does.
//!
//! Where an ensemble fits the second layout (see `ranks`) and the processor can walk it, `ranked` takes its place.
//!
//! This file and `avx512` are the only ones with `unsafe`. Here, a step reads a node and a slot without asking whether
//! they exist. That is worth 1.45 times the rows per second in blocks and 1.15 times for single rows (500 trees of depth 6,
//! `benches/kernel.rs`), and it is sound because `Ensemble::new` refuses any index that is out of range.

#![allow(unsafe_code)]

#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "x86_64")]
mod ranked;
#[cfg(test)]
mod tests;

use std::ops::Range;

use super::Float;
use super::ensemble::{Ensemble, LANES, Node, Tree};

/// Trees walked in step for one row.
const STEP: usize = 16;

/// A block of rows is kept within this many bytes of slots, to leave room for a tree beside it.
const BLOCK_BYTES: usize = 16 << 10;

/// A block has at most this many groups of [`LANES`] rows.
const BLOCK_GROUPS: usize = 16;

/// Fewer rows than this are walked one by one.
const FEW_ROWS: usize = 4;

/// Whether this processor can walk trees of ranks.
pub(super) fn walks_ranks() -> bool {
    #[cfg(target_arch = "x86_64")]
    return avx512::Avx512::detect().is_some();
    #[cfg(not(target_arch = "x86_64"))]
    false
}

/// The margins of `rows`, row after row, one per output group.
pub(super) fn margins<T: Float>(
    ensemble: &Ensemble<T>,
    columns: &[T],
    stride: usize,
    rows: Range<usize>,
) -> Vec<T> {
    let mut sums = ensemble.start_sums(rows.len());
    #[cfg(target_arch = "x86_64")]
    if let (Some(ranked), Some(processor)) = (ensemble.ranked(), avx512::Avx512::detect()) {
        ranked::Walker { processor, ensemble, ranked }.add(columns, stride, rows, &mut sums);
        return sums;
    }
    add(ensemble, columns, stride, rows, &mut sums);
    sums
}

/// Adds the leaf values of `rows` to their `sums`, on any processor.
fn add<T: Float>(ensemble: &Ensemble<T>, columns: &[T], stride: usize, rows: Range<usize>, sums: &mut [T]) {
    let (groups, trees) = (ensemble.groups(), ensemble.trees());
    if rows.len() < FEW_ROWS {
        let mut group = ensemble.slots().groups(1);
        for (row, sums) in rows.zip(sums.chunks_exact_mut(groups)) {
            ensemble.slots().fill(columns, stride, row, 1, &mut group);
            if let [one] = sums {
                // In a register: through memory every addition would wait for the one before to be stored.
                let mut sum = *one;
                walk_row(ensemble, &group, |_, node| sum += ensemble.value(node));
                *one = sum;
            } else {
                walk_row(ensemble, &group, |tree, node| {
                    sums[trees[tree].group as usize] += ensemble.value(node);
                });
            }
        }
    } else {
        walk_blocks(ensemble, columns, stride, rows, |row, tree, node| {
            sums[row * groups + trees[tree].group as usize] += ensemble.value(node);
        });
    }
}

/// Calls `each` with the library's leaf index of every tree for every row, row after row.
pub(super) fn leaves<T: Float>(
    ensemble: &Ensemble<T>,
    columns: &[T],
    stride: usize,
    rows: Range<usize>,
    mut each: impl FnMut(u32),
) {
    let mut group = ensemble.slots().groups(1);
    for row in rows {
        ensemble.slots().fill(columns, stride, row, 1, &mut group);
        walk_row(ensemble, &group, |_, node| each(ensemble.leaves()[node]));
    }
}

/// Rows in blocks: `reach(row, tree, node)` is called in tree order for each row, rows counted from the range's start.
fn walk_blocks<T: Float>(
    ensemble: &Ensemble<T>,
    columns: &[T],
    stride: usize,
    rows: Range<usize>,
    mut reach: impl FnMut(usize, usize, usize),
) {
    let slots = ensemble.slots();
    let width = slots.len() * LANES;
    let most_groups = (BLOCK_BYTES / (width * size_of::<T>())).clamp(1, BLOCK_GROUPS);
    let mut block = slots.groups(most_groups.min(rows.len().div_ceil(LANES)));
    let mut done = 0;
    while done < rows.len() {
        let count = (rows.len() - done).min(most_groups * LANES);
        for (i, group) in block.chunks_exact_mut(width).take(count.div_ceil(LANES)).enumerate() {
            let lanes = (count - i * LANES).min(LANES);
            slots.fill(columns, stride, rows.start + done + i * LANES, lanes, group);
        }
        for (t, tree) in ensemble.trees().iter().enumerate() {
            for (i, group) in block.chunks_exact(width).take(count.div_ceil(LANES)).enumerate() {
                let ends = walk_lanes(ensemble, tree, group);
                let lanes = (count - i * LANES).min(LANES);
                for (lane, end) in ends.iter().enumerate().take(lanes) {
                    reach(done + i * LANES + lane, t, *end as usize);
                }
            }
        }
        done += count;
    }
}

/// Walks one tree for the rows of one group; gives the nodes where they end.
#[inline]
fn walk_lanes<T: Float>(ensemble: &Ensemble<T>, tree: &Tree, group: &[T]) -> [u32; LANES] {
    assert_eq!(group.len(), ensemble.slots().len() * LANES);
    let mut at = [tree.root; LANES];
    for _ in 0..tree.depth {
        for (lane, at) in at.iter_mut().enumerate() {
            // SAFETY: `at` is a root or came from a step, `lane` is below LANES, the group was measured above.
            *at = unsafe { step(ensemble, *at, group, lane) };
        }
    }
    at
}

/// Trees in step: walks all trees for lane 0 of one group, calling `reach(tree, node)` in tree order.
fn walk_row<T: Float>(ensemble: &Ensemble<T>, group: &[T], mut reach: impl FnMut(usize, usize)) {
    assert_eq!(group.len(), ensemble.slots().len() * LANES);
    for (chunk, trees) in ensemble.trees().chunks(STEP).enumerate() {
        // A short last chunk walks its last tree several times rather than having a loop of its own.
        let mut at: [u32; STEP] = std::array::from_fn(|i| trees[i.min(trees.len() - 1)].root);
        let depth = trees.iter().map(|t| t.depth).max().unwrap_or(0);
        for _ in 0..depth {
            for at in &mut at {
                // SAFETY: `at` is a root or came from a step, lane 0 exists, the group was measured above.
                *at = unsafe { step(ensemble, *at, group, 0) };
            }
        }
        for (i, end) in at.iter().enumerate().take(trees.len()) {
            reach(chunk * STEP + i, *end as usize);
        }
    }
}

/// One step of one walk: the child that the row goes to, or the leaf again.
///
/// # Safety
/// `at` is a root of the ensemble or was returned by a step, `lane` is below [`LANES`] and `group` has [`LANES`] values
/// for every slot of the ensemble. By the checks of [`Ensemble::new`] the node's slot, its child and the node after
/// its child exist, so that any step stays inside, whatever the slots hold.
#[inline(always)]
unsafe fn step<T: Float>(ensemble: &Ensemble<T>, at: u32, group: &[T], lane: usize) -> u32 {
    // SAFETY: as stated above.
    let (node, value) = unsafe {
        let node: &Node<T> = ensemble.nodes().get_unchecked(at as usize);
        (node, *group.get_unchecked(node.slot as usize + lane))
    };
    node.child + u32::from(value > node.threshold)
}
