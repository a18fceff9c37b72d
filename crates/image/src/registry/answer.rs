//! What a registry answered, and what of it is believed.

use std::io::Read;
use std::time::{Duration, Instant};

use portend_core::{shortened, shortened_to};
use serde::Deserialize;
use ureq::Body;
use ureq::http::HeaderMap;

use super::address::Address;
use super::http::RETRIED;
use crate::digest::Digest;
use crate::error::ImageError;

/// The most bytes of an error's text that are read.
const MOST_TEXT: u64 = 64 << 10;
/// How long a small body may take, and how much of it is read before that is looked at.
const MOST_TIME: Duration = Duration::from_secs(120);
const PIECE: u64 = 16 << 10;

/// What a registry answered.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) address: Address,
    headers: HeaderMap,
    body: Body,
}

impl Answer {
    pub(super) fn new(status: u16, address: Address, headers: HeaderMap, body: Body) -> Self {
        Self { status, address, headers, body }
    }

    /// All headers that say what the registry wants to see, as one.
    pub(super) fn challenges(&self) -> String {
        let challenges = self.headers.get_all("www-authenticate").iter();
        challenges.filter_map(|value| value.to_str().ok()).collect::<Vec<_>>().join(", ")
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
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
    pub(super) fn least_chunk(&self) -> Option<u64> {
        self.header("oci-chunk-min-length")?.parse().ok()
    }

    /// The first byte of what was asked for that is in the answer.
    pub(super) fn starts_at(&self) -> Option<u64> {
        self.header("content-range")?.strip_prefix("bytes ")?.split('-').next()?.parse().ok()
    }

    pub(super) fn retry_after(&self) -> Option<Duration> {
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
        let (wait, said) = (self.retry_after(), self.complaint());
        let text = format!("{what}: {origin} answers {status}{said}");
        Err(match status {
            401 => ImageError::Denied(format!(
                "{text}; log in: docker login writes the credentials, or --username and --password-file give them"
            )),
            403 => ImageError::Denied(format!("{text}; these credentials do not permit it")),
            404 => ImageError::Absent(text),
            status if RETRIED.contains(&status) => ImageError::Unreachable(match wait {
                Some(wait) => format!("{text}; it asks to be asked again in {} s", wait.as_secs()),
                None => text,
            }),
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
        let broken = |e| ImageError::Unreachable(format!("{what}: the answer breaks off: {e}"));
        let (mut text, mut reader) = (Vec::new(), self.body.into_reader().take(most + 1));
        let until = Instant::now() + MOST_TIME;
        // each piece has its own limit of time; together they could take days
        while reader.by_ref().take(PIECE).read_to_end(&mut text).map_err(broken)? > 0 {
            if Instant::now() > until {
                let reason = format!("the answer is not there after {} s", MOST_TIME.as_secs());
                return Err(ImageError::Unreachable(format!("{what}: {reason}")));
            }
        }
        if text.len() as u64 > most {
            return Err(ImageError::bad(what, format!("the answer has more than {most} bytes")));
        }
        Ok(text)
    }

    pub(super) fn into_reader(self) -> impl Read + Send {
        self.body.into_reader()
    }
}
