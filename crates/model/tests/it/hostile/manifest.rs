//! Packages whose container is sound and whose manifest or samples are not.

use serde_json::{Value, json};

use super::load;
use super::packages::{BINARY, CLASSES, Files, MANIFEST, MODEL, check, package, write_folder};

/// A linear model of three numbers.
const NUMBERS: &str = "xgb_linear_outputs";
/// Three labels.
const LABELS: &str = "xgb_labels";

/// A golden package with one value of its manifest set.
fn with_manifest(case: &str, pointer: &str, value: &Value) -> Files {
    let mut files = package(case);
    let mut manifest: Value = serde_json::from_slice(&files[MANIFEST]).unwrap();
    let (parent, key) = pointer.rsplit_once('/').unwrap();
    match manifest.pointer_mut(parent).unwrap() {
        Value::Array(list) => list[key.parse::<usize>().unwrap()] = value.clone(),
        object => object[key] = value.clone(),
    }
    files.insert(MANIFEST.to_owned(), manifest.to_string().into_bytes());
    files
}

/// The error of a package that is refused.
fn load_text(files: &Files) -> String {
    let folder = tempfile::tempdir().unwrap();
    write_folder(folder.path(), files);
    load(folder.path()).map(|model| model.samples).unwrap_err()
}

fn check_manifest(case: &str, pointer: &str, value: &Value, expected: &str) {
    check(&with_manifest(case, pointer, value), &format!("{pointer} {value}"), expected);
}

#[test]
fn a_format_or_model_file_that_is_not_read_is_refused() {
    let outside = "is not a path inside the package";
    for (pointer, value, expected) in [
        (
            "/format",
            json!("other"),
            "portend.json: format 'other' version 1 is not 'portend.mlpkg' version 1",
        ),
        ("/format_version", json!(2), "format 'portend.mlpkg' version 2 is not 'portend.mlpkg' version 1"),
        ("/format_version", json!("1"), "portend.json: invalid type: string \"1\", expected u32"),
        ("/model", json!({}), "portend.json: missing field `kind`"),
        ("/model/kind", json!("catboost"), "package PATH: model kind 'catboost' is not read yet"),
        ("/model/kind", json!("lightgbm"), "model file model/model.json: not a LightGBM text model"),
        ("/model/options", json!({"a": 1}), "portend.json: unknown field `a`, expected `iterations`"),
        ("/model/path", json!("../../etc/passwd"), "package PATH: '../../etc/passwd' is not a path inside"),
        ("/model/path", json!("/etc/passwd"), outside),
        ("/model/path", json!("model\\model.json"), outside),
        ("/model/path", json!("model/../model/model.json"), outside),
        ("/model/path", json!(""), "package PATH: '' is not a path inside the package"),
        ("/model/path", json!("model"), "package PATH: the model file 'model' is missing"),
        ("/model/path", json!("model/none"), "package PATH: the model file 'model/none' is missing"),
        ("/model/path", json!("portend.json"), "portend.json: model.path is 'portend.json', a name that"),
        ("/model/path", json!("checksums.txt"), "portend.json: model.path is 'checksums.txt', a name that"),
        ("/model/path", json!("signature.json"), "portend.json: model.path is 'signature.json', a name that"),
        ("/model/path", json!("signature.ed25519"), "model.path is 'signature.ed25519', a name that"),
        ("/missing_values", json!([1]), "portend.json: invalid type: integer `1`, expected a string"),
    ] {
        check_manifest(BINARY, pointer, &value, expected);
    }
}

#[test]
fn a_manifest_that_is_no_manifest_is_refused() {
    let deep = format!("{{\"target\": {{\"name\": \"t\", \"classes\": {}", "[".repeat(100_000));
    for (text, expected) in [
        (deep.as_str(), "package PATH: portend.json: recursion limit exceeded"),
        ("", "package PATH: portend.json: EOF while parsing a value"),
        ("format: portend", "package PATH: portend.json: expected"),
        ("{}", "package PATH: portend.json: missing field `format`"),
        ("{\"format\": 1}", "portend.json: invalid type: integer `1`, expected a string"),
        ("{\"format\": \"a\", \"format\": \"a\"}", "portend.json: duplicate field `format`"),
    ] {
        let mut files = package(BINARY);
        files.insert(MANIFEST.to_owned(), text.as_bytes().to_vec());
        check(&files, &format!("{text:.99}"), expected);
    }
}

