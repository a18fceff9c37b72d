//! One HTTP request, and its repetition. No redirect is followed here: whoever asks decides where it may lead.

use std::io::Read;
use std::time::Duration;

use portend_core::Proxies;
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};
use ureq::{Agent, AsSendBody, Body, Proxy, SendBody, http};

use super::address::Address;
use super::answer::Answer;
use super::certificates::Certificates;
use super::client::RegistryOptions;
use crate::error::ImageError;

/// How often a request is made, and the times between.
const ATTEMPTS: u32 = 3;
pub(super) const RETRIED: [u16; 8] = [408, 429, 499, 500, 502, 503, 504, 522];
/// The longest that is waited because a server asks for it. What it asks beyond is told, and somebody's decision.
const MOST_WAIT: Duration = Duration::from_secs(20);

/// The bytes that are read or sent at a time. Each connection has two such buffers.
const BUFFER: usize = 64 << 10;

/// How servers are reached.
pub(super) struct Http {
    agent: Agent,
    proxies: Proxies,
    wait: Duration,
}

impl Http {
    /// Over TLS that trusts the system's authorities and these, and through the proxy that is named for an address.
    pub(super) fn new(
        certificates: &Certificates,
        trusts_anyone: bool,
        options: &RegistryOptions,
    ) -> Result<Self, ImageError> {
        let tls =
            TlsConfig::builder().disable_verification(trusts_anyone).client_cert(certificates.own.clone());
        let more = named(&certificates.authorities)?;
        // where nothing is compared with them, the system's hundreds need not be read
        let roots = if trusts_anyone { Vec::new() } else { roots(more) };
        // without any, those count that the program brings with it
        let tls = if roots.is_empty() { tls } else { tls.root_certs(RootCerts::new_with_certs(&roots)) };
        let config = config(Duration::from_secs(10)).tls_config(tls.build());
        Ok(Self { agent: config.build().new_agent(), proxies: options.proxies.clone(), wait: options.wait })
    }

    /// For addresses of this machine's own network: without a proxy, and not waited for where nobody is.
    pub(super) fn direct() -> Self {
        let agent = config(Duration::from_secs(2)).build().new_agent();
        Self { agent, proxies: Proxies::default(), wait: Duration::from_millis(100) }
    }

    pub(super) fn once(
        &self,
        method: &str,
        address: &Address,
        headers: &[(&str, String)],
        authorization: Option<&str>,
        body: &[u8],
    ) -> Result<Answer, ImageError> {
        let request = request(method, address, headers, authorization);
        let refused = |e: http::Error| ImageError::Refused(format!("{}: {e}", address.origin()));
        match method {
            "GET" | "HEAD" | "DELETE" => self.run(address, request.body(()).map_err(refused)?),
            _ => self.run(address, request.body(body).map_err(refused)?),
        }
    }

    /// The same with a body of so many bytes, which are read while they are sent.
    pub(super) fn stream(
        &self,
        method: &str,
        address: &Address,
        headers: &[(&str, String)],
        authorization: Option<&str>,
        body: &mut dyn Read,
        length: u64,
    ) -> Result<Answer, ImageError> {
        let mut body = body.take(length);
        let request =
            request(method, address, headers, authorization).header("content-length", length.to_string());
        let refused = |e: http::Error| ImageError::Refused(format!("{}: {e}", address.origin()));
        let request = request.body(SendBody::from_reader(&mut body)).map_err(refused)?;
        self.run(address, request)
    }

    fn run(&self, address: &Address, request: http::Request<impl AsSendBody>) -> Result<Answer, ImageError> {
        let proxy = self.proxies.of(address.is_plain(), address.host(), address.port());
        let through = proxy.map(Proxy::new).transpose();
        let through =
            through.map_err(|e| ImageError::Refused(format!("the proxy of the environment: {e}")))?;
        let request = self.agent.configure_request(request).proxy(through).build();
        answered(address, self.agent.run(request), proxy.is_some())
    }

