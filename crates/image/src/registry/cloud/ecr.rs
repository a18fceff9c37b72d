//! Amazon's registries: a name and a password for twelve hours, given to whoever signs the question.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde::Deserialize;

use super::aws::printable;
use super::sigv4::Request;
use super::{Cloud, Lasting, MOST_TEXT};
use crate::error::ImageError;
use crate::registry::address::Address;
use crate::registry::credentials::Credential;

/// What the name of a registry says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Host {
    pub(super) region: String,
    domain: &'static str,
    is_fips: bool,
}

impl Host {
    pub(super) fn parse(host: &str) -> Option<Self> {
        let (rest, domain) = ["amazonaws.com", "amazonaws.com.cn"]
            .iter()
            .find_map(|domain| Some((host.strip_suffix(domain)?.strip_suffix('.')?, *domain)))?;
        let [account, "dkr", service, region] = rest.split('.').collect::<Vec<_>>()[..] else { return None };
        let digits = account.len() == 12 && account.bytes().all(|b| b.is_ascii_digit());
        let plain = region.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        let is_fips = service == "ecr-fips";
        (digits && plain && (is_fips || service == "ecr")).then(|| Self {
            region: region.to_owned(),
            domain,
            is_fips,
        })
    }

    fn service(&self) -> String {
        let name = if self.is_fips { "ecr-fips" } else { "api.ecr" };
        format!("https://{name}.{}.{}/", self.region, self.domain)
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Tokens {
    authorization_data: Vec<Token>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Token {
    authorization_token: String,
    expires_at: Option<f64>,
}

#[derive(Deserialize, Default)]
struct Refusal {
    #[serde(rename = "__type", default)]
    kind: String,
    #[serde(alias = "Message", default)]
    message: String,
}

const WHAT: &str = "a password for Amazon's registry";
/// How long a password holds where its answer does not say.
const LIFE: Duration = Duration::from_secs(12 * 3600);

impl Cloud {
    pub(super) fn ecr(&self, host: &Host) -> Result<Lasting, ImageError> {
        let keys = self.keys(&host.region)?;
        let address = self.endpoint("AWS_ENDPOINT_URL_ECR", host.service());
        let headers = [
            ("content-type", "application/x-amz-json-1.1".to_owned()),
            ("x-amz-target", "AmazonEC2ContainerRegistry_V20150921.GetAuthorizationToken".to_owned()),
        ];
        let parsed = Address::parse(&address)?;
        let now = SystemTime::now();
        let time = humantime::format_rfc3339_seconds(now).to_string().replace(['-', ':'], "");
        let request = Request {
            method: "POST",
            host: parsed.authority(),
            path: parsed.path(),
            headers: &headers,
            body: "{}",
            region: &host.region,
            service: "ecr",
            time: &time,
        };
        let signed = [&headers[..], &request.signed(&keys)].concat();
        let answer = self.ask("POST", &address, &signed, request.body)?;
        let (status, text) = (answer.status, answer.text(MOST_TEXT, WHAT)?);
        if status != 200 {
            return Err(refused(status, &text));
        }
        let none = || ImageError::Refused(format!("{WHAT}: the answer holds none"));
        let found: Tokens = serde_json::from_slice(&text).map_err(|_| none())?;
        let token = found.authorization_data.first().ok_or_else(none)?;
        let plain = BASE64_STANDARD.decode(&token.authorization_token).map_err(|_| none())?;
        let plain = String::from_utf8(plain).map_err(|_| none())?;
        let (user, password) = plain.split_once(':').ok_or_else(none)?;
        let credential = Credential::Basic(user.to_owned(), password.to_owned());
        Ok((credential, life(token.expires_at, now)))
    }
}

/// Half of the time that is left.
fn life(expires: Option<f64>, now: SystemTime) -> Duration {
    let Some(expires) = expires else { return LIFE / 2 };
    let now = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
    let left = (expires - now).max(0.0).min(LIFE.as_secs_f64()); // `max` takes the other one for what is no number
    Duration::from_secs_f64(left / 2.0)
}

/// The refusal that most meet first has its own sentence: the action cannot be granted for one repository.
fn refused(status: u16, text: &[u8]) -> ImageError {
    let said: Refusal = serde_json::from_slice(text).unwrap_or_default();
    let (kind, message) = (said.kind.rsplit('#').next().unwrap_or_default(), printable(&said.message));
    let remedy = match kind {
        "AccessDeniedException" => {
            "; a policy must allow ecr:GetAuthorizationToken, and that on the resource \"*\", beside what it allows on \
             repositories"
        }
        "ExpiredTokenException" | "UnrecognizedClientException" | "InvalidSignatureException" => {
            "; the keys are wrong or have expired"
        }
        _ => "",
    };
    let text = format!("{WHAT}: the service answers {status}: {message} ({}){remedy}", printable(kind));
    if (400..500).contains(&status) { ImageError::Denied(text) } else { ImageError::Unreachable(text) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_renewed_at_half_of_its_life_and_one_from_the_past_at_once() {
        let now = UNIX_EPOCH + Duration::from_secs(1_000_000);
        for (expires, expected) in [
            (Some(1_000_000.0 + 43_200.0), 21_600),
            (Some(1_000_100.0), 50),
            (Some(999_999.0), 0),
            (Some(-1e300), 0),
            (Some(1e300), 21_600),
            (Some(f64::NAN), 0),
            (None, 21_600),
        ] {
            let found = std::panic::catch_unwind(|| life(expires, now).as_secs());
            assert_eq!(found.ok(), Some(expected), "{expires:?}");
        }
    }

    #[test]
    fn the_denial_that_most_meet_names_the_missing_action() {
        let text = br#"{"__type":"AccessDeniedException","message":"User: x is not authorized\u001b[31m"}"#;
        let error = refused(400, text).to_string();
        assert!(error.contains("must allow ecr:GetAuthorizationToken") && error.contains("\"*\""), "{error}");
        assert!(!error.contains('\u{1b}'), "{error}");
        assert!(matches!(refused(503, b"<html>"), ImageError::Unreachable(_)));
    }
}
