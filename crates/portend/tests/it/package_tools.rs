//! `portend package inspect`, `verify` and `diff`: pages that people read, exit codes that scripts read, and that no
//! file of a package can be changed unnoticed.

use std::fs;
use std::path::Path;

use portend_model::package::{PackageFiles, write_archive};
use serde_json::{Value, json};

use crate::package_commands::{Case, Done, created, files_of, package, package_ok, write_directory};

/// The files of a package that was made of a golden model, as the directory `d` beside it.
fn unpacked(name: &str) -> (tempfile::TempDir, PackageFiles) {
    let folder = created(name);
    let archive = fs::File::open(folder.path().join("p.mlpkg")).unwrap();
    zip::ZipArchive::new(archive).unwrap().extract(folder.path().join("d")).unwrap();
    let files = files_of(&folder.path().join("d"));
    (folder, files)
}

/// Writes files as a directory and as an archive, verifies both, and compares the lines that failed.
fn check_failed(folder: &Path, what: &str, files: &PackageFiles, expected: &[(&str, &str)]) {
    let directory = folder.join("changed");
    write_directory(&directory, files);
    write_archive(files, fs::File::create(folder.join("changed.mlpkg")).unwrap()).unwrap();
    for package_name in ["changed", "changed.mlpkg"] {
        let Done { code, out, .. } = package(folder, &["verify", package_name]);
        let failed: Vec<(&str, &str)> = out
            .lines()
            .filter_map(|line| line.split_once(" FAILED ").map(|(a, b)| (a.trim(), b.trim())))
            .collect();
        let matches = failed.iter().zip(expected).all(|(f, e)| f.0 == e.0 && f.1.starts_with(e.1));
        assert!(
            code == 1 && matches && failed.len() == expected.len(),
            "{what}, {package_name}, {code}: {out}"
        );
        assert_eq!(out.lines().count(), 6, "{out}");
    }
    fs::remove_dir_all(directory).unwrap();
}

#[test]
fn no_file_of_a_package_can_be_changed_removed_or_added_unnoticed() {
    let (folder, files) = unpacked("xgb_penguins");
    let listed: Vec<String> = files.keys().filter(|name| *name != "checksums.txt").cloned().collect();
    assert_eq!(listed.len(), 6);
    for name in &listed {
        let reason = format!(
            "'{name}' does not have the checksum that checksums.txt gives: it was changed or damaged"
        );
        let mut changed = files.clone();
        changed.get_mut(name).unwrap().push(b'\n');
        let mut removed = files.clone();
        removed.remove(name);
        let missing = format!("'{name}' is listed in checksums.txt but missing");
        let more: &[(&str, &str)] = match name.as_str() {
            "portend.json" => &[("manifest", "there is no portend.json")],
            "model/model.json" => &[("model", "the model file 'model/model.json' is missing")],
            "samples/output.json" => &[("samples", "samples/output.json is missing")],
            _ => &[],
        };
        check_failed(folder.path(), name, &changed, &[("checksums", &reason)]);
        if name != "portend.json" {
            let expected = [&[("checksums", missing.as_str())][..], more].concat();
            check_failed(folder.path(), name, &removed, &expected);
        }
    }
    let mut added = files.clone();
    added.insert("model/second.json".to_owned(), b"{}".to_vec());
    check_failed(
        folder.path(),
        "added",
        &added,
        &[("checksums", "checksums.txt does not list 'model/second.json'")],
    );
    let mut list = files;
    list.insert("checksums.txt".to_owned(), b"x".to_vec());
    check_failed(folder.path(), "list", &list, &[("checksums", "checksums.txt: bad line 'x'")]);
}

#[test]
fn each_step_of_loading_fails_by_itself() {
    let (folder, mut files) = unpacked("xgb_penguins");
    files.remove("checksums.txt");
    for (name, bytes, step, reason) in [
        ("portend.json", "{}", "manifest", "portend.json: missing field `format`"),
        (
            "model/model.json",
            "{\"learner\":",
            "model",
            "model file model/model.json: not an XGBoost JSON model",
        ),
        (
            "samples/output.json",
            "{\"predictions\": []}",
            "samples",
            "samples/output.json has another number of rows",
        ),
        ("samples/input.csv", "a\n1\n", "samples", "samples/input.csv: column 'island' is missing"),
    ] {
        let mut changed = files.clone();
        changed.insert(name.to_owned(), bytes.as_bytes().to_vec());
        check_failed(folder.path(), name, &changed, &[(step, reason)]);
    }
    fs::write(folder.path().join("x.mlpkg"), "no zip").unwrap();
    let done = package(folder.path(), &["verify", "x.mlpkg"]);
    let expected = "container  FAILED     it is not a readable zip archive: invalid Zip archive: Could not find EOCD\n\
                    checksums  unchecked  not reached\n";
    assert!(done.code == 1 && done.out.starts_with(expected), "{done:?}");
    let done = package(folder.path(), &["verify", "nothing"]);
    assert!(done.code == 1 && done.out.contains("No such file or directory"), "{done:?}");
}

