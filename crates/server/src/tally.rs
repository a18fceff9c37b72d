//! What is under way on one connection: whoever does something for it is in the tally until that is done.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// The tally of one connection.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tally(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    under_way: AtomicUsize,
    ever: AtomicUsize,
}

/// A place in a tally, left when it is dropped.
#[derive(Debug)]
pub(crate) struct Tallied(Tally);

impl Tally {
    /// Takes a place.
    pub(crate) fn enter(&self) -> Tallied {
        self.0.under_way.fetch_add(1, Ordering::Relaxed);
        self.0.ever.fetch_add(1, Ordering::Relaxed);
        Tallied(self.clone())
    }

    /// True when nothing is under way.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.under_way.load(Ordering::Relaxed) == 0
    }

    /// Returns once nothing was under way for as long as `time`, at most twice as long.
    pub(crate) async fn idle(&self, time: Duration) {
        loop {
            let (quiet, before) = (self.is_empty(), self.0.ever.load(Ordering::Relaxed));
            tokio::time::sleep(time).await;
            if quiet && self.is_empty() && self.0.ever.load(Ordering::Relaxed) == before {
                return;
            }
        }
    }
}

impl Drop for Tallied {
    fn drop(&mut self) {
        self.0.0.under_way.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::{Instant, sleep};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn idle_is_who_has_nothing_under_way_for_long() {
        let (tally, start) = (Tally::default(), Instant::now());
        let busy = tally.clone();
        tokio::spawn(async move {
            sleep(Duration::from_secs(5)).await;
            drop(busy.enter());
            sleep(Duration::from_secs(10)).await;
            let _long = busy.enter();
            sleep(Duration::from_secs(100)).await;
        });
        tally.idle(Duration::from_secs(10)).await;
        assert_eq!(start.elapsed().as_secs(), 130);
    }
}
