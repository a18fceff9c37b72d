//! Protocol versions by the words that web servers have for them.

use tokio_rustls::rustls::SupportedProtocolVersion;
use tokio_rustls::rustls::version::{TLS12, TLS13};

use super::TlsError;

/// The versions that there are, by their words.
const SUPPORTED: [(&str, &SupportedProtocolVersion); 2] = [("TLSv1.2", &TLS12), ("TLSv1.3", &TLS13)];

/// Versions that nobody should speak any more.
const REFUSED: [&str; 4] = ["SSLv2", "SSLv3", "TLSv1", "TLSv1.1"];

/// The word for a version.
pub(super) fn word(version: &SupportedProtocolVersion) -> &'static str {
    SUPPORTED.iter().find(|(_, other)| *other == version).map_or("TLS", |(word, _)| word)
}

/// The versions of a list of words; both when it is empty.
pub(super) fn parse(words: &str) -> Result<Vec<&'static SupportedProtocolVersion>, TlsError> {
    let mut versions = Vec::new();
    for word in words.split_whitespace() {
        if let Some(refused) = REFUSED.iter().find(|refused| refused.eq_ignore_ascii_case(word)) {
            return Err(TlsError::ProtocolRefused(refused));
        }
        let known = SUPPORTED.iter().find(|(known, _)| known.eq_ignore_ascii_case(word));
        let unknown = || TlsError::ProtocolUnknown(portend_core::shortened(word).to_string());
        let (_, version) = known.ok_or_else(unknown)?;
        if !versions.contains(version) {
            versions.push(*version);
        }
    }
    if versions.is_empty() {
        versions.extend(SUPPORTED.map(|(_, version)| version));
    }
    Ok(versions)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(words: &str, expected: Result<&[&str], &str>) {
        let found = parse(words).map(|versions| versions.into_iter().map(word).collect::<Vec<_>>());
        let found = found.map_err(|error| error.to_string());
        match (found, expected) {
            (Ok(found), Ok(expected)) => assert_eq!(found, expected, "{words}"),
            (Err(found), Err(expected)) => assert!(found.contains(expected), "{words}: {found}"),
            (found, expected) => panic!("{words}: {found:?}, not {expected:?}"),
        }
    }

    #[test]
    fn versions_are_known_by_their_words_and_old_ones_are_refused() {
        check("", Ok(&["TLSv1.2", "TLSv1.3"]));
        check(" TLSv1.3\tTLSv1.2 tlsv1.3 ", Ok(&["TLSv1.3", "TLSv1.2"]));
        check("TLSv1.2", Ok(&["TLSv1.2"]));
        for old in ["SSLv2", "SSLv3", "TLSv1", "TLSv1.1"] {
            check(old, Err(&format!("asks for {old}, which is broken")));
        }
        check("TLSv1.2 tlsv1", Err("asks for TLSv1, which is broken"));
        check("TLSv1.2,TLSv1.3", Err("has 'TLSv1.2,TLSv1.3', which is no protocol version"));
        check("TLSv1.4", Err("has 'TLSv1.4'"));
    }
}
