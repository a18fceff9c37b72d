//! Binds, accepts, serves HTTP/1.1 on each connection, in TLS or without, and drains when told to stop.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::FutureExt;
use http_body_util::BodyExt;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;

use crate::config::Config;
use crate::http::{App, HttpService};
use crate::opening::{Opened, Opening};
use crate::repository::StartError;
use crate::stall::Stalling;
use crate::tally::Tally;
use crate::tls::Tls;

/// A server that listens and does not answer yet.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    /// None: HTTP without TLS.
    tls: Option<Arc<Tls>>,
    app: Arc<App>,
}

impl Server {
    /// Looks at the configured path and binds the address; nothing is loaded yet.
    pub async fn bind(config: Config) -> Result<Self, StartError> {
        let address = format!("{}:{}", config.host, config.port);
        let tls = config.tls.clone().map(Tls::new).transpose()?.map(Arc::new);
        // a disk or store that is slow to look at holds up no thread of the runtime
        let app = tokio::task::spawn_blocking(|| App::new(config)).await;
        let app = app.map_err(|e| StartError::Threads(std::io::Error::other(e)))??;
        let listener =
            TcpListener::bind(&address).await.map_err(|source| StartError::Listen { address, source })?;
        Ok(Self { listener, tls, app: Arc::new(app) })
    }

    /// `https` or `http`, whichever the listener speaks; it never speaks both.
    pub fn scheme(&self) -> &'static str {
        if self.tls.is_some() { "https" } else { "http" }
    }

    /// Whether packages can be uploaded to it.
    pub fn takes_uploads(&self) -> bool {
        self.app.repository.takes_uploads()
    }

    /// The address that connections go to.
    pub fn address(&self) -> std::io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until `stop` says so, or nobody is left who could; then lets running requests end, until that takes too
    /// long or `stop` says so again. Models are loaded beside: requests wait for theirs, or are answered 503. In
    /// single-model mode a model that does not load ends the server with the reason.
    pub async fn run(self, mut stop: mpsc::Receiver<()>) -> Result<End, StartError> {
        let (failed, mut failure) = oneshot::channel();
        let loading = Arc::clone(&self.app);
        std::thread::spawn(move || {
            if let Err(error) = loading.load() {
                _ = failed.send(error);
            }
        });
        let drain_timeout = self.app.config.drain_timeout;
        if let Some(tls) = &self.tls {
            tls.watch();
        }
        let connections = Connections::new(Arc::clone(&self.app), self.tls);
        let mut watch_load = true;
        loop {
            tokio::select! {
                accepted = self.listener.accept() => connections.take(accepted).await,
                failed = &mut failure, if watch_load => match failed {
                    Ok(error) => return Err(error),
                    Err(_) => watch_load = false,
                },
                _ = stop.recv() => break,
            }
        }
        self.app.stopping.store(true, Ordering::Relaxed);
        let drained = async {
            connections.linger(&self.listener, LINGER.min(drain_timeout / 2)).await;
            drop(self.listener);
            connections.end().await;
        };
        let end = tokio::select! {
            biased;
            () = drained => End::Drained,
            () = tokio::time::sleep(drain_timeout + CLOSING) => End::CutOff,
            Some(()) = stop.recv() => End::CutOff,
        };
        self.app.log.flush();
        Ok(end)
    }
}

/// How a server ended that was told to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// All requests were answered.
    Drained,
    /// Some may not have been: time was up, or the server was told to stop again.
    CutOff,
}

/// How long connections that ask for nothing are kept when the server stops. Whoever asks meanwhile is answered and told
/// that the connection ends: to close it at once would lose the request that is under way.
const LINGER: Duration = Duration::from_secs(1);

/// What closing connections without a request may take, where running requests are given no time.
const CLOSING: Duration = Duration::from_millis(250);

/// How long a connection is kept for its first request when the server stops, or for the rest of a head that has begun:
/// its client has just come to send one.
const FIRST_REQUEST: Duration = Duration::from_millis(200);

/// The connections of a server.
struct Connections {
    http: http1::Builder,
    service: HttpService,
    /// Bytes a second that answers are to be taken with.
    rate: usize,
    tls: Option<Arc<Tls>>,
    /// How long a client may take to open a connection.
    opening_limit: Duration,
    /// How long each is kept for its first request.
    first_request: Duration,
    /// True once they are to end; each connection has a receiver.
    over: watch::Sender<bool>,
}

