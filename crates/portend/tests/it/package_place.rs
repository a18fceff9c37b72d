//! Where `portend package` writes: never over what it read, and through links to where they point.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use portend_model::Model;

use crate::package_commands::{created, package, package_ok};

fn check_spared(folder: &Path, out: &str, input: &str) {
    let before = fs::read(folder.join(input)).unwrap();
    let arguments = ["create", "model.txt", "--training-data", "train.csv", "-o", out, "--force"];
    let done = package(folder, &arguments);
    let expected = format!("portend: {out} is the input {input}: name another file to write");
    assert_eq!((done.code, done.log.lines().last()), (1, Some(expected.as_str())), "{out}");
    assert!(fs::read(folder.join(input)).unwrap() == before, "{out}: {input} is changed");
}

#[test]
fn no_input_is_written_over_by_whatever_name() {
    let folder = created("lgb_diabetes");
    let root = folder.path();
    symlink("model.txt", root.join("link.mlpkg")).unwrap();
    fs::hard_link(root.join("train.csv"), root.join("hard.mlpkg")).unwrap();
    for (out, input) in [
        ("model.txt", "model.txt"),
        ("./model.txt", "model.txt"),
        ("link.mlpkg", "model.txt"),
        ("train.csv", "train.csv"),
        ("hard.mlpkg", "train.csv"),
    ] {
        check_spared(root, out, input);
    }
}

#[test]
fn a_link_stays_one_and_what_it_points_to_is_replaced() {
    let folder = created("lgb_diabetes");
    let root = folder.path();
    fs::create_dir_all(root.join("versions/one")).unwrap();
    fs::write(root.join("versions/old.mlpkg"), "old").unwrap();
    symlink("versions/old.mlpkg", root.join("current.mlpkg")).unwrap();
    symlink("current.mlpkg", root.join("again.mlpkg")).unwrap();
    symlink("versions/new.mlpkg", root.join("new.mlpkg")).unwrap();
    symlink("loop.mlpkg", root.join("loop.mlpkg")).unwrap();
    for (link, file) in [
        ("current.mlpkg", "versions/old.mlpkg"),
        ("again.mlpkg", "versions/old.mlpkg"),
        ("new.mlpkg", "versions/new.mlpkg"),
    ] {
        package_ok(root, &["create", "model.txt", "-o", link, "--force"]);
        assert!(root.join(link).is_symlink(), "{link}");
        assert!(!root.join(file).is_symlink(), "{file}");
        Model::load(&root.join(file), "").unwrap();
    }
    let done = package(root, &["create", "model.txt", "-o", "loop.mlpkg", "--force"]);
    let expected = "portend: loop.mlpkg: Too many levels of symbolic links (os error 40)";
    assert_eq!((done.code, done.log.lines().last()), (1, Some(expected)));
}
