//! What `portend package create` makes of training data: baselines of every kind of prediction, levels that the model
//! file does not tell, tables beyond what a request may have.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::package_commands::{Case, created, json};

fn baseline(package: &Path) -> Value {
    let mut zip = zip::ZipArchive::new(fs::File::open(package).unwrap()).unwrap();
    serde_json::from_reader(zip.by_name("baseline.json").unwrap()).unwrap()
}

/// What the library predicts for the rows of a case.
fn expected(case: &str) -> Vec<Vec<f64>> {
    serde_json::from_value(json(&Case::named(case).folder.join("expected.json"))["predictions"].clone())
        .unwrap()
}

#[test]
fn of_several_labels_each_is_counted_where_it_is_above_the_threshold() {
    let folder = created("xgb_labels");
    let predictions = baseline(&folder.path().join("p.mlpkg"))["predictions"].clone();
    let rows = expected("xgb_labels");
    let labels = predictions["outputs"].as_array().unwrap().iter().map(|output| &output["class"]);
    let mut total = 0;
    for (at, label) in labels.enumerate() {
        let above = rows.iter().filter(|row| row[at] > 0.5).count();
        let counted = predictions["classes"]["top"].as_array().unwrap().iter();
        let counted =
            counted.filter(|c| c["value"] == *label).map(|c| c["count"].as_u64().unwrap()).sum::<u64>();
        assert_eq!(counted, above as u64, "{label}");
        total += above;
    }
    assert!(total > 0 && predictions["classes"]["count"] == json!(total), "{predictions}");
}

#[test]
fn several_numbers_have_a_baseline_each_and_no_classes() {
    let folder = created("xgb_linear_outputs");
    let predictions = baseline(&folder.path().join("p.mlpkg"))["predictions"].clone();
    assert_eq!(predictions["classes"], Value::Null);
    let (rows, outputs) = (expected("xgb_linear_outputs"), predictions["outputs"].as_array().unwrap());
    assert_eq!(outputs.len(), 3);
    for (at, output) in outputs.iter().enumerate() {
        let mut values: Vec<f64> = rows.iter().map(|row| row[at]).collect();
        values.sort_by(f64::total_cmp);
        let median = (values[(values.len() - 1) / 2] + values[values.len() / 2]) / 2.0;
        assert!(
            (output["quantiles"][10].as_f64().unwrap() - median).abs() < 1e-5 * median.abs(),
            "{output} {median}"
        );
        assert_eq!((&output["class"], &output["name"]), (&Value::Null, &json!(at.to_string())));
    }
}
