//! The stores' library speaks HTTP through this: the blocking client that is here anyway, so that no second one and no
//! asynchronous runtime with threads of its own come with it. A call blocks its thread; the runtime that polls it belongs
//! to that one call.

use std::io::Read;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use object_store::ClientOptions;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpRequestBody, HttpResponse,
    HttpResponseBody, HttpService,
};
use ureq::{SendBody, http};

use crate::agent::{Client, explained, is_final, is_metadata};
use crate::trouble::{self, Trouble};

/// The most bytes of an answer that is no artifact: a page of a list, a token, an error.
const MOST_ANSWER: u64 = 32 << 20;
/// The most bytes of an error that are read.
const MOST_ERROR: u64 = 64 << 10;
/// What is read of an artifact at once.
const PIECE: usize = 256 << 10;

/// The HTTP client as the library wants it.
#[derive(Debug, Clone)]
pub(crate) struct Connector {
    /// For stores, and for what tells a machine who it is.
    pub(crate) clients: (Client, Client),
    /// True for Google's emulator, which takes a file under its plain path only where the URL looks signed, and does not
    /// tell its ETag in a header.
    pub(crate) emulator: bool,
}

impl HttpConnector for Connector {
    fn connect(&self, _options: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(self.clone()))
    }
}

type Answered<'a> = Pin<Box<dyn Future<Output = Result<HttpResponse, HttpError>> + Send + 'a>>;

impl HttpService for Connector {
    fn call<'s, 'a>(&'s self, request: HttpRequest) -> Answered<'a>
    where
        's: 'a,
    {
        Box::pin(std::future::ready(self.ask(request)))
    }
}

impl Connector {
    fn ask(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let (mut parts, body) = request.into_parts();
        // the token of nobody
        let token = parts.headers.get(http::header::AUTHORIZATION);
        if token.is_some_and(|token| token.as_bytes().trim_ascii() == b"Bearer") {
            parts.headers.remove(http::header::AUTHORIZATION);
        }
        let put = self.emulator && parts.method == http::Method::PUT;
        if put
            && parts.uri.query().is_none()
            && let Ok(uri) = format!("{}?X-Goog-Algorithm=none", parts.uri).parse()
        {
            parts.uri = uri;
        }
        let host = parts.uri.host().unwrap_or_default().to_owned();
        let origin = format!(
            "{}://{}",
            parts.uri.scheme_str().unwrap_or_default(),
            parts.uri.authority().map_or("", |a| a.as_str())
        );
        let metadata = is_metadata(&host);
        let client = if metadata { &self.clients.1 } else { &self.clients.0 };
        let streams =
            parts.method == http::Method::GET && !is_about_many(parts.uri.query().unwrap_or_default());
        let asked = match (parts.method.as_str(), body.content_length()) {
            ("GET" | "HEAD" | "DELETE", 0) => client.run(http::Request::from_parts(parts, ())),
            (_, length) => {
                parts.headers.insert(http::header::CONTENT_LENGTH, length.into());
                client.run(http::Request::from_parts(parts, SendBody::from_owned_reader(Sent::new(body))))
            }
        };
        let failed = |error: &ureq::Error| {
            let trouble = Trouble {
                origin: origin.clone(),
                status: None,
                code: String::new(),
                message: explained(error),
                region: None,
                metadata,
            };
            trouble::note(Some(trouble));
            http_error(error)
        };
        let (mut parts, body) = asked.map_err(|error| failed(&error))?.into_parts();
        if put && parts.status.is_success() && !parts.headers.contains_key(http::header::ETAG) {
            let mut text = Vec::new();
            _ = body.into_reader().take(MOST_ERROR).read_to_end(&mut text);
            let told: serde_json::Value = serde_json::from_slice(&text).unwrap_or_default();
            let tag = told["etag"].as_str().unwrap_or_default().parse();
            parts.headers.insert(http::header::ETAG, tag.unwrap_or(http::HeaderValue::from_static("")));
            trouble::note(None);
            return Ok(http::Response::from_parts(parts, HttpResponseBody::from(text)));
        }
        if parts.status.is_success() {
            trouble::note(None);
            let body = if streams { Received::of(body, u64::MAX) } else { Received::of(body, MOST_ANSWER) };
            return Ok(http::Response::from_parts(parts, HttpResponseBody::new(body)));
        }
        let mut text = Vec::new();
        // an error that breaks off is an error still
        _ = body.into_reader().take(MOST_ERROR).read_to_end(&mut text);
        let (code, message) = trouble::told(&String::from_utf8_lossy(&text));
        let header = |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok());
        let code =
            if code.is_empty() { header("x-ms-error-code").unwrap_or_default().to_owned() } else { code };
        let region =
            header("x-amz-bucket-region").filter(|_| matches!(parts.status.as_u16(), 301 | 307 | 400));
        let region = region.map(|region| region.chars().filter(|c| c.is_ascii_graphic()).take(40).collect());
        let status = Some(parts.status.as_u16());
        trouble::note(Some(Trouble { origin, status, code, message, region, metadata }));
        Ok(http::Response::from_parts(parts, HttpResponseBody::from(text)))
    }
}

