//! A web server: artifacts are got and put by their URL, and nothing can be listed. Signed URLs of clouds are such URLs.

use std::io::{Read, Write};
use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use portend_core::{
    Access, Artifact, ArtifactError, ArtifactStore, ArtifactUrl, Artifacts, Content, Scheme, shortened,
};
use ureq::http::{Request, Response, Uri};
use ureq::{Body, SendBody};

use crate::agent::{Client, agents, explained, is_final};
use crate::settings::StoreSettings;
use crate::trouble::told;
use crate::verified;

const MOST_REDIRECTS: usize = 5;
/// How often a request is made, and what is waited before the second time.
const ATTEMPTS: u32 = 3;
const WAIT: Duration = Duration::from_millis(300);

/// One web server.
#[derive(Debug)]
pub(crate) struct WebStore {
    client: Client,
    scheme: Scheme,
    host: String,
    login: Option<String>,
}

impl WebStore {
    pub(crate) fn new(url: &ArtifactUrl, settings: &StoreSettings) -> Result<Self, ArtifactError> {
        let name = url.bucket.rsplit_once(':').map_or(&*url.bucket, |(name, _)| name);
        let login = crate::netrc::login(name, settings)
            .map(|(name, password)| format!("Basic {}", base64(format!("{name}:{password}").as_bytes())));
        let client = agents(settings)?.0;
        Ok(Self { client, scheme: url.scheme, host: url.bucket.clone(), login })
    }

    /// What it is called in errors: a query may be secret.
    fn place(&self, key: &str) -> String {
        ArtifactUrl { scheme: self.scheme, bucket: self.host.clone(), object: key.to_owned() }.to_string()
    }

    fn uri(&self, key: &str) -> Result<Uri, ArtifactError> {
        let text = format!("{}://{}/{key}", self.scheme.name(), self.host);
        text.parse().map_err(|_| ArtifactError::Setting(format!("{} is not a URL", self.place(key))))
    }

    /// Asks, follows redirects, and asks again after what passes.
    fn get(&self, method: &str, key: &str, range: Option<&str>) -> Result<Response<Body>, ArtifactError> {
        let home = self.uri(key)?;
        let mut attempt = 1;
        loop {
            let again = match self.follow(method, &home, range) {
                Ok(answer) if matches!(answer.status().as_u16(), 429 | 500 | 502..=504) => Ok(answer),
                Err(error @ ArtifactError::Unreachable(_)) => Err(error),
                done => return done.and_then(|answer| self.expect(answer, key)),
            };
            if attempt == ATTEMPTS {
                return again.and_then(|answer| self.expect(answer, key));
            }
            std::thread::sleep(WAIT * 3_u32.pow(attempt - 1));
            attempt += 1;
        }
    }

    fn follow(&self, method: &str, home: &Uri, range: Option<&str>) -> Result<Response<Body>, ArtifactError> {
        let mut uri = home.clone();
        for _ in 0..=MOST_REDIRECTS {
            let mut request = Request::builder().method(method).uri(uri.clone());
            if let Some(range) = range {
                request = request.header("range", range);
            }
            if let Some(login) = self.login.as_ref().filter(|_| uri.authority() == home.authority()) {
                request = request.header("authorization", login);
            }
            let request = request.body(()).map_err(|e| ArtifactError::Failed(e.to_string()))?;
            let answer = self.client.run(request).map_err(|error| self.unreachable(&error))?;
            if !matches!(answer.status().as_u16(), 301 | 302 | 303 | 307 | 308) {
                return Ok(answer);
            }
            let next = location(&uri, &answer)?;
            may_lead(&uri, &next).map_err(|reason| {
                ArtifactError::Failed(format!("{} leads {reason}, which is not followed", self.host))
            })?;
            uri = next;
        }
        Err(ArtifactError::Failed(format!("{} leads from one address to the next without end", self.host)))
    }

    fn unreachable(&self, error: &ureq::Error) -> ArtifactError {
        let told = format!("cannot ask {}://{}: {}", self.scheme.name(), self.host, explained(error));
        if is_final(error) { ArtifactError::Failed(told) } else { ArtifactError::Unreachable(told) }
    }

