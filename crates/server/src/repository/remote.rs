//! Packages in an object store: what lies there, which of it counts, and copies of it on this machine's disk. The rules
//! are those of `scan.rs`; here a list of keys takes the place of a directory.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use portend_core::{Artifact, ArtifactError, ModelId, ModelIdError};
use portend_model::Package;

use super::replace::{self, NOTE, Replacement, Stage};
use super::scan::{Fingerprint, Found, Root, Seen, listed};
use super::{Failure, StartError, config_yml};
use crate::config::StoreConfig;

/// The most keys under the path that is served.
const MOST_KEYS: usize = 100_000;
/// The most bytes of one package.
const MOST_PACKAGE: u64 = 64 << 30;
/// The most bytes of a file of settings, and of the note of a replacement.
const MOST_SMALL: u64 = 128 << 10;
/// What of a file tells whether it is a model.
const PEEK: u64 = 4 << 10;
/// The most files of which that is remembered.
const MOST_PEEKED: usize = 10_000;
/// How long a store that failed is left alone.
const REST: Duration = Duration::from_secs(5);
const MANIFEST: &str = "portend.json";

/// What a file's first bytes tell.
#[derive(Debug, Clone, PartialEq)]
enum Peek {
    Model,
    /// Called like a model and none that is read, for this reason.
    Refused(Failure),
    Other,
}

/// Packages in a store.
#[derive(Debug)]
pub(super) struct Remote {
    pub(super) store: StoreConfig,
    peeked: Mutex<HashMap<(String, String), Peek>>,
    /// When it failed last, if it did not answer since.
    failed: Mutex<Option<Instant>>,
    /// Copies that are being read.
    busy: Mutex<HashSet<PathBuf>>,
    /// Held while packages are put there or deleted.
    pub(super) changing: Mutex<()>,
    pub(super) failures: AtomicU64,
    pub(super) fetched: AtomicU64,
}

impl Remote {
    pub(super) fn new(store: StoreConfig, log: impl Fn(&str)) -> Result<Self, StartError> {
        let cache = &store.cache;
        let unusable = |source| StartError::Cache { path: cache.clone(), source };
        fs::create_dir_all(cache).map_err(unusable)?;
        Stage::new(cache).map_err(unusable)?;
        replace::remove_abandoned(cache, &log);
        Ok(Self {
            store,
            peeked: Mutex::default(),
            failed: Mutex::default(),
            busy: Mutex::default(),
            changing: Mutex::default(),
            failures: AtomicU64::new(0),
            fetched: AtomicU64::new(0),
        })
    }

    /// The key of what is called `name` under the path that is served.
    pub(super) fn key(&self, name: &str) -> String {
        self.store.url.join(name).object
    }

    /// Looks at the path that is served.
    pub(super) fn root(&self, read_only: bool) -> Result<Root, StartError> {
        let url = &self.store.url;
        let unreadable = |source| StartError::Store { place: url.to_string(), source };
        let names_one = !url.object.is_empty() && !url.object.ends_with('/');
        if names_one {
            match self.store.store.head(&url.object) {
                Ok(file) => return Ok(Root::Single(self.one(file))),
                Err(ArtifactError::NotFound) if !url.scheme.is_web() => {}
                Err(error) => return Err(unreadable(error)),
            }
        }
        let files = self.files("").map_err(unreadable)?;
        if names_one && files.is_empty() {
            // a slash at the end says that there will be something
            return Err(unreadable(ArtifactError::NotFound));
        }
        if let Some(package) = self.package_in("", &files) {
            return match package {
                Err(Failure { code: "several_packages", message }) => Err(StartError::SeveralFound {
                    path: url.to_string().into(),
                    found: message.rsplit(": ").next().unwrap_or_default().to_owned(),
                }),
                package => Ok(Root::Single(self.seen(package, &files))),
            };
        }
        self.multi(files, read_only)
    }

