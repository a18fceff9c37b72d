//! A future that wakes itself while it is polled is polled once more at once. The runtime would put its task at the end of
//! the queue and wake another thread to look for work, for each request whose body is read: hyper wakes a connection when
//! a piece of a body is taken, although all of the body has come.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Wake, Waker};

/// Nobody minds: whoever wakes, wakes the task.
const PASSED_ON: u8 = 0;
/// The future is polled and may be polled once more.
const POLLED: u8 = 1;
/// It was woken meanwhile.
const WOKEN: u8 = 2;

/// What wakes the task, or has its future polled once more.
struct Prompt {
    task: Waker,
    state: AtomicU8,
}

impl Wake for Prompt {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let found = self.state.compare_exchange(POLLED, WOKEN, Ordering::AcqRel, Ordering::Acquire);
        if found == Err(PASSED_ON) {
            self.task.wake_by_ref();
        }
    }
}

/// The future's output.
pub(crate) async fn prompt<F: Future>(mut future: Pin<&mut F>) -> F::Output {
    let mut own: Option<(Arc<Prompt>, Waker)> = None;
    poll_fn(|context| {
        let (prompt, waker) = match own.take().filter(|(prompt, _)| prompt.task.will_wake(context.waker())) {
            Some(own) => own,
            None => {
                let state = AtomicU8::new(PASSED_ON);
                let prompt = Arc::new(Prompt { task: context.waker().clone(), state });
                (Arc::clone(&prompt), Waker::from(prompt))
            }
        };
        let mut context = Context::from_waker(&waker);
        prompt.state.store(POLLED, Ordering::Release);
        let mut polled = future.as_mut().poll(&mut context);
        if prompt.state.swap(PASSED_ON, Ordering::AcqRel) == WOKEN && polled.is_pending() {
            polled = future.as_mut().poll(&mut context); // if it is woken again, the others' turn comes first
        }
        own = Some((prompt, waker));
        polled
    })
    .await
}

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};
    use std::pin::pin;
    use std::sync::atomic::AtomicUsize;
    use std::task::Poll;

    use super::*;

    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Polls a future twice that wakes itself in its first so many polls, then wakes it from elsewhere: how often it was
    /// polled and its task woken after each of these.
    fn check(times: usize, expected: [(usize, usize); 3]) {
        let (polls, wakes) = (Cell::new(0), Arc::new(Count(AtomicUsize::new(0))));
        let (task, kept) = (Waker::from(Arc::clone(&wakes)), RefCell::new(None));
        let mut future = pin!(poll_fn(|context| {
            polls.set(polls.get() + 1);
            if polls.get() <= times {
                context.waker().wake_by_ref();
            }
            kept.replace(Some(context.waker().clone()));
            Poll::<()>::Pending
        }));
        let mut prompted = pin!(prompt(future.as_mut()));
        let found = || (polls.get(), wakes.0.load(Ordering::Relaxed));
        let mut poll = || {
            assert!(prompted.as_mut().poll(&mut Context::from_waker(&task)).is_pending());
            found()
        };
        let polled = [poll(), poll()];
        kept.take().unwrap().wake();
        assert_eq!([polled[0], polled[1], found()], expected, "{times}");
    }

    #[test]
    fn who_is_woken_while_polled_is_polled_once_more_and_then_waits_for_its_turn() {
        check(0, [(1, 0), (2, 0), (2, 1)]);
        check(1, [(2, 0), (3, 0), (3, 1)]);
        check(2, [(2, 1), (3, 1), (3, 2)]);
        check(9, [(2, 1), (4, 2), (4, 3)]);
    }
}
