//! From what was typed to what is read and written.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use portend_image::{
    ArchiveSource, ArchiveTarget, Copied, Credentials, LayoutSource, LayoutTarget, Location, Reference,
    RegistryOptions, RegistrySource, RegistryTarget, Source, Target,
};

use super::arguments::RegistryArguments;
use crate::CommandError;
use crate::artifact::place::proxies;
use crate::package::inspect::size;

/// The most bytes of a file with a password or certificates.
const MOST_BYTES: u64 = 1 << 20;

pub(super) fn source(
    location: &Location,
    registry: &RegistryArguments,
) -> Result<Box<dyn Source>, CommandError> {
    Ok(match location {
        Location::Registry(reference) => Box::new(RegistrySource::new(reference, &registry.options()?)?),
        Location::Layout(folder, tag) => Box::new(LayoutSource::open(folder, tag.as_deref())?),
        Location::Archive(path, _, name) => Box::new(ArchiveSource::open(path, name.as_ref())?),
    })
}

/// What a target is told beside where it lies.
pub(super) struct TargetOptions<'a> {
    /// The name in an archive.
    pub(super) name: Option<&'a str>,
    /// What the image is called where it comes from, and so in an archive where no name is given.
    pub(super) known_as: Option<Reference>,
    /// Whether an archive that is there is replaced.
    pub(super) force: bool,
}

pub(super) fn target(
    location: &Location,
    options: &TargetOptions<'_>,
    registry: &RegistryArguments,
) -> Result<Box<dyn Target>, CommandError> {
    Ok(match location {
        Location::Registry(reference) => Box::new(RegistryTarget::new(reference, &registry.options()?)?),
        Location::Layout(folder, tag) => Box::new(LayoutTarget::create(folder, tag.as_deref())?),
        Location::Archive(path, kind, name) => {
            let given = options.name.map(Reference::parse).transpose()?;
            let name = name.clone().or(given).or_else(|| options.known_as.clone());
            Box::new(ArchiveTarget::create(path, *kind, name.as_ref(), options.force)?)
        }
    })
}

/// A name and a password that were given are for one registry: no other is to see them.
pub(super) fn one_login(places: &[&Location], registry: &RegistryArguments) -> Result<(), CommandError> {
    let hosts = places.iter().filter_map(|place| match place {
        Location::Registry(reference) => Some(&reference.registry),
        _ => None,
    });
    let hosts: BTreeSet<_> = hosts.collect();
    if registry.username.is_some() && hosts.len() > 1 {
        let reason =
            "--username is for one registry, and there are two: docker login writes credentials for each";
        return Err(CommandError::Setting(reason.to_owned()));
    }
    Ok(())
}

impl RegistryArguments {
    /// What the flags and the environment say.
    pub(super) fn options(&self) -> Result<RegistryOptions, CommandError> {
        let mut credentials = Credentials::from_environment(|name| std::env::var(name).ok());
        if let (Some(name), Some(path)) = (&self.username, &self.password_file) {
            let password = String::from_utf8(small_file(path)?)
                .map_err(|_| CommandError::Setting(format!("{} is not UTF-8 text", path.display())))?;
            let password = password.trim_end_matches(['\r', '\n']);
            if password.is_empty() {
                return Err(CommandError::Setting(format!(
                    "{} is empty: it holds no password",
                    path.display()
                )));
            }
            credentials.given = Some((name.clone(), password.to_owned()));
        }
        let authorities = self.ca_file.iter().map(|path| authority(path)).collect::<Result<_, _>>()?;
        let insecure = self.insecure_registry.clone();
        if let Some(folder) = self.cert_dir.as_ref().filter(|folder| !folder.is_dir()) {
            return Err(CommandError::Setting(format!("--cert-dir {}: not a directory", folder.display())));
        }
        let (certificates, certificate_folders) = (self.cert_dir.clone(), certificate_folders());
        let options = RegistryOptions::default();
        Ok(RegistryOptions {
            credentials,
            insecure,
            authorities,
            certificates,
            certificate_folders,
            proxies: proxies()?,
            ..options
        })
    }
}

/// Where podman and Docker keep certificates of registries.
fn certificate_folders() -> Vec<PathBuf> {
    let given = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let config = given("XDG_CONFIG_HOME").or_else(|| given("HOME").map(|home| home.join(".config")));
    let own = config.map(|folder| folder.join("containers/certs.d"));
    let system = ["/etc/containers/certs.d", "/etc/docker/certs.d"].map(PathBuf::from);
    own.into_iter().chain(system).collect()
}

/// A file with certificates, as PEM text.
fn authority(path: &Path) -> Result<Vec<u8>, CommandError> {
    let text = small_file(path)?;
    if String::from_utf8_lossy(&text).contains("-----BEGIN CERTIFICATE-----") {
        return Ok(text);
    }
    Err(CommandError::Setting(format!("{} holds no certificate: PEM text is needed", path.display())))
}

/// A file with a secret or certificates.
fn small_file(path: &Path) -> Result<Vec<u8>, CommandError> {
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(MOST_BYTES).read_to_end(&mut bytes));
    read.map_err(|e| CommandError::Setting(format!("cannot read {}: {e}", path.display())))?;
    Ok(bytes)
}

/// Says something that is not the result.
#[expect(clippy::print_stderr, reason = "standard output has the result alone")]
pub(super) fn note(text: &str) {
    eprintln!("{text}");
}

#[expect(clippy::print_stderr, reason = "what was sent is not the result")]
pub(super) fn tell(copied: &Copied) {
    let (sent, there) = (copied.sent, copied.there);
    eprintln!("blobs: {} sent, {}; {} there, {}", sent.0, size(sent.1), there.0, size(there.1));
    if copied.referrers > 0 {
        eprintln!("attached: {}", copied.referrers);
    }
}
