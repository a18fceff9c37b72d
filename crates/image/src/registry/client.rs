//! One registry: how it is reached, who one is there, requests and their repetition.

use std::collections::HashMap;
use std::io::Read;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use portend_core::{shortened, shortened_to};
use serde::Deserialize;
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};
use ureq::{Agent, Body, http};

use super::address::{Address, is_loopback};
use super::challenge::Challenge;
use super::credentials::{Credential, Credentials};
use crate::digest::Digest;
use crate::document::media;
use crate::error::ImageError;
use crate::reference::Reference;

/// How often a request is made, and the times between.
const ATTEMPTS: u32 = 3;
const RETRIED: [u16; 8] = [408, 429, 499, 500, 502, 503, 504, 522];
/// The longest that a registry may ask to wait.
const MOST_WAIT: Duration = Duration::from_secs(60);
const MOST_REDIRECTS: usize = 5;
/// The most bytes of an error's text or a token that are read.
const MOST_TEXT: u64 = 64 << 10;
/// How long a token holds where its answer does not say.
const TOKEN_LIFE: u64 = 60;

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

/// What a request is for: repositories and what is done with them.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Scope(Vec<String>);

impl Scope {
    pub(super) fn pull(repository: &str) -> Self {
        Self(vec![format!("repository:{repository}:pull")])
    }

    pub(super) fn push(repository: &str) -> Self {
        Self(vec![format!("repository:{repository}:pull,push")])
    }

    pub(super) fn all(repository: &str) -> Self {
        Self(vec![format!("repository:{repository}:pull,push,delete")])
    }

    /// Together with reading another repository.
    pub(super) fn and_pull(mut self, repository: &str) -> Self {
        self.0.push(format!("repository:{repository}:pull"));
        self
    }

    fn repository(&self) -> &str {
        self.0.first().and_then(|scope| scope.split(':').nth(1)).unwrap_or_default()
    }
}

/// What a registry answered.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) address: Address,
    headers: http::HeaderMap,
    body: Body,
}

/// One registry.
pub(super) struct Client {
    agent: Agent,
    registry: String,
    credentials: Credentials,
    may_be_plain: bool,
    wait: Duration,
    met: Mutex<Option<Met>>,
    /// Values of `Authorization` by what they are for, with the time until which they hold.
    tokens: Mutex<HashMap<Scope, (String, Instant)>>,
}

