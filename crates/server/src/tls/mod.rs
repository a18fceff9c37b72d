//! HTTPS: turns what an operator gave into what accepts handshakes, or says which setting is wrong and what to do; and
//! does so again when files change that the settings name. Sockets are the listener's business. No message repeats a
//! key or a password.

mod certificate;
mod ciphers;
mod dek_info;
mod keys;
mod pem_blocks;
mod protocols;
mod renewal;

use std::io::{Write, stderr};
use std::sync::Arc;

use tokio_rustls::rustls::crypto::{CryptoProvider, ring};
use tokio_rustls::rustls::sign::SingleCertAndKey;
use tokio_rustls::rustls::{self, ServerConfig};

pub(crate) use renewal::Tls;

use crate::config::TlsConfig;
use crate::opening::ALPN_HTTP2;

/// The settings by the names that operators know them by.
const CERTIFICATE: &str = "PREDICTION_API_TLS_CERTIFICATE";
const KEY: &str = "PREDICTION_API_TLS_CERTIFICATE_KEY";
const KEY_PASSWORD: &str = "PREDICTION_API_TLS_CERTIFICATE_KEY_PASSWORD";
const CIPHERS: &str = "PREDICTION_API_TLS_CIPHERS";

/// What ALPN offers: what the server speaks. Some clients that want HTTP/1.0 offer nothing else.
const SPOKEN: [&[u8]; 3] = [ALPN_HTTP2, b"http/1.1", b"http/1.0"];

/// Why HTTPS cannot be served as it was asked for.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A setting that must be there has no text.
    #[error("{setting} is empty: give the PEM text, or the path of a PEM file")]
    Empty {
        /// The setting.
        setting: &'static str,
    },
    /// A text that is no PEM was taken for a path, and there is nothing to be read.
    #[error(
        "{setting} has no -----BEGIN line, so it is taken for the path of a PEM file, which cannot be read: {source}"
    )]
    Unreadable {
        /// The setting.
        setting: &'static str,
        /// What the system said.
        source: std::io::Error,
    },
    /// A text that begins as PEM and does not go on so.
    #[error(
        "{setting} is not valid PEM: between -----BEGIN ...----- and -----END ...----- of the same name there must \
         be lines of base64; look whether line breaks or lines were lost"
    )]
    NotPem {
        /// The setting.
        setting: &'static str,
    },
    /// PEM without the block that is needed.
    #[error("{setting} holds no {wanted}: found {found}")]
    Missing {
        /// The setting.
        setting: &'static str,
        /// What should be in it.
        wanted: &'static str,
        /// What is in it.
        found: String,
    },
    /// The certificate is not one.
    #[error("PREDICTION_API_TLS_CERTIFICATE: the first certificate cannot be read: {0}")]
    Certificate(rustls::Error),
    /// The key belongs to another certificate.
    #[error(
        "PREDICTION_API_TLS_CERTIFICATE_KEY does not match PREDICTION_API_TLS_CERTIFICATE: give the key of the \
         server's own certificate, and put that certificate first, before those that signed it"
    )]
    KeyMismatch,
    /// The key is of no kind that can be used.
    #[error(
        "PREDICTION_API_TLS_CERTIFICATE_KEY cannot be used: RSA of 2048 to 8192 bits, EC on P-256 or P-384, and \
         Ed25519 are supported"
    )]
    KeyUnsupported,
    /// The key is encrypted and there is nothing to open it with.
    #[error(
        "PREDICTION_API_TLS_CERTIFICATE_KEY is encrypted: set PREDICTION_API_TLS_CERTIFICATE_KEY_PASSWORD to its \
         passphrase"
    )]
    PasswordMissing,
    /// The key does not open.
    #[error(
        "PREDICTION_API_TLS_CERTIFICATE_KEY_PASSWORD does not open PREDICTION_API_TLS_CERTIFICATE_KEY: the passphrase \
         is wrong, or the key is damaged"
    )]
    PasswordWrong,
    /// The key is encrypted in a way that is not read.
    #[error(
        "PREDICTION_API_TLS_CERTIFICATE_KEY is encrypted in a way that is not read ({0}): encrypt it anew, for \
         instance with `openssl pkcs8 -topk8 -v2 aes-256-cbc -in old.pem -out new.pem`"
    )]
    Encryption(String),
    /// A protocol version that is known to be broken.
    #[error(
        "PREDICTION_API_TLS_PROTOCOLS asks for {0}, which is broken and refused (RFC 6176, RFC 7568, RFC 8996): \
         leave it out; TLSv1.2 and TLSv1.3 are supported"
    )]
    ProtocolRefused(&'static str),
    /// A word that is no protocol version.
    #[error(
        "PREDICTION_API_TLS_PROTOCOLS has '{0}', which is no protocol version: give TLSv1.2, TLSv1.3 or both, \
         separated by spaces"
    )]
    ProtocolUnknown(String),
    /// No cipher suite is left for an enabled version.
    #[error(
        "PREDICTION_API_TLS_CIPHERS leaves no cipher suite for {version} with this key: add one of {possible}, or take \
         {version} out of PREDICTION_API_TLS_PROTOCOLS"
    )]
    NoCipher {
        /// The protocol version.
        version: &'static str,
        /// What could be listed.
        possible: String,
    },
    /// The library refuses.
    #[error("HTTPS cannot be set up: {0}")]
    Library(#[from] rustls::Error),
}

/// What handshakes are accepted with. Warnings are printed.
fn prepared(config: &TlsConfig) -> Result<ServerConfig, TlsError> {
    let versions = protocols::parse(&config.protocols)?;
    let chain = certificate::chain(&config.certificate)?;
    let mut warnings = Vec::from_iter(certificate::validity_warning(&chain));
    let password = config.key_password.as_ref().map(|password| password.0.as_str());
    let (key, key_warning) = keys::read(&config.key.0, password)?;
    warnings.extend(key_warning);
    let certified = certificate::certified(chain, key)?;
    let (suites, cipher_warning) = ciphers::choose(&config.ciphers, &versions, &*certified.key)?;
    warnings.extend(cipher_warning);
    let provider = CryptoProvider { cipher_suites: suites, ..ring::default_provider() };
    let mut server = ServerConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&versions)?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(certified)));
    server.alpn_protocols = SPOKEN.map(<[u8]>::to_vec).into();
    // whoever lists suites lists them in the order of choice
    server.ignore_client_order = !config.ciphers.trim().is_empty();
    server.ticketer = ring::Ticketer::new()?; // resumption that keeps nothing for each client
    for warning in warnings {
        _ = writeln!(stderr(), "warning: {warning}"); // nobody has to read it
    }
    Ok(server)
}
