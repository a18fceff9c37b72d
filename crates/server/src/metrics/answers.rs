//! How requests ended and how long they took: by code for the server, by protocol and code for a deployment. What was
//! never answered takes no room; what was takes one allocation, the first time.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, SystemTime};

use super::histogram::{Histogram, TIMES};
use crate::protocol;
use crate::request_id::RequestId;
use crate::traces::Trace;

/// The codes that are told apart, the most frequent one first.
const CODES: [u16; 28] = [
    200, 201, 202, 204, 304, 400, 401, 403, 404, 405, 406, 408, 409, 410, 411, 412, 413, 414, 415, 422, 424,
    429, 431, 500, 501, 503, 504, 507,
];

/// These, and one for all others.
const PLACES: usize = CODES.len() + 1;

fn place(code: u16) -> usize {
    CODES.iter().position(|known| *known == code).unwrap_or(CODES.len())
}

/// A code as it is told.
fn text(place: usize) -> String {
    CODES.get(place).map_or_else(|| "other".to_owned(), u16::to_string)
}

/// Answers by code.
#[derive(Debug)]
pub(crate) struct Codes([AtomicU64; PLACES]);

impl Default for Codes {
    fn default() -> Self {
        Self(std::array::from_fn(|_| AtomicU64::new(0)))
    }
}

impl Codes {
    /// Adds an answer.
    pub(crate) fn add(&self, code: u16) {
        self.0[place(code)].fetch_add(1, Ordering::Relaxed);
    }

    /// Codes that were answered, and how often.
    pub(crate) fn counts(&self) -> impl Iterator<Item = (String, u64)> {
        let counts = self.0.iter().enumerate().map(|(i, count)| (i, count.load(Ordering::Relaxed)));
        counts.filter(|(_, count)| *count > 0).map(|(i, count)| (text(i), count))
    }
}

/// The answers of one protocol with one code.
#[derive(Debug)]
pub(crate) struct Latency {
    /// How long they took.
    pub(crate) times: Histogram<{ TIMES.len() }>,
    exemplars: [Slot; TIMES.len() + 1],
}

/// A request that stands for those of its bound.
#[derive(Debug, Clone)]
pub(crate) struct Exemplar {
    /// The id of its trace, if that is sent, and its own, as far as there is room.
    pub(crate) labels: Vec<(&'static str, String)>,
    /// What it took.
    pub(crate) took: Duration,
    /// When it was answered.
    pub(crate) at: SystemTime,
}

#[derive(Debug, Default)]
struct Slot {
    /// The second after the server's start, counted from 1, in which it was filled; 0 for never.
    second: AtomicU64,
    latest: Mutex<Option<Exemplar>>,
}

/// The characters that an exemplar's names and values may have together.
const MOST_CHARACTERS: usize = 128;

fn labels(request_id: &RequestId, trace: Option<Trace>) -> Vec<(&'static str, String)> {
    let trace = trace.filter(|trace| trace.sampled).map(|trace| ("trace_id", trace.id.to_string()));
    let mut room = MOST_CHARACTERS;
    let mut fits = |(name, value): &(&str, String)| {
        let rest = room.checked_sub(name.len() + value.len());
        room = rest.unwrap_or(room);
        rest.is_some()
    };
    trace.into_iter().chain([("request_id", request_id.to_string())]).filter(|label| fits(label)).collect()
}

impl Slot {
    /// Takes an exemplar once a second at most, so that hardly a request pays for it, and none waits.
    fn offer(&self, second: u64, took: Duration, request_id: &RequestId, trace: Option<Trace>) {
        if self.second.load(Ordering::Relaxed) == second + 1 {
            return;
        }
        let Ok(mut latest) = self.latest.try_lock() else { return };
        self.second.store(second + 1, Ordering::Relaxed);
        let labels = labels(request_id, trace);
        if !labels.is_empty() {
            *latest = Some(Exemplar { labels, took, at: SystemTime::now() });
        }
    }
}

impl Latency {
    fn new() -> Box<Self> {
        Box::new(Self { times: Histogram::new(&TIMES), exemplars: Default::default() })
    }

