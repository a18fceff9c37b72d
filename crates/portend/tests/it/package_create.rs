//! `portend package create`: every golden model becomes a package that predicts what its library does, the same input
//! gives the same bytes, and every wrong input is told apart.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, SystemTime};

use portend_model::Model;
use portend_model::frame::Keep;
use serde_json::{Value, json};

use crate::package_commands::{Case, created, json, package, package_ok};
use crate::running_server::portend;

/// The names in a folder, hidden ones too.
fn names(folder: &Path) -> Vec<String> {
    let names = fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().to_string_lossy().into_owned());
    let mut names: Vec<_> = names.collect();
    names.sort();
    names
}

#[test]
fn every_golden_model_becomes_a_package_that_predicts_as_its_library() {
    let mut assumed = 0;
    for case in Case::all() {
        let (name, folder) = (&case.name, tempfile::tempdir().unwrap());
        // some rows have numbers that were no category of the training: how many there are would tell another story
        let odd = |line: &&str| !line.split(',').any(|cell| ["-1", "1000", "20000000"].contains(&cell));
        let training = case.training_data().lines().filter(odd).collect::<Vec<_>>().join("\n");
        fs::write(folder.path().join("train.csv"), training).unwrap();
        let (model, classes, levels) = (case.model(), case.classes(), case.levels());
        let model = model.to_string_lossy();
        let given = ["--training-data", "train.csv", "--target", case.target(), "--classes", &classes];
        let given = &given[..if classes.is_empty() { 4 } else { 6 }];
        let mut arguments = [&["create", &model, "-o", "p.mlpkg", "--force"], given].concat();
        let mut done = package(folder.path(), &arguments);
        if done.log.contains("ASSUMED from") || done.log.contains("the model file has no levels for it") {
            // the rows here are not those of the training, so that their levels are not to be relied on
            levels.iter().for_each(|text| arguments.extend(["--levels", text]));
            done = package(folder.path(), &arguments);
            assumed += 1;
        }
        assert_eq!((done.code, done.out.as_str()), (0, "p.mlpkg\n"), "{name}: {}", done.log);
        let loaded = Model::load(&folder.path().join("p.mlpkg"), "").unwrap();
        assert_eq!(loaded.samples, 10, "{name}");
        let golden = Model::load(&case.folder.join("package"), "").unwrap();
        let levels = |model: &Model| model.features.iter().map(|f| f.levels.clone()).collect::<Vec<_>>();
        assert_eq!(levels(&loaded), levels(&golden), "{name}");
        let expected = json(&case.folder.join("expected.json"))["predictions"].clone();
        let frame = loaded.decode_csv(&case.rows(), &Keep::None, 1).unwrap().remove(0);
        let found = loaded.predict(&frame, 0..frame.rows());
        for (row, (found, expected)) in found.rows().zip(expected.as_array().unwrap()).enumerate() {
            for (found, expected) in found.iter().zip(expected.as_array().unwrap()) {
                let expected = expected.as_f64().unwrap();
                let close = (found - expected).abs() <= 1e-6 * expected.abs().max(0.1);
                assert!(close, "{name}, row {row}: {found} {expected}");
            }
        }
    }
    assert!((1..9).contains(&assumed), "{assumed} models whose levels had to be given");
}

#[test]
fn a_model_file_alone_is_enough() {
    for case in Case::all() {
        let folder = tempfile::tempdir().unwrap();
        let done = package(folder.path(), &["create", &*case.model().to_string_lossy()]);
        if done.code == 0 {
            let id = case.model().file_stem().unwrap().to_string_lossy().into_owned();
            assert_eq!(
                (done.out, names(folder.path())),
                (format!("{id}.mlpkg\n"), vec![format!("{id}.mlpkg")])
            );
        } else {
            let expected = "the levels in the model file are cut off beyond ASCII";
            assert!(done.log.contains(expected), "{}: {}", case.name, done.log);
            assert_eq!(names(folder.path()), [""; 0]);
        }
    }
}

