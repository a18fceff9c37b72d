//! The two gates that keep a crowd from starving everybody: bodies that arrive share a budget of bytes and must come
//! with some speed; requests that are ready wait for a permit to score, in a queue that is bounded.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::config::Config;
use crate::error::ServerError;

/// Bytes of bodies are counted in these.
const UNIT: usize = 1 << 10;

/// The gates of one server.
#[derive(Debug)]
pub(crate) struct Admission {
    bodies: Arc<Semaphore>,
    bodies_units: usize,
    answers: Arc<Semaphore>,
    /// Bytes a second that a body must arrive with, and an answer be taken with.
    pub(crate) rate: usize,
    permits: Arc<Semaphore>,
    workers: usize,
    /// One for each permit, and one for each place in the queue.
    places: Arc<Semaphore>,
    queue: usize,
}

/// Leave to score.
#[derive(Debug)]
pub(crate) struct Permit {
    // given back in this order: whoever has a place then finds as many permits as there should be
    _permit: Option<OwnedSemaphorePermit>,
    _place: OwnedSemaphorePermit,
}

/// What is held of the gates, and what they let through at most; bodies and answers in bytes.
#[derive(Debug)]
pub(crate) struct Gauges {
    pub(crate) workers: usize,
    pub(crate) busy: usize,
    pub(crate) waiting: usize,
    pub(crate) queue: usize,
    pub(crate) bodies: usize,
    pub(crate) bodies_limit: usize,
    pub(crate) answers: usize,
    pub(crate) answers_limit: usize,
}

/// Room in the budget of bodies or answers, given back when it is dropped.
#[derive(Debug, Default)]
pub(crate) struct Room(Option<OwnedSemaphorePermit>);

impl Room {
    /// True when nothing is held.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_none()
    }
}

/// Bytes of answers that may wait for their readers, of all requests together.
const ANSWERS_LIMIT: usize = 1 << 30;

/// An answer up to here needs no room: as much may lie in the buffers of any connection.
const SMALL_ANSWER: usize = 64 << 10;

impl Admission {
    pub(crate) fn new(config: &Config) -> Self {
        let bodies_units = (config.bodies_limit / UNIT).clamp(1, u32::MAX as usize);
        Self {
            bodies: Arc::new(Semaphore::new(bodies_units)),
            bodies_units,
            answers: Arc::new(Semaphore::new(ANSWERS_LIMIT / UNIT)),
            rate: config.body_rate.max(1),
            permits: Arc::new(Semaphore::new(config.workers)),
            workers: config.workers,
            queue: config.queue,
            places: Arc::new(Semaphore::new(places(config.workers, config.queue))),
        }
    }

    /// How full they are.
    pub(crate) fn gauges(&self) -> Gauges {
        let held = |of: &Semaphore, all: usize| all.saturating_sub(of.available_permits());
        let busy = held(&self.permits, self.workers);
        let places = held(&self.places, places(self.workers, self.queue));
        Gauges {
            workers: self.workers,
            busy,
            waiting: places.saturating_sub(busy),
            queue: self.queue,
            bodies: held(&self.bodies, self.bodies_units) * UNIT,
            bodies_limit: self.bodies_units * UNIT,
            answers: held(&self.answers, ANSWERS_LIMIT / UNIT) * UNIT,
            answers_limit: ANSWERS_LIMIT,
        }
    }

    /// Takes room for `bytes` more of a body. It never waits: bodies that wait for one another would never end.
    pub(crate) fn take_room(&self, room: &mut Room, bytes: usize) -> Result<(), ServerError> {
        let more = taken(&self.bodies, bytes, "too many large request bodies are being read")?;
        match &mut room.0 {
            Some(taken) => taken.merge(more),
            None => room.0 = Some(more),
        }
        Ok(())
    }

    /// Takes room for an answer of `bytes` until it is read.
    pub(crate) fn take_answer(&self, bytes: usize) -> Result<Room, ServerError> {
        if bytes <= SMALL_ANSWER {
            return Ok(Room::default());
        }
        taken(&self.answers, bytes, "too many large answers wait to be read").map(|room| Room(Some(room)))
    }

