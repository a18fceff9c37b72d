//! Places as they are typed, and the stores that they lie in: what the environment says of them.

use std::ffi::OsStr;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use portend_artifact::StoreSettings;
use portend_core::{ArtifactError, ArtifactStore, ArtifactUrl, Proxies, Scheme};
use tempfile::TempDir;

use crate::CommandError;

/// The variables that name files with further certificate authorities; several have ':' between them.
const AUTHORITIES: [&str; 2] = ["PORTEND_CA_FILE", "AWS_CA_BUNDLE"];
/// The variable that names the folder for what can be got again.
const CACHE: &str = "PORTEND_CACHE_DIR";
/// Variables of stores' own tools begin like this, or are called so.
const OF_STORES: [&str; 3] = ["AWS_", "GOOGLE_", "AZURE_"];
const OTHERS: [&str; 4] = ["SERVICE_ACCOUNT", "STORAGE_EMULATOR_HOST", "HOME", "NETRC"];
/// The most bytes of a file with certificates.
const MOST_BYTES: u64 = 4 << 20;
/// The most bytes that are got for a command.
const MOST_FETCHED: u64 = 64 << 30;

/// A URL, where a text is one and not a path.
pub(crate) fn url(text: &OsStr) -> Result<Option<ArtifactUrl>, CommandError> {
    match text.to_str().filter(|text| ArtifactUrl::is_url(text)) {
        Some(text) => prefix(text).map(Some),
        None => Ok(None),
    }
}

/// The place that a URL or a path names.
pub(super) fn prefix(text: &str) -> Result<ArtifactUrl, CommandError> {
    if !ArtifactUrl::is_url(text) {
        let path = std::path::absolute(text).map_err(|source| CommandError::Io { what: "a path", source })?;
        let slash = if text.ends_with('/') { "/" } else { "" };
        let path = path.to_string_lossy();
        let object = format!("{}{slash}", path.trim_end_matches('/'));
        return Ok(ArtifactUrl { scheme: Scheme::File, bucket: String::new(), object });
    }
    ArtifactUrl::parse_prefix(text).map_err(|error| CommandError::Place(error.to_string()))
}

/// The place of one file.
pub(super) fn object(text: &str) -> Result<ArtifactUrl, CommandError> {
    let url = prefix(text)?;
    match url.object.is_empty() {
        true => Err(CommandError::Place(portend_core::ArtifactUrlError::Object.to_string())),
        false => Ok(url),
    }
}

/// The store that a place lies in.
pub(crate) fn store(url: &ArtifactUrl) -> Result<Arc<dyn ArtifactStore>, CommandError> {
    portend_artifact::open(url, &settings(|name| std::env::var(name).ok())?).map_err(|e| failed(url, &e))
}

/// What went wrong at a place.
pub(crate) fn failed(url: &ArtifactUrl, error: &ArtifactError) -> CommandError {
    CommandError::Artifact(told(url, error))
}

/// The same as a text. What a store says of itself names it already.
pub(crate) fn told(url: &ArtifactUrl, error: &ArtifactError) -> String {
    let text = error.to_string();
    let names = !url.bucket.is_empty() && text.contains(&url.bucket);
    if names { text } else { format!("{url}: {text}") }
}

/// What the environment says of stores. `given` tells of the settings that are also flags.
pub(crate) fn settings(given: impl Fn(&str) -> Option<String>) -> Result<StoreSettings, CommandError> {
    let given = |name: &str| given(name).filter(|value| !value.trim().is_empty());
    let texts = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    let is_of_stores =
        |name: &str| OF_STORES.iter().any(|start| name.starts_with(start)) || OTHERS.contains(&name);
    let environment = texts.filter(|(name, _)| is_of_stores(name)).collect();
    let mut authorities = Vec::new();
    for variable in AUTHORITIES {
        for path in
            given(variable).iter().flat_map(std::env::split_paths).filter(|path| !path.as_os_str().is_empty())
        {
            let read = small_file(&path);
            authorities.push(
                read.map_err(|e| CommandError::Setting(format!("{variable} names {}: {e}", path.display())))?,
            );
        }
    }
    let notes = Some(cache(given(CACHE)).join("uploads"));
    Ok(StoreSettings { environment, authorities, proxies: proxies()?, notes })
}

/// The proxies that the environment names.
pub(crate) fn proxies() -> Result<Proxies, CommandError> {
    Proxies::from_environment(|name| std::env::var(name).ok()).map_err(CommandError::Setting)
}

/// The folder for what can be got again: the one that is given, else that of the user, else one for all of this machine.
pub(crate) fn cache(given: Option<String>) -> PathBuf {
    let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let users = || variable("XDG_CACHE_HOME").or_else(|| Some(variable("HOME")?.join(".cache")));
    match given {
        Some(folder) => PathBuf::from(folder),
        None => users().unwrap_or_else(std::env::temp_dir).join("portend"),
    }
}

fn small_file(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(MOST_BYTES).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// What a command reads: a path, or what was got from a store and vanishes again.
pub(crate) struct Fetched {
    pub(crate) path: PathBuf,
    url: Option<(ArtifactUrl, TempDir)>,
}

impl Fetched {
    /// Gets what lies at a URL, under its own name; a path is left as it is.
    pub(crate) fn of(typed: &Path) -> Result<Self, CommandError> {
        let Some(url) = url(typed.as_os_str())? else {
            return Ok(Self { path: typed.to_owned(), url: None });
        };
        if url.scheme == Scheme::File {
            return Ok(Self { path: PathBuf::from(&url.object), url: None });
        }
        let name = url.name();
        if name.is_empty() || url.object.ends_with('/') {
            return Err(CommandError::Place(format!("{url} names no file")));
        }
        let cannot = |source| CommandError::Io { what: "cannot keep what is got", source };
        let folder = tempfile::Builder::new().prefix("portend-").tempdir().map_err(cannot)?;
        let path = folder.path().join(name);
        let mut file = File::create(&path).map_err(cannot)?;
        let fetched = store(&url)?.fetch(&url.object, None, MOST_FETCHED, &mut file);
        fetched.map_err(|error| failed(&url, &error))?;
        Ok(Self { path, url: Some((url, folder)) })
    }

    /// A text about the file, with the place that was typed instead of where it lies for now.
    pub(crate) fn told(&self, text: &str) -> String {
        match &self.url {
            Some((url, _)) => text.replace(&*self.path.to_string_lossy(), &url.to_string()),
            None => text.to_owned(),
        }
    }
}
