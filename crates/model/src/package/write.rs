//! Writes packages: the same files always become the same bytes. Entries are sorted by name, each with the same time
//! and mode, and compressed at one level (docs/decisions/0008-packages-made-and-signed.md).

use std::collections::BTreeMap;
use std::io::{self, Seek, Write};

use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, DateTime, System, ZipArchive, ZipWriter};

use super::archive::Archive;
use super::{CHECKSUMS, checksums};

/// The files of a package by their path.
pub type PackageFiles = BTreeMap<String, Vec<u8>>;

/// Adds the list of checksums of all other files.
pub(super) fn add_checksums(files: &mut PackageFiles) -> io::Result<()> {
    let measured = files.iter().map(|(name, bytes)| Ok((name.as_str(), checksums::measure(&bytes[..])?.1)));
    let list = checksums::list(measured.collect::<io::Result<Vec<_>>>()?);
    files.insert(CHECKSUMS.to_owned(), list.into_bytes());
    Ok(())
}

/// Writes the files as an archive.
pub fn write_archive(files: &PackageFiles, out: impl Write + Seek) -> io::Result<()> {
    let mut zip = ZipWriter::new(out);
    add(&mut zip, files)?;
    zip.finish()?.flush()
}

/// Writes an archive with some files replaced or added. The others are copied as they are, compressed bytes and all.
pub(super) fn write_changed(
    archive: &mut Archive,
    changed: &PackageFiles,
    out: impl Write + Seek,
) -> io::Result<()> {
    let mut zip = ZipWriter::new(out);
    copy(archive.zip(), changed, &mut zip)?;
    add(&mut zip, changed)?;
    zip.finish()?.flush()
}

fn copy<R: io::Read + Seek, W: Write + Seek>(
    from: &mut ZipArchive<R>,
    changed: &PackageFiles,
    to: &mut ZipWriter<W>,
) -> io::Result<()> {
    for i in 0..from.len() {
        let entry = from.by_index_raw(i)?;
        if !changed.contains_key(&*entry.name()?) {
            to.raw_copy_file(entry)?;
        }
    }
    Ok(())
}

fn add<W: Write + Seek>(zip: &mut ZipWriter<W>, files: &PackageFiles) -> io::Result<()> {
    let options = SimpleFileOptions::default()
        .compression_method(CompressionMethod::Deflated)
        .compression_level(Some(6))
        .last_modified_time(DateTime::default()) // 1980-01-01, the first day that zip knows
        .system(System::Unix)
        .unix_permissions(0o644);
    for (name, bytes) in files {
        let large = bytes.len() as u64 >= u64::from(u32::MAX);
        zip.start_file(name.as_str(), options.large_file(large))?;
        zip.write_all(bytes)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    #[test]
    fn an_archive_is_its_files_and_nothing_else() {
        let files = |order: &[&str]| -> PackageFiles {
            order.iter().map(|name| ((*name).to_owned(), name.repeat(100).into_bytes())).collect()
        };
        let write = |files: &PackageFiles| {
            let mut out = Cursor::new(Vec::new());
            write_archive(files, &mut out).unwrap();
            out.into_inner()
        };
        let one = write(&files(&["b", "a/ä", "portend.json"]));
        assert_eq!(one, write(&files(&["portend.json", "b", "a/ä"])));
        let mut zip = ZipArchive::new(Cursor::new(one)).unwrap();
        for (i, name) in ["a/ä", "b", "portend.json"].iter().enumerate() {
            let entry = zip.by_index(i).unwrap();
            let time = entry.last_modified().map(|t| t.to_string());
            assert_eq!((&*entry.name().unwrap(), entry.unix_mode()), (*name, Some(0o100_644)));
            assert_eq!(time.as_deref(), Some("1980-01-01 00:00:00"));
        }
    }
}
