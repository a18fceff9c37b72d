//! Ed25519 signatures over the bytes of `checksums.txt`: keys as OpenSSL writes them, verification, and what an
//! operator demands of packages. Pure: files are read and written elsewhere.

use std::sync::Arc;

use ring::digest::{SHA256, digest};
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{PrivatePkcs8KeyDer, SubjectPublicKeyInfoDer};
use serde::{Deserialize, Serialize};

use super::checksums::hexadecimal;
use super::{CHECKSUMS, SIGNATURE, SIGNATURE_NOTE};

/// What is done about packages without a valid signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SignaturePolicy {
    /// Nothing: signatures are not looked at.
    #[default]
    Off,
    /// They are served, and a warning says what is wrong.
    Warn,
    /// They are refused.
    Require,
}

impl SignaturePolicy {
    /// The policy called `name`.
    pub fn parse(name: &str) -> Option<Self> {
        match name {
            "off" => Some(Self::Off),
            "warn" => Some(Self::Warn),
            "require" => Some(Self::Require),
            _ => None,
        }
    }
}

/// Whose packages are trusted, and what becomes of others.
#[derive(Debug, Clone, Default)]
pub struct Trust {
    /// What is done about others.
    pub policy: SignaturePolicy,
    /// A package is trusted when one of these signed it.
    pub keys: Vec<PublicKey>,
}

/// What became of looking at a package's signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SignatureState {
    /// There is none.
    Absent,
    /// There is one and no key to check it with. The id is what the package says, in its own words.
    Unchecked {
        /// `key_id` of `signature.json`; empty without one.
        key_id: String,
    },
    /// One of the keys made it.
    Valid {
        /// The name that the caller gave the key.
        key: String,
    },
    /// It is not a signature, or none of the keys made it.
    Wrong(String),
}

impl SignatureState {
    /// Why a package in this state is not trusted.
    pub(super) fn objection(&self) -> Option<String> {
        match self {
            Self::Valid { .. } => None,
            Self::Absent => Some("it is not signed (`portend package sign` does that)".to_owned()),
            Self::Unchecked { .. } => {
                Some("it is signed, and there is no public key to check it with".to_owned())
            }
            Self::Wrong(reason) => Some(reason.clone()),
        }
    }
}

/// Why a key file was not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// It holds no private key that is read.
    #[error(
        "it holds no Ed25519 private key as unencrypted PKCS#8 PEM: {0}; \
         `openssl genpkey -algorithm ed25519` writes one"
    )]
    Private(String),
    /// It holds no public key that is read.
    #[error(
        "it holds no Ed25519 public key as PEM: {0}; `openssl pkey -in KEY.pem -pubout` writes the one of a private key"
    )]
    Public(String),
}

/// The DER form of an Ed25519 public key begins with this (RFC 8410) and goes on with its 32 bytes.
const PUBLIC_PREFIX: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

/// A key that signatures are checked with.
#[derive(Debug, Clone)]
pub struct PublicKey {
    name: String,
    bytes: [u8; 32],
}

impl PublicKey {
    /// Reads a PEM text; `name` is told when the key fits.
    pub fn from_pem(name: &str, pem: &[u8]) -> Result<Self, KeyError> {
        let public = |reason: String| KeyError::Public(reason);
        let key = SubjectPublicKeyInfoDer::from_pem_slice(pem).map_err(|_| {
            let private = PrivatePkcs8KeyDer::from_pem_slice(pem).is_ok();
            public(if private { "it is a private key" } else { "there is no 'BEGIN PUBLIC KEY'" }.to_owned())
        })?;
        let bytes = key.strip_prefix(&PUBLIC_PREFIX).and_then(|bytes| bytes.try_into().ok());
        let bytes = bytes.ok_or_else(|| public("the key is of another algorithm".to_owned()))?;
        Ok(Self { name: name.to_owned(), bytes })
    }

