//! Who may ask: the bearer token, where one is set, and the origins that browsers may call from.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use tower_http::cors::{AllowHeaders, Any, CorsLayer};

use crate::config::Secret;
use crate::error::ServerError;
use crate::protocol;

/// Lets only those through to the routes who send the token.
pub(crate) fn with_token(routes: Router, token: Option<&Secret>) -> Router {
    match token {
        Some(token) => routes.layer(from_fn_with_state(Arc::new(token.clone()), check)),
        None => routes,
    }
}

async fn check(State(token): State<Arc<Secret>>, request: Request, next: Next) -> Response {
    if carries(request.headers(), &token) {
        return next.run(request).await;
    }
    let mut response = protocol::error_response(request.uri().path(), &ServerError::Unauthorized);
    response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    response
}

/// Where Seldon's client puts a token.
const ALONE: HeaderName = HeaderName::from_static("x-auth-token");

/// Whether the headers have the token: after `Bearer`, or after `Token` as older clients write it, or alone.
fn carries(headers: &HeaderMap, token: &Secret) -> bool {
    if headers.get(ALONE).is_some_and(|given| equal(given.as_bytes(), token.0.as_bytes())) {
        return true;
    }
    let given = headers.get(header::AUTHORIZATION).map(HeaderValue::as_bytes).unwrap_or_default();
    let (scheme, given) = given.split_at(given.iter().position(|b| *b == b' ').unwrap_or(given.len()));
    let known = scheme.eq_ignore_ascii_case(b"Bearer") || scheme.eq_ignore_ascii_case(b"Token");
    known && equal(given.trim_ascii(), token.0.as_bytes())
}

/// Compares without telling by its time how much is right.
fn equal(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |difference, (a, b)| difference | (a ^ b)) == 0
}

/// Lets browsers call from these origins (`*` for any); none: browsers are told nothing.
pub(crate) fn with_origins(routes: Router, origins: &[String]) -> Router {
    // by name: for browsers, any header does not mean Authorization
    let headers = AllowHeaders::mirror_request();
    let layer = CorsLayer::new().allow_methods(Any).allow_headers(headers).expose_headers(Any);
    match origins {
        [] => routes,
        all if all.iter().any(|origin| origin == "*") => routes.layer(layer.allow_origin(Any)),
        // an origin that is no header value is none that a browser sends
        some => {
            let some: Vec<HeaderValue> = some.iter().filter_map(|origin| origin.parse().ok()).collect();
            routes.layer(layer.allow_origin(some))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_token_comes_after_its_scheme() {
        let token = Secret("s3cret".to_owned());
        for (given, expected) in [
            ("Bearer s3cret", true),
            ("bearer  s3cret ", true),
            ("Token s3cret", true),
            ("Bearer s3creT", false),
            ("Bearer s3cret2", false),
            ("Bearer ", false),
            ("Bearer", false),
            ("Basic s3cret", false),
            ("s3cret", false),
            ("", false),
        ] {
            let headers = HeaderMap::from_iter([(header::AUTHORIZATION, given.parse().unwrap())]);
            assert_eq!(carries(&headers, &token), expected, "{given}");
        }
        assert!(!carries(&HeaderMap::new(), &token));
        for (given, expected) in [("s3cret", true), ("Bearer s3cret", false), ("", false)] {
            let headers = HeaderMap::from_iter([(ALONE, given.parse().unwrap())]);
            assert_eq!(carries(&headers, &token), expected, "{given}");
        }
    }
}
