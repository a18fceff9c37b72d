//! What is served: the models under a path, by id. Looks for changes on the disk, has packages loaded when they are
//! needed, and gives out models. How a package is read is the model crate's business.

mod by_request;
mod cache;
mod config_yml;
mod deployment;
mod load;
mod look;
mod remote;
mod replace;
mod scan;
mod upload;

use std::collections::BTreeMap;
use std::io::{Write, stderr};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use arc_swap::ArcSwap;
use portend_core::{ArtifactError, ModelId};
use portend_model::LoadError;
use portend_model::package::Trust;
use tokio::sync::Semaphore;

use crate::config::{CacheLimits, Config, DeploymentSettings};
use crate::error::ServerError;
use crate::giving_back::GivingBack;
use crate::metrics::asked;
use crate::tls::TlsError;
pub(crate) use deployment::{Deployment, Failure, LoadFacts, Loaded, Ready, Snapshot};
use load::Job;
use remote::Remote;
use scan::{Root, Seen};

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
    /// The store cannot be read.
    #[error("cannot serve {place}: {source}")]
    Store {
        /// Where packages lie.
        place: String,
        /// What became of asking.
        source: ArtifactError,
    },
    /// There is no place for copies of packages.
    #[error("cannot keep copies of packages in {}: {source}; PORTEND_CACHE_DIR names another directory", path.display())]
    Cache {
        /// The directory.
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
    /// The system gives no threads.
    #[error("cannot start threads: {0}")]
    Threads(std::io::Error),
    /// Traces cannot be sent as it was asked for.
    #[error("traces cannot be sent: {0}")]
    Traces(String),
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// Host and port.
        address: String,
        /// What the system said.
        source: std::io::Error,
    },
}

/// Time as the repository counts it: microseconds since the server's start.
#[derive(Debug)]
struct Clock {
    start: Instant,
    wall: SystemTime,
}

impl Clock {
    fn now(&self) -> u64 {
        let elapsed = self.start.elapsed();
        elapsed.as_secs() * 1_000_000 + u64::from(elapsed.subsec_micros())
    }
}

/// What a repository is told of the configuration.
#[derive(Debug)]
struct Settings {
    target: String,
    trust: Trust,
    /// Microseconds.
    ttl: u64,
    cache: CacheLimits,
    upload_limit: u64,
    read_only: bool,
    /// What is said of the model beside its directory; it goes before `config.yml`.
    deployment: DeploymentSettings,
    /// The id that is meant where none is given.
    default_model: Option<String>,
}

/// Models by id.
type View = BTreeMap<ModelId, Arc<Deployment>>;

/// The models that a server has, by id.
///
/// Locks are taken in this order: `disk`, `room`, a deployment's state.
#[derive(Debug)]
pub(crate) struct Repository {
    /// Where packages lie, or copies of those in a store.
    root: PathBuf,
    remote: Option<Remote>,
    /// True when the path is one package: its model answers under every id.
    single: bool,
    settings: Settings,
    clock: Clock,
    view: ArcSwap<View>,
    /// When all directories were looked at last.
    scanned: AtomicU64,
    /// Since when a look at the disk or store is under way; 0 for none.
    looking: AtomicU64,
    /// Held while the disk is looked at or changed and the view is made to agree.
    disk: Mutex<()>,
    /// Held while models leave memory.
    room: Mutex<()>,
    loaders: rayon::ThreadPool,
    giving_back: GivingBack,
    uploads: Semaphore,
    preloads: Mutex<Vec<Job>>,
    preloading: AtomicBool,
    /// Lines on sub-directories that are no models, with the reason.
    ignored: Vec<String>,
}

/// Threads that load: more than one, so that a large package does not keep a small one waiting.
const LOADERS: usize = 3;
/// Uploads that are received at once; further ones wait.
const UPLOADS: usize = 16;
/// How long a request waits for its model to be loaded.
const LOAD_PATIENCE: Duration = Duration::from_secs(30);
/// How long a request waits for a look at the disk before it goes on with what is known.
const LOOK_PATIENCE: Duration = Duration::from_secs(2);

