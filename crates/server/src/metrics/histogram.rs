//! Numbers that requests add up without a lock: histograms, and times. The bounds stand here, because whoever reads
//! several histograms together needs the same ones.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Upper bounds of times, in nanoseconds: from a tenth of a millisecond to ten seconds. All bounds of Seldon's executor
/// are among them, so that its histograms are made of the same counts.
pub(crate) const TIMES: [u64; 19] = [
    100_000,
    250_000,
    500_000,
    1_000_000,
    2_500_000,
    5_000_000,
    10_000_000,
    25_000_000,
    50_000_000,
    75_000_000,
    100_000_000,
    250_000_000,
    500_000_000,
    750_000_000,
    1_000_000_000,
    2_500_000_000,
    5_000_000_000,
    7_500_000_000,
    10_000_000_000,
];

/// Upper bounds of the rows of a request.
pub(crate) const ROWS: [u64; 12] = [1, 3, 10, 30, 100, 300, 1000, 3000, 10_000, 30_000, 100_000, 300_000];

/// How many values lay at or below each of some bounds, and their sum.
#[derive(Debug)]
pub(crate) struct Histogram<const N: usize> {
    bounds: &'static [u64; N],
    /// Values between a bound and the one before.
    counts: [AtomicU64; N],
    /// Values above all bounds.
    above: AtomicU64,
    sum: AtomicU64,
}

/// What a histogram holds at one moment.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Counts {
    /// Upper bounds with the number of values up to each of them.
    pub(crate) up_to: Vec<(u64, u64)>,
    /// The number of all values.
    pub(crate) count: u64,
    /// Their sum.
    pub(crate) sum: u64,
}

impl<const N: usize> Histogram<N> {
    /// An empty one.
    pub(crate) fn new(bounds: &'static [u64; N]) -> Self {
        let counts = std::array::from_fn(|_| AtomicU64::new(0));
        Self { bounds, counts, above: AtomicU64::new(0), sum: AtomicU64::new(0) }
    }

    /// Adds a value; gives the place of its bound, N above all of them.
    pub(crate) fn add(&self, value: u64) -> usize {
        let place = self.bounds.iter().position(|bound| value <= *bound).unwrap_or(N);
        self.counts.get(place).unwrap_or(&self.above).fetch_add(1, Ordering::Relaxed);
        self.sum.fetch_add(value, Ordering::Relaxed);
        place
    }

    /// The same with a time.
    pub(crate) fn add_time(&self, time: Duration) -> usize {
        self.add(nanoseconds(time))
    }

    /// What it holds now. The count is that of the values up to infinity, whatever is added meanwhile.
    pub(crate) fn counts(&self) -> Counts {
        let sum = self.sum.load(Ordering::Relaxed);
        let mut count = 0;
        let up_to = self.bounds.iter().zip(&self.counts).map(|(bound, here)| {
            count += here.load(Ordering::Relaxed);
            (*bound, count)
        });
        let up_to = up_to.collect();
        Counts { up_to, count: count + self.above.load(Ordering::Relaxed), sum }
    }

    /// The sum of all values.
    pub(crate) fn sum(&self) -> u64 {
        self.sum.load(Ordering::Relaxed)
    }
}

impl Counts {
    /// Adds those of another histogram with the same bounds.
    pub(crate) fn add(&mut self, other: &Self) {
        for ((_, mine), (_, others)) in self.up_to.iter_mut().zip(&other.up_to) {
            *mine += others;
        }
        self.count += other.count;
        self.sum += other.sum;
    }
}

/// How often something happened.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    /// Once more.
    pub(crate) fn add(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// So many times more.
    pub(crate) fn add_many(&self, times: u64) {
        self.0.fetch_add(times, Ordering::Relaxed);
    }

    /// How often.
    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Time that is added up, maybe by several threads.
#[derive(Debug, Default)]
pub(crate) struct Nanoseconds(AtomicU64);

impl Nanoseconds {
    /// Adds a time.
    pub(crate) fn add(&self, time: Duration) {
        self.0.fetch_add(nanoseconds(time), Ordering::Relaxed);
    }

    /// All of it.
    pub(crate) fn get(&self) -> Duration {
        Duration::from_nanos(self.0.load(Ordering::Relaxed))
    }
}

/// A time in nanoseconds.
pub(crate) fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_counts_for_its_bound_and_all_above() {
        let histogram = Histogram::new(&[10, 20]);
        for (value, place) in [(0, 0), (10, 0), (11, 1), (20, 1), (21, 2), (1000, 2)] {
            assert_eq!(histogram.add(value), place, "{value}");
        }
        let expected = Counts { up_to: vec![(10, 2), (20, 4)], count: 6, sum: 1062 };
        assert_eq!(histogram.counts(), expected);
    }

    #[test]
    fn bounds_go_up() {
        assert!(TIMES.is_sorted() && ROWS.is_sorted());
    }
}
