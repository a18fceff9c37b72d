//! Packages that arrive over HTTP, and their removal: written aside, loaded by the code that serves them, and moved
//! into the repository in one step. Nothing is left of an upload that is broken off or refused.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError};

use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use portend_core::{ArtifactError, Content, ModelId};
use portend_model::{LoadError, Package};
use tokio::sync::{mpsc, oneshot};

use super::deployment::{Failure, Loaded};
use super::remote::Remote;
use super::replace::{self, Replacement, Stage};
use super::{Repository, config_yml, scan};
use crate::error::ServerError;

/// What the receiving side tells the writing one.
enum Part {
    Data(Bytes),
    /// Everything came; without it the upload was broken off.
    End,
}

fn refused(reason: &str) -> ServerError {
    ServerError::BadBody(format!("this is not a package or model that can be served: {reason}"))
}

/// What a refusal of the file system means to the client.
fn not_stored(error: &io::Error) -> ServerError {
    use io::ErrorKind::{FileTooLarge, PermissionDenied, QuotaExceeded, ReadOnlyFilesystem, StorageFull};
    match error.kind() {
        StorageFull | QuotaExceeded | FileTooLarge => {
            ServerError::StorageFull(format!("there is no room for it in the repository: {error}"))
        }
        ReadOnlyFilesystem | PermissionDenied => {
            ServerError::Forbidden(format!("the repository cannot be written to: {error}"))
        }
        _ => ServerError::NotStored(format!("the repository cannot be changed: {error}")),
    }
}

impl Repository {
    /// Whether packages can be changed over HTTP at all.
    pub(crate) fn takes_uploads(&self) -> bool {
        !self.single && !self.settings.read_only
    }

    /// Why packages cannot be changed over HTTP, if so; the id that is meant otherwise.
    fn changeable(&self, id: &str) -> Result<ModelId, ServerError> {
        if self.single {
            let reason = "one model is served here; packages are uploaded to and deleted from a repository, a \
                          directory with one sub-directory per model";
            return Err(ServerError::NotFound(reason.to_owned()));
        }
        self.check_writable()?;
        let id = ModelId::parse(id).map_err(|error| ServerError::BadBody(error.to_string()))?;
        match id.as_str().starts_with('.') {
            true => Err(ServerError::BadBody(
                "names that begin with '.' are not looked at in a repository".to_owned(),
            )),
            false => Ok(id),
        }
    }

    /// Refuses what a server that is read-only does not do.
    pub(super) fn check_writable(&self) -> Result<(), ServerError> {
        let refusal = "this server does not change its packages: it is read-only";
        if self.settings.read_only { Err(ServerError::Forbidden(refusal.to_owned())) } else { Ok(()) }
    }

    /// Checks what can be checked before a body is read: so that a refusal costs nobody an upload.
    pub(crate) fn check_upload(&self, id: &str, announced: Option<u64>) -> Result<ModelId, ServerError> {
        let id = self.changeable(id)?;
        match announced {
            Some(bytes) if bytes > self.settings.upload_limit => Err(self.too_large()),
            _ => Ok(id),
        }
    }

    fn too_large(&self) -> ServerError {
        ServerError::UploadTooLarge { limit: self.settings.upload_limit }
    }

    /// Takes a package called `name` by the client. True when there was none before.
    pub(crate) async fn upload(
        self: &Arc<Self>,
        id: ModelId,
        name: Option<String>,
        body: impl Stream<Item = Result<Bytes, ServerError>>,
    ) -> Result<bool, ServerError> {
        // the semaphore is never closed
        let _turn = self.uploads.acquire().await;
        let (parts, received) = mpsc::channel(8);
        let (answer, answered) = oneshot::channel();
        let this = Arc::clone(self);
        tokio::task::spawn_blocking(move || {
            let stored = this.store(&id, name.as_deref(), received, || answer.is_closed());
            _ = answer.send(stored);
        });
        let sent = self.pass_on(body, parts).await;
        let stored = answered.await.unwrap_or(Err(ServerError::Internal));
        sent.and(stored)
    }

    /// Sends the body to the thread that writes it, unless that gave up.
    async fn pass_on(
        &self,
        body: impl Stream<Item = Result<Bytes, ServerError>>,
        parts: mpsc::Sender<Part>,
    ) -> Result<(), ServerError> {
        let mut body = std::pin::pin!(body);
        let mut bytes = 0;
        while let Some(data) = body.next().await.transpose()? {
            bytes += data.len() as u64;
            if bytes > self.settings.upload_limit {
                return Err(self.too_large());
            }
            if parts.send(Part::Data(data)).await.is_err() {
                return Ok(()); // the reason is in its answer
            }
        }
        _ = parts.send(Part::End).await;
        Ok(())
    }

