//! Changes on the disk that a killed process may not leave half-done: a package is staged where no look finds it, and
//! takes the place of another in one step. docs/decisions/0009-replace-in-one-step.md has the reasons.

use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::scan::list;

/// Directories that hold what is being uploaded, and what is being removed.
const STAGED: &str = ".portend-upload-";
const REMOVED: &str = ".portend-removed-";
/// The note of a replacement that is under way.
pub(super) const NOTE: &str = ".portend-replacing";

/// A directory that no look finds and that vanishes unless it is kept. It is locked while it is in use, so that another
/// server that starts on the same repository leaves it alone.
#[derive(Debug)]
pub(super) struct Stage {
    folder: TempDir,
    _lock: Option<File>,
}

impl Stage {
    /// Makes one in a directory.
    pub(super) fn new(parent: &Path) -> io::Result<Self> {
        let mut builder = tempfile::Builder::new();
        // as any directory is made, not for this user alone: it may become the deployment's
        let folder = builder.prefix(STAGED).permissions(Permissions::from_mode(0o777)).tempdir_in(parent)?;
        let lock = File::open(folder.path()).ok().filter(|file| file.try_lock().is_ok());
        Ok(Self { folder, _lock: lock })
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Makes the whole directory the one called `place`, which is not there yet or empty.
    pub(super) fn become_directory(self, place: &Path) -> io::Result<()> {
        fs::rename(self.folder.path(), place)?;
        _ = self.folder.keep();
        place.parent().map_or(Ok(()), sync)
    }
}

/// Makes what was written to a directory last beyond a power cut.
pub(super) fn sync(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// One package that takes the place of others in a directory. While its note lies there and the new one does too, the
/// old ones do not count.
#[derive(Debug, PartialEq)]
pub(super) struct Replacement {
    /// The name of the new one.
    pub(super) new: String,
    /// What it replaces.
    pub(super) old: Vec<String>,
}

impl Replacement {
    /// The one under way in a directory.
    pub(super) fn read(folder: &Path) -> Option<Self> {
        fs::read(folder.join(NOTE)).ok().map(|text| Self::parse(&text))
    }

    /// The one that a note tells of.
    pub(super) fn parse(text: &[u8]) -> Self {
        // a note that was not written to its end was followed by nothing
        let note: Value = serde_json::from_slice(text).unwrap_or_default();
        let old = note["old"].as_array().into_iter().flatten();
        let old = old.filter_map(|name| Some(name.as_str()?.to_owned())).collect();
        Self { new: note["new"].as_str().unwrap_or_default().to_owned(), old }
    }

    /// What its note says.
    pub(super) fn text(&self) -> String {
        json!({ "new": self.new, "old": self.old }).to_string()
    }

    /// Moves the new package in from `staged` and removes the old ones. Whenever this is cut off, the directory holds
    /// one package that counts.
    pub(super) fn carry_out(&self, folder: &Path, staged: &Path) -> io::Result<()> {
        let place = folder.join(&self.new);
        if self.old.is_empty() {
            fs::rename(staged, place)?;
            return sync(folder);
        }
        let begun = self.note(folder).and_then(|()| fs::rename(staged, place));
        if let Err(error) = begun {
            _ = fs::remove_file(folder.join(NOTE));
            return Err(error);
        }
        sync(folder)?;
        self.end(folder)
    }

    fn note(&self, folder: &Path) -> io::Result<()> {
        let mut file = File::create(folder.join(NOTE))?;
        io::Write::write_all(&mut file, self.text().as_bytes())?;
        file.sync_all()?;
        sync(folder)
    }

    /// Removes the old packages if the new one is there, and the note.
    pub(super) fn end(&self, folder: &Path) -> io::Result<()> {
        let names = list(folder)?; // so that nothing outside can be meant
        if names.contains(&self.new) {
            for name in self.old.iter().filter(|name| names.contains(name) && **name != self.new) {
                remove(&folder.join(name))?;
            }
            sync(folder)?;
        }
        fs::remove_file(folder.join(NOTE))
    }
}

/// Removes a file, or a directory with all that is in it; a link is removed and not followed.
pub(super) fn remove(path: &Path) -> io::Result<()> {
    let done = match fs::symlink_metadata(path)?.is_dir() {
        true => fs::remove_dir_all(path),
        false => fs::remove_file(path),
    };
    done.or_else(|error| if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) })
}

/// Takes a whole directory away in one step, then removes it.
pub(super) fn remove_directory(root: &Path, directory: &Path) -> io::Result<()> {
    let trash = tempfile::Builder::new().prefix(REMOVED).tempdir_in(root)?;
    fs::rename(directory, trash.path().join("removed"))?;
    sync(root)
}

/// Whether a name is one that this file gives.
pub(super) fn is_ours(name: &str) -> bool {
    name == NOTE || name.starts_with(STAGED) || name.starts_with(REMOVED)
}

/// Removes the stages of processes that are no more.
pub(super) fn remove_abandoned(folder: &Path, log: &impl Fn(&str)) {
    for path in abandoned(folder) {
        match fs::remove_dir_all(&path) {
            Ok(()) => log(&format!("removed {}, which a broken-off upload or delete left", path.display())),
            Err(error) => log(&format!("cannot remove {}: {error}", path.display())),
        }
    }
}

fn abandoned(folder: &Path) -> Vec<PathBuf> {
    let names = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.file_name());
    let ours = names.filter(|name| {
        name.to_str().is_some_and(|name| name.starts_with(STAGED) || name.starts_with(REMOVED))
    });
    let paths = ours.map(|name| folder.join(name));
    paths.filter(|path| path.is_dir() && !is_in_use(path)).collect()
}

/// Whether somebody holds the lock of a stage.
pub(super) fn is_in_use(path: &Path) -> bool {
    File::open(path).is_ok_and(|file| matches!(file.try_lock(), Err(fs::TryLockError::WouldBlock)))
}
