//! Connections whose client is slow to take its answer: an answer can be hundreds of megabytes, and is held until it is
//! read. Where patience ends, writing fails and the connection ends.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep};

use crate::patience::Patience;
use crate::tally::{Tallied, Tally};

/// A stream that does not wait for ever for its reader.
#[derive(Debug)]
pub(crate) struct Stalling<S> {
    inner: S,
    patience: Patience,
    tally: Tally,
    waiting: Option<Waiting>,
}

/// A write that waits.
#[derive(Debug)]
struct Waiting {
    since: Instant,
    end: Pin<Box<Sleep>>,
    _tallied: Tallied,
}

impl<S> Stalling<S> {
    /// A stream whose client is to take `rate` bytes a second; writes that wait are in the tally.
    pub(crate) fn new(inner: S, rate: usize, tally: Tally) -> Self {
        Self { inner, patience: Patience::new(rate), tally, waiting: None }
    }

    /// What a write came to, or that it waited too long.
    fn checked<T>(&mut self, context: &mut Context<'_>, polled: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if polled.is_ready() {
            if let Some(waiting) = self.waiting.take() {
                self.patience.spend(waiting.since.elapsed());
            }
            return polled;
        }
        let waiting = self.waiting.get_or_insert_with(|| Waiting {
            since: Instant::now(),
            end: Box::pin(sleep(self.patience.left())),
            _tallied: self.tally.enter(),
        });
        ready!(waiting.end.as_mut().poll(context));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }

    /// The same for a write that takes bytes.
    fn written(
        &mut self,
        context: &mut Context<'_>,
        polled: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        let bytes = ready!(self.checked(context, polled))?;
        self.patience.earn(bytes);
        Poll::Ready(Ok(bytes))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Stalling<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Stalling<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.inner).poll_write(context, bytes);
        self.written(context, polled)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.inner).poll_write_vectored(context, pieces);
        self.written(context, polled)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.inner).poll_flush(context);
        self.checked(context, polled)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.inner).poll_shutdown(context);
        self.checked(context, polled)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    /// A reader that takes `bytes` every `seconds`; after how long it is given up, at most ten minutes.
    async fn check(bytes: usize, seconds: u64, expected: Option<u64>) {
        let (ours, mut theirs) = tokio::io::duplex(64);
        let tally = Tally::default();
        let mut ours = Stalling::new(ours, 1000, tally.clone());
        let reader = tokio::spawn(async move {
            let mut taken = vec![0; bytes];
            loop {
                sleep(Duration::from_secs(seconds)).await;
                if theirs.read_exact(&mut taken).await.is_err() {
                    return; // the writer has ended
                }
            }
        });
        let start = Instant::now();
        let end = loop {
            match ours.write_all(&[0; 64]).await {
                Ok(()) if start.elapsed() > Duration::from_secs(600) => break None,
                Ok(()) => assert!(tally.is_empty()),
                Err(error) => {
                    assert_eq!(error.kind(), io::ErrorKind::TimedOut);
                    break Some(start.elapsed().as_secs());
                }
            }
        };
        drop(ours);
        assert!(tally.is_empty());
        reader.await.unwrap();
        assert_eq!(end, expected, "{bytes} bytes every {seconds} s");
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_reader_is_waited_for_and_one_that_trickles_is_not() {
        check(1000, 1, None).await;
        check(5_000, 1, None).await;
        check(5_000, 5, None).await;
        check(1, 1000, Some(10)).await;
        check(1, 1, Some(10)).await;
        check(1, 50, Some(10)).await;
        check(500, 1, Some(19)).await;
    }
}
