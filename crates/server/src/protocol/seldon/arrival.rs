//! The ways in which a message arrives: as a JSON body, in a form, in the query, or in parts. Whichever it was, what comes
//! out is the text of one JSON value.

use std::borrow::Cow;
use std::convert::Infallible;

use axum::extract::Request;
use axum::http::{HeaderMap, header};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use encoding_rs::UTF_8;
use futures_util::{FutureExt, stream};
use multer::{Field, Multipart};
use portend_core::{shortened, shortened_to};
use serde_json::value::RawValue;

use super::bad;
use crate::admission::{Admission, Room};
use crate::body::{Packing, Payload, gather, packing};
use crate::error::ServerError;

/// A message as it came; nothing is decoded yet.
#[derive(Debug)]
pub(super) struct Arrival {
    payload: Payload,
    form: Form,
}

/// Where in a request the message stands.
#[derive(Debug)]
enum Form {
    /// It is the body.
    Json,
    /// In the field `json` of a form, else in the query.
    Fields(Option<String>),
    /// In the query.
    Query(String),
    /// Each of its keys is a part.
    Parts(String),
}

impl Arrival {
    /// Reads headers and query and gathers the body.
    pub(super) async fn read(
        request: Request,
        admission: &Admission,
        limit: usize,
    ) -> Result<Self, ServerError> {
        let (head, body) = request.into_parts();
        let form = Form::of(&head.headers, head.uri.query().unwrap_or_default())?;
        let mut payload = Payload {
            bytes: Bytes::new(),
            packing: packing(&head.headers)?,
            charset: UTF_8,
            limit,
            room: Room::default(),
        };
        if !matches!(form, Form::Query(_)) {
            (payload.bytes, payload.room) = gather(body, &head.headers, admission, limit).await?;
        }
        Ok(Self { payload, form })
    }

    /// Its bytes, where they say how much work it is.
    pub(super) fn plain(&self) -> Option<&[u8]> {
        match &self.form {
            Form::Query(json) => Some(json.as_bytes()),
            _ => self.payload.plain(),
        }
    }

    /// The message as JSON.
    pub(super) fn text(&self) -> Result<Cow<'_, str>, ServerError> {
        let text = match &self.form {
            Form::Json => self.payload.text()?,
            Form::Query(json) => Cow::Borrowed(json.as_str()),
            Form::Fields(query) => match (field(&self.payload.unpacked()?), query) {
                (Some(json), _) => Cow::Owned(json),
                (None, Some(json)) => Cow::Borrowed(json.as_str()),
                (None, None) => return Err(no_json()),
            },
            Form::Parts(boundary) => Cow::Owned(self.parts(boundary)?),
        };
        if text.trim_ascii().is_empty() { Err(no_json()) } else { Ok(with_numbers_quoted(text)) }
    }

    /// The parts of a form put together to one object.
    fn parts(&self, boundary: &str) -> Result<String, ServerError> {
        let bytes = match self.payload.packing {
            Packing::Plain => self.payload.bytes.clone(),
            _ => Bytes::from(self.payload.unpacked()?.into_owned()),
        };
        let whole = stream::iter([Ok::<_, Infallible>(bytes)]);
        let joined = joined(Multipart::new(whole, boundary));
        // all of it is there: nothing is waited for
        joined.now_or_never().unwrap_or(Err(ServerError::Internal))
    }
}

impl Form {
    fn of(headers: &HeaderMap, query: &str) -> Result<Self, ServerError> {
        let value = headers.get(header::CONTENT_TYPE).map(|v| String::from_utf8_lossy(v.as_bytes()));
        let value = value.unwrap_or_default();
        let essence = value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        if essence == "multipart/form-data" {
            let boundary =
                multer::parse_boundary(&*value).map_err(|_| bad(format!("{essence} has no boundary")))?;
            return Ok(Self::Parts(boundary));
        }
        let query = field(query.as_bytes());
        if essence == "application/x-www-form-urlencoded" {
            return Ok(Self::Fields(query));
        }
        let is_json =
            essence.strip_prefix("application/").is_some_and(|t| t == "json" || t.ends_with("+json"));
        match query {
            Some(json) => Ok(Self::Query(json)),
            None if is_json => Ok(Self::Json),
            None => Err(no_json()),
        }
    }
}

fn no_json() -> ServerError {
    bad(
        "Can't find JSON in data: send it with Content-Type application/json, or as the field 'json' of a form or query",
    )
}

/// The field `json` of a form or query.
fn field(form: &[u8]) -> Option<String> {
    let mut fields = form_urlencoded::parse(form);
    fields.find(|(name, json)| name == "json" && !json.is_empty()).map(|(_, json)| json.into_owned())
}

