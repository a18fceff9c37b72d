//! Names of images in registries, as people type them: `host/repository:tag`, `host/repository@digest`.

use std::fmt;

use portend_core::shortened;

use crate::digest::Digest;
use crate::error::ImageError;

/// The registry that is meant where none is named.
const DOCKER_HUB: &str = "docker.io";
/// The most characters of host and repository together.
const MOST_NAME: usize = 255;

/// A name of an image in a registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    /// The host, with its port where it is not the usual one.
    pub registry: String,
    /// The repository.
    pub repository: String,
    /// The tag.
    pub tag: Option<String>,
    /// The digest.
    pub digest: Option<Digest>,
}

impl Reference {
    /// Reads a name. Without a registry it is Docker Hub's, without a tag or digest it has the tag `latest`.
    pub fn parse(text: &str) -> Result<Self, ImageError> {
        let mut reference = Self::parse_repository(text)?;
        if reference.tag.is_none() && reference.digest.is_none() {
            reference.tag = Some("latest".to_owned());
        }
        Ok(reference)
    }

    /// The same for a name whose tag may be left out.
    pub fn parse_repository(text: &str) -> Result<Self, ImageError> {
        let wrong =
            |reason: &str| ImageError::Name(format!("'{}' names no image: {reason}", shortened(text)));
        let (rest, digest) = match text.split_once('@') {
            Some((rest, digest)) => (rest, Some(Digest::parse(digest)?)),
            None => (text, None),
        };
        // a port has a slash after it, a tag has none
        let (name, tag) = match rest.rsplit_once(':') {
            Some((name, tag)) if !tag.contains('/') => (name, Some(tag)),
            _ => (rest, None),
        };
        if tag.is_some_and(|tag| !is_tag(tag)) {
            return Err(wrong(
                "a tag is 1 to 128 letters, digits, '_', '.' or '-', and begins with none of the last two",
            ));
        }
        let (registry, repository) = match name.split_once('/') {
            Some((host, rest)) if host.contains(['.', ':']) || host == "localhost" => (host, rest.to_owned()),
            Some(_) => (DOCKER_HUB, name.to_owned()),
            None => (DOCKER_HUB, format!("library/{name}")),
        };
        if !is_host(registry) {
            return Err(wrong("a registry is a host name or address, with a port where it needs one"));
        }
        if !is_repository(&repository) {
            return Err(wrong(
                "a repository is lower-case letters and digits, with single '.', '_' or '-' between them, in parts with '/' between",
            ));
        }
        if registry.len() + 1 + repository.len() > MOST_NAME {
            return Err(wrong("it is longer than 255 characters"));
        }
        Ok(Self { registry: registry.to_owned(), repository, tag: tag.map(str::to_owned), digest })
    }

    /// What a registry is asked for: the digest where there is one, else the tag.
    pub fn wanted(&self) -> &str {
        let tag = self.tag.as_deref().unwrap_or("latest");
        self.digest.as_ref().map_or(tag, Digest::as_str)
    }

    /// Registry and repository.
    pub fn name(&self) -> String {
        format!("{}/{}", self.registry, self.repository)
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.registry, self.repository)?;
        self.tag.iter().try_for_each(|tag| write!(f, ":{tag}"))?;
        self.digest.iter().try_for_each(|digest| write!(f, "@{digest}"))
    }
}

/// Whether a text may be a tag.
pub(crate) fn is_tag(text: &str) -> bool {
    let fits = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-');
    (1..=128).contains(&text.len()) && text.bytes().all(fits) && !text.starts_with(['.', '-'])
}

fn is_host(text: &str) -> bool {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (text, None),
    };
    let fits = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-');
    let address = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let host = match address {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => !host.is_empty() && host.bytes().all(fits),
    };
    host && port.is_none_or(|port| port.bytes().all(|b| b.is_ascii_digit()) && port.parse::<u16>().is_ok())
}

fn is_repository(text: &str) -> bool {
    let letter = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    text.split('/').all(|part| {
        let ends = part.bytes().next().is_some_and(letter) && part.bytes().last().is_some_and(letter);
        ends && part.split(letter_or_digit).all(is_separator)
    })
}

fn letter_or_digit(c: char) -> bool {
    c.is_ascii_lowercase() || c.is_ascii_digit()
}

fn is_separator(text: &str) -> bool {
    matches!(text, "" | "." | "_" | "__") || text.bytes().all(|b| b == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_read_as_docker_reads_it() {
        let digest = Digest::of(b"");
        let by_digest = format!("h.example/a@{digest}");
        for (text, registry, repository, wanted) in [
            ("alpine", "docker.io", "library/alpine", "latest"),
            ("team/churn:3", "docker.io", "team/churn", "3"),
            ("localhost/a:1", "localhost", "a", "1"),
            ("127.0.0.1:5000/team/churn:v1.2_3-x", "127.0.0.1:5000", "team/churn", "v1.2_3-x"),
            ("127.0.0.1:5000/churn", "127.0.0.1:5000", "churn", "latest"),
            ("[::1]:5000/churn:1", "[::1]:5000", "churn", "1"),
            ("h.example/a-b--c__d.e/f", "h.example", "a-b--c__d.e/f", "latest"),
            (&by_digest, "h.example", "a", digest.as_str()),
        ] {
            let found = Reference::parse(text).unwrap_or_else(|e| panic!("{text}: {e}"));
            let parts = (found.registry.as_str(), found.repository.as_str(), found.wanted());
            assert_eq!(parts, (registry, repository, wanted), "{text}");
            assert_eq!(Reference::parse(&found.to_string()).unwrap(), found);
        }
    }

    #[test]
    fn what_is_no_name_is_refused() {
        let long = format!("h.example/{}", "a".repeat(250));
        for text in [
            "",
            ":1",
            "A",
            "a b",
            "h.example/",
            "h.example//a",
            "h.example/../a",
            "h.example/a:",
            "h.example/a:.x",
            "h.example/a___b",
            "h.example/a..b",
            "h.example/-a",
            "h.example:99999/a",
            "h.example:x/a",
            "h.example/a@sha256:00",
            "user:pw@h.example/a",
            "h.example/a?x=1",
            "h.example/a#x",
            "[x.y]:5/a",
            &long,
        ] {
            assert!(Reference::parse(text).is_err(), "{text}: {:?}", Reference::parse(text));
        }
    }
}
