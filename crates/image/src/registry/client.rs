//! One registry: how it is reached, who one is there, requests and their repetition.

use std::sync::Mutex;
use std::time::Duration;

use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};
use ureq::{Agent, http};

use super::address::{Address, is_loopback};
use super::answer::Answer;
use super::challenge::Challenge;
use super::credentials::Credentials;
use super::token::{Scope, Tokens};
use crate::document::media;
use crate::error::ImageError;
use crate::reference::Reference;

/// How often a request is made, and the times between.
const ATTEMPTS: u32 = 3;
pub(super) const RETRIED: [u16; 8] = [408, 429, 499, 500, 502, 503, 504, 522];
/// The longest that a registry may ask to wait.
const MOST_WAIT: Duration = Duration::from_secs(60);
const MOST_REDIRECTS: usize = 5;

/// The media types of manifests. A registry that keeps another type than it is asked for answers 404.
const MANIFESTS: [&str; 4] = [media::INDEX, media::MANIFEST, media::DOCKER_INDEX, media::DOCKER_MANIFEST];

/// How registries are reached.
#[derive(Debug, Clone)]
pub struct RegistryOptions {
    /// Who one is.
    pub credentials: Credentials,
    /// Registries that may be spoken to without TLS or with a certificate that nobody vouches for.
    pub insecure: Vec<String>,
    /// Certificate authorities beside those of the system, as PEM texts.
    pub authorities: Vec<Vec<u8>>,
    /// How long is waited before the first repetition; three times as long before the next.
    pub wait: Duration,
}

impl Default for RegistryOptions {
    fn default() -> Self {
        let (credentials, insecure, authorities) = Default::default();
        Self { credentials, insecure, authorities, wait: Duration::from_secs(1) }
    }
}

/// One registry.
pub(super) struct Client {
    agent: Agent,
    pub(super) registry: String,
    pub(super) credentials: Credentials,
    may_be_plain: bool,
    wait: Duration,
    met: Mutex<Option<Met>>,
    pub(super) tokens: Tokens,
}

/// What is known after the first answer.
#[derive(Debug, Clone)]
pub(super) struct Met {
    pub(super) origin: Address,
    pub(super) challenge: Option<Challenge>,
}

impl Client {
    pub(super) fn new(registry: &str, options: &RegistryOptions) -> Result<Self, ImageError> {
        let insecure = options.insecure.iter().any(|host| host == registry);
        let tls = TlsConfig::builder().disable_verification(insecure);
        let tls = match authorities(&options.authorities)? {
            Some(roots) => tls.root_certs(RootCerts::new_with_certs(&roots)),
            None => tls,
        };
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .user_agent(concat!("portend/", env!("CARGO_PKG_VERSION")))
            .accept_encoding("identity")
            .timeout_connect(Some(Duration::from_secs(10)))
            .timeout_per_read(Some(Duration::from_secs(60)))
            .timeout_per_write(Some(Duration::from_secs(60)))
            .timeout_recv_response(Some(Duration::from_secs(120)))
            .timeout_await_100(Some(Duration::ZERO))
            .tls_config(tls.build());
        Ok(Self {
            agent: config.build().new_agent(),
            registry: registry.to_owned(),
            credentials: options.credentials.clone(),
            may_be_plain: insecure || is_loopback(registry),
            wait: options.wait,
            met: Mutex::new(None),
            tokens: Tokens::default(),
        })
    }

    /// The address of a path.
    pub(super) fn url(&self, path: &str) -> Result<Address, ImageError> {
        self.meet()?.origin.join(path)
    }

    /// How the registry is spoken to and what it wants to see, found out once.
    pub(super) fn meet(&self) -> Result<Met, ImageError> {
        let mut met = self.met.lock().unwrap_or_else(|e| e.into_inner());
        if let Some(met) = &*met {
            return Ok(met.clone());
        }
        let host = if self.registry == "docker.io" { "registry-1.docker.io" } else { &self.registry };
        let ask = |scheme: &str| {
            let address = Address::parse(&format!("{scheme}://{host}/v2/"))?;
            let attempt = || self.once("GET", &address, &[], None, &[]);
            // whether TLS is spoken shows at once
            if self.may_be_plain && scheme == "https" { attempt() } else { self.repeated(attempt, passes) }
        };
        let answer = match ask("https") {
            Err(ImageError::Unreachable(tls)) if self.may_be_plain => {
                let plain = ask("http").map_err(|_| ImageError::Unreachable(tls.clone()))?;
                // a server that speaks TLS says 400 to what is not
                if plain.status == 400 { return Err(ImageError::Unreachable(tls)) } else { plain }
            }
            answer => answer?,
        };
        let challenge = Challenge::parse(&answer.challenges());
        let origin = answer.address.clone();
        match (answer.status, &challenge) {
            (200, _) | (401, Some(_)) => {}
            (401, None) => {
                let reason = "it wants to see credentials in a way that is not known here";
                return Err(ImageError::Denied(format!("{}: {reason}", self.registry)));
            }
            _ => _ = answer.expect(&[200], &format!("{} as a registry", self.registry))?,
        }
        Ok(met.insert(Met { origin, challenge }).clone())
    }

    /// A GET, with redirects followed.
    pub(super) fn get(
        &self,
        address: &Address,
        scope: &Scope,
        headers: &[(&str, String)],
    ) -> Result<Answer, ImageError> {
        self.request("GET", address, scope, headers, &[])
    }

    /// What a registry says of a manifest without giving it.
    pub(super) fn head_manifest(&self, reference: &Reference) -> Result<Answer, ImageError> {
        self.manifest("HEAD", reference, reference.wanted())
    }

    pub(super) fn get_manifest(&self, reference: &Reference, wanted: &str) -> Result<Answer, ImageError> {
        self.manifest("GET", reference, wanted)
    }

