//! Binds, accepts, opens connections in TLS or without, and drains when told to stop.

use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;

use crate::config::{Config, GrpcPort};
use crate::connection::Serving;
use crate::http::{App, HttpService};
use crate::opening::{Opened, Opening};
use crate::repository::StartError;
use crate::tls::Tls;

/// A server that listens and does not answer yet.
#[derive(Debug)]
pub struct Server {
    listeners: Listeners,
    /// None: HTTP without TLS.
    tls: Option<Arc<Tls>>,
    app: Arc<App>,
}

impl Server {
    /// Looks at the configured path and binds the address; nothing is loaded yet.
    pub async fn bind(config: Config) -> Result<Self, StartError> {
        let tls = config.tls.clone().map(Tls::new).transpose()?.map(Arc::new);
        let app = match config.store {
            // a store that is slow to look at holds up no thread of the runtime
            Some(_) => tokio::task::spawn_blocking(|| App::new(config))
                .await
                .map_err(|e| StartError::Threads(std::io::Error::other(e)))?,
            None => App::new(config),
        }?;
        let listeners = Listeners::bind(&app.config).await?;
        Ok(Self { listeners, tls, app: Arc::new(app) })
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
        self.listeners.http.local_addr()
    }

    /// The address of the port for gRPC alone, if there is one.
    pub fn grpc_address(&self) -> Option<SocketAddr> {
        self.listeners.grpc.as_ref().and_then(|listener| listener.local_addr().ok())
    }

    /// The port for gRPC alone that somebody else has.
    pub fn missed_grpc_port(&self) -> Option<u16> {
        match (self.app.config.grpc_port, &self.listeners.grpc) {
            (GrpcPort::IfFree(port), None) => Some(port),
            _ => None,
        }
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
                accepted = self.listeners.accept() => connections.take(accepted).await,
                failed = &mut failure, if watch_load => match failed {
                    Ok(error) => return Err(error),
                    Err(_) => watch_load = false,
                },
                _ = stop.recv() => break,
            }
        }
        self.app.stopping.store(true, Ordering::Relaxed);
        let drained = async {
            connections.linger(&self.listeners, LINGER.min(drain_timeout / 2)).await;
            drop(self.listeners);
            connections.end().await;
        };
        let end = tokio::select! {
            biased;
            () = drained => End::Drained,
            () = tokio::time::sleep(drain_timeout + CLOSING) => End::CutOff,
            Some(()) = stop.recv() => End::CutOff,
        };
        self.app.log.flush();
        if let Some(traces) = &self.app.traces {
            traces.flush();
        }
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

/// Where connections come in.
#[derive(Debug)]
struct Listeners {
    http: TcpListener,
    /// For gRPC alone.
    grpc: Option<TcpListener>,
}

/// A connection, and whether it came by the port for gRPC alone.
type Accepted = (io::Result<(TcpStream, SocketAddr)>, bool);

impl Listeners {
    async fn bind(config: &Config) -> Result<Self, StartError> {
        let bind = async |port: u16| {
            let address = format!("{}:{port}", config.host);
            let bound = TcpListener::bind(&address).await;
            bound.map_err(|source| StartError::Listen { address, source })
        };
        let http = bind(config.port).await?;
        let grpc = match config.grpc_port {
            GrpcPort::Off => None,
            GrpcPort::IfFree(port) => match bind(port).await {
                Err(StartError::Listen { source, .. }) if source.kind() == io::ErrorKind::AddrInUse => None,
                bound => Some(bound?),
            },
            GrpcPort::Wanted(port) => Some(bind(port).await?),
        };
        Ok(Self { http, grpc })
    }

    async fn accept(&self) -> Accepted {
        let grpc = async {
            match &self.grpc {
                Some(listener) => listener.accept().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            accepted = self.http.accept() => (accepted, false),
            accepted = grpc => (accepted, true),
        }
    }
}

/// The connections of a server.
struct Connections {
    http: Serving,
    grpc: Serving,
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
        let opening_limit = app.config.header_timeout;
        let first_request = FIRST_REQUEST.min(app.config.drain_timeout / 4);
        let rate = app.admission.rate;
        let serving = |service| Serving::new(service, opening_limit, rate, first_request);
        let grpc = serving(HttpService::grpc_only(Arc::clone(&app)));
        let http = serving(HttpService::new(app));
        Self { http, grpc, tls, opening_limit, first_request, over: watch::Sender::new(false) }
    }

    /// Serves what was accepted.
    async fn take(&self, (accepted, only_grpc): Accepted) {
        let Ok((stream, _)) = accepted else {
            // Out of descriptors, most likely: running requests will free some.
            return tokio::time::sleep(Duration::from_millis(50)).await;
        };
        _ = stream.set_nodelay(true);
        let mut over = self.over.subscribe();
        let kept = Instant::now() + self.first_request;
        let tls = self.tls.as_ref().map(|tls| tls.acceptor());
        let opened = Opening { tls, limit: self.opening_limit }.open(stream);
        let serving = if only_grpc { &self.grpc } else { &self.http }.clone();
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
                Some(Opened::Plain(stream, version)) => serving.serve(stream, version, end).await,
                Some(Opened::Tls(stream, version)) => serving.serve(stream, version, end).await,
                None => {}
            }
        });
    }

    /// Serves on for a moment, or until no connection is left.
    async fn linger(&self, listeners: &Listeners, moment: Duration) {
        let end = Instant::now() + moment;
        let mut rest = tokio::time::interval(Duration::from_millis(10));
        while self.over.receiver_count() > 0 && Instant::now() < end {
            tokio::select! {
                accepted = listeners.accept() => self.take(accepted).await,
                _ = rest.tick() => {}
            }
        }
        // what the system has accepted by then is served as well
        while let Some(accepted) = listeners.accept().now_or_never() {
            self.take(accepted).await;
        }
    }

    /// Ends connections as soon as they have no request.
    async fn end(self) {
        self.over.send_replace(true);
        self.over.closed().await;
    }
}
