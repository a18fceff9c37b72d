//! A file without a name for what is too large for memory. What goes wrong with it names its folder and not what is read.

use std::fs::File;
use std::io::{self, Write};

use crate::error::ImageError;

/// The file, while it is written.
#[derive(Debug)]
pub(crate) struct Scratch(File);

impl Scratch {
    pub(crate) fn new() -> io::Result<Self> {
        tempfile::tempfile().map(Self).map_err(named)
    }

    pub(crate) fn into_file(self) -> File {
        self.0
    }
}

fn named(source: io::Error) -> io::Error {
    let folder = std::env::temp_dir();
    ImageError::Io { what: format!("temporary files in {}, which TMPDIR chooses", folder.display()), source }
        .into()
}

impl Write for Scratch {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes).map_err(named)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush().map_err(named)
    }
}