    fn multi(&self, files: Vec<(String, Artifact)>, read_only: bool) -> Result<Root, StartError> {
        let path = || PathBuf::from(self.store.url.to_string());
        let is_blank = |name: &str| name.rsplit('/').next() == Some(config_yml::NAME);
        let others: Vec<String> =
            files.iter().map(|(name, _)| name.clone()).filter(|name| !is_blank(name)).collect();
        let (found, misnamed) = self.grouped(files);
        let mut lines = Vec::new();
        if !misnamed.is_empty() {
            let names = listed(misnamed.iter().map(String::as_str));
            lines.push(format!(
                "directories whose names are no model ids are ignored: {names} ({ModelIdError})"
            ));
        }
        if found.is_empty() && (read_only || !others.is_empty()) {
            let mut found = match others.as_slice() {
                [] => "nothing".to_owned(),
                names => listed(names.iter().map(String::as_str)),
            };
            lines.iter().for_each(|line| found.push_str(&format!("; {line}")));
            return Err(StartError::NothingFound { path: path(), found });
        }
        if found.is_empty() {
            let place = path();
            let place = place.display();
            lines.push(format!("there is no model in {place} yet: POST /deployments/{{id}} uploads one"));
        }
        Ok(Root::Multi(found, lines))
    }

    /// All deployments under the path that is served.
    pub(super) fn all(&self) -> Result<Vec<(ModelId, Seen)>, ArtifactError> {
        Ok(self.grouped(self.files("")?).0)
    }

    /// Files as deployments, and the names that are no ids of packages.
    fn grouped(&self, files: Vec<(String, Artifact)>) -> (Vec<(ModelId, Seen)>, Vec<String>) {
        let mut folders: BTreeMap<String, Vec<(String, Artifact)>> = BTreeMap::new();
        for (name, file) in files {
            if let Some((folder, rest)) = name.split_once('/') {
                folders.entry(folder.to_owned()).or_default().push((rest.to_owned(), file));
            }
        }
        let (mut found, mut misnamed) = (Vec::new(), Vec::new());
        for (folder, files) in folders {
            let Some(package) = self.package_in(&folder, &files) else { continue };
            match ModelId::parse(&folder) {
                Ok(id) => found.push((id, self.seen(package, &files))),
                Err(_) => misnamed.push(folder),
            }
        }
        (found, misnamed)
    }

    /// The path of a single model: the file itself, or all that lies under it.
    pub(super) fn single(&self) -> Result<Seen, ArtifactError> {
        let url = &self.store.url;
        if !url.object.is_empty() && !url.object.ends_with('/') {
            match self.store.store.head(&url.object) {
                Ok(file) => return Ok(self.one(file)),
                Err(ArtifactError::NotFound) => {}
                Err(error) => return Err(error),
            }
            if url.scheme.is_web() {
                return Ok(Seen::without(Failure::io("there is no package any more")));
            }
        }
        let files = self.files("")?;
        let gone = || Err(Failure::io("there is no package any more"));
        Ok(self.seen(self.package_in("", &files).unwrap_or_else(gone), &files))
    }

    /// One model of a repository; None when there is nothing that looks like a package.
    pub(super) fn deployment(&self, id: &ModelId) -> Result<Option<Seen>, ArtifactError> {
        let files = self.files(id.as_str())?;
        Ok(self.package_in(id.as_str(), &files).map(|package| self.seen(package, &files)))
    }

    /// The keys of what counts as a package in a deployment's place, by the names that they have there.
    pub(super) fn packages(&self, id: &ModelId) -> Result<Vec<(String, Vec<String>)>, ArtifactError> {
        let files = self.files(id.as_str())?;
        let keys = |files: Vec<Artifact>| files.into_iter().map(|file| file.key).collect();
        let groups = self.candidates(id.as_str(), &files);
        Ok(groups.into_iter().map(|(name, files)| (name, keys(files))).collect())
    }

