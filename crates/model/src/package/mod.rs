//! Packages on disk: a zip archive or a directory with `portend.json` in its root, or a bare model file.
//! All of it is hostile input: names stay inside, sizes are bounded, links are refused, checksums are verified.

mod archive;
mod checksums;
mod folder;
mod manifest;

pub(crate) use manifest::{Manifest, twice};

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use crate::error::LoadError;
use crate::runtime::Kind;

/// The manifest's file name: what makes a directory or archive a package.
const MANIFEST: &str = "portend.json";

/// The file name of checksums, which covers all others but itself and signatures.
const CHECKSUMS: &str = "checksums.txt";

/// How a zip archive begins.
const ZIP: &[u8] = b"PK\x03\x04";

/// Bounds on what is read. Whole packages: unpacked bytes and files.
const MOST_BYTES: u64 = 8 << 30;
const MOST_FILES: usize = 10_000;
/// A model file, and any other file that is read into memory.
const MOST_MODEL_BYTES: u64 = 4 << 30;
const MOST_TEXT_BYTES: u64 = 64 << 20;
/// Characters of an error text.
const MOST_REASON: usize = 600;

/// An opened package whose container and checksums were found right. Files are read when asked for.
#[derive(Debug)]
pub struct Package {
    path: PathBuf,
    manifest: Option<Manifest>,
    files: Files,
}

#[derive(Debug)]
enum Files {
    Archive(Box<archive::Archive>),
    Folder(folder::Folder),
    /// None: the path is a model file without a manifest.
    Bare,
}

impl Package {
    /// Opens a package or bare model file, checks its container and verifies its checksums.
    pub fn open(path: &Path) -> Result<Self, LoadError> {
        let on_disk = std::fs::metadata(path).map_err(|e| LoadError::io(path, e))?;
        if !on_disk.is_dir() && !on_disk.is_file() {
            // opening a pipe would wait for its writer, reading a device may never end
            let reason = "it is neither a file nor a directory".to_owned();
            return Err(LoadError::NotAModel { path: path.to_owned(), reason });
        }
        let files = if on_disk.is_dir() {
            Files::Folder(folder::Folder::open(path)?)
        } else if starts_with(path, ZIP)? || has_package_extension(path) {
            Files::Archive(Box::new(archive::Archive::open(path)?))
        } else {
            Files::Bare
        };
        let mut package = Self { path: path.to_owned(), manifest: None, files };
        if !matches!(package.files, Files::Bare) {
            package.verify_checksums()?;
            package.manifest = Some(package.read_manifest()?);
        }
        Ok(package)
    }

    /// Whether `path` looks like something that [`Package::open`] takes: a file that ends in `.mlpkg` or starts like a
    /// model file that is read, or a directory with a manifest.
    pub fn is_candidate(path: &Path) -> bool {
        if path.is_dir() {
            return path.join(MANIFEST).is_file();
        }
        // not a pipe or device: looking inside would wait for a writer
        path.is_file() && (has_package_extension(path) || is_model_file(path))
    }

    /// Where it lies.
    pub fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn manifest(&self) -> Option<&Manifest> {
        self.manifest.as_ref()
    }

    /// The model file: its library, its name for errors, and its bytes.
    pub(crate) fn read_model(&mut self) -> Result<(Kind, String, Vec<u8>), LoadError> {
        let Some(manifest) = &self.manifest else {
            let kind = detect(&self.path)?;
            let file = File::open(&self.path).map_err(|e| LoadError::io(&self.path, e))?;
            let bytes = read_bounded(file, MOST_MODEL_BYTES).map_err(|e| LoadError::io(&self.path, e))?;
            return Ok((kind, self.path.display().to_string(), bytes));
        };
        let name = manifest.model.path.clone();
        let kind = Kind::parse(&manifest.model.kind)
            .ok_or_else(|| self.bad(&format!("model kind '{}' is not read yet", manifest.model.kind)))?;
        let bytes = self.read(&name, MOST_MODEL_BYTES)?;
        let bytes = bytes.ok_or_else(|| self.bad(&format!("the model file '{name}' is missing")))?;
        Ok((kind, name, bytes))
    }

    /// A text file of the package; None when there is none.
    pub(crate) fn read_text(&mut self, name: &str) -> Result<Option<String>, LoadError> {
        let Some(bytes) = self.read(name, MOST_TEXT_BYTES)? else { return Ok(None) };
        String::from_utf8(bytes).map(Some).map_err(|_| self.bad(&format!("'{name}' is not UTF-8 text")))
    }

    /// SHA-256 in hexadecimal: of `checksums.txt`, which stands for the whole package; without one of the file. For a
    /// directory the list is made up. `model` is the model file's content, which is all of a bare one.
    pub(crate) fn digest(&mut self, model: &[u8]) -> Result<String, LoadError> {
        let io = |path: &Path, e| LoadError::io(path, e);
        if let Some(text) = self.read(CHECKSUMS, MOST_TEXT_BYTES)? {
            return checksums::hash(&*text).map_err(|e| io(&self.path, e));
        }
        let digest = match &self.files {
            Files::Bare => checksums::hash(model),
            Files::Archive(_) => File::open(&self.path).and_then(checksums::hash),
            Files::Folder(folder) => {
                let hash = |name: &str| folder.open_file(name).and_then(checksums::hash);
                checksums::list(&folder.names(), hash).and_then(|list| checksums::hash(list.as_bytes()))
            }
        };
        digest.map_err(|e| io(&self.path, e))
    }