impl Repository {
    /// Looks at the configured path. Nothing is loaded yet, but requests can wait for what will be.
    pub(crate) fn open(config: &Config) -> Result<Arc<Self>, StartError> {
        let log = |line: &str| _ = writeln!(stderr(), "{line}");
        let remote = config.store.clone().map(|store| Remote::new(store, log)).transpose()?;
        let look = || match &remote {
            Some(remote) => remote.root(config.read_only),
            None => scan::root(&config.path, config.read_only),
        };
        let mut found = look()?;
        if matches!(found, Root::Multi(..)) && !config.read_only && remote.is_none() {
            scan::clean(&config.path, log);
            found = look()?;
        }
        let (single, found, ignored) = match found {
            Root::Single(seen) => {
                let id = single_id(&config.path, &seen);
                (true, id.map(|id| (id, seen)).into_iter().collect(), Vec::new())
            }
            Root::Multi(found, ignored) => (false, found, ignored),
        };
        let loaders =
            rayon::ThreadPoolBuilder::new().num_threads(LOADERS).thread_name(|i| format!("load-{i}"));
        let loaders = loaders.build().map_err(|e| StartError::Threads(std::io::Error::other(e)))?;
        let repository = Arc::new(Self {
            root: remote.as_ref().map_or_else(|| config.path.clone(), |remote| remote.store.cache.clone()),
            remote,
            single,
            settings: Settings {
                target: config.target.clone(),
                trust: config.trust.clone(),
                ttl: u64::try_from(config.repository_ttl.as_micros()).unwrap_or(u64::MAX),
                cache: config.cache,
                upload_limit: config.upload_limit,
                read_only: config.read_only,
                // one id is for one model
                deployment: if single { config.deployment.clone() } else { DeploymentSettings::default() },
                default_model: config.default_model.clone(),
            },
            clock: Clock { start: Instant::now(), wall: SystemTime::now() },
            view: ArcSwap::default(),
            scanned: AtomicU64::new(0),
            looking: AtomicU64::new(0),
            disk: Mutex::new(()),
            room: Mutex::new(()),
            loaders,
            giving_back: GivingBack::default(),
            uploads: Semaphore::new(UPLOADS),
            preloads: Mutex::default(),
            preloading: AtomicBool::new(false),
            ignored,
        });
        for (id, seen) in found {
            repository.apply(&id, Some(seen), None, 0);
        }
        if config.preload.unwrap_or(single) {
            repository.announce_all();
        }
        Ok(repository)
    }

    /// Lets requests wait for all models.
    fn announce_all(&self) {
        self.preloading.store(true, Ordering::Release);
        let mut preloads = self.preloads.lock().unwrap_or_else(PoisonError::into_inner);
        for deployment in self.view.load().values() {
            let mut state = deployment.state();
            if let Some(found) = state.unloaded(None).cloned() {
                preloads.push(Self::announce(deployment, &mut state, found).0);
            }
        }
    }

    /// Carries out the loads that were announced at the start. In single-model mode a failure is returned; else a model
    /// that fails is logged and answers with its reason while the others serve.
    pub(crate) fn preload(self: &Arc<Self>) -> Result<(), StartError> {
        use rayon::prelude::*;
        self.ignored.iter().for_each(|line| self.log(line));
        let jobs = std::mem::take(&mut *self.preloads.lock().unwrap_or_else(PoisonError::into_inner));
        let load = || jobs.into_par_iter().map(|job| self.carry_out(job)).collect::<Vec<_>>();
        let outcome: Result<(), StartError> = self.loaders.install(load).into_iter().collect();
        self.preloading.store(false, Ordering::Release);
        if self.single { outcome } else { Ok(()) }
    }

    fn log(&self, line: &str) {
        // eprintln! would panic where nobody reads any more
        _ = writeln!(stderr(), "{line}");
    }

