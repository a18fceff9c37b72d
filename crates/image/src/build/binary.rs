//! For which processor a program is and whether it needs shared libraries, out of its ELF headers.

use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::crates::{self, BuiltFrom};
use crate::error::ImageError;
use crate::layout::regular;

/// A program that goes into an image.
#[derive(Debug, Clone)]
pub struct Binary {
    /// Where it lies.
    pub path: PathBuf,
    /// In the words of images: `amd64`, `arm64`.
    pub architecture: String,
    /// Whether it starts without anything else in the image.
    pub is_static: bool,
    /// What it was built from, where it says so.
    pub crates: Option<Vec<BuiltFrom>>,
}

const HEADER: usize = 64;
const SEGMENT: usize = 56;
/// The kind of segment that names the program that loads shared libraries.
const INTERPRETER: u32 = 3;
/// Programs have about ten.
const MOST_SEGMENTS: usize = 1000;

impl Binary {
    /// Looks at a file.
    pub fn open(path: &Path) -> Result<Self, ImageError> {
        let file = regular(path).map_err(|e| ImageError::file(path, e))?;
        let read = |at: u64, most: usize| {
            let mut bytes = vec![0; most];
            let mut filled = 0;
            while filled < most {
                match file.read_at(&mut bytes[filled..], at.saturating_add(filled as u64)) {
                    Ok(0) => break,
                    Ok(read) => filled += read,
                    Err(e) => return Err(ImageError::file(path, e)),
                }
            }
            bytes.truncate(filled);
            Ok(bytes)
        };
        let bad = |reason: &str| ImageError::bad(path.display().to_string(), reason);
        let header = read(0, HEADER)?;
        let (architecture, at, count) = outline(&header).map_err(bad)?;
        // a place that no file has is refused by the system
        let segments = read(at, count * SEGMENT).unwrap_or_default();
        if segments.len() < count * SEGMENT {
            return Err(bad("it is cut off"));
        }
        let mut kinds = segments.chunks_exact(SEGMENT).map(|segment| number::<4>(segment, 0));
        let is_static = !kinds.any(|kind| kind == u64::from(INTERPRETER));
        let crates = crates::read(&file);
        Ok(Self { path: path.to_owned(), architecture: architecture.to_owned(), is_static, crates })
    }
}

/// The processor, where the segments are described, and how many there are.
fn outline(header: &[u8]) -> Result<(&'static str, u64, usize), &'static str> {
    const NOT: &str = "it is not a program for Linux on a 64-bit processor";
    let [0x7f, b'E', b'L', b'F', 2, 1, ..] = header else { return Err(NOT) };
    if header.len() < HEADER || !matches!(number::<2>(header, 16), 2 | 3) {
        return Err(NOT);
    }
    let architecture = match number::<2>(header, 18) {
        62 => "amd64",
        183 => "arm64",
        _ => return Err("it is for another processor than amd64 or arm64"),
    };
    let (size, count) = (number::<2>(header, 54) as usize, number::<2>(header, 56) as usize);
    if count > 0 && size != SEGMENT || count > MOST_SEGMENTS {
        return Err("its program headers make no sense");
    }
    Ok((architecture, number::<8>(header, 32), count))
}

/// A number of so many bytes, the lowest first; 0 where there is none.
pub(super) fn number<const BYTES: usize>(bytes: &[u8], at: usize) -> u64 {
    let found = bytes.get(at..at + BYTES).unwrap_or_default();
    found.iter().rev().fold(0, |sum, &byte| sum << 8 | u64::from(byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn elf(machine: u8, kinds: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0; HEADER + kinds.len() * SEGMENT];
        bytes[..6].copy_from_slice(b"\x7fELF\x02\x01");
        (bytes[16], bytes[18], bytes[32], bytes[54], bytes[56]) = (3, machine, 64, 56, kinds.len() as u8);
        kinds.iter().enumerate().for_each(|(i, &kind)| bytes[HEADER + i * SEGMENT] = kind);
        bytes
    }

    #[test]
    fn a_program_says_for_what_it_is_and_what_it_needs() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("portend");
        let open = |bytes: &[u8]| {
            std::fs::write(&path, bytes).unwrap();
            let found = Binary::open(&path).map_err(|e| e.to_string());
            found.map(|binary| (binary.architecture, binary.is_static))
        };
        assert_eq!(open(&elf(62, &[1, 2])), Ok(("amd64".to_owned(), true)));
        assert_eq!(open(&elf(183, &[])), Ok(("arm64".to_owned(), true)));
        assert_eq!(open(&elf(62, &[6, 3, 1])), Ok(("amd64".to_owned(), false)));
        let mut large = elf(62, &[1]);
        (large[56], large[57]) = (0xff, 0xff);
        let mut far = elf(62, &[1]);
        far[32..40].copy_from_slice(&[0xff; 8]);
        for bytes in [
            &b""[..],
            b"#!/bin/sh\n",
            &elf(62, &[])[..63],
            &elf(40, &[]),
            &large,
            &far,
            &elf(62, &[1])[..100],
        ] {
            assert!(open(bytes).unwrap_err().contains("it"), "{bytes:?}");
        }
    }
}
