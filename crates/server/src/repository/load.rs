//! Loading: one load at a time for a model, on threads of its own, joined by all requests that need it. The model that
//! serves stays until the new one is good.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Instant;

use portend_core::ArtifactError;
use portend_model::{LoadError, Model};
use tokio::sync::watch;

use super::deployment::{Deployment, Failure, LoadFacts, Loaded, Loading, Outcome, State, does_not_load};
use super::scan::{Fingerprint, Found};
use super::{Repository, Settings, StartError, amount};
use crate::error::ServerError;

/// How often a package that changes while it is read is read again.
const MOST_TRIES: usize = 5;

/// A load that was announced and not carried out yet.
#[derive(Debug)]
pub(super) struct Job {
    deployment: Arc<Deployment>,
    found: Found,
    ended: watch::Sender<Option<Outcome>>,
}

/// Why there is no model after a load.
enum NotLoaded {
    Error(LoadError),
    /// There is no copy of what lies in a store.
    NotFetched(ArtifactError),
    /// A defect of ours.
    Panic,
}

/// Reads the package that is at `path` and known by `fingerprint`.
fn read(path: &Path, fingerprint: Fingerprint, settings: &Settings) -> Result<Loaded, NotLoaded> {
    let started = Instant::now();
    let load = || Model::load_trusted(path, &settings.target, &settings.trust);
    let model = catch_unwind(AssertUnwindSafe(load)).map_err(|_| NotLoaded::Panic)?;
    let model = model.map_err(NotLoaded::Error)?;
    let facts = LoadFacts {
        package: path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default(),
        digest: model.digest.clone(),
        took: started.elapsed(),
        memory: model.memory(),
    };
    Ok(Loaded { model: Arc::new(model), facts, fingerprint })
}

impl NotLoaded {
    fn failure(&self, path: &Path) -> Failure {
        match self {
            Self::Error(error) => Failure::of(error, path),
            Self::NotFetched(error) => Failure::io(&format!("it cannot be got from the store: {error}")),
            Self::Panic => Failure { code: "internal", message: "loading it failed by a defect".to_owned() },
        }
    }
}

impl Repository {
    /// Announces a load: requests can wait for it from now on.
    pub(super) fn announce(deployment: &Arc<Deployment>, state: &mut State, found: Found) -> (Job, Loading) {
        let (ended, loading) = watch::channel(None);
        state.loading = Some(loading.clone());
        (Job { deployment: Arc::clone(deployment), found, ended }, loading)
    }

    /// Loads the package that lies there if it is another than the one that serves, beside the caller.
    pub(super) fn load_if_new(
        self: &Arc<Self>,
        deployment: &Arc<Deployment>,
        state: &mut State,
    ) -> Option<Loading> {
        let current = deployment.current.load();
        let found = state.unloaded(current.as_deref())?.clone();
        let (job, loading) = Self::announce(deployment, state, found);
        let this = Arc::clone(self);
        self.loaders.spawn(move || _ = this.carry_out(job));
        Some(loading)
    }

    /// The load that a request has to wait for: the one under way, or a new one.
    pub(super) fn loading(self: &Arc<Self>, deployment: &Arc<Deployment>) -> Result<Loading, ServerError> {
        let mut state = deployment.state();
        if let Some(loading) = &state.loading {
            return Ok(loading.clone());
        }
        if let Some(loaded) = deployment.current.load_full() {
            return Ok(watch::channel(Some(Ok(loaded))).1);
        }
        state.forgive();
        match (state.failure().cloned(), self.load_if_new(deployment, &mut state)) {
            (_, Some(loading)) => Ok(loading),
            (Some(failure), None) => Err(load_failed(deployment, &failure)),
            (None, None) => Err(ServerError::Loading(deployment.id.to_string())),
        }
    }

    /// Reads the package and takes the model into service. A package that is replaced meanwhile is read again, in the end
    /// while nobody can replace it.
    pub(super) fn carry_out(self: &Arc<Self>, job: Job) -> Result<(), StartError> {
        let Job { deployment, mut found, ended } = job;
        let mut tries = 1;
        let (outcome, error) = loop {
            let last = tries == MOST_TRIES;
            let _disk = last.then(|| self.disk.lock().unwrap_or_else(PoisonError::into_inner));
            let seen = if last { self.look_with_disk(&deployment) } else { Some(Ok(found.clone())) };
            let (outcome, error) = match seen {
                None => (Err(None), None),
                Some(Err(failure)) => (Err(Some(failure)), None),
                Some(Ok(now)) => {
                    found = now;
                    match self.read(&found) {
                        Ok(loaded) => (Ok(Arc::new(loaded)), None),
                        Err(error) if last => (Err(Some(error.failure(&found.path))), Some(error)),
                        Err(error) => match self.look_again(&deployment) {
                            None => (Err(None), Some(error)),
                            Some(Ok(other)) if other.fingerprint != found.fingerprint => {
                                (found, tries) = (other, tries + 1);
                                continue;
                            }
                            Some(_) => (Err(Some(error.failure(&found.path))), Some(error)),
                        },
                    }
                }
            };
            match self.take(&deployment, &found, outcome, !last) {
                Ok(outcome) => break (outcome, error),
                Err(other) => (found, tries) = (other, tries + 1),
            }
        };
        self.make_room(&deployment);
        self.giving_back.soon();
        _ = ended.send(Some(outcome));
        match error {
            Some(NotLoaded::Error(error)) => Err(error.into()),
            Some(NotLoaded::NotFetched(source)) => Err(StartError::Store { place: self.place(), source }),
            _ => Ok(()),
        }
    }

