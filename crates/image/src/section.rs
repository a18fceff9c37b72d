//! A part of a file that several readers may have at a time, each at its own place.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::sync::Arc;

/// A part of a file.
#[derive(Debug, Clone)]
pub(crate) struct Section {
    pub(crate) file: Arc<File>,
    at: u64,
    pub(crate) size: u64,
}

impl Section {
    pub(crate) fn new(file: File, size: u64) -> Self {
        Self { file: Arc::new(file), at: 0, size }
    }

    /// Only its first bytes.
    pub(crate) fn first(self, size: u64) -> Self {
        Self { size: size.min(self.size), ..self }
    }

    /// The part without its first bytes.
    pub(crate) fn skip(mut self, bytes: u64) -> Self {
        let bytes = bytes.min(self.size);
        self.at += bytes;
        self.size -= bytes;
        self
    }
}

impl Read for Section {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.size).unwrap_or(usize::MAX).min(buffer.len());
        let read = self.file.read_at(&mut buffer[..most], self.at)?;
        self.at += read as u64;
        self.size -= read as u64;
        Ok(read)
    }
}
