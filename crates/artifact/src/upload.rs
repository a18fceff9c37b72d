//! Puts an artifact into a cloud's store: a small one by one request, a large one in parts, several at a time, so that
//! memory is bounded however large it is. Nothing is visible before the last request is done. What was cut off is gone on
//! with (`journal.rs`).

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use object_store::multipart::PartId;
use object_store::path::Path;
use object_store::{PutMode, PutMultipartOptions, PutOptions, PutPayload};
use portend_core::{Artifact, ArtifactError, ArtifactStore, Content, Scheme};
use ring::digest::{Context, SHA256};

use crate::cloud::{CloudStore, attributes};
use crate::journal::{Note, Upload};
use crate::verified::hex;

/// The least size of a part, and the most of an artifact that goes by one request.
pub(crate) const PART: u64 = 16 << 20;
/// The most parts of an upload, of all clouds the fewest.
const MOST_PARTS: u64 = 10_000;
/// Parts that are sent at once.
const SENDERS: usize = 3;
/// The most bytes that all clouds take as one object.
const MOST_BYTES: u64 = 5 << 40;

/// Puts `content` there as `key`.
pub(crate) fn run(
    store: &CloudStore,
    key: &str,
    content: &dyn Content,
    replace: bool,
) -> Result<Artifact, ArtifactError> {
    let size = content.size();
    if size > MOST_BYTES {
        return Err(ArtifactError::TooLarge(MOST_BYTES));
    }
    if !replace {
        match store.head(key) {
            Ok(_) => return Err(ArtifactError::Exists),
            Err(ArtifactError::NotFound) => {}
            Err(error) => return Err(error),
        }
    }
    let sha256 = sha256(content)?;
    let path = store.path(key)?;
    let part = store.whole.max(size.div_ceil(MOST_PARTS));
    let job = Job { store, key, path, content, sha256: &sha256, part };
    match store.scheme {
        _ if size <= store.whole => job.whole(replace),
        Scheme::Az => job.blocks(),
        _ => job.parts(true),
    }
}

fn sha256(content: &dyn Content) -> Result<String, ArtifactError> {
    let mut hash = Context::new(&SHA256);
    let mut piece = vec![0; 1 << 20];
    let mut offset = 0;
    while offset < content.size() {
        let count =
            usize::try_from(content.size() - offset).map_or(piece.len(), |left| left.min(piece.len()));
        read(content, offset, &mut piece[..count])?;
        hash.update(&piece[..count]);
        offset += count as u64;
    }
    Ok(hex(hash.finish().as_ref()))
}

fn read(content: &dyn Content, offset: u64, buffer: &mut [u8]) -> Result<(), ArtifactError> {
    let read = content.read_at(offset, buffer);
    read.map_err(|error| ArtifactError::Failed(format!("cannot read what is to be written: {error}")))
}

struct Job<'a> {
    store: &'a CloudStore,
    key: &'a str,
    path: Path,
    content: &'a dyn Content,
    sha256: &'a str,
    part: u64,
}

