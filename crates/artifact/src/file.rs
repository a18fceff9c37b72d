//! Folders of this machine. Keys are absolute paths; a file is written beside its place and renamed into it.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use portend_core::{
    Access, Artifact, ArtifactError, ArtifactStore, Artifacts, Content, Scheme, shortened_to,
};
use tempfile::{NamedTempFile, TempPath};

use crate::verified;

/// A file that is to be written somewhere.
#[derive(Debug)]
pub struct FileContent {
    file: File,
    size: u64,
}

impl FileContent {
    /// The file at `path` as it is now.
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let metadata = file.metadata()?;
        match metadata.is_file() {
            true => Ok(Self { file, size: metadata.len() }),
            false => Err(io::Error::new(io::ErrorKind::InvalidInput, "not a file")),
        }
    }
}

impl Content for FileContent {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.file.read_exact_at(buffer, offset)
    }
}

/// The folders of this machine.
#[derive(Debug, Clone, Copy)]
pub struct FileStore;

fn failed(error: &io::Error) -> ArtifactError {
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => ArtifactError::NotFound,
        io::ErrorKind::AlreadyExists => ArtifactError::Exists,
        io::ErrorKind::PermissionDenied => ArtifactError::Denied(error.to_string()),
        _ => ArtifactError::Failed(error.to_string()),
    }
}

fn artifact(path: &Path, metadata: &fs::Metadata) -> Result<Artifact, ArtifactError> {
    if !metadata.is_file() {
        return Err(ArtifactError::NotFound);
    }
    let key = path.to_string_lossy().into_owned();
    let version =
        format!("{}-{}.{:09}-{}", metadata.ino(), metadata.mtime(), metadata.mtime_nsec(), metadata.len());
    Ok(Artifact { key, size: metadata.len(), modified: metadata.modified().ok(), version, sha256: None })
}

impl ArtifactStore for FileStore {
    fn scheme(&self) -> Scheme {
        Scheme::File
    }

    fn head(&self, key: &str) -> Result<Artifact, ArtifactError> {
        artifact(Path::new(key), &fs::metadata(key).map_err(|e| failed(&e))?)
    }

    fn read(&self, key: &str, from: u64) -> Result<(Artifact, Box<dyn Read + Send>), ArtifactError> {
        let mut file = File::open(key).map_err(|e| failed(&e))?;
        let found = artifact(Path::new(key), &file.metadata().map_err(|e| failed(&e))?)?;
        file.seek(SeekFrom::Start(from)).map_err(|e| failed(&e))?;
        Ok((found, Box::new(file)))
    }

    fn fetch(
        &self,
        key: &str,
        version: Option<&str>,
        most: u64,
        to: &mut dyn Write,
    ) -> Result<Artifact, ArtifactError> {
        let (found, mut file) = self.read(key, 0)?;
        if version.is_some_and(|version| version != found.version) {
            return Err(ArtifactError::Changed);
        }
        verified::copy(&found, &mut file, most, to)?;
        Ok(found)
    }

    fn write(&self, key: &str, content: &dyn Content, replace: bool) -> Result<Artifact, ArtifactError> {
        let path = Path::new(key);
        let put = || -> io::Result<()> {
            let folder = path.parent().unwrap_or(Path::new("/"));
            fs::create_dir_all(folder)?;
            let mut staged = start(folder)?;
            let mut piece = vec![0; 1 << 20];
            let mut offset = 0;
            while offset < content.size() {
                let left = usize::try_from(content.size() - offset).unwrap_or(usize::MAX);
                let count = left.min(piece.len());
                content.read_at(offset, &mut piece[..count])?;
                staged.write_all(&piece[..count])?;
                offset += count as u64;
            }
            place(staged, path, replace)
        };
        put().map_err(|e| failed(&e))?;
        self.head(key)
    }

    fn list(&self, prefix: &str) -> Result<Artifacts<'_>, ArtifactError> {
        let root = PathBuf::from(if prefix.is_empty() { "/" } else { prefix });
        let mut folders = vec![root];
        let mut files: Vec<PathBuf> = Vec::new();
        Ok(Box::new(std::iter::from_fn(move || {
            loop {
                if let Some(path) = files.pop() {
                    let found = fs::metadata(&path).map_err(|e| failed(&e));
                    match found.and_then(|metadata| artifact(&path, &metadata)) {
                        Err(ArtifactError::NotFound) => continue,
                        found => return Some(found),
                    }
                }
                let folder = folders.pop()?;
                match fs::read_dir(&folder) {
                    Err(error) => match failed(&error) {
                        ArtifactError::NotFound => continue,
                        error => return Some(Err(error)),
                    },
                    Ok(entries) => {
                        for entry in entries.flatten() {
                            // a link is not followed into another folder
                            match entry.file_type() {
                                Ok(kind) if kind.is_dir() => folders.push(entry.path()),
                                _ => files.push(entry.path()),
                            }
                        }
                        files.sort_by(|a, b| b.cmp(a));
                    }
                }
            }
        })))
    }

    fn delete(&self, keys: &[String]) -> Result<(), ArtifactError> {
        for key in keys {
            match fs::remove_file(key) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(&error)),
                _ => {}
            }
        }
        Ok(())
    }

    fn sign(&self, _key: &str, _access: Access, _expires: Duration) -> Result<String, ArtifactError> {
        Err(ArtifactError::Unsupported("a file has no URL that could be signed".to_owned()))
    }
}

/// A file that is received beside its place, hidden, under a name that is always the same: what a process that was killed
/// left there is taken over by the next one. It vanishes where it is not placed.
#[derive(Debug)]
pub struct ReceivedFile {
    staged: NamedTempFile,
    path: PathBuf,
}

