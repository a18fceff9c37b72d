//! What is served: finds packages under a path, loads them beside the running server, and gives out models by id.
//! How a package is read is the model crate's business.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use portend_core::{ModelId, ModelIdError};
use portend_model::package::Trust;
use portend_model::{LoadError, Model, Package};

use crate::error::ServerError;
use crate::tls::TlsError;

/// Why a server does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The path cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Unreadable {
        /// The path.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// There is nothing to serve.
    #[error(
        "no model in {}: expected a model file, a package (.mlpkg, or a directory with portend.json), or a directory \
         with one sub-directory per model; found {found}",
        path.display()
    )]
    NothingFound {
        /// The path.
        path: PathBuf,
        /// What is there.
        found: String,
    },
    /// One directory holds more than one package.
    #[error("several packages in {}: {found}; name one of them, or put each into a sub-directory", path.display())]
    SeveralFound {
        /// The directory.
        path: PathBuf,
        /// The packages.
        found: String,
    },
    /// The one model cannot be loaded.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// HTTPS cannot be served as it was asked for.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// Host and port.
        address: String,
        /// What the system said.
        source: std::io::Error,
    },
}

/// Why a model of a repository is not served, as clients may see it.
#[derive(Debug, Clone)]
pub(crate) struct Failure {
    /// A stable word for the kind of failure: one of [`LoadError::code`], or `several_packages`.
    pub(crate) code: &'static str,
    /// A sentence for people.
    pub(crate) message: String,
}

/// One model of a repository: where it is, and what became of loading it.
#[derive(Debug)]
pub(crate) struct Entry {
    /// The package or model file; an error text when its directory holds none or several.
    package: Result<PathBuf, Failure>,
    /// Unset while loading.
    state: OnceLock<Result<Arc<Model>, Failure>>,
}

impl Entry {
    fn new(package: Result<PathBuf, Failure>) -> Self {
        Self { package, state: OnceLock::new() }
    }

    /// The file name of the package.
    pub(crate) fn package_name(&self) -> Option<String> {
        let path = self.package.as_ref().ok()?;
        Some(path.file_name()?.to_string_lossy().into_owned())
    }

    /// What became of loading; None while that goes on.
    pub(crate) fn state(&self) -> Option<Result<&Arc<Model>, &Failure>> {
        self.state.get().map(Result::as_ref)
    }

    /// Loads the model, once.
    fn load(&self, target: &str, trust: &Trust) -> Result<(), LoadError> {
        let (state, outcome) = match &self.package {
            Err(failure) => (Err(failure.clone()), Ok(())),
            Ok(path) => match Model::load_trusted(path, target, trust) {
                Ok(model) => (Ok(Arc::new(model)), Ok(())),
                Err(error) => (Err(without_folder(&error, path)), Err(error)),
            },
        };
        _ = self.state.set(state);
        outcome
    }
}

/// The models that a server has, by id.
#[derive(Debug)]
pub(crate) struct Repository {
    /// True when the path is one package: its model answers under every id.
    single: bool,
    entries: BTreeMap<ModelId, Entry>,
    /// Lines on sub-directories that are no models, with the reason.
    ignored: Vec<String>,
}

impl Repository {
    /// Looks at `path` without loading anything. One package (the path itself, or the only one in its root) is
    /// single-model mode, else each sub-directory is a model named after it.
    pub(crate) fn scan(path: &Path) -> Result<Self, StartError> {
        let unreadable = |source| StartError::Unreadable { path: path.to_owned(), source };
        let is_directory = fs::metadata(path).map_err(unreadable)?.is_dir();
        if !is_directory || Package::is_candidate(path) {
            return Ok(Self::single(path));
        }
        let names = list(path).map_err(unreadable)?;
        let packages = candidates(path, &names);
        match packages.as_slice() {
            [package] => Ok(Self::single(package)),
            [] => Self::multi(path, &names),
            several => Err(StartError::SeveralFound { path: path.to_owned(), found: file_names(several) }),
        }
    }