    /// The model called `id`; without one the only model, or the default. A single model answers to any id. A model that
    /// is in memory and was looked at lately costs no lock and no wait.
    pub(crate) async fn model(self: &Arc<Self>, id: Option<&str>) -> Result<Ready, ServerError> {
        let (id, now) = (self.meant(id), self.clock.now());
        if let Some(ready) = self.at_hand(id, now) {
            asked::note_deployment(&ready.deployment);
            return Ok(ready);
        }
        Box::pin(self.prepared(id, now)).await
    }

    /// The id that is meant where none may be given.
    fn meant<'i>(&'i self, id: Option<&'i str>) -> Option<&'i str> {
        id.or(self.settings.default_model.as_deref())
    }

    fn at_hand(&self, id: Option<&str>, now: u64) -> Option<Ready> {
        let view = self.view.load();
        let deployment = self.named(&view, id)?;
        let looked = if self.single || id.is_some() { &deployment.looked } else { &self.scanned };
        self.is_fresh(looked, now).then(|| deployment.serve(now))?
    }

    /// After a look at the disk and a load, where these are due.
    async fn prepared(self: &Arc<Self>, id: Option<&str>, now: u64) -> Result<Ready, ServerError> {
        let deployment = self.find(id, now).await?;
        asked::note_deployment(&deployment);
        if let Some(ready) = deployment.serve(now) {
            return Ok(ready);
        }
        if deployment.is_withdrawn() {
            return Err(ServerError::Unloaded(deployment.id.to_string()));
        }
        let mut loading = self.loading(&deployment)?;
        let ended = tokio::time::timeout(LOAD_PATIENCE, loading.wait_for(Option::is_some)).await;
        let Ok(ended) = ended else { return Err(ServerError::Loading(deployment.id.to_string())) };
        let ended = ended.map_err(|_| ServerError::Internal)?;
        match &*ended {
            Some(Ok(loaded)) => {
                deployment.touch(now);
                let model = Arc::clone(&loaded.model);
                Ok(Ready { deployment: Arc::clone(&deployment), model, was_loaded: false })
            }
            Some(Err(Some(failure))) => Err(load::load_failed(&deployment, failure)),
            Some(Err(None)) => Err(self.unknown(id)),
            None => Err(ServerError::Internal),
        }
    }

    /// The deployment called `id`, or the only one when no id is given, as the disk has it.
    async fn find(self: &Arc<Self>, id: Option<&str>, now: u64) -> Result<Arc<Deployment>, ServerError> {
        self.look(id, now).await;
        self.named(&self.view.load(), id).cloned().ok_or_else(|| self.unknown(id))
    }

    /// What is told of the deployment called `id`, or of the only one.
    pub(crate) async fn snapshot(
        self: &Arc<Self>,
        id: Option<&str>,
    ) -> Result<(ModelId, Snapshot), ServerError> {
        let deployment = self.find(self.meant(id), self.clock.now()).await?;
        Ok((deployment.id.clone(), deployment.snapshot()))
    }

    /// The deployment called `id` if there is one; all of them in order where none is given.
    pub(crate) async fn deployments(self: &Arc<Self>, id: Option<&str>) -> Vec<Arc<Deployment>> {
        match id {
            Some(_) => self.find(id, self.clock.now()).await.into_iter().collect(),
            None => {
                self.look(None, self.clock.now()).await;
                self.view.load().values().cloned().collect()
            }
        }
    }

    /// A moment of the repository's clock as a date.
    pub(crate) fn date(&self, moment: u64) -> SystemTime {
        self.clock.wall + Duration::from_micros(moment)
    }

