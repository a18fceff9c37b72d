//! Reads an image out of an archive. A compressed one is unpacked into a nameless file first, within a bound.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::docker;
use super::tar_index::TarIndex;
use crate::digest::Digest;
use crate::document::{Content, Descriptor, MOST_DOCUMENT};
use crate::error::ImageError;
use crate::layout::{INDEX_FILE, NAME, named, parse_index, regular};
use crate::reference::Reference;
use crate::scratch::Scratch;
use crate::section::Section;
use crate::store::Source;

/// What a compressed archive may become: this many bytes, or this many times its size if that is more.
const MOST_UNPACKED: u64 = 1 << 30;
const MOST_GROWTH: u64 = 100;

/// An image in an archive.
#[derive(Debug)]
pub struct ArchiveSource {
    path: PathBuf,
    tar: TarIndex,
    root: Root,
    name: Option<Reference>,
}

#[derive(Debug)]
enum Root {
    Layout(Descriptor),
    Docker(Box<Content>, HashMap<Digest, Section>),
}

impl ArchiveSource {
    /// The image of a name in an archive of whatever kind; without a name the only one.
    pub fn open(path: &Path, name: Option<&Reference>) -> Result<Self, ImageError> {
        let shown = path.display().to_string();
        let file = regular(path).map_err(|e| match e.kind() {
            ErrorKind::NotFound => ImageError::Absent(format!("{shown} is not there")),
            _ => ImageError::file(path, e),
        })?;
        let file = unpacked(file).map_err(|e| ImageError::io(&shown, e))?;
        let bad = |reason: String| ImageError::bad(&shown, reason);
        let tar = TarIndex::read(file).map_err(bad)?;
        let (root, found) = match tar.small(INDEX_FILE, MOST_DOCUMENT).map_err(bad)? {
            Some(bytes) => {
                let entry = entry(&shown, bytes, name)?;
                let found = entry.annotations.get(NAME).and_then(|name| Reference::parse(name).ok());
                (Root::Layout(entry), found)
            }
            None => {
                let (content, blobs, found) = docker::read(&tar, name).map_err(bad)?;
                (Root::Docker(Box::new(content), blobs.into_iter().collect()), found)
            }
        };
        Ok(Self { path: path.to_owned(), tar, root, name: name.cloned().or(found) })
    }

    fn section(&self, digest: &Digest) -> Option<Section> {
        match &self.root {
            Root::Layout(_) => self.tar.get(&format!("blobs/sha256/{}", digest.hex())),
            Root::Docker(_, blobs) => blobs.get(digest).cloned(),
        }
    }
}

/// The entry of a name: the whole name, Docker's short form of it, or a bare word that other programs write.
fn entry(shown: &str, bytes: Vec<u8>, name: Option<&Reference>) -> Result<Descriptor, ImageError> {
    let index = parse_index(&format!("{shown}: {INDEX_FILE}"), bytes)?;
    let Some(name) = name else { return named(&index, None, shown) };
    let short = docker::familiar(name);
    let texts = [&name.to_string(), &short, short.trim_end_matches(":latest")];
    let mut found = texts.iter().map(|text| named(&index, Some(text), shown));
    match found.find(|found| !matches!(found, Err(ImageError::Absent(_)))) {
        Some(found) => found,
        None => named(&index, Some(texts[0]), shown),
    }
}

impl Source for ArchiveSource {
    fn label(&self) -> String {
        self.path.display().to_string()
    }

    fn name(&self) -> Option<Reference> {
        self.name.clone()
    }

    fn root(&self) -> Result<Content, ImageError> {
        match &self.root {
            Root::Layout(root) => self.manifest(root),
            Root::Docker(content, _) => Ok((**content).clone()),
        }
    }

    fn read(&self, blob: &Descriptor, from: u64) -> Result<Box<dyn Read + Send + '_>, ImageError> {
        let section = self.section(&blob.digest);
        let section = section
            .ok_or_else(|| ImageError::Absent(format!("{} has no blob {}", self.label(), blob.digest)))?;
        Ok(Box::new(section.skip(from)))
    }
}

/// The file itself, or what it becomes without its compression.
fn unpacked(file: File) -> io::Result<File> {
    let size = file.metadata()?.len();
    let mut head = [0; 4];
    let read = file.read_at(&mut head, 0)?;
    let packed: Box<dyn Read> = match &head[..read] {
        [0x1f, 0x8b, ..] => Box::new(flate2::read::MultiGzDecoder::new(file)),
        [0x28, 0xb5, 0x2f, 0xfd] => {
            let mut decoder = zstd::Decoder::new(file)?;
            decoder.window_log_max(27)?; // 128 MiB, what other programs take as well
            Box::new(decoder)
        }
        _ => return Ok(file),
    };
    let most = size.saturating_mul(MOST_GROWTH).max(MOST_UNPACKED);
    let mut plain = Scratch::new()?;
    if io::copy(&mut packed.take(most + 1), &mut plain)? > most {
        return Err(io::Error::other(format!("it unpacks to more than {most} bytes")));
    }
    Ok(plain.into_file())
}
