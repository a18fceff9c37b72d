//! Certificates for one registry, from where Docker and podman keep them: a folder named after the registry, with
//! authorities in `*.crt`, and a certificate of one's own in `*.cert` with its key in `*.key`.

use std::fs;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use ureq::tls::{Certificate, ClientCert, PemItem, PrivateKey, parse_pem};

use super::client::RegistryOptions;
use crate::error::ImageError;

/// The most bytes of a file with certificates.
const MOST_BYTES: u64 = 1 << 20;
/// The most files of such a folder.
const MOST_FILES: usize = 100;

/// What a registry is met with.
#[derive(Default)]
pub(super) struct Certificates {
    /// PEM texts.
    pub(super) authorities: Vec<Vec<u8>>,
    pub(super) own: Option<ClientCert>,
}

impl Certificates {
    /// Those of the options, and those of the first folder that there is for the registry.
    pub(super) fn of(registry: &str, options: &RegistryOptions) -> Result<Self, ImageError> {
        let mut found = Self { authorities: options.authorities.clone(), own: None };
        let named = options.certificates.clone().into_iter();
        let folders = named.chain(options.certificate_folders.iter().map(|folder| folder.join(registry)));
        for folder in folders {
            let files = match files(&folder) {
                Ok(files) => files,
                Err(e) if e.kind() == ErrorKind::NotFound => continue,
                Err(e) => return Err(ImageError::file(&folder, e)),
            };
            for path in &files {
                match path.extension().and_then(|ending| ending.to_str()) {
                    Some("crt") => found.authorities.push(read(path)?),
                    Some("cert") if found.own.is_none() => found.own = Some(own(path)?),
                    _ => {}
                }
            }
            break;
        }
        Ok(found)
    }
}

fn files(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder)?.take(MOST_FILES);
    let mut files = entries.map(|entry| Ok(entry?.path())).collect::<std::io::Result<Vec<_>>>()?;
    files.sort();
    Ok(files)
}

fn read(path: &Path) -> Result<Vec<u8>, ImageError> {
    let mut bytes = Vec::new();
    let read = crate::layout::regular(path).and_then(|file| file.take(MOST_BYTES).read_to_end(&mut bytes));
    read.map(|_| bytes).map_err(|e| ImageError::file(path, e))
}

/// Whether a certificate and a key belong together and can be shown: later it would be too late to say so.
fn check(chain: &[Certificate<'static>], key: PrivateKeyDer<'static>) -> Result<(), String> {
    let chain = chain.iter().map(|one| CertificateDer::from(one.der().to_vec())).collect();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let builder = builder.map_err(|e| e.to_string())?.with_root_certificates(RootCertStore::empty());
    builder.with_client_auth_cert(chain, key).map(|_| ()).map_err(|e| format!("it cannot be shown: {e}"))
}

/// A certificate to show, with the key that lies beside it.
fn own(path: &Path) -> Result<ClientCert, ImageError> {
    let key_path = path.with_extension("key");
    let (mut chain, mut key): (Vec<Certificate<'static>>, Option<PrivateKey<'static>>) = Default::default();
    let key_text = read(&key_path)?;
    for (file, text) in [(path, &read(path)?), (key_path.as_path(), &key_text)] {
        for item in parse_pem(text) {
            match item {
                Ok(PemItem::Certificate(certificate)) => chain.push(certificate),
                // of the key's file alone, and the first: the one that is checked
                Ok(PemItem::PrivateKey(found)) if file == key_path => key = key.or(Some(found)),
                Ok(_) => {}
                Err(e) => return Err(ImageError::bad(file.display().to_string(), format!("not PEM: {e}"))),
            }
        }
    }
    let bad = |reason: String| ImageError::bad(path.display().to_string(), reason);
    if let Ok(plain) = PrivateKeyDer::from_pem_slice(&key_text) {
        check(&chain, plain).map_err(bad)?;
    }
    match key {
        Some(key) if !chain.is_empty() => Ok(ClientCert::new_with_certs(&chain, key)),
        Some(_) => Err(bad("it holds no certificate".to_owned())),
        None => Err(ImageError::bad(key_path.display().to_string(), "it holds no private key")),
    }
}
