//! OCI layouts: directories with `oci-layout`, `index.json` and blobs under their digests. A blob is written beside its
//! place and renamed; one that was cut off is gone on with, after what is there was hashed again.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::digest::{Digest, Hasher, HashingWriter};
use crate::document::{Content, Descriptor, Document, Index, MOST_DOCUMENT};
use crate::error::ImageError;
use crate::platform::Platform;
use crate::referrers;
use crate::store::{Source, Target, verified};

pub(crate) const LAYOUT_FILE: &str = "oci-layout";
pub(crate) const LAYOUT: &str = r#"{"imageLayoutVersion":"1.0.0"}"#;
/// The bytes that are written at a time.
const BUFFER: usize = 64 << 10;
pub(crate) const INDEX_FILE: &str = "index.json";
/// The annotation of a tag, and the one of a whole name.
pub(crate) const TAG: &str = "org.opencontainers.image.ref.name";
pub(crate) const NAME: &str = "io.containerd.image.name";

/// An image in an OCI layout.
#[derive(Debug)]
pub struct LayoutSource {
    folder: PathBuf,
    tag: Option<String>,
}

impl LayoutSource {
    /// The image under a tag; without one the only image.
    pub fn open(folder: &Path, tag: Option<&str>) -> Result<Self, ImageError> {
        let opened = Self { folder: folder.to_owned(), tag: tag.map(str::to_owned) };
        match folder.join(LAYOUT_FILE).symlink_metadata() {
            Ok(_) => Ok(opened),
            Err(e) if e.kind() == ErrorKind::NotFound => Err(ImageError::Absent(format!(
                "{} is not an OCI layout: it has no {LAYOUT_FILE}",
                folder.display()
            ))),
            Err(e) => Err(ImageError::file(folder, e)),
        }
    }
}

impl Source for LayoutSource {
    fn label(&self) -> String {
        let tag = self.tag.iter().map(|tag| format!(":{tag}"));
        format!("oci:{}{}", self.folder.display(), tag.collect::<String>())
    }

    fn root(&self) -> Result<Content, ImageError> {
        let path = self.folder.join(INDEX_FILE);
        let Some(index) = read_index(&path)? else {
            return Err(ImageError::Absent(format!("{} is not there", path.display())));
        };
        let root = named(&index, self.tag.as_deref(), &self.label())?;
        self.manifest(&root)
    }

    fn read(&self, blob: &Descriptor, from: u64) -> Result<Box<dyn Read + Send + '_>, ImageError> {
        let path = blob_path(&self.folder, &blob.digest);
        let opened = regular(&path).and_then(|mut file| {
            file.seek(SeekFrom::Start(from))?;
            Ok(file)
        });
        match opened {
            Ok(file) => Ok(Box::new(file)),
            Err(e) if e.kind() == ErrorKind::NotFound => {
                Err(ImageError::Absent(format!("{} has no blob {}", self.label(), blob.digest)))
            }
            Err(e) => Err(ImageError::file(&path, e)),
        }
    }

    fn referrers(&self, subject: &Digest) -> Result<Vec<Descriptor>, ImageError> {
        let index = read_index(&self.folder.join(INDEX_FILE))?.unwrap_or_else(|| Index::new(Vec::new()));
        referrers::about(subject, &index, |entry| self.manifest(entry))
    }
}

/// The entry of an index that has a name; without one the only entry, or the only one for this machine's platform.
pub(crate) fn named(index: &Index, tag: Option<&str>, of: &str) -> Result<Descriptor, ImageError> {
    let named = |m: &&Descriptor| {
        let is = |key: &str| m.annotations.get(key).map(String::as_str) == tag;
        is(TAG) || is(NAME)
    };
    let found: Vec<&Descriptor> = match tag {
        Some(_) => index.manifests.iter().filter(named).collect(),
        None => index.manifests.iter().filter(|entry| !referrers::is_referrer(entry)).collect(),
    };
    let (tags, most) = (index.manifests.iter().filter_map(|m| m.annotations.get(TAG)), 20);
    let tags: Vec<_> = tags.take(most).map(|tag| portend_core::shortened(tag)).collect();
    match found[..] {
        [one] => Ok(one.clone()),
        [] => Err(ImageError::Absent(format!("{of} holds no such image; its tags: {}", tags.join(", ")))),
        _ => Platform::here().choose(&Index::new(found.into_iter().cloned().collect()), of).cloned().map_err(
            |_| ImageError::Name(format!("{of} holds several images, name one: {}", tags.join(", "))),
        ),
    }
}

