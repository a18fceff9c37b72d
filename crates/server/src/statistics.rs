//! What a deployment has been asked so far: counts and times, added up without locks and told by whoever tells them.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// How often something was done, and how long it took in all.
#[derive(Debug, Default)]
pub(crate) struct Total {
    count: AtomicU64,
    nanoseconds: AtomicU64,
}

impl Total {
    fn add(&self, took: Duration) {
        self.count.fetch_add(1, Ordering::Relaxed);
        let nanoseconds = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        self.nanoseconds.fetch_add(nanoseconds, Ordering::Relaxed);
    }

    /// How often.
    pub(crate) fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }

    /// Nanoseconds in all.
    pub(crate) fn nanoseconds(&self) -> u64 {
        self.nanoseconds.load(Ordering::Relaxed)
    }
}

/// The totals of one deployment since the server's start.
#[derive(Debug, Default)]
pub(crate) struct Statistics {
    /// Requests that were answered, from their body's arrival to their encoded answer.
    pub(crate) success: Total,
    /// Requests that were not, because of their rows or of us.
    pub(crate) failure: Total,
    /// Of those that were answered: waiting for a permit, and for a scoring thread.
    pub(crate) queue: Total,
    /// Decoding.
    pub(crate) decode: Total,
    /// Predicting: the sum over all threads that took part.
    pub(crate) predict: Total,
    /// Encoding: the sum over all threads that took part.
    pub(crate) encode: Total,
    rows: AtomicU64,
    last: AtomicU64,
    feedback: AtomicU64,
    /// The bits of a sum.
    reward: AtomicU64,
}

/// Where the time of one request went.
#[derive(Debug, Default)]
pub(crate) struct Spent {
    /// Waiting.
    pub(crate) queue: Duration,
    /// Decoding.
    pub(crate) decode: Duration,
    /// Predicting.
    pub(crate) predict: Duration,
    /// Encoding.
    pub(crate) encode: Duration,
}

impl Statistics {
    /// Adds a request of so many rows that was answered after `took`.
    pub(crate) fn add(&self, rows: usize, took: Duration, spent: &Spent) {
        self.success.add(took);
        self.queue.add(spent.queue);
        self.decode.add(spent.decode);
        self.predict.add(spent.predict);
        self.encode.add(spent.encode);
        self.rows.fetch_add(rows as u64, Ordering::Relaxed);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        self.last.store(u64::try_from(now.as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// Adds a request that failed after `took`.
    pub(crate) fn add_failure(&self, took: Duration) {
        self.failure.add(took);
    }

    /// Adds a feedback on a prediction.
    pub(crate) fn add_feedback(&self, reward: f64) {
        self.feedback.fetch_add(1, Ordering::Relaxed);
        let sum = |bits| Some((f64::from_bits(bits) + reward).to_bits());
        _ = self.reward.fetch_update(Ordering::Relaxed, Ordering::Relaxed, sum);
    }

    /// How often feedback came, and the sum of its rewards.
    pub(crate) fn feedback(&self) -> (u64, f64) {
        (self.feedback.load(Ordering::Relaxed), f64::from_bits(self.reward.load(Ordering::Relaxed)))
    }

    /// Rows that were predicted.
    pub(crate) fn rows(&self) -> u64 {
        self.rows.load(Ordering::Relaxed)
    }

    /// When a request was answered last, in milliseconds of the Unix epoch; 0 for never.
    pub(crate) fn last(&self) -> u64 {
        self.last.load(Ordering::Relaxed)
    }
}
