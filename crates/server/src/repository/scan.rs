//! What lies on the disk: which files are packages, which of them counts, and whether they changed. Nothing is loaded
//! here and nothing is written.

use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use portend_core::{Artifact, ModelId, ModelIdError};
use portend_model::{LoadError, Package};

use super::replace::{self, Replacement};
use super::{Failure, StartError};

/// Whether files are still the same: of their names, sizes, times of change and inodes; in a store of their versions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Fingerprint(u64);

/// A package directory's files that are looked at for changes; of more the first.
const MOST_LOOKED_AT: usize = 1000;

impl Fingerprint {
    /// Of a file, or of a directory with what lies in it and one level below.
    pub(super) fn of(path: &Path) -> io::Result<Self> {
        let mut hasher = DefaultHasher::new();
        let metadata = fs::metadata(path)?;
        add(path, &metadata, &mut hasher);
        if metadata.is_dir() {
            let mut left = MOST_LOOKED_AT;
            for folder in add_files(path, &mut left, &mut hasher) {
                add_files(&folder, &mut left, &mut hasher);
            }
        }
        Ok(Self(hasher.finish()))
    }

    /// Of files in a store.
    pub(super) fn of_artifacts(place: &str, files: &[Artifact]) -> Self {
        let mut hasher = DefaultHasher::new();
        place.hash(&mut hasher);
        files.iter().for_each(|file| (&file.key, &file.version, file.size).hash(&mut hasher));
        Self(hasher.finish())
    }
}

/// As the name of a directory.
impl std::fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

fn add(path: &Path, metadata: &fs::Metadata, hasher: &mut DefaultHasher) {
    path.file_name().hash(hasher);
    (metadata.dev(), metadata.ino(), metadata.size(), metadata.mtime(), metadata.mtime_nsec()).hash(hasher);
}

/// Adds what lies in a directory, in order, and gives its directories. What cannot be read is for loading to tell.
fn add_files(folder: &Path, left: &mut usize, hasher: &mut DefaultHasher) -> Vec<PathBuf> {
    let mut folders = Vec::new();
    for name in list(folder).unwrap_or_default().into_iter().take(*left) {
        let path = folder.join(name);
        let Ok(metadata) = fs::symlink_metadata(&path) else { continue };
        *left -= 1;
        add(&path, &metadata, hasher);
        if metadata.is_dir() {
            folders.push(path);
        }
    }
    folders
}

/// A package or model file as it was found.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Found {
    pub(super) path: PathBuf,
    pub(super) fingerprint: Fingerprint,
    /// What it is made of where it lies in a store; then the path is that of a copy, which may be missing.
    pub(super) artifacts: Vec<Artifact>,
}

impl Found {
    fn at(path: PathBuf) -> Result<Self, Failure> {
        match Fingerprint::of(&path) {
            Ok(fingerprint) => Ok(Self { path, fingerprint, artifacts: Vec::new() }),
            Err(error) => Err(Failure::io(&format!("cannot read it: {error}"))),
        }
    }

    /// The file name.
    pub(super) fn name(&self) -> String {
        self.path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
    }
}

/// A deployment as a look at its directory found it.
#[derive(Debug)]
pub(super) struct Seen {
    /// The one package that counts, or why there is not one.
    pub(super) package: Result<Found, Failure>,
    /// Where its `config.yml` would lie, and the state of that if it is there.
    pub(super) config: (PathBuf, Option<Fingerprint>),
}

impl Seen {
    /// Where there is no package.
    pub(super) fn without(failure: Failure) -> Self {
        Self { package: Err(failure), config: (PathBuf::new(), None) }
    }

    fn new(package: Result<PathBuf, Failure>, folder: &Path) -> Self {
        let config = folder.join(super::config_yml::NAME);
        let fingerprint = Fingerprint::of(&config).ok();
        Self { package: package.and_then(Found::at), config: (config, fingerprint) }
    }
}

/// What a path given to the server is.
pub(super) enum Root {
    /// One package.
    Single(Seen),
    /// A directory of models: those found, and lines on sub-directories that are none.
    Multi(Vec<(ModelId, Seen)>, Vec<String>),
}

