//! What a loaded model tells for its operator: the digest of its package, its size in memory, the name of its file.

use std::fs;
use std::path::Path;

use portend_model::frame::Keep;
use portend_model::{Model, Package};
use ring::digest::{SHA256, digest};

use crate::repository;

fn sha256(bytes: &[u8]) -> String {
    digest(&SHA256, bytes).as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn a_digest_is_that_of_the_checksums_or_of_the_file() {
    let package = repository("testdata/models/xgb_breast_cancer/package");
    let folder = tempfile::tempdir().unwrap();
    let bare = folder.path().join("model.txt");
    fs::write(&bare, fs::read(repository("testdata/models/lgb_wine/package/model/model.txt")).unwrap())
        .unwrap();
    assert_eq!(Model::load(&bare, "y").unwrap().digest, sha256(&fs::read(&bare).unwrap()));
    let listed = package.join("checksums.txt");
    assert!(listed.is_file());
    assert_eq!(Model::load(&package, "y").unwrap().digest, sha256(&fs::read(listed).unwrap()));
}

#[test]
fn memory_grows_with_the_trees() {
    let memory = |case: &str| {
        let path = repository(&format!("testdata/models/{case}"));
        let model = path.join("package");
        Model::load(&model, "y").unwrap().memory()
    };
    let (few, many) = (memory("lgb_stopped"), memory("lgb_deep"));
    assert!(few > 1000 && many > few, "{few} {many}");
}

#[test]
fn a_file_is_called_after_what_it_holds() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("any");
    for (bytes, expected) in [
        (&b"PK\x03\x04..."[..], Some("model.mlpkg")),
        (b"tree\nversion=v4\n", Some("model.txt")),
        (b"{\"learner\":{}}", Some("model.json")),
        (b" {\n  \"learner\":{}}", Some("model.json")),
        (b"{L\0\0\0\0\0\0\0\x07learner", Some("model.ubj")),
        (b"a,b\n1,2\n", None),
        (b"", None),
    ] {
        fs::write(&path, bytes).unwrap();
        assert_eq!(Package::plain_name(&path).ok(), expected, "{bytes:?}");
    }
}

/// As XGBoost 1.7 writes it for `XGBClassifier(missing=-999)`.
#[test]
fn the_number_that_a_file_takes_for_missing_is_missing() {
    let case = repository("testdata/models/xgb17_pima");
    let rows = fs::read_to_string(case.join("rows.csv")).unwrap();
    let file = case.join("package/model/model.json");
    let text = fs::read_to_string(&file).unwrap();
    let told =
        text.replacen("\"attributes\":{", r#""attributes":{"scikit_learn":"{\"missing\": -999.0}","#, 1);
    let told = told.replacen(r#"999.0}","}"#, r#"999.0}"}"#, 1);
    assert_ne!(told, text);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.json");
    fs::write(&path, told).unwrap();
    let marked: Vec<String> = rows.lines().map(marked).collect();
    let marked = marked.join("\n");
    assert!(marked.matches("-999").count() > 20, "{marked}");
    let predictions = |path: &Path, rows: &str| {
        let model = Model::load(path, "y").unwrap();
        let frame = model.decode_csv(rows, &Keep::None, 1).unwrap().remove(0);
        model.predict(&frame, 1..frame.rows()).values
    };
    let expected = predictions(&file, &rows);
    assert_eq!(predictions(&path, &rows), expected);
    assert_eq!(predictions(&path, &marked), expected);
    assert_ne!(predictions(&file, &marked), expected);
}

/// A line of CSV with -999 in its empty cells.
fn marked(line: &str) -> String {
    let cells: Vec<_> = line.split(',').map(|cell| if cell.is_empty() { "-999" } else { cell }).collect();
    cells.join(",")
}
