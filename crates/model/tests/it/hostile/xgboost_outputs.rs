//! XGBoost files of linear models, of leaves with several values, of several outputs, and what they say of iterations
//! and labels: each case is a golden file with a few values set.

use std::fs;

use serde_json::{Value, json};

use super::xgboost::{PLAIN, check, edited};
use super::{golden, load, score};

/// A linear model of 5 features and 3 outputs.
const LINEAR: &str = "xgb_linear_outputs";
/// Leaves of 3 values; its first tree has 21 nodes, 11 of them leaves.
const VECTOR: &str = "xgb_vector_leaf";
/// The same as release 3.0 writes it: 7 nodes.
const OLDER_VECTOR: &str = "xgb30_vector_leaf";
/// Three classes, 18 iterations of 3 x 2 trees, the best one is number 15.
const WRAPPED: &str = "xgb_stopped_wrapper";
/// Three quantiles.
const QUANTILES: &str = "xgb_quantiles";
/// Three labels.
const LABELS: &str = "xgb_labels";

#[test]
fn a_linear_model_has_a_finite_weight_for_each_feature_and_output() {
    for (at, value, expected) in [
        ("model/weights", json!([]), "model file PATH: gblinear has 0 weights where 18 belong"),
        ("model/weights", json!(vec![0; 17]), "gblinear has 17 weights where 18 belong"),
        ("model/weights", json!(vec![0; 1_000_000]), "gblinear has 1000000 weights where 18 belong"),
        ("model/weights", json!(null), "gradient_booster has no weights"),
        ("model/weights", json!("1"), "invalid type: string \"1\", expected a sequence"),
        (
            "model/weights/3",
            json!(null),
            "gblinear has a weight that is not a finite number: its training diverged",
        ),
        ("model/weights/3", json!(1e39), "number out of range"),
        ("param/num_target", json!("65536"), "does not fit the objective and its 65536 outputs"),
        ("param/num_target", json!("4294967295"), "4294967295 outputs (num_class, num_target) are not read"),
    ] {
        check(LINEAR, &[(at, value)], expected);
    }
    // as many as there may be of either: the product is far more than the file has
    let most = [
        ("param/num_target", json!("65536")),
        ("param/num_feature", json!("1048576")),
        ("param/base_score", json!("0")),
        ("feature_names", json!([])),
    ];
    check(LINEAR, &most, "gblinear has 18 weights where 68719542272 belong");
}

#[test]
fn values_of_leaves_that_are_not_there_are_refused_with_their_tree() {
    let outputs = |count: &str| {
        vec![
            ("param/num_target", json!(count)),
            ("param/base_score", json!("0")),
            ("tree/tree_param/size_leaf_vector", json!(count)),
        ]
    };
    let with = |at, value| vec![(at, value)];
    for (case, edits, expected) in [
        (
            VECTOR,
            with("tree/leaf_weights", json!([1, 2, 3])),
            "model file PATH: tree 0: the values of leaf 1 are missing",
        ),
        (
            VECTOR,
            with("tree/leaf_weights", json!(vec![0; 32])),
            "tree 0: the 32 values of its leaves are not 3 each",
        ),
        (VECTOR, with("tree/leaf_weights", json!(vec![0; 30])), "tree 0: the values of leaf 10 are missing"),
        (VECTOR, with("tree/leaf_weights", json!([])), "tree 0: the values of leaf 0 are missing"),
        (
            VECTOR,
            with("tree/leaf_weights/7", json!(null)),
            "tree 0: a leaf has a value that is not a finite number",
        ),
        (VECTOR, with("tree/leaf_weights/7", json!("1")), "expected f32"),
        (VECTOR, with("tree/right_children/6", json!(11)), "tree 0: the values of leaf 11 are missing"),
        (
            VECTOR,
            with("tree/right_children/6", json!(i32::MAX)),
            "tree 0: the values of leaf 2147483647 are missing",
        ),
        (
            VECTOR,
            with("tree/right_children/6", json!(-1)),
            "tree 0: the values of leaf 4294967295 are missing",
        ),
        (OLDER_VECTOR, with("tree/base_weights", json!([])), "tree 0: the values of leaf 0 are missing"),
        (
            OLDER_VECTOR,
            with("tree/base_weights", json!(vec![0; 18])),
            "tree 0: the values of leaf 6 are missing",
        ),
        (VECTOR, outputs("65536"), "tree 0: the 33 values of its leaves are not 65536 each"),
        (VECTOR, outputs("2"), "tree 0: the 33 values of its leaves are not 2 each"),
        (VECTOR, outputs("33"), "tree 0: the values of leaf 1 are missing"),
        (VECTOR, outputs("11"), "tree 0: the values of leaf 3 are missing"),
        (VECTOR, outputs("4294967296"), "num_target is '4294967296', not a number"),
        (VECTOR, with("model/tree_info/0", json!(3)), "tree 0: tree_info gives it output 3, the model has 3"),
    ] {
        check(case, &edits, expected);
    }
}

