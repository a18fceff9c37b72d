//! A prediction request: its headers and body made into an exchange for the scoring path.

use std::borrow::Cow;

use axum::extract::Request;
use axum::http::{HeaderMap, header};
use bytes::Bytes;
use encoding_rs::{Encoding, UTF_8};
use portend_core::{Target, shortened, shortened_to};
use portend_model::Model;
use portend_model::frame::Frame;

use super::answer::{AnswerFormat, output_columns};
use super::columns::Columns;
use crate::admission::Admission;
use crate::body::{Packing, Payload, charset, gather, packing};
use crate::error::ServerError;
use crate::score::Exchange;

/// What the rows are written in.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Rows {
    Csv,
    Json,
}

/// One prediction request, read.
#[derive(Debug)]
pub(super) struct PpsExchange {
    payload: Payload,
    rows: Rows,
    columns: Columns,
    answer: AnswerFormat,
}

impl PpsExchange {
    /// Reads headers and gathers the body; nothing is decoded yet.
    pub(super) async fn read(
        request: Request,
        columns: Columns,
        answer: AnswerFormat,
        admission: &Admission,
        limit: usize,
    ) -> Result<Self, ServerError> {
        let (head, body) = request.into_parts();
        let packing = packing(&head.headers)?;
        // Known before the body is read, so that a wrong type costs nobody an upload.
        let content = Content::of(&head.headers)?;
        let (bytes, room) = gather(body, &head.headers, admission, limit).await?;
        let mut payload = Payload { bytes, packing, charset: UTF_8, limit, room };
        let ((rows, charset), payload) = match content {
            Content::Plain(rows, charset) => ((rows, charset), payload),
            Content::Form(boundary) => {
                if payload.packing != Packing::Plain {
                    // it is unpacked before it has a permit: room for the most that may come of it
                    admission.take_room(&mut payload.room, limit)?;
                }
                let (kind, bytes) = multipart(&payload, boundary).await?;
                (kind, Payload { bytes, packing: Packing::Plain, ..payload })
            }
        };
        Ok(Self { payload: Payload { charset, ..payload }, rows, columns, answer })
    }

    /// A repeated column may not be called like a column of a CSV answer.
    fn check_collision(&self, target: &Target, frame: &Frame) -> Result<(), ServerError> {
        if frame.passthrough.is_empty() || !matches!(self.answer, AnswerFormat::Csv(_)) {
            return Ok(());
        }
        let columns = output_columns(target);
        match frame.passthrough.iter().find(|column| columns.contains(&column.name)) {
            None => Ok(()),
            Some(column) => Err(ServerError::BadParameter(format!(
                "passthrough column '{}' has the name of a column of the answer",
                shortened(&column.name)
            ))),
        }
    }
}

impl Exchange for PpsExchange {
    type Encoder = AnswerFormat;

    fn size(&self, _: &Model) -> Option<(usize, usize)> {
        if self.payload.packing != Packing::Plain {
            return None;
        }
        let bytes = &self.payload.bytes;
        let mark = if self.rows == Rows::Csv { b'\n' } else { b'{' };
        // Counted only where it can matter: a large body is not small whatever its rows.
        let rows = memchr::memchr_iter(mark, &bytes[..bytes.len().min(64 << 10)]).count();
        Some((bytes.len(), rows))
    }

    fn decode(self, model: &Model, parts: usize) -> Result<(Vec<Frame>, AnswerFormat), ServerError> {
        let text = self.payload.text()?;
        let frames = match self.rows {
            Rows::Csv => model.decode_csv(&text, self.columns.keep(), parts),
            Rows::Json => model.decode_json(&text, self.columns.keep()).map(|frame| vec![frame]),
        };
        let frames = self.columns.check(frames)?;
        if let Some(first) = frames.first() {
            self.check_collision(&model.target, first)?;
        }
        Ok((frames, self.answer))
    }
}

