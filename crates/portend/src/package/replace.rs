//! Puts a file in its place whole or not at all: written under another name in the same folder, made durable, checked,
//! renamed. Whoever is killed on the way leaves what was there before.

use std::fs::{File, Permissions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use crate::CommandError;

/// Writes `path` by `write`, lets `check` look at what was written, and only then puts it there. A file that is there
/// is replaced if `replace` says so, and is an error otherwise, even if it came meanwhile.
pub(super) fn put(
    path: &Path,
    replace: bool,
    write: impl FnOnce(&mut BufWriter<&File>) -> io::Result<()>,
    check: impl FnOnce(&Path) -> Result<(), CommandError>,
) -> Result<(), CommandError> {
    let failed = |error: io::Error| {
        let reason = error.to_string();
        let reason = reason.split(" at path ").next().unwrap_or(&reason); // of the temporary file
        CommandError::Package(format!("cannot write {}: {reason}", path.display()))
    };
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let temporary = start(path, folder).map_err(failed)?;
    let mut out = BufWriter::new(temporary.as_file());
    write(&mut out).and_then(|()| out.flush()).map_err(failed)?;
    drop(out);
    temporary.as_file().sync_all().map_err(failed)?;
    check(temporary.path())?;
    let put = if replace { temporary.persist(path) } else { temporary.persist_noclobber(path) };
    put.map_err(|error| match error.error.kind() {
        io::ErrorKind::AlreadyExists => exists(path),
        _ => failed(error.error),
    })?;
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed)
}

/// Where `path` is to be written: links are followed, so that a link stays one.
pub(super) fn place(path: &Path) -> Result<PathBuf, CommandError> {
    let mut place = path.to_owned();
    while place.is_symlink() {
        place = match place.canonicalize() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => beyond(&place),
            found => found,
        }
        .map_err(|e| CommandError::Package(format!("{}: {e}", path.display())))?;
    }
    Ok(place)
}

/// Where a link points whose end is not there yet. It is no loop, which is another error.
fn beyond(link: &Path) -> io::Result<PathBuf> {
    let to = std::fs::read_link(link)?;
    Ok(link.parent().map_or_else(|| to.clone(), |folder| folder.join(&to)))
}

/// A new file beside `path`: hidden, so that no server takes it for a package, and with the mode of what it replaces.
fn start(path: &Path, folder: &Path) -> io::Result<NamedTempFile> {
    let mode = std::fs::metadata(path).map_or(0o666, |there| there.permissions().mode() & 0o777);
    let mut builder = tempfile::Builder::new();
    builder.prefix(".portend-").suffix(".tmp").permissions(Permissions::from_mode(mode)).tempfile_in(folder)
}

/// Says that a file may not be replaced.
pub(super) fn exists(path: &Path) -> CommandError {
    CommandError::Package(format!("{} is there already: --force replaces it", path.display()))
}