    /// The first 16 hexadecimal digits of the SHA-256 of the key's DER form.
    pub fn id(&self) -> String {
        let der = [&PUBLIC_PREFIX[..], &self.bytes].concat();
        hexadecimal(&digest(&SHA256, &der).as_ref()[..8])
    }

    fn signed(&self, message: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&ED25519, self.bytes).verify(message, signature).is_ok()
    }
}

/// A key that packages are signed with.
#[derive(Debug, Clone)]
pub struct SigningKey {
    pair: Arc<Ed25519KeyPair>,
}

impl SigningKey {
    /// Reads a PEM text.
    pub fn from_pem(pem: &[u8]) -> Result<Self, KeyError> {
        let private = |reason: &str| KeyError::Private(reason.to_owned());
        let key = PrivatePkcs8KeyDer::from_pem_slice(pem).map_err(|_| private(other_pem(pem)))?;
        // OpenSSL writes the private half alone, as PKCS#8 version 1 has it
        let pair =
            Ed25519KeyPair::from_pkcs8_maybe_unchecked(key.secret_pkcs8_der()).map_err(|rejected| {
                private(&format!("the key is of another algorithm or damaged ({rejected})"))
            })?;
        Ok(Self { pair: Arc::new(pair) })
    }

    /// The other half, under a name.
    pub fn public(&self, name: &str) -> PublicKey {
        let bytes = self.pair.public_key().as_ref().try_into().unwrap_or([0; 32]); // always 32
        PublicKey { name: name.to_owned(), bytes }
    }

    pub(super) fn sign(&self, message: &[u8]) -> Vec<u8> {
        self.pair.sign(message).as_ref().to_vec()
    }
}

/// What a PEM text without a plain PKCS#8 key holds instead.
fn other_pem(pem: &[u8]) -> &'static str {
    let text = String::from_utf8_lossy(pem);
    match () {
        () if text.contains("BEGIN ENCRYPTED PRIVATE KEY") => "the key is encrypted",
        () if text.contains("BEGIN PUBLIC KEY") => "it is a public key",
        () if text.contains("PRIVATE KEY") => "the key is in another form",
        () => "there is no 'BEGIN PRIVATE KEY'",
    }
}

/// `signature.json`: what the signer says of a signature. It is not signed itself and decides nothing.
#[derive(Debug, Deserialize, Serialize)]
pub(super) struct Note {
    #[serde(default)]
    pub(super) key_id: String,
    #[serde(default)]
    pub(super) algorithm: String,
    #[serde(default)]
    pub(super) created: String,
}

/// The only algorithm.
pub(super) const ALGORITHM: &str = "ed25519";

/// Checks `signature` of `signed` against each of `keys`.
pub(super) fn verify(
    signed: &[u8],
    signature: &[u8],
    note: Option<&str>,
    keys: &[PublicKey],
) -> SignatureState {
    let wrong = |reason: String| SignatureState::Wrong(reason);
    if signature.len() != 64 {
        return wrong(format!("{SIGNATURE} has {} bytes, a signature has 64", signature.len()));
    }
    let note = match note.map(serde_json::from_str::<Note>) {
        Some(Err(error)) => return wrong(format!("{SIGNATURE_NOTE}: {error}")),
        Some(Ok(note)) if note.algorithm != ALGORITHM => {
            let shown: String = note.algorithm.chars().take(40).collect();
            return wrong(format!("{SIGNATURE_NOTE}: algorithm '{shown}' is not '{ALGORITHM}'"));
        }
        Some(Ok(note)) => Some(note),
        None => None,
    };
    let key_id: String = note.map(|note| note.key_id).unwrap_or_default().chars().take(200).collect();
    if keys.is_empty() {
        return SignatureState::Unchecked { key_id };
    }
    if let Some(key) = keys.iter().find(|key| key.signed(signed, signature)) {
        return SignatureState::Valid { key: key.name.clone() };
    }
    let whose = if key_id.is_empty() { String::new() } else { format!(" (of key '{key_id}')") };
    wrong(format!(
        "its signature{whose} is by none of the given public keys, or {CHECKSUMS} was changed after it was signed"
    ))
}
