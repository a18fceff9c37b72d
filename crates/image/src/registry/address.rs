//! Addresses that a registry sends a client to, and which of them it may not.

use std::net::IpAddr;

use ureq::http::Uri;

use crate::error::ImageError;

/// Where a registry is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Address(Uri);

impl Address {
    pub(super) fn parse(text: &str) -> Result<Self, ImageError> {
        let bad = || ImageError::Refused(format!("'{}' is no address", portend_core::shortened(text)));
        let uri: Uri = text.parse().map_err(|_| bad())?;
        let known = matches!(uri.scheme_str(), Some("http" | "https"));
        // what stands before an @ is sent as a password, or deceives a reader
        let named = uri.authority().is_some_and(|authority| !authority.as_str().contains('@'));
        if known && named { Ok(Self(uri)) } else { Err(bad()) }
    }

    /// Where an address leads that stands in an answer from here.
    pub(super) fn join(&self, text: &str) -> Result<Self, ImageError> {
        if text.contains("://") {
            return Self::parse(text);
        }
        let folder = self.0.path().rsplit_once('/').map_or("", |(folder, _)| folder);
        let path = if text.starts_with('/') { text.to_owned() } else { format!("{folder}/{text}") };
        Self::parse(&format!("{}{path}", self.origin()))
    }

    /// Scheme, host and port.
    pub(super) fn origin(&self) -> String {
        let authority = self.0.authority().map(|authority| authority.as_str().to_ascii_lowercase());
        format!("{}://{}", self.0.scheme_str().unwrap_or_default(), authority.unwrap_or_default())
    }

    /// Host and port as they were written.
    pub(super) fn authority(&self) -> &str {
        self.0.authority().map_or("", |authority| authority.as_str())
    }

    pub(super) fn host(&self) -> &str {
        self.0.host().unwrap_or_default()
    }

    pub(super) fn port(&self) -> Option<u16> {
        self.0.port_u16()
    }

    pub(super) fn path(&self) -> &str {
        self.0.path()
    }

    pub(super) fn is_plain(&self) -> bool {
        self.0.scheme_str() == Some("http")
    }

    pub(super) fn as_str(&self) -> String {
        self.0.to_string()
    }

    /// The same with one more parameter.
    pub(super) fn with(&self, name: &str, value: &str) -> Result<Self, ImageError> {
        let separator = if self.0.query().is_some() { '&' } else { '?' };
        Self::parse(&format!("{}{separator}{name}={value}", self.0))
    }

    /// Whether somebody at `self` may send a client to `other`: not from a protected to a plain connection, and not
    /// from outside to what only this network reaches.
    pub(super) fn may_lead_to(&self, other: &Self) -> Result<(), ImageError> {
        let inside = |address: &Self| address.0.host().is_some_and(is_inside);
        let refused = |reason: &str| {
            Err(ImageError::Refused(format!(
                "{} leads to {}, {reason}: refused",
                self.origin(),
                other.origin()
            )))
        };
        if self.origin() == other.origin() {
            Ok(())
        } else if other.is_plain() && !self.is_plain() {
            refused("which is not protected by TLS")
        } else if inside(other) && !inside(self) {
            refused("an address of this network")
        } else {
            Ok(())
        }
    }
}

/// Whether a host is this machine or an address of a private network.
fn is_inside(host: &str) -> bool {
    match host.trim_matches(['[', ']']).parse::<IpAddr>() {
        Ok(IpAddr::V4(ip)) => {
            ip.is_loopback() || ip.is_private() || ip.is_link_local() || ip.is_unspecified()
        }
        Ok(IpAddr::V6(ip)) => {
            let mapped = ip.to_ipv4_mapped().is_some_and(|ip| is_inside(&ip.to_string()));
            mapped
                || ip.is_loopback()
                || ip.is_unspecified()
                || ip.is_unique_local()
                || ip.is_unicast_link_local()
        }
        Err(_) => host == "localhost" || host.ends_with(".localhost"),
    }
}

/// Whether a registry is on this machine, where nobody listens in.
pub(super) fn is_loopback(registry: &str) -> bool {
    let host = match registry.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|b| b.is_ascii_digit()) => host,
        _ => registry,
    };
    let ip = host.trim_matches(['[', ']']).parse::<IpAddr>();
    host == "localhost" || ip.is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_in_an_answer_is_taken_from_where_it_came() {
        let from = Address::parse("https://h.example:5/v2/a/blobs/uploads/?x=1").unwrap();
        for (text, expected) in [
            ("/v2/b?s=1", "https://h.example:5/v2/b?s=1"),
            ("id?s=1", "https://h.example:5/v2/a/blobs/uploads/id?s=1"),
            ("https://other.example/x", "https://other.example/x"),
        ] {
            assert_eq!(from.join(text).unwrap().as_str(), expected);
        }
        for text in ["ftp://h.example/", "https://user:pw@h.example/", "https:///x", "file:///etc/passwd"] {
            assert!(from.join(text).is_err(), "{text}");
        }
        let one = from.with("digest", "sha256:00").unwrap();
        assert!(one.as_str().ends_with("?x=1&digest=sha256:00"));
    }

    #[test]
    fn nobody_is_led_from_outside_in_or_out_of_tls() {
        for (from, to, expected) in [
            ("https://h.example", "https://cdn.example", true),
            ("https://h.example", "http://h.example", false),
            ("https://h.example", "https://127.0.0.1", false),
            ("https://h.example", "https://[::1]:80", false),
            ("https://h.example", "https://[::ffff:10.0.0.1]", false),
            ("https://h.example", "https://169.254.169.254", false),
            ("http://h.example", "http://10.1.2.3", false),
            ("http://h.example", "http://localhost:8080", false),
            ("http://127.0.0.1:1", "http://127.0.0.1:2", true),
            ("https://10.0.0.1", "https://10.0.0.2", true),
            ("https://10.0.0.1", "https://10.0.0.1/x", true),
        ] {
            let [a, b] = [from, to].map(|text| Address::parse(text).unwrap());
            assert_eq!(a.may_lead_to(&b).is_ok(), expected, "{from} to {to}");
        }
    }
}
