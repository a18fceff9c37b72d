//! Walks shallow trees with the byte permutes and compares of AVX-512: all questions of a tree in three instructions,
//! then the paths of eight walks side by side. For one row the eight are trees, for many rows they are rows.
//!
//! They are worth 2.3 times the rows per second of the portable kernel, in blocks and one by one (500 trees of depth 6,
//! `benches/kernel.rs`). `unsafe` is for calling them where they were detected, and for moving registers from and
//! to memory.

#![allow(unsafe_code)]

use std::arch::x86_64::*;

use super::super::ranks::{CHUNK, LEAVES, LEVELS, Questions, Row, SLOTS};

/// Where eight walks end.
pub(super) type Ends = [u64; CHUNK];

const _: () = assert!(SLOTS == 128 && LEAVES == 64 && CHUNK == 8);

/// Proof that this processor has the instructions.
#[derive(Clone, Copy)]
pub(super) struct Avx512(());

impl Avx512 {
    /// Asks the processor.
    pub(super) fn detect() -> Option<Self> {
        let all = is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512vbmi");
        all.then_some(Self(()))
    }

    /// All trees for one row: folds what `add` makes of the ends of each chunk of trees.
    pub(super) fn walk_trees<A>(
        self,
        chunks: &[[Questions; CHUNK]],
        row: &Row,
        start: A,
        add: impl FnMut(A, usize, &Ends) -> A,
    ) -> A {
        // SAFETY: the processor has the instructions.
        unsafe { walk_trees(chunks, row, start, add) }
    }

    /// One tree for chunks of rows: calls `add` with the ends of each chunk and its place in `sums`.
    pub(super) fn walk_rows<S>(
        self,
        tree: &Questions,
        chunks: &[[Row; CHUNK]],
        sums: &mut [S],
        add: impl FnMut(&mut S, &Ends),
    ) {
        // SAFETY: the processor has the instructions.
        unsafe { walk_rows(tree, chunks, sums, add) }
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vbmi")]
fn walk_trees<A>(
    chunks: &[[Questions; CHUNK]],
    row: &Row,
    start: A,
    mut add: impl FnMut(A, usize, &Ends) -> A,
) -> A {
    let row = load_row(row);
    let mut sum = start;
    for (i, chunk) in chunks.iter().enumerate() {
        let answers = chunk.each_ref().map(|tree| ask(load_questions(tree), row));
        sum = add(sum, i, &descend(answers));
    }
    sum
}

#[target_feature(enable = "avx512f,avx512bw,avx512vbmi")]
fn walk_rows<S>(
    tree: &Questions,
    chunks: &[[Row; CHUNK]],
    sums: &mut [S],
    mut add: impl FnMut(&mut S, &Ends),
) {
    let questions = load_questions(tree);
    for (chunk, sum) in chunks.iter().zip(sums) {
        let answers = chunk.each_ref().map(|row| ask(questions, load_row(row)));
        add(sum, &descend(answers));
    }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn load_row(Row(ranks): &Row) -> [__m512i; 2] {
    // SAFETY: a row holds 128 bytes.
    unsafe { [_mm512_loadu_si512(ranks.as_ptr().cast()), _mm512_loadu_si512(ranks.as_ptr().add(64).cast())] }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn load_questions(Questions { slots, ranks }: &Questions) -> [__m512i; 2] {
    // SAFETY: both arrays hold 64 bytes.
    unsafe { [_mm512_loadu_si512(slots.as_ptr().cast()), _mm512_loadu_si512(ranks.as_ptr().cast())] }
}

/// The answers of one row to all questions of one tree.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vbmi")]
fn ask([slots, ranks]: [__m512i; 2], [low, high]: [__m512i; 2]) -> i64 {
    _mm512_cmpgt_epu8_mask(_mm512_permutex2var_epi8(low, slots, high), ranks) as i64
}

/// Where eight walks end whose answers these are.
#[inline]
#[target_feature(enable = "avx512f")]
fn descend([a, b, c, d, e, f, g, h]: [i64; CHUNK]) -> Ends {
    let answers = _mm512_setr_epi64(a, b, c, d, e, f, g, h);
    let one = _mm512_set1_epi64(1);
    let mut at = one;
    for _ in 0..LEVELS {
        let right = _mm512_and_si512(_mm512_srlv_epi64(answers, at), one);
        at = _mm512_add_epi64(_mm512_add_epi64(at, at), right);
    }
    let at = _mm512_sub_epi64(at, _mm512_set1_epi64(LEAVES as i64));
    let mut ends = [0; CHUNK];
    // SAFETY: eight ends are 64 bytes.
    unsafe { _mm512_storeu_si512(ends.as_mut_ptr().cast(), at) };
    ends
}
