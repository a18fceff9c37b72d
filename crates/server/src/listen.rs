//! Binds, accepts, serves HTTP/1.1 on each connection, in TLS or without, and drains when told to stop.

use std::convert::Infallible;
use std::io::{Write, stderr};
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::FutureExt;
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
use crate::tls;

/// A server that listens and does not answer yet.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    opening: Opening,
    app: Arc<App>,
}

impl Server {
    /// Looks at the configured path and binds the address; nothing is loaded yet.
    pub async fn bind(config: Config) -> Result<Self, StartError> {
        let address = format!("{}:{}", config.host, config.port);
        let acceptor = config.tls.as_ref().map(tls::acceptor).transpose()?;
        let (acceptor, warnings) = acceptor.unzip();
        for warning in warnings.into_iter().flatten() {
            _ = writeln!(stderr(), "warning: {warning}"); // nobody has to read it
        }
        let opening = Opening { tls: acceptor, limit: config.header_timeout };
        let app = App::new(config)?;
        let listener =
            TcpListener::bind(&address).await.map_err(|source| StartError::Listen { address, source })?;
        Ok(Self { listener, opening, app: Arc::new(app) })
    }

    /// `https` or `http`, whichever the listener speaks; it never speaks both.
    pub fn scheme(&self) -> &'static str {
        if self.opening.tls.is_some() { "https" } else { "http" }
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
        let connections = Connections::new(Arc::clone(&self.app), self.opening);
        let mut watch_load = true;
        loop {
            tokio::select! {
                accepted = self.listener.accept() => connections.take(accepted).await,
                failed = &mut failure, if watch_load => match failed {
                    Ok(error) => return Err(StartError::Load(error)),
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

/// How long a connection is kept for its first request when the server stops: its client has just come to send one.
const FIRST_REQUEST: Duration = Duration::from_millis(200);

/// The connections of a server.
struct Connections {
    http: http1::Builder,
    service: HttpService,
    opening: Opening,
    /// How long each is kept for its first request.
    first_request: Duration,
    /// True once they are to end; each connection has a receiver.
    over: watch::Sender<bool>,
}

impl Connections {
    fn new(app: Arc<App>, opening: Opening) -> Self {
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new()).header_read_timeout(app.config.header_timeout);
        let first_request = FIRST_REQUEST.min(app.config.drain_timeout / 4);
        let service = HttpService::new(app);
        Self { http, service, opening, first_request, over: watch::Sender::new(false) }
    }

    /// Serves what was accepted.
    async fn take(&self, accepted: std::io::Result<(TcpStream, SocketAddr)>) {
        let Ok((stream, _)) = accepted else {
            // Out of descriptors, most likely: running requests will free some.
            return tokio::time::sleep(Duration::from_millis(50)).await;
        };
        _ = stream.set_nodelay(true);
        let (http, service) = (self.http.clone(), self.service.clone());
        let mut over = self.over.subscribe();
        let kept = Instant::now() + self.first_request;
        let opened = self.opening.clone().open(stream);
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
                Some(Opened::Plain(stream)) => serve(&http, stream, service, end).await,
                Some(Opened::Tls(stream)) => serve(&http, stream, service, end).await,
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

/// Serves a connection to its end, or from `end` on to the end of its running request.
async fn serve<S: AsyncRead + AsyncWrite + Unpin + 'static>(
    http: &http1::Builder,
    stream: S,
    service: HttpService,
    end: Pin<&mut impl Future<Output = ()>>,
) {
    let service = service_fn(move |request| {
        let service = service.clone();
        async move { Ok::<_, Infallible>(service.answer(request).await) }
    });
    let mut connection = pin!(http.serve_connection(TokioIo::new(Stalling::new(stream)), service));
    // Errors are the client's going away; the request's own are answered.
    tokio::select! {
        biased; // a request that has come is seen before the end
        _ = &mut connection => return,
        () = end => {}
    }
    connection.as_mut().graceful_shutdown();
    _ = connection.await;
}
