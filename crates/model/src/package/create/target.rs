//! What is predicted: name, labels in the order of the outputs, positive class and threshold, each given or found.

use portend_core::{Label, Target, TargetKind};

use super::training::{Table, as_labels, labels};
use super::{CreateError, Work, describe, shown, value};
use crate::package::manifest::TargetEntry;
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
            _ if recipe.positive_class.is_some() => return unfit("a positive class"),
            _ if recipe.threshold.is_some() => return unfit("a threshold"),
            _ => {}
        }
        if own.labels().is_empty() {
            return Ok(entry);
        }
        let classes = self.classes(own, name, table)?;
        entry.classes = classes.iter().map(value).collect();
        if matches!(own.kind, TargetKind::Binary { .. }) {
            self.binary(&classes, &mut entry)?;
        }
        Ok(entry)
    }

    fn binary(&mut self, classes: &[Label], entry: &mut TargetEntry) -> Result<(), CreateError> {
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
        let threshold = self.recipe.threshold.unwrap_or(0.5);
        if !(0.0..=1.0).contains(&threshold) {
            return Err(CreateError::Threshold(threshold));
        }
        let origin = if self.recipe.threshold.is_some() { "given" } else { "the default" };
        self.found("threshold", threshold.to_string(), origin);
        entry.positive_class = Some(value(positive));
        entry.threshold = Some(threshold);
        Ok(())
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
