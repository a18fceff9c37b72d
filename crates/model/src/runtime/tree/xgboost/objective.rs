//! XGBoost's objectives: what each predicts, its output transform, and how `base_score` becomes a margin.

use portend_core::Label;

use super::count;
use crate::runtime::Task;
use crate::runtime::link::Link;

/// How an objective turns margins into predictions, and `base_score` into a margin.
pub(super) struct Objective {
    pub(super) task: Task,
    pub(super) link: Link,
    base_margin: BaseMargin,
    /// Margins of a row: classes or targets.
    pub(super) outputs: usize,
}

/// More outputs than this are taken for damage: they bound the memory that a row's answer takes.
const MOST_OUTPUTS: usize = 1 << 16;

impl Objective {
    /// The objective called `name` for a model of this many classes and targets, as texts of the file.
    pub(super) fn new(name: &str, classes: &str, targets: &str) -> Result<Self, String> {
        let classes = count("num_class", classes)?;
        let targets = count("num_target", targets)?.max(1);
        let outputs = classes.max(targets);
        if outputs > MOST_OUTPUTS {
            return Err(format!(
                "{outputs} outputs (num_class, num_target) are not read, at most {MOST_OUTPUTS} are"
            ));
        }
        let (task, link, base_margin) = rule(name)?;
        let task = match (task, targets) {
            (Task::Multiclass, _) if classes < 2 => {
                return Err(format!("objective '{name}' needs num_class of 2 or more"));
            }
            (Task::Multiclass, 1) => task,
            _ if classes > 1 || task == Task::Multiclass => {
                return Err(format!("'{name}' with {classes} classes and {targets} targets is not read"));
            }
            (_, 1) => task,
            (Task::Binary, _) => Task::Multilabel,
            (Task::Regression, _) => Task::MultiRegression,
            _ => return Err(format!("'{name}' with {targets} targets is not read")),
        };
        let link = match (task, link) {
            (Task::Multilabel, Link::Hinge) => Link::Step,
            (Task::Multilabel, _) => Link::Sigmoid,
            (_, link) => link,
        };
        Ok(Self { task, link, base_margin, outputs })
    }

    /// The labels of its outputs as they are counted; none for one number.
    pub(super) fn labels(&self) -> Vec<Label> {
        let width = if self.task == Task::Regression { 0 } else { self.link.width(self.outputs) };
        (0..width as i64).map(Label::Integer).collect()
    }

    /// The names of outputs that are quantiles, out of `quantile_alpha`.
    pub(super) fn quantiles(&self, text: &str) -> Result<Vec<Label>, String> {
        let listed = numbers(text).filter(|list| list.iter().all(|alpha| (0.0..=1.0).contains(alpha)));
        let listed = listed.filter(|list| list.len() == self.outputs);
        let outputs = self.outputs;
        let listed =
            listed.ok_or_else(|| format!("quantile_alpha is '{text}', not {outputs} numbers from 0 to 1"))?;
        Ok(listed.iter().map(|alpha| Label::Text(alpha.to_string())).collect())
    }

    /// The start of each output's sum out of `base_score`: one number up to release 3.0, a list with one number or
    /// one an output from 3.1 on.
    pub(super) fn base_margins(&self, text: &str) -> Result<Vec<f32>, String> {
        let scores = numbers(text).ok_or_else(|| format!("base_score is '{text}', not a number"))?;
        let margins: Vec<f32> = scores.into_iter().map(self.base_margin).collect();
        let finite = margins.iter().all(|m| m.is_finite());
        match margins.as_slice() {
            [one] if finite => Ok(vec![*one; self.outputs]),
            all if finite && all.len() == self.outputs => Ok(margins),
            _ => Err(format!(
                "base_score '{text}' does not fit the objective and its {} outputs",
                self.outputs
            )),
        }
    }
}

/// Numbers written as one text: `1.5E0` or `[1E-1,9E-1]`.
fn numbers(text: &str) -> Option<Vec<f32>> {
    let list = text.trim_start_matches(['[', '(']).trim_end_matches([']', ')']).split(',');
    list.map(|number| number.trim().parse().ok()).collect()
}

/// From a score as `base_score` has it to a margin.
type BaseMargin = fn(f32) -> f32;

/// What an objective predicts with one output, its transform, and the margin of a score.
fn rule(name: &str) -> Result<(Task, Link, BaseMargin), String> {
    let logit: BaseMargin = |p| -(1.0 / p - 1.0).ln();
    let same: BaseMargin = |b| b;
    Ok(match name {
        "reg:squarederror"
        | "reg:linear"
        | "reg:squaredlogerror"
        | "reg:absoluteerror"
        | "reg:pseudohubererror"
        | "reg:quantileerror"
        | "rank:pairwise"
        | "rank:ndcg"
        | "rank:map" => (Task::Regression, Link::Identity, same),
        "binary:logitraw" => (Task::Regression, Link::Identity, same),
        "reg:logistic" => (Task::Regression, Link::Sigmoid, logit),
        "count:poisson" | "reg:gamma" | "reg:tweedie" | "survival:cox" | "survival:aft" => {
            (Task::Regression, Link::Exp, f32::ln)
        }
        "binary:logistic" => (Task::Binary, Link::Binary { scale: 1.0 }, logit),
        "binary:hinge" => (Task::Binary, Link::Hinge, same),
        "multi:softprob" | "multi:softmax" => (Task::Multiclass, Link::Softmax, same),
        other => return Err(format!("objective '{other}' is not read yet")),
    })
}
