//! What is predicted: name, labels in the order of the outputs, positive class and threshold, each given or found.

use portend_core::{Label, Target, TargetKind};

use super::table::Table;
use super::training::{as_labels, labels};
use super::{CreateError, Work, describe, shown, value};
use crate::package::manifest::{OutputEntry, TargetEntry};
use crate::package::twice;

impl Work<'_> {
    /// The target, checked against what the model predicts.
    pub(super) fn target(
        &mut self,
        own: &Target,
        name: &str,
        table: Option<&Table>,
    ) -> Result<TargetEntry, CreateError> {
        let recipe = self.recipe;
        self.found("target", name, if recipe.target.is_some() { "given" } else { "the default" });
        let training = recipe.training.map(|training| training.name).unwrap_or_default();
        if table.is_some_and(|table| table.position(name).is_none()) {
            self.found("note", format!("there is no column '{name}': nothing is compared with it"), training);
        }
        let mut entry = TargetEntry { name: name.to_owned(), ..TargetEntry::default() };
        let task = describe::task(&own.kind);
        let unfit = |setting| Err(CreateError::Unfit { setting, task });
        match own.kind {
            _ if own.labels().is_empty() && !recipe.classes.is_empty() => return unfit("classes"),
            TargetKind::Binary { .. } => {}
            TargetKind::Multilabel { .. } if recipe.positive_class.is_none() => {}
            _ if recipe.positive_class.is_some() => return unfit("a positive class"),
            _ if recipe.threshold.is_some() => return unfit("a threshold"),
            _ => {}
        }
        if own.labels().is_empty() || matches!(own.kind, TargetKind::MultiRegression { .. }) {
            return Ok(entry);
        }
        // a row has many labels or none: no column of the training data lists them
        let table = table.filter(|_| !matches!(own.kind, TargetKind::Multilabel { .. }));
        let classes = self.classes(own, name, table)?;
        entry.classes = classes.iter().map(value).collect();
        if matches!(own.kind, TargetKind::Binary { .. }) {
            self.positive_class(&classes, &mut entry)?;
        }
        if own.threshold().is_some() {
            entry.threshold = Some(self.threshold()?);
        }
        Ok(entry)
    }

    /// The names of several numbers, given or as the model file has them.
    pub(super) fn outputs(&mut self, own: &Target) -> Result<Vec<OutputEntry>, CreateError> {
        let TargetKind::MultiRegression { names } = &own.kind else { return Ok(Vec::new()) };
        let given: Vec<Label> = self.recipe.classes.iter().map(|name| Label::Text(name.clone())).collect();
        let (names, origin) = match given.len() {
            0 => (names.as_slice(), "the model file"),
            found if found == names.len() => (given.as_slice(), "given"),
            found => {
                let (origin, classes) = ("the given classes".to_owned(), shown(&given));
                return Err(CreateError::ClassCount { origin, found, classes, needed: names.len() });
            }
        };
        self.found("outputs", shown(names), origin);
        Ok(names.iter().map(|name| OutputEntry { name: name.to_string() }).collect())
    }

    fn positive_class(&mut self, classes: &[Label], entry: &mut TargetEntry) -> Result<(), CreateError> {
        let given = self.recipe.positive_class.as_deref();
        let positive = match given {
            Some(given) => classes.iter().find(|class| class.to_string() == given),
            None => classes.get(1),
        };
        let positive = positive.ok_or_else(|| CreateError::PositiveClass {
            given: given.unwrap_or_default().to_owned(),
            classes: shown(classes),
        })?;
        self.found(
            "positive class",
            positive.to_string(),
            if given.is_some() { "given" } else { "the second class" },
        );
        entry.positive_class = Some(value(positive));
        Ok(())
    }

    fn threshold(&mut self) -> Result<f64, CreateError> {
        let threshold = self.recipe.threshold.unwrap_or(0.5);
        if !(0.0..=1.0).contains(&threshold) {
            return Err(CreateError::Threshold(threshold));
        }
        let origin = if self.recipe.threshold.is_some() { "given" } else { "the default" };
        self.found("threshold", threshold.to_string(), origin);
        Ok(threshold)
    }

    /// The labels, in the order of the model's outputs.
    fn classes(
        &mut self,
        own: &Target,
        target: &str,
        table: Option<&Table>,
    ) -> Result<Vec<Label>, CreateError> {
        let recipe = self.recipe;
        let column = table.and_then(|table| Some((table, table.position(target)?)));
        let training = recipe.training.map(|training| training.name).unwrap_or_default();
        let (classes, origin) = match column {
            _ if !recipe.classes.is_empty() => {
                let texts: Vec<&str> = recipe.classes.iter().map(String::as_str).collect();
                (as_labels(&texts), "the given classes".to_owned())
            }
            Some((table, at)) => {
                let labels = labels(&table.columns[at], &recipe.missing_values);
                (labels, format!("column '{target}' of {training}"))
            }
            None => (own.labels().to_vec(), "the model's own numbers".to_owned()),
        };
        if classes.len() != own.width() {
            let (found, needed) = (classes.len(), own.width());
            return Err(CreateError::ClassCount { origin, found, classes: shown(&classes), needed });
        }
        if let Some(i) = twice(classes.iter().map(|class| format!("{class:?}"))) {
            return Err(CreateError::ClassTwice(classes[i].to_string()));
        }
        let order = if column.is_some() && recipe.classes.is_empty() { ", in order of value" } else { "" };
        let origin = if recipe.classes.is_empty() { format!("{origin}{order}") } else { "given".to_owned() };
        self.found("classes", shown(&classes), origin);
        Ok(classes)
    }
}
