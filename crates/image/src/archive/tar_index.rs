//! Where in a tar archive which file lies. Only headers are read, and of long names no more than a bounded part.

use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::FileExt;

use tar::{EntryType, Header};

use crate::section::Section;

const BLOCK: u64 = 512;
/// The most files of an archive, and the largest extended header.
const MOST_FILES: usize = 100_000;
const MOST_EXTENSION: u64 = 64 << 10;

/// The files of an archive by their names.
#[derive(Debug)]
pub(super) struct TarIndex {
    files: HashMap<String, Section>,
    links: HashMap<String, String>,
}

/// What an extended header says of the entry after it.
#[derive(Default)]
struct Extension {
    name: Option<String>,
    size: Option<u64>,
}

impl TarIndex {
    /// Reads the headers of an archive. The error is a reason.
    pub(super) fn read(file: File) -> Result<Self, String> {
        let end = file.metadata().map_err(|e| e.to_string())?.len();
        let whole = Section::new(file, end);
        let mut index = Self { files: HashMap::new(), links: HashMap::new() };
        let (mut at, mut extension) = (0, Extension::default());
        while let Some(header) = header(&whole, at)? {
            let kind = header.entry_type();
            let extends = kind.is_gnu_longname() || kind.is_pax_local_extensions();
            let size = extension.size.filter(|_| !extends).map_or_else(|| header.entry_size(), Ok);
            let size = size.map_err(|_| format!("the header at byte {at} has no size"))?;
            let start = at + BLOCK;
            let next = size.checked_next_multiple_of(BLOCK).and_then(|size| size.checked_add(start));
            at = next.filter(|_| size <= end - start.min(end)).ok_or("it is cut off")?;
            let content = whole.clone().skip(start).first(size);
            if extends {
                extension.read(kind, content)?;
                continue;
            }
            let name = std::mem::take(&mut extension).name.unwrap_or_else(|| lossy(&header.path_bytes()));
            index.add(&name, kind, &header, content)?;
        }
        Ok(index)
    }

    fn add(&mut self, name: &str, kind: EntryType, header: &Header, content: Section) -> Result<(), String> {
        let name = plain(name);
        if self.files.len() + self.links.len() >= MOST_FILES {
            return Err(format!("it holds more than {MOST_FILES} files"));
        }
        let twice = if kind.is_file() || kind.is_contiguous() {
            self.files.insert(name.clone(), content).is_some()
        } else if kind.is_symlink() || kind.is_hard_link() {
            let to = header.link_name_bytes().map(|to| lossy(&to)).unwrap_or_default();
            let folder = name.rsplit_once('/').map_or("", |(folder, _)| folder).to_owned();
            let to = if kind.is_symlink() { format!("{folder}/{to}") } else { to };
            self.links.insert(name.clone(), plain(&to)).is_some()
        } else {
            false
        };
        if twice {
            return Err(format!("it has '{}' twice", portend_core::shortened(&name)));
        }
        Ok(())
    }

    /// A file, or the one a link in the archive leads to.
    pub(super) fn get(&self, name: &str) -> Option<Section> {
        let name = plain(name);
        let file = self.files.get(&name).or_else(|| self.files.get(self.links.get(&name)?));
        file.cloned()
    }

    /// A file that is small.
    pub(super) fn small(&self, name: &str, most: u64) -> Result<Option<Vec<u8>>, String> {
        let Some(mut section) = self.get(name) else { return Ok(None) };
        if section.size > most {
            return Err(format!("{name} has {} bytes, more than {most}", section.size));
        }
        let mut bytes = Vec::new();
        section.read_to_end(&mut bytes).map_err(|e| e.to_string())?;
        Ok(Some(bytes))
    }
}

/// The header at a place; None at the end of the archive.
fn header(whole: &Section, at: u64) -> Result<Option<Header>, String> {
    if at >= whole.size {
        return Ok(None); // without the blocks of zeros that should end it
    }
    let mut block = [0; BLOCK as usize];
    whole.file.read_exact_at(&mut block, at).map_err(|_| "it is cut off".to_owned())?;
    if block == [0; BLOCK as usize] {
        return Ok(None);
    }
    let header = Header::from_byte_slice(&block).clone();
    let sum: u32 = block[..148].iter().chain(&block[156..]).map(|&b| u32::from(b)).sum();
    match header.cksum() {
        Ok(found) if found == sum + 8 * 32 => Ok(Some(header)),
        _ => Err(format!("not a tar archive: the header at byte {at} has a wrong checksum")),
    }
}

impl Extension {
    fn read(&mut self, kind: EntryType, mut content: Section) -> Result<(), String> {
        if content.size > MOST_EXTENSION {
            return Err(format!("an extended header has {} bytes", content.size));
        }
        let mut bytes = Vec::new();
        content.read_to_end(&mut bytes).map_err(|e| e.to_string())?;
        if kind.is_gnu_longname() {
            self.name = Some(lossy(bytes.split(|&b| b == 0).next().unwrap_or_default()));
            return Ok(());
        }
        for record in tar::PaxExtensions::new(&bytes) {
            let record = record.map_err(|e| e.to_string())?;
            match (record.key(), record.value()) {
                (Ok("path"), Ok(name)) => self.name = Some(name.to_owned()),
                (Ok("size"), Ok(size)) => self.size = Some(size.parse().map_err(|_| "a size is no number")?),
                _ => {}
            }
        }
        Ok(())
    }
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A name without `.` and with `..` taken back, as far as that goes.
fn plain(name: &str) -> String {
    let mut parts = Vec::new();
    for part in name.split('/') {
        match part {
            "" | "." => {}
            ".." => _ = parts.pop(),
            part => parts.push(part),
        }
    }
    parts.join("/")
}
