//! How a call ends: the codes of gRPC, which of them an error is, and the trailers that say so.

use std::fmt::Write;

use axum::body::Body;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::Response;

use crate::error::ServerError;

/// Where the code stands.
const STATUS: HeaderName = HeaderName::from_static("grpc-status");

/// Where its text stands.
const MESSAGE: HeaderName = HeaderName::from_static("grpc-message");

/// What bodies of calls are.
pub(crate) const CONTENT_TYPE: HeaderValue = HeaderValue::from_static("application/grpc");

/// The characters of a text that are sent: a client has room for 8 KiB of trailers.
const MOST_TEXT: usize = 2048;

/// The code of a call that ended well.
const OK: HeaderValue = HeaderValue::from_static("0");

/// The codes of gRPC that are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Code {
    InvalidArgument = 3,
    DeadlineExceeded = 4,
    NotFound = 5,
    PermissionDenied = 7,
    ResourceExhausted = 8,
    FailedPrecondition = 9,
    Unimplemented = 12,
    Internal = 13,
    Unavailable = 14,
    Unauthenticated = 16,
}

/// The code of an error. Clients try again what is unavailable.
fn code(error: &ServerError) -> Code {
    match error {
        ServerError::NotFound(_) => Code::NotFound,
        ServerError::MethodNotAllowed(_)
        | ServerError::Unimplemented(_)
        | ServerError::UnsupportedMediaType(_) => Code::Unimplemented,
        ServerError::Unauthorized => Code::Unauthenticated,
        ServerError::Forbidden(_) => Code::PermissionDenied,
        ServerError::Conflict(_) => Code::FailedPrecondition,
        ServerError::BadBody(_)
        | ServerError::BadParameter(_)
        | ServerError::AssociationId(_)
        | ServerError::Data(_) => Code::InvalidArgument,
        ServerError::TargetTooLong(_)
        | ServerError::HeadersTooLarge(_)
        | ServerError::TooLarge { .. }
        | ServerError::UploadTooLarge { .. }
        | ServerError::AnswerTooLarge { .. }
        | ServerError::MessageTooLarge { .. }
        | ServerError::StorageFull(_) => Code::ResourceExhausted,
        ServerError::TooSlow { .. } | ServerError::DeadlineExceeded => Code::DeadlineExceeded,
        ServerError::Overloaded(_)
        | ServerError::Stopping
        | ServerError::Loading(_)
        | ServerError::LoadFailed { .. }
        | ServerError::Unloaded(_) => Code::Unavailable,
        ServerError::NotStored(_) | ServerError::Internal => Code::Internal,
    }
}

/// The status that an answer would have over plain HTTP: calls have 200, whatever their end, but the log and the metrics
/// tell them like all others.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Told(pub(crate) StatusCode);

/// The trailers of a call that ended well.
pub(crate) fn ok() -> HeaderMap {
    HeaderMap::from_iter([(STATUS, OK)])
}

/// The trailers of a call that failed.
pub(crate) fn failed(error: &ServerError) -> HeaderMap {
    let mut trailers = HeaderMap::with_capacity(2);
    trailers.insert(STATUS, HeaderValue::from(code(error) as u16));
    if let Ok(text) = HeaderValue::try_from(percent_encoded(&error.to_string())) {
        trailers.insert(MESSAGE, text);
    }
    trailers
}

/// A call that failed before there was an answer: trailers alone, in the place of headers.
pub(crate) fn error_form(error: &ServerError) -> Response {
    let mut response = Response::new(Body::empty());
    *response.headers_mut() = failed(error);
    response.headers_mut().insert(header::CONTENT_TYPE, CONTENT_TYPE);
    response.extensions_mut().insert(Told(error.status()));
    response
}

/// As texts of trailers are written: visible ASCII and spaces, all else in bytes of percent.
fn percent_encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for character in text.chars().take(MOST_TEXT) {
        if (character == ' ' || character.is_ascii_graphic()) && character != '%' {
            encoded.push(character);
        } else {
            let bytes = character.encode_utf8(&mut [0; 4]).as_bytes().to_vec();
            bytes.iter().for_each(|byte| _ = write!(encoded, "%{byte:02X}"));
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_written_in_ascii() {
        for (text, expected) in [
            ("no model 'a'", "no model 'a'"),
            ("100% ü\n", "100%25 %C3%BC%0A"),
            ("", ""),
            ("漢", "%E6%BC%A2"),
        ] {
            assert_eq!(percent_encoded(text), expected);
        }
        assert_eq!(percent_encoded(&"x".repeat(1 << 20)).len(), MOST_TEXT);
    }

    #[test]
    fn an_error_has_code_and_text() {
        let trailers = failed(&ServerError::NotFound("there is no model 'ä'".to_owned()));
        assert_eq!(trailers["grpc-status"], "5");
        assert_eq!(trailers["grpc-message"], "there is no model '%C3%A4'");
        assert_eq!(ok()["grpc-status"], "0");
    }
}
