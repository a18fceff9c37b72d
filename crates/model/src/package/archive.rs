//! A package as a zip archive: its table of contents checked when it is opened, its files unpacked when read.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek};
use std::path::Path;

use zip::ZipArchive;

use super::{MOST_BYTES, MOST_FILES, is_inside, read_bounded, shortened};
use crate::error::LoadError;

/// A file that unpacks to more than this many times its packed size is a zip bomb, if it is large at all.
const MOST_RATIO: u64 = 200;
const RATIO_FLOOR: u64 = 16 << 20;

#[derive(Debug)]
pub(super) struct Archive {
    zip: ZipArchive<BufReader<File>>,
    names: Vec<String>,
}

impl Archive {
    pub(super) fn open(path: &Path) -> Result<Self, LoadError> {
        let bad =
            |reason: String| LoadError::BadPackage { path: path.to_owned(), reason: shortened(&reason) };
        let file = File::open(path).map_err(|e| LoadError::io(path, e))?;
        let packed = file.metadata().map_err(|e| LoadError::io(path, e))?.len();
        let zip = ZipArchive::new(BufReader::new(file))
            .map_err(|e| bad(format!("it is not a readable zip archive: {e}")))?;
        let mut archive = Self { zip, names: Vec::new() };
        archive.check(packed).map_err(bad)?;
        Ok(archive)
    }

    /// Checks the table of contents of an archive of `packed` bytes.
    fn check(&mut self, packed: u64) -> Result<(), String> {
        if self.zip.len() > MOST_FILES {
            return Err(format!("it holds more than {MOST_FILES} files"));
        }
        if self.zip.has_duplicate_names() {
            return Err("it holds two entries of the same name".to_owned());
        }
        let mut total = 0_u64;
        for i in 0..self.zip.len() {
            let entry = self.zip.by_index_raw(i).map_err(|e| format!("entry {i}: {e}"))?;
            let name = entry.name().map_err(|e| format!("entry {i}: {e}"))?.into_owned();
            if !is_inside(name.strip_suffix('/').unwrap_or(&name)) {
                return Err(format!("entry '{name}' is not a path inside the package"));
            }
            if entry.is_symlink() {
                return Err(format!("entry '{name}' is a link, which packages may not hold"));
            }
            if is_bomb(entry.size(), entry.compressed_size()) {
                return Err(format!("entry '{name}' unpacks to more than {MOST_RATIO} times its size"));
            }
            total = total.saturating_add(entry.size());
            if entry.is_file() {
                self.names.push(name);
            }
        }
        if total > MOST_BYTES {
            return Err(format!("it unpacks to more than {} GiB", MOST_BYTES >> 30));
        }
        // each entry may be sound and yet all of them unpack the same bytes
        if is_bomb(total, packed) {
            return Err(format!("it unpacks to more than {MOST_RATIO} times its size"));
        }
        Ok(())
    }

    /// The files in it.
    pub(super) fn names(&self) -> Vec<String> {
        self.names.clone()
    }

    /// The archive itself, for copies of entries as they are.
    pub(super) fn zip(&mut self) -> &mut ZipArchive<impl Read + Seek + use<>> {
        &mut self.zip
    }

    /// Unpacks a file, never more than its entry promises.
    pub(super) fn open_file(&mut self, name: &str) -> io::Result<io::Take<impl Read>> {
        let entry = self.zip.by_name(name).map_err(io::Error::other)?;
        let size = entry.size();
        Ok(entry.take(size.saturating_add(1)))
    }

    /// The bytes of a file; None when there is none.
    pub(super) fn read(&mut self, name: &str, limit: u64) -> io::Result<Option<Vec<u8>>> {
        if self.zip.index_for_name(name).is_none() {
            return Ok(None);
        }
        let file = self.open_file(name)?;
        let length = file.limit() - 1;
        read_bounded(file, length, limit).map(Some)
    }
}

fn is_bomb(size: u64, packed: u64) -> bool {
    size > RATIO_FLOOR && size / packed.max(1) > MOST_RATIO
}
