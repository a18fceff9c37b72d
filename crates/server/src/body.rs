//! Request bodies: gathered within a limit, decompressed, and read as text in their charset.

use std::borrow::Cow;
use std::io::Read;
use std::pin::pin;

use axum::body::Body;
use axum::http::{HeaderMap, header};
use bytes::{Bytes, BytesMut};
use encoding_rs::{Encoding, UTF_8};
use flate2::read::{MultiGzDecoder, ZlibDecoder};
use futures_util::StreamExt;
use portend_core::shortened;

use crate::admission::{Admission, Room};
use crate::error::ServerError;
use crate::patience::arriving;

/// Gathers a body of at most `limit` bytes; one that arrives in one piece is not copied, and needs no room: as much
/// may lie in the buffer of any connection.
pub(crate) async fn gather(
    body: Body,
    headers: &HeaderMap,
    admission: &Admission,
    limit: usize,
) -> Result<(Bytes, Room), ServerError> {
    let too_large = || ServerError::TooLarge { limit, unpacked: false };
    let promised = headers.get(header::CONTENT_LENGTH).and_then(|v| v.to_str().ok()?.parse::<usize>().ok());
    if promised.is_some_and(|length| length > limit) {
        return Err(too_large());
    }
    let mut pieces = pin!(arriving(body, admission.rate));
    let mut first: Option<Bytes> = None;
    let mut all = BytesMut::new();
    let mut room = Room::default();
    while let Some(data) = pieces.next().await.transpose()? {
        if all.is_empty() && first.is_none() {
            first = Some(data);
            continue;
        }
        if let Some(first) = first.take() {
            admission.take_room(&mut room, first.len())?;
            all.extend_from_slice(&first);
        }
        admission.take_room(&mut room, data.len())?;
        if all.len() >= LONG {
            // who promises much need not send it: the rest is reserved once much has come
            all.reserve(promised.unwrap_or_default().saturating_sub(all.len()).max(data.len()));
        }
        all.extend_from_slice(&data);
        if all.len() > limit {
            return Err(too_large());
        }
    }
    match first {
        Some(first) if first.len() > limit => Err(too_large()),
        Some(first) => Ok((first, room)),
        None => Ok((all.freeze(), room)),
    }
}

/// A body of which so much has come is taken to come as a whole.
const LONG: usize = 1 << 20;

/// How a body is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Packing {
    /// Not at all.
    Plain,
    Gzip,
    /// In the framing of zlib, as HTTP means the word.
    Deflate,
}

/// A body with what its headers say about it.
#[derive(Debug)]
pub(crate) struct Payload {
    /// As received.
    pub(crate) bytes: Bytes,
    /// How it is compressed.
    pub(crate) packing: Packing,
    /// Its charset.
    pub(crate) charset: &'static Encoding,
    /// The most bytes it may have when decompressed.
    pub(crate) limit: usize,
    /// What it holds of the budget of bodies, until it is scored.
    pub(crate) room: Room,
}

impl Payload {
    /// Decompresses and decodes. A byte order mark is dropped.
    pub(crate) fn text(&self) -> Result<Cow<'_, str>, ServerError> {
        let bytes = self.unpacked()?;
        if self.charset != UTF_8 {
            let (text, _, broken) = self.charset.decode(&bytes);
            return match broken {
                true => Err(ServerError::BadBody(format!("the body is not valid {}", self.charset.name()))),
                false => Ok(Cow::Owned(text.into_owned())),
            };
        }
        let text = match bytes {
            Cow::Borrowed(bytes) => std::str::from_utf8(bytes).map(Cow::Borrowed),
            Cow::Owned(bytes) => String::from_utf8(bytes).map(Cow::Owned).map_err(|e| e.utf8_error()),
        };
        let text = text.map_err(|error| {
            let line = memchr::memchr_iter(b'\n', &self.bytes[..error.valid_up_to().min(self.bytes.len())]).count();
            let place = if self.packing != Packing::Plain { String::new() } else { format!(" (line {})", line + 1) };
            ServerError::BadBody(format!(
                "the body is not valid UTF-8{place}: name its charset in Content-Type, as in 'text/csv; charset=latin1'"
            ))
        })?;
        Ok(match text {
            Cow::Borrowed(text) => Cow::Borrowed(text.strip_prefix('\u{feff}').unwrap_or(text)),
            Cow::Owned(text) if text.starts_with('\u{feff}') => {
                Cow::Owned(text['\u{feff}'.len_utf8()..].to_owned())
            }
            owned => owned,
        })
    }

    /// Its bytes, where they say how much work it is.
    pub(crate) fn plain(&self) -> Option<&[u8]> {
        (self.packing == Packing::Plain).then_some(&self.bytes)
    }

    /// The body without its compression.
    pub(crate) fn unpacked(&self) -> Result<Cow<'_, [u8]>, ServerError> {
        let (name, source): (_, Box<dyn Read + '_>) = match self.packing {
            Packing::Plain => return Ok(Cow::Borrowed(&self.bytes)),
            Packing::Gzip => ("gzip", Box::new(MultiGzDecoder::new(&self.bytes[..]))),
            Packing::Deflate => ("deflate", Box::new(ZlibDecoder::new(&self.bytes[..]))),
        };
        let mut unpacked = Vec::new();
        match source.take(self.limit as u64 + 1).read_to_end(&mut unpacked) {
            Err(error) => Err(ServerError::BadBody(format!("the body is not valid {name}: {error}"))),
            Ok(_) if unpacked.len() > self.limit => {
                Err(ServerError::TooLarge { limit: self.limit, unpacked: true })
            }
            Ok(_) => Ok(Cow::Owned(unpacked)),
        }
    }
}

