//! One registry: how it is reached, who one is there, requests and their repetition.

use std::io::Read;
use std::path::PathBuf;
use std::sync::Mutex;
use std::time::Duration;

use portend_core::Proxies;

use super::address::{Address, is_loopback};
use super::answer::Answer;
use super::certificates::Certificates;
use super::challenge::Challenge;
use super::cloud::Cloud;
use super::credentials::Credentials;
use super::http::Http;
use super::token::{Scope, Tokens};
use crate::document::media;
use crate::error::ImageError;
use crate::reference::Reference;

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
    /// A folder with authorities (`*.crt`), a certificate to show (`*.cert`) and its key (`*.key`).
    pub certificates: Option<PathBuf>,
    /// Folders with a folder of that kind for each registry, under its name. The first that there is counts.
    pub certificate_folders: Vec<PathBuf>,
    /// Which addresses are reached through a proxy.
    pub proxies: Proxies,
    /// How long is waited before the first repetition; three times as long before the next.
    pub wait: Duration,
}

impl Default for RegistryOptions {
    fn default() -> Self {
        let (credentials, insecure, authorities) = Default::default();
        let (certificates, certificate_folders) = Default::default();
        let (proxies, wait) = (Proxies::default(), Duration::from_secs(1));
        Self { credentials, insecure, authorities, certificates, certificate_folders, proxies, wait }
    }
}

/// One registry.
pub(super) struct Client {
    pub(super) http: Http,
    pub(super) registry: String,
    pub(super) credentials: Credentials,
    pub(super) cloud: Option<Cloud>,
    may_be_plain: bool,
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
        let http = Http::new(&Certificates::of(registry, options)?, insecure, options)?;
        Ok(Self {
            http,
            registry: registry.to_owned(),
            cloud: Cloud::of(registry, options)?,
            credentials: options.credentials.clone(),
            may_be_plain: insecure || is_loopback(registry),
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
            if self.may_be_plain && scheme == "https" { attempt() } else { self.http.repeated(attempt) }
        };
        let answer = match ask("https") {
            Err(ImageError::Unreachable(tls)) if self.may_be_plain => {
                let neither = |e: ImageError| ImageError::Unreachable(format!("{tls}; without TLS: {e}"));
                let plain = ask("http").map_err(neither)?;
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
        self.http.repeated(|| self.authorized(method, address, scope, headers, body))
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
        let ask =
            |authorization: Option<&str>| self.redirected(method, address, headers, authorization, body);
        let authorization = self.authorization(scope, None)?;
        let answer = ask(authorization.as_deref())?;
        if answer.status != 401 {
            return Ok(answer);
        }
        ask(self.authorization(scope, authorization.as_deref())?.as_deref())
    }

    /// A request with a body that can be read once, and so is made once. An upload is at home or at a host that gets to
    /// see no credentials.
    pub(super) fn stream(
        &self,
        method: &str,
        address: &Address,
        scope: &Scope,
        headers: &[(&str, String)],
        body: &mut dyn Read,
        length: u64,
    ) -> Result<Answer, ImageError> {
        let home = self.meet()?.origin;
        home.may_lead_to(address)?;
        let authorization = self.authorization(scope, None)?.filter(|_| address.origin() == home.origin());
        self.http.stream(method, address, headers, authorization.as_deref(), body, length)
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
        self.http.once(method, address, headers, authorization, body)
    }
}
