//! The id of a request, in answers and in the log: the one that the client or a proxy gave, else one of our own.

use std::fmt;

use axum::http::{HeaderMap, HeaderName, HeaderValue};

/// Where clients and proxies put an id of theirs, and find it again.
pub(crate) const GIVEN: HeaderName = HeaderName::from_static("x-request-id");

/// A longer id is not taken over.
const MOST_CHARACTERS: usize = 128;

/// The id of one request.
#[derive(Debug, Clone)]
pub(crate) enum RequestId {
    /// A number that no other request of this process has.
    Own(u64),
    /// What `X-Request-ID` said: visible ASCII.
    Given(HeaderValue),
}

impl RequestId {
    /// The id that the headers give, else `own`.
    pub(crate) fn of(headers: &HeaderMap, own: u64) -> Self {
        let fits = |id: &&HeaderValue| {
            (1..=MOST_CHARACTERS).contains(&id.len()) && id.as_bytes().iter().all(u8::is_ascii_graphic)
        };
        headers.get(GIVEN).filter(fits).map_or(Self::Own(own), |id| Self::Given(id.clone()))
    }

    /// The id as the value of a header.
    pub(crate) fn to_header(&self) -> Option<HeaderValue> {
        match self {
            Self::Own(_) => HeaderValue::try_from(self.to_string()).ok(),
            Self::Given(id) => Some(id.clone()),
        }
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Own(id) => write!(f, "{id:016x}"),
            Self::Given(id) => f.write_str(id.to_str().unwrap_or_default()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_taken_over_if_it_can_be_shown() {
        let long = "x".repeat(129);
        for (given, expected) in [
            ("abc-1", "abc-1"),
            ("", "000000000000002a"),
            ("a b", "000000000000002a"),
            (long.as_str(), "000000000000002a"),
        ] {
            let headers = HeaderMap::from_iter([(GIVEN, given.parse().unwrap())]);
            assert_eq!(RequestId::of(&headers, 42).to_string(), expected, "{given}");
        }
        assert_eq!(RequestId::of(&HeaderMap::new(), 42).to_header().unwrap(), "000000000000002a");
    }
}
