//! Answers over HTTP/2, taken piece by piece as their client has room for more. A client that takes nothing keeps its
//! connection writable and its streams open: where patience with one of its answers ends, the connection does.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::task::{Context, Poll, ready};

use axum::body::Body;
use bytes::Bytes;
use http_body::{Frame, SizeHint};
use tokio::time::Instant;

use crate::patience::Patience;
use crate::tally::Tallied;

/// What is given to the connection at once: as much of each answer may lie there unseen, and as much is a frame of most
/// clients anyway.
pub(crate) const PIECE: usize = 16 << 10;

/// The answers of one connection that are not sent yet.
#[derive(Debug, Clone, Default)]
pub(crate) struct Takers(Arc<Mutex<Vec<Weak<Mutex<Taker>>>>>);

/// How one of them is taken.
#[derive(Debug)]
struct Taker {
    patience: Patience,
    /// Since when the client is waited for; None while the answer's next piece is.
    since: Option<Instant>,
}

impl Takers {
    /// The body of an answer whose client is to take `rate` bytes a second; `asked` is kept until it is sent.
    pub(crate) fn answer(&self, inner: Body, rate: usize, asked: Tallied) -> Taking {
        let taker = Taker { patience: Patience::new(rate), since: Some(Instant::now()) };
        let taker = Arc::new(Mutex::new(taker));
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() == all.capacity() {
            all.retain(|taker| taker.strong_count() > 0);
        }
        all.push(Arc::downgrade(&taker));
        Taking { inner, rest: Bytes::new(), taker, _asked: asked }
    }

    /// Whether one of the answers has waited too long.
    pub(crate) fn has_slow(&self) -> bool {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|taker| taker.strong_count() > 0);
        all.iter().filter_map(Weak::upgrade).any(|taker| {
            let Taker { patience, since } = &*taker.lock().unwrap_or_else(PoisonError::into_inner);
            since.is_some_and(|since| since.elapsed() > patience.left())
        })
    }
}

/// The body of an answer, in pieces, in the tally until it is given to the connection or nobody waits for it.
pub(crate) struct Taking {
    inner: Body,
    /// What is left of a chunk.
    rest: Bytes,
    taker: Arc<Mutex<Taker>>,
    _asked: Tallied,
}

impl Taking {
    fn piece(&mut self) -> Frame<Bytes> {
        Frame::data(self.rest.split_to(self.rest.len().min(PIECE)))
    }
}

impl http_body::Body for Taking {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let this = &mut *self;
        let taker = Arc::clone(&this.taker);
        let mut taker = taker.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(since) = taker.since.take() {
            taker.patience.spend(since.elapsed());
        }
        let frame = if this.rest.is_empty() {
            match ready!(Pin::new(&mut this.inner).poll_frame(context)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => {
                        this.rest = data;
                        this.piece()
                    }
                    Err(trailers) => trailers,
                },
                end => return Poll::Ready(end),
            }
        } else {
            this.piece()
        };
        taker.patience.earn(frame.data_ref().map_or(0, Bytes::len));
        taker.since = Some(Instant::now());
        Poll::Ready(Some(Ok(frame)))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let (hint, rest) = (self.inner.size_hint(), self.rest.len() as u64);
        let mut all = SizeHint::new();
        all.set_lower(hint.lower() + rest);
        if let Some(upper) = hint.upper() {
            all.set_upper(upper + rest);
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http_body_util::BodyExt;

    use super::*;
    use crate::tally::Tally;

    #[tokio::test(start_paused = true)]
    async fn an_answer_goes_in_pieces_and_one_that_is_not_taken_is_seen() {
        let (takers, tally) = (Takers::default(), Tally::default());
        let mut answer = takers.answer(Body::from(vec![1; 40_000]), 1000, tally.enter());
        let wait = async |seconds| {
            tokio::time::sleep(Duration::from_secs(seconds)).await;
            takers.has_slow()
        };
        assert!(!wait(9).await && wait(2).await, "nothing of it is taken");
        let mut pieces = Vec::new();
        while let Some(piece) = answer.frame().await {
            pieces.push(piece.unwrap().into_data().unwrap().len());
            if pieces.len() == 1 {
                // the piece earns 16 s
                assert!(!wait(16).await && wait(1).await);
            }
        }
        assert_eq!(pieces, [16_384, 16_384, 7_232]);
        assert!(!tally.is_empty());
        drop(answer);
        assert!(tally.is_empty() && !wait(1000).await);
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_is_not_there_yet_is_nobodys_fault() {
        let (takers, tally) = (Takers::default(), Tally::default());
        let never = futures_util::stream::pending::<Result<Bytes, std::io::Error>>();
        let mut answer = takers.answer(Body::from_stream(never), 1000, tally.enter());
        let asked = tokio::time::timeout(Duration::from_secs(1000), answer.frame()).await;
        assert!(asked.is_err() && !takers.has_slow());
    }
}