    /// Whether requests should be sent here: what is loaded at the start is, and something can be served.
    pub(crate) async fn readiness(self: &Arc<Self>) -> Result<(), &'static str> {
        if self.preloading.load(Ordering::Acquire) {
            return Err("models are still loading");
        }
        self.look(None, self.clock.now()).await;
        let view = self.view.load();
        let serves = |deployment: &Arc<Deployment>| {
            let can_load = || !deployment.is_withdrawn() && deployment.state().failure().is_none();
            deployment.current.load().is_some() || can_load()
        };
        match view.values().any(serves) {
            true => Ok(()),
            false if view.is_empty() => Err("there is no model yet"),
            false => Err("no model could be loaded"),
        }
    }

    fn named<'v>(&self, view: &'v View, id: Option<&str>) -> Option<&'v Arc<Deployment>> {
        match id {
            Some(id) if !self.single => view.get(id),
            _ if view.len() == 1 => view.first_key_value().map(|(_, deployment)| deployment),
            _ => None,
        }
    }

    /// The answer to an id that there is not, or to none where several models are.
    pub(crate) fn unknown(&self, id: Option<&str>) -> ServerError {
        let view = self.view.load();
        let names = scan::listed(view.keys().map(ModelId::as_str));
        ServerError::NotFound(match id {
            _ if view.is_empty() => "there are no deployments yet".to_owned(),
            Some(id) if self.settings.default_model.as_deref() == Some(id) => {
                format!("there is no model '{id}', which is the default here; there are: {names}")
            }
            Some(_) => format!("there is no such deployment; there are: {names}"),
            None => format!("several models are served, name one in the path: {names}"),
        })
    }

    /// Makes the view agree with what a look that began `at` found, with `disk` held: adds, removes, and has a changed
    /// package loaded unless it comes `loaded`.
    fn apply(
        self: &Arc<Self>,
        id: &ModelId,
        seen: Option<Seen>,
        loaded: Option<Loaded>,
        at: u64,
    ) -> Option<Arc<Deployment>> {
        let known = self.view.load().get(id).cloned();
        let Some(seen) = seen else {
            if let Some(known) = known {
                known.state().removed = true;
                self.change_view(|view| _ = view.remove(id));
                self.log(&format!("model '{id}' is no longer in the repository"));
            }
            return None;
        };
        let is_new = known.is_none();
        let deployment =
            known.unwrap_or_else(|| Arc::new(Deployment::new(id.clone(), self.settings.deployment.clone())));
        let mut state = deployment.state();
        let serves = deployment.current.load().is_some();
        let (lines, settings) = state.see(seen, serves);
        lines.iter().for_each(|line| self.log(&format!("model '{id}' {line}")));
        if let Some(settings) = settings {
            deployment.set(self.settings.deployment.clone().or(&settings));
        }
        if let (Some(mut loaded), Ok(found)) = (loaded, &state.package) {
            loaded.fingerprint = found.fingerprint;
            let loaded = Arc::new(loaded);
            deployment.put_back();
            deployment.install(&mut state, &loaded);
            self.log_load(&deployment, &loaded, "uploaded and loaded");
        }
        deployment.looked.store(at, Ordering::Release);
        state.forgive();
        self.load_if_serving(&deployment, &mut state);
        drop(state);
        if is_new {
            self.change_view(|view| _ = view.insert(id.clone(), Arc::clone(&deployment)));
        }
        Some(deployment)
    }

    /// The view is changed with `disk` held only.
    fn change_view(&self, change: impl FnOnce(&mut View)) {
        let mut view = View::clone(&self.view.load());
        change(&mut view);
        self.view.store(Arc::new(view));
    }
}

fn single_id(path: &Path, seen: &Seen) -> Option<ModelId> {
    ModelId::parse(&model_name(seen.package.as_ref().map_or(path, |found| &found.path))).ok()
}

/// What a model is called that is served alone: as its file is, without the extension, or `model` where that is no id.
pub fn model_name(path: &Path) -> String {
    let stem = path.file_stem().map(|s| s.to_string_lossy().into_owned()).unwrap_or_default();
    ModelId::parse(&stem).map_or_else(|_| "model".to_owned(), |id| id.to_string())
}

/// Bytes for people.
fn amount(bytes: u64) -> String {
    match bytes {
        0..=99_999 => format!("{:.1} KiB", bytes as f64 / 1024.0),
        _ => format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20)),
    }
}