/// A message has fewer keys.
const MOST_PARTS: usize = 16;

async fn joined(mut form: Multipart<'_>) -> Result<String, ServerError> {
    let mut object = String::from("{");
    let mut count = 0;
    while let Some(part) = form.next_field().await.map_err(|e| broken(&e))? {
        if count == MOST_PARTS {
            return Err(bad(format!("the multipart body has more than {MOST_PARTS} parts")));
        }
        object.push_str(if count == 0 { "" } else { "," });
        count += 1;
        let name = part.name().unwrap_or_default().to_owned();
        let value = value(&name, part).await?;
        object.push_str(&quoted(&name));
        object.push(':');
        object.push_str(&value);
    }
    object.push('}');
    Ok(object)
}

/// The JSON that a part stands for: text is JSON except under `strData`, a file is its bytes under `binData`, else text.
async fn value(name: &str, part: Field<'_>) -> Result<String, ServerError> {
    let is_file = part.file_name().is_some();
    let bytes = part.bytes().await.map_err(|e| broken(&e))?;
    if is_file && name == "binData" {
        return Ok(format!("\"{}\"", BASE64_STANDARD.encode(bytes)));
    }
    let text = std::str::from_utf8(&bytes)
        .map_err(|_| bad(format!("the part '{}' is not UTF-8 text", shortened(name))))?;
    if is_file || name == "strData" {
        return Ok(quoted(text));
    }
    let text = with_numbers_quoted(Cow::Borrowed(text));
    match serde_json::from_str::<&RawValue>(&text) {
        Ok(_) => Ok(text.into_owned()),
        Err(error) => Err(bad(format!("the part '{}' is not JSON: {error}", shortened(name)))),
    }
}

fn broken(error: &multer::Error) -> ServerError {
    let reason = error.to_string();
    bad(format!("the multipart body cannot be read: {}", shortened_to(200, &reason)))
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// Numbers that Python writes and JSON has no word for.
const NUMBERS: [&str; 3] = ["NaN", "Infinity", "-Infinity"];

/// The same JSON with those numbers as texts, which are numbers here.
pub(super) fn with_numbers_quoted(text: Cow<'_, str>) -> Cow<'_, str> {
    let has = |number: &str| memchr::memmem::find(text.as_bytes(), number.as_bytes()).is_some();
    if !has("NaN") && !has("Infinity") {
        return text;
    }
    let (mut changed, mut rest) = (String::with_capacity(text.len() + text.len() / 8), &*text);
    while !rest.is_empty() {
        let (outside, from_quote) = rest.split_at(rest.find('"').unwrap_or(rest.len()));
        quote_numbers(outside, &mut changed);
        let (inside, after) = from_quote.split_at(text_end(from_quote.as_bytes()));
        changed.push_str(inside);
        rest = after;
    }
    Cow::Owned(changed)
}

fn quote_numbers(outside: &str, changed: &mut String) {
    for piece in outside.split_inclusive([',', ':', '[', ']', '{', '}']) {
        let token = piece.trim_end_matches([',', ':', '[', ']', '{', '}']);
        match NUMBERS.contains(&token.trim()) {
            true => {
                changed.extend(["\"", token.trim(), "\""]);
                changed.push_str(&piece[token.len()..]);
            }
            false => changed.push_str(piece),
        }
    }
}

/// Where a JSON text ends that starts with its quote.
fn text_end(text: &[u8]) -> usize {
    let mut at = 1;
    while let Some(found) = text.get(at..).and_then(|rest| memchr::memchr2(b'"', b'\\', rest)) {
        at += found;
        if text[at] == b'"' {
            return at + 1;
        }
        at += 2; // what is escaped ends nothing
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_without_a_word_in_json_become_texts() {
        for (given, expected) in [
            ("[1, 2]", "[1, 2]"),
            ("[NaN, -Infinity,Infinity ]", r#"["NaN","-Infinity","Infinity"]"#),
            (r#"{"NaN":NaN,"a":"NaN, [NaN]"}"#, r#"{"NaN":"NaN","a":"NaN, [NaN]"}"#),
            (r#"["\"NaN",NaN]"#, r#"["\"NaN","NaN"]"#),
            (r#"["\\",NaN]"#, r#"["\\","NaN"]"#),
            ("NaN", "\"NaN\""),
            ("[NaNs]", "[NaNs]"),
            ("[NaN, \"open", "[\"NaN\", \"open"),
            ("[NaN, \"\\", "[\"NaN\", \"\\"),
            ("[\"ü\",NaN,\"\\ü", "[\"ü\",\"NaN\",\"\\ü"),
        ] {
            assert_eq!(with_numbers_quoted(Cow::Borrowed(given)), expected, "{given}");
        }
    }
}