/// What is known after the first answer.
#[derive(Debug, Clone)]
struct Met {
    origin: Address,
    challenge: Option<Challenge>,
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
            tokens: Mutex::new(HashMap::new()),
        })
    }

    /// The address of a path.
    pub(super) fn url(&self, path: &str) -> Result<Address, ImageError> {
        self.meet()?.origin.join(path)
    }

    /// How the registry is spoken to and what it wants to see, found out once.
    fn meet(&self) -> Result<Met, ImageError> {
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
        let challenges =
            answer.headers.get_all("www-authenticate").iter().filter_map(|value| value.to_str().ok());
        let challenge = Challenge::parse(&challenges.collect::<Vec<_>>().join(", "));
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

    fn once(
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
        Ok(Answer { status: parts.status.as_u16(), address: address.clone(), headers: parts.headers, body })
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

    /// The value of `Authorization` for a scope; `fresh` does without one that was kept.
    fn authorization(&self, scope: &Scope, fresh: bool) -> Result<Option<String>, ImageError> {
        let Some(challenge) = self.meet()?.challenge else { return Ok(None) };
        let mut tokens = self.tokens.lock().unwrap_or_else(|e| e.into_inner());
        let kept = tokens.get(scope).filter(|(_, until)| !fresh && Instant::now() < *until);
        if let Some((value, _)) = kept {
            return Ok(Some(value.clone()));
        }
        let credential = self.credentials.of(&self.registry, scope.repository())?;
        let (value, life) = match (challenge, credential) {
            (_, Credential::Bearer(token)) => (format!("Bearer {token}"), TOKEN_LIFE),
            (Challenge::Basic, Credential::Basic(user, password)) => (basic(&user, &password), 3600),
            (Challenge::Basic, Credential::Identity(_)) => {
                let reason = "its credentials are an identity token, and it wants a name and a password";
                return Err(ImageError::Denied(format!("{}: {reason}", self.registry)));
            }
            (Challenge::Basic, Credential::None) => return Ok(None),
            (Challenge::Bearer { realm, service }, credential) => {
                let token = self.token(&realm, service.as_deref(), scope, &credential)?;
                (format!("Bearer {}", token.0), token.1)
            }
        };
        // a little before its end, so that none ends on the way
        let until = Instant::now() + Duration::from_secs(life.min(86_400) * 9 / 10);
        tokens.insert(scope.clone(), (value.clone(), until));
        Ok(Some(value))
    }

    /// Has a token made.
    fn token(
        &self,
        realm: &str,
        service: Option<&str>,
        scope: &Scope,
        credential: &Credential,
    ) -> Result<(String, u64), ImageError> {
        #[derive(Deserialize)]
        struct Token {
            token: Option<String>,
            access_token: Option<String>,
            expires_in: Option<u64>,
        }
        let what = format!("a token for {}", self.registry);
        let realm = Address::parse(realm)?;
        self.meet()?.origin.may_lead_to(&realm)?;
        let mut parameters: Vec<(&str, &str)> = service.iter().map(|service| ("service", *service)).collect();
        parameters.extend(scope.0.iter().map(|scope| ("scope", scope.as_str())));
        let mut answer = None;
        if let Credential::Identity(token) = credential {
            let grant = [("grant_type", "refresh_token"), ("refresh_token", token), ("client_id", "portend")];
            let form = encoded(parameters.iter().chain(&grant));
            let kind = [("content-type", "application/x-www-form-urlencoded".to_owned())];
            let asked = self.repeated(|| self.once("POST", &realm, &kind, None, form.as_bytes()), passes)?;
            answer = Some(asked).filter(|answer| !matches!(answer.status, 404 | 405));
        }
        let answer = match answer {
            Some(answer) => answer,
            None => {
                let separator = if realm.as_str().contains('?') { '&' } else { '?' };
                let address = format!("{}{separator}{}", realm.as_str(), encoded(&parameters));
                let address = Address::parse(&address)?;
                let own = match credential {
                    Credential::Basic(user, password) => Some(basic(user, password)),
                    Credential::Identity(token) => Some(basic("<token>", token)),
                    _ => None,
                };
                self.repeated(|| self.once("GET", &address, &[], own.as_deref(), &[]), passes)?
            }
        };
        let text = answer.expect(&[200], &what)?.text(MOST_TEXT, &what)?;
        let token: Token = serde_json::from_slice(&text).map_err(|_| {
            ImageError::Refused(format!("{what}: the answer of {} holds none", realm.origin()))
        })?;
        let value = token.token.or(token.access_token).filter(|value| !value.is_empty());
        let value =
            value.ok_or_else(|| ImageError::Denied(format!("{what}: {} gives none", realm.origin())))?;
        Ok((value, token.expires_in.unwrap_or(TOKEN_LIFE)))
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

fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", BASE64_STANDARD.encode(format!("{user}:{password}")))
}

/// Parameters as a query has them.
fn encoded<'a>(pairs: impl IntoIterator<Item = &'a (&'a str, &'a str)>) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'~');
    let code = |b: u8| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") };
    let pairs = pairs
        .into_iter()
        .map(|(name, value)| format!("{name}={}", value.bytes().map(code).collect::<String>()));
    pairs.collect::<Vec<_>>().join("&")
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

impl Answer {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    pub(super) fn media_type(&self) -> String {
        self.header("content-type")
            .and_then(|text| text.split(';').next())
            .unwrap_or_default()
            .trim()
            .to_owned()
    }

    pub(super) fn length(&self) -> Option<u64> {
        self.header("content-length")?.parse().ok()
    }

    /// The last byte that an upload has, plus one.
    pub(super) fn received(&self) -> Option<u64> {
        self.header("range")?
            .trim_start_matches("bytes=")
            .split_once('-')?
            .1
            .parse::<u64>()
            .ok()?
            .checked_add(1)
    }

