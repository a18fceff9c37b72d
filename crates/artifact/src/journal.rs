//! Notes on uploads in parts: which upload of which artifact, and which parts the store has. A process that is killed
//! leaves its note behind, and the next one goes on with that upload or ends it, so that nothing is left in the store that
//! nobody sees and somebody pays for. The note is locked while its process lives.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// The most bytes of a note: 10,000 parts.
const MOST_BYTES: u64 = 8 << 20;
const ENDING: &str = "upload";

/// Which upload a note is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Upload {
    /// Whose bucket.
    pub(crate) store: String,
    pub(crate) key: String,
    pub(crate) sha256: String,
    pub(crate) size: u64,
    pub(crate) part: u64,
    /// What the store calls it.
    pub(crate) id: String,
}

/// A note that this process holds.
#[derive(Debug)]
pub(crate) struct Note {
    pub(crate) upload: Upload,
    /// The parts that the store has, by their place, in its own words.
    pub(crate) parts: Vec<(usize, String)>,
    /// None: it could not be kept, so that a process that is killed leaves nothing behind to go on with.
    kept: Option<(PathBuf, File)>,
}

impl Note {
    /// Begins one.
    pub(crate) fn begin(folder: &Path, upload: Upload) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        let mut builder = tempfile::Builder::new();
        let suffix = format!(".{ENDING}");
        let (mut file, path) = builder.prefix("").suffix(&suffix).tempfile_in(folder)?.keep()?;
        _ = file.try_lock();
        let line = serde_json::to_string(&upload)?;
        writeln!(file, "{line}")?;
        file.sync_all()?;
        Ok(Self { upload, parts: Vec::new(), kept: Some((path, file)) })
    }

    /// One that is in memory only.
    pub(crate) fn unkept(upload: Upload) -> Self {
        Self { upload, parts: Vec::new(), kept: None }
    }

    /// Whether another process can go on from it.
    pub(crate) fn is_kept(&self) -> bool {
        self.kept.is_some()
    }

    /// Takes note of a part that the store has.
    pub(crate) fn add(&mut self, place: usize, id: &str) -> io::Result<()> {
        match &mut self.kept {
            Some((_, file)) => writeln!(file, "{}", serde_json::to_string(&(place, id))?),
            None => Ok(()),
        }
    }

    /// The upload is over.
    pub(crate) fn end(self) {
        if let Some((path, _)) = self.kept {
            _ = fs::remove_file(path);
        }
    }

    /// What processes left behind that are no more, for one store.
    pub(crate) fn abandoned(folder: &Path, store: &str) -> Vec<Self> {
        let entries = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
        let notes = entries.filter(|path| path.extension().is_some_and(|ending| ending == ENDING));
        notes
            .filter_map(|path| Self::take(path).ok().flatten())
            .filter(|note| note.upload.store == store)
            .collect()
    }

    fn take(path: PathBuf) -> io::Result<Option<Self>> {
        let mut file = File::options().read(true).append(true).open(&path)?;
        if file.try_lock().is_err() {
            return Ok(None);
        }
        let mut text = String::new();
        (&mut file).take(MOST_BYTES).read_to_string(&mut text)?;
        let mut lines = text.lines();
        let Some(upload) = lines.next().and_then(|line| serde_json::from_str(line).ok()) else {
            // cut off before there was anything to note
            fs::remove_file(&path)?;
            return Ok(None);
        };
        let parts = lines.filter_map(|line| serde_json::from_str(line).ok()).collect();
        Ok(Some(Self { upload, parts, kept: Some((path, file)) }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_is_found_once_its_process_is_gone() {
        let folder = tempfile::tempdir().unwrap();
        let text = String::from;
        let upload =
            Upload { store: text("s"), key: text("k"), sha256: text("0"), size: 9, part: 5, id: text("u") };
        let mut note = Note::begin(folder.path(), upload.clone()).unwrap();
        note.add(1, "\"etag\"").unwrap();
        write!(note.kept.as_mut().unwrap().1, "[2,\"cut o").unwrap();
        assert!(Note::abandoned(folder.path(), "s").is_empty(), "it is locked");
        drop(note);
        assert!(Note::abandoned(folder.path(), "another").is_empty());
        let mut found = Note::abandoned(folder.path(), "s");
        let found = found.pop().unwrap();
        assert_eq!((&found.upload, &*found.parts), (&upload, &[(1, text("\"etag\""))][..]));
        found.end();
        assert!(Note::abandoned(folder.path(), "s").is_empty());
    }
}