    fn manifest(&self, method: &str, reference: &Reference, wanted: &str) -> Result<Answer, ImageError> {
        let repository = &reference.repository;
        let url = self.url(&format!("/v2/{repository}/manifests/{wanted}"))?;
        self.request(method, &url, &Scope::pull(repository), &[("accept", MANIFESTS.join(", "))], &[])
    }

    /// A request that may be made again: after what passes, and once after it was refused with an old token.
    pub(super) fn request(
        &self,
        method: &str,
        address: &Address,
        scope: &Scope,
        headers: &[(&str, String)],
        body: &[u8],
    ) -> Result<Answer, ImageError> {
        self.repeated(|| self.authorized(method, address, scope, headers, body), passes)
    }

    /// The same, once.
    pub(super) fn authorized(
        &self,
        method: &str,
        address: &Address,
        scope: &Scope,
        headers: &[(&str, String)],
        body: &[u8],
    ) -> Result<Answer, ImageError> {
        for fresh in [false, true] {
            let authorization = self.authorization(scope, fresh)?;
            let answer = self.redirected(method, address, headers, authorization.as_deref(), body)?;
            if answer.status != 401 || fresh {
                return Ok(answer);
            }
        }
        Err(ImageError::Denied(format!("{} refuses the credentials", self.registry)))
    }

    /// Follows redirects. Credentials are for the registry alone, and no other host gets to see them.
    fn redirected(
        &self,
        method: &str,
        address: &Address,
        headers: &[(&str, String)],
        authorization: Option<&str>,
        body: &[u8],
    ) -> Result<Answer, ImageError> {
        let home = self.meet()?.origin;
        home.may_lead_to(address)?;
        let mut address = address.clone();
        for _ in 0..=MOST_REDIRECTS {
            let authorization = authorization.filter(|_| address.origin() == home.origin());
            let answer = self.once(method, &address, headers, authorization, body)?;
            let follows =
                matches!(answer.status, 301 | 302 | 303 | 307 | 308) && matches!(method, "GET" | "HEAD");
            if !follows {
                return Ok(answer);
            }
            let next = answer.location()?;
            address.may_lead_to(&next)?;
            address = next;
        }
        Err(ImageError::Refused(format!("{} leads from one address to the next without end", self.registry)))
    }

    pub(super) fn once(
        &self,
        method: &str,
        address: &Address,
        headers: &[(&str, String)],
        authorization: Option<&str>,
        body: &[u8],
    ) -> Result<Answer, ImageError> {
        let mut request = http::Request::builder().method(method).uri(address.as_str());
        for (name, value) in headers {
            request = request.header(*name, value);
        }
        if let Some(authorization) = authorization {
            request = request.header("authorization", authorization);
        }
        let refused = |e: http::Error| ImageError::Refused(format!("{}: {e}", address.origin()));
        let answer = match method {
            "GET" | "HEAD" | "DELETE" => self.agent.run(request.body(()).map_err(refused)?),
            _ => self.agent.run(request.body(body).map_err(refused)?),
        };
        let answer = answer.map_err(|e| unreachable(address, &e))?;
        let (parts, body) = answer.into_parts();
        Ok(Answer::new(parts.status.as_u16(), address.clone(), parts.headers, body))
    }

    /// Makes a request again where what went wrong may pass.
    pub(super) fn repeated(
        &self,
        mut attempt: impl FnMut() -> Result<Answer, ImageError>,
        repeats: impl Fn(&ImageError) -> bool,
    ) -> Result<Answer, ImageError> {
        let mut wait = self.wait;
        for _ in 1..ATTEMPTS {
            let mut pause = wait;
            match attempt() {
                Ok(answer) if RETRIED.contains(&answer.status) => {
                    pause = answer.retry_after().unwrap_or(wait).min(MOST_WAIT).max(wait.min(MOST_WAIT));
                }
                Err(error) if repeats(&error) && !is_final(&error) => {}
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

/// An error that a further attempt may not meet.
pub(super) fn passes(error: &ImageError) -> bool {
    matches!(error, ImageError::Unreachable(_))
}

/// Of what could not be reached: a name that does not exist and a certificate that is not trusted stay so.
fn is_final(error: &ImageError) -> bool {
    !matches!(error, ImageError::Unreachable(text) if !text.contains(CERTIFICATE))
}

const CERTIFICATE: &str = "certificate";

fn unreachable(address: &Address, error: &ureq::Error) -> ImageError {
    let remedy = match error {
        ureq::Error::HostNotFound => "; is its name right?",
        // of TLS, or of the connection that carries it
        error if error.to_string().contains(CERTIFICATE) => {
            "; --ca-file names the authority of a private registry"
        }
        _ => "",
    };
    ImageError::Unreachable(format!("cannot ask {}: {error}{remedy}", address.origin()))
}

/// The system's certificate authorities and further ones. None: there are none, so that those count that the program
/// brings with it.
fn authorities(more: &[Vec<u8>]) -> Result<Option<Vec<Certificate<'static>>>, ImageError> {
    let system = rustls_native_certs::load_native_certs().certs;
    let mut roots: Vec<_> = system.iter().map(|der| Certificate::from_der(der).to_owned()).collect();
    for pem in more {
        let before = roots.len();
        for item in parse_pem(pem) {
            match item {
                Ok(PemItem::Certificate(certificate)) => roots.push(certificate),
                Ok(_) => {}
                Err(e) => return Err(ImageError::Name(format!("a certificate authority is not PEM: {e}"))),
            }
        }
        if roots.len() == before {
            return Err(ImageError::Name(
                "a file of certificate authorities holds no certificate".to_owned(),
            ));
        }
    }
    Ok(Some(roots).filter(|roots| !roots.is_empty()))
}
