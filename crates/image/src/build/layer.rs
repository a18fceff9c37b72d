//! One layer: a tar archive whose bytes follow from names and contents alone. Owner, mode and time are fixed.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufWriter, Read, Write};
use std::path::PathBuf;

use portend_core::shortened;
use tar::{Builder, EntryType, Header};

use crate::digest::{Digest, HashingWriter};
use crate::document::{Descriptor, media};
use crate::error::ImageError;
use crate::layout::regular;
use crate::scratch::Scratch;
use crate::section::Section;

/// A file of a layer.
#[derive(Debug, Clone)]
pub struct LayerFile {
    /// Where it lies, without a slash at the front. One at the end makes it a directory.
    pub path: String,
    /// Whether it is a program.
    pub executable: bool,
    /// What is in it.
    pub content: FileContent,
}

/// What is in a file.
#[derive(Debug, Clone)]
pub enum FileContent {
    /// What is in a file of this machine.
    Path(PathBuf),
    /// These bytes.
    Bytes(Vec<u8>),
    /// A directory in which nothing of the layers below is seen.
    Opaque,
}

/// How a layer is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// What every program reads.
    Gzip,
    /// Smaller and faster; old programs do not read it.
    Zstd,
    /// Not at all.
    None,
}

/// A layer in a file that needs no name.
#[derive(Debug)]
pub struct Layer {
    /// What it is, with the digest of its bytes.
    pub descriptor: Descriptor,
    /// The digest of the archive without its compression.
    pub diff_id: Digest,
    file: File,
}

impl Layer {
    /// A layer that was made before. That its bytes have the digest is checked when they are used.
    pub fn new(
        file: File,
        media_type: &str,
        digest: Digest,
        size: u64,
        diff_id: Digest,
    ) -> Result<Self, ImageError> {
        if !matches!(media_type, media::LAYER | media::LAYER_GZIP | media::LAYER_ZSTD) {
            return Err(ImageError::bad("a layer", format!("{} is none", shortened(media_type))));
        }
        Ok(Self { descriptor: Descriptor::new(media_type, digest, size), diff_id, file })
    }

    /// Its bytes.
    pub fn reader(&self) -> Result<impl Read + use<>, ImageError> {
        self.section()
    }

    pub(super) fn section(&self) -> Result<Section, ImageError> {
        let file = self.file.try_clone();
        file.map(|file| Section::new(file, self.descriptor.size)).map_err(|e| ImageError::io("a layer", e))
    }

    /// Makes a layer of files.
    pub fn of(files: &[LayerFile], compression: Compression) -> Result<Self, ImageError> {
        let failed = |e| ImageError::io("cannot write a layer", e);
        let file = Scratch::new().map_err(failed)?;
        let packed = HashingWriter::new(BufWriter::with_capacity(256 << 10, file));
        match compression {
            Compression::Gzip => {
                let encoder = flate2::GzBuilder::new().mtime(0).operating_system(255);
                let encoder = encoder.write(packed, flate2::Compression::new(6));
                let (encoder, diff_id) = archive(files, encoder)?;
                Self::finish(media::LAYER_GZIP, encoder.finish().map_err(failed)?, diff_id)
            }
            Compression::Zstd => {
                let (encoder, diff_id) = archive(files, zstd::Encoder::new(packed, 3).map_err(failed)?)?;
                Self::finish(media::LAYER_ZSTD, encoder.finish().map_err(failed)?, diff_id)
            }
            Compression::None => {
                let (packed, diff_id) = archive(files, packed)?;
                Self::finish(media::LAYER, packed, diff_id)
            }
        }
    }

    fn finish(
        media_type: &str,
        packed: HashingWriter<BufWriter<Scratch>>,
        diff_id: Digest,
    ) -> Result<Self, ImageError> {
        let (out, hasher) = packed.into_parts();
        let file = out.into_inner().map_err(|e| ImageError::io("cannot write a layer", e.into_error()))?;
        let descriptor = Descriptor::new(media_type, hasher.digest(), hasher.bytes);
        Ok(Self { descriptor, diff_id, file: file.into_file() })
    }
}

/// Writes the archive, and gives the digest of its bytes before `out` compresses them.
fn archive<W: Write>(files: &[LayerFile], out: W) -> Result<(W, Digest), ImageError> {
    let mut tar = Builder::new(HashingWriter::new(out));
    for (path, file) in ordered(files)? {
        let io = |e: io::Error| ImageError::io(path.clone(), e);
        match file {
            None => append(&mut tar, &path, true, 0, &mut io::empty()).map_err(io)?,
            Some(LayerFile { content: FileContent::Opaque, .. }) => {
                append(&mut tar, &path, false, 0, &mut io::empty()).map_err(io)?;
            }
            Some(LayerFile { content: FileContent::Bytes(bytes), executable, .. }) => {
                append(&mut tar, &path, *executable, bytes.len() as u64, &mut &**bytes).map_err(io)?;
            }
            Some(LayerFile { content: FileContent::Path(from), executable, .. }) => {
                let read = |e| ImageError::file(from, e);
                let file = regular(from).map_err(read)?;
                let size = file.metadata().map_err(read)?.len();
                append(&mut tar, &path, *executable, size, &mut Exactly { file, left: size })
                    .map_err(read)?;
            }
        }
    }
    let (out, hasher) = tar.into_inner().map_err(|e| ImageError::io("cannot write a layer", e))?.into_parts();
    Ok((out, hasher.finish()))
}

