//! The beginning of a connection: the TLS handshake where HTTPS is served, a short answer to clients that speak the other
//! of the two, and which version of HTTP follows. All of it is bounded in time, and none of it is logged: anybody can
//! cause it.

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
    Plain(TcpStream, Version),
    /// HTTPS.
    Tls(Box<TlsStream<TcpStream>>, Version),
}

/// What a client speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Version {
    /// HTTP/1.1 and 1.0.
    Http1,
    /// HTTP/2, chosen by ALPN or with prior knowledge.
    Http2,
}

/// What ALPN calls HTTP/2.
pub(crate) const ALPN_HTTP2: &[u8] = b"h2";

/// What every connection of HTTP/2 begins with, and no request of HTTP/1.
const PREFACE: &[u8; 4] = b"PRI ";

/// How long the rest of these bytes is waited for before it is looked at again.
const REST: Duration = Duration::from_millis(5);

impl Opening {
    /// The opened connection; None when the client went away, took too long, or was refused.
    pub(crate) async fn open(self, stream: TcpStream) -> Option<Opened> {
        timeout(self.limit, self.open_at_leisure(stream)).await.ok().flatten()
    }

    async fn open_at_leisure(self, stream: TcpStream) -> Option<Opened> {
        let mut first = [0; PREFACE.len()];
        let count = stream.peek(&mut first).await.ok()?;
        if count == 0 {
            return None;
        }
        match (self.tls, first[0]) {
            (None, HANDSHAKE) => refuse(stream, ALERT).await,
            (None, _) => {
                let version = version(&stream, &first[..count]).await?;
                Some(Opened::Plain(stream, version))
            }
            (Some(_), byte) if byte.is_ascii_alphabetic() => refuse(stream, speak_https().as_bytes()).await,
            (Some(acceptor), _) => {
                let stream = acceptor.accept(stream).await.ok()?;
                let version = match stream.get_ref().1.alpn_protocol() {
                    Some(ALPN_HTTP2) => Version::Http2,
                    _ => Version::Http1,
                };
                Some(Opened::Tls(Box::new(stream), version))
            }
        }
    }
}

/// The version of HTTP that a connection begins with, of which `seen` has come.
async fn version(stream: &TcpStream, seen: &[u8]) -> Option<Version> {
    let (mut first, mut count) = ([0; PREFACE.len()], seen.len());
    first[..count].copy_from_slice(seen);
    while first[..count] == PREFACE[..count] {
        if count == PREFACE.len() {
            return Some(Version::Http2);
        }
        tokio::time::sleep(REST).await; // what is there already makes the stream readable at once
        count = stream.peek(&mut first).await.ok()?;
    }
    Some(Version::Http1)
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
    async fn the_version_of_http_is_told_by_the_first_bytes_however_they_come() {
        for (pieces, expected) in [
            (&["PRI * HTTP/2.0\r\n"][..], Version::Http2),
            (&["P", "R", "I", " "], Version::Http2),
            (&["P", "OST / HTTP/1.1\r\n"], Version::Http1),
            (&["PR", "OPFIND /"], Version::Http1),
            (&["GET"], Version::Http1),
        ] {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
            let (stream, _) = listener.accept().await.unwrap();
            let sent = async {
                for piece in pieces {
                    client.try_write(piece.as_bytes()).unwrap();
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            };
            let opened = Opening { tls: None, limit: Duration::from_secs(20) }.open(stream);
            let (opened, ()) = tokio::join!(opened, sent);
            assert!(matches!(opened, Some(Opened::Plain(_, found)) if found == expected), "{pieces:?}");
        }
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