    /// What a file with this content may be called so that it is found: the extension follows from what it is.
    pub fn plain_name(path: &Path) -> Result<&'static str, LoadError> {
        let head = head(path)?;
        if head.starts_with(ZIP) {
            return Ok("model.mlpkg");
        }
        // After its brace, JSON text has a quote or white space; UBJSON has the type of a length.
        let quoted =
            head.trim_ascii_start().get(1..).is_some_and(|rest| rest.trim_ascii_start().starts_with(b"\""));
        Ok(match detect(path)? {
            Kind::LightGbm => "model.txt",
            Kind::XgBoost if quoted => "model.json",
            Kind::XgBoost => "model.ubj",
        })
    }

    pub(crate) fn bad(&self, reason: &str) -> LoadError {
        LoadError::BadPackage { path: self.path.clone(), reason: shortened(reason) }
    }

    fn read_manifest(&mut self) -> Result<Manifest, LoadError> {
        let text = self.read_text(MANIFEST)?.ok_or_else(|| self.bad(FOREIGN))?;
        Manifest::parse(&text).map_err(|reason| self.bad(&format!("{MANIFEST}: {reason}")))
    }

    fn read(&mut self, name: &str, limit: u64) -> Result<Option<Vec<u8>>, LoadError> {
        if !is_inside(name) {
            return Err(self.bad(&format!("'{name}' is not a path inside the package")));
        }
        let read = match &mut self.files {
            Files::Archive(archive) => archive.read(name, limit),
            Files::Folder(folder) => folder.read(name, limit),
            Files::Bare => Ok(None),
        };
        read.map_err(|e| self.bad(&format!("'{name}': {e}")))
    }

    fn verify_checksums(&mut self) -> Result<(), LoadError> {
        let Some(text) = self.read_text(CHECKSUMS)? else { return Ok(()) };
        let names = match &self.files {
            Files::Archive(archive) => archive.names(),
            Files::Folder(folder) => folder.names(),
            Files::Bare => Vec::new(),
        };
        let hash = |name: &str| match &mut self.files {
            Files::Archive(archive) => archive.open_file(name).and_then(checksums::hash),
            Files::Folder(folder) => folder.open_file(name).and_then(checksums::hash),
            Files::Bare => Ok(String::new()),
        };
        checksums::verify(&text, &names, hash).map_err(|reason| self.bad(&reason))
    }
}

const FOREIGN: &str = "there is no portend.json in its root, so it is not a Portend package. A package made by \
    DataRobot holds proprietary content that nobody else can open: package the original model file instead \
    (docs/guide/packages.md says how)";

fn has_package_extension(path: &Path) -> bool {
    path.extension().is_some_and(|e| e == "mlpkg")
}

fn has_model_extension(path: &Path) -> bool {
    let known = ["json", "ubj", "txt", "lgb", "lgbm", "model", "xgb", "bst"];
    path.extension().and_then(|e| e.to_str()).is_some_and(|e| known.contains(&e))
}

/// Whether a file has the name and start of a model file. Any JSON object starts like an XGBoost model, so that of a
/// file called `.json` the key that all of them begin with is asked for.
fn is_model_file(path: &Path) -> bool {
    let names_learner = || -> Option<bool> {
        let mut start = Vec::new();
        File::open(path).ok()?.take(64 << 10).read_to_end(&mut start).ok()?;
        Some(memchr::memmem::find(&start, b"\"learner\"").is_some())
    };
    let json = path.extension().is_some_and(|e| e == "json");
    has_model_extension(path) && detect(path).is_ok() && (!json || names_learner() == Some(true))
}

fn starts_with(path: &Path, start: &[u8]) -> Result<bool, LoadError> {
    Ok(head(path)?.starts_with(start))
}

fn head(path: &Path) -> Result<Vec<u8>, LoadError> {
    let file = File::open(path).map_err(|e| LoadError::io(path, e))?;
    let mut head = Vec::new();
    file.take(256).read_to_end(&mut head).map_err(|e| LoadError::io(path, e))?;
    Ok(head)
}

fn detect(path: &Path) -> Result<Kind, LoadError> {
    Kind::detect(&head(path)?)
        .map_err(|reason| LoadError::NotAModel { path: path.to_owned(), reason: reason.to_owned() })
}

/// True for relative names with `/` between plain parts: no root, no `..`, no drive, no backslash.
fn is_inside(name: &str) -> bool {
    let plain = |part: &str| !part.is_empty() && part != "." && part != "..";
    !name.contains(['\\', '\0', ':']) && name.split('/').all(plain)
}

/// A reason as it may be shown: texts out of a hostile file can be megabytes long.
pub(crate) fn shortened(reason: &str) -> String {
    match reason.char_indices().nth(MOST_REASON) {
        Some((end, _)) => format!("{} …", &reason[..end]),
        None => reason.to_owned(),
    }
}

/// Reads to the end unless that is further than `limit`.
fn read_bounded(source: impl Read, limit: u64) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    source.take(limit + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit {
        return Err(std::io::Error::other(format!("larger than {} MiB", limit >> 20)));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stay_inside() {
        for (name, expected) in [
            ("portend.json", true),
            ("model/ä b.json", true),
            ("/etc/passwd", false),
            ("../x", false),
            ("a/../../x", false),
            ("a//b", false),
            ("./a", false),
            ("a\\..\\b", false),
            ("C:/x", false),
            ("a\0b", false),
            ("", false),
        ] {
            assert_eq!(is_inside(name), expected, "{name:?}");
        }
    }
}