const PAGE: &str = "\
id              cancer
name            Breast cancer
version         1
container       archive
kind            xgboost (xgboost 3.2.0)
task            binary (binary:logistic)
target          diagnosis
classes         malignant, benign
positive class  benign
threshold       0.4
";

#[test]
fn inspect_prints_a_page_for_people() {
    let (case, folder) = (Case::named("xgb_breast_cancer"), tempfile::tempdir().unwrap());
    let model = case.model().to_string_lossy().into_owned();
    let given =
        ["--target", "diagnosis", "--classes", "malignant,benign", "--threshold", "0.4", "--id", "cancer"];
    let more = ["--name", "Breast cancer", "-o", "p.mlpkg"];
    package_ok(folder.path(), &[&["create", &model][..], &given, &more].concat());
    let page = package_ok(folder.path(), &["inspect", "p.mlpkg"]).out;
    assert!(page.starts_with(PAGE), "{page}");
    for expected in [
        "\nchecksums       ok: 2 files\n",
        "\nsignature       absent: it is not signed\n",
        "\nsamples         absent: there are none",
        "\n  name ",
        "\nfiles (3)\n  checksums.txt   ",
    ] {
        assert!(page.contains(expected), "{expected}: {page}");
    }
}

#[test]
fn what_a_package_says_steers_no_terminal() {
    let (folder, mut files) = unpacked("lgb_diabetes");
    files.remove("checksums.txt");
    let mut manifest: Value = serde_json::from_slice(&files["portend.json"]).unwrap();
    manifest["name"] = json!("\u{1b}[2Jgone\nnext\u{202e}");
    files.insert("portend.json".to_owned(), manifest.to_string().into_bytes());
    write_directory(&folder.path().join("evil"), &files);
    let page = package_ok(folder.path(), &["inspect", "evil"]).out;
    assert!(page.contains("name        \\u{1b}[2Jgone\\nnext\\u{202e}\n"), "{page}");
}

#[test]
fn bare_model_files_and_directories_are_inspected_too() {
    for case in Case::all() {
        let path = case.folder.join("package");
        let done = package_ok(&path, &["inspect", ".", "--output", "json"]);
        let found: Value = serde_json::from_str(&done.out).unwrap();
        assert_eq!((&found["id"], &found["container"]), (&json!(case.name), &json!("directory")));
        assert_eq!(found["samples"]["state"], "ok", "{}", case.name);
        let leaves = &crate::package_commands::json(&case.folder.join("expected.json"))["leaves"][0];
        assert_eq!(found["model"]["trees"], json!(leaves.as_array().unwrap().len()), "{}", case.name);
        let bare = package(&path, &["inspect", &*case.model().to_string_lossy()]);
        assert!(bare.code == 0 || bare.log.contains("cut off beyond ASCII"), "{}: {}", case.name, bare.log);
    }
}

#[test]
fn diff_tells_what_differs_and_by_its_exit_code_whether() {
    let (folder, files) = unpacked("xgb_penguins");
    let path = folder.path();
    assert_eq!(package(path, &["diff", "p.mlpkg", "d"]).out, "nothing differs\n");
    let mut changed = files;
    changed.remove("checksums.txt");
    changed.remove("background.csv");
    changed.insert("README.md".to_owned(), b"new".to_vec());
    let mut manifest: Value = serde_json::from_slice(&changed["portend.json"]).unwrap();
    manifest["version"] = json!("2");
    manifest["target"]["classes"] = json!(["x", "y", "z"]);
    manifest["features"][1]["required"] = json!(false);
    manifest["metadata"] = json!({"by": {"name": "me"}});
    changed.insert("portend.json".to_owned(), manifest.to_string().into_bytes());
    write_directory(&path.join("e"), &changed);
    let done = package(path, &["diff", "p.mlpkg", "e"]);
    let expected = "\
manifest  metadata.by.name  nothing -> me
manifest  version           1 -> 2
manifest  target.classes    [\"Adelie\",\"Chinstrap\",\"Gentoo\"] -> [\"x\",\"y\",\"z\"]
feature   bill_length_mm    required true -> false
model     bytes             the same
file      README.md         added
file      background.csv    removed
file      checksums.txt     removed
file      portend.json      changed
";
    assert_eq!((done.code, done.out.as_str()), (1, expected));
    let done = package(path, &["diff", "p.mlpkg", "e", "--output", "json"]);
    let found: Value = serde_json::from_str(&done.out).unwrap();
    let version = json!({"field": "version", "a": "1", "b": "2"});
    assert_eq!((done.code, &found["same"], &found["manifest"][1]), (1, &json!(false), &version));
    let other = created("lgb_penguins");
    let done = package(path, &["diff", "p.mlpkg", &*other.path().join("p.mlpkg").to_string_lossy()]);
    for line in ["model     bytes  ", "model     kind  ", "model     objective  ", "model     trees "] {
        assert!(done.code == 1 && done.out.contains(line), "{line}: {}", done.out);
    }
    for (a, b) in [("p.mlpkg", "none"), ("none", "p.mlpkg"), ("p.mlpkg", "train.csv")] {
        let done = package(path, &["diff", a, b]);
        assert!(done.code == 2 && done.out.is_empty() && done.log.starts_with("portend: "), "{done:?}");
    }
}
