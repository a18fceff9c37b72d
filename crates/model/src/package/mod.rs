//! Packages on disk: a zip archive or a directory with `portend.json` in its root, or a bare model file.
//! All of it is hostile input: names stay inside, sizes are bounded, links are refused, checksums are verified.

mod archive;
mod baseline;
mod checksums;
mod compare;
mod create;
mod describe;
mod folder;
mod manifest;
mod sign;
mod signature;
mod unique_keys;
mod verify;
mod write;

pub use compare::{Change, Comparison, FeatureChange, NameChanges};
pub use create::{CreateError, Created, Finding, MOST_TRAINING_BYTES, Recipe, Source, create};
pub use describe::{Description, FeatureFacts, FileFacts, ModelFacts, PackageFacts, TargetFacts};
pub(crate) use manifest::{Manifest, twice};
pub use sign::Signed;
pub use signature::{KeyError, PublicKey, SignaturePolicy, SignatureState, SigningKey, Trust};
pub use verify::{Check, CheckState, Examination};
pub use write::{PackageFiles, write_archive};

use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use ring::digest::{SHA256, digest};

use crate::error::LoadError;
use crate::runtime::Kind;

/// The manifest's file name: what makes a directory or archive a package.
const MANIFEST: &str = "portend.json";
pub(crate) const REQUIREMENTS: &str = "requirements.txt";

/// The file name of checksums, which covers all others but itself and signatures.
const CHECKSUMS: &str = "checksums.txt";

/// The file names of the signature over the bytes of the checksums, and of what is said about it.
const SIGNATURE: &str = "signature.ed25519";
const SIGNATURE_NOTE: &str = "signature.json";
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
    /// The list of checksums as it was verified, and what it says: whatever is read later must still be that.
    checksums: Option<Checksums>,
}

