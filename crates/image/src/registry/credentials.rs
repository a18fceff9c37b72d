//! Who one is for a registry: what was given, else what Docker, podman or a credential helper keep.

use std::collections::HashMap;
use std::fmt;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde::Deserialize;

use super::cloud::CloudEnvironment;
use crate::error::ImageError;

/// The most bytes of a file of credentials or of a helper's answer.
const MOST_BYTES: u64 = 1 << 20;
/// How long a helper may take. It may ask a cloud.
const HELPER_TIME: Duration = Duration::from_secs(60);
/// What Docker calls its own registry in such files.
const DOCKER_HUB: &str = "https://index.docker.io/v1/";
/// The user name that says that the password is a token.
const TOKEN_USER: &str = "<token>";

/// Where credentials are looked for.
#[derive(Clone, Default)]
pub struct Credentials {
    /// Name and password that go before everything else.
    pub given: Option<(String, String)>,
    /// Files as Docker writes them, the first that knows a registry counts.
    pub files: Vec<PathBuf>,
    /// What the environment says of an identity in a cloud, which counts where no file knows a registry.
    pub cloud: CloudEnvironment,
}

/// Without the password.
impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let user = self.given.as_ref().map(|(user, _)| user);
        f.debug_struct("Credentials").field("user", &user).field("files", &self.files).finish_non_exhaustive()
    }
}

