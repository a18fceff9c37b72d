//! Signs a package that is there: works out the files to add, and writes the archive anew with them. Putting the
//! result in the old one's place is left to the caller.

use std::io::{self, Seek, Write};
use std::path::Path;

use super::signature::{ALGORITHM, Note};
use super::write::{PackageFiles, write_changed};
use super::{CHECKSUMS, Files, Package, SIGNATURE, SIGNATURE_NOTE, SigningKey, checksums};
use crate::error::LoadError;

/// A package with the files that sign it.
#[derive(Debug)]
pub struct Signed {
    package: Package,
    files: PackageFiles,
}

impl Signed {
    /// Signs the package at `path` after its container, checksums and manifest were found right. A package without
    /// checksums gets them.
    pub fn new(path: &Path, key: &SigningKey, key_id: &str, created: &str) -> Result<Self, LoadError> {
        let mut package = Package::open(path)?;
        if package.is_bare() {
            let reason = "it is a bare model file: make a package of it first (`portend package create`)";
            return Err(LoadError::Untrusted { path: path.to_owned(), reason: reason.to_owned() });
        }
        let mut files = PackageFiles::new();
        let checksums = match &package.checksums {
            Some(checksums) => checksums.text.clone(),
            None => {
                let list = package.list_checksums()?.into_bytes();
                files.insert(CHECKSUMS.to_owned(), list.clone());
                list
            }
        };
        let (key_id, created) = (key_id.to_owned(), created.to_owned());
        let note = Note { key_id, algorithm: ALGORITHM.to_owned(), created };
        let note = serde_json::to_string(&note).map_err(|e| package.bad(&e.to_string()))?;
        files.insert(SIGNATURE_NOTE.to_owned(), format!("{note}\n").into_bytes());
        files.insert(SIGNATURE.to_owned(), key.sign(&checksums));
        Ok(Self { package, files })
    }

    /// Whether the package is a directory, into which [`Signed::files`] are put; else it is written anew.
    pub fn is_directory(&self) -> bool {
        matches!(self.package.files, Files::Folder(_))
    }

    /// The files that sign it: checksums before what signs them.
    pub fn files(&self) -> impl Iterator<Item = (&str, &[u8])> {
        let order = [CHECKSUMS, SIGNATURE_NOTE, SIGNATURE];
        order.into_iter().filter_map(|name| Some((name, self.files.get(name)?.as_slice())))
    }

    /// Writes the archive with its signature; every other entry keeps its bytes.
    pub fn write(&mut self, out: impl Write + Seek) -> io::Result<()> {
        match &mut self.package.files {
            Files::Archive(archive) => write_changed(archive, &self.files, out),
            Files::Folder(_) | Files::Bare => Err(io::Error::other("it is not an archive")),
        }
    }
}

impl Package {
    fn list_checksums(&mut self) -> Result<String, LoadError> {
        let mut hashes = Vec::new();
        for name in self.names() {
            let (_, hash) = self.measure(&name).map_err(|e| self.bad(&format!("'{name}': {e}")))?;
            hashes.push((name, hash));
        }
        Ok(checksums::list(hashes.iter().map(|(name, hash)| (name.as_str(), hash.clone()))))
    }
}
