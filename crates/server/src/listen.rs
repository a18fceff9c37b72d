//! Binds, accepts, serves HTTP/1.1 on each connection, and drains when told to stop. TLS will come in here.

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use crate::config::Config;
use crate::http::{App, HttpService};
use crate::repository::StartError;

/// A server that listens and does not answer yet.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    app: Arc<App>,
}

impl Server {
    /// Looks at the configured path and binds the address; nothing is loaded yet.
    pub async fn bind(config: Config) -> Result<Self, StartError> {
        let address = format!("{}:{}", config.host, config.port);
        let app = App::new(config)?;
        let listener =
            TcpListener::bind(&address).await.map_err(|source| StartError::Listen { address, source })?;
        Ok(Self { listener, app: Arc::new(app) })
    }

    /// The address that connections go to.
    pub fn address(&self) -> std::io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until `stop` completes, then lets running requests end. Models are loaded beside: requests wait for
    /// theirs, or are answered 503. In single-model mode a model that does not load ends the server with the reason.
    pub async fn run(self, stop: impl Future<Output = ()>) -> Result<(), StartError> {
        let (failed, mut failure) = oneshot::channel();
        let loading = Arc::clone(&self.app);
        std::thread::spawn(move || {
            if let Err(error) = loading.load() {
                _ = failed.send(error);
            }
        });
        let drain_timeout = self.app.config.drain_timeout;
        let service = HttpService::new(Arc::clone(&self.app));
        let mut http = hyper::server::conn::http1::Builder::new();
        http.timer(TokioTimer::new()).header_read_timeout(self.app.config.header_timeout);
        let connections = GracefulShutdown::new();
        let mut stop = pin!(stop);
        let mut watch_load = true;
        loop {
            tokio::select! {
                accepted = self.listener.accept() => match accepted {
                    Ok((stream, _)) => {
                        _ = stream.set_nodelay(true);
                        let service = service.clone();
                        let service = service_fn(move |request| {
                            let service = service.clone();
                            async move { Ok::<_, Infallible>(service.answer(request).await) }
                        });
                        let connection = http.serve_connection(TokioIo::new(stream), service);
                        let connection = connections.watch(connection);
                        // Errors are the client's going away; the request's own are answered.
                        tokio::spawn(async move { _ = connection.await });
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
        drop(self.listener);
        _ = tokio::time::timeout(drain_timeout, connections.shutdown()).await;
        self.app.log.flush();
        Ok(())
    }
}
