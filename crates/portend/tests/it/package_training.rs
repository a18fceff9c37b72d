//! What `portend package create` makes of training data: baselines of every kind of prediction, levels that the model
//! file does not tell, tables beyond what a request may have.

use std::fs;
use std::path::Path;

use portend_model::Model;
use portend_model::frame::Keep;
use serde_json::{Value, json};

use crate::package_commands::{Case, Done, created, json, package};

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

/// The rows of a penguins case with other words for the islands, those with an unknown one left out, and what the
/// library predicts for them.
fn islands(case: &str, words: [&str; 3]) -> (String, Vec<Vec<f64>>) {
    let rows = Case::named(case).rows();
    let word = |line: &str| {
        let (island, rest) = line.split_once(',').unwrap();
        let words = [
            ("island", "island"),
            ("", ""),
            ("Biscoe", words[0]),
            ("Dream", words[1]),
            ("Torgersen", words[2]),
        ];
        words.iter().find(|(name, _)| *name == island).map(|(_, word)| format!("{word},{rest}\n"))
    };
    let (mut text, mut kept) = (word(rows.lines().next().unwrap()).unwrap(), Vec::new());
    for (line, expected) in rows.lines().skip(1).zip(expected(case)) {
        if let Some(line) = word(line).filter(|line| !line.contains("nseen")) {
            text.push_str(&line);
            kept.push(expected);
        }
    }
    assert!(kept.len() > 100);
    (text, kept)
}

/// Packages a penguins model with training data in which islands have these words.
fn with_islands(folder: &Path, case: &str, words: [&str; 3]) -> (Done, String, Vec<Vec<f64>>) {
    let (text, expected) = islands(case, words);
    fs::write(folder.join("train.csv"), &text).unwrap();
    let model = Case::named(case).model().to_string_lossy().into_owned();
    let given = ["create", &model, "--training-data", "train.csv", "-o", "p.mlpkg", "--force"];
    (package(folder, &given), text, expected)
}

/// XGBoost before 3.1 does not write levels: what numbers mean is told by the splits.
#[test]
fn numbers_in_a_column_of_categories_are_levels_or_codes_as_the_splits_allow() {
    let folder = tempfile::tempdir().unwrap();
    let levels =
        |texts: &str| format!("'island' in order of value: {texts}  (ASSUMED from train.csv: the model file");
    let codes = "'island' are codes already: 0, 1, 2  (ASSUMED from train.csv: the model file".to_owned();
    for (words, expected) in [
        (["10", "20", "30"], levels("10, 20, 30")),
        (["-1", "0", "1"], levels("-1, 0, 1")),
        (["0.5", "1", "1.5"], levels("0.5, 1.0, 1.5")),
        (["1.0", "2.0", "3.0"], levels("1, 2, 3")),
        (["0", "1", "2"], codes.clone()),
        (["0.0", "1.0", "2.0"], codes),
    ] {
        let (done, text, predictions) = with_islands(folder.path(), "xgb30_penguins", words);
        let log = done.log.split_whitespace().collect::<Vec<_>>().join(" ");
        let expected = expected.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(done.code == 0 && log.contains(&expected), "{words:?}: {}", done.log);
        assert!(log.contains("(names from the model file, types from train.csv)"), "{}", done.log);
        let model = Model::load(&folder.path().join("p.mlpkg"), "").unwrap();
        let frame = model.decode_csv(&text, &Keep::None, 1).unwrap().remove(0);
        let found = model.predict(&frame, 0..frame.rows());
        for (found, expected) in found.rows().zip(predictions) {
            let close = found.iter().zip(&expected).all(|(a, b)| (a - b).abs() < 1e-6);
            assert!(close, "{words:?}: {found:?} {expected:?}");
        }
    }
    let (done, ..) = with_islands(folder.path(), "xgb30_penguins", ["10", "20", "20"]);
    let expected = "portend: train.csv: column 'island' holds 10, 20, its splits name codes up to 2, and the model file has \
                    no levels for it: give the data as the model was trained on, or the levels, that of code 0 first: \
                    --levels 'island=A,B,…'";
    assert_eq!((done.code, done.log.lines().last()), (1, Some(expected)));
}