fn blob_path(folder: &Path, digest: &Digest) -> PathBuf {
    folder.join("blobs/sha256").join(digest.hex())
}

/// Opens a file and nothing else: a pipe would never end.
pub(crate) fn regular(path: &Path) -> io::Result<File> {
    if !fs::metadata(path)?.is_file() {
        return Err(io::Error::new(ErrorKind::InvalidInput, "not a file"));
    }
    File::open(path)
}

fn read_index(path: &Path) -> Result<Option<Index>, ImageError> {
    let mut bytes = Vec::new();
    match regular(path).and_then(|file| file.take(MOST_DOCUMENT + 1).read_to_end(&mut bytes)) {
        Ok(_) => parse_index(&path.display().to_string(), bytes).map(Some),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
        Err(e) => Err(ImageError::file(path, e)),
    }
}

/// The `index.json` of a layout.
pub(crate) fn parse_index(what: &str, bytes: Vec<u8>) -> Result<Index, ImageError> {
    if bytes.len() as u64 > MOST_DOCUMENT {
        return Err(ImageError::bad(what, format!("it has more than {MOST_DOCUMENT} bytes")));
    }
    match Content::parse(what, "", bytes)?.document {
        Document::Index(index) => Ok(index),
        Document::Image(_) => Err(ImageError::bad(what, "it is a manifest and not an index")),
    }
}

/// An OCI layout that takes an image, made if it is not there.
#[derive(Debug)]
pub struct LayoutTarget {
    folder: PathBuf,
    tag: Option<String>,
}

impl LayoutTarget {
    /// A layout that gets an image under a tag.
    pub fn create(folder: &Path, tag: Option<&str>) -> Result<Self, ImageError> {
        let blobs = folder.join("blobs/sha256");
        let foreign = fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_some())
            && !folder.join(LAYOUT_FILE).exists();
        if foreign {
            let reason = "it holds something else than an OCI layout: name another directory";
            return Err(ImageError::bad(folder.display().to_string(), reason));
        }
        fs::create_dir_all(folder).map_err(|e| ImageError::file(folder, e))?;
        if !folder.join(LAYOUT_FILE).exists() {
            replace(&folder.join(LAYOUT_FILE), LAYOUT.as_bytes())?;
        }
        fs::create_dir_all(&blobs).map_err(|e| ImageError::file(&blobs, e))?;
        Ok(Self { folder: folder.to_owned(), tag: tag.map(str::to_owned) })
    }

    /// The file for a blob that is not there yet, locked. Whoever writes the same one is waited for; None: it is there then.
    fn locked(&self, blob: &Descriptor, path: &Path) -> Result<Option<File>, ImageError> {
        let failed = |e| ImageError::file(path, e);
        loop {
            if path.is_symlink() {
                fs::remove_file(path).map_err(failed)?; // a layout may come from anywhere: no write leaves it
            }
            let opened = OpenOptions::new().read(true).append(true).create(true).open(path);
            let file = opened.map_err(failed)?;
            file.lock().map_err(failed)?;
            if self.holds(blob)? {
                return Ok(None);
            }
            // the file that was opened may have got its name or been removed meanwhile
            let (own, named) = (file.metadata().map_err(failed)?, fs::symlink_metadata(path));
            if named.is_ok_and(|named| (named.dev(), named.ino()) == (own.dev(), own.ino())) {
                return Ok(Some(file));
            }
        }
    }

    /// What there is of a blob that was cut off, locked, with what was seen of it.
    fn partial(&self, blob: &Descriptor) -> Result<Option<(PathBuf, File, Hasher)>, ImageError> {
        let path = self.folder.join("blobs/sha256").join(format!(".{}.partial", blob.digest.hex()));
        let Some(mut file) = self.locked(blob, &path)? else {
            _ = fs::remove_file(&path);
            return Ok(None);
        };
        let mut seen = HashingWriter::new(io::sink());
        io::copy(&mut file, &mut seen).map_err(|e| ImageError::file(&path, e))?;
        let (_, mut seen) = seen.into_parts();
        if seen.bytes >= blob.size {
            file.set_len(0).map_err(|e| ImageError::file(&path, e))?;
            seen = Hasher::default();
        }
        Ok(Some((path, file, seen)))
    }
}

