//! Certificates that are renewed on the disk: the files are looked at now and then, and what they hold is taken when it
//! can be used.

use std::hash::{BuildHasher, RandomState};
use std::io::{Write, stderr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;

use super::{TlsError, pem_blocks, prepared};
use crate::config::TlsConfig;

/// HTTPS as it is served now.
#[derive(Debug)]
pub(crate) struct Tls {
    config: TlsConfig,
    current: ArcSwap<ServerConfig>,
    /// What the files held that were looked at last, good or not.
    seen: AtomicU64,
    hashes: RandomState,
}

/// How often the files are looked at.
const LOOK: Duration = Duration::from_secs(5);

impl Tls {
    /// Checks the settings and prints what the operator should know though it works.
    pub(crate) fn new(config: TlsConfig) -> Result<Self, TlsError> {
        let hashes = RandomState::new();
        let seen = files(&config, &hashes).into(); // before they are read: a change in between is seen later
        let current = ArcSwap::from_pointee(prepared(&config)?);
        Ok(Self { config, current, seen, hashes })
    }

    /// What accepts the next handshake.
    pub(crate) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(self.current.load_full())
    }

    /// Looks at the files from now on, on a thread of its own: a disk that hangs stops nothing else.
    pub(crate) fn watch(self: &Arc<Self>) {
        let this = Arc::downgrade(self);
        let has_files =
            [&self.config.certificate, &self.config.key.0].map(|text| pem_blocks::path(text).is_some());
        if has_files.contains(&true) {
            std::thread::spawn(move || {
                loop {
                    std::thread::sleep(LOOK);
                    let Some(tls) = this.upgrade() else { return };
                    tls.look();
                }
            });
        }
    }

    /// Takes what the files hold if it is new and good. Connections that are open stay as they are.
    fn look(&self) {
        let found = files(&self.config, &self.hashes);
        if self.seen.swap(found, Ordering::Relaxed) == found {
            return;
        }
        let line = match prepared(&self.config) {
            Ok(prepared) => {
                self.current.store(Arc::new(prepared));
                "the files of certificate and key have changed: new connections get the new certificate"
                    .to_owned()
            }
            Err(error) => format!(
                "warning: the files of certificate and key have changed and cannot be used, the certificate that was \
                 read before stays: {error}"
            ),
        };
        _ = writeln!(stderr(), "{line}"); // nobody has to read it
    }
}

/// A number for what the files hold that the settings name.
fn files(config: &TlsConfig, hashes: &RandomState) -> u64 {
    let content = |text: &str| pem_blocks::path(text).map(|path| pem_blocks::file(path).ok());
    hashes.hash_one([&config.certificate, &config.key.0].map(|text| content(text)))
}