#[test]
fn the_same_input_gives_the_same_bytes_wherever_and_whenever() {
    for name in ["xgb_penguins", "lgb_diabetes"] {
        let (first, second) = (created(name), created(name));
        let bytes = |folder: &Path| fs::read(folder.join("p.mlpkg")).unwrap();
        let model = second.path().join(Case::named(name).model().file_name().unwrap());
        let file = fs::File::options().write(true).open(&model).unwrap();
        file.set_modified(SystemTime::now() - Duration::from_secs(1_000_000)).unwrap();
        fs::remove_file(second.path().join("p.mlpkg")).unwrap();
        let mut command = portend();
        command.args(["package", "create", &model.to_string_lossy(), "--target", Case::named(name).target()]);
        command.args(["--id", name, "-o", "p.mlpkg", "--training-data", "train.csv"]);
        command.env("TZ", "Asia/Tokyo").env("LC_ALL", "C").current_dir(second.path());
        assert!(command.output().unwrap().status.success());
        assert!(bytes(first.path()) == bytes(second.path()), "{name}");
    }
}

#[test]
fn the_manifest_says_what_was_given_and_what_was_found() {
    let case = Case::named("lgb_penguins");
    let folder = tempfile::tempdir().unwrap();
    let columns = "island,bill_length_mm,bill_depth_mm,flipper_length_mm,body_mass_g,sex,year,species\n";
    assert!(case.training_data().starts_with(columns), "{}", case.training_data().lines().next().unwrap());
    let rows =
        "Biscoe,1.5,?,181,3750,male,2007,1\nDream,39,18.7,,3750,,2008,2\nDream,-2,17,190,3800,male,2007,0\n";
    fs::write(folder.path().join("train.csv"), format!("{columns}{rows}")).unwrap();
    let mut command = portend();
    command.args(["package", "create", &case.model().to_string_lossy(), "--target", "species"]);
    command.args([
        "--training-data",
        "train.csv",
        "--classes",
        "a,b,c",
        "--id",
        "peng.1",
        "--name",
        "Penguins",
    ]);
    command.args(["--version", "7", "--description", "Which one", "--metadata", "owner=birds"]);
    command.args(["--missing-value", "?", "--type", "multiclass"]);
    let done = command.env("SOURCE_DATE_EPOCH", "1767225600").current_dir(folder.path()).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let inspected = package_ok(folder.path(), &["inspect", "peng.1.mlpkg", "--output", "json"]);
    let found: Value = serde_json::from_str(&inspected.out).unwrap();
    for (pointer, expected) in [
        ("/id", json!("peng.1")),
        ("/name", json!("Penguins")),
        ("/version", json!("7")),
        ("/created", json!("2026-01-01T00:00:00Z")),
        ("/description", json!("Which one")),
        ("/metadata", json!({"owner": "birds"})),
        ("/missing_values", json!(["?"])),
        ("/monitoring", json!({"baseline": "baseline.json"})),
        ("/explanations", json!({"background": "background.csv"})),
        ("/target", json!({"task": "multiclass", "name": "species", "classes": ["a", "b", "c"]})),
        ("/features/0/categories", case.manifest["features"][0]["categories"].clone()),
        ("/features/0/nullable", json!(false)),
        ("/features/5/nullable", json!(true)),
        ("/features/1/min", json!(-2.0)),
        ("/features/1/max", json!(39.0)),
        ("/features/2/nullable", json!(true)),
        ("/features/3/dtype", json!("int64")),
        ("/features/3/nullable", json!(true)),
        (
            "/features/6",
            json!({"name": "year", "dtype": "int64", "required": true, "nullable": false,
            "min": 2007, "max": 2008}),
        ),
        ("/samples/state", json!("ok")),
        ("/checksums/state", json!("ok")),
        ("/signature/state", json!("absent")),
        ("/container", json!("archive")),
    ] {
        assert_eq!(found.pointer(pointer), Some(&expected), "{pointer}");
    }
    let origins = String::from_utf8(done.stderr).unwrap();
    for expected in ["(the model file)", "(given)", "types from train.csv)", "(train.csv)"] {
        assert!(origins.contains(expected), "{expected}: {origins}");
    }
}