#[test]
fn trees_of_one_and_of_several_values_do_not_mix() {
    for (at, value, expected) in [
        (
            "tree/tree_param/size_leaf_vector",
            json!("1"),
            "tree 1: its leaves have several values, those of the trees before one",
        ),
        (
            "tree/tree_param/size_leaf_vector",
            json!(""),
            "tree 1: its leaves have several values, those of the trees before one",
        ),
        (
            "model/trees/1/tree_param/size_leaf_vector",
            json!("1"),
            "tree 1: its leaves have one value, those of the trees before several",
        ),
        (
            "tree/tree_param/size_leaf_vector",
            json!("2"),
            "tree 0: its leaves have 2 values, the model 3 outputs",
        ),
        ("tree/tree_param/size_leaf_vector", json!("-3"), "tree 0: size_leaf_vector is '-3', not a number"),
        ("tree/tree_param/size_leaf_vector", json!(3), "invalid type: integer `3`, expected a string"),
    ] {
        check(VECTOR, &[(at, value)], expected);
    }
}

#[test]
fn iterations_that_do_not_cut_the_trees_are_refused() {
    let cuts = "model file PATH: iteration_indptr does not cut 108 trees into iterations";
    for (at, value, expected) in [
        ("model/iteration_indptr", json!([0, 60, 30, 108]), cuts),
        ("model/iteration_indptr", json!([0, 200, 108]), cuts),
        ("model/iteration_indptr", json!([6, 108]), cuts),
        ("model/iteration_indptr", json!([0, 102]), cuts),
        ("model/iteration_indptr", json!([0, u64::MAX]), cuts),
        ("model/iteration_indptr", json!([108]), cuts),
        ("model/iteration_indptr", json!([0, -1, 108]), "invalid value: integer `-1`, expected usize"),
        (
            "attributes/best_iteration",
            json!("18"),
            "best_iteration is '18' where the model has 18 iterations",
        ),
        (
            "attributes/best_iteration",
            json!("18446744073709551615"),
            "best_iteration is '18446744073709551615' where",
        ),
        (
            "attributes/best_iteration",
            json!("-1"),
            "best_iteration is '-1' where the model has 18 iterations",
        ),
        ("attributes/best_iteration", json!("x"), "best_iteration is 'x' where the model has 18 iterations"),
        ("attributes/best_iteration", json!(15), "invalid type: integer `15`, expected a string"),
        (
            "model/gbtree_model_param/num_parallel_tree",
            json!("-1"),
            "num_parallel_tree is '-1', not a number",
        ),
        (
            "model/gbtree_model_param/num_parallel_tree",
            json!("4294967296"),
            "num_parallel_tree is '4294967296', not",
        ),
    ] {
        check(WRAPPED, &[(at, value)], expected);
    }
}