    /// What lies under a name, without what is hidden, by the rest of its key.
    fn files(&self, name: &str) -> Result<Vec<(String, Artifact)>, ArtifactError> {
        let folder = if name.is_empty() { self.store.url.object.clone() } else { self.key(name) };
        let folder = folder.trim_matches('/').to_owned();
        let mut files = Vec::new();
        for file in self.store.store.list(&folder)? {
            let file = file?;
            let rest = file.key.strip_prefix(&folder).unwrap_or(&file.key).trim_start_matches('/');
            // consoles make empty objects for folders
            if rest.is_empty() || rest.split('/').any(|part| part.starts_with('.') && part != NOTE) {
                continue;
            }
            if files.len() == MOST_KEYS {
                let place = &self.store.url;
                return Err(ArtifactError::Failed(format!("{place} holds more than {MOST_KEYS} objects")));
            }
            files.push((rest.to_owned(), file));
        }
        files.sort_by(|a, b| a.0.cmp(&b.0));
        // consoles make empty objects for folders
        let folders: HashSet<String> = files.iter().flat_map(|(name, _)| folders(name)).collect();
        files.retain(|(name, file)| file.size > 0 || !folders.contains(name));
        Ok(files)
    }

    /// The one package among files, or why there is not one; None when there is nothing that looks like one.
    fn package_in(&self, folder: &str, files: &[(String, Artifact)]) -> Option<Result<Found, Failure>> {
        let mut packages = self.candidates(folder, files);
        if let Some(note) = self.note(files)
            && packages.iter().any(|(name, _)| *name == note.new)
        {
            packages.retain(|(name, _)| !note.old.contains(name));
        }
        match packages.len() {
            0 => files.iter().filter(|(name, _)| !name.contains('/')).find_map(|(name, file)| {
                match self.peek(name, file) {
                    Peek::Refused(failure) => Some(Err(failure)),
                    _ => None,
                }
            }),
            1 => packages.pop().map(|(name, files)| Ok(self.found(&name, files))),
            _ => Some(Err(Failure::several(&listed(packages.iter().map(|(name, _)| name.as_str()))))),
        }
    }

    /// What counts as a package among files, by name.
    fn candidates(&self, folder: &str, files: &[(String, Artifact)]) -> Vec<(String, Vec<Artifact>)> {
        let is_plain = |name: &str| name != config_yml::NAME && name != NOTE;
        if files.iter().any(|(name, _)| name == MANIFEST) {
            let files = files.iter().filter(|(name, _)| is_plain(name)).map(|(_, file)| file.clone());
            let name = if folder.is_empty() { self.store.url.name() } else { folder };
            return vec![(name.to_owned(), files.collect())];
        }
        let mut packages: BTreeMap<&str, Vec<Artifact>> = BTreeMap::new();
        for (name, file) in files {
            let first = name.split('/').next().unwrap_or_default();
            if first.ends_with(".mlpkg") {
                packages.entry(first).or_default().push(file.clone());
            }
        }
        packages.retain(|package, of| {
            let manifest = format!("{package}/{MANIFEST}");
            of.len() == 1 && files.iter().any(|(name, _)| name == package)
                || files.iter().any(|(name, _)| *name == manifest)
        });
        if packages.is_empty() {
            let direct = files.iter().filter(|(name, _)| !name.contains('/') && is_plain(name));
            let models = direct.filter(|(name, file)| self.peek(name, file) == Peek::Model);
            packages = models.map(|(name, file)| (name.as_str(), vec![file.clone()])).collect();
        }
        packages.into_iter().map(|(name, files)| (name.to_owned(), files)).collect()
    }

    /// The replacement that is under way.
    fn note(&self, files: &[(String, Artifact)]) -> Option<Replacement> {
        let (_, file) = files.iter().find(|(name, _)| name == NOTE)?;
        let mut text = Vec::new();
        self.store.store.fetch(&file.key, None, MOST_SMALL, &mut text).ok()?;
        Some(Replacement::parse(&text))
    }