    /// The least size of a chunk that the registry takes.
    pub(super) fn least_chunk(&self) -> Option<usize> {
        self.header("oci-chunk-min-length")?.parse().ok()
    }

    /// The first byte of what was asked for that is in the answer.
    pub(super) fn starts_at(&self) -> Option<u64> {
        self.header("content-range")?.strip_prefix("bytes ")?.split('-').next()?.parse().ok()
    }

    fn retry_after(&self) -> Option<Duration> {
        self.header("retry-after")?.parse().ok().map(Duration::from_secs)
    }

    pub(super) fn location(&self) -> Result<Address, ImageError> {
        let location = self.header("location").ok_or_else(|| {
            ImageError::Refused(format!(
                "{} answers {} without a location",
                self.address.origin(),
                self.status
            ))
        });
        self.address.join(location?)
    }

    /// The next page of a list, if there is one.
    pub(super) fn next_page(&self, from: &Address) -> Result<Option<Address>, ImageError> {
        let Some(link) = self.header("link") else { return Ok(None) };
        let target = link.split(',').find(|part| part.contains("rel=\"next\"") || part.contains("rel=next"));
        let target =
            target.and_then(|part| part.split_once('<')?.1.split_once('>')).map(|(target, _)| target);
        target.map(|target| from.join(target)).transpose()
    }

    /// The digest that the registry names.
    pub(super) fn digest(&self) -> Result<Digest, ImageError> {
        let text = self.header("docker-content-digest").ok_or_else(|| {
            ImageError::Refused(format!("{} does not tell the digest of a manifest", self.address.origin()))
        })?;
        Digest::parse(text)
    }

    pub(super) fn has_digest(&self) -> bool {
        self.headers.contains_key("docker-content-digest")
    }

    /// The answer, if its status is one of these, and otherwise what the registry has to say.
    pub(super) fn expect(self, statuses: &[u16], what: &str) -> Result<Self, ImageError> {
        if statuses.contains(&self.status) {
            return Ok(self);
        }
        let (status, origin) = (self.status, self.address.origin());
        let said = self.complaint();
        let text = format!("{what}: {origin} answers {status}{said}");
        Err(match status {
            401 => ImageError::Denied(format!(
                "{text}; log in: docker login writes the credentials, or --username and --password-file give them"
            )),
            403 => ImageError::Denied(format!("{text}; these credentials do not permit it")),
            404 => ImageError::Absent(text),
            status if RETRIED.contains(&status) => ImageError::Unreachable(text),
            _ => ImageError::Refused(text),
        })
    }

    /// What the body of a refusal says.
    fn complaint(self) -> String {
        #[derive(Deserialize)]
        struct Errors {
            errors: Vec<OneError>,
        }
        #[derive(Deserialize)]
        struct OneError {
            #[serde(default)]
            code: String,
            #[serde(default)]
            message: String,
        }
        let mut text = Vec::new();
        _ = self.body.into_reader().take(MOST_TEXT).read_to_end(&mut text);
        let errors: Vec<OneError> =
            serde_json::from_slice(&text).map(|found: Errors| found.errors).unwrap_or_default();
        let errors = errors.iter().take(3).map(|e| format!("{} ({})", e.message, shortened(&e.code)));
        let said = errors.collect::<Vec<_>>().join("; ");
        // somebody else's text, which is not to steer a terminal
        let said: String = said.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        if said.is_empty() { said } else { format!(": {}", shortened_to(300, &said)) }
    }

    /// A body that is small.
    pub(super) fn text(self, most: u64, what: &str) -> Result<Vec<u8>, ImageError> {
        let mut text = Vec::new();
        let read = self.body.into_reader().take(most + 1).read_to_end(&mut text);
        read.map_err(|e| ImageError::Unreachable(format!("{what}: the answer breaks off: {e}")))?;
        if text.len() as u64 > most {
            return Err(ImageError::bad(what, format!("the answer has more than {most} bytes")));
        }
        Ok(text)
    }

    pub(super) fn into_reader(self) -> impl Read + Send {
        self.body.into_reader()
    }
}
