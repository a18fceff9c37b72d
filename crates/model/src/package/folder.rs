//! A package as a plain directory.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::{MANIFEST, MOST_FILES, read_file};
use crate::error::LoadError;

/// Directories nested deeper than this are refused.
const MOST_DEPTH: usize = 16;

#[derive(Debug)]
pub(super) struct Folder {
    root: PathBuf,
    names: Vec<String>,
}

impl Folder {
    pub(super) fn open(root: &Path) -> Result<Self, LoadError> {
        if root.join("MLmodel").is_file() && !root.join(MANIFEST).is_file() {
            let reason =
                "MLflow model directories are not read yet; serve the model file inside it".to_owned();
            return Err(LoadError::NotAModel { path: root.to_owned(), reason });
        }
        if !root.join(MANIFEST).is_file() {
            let reason = format!("the directory has no {MANIFEST}");
            return Err(LoadError::NotAModel { path: root.to_owned(), reason });
        }
        let mut folder = Self { root: root.to_owned(), names: Vec::new() };
        folder.list("", 0)?;
        Ok(folder)
    }

    fn list(&mut self, inside: &str, depth: usize) -> Result<(), LoadError> {
        let path = self.root.join(inside);
        let io = |e| LoadError::io(&path, e);
        let root = self.root.clone();
        let bad = |reason: String| Err(LoadError::BadPackage { path: root.clone(), reason });
        for entry in fs::read_dir(&path).map_err(io)? {
            let entry = entry.map_err(io)?;
            let name = entry.file_name();
            let Some(name) = name.to_str() else {
                return bad(format!("the file name {} is not UTF-8", name.display()));
            };
            let name = if inside.is_empty() { name.to_owned() } else { format!("{inside}/{name}") };
            let kind = entry.file_type().map_err(io)?; // of the entry itself: links are not followed
            if kind.is_symlink() {
                return bad(format!("'{name}' is a link, which packages may not hold"));
            }
            if kind.is_dir() {
                if depth == MOST_DEPTH {
                    return bad(format!("'{name}' lies deeper than {MOST_DEPTH} directories"));
                }
                self.list(&name, depth + 1)?;
            } else if kind.is_file() {
                self.names.push(name);
            } else {
                return bad(format!("'{name}' is neither a file nor a directory")); // a pipe would never end
            }
            if self.names.len() > MOST_FILES {
                return bad(format!("it holds more than {MOST_FILES} files"));
            }
        }
        Ok(())
    }

    /// The files in it.
    pub(super) fn names(&self) -> Vec<String> {
        self.names.clone()
    }

    pub(super) fn open_file(&self, name: &str) -> io::Result<impl Read + use<>> {
        File::open(self.root.join(name))
    }

    /// The bytes of a file; None when the listing, which holds no links, does not have it.
    pub(super) fn read(&self, name: &str, limit: u64) -> io::Result<Option<Vec<u8>>> {
        if !self.names.iter().any(|n| n == name) {
            return Ok(None);
        }
        read_file(&self.root.join(name), limit).map(Some)
    }
}
