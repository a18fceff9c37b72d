//! Many clients that upload, delete and ask for predictions at once. Each answer is compared with the packages that were
//! current at some moment between its request and itself.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::connection::Connection;
use crate::running_server::RunningServer;
use crate::uploads::{files, predicted, serve_with, stump, stumps};

const CLIENTS: u64 = 200;
const IDS: u64 = 20;

/// How long it takes: a few seconds, or as many as `PORTEND_LONG_TESTS` says.
fn duration() -> Duration {
    let told = std::env::var("PORTEND_LONG_TESTS").ok().and_then(|text| text.parse().ok());
    Duration::from_secs(told.unwrap_or(3))
}

/// What an answer says of a deployment: the value of its package, or that there is none.
type State = Option<u64>;

/// An answered request. Moments are counted by one clock, before it is sent and after it is answered.
#[derive(Debug, Clone, Copy)]
struct Answered {
    id: u64,
    begin: u64,
    end: u64,
    /// What it made of the deployment, if it changed it.
    made: Option<State>,
    /// What it found there; of a package it replaced or deleted only that there was one.
    found: Found,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Found {
    Nothing,
    Some,
    Value(u64),
}

/// A client's next request, one of many kinds.
fn ask(connection: &mut Connection, clock: &AtomicU64, random: u64) -> Answered {
    let id = random % IDS;
    let target = format!("/deployments/m{id}");
    let begin = clock.fetch_add(1, Ordering::SeqCst);
    let (made, found) = match random / IDS % 8 {
        0 => match connection.ask("DELETE", &target, &[], b"").status {
            204 => (Some(None), Found::Some),
            404 => (None, Found::Nothing),
            other => panic!("DELETE: {other}"),
        },
        1 | 2 => {
            let name = format!("Content-Disposition: attachment; filename=\"m{}.txt\"", random / IDS / 8 % 3);
            // no other package has the value
            let model = stump(begin as f64, begin as f64);
            let answer = connection.ask("POST", &target, &[&name], model.as_bytes());
            let found = match answer.status {
                200 => Found::Some,
                201 => Found::Nothing,
                other => panic!("POST: {other} {}", answer.text()),
            };
            (Some(Some(begin)), found)
        }
        _ => {
            let target = format!("{target}/predictions");
            let answer = connection.ask("POST", &target, &["Content-Type: text/csv"], b"x\n1\n");
            match predicted(&answer) {
                Ok(value) => (None, Found::Value(value as u64)),
                Err(404) => (None, Found::Nothing),
                Err(other) => panic!("predictions: {other} {}", answer.text()),
            }
        }
    };
    Answered { id, begin, end: clock.fetch_add(1, Ordering::SeqCst), made, found }
}

/// A state of a deployment: it began after `begin`, and was over before `over`, when a later change had ended.
#[derive(Debug, Clone, Copy)]
struct Period {
    state: State,
    begin: u64,
    over: u64,
}

/// The states that a deployment had, from its absence at the start.
fn periods(answered: &[Answered]) -> Vec<Period> {
    let mut changes: Vec<_> =
        answered.iter().filter_map(|one| Some((one.begin, one.end, one.made?))).collect();
    changes.push((0, 0, None));
    changes.sort_unstable();
    let begins: Vec<u64> = changes.iter().map(|change| change.0).collect();
    // the first end among the changes from each on
    let mut ends: Vec<u64> = changes.iter().map(|change| change.1).chain([u64::MAX]).collect();
    (0..changes.len()).rev().for_each(|i| ends[i] = ends[i].min(ends[i + 1]));
    let over = |end: u64| ends[begins.partition_point(|begin| *begin <= end)];
    changes
        .iter()
        .map(|(begin, end, state)| Period { state: *state, begin: *begin, over: over(*end) })
        .collect()
}

/// Whether what was found is a state that the deployment had at some moment of the request.
fn is_right(one: &Answered, periods: &[Period]) -> bool {
    let fits = |state: State| match one.found {
        Found::Nothing => state.is_none(),
        Found::Some => state.is_some(),
        Found::Value(value) => state == Some(value),
    };
    // its own change is not what it found; what it found began late, as a rule
    let begun = &periods[..periods.partition_point(|period| period.begin < one.end)];
    let others = begun.iter().rev().filter(|period| one.made.is_none() || period.begin != one.begin);
    others.into_iter().any(|period| fits(period.state) && period.over > one.begin)
}

#[test]
fn every_answer_is_that_of_a_package_that_was_current_during_the_request() {
    let folder = stumps(&[("keep/m.txt", -1.0)]);
    let settings = [("SCORING_MODEL_CACHE_MAXSIZE", "5"), ("DEPLOYED_MODEL_RESOLVER_CACHE_TTL_SEC", "0")];
    let server = RunningServer::start(serve_with(folder.path(), &settings));
    let (clock, start) = (AtomicU64::new(1), Instant::now());
    let answered: Vec<Answered> = std::thread::scope(|scope| {
        let client = |seed: u64| {
            let (mut connection, mut random, clock) = (server.connect().patient(), seed, &clock);
            scope.spawn(move || {
                let mut answered = Vec::new();
                while start.elapsed() < duration() {
                    random = random.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
                    answered.push(ask(&mut connection, clock, random >> 33));
                }
                answered
            })
        };
        let clients: Vec<_> = (0..CLIENTS).map(client).collect();
        clients.into_iter().flat_map(|client| client.join().unwrap()).collect()
    });
    for id in 0..IDS {
        let of_id: Vec<_> = answered.iter().filter(|one| one.id == id).copied().collect();
        let periods = periods(&of_id);
        of_id.iter().for_each(|one| assert!(is_right(one, &periods), "{one:?} in {periods:?}"));
    }
    let count = |is: &dyn Fn(&&Answered) -> bool| answered.iter().filter(is).count();
    let changes = count(&|one| one.made.is_some());
    let predictions = count(&|one| matches!(one.found, Found::Value(_)));
    let absent = count(&|one| one.found == Found::Nothing && one.made.is_none());
    println!("{changes} changes, {predictions} predictions, {absent} answers 404 in {:?}", start.elapsed());
    assert!(changes > 100 && predictions > 100 && absent > 20);
    assert!(!files(folder.path()).contains(".portend"));
    server.stop();
}

#[test]
fn an_answer_out_of_its_time_is_noticed() {
    let one = |begin, end, made, found| Answered { id: 0, begin, end, made, found };
    let changes = [
        one(2, 5, Some(Some(2)), Found::Nothing),
        one(8, 10, Some(Some(8)), Found::Some),
        one(12, 14, Some(None), Found::Some),
    ];
    let periods = periods(&changes);
    changes.iter().for_each(|change| assert!(is_right(change, &periods), "{change:?}"));
    let check = |begin, end, found, expected| {
        assert_eq!(is_right(&one(begin, end, None, found), &periods), expected, "{begin} {end} {found:?}");
    };
    check(1, 3, Found::Value(2), true);
    check(1, 3, Found::Nothing, true);
    check(6, 7, Found::Nothing, false);
    check(6, 7, Found::Value(2), true);
    check(6, 7, Found::Value(8), false);
    check(9, 11, Found::Value(2), true);
    check(11, 13, Found::Value(2), false);
    check(11, 13, Found::Nothing, true);
    check(15, 16, Found::Value(8), false);
    check(15, 16, Found::Nothing, true);
}