/// Whether a request's query asks for a list rather than an artifact.
fn is_about_many(query: &str) -> bool {
    query.split('&').any(|pair| {
        let name = pair.split('=').next().unwrap_or_default();
        matches!(name, "list-type" | "uploads" | "comp" | "restype")
    })
}

/// What the library makes of an error: some kinds it tries again.
fn http_error(error: &ureq::Error) -> HttpError {
    use std::io::ErrorKind;
    let kind = match error {
        _ if is_final(error) => HttpErrorKind::Unknown,
        ureq::Error::Timeout(_) => HttpErrorKind::Timeout,
        ureq::Error::ConnectionFailed => HttpErrorKind::Connect,
        ureq::Error::Io(error) if error.kind() == ErrorKind::ConnectionRefused => HttpErrorKind::Connect,
        ureq::Error::Io(_) | ureq::Error::Protocol(_) => HttpErrorKind::Interrupted,
        _ => HttpErrorKind::Unknown,
    };
    HttpError::new(kind, std::io::Error::other(error.to_string()))
}

/// The bytes of a request, which are all in memory.
struct Sent {
    body: HttpRequestBody,
    piece: Bytes,
}

impl Sent {
    fn new(body: HttpRequestBody) -> Self {
        Self { body, piece: Bytes::new() }
    }
}

impl Read for Sent {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let mut context = Context::from_waker(Waker::noop());
        while self.piece.is_empty() {
            match Pin::new(&mut self.body).poll_frame(&mut context) {
                Poll::Ready(Some(Ok(frame))) => self.piece = frame.into_data().unwrap_or_default(),
                Poll::Ready(None) => return Ok(0),
                Poll::Ready(Some(Err(error))) => return Err(std::io::Error::other(error)),
                Poll::Pending => return Err(std::io::Error::other("a body in memory is not ready")),
            }
        }
        let count = buffer.len().min(self.piece.len());
        buffer[..count].copy_from_slice(&self.piece.split_to(count));
        Ok(count)
    }
}

/// The bytes of an answer, read as they are asked for.
struct Received {
    // the library shares bodies between threads, though it never reads one from two
    body: std::sync::Mutex<ureq::BodyReader<'static>>,
    left: u64,
    length: Option<u64>,
}

impl Received {
    fn of(body: ureq::Body, most: u64) -> Self {
        let length = body.content_length();
        Self { body: std::sync::Mutex::new(body.into_reader()), left: most, length }
    }
}

impl Body for Received {
    type Data = Bytes;
    type Error = HttpError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, HttpError>>> {
        let mut piece = vec![0; PIECE];
        let body = self.body.get_mut().unwrap_or_else(std::sync::PoisonError::into_inner);
        match body.read(&mut piece) {
            Ok(0) => Poll::Ready(None),
            Ok(count) if count as u64 > self.left => {
                let error = std::io::Error::other("the answer is too long");
                Poll::Ready(Some(Err(HttpError::new(HttpErrorKind::Decode, error))))
            }
            Ok(count) => {
                self.left -= count as u64;
                piece.truncate(count);
                Poll::Ready(Some(Ok(Frame::data(piece.into()))))
            }
            // the library asks for the rest
            Err(error) => Poll::Ready(Some(Err(HttpError::new(HttpErrorKind::Interrupted, error)))),
        }
    }

    fn size_hint(&self) -> SizeHint {
        self.length.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}
