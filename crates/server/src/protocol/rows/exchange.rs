//! One request of such a contract on the scoring path.

use std::borrow::Cow;
use std::str::Utf8Error;

use axum::extract::Request;
use axum::response::Response;
use encoding_rs::UTF_8;
use portend_model::Model;
use portend_model::frame::Frame;

use super::{Asked, RowsAnswer, bad};
use crate::body::{Packing, Payload, gather, packing};
use crate::error::ServerError;
use crate::http::App;
use crate::protocol;
use crate::protocol::python_json::plain_json;
use crate::repository::Ready;
use crate::score::Exchange;

/// How a contract reads the text of a body.
pub(crate) trait Contract: Send + 'static {
    /// What the text asks for.
    fn read<'b>(&self, text: &'b str, model: &Model) -> Result<Asked<'b>, ServerError>;

    /// What a body asks for that is a Parquet file and no text. `limit` is how many bytes its rows may be.
    fn of_file<'b>(&self, _file: &'b [u8], _limit: usize, _model: &Model) -> Option<Asked<'b>> {
        None
    }

    /// The byte of which a row has about one, or one for each feature.
    fn mark(&self) -> Mark {
        Mark::EachValue(b',')
    }

    /// Whether the words NaN and Infinity may stand for numbers, as Python writes them.
    fn takes_python_numbers(&self) -> bool {
        true
    }

    /// A body that is not UTF-8.
    fn not_text(&self, error: Utf8Error) -> ServerError {
        bad(format!("the body is not UTF-8 text: {error}"))
    }
}

/// What is counted to tell how many rows a body has.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Mark {
    /// One a row.
    EachRow(u8),
    /// One a value.
    EachValue(u8),
    /// No byte tells.
    Nothing,
}

/// Reads the body and answers it.
pub(crate) async fn answered(
    app: &App,
    ready: &Ready,
    request: Request,
    contract: impl Contract,
) -> Result<Response, ServerError> {
    let (head, body) = request.into_parts();
    let packing = packing(&head.headers)?;
    let limit = app.config.body_limit;
    let (bytes, room) = gather(body, &head.headers, &app.admission, limit).await?;
    let payload = Payload { bytes, packing, charset: UTF_8, limit, room };
    let exchange = RowsExchange { payload, contract };
    Ok(protocol::response(app.scorer.answer(&app.admission, ready, exchange).await?))
}

/// One request, read.
struct RowsExchange<C> {
    payload: Payload,
    contract: C,
}

impl<C: Contract> Exchange for RowsExchange<C> {
    type Encoder = RowsAnswer;

    fn size(&self, model: &Model) -> Option<(usize, usize)> {
        if self.payload.packing != Packing::Plain {
            return None;
        }
        let bytes = &self.payload.bytes;
        // counted only where it can matter: a large body is not small whatever its rows
        let count = |mark| memchr::memchr_iter(mark, &bytes[..bytes.len().min(64 << 10)]).count();
        let rows = match self.contract.mark() {
            Mark::EachRow(mark) => count(mark),
            Mark::EachValue(mark) => count(mark) / model.features.len().max(1),
            Mark::Nothing => return None,
        };
        Some((bytes.len(), rows + 1))
    }

    fn decode(self, model: &Model, parts: usize) -> Result<(Vec<Frame>, RowsAnswer), ServerError> {
        let bytes = self.payload.unpacked()?;
        if let Some(Asked { table, answer }) = self.contract.of_file(&bytes, self.payload.limit, model) {
            return Ok((table.frames(model, parts)?, answer));
        }
        let text = std::str::from_utf8(&bytes).map_err(|error| self.contract.not_text(error))?;
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let text = match self.contract.takes_python_numbers() {
            true => plain_json(text).map_or(Cow::Borrowed(text), Cow::Owned),
            false => Cow::Borrowed(text),
        };
        let Asked { table, answer } = self.contract.read(&text, model)?;
        Ok((table.frames(model, parts)?, answer))
    }
}