    fn single(package: &Path) -> Self {
        let stem = package.file_stem().map(|s| s.to_string_lossy().into_owned()).unwrap_or_default();
        let id = ModelId::parse(&stem).or_else(|_| ModelId::parse("model"));
        let entries = id.into_iter().map(|id| (id, Entry::new(Ok(package.to_owned())))).collect();
        Self { single: true, entries, ignored: Vec::new() }
    }

    fn multi(path: &Path, names: &[String]) -> Result<Self, StartError> {
        let mut entries = BTreeMap::new();
        let mut empty = Vec::new();
        let mut misnamed = Vec::new();
        for name in names.iter().filter(|name| path.join(name).is_dir()) {
            match (ModelId::parse(name), package_in(&path.join(name))) {
                (_, None) => empty.push(name.as_str()),
                (Err(_), _) => misnamed.push(name.as_str()),
                (Ok(id), Some(package)) => _ = entries.insert(id, Entry::new(package)),
            }
        }
        let mut ignored = Vec::new();
        if !misnamed.is_empty() {
            let names = listed(misnamed.into_iter());
            ignored.push(format!(
                "directories whose names are no model ids are ignored: {names} ({ModelIdError})"
            ));
        }
        if entries.is_empty() {
            return Err(nothing_found(path, names, &ignored));
        }
        if !empty.is_empty() {
            ignored.push(format!("directories without a package are ignored: {}", listed(empty.into_iter())));
        }
        Ok(Self { single: false, entries, ignored })
    }

    /// Loads every model. In single-model mode the one failure is returned; else a model that fails is logged and
    /// answers with its reason while the others serve.
    pub(crate) fn load(
        &self,
        target: &str,
        trust: &Trust,
        log: impl Fn(&str) + Sync,
    ) -> Result<(), LoadError> {
        use rayon::prelude::*;
        self.ignored.iter().for_each(|line| log(line));
        let entries: Vec<_> = self.entries.iter().collect();
        entries.par_iter().try_for_each(|(id, entry)| {
            let outcome = entry.load(target, trust);
            match (entry.state(), self.single) {
                (Some(Ok(model)), _) => {
                    if let Some(warning) = &model.warning {
                        log(&format!("model '{id}' is served, but {warning}"));
                    }
                    Ok(())
                }
                (Some(Err(_)), true) => outcome,
                (Some(Err(failure)), false) => {
                    log(&format!("model '{id}' does not load and answers 503: {}", failure.message));
                    Ok(())
                }
                _ => Ok(()),
            }
        })
    }

    /// Whether requests should be sent here: no model is loading any more, and not all of them failed.
    pub(crate) fn readiness(&self) -> Result<(), &'static str> {
        let states: Vec<_> = self.entries.values().map(Entry::state).collect();
        match () {
            () if states.iter().any(Option::is_none) => Err("models are still loading"),
            () if states.iter().all(|state| matches!(state, Some(Err(_)))) => Err("no model could be loaded"),
            () => Ok(()),
        }
    }

    /// All models with their ids, in order.
    pub(crate) fn entries(&self) -> impl Iterator<Item = (&ModelId, &Entry)> {
        self.entries.iter()
    }

    /// The model called `id`, or the only one when no id is given. A single model answers to any id.
    pub(crate) fn find(&self, id: Option<&str>) -> Result<(&ModelId, &Entry), ServerError> {
        let only = || self.entries.iter().next().filter(|_| self.entries.len() == 1);
        let found = match id {
            Some(id) if !self.single => {
                ModelId::parse(id).ok().and_then(|id| self.entries.get_key_value(&id))
            }
            _ => only(),
        };
        found.ok_or_else(|| {
            let names = listed(self.entries.keys().map(ModelId::as_str));
            ServerError::NotFound(match id {
                Some(_) => format!("there is no such deployment; there are: {names}"),
                None => format!("several models are served, name one in the path: {names}"),
            })
        })
    }

    /// The loaded model called `id`.
    pub(crate) fn model(&self, id: Option<&str>) -> Result<&Arc<Model>, ServerError> {
        let (id, entry) = self.find(id)?;
        match entry.state() {
            Some(Ok(model)) => Ok(model),
            Some(Err(failure)) => {
                Err(ServerError::LoadFailed { id: id.to_string(), reason: failure.message.clone() })
            }
            None => Err(ServerError::Loading(id.to_string())),
        }
    }
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

