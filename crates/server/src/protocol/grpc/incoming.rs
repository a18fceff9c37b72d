//! The messages of a stream that a client sends, one after the other: each within the limit, each with the patience that
//! bodies have. Between two of them a client may take its time.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::HeaderMap;
use bytes::{Bytes, BytesMut};
use encoding_rs::UTF_8;
use futures_util::{Stream, StreamExt, stream};
use http_body_util::BodyDataStream;
use tokio::time::{Instant, timeout};

use super::message::{PREFIX, packing, prefix};
use crate::admission::Room;
use crate::body::Payload;
use crate::error::ServerError;
use crate::http::App;
use crate::patience::Patience;

/// How often a stream that is silent looks whether the server stops.
const LOOK: Duration = Duration::from_millis(250);

struct Incoming {
    app: Arc<App>,
    headers: HeaderMap,
    body: BodyDataStream<Body>,
    limit: usize,
    /// What has come and is not taken yet.
    bytes: BytesMut,
    over: bool,
}

/// The messages; an error is the last item.
pub(crate) fn incoming(
    app: Arc<App>,
    headers: HeaderMap,
    body: Body,
    limit: usize,
) -> impl Stream<Item = Result<Payload, ServerError>> + Send + 'static {
    let body = BodyDataStream::new(body);
    let start = Incoming { app, headers, body, limit, bytes: BytesMut::new(), over: false };
    stream::unfold(start, |mut incoming| async move {
        let next = incoming.next().await?;
        incoming.over = next.is_err();
        Some((next, incoming))
    })
}

impl Incoming {
    async fn next(&mut self) -> Option<Result<Payload, ServerError>> {
        if self.over {
            return None;
        }
        if self.bytes.is_empty() {
            match self.begun().await {
                Ok(true) => {}
                Ok(false) => return None,
                Err(error) => return Some(Err(error)),
            }
        }
        Some(self.whole().await)
    }

    /// Waits for the next message to begin; false: there is none.
    async fn begun(&mut self) -> Result<bool, ServerError> {
        while self.bytes.is_empty() {
            match timeout(LOOK, self.body.next()).await {
                Err(_) if self.app.is_stopping() => return Err(ServerError::Stopping),
                Err(_) => {}
                Ok(None) => return Ok(false),
                Ok(Some(data)) => self.bytes.extend_from_slice(&data.map_err(|_| broken())?),
            }
        }
        Ok(true)
    }

    /// The message that has begun.
    async fn whole(&mut self) -> Result<Payload, ServerError> {
        let (mut room, mut taken) = (Room::default(), 0);
        let mut patience = Patience::new(self.app.admission.rate);
        let (packed, length) = loop {
            if let Some((packed, length)) = prefix(&self.bytes) {
                if length > self.limit {
                    return Err(ServerError::TooLarge { limit: self.limit, unpacked: false });
                }
                if self.bytes.len() >= PREFIX + length {
                    break (packed, length);
                }
            }
            let data = self.more(&mut patience).await?;
            self.app.admission.take_room(&mut room, self.bytes.len() + data.len() - taken)?;
            taken = self.bytes.len() + data.len();
            self.bytes.extend_from_slice(&data);
        };
        let packing = packing(&self.headers, packed)?;
        let bytes = self.bytes.split_to(PREFIX + length).split_off(PREFIX).freeze();
        Ok(Payload { bytes, packing, charset: UTF_8, limit: self.limit, room })
    }

    async fn more(&mut self, patience: &mut Patience) -> Result<Bytes, ServerError> {
        let asked = Instant::now();
        let rate = self.app.admission.rate;
        let data = timeout(patience.left(), self.body.next()).await;
        let data =
            data.map_err(|_| ServerError::TooSlow { rate })?.ok_or_else(broken)?.map_err(|_| broken())?;
        patience.spend(asked.elapsed());
        patience.earn(data.len());
        Ok(data)
    }
}

fn broken() -> ServerError {
    ServerError::BadBody("the stream broke off within a message".to_owned())
}