    /// Reads what was found, of a store its copy.
    fn read(&self, found: &Found) -> Result<Loaded, NotLoaded> {
        let Some(remote) = &self.remote else { return read(&found.path, found.fingerprint, &self.settings) };
        let fetched = remote.fetch(found).map_err(|error| {
            remote.failures.fetch_add(1, Ordering::Relaxed);
            NotLoaded::NotFetched(error)
        });
        let _busy = fetched?;
        let loaded = read(&found.path, found.fingerprint, &self.settings);
        if loaded.is_err() {
            remote.forget(found);
        }
        loaded
    }

    /// Takes the end of a load into the deployment's state; gives what is told to those who wait for it, or the package
    /// that came meanwhile, if it may be read as well.
    fn take(
        self: &Arc<Self>,
        deployment: &Arc<Deployment>,
        found: &Found,
        mut outcome: Outcome,
        again: bool,
    ) -> Result<Outcome, Found> {
        let mut state = deployment.state();
        let wanted = state.package.as_ref().is_ok_and(|now| now.fingerprint == found.fingerprint);
        let before = deployment.current.load_full();
        // who came after the change may not be given what was there before it
        match (&outcome, &before, &state.package) {
            (Ok(_), Some(before), _) if !wanted => outcome = Ok(Arc::clone(before)),
            (Ok(_), None, Ok(other)) if !wanted && again => return Err(other.clone()),
            _ => {}
        }
        state.loading = None;
        match &outcome {
            Ok(_) if deployment.is_withdrawn() => {}
            Ok(loaded) if wanted || before.is_none() => {
                deployment.install(&mut state, loaded);
                let how = if before.is_some() { "reloaded" } else { "loaded" };
                self.log_load(deployment, loaded, how);
            }
            Ok(_) | Err(None) => {}
            Err(Some(failure)) => {
                deployment.statistics.load_failures.add();
                state.fail(found, failure);
                let effect = does_not_load(before.is_some());
                let ends_the_server = self.single && self.preloading.load(Ordering::Acquire);
                if !ends_the_server {
                    self.log(&format!("model '{}' {effect}: {}", deployment.id, failure.message));
                }
            }
        }
        // replaced once more while it was read
        self.load_if_serving(deployment, &mut state);
        Ok(outcome)
    }

    /// Loads a changed package of a model that is in memory; others wait until they are asked for.
    pub(super) fn load_if_serving(self: &Arc<Self>, deployment: &Arc<Deployment>, state: &mut State) {
        if deployment.current.load().is_some() && !state.removed {
            self.load_if_new(deployment, state);
        }
    }

    pub(super) fn log_load(&self, deployment: &Deployment, loaded: &Loaded, how: &str) {
        let LoadFacts { package, took, memory, .. } = &loaded.facts;
        let (took, memory) = (took.as_secs_f64() * 1e3, amount(*memory as u64));
        self.log(&format!("model '{}' {how} from {package} in {took:.1} ms, {memory}", deployment.id));
        if let Some(warning) = &loaded.model.warning {
            self.log(&format!("model '{}' is served, but {warning}", deployment.id));
        }
    }

    /// Loads a package that is not in the repository yet; whoever calls waits, and the work is done where all loads are.
    pub(super) fn load_aside(&self, path: &Path) -> Result<Loaded, Failure> {
        let fingerprint = Fingerprint::of(path).map_err(|e| Failure::io(&e.to_string()))?;
        let read = || read(path, fingerprint, &self.settings);
        let loaded = self.loaders.install(read);
        self.giving_back.soon();
        loaded.map_err(|error| error.failure(path))
    }
}

/// The answer of a model that is not there and will not be by waiting.
pub(super) fn load_failed(deployment: &Deployment, failure: &Failure) -> ServerError {
    ServerError::LoadFailed { id: deployment.id.to_string(), reason: failure.message.clone() }
}
