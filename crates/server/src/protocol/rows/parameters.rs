//! Parameters beside the rows, named as the training libraries name the arguments of `predict`.

use super::{Answered, Object, bad};
use crate::error::ServerError;
use portend_core::shortened;

/// What `predict_method` may be.
const METHODS: [(&str, Answered); 2] = [("predict_proba", Answered::Values), ("predict", Answered::Labels)];

impl Answered {
    /// What `parameters`, a JSON object, ask for; `self` where they ask for nothing.
    pub(crate) fn asked(self, key: &str, parameters: Option<&str>) -> Result<Self, ServerError> {
        let Some(json) = parameters else { return Ok(self) };
        let parameters =
            Object::parse(json).map_err(|reason| bad(format!("'{key}' cannot be read: {reason}")))?;
        let mut asked = self;
        for (name, value) in parameters.entries() {
            let needed =
                |what: &str| bad(format!("parameter '{name}' is {}: {what} is needed", shortened(value)));
            let flagged = |answered| match value {
                "true" => Ok(Some(answered)),
                "false" | "null" => Ok(None),
                _ => Err(needed("true or false")),
            };
            let found = match name {
                "output_margin" | "raw_score" => flagged(Self::Margin)?,
                "pred_leaf" => flagged(Self::Leaf)?,
                "predict_method" => {
                    let method = METHODS.iter().find(|(method, _)| value.trim_matches('"') == *method);
                    Some(method.ok_or_else(|| needed("\"predict\" or \"predict_proba\""))?.1)
                }
                _ => {
                    return Err(bad(format!(
                        "parameter '{}' is not read: output_margin, raw_score, pred_leaf and predict_method are",
                        shortened(name)
                    )));
                }
            };
            asked = found.unwrap_or(asked);
        }
        Ok(asked)
    }
}
