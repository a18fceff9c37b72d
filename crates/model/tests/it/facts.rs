//! What a loaded model tells for its operator: the digest of its package, its size in memory, the name of its file.

use std::fs;
use std::path::Path;

use portend_model::{Model, Package};
use ring::digest::{SHA256, digest};

fn golden(inside: &str) -> std::path::PathBuf {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../..")).join(inside)
}

fn sha256(bytes: &[u8]) -> String {
    digest(&SHA256, bytes).as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn a_digest_is_that_of_the_checksums_or_of_the_file() {
    let package = golden("testdata/models/xgb_breast_cancer/package");
    let folder = tempfile::tempdir().unwrap();
    let bare = folder.path().join("model.txt");
    fs::write(&bare, fs::read(golden("testdata/models/lgb_wine/package/model/model.txt")).unwrap()).unwrap();
    assert_eq!(Model::load(&bare, "y").unwrap().digest, sha256(&fs::read(&bare).unwrap()));
    let listed = package.join("checksums.txt");
    assert!(listed.is_file());
    assert_eq!(Model::load(&package, "y").unwrap().digest, sha256(&fs::read(listed).unwrap()));
}

#[test]
fn memory_grows_with_the_trees() {
    let memory = |case: &str| {
        let path = golden(&format!("testdata/models/{case}"));
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
