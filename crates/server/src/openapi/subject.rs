//! What a document is about: one model, whose columns and labels it names and whose sample rows are its examples; or any
//! model, and then the examples are those of a model that is made up.

use portend_core::{Dtype, Feature, Label, Target, TargetKind};
use portend_model::Model;
use portend_model::frame::Precision;
use serde_json::{Map, Number, Value, json};

use super::schema::{array, nullable, reference};
use crate::protocol::{label_value, write_cell};

/// More columns are not listed, and neither are more levels of all columns together: a document is for people.
const MOST_COLUMNS: usize = 1000;
const MOST_LEVELS: usize = 10_000;

/// What is told of the model.
pub(crate) struct Subject<'m> {
    /// What it is called in paths.
    pub(crate) name: &'m str,
    /// None for any model.
    pub(crate) model: Option<&'m Model>,
    features: Vec<Feature>,
    pub(crate) target: Target,
    /// A value for each feature.
    row: Vec<Value>,
}

impl<'m> Subject<'m> {
    /// Any model. Examples have two columns.
    pub(crate) fn any() -> Self {
        let level = |text: &str| Label::Text(text.to_owned());
        let levels = [level("no"), level("yes")];
        let category = Feature {
            name: "pbcr".to_owned(),
            dtype: Dtype::Category,
            required: true,
            levels: levels.clone().into(),
        };
        let kind = TargetKind::Binary { labels: levels, positive: 1, threshold: 0.5 };
        let features = vec![Feature::number("dir"), category];
        Self::new("fraud", None, features, Target { name: "deny".to_owned(), kind }, &[0.35, 0.0])
    }

    /// A model.
    pub(crate) fn of(name: &'m str, model: &'m Model) -> Self {
        let (features, target) = (model.features.clone(), model.target.clone());
        Self::new(name, Some(model), features, target, &model.sample)
    }

    fn new(
        name: &'m str,
        model: Option<&'m Model>,
        features: Vec<Feature>,
        target: Target,
        sample: &[f64],
    ) -> Self {
        let precision = model.map_or(Precision::Double, |model| model.inputs.precision);
        let value = |(at, feature): (usize, &Feature)| match sample.get(at) {
            Some(number) => sampled(feature, *number, precision),
            None => made_up(feature),
        };
        let row = features.iter().enumerate().map(value).collect();
        Self { name, model, features, target, row }
    }

    /// Whether its columns are listed and examples given.
    fn is_listed(&self) -> bool {
        let levels = self.features.iter().map(|feature| feature.levels.len());
        self.features.len() <= MOST_COLUMNS && levels.sum::<usize>() <= MOST_LEVELS
    }

    /// A media type's content of this schema, with an example if examples are given.
    pub(crate) fn content(&self, schema: &Value, example: impl FnOnce(&Self) -> Value) -> Value {
        match self.is_listed() {
            true => json!({ "schema": schema, "example": example(self) }),
            false => json!({ "schema": schema }),
        }
    }

    /// The names of its columns.
    pub(crate) fn columns(&self) -> Vec<&str> {
        self.features.iter().map(|feature| feature.name.as_str()).collect()
    }

    /// The values of a row in their order.
    pub(crate) fn row(&self) -> &[Value] {
        &self.row
    }

    /// A row by column.
    pub(crate) fn record(&self) -> Map<String, Value> {
        let names = self.features.iter().map(|feature| feature.name.clone());
        names.zip(self.row.iter().cloned()).collect()
    }