    /// Whether a file is a model, by its first bytes and by the rules for files of a disk.
    fn peek(&self, name: &str, file: &Artifact) -> Peek {
        let known = (file.key.clone(), file.version.clone());
        let lock = || self.peeked.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(peek) = lock().get(&known) {
            return peek.clone();
        }
        let looked = || -> io::Result<Peek> {
            let (_, bytes) = self.store.store.read(&file.key, 0).map_err(io::Error::other)?;
            let stage = Stage::new(&self.store.cache)?;
            let path = stage.path().join(name);
            io::copy(&mut bytes.take(PEEK), &mut File::create(&path)?)?;
            Ok(match (Package::is_candidate(&path), Package::refused(&path)) {
                (true, _) => Peek::Model,
                (false, Some(error)) => Peek::Refused(Failure::of(&error, &path)),
                (false, None) => Peek::Other,
            })
        };
        let Ok(peek) = looked() else { return Peek::Other };
        let mut peeked = lock();
        if peeked.len() >= MOST_PEEKED {
            peeked.clear();
        }
        peeked.insert(known, peek.clone());
        peek
    }

    /// A package of these files, and where its copy would lie.
    fn found(&self, name: &str, files: Vec<Artifact>) -> Found {
        let fingerprint = Fingerprint::of_artifacts(&self.store.identity, &files);
        let name = if name.is_empty() { "model" } else { name };
        let path = self.store.cache.join(fingerprint.to_string()).join(name);
        Found { path, fingerprint, artifacts: files }
    }

    fn one(&self, file: Artifact) -> Seen {
        let found = self.found(self.store.url.name(), vec![file]);
        Seen { package: Ok(found), config: (PathBuf::new(), None) }
    }

    fn seen(&self, package: Result<Found, Failure>, files: &[(String, Artifact)]) -> Seen {
        let config = files.iter().find(|(name, _)| name == config_yml::NAME);
        let config = config.map_or((PathBuf::new(), None), |(_, file)| self.config(file));
        Seen { package, config }
    }

    /// The copy of a file of settings.
    fn config(&self, file: &Artifact) -> (PathBuf, Option<Fingerprint>) {
        let fingerprint = Fingerprint::of_artifacts(&self.store.identity, std::slice::from_ref(file));
        let folder = self.store.cache.join(fingerprint.to_string());
        let path = folder.join(config_yml::NAME);
        if !path.exists() {
            let copied = || -> io::Result<()> {
                let stage = Stage::new(&self.store.cache)?;
                let mut copy = File::create(stage.path().join(config_yml::NAME))?;
                let fetched = self.store.store.fetch(&file.key, Some(&file.version), MOST_SMALL, &mut copy);
                fetched.map_err(io::Error::other)?;
                stage.become_directory(&folder)
            };
            _ = copied(); // a file that is missing is told of as such
        }
        (path, Some(fingerprint))
    }

