//! What the tests of `portend package` share: running it, training data out of golden cases, packages to work with.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use portend_model::package::PackageFiles;
use serde_json::Value;

use crate::repository;
use crate::running_server::portend;

/// What a command printed, with its exit code.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) log: String,
}

/// Runs `portend package …` in `folder`.
pub(crate) fn package(folder: &Path, arguments: &[impl AsRef<OsStr>]) -> Done {
    let done = portend().arg("package").args(arguments).current_dir(folder).output().unwrap();
    Done {
        code: done.status.code().unwrap_or(-1),
        out: String::from_utf8(done.stdout).unwrap(),
        log: String::from_utf8(done.stderr).unwrap(),
    }
}

/// The same for a command that must succeed.
pub(crate) fn package_ok(folder: &Path, arguments: &[&str]) -> Done {
    let done = package(folder, arguments);
    assert_eq!(done.code, 0, "{arguments:?}: {}{}", done.out, done.log);
    done
}

/// A case of `testdata/models`.
pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) folder: PathBuf,
    pub(crate) manifest: Value,
}

impl Case {
    pub(crate) fn named(name: &str) -> Self {
        let folder = repository("testdata/models").join(name);
        let manifest = json(&folder.join("package/portend.json"));
        Self { name: name.to_owned(), folder, manifest }
    }

    pub(crate) fn all() -> Vec<Self> {
        let entries = fs::read_dir(repository("testdata/models")).unwrap().map(|entry| entry.unwrap().path());
        let cases = entries.filter(|path| path.join("package/portend.json").is_file());
        let mut names: Vec<_> =
            cases.map(|p| p.file_name().unwrap().to_string_lossy().into_owned()).collect();
        names.sort();
        assert!(names.len() >= 20, "only {} golden cases found", names.len());
        names.iter().map(|name| Self::named(name)).collect()
    }

    pub(crate) fn model(&self) -> PathBuf {
        self.folder.join("package").join(self.manifest["model"]["path"].as_str().unwrap())
    }

    pub(crate) fn target(&self) -> &str {
        self.manifest["target"]["name"].as_str().unwrap()
    }

    /// The classes as they are typed; nothing for regression.
    pub(crate) fn classes(&self) -> String {
        let classes = self.manifest["target"]["classes"].as_array().cloned().unwrap_or_default();
        classes.iter().map(plain).collect::<Vec<_>>().join(",")
    }

    /// The levels of features as they are typed.
    pub(crate) fn levels(&self) -> Vec<String> {
        let features = self.manifest["features"].as_array().unwrap().iter();
        let levels = features.filter_map(|feature| {
            let levels: Vec<_> = feature["categories"]
                .as_array()?
                .iter()
                .map(|level| format!("\"{}\"", plain(level)))
                .collect();
            Some(format!("{}={}", plain(&feature["name"]), levels.join(",")))
        });
        levels.collect()
    }

    pub(crate) fn rows(&self) -> String {
        fs::read_to_string(self.folder.join("rows.csv")).unwrap()
    }

    /// The rows with a column for the target, in which every class occurs.
    pub(crate) fn training_data(&self) -> String {
        let classes = self.manifest["target"]["classes"].as_array().cloned().unwrap_or_default();
        let mut text = String::new();
        for (i, line) in self.rows().lines().enumerate() {
            let label = match i {
                0 => self.target().to_owned(),
                _ if classes.is_empty() => i.to_string(),
                _ => plain(&classes[i % classes.len()]),
            };
            text.push_str(&format!("{line},{label}\n"));
        }
        text
    }
}

pub(crate) fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

pub(crate) fn json(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

/// A folder with a model and its training data, and `p.mlpkg` made of them.
pub(crate) fn created(name: &str) -> tempfile::TempDir {
    let (case, folder) = (Case::named(name), tempfile::tempdir().unwrap());
    fs::write(folder.path().join("train.csv"), case.training_data()).unwrap();
    let model = folder.path().join(case.model().file_name().unwrap());
    fs::copy(case.model(), &model).unwrap();
    let arguments =
        ["create", &model.to_string_lossy(), "--target", case.target(), "--id", name, "-o", "p.mlpkg"];
    package_ok(folder.path(), &[&arguments[..], &["--training-data", "train.csv"]].concat());
    folder
}

/// The files of a package that is a directory.
pub(crate) fn files_of(root: &Path) -> PackageFiles {
    let mut files = PackageFiles::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(root).unwrap().to_string_lossy().into_owned();
                files.insert(name, fs::read(path).unwrap());
            }
        }
    }
    files
}

/// Writes files as a directory.
pub(crate) fn write_directory(root: &Path, files: &PackageFiles) {
    for (name, bytes) in files {
        let path = root.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
}
