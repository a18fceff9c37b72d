//! What is under way on one connection: whoever does something for it is in the tally until that is done.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

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

    /// How many places were ever taken. Who looks now and then sees by it what came and went meanwhile.
    pub(crate) fn ever(&self) -> usize {
        self.0.ever.load(Ordering::Relaxed)
    }
}

impl Drop for Tallied {
    fn drop(&mut self) {
        self.0.0.under_way.fetch_sub(1, Ordering::Relaxed);
    }
}
