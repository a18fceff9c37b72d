//! Which crate may know which, and other rules that hold for every file: they are checked because they are easily
//! broken by accident and tedious to restore.

use std::fs;
use std::path::{Path, PathBuf};

use crate::repository;

/// Each crate with the crates of ours that it may depend on.
const ARROWS: [(&str, &[&str]); 6] = [
    ("core", &[]),
    ("model", &["portend-core"]),
    ("server", &["portend-core", "portend-model"]),
    ("image", &["portend-core"]),
    ("artifact", &["portend-core"]),
    ("portend", &["portend-artifact", "portend-core", "portend-image", "portend-model", "portend-server"]),
];

/// The one file that may hold what the compiler does not check.
const UNSAFE: [&str; 2] =
    ["crates/model/src/runtime/tree/kernel.rs", "crates/model/src/runtime/tree/kernel/avx512.rs"];

/// Crates of ours among the dependencies of a manifest, those for tests and builds included.
fn ours(manifest: &str) -> Vec<&str> {
    let mut section = "";
    let mut found = Vec::new();
    for line in manifest.lines().map(str::trim) {
        if line.starts_with('[') {
            section = line.trim_matches(['[', ']']);
        }
        // [dependencies] portend-core = …, or [dependencies.portend-core]
        let (of, named) = section
            .split_once("dependencies.")
            .map_or((section, None), |(_, name)| ("dependencies", Some(name)));
        let name = named.filter(|_| line.starts_with('[')).or_else(|| line.split(['.', '=', ' ']).next());
        if of.ends_with("dependencies") {
            found.extend(name.filter(|name| name.starts_with("portend")));
        }
    }
    found
}

/// All Rust files of the crates.
fn rust_files() -> Vec<PathBuf> {
    let mut folders = vec![repository("crates")];
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            match path.is_dir() {
                true if path.file_name().is_some_and(|name| name != "target") => folders.push(path),
                false if path.extension().is_some_and(|extension| extension == "rs") => files.push(path),
                _ => {}
            }
        }
    }
    assert!(files.len() > 40, "only {} files found", files.len());
    files
}

fn shown(path: &Path) -> String {
    path.strip_prefix(repository("")).unwrap_or(path).display().to_string()
}

#[test]
fn crates_know_only_those_below_them() {
    for (name, allowed) in ARROWS {
        let manifest = fs::read_to_string(repository("crates").join(name).join("Cargo.toml")).unwrap();
        let wrong: Vec<_> = ours(&manifest).into_iter().filter(|other| !allowed.contains(other)).collect();
        assert!(wrong.is_empty(), "crates/{name} may not know {wrong:?}");
    }
    let crates = fs::read_dir(repository("crates")).unwrap();
    assert_eq!(crates.count(), ARROWS.len(), "a new crate needs its line in ARROWS");
}

#[test]
fn dependencies_are_found_however_they_are_written() {
    let manifest = "[package]\nname = \"portend-x\"\n[dependencies]\nportend-a.workspace = true\n\
                    portend-b = { path = \"b\" }\nserde = \"1\"\n[dev-dependencies.portend-c]\npath = \"c\"\n\
                    [target.'cfg(unix)'.dependencies]\nportend-d=\"1\"\n[[bench]]\nname = \"portend-e\"\n";
    assert_eq!(ours(manifest), ["portend-a", "portend-b", "portend-c", "portend-d"]);
}

#[test]
fn unchecked_code_is_forbidden_but_in_the_kernel() {
    for (name, _) in ARROWS {
        let sources = repository("crates").join(name).join("src");
        let root =
            ["lib.rs", "main.rs"].map(|file| sources.join(file)).into_iter().find(|path| path.is_file());
        let root = fs::read_to_string(root.unwrap()).unwrap();
        let forbidden = root.lines().any(|line| line == "#![forbid(unsafe_code)]");
        assert_eq!(forbidden, name != "model", "crates/{name}");
    }
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let unchecked = |line: &str| {
        let code = line.split("//").next().unwrap_or_default();
        code.contains("unsafe")
            && code.split(|c| !is_word(c)).any(|word| word == "unsafe")
            && !code.contains('"')
    };
    let holders: Vec<String> = rust_files()
        .iter()
        .filter(|path| fs::read_to_string(path).unwrap().lines().any(unchecked))
        .map(|path| shown(path))
        .collect();
    assert!(holders.iter().all(|path| UNSAFE.contains(&path.as_str())), "{holders:?}");
}

#[test]
fn every_file_says_first_what_it_is_for() {
    let silent =
        rust_files().into_iter().filter(|path| !fs::read_to_string(path).unwrap().starts_with("//! "));
    let silent: Vec<_> = silent.map(|path| shown(&path)).collect();
    assert!(silent.is_empty(), "{silent:?}");
}
