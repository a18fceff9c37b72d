//! Calls of gRPC over HTTP/2 with prior knowledge, and messages written by hand, good or bad.

use std::net::SocketAddr;

use bytes::Bytes;
use h2::client::SendRequest;
use http::{HeaderMap, Request};
use tokio::net::TcpStream;
use tokio::runtime::{Builder, Runtime};

/// A connection of a client that makes one call after the other.
pub(crate) struct Caller {
    runtime: Runtime,
    send: SendRequest<Bytes>,
}

/// How a call ended.
#[derive(Debug)]
pub(crate) struct Ended {
    /// The code of gRPC.
    pub(crate) code: u16,
    /// What is said of it.
    pub(crate) text: String,
    /// What came before the message.
    pub(crate) headers: HeaderMap,
    /// The answer, without its prefix.
    pub(crate) message: Vec<u8>,
}

impl Caller {
    pub(crate) fn open(address: SocketAddr) -> Self {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let send = runtime.block_on(async {
            let stream = TcpStream::connect(address).await.unwrap();
            let (send, connection) = h2::client::handshake(stream).await.unwrap();
            tokio::spawn(connection);
            send
        });
        Self { runtime, send }
    }

    /// Makes a call with one message.
    pub(crate) fn call(&mut self, path: &str, metadata: &[(&str, &str)], message: &[u8]) -> Ended {
        let length = u32::try_from(message.len()).unwrap().to_be_bytes();
        self.send(path, metadata, [&[0], &length[..], message].concat())
    }

    /// Makes a call with this body, which may be none that gRPC knows.
    pub(crate) fn send(&mut self, path: &str, metadata: &[(&str, &str)], body: Vec<u8>) -> Ended {
        let mut request = Request::post(format!("http://portend{path}"))
            .header("content-type", "application/grpc")
            .header("te", "trailers");
        for (name, value) in metadata {
            request = request.header(*name, *value);
        }
        self.runtime.block_on(async {
            let mut send = self.send.clone().ready().await.unwrap();
            let (answer, mut stream) = send.send_request(request.body(()).unwrap(), false).unwrap();
            stream.send_data(body.into(), true).unwrap();
            let (head, mut body) = answer.await.unwrap().into_parts();
            assert_eq!(head.status, 200, "{path}");
            let mut bytes = Vec::new();
            while let Some(data) = body.data().await.transpose().unwrap() {
                body.flow_control().release_capacity(data.len()).unwrap();
                bytes.extend_from_slice(&data);
            }
            // a call that failed at once has its end in the place of headers
            let end = body.trailers().await.unwrap().unwrap_or_else(|| head.headers.clone());
            let text = end.get("grpc-message").map_or("", |text| text.to_str().unwrap());
            let code = end["grpc-status"].to_str().unwrap().parse().unwrap();
            let message = bytes.get(5..).unwrap_or_default().to_vec();
            Ended { code, text: percent_decoded(text), headers: head.headers, message }
        })
    }
}

fn percent_decoded(text: &str) -> String {
    let mut pieces = text.split('%');
    let mut bytes = pieces.next().unwrap_or_default().as_bytes().to_vec();
    for piece in pieces {
        bytes.push(u8::from_str_radix(&piece[..2], 16).unwrap());
        bytes.extend_from_slice(&piece.as_bytes()[2..]);
    }
    String::from_utf8(bytes).unwrap()
}

/// An integer as messages have it.
pub(crate) fn varint(mut value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value >= 0x80 {
        bytes.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
    bytes
}

/// A field of an integer.
pub(crate) fn integer(number: u64, value: u64) -> Vec<u8> {
    [varint(number << 3), varint(value)].concat()
}

/// A field of a double.
pub(crate) fn double(number: u64, value: f64) -> Vec<u8> {
    [varint(number << 3 | 1), value.to_le_bytes().to_vec()].concat()
}

/// A field of bytes, a text, or a message.
pub(crate) fn field(number: u64, bytes: impl AsRef<[u8]>) -> Vec<u8> {
    let bytes = bytes.as_ref();
    [varint(number << 3 | 2), varint(bytes.len() as u64), bytes.to_vec()].concat()
}