/// What a body is by its `Content-Type`.
enum Content {
    /// Rows in a charset.
    Plain(Rows, &'static Encoding),
    /// A form with this boundary.
    Form(String),
}

impl Content {
    fn of(headers: &HeaderMap) -> Result<Self, ServerError> {
        match form_boundary(headers)? {
            Some(boundary) => Ok(Self::Form(boundary)),
            None => kind(&content_type(headers)).map(|(rows, charset)| Self::Plain(rows, charset)),
        }
    }
}

fn content_type(headers: &HeaderMap) -> Cow<'_, str> {
    headers.get(header::CONTENT_TYPE).map(|v| String::from_utf8_lossy(v.as_bytes())).unwrap_or_default()
}

/// What stands between the parts of a form; None for another body.
pub(super) fn form_boundary(headers: &HeaderMap) -> Result<Option<String>, ServerError> {
    let value = content_type(headers);
    if !value.get(..FORM.len()).is_some_and(|start| start.eq_ignore_ascii_case(FORM)) {
        return Ok(None);
    }
    let boundary = multer::parse_boundary(&*value);
    boundary.map(Some).map_err(|_| ServerError::BadBody(format!("Content-Type {FORM} has no boundary")))
}

/// What a body is that has its rows as a file.
pub(super) const FORM: &str = "multipart/form-data";

/// Content types that mean rows, for each kind the usual one first.
const KINDS: [(&str, Rows); 4] = [
    ("text/csv", Rows::Csv),
    ("application/json", Rows::Json),
    ("text/plain", Rows::Csv),
    ("application/csv", Rows::Csv),
];

/// The usual content types for rows, and whether they mean JSON.
pub(super) fn media_types() -> impl Iterator<Item = (&'static str, bool)> {
    let is_first = |at: usize| KINDS[..at].iter().all(|(_, rows)| *rows != KINDS[at].1);
    let usual = KINDS.iter().enumerate().filter(move |(at, _)| is_first(*at));
    usual.map(|(_, (name, rows))| (*name, *rows == Rows::Json))
}

/// Rows and charset of a content type; CSV when it is empty.
fn kind(content_type: &str) -> Result<(Rows, &'static Encoding), ServerError> {
    let mut parts = content_type.split(';').map(str::trim);
    let essence = parts.next().unwrap_or_default();
    let known = KINDS.iter().find(|(name, _)| name.eq_ignore_ascii_case(essence)).map(|(_, rows)| *rows);
    let rows = known.or(essence.is_empty().then_some(Rows::Csv)).ok_or_else(|| {
        ServerError::UnsupportedMediaType(format!(
            "Content-Type '{}' is not read: send text/csv, text/plain (CSV), application/json or {FORM}",
            shortened(essence)
        ))
    })?;
    let label =
        parts.find_map(|p| p.split_once('=').filter(|(k, _)| k.trim().eq_ignore_ascii_case("charset")));
    Ok((rows, charset(label.map(|(_, v)| v.trim().trim_matches('"')))?))
}

/// The first file of a form, and what it holds by its own content type or its name.
async fn multipart(
    whole: &Payload,
    boundary: String,
) -> Result<((Rows, &'static Encoding), Bytes), ServerError> {
    let bad = |e: multer::Error| {
        let reason = e.to_string();
        ServerError::BadBody(format!("the multipart body cannot be read: {}", shortened_to(200, &reason)))
    };
    let bytes = match whole.packing {
        Packing::Plain => whole.bytes.clone(),
        // Other requests on this thread go on elsewhere meanwhile.
        _ => Bytes::from(tokio::task::block_in_place(|| whole.unpacked())?.into_owned()),
    };
    let stream = futures_util::stream::iter([Ok::<_, std::convert::Infallible>(bytes)]);
    let mut form = multer::Multipart::new(stream, boundary);
    while let Some(field) = form.next_field().await.map_err(bad)? {
        let Some(name) = field.file_name().map(str::to_ascii_lowercase) else { continue };
        let declared = field.content_type().map(ToString::to_string);
        // curl calls what it does not know application/octet-stream: the name says more then
        let declared = declared.filter(|d| !d.starts_with("application/octet-stream"));
        let by_name = if name.ends_with(".json") { "application/json" } else { "text/csv" };
        let kind = kind(declared.as_deref().unwrap_or(by_name))?;
        return Ok((kind, field.bytes().await.map_err(bad)?));
    }
    Err(ServerError::BadBody(
        "the multipart body has no file part: send one as in -F file=@rows.csv".to_owned(),
    ))
}