#[test]
fn labels_that_are_not_the_outputs_are_refused() {
    let classes = |classes: &Value| json!(json!({"_le": {"classes_": classes}}).to_string());
    let million: Vec<u32> = (0..1_000_000).collect();
    let attribute = "model file PATH: attribute scikit_learn: ";
    for (value, expected) in [
        (json!("{"), &*format!("{attribute}EOF while parsing")),
        (json!(""), "attribute scikit_learn: EOF while parsing"),
        (
            json!("{\"x\":".repeat(100_000)),
            "attribute scikit_learn: EOF while parsing a value at line 1 column 500000",
        ),
        (json!("{\"_le\": 7}"), "attribute scikit_learn: invalid type: integer `7`"),
        (json!("{\"_le\": {}}"), "attribute scikit_learn: missing field `classes_`"),
        (json!("{\"_le\": null, \"_le\": null}"), "attribute scikit_learn: duplicate field `_le`"),
        (classes(&json!(million)), "attribute scikit_learn: 1000000 classes where the model has 3"),
        (classes(&json!([1, 2])), "attribute scikit_learn: 2 classes where the model has 3"),
        (classes(&json!([1, 2, [3]])), "attribute scikit_learn: [3] is not a class"),
        (json!(7), "invalid type: integer `7`, expected a string"),
    ] {
        check(WRAPPED, &[("attributes/scikit_learn", value)], expected);
    }
    for alpha in [
        "",
        "x",
        "[1E-1,x]",
        "[1E-1,5E-1]",
        "[1E-1,5E-1,9E-1,9E-1]",
        "[1E-1,5E-1,NaN]",
        "[1E-1,5E-1,1.5]",
        "[1E-1,-1,1]",
    ] {
        let expected = format!("quantile_alpha is '{alpha}', not 3 numbers from 0 to 1");
        check(QUANTILES, &[("objective/quantile_loss_param/quantile_alpha", json!(alpha))], &expected);
    }
    check(QUANTILES, &[("objective/quantile_loss_param", json!({}))], "missing field `quantile_alpha`");
}

#[test]
fn trees_of_outputs_that_do_not_exist_are_refused() {
    for case in [LABELS, QUANTILES] {
        let expected = "model file PATH: tree 4: tree_info gives it output 3, the model has 3";
        check(case, &[("model/tree_info/4", json!(3))], expected);
        let expected = "tree 4: tree_info gives it output 4294967295, the model has 3";
        check(case, &[("model/tree_info/4", json!(u32::MAX))], expected);
        check(case, &[("model/tree_info/4", json!(u32::MAX as u64 + 1))], "expected u32");
    }
    check(
        LABELS,
        &[("param/num_class", json!("2"))],
        "'binary:logistic' with 2 classes and 3 targets is not read",
    );
}

/// What is odd but has a meaning, at the edge of what is refused above.
#[test]
fn odd_outputs_and_iterations_that_mean_something_are_read() {
    let folder = tempfile::tempdir().unwrap();
    for (case, at, value) in [
        (VECTOR, "tree/right_children/6", json!(1)),
        (LINEAR, "model/weights", json!(vec![3.4e38; 18])),
        (WRAPPED, "model/iteration_indptr", json!([])),
        (WRAPPED, "model/iteration_indptr", json!([0, 0, 0, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 108])),
        (WRAPPED, "model/iteration_indptr", json!(null)),
        (WRAPPED, "attributes/best_iteration", json!("0")),
        (WRAPPED, "attributes/other", json!(["of", "the", "user"])),
        (
            WRAPPED,
            "attributes/scikit_learn",
            json!("{\"missing\": NaN, \"_le\": {\"classes_\": [\"a\", 2, true]}}"),
        ),
        (WRAPPED, "model/gbtree_model_param/num_parallel_tree", json!("0")),
        (WRAPPED, "model/gbtree_model_param/num_parallel_tree", json!("4294967295")),
        (PLAIN, "attributes/scikit_learn", json!("{\"_le\": {\"classes_\": [1, 2]}}")),
        (PLAIN, "attributes/best_iteration", json!("of the user")),
    ] {
        let mut edits = vec![(at, value.clone())];
        if value.is_null() {
            edits = vec![(at, json!([])), ("model/gbtree_model_param", json!({}))];
        }
        let file = folder.path().join("model.json");
        fs::write(&file, edited(case, &edits)).unwrap();
        let model = load(&file).unwrap_or_else(|e| panic!("{case} {at} {value}: {e}"));
        let rows = fs::read_to_string(golden(case).join("rows.csv")).unwrap();
        assert!(score(&model, &rows).is_some_and(|values| values > 0), "{case} {at} {value}");
    }
}
