//! How far a copy is: whoever wants to know hears of each blob.

use std::io::{self, Read};

use crate::digest::Digest;
use crate::document::{Content, Descriptor};
use crate::error::ImageError;
use crate::reference::Reference;
use crate::store::Source;

/// Hears how far blobs are. Several of them are under way at a time.
pub trait Progress: Sync {
    /// A blob is about to be sent.
    fn begins(&self, blob: &Descriptor);
    /// So many of its bytes have passed. There may be fewer than before, where it is begun again.
    fn is_at(&self, blob: &Descriptor, bytes: u64);
    /// It is there. False: it did not have to be sent.
    fn ends(&self, blob: &Descriptor, sent: bool);
}

/// A source whose readers are watched.
pub(crate) struct Watched<'a> {
    pub(crate) source: &'a dyn Source,
    pub(crate) progress: &'a dyn Progress,
}

impl Source for Watched<'_> {
    fn label(&self) -> String {
        self.source.label()
    }

    fn root(&self) -> Result<Content, ImageError> {
        self.source.root()
    }

    fn read(&self, blob: &Descriptor, from: u64) -> Result<Box<dyn Read + Send + '_>, ImageError> {
        let inner = self.source.read(blob, from)?;
        Ok(Box::new(WatchedReader { inner, progress: self.progress, blob: blob.clone(), at: from }))
    }

    fn manifest(&self, wanted: &Descriptor) -> Result<Content, ImageError> {
        self.source.manifest(wanted)
    }

    fn small(&self, wanted: &Descriptor) -> Result<Vec<u8>, ImageError> {
        self.source.small(wanted)
    }

    fn referrers(&self, subject: &Digest) -> Result<Vec<Descriptor>, ImageError> {
        self.source.referrers(subject)
    }

    fn name(&self) -> Option<Reference> {
        self.source.name()
    }

    fn repository(&self) -> Option<&Reference> {
        self.source.repository()
    }
}

struct WatchedReader<'a> {
    inner: Box<dyn Read + Send + 'a>,
    progress: &'a dyn Progress,
    blob: Descriptor,
    at: u64,
}

impl Read for WatchedReader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.at += read as u64;
        self.progress.is_at(&self.blob, self.at);
        Ok(read)
    }
}
