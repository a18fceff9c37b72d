//! What answers say of a prediction outside of their body: its id, and the attributes of a CloudEvent.

use std::hash::{BuildHasher, RandomState};

use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::response::Response;

/// The id of a prediction.
pub(super) const PUID: HeaderName = HeaderName::from_static("seldon-puid");
/// The version of CloudEvents; clients that send it want the attributes of one.
const EVENT_VERSION: HeaderName = HeaderName::from_static("ce-specversion");

/// What a request said of itself in its headers.
#[derive(Debug)]
pub(super) struct Identity {
    puid: Option<HeaderValue>,
    /// The request's path, where the answer is to be an event.
    event_path: Option<String>,
}

impl Identity {
    pub(super) fn of(request: &Request) -> Self {
        let headers = request.headers();
        let is_event = headers.contains_key(EVENT_VERSION);
        Self {
            puid: headers.get(PUID).filter(|puid| !puid.is_empty()).cloned(),
            event_path: is_event.then(|| request.uri().path().to_owned()),
        }
    }

    /// Whether the answer is to be an event.
    pub(super) fn is_event(&self) -> bool {
        self.event_path.is_some()
    }

    /// Adds the id of an answer: the one of the request's headers, of its message, or a new one.
    pub(super) fn stamp_puid(self, headers: &mut HeaderMap) -> Option<HeaderValue> {
        let puid = self.puid.or_else(|| headers.get(PUID).cloned()).or_else(new_puid)?;
        headers.insert(PUID, puid.clone());
        Some(puid)
    }

    /// Adds headers to an answer, its id among them. `deployment` and `namespace` are who answers.
    pub(super) fn stamp(mut self, response: &mut Response, deployment: &str, namespace: &str) {
        let headers = response.headers_mut();
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        let event_path = self.event_path.take();
        let puid = self.stamp_puid(headers);
        if let (Some(path), Some(puid)) = (event_path, puid) {
            let mut add = |name: &'static str, value: &str| add(headers, name, value);
            add("ce-specversion", "0.3");
            add("ce-path", &path);
            add("ce-type", &format!("seldon.{deployment}.{namespace}.response"));
            add("ce-source", &format!("seldon.{deployment}"));
            headers.insert("ce-id", puid);
        }
    }
}

/// Adds a header; what cannot be one is left out.
fn add(headers: &mut HeaderMap, name: &'static str, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

/// A random UUID, version 4. It need not be secret: the keys of hash maps are random enough.
fn new_puid() -> Option<HeaderValue> {
    let random = || u128::from(RandomState::new().hash_one(()));
    let bits = random() << 64 | random();
    let bits = bits & !(0xf << 76) & !(0x3 << 62) | 0x4 << 76 | 0x2 << 62;
    let hex = format!("{bits:032x}");
    let parts = [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]];
    HeaderValue::try_from(parts.join("-")).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn new_ids_are_uuids_and_differ() {
        let ids: Vec<String> = (0..100).map(|_| new_puid().unwrap().to_str().unwrap().to_owned()).collect();
        for id in &ids {
            let lengths: Vec<usize> = id.split('-').map(str::len).collect();
            assert_eq!(lengths, [8, 4, 4, 4, 12], "{id}");
            assert!(id.as_bytes()[14] == b'4' && b"89ab".contains(&id.as_bytes()[19]), "{id}");
        }
        let distinct: std::collections::HashSet<_> = ids.iter().collect();
        assert_eq!(distinct.len(), ids.len());
    }
}