    /// Makes a request again where what went wrong may pass.
    pub(super) fn repeated(
        &self,
        mut attempt: impl FnMut() -> Result<Answer, ImageError>,
    ) -> Result<Answer, ImageError> {
        let mut wait = self.wait;
        for _ in 1..ATTEMPTS {
            let mut pause = wait;
            match attempt() {
                Ok(answer) if RETRIED.contains(&answer.status) => {
                    pause = answer.retry_after().unwrap_or(wait).max(wait);
                    if pause > MOST_WAIT {
                        return Ok(answer); // which says so
                    }
                }
                Err(error) if passes(&error) && !is_final(&error) => {}
                ended => return ended,
            }
            std::thread::sleep(pause);
            wait *= 3;
        }
        attempt()
    }

    /// Waits before something larger than a request is done again.
    pub(super) fn pause(&self, attempt: u32) {
        std::thread::sleep(self.wait * 3_u32.pow(attempt.min(3)));
    }
}

fn request(
    method: &str,
    address: &Address,
    headers: &[(&str, String)],
    authorization: Option<&str>,
) -> http::request::Builder {
    let request = http::Request::builder().method(method).uri(address.as_str());
    let own = authorization.map(|value| ("authorization", value));
    let headers = headers.iter().map(|(name, value)| (*name, value.as_str())).chain(own);
    headers.fold(request, |request, (name, value)| request.header(name, value))
}

fn answered(
    address: &Address,
    answer: Result<http::Response<Body>, ureq::Error>,
    by_proxy: bool,
) -> Result<Answer, ImageError> {
    let answer = answer.map_err(|error| match error {
        // what is wrong with the bytes that were to be sent
        ureq::Error::Io(error) if error.get_ref().is_some_and(|inner| inner.is::<ImageError>()) => {
            ImageError::io(address.origin(), error)
        }
        error => unreachable(address, &error, by_proxy),
    })?;
    let (parts, body) = answer.into_parts();
    Ok(Answer::new(parts.status.as_u16(), address.clone(), parts.headers, body))
}

fn config(connect: Duration) -> ureq::config::ConfigBuilder<ureq::typestate::AgentScope> {
    Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .proxy(None) // the address decides
        .max_redirects_will_error(false)
        .user_agent(concat!("portend/", env!("CARGO_PKG_VERSION")))
        .accept_encoding("identity")
        .timeout_connect(Some(connect))
        .timeout_per_read(Some(Duration::from_secs(60)))
        .timeout_per_write(Some(Duration::from_secs(60)))
        .timeout_recv_response(Some(Duration::from_secs(120)))
        .timeout_await_100(Some(Duration::ZERO))
        .input_buffer_size(BUFFER)
        .output_buffer_size(BUFFER)
}

/// An error that a further attempt may not meet.
pub(super) fn passes(error: &ImageError) -> bool {
    matches!(error, ImageError::Unreachable(_))
}

/// Of what could not be reached: a certificate that is not trusted stays so.
fn is_final(error: &ImageError) -> bool {
    !matches!(error, ImageError::Unreachable(text) if !text.contains(CERTIFICATE))
}

const CERTIFICATE: &str = "certificate";

fn unreachable(address: &Address, error: &ureq::Error, by_proxy: bool) -> ImageError {
    let remedy = match error {
        ureq::Error::HostNotFound => "; is its name right?",
        // of TLS, or of the connection that carries it
        error if error.to_string().contains(CERTIFICATE) => {
            "; --ca-file names the authority of a private registry"
        }
        _ => "",
    };
    let through = if by_proxy { " through the environment's proxy" } else { "" };
    ImageError::Unreachable(format!("cannot ask {}{through}: {error}{remedy}", address.origin()))
}

/// The system's certificate authorities and further ones.
fn roots(more: Vec<Certificate<'static>>) -> Vec<Certificate<'static>> {
    let system = rustls_native_certs::load_native_certs().certs;
    system.iter().map(|der| Certificate::from_der(der).to_owned()).chain(more).collect()
}

/// The certificate authorities in PEM texts, of which each has one.
fn named(texts: &[Vec<u8>]) -> Result<Vec<Certificate<'static>>, ImageError> {
    let mut named = Vec::new();
    for pem in texts {
        let before = named.len();
        for item in parse_pem(pem) {
            match item {
                Ok(PemItem::Certificate(certificate)) => named.push(certificate),
                Ok(_) => {}
                Err(e) => return Err(ImageError::Name(format!("a certificate authority is not PEM: {e}"))),
            }
        }
        if named.len() == before {
            let reason = "a file of certificate authorities holds no certificate";
            return Err(ImageError::Name(reason.to_owned()));
        }
    }
    Ok(named)
}
