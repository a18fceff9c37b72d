//! `baseline.json`: summaries of the training data and of what the model predicts for them, which drift is measured
//! against later. Pure arithmetic over columns.

use std::collections::BTreeMap;

use portend_core::Label;
use serde::Serialize;
use serde_json::Value;

use super::manifest::value;

/// Bins of a histogram, and steps between quantiles.
const BINS: usize = 10;
const QUANTILE_STEPS: usize = 20;
/// The most values of a categorical column that are counted one by one.
const MOST_VALUES: usize = 100;

/// The whole file.
#[derive(Debug, Serialize)]
pub(super) struct Baseline {
    /// By the name of the feature.
    pub(super) features: BTreeMap<String, Summary>,
    pub(super) predictions: PredictionBaseline,
}

/// What the model predicts for the training data.
#[derive(Debug, Serialize)]
pub(super) struct PredictionBaseline {
    /// One for a number, else one a class, label or name of several numbers, in their order.
    pub(super) outputs: Vec<OutputBaseline>,
    /// How often each class or label is predicted; not for numbers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) classes: Option<Summary>,
}

/// The values of one output.
#[derive(Debug, Serialize)]
pub(super) struct OutputBaseline {
    /// The class or label whose probability it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) class: Option<Value>,
    /// The name of the number, where a row has several.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) name: Option<Value>,
    #[serde(flatten)]
    pub(super) summary: Summary,
}

/// The values of one column.
#[derive(Debug, PartialEq, Serialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub(super) enum Summary {
    /// Of numbers. What cannot be told (of no values) is null or an empty list.
    Numeric {
        /// Values; NaN and infinities are missing.
        count: usize,
        missing: usize,
        mean: Option<f64>,
        /// The sample's: divided by one less than the count.
        std: Option<f64>,
        min: Option<f64>,
        max: Option<f64>,
        /// At 0, 5 … 100 per cent, interpolated between neighbours.
        quantiles: Vec<f64>,
        /// Of ten bins of one width from least to greatest, each without its upper edge but the last.
        edges: Vec<f64>,
        counts: Vec<usize>,
    },
    /// Of levels, classes or codes.
    Categorical {
        count: usize,
        missing: usize,
        /// The most frequent first.
        top: Vec<ValueCount>,
        /// How many cells hold any other value.
        other: usize,
    },
}

#[derive(Debug, PartialEq, Serialize)]
pub(super) struct ValueCount {
    value: Value,
    count: usize,
}

impl Summary {
    /// Of numbers, NaN for missing ones.
    pub(super) fn numeric(values: impl IntoIterator<Item = f64>) -> Self {
        let mut missing = 0;
        let mut sorted: Vec<f64> = Vec::new();
        for value in values {
            if value.is_finite() { sorted.push(value) } else { missing += 1 }
        }
        sorted.sort_unstable_by(f64::total_cmp);
        let (mean, std) = moments(&sorted);
        let (min, max) = (sorted.first().copied(), sorted.last().copied());
        let edges = min.zip(max).map(|(min, max)| edges(min, max)).unwrap_or_default();
        Self::Numeric {
            count: sorted.len(),
            missing,
            mean,
            std,
            min,
            max,
            quantiles: quantiles(&sorted),
            counts: counts(&sorted, &edges),
            edges,
        }
    }

    /// Of counts by label, in the order that equal counts keep; `other` cells hold none of them.
    pub(super) fn categorical(
        counted: impl IntoIterator<Item = (Label, usize)>,
        other: usize,
        missing: usize,
    ) -> Self {
        let mut counted: Vec<_> = counted.into_iter().filter(|(_, count)| *count > 0).collect();
        counted.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        let all = |counted: &[(Label, usize)]| counted.iter().map(|(_, count)| count).sum::<usize>();
        let (kept, rest) = counted.split_at(counted.len().min(MOST_VALUES));
        Self::Categorical {
            count: all(&counted) + other,
            missing,
            top: kept
                .iter()
                .map(|(label, count)| ValueCount { value: value(label), count: *count })
                .collect(),
            other: other + all(rest),
        }
    }
}

/// Mean and sample standard deviation in one pass that does not cancel (Welford's).
fn moments(values: &[f64]) -> (Option<f64>, Option<f64>) {
    let (mut mean, mut squares) = (0.0, 0.0);
    for (i, value) in values.iter().enumerate() {
        let before = value - mean;
        mean += before / (i + 1) as f64;
        squares += before * (value - mean);
    }
    let told = |value: f64, enough: bool| Some(value).filter(|v| enough && v.is_finite());
    let deviation = (squares / values.len().saturating_sub(1) as f64).sqrt();
    (told(mean, !values.is_empty()), told(deviation, values.len() > 1))
}

