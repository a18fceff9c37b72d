//! What a leaf adds to a row's outputs where that is not one number: several values, or a linear function of the row.
//! Such trees are rare, so they are walked for their leaves and added up here rather than in the kernel.

use std::ops::Range;

use super::ensemble::Ensemble;
use super::inputs::ZERO_BOUND;
use super::{Float, kernel};

/// What the leaves of an ensemble add.
pub(super) enum LeafOutput<T> {
    /// Their own value, to the output of their tree.
    Own,
    /// Several values, one to each output.
    Vector(VectorLeaves<T>),
    /// A linear function of the row.
    Linear(LinearLeaves<T>),
}

impl<T: Float> LeafOutput<T> {
    /// The bytes that it holds.
    pub(super) fn memory(&self) -> usize {
        match self {
            Self::Own => 0,
            Self::Vector(VectorLeaves { trees, places, values, .. }) => {
                size_of_val(&**trees) + size_of_val(&**places) + size_of_val(&**values)
            }
            Self::Linear(LinearLeaves { trees, leaves, terms }) => {
                size_of_val(&**trees) + size_of_val(&**leaves) + size_of_val(&**terms)
            }
        }
    }

    /// The margins of `rows`, row after row, one per output group.
    pub(super) fn margins(
        &self,
        ensemble: &Ensemble<T>,
        columns: &[T],
        stride: usize,
        rows: Range<usize>,
    ) -> Vec<T> {
        if matches!(self, Self::Own) {
            return kernel::margins(ensemble, columns, stride, rows);
        }
        let (groups, trees) = (ensemble.groups(), ensemble.trees());
        let mut sums = ensemble.start_sums(rows.len());
        let (first, mut row, mut tree) = (rows.start, 0, 0);
        let each = |leaf: u32| {
            let sums = &mut sums[row * groups..][..groups];
            match self {
                Self::Own => {} // the kernel has added it up
                Self::Vector(vectors) => {
                    let values = vectors.get(tree, leaf as usize);
                    sums.iter_mut().zip(values).for_each(|(sum, value)| *sum += *value);
                }
                Self::Linear(linear) => {
                    let value =
                        linear.value(tree, leaf as usize, |column| columns[column * stride + first + row]);
                    sums[trees[tree].group as usize] += value;
                }
            }
            tree += 1;
            if tree == trees.len() {
                (row, tree) = (row + 1, 0);
            }
        };
        kernel::leaves(ensemble, columns, stride, rows, each);
        sums
    }
}

/// Leaves of several values each.
pub(super) struct VectorLeaves<T> {
    size: usize,
    /// Where a tree's places and values start.
    trees: Vec<(usize, usize)>,
    /// By the library's index of a leaf: its place among the values of its tree.
    places: Vec<u32>,
    values: Vec<T>,
}

impl<T: Float> VectorLeaves<T> {
    /// For leaves of `size` values.
    pub(super) fn new(size: usize) -> Self {
        Self { size, trees: Vec::new(), places: Vec::new(), values: Vec::new() }
    }

    /// Appends a tree: the place of each of its nodes and the values that they point to.
    pub(super) fn add_tree(
        &mut self,
        places: impl Iterator<Item = u32>,
        values: impl Iterator<Item = T>,
    ) -> Result<(), String> {
        let (first_place, first_value) = (self.places.len(), self.values.len());
        self.trees.push((first_place, first_value));
        self.places.extend(places);
        self.values.extend(values);
        let (added, size) = (&self.values[first_value..], self.size);
        if !added.iter().all(|value| value.to_f64().is_finite()) {
            return Err("a leaf has a value that is not a finite number".to_owned());
        }
        if added.len() % size != 0 {
            return Err(format!("the {} values of its leaves are not {size} each", added.len()));
        }
        match self.places[first_place..].iter().find(|place| **place as usize >= added.len() / size) {
            Some(place) => Err(format!("the values of leaf {place} are missing")),
            None => Ok(()),
        }
    }

    fn get(&self, tree: usize, leaf: usize) -> &[T] {
        let (first_place, first_value) = self.trees[tree];
        let place = self.places[first_place + leaf] as usize;
        &self.values[first_value + place * self.size..][..self.size]
    }
}

/// Leaves that are linear functions (LightGBM's linear trees).
pub(super) struct LinearLeaves<T> {
    /// Where a tree's leaves start.
    trees: Vec<usize>,
    leaves: Vec<LinearLeaf<T>>,
    /// Columns with their factors.
    terms: Vec<(u32, T)>,
}

struct LinearLeaf<T> {
    constant: T,
    terms: Range<usize>,
    /// What it adds when a value that it needs is missing.
    otherwise: T,
}

impl<T: Float> LinearLeaves<T> {
    pub(super) fn new() -> Self {
        Self { trees: Vec::new(), leaves: Vec::new(), terms: Vec::new() }
    }

    /// Starts the next tree: the leaves that follow are its.
    pub(super) fn add_tree(&mut self) {
        self.trees.push(self.leaves.len());
    }

    /// Appends a leaf with its terms and what it adds when one of their values is missing.
    pub(super) fn add_leaf(&mut self, constant: T, terms: impl Iterator<Item = (u32, T)>, otherwise: T) {
        let start = self.terms.len();
        self.terms.extend(terms);
        self.leaves.push(LinearLeaf { constant, terms: start..self.terms.len(), otherwise });
    }

    fn value(&self, tree: usize, leaf: usize, column: impl Fn(usize) -> T) -> T {
        let leaf = &self.leaves[self.trees[tree] + leaf];
        let mut sum = leaf.constant;
        for (at, factor) in &self.terms[leaf.terms.clone()] {
            let value = column(*at as usize);
            if value.to_f64().is_nan() {
                return leaf.otherwise;
            }
            // read as zero, as by its splits
            if value.to_f64().abs() > ZERO_BOUND {
                sum += *factor * value;
            }
        }
        sum
    }
}
