//! What stores are told: the variables that their own tools read, certificate authorities, a folder for notes.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use portend_core::Proxies;

/// How stores are reached. Nothing here reads the environment: whoever makes this does.
#[derive(Clone, Default)]
pub struct StoreSettings {
    /// The variables of the environment. Those of stores are looked for by their names.
    pub environment: BTreeMap<String, String>,
    /// Certificate authorities beside those of the system, as PEM texts.
    pub authorities: Vec<Vec<u8>>,
    /// Which addresses are reached through a proxy.
    pub proxies: Proxies,
    /// Where notes on uploads lie, so that one that was cut off can be gone on with; without it none are kept.
    pub notes: Option<PathBuf>,
}

impl StoreSettings {
    /// A variable that says something.
    pub(crate) fn variable(&self, name: &str) -> Option<&str> {
        self.environment.get(name).map(|value| value.trim()).filter(|value| !value.is_empty())
    }

    /// The home directory.
    pub(crate) fn home(&self) -> Option<PathBuf> {
        self.variable("HOME").map(PathBuf::from)
    }
}

/// Without values: many are secret.
impl fmt::Debug for StoreSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoreSettings").field("notes", &self.notes).finish_non_exhaustive()
    }
}
