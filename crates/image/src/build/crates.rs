//! The crates that a program was built from, as cargo-auditable writes them into a section of it, where scanners of
//! images look for them too.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::FileExt;

use serde::Deserialize;

use super::binary::number;

const SECTION: &[u8] = b".dep-v0";
const HEADER: usize = 64;
const MOST_SECTIONS: usize = 1000;
/// The most bytes of the names of sections, of the list in the program, and of the list unpacked.
const MOST_NAMES: usize = 1 << 20;
const MOST_LIST: usize = 1 << 20;
const MOST_UNPACKED: u64 = 8 << 20;

/// A crate.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct BuiltFrom {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Where it comes from: `crates.io`, `local`, or something else.
    pub source: String,
}

#[derive(Deserialize)]
struct List {
    packages: Vec<BuiltFrom>,
}

/// The list in a program. None: it holds none that can be read.
pub(super) fn read(file: &File) -> Option<Vec<BuiltFrom>> {
    let at = |from: u64, bytes: usize| {
        let mut found = vec![0; bytes];
        file.read_exact_at(&mut found, from).ok().map(|()| found)
    };
    let header = at(0, HEADER)?;
    let (sections, size) = (number::<8>(&header, 40), number::<2>(&header, 58) as usize);
    let (count, names) = (number::<2>(&header, 60) as usize, number::<2>(&header, 62) as usize);
    if size != HEADER || count > MOST_SECTIONS || names >= count {
        return None;
    }
    let table = at(sections, count * size)?;
    let place = |section: &[u8], most: usize| {
        let bytes = usize::try_from(number::<8>(section, 32)).ok().filter(|bytes| *bytes <= most)?;
        at(number::<8>(section, 24), bytes)
    };
    let titles = place(&table[names * size..], MOST_NAMES)?;
    let is_list = |section: &&[u8]| {
        let title = titles.get(number::<4>(section, 0) as usize..).unwrap_or_default();
        title.split(|byte| *byte == 0).next() == Some(SECTION)
    };
    let packed = place(table.chunks_exact(size).find(is_list)?, MOST_LIST)?;
    let mut text = Vec::new();
    flate2::read::ZlibDecoder::new(&*packed).take(MOST_UNPACKED).read_to_end(&mut text).ok()?;
    serde_json::from_slice(&text).ok().map(|list: List| list.packages)
}
