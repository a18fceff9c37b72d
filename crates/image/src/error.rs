//! Why an image was not read, written or moved. "It is not there" is said only where a store answered just that.

use std::io;
use std::path::Path;

/// Why an image was not read, written or moved.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// What was typed names no image or place.
    #[error("{0}")]
    Name(String),
    /// The store answered, and what is asked for is not in it.
    #[error("{0}")]
    Absent(String),
    /// The store wants other credentials, or refuses these.
    #[error("{0}")]
    Denied(String),
    /// The store could not be asked.
    #[error("{0}")]
    Unreachable(String),
    /// The store answered with something else than it should.
    #[error("{0}")]
    Refused(String),
    /// Bytes that are not what they are said to be.
    #[error("{what}: {reason}")]
    Bad {
        /// What was read.
        what: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The system refused something.
    #[error("{what}: {source}")]
    Io {
        /// What was attempted.
        what: String,
        /// What the system said.
        source: io::Error,
    },
}

impl ImageError {
    pub(crate) fn bad(what: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Bad { what: what.into(), reason: reason.into() }
    }

    /// An error of the system, unless it carries one of ours through an interface that knows only the former.
    pub(crate) fn io(what: impl Into<String>, error: io::Error) -> Self {
        match error.downcast::<Self>() {
            Ok(ours) => ours,
            Err(source) => Self::Io { what: what.into(), source },
        }
    }

    pub(crate) fn file(path: &Path, error: io::Error) -> Self {
        Self::io(path.display().to_string(), error)
    }
}

impl From<ImageError> for io::Error {
    fn from(error: ImageError) -> Self {
        Self::other(error)
    }
}