#[test]
fn the_baseline_sums_up_training_data_and_predictions() {
    let folder = created("xgb_breast_cancer");
    let (case, package) = (Case::named("xgb_breast_cancer"), folder.path().join("p.mlpkg"));
    let mut zip = zip::ZipArchive::new(fs::File::open(package).unwrap()).unwrap();
    let baseline: Value = serde_json::from_reader(zip.by_name("baseline.json").unwrap()).unwrap();
    let rows = case.rows().lines().count() - 1;
    let number = |value: &Value| value.as_u64().unwrap() as usize;
    let sum = |value: &Value| value.as_array().unwrap().iter().map(number).sum::<usize>();
    let features = baseline["features"].as_object().unwrap();
    assert_eq!(features.len(), case.manifest["features"].as_array().unwrap().len());
    for (name, summary) in features {
        let fields: Vec<_> = summary.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(
            fields,
            ["count", "counts", "edges", "max", "mean", "min", "missing", "quantiles", "std", "type"]
        );
        assert_eq!(number(&summary["count"]) + number(&summary["missing"]), rows, "{name}");
        assert_eq!(sum(&summary["counts"]), number(&summary["count"]), "{name}");
        let lengths = ["quantiles", "edges", "counts"].map(|field| summary[field].as_array().unwrap().len());
        assert_eq!(lengths, [21, 11, 10], "{name}");
    }
    let expected = json(&case.folder.join("expected.json"));
    let positive: Vec<f64> =
        expected["predictions"].as_array().unwrap().iter().map(|row| row[1].as_f64().unwrap()).collect();
    let mean = positive.iter().sum::<f64>() / rows as f64;
    let output = &baseline["predictions"]["outputs"][1];
    assert!((output["mean"].as_f64().unwrap() - mean).abs() < 1e-6, "{output} {mean}");
    let classes = &baseline["predictions"]["classes"];
    let above = positive.iter().filter(|p| **p > 0.5).count();
    let top = classes["top"].as_array().unwrap();
    let counted = top.iter().find(|c| c["value"] == output["class"]).map(|c| number(&c["count"]));
    assert_eq!((counted, number(&classes["count"])), (Some(above), rows));
}

#[test]
fn labels_in_another_order_than_the_predictions_are_warned_of() {
    let (case, folder) = (Case::named("lgb_breast_cancer"), tempfile::tempdir().unwrap());
    let expected = json(&case.folder.join("expected.json"));
    let predicted = expected["predictions"].as_array().unwrap().iter();
    let predicted: Vec<bool> = predicted.map(|row| row[1].as_f64().unwrap() > 0.5).collect();
    let model = case.model().to_string_lossy().into_owned();
    for (name, first, second, warned) in [("right", "bad", "good", false), ("wrong", "sick", "fit", true)] {
        let mut text = String::new();
        for (i, line) in case.rows().lines().enumerate() {
            let label = match i {
                0 => "y",
                _ if predicted[i - 1] => second,
                _ => first,
            };
            text.push_str(&format!("{line},{label}\n"));
        }
        fs::write(folder.path().join("train.csv"), text).unwrap();
        let given = ["--target", "y", "--training-data", "train.csv", "--id", name];
        let done = package_ok(folder.path(), &[&["create", &model][..], &given].concat());
        let rows = predicted.len();
        let warning = format!(
            "the classes may be in the wrong order: 0 of {rows} rows are predicted as labelled; the predictions suggest \
             {first}, {second}"
        );
        assert_eq!(done.log.contains(&warning), warned, "{}", done.log);
    }
}

