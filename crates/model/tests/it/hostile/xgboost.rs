//! XGBoost files that are JSON of the right form and yet no model: each case is a golden file with a few values set.

use std::fs;

use serde_json::{Value, json};

use super::{check_bytes_refused, golden, load, score};

pub(super) type Edit<'a> = (&'a str, Value);

/// Numeric features only, one output, 30 trees.
pub(super) const PLAIN: &str = "xgb_diabetes";
/// Three classes; node 3 of its first tree asks for categories.
const CLASSES: &str = "xgb_penguins";

fn path(case: &str) -> std::path::PathBuf {
    golden(case).join("package/model/model.json")
}

/// Sets the value at a pointer, within the learner unless it starts with `/`; shorthands for the long ones.
fn set(document: &mut Value, at: &str, value: Value) {
    let (start, rest) = at.split_once('/').unwrap_or((at, ""));
    let pointer = match start {
        "tree" => format!("/learner/gradient_booster/model/trees/0/{rest}"),
        "model" => format!("/learner/gradient_booster/model/{rest}"),
        "param" => format!("/learner/learner_model_param/{rest}"),
        _ => format!("/learner/{at}"),
    };
    let (parent, key) = pointer.rsplit_once('/').unwrap();
    match document.pointer_mut(parent).unwrap() {
        Value::Array(list) => list[key.parse::<usize>().unwrap()] = value,
        Value::Object(fields) => drop(fields.insert(key.to_owned(), value)),
        other => panic!("{at}: {other}"),
    }
}

