//! What the features are: names and levels out of the model file, types, ranges and further names out of training
//! data. Where both know the levels, the model file's order holds.

use std::borrow::Cow;
use std::collections::HashMap;

use portend_core::Label;

use super::table::{Column, Table};
use super::training::{as_labels, labels, range, unknown};
use super::{CreateError, Finding, Recipe, cell, shown, value};
use crate::frame::{Matching, underscored};
use crate::model::{same_levels, without_levels};
use crate::package::manifest::FeatureEntry;
use crate::runtime::{Kind, ModelFeature, Prepared};

/// What features are inferred from.
pub(super) struct Inference<'a> {
    pub(super) kind: Kind,
    pub(super) prepared: &'a Prepared,
    pub(super) table: Option<&'a Table>,
    pub(super) recipe: &'a Recipe<'a>,
    pub(super) target: &'a str,
}

impl Inference<'_> {
    /// The features in the model's order; none when nobody knows their names.
    pub(super) fn features(&self, findings: &mut Vec<Finding>) -> Result<Vec<FeatureEntry>, CreateError> {
        let named = self.prepared.matching != Matching::Position;
        if self.table.is_none() && !named {
            self.check_levels(&[])?;
        }
        if self.table.is_none() && !named {
            let value = format!("{} without names, matched by position", self.prepared.features.len());
            findings.push(Finding { subject: "features", value, origin: "the model file".to_owned() });
            return Ok(Vec::new());
        }
        let columns = self.columns()?;
        let known = self.known(&columns);
        let mut entries = Vec::with_capacity(known.len());
        for (i, feature) in known.iter().enumerate() {
            let mut entry = self.entry(feature, columns.get(i).copied(), findings)?;
            entry.order = i as u64;
            entries.push(entry);
        }
        self.check_levels(&entries)?;
        let training = self.training();
        let known = if known.iter().any(|f| !f.levels.is_empty()) { "names and levels" } else { "names" };
        let origin = match (columns.is_empty(), named) {
            (true, _) => format!("{known} from the model file, types assumed"),
            (false, true) => format!("{known} from the model file, types from {training}"),
            (false, false) => format!("names, by position, and types from {training}"),
        };
        findings.push(Finding { subject: "features", value: counted(&entries), origin });
        Ok(entries)
    }

    /// What the model file knows of the features. Levels that were given against its lists put its say on columns aside.
    fn known(&self, columns: &[&Column]) -> Cow<'_, [ModelFeature]> {
        let features = &self.prepared.features;
        let against = |(i, feature): (usize, &ModelFeature)| {
            let given = self.given(name(feature, columns.get(i).copied()));
            given.is_some_and(|given| !same_levels(&given, &feature.levels))
        };
        match !self.prepared.level_lists.lists.is_empty() && features.iter().enumerate().any(against) {
            true => Cow::Owned(without_levels(features)),
            false => Cow::Borrowed(features),
        }
    }

    /// The levels that were given for a feature, as the model file has them if it has the same.
    fn given(&self, name: &str) -> Option<Vec<Label>> {
        let (_, texts) = self.recipe.levels.iter().find(|(given, _)| given == name)?;
        let labels = as_labels(&texts.iter().map(String::as_str).collect::<Vec<_>>());
        let features = self.prepared.features.iter().map(|feature| &feature.levels);
        let lists: Vec<_> = self.prepared.level_lists.lists.iter().chain(features).collect();
        let spelt = |list: &&&Vec<Label>| {
            list.len() == texts.len()
                && list.iter().zip(texts).all(|(label, text)| label.to_string() == *text)
        };
        let same = lists.iter().find(|list| same_levels(list, &labels)).or_else(|| lists.iter().find(spelt));
        Some(same.map_or(labels, |list| (*list).clone()))
    }

    fn training(&self) -> &str {
        self.recipe.training.map(|training| training.name).unwrap_or_default()
    }

    /// The column of each feature; none without training data.
    fn columns(&self) -> Result<Vec<&Column>, CreateError> {
        let Some(table) = self.table else { return Ok(Vec::new()) };
        if self.prepared.matching == Matching::Position {
            return self.columns_by_position(table);
        }
        let mut by_name: HashMap<String, &Column> = HashMap::new();
        if self.prepared.matching == Matching::NameUnderscored {
            by_name.extend(table.columns.iter().map(|c| (underscored(&c.name), c)));
        }
        // a name as it is goes before one so changed
        by_name.extend(table.columns.iter().map(|c| (c.name.clone(), c)));
        let features = &self.prepared.features;
        let absent: Vec<_> = features.iter().filter(|f| !by_name.contains_key(&f.name)).collect();
        if !absent.is_empty() {
            let mut missing: Vec<_> = absent.iter().take(5).map(|f| format!("'{}'", f.name)).collect();
            if absent.len() > missing.len() {
                missing.push(format!("… ({} in all)", absent.len()));
            }
            let file = self.training().to_owned();
            return Err(CreateError::FeaturesMissing { file, missing: missing.join(", ") });
        }
        Ok(features.iter().filter_map(|f| by_name.get(&f.name).copied()).collect())
    }

    fn columns_by_position<'t>(&self, table: &'t Table) -> Result<Vec<&'t Column>, CreateError> {
        let columns: Vec<_> = table.columns.iter().filter(|column| column.name != self.target).collect();
        let (needed, found) = (self.prepared.features.len(), columns.len());
        if needed != found {
            let (file, target) = (self.training().to_owned(), self.target.to_owned());
            return Err(CreateError::ColumnCount { file, needed, found, target });
        }
        Ok(columns)
    }

    fn entry(
        &self,
        known: &ModelFeature,
        column: Option<&Column>,
        findings: &mut Vec<Finding>,
    ) -> Result<FeatureEntry, CreateError> {
        let words = &self.recipe.missing_values;
        let name = name(known, column).to_owned();
        let mut entry = FeatureEntry { name, required: true, ..FeatureEntry::default() };
        if let Some(levels) = self.given(&entry.name) {
            entry.dtype = "category".to_owned();
            entry.categories = levels.iter().map(value).collect();
            entry.nullable = column.map(|column| has_missing(column, words));
            let value = format!("'{}': {}", entry.name, shown(&levels));
            findings.push(Finding { subject: "levels", value, origin: "given".to_owned() });
            return Ok(entry);
        }
        let categorical = known.categorical || known.levels_lost || !known.levels.is_empty();
        if !categorical {
            entry.dtype = "float64".to_owned();
            let Some(column) = column else { return Ok(entry) };
            let range = range(column, words).map_err(|row| self.not_a_number(column, row))?;
            entry.dtype = range.dtype.name().to_owned();
            entry.nullable = Some(range.nullable);
            (entry.min, entry.max) = (range.min, range.max);
            return Ok(entry);
        }
        entry.dtype = "category".to_owned();
        entry.categories = known.levels.iter().map(value).collect();
        let Some(column) = column else { return Ok(entry) };
        let found = labels(column, words);
        entry.nullable = Some(has_missing(column, words));
        let texts = found.iter().any(|label| matches!(label, Label::Text(_)));
        if !known.levels.is_empty() {
            findings.extend(self.other_levels(known, column)?);
        } else if found.is_empty() || self.kind == Kind::LightGbm && !texts && !known.levels_lost {
            // LightGBM splits by the numbers themselves
        } else if texts || known.levels_lost || !self.are_codes(known, column, &found)? {
            entry.categories = found.iter().map(value).collect();
            findings.push(self.assumed(&entry.name, &format!("in order of value: {}", shown(&found))));
        } else {
            findings.push(self.assumed(&entry.name, &format!("are codes already: {}", shown(&found))));
        }
        Ok(entry)
    }

    fn assumed(&self, name: &str, what: &str) -> Finding {
        let training = self.training();
        let origin = format!(
            "ASSUMED from {training}: the model file lists none; else --levels '{name}=A,B,…', that of code 0 first"
        );
        Finding { subject: "levels", value: format!("'{name}' {what}"), origin }
    }

    /// Whether the numbers of a column are the codes that the splits name, and not levels whose place is the code.
    fn are_codes(&self, known: &ModelFeature, column: &Column, found: &[Label]) -> Result<bool, CreateError> {
        let whole = |label: &Label| match label {
            Label::Integer(value) => Some(*value),
            Label::Bool(value) => Some(i64::from(*value)),
            Label::Number(_) | Label::Text(_) => None,
        };
        let numbers: Vec<i64> = found.iter().map_while(whole).collect();
        let whole = numbers.len() == found.len();
        // below zero is no code: pandas writes -1 for a missing one
        let from_zero = whole && numbers.iter().filter(|n| **n >= 0).zip(0..).all(|(n, i)| *n == i);
        let Some(greatest) = known.greatest_code else { return Ok(from_zero) };
        // what splits name occurs in training data, of which some rows may be left out
        let held = whole && numbers.contains(&i64::from(greatest));
        if (greatest as usize) < found.len() {
            return Ok(held && from_zero);
        }
        if held || whole && numbers.iter().all(|n| *n <= i64::from(greatest)) {
            return Ok(true);
        }
        let (file, column, values) = (self.training().to_owned(), column.name.clone(), shown(found));
        Err(CreateError::NeitherCodesNorLevels { file, column, values, greatest })
    }

    /// What is said of a column with values that are none of the model file's levels.
    fn other_levels(&self, known: &ModelFeature, column: &Column) -> Result<Option<Finding>, CreateError> {
        let (unknown, count) = unknown(column, &known.levels, &self.recipe.missing_values);
        if unknown.is_empty() {
            return Ok(None);
        }
        let values = shown(&unknown.iter().map(|v| Label::Text((*v).to_owned())).collect::<Vec<_>>());
        let (file, column) = (self.training().to_owned(), column.name.clone());
        // other rows than those of the training have other values, but lists of another column have hardly any in common
        let shared = count - unknown.len();
        if shared * 2 < count && shared * 2 < known.levels.len() {
            let (unknown, levels) = (unknown.len(), shown(&known.levels));
            let lists = self.prepared.level_lists.lists.len();
            return Err(CreateError::OtherLevels { file, column, unknown, count, values, levels, lists });
        }
        let value = format!("'{column}' of the model file, without {values}");
        let origin = format!("ASSUMED to be those of the column, though {file} has more");
        Ok(Some(Finding { subject: "levels", value, origin }))
    }

    /// Levels that are given must be for features that are there.
    fn check_levels(&self, entries: &[FeatureEntry]) -> Result<(), CreateError> {
        let absent = |(name, _): &&(String, Vec<String>)| !entries.iter().any(|entry| entry.name == *name);
        match self.recipe.levels.iter().find(absent) {
            Some((name, _)) => Err(CreateError::LevelsOfNothing(name.clone())),
            None => Ok(()),
        }
    }

    fn not_a_number(&self, column: &Column, row: usize) -> CreateError {
        let (file, column, value) = (self.training().to_owned(), column.name.clone(), cell(column, row));
        CreateError::NotANumber { file, column, row, value }
    }
}

/// What a feature is called in requests.
fn name<'n>(known: &'n ModelFeature, column: Option<&'n Column>) -> &'n str {
    column.map_or(&known.name, |column| &column.name)
}

fn has_missing(column: &Column, words: &[String]) -> bool {
    let missing = |cell: &str| cell.is_empty() || words.iter().any(|word| word == cell);
    column.cells().any(missing)
}

/// How many features there are of each type.
fn counted(entries: &[FeatureEntry]) -> String {
    let mut counts: Vec<(&str, usize)> = Vec::new();
    for entry in entries {
        match counts.iter_mut().find(|(dtype, _)| *dtype == entry.dtype) {
            Some((_, count)) => *count += 1,
            None => counts.push((&entry.dtype, 1)),
        }
    }
    let parts: Vec<_> = counts.into_iter().map(|(dtype, count)| format!("{count} {dtype}")).collect();
    format!("{} ({})", entries.len(), parts.join(", "))
}
