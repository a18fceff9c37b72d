//! A client of gRPC that sends what no library would: any bytes for a body, in any pieces. It has its own reader of the
//! wire, the generated one, which the server does not use for tensors.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use h2::client::{ResponseFuture, SendRequest};
use h2::{RecvStream, SendStream};
use http::{HeaderMap, Request};
use prost::Message;
use tokio::net::TcpStream;
use tokio::runtime::Runtime;

#[rustfmt::skip]
#[allow(dead_code, unreachable_pub, missing_docs, clippy::all)]
#[path = "../../../server/src/protocol/grpc/generated/inference.rs"]
pub(crate) mod inference;

/// What all calls of the Open Inference Protocol begin with.
pub(crate) const SERVICE: &str = "/inference.GRPCInferenceService/";

/// The longest that anything is waited for.
const PATIENCE: Duration = Duration::from_secs(60);

/// A connection of HTTP/2 with prior knowledge.
pub(crate) struct Caller {
    runtime: Runtime,
    send: SendRequest<Bytes>,
}

/// How a call ended.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Ended {
    /// The status of HTTP.
    pub(crate) http: u16,
    /// The code of gRPC, where there is one.
    pub(crate) code: Option<u32>,
    /// Its text, decoded.
    pub(crate) text: String,
    /// The messages without their prefixes.
    pub(crate) messages: Vec<Bytes>,
}

/// A call whose request is not over.
pub(crate) struct Open {
    answer: ResponseFuture,
    sending: SendStream<Bytes>,
}

/// A message with its prefix.
pub(crate) fn framed(message: &[u8]) -> Vec<u8> {
    [&[0][..], &u32::try_from(message.len()).unwrap().to_be_bytes(), message].concat()
}

impl Caller {
    pub(crate) fn open(address: SocketAddr) -> Self {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let send = runtime.block_on(async {
            let stream = TcpStream::connect(address).await.unwrap();
            stream.set_nodelay(true).unwrap();
            let mut builder = h2::client::Builder::new();
            builder.initial_window_size(1 << 30).initial_connection_window_size(1 << 30);
            let (send, connection) = builder.handshake(stream).await.unwrap();
            tokio::spawn(connection);
            send
        });
        Self { runtime, send }
    }

    /// Begins a call.
    pub(crate) fn begin(&mut self, path: &str, headers: &[(&str, &str)]) -> Open {
        let mut request = Request::post(format!("http://localhost{path}")).header("te", "trailers");
        if headers.iter().all(|(name, _)| *name != "content-type") {
            request = request.header("content-type", "application/grpc");
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(()).unwrap();
        self.runtime.block_on(async {
            let mut ready = self.send.clone().ready().await.unwrap();
            let (answer, sending) = ready.send_request(request, false).unwrap();
            Open { answer, sending }
        })
    }

    /// Sends pieces of a body, and its end.
    pub(crate) fn send(&mut self, open: &mut Open, body: &[u8], last: bool) {
        let _in_runtime = self.runtime.enter();
        _ = open.sending.send_data(Bytes::copy_from_slice(body), last); // the server may have ended it
    }

    /// Waits for the end of a call.
    pub(crate) fn end(&mut self, open: Open) -> Ended {
        self.runtime.block_on(async {
            tokio::time::timeout(PATIENCE, async {
                let _sending = open.sending;
                let (head, body) = open.answer.await.unwrap().into_parts();
                let (bytes, trailers) = whole(body).await;
                ended(head.status.as_u16(), &trailers.unwrap_or(head.headers), &bytes)
            })
            .await
            .unwrap()
        })
    }

    /// A call with this body.
    pub(crate) fn call(&mut self, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Ended {
        let mut open = self.begin(path, headers);
        self.send(&mut open, body, true);
        self.end(open)
    }

    /// A call of the Open Inference Protocol that goes well.
    pub(crate) fn ask<A: Message + Default>(&mut self, name: &str, message: &impl Message) -> A {
        let ended = self.call(&format!("{SERVICE}{name}"), &[], &framed(&message.encode_to_vec()));
        assert_eq!((ended.http, ended.code, ended.messages.len()), (200, Some(0), 1), "{name}: {ended:?}");
        A::decode(ended.messages[0].clone()).unwrap()
    }
}

async fn whole(mut body: RecvStream) -> (Vec<u8>, Option<HeaderMap>) {
    let mut bytes = Vec::new();
    while let Some(data) = body.data().await {
        let data = data.unwrap();
        _ = body.flow_control().release_capacity(data.len());
        bytes.extend_from_slice(&data);
    }
    (bytes, body.trailers().await.unwrap())
}

fn ended(http: u16, trailers: &HeaderMap, mut bytes: &[u8]) -> Ended {
    let text = |name: &str| trailers.get(name).map(|value| value.to_str().unwrap());
    let mut messages = Vec::new();
    while http == 200 && !bytes.is_empty() {
        let length = u32::from_be_bytes(bytes[1..5].try_into().unwrap()) as usize;
        messages.push(Bytes::copy_from_slice(&bytes[5..5 + length]));
        bytes = &bytes[5 + length..];
    }
    let code = text("grpc-status").map(|code| code.parse().unwrap());
    Ended { http, code, text: percent_decoded(text("grpc-message").unwrap_or_default()), messages }
}

fn percent_decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let [byte, others @ ..] = rest {
        if *byte == b'%' {
            let digits = std::str::from_utf8(&others[..2]).unwrap();
            bytes.push(u8::from_str_radix(digits, 16).unwrap());
            rest = &others[2..];
        } else {
            bytes.push(*byte);
            rest = others;
        }
    }
    String::from_utf8(bytes).unwrap()
}
