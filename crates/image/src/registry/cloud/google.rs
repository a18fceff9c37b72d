//! Google's registries: an access token, had with a key file or from the machine's own service.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use ring::rand::SystemRandom;
use ring::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use rustls_pki_types::PrivatePkcs8KeyDer;
use rustls_pki_types::pem::PemObject;
use serde::Deserialize;
use serde_json::json;

use super::aws::printable;
use super::federation::External;
use super::{Cloud, Lasting, MOST_TEXT, parsed, secret_file};
use crate::error::ImageError;
use crate::registry::answer::Answer;
use crate::registry::credentials::Credential;
use crate::registry::token::encoded;

/// The name under which Google's registries take an access token as password.
const USER: &str = "oauth2accesstoken";
pub(super) const SCOPE: &str = "https://www.googleapis.com/auth/cloud-platform";
const WHAT: &str = "an access token of Google";
/// How long before its end a token is renewed.
const EARLY: Duration = Duration::from_secs(300);
const MACHINE: &str = "metadata.google.internal";
const MACHINE_TOKEN: &str = "computeMetadata/v1/instance/service-accounts/default/token";
const VARIABLE: &str = "GOOGLE_APPLICATION_CREDENTIALS";

/// The kinds of key files.
#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum KeyFile {
    ServiceAccount(Account),
    AuthorizedUser {
        client_id: String,
        client_secret: String,
        refresh_token: String,
    },
    ExternalAccount(External),
    #[serde(other)]
    Other,
}

#[derive(Deserialize)]
struct Account {
    client_email: String,
    private_key: String,
    private_key_id: Option<String>,
    #[serde(default = "token_service")]
    token_uri: String,
}

fn token_service() -> String {
    "https://oauth2.googleapis.com/token".to_owned()
}

#[derive(Deserialize)]
pub(super) struct AccessToken {
    pub(super) access_token: String,
    pub(super) expires_in: Option<u64>,
}

impl Cloud {
    pub(super) fn google(&self) -> Result<Lasting, ImageError> {
        let token = match self.key_file() {
            Some(path) => Some(self.by_key_file(&path)?),
            None => self.google_machine()?,
        };
        let Some(token) = token else { return Ok((Credential::None, EARLY)) };
        let life = Duration::from_secs(token.expires_in.unwrap_or(0)).saturating_sub(EARLY);
        Ok((Credential::Basic(USER.to_owned(), token.access_token), life))
    }

    /// The file that is named, else the one that Google's own program writes.
    fn key_file(&self) -> Option<PathBuf> {
        let named = self.environment.path(VARIABLE).map(PathBuf::from);
        let folder = self.environment.path("CLOUDSDK_CONFIG").map(PathBuf::from);
        let folder = folder.or_else(|| Some(self.environment.path("HOME")?.join(".config/gcloud")));
        let own = folder.map(|folder| folder.join("application_default_credentials.json"));
        named.or_else(|| own.filter(|path| path.exists()))
    }

    fn by_key_file(&self, path: &Path) -> Result<AccessToken, ImageError> {
        let text = secret_file(path, VARIABLE)?;
        let shown = path.display();
        let file = serde_json::from_str(&text)
            .map_err(|_| ImageError::Denied(format!("{shown} is not a key file of Google")))?;
        match file {
            KeyFile::ServiceAccount(account) => {
                let assertion = account.assertion(SystemTime::now()).map_err(|reason| {
                    ImageError::Denied(format!("{shown}: the private key in it {reason}"))
                })?;
                let grant = "urn:ietf:params:oauth:grant-type:jwt-bearer";
                self.grant(&account.token_uri, &[("grant_type", grant), ("assertion", &assertion)])
            }
            KeyFile::AuthorizedUser { client_id, client_secret, refresh_token } => self.grant(
                &token_service(),
                &[
                    ("grant_type", "refresh_token"),
                    ("client_id", &client_id),
                    ("client_secret", &client_secret),
                    ("refresh_token", &refresh_token),
                ],
            ),
            KeyFile::ExternalAccount(account) => self.by_federation(&account),
            KeyFile::Other => Err(ImageError::Denied(format!(
                "{shown}: its type is none of service_account, authorized_user and external_account, which are known \
                 here"
            ))),
        }
    }

    /// Exchanges what one has for an access token.
    pub(super) fn grant(&self, address: &str, form: &[(&str, &str)]) -> Result<AccessToken, ImageError> {
        let kind = [("content-type", "application/x-www-form-urlencoded".to_owned())];
        parsed(granted(self.ask("POST", address, &kind, &encoded(form))?)?, WHAT)
    }

    /// What the service of a machine gives to what runs on it. Elsewhere there is none, and images that everybody may
    /// read are read all the same.
    fn google_machine(&self) -> Result<Option<AccessToken>, ImageError> {
        let host = self.environment.get("GCE_METADATA_HOST").unwrap_or(MACHINE);
        let flavor = [("metadata-flavor", "Google".to_owned())];
        let answer = self.ask_machine("GET", &format!("http://{host}/{MACHINE_TOKEN}"), &flavor)?;
        // what does not say this is somebody else's server under that name
        let Some(answer) = answer.filter(|answer| answer.header("metadata-flavor") == Some("Google")) else {
            return Ok(None);
        };
        if answer.status == 404 {
            return Ok(None); // a machine without a service account
        }
        parsed(granted(answer)?, WHAT).map(Some)
    }
}

/// An answer that holds a token, or what the refusal says.
pub(super) fn granted(answer: Answer) -> Result<Answer, ImageError> {
    #[derive(Deserialize, Default)]
    struct Refusal {
        #[serde(default)]
        error: serde_json::Value,
        #[serde(default)]
        error_description: String,
    }
    let (status, origin) = (answer.status, answer.address.origin());
    if status == 200 {
        return Ok(answer);
    }
    let said: Refusal = serde_json::from_slice(&answer.text(MOST_TEXT, WHAT)?).unwrap_or_default();
    let message = said.error.get("message").or(Some(&said.error)).and_then(serde_json::Value::as_str);
    let said = format!("{} {}", printable(message.unwrap_or_default()), printable(&said.error_description));
    let text = format!("{WHAT}: {origin} answers {status}: {}", said.trim());
    Err(if (400..500).contains(&status) { ImageError::Denied(text) } else { ImageError::Unreachable(text) })
}

impl Account {
    /// A statement signed by the account: who one is, for what, and that it is one's own for an hour.
    fn assertion(&self, now: SystemTime) -> Result<String, &'static str> {
        let der = PrivatePkcs8KeyDer::from_pem_slice(self.private_key.as_bytes());
        let der = der.map_err(|_| "is not PEM of PKCS#8")?;
        let key = RsaKeyPair::from_pkcs8(der.secret_pkcs8_der()).map_err(|_| "is not one of RSA")?;
        let now = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let mut header = json!({"alg": "RS256", "typ": "JWT"});
        if let Some(id) = &self.private_key_id {
            header["kid"] = id.as_str().into();
        }
        let (issuer, audience) = (&self.client_email, &self.token_uri);
        let claims = json!({"iss": issuer, "scope": SCOPE, "aud": audience, "iat": now, "exp": now + 3600});
        let encode = |bytes: &[u8]| BASE64_URL_SAFE_NO_PAD.encode(bytes);
        let text =
            format!("{}.{}", encode(header.to_string().as_bytes()), encode(claims.to_string().as_bytes()));
        let mut signature = vec![0; key.public().modulus_len()];
        key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), text.as_bytes(), &mut signature)
            .map_err(|_| "cannot sign")?;
        Ok(format!("{text}.{}", encode(&signature)))
    }
}