    /// The answer if it is a good one.
    fn expect(&self, answer: Response<Body>, key: &str) -> Result<Response<Body>, ArtifactError> {
        let status = answer.status().as_u16();
        if answer.status().is_success() {
            return Ok(answer);
        }
        let mut text = Vec::new();
        _ = answer.into_body().into_reader().take(64 << 10).read_to_end(&mut text);
        let (code, message) = told(&String::from_utf8_lossy(&text));
        let said = [status.to_string(), code, message];
        let said = said.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ");
        let place = self.place(key);
        Err(match status {
            404 | 410 => ArtifactError::NotFound,
            412 => ArtifactError::Changed,
            401 | 403 => ArtifactError::Denied(format!(
                "{place} refuses: {said}; a name and password for {} may stand in ~/.netrc, and a signed URL may \
                 have expired",
                self.host
            )),
            429 | 500 | 502..=599 => ArtifactError::Unreachable(format!("{place} cannot answer now: {said}")),
            _ => ArtifactError::Failed(format!("{place} refuses: {said}")),
        })
    }

    /// What headers tell of an artifact whose bytes begin at `from`.
    fn artifact(&self, key: &str, answer: &Response<Body>, from: u64) -> Result<Artifact, ArtifactError> {
        let header = |name: &str| answer.headers().get(name).and_then(|value| value.to_str().ok());
        let total = header("content-range").and_then(|range| range.rsplit_once('/')?.1.parse().ok());
        let length = header("content-length").and_then(|length| length.parse::<u64>().ok());
        let size = total.or(length.map(|length| length + from)).ok_or_else(|| {
            ArtifactError::Failed(format!("{} does not say how large it is", self.place(key)))
        })?;
        let date = header("last-modified");
        let tag = header("etag").map(|tag| tag.trim_start_matches("W/").trim_matches('"').to_owned());
        let version = tag.or_else(|| date.map(str::to_owned)).unwrap_or_default();
        let modified = date.and_then(http_date);
        Ok(Artifact {
            key: key.to_owned(),
            size,
            modified,
            version: format!("{version}/{size}"),
            sha256: None,
        })
    }
}

impl ArtifactStore for WebStore {
    fn scheme(&self) -> Scheme {
        self.scheme
    }

    fn head(&self, key: &str) -> Result<Artifact, ArtifactError> {
        match self.get("HEAD", key, None).and_then(|answer| self.artifact(key, &answer, 0)) {
            // a URL that is signed for GET is signed for nothing else
            Err(ArtifactError::Denied(_) | ArtifactError::Failed(_)) => {
                let answer = self.get("GET", key, Some("bytes=0-0"))?;
                self.artifact(key, &answer, 0)
            }
            found => found,
        }
    }

    fn read(&self, key: &str, from: u64) -> Result<(Artifact, Box<dyn Read + Send>), ArtifactError> {
        let range = (from > 0).then(|| format!("bytes={from}-"));
        let answer = self.get("GET", key, range.as_deref())?;
        if from > 0 && answer.status().as_u16() != 206 {
            return Err(ArtifactError::Unsupported(format!("{} gives no parts", self.place(key))));
        }
        let found = self.artifact(key, &answer, from)?;
        Ok((found, Box::new(answer.into_body().into_reader())))
    }

    fn fetch(
        &self,
        key: &str,
        version: Option<&str>,
        most: u64,
        to: &mut dyn Write,
    ) -> Result<Artifact, ArtifactError> {
        let answer = self.get("GET", key, None)?;
        let found = self.artifact(key, &answer, 0)?;
        if version.is_some_and(|version| version != found.version) {
            return Err(ArtifactError::Changed);
        }
        let body = Box::new(answer.into_body().into_reader());
        verified::copy(
            &found,
            &mut Resuming { store: self, found: &found, at: 0, left: ATTEMPTS, body },
            most,
            to,
        )?;
        Ok(found)
    }

