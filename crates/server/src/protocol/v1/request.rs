//! What is asked of a model, and the rows in its body.

use portend_core::{Target, TargetKind, shortened};
use portend_model::Model;

use crate::config::ClassPredictions;
use crate::error::ServerError;
use crate::protocol::rows::{Answered, Around, Asked, Contract, Object, RowsAnswer, Table};

/// What stands behind the colon of a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verb {
    Predict,
    Classify,
    Regress,
}

fn bad(reason: impl Into<String>) -> ServerError {
    ServerError::BadBody(reason.into())
}

impl Verb {
    /// The word for what such a model can be asked.
    pub(super) fn of(word: &str, target: &Target) -> Result<Self, ServerError> {
        let numbers = matches!(target.kind, TargetKind::Regression | TargetKind::MultiRegression { .. });
        match word {
            "predict" => Ok(Self::Predict),
            "classify" if !numbers => Ok(Self::Classify),
            "classify" => Err(bad("the model predicts numbers, not classes: ask for :regress or :predict")),
            "regress" if matches!(target.kind, TargetKind::Regression) => Ok(Self::Regress),
            "regress" if numbers => Err(bad("the model predicts several numbers: ask for :predict")),
            "regress" => Err(bad("the model predicts classes, not a number: ask for :classify or :predict")),
            "explain" => Err(bad("explanations are not offered: ask for :predict")),
            other => Err(ServerError::NotFound(format!(
                "there is no ':{}': ask for :predict, :classify or :regress",
                shortened(other)
            ))),
        }
    }
}

/// One call.
#[derive(Debug)]
pub(super) struct Call {
    verb: Verb,
    classes: ClassPredictions,
}

impl Call {
    pub(super) fn new(verb: Verb, classes: ClassPredictions) -> Self {
        Self { verb, classes }
    }
}

/// The only signature.
const SIGNATURE: &str = "serving_default";

impl Contract for Call {
    fn read<'b>(&self, text: &'b str, model: &Model) -> Result<Asked<'b>, ServerError> {
        let body =
            Object::parse(text).map_err(|reason| bad(format!("the body is not a JSON object: {reason}")))?;
        match body.get("signature_name").map(|name| name.trim_matches('"')) {
            None | Some("" | SIGNATURE) => {}
            Some(other) => {
                return Err(bad(format!(
                    "there is no signature '{}': the model has '{SIGNATURE}'",
                    shortened(other)
                )));
            }
        }
        let (table, answered, head) = match self.verb {
            Verb::Predict => {
                let (table, head) = rows(&body)?;
                let answered = Answered::from(self.classes).asked("parameters", body.get("parameters"))?;
                (table, answered, head)
            }
            Verb::Classify => (examples(&body)?, Answered::Scores, "{\"result\":["),
            Verb::Regress => (examples(&body)?, Answered::Values, "{\"result\":["),
        };
        let around = Around::Json(head, "]}".to_owned());
        Ok(Asked { table, answer: RowsAnswer::new(answered, around, model) })
    }
}

/// Rows in the one form or the other, and what their answer begins with.
fn rows<'b>(body: &Object<'b>) -> Result<(Table<'b>, &'static str), ServerError> {
    match (body.get("instances"), body.get("inputs")) {
        (Some(rows), None) => Ok((Table::of_list("instances", rows)?, "{\"predictions\":[")),
        (None, Some(columns)) => Ok((Table::of_columns("inputs", columns)?, "{\"outputs\":[")),
        (Some(_), Some(_)) => Err(bad("the body has 'instances' and 'inputs': send one of them")),
        (None, None) => Err(bad("the body has neither 'instances' nor 'inputs': send rows as one of them")),
    }
}

fn examples<'b>(body: &Object<'b>) -> Result<Table<'b>, ServerError> {
    if body
        .get("context")
        .is_some_and(|context| Object::parse(context).map_or(true, |c| c.keys().next().is_some()))
    {
        return Err(bad("'context' is not read: put its values into each of the examples"));
    }
    match body.get("examples") {
        Some(examples) if examples.starts_with('[') => Ok(Table::Records(examples)),
        Some(_) => Err(bad("'examples' is not a list of records")),
        None => Err(bad("the body has no 'examples': send a list of records")),
    }
}