#[derive(Debug)]
struct Checksums {
    text: Vec<u8>,
    verified: HashMap<String, String>,
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
        Self::open_trusted(path, &Trust::default()).map(|(package, _)| package)
    }

    /// The same for a package that must also be signed as `trust` demands. Where a wrong signature is only to be
    /// warned of, the warning comes with the package.
    pub fn open_trusted(path: &Path, trust: &Trust) -> Result<(Self, Option<String>), LoadError> {
        let mut package = Self::open_container(path)?;
        package.verify_checksums()?;
        let objection = package.objection(trust)?;
        if let (SignaturePolicy::Require, Some(reason)) = (trust.policy, objection.clone()) {
            return Err(LoadError::Untrusted { path: path.to_owned(), reason });
        }
        package.load_manifest()?;
        Ok((package, objection))
    }

    /// Opens a package or bare model file and checks its container, nothing in it.
    fn open_container(path: &Path) -> Result<Self, LoadError> {
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
        Ok(Self { path: path.to_owned(), manifest: None, files, checksums: None })
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

    /// Why the file at `path` is not read although it is called like a model; None for what is read or is no model.
    pub fn refused(path: &Path) -> Option<LoadError> {
        let named = has_model_extension(path) && !has_text_extension(path) || has_pickle_extension(path);
        if named && path.is_file() { detect(path).err() } else { None }
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
            let bytes = read_file(&self.path, MOST_MODEL_BYTES).map_err(|e| LoadError::io(&self.path, e))?;
            return Ok((kind, self.path.display().to_string(), bytes));
        };
        let name = manifest.model.path.clone();
        let kind = Kind::parse(&manifest.model.kind)
            .ok_or_else(|| self.bad(&format!("model kind '{}' is not read yet", manifest.model.kind)))?;
        let bytes = self.read(&name, MOST_MODEL_BYTES)?;
        let bytes = bytes.ok_or_else(|| self.bad(&format!("the model file '{name}' is missing")))?;
        Ok((kind, shortened(&name), bytes))
    }

    /// A text file of the package; None when there is none.
    pub(crate) fn read_text(&mut self, name: &str) -> Result<Option<String>, LoadError> {
        let Some(bytes) = self.read(name, MOST_TEXT_BYTES)? else { return Ok(None) };
        String::from_utf8(bytes).map(Some).map_err(|_| self.bad(&format!("'{name}' is not UTF-8 text")))
    }

    /// The list of Python packages that the package brings, if it brings one.
    pub fn requirements(&mut self) -> Result<Option<String>, LoadError> {
        if self.is_bare() { Ok(None) } else { self.read_text(REQUIREMENTS) }
    }

    /// SHA-256 in hexadecimal: of `checksums.txt`, which stands for the whole package; without one of the file. For a
    /// directory the list is made up. `model` is the model file's content, which is all of a bare one.
    pub(crate) fn digest(&mut self, model: &[u8]) -> Result<String, LoadError> {
        let hash = |source: &mut dyn Read| checksums::measure(source).map(|(_, hash)| hash);
        if let Some(verified) = &self.checksums {
            return hash(&mut &*verified.text).map_err(|e| LoadError::io(&self.path, e));
        }
        let digest = match &self.files {
            Files::Bare => hash(&mut &*model),
            Files::Archive(_) => File::open(&self.path).and_then(|mut file| hash(&mut file)),
            Files::Folder(folder) => {
                let names = folder.names();
                let hashes =
                    names.iter().map(|name| Ok((name.as_str(), hash(&mut folder.open_file(name)?)?)));
                let hashes: std::io::Result<Vec<_>> = hashes.collect();
                hashes.and_then(|hashes| hash(&mut checksums::list(hashes).as_bytes()))
            }
        };
        digest.map_err(|e| LoadError::io(&self.path, e))
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

    fn is_bare(&self) -> bool {
        matches!(self.files, Files::Bare)
    }

    fn load_manifest(&mut self) -> Result<(), LoadError> {
        if self.is_bare() {
            return Ok(());
        }
        let text = self.read_text(MANIFEST)?.ok_or_else(|| self.bad(FOREIGN))?;
        let manifest = Manifest::parse(&text).map_err(|reason| self.bad(&format!("{MANIFEST}: {reason}")))?;
        self.manifest = Some(manifest);
        Ok(())
    }

    /// What `trust` has against the package's signature.
    fn objection(&mut self, trust: &Trust) -> Result<Option<String>, LoadError> {
        if trust.policy == SignaturePolicy::Off {
            return Ok(None);
        }
        if self.is_bare() {
            return Ok(Some("it is a bare model file, which cannot be signed".to_owned()));
        }
        Ok(self.signature(&trust.keys)?.objection())
    }

    /// Whether one of `keys` signed the list of checksums. What is listed is verified elsewhere.
    fn signature(&mut self, keys: &[PublicKey]) -> Result<SignatureState, LoadError> {
        let Some(signature) = self.read(SIGNATURE, MOST_TEXT_BYTES)? else {
            return Ok(SignatureState::Absent);
        };
        let note = self.read_text(SIGNATURE_NOTE)?;
        let read_now = match &self.checksums {
            Some(_) => None,
            None => self.read(CHECKSUMS, MOST_TEXT_BYTES)?,
        };
        let Some(signed) = self.checksums.as_ref().map(|list| &list.text).or(read_now.as_ref()) else {
            return Ok(SignatureState::Wrong(format!("{SIGNATURE} signs {CHECKSUMS}, which is missing")));
        };
        Ok(signature::verify(signed, &signature, note.as_deref(), keys))
    }

    /// The files in it, sorted, without directories.
    fn names(&self) -> Vec<String> {
        let mut names = match &self.files {
            Files::Archive(archive) => archive.names(),
            Files::Folder(folder) => folder.names(),
            Files::Bare => Vec::new(),
        };
        names.sort_unstable();
        names
    }

    /// Length and SHA-256 of a file that is listed.
    fn measure(&mut self, name: &str) -> std::io::Result<(u64, String)> {
        match &mut self.files {
            Files::Archive(archive) => archive.open_file(name).and_then(checksums::measure),
            Files::Folder(folder) => folder.open_file(name).and_then(checksums::measure),
            Files::Bare => File::open(&self.path).and_then(checksums::measure),
        }
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
        let read = read.map_err(|e| self.bad(&format!("'{name}': {e}")))?;
        let listed = self.checksums.as_ref().and_then(|list| list.verified.get(name));
        if let (Some(bytes), Some(listed)) = (&read, listed)
            && checksums::hexadecimal(digest(&SHA256, bytes).as_ref()) != *listed
        {
            return Err(self.bad(&format!("'{name}' was changed while the package was read")));
        }
        Ok(read)
    }

    /// The number of files that `checksums.txt` lists; None when there is no such file.
    fn verify_checksums(&mut self) -> Result<Option<usize>, LoadError> {
        let Some(text) = self.read_text(CHECKSUMS)? else { return Ok(None) };
        let names = self.names();
        let hash = |name: &str| self.measure(name).map(|(_, hash)| hash);
        let verified = checksums::verify(&text, &names, hash).map_err(|reason| self.bad(&reason))?;
        let count = verified.len();
        self.checksums = Some(Checksums { text: text.into_bytes(), verified });
        Ok(Some(count))
    }
}

