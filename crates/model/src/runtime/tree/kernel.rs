//! Walks an ensemble: the hot loop of all tree models. Two ways, one for each shape of request:
//! rows in blocks (a tree at a time over many rows, its nodes stay in the nearest cache) and, for few rows, trees in
//! step (several trees at a time for one row). Either keeps several independent walks in flight,
//! because a single one spends its time waiting for memory. Sums are taken in tree order, as the library does.

use std::ops::Range;

use super::Float;
use super::ensemble::{Ensemble, LANES, Node, Tree};

/// Trees walked in step for one row.
const STEP: usize = 8;

/// A block of rows is kept within this many bytes of slots, to leave room for a tree beside it.
const BLOCK_BYTES: usize = 16 << 10;

/// A block has at most this many groups of [`LANES`] rows.
const BLOCK_GROUPS: usize = 16;

/// Fewer rows than this are walked one by one.
const FEW_ROWS: usize = 4;

/// The margins of `rows`, row after row, one per output group.
pub(super) fn margins<T: Float>(
    ensemble: &Ensemble<T>,
    columns: &[T],
    stride: usize,
    rows: Range<usize>,
) -> Vec<T> {
    let groups = ensemble.groups();
    let mut sums: Vec<T> = ensemble.base().iter().copied().cycle().take(rows.len() * groups).collect();
    let trees = ensemble.trees();
    if rows.len() < FEW_ROWS {
        let mut group = vec![T::ZERO; ensemble.slots().len() * LANES];
        for (row, sums) in rows.zip(sums.chunks_exact_mut(groups)) {
            ensemble.slots().fill(columns, stride, row, 1, &mut group);
            walk_row(ensemble, &group, |tree, node| {
                sums[trees[tree].group as usize] += ensemble.values()[node];
            });
        }
    } else {
        walk_blocks(ensemble, columns, stride, rows, |row, tree, node| {
            sums[row * groups + trees[tree].group as usize] += ensemble.values()[node];
        });
    }
    sums
}

/// Calls `each` with the library's leaf index of every tree for every row, row after row.
pub(super) fn leaves<T: Float>(
    ensemble: &Ensemble<T>,
    columns: &[T],
    stride: usize,
    rows: Range<usize>,
    mut each: impl FnMut(u32),
) {
    let mut group = vec![T::ZERO; ensemble.slots().len() * LANES];
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
    let mut block = vec![T::ZERO; width * most_groups.min(rows.len().div_ceil(LANES))];
    let mut done = 0;
    while done < rows.len() {
        let count = (rows.len() - done).min(most_groups * LANES);
        for (i, group) in block.chunks_exact_mut(width).take(count.div_ceil(LANES)).enumerate() {
            let lanes = (count - i * LANES).min(LANES);
            slots.fill(columns, stride, rows.start + done + i * LANES, lanes, group);
        }
        for (t, tree) in ensemble.trees().iter().enumerate() {
            for (i, group) in block.chunks_exact(width).take(count.div_ceil(LANES)).enumerate() {
                let ends = walk_lanes(ensemble.nodes(), tree, group);
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
fn walk_lanes<T: Float>(nodes: &[Node<T>], tree: &Tree, group: &[T]) -> [u32; LANES] {
    let mut at = [tree.root; LANES];
    for _ in 0..tree.depth {
        for (lane, at) in at.iter_mut().enumerate() {
            *at = step(nodes, *at, group, lane);
        }
    }
    at
}

/// Trees in step: walks all trees for lane 0 of one group, calling `reach(tree, node)` in tree order.
fn walk_row<T: Float>(ensemble: &Ensemble<T>, group: &[T], mut reach: impl FnMut(usize, usize)) {
    let nodes = ensemble.nodes();
    let mut chunks = ensemble.trees().chunks_exact(STEP);
    let mut tree = 0;
    for trees in &mut chunks {
        let mut at: [u32; STEP] = std::array::from_fn(|i| trees[i].root);
        let depth = trees.iter().map(|t| t.depth).max().unwrap_or(0);
        for _ in 0..depth {
            for at in &mut at {
                *at = step(nodes, *at, group, 0);
            }
        }
        for end in at {
            reach(tree, end as usize);
            tree += 1;
        }
    }
    for last in chunks.remainder() {
        let mut at = last.root;
        for _ in 0..last.depth {
            at = step(nodes, at, group, 0);
        }
        reach(tree, at as usize);
        tree += 1;
    }
}

/// One step of one walk.
#[inline(always)]
fn step<T: Float>(nodes: &[Node<T>], at: u32, group: &[T], lane: usize) -> u32 {
    let node = &nodes[at as usize];
    let value = group[node.slot as usize + lane];
    node.child + u32::from(value > node.threshold)
}
