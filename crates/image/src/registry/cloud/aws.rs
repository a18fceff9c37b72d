//! Keys of Amazon, from where its own programs take them and in their order: variables, a web identity, the file of
//! credentials, a container's service, the machine's service.

use std::path::PathBuf;

use portend_core::shortened_to;
use serde::Deserialize;

use super::{Cloud, CloudEnvironment, parsed, secret_file};
use crate::error::ImageError;
use crate::registry::address::{Address, is_loopback};
use crate::registry::answer::Answer;
use crate::registry::token::encoded;

/// What a request is signed with. They are had anew for each password that is asked for, so nothing here grows old.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Keys {
    pub(super) id: String,
    pub(super) secret: String,
    pub(super) session: Option<String>,
}

/// How services of containers and machines write keys.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct KeysAnswer {
    access_key_id: String,
    secret_access_key: String,
    token: Option<String>,
}

impl From<KeysAnswer> for Keys {
    fn from(found: KeysAnswer) -> Self {
        Self { id: found.access_key_id, secret: found.secret_access_key, session: found.token }
    }
}

/// The hosts that a container may be sent to for its keys without TLS, beside its own.
const CONTAINER_HOSTS: [&str; 3] = ["169.254.170.2", "169.254.170.23", "[fd00:ec2::23]"];
const MACHINE: &str = "http://169.254.169.254";
const NAME: &str = "portend";

impl Cloud {
    pub(super) fn keys(&self, region: &str) -> Result<Keys, ImageError> {
        if let Some(keys) = from_variables(&self.environment) {
            return Ok(keys);
        }
        if let Some(path) = self.environment.path("AWS_WEB_IDENTITY_TOKEN_FILE") {
            let token = secret_file(path, "AWS_WEB_IDENTITY_TOKEN_FILE")?;
            return self.web_identity(token.trim(), region);
        }
        if let Some(keys) = from_file(&self.environment)? {
            return Ok(keys);
        }
        if let Some(keys) = self.container()? {
            return Ok(keys);
        }
        self.machine()?.ok_or_else(|| {
            ImageError::Denied(
                "no credentials of AWS: neither AWS_ACCESS_KEY_ID nor AWS_WEB_IDENTITY_TOKEN_FILE nor \
                 AWS_CONTAINER_CREDENTIALS_FULL_URI is set, the credentials file names no keys, and no service of a \
                 machine with a role answers; docker login or a credential helper would do as well"
                    .to_owned(),
            )
        })
    }

    /// A token of somebody else, such as a cluster, for keys of a role.
    fn web_identity(&self, token: &str, region: &str) -> Result<Keys, ImageError> {
        let role = self.environment.get("AWS_ROLE_ARN").ok_or_else(|| {
            let reason = "AWS_WEB_IDENTITY_TOKEN_FILE is set and AWS_ROLE_ARN is not: name the role";
            ImageError::Denied(reason.to_owned())
        })?;
        let region = self.environment.get("AWS_REGION").unwrap_or(region);
        let domain = if region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" };
        let own = format!("https://sts.{region}.{domain}/");
        let address = self.endpoint("AWS_ENDPOINT_URL_STS", own);
        let form = encoded(&[
            ("Action", "AssumeRoleWithWebIdentity"),
            ("Version", "2011-06-15"),
            ("RoleArn", role),
            ("RoleSessionName", self.environment.get("AWS_ROLE_SESSION_NAME").unwrap_or(NAME)),
            ("WebIdentityToken", token),
        ]);
        let kind = [("content-type", "application/x-www-form-urlencoded".to_owned())];
        let answer = self.ask("POST", &address, &kind, &form)?;
        let what = format!("keys for the role {role}");
        let (status, text) = (answer.status, xml(answer, &what)?);
        if status != 200 {
            let said = element(&text, "Message").unwrap_or_default();
            let reason = format!(
                "{what}: the security token service answers {status}: {}; its trust policy must name the issuer, the \
                 subject and the audience of the token in AWS_WEB_IDENTITY_TOKEN_FILE",
                printable(said)
            );
            return Err(ImageError::Denied(reason));
        }
        let missing = || ImageError::Refused(format!("{what}: the answer holds none"));
        let found = |name| element(&text, name).map(str::to_owned);
        Ok(Keys {
            id: found("AccessKeyId").ok_or_else(missing)?,
            secret: found("SecretAccessKey").ok_or_else(missing)?,
            session: found("SessionToken"),
        })
    }

    /// Where a service is asked: where the environment says, else at its own address.
    pub(super) fn endpoint(&self, variable: &str, own: String) -> String {
        let given = self.environment.get(variable).or_else(|| self.environment.get("AWS_ENDPOINT_URL"));
        given.map_or(own, |address| format!("{}/", address.trim_end_matches('/')))
    }

    /// What the service beside a container gives it.
    fn container(&self) -> Result<Option<Keys>, ImageError> {
        let relative = self.environment.get("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI");
        let relative = relative.map(|path| format!("http://{}{path}", CONTAINER_HOSTS[0]));
        let full = self.environment.get("AWS_CONTAINER_CREDENTIALS_FULL_URI").map(str::to_owned);
        let Some(address) = relative.or(full) else { return Ok(None) };
        let host = Address::parse(&address)?;
        let near = is_loopback(host.host()) || CONTAINER_HOSTS.contains(&host.host());
        if host.is_plain() && !near {
            let reason = "it is neither protected by TLS nor a container's own service: refused";
            return Err(ImageError::Refused(format!("AWS_CONTAINER_CREDENTIALS_FULL_URI: {reason}")));
        }
        let token = match self.environment.path("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE") {
            Some(path) => Some(secret_file(path, "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE")?),
            None => self.environment.get("AWS_CONTAINER_AUTHORIZATION_TOKEN").map(str::to_owned),
        };
        let headers = token.map(|token| ("authorization", token.trim().to_owned()));
        let what = "keys for this container";
        let answer = self
            .ask_machine("GET", &address, headers.as_slice())?
            .ok_or_else(|| ImageError::Unreachable(format!("{what}: {} cannot be asked", host.origin())))?;
        let found: KeysAnswer = parsed(answer.expect(&[200], what)?, what)?;
        Ok(Some(found.into()))
    }