#[test]
fn training_data_without_the_target_are_only_noted() {
    for (name, classes) in [("lgb_breast_cancer", "0, 1"), ("lgb_diabetes", "")] {
        let (case, folder) = (Case::named(name), tempfile::tempdir().unwrap());
        fs::write(folder.path().join("train.csv"), case.rows()).unwrap();
        let model = case.model().to_string_lossy().into_owned();
        let given = ["--target", "y", "--training-data", "train.csv", "-o", "p.mlpkg"];
        let done = package_ok(folder.path(), &[&["create", &model][..], &given].concat());
        let note = "there is no column 'y': nothing is compared with it";
        assert!(done.log.contains(note), "{}", done.log);
        let page = package_ok(folder.path(), &["inspect", "p.mlpkg"]).out;
        let line = page.lines().find_map(|line| line.strip_prefix("classes")).unwrap_or_default();
        assert_eq!(line.trim(), classes);
    }
}

/// Runs `create` on a copy of a golden model with its training data as `train.csv`; `more` is what is wrong.
fn check_refused(name: &str, files: &[(&str, &str)], more: &[&str], code: i32, expected: &str) {
    let (case, folder) = (Case::named(name), tempfile::tempdir().unwrap());
    let file = format!("model.{}", case.model().extension().unwrap().to_string_lossy());
    fs::copy(case.model(), folder.path().join(&file)).unwrap();
    fs::write(folder.path().join("train.csv"), case.training_data()).unwrap();
    for (name, text) in files {
        fs::write(folder.path().join(name), text).unwrap();
    }
    let before = names(folder.path());
    let arguments = [&["create", &file, "--target", case.target()], more].concat();
    let done = package(folder.path(), &arguments);
    let line = done.log.lines().last().unwrap_or_default();
    assert_eq!((done.code, line), (code, expected), "{more:?}");
    assert_eq!((names(folder.path()), done.out.as_str()), (before, ""), "{more:?}: something is left");
}

