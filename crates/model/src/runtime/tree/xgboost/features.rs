//! What an XGBoost file knows of its features: names, types, and from release 3.1 on the levels of categories.

use std::borrow::Cow;
use std::collections::HashMap;

use portend_core::Label;
use serde::Deserialize;

use super::trees::Tree;
use super::{Learner, Model};
use crate::runtime::{ModelFeature, label};

/// The categories that releases from 3.1 on keep, per feature.
#[derive(Deserialize)]
pub(super) struct Categories {
    #[serde(default)]
    enc: Vec<Encoding>,
}

/// Text levels are UTF-8 bytes cut at `offsets`; others are a list of numbers.
#[derive(Deserialize)]
struct Encoding {
    offsets: Option<Vec<usize>>,
    #[serde(default)]
    values: Vec<serde_json::Number>,
}

pub(super) fn model_features(
    learner: &Learner,
    model: Option<&Model>,
    count: usize,
) -> Result<Vec<ModelFeature>, String> {
    let categories = model.and_then(|model| model.cats.as_ref());
    let mut codes: HashMap<usize, u32> = HashMap::new();
    for (feature, code) in model.iter().flat_map(|model| &model.trees).flat_map(Tree::greatest_codes) {
        let greatest = codes.entry(feature as usize).or_default();
        *greatest = code.max(*greatest);
    }
    (0..count)
        .map(|i| {
            let name = learner.feature_names.get(i).map_or_else(|| format!("f{i}").into(), Cow::from);
            let encoding = categories.and_then(|c| c.enc.get(i));
            let (levels, levels_lost) = match encoding.map(levels) {
                None => (Vec::new(), false),
                Some(Some(levels)) => (levels, false),
                Some(None) => (Vec::new(), true),
            };
            let categorical = learner.feature_types.get(i).is_some_and(|t| t == "c");
            let greatest_code = codes.get(&i).copied();
            Ok(ModelFeature { name: name.into_owned(), levels, levels_lost, categorical, greatest_code })
        })
        .collect()
}

/// The levels of a feature; None when they cannot be told. Releases 3.1 and 3.2 count characters where they cut
/// bytes, so that beyond ASCII the texts in the file are shifted and cut off.
fn levels(encoding: &Encoding) -> Option<Vec<Label>> {
    let Some(offsets) = &encoding.offsets else {
        return encoding.values.iter().map(|number| label(number.clone().into())).collect();
    };
    let ascii = |v: &serde_json::Number| u8::try_from(v.as_i64()?).ok().filter(u8::is_ascii).map(char::from);
    let text: String = encoding.values.iter().map(ascii).collect::<Option<_>>()?;
    offsets.windows(2).map(|range| Some(Label::Text(text.get(range[0]..range[1])?.to_owned()))).collect()
}
