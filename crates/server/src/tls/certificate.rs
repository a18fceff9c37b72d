//! The certificate chain: read, looked at for its validity, and joined with the key that it belongs to.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::sign::{CertifiedKey, SigningKey};
use tokio_rustls::rustls::{Error, InconsistentKeys};
use x509_cert::Certificate;
use x509_cert::der::Decode;

use super::{CERTIFICATE, TlsError, pem_blocks};

/// The certificates of a PEM text, the server's own first.
pub(super) fn chain(text: &str) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let blocks = pem_blocks::read(CERTIFICATE, text)?;
    let found = pem_blocks::tags(&blocks);
    let certificates = blocks.into_iter().filter(|block| block.tag() == "CERTIFICATE");
    let chain: Vec<_> = certificates.map(|block| CertificateDer::from(block.into_contents())).collect();
    if chain.is_empty() {
        return Err(TlsError::Missing { setting: CERTIFICATE, wanted: "CERTIFICATE block", found });
    }
    Ok(chain)
}

/// A sentence when the server's own certificate is not valid now: clients will say so too, and less clearly.
pub(super) fn validity_warning(chain: &[CertificateDer<'_>]) -> Option<String> {
    let certificate = Certificate::from_der(chain.first()?).ok()?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).ok()?;
    let validity = certificate.tbs_certificate().validity();
    let problem = if validity.not_after.to_unix_duration() < now {
        format!("expired at {}", validity.not_after)
    } else if validity.not_before.to_unix_duration() > now {
        format!("is not valid before {}", validity.not_before)
    } else {
        return None;
    };
    Some(format!("{CERTIFICATE}: the certificate {problem}: clients will refuse it: renew it"))
}

/// Certificate and key together, if they belong together.
pub(super) fn certified(
    chain: Vec<CertificateDer<'static>>,
    key: Arc<dyn SigningKey>,
) -> Result<CertifiedKey, TlsError> {
    let certified = CertifiedKey::new(chain, key);
    match certified.keys_match() {
        Ok(()) => Ok(certified),
        Err(Error::InconsistentKeys(InconsistentKeys::KeyMismatch)) => Err(TlsError::KeyMismatch),
        Err(error) => Err(TlsError::Certificate(error)),
    }
}