pub(super) fn edited(case: &str, edits: &[Edit<'_>]) -> Vec<u8> {
    let mut document: Value = serde_json::from_slice(&fs::read(path(case)).unwrap()).unwrap();
    for (at, value) in edits {
        set(&mut document, at, value.clone());
    }
    document.to_string().into_bytes()
}

pub(super) fn check(case: &str, edits: &[Edit<'_>], expected: &str) {
    check_bytes_refused(
        "model.json",
        &edited(case, edits),
        &format!("{case} {:.999}", format!("{edits:?}")),
        expected,
    );
}

#[test]
fn nodes_that_form_no_tree_are_refused_with_tree_and_node() {
    for (at, value, expected) in [
        (
            "tree/left_children/1",
            json!(0),
            "model file PATH: tree 0: node 0 is reached twice: the nodes form no tree",
        ),
        ("tree/left_children/0", json!(0), "tree 0: node 0 is reached twice"),
        ("tree/left_children/0", json!(2), "tree 0: node 2 is reached twice"),
        ("tree/right_children/14", json!(1), "tree 0: node 1 is reached twice"),
        ("tree/left_children/0", json!(31), "tree 0: node 31 does not exist"),
        ("tree/right_children/0", json!(2147483647), "tree 0: node 2147483647 does not exist"),
        ("tree/left_children/0", json!(-2), "tree 0: node 0 has child -2"),
        ("tree/right_children/0", json!(-1), "tree 0: node 0 has child -1"),
        ("tree/left_children/0", json!(4294967296_u64), "expected i32"),
        ("tree/split_indices/0", json!(10), "tree 0: a split asks for feature 10, the model has 10"),
        (
            "tree/split_indices/0",
            json!(4294967295_u64),
            "a split asks for feature 4294967295, the model has 10",
        ),
        (
            "tree/left_children",
            json!([]),
            "tree 0: its node lists have different lengths: 0, [31, 31, 31, 31], 31",
        ),
        (
            "tree/right_children",
            json!([1]),
            "tree 0: its node lists have different lengths: 31, [1, 31, 31, 31], 31",
        ),
        ("tree/split_conditions", json!([]), "tree 0: its node lists have different lengths"),
        ("tree/default_left", json!([1]), "tree 0: its node lists have different lengths"),
        ("tree/split_type", json!([0, 0]), "tree 0: its node lists have different lengths"),
        ("tree/default_left/0", json!("yes"), "expected true, false, 0 or 1"),
        ("tree/split_type/0", json!(7), "tree 0: node 0 has the unknown split type 7"),
        ("tree/split_type/0", json!(1), "tree 0: the categories of node 0 are missing"),
        ("tree/split_conditions/0", json!(null), "tree 0: the threshold of node 0 is not a finite number"),
        ("tree/split_conditions/0", json!("1"), "expected f32"),
        ("tree/split_conditions/0", json!(1e39), "number out of range"),
        ("tree/split_conditions/0", json!(-1e39), "number out of range"),
        ("tree/split_conditions/30", json!(null), "tree 0: the value of leaf 30 is not a finite number"),
        ("tree/split_conditions/30", json!(1e39), "number out of range"),
        (
            "tree/tree_param",
            json!({"size_leaf_vector": "3"}),
            "tree 0: its leaves have 3 values, the model 1 outputs",
        ),
        (
            "model/trees/0",
            json!({}),
            "model file PATH: not an XGBoost JSON model: missing field `left_children`",
        ),
        ("model/trees", json!([]), "iteration_indptr does not cut 0 trees into iterations"),
        ("model/tree_info", json!([0]), "model file PATH: 30 trees but tree_info for 1"),
        ("model/tree_info/3", json!(7), "tree 3: tree_info gives it output 7, the model has 1"),
        ("model/tree_info/3", json!(-1), "expected u32"),
    ] {
        check(PLAIN, &[(at, value)], expected);
    }
}

#[test]
fn categories_that_no_set_can_have_are_refused_with_their_tree() {
    let most = u64::MAX;
    for (at, value, expected) in [
        ("tree/categories", json!([]), "tree 0: categories_sizes sum up to 2 of 0 categories"),
        ("tree/categories_nodes", json!([]), "tree 0: the categories of node 3 are missing"),
        ("tree/categories_nodes", json!([8, 3]), "tree 0: the categories of node"),
        ("tree/categories_segments", json!([]), "tree 0: the categories of node 3 are missing"),
        ("tree/categories_segments/0", json!(most), "tree 0: the categories of node 3 are missing"),
        ("tree/categories_segments/0", json!(2), "tree 0: the categories of node 3 are missing"),
        ("tree/categories_segments/0", json!(-1), "expected u64"),
        ("tree/categories_sizes", json!([]), "tree 0: the categories of node 3 are missing"),
        ("tree/categories_sizes", json!([2, 2]), "tree 0: categories_sizes sum up to 4 of 2 categories"),
        (
            "tree/categories_sizes",
            json!([most, most]),
            "tree 0: categories_sizes sum up to 18446744073709551615 of 2",
        ),
        ("tree/categories/0", json!(-1), "expected u32"),
        ("tree/categories/0", json!(u32::MAX), "tree 0: category 4294967295 is not below 16777216"),
        ("tree/categories/0", json!(16777216), "tree 0: category 16777216 is not below 16777216"),
    ] {
        check(CLASSES, &[(at, value)], expected);
    }
}

#[test]
fn sizes_that_the_file_does_not_back_are_refused_before_memory_is_taken() {
    let unnamed = || ("feature_names", json!([]));
    let named = "num_feature is 4000000000 but 7 features are named";
    for (edits, expected) in [
        (vec![("param/num_feature", json!("4000000000"))], named),
        (vec![("param/num_feature", json!("4000000000")), unnamed()], "from 1 to 1048576 features are read"),
        (vec![("param/num_feature", json!("0")), unnamed()], "num_feature is 0: from 1 to 1048576"),
        (vec![("param/num_feature", json!("3")), unnamed()], "a split asks for feature 4, the model has 3"),
        (vec![("param/num_feature", json!("99999999999"))], "num_feature is '99999999999', not a number"),
        (vec![("param/num_feature", json!("-1"))], "num_feature is '-1', not a number"),
        (vec![("param/num_feature", json!(7))], "invalid type: integer `7`, expected a string"),
        (vec![("feature_names", json!(["a"]))], "num_feature is 7 but 1 features are named"),
        (
            vec![("param/num_class", json!("4000000000"))],
            "4000000000 outputs (num_class, num_target) are not read",
        ),
        (
            vec![("param/num_class", json!("50000000"))],
            "50000000 outputs (num_class, num_target) are not read",
        ),
        (
            vec![("param/num_target", json!("50000000"))],
            "50000000 outputs (num_class, num_target) are not read",
        ),
        (vec![("param/num_target", json!("5"))], "'multi:softprob' with 3 classes and 5 targets is not read"),
        (vec![("param/num_class", json!("4"))], "does not fit the objective and its 4 outputs"),
        (vec![("param/num_class", json!("2"))], "does not fit the objective and its 2 outputs"),
        (vec![("param/num_class", json!("1"))], "objective 'multi:softprob' needs num_class of 2 or more"),
        (vec![("param/num_class", json!("x"))], "num_class is 'x', not a number"),
        (
            vec![("param/num_class", json!("2")), ("param/base_score", json!("0.5"))],
            "tree 2: tree_info gives it output 2, the model has 2",
        ),
    ] {
        check(CLASSES, &edits, expected);
    }
}

#[test]
fn what_is_not_read_is_refused_by_its_name() {
    let logistic = || ("objective/name", json!("binary:logistic"));
    let twice = json!(["age", "sex", "bmi", "bp", "s1", "s2", "s3", "s4", "s5", "age"]);
    for (edits, expected) in [
        (vec![("objective/name", json!("rank:nonsense"))], "objective 'rank:nonsense' is not read yet"),
        (vec![("objective/name", json!("multi:softprob"))], "needs num_class of 2 or more"),
        (vec![("gradient_booster/name", json!("gbforest"))], "booster 'gbforest' is not read yet"),
        (vec![("gradient_booster/name", json!("dart"))], "gradient_booster has no model"),
        (vec![("param/base_score", json!("abc"))], "base_score is 'abc', not a number"),
        (vec![("param/base_score", json!(""))], "base_score is '', not a number"),
        (
            vec![("param/base_score", json!("nan"))],
            "base_score 'nan' does not fit the objective and its 1 outputs",
        ),
        (vec![("param/base_score", json!("[0.1,0.2]"))], "base_score '[0.1,0.2]' does not fit the objective"),
        (vec![("param/base_score", json!("0")), logistic()], "base_score '0' does not fit the objective"),
        (vec![("param/base_score", json!("1")), logistic()], "base_score '1' does not fit the objective"),
        (vec![("feature_names", twice)], "the model file names two features 'age'"),
    ] {
        check(PLAIN, &edits, expected);
    }
}

#[test]
fn a_key_that_occurs_twice_is_refused() {
    let text = fs::read_to_string(path(PLAIN)).unwrap();
    for (from, to, expected) in [
        ("{\"learner\":", "{\"version\":[1],\"learner\":", "duplicate field `version`"),
        ("\"tree_info\":", "\"tree_info\":[],\"tree_info\":", "duplicate field `tree_info`"),
        (
            "\"left_children\":",
            "\"left_children\":[-1],\"left_children\":",
            "duplicate field `left_children`",
        ),
    ] {
        assert!(text.contains(from), "{from}");
        check_bytes_refused("model.json", text.replacen(from, to, 1).as_bytes(), to, expected);
    }
}

/// Words that XGBoost writes and JSON does not have: harmless among statistics, not in a split.
#[test]
fn infinities_are_read_only_where_nothing_depends_on_them() {
    let text = fs::read_to_string(path(PLAIN)).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("model.json");
    let statistics = text.replacen("\"loss_changes\":[", "\"loss_changes\":[NaN,-Infinity,Infinity,", 1);
    assert_ne!(statistics, text);
    fs::write(&file, statistics).unwrap();
    load(&file).unwrap();
    for word in ["NaN", "Infinity", "-Infinity"] {
        let first = "\"split_conditions\":[-3.3008382E-3";
        assert!(text.contains(first));
        let text = text.replacen(first, &format!("\"split_conditions\":[{word}"), 1);
        let expected = "tree 0: the threshold of node 0 is not a finite number";
        check_bytes_refused("model.json", text.as_bytes(), word, expected);
    }
}

#[test]
fn a_long_text_in_a_file_does_not_make_a_long_error() {
    let edits = [("objective/name", json!("x".repeat(1 << 20)))];
    check(PLAIN, &edits, "objective 'xxx");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("model.json");
    fs::write(&file, edited(PLAIN, &edits)).unwrap();
    assert!(load(&file).unwrap_err().len() < 1000);
}

/// What is odd but has a meaning: a threshold that no value reaches, zero is a base
/// score, and a node without a left child is a leaf.
#[test]
fn odd_values_that_mean_something_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let rows = fs::read_to_string(golden(PLAIN).join("rows.csv")).unwrap();
    for (at, value) in [
        ("tree/split_conditions/0", json!(3.4e38)),
        ("tree/split_conditions/0", json!(-3.4e38)),
        ("param/base_score", json!("0")),
        ("param/base_score", json!("[7]")),
        ("feature_names", json!([])),
        ("tree/left_children/0", json!(-1)),
        ("gradient_booster/model", json!({"trees": [], "tree_info": []})),
    ] {
        let file = folder.path().join("model.json");
        fs::write(&file, edited(PLAIN, &[(at, value.clone())])).unwrap();
        let model = load(&file).unwrap_or_else(|e| panic!("{at} {value}: {e}"));
        assert!(score(&model, &rows).is_some_and(|values| values > 0), "{at} {value}");
    }
}

/// A tree of splits, each of which asks for another category of one column.
fn tree_of_categories(splits: u32) -> Value {
    let nodes = 2 * splits as usize + 1;
    // even nodes split, odd ones and the last are leaves
    let children = |next: i32| -> Vec<i32> {
        (0..nodes as i32).map(|i| if i % 2 == 0 && i + 1 < nodes as i32 { i + next } else { -1 }).collect()
    };
    json!({
        "left_children": children(1),
        "right_children": children(2),
        "split_indices": vec![0; nodes],
        "split_conditions": vec![0; nodes],
        "default_left": vec![0; nodes],
        "split_type": (0..nodes).map(|i| u8::from(i % 2 == 0 && i + 1 < nodes)).collect::<Vec<_>>(),
        "categories": (0..splits).collect::<Vec<_>>(),
        "categories_nodes": (0..splits).map(|i| 2 * i).collect::<Vec<_>>(),
        "categories_segments": (0..splits).collect::<Vec<_>>(),
        "categories_sizes": vec![1; splits as usize],
        "tree_param": {},
    })
}

/// A few megabytes of splits: the table of all answers would take hundreds.
#[test]
fn sets_of_categories_that_multiply_are_refused() {
    let expected = "feature 0 has too many categories in too many splits";
    check(PLAIN, &[("model/trees/0", tree_of_categories(50_000))], expected);
}

/// The largest table that is made takes memory, and not the time of asking each split for each category.
#[test]
fn sets_of_categories_that_just_fit_are_made_soon() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("model.json");
    fs::write(&file, edited(PLAIN, &[("model/trees/0", tree_of_categories(46_000))])).unwrap();
    load(&file).unwrap();
}

/// The most features that are read without names: the columns of a row, not the file, are what takes memory.
#[test]
fn a_model_may_have_many_features_without_names() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("model.json");
    let edits = [("param/num_feature", json!("1048576")), ("feature_names", json!([]))];
    fs::write(&file, edited(PLAIN, &edits)).unwrap();
    assert_eq!(load(&file).unwrap().features.len(), 1 << 20);
}
