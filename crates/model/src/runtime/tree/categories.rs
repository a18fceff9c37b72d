//! Sets of category codes: how they are held while a file is read, and the table by which a column's value fills the
//! slots of all its sets. Where the slots lie is left to `inputs`.

use super::Float;
use super::ensemble::LANES;

/// How a number becomes a category code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CodeRule {
    /// XGBoost: below zero is no category; then cut to a whole number.
    SignFirst,
    /// LightGBM: cut to a whole number; then below zero is no category.
    CutFirst,
}

/// Codes as words of 32 that lie next to each other: the number of the word, and a bit for each code. Ascending, none
/// empty. However a file writes its codes, they take about as much memory as they take in the file.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Codes(Vec<(u32, u32)>);

impl Codes {
    /// The codes of bits: word after word, the lowest bit first.
    pub(super) fn of_bits(words: &[u32]) -> Self {
        let mut held = Vec::with_capacity(words.iter().filter(|bits| **bits != 0).count());
        held.extend((0..).zip(words.iter().copied()).filter(|(_, bits)| *bits != 0));
        Self(held)
    }

    /// The codes of a list in any order.
    pub(super) fn of_list(codes: &[u32]) -> Self {
        Self::joined(codes.iter().map(|code| (code / 32, 1 << (code % 32))).collect())
    }

    fn joined(mut words: Vec<(u32, u32)>) -> Self {
        words.sort_unstable();
        words.dedup_by(|next, kept| {
            let same = next.0 == kept.0;
            kept.1 |= if same { next.1 } else { 0 };
            same
        });
        words.shrink_to_fit();
        Self(words)
    }
}

/// Answers of one set-valued split.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Set {
    pub(super) members: Codes,
    /// Whether members go right (else all other codes do).
    pub(super) members_right: bool,
    /// Whether a missing value goes right.
    pub(super) missing_right: bool,
}

/// One categorical column and the sets of codes that its splits ask for: one slot per set,
/// 1 where the row goes right, 0 where it goes left.
#[derive(Debug)]
pub(super) struct Membership {
    pub(super) column: u32,
    rule: CodeRule,
    first_slot: u32,
    sets: usize,
    /// The codes that some set holds.
    words: Vec<Word>,
    /// The row for codes that no set holds; the one for missing values follows.
    others: usize,
    /// A row of `sets` bits for each code of `words`, and those two.
    bits: Vec<u64>,
}

/// Up to 32 codes that some set holds.
#[derive(Debug)]
struct Word {
    number: u32,
    held: u32,
    /// The row of its lowest code.
    first_row: u32,
}

impl Word {
    /// The row of a code; None when no set holds it.
    fn row(&self, code: u32) -> Option<usize> {
        let bit = 1_u32 << (code % 32);
        let below = (self.held & (bit - 1)).count_ones();
        (self.held & bit != 0).then_some((self.first_row + below) as usize)
    }
}

/// The tables of bits of a model may take this many words: 256 MiB.
pub(super) const MEMBERSHIP_WORDS: usize = (256 << 20) / size_of::<u64>();

impl Membership {
    /// Takes the words of its table from `words_left`.
    pub(super) fn new(
        column: u32,
        rule: CodeRule,
        first_slot: u32,
        sets: &[&Set],
        words_left: &mut usize,
    ) -> Result<Self, String> {
        let held = Codes::joined(sets.iter().flat_map(|set| set.members.0.iter().copied()).collect());
        let codes: u64 = held.0.iter().map(|(_, bits)| u64::from(bits.count_ones())).sum();
        let stride = sets.len().div_ceil(64);
        let table = usize::try_from(codes + 2).unwrap_or(usize::MAX).saturating_mul(stride);
        *words_left = words_left
            .checked_sub(table)
            .ok_or_else(|| format!("feature {column} has too many categories in too many splits"))?;
        let mut first_row = 0;
        let word = |(number, held): (u32, u32)| {
            let word = Word { number, held, first_row };
            first_row += held.count_ones();
            word
        };
        let words = held.0.into_iter().map(word).collect();
        let others = codes as usize; // fewer than there are words left
        let mut made = Self { column, rule, first_slot, sets: sets.len(), words, others, bits: Vec::new() };
        made.bits = made.table(sets, table, stride);
        Ok(made)
    }

    /// The bits, row after row: set after set would take a step in memory for each bit.
    fn table(&self, sets: &[&Set], len: usize, stride: usize) -> Vec<u64> {
        let row_of = |right: &dyn Fn(&Set) -> bool| {
            let mut row = vec![0; stride];
            sets.iter().enumerate().for_each(|(i, set)| row[i / 64] |= u64::from(right(set)) << (i % 64));
            row
        };
        let others = row_of(&|set| !set.members_right);
        let mut bits = Vec::with_capacity(len);
        (0..=self.others).for_each(|_| bits.extend_from_slice(&others));
        bits.extend(row_of(&|set| set.missing_right));
        for (i, set) in sets.iter().enumerate() {
            for (number, held) in &set.members.0 {
                let codes = (0..32).filter(|bit| held >> bit & 1 == 1).map(|bit| number * 32 + bit);
                for row in codes.map(|code| self.row_of_code(code)) {
                    let bit = &mut bits[row * stride + i / 64];
                    *bit = *bit & !(1 << (i % 64)) | u64::from(set.members_right) << (i % 64);
                }
            }
        }
        bits
    }