    fn write(&self, key: &str, content: &dyn Content, replace: bool) -> Result<Artifact, ArtifactError> {
        let mut reader = FromContent { content, at: 0 };
        let mut request = Request::builder()
            .method("PUT")
            .uri(self.uri(key)?)
            .header("content-type", "application/octet-stream")
            .header("content-length", content.size());
        if !replace {
            request = request.header("if-none-match", "*");
        }
        if let Some(login) = &self.login {
            request = request.header("authorization", login);
        }
        let request = request.body(SendBody::from_reader(&mut reader));
        let request = request.map_err(|e| ArtifactError::Failed(e.to_string()))?;
        let answer = self.client.run(request).map_err(|error| self.unreachable(&error))?;
        if answer.status().as_u16() == 412 && !replace {
            return Err(ArtifactError::Exists);
        }
        if let status @ (405 | 501) = answer.status().as_u16() {
            let place = self.place(key);
            let reason = format!("{place} takes no uploads: it answers {status} to PUT");
            return Err(ArtifactError::Unsupported(reason));
        }
        self.expect(answer, key)?;
        let (key, size) = (key.to_owned(), content.size());
        Ok(Artifact { key, size, modified: None, version: String::new(), sha256: None })
    }

    fn list(&self, _prefix: &str) -> Result<Artifacts<'_>, ArtifactError> {
        let reason =
            "a web server lists no artifacts: name one, or use the store's own URL (s3://, gs://, az://)";
        Err(ArtifactError::Unsupported(reason.to_owned()))
    }

    fn delete(&self, keys: &[String]) -> Result<(), ArtifactError> {
        for key in keys {
            match self.get("DELETE", key, None) {
                Ok(_) | Err(ArtifactError::NotFound) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn delete_prefix(&self, key: &str) -> Result<u64, ArtifactError> {
        self.delete(&[key.to_owned()])?;
        Ok(1)
    }

    fn sign(&self, _key: &str, _access: Access, _expires: Duration) -> Result<String, ArtifactError> {
        Err(ArtifactError::Unsupported("a URL of a web server cannot be signed here".to_owned()))
    }
}

/// A download that is gone on with where it broke off, as long as it is the same version.
struct Resuming<'s> {
    store: &'s WebStore,
    found: &'s Artifact,
    at: u64,
    left: u32,
    body: Box<dyn Read + Send + 's>,
}

impl Read for Resuming<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        loop {
            let error = match self.body.read(buffer) {
                Ok(0) if self.at < self.found.size => std::io::ErrorKind::UnexpectedEof.into(),
                Ok(count) => {
                    self.at += count as u64;
                    return Ok(count);
                }
                Err(error) => error,
            };
            if self.left <= 1 || self.at == 0 {
                return Err(error);
            }
            self.left -= 1;
            let (again, body) = self.store.read(&self.found.key, self.at).map_err(|_| error)?;
            if again.version != self.found.version {
                return Err(std::io::Error::other(ArtifactError::Changed));
            }
            self.body = body;
        }
    }
}

struct FromContent<'a> {
    content: &'a dyn Content,
    at: u64,
}

impl Read for FromContent<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let left = usize::try_from(self.content.size() - self.at).unwrap_or(usize::MAX);
        let count = left.min(buffer.len());
        self.content.read_at(self.at, &mut buffer[..count])?;
        self.at += count as u64;
        Ok(count)
    }
}

fn location(from: &Uri, answer: &Response<Body>) -> Result<Uri, ArtifactError> {
    let bad = || ArtifactError::Failed(format!("{} leads nowhere", from.host().unwrap_or_default()));
    let text = answer.headers().get("location").and_then(|value| value.to_str().ok()).ok_or_else(bad)?;
    let whole = match (text.contains("://"), text.starts_with('/')) {
        (true, _) => text.to_owned(),
        (false, true) => {
            let authority = from.authority().map_or("", |authority| authority.as_str());
            format!("{}://{authority}{text}", from.scheme_str().unwrap_or_default())
        }
        (false, false) => return Err(bad()),
    };
    whole.parse().map_err(|_| bad())
}