/// Looks at the path that is served. One package (the path itself, or the only one in its root) is single-model mode,
/// else each sub-directory is a model named after it. A directory that holds nothing may be filled by uploads.
pub(super) fn root(path: &Path, read_only: bool) -> Result<Root, StartError> {
    let unreadable = |source| StartError::Unreadable { path: path.to_owned(), source };
    let is_directory = fs::metadata(path).map_err(unreadable)?.is_dir();
    if !is_directory || Package::is_candidate(path) {
        return Ok(Root::Single(single(path)));
    }
    let names = list(path).map_err(unreadable)?;
    let packages = candidates(path, &names);
    match packages.as_slice() {
        [_] => Ok(Root::Single(single(path))),
        [] => multi(path, &names, read_only),
        several => Err(StartError::SeveralFound { path: path.to_owned(), found: file_names(several) }),
    }
}

/// Looks at the path of a single model: the package itself, or the directory with the only one.
pub(super) fn single(path: &Path) -> Seen {
    if !path.is_dir() || Package::is_candidate(path) {
        // what else lies beside a file that was named is not looked at
        return Seen { package: Found::at(path.to_owned()), config: (PathBuf::new(), None) };
    }
    let package = package_in(path).unwrap_or_else(|| Err(Failure::io("there is no package any more")));
    Seen::new(package, path)
}

/// Looks at the directory of one model of a repository; None when there is nothing that looks like a package.
pub(super) fn deployment(directory: &Path) -> Option<Seen> {
    Some(Seen::new(package_in(directory)?, directory))
}

/// The ids of a repository's directories, packages or not.
pub(super) fn ids(path: &Path) -> io::Result<Vec<ModelId>> {
    Ok(list(path)?.iter().filter_map(|name| ModelId::parse(name).ok()).collect())
}

fn multi(path: &Path, names: &[String], read_only: bool) -> Result<Root, StartError> {
    let (mut found, mut empty, mut misnamed, mut ignored) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for name in names.iter().filter(|name| path.join(name).is_dir()) {
        match (ModelId::parse(name), deployment(&path.join(name))) {
            (_, None) => empty.push(name.as_str()),
            (Err(_), _) => misnamed.push(name.as_str()),
            (Ok(id), Some(seen)) => found.push((id, seen)),
        }
    }
    if !misnamed.is_empty() {
        let names = listed(misnamed.into_iter());
        ignored
            .push(format!("directories whose names are no model ids are ignored: {names} ({ModelIdError})"));
    }
    if found.is_empty() && (read_only || !names.iter().all(|name| is_blank(&path.join(name)))) {
        return Err(nothing_found(path, names, &ignored));
    }
    if !empty.is_empty() {
        ignored.push(format!("directories without a package are ignored: {}", listed(empty.into_iter())));
    }
    if found.is_empty() {
        let place = path.display();
        ignored.push(format!("there is no model in {place} yet: POST /deployments/{{id}} uploads one"));
    }
    Ok(Root::Multi(found, ignored))
}

/// A directory in which nothing, or only what a deleted deployment leaves, can be seen.
fn is_blank(path: &Path) -> bool {
    path.is_dir() && list(path).map_or(true, |names| names.iter().all(|name| name == super::config_yml::NAME))
}

/// What a directory without models holds instead, and why that is not served where it looks like something to serve.
fn nothing_found(path: &Path, names: &[String], ignored: &[String]) -> StartError {
    let mut found = match names {
        [] => "an empty directory".to_owned(),
        names => listed(names.iter().map(String::as_str)),
    };
    if let Some(package) = package_too_deep(path, names) {
        let folder = package.parent().unwrap_or(path).display();
        found.push_str(&format!("; {} holds a package a level too deep: serve {folder}", package.display()));
    }
    if let Some((_, error)) = refused(path, names) {
        found.push_str(&format!("; {error}"));
    }
    ignored.iter().for_each(|line| found.push_str(&format!("; {line}")));
    StartError::NothingFound { path: path.to_owned(), found }
}

/// A directory inside a sub-directory that holds a package; looked for among the first of each.
fn package_too_deep(path: &Path, names: &[String]) -> Option<PathBuf> {
    names.iter().take(MOST_NAMES).find_map(|name| {
        let folder = path.join(name);
        let inner = list(&folder).ok()?.into_iter().take(MOST_NAMES).map(|inner| folder.join(inner));
        inner.filter(|inner| inner.is_dir()).find(|inner| package_in(inner).is_some())
    })
}