const FOREIGN: &str = "there is no portend.json in its root, so it is not a Portend package. A package made by \
    DataRobot holds proprietary content that nobody else can open: package the original model file instead \
    (docs/guide/packages.md says how)";

fn has_package_extension(path: &Path) -> bool {
    path.extension().is_some_and(|e| e == "mlpkg")
}

fn has_model_extension(path: &Path) -> bool {
    has_extension(path, &["json", "ubj", "txt", "lgb", "lgbm", "model", "xgb", "bst"])
}

/// Those of models that other files have as well.
fn has_text_extension(path: &Path) -> bool {
    has_extension(path, &["json", "txt"])
}

/// Those of what Python writes without the help of a library, and of old binary files.
fn has_pickle_extension(path: &Path) -> bool {
    has_extension(path, &["pkl", "pickle", "joblib", "bin"])
}

fn has_extension(path: &Path, known: &[&str]) -> bool {
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

/// The bytes of a file unless they are more than `limit`.
fn read_file(path: &Path, limit: u64) -> std::io::Result<Vec<u8>> {
    let file = File::open(path)?;
    let length = file.metadata()?.len();
    read_bounded(file, length, limit)
}

/// Reads about `length` bytes to the end unless that is further than `limit`. Room is made at once: a buffer that grows
/// leaves twice as much memory behind.
fn read_bounded(source: impl Read, length: u64, limit: u64) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(usize::try_from(length.min(limit)).unwrap_or(usize::MAX))?;
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
    #[test]
    fn a_file_that_changes_after_it_was_verified_is_refused() {
        let mut files = PackageFiles::new();
        files.insert("model.txt".to_owned(), b"tree".to_vec());
        let manifest = "{\"format\": \"portend.mlpkg\", \"format_version\": 1, \"task\": \"regression\", \
                        \"model\": {\"kind\": \"lightgbm\", \"path\": \"model.txt\"}, \"target\": {\"name\": \"y\"}}";
        files.insert(MANIFEST.to_owned(), manifest.as_bytes().to_vec());
        write::add_checksums(&mut files).unwrap();
        let folder = tempfile::tempdir().unwrap();
        for (name, bytes) in &files {
            std::fs::write(folder.path().join(name), bytes).unwrap();
        }
        let mut package = Package::open(folder.path()).unwrap();
        assert_eq!(package.read_model().unwrap().2, b"tree");
        std::fs::write(folder.path().join("model.txt"), "trap").unwrap();
        let error = package.read_model().unwrap_err().to_string();
        assert!(error.ends_with("'model.txt' was changed while the package was read"), "{error}");
    }
}