/// Readers differ in which of the two they take, also among fields that are not read here.
#[test]
fn a_key_that_occurs_twice_is_refused_wherever_it_stands() {
    for (start, added, key) in [
        ("{", r#""format":"portend.mlpkg","#, "format"),
        ("{", r#""id":"","#, "id"),
        ("{", r#""monitoring":1,"monitoring":1,"#, "monitoring"),
        ("\"model\":{", r#""path":"model/model.json","#, "path"),
        ("\"options\":{", r#""iterations":1,"iterations":1"#, "iterations"),
        ("\"target\":{", r#""classes":["a","b"],"#, "classes"),
        ("\"metadata\":{", r#""b":null,"#, "b"),
        ("\"c\":{},", r#""\u0061":1,"#, "a"),
    ] {
        let mut files = with_manifest(BINARY, "/metadata", &json!({"b": [{"c": {}, "a": 0}]}));
        let text = String::from_utf8(files[MANIFEST].clone())
            .unwrap()
            .replace("{\"a\":0,\"c\":{}}", "{\"c\":{},\"a\":0}");
        assert!(text.contains(start), "{start}: {text}");
        let twice = text.replacen(start, &format!("{start}{added}"), 1);
        files.insert(MANIFEST.to_owned(), twice.into_bytes());
        check(&files, added, &format!("package PATH: portend.json: duplicate field `{key}`"));
    }
}

#[test]
fn iterations_that_are_no_number_of_them_are_refused() {
    for value in [
        json!(0),
        json!(-1),
        json!(1.5),
        json!(1e30),
        json!("10"),
        json!("Best"),
        json!(""),
        json!([3]),
        json!(true),
    ] {
        let expected = format!("model.options.iterations is {value}, not 'best', 'all' or a number from 1");
        check_manifest(BINARY, "/model/options", &json!({ "iterations": value }), &expected);
    }
    let best = json!({"iterations": "best"});
    check_manifest(
        "xgb_linear_outputs",
        "/model/options/iterations",
        &json!("nine"),
        "model.options.iterations is",
    );
    check_manifest(
        CLASSES,
        "/model/options",
        &best,
        "model file model/model.json: the file names no best iteration",
    );
}

#[test]
fn a_target_that_the_model_does_not_have_is_refused() {
    for (case, pointer, value, expected) in [
        (BINARY, "/task", json!("clustering"), "package PATH: task 'clustering' is not supported yet"),
        (
            BINARY,
            "/task",
            json!("regression"),
            "task 'regression' does not fit a model that predicts two classes",
        ),
        (
            CLASSES,
            "/task",
            json!("binary"),
            "task 'binary' does not fit a model that predicts several classes",
        ),
        (
            BINARY,
            "/target/name",
            json!(""),
            "package PATH: target.name is \"\": it must be text without control",
        ),
        (BINARY, "/target/name", json!(" "), "package PATH: target.name is \" \": it must be text"),
        (BINARY, "/target/name", json!("a\nb"), "package PATH: target.name is \"a\\nb\": it must be text"),
        (
            BINARY,
            "/target/name",
            json!("a\u{9b}b"),
            "package PATH: target.name is \"a\\u{9b}b\": it must be text",
        ),
        (
            NUMBERS,
            "/target/classes",
            json!(["a", "b", "c"]),
            "package PATH: target.classes is given, and a model that predicts several numbers has none",
        ),
        (
            NUMBERS,
            "/target/positive_class",
            json!("a"),
            "PATH: target.positive_class is given, and a model that",
        ),
        (NUMBERS, "/target/threshold", json!(0.5), "PATH: target.threshold is given, and a model that"),
        (
            CLASSES,
            "/target/threshold",
            json!(0.5),
            "target.threshold is given, and a model that predicts several classes",
        ),
        (
            CLASSES,
            "/target/positive_class",
            json!(0),
            "PATH: target.positive_class is given, and a model that",
        ),
        (
            LABELS,
            "/target/positive_class",
            json!(0),
            "PATH: target.positive_class is given, and a model that",
        ),
        (BINARY, "/target/classes", json!(["a"]), "target.classes has 1 entries where the model has 2"),
        (
            CLASSES,
            "/target/classes",
            json!([1, 2, 3, 4]),
            "target.classes has 4 entries where the model has 3",
        ),
        (BINARY, "/target/classes", json!(["a", "a"]), "package PATH: target.classes has 'a' twice"),
        (BINARY, "/target/classes", json!([[1], 2]), "package PATH: [1] is not a class or category"),
        (BINARY, "/target/threshold", json!(1.5), "package PATH: target.threshold is 1.5, not from 0 to 1"),
        (BINARY, "/target/threshold", json!(-0.1), "package PATH: target.threshold is -0.1, not from 0 to 1"),
        (BINARY, "/target/positive_class", json!("x"), "positive_class 'x' is not one of target.classes"),
        (
            NUMBERS,
            "/outputs",
            json!([{"name": "a"}]),
            "package PATH: outputs has 1 entries where the model has 3",
        ),
        (
            NUMBERS,
            "/outputs/1",
            json!({"name": "bill_depth_mm"}),
            "package PATH: outputs has 'bill_depth_mm' twice",
        ),
        (NUMBERS, "/outputs/1", json!({}), "portend.json: missing field `name`"),
        (
            NUMBERS,
            "/outputs/1",
            json!({"name": 1}),
            "portend.json: invalid type: integer `1`, expected a string",
        ),
        (
            NUMBERS,
            "/outputs",
            json!(vec![json!({"name": "a"}); 100_000]),
            "outputs has 100000 entries where the model has 3",
        ),
        (
            BINARY,
            "/outputs",
            json!([{"name": "a"}]),
            "outputs are the names of several numbers, the model predicts two classes",
        ),
        (LABELS, "/target/classes", json!(["a", "b"]), "target.classes has 2 entries where the model has 3"),
        (LABELS, "/target/classes", json!([1, 2, 1]), "package PATH: target.classes has '1' twice"),
        (LABELS, "/target/classes", json!([1, 2, {}]), "package PATH: {} is not a class or category"),
        (LABELS, "/target/threshold", json!(2), "package PATH: target.threshold is 2, not from 0 to 1"),
        (
            LABELS,
            "/task",
            json!("multiclass"),
            "task 'multiclass' does not fit a model that predicts several labels",
        ),
        (BINARY, "/target/prediction_column_suffix", json!("X"), "other than 'PREDICTION' is not supported"),
    ] {
        check_manifest(case, pointer, &value, expected);
    }
}

#[test]
fn features_other_than_the_models_are_refused_by_their_name() {
    let feature = |name: &str| json!({"name": name, "dtype": "float64"});
    for (pointer, value, expected) in [
        (
            "/features/0",
            json!({"name": "npreg", "dtype": "date"}),
            "'npreg': dtype 'date' is not supported yet",
        ),
        ("/features/0", json!({"name": "npreg"}), "portend.json: missing field `dtype`"),
        ("/features/0", feature("other"), "package PATH: the model's feature 'npreg' is not described"),
        ("/features", json!([feature("age")]), "package PATH: the model's feature 'npreg' is not described"),
        ("/features/0", feature("age"), "package PATH: feature 'age' is described twice"),
        (
            "/features/0/dtype",
            json!("string"),
            "feature 'npreg': neither manifest nor model file lists its levels",
        ),
        ("/features/0/default", json!(0), "package PATH: feature 'npreg': a default is not supported yet"),
        (
            "/features/0/nullable",
            json!("no"),
            "portend.json: invalid type: string \"no\", expected a boolean",
        ),
        ("/features/0/min", json!("1"), "portend.json: "),
        (
            "/features/0",
            json!({"name": "npreg", "dtype": "int64", "min": 5, "max": 4}),
            "package PATH: feature 'npreg': min 5 is greater than max 4",
        ),
        (
            "/features/0",
            json!({"name": "npreg", "dtype": "category", "min": 5}),
            "feature 'npreg': min and max are for numbers, its dtype is 'category'",
        ),
        ("/metadata", json!([]), "portend.json: invalid type: sequence, expected a map"),
        ("/name", json!(1), "portend.json: invalid type: integer `1`, expected a string"),
        ("/features/0/order", json!(-1), "portend.json: invalid value: integer `-1`, expected u64"),
    ] {
        check_manifest(BINARY, pointer, &value, expected);
    }
    let differ = "package PATH: feature 'island': its categories are not those of the model file";
    for (categories, expected) in [
        (json!(["Dream", "Biscoe", "Torgersen"]), differ),
        (json!(["Biscoe", "Dream"]), differ),
        (json!(["Biscoe", "Dream", "Torgersen", "Tropical"]), differ),
        (json!([0, 1, 2]), differ),
        (json!(["Biscoe", "Dream", "Dream"]), "feature 'island': category 'Dream' occurs twice"),
        (json!(["Biscoe", "Dream", null]), "package PATH: null is not a class or category"),
    ] {
        check_manifest(CLASSES, "/features/0/categories", &categories, expected);
    }
}

/// A feature that is looked for takes no longer for the others that are described.
#[test]
fn a_manifest_may_be_long() {
    let count = 100_000;
    let features: Vec<_> = (0..count).map(|i| json!({"name": format!("x{i}"), "dtype": "int64"})).collect();
    let mut files = with_manifest(BINARY, "/features", &json!(features));
    check(&files, "named", "package PATH: the model's feature 'npreg' is not described");
    let mut model: Value = serde_json::from_slice(&files[MODEL]).unwrap();
    model["learner"]["feature_names"] = json!([]);
    files.insert(MODEL.to_owned(), model.to_string().into_bytes());
    check(&files, "unnamed", "package PATH: 100000 features are described, the model has 7");
    model["learner"]["learner_model_param"]["num_feature"] = json!(count.to_string());
    files.insert(MODEL.to_owned(), model.to_string().into_bytes());
    check(&files, "wide", "package PATH: samples/input.csv: column 'x0' is missing");
}

const INPUT: &str = "samples/input.csv";
const OUTPUT: &str = "samples/output.json";

/// The rows of 65536 outputs take half a megabyte each: they are not computed for a file that does not list them.
#[test]
fn samples_of_many_outputs_take_no_more_memory_than_their_file() {
    let (outputs, rows) = (1 << 16, 20_000);
    let mut files = with_manifest(NUMBERS, "/features", &json!([]));
    let mut manifest: Value = serde_json::from_slice(&files[MANIFEST]).unwrap();
    manifest["outputs"] = json!([]);
    files.insert(MANIFEST.to_owned(), manifest.to_string().into_bytes());
    let mut model: Value = serde_json::from_slice(&files[MODEL]).unwrap();
    let learner = &mut model["learner"];
    learner["feature_names"] = json!(["x"]);
    learner["learner_model_param"] =
        json!({"num_feature": "1", "num_target": outputs.to_string(), "base_score": "0"});
    learner["gradient_booster"]["model"]["weights"] = json!(vec![0; 2 * outputs]);
    files.insert(MODEL.to_owned(), model.to_string().into_bytes());
    files.insert(INPUT.to_owned(), format!("x\n{}", "1\n".repeat(rows)).into_bytes());
    files.insert(OUTPUT.to_owned(), json!({"predictions": vec![json!([]); rows]}).to_string().into_bytes());
    let expected = "package PATH: samples/output.json: row 0 has 0 values, the model gives 65536";
    check(&files, "many outputs", expected);
    files.insert(INPUT.to_owned(), b"x\n1\n".to_vec());
    files.insert(OUTPUT.to_owned(), json!({"predictions": [vec![1; outputs]]}).to_string().into_bytes());
    let found = load_text(&files);
    assert!(
        found.contains("sample row 0: the package expects [1.0, 1.0,") && found.len() < 1000,
        "{found:.2000}"
    );
}

fn check_sample(name: &str, text: &str, expected: &str) {
    let mut files = package(BINARY);
    files.insert(name.to_owned(), text.as_bytes().to_vec());
    check(&files, &format!("{name} {text:.60}"), expected);
}

#[test]
fn samples_that_the_model_does_not_reproduce_are_refused_by_their_row() {
    let good: Value = serde_json::from_slice(&package(BINARY)[OUTPUT]).unwrap();
    let rows = good["predictions"].as_array().unwrap();
    let wide = json!(vec![0; 100_000]);
    for (row, value, expected) in [
        (2, json!([0.5, 0.5]), "sample row 2: the package expects [0.5, 0.5] and the model gives [0.949"),
        (4, json!([0, 1]), "sample row 4: the package expects [0.0, 1.0]"),
        (0, json!([1]), "package PATH: samples/output.json: row 0 has 1 values, the model gives 2"),
        (1, wide, "package PATH: samples/output.json: row 1 has 100000 values, the model gives 2"),
        (1, json!([null, 1]), "package PATH: samples/output.json: invalid type: null, expected f64"),
    ] {
        let mut rows = rows.clone();
        rows[row] = value;
        check_sample(OUTPUT, &json!({ "predictions": rows }).to_string(), expected);
    }
    let other = "package PATH: samples/output.json has another number of rows than the sample input";
    check_sample(OUTPUT, &json!({ "predictions": rows[1..] }).to_string(), other);
    check_sample(OUTPUT, &json!({ "predictions": [] }).to_string(), other);
}

#[test]
fn samples_may_begin_with_a_byte_order_mark() {
    let mut files = package(BINARY);
    let text = String::from_utf8(files[INPUT].clone()).unwrap();
    files.insert(INPUT.to_owned(), format!("\u{feff}{text}").into_bytes());
    files.remove("checksums.txt");
    let folder = tempfile::tempdir().unwrap();
    write_folder(folder.path(), &files);
    let rows = text.trim_end().lines().count() - 1;
    assert_eq!(load(folder.path()).map(|model| model.samples), Ok(rows));
}

#[test]
fn samples_that_are_no_rows_are_refused_by_their_file() {
    let header = "npreg,glu,bp,skin,bmi,ped,age\n";
    let with = |row: &str| format!("{header}{row}\n");
    for (name, text, expected) in [
        (OUTPUT, "{}".to_owned(), "package PATH: samples/output.json: missing field `predictions`"),
        (OUTPUT, "no".to_owned(), "package PATH: samples/output.json: expected"),
        (INPUT, String::new(), "package PATH: samples/input.csv: the request body is empty"),
        (INPUT, "age\n1\n".to_owned(), "package PATH: samples/input.csv: column 'npreg' is missing"),
        (INPUT, header.to_owned(), "package PATH: samples/"),
        (INPUT, with("1,2"), "package PATH: samples/input.csv: line 2: 2 cells"),
        (INPUT, with("x,1,1,1,1,1,1"), "samples/input.csv: column 'npreg', row 0: 'x' is not a number"),
    ] {
        check_sample(name, &text, expected);
    }
    let mut files = package(BINARY);
    files.remove(OUTPUT);
    check(&files, "no output", "package PATH: samples/output.json is missing");
    files.insert(INPUT.to_owned(), b"\xff".to_vec());
    check(&files, "not text", "package PATH: 'samples/input.csv' is not UTF-8 text");
}
