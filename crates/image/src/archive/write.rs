//! Writes an image as an archive, compressed as the name's ending says. The same image gives the same bytes.

use std::fs::File;
use std::io::{self, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use tar::{Builder, EntryType, Header};
use tempfile::NamedTempFile;

use super::DOCKER_FILE;
use super::docker::{Entry, familiar};
use crate::digest::{Digest, Hasher};
use crate::document::{Content, Descriptor, Document, Index, Manifest};
use crate::error::ImageError;
use crate::layout::{INDEX_FILE, LAYOUT, LAYOUT_FILE, NAME, TAG};
use crate::location::ArchiveKind;
use crate::platform::Platform;
use crate::reference::Reference;
use crate::store::{Source, Target, verified};

const ZSTD_LEVEL: i32 = 3;

/// An archive that takes one image.
pub struct ArchiveTarget {
    path: PathBuf,
    kind: ArchiveKind,
    name: Option<Reference>,
    state: Mutex<Option<Writing>>,
}

struct Writing {
    tar: Builder<Packer>,
    manifests: Vec<Content>,
    written: Vec<Digest>,
}

enum Packer {
    Plain(BufWriter<NamedTempFile>),
    Gzip(flate2::write::GzEncoder<BufWriter<NamedTempFile>>),
    Zstd(zstd::Encoder<'static, BufWriter<NamedTempFile>>),
}

impl ArchiveTarget {
    /// A new archive. It takes its place at the end, where `force` says so also that of another file.
    pub fn create(
        path: &Path,
        kind: ArchiveKind,
        name: Option<&Reference>,
        force: bool,
    ) -> Result<Self, ImageError> {
        if path.is_dir() || path.exists() && !force {
            let reason =
                if path.is_dir() { "it is a directory" } else { "it is there already: --force replaces it" };
            return Err(ImageError::bad(path.display().to_string(), reason));
        }
        let packer = Packer::start(path).map_err(|e| ImageError::file(path, e))?;
        let writing = Writing { tar: Builder::new(packer), manifests: Vec::new(), written: Vec::new() };
        Ok(Self { path: path.to_owned(), kind, name: name.cloned(), state: Mutex::new(Some(writing)) })
    }

    /// Does something with the archive as far as it is written. After a failure it is nothing that could be gone on with.
    fn with<T>(&self, work: impl FnOnce(&mut Writing) -> Result<T, ImageError>) -> Result<T, ImageError> {
        let mut state = self.state.lock().unwrap_or_else(|e| e.into_inner());
        let ended = || ImageError::bad(self.label(), "writing it failed before");
        let mut writing = state.take().ok_or_else(ended)?;
        let done = work(&mut writing)?;
        *state = Some(writing);
        Ok(done)
    }

    fn io(&self, error: io::Error) -> ImageError {
        ImageError::file(&self.path, error)
    }

    /// What `docker load` is told: one image, the one for this machine's platform where there is a choice.
    fn docker_entry(&self, root: &Content, manifests: &[Content]) -> Option<Entry> {
        let manifest: &Manifest = match &root.document {
            Document::Image(manifest) => manifest,
            Document::Index(index) => {
                let here = Platform::here().choose(index, "").ok();
                let chosen = here.or(index.manifests.first())?;
                let found = manifests.iter().find(|m| m.descriptor.digest == chosen.digest)?;
                let Document::Image(manifest) = &found.document else { return None };
                manifest
            }
        };
        Some(Entry::of(manifest, self.name.as_ref()))
    }

    fn index_entry(&self, root: &Content) -> Descriptor {
        let mut entry = root.descriptor.clone();
        if let Some(name) = &self.name {
            let tag = name.tag.clone().unwrap_or_else(|| "latest".to_owned());
            entry.annotations.insert(NAME.to_owned(), format!("{}:{tag}", name.name()));
            // podman calls an image after this one, and takes a bare tag for a name
            let plain = if self.kind == ArchiveKind::Oci { familiar(name) } else { tag };
            entry.annotations.insert(TAG.to_owned(), plain);
        }
        entry
    }
}

impl Target for ArchiveTarget {
    fn label(&self) -> String {
        self.path.display().to_string()
    }

    fn holds(&self, blob: &Descriptor) -> Result<bool, ImageError> {
        self.with(|writing| Ok(writing.written.contains(&blob.digest)))
    }

    fn put(&self, blob: &Descriptor, from: &dyn Source) -> Result<bool, ImageError> {
        let reader = verified(from, blob, 0, Hasher::default())?;
        self.with(|writing| writing.blob(&blob.digest, blob.size, reader).map_err(|e| self.io(e)))?;
        Ok(true)
    }

    fn put_manifest(&self, manifest: &Content) -> Result<(), ImageError> {
        let Descriptor { digest, size, .. } = &manifest.descriptor;
        self.with(|writing| {
            if !writing.written.contains(digest) {
                writing.blob(digest, *size, &*manifest.bytes).map_err(|e| self.io(e))?;
                writing.manifests.push(manifest.clone());
            }
            Ok(())
        })
    }

    fn finish(&self, root: &Content) -> Result<(), ImageError> {
        self.put_manifest(root)?;
        let json = |text: serde_json::Result<Vec<u8>>| {
            text.map_err(|e| ImageError::bad(self.label(), e.to_string()))
        };
        self.with(|writing| {
            let mut files = Vec::new();
            if self.kind != ArchiveKind::Oci
                && let Some(entry) = self.docker_entry(root, &writing.manifests)
            {
                files.push((DOCKER_FILE, json(serde_json::to_vec(&[entry]))?));
            }
            if self.kind != ArchiveKind::Docker {
                let index = Index::new(vec![self.index_entry(root)]);
                files.push((INDEX_FILE, json(serde_json::to_vec(&index))?));
                files.push((LAYOUT_FILE, LAYOUT.as_bytes().to_vec()));
            }
            for (name, bytes) in files {
                writing.file(name, bytes.len() as u64, &*bytes).map_err(|e| self.io(e))?;
            }
            Ok(())
        })?;
        let writing = self.state.lock().unwrap_or_else(|e| e.into_inner()).take();
        let Some(writing) = writing else { return Ok(()) };
        writing.tar.into_inner().and_then(|packer| packer.finish(&self.path)).map_err(|e| self.io(e))
    }

    fn lanes(&self) -> usize {
        1
    }

    fn takes_one_image(&self) -> bool {
        self.kind == ArchiveKind::Docker
    }
}

impl Writing {
    fn blob(&mut self, digest: &Digest, size: u64, reader: impl Read) -> io::Result<()> {
        self.file(&format!("blobs/sha256/{}", digest.hex()), size, reader)?;
        self.written.push(digest.clone());
        Ok(())
    }

    fn file(&mut self, path: &str, size: u64, reader: impl Read) -> io::Result<()> {
        let mut header = Header::new_gnu();
        header.set_entry_type(EntryType::Regular);
        header.set_mode(0o644);
        header.set_mtime(0);
        header.set_size(size);
        self.tar.append_data(&mut header, path, reader)
    }
}

const PREFIX: &str = ".portend-";
const SUFFIX: &str = ".tmp";

/// Removes what was left by processes that were killed: nobody holds it, and it is not about to be held.
fn clear(folder: &Path) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let is_ours = name.to_str().is_some_and(|name| name.starts_with(PREFIX) && name.ends_with(SUFFIX));
        let age = || entry.metadata().ok()?.modified().ok()?.elapsed().ok();
        if is_ours
            && age().is_some_and(|age| age > LEFT)
            && File::open(entry.path()).is_ok_and(|file| file.try_lock().is_ok())
        {
            _ = std::fs::remove_file(entry.path());
        }
    }
}