#[test]
fn every_wrong_input_is_named() {
    let train = &["--training-data", "train.csv"][..];
    let short = "train.csv has no column for 'bill_depth_mm', 'sex': training data need every feature of the model, by its \
                 name";
    let few = "island,bill_length_mm,flipper_length_mm,body_mass_g,year,species\nD,1,2,3,4,Gentoo\nD,1,2,3,4,Adelie\nD,1,2,3,4,Chinstrap\n";
    let lgb = "lgb_penguins";
    for (name, files, more, expected) in [
        (
            lgb,
            &[][..],
            &["--classes", "a,b"][..],
            "the given classes: 2 classes (a, b), and the model has 3; list them \
            in the order of the model's outputs",
        ),
        (lgb, &[], &["--classes", "a,b,a"], "class 'a' is listed twice"),
        (
            lgb,
            &[],
            &["--threshold", "0.5"],
            "a threshold was given, and a model of type 'multiclass' has none",
        ),
        (
            lgb,
            &[],
            &["--positive-class", "a"],
            "a positive class was given, and a model of type 'multiclass' has none",
        ),
        (
            "lgb_diabetes",
            &[],
            &["--classes", "a,b"],
            "classes was given, and a model of type 'regression' has none",
        ),
        (
            lgb,
            &[],
            &["--type", "regression"],
            "type 'regression' is not what the model predicts: its objective \
            'multiclass num_class:3' makes it 'multiclass' with 3 outputs",
        ),
        (
            lgb,
            &[],
            &["--type", "magic"],
            "type 'magic' is not what the model predicts: its objective 'multiclass num_class:3' makes it \
            'multiclass' with 3 outputs",
        ),
        (
            "lgb_breast_cancer",
            &[],
            &["--positive-class", "x"],
            "positive class 'x' is not one of the classes: 0, 1",
        ),
        ("lgb_breast_cancer", &[], &["--threshold", "1.5"], "threshold 1.5 is not a number from 0 to 1"),
        ("lgb_breast_cancer", &[], &["--threshold", "-1"], "threshold -1 is not a number from 0 to 1"),
        ("lgb_breast_cancer", &[], &["--threshold", "nan"], "threshold NaN is not a number from 0 to 1"),
        (
            lgb,
            &[],
            &["--id", "a/b"],
            "id 'a/b': a model id is 1 to 255 letters, digits, '.', '_' or '-', and is not '.' \
            or '..'; give another one",
        ),
        (lgb, &[("train.csv", few)], train, short),
        (
            lgb,
            &[("train.csv", "")],
            train,
            "train.csv is empty: a header line and rows, or a list of records, are needed",
        ),
        (lgb, &[("train.csv", "a\n")], train, "train.csv has no rows"),
        (lgb, &[("train.csv", "a,b\n1\n")], train, "train.csv: line 2: 1 cells in a row, the header has 2"),
        (
            lgb,
            &[],
            &["--training-data", "none.csv"],
            "cannot read none.csv: No such file or directory (os error 2)",
        ),
        (
            lgb,
            &[("s.csv", "island\nDream\n")],
            &["--samples", "s.csv"],
            "s.csv: column 'bill_length_mm' is missing: the \
            model needs it",
        ),
        (lgb, &[("s.json", "[]")], &["--samples", "s.json"], "s.json has no rows"),
        (
            "xgb_digits",
            &[("train.csv", "a,digit\n1,2\n")],
            train,
            "the model has 64 features without names, and \
            train.csv has 1 columns beside the target 'digit': training data need exactly the features, in the order \
            of the training",
        ),
        (
            lgb,
            &[],
            &["--levels", "size=s,m"],
            "levels were given for 'size', which is not a feature of the model",
        ),
        (
            lgb,
            &[],
            &["--levels", "sex=m,f"],
            "the model file has 2 lists of levels which are not those that 'sex' was given (Biscoe, Dream, Torgersen; \
            female, male): give each to its column, in this order and to no other column, as `categories` in \
            portend.json, or with `package create --levels FEATURE=…`",
        ),
        (lgb, &[], &["--out", "."], ". is a directory: name the file to write"),
        (lgb, &[], &["--out", "train.csv"], "train.csv is there already: --force replaces it"),
        (
            lgb,
            &[],
            &["--out", "no/such/x.mlpkg"],
            "cannot write no/such/x.mlpkg: No such file or directory (os error 2)",
        ),
    ] {
        check_refused(name, files, more, 1, &format!("portend: {expected}"));
    }
    for (more, expected) in [
        (
            &["--created", "yesterday"][..],
            "--created is 'yesterday': a time as 2026-01-31T12:00:00Z is needed",
        ),
        (&["--levels", "sex"], "--levels is 'sex': FEATURE=A,B,… is needed"),
        (&["--metadata", "a"], "--metadata is 'a': KEY=VALUE is needed"),
        (&["--metadata", "a=1", "--metadata", "a=2"], "--metadata names 'a' twice"),
    ] {
        check_refused(lgb, &[], more, 64, &format!("portend: {expected}"));
    }
}

#[test]
fn wrong_cells_samples_and_model_files_are_named() {
    let case = Case::named("lgb_diabetes");
    let header = case.rows().lines().next().unwrap().to_owned();
    let width = header.split(',').count();
    let first = header.split(',').next().unwrap();
    let text = format!("{header}\n{}\nx{}\n", vec!["1"; width].join(","), ",1".repeat(width - 1));
    check_refused(
        "lgb_diabetes",
        &[("train.csv", &text)],
        &["--training-data", "train.csv"],
        1,
        &format!(
            "portend: train.csv: column '{first}', row 1: 'x' is not a number, and the model file has no levels for it: give the \
         data as the model was trained on, the levels of '{first}' in the order of their codes, or 'x' as a missing value"
        ),
    );
    let samples = format!("{header}\n{}\n", vec!["0"; width].join(","));
    let more = ["--samples", "s.csv", "--expected", "e.json", "-o", "o.mlpkg"];
    let files = |expected| [("s.csv", samples.as_str()), ("e.json", expected)];
    let rejected = "portend: the package would not be served, so it is not written: package o.mlpkg: ";
    let other_rows =
        format!("{rejected}samples/output.json has another number of rows than the sample input");
    check_refused("lgb_diabetes", &files("{\"predictions\": []}"), &more, 1, &other_rows);
    let folder = tempfile::tempdir().unwrap();
    for (bytes, expected) in [
        (
            &b"PK\x03\x04"[..],
            "m.json is a package or another zip archive: give the model file that the training library \
            wrote",
        ),
        (
            b"{\"learner\":",
            "model file m.json: not an XGBoost JSON model: EOF while parsing a value at line 1 column 11",
        ),
        (b"", "m.json is not a model that Portend reads: the file is empty"),
    ] {
        fs::write(folder.path().join("m.json"), bytes).unwrap();
        let done = package(folder.path(), &["create", "m.json"]);
        assert_eq!((done.code, done.log), (1, format!("portend: {expected}\n")));
    }
}