impl Connections {
    fn new(app: Arc<App>, tls: Option<Arc<Tls>>) -> Self {
        let mut http = http1::Builder::new();
        let opening_limit = app.config.header_timeout;
        http.timer(TokioTimer::new()).header_read_timeout(opening_limit);
        let first_request = FIRST_REQUEST.min(app.config.drain_timeout / 4);
        let rate = app.admission.rate;
        let over = watch::Sender::new(false);
        Self { http, service: HttpService::new(app), rate, tls, opening_limit, first_request, over }
    }

    /// Serves what was accepted.
    async fn take(&self, accepted: std::io::Result<(TcpStream, SocketAddr)>) {
        let Ok((stream, _)) = accepted else {
            // Out of descriptors, most likely: running requests will free some.
            return tokio::time::sleep(Duration::from_millis(50)).await;
        };
        _ = stream.set_nodelay(true);
        let mut over = self.over.subscribe();
        let first_request = self.first_request;
        let kept = Instant::now() + first_request;
        let tls = self.tls.as_ref().map(|tls| tls.acceptor());
        let opened = Opening { tls, limit: self.opening_limit }.open(stream);
        let serving = Serving {
            http: self.http.clone(),
            service: self.service.clone(),
            rate: self.rate,
            first_request,
        };
        tokio::spawn(async move {
            let end = async {
                _ = over.wait_for(|over| *over).await; // an error: nobody is left who would say it
                tokio::time::sleep_until(kept).await;
            };
            let mut end = pin!(end);
            let opened = tokio::select! {
                biased;
                opened = opened => opened,
                () = &mut end => None,
            };
            match opened {
                Some(Opened::Plain(stream)) => serving.serve(stream, end).await,
                Some(Opened::Tls(stream)) => serving.serve(stream, end).await,
                None => {}
            }
        });
    }

    /// Serves on for a moment, or until no connection is left.
    async fn linger(&self, listener: &TcpListener, moment: Duration) {
        let end = Instant::now() + moment;
        let mut rest = tokio::time::interval(Duration::from_millis(10));
        while self.over.receiver_count() > 0 && Instant::now() < end {
            tokio::select! {
                accepted = listener.accept() => self.take(accepted).await,
                _ = rest.tick() => {}
            }
        }
        // what the system has accepted by then is served as well
        while let Some(accepted) = listener.accept().now_or_never() {
            self.take(accepted).await;
        }
    }

    /// Ends connections as soon as they have no request.
    async fn end(self) {
        self.over.send_replace(true);
        self.over.closed().await;
    }
}

/// What an open connection is served with.
struct Serving {
    http: http1::Builder,
    service: HttpService,
    rate: usize,
    first_request: Duration,
}

impl Serving {
    /// Serves a connection to its end, or from `end` on to the end of its running request.
    async fn serve<S>(self, stream: S, end: Pin<&mut impl Future<Output = ()>>)
    where
        S: AsyncRead + AsyncWrite + Unpin + 'static,
    {
        let tally = Tally::default();
        let stream = TokioIo::new(Stalling::new(stream, self.rate, tally.clone()));
        let service = service_fn(|request: Request<Incoming>| {
            let (asked, arriving) = (tally.enter(), tally.enter());
            // until all of the body has come, or nobody waits for it any more
            let request = request.map(|body| {
                body.map_err(move |error| {
                    _ = &arriving;
                    error
                })
            });
            let answer = self.service.clone().answer(request);
            async move {
                let answer = answer.await;
                drop(asked);
                Ok::<_, Infallible>(answer)
            }
        });
        let mut connection = pin!(self.http.serve_connection(stream, service));
        // Errors are the client's going away; the request's own are answered.
        tokio::select! {
            biased; // a request that has come is seen before the end
            _ = &mut connection => return,
            () = end => {}
        }
        connection.as_mut().graceful_shutdown();
        tokio::select! {
            biased;
            _ = &mut connection => return,
            () = tokio::time::sleep(self.first_request) => {}
        }
        // with nothing under way, what keeps it open is a head that does not end
        if !tally.is_empty() {
            _ = connection.await;
        }
    }
}