/// How old a file is at least that was left.
const LEFT: std::time::Duration = std::time::Duration::from_secs(60);

impl Packer {
    fn start(path: &Path) -> io::Result<Self> {
        use std::os::unix::fs::PermissionsExt;
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let mut builder = tempfile::Builder::new();
        builder.prefix(PREFIX).suffix(SUFFIX).permissions(std::fs::Permissions::from_mode(0o666));
        clear(folder);
        let file = builder.tempfile_in(folder)?;
        file.as_file().lock()?; // for as long as it is written
        let file = BufWriter::with_capacity(256 << 10, file);
        let name = path.to_string_lossy();
        if name.ends_with("gz") {
            let encoder = flate2::GzBuilder::new().mtime(0).operating_system(255);
            Ok(Self::Gzip(encoder.write(file, flate2::Compression::default())))
        } else if name.ends_with(".zst") || name.ends_with(".zstd") {
            zstd::Encoder::new(file, ZSTD_LEVEL).map(Self::Zstd)
        } else {
            Ok(Self::Plain(file))
        }
    }

    fn finish(self, path: &Path) -> io::Result<()> {
        let file = match self {
            Self::Plain(file) => file,
            Self::Gzip(encoder) => encoder.finish()?,
            Self::Zstd(encoder) => encoder.finish()?,
        };
        let file = file.into_inner().map_err(io::IntoInnerError::into_error)?;
        file.as_file().sync_all()?;
        file.persist(path)?;
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        File::open(folder)?.sync_all()
    }
}

impl Write for Packer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(out) => out.write(bytes),
            Self::Gzip(out) => out.write(bytes),
            Self::Zstd(out) => out.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(out) => out.flush(),
            Self::Gzip(out) => out.flush(),
            Self::Zstd(out) => out.flush(),
        }
    }
}
