//! What a deployment has been asked so far: counts and times, added up without locks and told by whoever tells them.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::metrics::answers::Answers;
use crate::metrics::histogram::{Counter, Histogram, Nanoseconds, ROWS, TIMES};

/// How often something was done, and how long it took in all.
#[derive(Debug, Default)]
pub(crate) struct Total {
    count: Counter,
    time: Nanoseconds,
}

impl Total {
    fn add(&self, took: Duration) {
        self.count.add();
        self.time.add(took);
    }

    /// How often.
    pub(crate) fn count(&self) -> u64 {
        self.count.get()
    }

    /// The time in all.
    pub(crate) fn time(&self) -> Duration {
        self.time.get()
    }
}

/// The totals of one deployment since the server's start.
#[derive(Debug)]
pub(crate) struct Statistics {
    /// Requests that were answered with predictions, from their body's arrival to their encoded answer.
    pub(crate) success: Total,
    /// Requests that were not, because of their rows or of us.
    pub(crate) failure: Total,
    /// Of those that were answered: waiting for a permit, and for a scoring thread.
    pub(crate) queue: Histogram<{ TIMES.len() }>,
    /// Decoding.
    pub(crate) decode: Nanoseconds,
    /// Predicting: the sum over all threads that took part.
    pub(crate) predict: Nanoseconds,
    /// Encoding: the sum over all threads that took part.
    pub(crate) encode: Nanoseconds,
    /// Rows that were predicted, by request.
    pub(crate) rows: Histogram<{ ROWS.len() }>,
    /// All answers to requests for predictions, those included that were refused before they came to be scored.
    pub(crate) answers: Answers,
    /// Requests to be scored that found the model in memory.
    pub(crate) cache_hits: Counter,
    /// Those that waited for it.
    pub(crate) cache_misses: Counter,
    /// Good loads.
    pub(crate) loads: Counter,
    /// Loads that failed.
    pub(crate) load_failures: Counter,
    /// How often the model made room for others.
    pub(crate) evictions: Counter,
    last: AtomicU64,
    feedback: AtomicU64,
    /// The bits of a sum.
    reward: AtomicU64,
}

impl Default for Statistics {
    fn default() -> Self {
        Self {
            success: Total::default(),
            failure: Total::default(),
            queue: Histogram::new(&TIMES),
            decode: Nanoseconds::default(),
            predict: Nanoseconds::default(),
            encode: Nanoseconds::default(),
            rows: Histogram::new(&ROWS),
            answers: Answers::default(),
            cache_hits: Counter::default(),
            cache_misses: Counter::default(),
            loads: Counter::default(),
            load_failures: Counter::default(),
            evictions: Counter::default(),
            last: AtomicU64::new(0),
            feedback: AtomicU64::new(0),
            reward: AtomicU64::new(0),
        }
    }
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
        self.queue.add_time(spent.queue);
        self.decode.add(spent.decode);
        self.predict.add(spent.predict);
        self.encode.add(spent.encode);
        self.rows.add(rows as u64);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        self.last.store(u64::try_from(now.as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// Adds a request that failed after `took`.
    pub(crate) fn add_failure(&self, took: Duration) {
        self.failure.add(took);
    }

    /// Adds a request that comes to be scored.
    pub(crate) fn add_use(&self, was_loaded: bool) {
        if was_loaded { self.cache_hits.add() } else { self.cache_misses.add() }
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

    /// When a request was answered last, in milliseconds of the Unix epoch; 0 for never.
    pub(crate) fn last(&self) -> u64 {
        self.last.load(Ordering::Relaxed)
    }
}