#[test]
fn expected_predictions_of_the_library_are_compared_before_anything_is_written() {
    let (case, folder) = (Case::named("xgb_diabetes"), tempfile::tempdir().unwrap());
    let samples = case.folder.join("package/samples");
    let (input, output) = (samples.join("input.csv"), samples.join("output.json"));
    let arguments = |expected: &Path| {
        let texts =
            [case.model(), input.clone(), expected.to_owned()].map(|p| p.to_string_lossy().into_owned());
        ["create", &texts[0], "-o", "p.mlpkg", "--samples", &texts[1], "--expected", &texts[2]]
            .map(str::to_owned)
    };
    let mut wrong = json(&output);
    wrong["predictions"][1][0] = 1.5.into();
    fs::write(folder.path().join("wrong.json"), wrong.to_string()).unwrap();
    let done = package(folder.path(), &arguments(&folder.path().join("wrong.json")));
    let expected = "portend: the package would not be served, so it is not written: package p.mlpkg: sample row 1: the \
                    package expects [1.5] and the model gives [77.21605682373047]";
    assert_eq!((done.code, done.log.lines().last()), (1, Some(expected)));
    assert_eq!(names(folder.path()), ["wrong.json"]);
    assert_eq!(package(folder.path(), &arguments(&output)).code, 0);
    assert_eq!(names(folder.path()), ["p.mlpkg", "wrong.json"]);
}

#[test]
fn a_file_that_is_there_is_replaced_only_by_force() {
    let folder = created("lgb_diabetes");
    let path = folder.path().join("p.mlpkg");
    let arguments = ["create", "model.txt", "-o", "p.mlpkg"];
    fs::write(&path, "mine").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    let done = package(folder.path(), &arguments);
    let expected = "portend: p.mlpkg is there already: --force replaces it";
    assert_eq!((done.code, done.log.lines().last()), (1, Some(expected)));
    assert_eq!(fs::read(&path).unwrap(), b"mine");
    package_ok(folder.path(), &[&arguments[..], &["--force"]].concat());
    assert!(Model::load(&path, "").is_ok());
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640);
}

#[test]
fn killed_at_any_moment_it_leaves_a_whole_package_or_none() {
    let folder = created("lgb_deep");
    let path = folder.path().join("p.mlpkg");
    let whole = fs::read(&path).unwrap();
    let (mut without, mut with) = (0, 0);
    for run in 0..24_u64 {
        _ = fs::remove_file(&path);
        let target = Case::named("lgb_deep").target().to_owned();
        let mut command = portend();
        command.args(["package", "create", "model.txt", "--id", "lgb_deep", "-o", "p.mlpkg"]);
        command.args(["--training-data", "train.csv", "--target", &target]).current_dir(folder.path());
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(Duration::from_micros(run * 700)); // each time at another moment
        child.kill().unwrap(); // SIGKILL
        child.wait().unwrap();
        match fs::read(&path) {
            Ok(found) => {
                assert!(found == whole, "run {run} left half a package");
                with += 1;
            }
            Err(_) => without += 1,
        }
    }
    println!("killed {} times: {without} left nothing, {with} were done", without + with);
    assert!(without > 0, "no run was killed in time");
    let visible = names(folder.path()).into_iter().filter(|name| !name.starts_with('.') && name != "p.mlpkg");
    assert_eq!(visible.collect::<Vec<_>>(), ["model.txt", "train.csv"]);
}