    /// Writes, loads and takes over a package. This runs on a thread that may block.
    fn store(
        self: &Arc<Self>,
        id: &ModelId,
        name: Option<&str>,
        received: mpsc::Receiver<Part>,
        given_up: impl Fn() -> bool,
    ) -> Result<bool, ServerError> {
        // where packages lie in a store, only copies are here
        let folder = match self.remote {
            Some(_) => self.root.join(".nowhere"),
            None => self.root.join(id.as_str()),
        };
        let stage = self.stage(&folder).map_err(|e| not_stored(&e))?;
        let staged = receive(received, &stage.path().join("upload"))?;
        let staged = named(&staged, name, &folder)?;
        let loaded = self.load_aside(&staged).map_err(|Failure { message, .. }| refused(&message))?;
        if given_up() {
            return Err(broken_off());
        }
        match &self.remote {
            Some(remote) => self.send(remote, id, stage, &staged, loaded),
            None => self.take_over(id, stage, &staged, loaded),
        }
    }

    /// Puts a package that was found good into the store, and the model into service. While a package takes the place of
    /// another one of a different name, a note lies beside them that says which of them counts.
    fn send(
        self: &Arc<Self>,
        remote: &Remote,
        id: &ModelId,
        stage: Stage,
        staged: &Path,
        loaded: Loaded,
    ) -> Result<bool, ServerError> {
        let _changing = remote.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let failed = |error: &ArtifactError| store_refused(remote, error);
        let name = loaded.facts.package.clone();
        let before = remote.packages(id).map_err(|e| failed(&e))?;
        let created = before.is_empty();
        let (same, others): (Vec<_>, Vec<_>) = before.into_iter().partition(|(old, _)| *old == name);
        let old: Vec<String> = others.iter().map(|(name, _)| name.clone()).collect();
        let mut keys: Vec<String> = others.into_iter().flat_map(|(_, keys)| keys).collect();
        let place = |name: &str| remote.key(&format!("{id}/{name}"));
        let store = &remote.store.store;
        // a directory of this name is no file that could be written over
        keys.extend(same.into_iter().flat_map(|(_, keys)| keys).filter(|key| *key != place(&name)));
        let note = place(replace::NOTE);
        if !keys.is_empty() {
            let text = Replacement { new: name.clone(), old }.text();
            store.write(&note, &text.as_bytes(), true).map_err(|e| failed(&e))?;
        }
        let content = StagedFile::open(staged).map_err(|e| not_stored(&e))?;
        store.write(&place(&name), &content, true).map_err(|e| failed(&e))?;
        if !keys.is_empty() {
            store.delete(&keys).and_then(|()| store.delete(&[note])).map_err(|e| failed(&e))?;
        }
        let _disk = self.disk.lock().unwrap_or_else(PoisonError::into_inner);
        let seen = remote.deployment(id).map_err(|e| failed(&e))?;
        if let Some(Ok(found)) = seen.as_ref().map(|seen| &seen.package)
            && found.name() == name
        {
            remote.adopt(found, stage);
        }
        let at = self.clock.now();
        if let Some(deployment) = self.apply(id, seen, Some(loaded), at) {
            self.make_room(&deployment);
        }
        remote.prune();
        Ok(created)
    }

    /// Deletes a deployment's package from the store.
    fn delete_from(self: &Arc<Self>, remote: &Remote, id: &ModelId) -> Result<(), ServerError> {
        let _changing = remote.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let failed = |error: &ArtifactError| store_refused(remote, error);
        let mut deleted = false;
        loop {
            // model files beside a package count once it is gone
            let packages = remote.packages(id).map_err(|e| failed(&e))?;
            let mut keys: Vec<String> = packages.into_iter().flat_map(|(_, keys)| keys).collect();
            if keys.is_empty() {
                break;
            }
            keys.push(remote.key(&format!("{id}/{}", replace::NOTE)));
            remote.store.store.delete(&keys).map_err(|e| failed(&e))?;
            deleted = true;
        }
        let _disk = self.disk.lock().unwrap_or_else(PoisonError::into_inner);
        let seen = remote.deployment(id).map_err(|e| failed(&e))?;
        self.apply(id, seen, None, self.clock.now());
        if deleted { Ok(()) } else { Err(self.unknown(Some(id.as_str()))) }
    }