    /// Waits for a permit to score, unless too many wait already.
    pub(crate) async fn permit(&self) -> Result<Permit, ServerError> {
        let place = Arc::clone(&self.places).try_acquire_owned();
        let place = place.map_err(|_| ServerError::Overloaded("too many requests wait to be scored"))?;
        // The semaphore is never closed; if it were, scoring without a permit would be the lesser evil.
        let permit = Arc::clone(&self.permits).acquire_owned().await.ok();
        Ok(Permit { _permit: permit, _place: place })
    }
}

/// Places to score and to wait.
fn places(workers: usize, queue: usize) -> usize {
    workers.saturating_add(queue).min(Semaphore::MAX_PERMITS)
}

/// Room for `bytes` out of a budget, at once or not at all.
fn taken(
    budget: &Arc<Semaphore>,
    bytes: usize,
    refusal: &'static str,
) -> Result<OwnedSemaphorePermit, ServerError> {
    let units = u32::try_from(bytes.div_ceil(UNIT)).unwrap_or(u32::MAX);
    Arc::clone(budget).try_acquire_many_owned(units).map_err(|_| ServerError::Overloaded(refusal))
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use futures_util::FutureExt;

    use super::*;

    fn admission(workers: usize, queue: usize) -> Admission {
        let config = Config::new("unused".into());
        Admission::new(&Config { workers, queue, bodies_limit: 10 << 10, body_rate: 100, ..config })
    }

    #[tokio::test]
    async fn permits_are_handed_on_and_the_queue_is_bounded_exactly() {
        for (workers, queue) in [(1, 0), (1, 1), (2, 0), (4, 3)] {
            let gates = admission(workers, queue);
            let check_full = || {
                let Gauges { busy, waiting, .. } = gates.gauges();
                assert_eq!((busy, waiting), (workers, queue));
                let refused = gates.permit().now_or_never();
                assert!(matches!(refused, Some(Err(ServerError::Overloaded(_)))), "{workers} {queue}");
            };
            let waiting = || {
                let mut one = Box::pin(gates.permit());
                assert!((&mut one).now_or_never().is_none(), "{workers} {queue}");
                one
            };
            let mut scoring = Vec::new();
            for _ in 0..workers {
                scoring.push(gates.permit().await.unwrap());
            }
            let mut queued: VecDeque<_> = (0..queue).map(|_| waiting()).collect();
            check_full();
            for _ in 0..queue {
                scoring.pop();
                // the first in the queue has a permit now, though it does not know
                drop(waiting()); // a client that goes away leaves no place taken
                queued.push_back(waiting());
                check_full();
                scoring.push(queued.pop_front().unwrap().await.unwrap());
            }
            drop((scoring, queued));
            let free = (gates.permits.available_permits(), gates.places.available_permits());
            assert_eq!(free, (workers, workers + queue));
            assert_eq!((gates.gauges().busy, gates.gauges().waiting), (0, 0));
        }
    }

    #[test]
    fn room_is_given_back() {
        let gates = admission(1, 1);
        let (mut a, mut b) = (Room::default(), Room::default());
        gates.take_room(&mut a, 6 << 10).unwrap();
        gates.take_room(&mut a, 1).unwrap();
        gates.take_room(&mut b, 4 << 10).unwrap_err();
        gates.take_room(&mut b, 3 << 10).unwrap();
        drop(a);
        gates.take_room(&mut b, 7 << 10).unwrap();
    }

    #[test]
    fn large_answers_share_a_budget_until_they_are_read() {
        let gates = admission(1, 1);
        assert!(gates.take_answer(SMALL_ANSWER).unwrap().is_empty());
        let first = gates.take_answer(ANSWERS_LIMIT / 2).unwrap();
        let second = gates.take_answer(ANSWERS_LIMIT / 2).unwrap();
        assert!(matches!(gates.take_answer(SMALL_ANSWER + 1), Err(ServerError::Overloaded(_))));
        drop(second);
        gates.take_answer(SMALL_ANSWER + 1).unwrap();
        drop(first);
    }
}