/// The names in a directory, sorted, hidden ones left out.
pub(super) fn list(path: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(path)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if !name.starts_with('.') {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

/// The packages directly in a directory; sub-directories count when they are called `.mlpkg`. Bare model files
/// count when there is no package: beside one, a JSON file is notes or metrics.
pub(super) fn candidates(path: &Path, names: &[String]) -> Vec<PathBuf> {
    let is_package = |p: &Path| p.extension().is_some_and(|e| e == "mlpkg");
    let found = names.iter().map(|name| path.join(name)).filter(|p| !p.is_dir() || is_package(p));
    let found: Vec<_> = found.filter(|p| Package::is_candidate(p)).collect();
    let packages: Vec<_> = found.iter().filter(|p| is_package(p)).cloned().collect();
    if packages.is_empty() { found } else { packages }
}

/// The one package of a model's directory, or why there is not one; None when there is nothing that looks like one.
fn package_in(directory: &Path) -> Option<Result<PathBuf, Failure>> {
    let mut names = match list(directory) {
        Ok(names) => names,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return None;
        }
        Err(error) => return Some(Err(Failure::io(&format!("cannot read its directory: {error}")))),
    };
    match Replacement::read(directory).filter(|replacement| names.contains(&replacement.new)) {
        Some(replacement) => names.retain(|name| !replacement.old.contains(name)),
        None if Package::is_candidate(directory) => return Some(Ok(directory.to_owned())),
        None => {}
    }
    let mut packages = candidates(directory, &names);
    match packages.len() {
        0 => refused(directory, &names).map(|(path, error)| Err(Failure::of(&error, &path))),
        1 => Some(Ok(packages.remove(0))),
        _ => Some(Err(Failure::several(&file_names(&packages)))),
    }
}

/// The first file that is called like a model and holds one in a form that is not read, and what to do about it.
fn refused(directory: &Path, names: &[String]) -> Option<(PathBuf, LoadError)> {
    names.iter().map(|name| directory.join(name)).find_map(|path| {
        let error = Package::refused(&path)?;
        Some((path, error))
    })
}

/// Removes what a killed process left half-written in a repository, and ends replacements that it began.
pub(super) fn clean(root: &Path, log: impl Fn(&str)) {
    let folders = list(root).unwrap_or_default().into_iter().map(|name| root.join(name));
    for folder in std::iter::once(root.to_owned()).chain(folders.filter(|path| path.is_dir())) {
        replace::remove_abandoned(&folder, &log);
        if let Some(replacement) = Replacement::read(&folder) {
            log(&format!("ending a replacement that was broken off in {}", folder.display()));
            if let Err(error) = replacement.end(&folder) {
                log(&format!("cannot end the replacement in {}: {error}", folder.display()));
            }
        }
    }
}

/// The file names of paths.
pub(super) fn file_list(paths: &[PathBuf]) -> Vec<String> {
    paths.iter().filter_map(|p| p.file_name()).map(|n| n.to_string_lossy().into_owned()).collect()
}

/// The file names of paths, as a text.
pub(super) fn file_names(paths: &[PathBuf]) -> String {
    listed(file_list(paths).iter().map(String::as_str))
}

/// The most names that a text lists.
const MOST_NAMES: usize = 20;

/// Names with commas between; of many the first, and how many more there are.
pub(super) fn listed<'n>(names: impl ExactSizeIterator<Item = &'n str>) -> String {
    let more = names.len().saturating_sub(MOST_NAMES);
    let shown = names.take(MOST_NAMES).collect::<Vec<_>>().join(", ");
    if more == 0 { shown } else { format!("{shown} and {more} more") }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Makes the files: model files and packages by their name, a replacement's note with its content.
    fn make(files: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for file in files {
            let (file, content) = file.split_once('=').unwrap_or((*file, "{"));
            let path = folder.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            if !file.ends_with('/') {
                fs::write(path, if file.contains("model") { "{\"learner\":" } else { content }).unwrap();
            }
        }
        folder
    }

    fn told(seen: &Seen) -> String {
        match &seen.package {
            Ok(found) => format!("={}", found.name()),
            Err(failure) => format!(": {}", failure.message),
        }
    }

    /// Makes the files, looks, and gives `single=name`, `multi id=name …` or the error without its path.
    fn check(files: &[&str], expected: &str) {
        let folder = make(files);
        let found = match root(folder.path(), true) {
            Ok(Root::Single(seen)) => format!("single{}", told(&seen)),
            Ok(Root::Multi(found, _)) => {
                let found: Vec<_> = found.iter().map(|(id, seen)| format!("{id}{}", told(seen))).collect();
                format!("multi {}", found.join(" "))
            }
            Err(error) => error.to_string().replace(&*folder.path().to_string_lossy(), "PATH"),
        };
        assert_eq!(found, expected, "{files:?}");
    }

    #[test]
    fn one_package_in_the_root_is_single_mode() {
        check(&["model_5f.mlpkg", "README.md", "config.yml"], "single=model_5f.mlpkg");
        check(&["model.json"], "single=model.json");
        check(&["a b.mlpkg"], "single=a b.mlpkg");
        check(&["x.mlpkg/portend.json"], "single=x.mlpkg");
        check(&["x.mlpkg", "metrics.json", "model.json"], "single=x.mlpkg");
        check(&["model.json", "metrics.json", "config.json"], "single=model.json");
    }

    #[test]
    fn sub_directories_are_models() {
        check(
            &[
                "fraud/model_x.mlpkg",
                "revenue/config.yml",
                "revenue/r.mlpkg",
                "tree/m.ubj",
                "dir/portend.json",
            ],
            "multi dir=dir fraud=model_x.mlpkg revenue=r.mlpkg tree=m.ubj",
        );
        check(
            &["a/1.mlpkg", "a/2.mlpkg", "b/1.mlpkg"],
            "multi a: several packages in its directory: 1.mlpkg, 2.mlpkg b=1.mlpkg",
        );
        check(&["a/1.mlpkg", "notes/x.md", "b c/1.mlpkg", ".git/x.mlpkg"], "multi a=1.mlpkg");
        check(&["config.json", "a/model.json", "a/metrics.json"], "multi a=model.json");
        check(&["a/1.mlpkg", "a/.portend-upload-1/2.mlpkg", ".portend-removed-1/x.mlpkg"], "multi a=1.mlpkg");
    }

    #[test]
    fn a_model_in_a_form_that_is_not_read_is_a_failed_one() {
        let old = "it is XGBoost's old binary format, which is not read: load it with XGBoost 3.0 or older and save it as \
                   .json";
        check(
            &["a/old.bst=binf\0\0\0\x3f", "b/1.mlpkg", "c/notes.txt=hello"],
            &format!("multi a: old.bst is not a model that Portend reads: {old} b=1.mlpkg"),
        );
        check(&["a/old.bst=binf", "a/new.mlpkg"], "multi a=new.mlpkg");
        for file in ["a/x.pkl=\x7f", "a/x.joblib=x", "a/x.bin=\0\0\0\x3f", "a/x.ubj=?"] {
            let folder = make(&[file]);
            let found = match root(folder.path(), true) {
                Ok(Root::Multi(found, _)) => told(&found[0].1),
                _ => "no repository".to_owned(),
            };
            assert!(found.contains("is not a model that Portend reads: it is neither"), "{file}: {found}");
        }
        let folder = make(&["x.pickle="]);
        fs::write(folder.path().join("x.pickle"), b"\x80\x04\x95").unwrap();
        let error = root(folder.path(), false).err().unwrap().to_string();
        assert!(
            error.contains("x.pickle is not a model that Portend reads: it is a Python pickle"),
            "{error}"
        );
    }

    #[test]
    fn of_an_old_and_a_new_package_the_note_says_which_counts() {
        let note = r#"a/.portend-replacing={"new":"2.mlpkg","old":["1.mlpkg"]}"#;
        check(&["a/1.mlpkg", note], "multi a=1.mlpkg");
        check(&["a/1.mlpkg", "a/2.mlpkg", note], "multi a=2.mlpkg");
        check(&["a/2.mlpkg", note], "multi a=2.mlpkg");
        check(
            &["a/1.mlpkg", "a/2.mlpkg", "a/.portend-replacing={\"new\":\"2."],
            "multi a: several packages in its directory: 1.mlpkg, 2.mlpkg",
        );
        let note = r#"a/.portend-replacing={"new":"2.mlpkg","old":["portend.json","x"]}"#;
        check(&["a/portend.json", "a/x/y", note], "multi a=a");
        check(&["a/portend.json", "a/x/y", "a/2.mlpkg", note], "multi a=2.mlpkg");
    }

    /// What is left after a start, with hidden names.
    fn check_clean(files: &[&str], expected: &str) {
        let folder = make(files);
        clean(folder.path(), |_| {});
        let mut left = Vec::new();
        let mut folders = vec![folder.path().to_owned()];
        while let Some(inner) = folders.pop() {
            for path in fs::read_dir(inner).unwrap().map(|entry| entry.unwrap().path()) {
                left.push(path.strip_prefix(folder.path()).unwrap().to_string_lossy().into_owned());
                folders.extend(path.is_dir().then_some(path));
            }
        }
        left.sort();
        assert_eq!(left.join(" "), expected, "{files:?}");
    }

    #[test]
    fn a_start_removes_what_is_half_written_and_ends_replacements() {
        check_clean(&["a/1.mlpkg", "a/.portend-upload-1/2.mlpkg", ".portend-upload-2/x"], "a a/1.mlpkg");
        check_clean(&["a/1.mlpkg", ".portend-removed-2/x/y", ".git/x"], ".git .git/x a a/1.mlpkg");
        let note = r#"a/.portend-replacing={"new":"2.mlpkg","old":["1.mlpkg","../b/3.mlpkg"]}"#;
        check_clean(&["a/1.mlpkg", note], "a a/1.mlpkg");
        check_clean(&["a/1.mlpkg", "a/2.mlpkg", "b/3.mlpkg", note], "a a/2.mlpkg b b/3.mlpkg");
        check_clean(&["a/1.mlpkg", "a/.portend-replacing={"], "a a/1.mlpkg");
    }

    #[test]
    fn of_many_names_the_first_are_listed() {
        let names: Vec<_> = (10..60).map(|i| format!("m{i}")).collect();
        let listed = |count| listed(names[..count].iter().map(String::as_str));
        assert_eq!(listed(2), "m10, m11");
        assert!(listed(20).ends_with(", m28, m29"), "{}", listed(20));
        assert!(listed(50).ends_with(", m28, m29 and 30 more"), "{}", listed(50));
    }

    #[test]
    fn what_cannot_be_served_is_said() {
        check(
            &["a.mlpkg", "b.mlpkg"],
            "several packages in PATH: a.mlpkg, b.mlpkg; name one of them, or put each into a sub-directory",
        );
        let expected = "no model in PATH: expected a model file, a package (.mlpkg, or a directory with portend.json), \
                        or a directory with one sub-directory per model; found ";
        check(&[], &format!("{expected}an empty directory"));
        check(&["README.md", "x/y.txt/", "m.json"], &format!("{expected}README.md, m.json, x"));
        let deep = format!("{expected}a, b; PATH/a/1 holds a package a level too deep: serve PATH/a");
        check(&["a/1/x.mlpkg", "b/1/x.mlpkg"], &deep);
        let why = "directories whose names are no model ids are ignored: a b";
        check(&["a b/x.mlpkg"], &format!("{expected}a b; {why} ({ModelIdError})"));
        let error = root(Path::new("/no/such/place"), false).err().unwrap();
        assert!(error.to_string().starts_with("cannot read /no/such/place: "), "{error}");
    }

    #[test]
    fn a_directory_that_holds_nothing_is_a_repository_to_be_filled() {
        let check = |files: &[&str], expected: bool| {
            let folder = make(files);
            let found = matches!(root(folder.path(), false), Ok(Root::Multi(found, _)) if found.is_empty());
            assert_eq!(found, expected, "{files:?}");
        };
        check(&[], true);
        check(&["a/config.yml", "lost+found/", ".hidden"], true);
        check(&["a/notes.md"], false);
        check(&["README.md"], false);
    }

    #[test]
    fn a_fingerprint_changes_with_the_file() {
        let folder = make(&["x.mlpkg/portend.json", "x.mlpkg/model/model.json"]);
        let path = folder.path().join("x.mlpkg");
        let before = Fingerprint::of(&path).unwrap();
        assert_eq!(Fingerprint::of(&path).unwrap(), before);
        fs::write(path.join("model/model.json"), "another").unwrap();
        assert_ne!(Fingerprint::of(&path).unwrap(), before);
    }
}