    /// Makes a place to write to: in the deployment's directory, which may be on a file system of its own, else beside
    /// it. A delete that comes later leaves it alone.
    fn stage(&self, folder: &Path) -> io::Result<Stage> {
        let _disk = self.disk.lock().unwrap_or_else(PoisonError::into_inner);
        // a directory that is a package itself would have a file too many
        let inside = folder.is_dir() && !Package::is_candidate(folder);
        Stage::new(if inside { folder } else { &self.root })
    }

    /// Moves a package that was found good into the repository, and the model into service.
    fn take_over(
        self: &Arc<Self>,
        id: &ModelId,
        stage: Stage,
        staged: &Path,
        loaded: Loaded,
    ) -> Result<bool, ServerError> {
        let disk = self.disk.lock().unwrap_or_else(PoisonError::into_inner);
        let folder = self.root.join(id.as_str());
        let created = scan::deployment(&folder).is_none();
        let name = loaded.facts.package.clone();
        if folder.is_dir() {
            let replacement = Replacement { old: replaced(&folder, &name)?, new: name };
            replacement.carry_out(&folder, staged).map_err(|e| not_stored(&e))?;
        } else {
            stage.become_directory(&folder).map_err(|e| not_stored(&e))?;
        }
        let at = self.clock.now();
        let deployment = self.apply(id, scan::deployment(&folder), Some(loaded), at);
        drop(disk);
        if let Some(deployment) = deployment {
            self.make_room(&deployment);
        }
        Ok(created)
    }

    /// Removes a deployment's package.
    pub(crate) async fn delete(self: &Arc<Self>, id: &str) -> Result<(), ServerError> {
        let id = self.changeable(id)?;
        let this = Arc::clone(self);
        let deleted = tokio::task::spawn_blocking(move || {
            if let Some(remote) = &this.remote {
                return this.delete_from(remote, &id);
            }
            let _disk = this.disk.lock().unwrap_or_else(PoisonError::into_inner);
            let folder = this.root.join(id.as_str());
            let at = this.clock.now();
            if scan::deployment(&folder).is_none() {
                this.apply(&id, None, None, at);
                return Err(this.unknown(Some(id.as_str())));
            }
            let removed = remove_packages(&this.root, &folder);
            this.apply(&id, scan::deployment(&folder), None, at);
            removed.map_err(|e| not_stored(&e))
        });
        deleted.await.unwrap_or(Err(ServerError::Internal))
    }
}

/// What a store's refusal means to the client.
fn store_refused(remote: &Remote, error: &ArtifactError) -> ServerError {
    remote.failures.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    match error {
        ArtifactError::Denied(_) | ArtifactError::Unsupported(_) => {
            ServerError::Forbidden(format!("the repository cannot be written to: {error}"))
        }
        error => ServerError::NotStored(format!("the repository cannot be changed: {error}")),
    }
}

/// A file that was received, as a store takes it.
struct StagedFile(File, u64);

impl StagedFile {
    fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let size = file.metadata()?.len();
        Ok(Self(file, size))
    }
}

impl Content for StagedFile {
    fn size(&self) -> u64 {
        self.1
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        std::os::unix::fs::FileExt::read_exact_at(&self.0, buffer, offset)
    }
}

fn broken_off() -> ServerError {
    ServerError::BadBody("the request body broke off".to_owned())
}

/// Writes what arrives to a file, to its end.
fn receive(mut received: mpsc::Receiver<Part>, path: &Path) -> Result<PathBuf, ServerError> {
    let write = |file: &mut File, data: &[u8]| file.write_all(data).map_err(|e| not_stored(&e));
    let mut file = File::create_new(path).map_err(|e| not_stored(&e))?;
    let mut empty = true;
    loop {
        match received.blocking_recv() {
            Some(Part::Data(data)) => {
                empty &= data.is_empty();
                write(&mut file, &data)?;
            }
            Some(Part::End) => break,
            None => return Err(broken_off()),
        }
    }
    file.sync_all().map_err(|e| not_stored(&e))?;
    match empty {
        true => Err(refused("the request body is empty")),
        false => Ok(path.to_owned()),
    }
}