/// The point `part / whole` of the way from one number to another; finite where they are.
fn between(a: f64, b: f64, part: usize, whole: usize) -> f64 {
    if part == whole {
        return b; // rounding may miss it
    }
    let (part, whole) = (part as f64, whole as f64);
    let point = a + (b - a) * part / whole;
    if point.is_finite() { point } else { a * (1.0 - part / whole) + b * (part / whole) }
}

fn quantiles(sorted: &[f64]) -> Vec<f64> {
    let Some(last) = sorted.len().checked_sub(1) else { return Vec::new() };
    let quantile = |step: usize| {
        let (whole, rest) = (last * step / QUANTILE_STEPS, last * step % QUANTILE_STEPS);
        let above = sorted[(whole + 1).min(last)];
        between(sorted[whole], above, rest, QUANTILE_STEPS)
    };
    (0..=QUANTILE_STEPS).map(quantile).collect()
}

/// A column of one value gets bins around it.
fn edges(min: f64, max: f64) -> Vec<f64> {
    let (min, max) = if min == max { (min - 0.5, max + 0.5) } else { (min, max) };
    (0..=BINS).map(|i| between(min, max, i, BINS)).collect()
}

fn counts(sorted: &[f64], edges: &[f64]) -> Vec<usize> {
    let Some(inner) = edges.get(1..BINS) else { return Vec::new() };
    let below = inner.iter().map(|edge| sorted.partition_point(|value| value < edge));
    let ends: Vec<usize> = std::iter::once(0).chain(below).chain([sorted.len()]).collect();
    ends.windows(2).map(|ends| ends[1] - ends[0]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(summary: &Summary, expected: &str) {
        assert_eq!(serde_json::to_string(summary).unwrap(), expected);
    }

    // numpy: mean, std(ddof=1), quantile(linspace(0, 1, 21)), histogram(bins=10)
    #[test]
    fn numbers_are_summed_up_as_numpy_does() {
        let values = [4.0, f64::NAN, 1.0, 2.5, 11.0, f64::INFINITY, 2.0];
        check(
            &Summary::numeric(values),
            "{\"type\":\"numeric\",\"count\":5,\"missing\":2,\"mean\":4.1,\"std\":4.006245124802026,\"min\":1.0,\
             \"max\":11.0,\"quantiles\":[1.0,1.2,1.4,1.6,1.8,2.0,2.1,2.2,2.3,2.4,2.5,2.8,3.1,3.4,3.7,4.0,5.4,6.8,\
             8.2,9.6,11.0],\"edges\":[1.0,2.0,3.0,4.0,5.0,6.0,7.0,8.0,9.0,10.0,11.0],\
             \"counts\":[1,2,0,1,0,0,0,0,0,1]}",
        );
    }

    #[test]
    fn few_or_extreme_values_are_summed_up_too() {
        check(
            &Summary::numeric([f64::NAN]),
            "{\"type\":\"numeric\",\"count\":0,\"missing\":1,\"mean\":null,\"std\":null,\"min\":null,\"max\":null,\
             \"quantiles\":[],\"edges\":[],\"counts\":[]}",
        );
        let Summary::Numeric { edges, counts, std, .. } = Summary::numeric([3.0]) else { panic!() };
        assert_eq!((edges[0], edges[10], counts[5], std), (2.5, 3.5, 1, None));
        let Summary::Numeric { edges, quantiles, counts, .. } = Summary::numeric([f64::MAX, f64::MIN]) else {
            panic!()
        };
        assert!(edges.iter().chain(&quantiles).all(|v| v.is_finite()), "{edges:?} {quantiles:?}");
        assert_eq!(counts, [1, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
        let Summary::Numeric { counts, .. } = Summary::numeric([1e300, 1e300]) else { panic!() };
        assert_eq!(counts.iter().sum::<usize>(), 2);
    }

    #[test]
    fn values_are_counted_the_most_frequent_first() {
        let labels = [("a", 1), ("b", 3), ("c", 0), ("d", 1)].map(|(l, n)| (Label::Text(l.into()), n));
        check(
            &Summary::categorical(labels, 2, 4),
            "{\"type\":\"categorical\",\"count\":7,\"missing\":4,\"top\":[{\"value\":\"b\",\"count\":3},\
             {\"value\":\"a\",\"count\":1},{\"value\":\"d\",\"count\":1}],\"other\":2}",
        );
        let many = (0..150).map(|i| (Label::Integer(i), 2));
        let Summary::Categorical { top, other, .. } = Summary::categorical(many, 1, 0) else { panic!() };
        assert_eq!((top.len(), other), (100, 101));
    }
}
