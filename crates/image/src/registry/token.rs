//! How one shows a registry who one is: name and password, or a token that another service gives for a scope.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde::Deserialize;

use super::address::Address;
use super::challenge::Challenge;
use super::client::Client;
use super::credentials::Credential;
use crate::error::ImageError;

/// The most bytes of an answer with a token that are read.
const MOST_TEXT: u64 = 64 << 10;
/// How many seconds a token holds where its answer does not say.
const TOKEN_LIFE: u64 = 60;

/// Values of `Authorization` by what they are for, with the time until which they hold.
pub(super) type Tokens = Mutex<HashMap<Scope, (String, Instant)>>;

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

impl Client {
    /// The value of `Authorization` for a scope, and not the one that was refused.
    pub(super) fn authorization(
        &self,
        scope: &Scope,
        refused: Option<&str>,
    ) -> Result<Option<String>, ImageError> {
        let Some(challenge) = self.meet()?.challenge else { return Ok(None) };
        let mut tokens = self.tokens.lock().unwrap_or_else(|e| e.into_inner());
        let kept = tokens.get(scope).filter(|(_, until)| Instant::now() < *until);
        // of several that were refused side by side, the first has it renewed for all
        let kept = kept.filter(|(value, _)| refused != Some(value));
        if let Some((value, _)) = kept {
            return Ok(Some(value.clone()));
        }
        let (credential, held) = self.credential(scope, refused.is_some())?;
        let (value, life) = match (challenge, credential) {
            (_, Credential::Bearer(token)) => (format!("Bearer {token}"), TOKEN_LIFE),
            (Challenge::Basic, Credential::Basic(user, password)) => (basic(&user, &password), held),
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

    /// What files know of this registry, else who one is in its cloud; and for how many seconds that holds.
    fn credential(&self, scope: &Scope, fresh: bool) -> Result<(Credential, u64), ImageError> {
        match (self.credentials.of(&self.registry, scope.repository())?, &self.cloud) {
            (Credential::None, Some(cloud)) => {
                cloud.credential(fresh).map(|(credential, life)| (credential, life.as_secs()))
            }
            (known, _) => Ok((known, 3600)),
        }
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
            let asked = self.http.repeated(|| self.once("POST", &realm, &kind, None, form.as_bytes()))?;
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
                self.http.repeated(|| self.once("GET", &address, &[], own.as_deref(), &[]))?
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

fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", BASE64_STANDARD.encode(format!("{user}:{password}")))
}

/// Parameters as a query has them.
pub(super) fn encoded<'a>(pairs: impl IntoIterator<Item = &'a (&'a str, &'a str)>) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'~');
    let code = |b: u8| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") };
    let pairs = pairs
        .into_iter()
        .map(|(name, value)| format!("{name}={}", value.bytes().map(code).collect::<String>()));
    pairs.collect::<Vec<_>>().join("&")
}
