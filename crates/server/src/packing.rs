//! Answers, compressed as their client takes them.

use std::io::Write;

use axum::http::{HeaderMap, HeaderValue, header};
use flate2::Compression;
use flate2::write::{GzEncoder, ZlibEncoder};

use crate::body::Packing;

/// What the client takes an answer in; gzip goes before deflate.
pub(crate) fn accepted_packing(headers: &HeaderMap) -> Packing {
    let accepted = headers.get(header::ACCEPT_ENCODING).and_then(|v| v.to_str().ok()).unwrap_or_default();
    let takes = |name: &str| {
        accepted.split(',').any(|item| {
            let mut parts = item.split(';').map(str::trim);
            let refused = |part: &str| part.strip_prefix("q=").is_some_and(|q| q.parse() == Ok(0.0));
            parts.next().is_some_and(|found| found.eq_ignore_ascii_case(name)) && !parts.any(refused)
        })
    };
    match (takes("gzip"), takes("deflate")) {
        (true, _) => Packing::Gzip,
        (false, true) => Packing::Deflate,
        (false, false) => Packing::Plain,
    }
}

/// Compressed as the client takes it, where that is worth it.
pub(crate) fn packed(chunks: Vec<Vec<u8>>, packing: Packing, headers: &mut HeaderMap) -> Vec<Vec<u8>> {
    const SMALL: usize = 1 << 10;
    let length: usize = chunks.iter().map(Vec::len).sum();
    if length < SMALL || packing == Packing::Plain {
        return chunks;
    }
    let room = Vec::with_capacity(length / 2);
    let (name, bytes) = match packing {
        Packing::Gzip => {
            let mut encoder = GzEncoder::new(room, Compression::fast());
            (
                "gzip",
                chunks.iter().try_for_each(|chunk| encoder.write_all(chunk)).and_then(|()| encoder.finish()),
            )
        }
        _ => {
            let mut encoder = ZlibEncoder::new(room, Compression::fast());
            let written = chunks.iter().try_for_each(|chunk| encoder.write_all(chunk));
            ("deflate", written.and_then(|()| encoder.finish()))
        }
    };
    let Ok(bytes) = bytes else { return chunks }; // writing to a vector cannot fail
    headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(name));
    headers.insert(header::VARY, HeaderValue::from_static("Accept-Encoding"));
    vec![bytes]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_compressed_as_the_client_takes_them() {
        for (accepted, expected) in [
            ("", Packing::Plain),
            ("gzip", Packing::Gzip),
            ("deflate", Packing::Deflate),
            ("deflate, GZIP;q=0.5", Packing::Gzip),
            ("gzip;q=0, deflate", Packing::Deflate),
            ("br, identity", Packing::Plain),
        ] {
            let headers = HeaderMap::from_iter([(header::ACCEPT_ENCODING, accepted.parse().unwrap())]);
            assert_eq!(accepted_packing(&headers), expected, "{accepted}");
        }
    }
}