#[test]
fn levels_of_the_model_file_are_compared_with_the_values_of_the_column() {
    let folder = tempfile::tempdir().unwrap();
    let (done, ..) = with_islands(folder.path(), "lgb_penguins", ["10", "20", "30"]);
    let expected = "portend: train.csv: 3 of the 3 values of column 'island' are none of the levels that the model file has \
                    for it: 10, 20, 30, not Biscoe, Dream, Torgersen; give the data as the model was trained on, or say \
                    which columns the model file's 2 lists belong to, with one --levels 'COLUMN=A,B,…' for each";
    assert_eq!((done.code, done.log.lines().last()), (1, Some(expected)));
    let (done, ..) = with_islands(folder.path(), "lgb_penguins", ["Biscoe", "Dream", "Mars"]);
    let expected = "'island' of the model file, without Mars";
    assert!(done.code == 0 && done.log.contains(expected) && done.log.contains("ASSUMED"), "{}", done.log);
    let (done, ..) = with_islands(folder.path(), "lgb_penguins", ["Biscoe", "Dream", "Torgersen"]);
    assert!(done.code == 0 && !done.log.contains("ASSUMED"), "{}", done.log);
}

/// LightGBM trained with a choice of `categorical_feature` names columns that are not those of pandas' category type.
#[test]
fn who_knows_the_columns_of_the_levels_has_the_last_word() {
    let (case, folder) = (Case::named("lgb_penguins"), tempfile::tempdir().unwrap());
    let text = fs::read_to_string(case.model()).unwrap();
    assert!(text.contains("[categorical_feature: 0,5]"));
    let text = text.replace("[categorical_feature: 0,5]", "[categorical_feature: 1,2]");
    fs::write(folder.path().join("m.txt"), text).unwrap();
    fs::write(folder.path().join("rows.csv"), case.rows()).unwrap();
    let expected = json!({"predictions": expected("lgb_penguins")});
    fs::write(folder.path().join("expected.json"), expected.to_string()).unwrap();
    let (island, sex) = ("island=Biscoe,Dream,Torgersen", "sex=female,male");
    let given = |levels: &[&str]| {
        let mut words =
            vec!["create", "m.txt", "--samples", "rows.csv", "--expected", "expected.json", "-o", "p.mlpkg"];
        levels.iter().for_each(|levels| words.extend(["--levels", levels]));
        package(folder.path(), &words)
    };
    let lists = "the model file has 2 lists of levels which are not those that";
    for (levels, expected) in [
        (&[][..], "rows.csv: column 'island', row 0: 'Torgersen' is not a number"),
        (
            &[island],
            &format!("{lists} 'island' was given (Biscoe, Dream, Torgersen; female, male): give each to"),
        ),
        (&[sex], &format!("{lists} 'sex' was given")),
        (&["island=female,male", "sex=Biscoe,Dream,Torgersen"], &format!("{lists} 'island' was given")),
        (&[island, "sex=male,female"], &format!("{lists} 'island' was given")),
        (&[island, sex, "body_mass_g=1,2"], &format!("{lists} 'island' was given")),
    ] {
        let done = given(levels);
        assert!(done.code == 1 && done.log.contains(expected), "{levels:?}: {}", done.log);
    }
    let done = given(&[island, sex]);
    assert_eq!(done.code, 0, "{}", done.log);
}

/// A request's table may have 32 million numbers, these data have a few more.
#[test]
fn training_data_may_be_larger_than_a_request() {
    let (case, folder) = (Case::named("xgb_diabetes"), tempfile::tempdir().unwrap());
    let lines = case.rows();
    let mut lines = lines.lines();
    let more: String = (0..2000).map(|i| format!(",more{i}")).collect();
    let mut text = format!("{}{more}\n", lines.next().unwrap());
    let (lines, commas) = (lines.collect::<Vec<_>>(), ",".repeat(2000));
    let rows = (1 << 25) / 2000 + 1;
    for line in lines.iter().cycle().take(rows) {
        text.push_str(line);
        text.push_str(&commas);
        text.push('\n');
    }
    fs::write(folder.path().join("train.csv"), text).unwrap();
    let model = case.model().to_string_lossy().into_owned();
    let given = ["create", &model, "--training-data", "train.csv", "-o", "p.mlpkg"];
    let done = package(folder.path(), &given);
    assert_eq!(done.code, 0, "{}", done.log);
    let found = baseline(&folder.path().join("p.mlpkg"));
    assert_eq!(found["predictions"]["outputs"][0]["count"], json!(rows));
    for (name, summary) in found["features"].as_object().unwrap() {
        let count = |field: &str| summary[field].as_u64().unwrap() as usize;
        assert_eq!(count("count") + count("missing"), rows, "{name}");
    }
}
