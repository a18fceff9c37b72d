//! A page that shows a document and tries its operations out: Swagger UI, with all of its files out of this program. Its
//! links are relative, so that it works behind any proxy, and it loads and sends nothing elsewhere.

use axum::extract::{Path, Request};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use flate2::read::GzDecoder;

use crate::http::EndedWithSlash;
use crate::protocol;

/// A file of the page: its name, media type, and bytes in gzip.
type File = (&'static str, &'static str, &'static [u8]);

const JAVASCRIPT: &str = "text/javascript; charset=utf-8";

/// Those of Swagger UI, as the build packs them.
const FILES: [File; 2] = [
    (
        "swagger-ui-bundle.js",
        JAVASCRIPT,
        include_bytes!(concat!(env!("OUT_DIR"), "/swagger-ui-bundle.js.gz")),
    ),
    (
        "swagger-ui.css",
        "text/css; charset=utf-8",
        include_bytes!(concat!(env!("OUT_DIR"), "/swagger-ui.css.gz")),
    ),
];

/// Ours.
const START: (&str, &str) = ("start.js", include_str!("page/start.js"));

/// What a browser may do for the page. The icons of Swagger UI stand in its sheet.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
                      connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The page. `files` and `document` are where these are, from the folder in which a path stands that ends without a slash.
pub(crate) fn page(request: &Request, files: &str, document: &str) -> Response {
    let up = if request.extensions().get::<EndedWithSlash>().is_some() { "../" } else { "" };
    let page = include_str!("page/page.html");
    let page =
        page.replace("{files}", &format!("{up}{files}")).replace("{document}", &format!("{up}{document}"));
    let headers = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-cache"),
    ];
    (headers, page).into_response()
}

/// A file of the page.
pub(super) async fn file(
    headers: HeaderMap,
    path: Path<Vec<(String, String)>>,
    request: Request,
) -> Response {
    let name = path.iter().find(|(name, _)| name == "file").map(|(_, file)| file.as_str());
    let cached = [(header::CACHE_CONTROL, "max-age=86400"), (header::X_CONTENT_TYPE_OPTIONS, "nosniff")];
    if name == Some(START.0) {
        return (cached, [(header::CONTENT_TYPE, JAVASCRIPT)], START.1).into_response();
    }
    let Some((_, media_type, packed)) = FILES.iter().find(|(file, ..)| name == Some(*file)) else {
        return protocol::unknown_route(request).await;
    };
    let media_type = [(header::CONTENT_TYPE, *media_type), (header::VARY, "accept-encoding")];
    if takes_gzip(&headers) {
        return (cached, media_type, [(header::CONTENT_ENCODING, "gzip")], *packed).into_response();
    }
    let mut bytes = Vec::new();
    // what the build has packed can be unpacked
    _ = std::io::Read::read_to_end(&mut GzDecoder::new(*packed), &mut bytes);
    (cached, media_type, bytes).into_response()
}

fn takes_gzip(headers: &HeaderMap) -> bool {
    let accepted =
        headers.get_all(header::ACCEPT_ENCODING).iter().filter_map(|v: &HeaderValue| v.to_str().ok());
    let mut items = accepted.flat_map(|value| value.split(','));
    items.any(|item| {
        let (name, weight) = item.split_once(';').unwrap_or((item, ""));
        let refused = weight.trim().strip_prefix("q=").is_some_and(|q| q.parse() == Ok(0.0));
        name.trim().eq_ignore_ascii_case("gzip") && !refused
    })
}
