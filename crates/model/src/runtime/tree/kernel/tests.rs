//! Both layouts of an ensemble give the same sums, bit for bit.

use super::super::Float;
use super::super::categories::{CodeRule, Codes, Set};
use super::super::ensemble::Ensemble;
use super::super::lower::{Lowering, Missing, SourceNode};
use super::super::ranks::{CHUNK, LEAVES, LEVELS, RankedTrees, Row, SLOTS};

/// A small generator of numbers below `most`.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, most: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.0 >> 33) % most
    }

    /// A threshold or value; many meet, zeros of both signs among them.
    fn number<T: Float>(&mut self, infinite: bool) -> T {
        match self.below(20) {
            0 => T::from_f64(-0.0),
            1 if infinite => T::INFINITY,
            2 if infinite => T::NEG_INFINITY,
            3 | 4 if infinite => T::NAN,
            _ => T::from_f64(self.below(100) as f64 / 7.0 - 7.0),
        }
    }
}

/// Up to four slots each: more than half of what there is room for.
const FEATURES: u32 = 24;

/// Trees with leaves on all levels but the first few, numeric and categorical splits.
fn ensemble<T: Float>(numbers: &mut Numbers, trees: usize, groups: u32) -> Ensemble<T> {
    let mut lowering = Lowering::new(FEATURES as usize, CodeRule::SignFirst).unwrap();
    for tree in 0..trees as u32 {
        let count = (2 << LEVELS) - 1;
        let node = |at: u32| {
            let children = [2 * at + 1, 2 * at + 2];
            let feature = numbers.below(FEATURES.into()) as u32;
            let level = (at + 1).ilog2();
            Ok(match numbers.below(10) {
                _ if level == LEVELS => SourceNode::Leaf { value: numbers.number(false), id: at },
                0 if level > 2 => SourceNode::Leaf { value: numbers.number(false), id: at },
                1 => SourceNode::Category {
                    feature,
                    set: Set {
                        members: Codes::of_list(&[1, 3]),
                        members_right: true,
                        missing_right: feature.is_multiple_of(2),
                    },
                    children,
                },
                kind => SourceNode::Number {
                    feature,
                    threshold: numbers.number(false),
                    missing: Missing { right: kind > 5, zero: kind == 3 },
                    children,
                },
            })
        };
        lowering.add_tree(tree % groups, count, node).unwrap();
    }
    lowering.finish((0..groups).map(|group| T::from_f64(f64::from(group) / -3.0)).collect()).unwrap()
}

fn check<T: Float>(trees: usize, groups: u32, rows: usize) {
    let mut numbers = Numbers(trees as u64 * 1000 + rows as u64);
    let ensemble = ensemble::<T>(&mut numbers, trees, groups);
    let ranked = RankedTrees::new(ensemble.nodes(), ensemble.trees(), ensemble.slots().len());
    let ranked = ranked.expect("these trees fit");
    let stride = rows + 3;
    let columns: Vec<T> = (0..FEATURES as usize * stride).map(|_| numbers.number(true)).collect();
    let start: Vec<T> = ensemble.start_sums(rows - 1);
    let bits = |sums: &[T]| sums.iter().map(|sum| sum.to_f64().to_bits()).collect::<Vec<_>>();

    let mut expected = start.clone();
    super::add(&ensemble, &columns, stride, 1..rows, &mut expected);
    let mut plain = start.clone();
    plainly(&ensemble, &ranked, &columns, stride, &mut plain);
    assert_eq!(bits(&plain), bits(&expected), "{trees} trees, {groups} groups, {rows} rows");
    #[cfg(target_arch = "x86_64")]
    if let Some(processor) = super::avx512::Avx512::detect() {
        let walker = super::ranked::Walker { processor, ensemble: &ensemble, ranked: &ranked };
        let mut found = start;
        walker.add(&columns, stride, 1..rows, &mut found);
        assert_eq!(bits(&found), bits(&expected), "{trees} trees, {groups} groups, {rows} rows");
    }
}

/// Asks question after question, for all rows but the first.
fn plainly<T: Float>(
    ensemble: &Ensemble<T>,
    ranked: &RankedTrees<T>,
    columns: &[T],
    stride: usize,
    sums: &mut [T],
) {
    let mut group = ensemble.slots().groups(1);
    let (questions, values) = ranked.chunks();
    for (row, sums) in sums.chunks_exact_mut(ensemble.groups()).enumerate() {
        ensemble.slots().fill(columns, stride, row + 1, 1, &mut group);
        let mut ranks = Row([0; SLOTS]);
        ranked.rank(&group, 0, &mut ranks);
        for (at, tree) in ensemble.trees().iter().enumerate() {
            let (questions, values) = (&questions[at / CHUNK][at % CHUNK], &values[at / CHUNK][at % CHUNK]);
            let mut place = 1;
            for _ in 0..LEVELS {
                let slot = questions.slots[place] as usize;
                place = 2 * place + usize::from(ranks.0[slot] > questions.ranks[place]);
            }
            sums[tree.group as usize] += values[place - LEAVES];
        }
    }
}

#[test]
fn trees_of_ranks_give_the_sums_of_the_portable_kernel() {
    for trees in [1, 7, 8, 30] {
        for groups in [1, 3] {
            for rows in [2, 3, 8, 9, 10, 65, 66, 150] {
                check::<f32>(trees, groups, rows);
                check::<f64>(trees, groups, rows);
            }
        }
    }
}

#[test]
fn trees_that_do_not_fit_bytes_keep_the_portable_kernel() {
    // Stumps whose thresholds are all different: too many for a byte, and most of a complete tree would be padding.
    let thresholds = |trees: usize, splits: u32| {
        let mut lowering = Lowering::<f32>::new(1, CodeRule::SignFirst).unwrap();
        for tree in 0..trees as u32 {
            let node = |at: u32| {
                let missing = Missing { right: false, zero: false };
                let threshold = (tree * splits + at) as f32;
                Ok(match at < splits {
                    true => SourceNode::Number {
                        feature: 0,
                        threshold,
                        missing,
                        children: [2 * at + 1, 2 * at + 2],
                    },
                    false => SourceNode::Leaf { value: 1.0, id: at },
                })
            };
            lowering.add_tree(0, 2 * splits as usize + 1, node).unwrap();
        }
        lowering.finish(vec![0.0]).unwrap()
    };
    for (trees, splits, fits) in [
        (1, 63, true),
        (4, 63, true),
        (5, 63, false),
        (1, 64, false),
        (17, 15, true),
        (18, 15, false),
        (9, 7, false),
    ] {
        let ensemble = thresholds(trees, splits);
        let ranked = RankedTrees::new(ensemble.nodes(), ensemble.trees(), ensemble.slots().len());
        assert_eq!(ranked.is_some(), fits, "{trees} trees of {splits} splits");
    }
}
