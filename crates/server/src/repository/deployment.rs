//! One model of a repository: where its package is, what became of loading it, and what serves.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::{ArcSwap, ArcSwapOption};
use portend_core::ModelId;
use portend_model::{LoadError, Model};
use tokio::sync::watch;

use super::config_yml;
use super::scan::{Fingerprint, Found, Seen};
use crate::config::DeploymentSettings;
use crate::statistics::Statistics;

/// How long after the system refused to read a package it is tried again.
const READ_AGAIN: Duration = Duration::from_secs(5);

/// Why a model is not served, or not its newest package, as clients may see it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Failure {
    /// A stable word for the kind of failure: one of [`LoadError::code`], `several_packages` or `internal`.
    pub(crate) code: &'static str,
    /// A sentence for people.
    pub(crate) message: String,
}

impl Failure {
    pub(super) fn io(message: &str) -> Self {
        Self { code: "io", message: message.to_owned() }
    }

    pub(super) fn several(names: &str) -> Self {
        Self { code: "several_packages", message: format!("several packages in its directory: {names}") }
    }

    /// The error as clients may see it: where the package lies is the operator's business.
    pub(super) fn of(error: &LoadError, package: &std::path::Path) -> Self {
        let folder = package.parent().map(|p| format!("{}/", p.display())).unwrap_or_default();
        Self { code: error.code(), message: error.to_string().replace(&folder, "") }
    }
}

/// A model in memory, with what is told of how it came there.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) model: Arc<Model>,
    /// What the cache and `/info` know of it.
    pub(crate) facts: LoadFacts,
    /// The package as it was when it was read.
    pub(super) fingerprint: Fingerprint,
}

/// What is told of a load, also when the model is no longer in memory.
#[derive(Debug, Clone)]
pub(crate) struct LoadFacts {
    /// The package's file name.
    pub(crate) package: String,
    /// The package's digest.
    pub(crate) digest: String,
    /// How long loading took.
    pub(crate) took: Duration,
    /// About how many bytes it holds.
    pub(crate) memory: usize,
}

/// What a failure means to those who ask for predictions.
pub(super) fn does_not_load(serves: bool) -> &'static str {
    match serves {
        true => "has a new package that does not load; the former one serves on",
        false => "does not load and answers 503",
    }
}

/// What a load ended with; `Err(None)` when the package is no longer there.
pub(super) type Outcome = Result<Arc<Loaded>, Option<Failure>>;

/// A load that is under way, and its end.
pub(super) type Loading = watch::Receiver<Option<Outcome>>;

/// One model of a repository.
#[derive(Debug)]
pub(crate) struct Deployment {
    /// What it is called in paths.
    pub(crate) id: ModelId,
    /// What serves.
    pub(super) current: ArcSwapOption<Loaded>,
    /// What the operator says of it.
    settings: ArcSwap<DeploymentSettings>,
    /// When its files were looked at last; see [`super::Clock`].
    pub(super) looked: AtomicU64,
    /// When it was asked for predictions last; 0 for never.
    used: AtomicU64,
    /// True after it was unloaded by request: it answers 503 until it is loaded by request.
    withdrawn: AtomicBool,
    /// What it has been asked so far.
    pub(crate) statistics: Statistics,
    state: Mutex<State>,
}

/// What is not needed to serve a model that is there.
#[derive(Debug)]
pub(super) struct State {
    /// As the last look found it.
    pub(super) package: Result<Found, Failure>,
    config_fingerprint: Option<Fingerprint>,
    /// What is wrong with `config.yml`.
    config_fault: Option<String>,
    /// The package that did not load, as it was then: it is not tried again until it changes.
    failed: Option<(Fingerprint, Failure, Instant)>,
    pub(super) loading: Option<Loading>,
    /// True once it is no longer in the repository: what lies at its path then is another's.
    pub(super) removed: bool,
    last: Option<LoadFacts>,
}

impl State {
    /// Why the package that lies there now is not served.
    pub(super) fn failure(&self) -> Option<&Failure> {
        match &self.package {
            Err(failure) => Some(failure),
            Ok(found) => {
                self.failed.as_ref().filter(|(of, ..)| *of == found.fingerprint).map(|(_, why, _)| why)
            }
        }
    }

    /// Takes note that a package did not load.
    pub(super) fn fail(&mut self, found: &Found, failure: &Failure) {
        self.failed = Some((found.fingerprint, failure.clone(), Instant::now()));
    }

    /// Forgets a failure to read after a while: that may have been the system's, not the package's.
    pub(super) fn forgive(&mut self) {
        self.failed.take_if(|(_, failure, at)| failure.code == "io" && at.elapsed() >= READ_AGAIN);
    }

    /// The package, if it is another than the one that serves, is not loading, and is not known to fail.
    pub(super) fn unloaded(&self, current: Option<&Loaded>) -> Option<&Found> {
        let found = self.package.as_ref().ok()?;
        let is_current = current.is_some_and(|loaded| loaded.fingerprint == found.fingerprint);
        (!is_current && self.loading.is_none() && self.failure().is_none()).then_some(found)
    }

