//! Slots: the inputs of an ensemble made ready for the one question that nodes ask, `value > threshold`.
//! They are computed once per row, before any tree is walked; only inputs that some tree uses have any.

use super::Float;
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

/// How a number becomes a category code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CodeRule {
    /// XGBoost: below zero is no category; then cut to a whole number.
    SignFirst,
    /// LightGBM: cut to a whole number; then below zero is no category.
    CutFirst,
}

/// One categorical column and the sets of codes that its splits ask for: one slot per set,
/// 1 where the row goes right, 0 where it goes left.
#[derive(Debug)]
pub(super) struct Membership {
    column: u32,
    rule: CodeRule,
    first_slot: u32,
    sets: usize,
    /// The codes that some set holds, ascending.
    codes: Vec<u32>,
    /// A row of `sets` bits per code, then one for any other code, then one for missing.
    bits: Vec<u64>,
}

/// Answers of one set-valued split.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Set {
    /// Codes, ascending, without repetition.
    pub(super) members: Vec<u32>,
    /// Whether members go right (else all other codes do).
    pub(super) members_right: bool,
    /// Whether a missing value goes right.
    pub(super) missing_right: bool,
}

/// The tables of bits of a model may take this many words: 256 MiB.
pub(super) const MEMBERSHIP_WORDS: usize = (256 << 20) / size_of::<u64>();

impl Membership {
    /// Takes the words of its table from `words_left`.
    pub(super) fn new(
        column: u32,
        rule: CodeRule,
        first_slot: u32,
        sets: &[Set],
        words_left: &mut usize,
    ) -> Result<Self, String> {
        let mut codes: Vec<u32> = sets.iter().flat_map(|s| s.members.iter().copied()).collect();
        codes.sort_unstable();
        codes.dedup();
        let words = sets.len().div_ceil(64);
        let table = (codes.len() + 2).saturating_mul(words);
        *words_left = words_left
            .checked_sub(table)
            .ok_or_else(|| format!("feature {column} has too many categories in too many splits"))?;
        let row_of = |right: &dyn Fn(&Set) -> bool| {
            let mut row = vec![0; words];
            sets.iter().enumerate().for_each(|(i, set)| row[i / 64] |= u64::from(right(set)) << (i % 64));
            row
        };
        // row after row: set after set would take a step in memory for each bit
        let others = row_of(&|set| !set.members_right);
        let mut bits = Vec::with_capacity(table);
        (0..=codes.len()).for_each(|_| bits.extend_from_slice(&others));
        bits.extend(row_of(&|set| set.missing_right));
        for (i, set) in sets.iter().enumerate() {
            for member in &set.members {
                let row = codes.partition_point(|c| c < member);
                let bit = &mut bits[row * words + i / 64];
                *bit = *bit & !(1 << (i % 64)) | u64::from(set.members_right) << (i % 64);
            }
        }
        Ok(Self { column, rule, first_slot, sets: sets.len(), codes, bits })
    }

    /// The row of bits for a value.
    fn row(&self, value: f64) -> usize {
        if value.is_nan() {
            return self.codes.len() + 1;
        }
        let none = match self.rule {
            CodeRule::SignFirst => value < 0.0,
            CodeRule::CutFirst => value <= -1.0,
        };
        let code = value as u32; // saturates: no set holds u32::MAX
        match none {
            true => self.codes.len(),
            false => self.codes.binary_search(&code).unwrap_or(self.codes.len()),
        }
    }

    fn fill<T: Float>(&self, value: T, lane: usize, group: &mut [T]) {
        let words = self.sets.div_ceil(64);
        let row = self.row(value.to_f64());
        let bits = &self.bits[row * words..][..words];
        let slots = group[self.first_slot as usize * LANES..].chunks_exact_mut(LANES);
        for (set, slot) in slots.take(self.sets).enumerate() {
            slot[lane] = if bits[set / 64] >> (set % 64) & 1 == 1 { T::ONE } else { T::ZERO };
        }
    }
}

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
        let len = 1 + plain.len() + memberships.iter().map(|m| m.sets).sum::<usize>();
        Self { plain, memberships, len, _values: std::marker::PhantomData }
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// The bytes that they hold.
    pub(super) fn memory(&self) -> usize {
        let tables = self.memberships.iter().map(|m| size_of_val(&*m.codes) + size_of_val(&*m.bits));
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

#[cfg(test)]
mod tests {
    use super::*;

    fn check(rule: CodeRule, set: &Set, expected: &[(f64, bool)]) {
        let membership = Membership::new(0, rule, 0, std::slice::from_ref(set), &mut 99).unwrap();
        for (value, right) in expected {
            let mut group = [0.5; LANES];
            membership.fill(*value, 3, &mut group);
            assert_eq!(group[3], f64::from(u8::from(*right)), "{value} {set:?}");
        }
    }

    #[test]
    fn codes_follow_the_library_rule() {
        let right = Set { members: vec![0, 2], members_right: true, missing_right: false };
        let left = Set { members: vec![0, 2], members_right: false, missing_right: true };
        let far = 4294967295.0;
        check(
            CodeRule::SignFirst,
            &right,
            &[
                (0.0, true),
                (1.0, false),
                (2.9, true),
                (-0.5, false),
                (-1.0, false),
                (far, false),
                (f64::NAN, false),
            ],
        );
        check(
            CodeRule::CutFirst,
            &left,
            &[(-0.5, false), (-1.0, true), (2.0, false), (3.0, true), (1e300, true), (f64::NAN, true)],
        );
    }

    #[test]
    fn many_sets_share_a_column() {
        let sets: Vec<Set> = (0..130)
            .map(|i| Set { members: vec![i, i + 1], members_right: i % 2 == 0, missing_right: i % 3 == 0 })
            .collect();
        let membership = Membership::new(0, CodeRule::SignFirst, 0, &sets, &mut 9999).unwrap();
        for value in [0.0, 1.0, 64.0, 129.0, 130.0, 131.0, f64::NAN] {
            let mut group = vec![0.5; 130 * LANES];
            membership.fill(value, 0, &mut group);
            for (i, set) in sets.iter().enumerate() {
                let member = set.members.contains(&(value as u32));
                let right = if value.is_nan() { set.missing_right } else { member == set.members_right };
                assert_eq!(group[i * LANES], f64::from(u8::from(right)), "{value} {set:?}");
            }
        }
    }
}