fn append(
    tar: &mut Builder<impl Write>,
    path: &str,
    executable: bool,
    size: u64,
    content: &mut dyn Read,
) -> io::Result<()> {
    let mut header = Header::new_gnu();
    let directory = path.ends_with('/');
    header.set_entry_type(if directory { EntryType::Directory } else { EntryType::Regular });
    header.set_mode(if executable { 0o755 } else { 0o644 });
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(size);
    tar.append_data(&mut header, path, content)
}

/// The file by which a layer says that of a directory only its own files are seen.
const OPAQUE: &str = ".wh..wh..opq";

/// All files, and the directories above them, each once and in the order of their bytes.
fn ordered(files: &[LayerFile]) -> Result<BTreeMap<String, Option<&LayerFile>>, ImageError> {
    let mut ordered = BTreeMap::new();
    for file in files {
        let path = file.path.trim_end_matches('/');
        let bad =
            |part: &str| matches!(part, "" | "." | "..") || part.starts_with(".wh.") || part.contains('\0');
        if path.split('/').any(bad) {
            let reason = "an image can hold no such path: rename the file";
            return Err(ImageError::bad(shortened(&file.path).into_owned(), reason));
        }
        let above = path.match_indices('/').map(|(end, _)| &path[..=end]);
        ordered.extend(above.map(|above| (above.to_owned(), None)));
        let entry = (!file.path.ends_with('/')).then_some(file);
        if matches!(file.content, FileContent::Opaque) {
            ordered.insert(format!("{}{OPAQUE}", file.path), Some(file));
        }
        if ordered.insert(file.path.clone(), entry).flatten().is_some() {
            return Err(ImageError::bad(shortened(&file.path).into_owned(), "it is there twice"));
        }
    }
    Ok(ordered)
}

/// A file that has neither more nor fewer bytes than it had when it was looked at.
struct Exactly {
    file: File,
    left: u64,
}

impl Read for Exactly {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read(buffer)? as u64;
        if read > self.left || read == 0 && self.left > 0 && !buffer.is_empty() {
            return Err(io::Error::other("it changed while it was read"));
        }
        self.left -= read;
        Ok(usize::try_from(read).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str) -> LayerFile {
        LayerFile { path: path.to_owned(), executable: false, content: FileContent::Bytes(path.into()) }
    }

    #[test]
    fn directories_come_before_what_is_in_them_and_each_path_once() {
        let files = ["opt/ml/model/b", "opt/a", "opt/ml/empty/", "opt.x"].map(file);
        let found: Vec<_> = ordered(&files).unwrap().into_keys().collect();
        let expected =
            ["opt.x", "opt/", "opt/a", "opt/ml/", "opt/ml/empty/", "opt/ml/model/", "opt/ml/model/b"];
        assert_eq!(found, expected);
        let alone = LayerFile { content: FileContent::Opaque, ..file("opt/ml/") };
        let found: Vec<_> = ordered(&[alone, file("opt/ml/m")]).unwrap().into_keys().collect();
        assert_eq!(found, ["opt/", "opt/ml/", "opt/ml/.wh..wh..opq", "opt/ml/m"]);
        for wrong in ["", "/a", "a//b", "../a", "a/..", "a/.wh.b", ".wh..wh..opq", "a\0b"] {
            assert!(ordered(&[file(wrong)]).is_err(), "{wrong:?}");
        }
        assert!(ordered(&[file("a"), file("a")]).is_err());
    }

    #[test]
    fn the_order_of_the_input_changes_no_byte() {
        let mut files = ["a/b", "a/c", "d", "very/".repeat(30).as_str()].map(file);
        for compression in [Compression::Gzip, Compression::Zstd, Compression::None] {
            let one = Layer::of(&files, compression).unwrap();
            files.reverse();
            let other = Layer::of(&files, compression).unwrap();
            assert_eq!((&one.descriptor, &one.diff_id), (&other.descriptor, &other.diff_id));
            let plain = compression == Compression::None;
            assert_eq!(one.descriptor.digest == one.diff_id, plain);
        }
    }

    /// A new release of a compressor may change these. Then every image gets another digest, which users must be told.
    #[test]
    fn the_bytes_of_a_layer_are_those_of_the_last_release() {
        let mut state = 1_u32;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            b"the words of a text that can be compressed "[(state >> 16) as usize % 43]
        };
        let content = FileContent::Bytes((0..300_000).map(|_| next()).collect());
        let file = LayerFile { path: "opt/ml/model/m".to_owned(), executable: false, content };
        for (compression, expected) in [
            (Compression::Gzip, "7cfcddd20107491b44fbe8fc1668a56c100a3fabc9d0544855595ae37b9d0ca9"),
            (Compression::Zstd, "230bfea11bad79f2637a4ff24dc8e760ba1c8522801c0872c8abf49916e07fa6"),
            (Compression::None, "4d77b947da83fddd99f3c722a154aae5aed4e4d077b0b01e2d733da41c71f8ef"),
        ] {
            let layer = Layer::of(std::slice::from_ref(&file), compression).unwrap();
            assert_eq!(layer.descriptor.digest.hex(), expected, "{compression:?}");
        }
    }

    #[test]
    fn a_file_that_changes_while_it_is_read_is_no_layer() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        std::fs::write(&path, "abc").unwrap();
        for (left, fits) in [(3, true), (2, false), (4, false)] {
            let mut reader = Exactly { file: File::open(&path).unwrap(), left };
            assert_eq!(io::copy(&mut reader, &mut io::sink()).is_ok(), fits, "{left}");
        }
    }
}
