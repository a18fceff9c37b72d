//! Who one is for the registries of clouds, where no file of credentials says it: the identity that the cloud gives to
//! a machine, a pod or a job becomes a name and a password for the registry.

mod aws;
mod ecr;
mod federation;
mod google;
mod sigv4;

use std::collections::BTreeMap;
use std::fmt;
use std::io::Read;
use std::path::Path;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use serde::de::DeserializeOwned;

use super::address::{Address, is_loopback};
use super::answer::Answer;
use super::certificates::Certificates;
use super::client::RegistryOptions;
use super::credentials::Credential;
use super::http::Http;
use crate::error::ImageError;

/// The most bytes of an answer or of a file with a key or token.
const MOST_TEXT: u64 = 64 << 10;
/// How long anything is kept at least: one that has expired when it comes says more about a clock than about itself,
/// and a registry that refuses it has it made anew.
const LEAST_LIFE: Duration = Duration::from_secs(60);

/// The variables of the environment by which clouds tell programs who they are.
#[derive(Clone, Default)]
pub struct CloudEnvironment(BTreeMap<&'static str, String>);

const VARIABLES: [&str; 24] = [
    "HOME",
    "GOOGLE_APPLICATION_CREDENTIALS",
    "CLOUDSDK_CONFIG",
    "GCE_METADATA_HOST",
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_ROLE_ARN",
    "AWS_ROLE_SESSION_NAME",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_REGION",
    "AWS_DEFAULT_REGION",
    "AWS_PROFILE",
    "AWS_SHARED_CREDENTIALS_FILE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
    "AWS_EC2_METADATA_DISABLED",
    "AWS_EC2_METADATA_SERVICE_ENDPOINT",
    "AWS_ENDPOINT_URL",
    "AWS_ENDPOINT_URL_ECR",
    "AWS_ENDPOINT_URL_STS",
    "AWS_USE_FIPS_ENDPOINT",
];

impl CloudEnvironment {
    /// What of an environment is about clouds.
    pub fn from_environment(variable: impl Fn(&str) -> Option<String>) -> Self {
        let given = |name| variable(name).filter(|value| !value.is_empty()).map(|value| (name, value));
        Self(VARIABLES.into_iter().filter_map(given).collect())
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    fn path(&self, name: &str) -> Option<&Path> {
        self.get(name).map(Path::new)
    }
}

/// Without the values: some are secret.
impl fmt::Debug for CloudEnvironment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// Which cloud a registry belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Kind {
    Google,
    Ecr(ecr::Host),
}

/// The identity of this process in the cloud of one registry.
pub(super) struct Cloud {
    kind: Kind,
    environment: CloudEnvironment,
    http: Http,
    /// For addresses that only a machine in that cloud reaches.
    direct: Http,
    held: Mutex<Option<(Credential, Instant)>>,
}

/// A credential, and how long it holds from now.
type Lasting = (Credential, Duration);

impl Cloud {
    /// None: the registry is of no cloud.
    pub(super) fn of(registry: &str, options: &RegistryOptions) -> Result<Option<Self>, ImageError> {
        let Some(kind) = kind(registry) else { return Ok(None) };
        let certificates = Certificates { authorities: options.authorities.clone(), own: None };
        Ok(Some(Self {
            kind,
            environment: options.credentials.cloud.clone(),
            // whoever may lie about a registry may not about who gives out keys
            http: Http::new(&certificates, false, options)?,
            direct: Http::direct(),
            held: Mutex::new(None),
        }))
    }

    /// The credential for the registry, and how long it may be kept; `fresh` does without one that was kept.
    pub(super) fn credential(&self, fresh: bool) -> Result<Lasting, ImageError> {
        let mut held = self.held.lock().unwrap_or_else(|e| e.into_inner());
        let now = Instant::now();
        if let Some((credential, until)) = held.as_ref().filter(|(_, until)| !fresh && now < *until) {
            return Ok((credential.clone(), *until - now));
        }
        let (credential, life) = match &self.kind {
            Kind::Google => self.google()?,
            Kind::Ecr(host) => self.ecr(host)?,
        };
        let life = life.max(LEAST_LIFE);
        *held = Some((credential.clone(), now + life));
        Ok((credential, life))
    }

    /// Asks a service of the cloud. What it gives is secret, so it is asked over TLS, and nowhere else than here.
    fn ask(
        &self,
        method: &str,
        address: &str,
        headers: &[(&str, String)],
        body: &str,
    ) -> Result<Answer, ImageError> {
        let address = Address::parse(address)?;
        if address.is_plain() && !is_loopback(address.host()) {
            let reason = "it is not protected by TLS, and gives out credentials: refused";
            return Err(ImageError::Refused(format!("{}: {reason}", address.origin())));
        }
        self.http.repeated(|| self.http.once(method, &address, headers, None, body.as_bytes()))
    }

    /// Asks the machine's own service for its identity. None: there is nobody.
    fn ask_machine(
        &self,
        method: &str,
        address: &str,
        headers: &[(&str, String)],
    ) -> Result<Option<Answer>, ImageError> {
        let address = Address::parse(address)?;
        match self.direct.repeated(|| self.direct.once(method, &address, headers, None, b"")) {
            Ok(answer) => Ok(Some(answer)),
            Err(ImageError::Unreachable(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

fn kind(registry: &str) -> Option<Kind> {
    let host = registry.split(':').next().unwrap_or_default();
    let google = [".gcr.io", ".pkg.dev", ".google.com"];
    if host == "gcr.io" || google.iter().any(|domain| host.ends_with(domain)) {
        return Some(Kind::Google);
    }
    ecr::Host::parse(host).map(Kind::Ecr)
}

/// What an answer holds, which is never shown: it is secret.
fn parsed<T: DeserializeOwned>(answer: Answer, what: &str) -> Result<T, ImageError> {
    let text = answer.text(MOST_TEXT, what)?;
    serde_json::from_slice(&text).map_err(|_| ImageError::Refused(format!("{what}: the answer holds none")))
}

/// The text of a small file with a key or token. It is read anew each time: what keeps it fresh replaces it.
fn secret_file(path: &Path, what: &str) -> Result<String, ImageError> {
    let mut text = String::new();
    let read = crate::layout::regular(path).and_then(|file| file.take(MOST_TEXT).read_to_string(&mut text));
    let named = |e: std::io::Error| ImageError::Denied(format!("{what} ({}): {e}", path.display()));
    read.map_err(named).map(|_| text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_registry_belongs_to_a_cloud_by_the_end_of_its_name() {
        let region = |text: &str| match kind(text) {
            None => String::new(),
            Some(Kind::Google) => "google".to_owned(),
            Some(Kind::Ecr(host)) => host.region,
        };
        for (registry, expected) in [
            ("gcr.io", "google"),
            ("eu.gcr.io", "google"),
            ("europe-west1-docker.pkg.dev", "google"),
            ("evil-gcr.io", ""),
            ("gcr.io.example", ""),
            ("pkg.dev.example", ""),
            ("123456789012.dkr.ecr.eu-west-1.amazonaws.com", "eu-west-1"),
            ("123456789012.dkr.ecr-fips.us-gov-west-1.amazonaws.com", "us-gov-west-1"),
            ("123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn", "cn-north-1"),
            ("123456789012.dkr.ecr.eu-west-1.amazonaws.com.example", ""),
            ("12345678901x.dkr.ecr.eu-west-1.amazonaws.com", ""),
            ("123456789012.dkr.ecr.eu/west.amazonaws.com", ""),
            ("public.ecr.aws", ""),
            ("127.0.0.1:5000", ""),
        ] {
            assert_eq!(region(registry), expected, "{registry}");
        }
    }

    #[test]
    fn no_secret_is_shown_when_the_environment_is() {
        let environment = CloudEnvironment::from_environment(|name| Some(format!("value of {name}")));
        let shown = format!("{environment:?}");
        assert!(shown.contains("AWS_SECRET_ACCESS_KEY") && !shown.contains("value of"), "{shown}");
    }
}
