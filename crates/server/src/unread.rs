//! Bodies that nobody read, because the request was refused by its head. A client that is still sending would take
//! the closed connection for a failure and not see the refusal: the answer goes out at once, and what is still sent is
//! read and dropped, within bounds, so that the client comes to read it and the connection goes on.

use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderValue, Request, StatusCode, header};
use axum::response::Response;
use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::BodyExt;

/// A rest that a client may stop sending once it has the answer.
const LONG: u64 = 1 << 20;

/// How long the rest of a body is read for.
const MOST_TIME: Duration = Duration::from_secs(10);

/// The same for a body that came too slowly already: long enough for its client to see the answer.
const MOST_TIME_SLOW: Duration = Duration::from_secs(1);

/// Where an unread body is left.
pub(crate) type Left<B> = Arc<Mutex<Option<B>>>;

/// Passes a body on, and leaves it behind when it is dropped before its end.
struct Watched<B> {
    inner: Option<B>,
    left: Left<B>,
}

/// Makes the request's body one that is left behind when it is not read; None when there is no body.
pub(crate) fn watch<B>(request: Request<B>) -> (Request<Body>, Option<Left<B>>)
where
    B: HttpBody<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<axum::BoxError>,
{
    if request.body().is_end_stream() {
        return (request.map(Body::new), None);
    }
    let left = Left::default();
    let watched = |inner| Body::new(Watched { inner: Some(inner), left: Arc::clone(&left) });
    (request.map(watched), Some(left))
}

/// Reads the rest of a body that was left beside the answer, at most twice the limit that bodies have; tells the
/// client that the connection ends when so much is announced that it may rather not send it, or it was too slow.
pub(crate) fn settle<B>(left: Option<Left<B>>, limit: usize, response: &mut Response)
where
    B: HttpBody<Data = Bytes> + Send + Unpin + 'static,
{
    let rest = left.and_then(|left| left.lock().ok()?.take());
    let Some(rest) = rest else { return };
    let most = 2 * limit as u64;
    let slow = response.status() == StatusCode::REQUEST_TIMEOUT;
    if slow || rest.size_hint().lower() > LONG {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    let most_time = if slow { MOST_TIME_SLOW } else { MOST_TIME };
    tokio::spawn(tokio::time::timeout(most_time, drain(rest, most)));
}

/// Reads to the end, or past `most` bytes.
async fn drain<B: HttpBody<Data = Bytes> + Unpin>(mut rest: B, most: u64) {
    let mut bytes = 0;
    while let Some(Ok(frame)) = rest.frame().await {
        bytes += frame.data_ref().map_or(0, |data| data.len() as u64);
        if bytes > most {
            break;
        }
    }
}

impl<B: HttpBody<Data = Bytes> + Unpin> HttpBody for Watched<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let Some(inner) = &mut self.inner else { return Poll::Ready(None) };
        let polled = Pin::new(&mut *inner).poll_frame(context);
        let over = matches!(polled, Poll::Ready(None | Some(Err(_)))) || inner.is_end_stream();
        if over {
            self.inner = None;
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.inner.as_ref().is_none_or(HttpBody::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.as_ref().map_or_else(|| SizeHint::with_exact(0), HttpBody::size_hint)
    }
}

impl<B> Drop for Watched<B> {
    fn drop(&mut self) {
        if let (Some(inner), Ok(mut left)) = (self.inner.take(), self.left.lock()) {
            *left = Some(inner);
        }
    }
}