    /// Gets a copy of a package, unless it is here.
    pub(super) fn fetch(&self, found: &Found) -> Result<Busy<'_>, ArtifactError> {
        let folder = found.path.parent().unwrap_or(&found.path);
        let busy = Busy::new(self, folder);
        if found.path.exists() {
            // what was used last is kept longest
            _ = File::open(folder).and_then(|folder| folder.set_modified(std::time::SystemTime::now()));
            return Ok(busy);
        }
        let cannot = |error: io::Error| ArtifactError::Failed(format!("cannot keep a copy of it: {error}"));
        let stage = Stage::new(&self.store.cache).map_err(cannot)?;
        let name = found.path.file_name().unwrap_or_default();
        let root = self.base(found);
        for file in &found.artifacts {
            let rest = file.key.strip_prefix(&root).unwrap_or_default();
            let path =
                if rest.is_empty() { stage.path().join(name) } else { stage.path().join(name).join(rest) };
            let parent = path.parent().unwrap_or(stage.path());
            fs::create_dir_all(parent).map_err(cannot)?;
            let mut copy = File::create_new(&path).map_err(cannot)?;
            self.store.store.fetch(&file.key, Some(&file.version), MOST_PACKAGE, &mut copy)?;
            copy.flush().and_then(|()| copy.sync_all()).map_err(cannot)?;
            self.fetched.fetch_add(file.size, Ordering::Relaxed);
        }
        match stage.become_directory(folder) {
            // somebody else was quicker
            Err(_) if found.path.exists() => {}
            done => done.map_err(cannot)?,
        }
        Ok(busy)
    }

    /// What the keys of a package's files have in common; of a single file all.
    fn base(&self, found: &Found) -> String {
        match found.artifacts.as_slice() {
            [one] if !one.key.ends_with(&format!("/{MANIFEST}")) => one.key.clone(),
            several => {
                let manifest = several.iter().map(|file| &file.key).filter(|key| key.ends_with(MANIFEST));
                let shortest = manifest.min_by_key(|key| key.len()).cloned().unwrap_or_default();
                shortest.strip_suffix(MANIFEST).unwrap_or_default().to_owned()
            }
        }
    }

    /// Takes a file that is here anyway as the copy of a package.
    pub(super) fn adopt(&self, found: &Found, stage: Stage) {
        let folder = found.path.parent().unwrap_or(&found.path);
        // without it the copy is got when it is needed
        _ = stage.become_directory(folder);
    }

    /// Forgets a copy that could not be loaded: it may have been damaged here.
    pub(super) fn forget(&self, found: &Found) {
        if let Some(folder) = found.path.parent().filter(|folder| folder.starts_with(&self.store.cache)) {
            _ = fs::remove_dir_all(folder);
        }
    }

    /// Deletes the copies that were not used the longest, until the others have room.
    pub(super) fn prune(&self) {
        let busy = self.busy.lock().unwrap_or_else(PoisonError::into_inner);
        let entries =
            fs::read_dir(&self.store.cache).into_iter().flatten().flatten().map(|entry| entry.path());
        let copies = entries.filter(|path| path.is_dir() && !is_hidden(path));
        let mut copies: Vec<_> = copies
            .filter_map(|path| Some((fs::metadata(&path).ok()?.modified().ok()?, size(&path), path)))
            .collect();
        copies.sort();
        let mut total: u64 = copies.iter().map(|(_, size, _)| size).sum();
        for (_, size, path) in copies {
            if total <= self.store.cache_bytes {
                return;
            }
            if !busy.contains(&path) && fs::remove_dir_all(&path).is_ok() {
                total -= size;
            }
        }
    }

    /// Whether the store failed just now and is left alone.
    pub(super) fn rests(&self) -> bool {
        let failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        failed.is_some_and(|at| at.elapsed() < REST)
    }

    /// Takes note of a failure; gives a line for the log if it is the first.
    pub(super) fn fail(&self, error: &ArtifactError) -> Option<String> {
        self.failures.fetch_add(1, Ordering::Relaxed);
        let before = self.failed.lock().unwrap_or_else(PoisonError::into_inner).replace(Instant::now());
        let place = &self.store.url;
        before.is_none().then(|| format!("cannot look at {place}, models in memory serve on: {error}"))
    }

    /// Takes note that it answers; gives a line for the log if it did not before.
    pub(super) fn recover(&self) -> Option<String> {
        let before = self.failed.lock().unwrap_or_else(PoisonError::into_inner).take();
        before.map(|_| format!("{} can be looked at again", self.store.url))
    }
}

/// The folders that a file lies in.
fn folders(name: &str) -> impl Iterator<Item = String> {
    name.match_indices('/').map(|(end, _)| name[..end].to_owned())
}

fn is_hidden(path: &Path) -> bool {
    path.file_name().is_none_or(|name| name.to_string_lossy().starts_with('.'))
}

/// The bytes of all files under a folder.
fn size(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let sizes = entries.map(|entry| match entry.file_type() {
        Ok(kind) if kind.is_dir() => size(&entry.path()),
        _ => entry.metadata().map_or(0, |metadata| metadata.len()),
    });
    sizes.sum()
}

/// A copy that is being read and so not deleted.
pub(super) struct Busy<'r> {
    remote: &'r Remote,
    folder: PathBuf,
}

impl<'r> Busy<'r> {
    fn new(remote: &'r Remote, folder: &Path) -> Self {
        remote.busy.lock().unwrap_or_else(PoisonError::into_inner).insert(folder.to_owned());
        Self { remote, folder: folder.to_owned() }
    }
}

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        self.remote.busy.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.folder);
        self.remote.prune();
    }
}