    /// Takes what a look found, and gives what is worth a line in the log; new settings are for the caller to take.
    pub(super) fn see(&mut self, seen: Seen, serves: bool) -> (Vec<String>, Option<DeploymentSettings>) {
        let mut lines = Vec::new();
        if let Err(failure) = &seen.package
            && self.package.as_ref().err() != Some(failure)
        {
            lines.push(format!("{}: {}", does_not_load(serves), failure.message));
        }
        self.package = seen.package;
        let (path, fingerprint) = seen.config;
        if fingerprint == self.config_fingerprint {
            return (lines, None);
        }
        self.config_fingerprint = fingerprint;
        let read = fingerprint.map_or_else(|| Ok(DeploymentSettings::default()), |_| config_yml::read(&path));
        self.config_fault = read.as_ref().err().cloned();
        lines.extend(self.config_fault.iter().map(|fault| format!("serves without its settings: {fault}")));
        (lines, Some(read.unwrap_or_default()))
    }
}

/// A model for one request.
#[derive(Debug)]
pub(crate) struct Ready {
    /// What it belongs to.
    pub(crate) deployment: Arc<Deployment>,
    /// The model.
    pub(crate) model: Arc<Model>,
    /// Whether it was in memory when the request came.
    pub(crate) was_loaded: bool,
}

/// A deployment as it is told.
#[derive(Debug)]
pub(crate) struct Snapshot {
    /// What serves.
    pub(crate) loaded: Option<Arc<Loaded>>,
    /// Whether a package is being loaded.
    pub(crate) loading: bool,
    /// Why the package that lies there is not served.
    pub(crate) failure: Option<Failure>,
    /// Whether it was unloaded by request.
    pub(crate) withdrawn: bool,
    /// The file name of the package that serves, else of the one that lies there.
    pub(crate) package: Option<String>,
    /// Of the last load.
    pub(crate) last: Option<LoadFacts>,
    /// When it was asked for predictions last, after the clock's start.
    pub(crate) used: Option<u64>,
    /// What the operator says of it.
    pub(crate) settings: Arc<DeploymentSettings>,
    /// What is wrong with its `config.yml`.
    pub(crate) config_fault: Option<String>,
    /// How often feedback came, and the sum of its rewards.
    pub(crate) feedback: (u64, f64),
}

impl Deployment {
    /// One whose package was not seen yet.
    pub(super) fn new(id: ModelId, settings: DeploymentSettings) -> Self {
        let state = State {
            package: Err(Failure::io("it was not looked for yet")),
            config_fingerprint: None,
            config_fault: None,
            failed: None,
            loading: None,
            removed: false,
            last: None,
        };
        Self {
            id,
            current: ArcSwapOption::empty(),
            settings: ArcSwap::from_pointee(settings),
            looked: AtomicU64::new(0),
            used: AtomicU64::new(0),
            withdrawn: AtomicBool::new(false),
            statistics: Statistics::default(),
            state: Mutex::new(state),
        }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        // nothing panics while it is held, and if it did the state would still be whole
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The model for a request that came `now`, if it is in memory.
    pub(super) fn serve(self: &Arc<Self>, now: u64) -> Option<Ready> {
        let current = self.current.load();
        let model = Arc::clone(&current.as_ref()?.model);
        self.touch(now);
        Some(Ready { deployment: Arc::clone(self), model, was_loaded: true })
    }

    /// Takes note that it was asked for.
    pub(super) fn touch(&self, now: u64) {
        // requests of one moment need not write to one place of memory
        const MOMENT: u64 = 1000;
        if now.saturating_sub(self.used.load(Ordering::Relaxed)) >= MOMENT {
            self.used.store(now, Ordering::Relaxed);
        }
    }

    /// When it was asked for last.
    pub(super) fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    /// What the operator says of it now.
    pub(crate) fn settings(&self) -> Arc<DeploymentSettings> {
        self.settings.load_full()
    }

    /// Takes what the operator says of it from now on.
    pub(super) fn set(&self, settings: DeploymentSettings) {
        self.settings.store(Arc::new(settings));
    }

    /// Whether it was unloaded by request.
    pub(super) fn is_withdrawn(&self) -> bool {
        self.withdrawn.load(Ordering::Acquire)
    }

    /// Takes it out of service until it is put back.
    pub(super) fn withdraw(&self) {
        let _state = self.state(); // a load that ends now sees the one or the other
        self.withdrawn.store(true, Ordering::Release);
        self.unload();
    }

    /// Puts it back; it is loaded when it is asked for.
    pub(super) fn put_back(&self) {
        self.withdrawn.store(false, Ordering::Release);
    }

    /// Takes a model that was loaded into service.
    pub(super) fn install(&self, state: &mut State, loaded: &Arc<Loaded>) {
        self.statistics.loads.add();
        state.last = Some(loaded.facts.clone());
        self.current.store(Some(Arc::clone(loaded)));
    }

    /// Forgets the model; requests that hold it go on.
    pub(super) fn unload(&self) {
        self.current.store(None);
    }

    /// What is told of it.
    pub(crate) fn snapshot(&self) -> Snapshot {
        let state = self.state();
        let loaded = self.current.load_full();
        let lying = || state.package.as_ref().ok().map(Found::name);
        Snapshot {
            package: loaded.as_ref().map(|loaded| loaded.facts.package.clone()).or_else(lying),
            loading: state.loading.is_some(),
            failure: state.failure().cloned(),
            withdrawn: self.is_withdrawn(),
            last: state.last.clone(),
            used: Some(self.used()).filter(|used| *used > 0),
            settings: self.settings.load_full(),
            config_fault: state.config_fault.clone(),
            feedback: self.statistics.feedback(),
            loaded,
        }
    }
}
