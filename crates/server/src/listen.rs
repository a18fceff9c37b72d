//! Binds, accepts, serves HTTP/1.1 on each connection, in TLS or without, and drains when told to stop.

use std::convert::Infallible;
use std::future::Future;
use std::io::{Write, stderr};
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::{oneshot, watch};

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

    /// The address that connections go to.
    pub fn address(&self) -> std::io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until `stop` completes, then lets running requests end. Models are loaded beside: until then they
    /// answer 503. In single-model mode a model that does not load ends the server with the reason.
    pub async fn run(self, stop: impl Future<Output = ()>) -> Result<(), StartError> {
        let (failed, mut failure) = oneshot::channel();
        let loading = Arc::clone(&self.app);
        self.app.scorer.spawn(move || {
            if let Err(error) = loading.load() {
                _ = failed.send(error);
            }
        });
        let drain_timeout = self.app.config.drain_timeout;
        let service = HttpService::new(Arc::clone(&self.app));
        let mut http = hyper::server::conn::http1::Builder::new();
        http.timer(TokioTimer::new()).header_read_timeout(self.app.config.header_timeout);
        let connections = GracefulShutdown::new();
        let stopping = watch::Sender::new(());
        let mut stop = pin!(stop);
        let mut watch_load = true;
        loop {
            tokio::select! {
                accepted = self.listener.accept() => match accepted {
                    Ok((stream, _)) => {
                        _ = stream.set_nodelay(true);
                        let (http, service) = (http.clone(), service.clone());
                        let (watcher, mut stopped) = (connections.watcher(), stopping.subscribe());
                        let opened = self.opening.clone().open(stream);
                        tokio::spawn(async move {
                            let opened = tokio::select! {
                                biased;
                                opened = opened => opened,
                                _ = stopped.changed() => None, // whoever asked for nothing yet
                            };
                            match opened {
                                Some(Opened::Plain(stream)) => serve(&http, stream, service, watcher).await,
                                Some(Opened::Tls(stream)) => serve(&http, stream, service, watcher).await,
                                None => {}
                            }
                        });
                    }
                    // Out of descriptors, most likely: running requests will free some.
                    Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
                },
                failed = &mut failure, if watch_load => match failed {
                    Ok(error) => return Err(StartError::Load(error)),
                    Err(_) => watch_load = false,
                },
                () = &mut stop => break,
            }
        }
        drop((self.listener, stopping));
        _ = tokio::time::timeout(drain_timeout, connections.shutdown()).await;
        self.app.log.flush();
        Ok(())
    }
}

/// Serves a connection to its end.
async fn serve<S: AsyncRead + AsyncWrite + Unpin + 'static>(
    http: &hyper::server::conn::http1::Builder,
    stream: S,
    service: HttpService,
    watcher: Watcher,
) {
    let service = service_fn(move |request| {
        let service = service.clone();
        async move { Ok::<_, Infallible>(service.answer(request).await) }
    });
    // Errors are the client's going away; the request's own are answered.
    _ = watcher.watch(http.serve_connection(TokioIo::new(Stalling::new(stream)), service)).await;
}
