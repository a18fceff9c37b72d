//! Looking at what lies there, on the disk or in a store: when a look is due, and what is made of one that is not answered.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use portend_core::{ArtifactError, ModelId};

use super::deployment::{Deployment, Failure};
use super::remote::Remote;
use super::scan::{self, Found};
use super::{LOOK_PATIENCE, Repository, View};

impl Repository {
    /// When the files of what a request names were looked at last.
    pub(super) fn looked_at<'v>(&'v self, view: &'v View, id: Option<&str>) -> &'v AtomicU64 {
        match self.named(view, id) {
            Some(deployment) if self.single || id.is_some() => &deployment.looked,
            _ => &self.scanned,
        }
    }

    /// Whether a look is young enough for a request that came `now`.
    pub(super) fn is_fresh(&self, looked: &AtomicU64, now: u64) -> bool {
        now.saturating_sub(looked.load(Ordering::Acquire)) <= self.settings.ttl
    }

    /// Looks at the files of what a request names, if that was too long ago; all files when it names none.
    pub(super) async fn look(self: &Arc<Self>, id: Option<&str>, now: u64) {
        if self.is_fresh(self.looked_at(&self.view.load(), id), now) {
            return;
        }
        let since = self.looking.load(Ordering::Acquire);
        // one request has waited already
        if since > 0 && Duration::from_micros(now.saturating_sub(since)) > LOOK_PATIENCE {
            return;
        }
        let (this, id) = (Arc::clone(self), id.map(str::to_owned));
        let look = tokio::task::spawn_blocking(move || this.look_now(id.as_deref(), now));
        // a disk or store that hangs does not stop what is in memory
        _ = tokio::time::timeout(LOOK_PATIENCE, look).await;
    }

    fn look_now(self: &Arc<Self>, id: Option<&str>, now: u64) {
        let _disk = self.disk.lock().unwrap_or_else(PoisonError::into_inner);
        // another request may have looked while this one waited
        if self.is_fresh(self.looked_at(&self.view.load(), id), now) {
            return;
        }
        if self.remote.as_ref().is_some_and(Remote::rests) {
            return;
        }
        self.looking.store(self.clock.now().max(1), Ordering::Release);
        match id {
            _ if self.single => _ = self.look_at_single(),
            None => self.look_at_all(),
            // an id that is made up costs a store no more than a look at all
            Some(id) if self.remote.is_some() && self.named(&self.view.load(), Some(id)).is_none() => {
                self.look_at_all();
            }
            Some(id) => {
                let id = ModelId::parse(id).ok().filter(|id| !id.as_str().starts_with('.'));
                _ = id.and_then(|id| self.look_at(&id));
            }
        }
        self.looking.store(0, Ordering::Release);
    }

    /// Looks at one directory, with `disk` held.
    pub(super) fn look_at(self: &Arc<Self>, id: &ModelId) -> Option<Arc<Deployment>> {
        let at = self.clock.now();
        let seen = match &self.remote {
            None => scan::deployment(&self.root.join(id.as_str())),
            Some(remote) => match self.answered(remote, remote.deployment(id)) {
                Some(seen) => seen,
                None => return self.view.load().get(id).cloned(),
            },
        };
        self.apply(id, seen, None, at)
    }

    /// What a store answered, if it did; the log is told of the first failure and of its end.
    fn answered<T>(&self, remote: &Remote, answer: Result<T, ArtifactError>) -> Option<T> {
        let line = match &answer {
            Ok(_) => remote.recover(),
            Err(error) => remote.fail(error),
        };
        line.iter().for_each(|line| self.log(line));
        answer.ok()
    }

    /// Failures of the store that packages lie in, and bytes that were got from it.
    pub(crate) fn store_figures(&self) -> (u64, u64) {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        self.remote.as_ref().map_or((0, 0), |remote| (count(&remote.failures), count(&remote.fetched)))
    }

    /// What is served, for people.
    pub(super) fn place(&self) -> String {
        self.remote
            .as_ref()
            .map_or_else(|| self.root.display().to_string(), |remote| remote.store.url.to_string())
    }

    fn look_at_single(self: &Arc<Self>) -> Option<Arc<Deployment>> {
        let id = self.view.load().keys().next().cloned()?;
        let at = self.clock.now();
        let seen = match &self.remote {
            None => scan::single(&self.root),
            Some(remote) => match self.answered(remote, remote.single()) {
                Some(seen) => seen,
                None => return self.view.load().get(&id).cloned(),
            },
        };
        self.apply(&id, Some(seen), None, at)
    }

    fn look_at_all(self: &Arc<Self>) {
        let at = self.clock.now();
        if let Some(remote) = &self.remote {
            let Some(found) = self.answered(remote, remote.all()) else { return };
            let mut gone = View::clone(&self.view.load());
            for (id, seen) in found {
                gone.remove(&id);
                self.apply(&id, Some(seen), None, at);
            }
            gone.keys().for_each(|id| _ = self.apply(id, None, None, at));
            self.scanned.store(at, Ordering::Release);
            return;
        }
        let Ok(mut ids) = scan::ids(&self.root) else { return };
        ids.extend(self.view.load().keys().cloned());
        ids.sort();
        ids.dedup();
        ids.iter().for_each(|id| _ = self.look_at(id));
        self.scanned.store(at, Ordering::Release);
    }

    /// The package of a deployment as it is now; None when there is none.
    pub(super) fn look_again(self: &Arc<Self>, deployment: &Deployment) -> Option<Result<Found, Failure>> {
        let _disk = self.disk.lock().unwrap_or_else(PoisonError::into_inner);
        self.look_with_disk(deployment)
    }

    /// The same with `disk` held.
    pub(super) fn look_with_disk(
        self: &Arc<Self>,
        deployment: &Deployment,
    ) -> Option<Result<Found, Failure>> {
        let deployment = if self.single { self.look_at_single() } else { self.look_at(&deployment.id) }?;
        let package = deployment.state().package.clone();
        Some(package)
    }
}