    /// What the service of a machine gives to what runs on it: first a token, which no redirect or open proxy can get.
    fn machine(&self) -> Result<Option<Keys>, ImageError> {
        let off = self.environment.get("AWS_EC2_METADATA_DISABLED");
        if off.is_some_and(|value| value.eq_ignore_ascii_case("true")) {
            return Ok(None);
        }
        let service = self.environment.get("AWS_EC2_METADATA_SERVICE_ENDPOINT").unwrap_or(MACHINE);
        let service = service.trim_end_matches('/');
        let life = [("x-aws-ec2-metadata-token-ttl-seconds", "300".to_owned())];
        let token = self.ask_machine("PUT", &format!("{service}/latest/api/token"), &life)?;
        let Some(token) = token.filter(|answer| answer.status == 200) else { return Ok(None) };
        let what = "keys for this machine";
        let text = |answer: Answer| {
            let text = answer.text(super::MOST_TEXT, what)?;
            String::from_utf8(text).map_err(|_| ImageError::Refused(format!("{what}: not a text")))
        };
        let token = [("x-aws-ec2-metadata-token", text(token)?)];
        let folder = format!("{service}/latest/meta-data/iam/security-credentials/");
        let roles = self.ask_machine("GET", &folder, &token)?.filter(|answer| answer.status == 200);
        let Some(roles) = roles else { return Ok(None) }; // a machine without a role
        let roles = text(roles)?;
        let role = roles.lines().next().unwrap_or_default().trim();
        let answer = self.ask_machine("GET", &format!("{folder}{role}"), &token)?;
        let answer = answer.ok_or_else(|| ImageError::Unreachable(what.to_owned()))?;
        let found: KeysAnswer = parsed(answer.expect(&[200], what)?, what)?;
        Ok(Some(found.into()))
    }
}

fn from_variables(environment: &CloudEnvironment) -> Option<Keys> {
    let text = |name| environment.get(name).map(str::to_owned);
    Some(Keys {
        id: text("AWS_ACCESS_KEY_ID")?,
        secret: text("AWS_SECRET_ACCESS_KEY")?,
        session: text("AWS_SESSION_TOKEN"),
    })
}

/// The keys of a profile in the file of credentials.
fn from_file(environment: &CloudEnvironment) -> Result<Option<Keys>, ImageError> {
    let own = || environment.path("HOME").map(|home| home.join(".aws/credentials"));
    let named = environment.path("AWS_SHARED_CREDENTIALS_FILE").map(PathBuf::from);
    match named.clone().or_else(own) {
        Some(path) if named.is_some() || path.exists() => {
            let text = secret_file(&path, "the credentials file of AWS")?;
            Ok(profile(&text, environment.get("AWS_PROFILE").unwrap_or("default")))
        }
        _ => Ok(None),
    }
}

fn profile(text: &str, name: &str) -> Option<Keys> {
    let mut lines = text.lines().map(str::trim);
    lines.find(|line| *line == format!("[{name}]"))?;
    let section: Vec<_> = lines.take_while(|line| !line.starts_with('[')).collect();
    let value = |key: &str| {
        let pairs = section.iter().filter_map(|line| line.split_once('='));
        pairs.filter(|(name, _)| name.trim() == key).map(|(_, value)| value.trim().to_owned()).next()
    };
    let (id, secret) = (value("aws_access_key_id")?, value("aws_secret_access_key")?);
    Some(Keys { id, secret, session: value("aws_session_token") })
}

fn xml(answer: Answer, what: &str) -> Result<String, ImageError> {
    let text = answer.text(super::MOST_TEXT, what)?;
    String::from_utf8(text).map_err(|_| ImageError::Refused(format!("{what}: the answer is no text")))
}

/// The text of the first element of a name. Keys and tokens have no character that is written in another way.
fn element<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(&format!("<{name}>"))?;
    rest.split_once(&format!("</{name}>")).map(|(inner, _)| inner.trim())
}

/// Somebody else's text, which is not to steer a terminal.
pub(super) fn printable(text: &str) -> String {
    let plain: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    shortened_to(300, &plain).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_profile_ends_where_the_next_one_begins() {
        let text = "# x\n[default]\naws_access_key_id = A\naws_secret_access_key=b=c\n\n[ci]\naws_access_key_id = C\n\
                    aws_session_token = t\naws_secret_access_key = D\n[half]\naws_access_key_id = E\n";
        let keys = |name| profile(text, name).map(|keys| (keys.id, keys.secret, keys.session));
        let owned = |id: &str, secret: &str, session: Option<&str>| {
            Some((id.to_owned(), secret.to_owned(), session.map(str::to_owned)))
        };
        assert_eq!(keys("default"), owned("A", "b=c", None));
        assert_eq!(keys("ci"), owned("C", "D", Some("t")));
        assert_eq!(keys("half"), None);
        assert_eq!(keys("none"), None);
    }
}
