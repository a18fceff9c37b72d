//! Whose packages are trusted: policy and public keys out of flags and environment.

use std::path::Path;

use portend_model::package::{PublicKey, SignaturePolicy, Trust};

use super::arguments::TrustArguments;
use crate::CommandError;

/// The variables that stand for the flags; keys are separated as in `PATH`.
const POLICY: &str = "PORTEND_SIGNATURE_POLICY";
const KEYS: &str = "PORTEND_SIGNATURE_PUBLIC_KEYS";

impl TrustArguments {
    /// Flags, and where they are not given the environment.
    pub(crate) fn trust(&self, given: impl Fn(&str) -> Option<String>) -> Result<Trust, CommandError> {
        let given = |name: &str| given(name).filter(|value| !value.trim().is_empty());
        let mut paths = self.public_key.clone();
        if let Some(list) = given(KEYS).filter(|_| paths.is_empty()) {
            paths = std::env::split_paths(&list).filter(|path| !path.as_os_str().is_empty()).collect();
        }
        let keys = paths.iter().map(|path| read(path.as_path())).collect::<Result<Vec<_>, _>>()?;
        let policy = match (self.signature_policy, given(POLICY)) {
            (Some(policy), _) => policy.into(),
            (None, Some(text)) => SignaturePolicy::parse(text.trim()).ok_or_else(|| {
                CommandError::Setting(format!("{POLICY} is '{text}': off, warn or require is needed"))
            })?,
            (None, None) if keys.is_empty() => SignaturePolicy::Off,
            (None, None) => SignaturePolicy::Require,
        };
        if policy != SignaturePolicy::Off && keys.is_empty() {
            return Err(CommandError::Setting(format!(
                "a signature policy other than off needs a public key: --public-key FILE or {KEYS}"
            )));
        }
        Ok(Trust { policy, keys })
    }
}

fn read(path: &Path) -> Result<PublicKey, CommandError> {
    let failed = |reason: String| CommandError::Setting(format!("public key {}: {reason}", path.display()));
    let pem = key_file(path).map_err(|e| failed(e.to_string()))?;
    PublicKey::from_pem(&path.display().to_string(), &pem).map_err(|e| failed(e.to_string()))
}

/// The bytes of a key file; anything that is longer than a key is none.
pub(super) fn key_file(path: &Path) -> std::io::Result<Vec<u8>> {
    use std::io::Read;
    let mut bytes = Vec::new();
    std::fs::File::open(path)?.take(64 << 10).read_to_end(&mut bytes)?;
    Ok(bytes)
}
