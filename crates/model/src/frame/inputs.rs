//! What the decoders are directed by: the columns a model reads, in its order, and how cells become numbers.

use std::collections::HashMap;

use portend_core::{Feature, Label};

use super::{Precision, number};
use crate::error::DataError;

/// How request columns find their inputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Matching {
    /// By name; columns that no input names are ignored.
    Name,
    /// By name, where white space in a column's name may stand as `_` in the input's: LightGBM keeps names so.
    NameUnderscored,
    /// By position; the counts must agree. For model files that carry no names.
    Position,
}

/// The columns that a model reads.
#[derive(Debug, Clone)]
pub struct Inputs {
    columns: Vec<Input>,
    index: HashMap<String, usize>,
    /// The width of the numbers that the runtime reads.
    pub precision: Precision,
    /// How columns are found.
    pub matching: Matching,
    missing_words: Vec<String>,
}

/// One column that a model reads.
#[derive(Debug, Clone)]
pub struct Input {
    /// Its name in requests.
    pub name: String,
    /// Whether a request without it is refused.
    pub required: bool,
    /// How its cells become numbers.
    pub kind: InputKind,
}

/// How cells become numbers.
#[derive(Debug, Clone)]
pub enum InputKind {
    /// They are numbers.
    Number,
    /// They are levels; the number is the level's code.
    Level(Levels),
}

impl Inputs {
    /// Inputs in the model's order. `missing_words` mean "missing" beside the built-in words.
    pub fn new(
        features: &[Feature],
        precision: Precision,
        matching: Matching,
        missing_words: Vec<String>,
    ) -> Self {
        let columns: Vec<Input> = features.iter().map(Input::new).collect();
        let index = columns.iter().enumerate().map(|(i, c)| (c.name.clone(), i)).collect();
        Self { columns, index, precision, matching, missing_words }
    }

    /// The inputs in the model's order.
    pub fn columns(&self) -> &[Input] {
        &self.columns
    }

    /// Whether some input is found by this name; never where they are matched by position.
    pub fn knows(&self, name: &str) -> bool {
        self.find(name, usize::MAX).is_some()
    }

    /// The input for a column called `name` at position `position`. Most requests have the columns in the model's
    /// order, and then no look-up is needed.
    pub(super) fn find(&self, name: &str, position: usize) -> Option<usize> {
        match self.matching {
            Matching::Position => Some(position).filter(|p| *p < self.columns.len()),
            _ if self.columns.get(position).is_some_and(|c| c.name == name) => Some(position),
            Matching::Name => self.index.get(name).copied(),
            Matching::NameUnderscored => match self.index.get(name) {
                None if name.contains(char::is_whitespace) => self.index.get(&underscored(name)).copied(),
                found => found.copied(),
            },
        }
    }

    /// The number for a text cell of input `column`; NaN when missing or an unknown level.
    pub(super) fn number(&self, column: usize, row: usize, text: &str) -> Result<f64, DataError> {
        let input = &self.columns[column];
        match &input.kind {
            InputKind::Number => match number::parse(text, &self.missing_words) {
                number::Cell::Value(value) => Ok(value),
                number::Cell::Missing => Ok(f64::NAN),
                number::Cell::Bad => Err(DataError::not_a_number(&input.name, row, text)),
            },
            InputKind::Level(_) if text.is_empty() || self.missing_words.iter().any(|w| w == text) => {
                Ok(f64::NAN)
            }
            InputKind::Level(levels) => Ok(levels.code(text)),
        }
    }

    /// Refuses a request whose columns (by input: present or not) leave out a required one.
    pub(super) fn check_present(&self, present: &[bool]) -> Result<(), DataError> {
        match self.columns.iter().zip(present).find(|(input, present)| input.required && !**present) {
            Some((input, _)) => Err(DataError::ColumnMissing { name: input.name.clone() }),
            None => Ok(()),
        }
    }

    /// Refuses another number of columns than the model's when they are matched by position.
    pub(super) fn check_count(&self, found: usize) -> Result<(), DataError> {
        let expected = self.columns.len();
        if self.matching == Matching::Position && found != expected {
            return Err(DataError::ColumnCount { expected, found });
        }
        Ok(())
    }
}

