//! Google's workload identity federation: a token of somebody else, such as a service of continuous integration, is
//! exchanged for Google's, and that, where the file says so, for one of a service account.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Deserialize;
use serde_json::{Value, json};

use super::google::{AccessToken, SCOPE, granted};
use super::{Cloud, MOST_TEXT, parsed, secret_file};
use crate::error::ImageError;

/// A key file of the type `external_account`.
#[derive(Deserialize)]
pub(super) struct External {
    audience: String,
    subject_token_type: String,
    token_url: String,
    credential_source: CredentialSource,
    service_account_impersonation_url: Option<String>,
}

/// Where the token of somebody else is.
#[derive(Deserialize)]
struct CredentialSource {
    file: Option<PathBuf>,
    url: Option<String>,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    #[serde(default)]
    format: Format,
}

#[derive(Deserialize, Default)]
struct Format {
    subject_token_field_name: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Impersonated {
    access_token: String,
}

const WHAT: &str = "the token of the key file's credential_source";

impl Cloud {
    pub(super) fn by_federation(&self, account: &External) -> Result<AccessToken, ImageError> {
        let subject = self.subject(&account.credential_source)?;
        let form = [
            ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"),
            ("requested_token_type", "urn:ietf:params:oauth:token-type:access_token"),
            ("audience", &account.audience),
            ("scope", SCOPE),
            ("subject_token", &subject),
            ("subject_token_type", &account.subject_token_type),
        ];
        let own = self.grant(&account.token_url, &form)?;
        let Some(address) = &account.service_account_impersonation_url else { return Ok(own) };
        let headers = [
            ("content-type", "application/json".to_owned()),
            ("authorization", format!("Bearer {}", own.access_token)),
        ];
        let body = json!({"scope": [SCOPE], "lifetime": "3600s"}).to_string();
        let found: Impersonated = parsed(granted(self.ask("POST", address, &headers, &body)?)?, WHAT)?;
        Ok(AccessToken { access_token: found.access_token, expires_in: Some(3600) })
    }

    fn subject(&self, source: &CredentialSource) -> Result<String, ImageError> {
        let text = match (&source.file, &source.url) {
            (Some(path), _) => secret_file(path, WHAT)?,
            (None, Some(url)) => {
                let headers: Vec<_> =
                    source.headers.iter().map(|(name, value)| (name.as_str(), value.clone())).collect();
                let answer = self.ask("GET", url, &headers, "")?.expect(&[200], WHAT)?;
                String::from_utf8_lossy(&answer.text(MOST_TEXT, WHAT)?).into_owned()
            }
            (None, None) => {
                let reason = "it names neither a file nor a url, the two kinds that are known here";
                return Err(ImageError::Denied(format!("{WHAT}: {reason}")));
            }
        };
        let Some(field) = &source.format.subject_token_field_name else { return Ok(text.trim().to_owned()) };
        let parsed: Value = serde_json::from_str(&text).unwrap_or_default();
        let token = parsed.get(field).and_then(Value::as_str).map(str::to_owned);
        token.ok_or_else(|| ImageError::Denied(format!("{WHAT}: it has no field '{field}'")))
    }
}
