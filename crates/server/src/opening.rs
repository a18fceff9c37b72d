//! The beginning of a connection: the TLS handshake where HTTPS is served, and a short answer to clients that speak
//! the other of the two. All of it is bounded in time, and none of it is logged: anybody can cause it.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::time::Duration;

use tokio::io::AsyncWrite;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// What every handshake begins with: the type of its record.
const HANDSHAKE: u8 = 0x16;

/// A fatal alert, `handshake_failure`, in a record of TLS 1.0, which all versions read.
const ALERT: &[u8] = &[0x15, 3, 1, 0, 2, 2, 40];

/// What a client that speaks HTTP to HTTPS is told.
const SPEAK_HTTPS: &str = "{\"message\":\"this port speaks HTTPS: ask with https:// instead of http://\"}";

/// How much and how long a refused client may go on sending before the connection is cut: one that is cut while it
/// sends would not see the answer.
const MOST_BYTES: usize = 1 << 20;
const MOST_TIME: Duration = Duration::from_secs(2);

/// How a connection begins.
pub(crate) struct Opening {
    /// None: HTTP without TLS.
    pub(crate) tls: Option<TlsAcceptor>,
    /// How long a client may take.
    pub(crate) limit: Duration,
}

/// A connection on which requests may come.
pub(crate) enum Opened {
    /// HTTP.
    Plain(TcpStream),
    /// HTTPS.
    Tls(Box<TlsStream<TcpStream>>),
}

impl Opening {
    /// The opened connection; None when the client went away, took too long, or was refused.
    pub(crate) async fn open(self, stream: TcpStream) -> Option<Opened> {
        timeout(self.limit, self.open_at_leisure(stream)).await.ok().flatten()
    }

    async fn open_at_leisure(self, stream: TcpStream) -> Option<Opened> {
        let mut first = [0];
        if stream.peek(&mut first).await.ok()? == 0 {
            return None;
        }
        match (self.tls, first[0]) {
            (None, HANDSHAKE) => refuse(stream, ALERT).await,
            (None, _) => Some(Opened::Plain(stream)),
            (Some(_), byte) if byte.is_ascii_alphabetic() => refuse(stream, speak_https().as_bytes()).await,
            (Some(acceptor), _) => Some(Opened::Tls(Box::new(acceptor.accept(stream).await.ok()?))),
        }
    }
}

/// The whole answer: there is no HTTP server behind this port to write it.
fn speak_https() -> String {
    let length = SPEAK_HTTPS.len();
    format!(
        "HTTP/1.1 400 Bad Request\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\
         Connection: close\r\n\r\n{SPEAK_HTTPS}"
    )
}

/// Answers, ends, and waits a little for the client to have read it.
async fn refuse(mut stream: TcpStream, answer: &[u8]) -> Option<Opened> {
    let refused = async {
        stream.writable().await?;
        stream.try_write(answer)?; // the first bytes of a connection: they fit, or the client is gone
        poll_fn(|context| Pin::new(&mut stream).poll_shutdown(context)).await?;
        let mut bytes = 0;
        let mut dropped = [0; 4096];
        while bytes < MOST_BYTES {
            stream.readable().await?;
            match stream.try_read(&mut dropped) {
                Ok(0) => break,
                Ok(count) => bytes += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    };
    _ = timeout(MOST_TIME, refused).await;
    None
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Instant;

    use tokio::net::TcpListener;
    use tokio_rustls::rustls::ServerConfig;
    use tokio_rustls::rustls::crypto::ring;
    use tokio_rustls::rustls::server::ResolvesServerCertUsingSni;

    use super::*;

    async fn check(tls: bool, sent: &[u8], answer: &[u8]) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (stream, _) = listener.accept().await.unwrap();
        if !sent.is_empty() {
            client.try_write(sent).unwrap();
        }
        let versions = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()));
        let config = versions.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
        let config = config.with_cert_resolver(Arc::new(ResolvesServerCertUsingSni::new()));
        let tls = tls.then(|| TlsAcceptor::from(Arc::new(config)));
        let start = Instant::now();
        assert!(Opening { tls, limit: Duration::from_millis(200) }.open(stream).await.is_none());
        assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
        client.readable().await.unwrap();
        let mut found = [0; 256];
        let count = client.try_read(&mut found).unwrap();
        assert_eq!(&found[..count], answer);
    }

    #[tokio::test]
    async fn a_client_that_goes_no_further_is_cut_off_in_time() {
        check(false, b"", b"").await;
        check(true, b"", b"").await;
        check(true, &[HANDSHAKE, 3, 1], b"").await;
    }

    #[tokio::test]
    async fn a_client_that_speaks_the_other_protocol_is_told() {
        check(false, &[HANDSHAKE, 3, 1, 0, 200], ALERT).await;
        check(true, b"GET / HTTP/1.1\r\n", speak_https().as_bytes()).await;
    }
}