/// What is known for a registry.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Credential {
    None,
    Basic(String, String),
    /// Exchanged for a token.
    Identity(String),
    /// A token as it is.
    Bearer(String),
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct ConfigFile {
    auths: HashMap<String, Entry>,
    cred_helpers: HashMap<String, String>,
    creds_store: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Entry {
    auth: Option<String>,
    username: Option<String>,
    password: Option<String>,
    identitytoken: Option<String>,
    registrytoken: Option<String>,
}

impl Credentials {
    /// The files that Docker and podman write, found by the variables of the environment.
    pub fn from_environment(variable: impl Fn(&str) -> Option<String>) -> Self {
        let given = |name: &str| variable(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let docker = given("DOCKER_CONFIG").or_else(|| given("HOME").map(|home| home.join(".docker")));
        let config = given("XDG_CONFIG_HOME").or_else(|| given("HOME").map(|home| home.join(".config")));
        let files = [
            docker.map(|folder| folder.join("config.json")),
            given("REGISTRY_AUTH_FILE"),
            given("XDG_RUNTIME_DIR").map(|folder| folder.join("containers/auth.json")),
            config.map(|folder| folder.join("containers/auth.json")),
        ];
        let cloud = CloudEnvironment::from_environment(variable);
        Self { given: None, files: files.into_iter().flatten().collect(), cloud }
    }

    /// What is known for a repository of a registry.
    pub(super) fn of(&self, registry: &str, repository: &str) -> Result<Credential, ImageError> {
        if let Some((user, password)) = &self.given {
            return Ok(Credential::Basic(user.clone(), password.clone()));
        }
        for path in &self.files {
            let Some(file) = read(path)? else { continue };
            let found = file.of(registry, repository).map_err(|reason| {
                ImageError::Denied(format!("credentials for {registry} in {}: {reason}", path.display()))
            })?;
            if found != Credential::None {
                return Ok(found);
            }
        }
        Ok(Credential::None)
    }
}

fn read(path: &Path) -> Result<Option<ConfigFile>, ImageError> {
    let mut text = Vec::new();
    match crate::layout::regular(path).and_then(|file| file.take(MOST_BYTES).read_to_end(&mut text)) {
        Ok(_) => {}
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(ImageError::file(path, e)),
    }
    // the error of the parser may repeat a part of the text, which is secret
    let parsed = serde_json::from_slice(&text);
    parsed.map(Some).map_err(|e| {
        let reason =
            format!("it is not what Docker writes there, in line {} column {}", e.line(), e.column());
        ImageError::bad(path.display().to_string(), reason)
    })
}

impl ConfigFile {
    fn of(&self, registry: &str, repository: &str) -> Result<Credential, String> {
        let host = if registry == "docker.io" { DOCKER_HUB } else { registry };
        if let Some(helper) = self.cred_helpers.get(host).or_else(|| self.cred_helpers.get(registry)) {
            return helped(helper, host);
        }
        if let Some(helper) = self.creds_store.as_ref().filter(|name| !name.is_empty()) {
            let found = helped(helper, host)?;
            if found != Credential::None {
                return Ok(found);
            }
        }
        self.keys(registry, repository)
            .find_map(|key| self.auths.get(&key))
            .map_or(Ok(Credential::None), Entry::read)
    }

    /// The names under which a repository's credentials may stand, the nearest first.
    fn keys(&self, registry: &str, repository: &str) -> impl Iterator<Item = String> + use<> {
        let full = format!("{registry}/{repository}");
        let mut keys: Vec<String> =
            full.match_indices('/').map(|(at, _)| full[..at].to_owned()).rev().collect();
        keys.insert(0, full);
        for scheme in ["https", "http"] {
            keys.extend(["", "/", "/v1/", "/v2/"].map(|end| format!("{scheme}://{registry}{end}")));
        }
        if registry == "docker.io" {
            keys.push(DOCKER_HUB.to_owned());
        }
        keys.into_iter()
    }
}

impl Entry {
    fn read(&self) -> Result<Credential, String> {
        let text = |value: &Option<String>| value.clone().filter(|value| !value.is_empty());
        if let Some(token) = text(&self.registrytoken) {
            return Ok(Credential::Bearer(token));
        }
        if let Some(token) = text(&self.identitytoken) {
            return Ok(Credential::Identity(token));
        }
        if let Some(auth) = text(&self.auth) {
            let wrong = || "'auth' is not base64 of NAME:PASSWORD".to_owned();
            let plain = BASE64_STANDARD.decode(auth.trim()).map_err(|_| wrong())?;
            let plain = String::from_utf8(plain).map_err(|_| wrong())?;
            let (user, password) = plain.split_once(':').ok_or_else(wrong)?;
            return Ok(basic(user, password.trim_end_matches('\0')));
        }
        match (text(&self.username), text(&self.password)) {
            (Some(user), Some(password)) => Ok(basic(&user, &password)),
            _ => Ok(Credential::None),
        }
    }
}

fn basic(user: &str, password: &str) -> Credential {
    match user {
        TOKEN_USER => Credential::Identity(password.to_owned()),
        _ => Credential::Basic(user.to_owned(), password.to_owned()),
    }
}

/// Asks a credential helper.
fn helped(name: &str, host: &str) -> Result<Credential, String> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Answer {
        username: String,
        secret: String,
    }
    // part of a program's name, which must stay in the folders for programs
    if name.is_empty() || !name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
    {
        return Err(format!("'{}' is not the name of a credential helper", portend_core::shortened(name)));
    }
    let program = format!("docker-credential-{name}");
    let started = Command::new(&program)
        .arg("get")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn();
    let mut child = started.map_err(|e| format!("cannot run {program}: {e}"))?;
    let (succeeded, text) = answer_of(&mut child, host).map_err(|reason| format!("{program}: {reason}"))?;
    if !succeeded {
        let text = String::from_utf8_lossy(&text);
        if text.contains("credentials not found") {
            return Ok(Credential::None);
        }
        return Err(format!("{program} failed: {}", portend_core::shortened_to(200, text.trim())));
    }
    let answer: Answer =
        serde_json::from_slice(&text).map_err(|_| format!("{program} gives no credentials"))?;
    Ok(basic(&answer.username, &answer.secret))
}

/// What a helper prints, within its time.
fn answer_of(child: &mut Child, host: &str) -> Result<(bool, Vec<u8>), String> {
    if let Some(mut input) = child.stdin.take() {
        _ = writeln!(input, "{host}"); // one that wants no input is no reason to fail
    }
    let output = child.stdout.take();
    let reading = std::thread::spawn(move || {
        let mut text = Vec::new();
        let read = output.map(|output| output.take(MOST_BYTES).read_to_end(&mut text));
        read.transpose().map(|_| text)
    });
    let start = Instant::now();
    let status = loop {
        match child.try_wait().map_err(|e| e.to_string())? {
            Some(status) => break status,
            None if start.elapsed() > HELPER_TIME => {
                _ = child.kill();
                _ = child.wait();
                return Err(format!("no answer within {} s", HELPER_TIME.as_secs()));
            }
            None => std::thread::sleep(Duration::from_millis(10)),
        }
    };
    let text = reading.join().map_err(|_| "cannot be read".to_owned())?.map_err(|e| e.to_string())?;
    Ok((status.success(), text))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(file: &str, registry: &str, repository: &str, expected: Result<Credential, &str>) {
        let file: ConfigFile = serde_json::from_str(file).unwrap();
        match (file.of(registry, repository), expected) {
            (Ok(found), Ok(expected)) => assert!(found == expected, "{registry}/{repository}"),
            (Err(found), Err(expected)) => assert!(found.contains(expected), "{found}"),
            (found, _) => panic!("{registry}/{repository}: {:?}", found.err()),
        }
    }

    #[test]
    fn the_nearest_entry_of_a_file_counts() {
        let file = r#"{"auths": {
            "r.example": {"auth": "dTpwOnc="}, "r.example/team": {"username": "v", "password": "q"},
            "id.example": {"identitytoken": "i"}, "reg.example": {"registrytoken": "t", "auth": "dTpw"},
            "tok.example": {"auth": "PHRva2VuPjp4"}, "https://old.example/v1/": {"auth": "dTpw"},
            "https://index.docker.io/v1/": {"auth": "ZDpw"}, "wrong.example": {"auth": "%"}, "empty.example": {}
        }}"#;
        let basic = |user: &str, password: &str| Ok(Credential::Basic(user.to_owned(), password.to_owned()));
        check(file, "r.example", "other", basic("u", "p:w"));
        check(file, "r.example", "team/churn", basic("v", "q"));
        check(file, "r.example", "teams", basic("u", "p:w"));
        check(file, "id.example", "a", Ok(Credential::Identity("i".to_owned())));
        check(file, "reg.example", "a", Ok(Credential::Bearer("t".to_owned())));
        check(file, "tok.example", "a", Ok(Credential::Identity("x".to_owned())));
        check(file, "old.example", "a", basic("u", "p"));
        check(file, "docker.io", "library/a", basic("d", "p"));
        check(file, "none.example", "a", Ok(Credential::None));
        check(file, "empty.example", "a", Ok(Credential::None));
        check(file, "evil-r.example", "a", Ok(Credential::None));
        check(file, "wrong.example", "a", Err("is not base64"));
        check(r#"{"credsStore": "../x"}"#, "r.example", "a", Err("not the name of a credential helper"));
        check(
            r#"{"credHelpers": {"r.example": "there-is-none"}}"#,
            "r.example",
            "a",
            Err("cannot run docker-credential-there-is-none"),
        );
    }
}