impl Target for LayoutTarget {
    fn label(&self) -> String {
        let tag = self.tag.iter().map(|tag| format!(":{tag}"));
        format!("oci:{}{}", self.folder.display(), tag.collect::<String>())
    }

    fn holds(&self, blob: &Descriptor) -> Result<bool, ImageError> {
        // what has the name was verified before it got it
        Ok(blob_path(&self.folder, &blob.digest).metadata().is_ok_and(|there| there.len() == blob.size))
    }

    fn put(&self, blob: &Descriptor, from: &dyn Source) -> Result<bool, ImageError> {
        let Some((path, file, seen)) = self.partial(blob)? else { return Ok(false) };
        let io = |e| ImageError::io(path.display().to_string(), e);
        let mut buffered = BufWriter::with_capacity(BUFFER, &file);
        let copied = verified(from, blob, seen.bytes, seen).and_then(|mut reader| {
            io::copy(&mut reader, &mut buffered).and_then(|_| buffered.flush()).map_err(io)
        });
        drop(buffered);
        if let Err(error) = copied {
            // wrong bytes are nothing to go on from; those that are missing may come next time
            if matches!(error, ImageError::Bad { .. }) {
                _ = fs::remove_file(&path);
            }
            return Err(error);
        }
        file.sync_all().map_err(io)?;
        fs::rename(&path, blob_path(&self.folder, &blob.digest)).map_err(io)?;
        Ok(true)
    }

    fn put_manifest(&self, manifest: &Content) -> Result<(), ImageError> {
        replace(&blob_path(&self.folder, &manifest.descriptor.digest), &manifest.bytes)
    }

    fn finish(&self, root: &Content) -> Result<(), ImageError> {
        self.put_manifest(root)?;
        let mut entry = root.descriptor.clone();
        entry.annotations.extend(self.tag.iter().map(|tag| (TAG.to_owned(), tag.clone())));
        self.list(entry)
    }

    fn attach(&self, _subject: &Digest, referrer: &Content) -> Result<(), ImageError> {
        self.put_manifest(referrer)?;
        self.list(referrers::entry(referrer))
    }

    /// Without a tag the image would be one of several manifests of which no reader could choose it.
    fn takes_referrers(&self) -> bool {
        self.tag.is_some()
    }
}

impl LayoutTarget {
    /// Writes a manifest into the index. A tag names one manifest; one without a tag is there once.
    fn list(&self, entry: Descriptor) -> Result<(), ImageError> {
        let path = self.folder.join(INDEX_FILE);
        // two that add images at a time would lose one of them
        let lock = File::open(self.folder.join(LAYOUT_FILE)).and_then(|file| file.lock().map(|()| file));
        let _lock = lock.map_err(|e| ImageError::file(&self.folder, e))?;
        let mut index = read_index(&path)?.unwrap_or_else(|| Index::new(Vec::new()));
        index.manifests.retain(|there| match entry.annotations.get(TAG) {
            Some(tag) => there.annotations.get(TAG) != Some(tag),
            None => there.annotations.contains_key(TAG) || there.digest != entry.digest,
        });
        index.manifests.push(entry);
        let bytes = serde_json::to_vec(&index);
        replace(&path, &bytes.map_err(|e| ImageError::bad(INDEX_FILE, e.to_string()))?)
    }
}

/// Puts a small file in its place, whole or not at all.
fn replace(path: &Path, bytes: &[u8]) -> Result<(), ImageError> {
    use std::os::unix::fs::PermissionsExt;
    let folder = path.parent().unwrap_or(Path::new("."));
    let mut builder = tempfile::Builder::new();
    let started =
        builder.permissions(fs::Permissions::from_mode(0o666)).prefix(".portend-").tempfile_in(folder);
    let written = started.and_then(|mut file| {
        file.write_all(bytes)?;
        file.as_file().sync_all()?;
        file.persist(path).map(|_| ()).map_err(|e| e.error)
    });
    written.map_err(|e| ImageError::file(path, e))
}
