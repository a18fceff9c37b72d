//! Cipher suites by the names that OpenSSL and IANA have for them, chosen and ordered as listed. Only suites that
//! are taken for safe today exist here, so a list can leave suites out and never weaken anything.

use tokio_rustls::rustls::CipherSuite::{self, *};
use tokio_rustls::rustls::crypto::ring::ALL_CIPHER_SUITES;
use tokio_rustls::rustls::sign::SigningKey;
use tokio_rustls::rustls::{SupportedCipherSuite, SupportedProtocolVersion};

use super::{CIPHERS, TlsError, protocols};

/// The suites, with OpenSSL's and IANA's name.
const NAMES: [(CipherSuite, &str, &str); 9] = [
    (TLS13_AES_256_GCM_SHA384, "TLS_AES_256_GCM_SHA384", "TLS_AES_256_GCM_SHA384"),
    (TLS13_AES_128_GCM_SHA256, "TLS_AES_128_GCM_SHA256", "TLS_AES_128_GCM_SHA256"),
    (TLS13_CHACHA20_POLY1305_SHA256, "TLS_CHACHA20_POLY1305_SHA256", "TLS_CHACHA20_POLY1305_SHA256"),
    (
        TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
        "ECDHE-ECDSA-AES256-GCM-SHA384",
        "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
    ),
    (
        TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
        "ECDHE-ECDSA-AES128-GCM-SHA256",
        "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
    ),
    (
        TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
        "ECDHE-ECDSA-CHACHA20-POLY1305",
        "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
    ),
    (
        TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
        "ECDHE-RSA-AES256-GCM-SHA384",
        "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
    ),
    (
        TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
        "ECDHE-RSA-AES128-GCM-SHA256",
        "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
    ),
    (
        TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
        "ECDHE-RSA-CHACHA20-POLY1305",
        "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
    ),
];

/// The suites of a list that these versions and this key can use, all of them when the list is empty; and a sentence
/// when parts of the list have no meaning here.
pub(super) fn choose(
    list: &str,
    versions: &[&'static SupportedProtocolVersion],
    key: &dyn SigningKey,
) -> Result<(Vec<SupportedCipherSuite>, Option<String>), TlsError> {
    let (mut listed, skipped) = listed(list);
    if !listed.is_empty() && !listed.iter().any(is_tls13) {
        // Lists made for OpenSSL name no suite of TLS 1.3 and mean none: it has settings of its own for those.
        listed.extend(ALL_CIPHER_SUITES.iter().copied().filter(is_tls13));
    }
    let usable = |suites: &[SupportedCipherSuite], version| -> Vec<SupportedCipherSuite> {
        let fits = |suite: &SupportedCipherSuite| {
            suite.version() == version && suite.usable_for_signature_algorithm(key.algorithm())
        };
        suites.iter().copied().filter(fits).collect()
    };
    for &version in versions {
        if usable(&listed, version).is_empty() {
            let possible: Vec<_> = usable(ALL_CIPHER_SUITES, version).into_iter().map(name).collect();
            let possible = possible.join(", ");
            return Err(TlsError::NoCipher { version: protocols::word(version), possible });
        }
    }
    Ok((listed, skipped))
}

fn is_tls13(suite: &SupportedCipherSuite) -> bool {
    suite.tls13().is_some()
}

/// The suites of a list in its order, and what was skipped.
fn listed(list: &str) -> (Vec<SupportedCipherSuite>, Option<String>) {
    let mut suites = Vec::new();
    let mut skipped = Vec::new();
    for word in list.split([':', ',', ' ', '\t', '\n', '\r']).filter(|word| !word.is_empty()) {
        match suite(word) {
            Some(suite) if suites.contains(&suite) => {}
            Some(suite) => suites.push(suite),
            None => skipped.push(word),
        }
    }
    if suites.is_empty() && skipped.is_empty() {
        return (ALL_CIPHER_SUITES.to_vec(), None);
    }
    let sentence = (!skipped.is_empty()).then(|| {
        let skipped = skipped.join(" ");
        let skipped = portend_core::shortened_to(1024, &skipped);
        format!("{CIPHERS}: skipped {skipped}: only names of supported cipher suites have an effect, expressions have none")
    });
    (suites, sentence)
}

fn suite(word: &str) -> Option<SupportedCipherSuite> {
    let named = |name: &str| name.eq_ignore_ascii_case(word);
    let (suite, ..) = NAMES.iter().find(|(_, openssl, iana)| named(openssl) || named(iana))?;
    ALL_CIPHER_SUITES.iter().copied().find(|other| other.suite() == *suite)
}

fn name(suite: SupportedCipherSuite) -> &'static str {
    NAMES.iter().find(|(other, ..)| *other == suite.suite()).map_or("another", |(_, openssl, _)| openssl)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_suite_of_the_library_has_names() {
        let named: Vec<_> = ALL_CIPHER_SUITES.iter().map(|suite| name(*suite)).collect();
        assert!(!named.contains(&"another"), "{named:?}");
        assert_eq!(named.len(), NAMES.len());
    }

    fn check(list: &str, expected: &[&str], skipped: &str) {
        let (found, warning) = listed(list);
        assert_eq!(found.into_iter().map(name).collect::<Vec<_>>(), expected, "{list}");
        let found =
            warning.as_deref().and_then(|w| w.split_once("skipped ")?.1.split_once(": ")).map(|(s, _)| s);
        assert_eq!(found.unwrap_or_default(), skipped, "{list}");
    }

    #[test]
    fn suites_are_listed_by_either_name_in_the_order_of_the_list() {
        check("", &NAMES.map(|(_, openssl, _)| openssl), "");
        let both = ["ECDHE-RSA-AES128-GCM-SHA256", "TLS_AES_256_GCM_SHA384"];
        check("ECDHE-RSA-AES128-GCM-SHA256:TLS_AES_256_GCM_SHA384", &both, "");
        check("TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, tls_aes_256_gcm_sha384", &both, "");
        check("ECDHE-RSA-AES128-GCM-SHA256 TLS_AES_256_GCM_SHA384 ECDHE-RSA-AES128-GCM-SHA256", &both, "");
        check("HIGH:!aNULL:TLS_AES_256_GCM_SHA384:@STRENGTH", &both[1..], "HIGH !aNULL @STRENGTH");
        check("AES128-SHA,ECDHE+AESGCM", &[], "AES128-SHA ECDHE+AESGCM");
    }
}