/// The charset called `label` (`utf8`, `utf-8`, `latin1`, …); UTF-8 when none is given.
pub(crate) fn charset(label: Option<&str>) -> Result<&'static Encoding, ServerError> {
    match label {
        None | Some("") => Ok(UTF_8),
        Some(label) => Encoding::for_label(label.as_bytes())
            .ok_or_else(|| ServerError::BadBody(format!("charset '{}' is not known", shortened(label)))),
    }
}

/// How the headers say that the body is compressed; what is not read is refused.
pub(crate) fn packing(headers: &HeaderMap) -> Result<Packing, ServerError> {
    let is = |value: &str, names: [&str; 2]| names.iter().any(|name| value.eq_ignore_ascii_case(name));
    match headers.get(header::CONTENT_ENCODING).map(|v| v.to_str().unwrap_or("?")) {
        None => Ok(Packing::Plain),
        Some(value) if is(value, ["", "identity"]) => Ok(Packing::Plain),
        Some(value) if is(value, ["gzip", "x-gzip"]) => Ok(Packing::Gzip),
        Some(value) if value.eq_ignore_ascii_case("deflate") => Ok(Packing::Deflate),
        Some(value) => Err(ServerError::UnsupportedMediaType(format!(
            "Content-Encoding '{}' is not read, only gzip and deflate are",
            shortened(value)
        ))),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn check(bytes: &[u8], gzip: bool, label: &str, expected: Result<&str, &str>) {
        let payload = Payload {
            bytes: Bytes::copy_from_slice(bytes),
            packing: if gzip { Packing::Gzip } else { Packing::Plain },
            charset: charset(Some(label)).unwrap(),
            limit: 100,
            room: Room::default(),
        };
        let found = payload.text().map_err(|e| e.to_string());
        assert_eq!(found.as_deref().map_err(String::as_str), expected, "{bytes:?}");
    }

    fn packed(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn bodies_become_text_whatever_their_charset() {
        check("ü".as_bytes(), false, "utf8", Ok("ü"));
        check(b"\xef\xbb\xbfa", false, "UTF-8", Ok("a"));
        check(b"\xfc", false, "latin1", Ok("ü"));
        check(b"\x8a\xbf\x8e\x9a", false, "shift_jis", Ok("漢字"));
        check(b"a\0b\0", false, "utf-16le", Ok("ab"));
        check(&packed(b"\xef\xbb\xbfa,b"), true, "utf8", Ok("a,b"));
        let twice = [packed(b"a"), packed(b"b")].concat();
        check(&twice, true, "utf8", Ok("ab"));
    }

    #[test]
    fn damaged_bodies_are_refused() {
        let hint = "name its charset in Content-Type, as in 'text/csv; charset=latin1'";
        check(b"a\n\xfc", false, "utf8", Err(&format!("the body is not valid UTF-8 (line 2): {hint}")));
        check(b"\x81", false, "shift_jis", Err("the body is not valid Shift_JIS"));
        check(b"plain text", true, "utf8", Err("the body is not valid gzip: invalid gzip header"));
        let bomb = packed(&[b'a'; 101]);
        check(&bomb, true, "utf8", Err("the request body is larger than 100 bytes when decompressed"));
        assert!(charset(Some("klingon")).is_err());
    }
}
