//! Private keys: PKCS#1, PKCS#8 and SEC1, plain or encrypted.

use std::sync::Arc;

use pem::Pem;
use pkcs8::{EncryptedPrivateKeyInfoRef, SecretDocument};
use tokio_rustls::rustls::crypto::ring::sign::any_supported_type;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;
use tokio_rustls::rustls::sign::SigningKey;

use super::{KEY, KEY_PASSWORD, TlsError, dek_info, pem_blocks};

/// What blocks with keys are called.
const PKCS1: &str = "RSA PRIVATE KEY";
const SEC1: &str = "EC PRIVATE KEY";
const PKCS8: &str = "PRIVATE KEY";
const PKCS8_ENCRYPTED: &str = "ENCRYPTED PRIVATE KEY";

/// The key of a setting, and what the operator should know of its password.
pub(super) fn read(
    text: &str,
    password: Option<&str>,
) -> Result<(Arc<dyn SigningKey>, Option<String>), TlsError> {
    let blocks = pem_blocks::read(KEY, text)?;
    let block = blocks.iter().find(|block| [PKCS1, SEC1, PKCS8, PKCS8_ENCRYPTED].contains(&block.tag()));
    let block = block.ok_or_else(|| TlsError::Missing {
        setting: KEY,
        wanted: "PRIVATE KEY block (PKCS#8, RSA or EC)",
        found: pem_blocks::tags(&blocks),
    })?;
    let decrypted = decrypted(block, password)?;
    let unused = password.is_some() && decrypted.is_none();
    let bytes = decrypted.as_ref().map_or(block.contents(), SecretDocument::as_bytes);
    let der = match block.tag() {
        PKCS1 => PrivateKeyDer::Pkcs1(bytes.into()),
        SEC1 => PrivateKeyDer::Sec1(bytes.into()),
        _ => PrivateKeyDer::Pkcs8(bytes.into()),
    };
    let key = any_supported_type(&der).map_err(|_| TlsError::KeyUnsupported)?;
    Ok((key, unused.then(|| format!("{KEY_PASSWORD} is not used: {KEY} is not encrypted"))))
}

/// What an encrypted block holds; None when it is not encrypted.
fn decrypted(block: &Pem, password: Option<&str>) -> Result<Option<SecretDocument>, TlsError> {
    let has_header = block.headers().get("Proc-Type").is_some_and(|value| value.contains("ENCRYPTED"));
    if block.tag() != PKCS8_ENCRYPTED && !has_header {
        return Ok(None);
    }
    let password = password.filter(|password| !password.is_empty()).ok_or(TlsError::PasswordMissing)?;
    let plain = match has_header {
        true => dek_info::decrypt(
            block.headers().get("DEK-Info").unwrap_or_default(),
            block.contents(),
            password.as_bytes(),
        ),
        false => pkcs8_decrypt(block.contents(), password.as_bytes()),
    };
    plain.map(Some)
}

fn pkcs8_decrypt(bytes: &[u8], password: &[u8]) -> Result<SecretDocument, TlsError> {
    let encrypted =
        EncryptedPrivateKeyInfoRef::try_from(bytes).map_err(|e| TlsError::Encryption(e.to_string()))?;
    encrypted.decrypt(password).map_err(|error| match error {
        pkcs8::Error::EncryptedPrivateKey(pkcs8::pkcs5::Error::DecryptFailed) | pkcs8::Error::Asn1(_) => {
            TlsError::PasswordWrong
        }
        other => TlsError::Encryption(other.to_string()),
    })
}