/// The error as clients may see it: where the package lies is the operator's business.
fn without_folder(error: &LoadError, package: &Path) -> Failure {
    let folder = package.parent().map(|p| format!("{}/", p.display())).unwrap_or_default();
    Failure { code: error.code(), message: error.to_string().replace(&folder, "") }
}

/// The names in a directory, sorted, hidden ones left out.
fn list(path: &Path) -> std::io::Result<Vec<String>> {
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
fn candidates(path: &Path, names: &[String]) -> Vec<PathBuf> {
    let is_package = |p: &Path| p.extension().is_some_and(|e| e == "mlpkg");
    let found = names.iter().map(|name| path.join(name)).filter(|p| !p.is_dir() || is_package(p));
    let found: Vec<_> = found.filter(|p| Package::is_candidate(p)).collect();
    let packages: Vec<_> = found.iter().filter(|p| is_package(p)).cloned().collect();
    if packages.is_empty() { found } else { packages }
}

/// The one package of a model's directory, or why there is not one; None when there is nothing that looks like one.
fn package_in(directory: &Path) -> Option<Result<PathBuf, Failure>> {
    if Package::is_candidate(directory) {
        return Some(Ok(directory.to_owned()));
    }
    let names = match list(directory) {
        Ok(names) => names,
        Err(error) => {
            let message = format!("cannot read its directory: {error}");
            return Some(Err(Failure { code: "io", message }));
        }
    };
    let mut packages = candidates(directory, &names);
    match packages.len() {
        0 => None,
        1 => Some(Ok(packages.remove(0))),
        _ => {
            let message = format!("several packages in its directory: {}", file_names(&packages));
            Some(Err(Failure { code: "several_packages", message }))
        }
    }
}

fn file_names(paths: &[PathBuf]) -> String {
    let names: Vec<_> =
        paths.iter().filter_map(|p| p.file_name()).map(|n| n.to_string_lossy().into_owned()).collect();
    listed(names.iter().map(String::as_str))
}

/// The most names that a text lists.
const MOST_NAMES: usize = 20;

/// Names with commas between; of many the first, and how many more there are.
fn listed<'n>(names: impl ExactSizeIterator<Item = &'n str>) -> String {
    let more = names.len().saturating_sub(MOST_NAMES);
    let shown = names.take(MOST_NAMES).collect::<Vec<_>>().join(", ");
    if more == 0 { shown } else { format!("{shown} and {more} more") }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Makes the files, scans, and gives `single: ids` or the error without its path.
    fn check(files: &[&str], expected: &str) {
        let folder = tempfile::tempdir().unwrap();
        for file in files {
            let path = folder.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            if !file.ends_with('/') {
                fs::write(path, if file.contains("model") { "{\"learner\":" } else { "{" }).unwrap();
            }
        }
        let found = match Repository::scan(folder.path()) {
            Ok(found) => {
                let ids = found.entries().map(|(id, entry)| match &entry.package {
                    Ok(path) => format!("{id}={}", path.file_name().unwrap().to_string_lossy()),
                    Err(failure) => format!("{id}: {}", failure.message),
                });
                format!(
                    "{} {}",
                    if found.single { "single" } else { "multi" },
                    ids.collect::<Vec<_>>().join(" ")
                )
            }
            Err(error) => error.to_string().replace(&*folder.path().to_string_lossy(), "PATH"),
        };
        assert_eq!(found, expected, "{files:?}");
    }

    #[test]
    fn one_package_in_the_root_is_single_mode() {
        check(&["model_5f.mlpkg", "README.md", "config.yml"], "single model_5f=model_5f.mlpkg");
        check(&["model.json"], "single model=model.json");
        check(&["a b.mlpkg"], "single model=a b.mlpkg");
        check(&["x.mlpkg/portend.json"], "single x=x.mlpkg");
        check(&["x.mlpkg", "metrics.json", "model.json"], "single x=x.mlpkg");
        check(&["model.json", "metrics.json", "config.json"], "single model=model.json");
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
        let error = Repository::scan(Path::new("/no/such/place")).unwrap_err();
        assert!(error.to_string().starts_with("cannot read /no/such/place: "), "{error}");
    }
}
