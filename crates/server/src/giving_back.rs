//! Memory that was needed for a moment and is free again. The allocator gives it back to the system when a thread ends, and
//! only what has been free for a second: so a thread of its own waits until no more comes, and ends.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// How long it is waited for more.
const REST: Duration = Duration::from_millis(1500);

/// Counts what became free since the thread that waits has looked; 0 when there is none.
#[derive(Debug, Clone, Default)]
pub(crate) struct GivingBack(Arc<AtomicUsize>);

impl GivingBack {
    /// Much memory has become free: it is given back once no more has for a while.
    pub(crate) fn soon(&self) {
        if self.0.fetch_add(1, Ordering::Relaxed) > 0 {
            return;
        }
        let freed = Arc::clone(&self.0);
        let wait = move || {
            let mut seen = 1;
            loop {
                std::thread::sleep(REST);
                match freed.compare_exchange(seen, 0, Ordering::Relaxed, Ordering::Relaxed) {
                    Ok(_) => return,
                    Err(more) => seen = more,
                }
            }
        };
        if std::thread::Builder::new().name("giving-back".to_owned()).spawn(wait).is_err() {
            self.0.store(0, Ordering::Relaxed); // the next one tries again
        }
    }
}