/// Whether somebody at one address may send a client to another: not from a protected to a plain connection, not from
/// outside to what only this network reaches, and only to web servers.
fn may_lead(from: &Uri, to: &Uri) -> Result<(), String> {
    let shown = shortened(to.host().unwrap_or_default()).into_owned();
    match (from.scheme_str(), to.scheme_str()) {
        (_, Some("https")) | (Some("http"), Some("http")) => {}
        (_, Some("http")) => return Err(format!("from https to http at '{shown}'")),
        _ => return Err("to what is no web server".to_owned()),
    }
    let inside = |uri: &Uri| uri.host().is_some_and(is_inside);
    match inside(to) && !inside(from) {
        true => Err(format!("into this network, to '{shown}'")),
        false => Ok(()),
    }
}

fn is_inside(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    match bare.parse::<IpAddr>() {
        Ok(IpAddr::V4(address)) => {
            address.is_loopback()
                || address.is_private()
                || address.is_link_local()
                || address.is_unspecified()
        }
        Ok(IpAddr::V6(address)) => {
            address.is_loopback()
                || address.is_unique_local()
                || address.is_unicast_link_local()
                || address.to_ipv4_mapped().is_some()
        }
        Err(_) => {
            bare.eq_ignore_ascii_case("localhost") || bare.ends_with(".internal") || !bare.contains('.')
        }
    }
}

/// A date as HTTP writes it: `Sun, 06 Nov 1994 08:49:37 GMT`.
fn http_date(text: &str) -> Option<SystemTime> {
    const MONTHS: &str = "JanFebMarAprMayJunJulAugSepOctNovDec";
    let mut words = text.split_once(", ")?.1.split(' ');
    let day: u64 = words.next()?.parse().ok()?;
    let month = words.next().filter(|month| month.len() == 3)?;
    let month = MONTHS.find(month)? as u64 / 3 + 1;
    let year: u64 = words.next()?.parse().ok().filter(|year| (1970..10_000).contains(year))?;
    let mut time = words.next()?.splitn(3, ':').map(|part| part.parse::<u64>().ok());
    let (hour, minute, second) = (time.next()??, time.next()??, time.next()??);
    // days since 1970 of the proleptic calendar, whose years begin in March here
    let (y, m) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = 365 * y + y / 4 - y / 100 + y / 400 + (153 * m + 2) / 5 + day - 1;
    let days = days.checked_sub(719_468)?;
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(((days * 24 + hour) * 60 + minute) * 60 + second))
}

fn base64(bytes: &[u8]) -> String {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redirects_lead_neither_out_of_tls_nor_into_this_network() {
        let check = |from: &str, to: &str, expected: bool| {
            assert_eq!(
                may_lead(&from.parse().unwrap(), &to.parse().unwrap()).is_ok(),
                expected,
                "{from} {to}"
            );
        };
        check("https://a.example/x", "https://b.example/y", true);
        check("http://a.example/x", "https://b.example/y", true);
        check("https://a.example/x", "http://a.example/x", false);
        check("https://a.example/x", "https://169.254.169.254/latest", false);
        check("https://a.example/x", "https://[::1]/", false);
        check("https://a.example/x", "https://metadata.google.internal/", false);
        check("http://127.0.0.1:1/x", "http://127.0.0.1:2/x", true);
        check("http://a.example/x", "ftp://a.example/x", false);
    }

    #[test]
    fn dates_of_http_are_read() {
        let seconds = |text: &str| {
            http_date(text).map(|time| time.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs())
        };
        assert_eq!(seconds("Sun, 06 Nov 1994 08:49:37 GMT"), Some(784_111_777));
        assert_eq!(seconds("Thu, 29 Feb 2024 00:00:00 GMT"), Some(1_709_164_800));
        assert_eq!(seconds("yesterday"), None);
        assert_eq!(seconds("Sun, 06 XXX 1994 08:49:37 GMT"), None);
    }
}
