//! Answers over HTTP/2, taken piece by piece as their client has room for more. A client that takes nothing keeps its
//! connection writable and its stream open: where patience ends, the rest of the answer is dropped, whoever holds it.

use std::io;
use std::mem;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use tokio::time::{Instant, sleep};

use crate::patience::Patience;
use crate::tally::Tallied;

/// Bytes that are handed on at once. An answer up to here is not watched: as much may lie in any connection.
pub(crate) const PIECE: usize = 64 << 10;

/// How long a look at a client whose patience is spent takes to come back at least.
const LOOK: Duration = Duration::from_millis(100);

/// The body of an answer, in the tally until it is handed on or nobody waits for it.
pub(crate) enum Taking {
    /// One that needs no patience.
    Small(Body, #[expect(dead_code, reason = "kept for its end")] Tallied),
    /// One that is watched.
    Large(Arc<Mutex<Large>>),
}

/// What is left of an answer.
pub(crate) struct Large {
    /// None when it was dropped because nobody took it.
    left: Option<Left>,
    patience: Patience,
    /// Since when the client has had a piece and not asked for the next one.
    since: Option<Instant>,
}

struct Left {
    body: Body,
    /// What was not handed on of the last chunk.
    rest: Bytes,
    _asked: Tallied,
}

impl Taking {
    /// The body of a client that is to take `rate` bytes a second.
    pub(crate) fn new(body: Body, asked: Tallied, rate: usize) -> Self {
        if body.size_hint().upper().is_some_and(|bytes| bytes <= PIECE as u64) {
            return Self::Small(body, asked);
        }
        let left = Some(Left { body, rest: Bytes::new(), _asked: asked });
        let large = Arc::new(Mutex::new(Large { left, patience: Patience::new(rate), since: None }));
        tokio::spawn(watch(Arc::downgrade(&large)));
        Self::Large(large)
    }
}

/// Looks after an answer for as long as there is one.
async fn watch(large: Weak<Mutex<Large>>) {
    while let Some(large) = large.upgrade() {
        let left = {
            let mut large = large.lock().unwrap_or_else(PoisonError::into_inner);
            let waited = large.since.map(|since| since.elapsed()).unwrap_or_default();
            if large.since.is_some() && waited >= large.patience.left() {
                large.left = None;
                return;
            }
            large.patience.left().saturating_sub(waited).max(LOOK)
        };
        drop(large);
        sleep(left).await;
    }
}

impl Large {
    fn poll_frame(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if let Some(since) = self.since.take() {
            self.patience.spend(since.elapsed());
        }
        let Some(left) = &mut self.left else {
            return Poll::Ready(Some(Err(axum::Error::new(io::Error::from(io::ErrorKind::TimedOut)))));
        };
        let data = if left.rest.is_empty() {
            let Some(frame) = ready!(Pin::new(&mut left.body).poll_frame(context)?) else {
                return Poll::Ready(None);
            };
            match frame.into_data() {
                Ok(data) => data,
                Err(others) => return Poll::Ready(Some(Ok(others))),
            }
        } else {
            mem::take(&mut left.rest)
        };
        let mut piece = data;
        if piece.len() > PIECE {
            left.rest = piece.split_off(PIECE);
        }
        self.patience.earn(piece.len());
        self.since = Some(Instant::now());
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }
}

impl HttpBody for Taking {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        match &mut *self {
            Self::Small(body, _) => Pin::new(body).poll_frame(context),
            Self::Large(large) => large.lock().unwrap_or_else(PoisonError::into_inner).poll_frame(context),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Small(body, _) => body.is_end_stream(),
            Self::Large(large) => {
                let large = large.lock().unwrap_or_else(PoisonError::into_inner);
                large.left.as_ref().is_some_and(|left| left.rest.is_empty() && left.body.is_end_stream())
            }
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Small(body, _) => body.size_hint(),
            Self::Large(large) => {
                let large = large.lock().unwrap_or_else(PoisonError::into_inner);
                large.left.as_ref().map_or_else(SizeHint::new, |left| {
                    let (body, rest) = (left.body.size_hint(), left.rest.len() as u64);
                    let mut hint = SizeHint::new();
                    hint.set_lower(body.lower() + rest);
                    body.upper().into_iter().for_each(|upper| hint.set_upper(upper + rest));
                    hint
                })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;
    use crate::tally::Tally;

    /// Takes a piece every `seconds`; how many bytes are taken before the rest is dropped, or all.
    async fn check(bytes: usize, seconds: u64, expected: Result<usize, usize>) {
        let tally = Tally::default();
        let mut body = Taking::new(Body::from(vec![7; bytes]), tally.enter(), 1000);
        let mut taken = 0;
        let found = loop {
            match body.frame().await {
                Some(Ok(frame)) => taken += frame.into_data().unwrap().len(),
                Some(Err(_)) => break Err(taken),
                None => break Ok(taken),
            }
            sleep(Duration::from_secs(seconds)).await;
        };
        assert_eq!(found, expected, "{bytes} bytes, a piece every {seconds} s");
        assert!(found.is_ok() || tally.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_nobody_takes_is_dropped() {
        check(PIECE, 1000, Ok(PIECE)).await;
        check(10 * PIECE, 50, Ok(10 * PIECE)).await; // a piece earns a minute
        check(10 * PIECE, 61, Err(PIECE)).await;
        check(10 * PIECE, 100_000, Err(PIECE)).await;
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_dropped_is_dropped_though_nobody_asks_for_it() {
        let tally = Tally::default();
        let mut body = Taking::new(Body::from(vec![7; 10 * PIECE]), tally.enter(), 1000);
        body.frame().await.unwrap().unwrap();
        sleep(Duration::from_secs(59)).await;
        assert!(!tally.is_empty());
        sleep(Duration::from_secs(2)).await;
        assert!(tally.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_that_has_nothing_to_say_is_waited_with() {
        let pieces = futures_util::stream::unfold(0, |turn| async move {
            sleep(Duration::from_secs(1000)).await;
            (turn < 3).then(|| (Ok::<_, io::Error>(Bytes::from_static(b"piece")), turn + 1))
        });
        let tally = Tally::default();
        let body = Taking::new(Body::from_stream(pieces), tally.enter(), 1000);
        assert_eq!(body.collect().await.unwrap().to_bytes(), "piecepiecepiece");
    }
}
