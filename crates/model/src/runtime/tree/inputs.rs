//! Slots: the inputs of an ensemble made ready for the one question that nodes ask, `value > threshold`.
//! They are computed once per row, before any tree is walked; only inputs that some tree uses have any.

use super::Float;
use super::categories::Membership;
use super::ensemble::LANES;

/// How the value of a slot follows from its column.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct SlotKind {
    /// What nodes ask of.
    pub(super) form: Form,
    /// Values within 1e-35 of zero are missing (LightGBM's `zero_as_missing`).
    pub(super) zero_is_missing: bool,
}

/// What a slot holds of its value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Form {
    /// The value itself.
    Plain,
    /// Negated, so that NaN, which always compares false, goes to the other side.
    Mirrored,
    /// 1, or 0 for NaN: for splits that only tell what is missing from all else, infinities included.
    Present,
}

/// LightGBM's bound for "is zero": 1e-35 written as a C float.
pub(super) const ZERO_BOUND: f64 = 1e-35_f32 as f64;

/// All slots of an ensemble: first those of plain columns, then those of sets.
#[derive(Debug)]
pub(super) struct Slots<T> {
    plain: Vec<(u32, SlotKind)>,
    memberships: Vec<Membership>,
    len: usize,
    _values: std::marker::PhantomData<T>,
}

impl<T: Float> Slots<T> {
    /// Slot 0 is that of leaves; those of `plain` follow in order, then those of the memberships.
    pub(super) fn new(plain: Vec<(u32, SlotKind)>, memberships: Vec<Membership>) -> Self {
        let len = 1 + plain.len() + memberships.iter().map(Membership::slots).sum::<usize>();
        Self { plain, memberships, len, _values: std::marker::PhantomData }
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// The bytes that they hold.
    pub(super) fn memory(&self) -> usize {
        let tables = self.memberships.iter().map(Membership::memory);
        size_of_val(&*self.plain) + size_of_val(&*self.memberships) + tables.sum::<usize>()
    }

    /// Room for groups of rows, the slot of leaves made ready.
    pub(super) fn groups(&self, count: usize) -> Vec<T> {
        vec![T::NEG_INFINITY; self.len * LANES * count]
    }

    /// Makes up to [`LANES`] rows ready, from `first_row` on: slot `s` of lane `l` is `group[s * LANES + l]`.
    /// `group` is one of [`Slots::groups`]; lanes past `lanes` keep their values.
    pub(super) fn fill(&self, columns: &[T], stride: usize, first_row: usize, lanes: usize, group: &mut [T]) {
        for ((column, kind), slot) in self.plain.iter().zip(group.chunks_exact_mut(LANES).skip(1)) {
            let start = *column as usize * stride + first_row;
            let values = &columns[start..start + lanes];
            for (value, slot) in values.iter().zip(slot) {
                *slot = kind.apply(*value);
            }
        }
        for membership in &self.memberships {
            for lane in 0..lanes {
                let value = columns[membership.column as usize * stride + first_row + lane];
                membership.fill(value, lane, group);
            }
        }
    }
}

impl SlotKind {
    #[inline]
    fn apply<T: Float>(self, value: T) -> T {
        let value = if self.zero_is_missing && value.to_f64().abs() <= ZERO_BOUND { T::NAN } else { value };
        match self.form {
            Form::Plain => value,
            Form::Mirrored => -value,
            Form::Present if value.to_f64().is_nan() => T::ZERO,
            Form::Present => T::ONE,
        }
    }
}