    fn row_of_code(&self, code: u32) -> usize {
        let number = code / 32;
        let word = match self.words.get(number as usize) {
            // most codes are counted from 0 without gaps
            Some(word) if word.number == number => Some(word),
            _ => self.words.binary_search_by_key(&number, |word| word.number).ok().map(|at| &self.words[at]),
        };
        word.and_then(|word| word.row(code)).unwrap_or(self.others)
    }

    /// The row of bits for a value.
    fn row(&self, value: f64) -> usize {
        if value.is_nan() {
            return self.others + 1;
        }
        let none = match self.rule {
            CodeRule::SignFirst => value < 0.0,
            CodeRule::CutFirst => value <= -1.0,
        };
        // saturates: no set holds u32::MAX
        if none { self.others } else { self.row_of_code(value as u32) }
    }

    /// Fills the slots of its sets for one row; `group` is as for [`super::inputs::Slots::fill`].
    pub(super) fn fill<T: Float>(&self, value: T, lane: usize, group: &mut [T]) {
        let stride = self.sets.div_ceil(64);
        let bits = &self.bits[self.row(value.to_f64()) * stride..][..stride];
        let slots = group[self.first_slot as usize * LANES..].chunks_exact_mut(LANES);
        for (set, slot) in slots.take(self.sets).enumerate() {
            slot[lane] = if bits[set / 64] >> (set % 64) & 1 == 1 { T::ONE } else { T::ZERO };
        }
    }

    /// The number of its slots.
    pub(super) fn slots(&self) -> usize {
        self.sets
    }

    /// The bytes that it holds beside itself.
    pub(super) fn memory(&self) -> usize {
        size_of_val(&*self.words) + size_of_val(&*self.bits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(codes: &[u32], members_right: bool, missing_right: bool) -> Set {
        Set { members: Codes::of_list(codes), members_right, missing_right }
    }

    fn check(rule: CodeRule, set: &Set, expected: &[(f64, bool)]) {
        let membership = Membership::new(0, rule, 0, &[set], &mut 99).unwrap();
        for (value, right) in expected {
            let mut group = [0.5; LANES];
            membership.fill(*value, 3, &mut group);
            assert_eq!(group[3], f64::from(u8::from(*right)), "{value} {set:?}");
        }
    }

    #[test]
    fn codes_follow_the_library_rule() {
        let far = 4294967295.0;
        check(
            CodeRule::SignFirst,
            &set(&[2, 0, 2], true, false),
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
            &set(&[0, 2], false, true),
            &[(-0.5, false), (-1.0, true), (2.0, false), (3.0, true), (1e300, true), (f64::NAN, true)],
        );
    }

    #[test]
    fn codes_far_from_each_other_are_found() {
        let codes = [31, 32, 63, 64, 1000, 16_777_215, 134_217_727];
        let expected: Vec<_> =
            codes.iter().flat_map(|c| [-1.0, 0.0, 1.0].map(|d| f64::from(*c) + d)).collect();
        let expected: Vec<_> = expected.iter().map(|v| (*v, codes.contains(&(*v as u32)))).collect();
        check(CodeRule::SignFirst, &set(&codes, true, true), &expected);
    }

    #[test]
    fn bits_and_lists_are_the_same_codes() {
        for (words, codes) in [
            (&[][..], &[][..]),
            (&[0], &[]),
            (&[0b101], &[2, 0]),
            (&[0, 1 << 31, 0, 1], &[96, 63, 96]),
            (&[u32::MAX], &(0..32).collect::<Vec<_>>()),
        ] {
            assert_eq!(Codes::of_bits(words), Codes::of_list(codes), "{words:?}");
        }
    }

    #[test]
    fn many_sets_share_a_column() {
        let codes = |i: u32| [i * 7, i * 7 + 1];
        let sets: Vec<Set> = (0..130).map(|i| set(&codes(i), i % 2 == 0, i % 3 == 0)).collect();
        let membership =
            Membership::new(0, CodeRule::SignFirst, 0, &sets.iter().collect::<Vec<_>>(), &mut 9999).unwrap();
        for value in [0.0, 1.0, 7.0, 448.0, 903.0, 904.0, 905.0, f64::NAN] {
            let mut group = vec![0.5; 130 * LANES];
            membership.fill(value, 0, &mut group);
            for (i, set) in sets.iter().enumerate() {
                let member = codes(i as u32).contains(&(value as u32));
                let right = if value.is_nan() { set.missing_right } else { member == set.members_right };
                assert_eq!(group[i * LANES], f64::from(u8::from(right)), "{value} {set:?}");
            }
        }
    }
}