    /// The latest exemplar of each bound and of what is above all of them.
    pub(crate) fn exemplars(&self) -> Vec<Option<Exemplar>> {
        let latest = |slot: &Slot| slot.latest.lock().unwrap_or_else(PoisonError::into_inner).clone();
        self.exemplars.iter().map(latest).collect()
    }
}

/// The answers with each code.
type ByCode = [OnceLock<Box<Latency>>; PLACES];

/// The answers of one deployment, by protocol and code.
#[derive(Debug, Default)]
pub(crate) struct Answers([OnceLock<Box<ByCode>>; protocol::COUNT]);

impl Answers {
    /// Adds an answer that took so long and was given so long after the server's start.
    pub(crate) fn add(
        &self,
        protocol: usize,
        code: u16,
        took: Duration,
        after: Duration,
        request_id: &RequestId,
        trace: Option<Trace>,
    ) {
        let Some(by_code) = self.0.get(protocol) else { return };
        let by_code = by_code.get_or_init(|| Box::new(std::array::from_fn(|_| OnceLock::new())));
        let latency = by_code[place(code)].get_or_init(Latency::new);
        let bound = latency.times.add_time(took);
        latency.exemplars[bound].offer(after.as_secs(), took, request_id, trace);
    }

    /// Protocols and codes that were answered.
    pub(crate) fn each(&self) -> impl Iterator<Item = (&'static str, String, &Latency)> {
        let by_code = self.0.iter().enumerate().filter_map(|(i, codes)| Some((i, codes.get()?)));
        by_code.flat_map(|(i, codes)| {
            let codes = codes.iter().enumerate().filter_map(|(place, code)| Some((place, code.get()?)));
            codes.map(move |(place, latency)| (protocol::name(i), text(place), &**latency))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_that_nobody_expects_share_a_place() {
        let codes = Codes::default();
        [200, 599, 200, 418, 503].into_iter().for_each(|code| codes.add(code));
        let expected = [("200", 2), ("503", 1), ("other", 2)].map(|(code, n)| (code.to_owned(), n));
        assert_eq!(codes.counts().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn the_first_request_of_a_second_is_the_exemplar_of_its_bound() {
        let answers = Answers::default();
        let add = |micros, seconds, id| {
            let took = Duration::from_micros(micros);
            answers.add(0, 200, took, Duration::from_secs(seconds), &RequestId::Own(id), None);
        };
        let ids = || {
            let (_, _, latency) = answers.each().next().unwrap();
            let exemplars = latency.exemplars().into_iter().flatten();
            exemplars.map(|e| e.labels[0].1.trim_start_matches('0').to_owned()).collect::<Vec<_>>()
        };
        add(50, 0, 1);
        add(60, 0, 2);
        assert_eq!(ids(), ["1"]);
        add(20_000_000, 0, 3);
        add(70, 1, 4);
        assert_eq!(ids(), ["4", "3"]);
    }

    #[test]
    fn an_exemplar_names_trace_and_request_within_what_it_may_hold() {
        let trace = |sampled| Some(Trace { id: opentelemetry::trace::TraceId::from(42), sampled });
        let given = |length: usize| RequestId::Given("x".repeat(length).parse().unwrap());
        for (request_id, trace, expected) in [
            (given(118), None, vec!["request_id"]),
            (given(119), None, vec![]),
            (given(1), trace(false), vec!["request_id"]),
            (given(78), trace(true), vec!["trace_id", "request_id"]),
            (given(79), trace(true), vec!["trace_id"]),
        ] {
            let found: Vec<_> = labels(&request_id, trace).iter().map(|(name, _)| *name).collect();
            assert_eq!(found, expected, "{request_id}");
        }
    }
}