impl ReceivedFile {
    /// Begins to receive what shall lie at `path`.
    pub fn begin(path: &Path) -> Result<Self, ArtifactError> {
        let folder = path.parent().unwrap_or(Path::new("/"));
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let partial = folder.join(format!(".{}.partial", shortened_to(MOST_OF_NAME, &name)));
        let begin = || -> io::Result<NamedTempFile> {
            fs::create_dir_all(folder)?;
            clear(&partial)?;
            // not through a link that somebody laid there
            let file = File::options().write(true).create_new(true).open(&partial)?;
            _ = file.try_lock();
            Ok(NamedTempFile::from_parts(file, TempPath::try_from_path(&partial)?))
        };
        let staged = begin().map_err(|error| match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::AlreadyExists => {
                ArtifactError::Failed(format!("another copy is under way, into {}", partial.display()))
            }
            _ => ArtifactError::Failed(format!("cannot write {}: {error}", partial.display())),
        })?;
        Ok(Self { staged, path: path.to_owned() })
    }

    /// Where it lies for now.
    pub fn file(&self) -> &File {
        self.staged.as_file()
    }

    /// Moves it to its place in one step.
    pub fn place(self, replace: bool) -> Result<(), ArtifactError> {
        place(self.staged, &self.path, replace).map_err(|e| failed(&e))
    }
}

/// The most characters of a name that a hidden one is made of: file systems take 255 bytes.
const MOST_OF_NAME: usize = 60;

/// Removes what was left behind, unless a process writes it still.
fn clear(partial: &Path) -> io::Result<()> {
    match fs::symlink_metadata(partial) {
        Ok(metadata) if metadata.is_file() => {
            let left = File::open(partial)?;
            left.try_lock().map_err(|_| io::Error::from(io::ErrorKind::WouldBlock))?;
            fs::remove_file(partial)
        }
        Ok(_) => fs::remove_file(partial),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

/// Moves a file into its place in one step.
fn place(staged: NamedTempFile, path: &Path, replace: bool) -> io::Result<()> {
    staged.as_file().sync_all()?;
    let placed = if replace { staged.persist(path) } else { staged.persist_noclobber(path) };
    placed.map_err(|error| error.error)?;
    File::open(path.parent().unwrap_or(Path::new("/")))?.sync_all()
}

/// A new file, hidden, so that no server takes it for a package.
fn start(folder: &Path) -> io::Result<NamedTempFile> {
    use std::os::unix::fs::PermissionsExt;
    let mut builder = tempfile::Builder::new();
    let mode = fs::Permissions::from_mode(0o666);
    builder.prefix(".portend-").suffix(".tmp").permissions(mode).tempfile_in(folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_written_whole_listed_and_deleted_by_prefix() {
        let folder = tempfile::tempdir().unwrap();
        let key = |name: &str| folder.path().join(name).to_string_lossy().into_owned();
        let store = FileStore;
        for name in ["a/1", "a/b/2", "ab", "a2/3"] {
            store.write(&key(name), &name.as_bytes(), false).unwrap();
        }
        assert_eq!(store.write(&key("ab"), &b"x".as_slice(), false), Err(ArtifactError::Exists));
        let version = store.head(&key("ab")).unwrap().version;
        store.write(&key("ab"), &b"new".as_slice(), true).unwrap();
        let mut bytes = Vec::new();
        let fetched = store.fetch(&key("ab"), Some(&version), 99, &mut bytes);
        assert_eq!(fetched, Err(ArtifactError::Changed));
        assert_eq!(store.fetch(&key("ab"), None, 2, &mut bytes), Err(ArtifactError::TooLarge(2)));
        store.fetch(&key("ab"), None, 3, &mut bytes).unwrap();
        assert_eq!(bytes, b"new");
        assert_eq!(store.delete_prefix(&key("a")), Ok(2));
        let left: Vec<_> = store.list(&key("")).unwrap().map(|found| found.unwrap().key).collect();
        assert_eq!(left, [key("ab"), key("a2/3")]);
        assert_eq!(store.head(&key("none")).unwrap_err().to_string(), "storage: object doesn't exist");
    }

    #[test]
    fn a_file_is_received_beside_its_place_where_the_next_process_takes_it_over() {
        let folder = tempfile::tempdir().unwrap();
        let (path, partial) = (folder.path().join("dl.bin"), folder.path().join(".dl.bin.partial"));
        let receive = |replace: bool| {
            let received = ReceivedFile::begin(&path)?;
            received.file().write_all(b"new").unwrap();
            received.place(replace)
        };
        let names = || fs::read_dir(folder.path()).unwrap().count();
        fs::write(&partial, "what a killed process left").unwrap();
        receive(false).unwrap();
        assert_eq!((fs::read(&path).unwrap(), names()), (b"new".to_vec(), 1));
        assert_eq!(receive(false), Err(ArtifactError::Exists));
        receive(true).unwrap();
        let other = folder.path().join("other");
        fs::write(&other, "untouched").unwrap();
        std::os::unix::fs::symlink(&other, &partial).unwrap();
        receive(true).unwrap();
        assert_eq!((fs::read(&other).unwrap(), names()), (b"untouched".to_vec(), 2));
        let under_way = ReceivedFile::begin(&path).unwrap();
        let refused = receive(true).unwrap_err().to_string();
        assert!(refused.starts_with("another copy is under way, into "), "{refused}");
        drop(under_way);
        assert_eq!(names(), 2, "what is not placed vanishes");
        ReceivedFile::begin(&folder.path().join("x".repeat(255))).unwrap();
    }
}