/// Gives the staged file the name that it will have in `folder`: the client's if it is safe and says what the file is.
fn named(staged: &Path, name: Option<&str>, folder: &Path) -> Result<PathBuf, ServerError> {
    let name = name.filter(|name| is_safe(name));
    let given = name.filter(|name| name.ends_with(".mlpkg"));
    let plain = match given {
        Some(name) => Ok(name),
        None => Package::plain_name(staged).map_err(|error| match error {
            LoadError::NotAModel { reason, .. } => refused(&reason),
            other => refused(&Failure::of(&other, staged).message),
        }),
    }?;
    let rename = |from: &Path, name: &str| -> Result<PathBuf, ServerError> {
        let to = from.with_file_name(name);
        fs::rename(from, &to).map_err(|e| not_stored(&e))?;
        Ok(to)
    };
    let staged = match name.filter(|_| given.is_none() && plain != "model.mlpkg") {
        Some(own) => {
            let staged = rename(staged, own)?;
            if Package::is_candidate(&staged) { staged } else { rename(&staged, plain)? }
        }
        None => rename(staged, plain)?,
    };
    let name = staged.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    match folder.join(&name).is_dir() {
        // a file cannot take a directory's place in one step
        true => rename(&staged, &format!("new-{name}")),
        false => Ok(staged),
    }
}

/// A file name that can stand in a repository and means nothing there.
fn is_safe(name: &str) -> bool {
    let taken = ["portend.json", "checksums.txt", config_yml::NAME];
    ModelId::parse(name).is_ok() && !name.starts_with('.') && name.len() <= 200 && !taken.contains(&name)
}

/// What a package called `new` replaces in a directory.
fn replaced(folder: &Path, new: &str) -> Result<Vec<String>, ServerError> {
    let mut names = scan::list(folder).map_err(|e| not_stored(&e))?;
    let left_over = Replacement::read(folder);
    names.retain(|name| name != new);
    let old: Vec<String> = match Package::is_candidate(folder) && left_over.is_none() {
        // the directory is the package; what it is made of goes
        true => names.iter().filter(|name| *name != config_yml::NAME).cloned().collect(),
        false => {
            let packages = scan::file_list(&scan::candidates(folder, &names));
            packages.into_iter().chain(left_over.into_iter().flat_map(|note| note.old)).collect()
        }
    };
    names.retain(|name| !old.contains(name));
    let others = if new.ends_with(".mlpkg") { Vec::new() } else { scan::candidates(folder, &names) };
    match others.is_empty() {
        true => Ok(old),
        false => Err(ServerError::Conflict(format!(
            "the deployment's directory holds other model files that would count beside a bare one: {}; upload a \
             package (.mlpkg)",
            scan::file_names(&others)
        ))),
    }
}

/// Removes all that counts as a package from a deployment's directory, and the directory if it holds nothing else.
fn remove_packages(root: &Path, folder: &Path) -> io::Result<()> {
    let is_link = fs::symlink_metadata(folder)?.is_symlink();
    let is_package = Package::is_candidate(folder);
    let all: Vec<_> = fs::read_dir(folder)?.collect::<io::Result<_>>()?;
    let all: Vec<_> = all.iter().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    let packages = scan::file_list(&scan::candidates(folder, &scan::list(folder)?));
    // an upload that is under way will put its package there
    let left_over = |name: &String| replace::is_ours(name) && !replace::is_in_use(&folder.join(name));
    let ours = |name: &String| left_over(name) || packages.contains(name);
    let theirs = |name: &String| if is_package { name == config_yml::NAME } else { !ours(name) };
    if !is_link && !all.iter().any(theirs) {
        return replace::remove_directory(root, folder);
    }
    if is_package {
        // without its manifest it is no package any more
        replace::remove(&folder.join("portend.json"))?;
        let parts = all.iter().filter(|name| !theirs(name) && *name != "portend.json");
        parts.map(|name| folder.join(name)).try_for_each(|path| replace::remove(&path))?;
    }
    loop {
        // model files beside a package count once it is gone
        match scan::candidates(folder, &scan::list(folder)?) {
            packages if packages.is_empty() => break,
            packages => packages.iter().try_for_each(|path| replace::remove(path))?,
        }
    }
    replace::sync(folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_out_of_a_request_stays_a_file_name() {
        for (name, expected) in [
            ("model_5f.mlpkg", true),
            ("m.json", true),
            ("../m.mlpkg", false),
            ("a/m.mlpkg", false),
            ("C:\\m.mlpkg", false),
            (".m.mlpkg", false),
            ("..", false),
            ("", false),
            ("ä.mlpkg", false),
            ("portend.json", false),
            ("config.yml", false),
            (&"x".repeat(201), false),
        ] {
            assert_eq!(is_safe(name), expected, "{name:?}");
        }
    }
}
