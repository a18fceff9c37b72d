//! One open connection: HTTP/1.1 or HTTP/2 is spoken on it until its client goes or the server ends it. What a client of
//! HTTP/2 may keep open and have kept for it is bounded here; slow ones are the business of `stall.rs` and `taking.rs`.

use std::convert::Infallible;
use std::pin::{Pin, pin};
use std::time::Duration;

use axum::response::Response;
use futures_util::FutureExt;
use http_body_util::BodyExt;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;

use crate::http::HttpService;
use crate::opening::Version;
use crate::prompt::prompt;
use crate::stall::Stalling;
use crate::taking::{PIECE, Takers};
use crate::tally::Tally;

/// What a connection of HTTP/2 may have. Requests at once.
const STREAMS: u32 = 128;
/// Bytes that it may have sent without their being read, of one body and of all.
const WINDOW: u32 = 1 << 20;
/// Bytes of one frame: bodies up to here arrive in one piece.
const FRAME: u32 = 64 << 10;
/// Bytes of a request's head; what is longer than `http.rs` takes, up to here, is refused in the form of its protocol.
const HEAD: u32 = 32 << 10;
/// Bytes of one answer that wait in the connection, beside the piece that was begun.
const SENDING: usize = PIECE;
/// Requests that it took back before they were looked at, and those that broke the protocol: with more it ends.
const TAKEN_BACK: usize = 32;
/// How often a silent client is asked whether it is still there, and how long it may take to say so.
const ASKED_EVERY: Duration = Duration::from_secs(60);
const ASKED_FOR: Duration = Duration::from_secs(20);

/// How often a connection of HTTP/2 is looked at that may have nothing to do, or take nothing.
const LOOK: Duration = Duration::from_secs(1);

/// What connections are served with.
#[derive(Clone)]
pub(crate) struct Serving {
    http1: http1::Builder,
    http2: http2::Builder<TokioExecutor>,
    service: HttpService,
    /// How long a connection is kept that asks for nothing.
    idle: Duration,
    /// Bytes a second that answers are to be taken with.
    rate: usize,
    /// How long one without requests is kept when it is to end: its client may have just come to send one.
    first_request: Duration,
}

impl Serving {
    /// With the time that the head of a request may take.
    pub(crate) fn new(
        service: HttpService,
        header_timeout: Duration,
        rate: usize,
        first_request: Duration,
    ) -> Self {
        let mut http1 = http1::Builder::new();
        http1.timer(TokioTimer::new()).header_read_timeout(header_timeout);
        let mut http2 = http2::Builder::new(TokioExecutor::new());
        http2
            .timer(TokioTimer::new())
            .max_concurrent_streams(STREAMS)
            .initial_stream_window_size(WINDOW)
            .initial_connection_window_size(WINDOW)
            .max_frame_size(FRAME)
            .max_header_list_size(HEAD)
            .max_send_buf_size(SENDING)
            .max_pending_accept_reset_streams(TAKEN_BACK)
            .max_local_error_reset_streams(TAKEN_BACK)
            .keep_alive_interval(ASKED_EVERY)
            .keep_alive_timeout(ASKED_FOR);
        Self { http1, http2, service, idle: header_timeout, rate, first_request }
    }

    /// Serves a connection to its end, or from `end` on to the end of its running requests.
    pub(crate) async fn serve<S>(self, stream: S, version: Version, end: Pin<&mut impl Future<Output = ()>>)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let tally = Tally::default();
        let stream = TokioIo::new(Stalling::new(stream, self.rate, tally.clone()));
        match version {
            Version::Http1 => self.serve_http1(stream, tally, end).await,
            Version::Http2 => self.serve_http2(stream, tally, end).await,
        }
    }

    async fn serve_http1<S>(self, stream: S, tally: Tally, end: Pin<&mut impl Future<Output = ()>>)
    where
        S: hyper::rt::Read + hyper::rt::Write + Unpin + 'static,
    {
        let service = service_fn(|request: Request<Incoming>| {
            let asked = tally.enter();
            // no async block: it would hold the future twice, and hyper moves what it is given
            answer(self.service.clone(), &tally, request).map(|answer| {
                drop(asked);
                Ok::<_, Infallible>(answer)
            })
        });
        let mut connection = pin!(self.http1.serve_connection(stream, service));
        // Errors are the client's going away; the request's own are answered.
        tokio::select! {
            biased; // a request that has come is seen before the end
            _ = prompt(connection.as_mut()) => return,
            () = end => {}
        }
        connection.as_mut().graceful_shutdown();
        tokio::select! {
            biased;
            _ = prompt(connection.as_mut()) => return,
            () = tokio::time::sleep(self.first_request) => {}
        }
        // with nothing under way, what keeps it open is a head that does not end
        if !tally.is_empty() {
            _ = prompt(connection).await;
        }
    }

    async fn serve_http2<S>(self, stream: S, tally: Tally, end: Pin<&mut impl Future<Output = ()>>)
    where
        S: hyper::rt::Read + hyper::rt::Write + Unpin + 'static,
    {
        let takers = Takers::default();
        let service = {
            let (service, tally, rate) = (self.service.clone(), tally.clone(), self.rate);
            let takers = takers.clone();
            service_fn(move |request: Request<Incoming>| {
                let asked = tally.enter();
                let answer = answer(service.clone(), &tally, request);
                let takers = takers.clone();
                // each request is a task of its own, and the connection does not see what is left of its answer
                async move { Ok::<_, Infallible>(answer.await.map(|body| takers.answer(body, rate, asked))) }
            })
        };
        let mut connection = pin!(self.http2.serve_connection(stream, service));
        let (mut end, mut busy, mut seen) = (end, Instant::now(), 0);
        loop {
            tokio::select! {
                biased;
                _ = &mut connection => return,
                () = &mut end => break,
                () = tokio::time::sleep(LOOK.min(self.idle)) => {}
            }
            if takers.has_slow() {
                return;
            }
            let ever = tally.ever();
            if !tally.is_empty() || ever != seen {
                (busy, seen) = (Instant::now(), ever);
            } else if busy.elapsed() >= self.idle {
                break;
            }
        }
        connection.as_mut().graceful_shutdown();
        loop {
            tokio::select! {
                biased;
                _ = &mut connection => return,
                () = tokio::time::sleep(self.first_request) => {}
            }
            // with nothing under way, what keeps it open is a client that does not answer
            if tally.is_empty() || takers.has_slow() {
                return;
            }
        }
    }
}

/// The answer to one request, whose body is in the tally until all of it has come, or nobody waits for it any more.
fn answer(
    service: HttpService,
    tally: &Tally,
    request: Request<Incoming>,
) -> impl Future<Output = Response> + Send + use<> {
    let arriving = tally.enter();
    let request = request.map(|body| {
        body.map_err(move |error| {
            _ = &arriving;
            error
        })
    });
    service.answer(request)
}
