//! Sums the leaf values of trees of ranks, for a processor that can walk them. Every sum is taken in the same order and
//! precision as by the portable kernel, so both give the same bits.

#![deny(unsafe_code)]

use std::ops::Range;

use super::super::Float;
use super::super::ensemble::{Ensemble, LANES, Tree};
use super::super::ranks::{CHUNK, LEAVES, RankedTrees, Row, SLOTS};
use super::avx512::{Avx512, Ends};

/// Rows that one tree is walked for before the next: their ranks stay in the nearest cache.
const BLOCK: usize = 64;

/// Fewer rows than this are walked one by one.
const FEW_ROWS: usize = CHUNK;

const _: () = assert!(CHUNK == LANES, "a group of rows is a chunk");

/// What walks the trees.
pub(super) struct Walker<'e, T> {
    pub(super) processor: Avx512,
    pub(super) ensemble: &'e Ensemble<T>,
    pub(super) ranked: &'e RankedTrees<T>,
}

impl<T: Float> Walker<'_, T> {
    /// Adds the leaf values of `rows` to their `sums`, row after row, one sum per output group.
    pub(super) fn add(&self, columns: &[T], stride: usize, rows: Range<usize>, sums: &mut [T]) {
        let (slots, groups) = (self.ensemble.slots(), self.ensemble.groups());
        let mut group = slots.groups(1);
        if rows.len() < FEW_ROWS {
            for (row, sums) in rows.zip(sums.chunks_exact_mut(groups)) {
                slots.fill(columns, stride, row, 1, &mut group);
                let mut ranks = Row([0; SLOTS]);
                self.ranked.rank(&group, 0, &mut ranks);
                self.add_row(&ranks, sums);
            }
            return;
        }
        let mut block = vec![[Row([0; SLOTS]); CHUNK]; BLOCK.min(rows.len()).div_ceil(CHUNK)];
        for (start, sums) in rows.step_by(BLOCK).zip(sums.chunks_mut(BLOCK * groups)) {
            let count = sums.len() / groups;
            for (first, chunk) in (0..count).step_by(CHUNK).zip(&mut block) {
                let lanes = CHUNK.min(count - first);
                slots.fill(columns, stride, start + first, lanes, &mut group);
                (0..lanes).zip(chunk).for_each(|(lane, row)| self.ranked.rank(&group, lane, row));
            }
            self.add_block(&block[..count.div_ceil(CHUNK)], sums);
        }
    }

    /// Trees side by side, for one row.
    fn add_row(&self, row: &Row, sums: &mut [T]) {
        let (questions, values) = self.ranked.chunks();
        if let [one] = sums {
            // In a register: through memory every addition would wait for the one before to be stored.
            *one = self.processor.walk_trees(questions, row, *one, |mut sum, chunk, ends| {
                for (values, end) in values[chunk].iter().zip(ends) {
                    sum += values[*end as usize % LEAVES];
                }
                sum
            });
        } else {
            let trees = self.ensemble.trees();
            self.processor.walk_trees(questions, row, (), |(), chunk, ends| {
                for ((tree, values), end) in trees[chunk * CHUNK..].iter().zip(&values[chunk]).zip(ends) {
                    sums[tree.group as usize] += values[*end as usize % LEAVES];
                }
            });
        }
    }

    /// Rows side by side, tree after tree. Meanwhile sums stand group after group: those of a chunk together.
    fn add_block(&self, block: &[[Row; CHUNK]], sums: &mut [T]) {
        let (groups, width) = (self.ensemble.groups(), block.len() * CHUNK);
        let mut turned = vec![T::ZERO; groups * width];
        for (row, sums) in sums.chunks_exact(groups).enumerate() {
            sums.iter().zip(turned[row..].iter_mut().step_by(width)).for_each(|(from, to)| *to = *from);
        }
        let (questions, values) = self.ranked.chunks();
        let trees = questions.as_flattened().iter().zip(values.as_flattened()).zip(self.ensemble.trees());
        for ((questions, values), Tree { group, .. }) in trees {
            let sums = turned[*group as usize * width..][..width].as_chunks_mut().0;
            self.processor.walk_rows(questions, block, sums, |sums: &mut [T; CHUNK], ends: &Ends| {
                for (sum, end) in sums.iter_mut().zip(ends) {
                    *sum += values[*end as usize % LEAVES];
                }
            });
        }
        for (row, sums) in sums.chunks_exact_mut(groups).enumerate() {
            sums.iter_mut().zip(turned[row..].iter().step_by(width)).for_each(|(to, from)| *to = *from);
        }
    }
}