/// A name as LightGBM keeps it.
pub(crate) fn underscored(name: &str) -> String {
    name.replace(char::is_whitespace, "_")
}

impl Input {
    fn new(feature: &Feature) -> Self {
        let kind = if feature.levels.is_empty() {
            InputKind::Number
        } else {
            InputKind::Level(Levels::new(&feature.levels))
        };
        Self { name: feature.name.clone(), required: feature.required, kind }
    }

    /// What the model reads for a number: itself, or the code of the level that it is.
    pub(super) fn of_number(&self, number: f64) -> f64 {
        match &self.kind {
            InputKind::Number => number,
            InputKind::Level(levels) => levels.code_of_number(number),
        }
    }
}

/// The levels of a categorical input with their codes.
#[derive(Debug, Clone, Default)]
pub struct Levels {
    texts: HashMap<String, f64>,
    /// By bit pattern of the f64, for levels that are numbers.
    numbers: HashMap<u64, f64>,
}

impl Levels {
    /// Level `i` of `labels` gets code `i`.
    pub fn new(labels: &[Label]) -> Self {
        let mut levels = Self::default();
        for (i, label) in labels.iter().enumerate() {
            let code = i as f64;
            match label {
                Label::Text(text) => _ = levels.texts.insert(text.clone(), code),
                Label::Integer(value) => _ = levels.numbers.insert(key(*value as f64), code),
                Label::Number(value) => _ = levels.numbers.insert(key(*value), code),
                Label::Bool(value) => _ = levels.numbers.insert(key(f64::from(u8::from(*value))), code),
            }
        }
        levels
    }

    /// The code of the level written as `text`; NaN for an unknown one.
    pub fn code(&self, text: &str) -> f64 {
        if let Some(code) = self.texts.get(text) {
            return *code;
        }
        match number::parse(text, &[]) {
            number::Cell::Value(value) if !self.numbers.is_empty() => self.code_of_number(value),
            _ => f64::NAN,
        }
    }

    /// The code of the level that is the number `value`; NaN for an unknown one.
    pub fn code_of_number(&self, value: f64) -> f64 {
        self.numbers.get(&key(value)).copied().unwrap_or(f64::NAN)
    }
}

/// 0 and -0 are one level.
fn key(value: f64) -> u64 {
    (value + 0.0).to_bits()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_found_by_the_rule_of_the_model() {
        let check = |matching, name, position, expected| {
            let features = ["mean_radius", "mean area"].map(Feature::number);
            let inputs = Inputs::new(&features, Precision::Double, matching, Vec::new());
            assert_eq!(inputs.find(name, position), expected, "{matching:?} {name} {position}");
        };
        check(Matching::Name, "mean_radius", 0, Some(0));
        check(Matching::Name, "mean_radius", 7, Some(0));
        check(Matching::Name, "mean radius", 0, None);
        check(Matching::NameUnderscored, "mean radius", 0, Some(0));
        check(Matching::NameUnderscored, "mean_radius", 5, Some(0));
        check(Matching::NameUnderscored, "mean area", 5, Some(1));
        check(Matching::NameUnderscored, "mean_area", 1, None);
        check(Matching::Position, "anything", 1, Some(1));
        check(Matching::Position, "mean_radius", 2, None);
    }

    #[test]
    fn levels_are_found_by_text_and_by_number() {
        let text = Levels::new(&[Label::Text("a".into()), Label::Text("1".into())]);
        let numbers = Levels::new(&[Label::Integer(10), Label::Number(0.5), Label::Bool(true)]);
        for (levels, cell, expected) in [
            (&text, "a", Some(0.0)),
            (&text, "1", Some(1.0)),
            (&text, "1.0", None),
            (&text, "A", None),
            (&numbers, "10", Some(0.0)),
            (&numbers, "10.0", Some(0.0)),
            (&numbers, ".5", Some(1.0)),
            (&numbers, "True", Some(2.0)),
            (&numbers, "11", None),
            (&numbers, "x", None),
        ] {
            let code = levels.code(cell);
            assert_eq!((!code.is_nan()).then_some(code), expected, "{cell}");
        }
    }
}
