//! Messages of calls on the wire: five bytes of prefix, then the message. The one message of a request is gathered by
//! the rules of all bodies; those of a stream are taken one after the other. Answers are never copied into one piece.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::Body;
use axum::http::{HeaderMap, HeaderName, header};
use axum::response::Response;
use bytes::{BufMut, Bytes, BytesMut};
use encoding_rs::UTF_8;
use http_body::{Frame, SizeHint};
use portend_core::shortened;
use prost::Message;

use super::status;
use crate::admission::Room;
use crate::body::{Packing, Payload, gather};
use crate::error::ServerError;
use crate::http::App;
use crate::score::Answer;

/// Bytes before each message: whether it is compressed, and its length.
pub(crate) const PREFIX: usize = 5;

/// How messages are compressed, where their prefix says that they are.
const ENCODING: HeaderName = HeaderName::from_static("grpc-encoding");

/// What can be read, for clients that choose.
const ACCEPTED: HeaderName = HeaderName::from_static("grpc-accept-encoding");

/// The one message of a request, as it came.
pub(crate) async fn gathered(
    headers: &HeaderMap,
    body: Body,
    app: &App,
    limit: usize,
) -> Result<Payload, ServerError> {
    let gathered = gather(body, headers, &app.admission, limit.saturating_add(PREFIX)).await;
    let (mut bytes, room) = gathered.map_err(|error| match error {
        ServerError::TooLarge { .. } => ServerError::TooLarge { limit, unpacked: false },
        error => error,
    })?;
    let (packed, length) =
        prefix(&bytes).ok_or_else(|| bad("the call has no message, which begins with 5 bytes"))?;
    let found = bytes.len() - PREFIX;
    if found != length {
        return Err(bad(format!("the message's prefix says that it has {length} bytes, and {found} follow")));
    }
    let bytes = bytes.split_off(PREFIX);
    Ok(Payload { bytes, packing: packing(headers, packed)?, charset: UTF_8, limit, room })
}

fn bad(reason: impl Into<String>) -> ServerError {
    ServerError::BadBody(reason.into())
}

/// Whether the message is compressed, and its length, if there are so many bytes.
pub(super) fn prefix(bytes: &[u8]) -> Option<(u8, usize)> {
    let (prefix, _) = bytes.split_first_chunk::<PREFIX>()?;
    let [packed, length @ ..] = *prefix;
    Some((packed, u32::from_be_bytes(length) as usize))
}

/// How a message is compressed whose prefix begins with this byte.
pub(super) fn packing(headers: &HeaderMap, packed: u8) -> Result<Packing, ServerError> {
    let encoding = headers.get(ENCODING).map_or("identity", |value| value.to_str().unwrap_or("?"));
    match (packed, encoding) {
        (0, _) => Ok(Packing::Plain),
        (1, "gzip") => Ok(Packing::Gzip),
        (1, "deflate") => Ok(Packing::Deflate),
        (1, "identity") => {
            Err(bad("the message says that it is compressed, and grpc-encoding does not say how"))
        }
        (1, other) => Err(ServerError::UnsupportedMediaType(format!(
            "grpc-encoding '{}' is not read, only identity, gzip and deflate are",
            shortened(other)
        ))),
        _ => Err(bad("the message's prefix does not begin with 0 or 1")),
    }
}

/// What a message holds.
pub(crate) fn decoded<M: Message + Default>(payload: &Payload) -> Result<M, ServerError> {
    let bytes = payload.unpacked()?;
    M::decode(&*bytes).map_err(|error| bad(format!("the message cannot be read: {error}")))
}

/// The bytes of a message with its prefix.
pub(crate) fn framed(message: &impl Message) -> Bytes {
    let length = message.encoded_len();
    let mut bytes = BytesMut::with_capacity(PREFIX + length);
    bytes.put_slice(&prefix_of(length));
    message.encode_raw(&mut bytes);
    bytes.freeze()
}

/// The prefix of a message of so many bytes, which are less than 4 GiB.
pub(crate) fn prefix_of(length: usize) -> [u8; PREFIX] {
    let [a, b, c, d] = u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes();
    [0, a, b, c, d]
}

/// The answer of a call that ended well with one message.
pub(crate) fn reply(message: &impl Message) -> Response {
    answered(VecDeque::from([framed(message)]), Room::default())
}

/// An answer whose chunks are a message, if that is no larger than messages of answers may be.
pub(crate) fn within_limit(answer: Answer, app: &App) -> Result<Answer, ServerError> {
    let limit = app.config.grpc_answer_limit;
    match answer.chunks.iter().map(Bytes::len).sum::<usize>() > limit {
        true => Err(ServerError::MessageTooLarge { limit }),
        false => Ok(answer),
    }
}

/// An answer whose chunks are a message with its prefix.
pub(crate) fn response(answer: Answer) -> Response {
    let mut response = answered(answer.chunks.into(), answer.room);
    response.headers_mut().extend(answer.headers);
    response
}

fn answered(chunks: VecDeque<Bytes>, room: Room) -> Response {
    with_head(Body::new(Replying { chunks, trailers: Some(status::ok()), _room: room }))
}

/// A response with this body, which ends with trailers.
pub(super) fn with_head(body: Body) -> Response {
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, status::CONTENT_TYPE);
    headers.insert(ACCEPTED, header::HeaderValue::from_static("identity,gzip,deflate"));
    response
}

/// A message that is ready, and the trailers after it.
struct Replying {
    chunks: VecDeque<Bytes>,
    trailers: Option<HeaderMap>,
    /// Given back when the last chunk is sent, or nobody reads them any more.
    _room: Room,
}

impl http_body::Body for Replying {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let frame = match self.chunks.pop_front() {
            Some(chunk) => Some(Frame::data(chunk)),
            None => self.trailers.take().map(Frame::trailers),
        };
        Poll::Ready(frame.map(Ok))
    }

    fn is_end_stream(&self) -> bool {
        self.chunks.is_empty() && self.trailers.is_none()
    }

    // no exact one: HTTP would tell it as the length of a body, which has no trailers then
    fn size_hint(&self) -> SizeHint {
        let bytes = self.chunks.iter().map(|chunk| chunk.len() as u64).sum();
        let mut hint = SizeHint::new();
        hint.set_lower(bytes);
        hint.set_upper(bytes + 1);
        hint
    }
}
