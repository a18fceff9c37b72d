//! How long a slow client is waited for. There is one rule, for bodies that arrive, packages that are uploaded, and
//! answers that are read: waiting spends patience, bytes earn it, and there is only so much of it.

use std::future::poll_fn;
use std::task::Poll;
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};
use http_body_util::BodyDataStream;
use tokio::time::{Instant, timeout};

use crate::error::ServerError;

/// How long a client is waited for at first, whatever its speed.
const GRACE: Duration = Duration::from_secs(10);

/// The most that a fast client has in hand: networks stall, and systems take and pass on bytes in large steps.
const MOST: Duration = Duration::from_secs(60);

/// How long one client may still be waited for.
#[derive(Debug)]
pub(crate) struct Patience {
    left: Duration,
    /// Bytes that earn a second.
    rate: usize,
}

impl Patience {
    /// With a client that is to keep up `rate` bytes a second.
    pub(crate) fn new(rate: usize) -> Self {
        Self { left: GRACE, rate }
    }

    /// For so long.
    pub(crate) fn left(&self) -> Duration {
        self.left
    }

    /// The client was waited for.
    pub(crate) fn spend(&mut self, waited: Duration) {
        self.left = self.left.saturating_sub(waited);
    }

    /// The client sent or took bytes.
    pub(crate) fn earn(&mut self, bytes: usize) {
        if self.left < MOST {
            let earned = (bytes as f64 / self.rate as f64).min(MOST.as_secs_f64());
            self.left = MOST.min(self.left + Duration::from_secs_f64(earned));
        }
    }
}

/// The pieces of a body as they arrive, until they arrive too slowly. Only the time in which a piece is asked for and
/// not there counts.
pub(crate) fn arriving(body: Body, rate: usize) -> impl Stream<Item = Result<Bytes, ServerError>> {
    let start = (BodyDataStream::new(body), Patience::new(rate));
    stream::try_unfold(start, move |(mut body, mut patience)| async move {
        // what is there already needs neither clock nor timer, and small requests are there as a whole
        let data = match poll_fn(|context| Poll::Ready(body.poll_next_unpin(context))).await {
            Poll::Ready(data) => data,
            Poll::Pending => {
                let asked = Instant::now();
                let data = timeout(patience.left(), body.next()).await;
                patience.spend(asked.elapsed());
                data.map_err(|_| ServerError::TooSlow { rate })?
            }
        };
        let Some(data) = data else { return Ok(None) };
        let data = data.map_err(|_| ServerError::BadBody("the request body broke off".to_owned()))?;
        patience.earn(data.len());
        Ok(Some((data, (body, patience))))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sends pieces of `bytes` every `seconds` after a first of `first`; how long that goes well, at most ten minutes.
    async fn check(first: usize, bytes: usize, seconds: f64, expected: Option<u64>) {
        let piece = move |turn: u32| async move {
            if turn > 0 {
                tokio::time::sleep(Duration::from_secs_f64(seconds)).await;
            }
            let bytes = if turn == 0 { first } else { bytes };
            Some((Ok::<_, std::io::Error>(Bytes::from(vec![b'1'; bytes])), turn + 1))
        };
        let start = Instant::now();
        let mut pieces = std::pin::pin!(arriving(Body::from_stream(stream::unfold(0, piece)), 1000));
        let end = loop {
            match pieces.next().await.unwrap() {
                Ok(_) if start.elapsed() > Duration::from_secs(600) => break None,
                Ok(_) => {}
                Err(error) => {
                    assert!(matches!(error, ServerError::TooSlow { rate: 1000 }), "{error}");
                    break Some(start.elapsed().as_secs());
                }
            }
        };
        assert_eq!(end, expected, "{first} bytes, then {bytes} every {seconds} s");
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_client_is_waited_for_and_one_that_trickles_is_not() {
        check(0, 1000, 1.0, None).await;
        check(0, 50_000, 1.0, None).await;
        check(1_300_000, 1_300_000, 27.0, None).await; // in steps, as what was buffered is passed on
        check(0, 5_000, 5.0, None).await;
        check(0, 1, 50.0, Some(10)).await;
        check(0, 1, 1.0, Some(10)).await;
        check(0, 500, 1.0, Some(19)).await; // half of what is asked for
        check(20_000, 1, 50.0, Some(30)).await;
        // much at once earns no more than a minute
        check(50 << 20, 1, 50.0, Some(60)).await;
        check(50 << 20, 1, 61.0, Some(60)).await;
    }
}