impl Job<'_> {
    fn piece(&self, place: usize) -> Result<PutPayload, ArtifactError> {
        let offset = place as u64 * self.part;
        let length = usize::try_from(self.part.min(self.content.size() - offset)).unwrap_or(0);
        let mut piece = vec![0; length];
        read(self.content, offset, &mut piece)?;
        Ok(piece.into())
    }

    fn whole(&self, replace: bool) -> Result<Artifact, ArtifactError> {
        let mode = if replace { PutMode::Overwrite } else { PutMode::Create };
        let options = PutOptions { mode, attributes: attributes(self.sha256), ..PutOptions::default() };
        let backend = &self.store.store;
        let result = self.store.wait(backend.put_opts(&self.path, self.piece(0)?, options))?;
        Ok(self.store.put(self.key, self.content.size(), self.sha256, &result))
    }

    /// Azure forgets blocks that are never committed, so no note is needed.
    fn blocks(&self) -> Result<Artifact, ArtifactError> {
        let options = PutMultipartOptions { attributes: attributes(self.sha256), ..Default::default() };
        let mut upload = self.store.wait(self.store.store.put_multipart_opts(&self.path, options))?;
        for place in 0..self.count() {
            let piece = self.piece(place)?;
            self.store.wait(upload.put_part(piece))?;
        }
        let result = self.store.wait(upload.complete())?;
        Ok(self.store.put(self.key, self.content.size(), self.sha256, &result))
    }

    fn count(&self) -> usize {
        usize::try_from(self.content.size().div_ceil(self.part)).unwrap_or(usize::MAX)
    }

    /// In parts, with those that the store has already.
    fn parts(&self, may_go_on: bool) -> Result<Artifact, ArtifactError> {
        let (mut note, went_on) = self.begin(may_go_on)?;
        let id = note.upload.id.clone();
        let complete = |parts| self.store.wait(self.store.store.complete_multipart(&self.path, &id, parts));
        match self.send(&id, &mut note).and_then(complete) {
            Ok(result) => {
                note.end();
                Ok(self.store.put(self.key, self.content.size(), self.sha256, &result))
            }
            // the store has forgotten what the note speaks of
            Err(ArtifactError::NotFound | ArtifactError::Failed(_)) if went_on => {
                self.give_up(&id);
                note.end();
                self.parts(false)
            }
            // the next one goes on from here
            Err(error) if error.may_pass() && note.is_kept() => Err(error),
            Err(error) => {
                self.give_up(&id);
                note.end();
                Err(error)
            }
        }
    }

    /// Ends an upload; whether that helps cannot be told.
    fn give_up(&self, id: &String) {
        _ = self.store.wait(self.store.store.abort_multipart(&self.path, id));
    }

    /// Goes on with an upload of the same bytes to the same place that was cut off, or begins one. Others that were cut
    /// off on the way into this store are ended.
    fn begin(&self, may_go_on: bool) -> Result<(Note, bool), ArtifactError> {
        let upload = |id: String| Upload {
            store: self.store.identity.clone(),
            key: self.key.to_owned(),
            sha256: self.sha256.to_owned(),
            size: self.content.size(),
            part: self.part,
            id,
        };
        let folder = self.store.notes.as_deref();
        let left = folder.map(|folder| Note::abandoned(folder, &self.store.identity)).unwrap_or_default();
        let mut found = None;
        for note in left {
            let same = note.upload == upload(note.upload.id.clone());
            if same && may_go_on && found.is_none() {
                found = Some(note);
                continue;
            }
            if let Ok(path) = self.store.path(&note.upload.key) {
                _ = self.store.wait(self.store.store.abort_multipart(&path, &note.upload.id));
            }
            note.end();
        }
        if let Some(note) = found {
            return Ok((note, true));
        }
        let options = PutMultipartOptions { attributes: attributes(self.sha256), ..Default::default() };
        let id = self.store.wait(self.store.store.create_multipart_opts(&self.path, options))?;
        let upload = upload(id);
        // where there is no room for a note, the upload goes well without
        let note = folder.and_then(|folder| Note::begin(folder, upload.clone()).ok());
        Ok((note.unwrap_or_else(|| Note::unkept(upload)), false))
    }

    /// Sends what is missing, several parts at a time; stops at the first that fails.
    fn send(&self, id: &String, note: &mut Note) -> Result<Vec<PartId>, ArtifactError> {
        let mut parts = vec![None; self.count()];
        for (place, part) in &note.parts {
            if let Some(slot) = parts.get_mut(*place) {
                *slot = Some(PartId { content_id: part.clone() });
            }
        }
        let missing: Vec<usize> = (0..parts.len()).filter(|place| parts[*place].is_none()).collect();
        let (next, failed) = (AtomicUsize::new(0), AtomicBool::new(false));
        let state = Mutex::new((note, parts, None));
        let sender = || {
            while let Some(place) = missing.get(next.fetch_add(1, Ordering::Relaxed)) {
                if failed.load(Ordering::Relaxed) {
                    return;
                }
                let sent = self.piece(*place).and_then(|piece| {
                    self.store.wait(self.store.store.put_part(&self.path, id, *place, piece))
                });
                let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
                match sent {
                    Ok(part) => {
                        // a note that cannot be written costs the next one this part
                        _ = state.0.add(*place, &part.content_id);
                        state.1[*place] = Some(part);
                    }
                    Err(error) => {
                        failed.store(true, Ordering::Relaxed);
                        state.2 = state.2.take().or(Some(error));
                    }
                }
            }
        };
        std::thread::scope(|scope| (0..SENDERS).for_each(|_| _ = scope.spawn(sender)));
        let (_, parts, error) = state.into_inner().unwrap_or_else(PoisonError::into_inner);
        let unsent = || ArtifactError::Failed("not all parts were sent".to_owned());
        match error {
            Some(error) => Err(error),
            None => parts.into_iter().collect::<Option<Vec<_>>>().ok_or_else(unsent),
        }
    }
}