    /// A header line and a row of CSV.
    pub(crate) fn csv(&self) -> String {
        let cell = |value: &Value| match value {
            Value::Null => String::new(),
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        let (mut csv, rows) = (
            Vec::new(),
            [
                self.features.iter().map(|feature| feature.name.clone()).collect::<Vec<_>>(),
                self.row.iter().map(cell).collect(),
            ],
        );
        for cells in rows {
            for (at, text) in cells.iter().enumerate() {
                if at > 0 {
                    csv.push(b',');
                }
                write_cell(text, &mut csv);
            }
            csv.push(b'\n');
        }
        String::from_utf8_lossy(&csv).into_owned()
    }

    /// Each feature with its value in the row.
    pub(crate) fn values(&self) -> impl Iterator<Item = (&Feature, &Value)> {
        self.features.iter().zip(&self.row)
    }

    /// The schemas that are about its columns and what it predicts.
    pub(super) fn schemas(&self) -> Value {
        let cell = json!({ "type": ["string", "number", "boolean", "null"] });
        let numbers = matches!(self.target.kind, TargetKind::Regression | TargetKind::MultiRegression { .. });
        let label = match self.target.labels() {
            labels if self.model.is_none() || !self.is_listed() || numbers || labels.is_empty() => {
                json!({ "type": ["string", "number", "boolean"], "description": "A label in its own type." })
            }
            labels => json!({ "enum": labels.iter().map(label_value).collect::<Vec<_>>() }),
        };
        let plain = "One plain value for a row: a number, a label, or a list of several. It is null where a number is \
                     not finite.";
        json!({
            "Cell": cell,
            "Record": self.record_schema(),
            "Row": { "type": "array", "items": reference("Cell"), "description": self.row_description() },
            "Label": label,
            "PlainPrediction": {
                "type": ["number", "string", "boolean", "array", "null"], "description": plain,
            },
        })
    }

    fn row_description(&self) -> String {
        match self.model.is_some() && self.is_listed() {
            true => format!("The values of a row, in this order: {}.", self.columns().join(", ")),
            false => "The values of a row in the model's order.".to_owned(),
        }
    }

    fn record_schema(&self) -> Value {
        if self.model.is_none() {
            let sentence = "A row by column: the model's features. Other columns are ignored.";
            return json!({ "type": "object", "description": sentence, "additionalProperties": reference("Cell") });
        }
        if !self.is_listed() {
            let sentence = format!("A row by column: {} features, which /info lists.", self.features.len());
            return json!({ "type": "object", "description": sentence, "additionalProperties": reference("Cell") });
        }
        let properties: Map<String, Value> =
            self.features.iter().map(|feature| (feature.name.clone(), feature_schema(feature))).collect();
        let required: Vec<&str> =
            self.features.iter().filter(|feature| feature.required).map(|f| f.name.as_str()).collect();
        json!({
            "type": "object",
            "description": "A row by column. Other columns are ignored.",
            "properties": properties,
            "required": required,
            "additionalProperties": reference("Cell"),
        })
    }

    /// What is predicted for a row by the prediction API.
    pub(crate) fn prediction(&self) -> Value {
        let any = json!({ "type": ["number", "string", "boolean", "array", "null"] });
        match (self.model, &self.target.kind) {
            (None, _) => any,
            (_, TargetKind::Regression) => json!({ "type": ["number", "null"] }),
            (_, TargetKind::MultiRegression { .. }) => array(&nullable("number")),
            (_, TargetKind::Binary { .. } | TargetKind::Multiclass { .. }) => reference("Label"),
            (_, TargetKind::Multilabel { .. }) => array(&reference("Label")),
        }
    }
}

/// A sample's value as it can be sent.
fn sampled(feature: &Feature, number: f64, precision: Precision) -> Value {
    if number.is_nan() {
        return Value::Null;
    }
    if !feature.levels.is_empty() {
        // a code is the place of its level
        return feature.levels.get(number as usize).map_or(Value::Null, label_value);
    }
    if number.is_infinite() {
        return json!(if number > 0.0 { "Infinity" } else { "-Infinity" });
    }
    match feature.dtype {
        Dtype::Bool if number == 0.0 || number == 1.0 => json!(number == 1.0),
        _ if number.fract() == 0.0 && number.abs() < 1e15 => json!(number as i64),
        // the shortest decimal that is the same number to the model
        _ if precision == Precision::Single => {
            let shortest = (number as f32).to_string().parse().ok().and_then(Number::from_f64);
            shortest.map_or(Value::Null, Value::Number)
        }
        _ => json!(number),
    }
}

/// A value that the model reads, where there is no sample.
fn made_up(feature: &Feature) -> Value {
    match (feature.levels.first(), feature.dtype) {
        (Some(level), _) => label_value(level),
        (None, Dtype::Bool) => json!(false),
        (None, _) => json!(0),
    }
}

/// The values of a column, each of which may be missing.
fn feature_schema(feature: &Feature) -> Value {
    if !feature.levels.is_empty() {
        let levels = feature.levels.iter().map(label_value).chain([Value::Null]).collect::<Vec<_>>();
        return json!({ "enum": levels, "description": "Another level counts as missing." });
    }
    match feature.dtype {
        Dtype::Bool => json!({ "type": ["boolean", "number", "null"] }),
        Dtype::Int64 => json!({ "type": ["integer", "null"] }),
        Dtype::Float32 => json!({ "type": ["number", "null"], "format": "float" }),
        _ => json!({ "type": ["number", "null"], "format": "double" }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn feature(dtype: Dtype, levels: &[Label]) -> Feature {
        Feature { dtype, levels: levels.to_vec(), ..Feature::number("x") }
    }

    #[test]
    fn a_sample_is_told_as_it_can_be_sent() {
        let levels = [Label::Text("no".into()), Label::Integer(7)];
        for (feature, number, expected) in [
            (feature(Dtype::Float64, &[]), 0.1, json!(0.1)),
            (feature(Dtype::Float64, &[]), f64::from(0.1_f32), json!(0.1)),
            (feature(Dtype::Float64, &[]), f64::from(1e-20_f32), json!(1e-20)),
            (feature(Dtype::Float64, &[]), 3.0, json!(3)),
            (feature(Dtype::Float64, &[]), 1e20, json!(1e20)),
            (feature(Dtype::Float64, &[]), f64::NAN, Value::Null),
            (feature(Dtype::Float64, &[]), f64::NEG_INFINITY, json!("-Infinity")),
            (feature(Dtype::Bool, &[]), 1.0, json!(true)),
            (feature(Dtype::Bool, &[]), 0.5, json!(0.5)),
            (feature(Dtype::Category, &levels), 0.0, json!("no")),
            (feature(Dtype::Category, &levels), 1.0, json!(7)),
            (feature(Dtype::Category, &levels), 2.0, Value::Null),
        ] {
            assert_eq!(sampled(&feature, number, Precision::Single), expected, "{number} of {feature:?}");
        }
        assert_eq!(sampled(&Feature::number("x"), 0.1, Precision::Double), json!(0.1));
    }

    #[test]
    fn a_row_is_quoted_where_csv_needs_it() {
        let names = ["a,b", "c"].map(|name| feature(Dtype::Category, &[Label::Text(format!("{name}\""))]));
        let features =
            names.into_iter().zip(["a,b", "c"]).map(|(f, name)| Feature { name: name.into(), ..f });
        let target = Target { name: "t".into(), kind: TargetKind::Regression };
        let subject = Subject::new("m", None, features.collect(), target, &[0.0, f64::NAN]);
        assert_eq!(subject.csv(), "\"a,b\",c\n\"a,b\"\"\",\n");
    }

    #[test]
    fn a_model_of_very_many_columns_is_told_without_them() {
        for (columns, listed) in [(1000, true), (1001, false)] {
            let features = (0..columns).map(|at| Feature::number(format!("x{at}"))).collect();
            let target = Target { name: "t".into(), kind: TargetKind::Regression };
            let subject = Subject::new("m", None, features, target, &[]);
            let content = subject.content(&json!({}), |subject| subject.csv().into());
            assert_eq!(content.get("example").is_some(), listed, "{columns}");
        }
    }
}
