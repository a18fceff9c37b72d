//! A list of Python packages, as a package brings it: read strictly, and made into one form, so that the same set is
//! the same text however it was written.

use std::collections::{BTreeMap, BTreeSet};

use portend_core::shortened;
use portend_image::Digest;

/// The most lines that are read.
const MOST_LINES: usize = 10_000;

/// A list in which each package has one version.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Requirements {
    lines: BTreeSet<String>,
    pins: BTreeMap<String, String>,
}

/// The line without what stands between `://` and `@`: messages go to logs.
fn without_password(line: &str) -> String {
    match line.split_once("://").and_then(|(before, rest)| Some((before, rest.rsplit_once('@')?.1))) {
        Some((before, after)) => format!("{before}://…@{after}"),
        None => line.to_owned(),
    }
}

impl Requirements {
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let mut found = Self { lines: BTreeSet::new(), pins: BTreeMap::new() };
        let joined = text.replace("\\\r\n", " ").replace("\\\n", " ");
        for (at, line) in joined.lines().enumerate() {
            if at == MOST_LINES {
                return Err(format!("it has more than {MOST_LINES} lines"));
            }
            let line = if line.starts_with('#') { "" } else { line.split(" #").next().unwrap_or_default() };
            if !line.trim().is_empty() {
                let failed =
                    |reason: String| format!("'{}' {reason}", shortened(&without_password(line.trim())));
                found.add(line.trim()).map_err(failed)?;
            }
        }
        Ok(found)
    }

    fn add(&mut self, line: &str) -> Result<(), String> {
        if line.starts_with('-') || line.contains("://") || line.contains(" @ ") {
            let reason = "is an option or an address, which are not read: name packages with their versions, and the \
                          index by UV_INDEX_URL";
            return Err(reason.to_owned());
        }
        let mut words = line.split(" --hash=");
        let (requirement, mut hashes) = (words.next().unwrap_or_default(), words.collect::<Vec<_>>());
        hashes.sort_unstable();
        let (named, marker) = requirement.split_once(';').unwrap_or((requirement, ""));
        let unpinned = || "has no version: write it as name==1.2.3".to_owned();
        let (name, version) = named.split_once("==").ok_or_else(unpinned)?;
        let (name, version) = (name.trim(), version.trim());
        let is_version = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'+' | b'!' | b'_' | b'-');
        if version.is_empty() || !version.bytes().all(is_version) {
            return Err(unpinned());
        }
        let (name, extras) = name.split_once('[').unwrap_or((name, ""));
        let mut extras: Vec<_> =
            extras.trim_end_matches(']').split(',').map(|one| normal(one.trim())).collect();
        extras.sort();
        extras.retain(|extra| !extra.is_empty());
        let is_name = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
        let name = normal(name.trim());
        let plain = std::iter::once(&name).chain(&extras).all(|name| name.bytes().all(is_name));
        if name.is_empty() || !plain {
            return Err("is not the name of a package".to_owned());
        }
        let marker = marker.split_whitespace().collect::<Vec<_>>().join(" ");
        let other = self.pins.insert(name.clone(), version.to_owned());
        if other.is_some_and(|other| other != version) && marker.is_empty() {
            return Err("is there with another version as well".to_owned());
        }
        let extras = if extras.is_empty() { String::new() } else { format!("[{}]", extras.join(",")) };
        let marker = if marker.is_empty() { marker } else { format!(" ; {marker}") };
        let hashes = hashes.iter().map(|hash| format!(" --hash={}", hash.trim())).collect::<String>();
        self.lines.insert(format!("{name}{extras}=={version}{marker}{hashes}"));
        Ok(())
    }

    /// All lines, in their order.
    pub(super) fn text(&self) -> String {
        self.lines.iter().map(|line| format!("{line}\n")).collect()
    }

    /// What stands for the set on an interpreter: the same for the same packages.
    pub(super) fn identity(&self, python: &str) -> Digest {
        Digest::of(format!("python {python}\n{}", self.text()).as_bytes())
    }

    /// What was installed and is not in the list, as lines that could be.
    pub(super) fn unlisted(&self, installed: &BTreeMap<String, String>) -> Vec<String> {
        let unlisted = installed.iter().filter(|(name, _)| !self.pins.contains_key(*name));
        unlisted.map(|(name, version)| format!("{name}=={version}")).collect()
    }
}

/// A name as indexes compare it.
pub(super) fn normal(name: &str) -> String {
    let lower = name.to_ascii_lowercase();
    lower.split(['-', '_', '.']).filter(|part| !part.is_empty()).collect::<Vec<_>>().join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_set_is_the_same_text_however_it_is_written() {
        let one = "# what the model needs\nNumPy == 2.1.0\nruamel.yaml==0.18 ; python_version  >= '3.8' # yes\n\
                   httpx[http2,Brotli]==0.27.0 \\\n  --hash=sha256:b --hash=sha256:a\n\n";
        let other = "httpx[brotli, http2]==0.27.0 --hash=sha256:a --hash=sha256:b\r\n\
                     ruamel_yaml==0.18;python_version >= '3.8'\nnumpy==2.1.0\nnumpy==2.1.0\n";
        let [one, other] = [one, other].map(|text| Requirements::parse(text).unwrap());
        assert_eq!(one, other);
        assert_eq!(one.identity("3.12"), other.identity("3.12"));
        assert_ne!(one.identity("3.12"), one.identity("3.11"));
        let expected = "httpx[brotli,http2]==0.27.0 --hash=sha256:a --hash=sha256:b\nnumpy==2.1.0\n\
                        ruamel-yaml==0.18 ; python_version >= '3.8'\n";
        assert_eq!(one.text(), expected);
        let installed = [("numpy", "2.1.0"), ("h2", "4.0")].map(|(n, v)| (n.to_owned(), v.to_owned()));
        assert_eq!(one.unlisted(&installed.into()), ["h2==4.0"]);
    }

    #[test]
    fn what_is_not_one_version_of_a_named_package_is_refused() {
        for (text, expected) in [
            ("numpy", "has no version"),
            ("numpy>=2", "has no version"),
            ("numpy==2.*", "has no version"),
            ("numpy==", "has no version"),
            ("numpy==1\nnumpy==2", "another version"),
            ("-r other.txt", "is an option"),
            ("--index-url https://user:pw@h.example/", "is an option"),
            ("-e .", "is an option"),
            ("x @ https://h.example/x.whl", "an address"),
            ("==1", "not the name"),
            ("a b==1", "not the name"),
            ("../x==1", "not the name"),
        ] {
            let error = Requirements::parse(text).unwrap_err();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }
}
