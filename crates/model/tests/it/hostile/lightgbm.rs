//! LightGBM texts of the right form that are yet no model: each case is a golden file with a few words replaced.

use std::fs;

use super::{check_bytes_refused, golden, load, score};

/// Where: the first line that starts so. What: the first occurrence in it, and what replaces it.
type Edit<'a> = (&'a str, &'a str, &'a str);

/// One output, 14 columns of which 2 are categorical, 30 trees; split 7 of tree 0 asks for categories.
const CODES: &str = "lgb_codes";
/// Three classes, pandas levels for 2 of 7 columns.
const CLASSES: &str = "lgb_penguins";
/// Two classes.
const BINARY: &str = "lgb_breast_cancer";
/// Linear leaves; the 5 of its first tree have no terms. Two classes, 13 columns.
const LINEAR: &str = "lgb_linear_tree_binary";
/// An objective that the file does not name, 15 trees.
const CUSTOM: &str = "lgb_custom";
/// A forest for one number, 15 trees.
const FOREST: &str = "lgb_forest_regression";

fn edited(case: &str, edits: &[Edit<'_>]) -> String {
    let mut text = fs::read_to_string(golden(case).join("package/model/model.txt")).unwrap();
    for (line, from, to) in edits {
        let start = if text.starts_with(line) { 0 } else { text.find(&format!("\n{line}")).unwrap() + 1 };
        let end = text[start..].find('\n').map_or(text.len(), |length| start + length);
        let old = &text[start..end];
        assert!(old.contains(from), "{line}: {old}");
        let new = old.replacen(from, to, 1);
        text.replace_range(start..end, &new);
    }
    text
}

fn check(case: &str, edits: &[Edit<'_>], expected: &str) {
    let name = format!("{case} {:.999}", format!("{edits:?}"));
    check_bytes_refused("model.txt", edited(case, edits).as_bytes(), &name, expected);
}

#[test]
fn a_header_that_contradicts_itself_is_refused() {
    for (case, line, from, to, expected) in [
        (
            CODES,
            "num_class",
            "1",
            "3",
            "objective 'regression' with 3 classes and 1 trees an iteration is not read",
        ),
        (CODES, "num_class", "1", "0", "objective 'regression' with 0 classes and 1 trees an iteration"),
        (CODES, "num_class", "1", "-1", "model file PATH: num_class=-1 is not a number that fits"),
        (CODES, "num_class", "num_class", "classes", "model file PATH: 'num_class' is missing"),
        (CODES, "num_tree_per", "1", "0", "objective 'regression' with 1 classes and 0 trees an iteration"),
        (
            CODES,
            "num_tree_per",
            "1",
            "4000000000",
            "with 1 classes and 4000000000 trees an iteration is not read",
        ),
        (CODES, "max_feature_idx", "13", "99", "100 features but 14 feature_names"),
        (
            CODES,
            "max_feature_idx",
            "13",
            "18446744073709551615",
            "18446744073709551615 features but 14 feature",
        ),
        (CODES, "max_feature_idx", "13", "-1", "max_feature_idx=-1 is not a number that fits"),
        (CODES, "feature_names", " zn", "", "14 features but 13 feature_names"),
        (CODES, "feature_names", " zn", " crim", "the model file names two features 'crim'"),
        (CODES, "objective", "regression", "nonsense", "objective 'nonsense' is not read yet"),
        (CODES, "objective", "regression", "multiclass", "objective 'multiclass' with 1 classes"),
        (CODES, "version", "version=v4", "num_class=1", "'num_class' occurs twice"),
        (CODES, "tree_sizes", "=1133", "=", "30 trees where tree_sizes lists 29"),
        (CODES, "tree", "tree", "forest", "it is neither XGBoost JSON or UBJSON nor LightGBM text"),
        (
            CLASSES,
            "num_class",
            "3",
            "4",
            "objective 'multiclass num_class:3' does not agree with num_class=4",
        ),
        (CLASSES, "objective", "num_class:3", "num_class:x", "does not agree with num_class=3"),
        (CLASSES, "num_tree_per", "3", "2", "with 3 classes and 2 trees an iteration is not read"),
        (BINARY, "objective", "sigmoid:1", "sigmoid:nan", "objective 'binary sigmoid:nan' has a bad sigmoid"),
        (BINARY, "num_class", "1", "2", "objective 'binary sigmoid:1' with 2 classes and 1 trees"),
        (
            CUSTOM,
            "num_class",
            "1",
            "4000000000",
            "'custom' with 4000000000 classes and 1 trees an iteration is not",
        ),
        (
            CUSTOM,
            "num_class",
            "1",
            "18446744073709551616",
            "num_class=18446744073709551616 is not a number that",
        ),
        (
            CUSTOM,
            "num_class",
            "1",
            "0",
            "objective 'custom' with 0 classes and 1 trees an iteration is not read",
        ),
        (
            FOREST,
            "average_output",
            "average_output",
            "average_output\naverage_output",
            "'average_output' occurs twice",
        ),
    ] {
        check(case, &[(line, from, to)], expected);
    }
}

#[test]
fn classes_that_the_file_does_not_back_are_refused_before_memory_is_taken() {
    for classes in ["4000000000", "50000000"] {
        let objective = format!("num_class:{classes}");
        let edits = [
            ("num_class", "3", classes),
            ("num_tree_per", "3", classes),
            ("objective", "num_class:3", &objective),
        ];
        check(
            CLASSES,
            &edits,
            &format!("with {classes} classes and {classes} trees an iteration is not read"),
        );
    }
}

#[test]
fn trees_that_fill_no_iteration_are_refused() {
    for (classes, expected) in [
        ("65537", "objective 'custom' with 65537 classes and 65537 trees an iteration is not read"),
        ("65536", "model file PATH: 15 trees are no whole number of iterations of 65536 trees each"),
        ("4", "15 trees are no whole number of iterations of 4 trees each"),
    ] {
        check(CUSTOM, &[("num_class", "1", classes), ("num_tree_per", "1", classes)], expected);
    }
}

#[test]
fn linear_functions_whose_terms_do_not_add_up_are_refused_with_their_tree() {
    let most = "18446744073709551615";
    let term = |column| {
        vec![("num_features", "=0", "=1"), ("leaf_features", "=", column), ("leaf_coeff", "=", "=1 ")]
    };
    for (edits, expected) in [
        (vec![("leaf_const", "leaf_const", "const")], "model file PATH: Tree=0: 'leaf_const' is missing"),
        (vec![("leaf_const", "=", "=1 ")], "Tree=0: leaf_const has 6 values where 5 belong"),
        (vec![("leaf_const", "=", "=x")], "Tree=0: leaf_const holds something that is not a number"),
        (vec![("num_features", "=0", "=")], "Tree=0: num_features has 4 values where 5 belong"),
        (vec![("num_features", "=0", "=-1")], "Tree=0: num_features holds something that is not a number"),
        (vec![("num_features", "=0", "=1")], "Tree=0: leaf_features has 0 values where 1 belong"),
        (
            vec![("num_features", "=0 0", "=18446744073709551615 0")],
            &format!("leaf_features has 0 values where {most}"),
        ),
        (
            vec![("num_features", "=0 0", "=18446744073709551615 2")],
            &format!("leaf_features has 0 values where {most}"),
        ),
        (vec![("leaf_features", "=", "=1 ")], "Tree=0: leaf_features has 1 values where 0 belong"),
        (vec![("leaf_coeff", "=", "=1 ")], "Tree=0: leaf_coeff has 1 values where 0 belong"),
        (term("=99 "), "Tree=0: a leaf asks for feature 99, the model has "),
        (term("=4294967295 "), "Tree=0: a leaf asks for feature 4294967295, the model has "),
        (term("=-1 "), "Tree=0: leaf_features holds something that is not a number"),
        (term("= "), "Tree=0: leaf_features has 0 values where 1 belong"),
    ] {
        check(LINEAR, &edits, expected);
    }
}

/// What is odd but has a meaning: thresholds that no value passes, and no trees at all.
#[test]
fn odd_values_that_mean_something_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("model.txt");
    let threshold = |word| edited(CODES, &[("threshold", "-1.9099349999999997", word)]);
    let without_trees = |case| {
        let text = edited(case, &[]);
        let (start, end) = (text.find("tree_sizes").unwrap(), text.find("end of trees").unwrap());
        text[..start].to_owned() + "\n" + &text[end..]
    };
    let many = [("num_class", "1", "65536"), ("num_tree_per", "1", "65536")];
    let mut outputs = edited(CUSTOM, &many);
    outputs.replace_range(outputs.find("tree_sizes").unwrap()..outputs.find("end of trees").unwrap(), "\n");
    for (case, what, text) in [
        (CODES, "inf", threshold("inf")),
        (CODES, "-inf", threshold("-inf")),
        (CODES, "beyond f64", threshold("1e999")),
        (LINEAR, "no function", edited(LINEAR, &[("leaf_const", "=-0.83758296394463305", "=nan")])),
        (FOREST, "no trees", without_trees(FOREST)),
        (CUSTOM, "no trees", without_trees(CUSTOM)),
        (CUSTOM, "many outputs", outputs),
    ] {
        fs::write(&file, text).unwrap();
        let model = load(&file).unwrap_or_else(|e| panic!("{case} {what}: {e}"));
        let rows = fs::read_to_string(golden(case).join("rows.csv")).unwrap();
        let rows: String = rows.split_inclusive('\n').take(9).collect();
        assert!(score(&model, &rows).is_some_and(|values| values > 0), "{case} {what}");
    }
}

#[test]
fn nodes_that_form_no_tree_are_refused_with_tree_and_split() {
    for (line, from, to, expected) in [
        ("num_leaves", "12", "4000000000", "Tree=0: left_child has 11 values where 3999999999 belong"),
        (
            "num_leaves",
            "12",
            "18446744073709551615",
            "left_child has 11 values where 18446744073709551614 belong",
        ),
        ("num_leaves", "12", "0", "model file PATH: Tree=0: it has no leaves"),
        ("num_leaves", "12", "1", "Tree=0: left_child has 11 values where 0 belong"),
        ("num_leaves", "12", "-1", "Tree=0: num_leaves=-1 is not a number that fits"),
        ("left_child", "=1 ", "=99 ", "Tree=0: split 0 has a child that does not exist"),
        ("left_child", "=1 ", "=-99 ", "Tree=0: split 0 has a child that does not exist"),
        ("left_child", "=1 ", "=-2147483648 ", "Tree=0: split 0 has a child that does not exist"),
        ("left_child", "=1 ", "=0 ", "Tree=0: node 0 is reached twice: the nodes form no tree"),
        ("left_child", "=1 4", "=1 0", "Tree=0: node 0 is reached twice"),
        ("left_child", "=1 ", "=2 ", "Tree=0: node 2 is reached twice"),
        ("left_child", "=1 4 5 ", "=1 4 -1 ", "Tree=0: node 11 is reached twice"),
        ("left_child", "=1 ", "=1.5 ", "Tree=0: left_child holds something that is not a number"),
        ("right_child", "=2 ", "=", "Tree=0: right_child has 10 values where 11 belong"),
        ("right_child", "right", "wrong", "Tree=0: 'right_child' is missing"),
        ("split_feature", "=12 ", "=14 ", "Tree=0: a split asks for feature 14, the model has 14"),
        ("split_feature", "=12 ", "=-1 ", "Tree=0: split_feature holds something that is not a number"),
    ] {
        check(CODES, &[(line, from, to)], expected);
    }
}

#[test]
fn lists_that_hold_what_no_tree_has_are_refused_by_their_name() {
    for (line, from, to, expected) in [
        ("threshold", "=", "=1 ", "Tree=0: threshold has 12 values where 11 belong"),
        ("threshold", "=-1.9099349999999997", "=nan", "Tree=0: the threshold of split 0 is not a number"),
        ("decision_type", "=2 ", "=14 ", "Tree=0: split 0 has an unknown missing type"),
        ("decision_type", "=2 ", "=256 ", "Tree=0: decision_type holds something that is not a number"),
        ("leaf_value", "=", "=1 ", "Tree=0: leaf_value has 13 values where 12 belong"),
        ("leaf_value", "=9.9693344419239285", "=nan", "Tree=0: the value of leaf 0 is not a finite number"),
        ("leaf_value", "=9.9693344419239285", "=-inf", "Tree=0: the value of leaf 0 is not a finite number"),
        ("is_linear", "0", "1", "Tree=0: 'leaf_const' is missing"),
        ("num_cat", "num_cat=1", "num_cat=1\nnum_cat=1", "Tree=0: 'num_cat' occurs twice"),
        ("Tree=3", "3", "4", "Tree=4 stands where Tree=3 belongs"),
        ("Tree=0", "0", "x", "Tree=x stands where Tree=0 belongs"),
    ] {
        check(CODES, &[(line, from, to)], expected);
    }
}

#[test]
fn categories_that_no_set_can_have_are_refused_with_tree_and_split() {
    for (line, from, to, expected) in [
        ("cat_boundaries", "0 3", "3 0", "Tree=0: cat_boundaries do not ascend"),
        ("cat_boundaries", "0 3", "0 9", "Tree=0: cat_threshold has 3 values where 9 belong"),
        (
            "cat_boundaries",
            "0 3",
            "0 18446744073709551615",
            "cat_threshold has 3 values where 18446744073709551615",
        ),
        ("cat_boundaries", "0 3", "0 -3", "Tree=0: cat_boundaries holds something that is not a number"),
        ("cat_boundaries", "0 3", "0 1 3", "Tree=0: cat_boundaries has 3 values where 2 belong"),
        ("cat_threshold", " 12288", "", "Tree=0: cat_threshold has 2 values where 3 belong"),
        (
            "cat_threshold",
            "12288",
            "4294967296",
            "Tree=0: cat_threshold holds something that is not a number",
        ),
        ("num_cat", "1", "0", "Tree=0: cat_boundaries has 2 values where 0 belong"),
        ("num_cat", "1", "9", "Tree=0: cat_boundaries has 2 values where 10 belong"),
        (
            "num_cat",
            "1",
            "18446744073709551615",
            "cat_boundaries has 2 values where 18446744073709551615 belong",
        ),
        ("threshold", " 0 ", " 1 ", "Tree=0: split 7 asks for set 1 of 1 sets of categories"),
        ("threshold", " 0 ", " -1 ", "Tree=0: split 7 asks for set -1 of 1 sets of categories"),
        ("threshold", " 0 ", " 0.5 ", "Tree=0: split 7 asks for set 0.5 of 1 sets of categories"),
        ("threshold", " 0 ", " nan ", "Tree=0: split 7 asks for set NaN of 1 sets of categories"),
        ("threshold", " 0 ", " 1e300 ", "Tree=0: split 7 asks for set 1000"),
    ] {
        check(CODES, &[(line, from, to)], expected);
    }
    let shared = [("decision_type", "=2 ", "=1 "), ("threshold", "=-1.9099349999999997", "=0")];
    check(CODES, &shared, "Tree=0: two splits ask for set 0 of categories");
}

/// A word of the file, at most 11 bytes, may stand for 32 codes.
#[test]
fn sets_of_very_many_categories_take_hardly_more_memory_than_their_file() {
    let words = |count: usize| {
        edited(
            CODES,
            &[
                ("cat_boundaries", "0 3", &format!("0 {count}")),
                ("cat_threshold", "=", &format!("={}", "4294967295 ".repeat(count - 3))),
            ],
        )
    };
    check_bytes_refused(
        "model.txt",
        words(4 << 20).as_bytes(),
        "46 MB",
        "feature 13 has too many categories in too many splits",
    );
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("model.txt");
    fs::write(&file, words(1 << 18)).unwrap();
    assert!(load(&file).unwrap().memory() < 80 << 20);
}

#[test]
fn a_damaged_end_is_refused() {
    let deep = "[".repeat(100_000);
    for (line, from, to, expected) in [
        (
            "pandas_categorical",
            "[[",
            deep.as_str(),
            "pandas_categorical is not a list of lists: recursion limit",
        ),
        ("end of trees", "end of trees", "", "the file ends before 'end of trees': it is cut off"),
        ("end of param", "end of parameters", "", "the file ends before 'end of parameters': it is cut off"),
        ("[categorical_feature", "0,5", "0,99", "model file PATH: categorical column 99 does not exist"),
        (
            "[categorical_feature",
            "0,5",
            "0,1,5",
            "the model file has 2 lists of levels and does not tell their columns (Biscoe, Dream, Torgersen; female, male)",
        ),
        ("pandas_categorical", "[[", "[", "pandas_categorical is not a list of lists"),
        ("pandas_categorical", "[[", "[[{}, ", "pandas_categorical holds {}, which is no level"),
        (
            "pandas_categorical",
            "[[",
            "[[1], [",
            "the model file has 3 lists of levels and does not tell their columns",
        ),
    ] {
        check(CLASSES, &[(line, from, to)], expected);
    }
}

#[test]
fn a_long_text_in_a_file_does_not_make_a_long_error() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("model.txt");
    let long = "x".repeat(1 << 20);
    fs::write(&file, edited(CODES, &[("objective", "regression", &long)])).unwrap();
    let error = load(&file).unwrap_err();
    assert!(error.starts_with("model file PATH: objective 'xxx") && error.len() < 1000, "{error:.2000}");
}
