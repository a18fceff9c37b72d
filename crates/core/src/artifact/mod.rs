//! Artifacts: packages and other files, wherever they lie. What a place for them can do, as one trait; how each kind of
//! place does it is told by whoever implements it.

mod url;

use std::fmt;
use std::io::{self, Read, Write};
use std::time::{Duration, SystemTime};

pub use url::{ArtifactUrl, ArtifactUrlError, Scheme};

/// An artifact as its store tells of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Artifact {
    /// Its key in the store.
    pub key: String,
    /// How many bytes it has.
    pub size: u64,
    /// When it was written last.
    pub modified: Option<SystemTime>,
    /// What changes with its content: the store's ETag, or what stands for one.
    pub version: String,
    /// The SHA-256 of its content, in hexadecimal, where whoever wrote it said so. A list does not tell it.
    pub sha256: Option<String>,
}

/// Bytes that are to be written, and can be read again from any place: what was cut off is sent again.
pub trait Content: Sync {
    /// How many bytes there are.
    fn size(&self) -> u64;
    /// Fills a buffer with those from `offset` on.
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()>;
}

impl Content for &[u8] {
    fn size(&self) -> u64 {
        <[u8]>::len(self) as u64
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let start = usize::try_from(offset).unwrap_or(usize::MAX);
        let end = start.saturating_add(buffer.len());
        let bytes = self.get(start..end).ok_or(io::ErrorKind::UnexpectedEof)?;
        buffer.copy_from_slice(bytes);
        Ok(())
    }
}

/// What a signed URL lets its holder do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Get the artifact.
    Read,
    /// Put it.
    Write,
}

/// Artifacts one after the other, asked for page by page as they are wanted.
pub type Artifacts<'s> = Box<dyn Iterator<Item = Result<Artifact, ArtifactError>> + Send + 's>;

/// A place that holds artifacts by their keys. Calls block until they are done.
pub trait ArtifactStore: Send + Sync + fmt::Debug {
    /// What kind of place it is.
    fn scheme(&self) -> Scheme;

    /// What is known of an artifact.
    fn head(&self, key: &str) -> Result<Artifact, ArtifactError>;

    /// An artifact's bytes from `from` on, as they come. Nothing but their number is checked; [`ArtifactStore::fetch`]
    /// checks all that can be.
    fn read(&self, key: &str, from: u64) -> Result<(Artifact, Box<dyn Read + Send>), ArtifactError>;

    /// Writes all bytes of an artifact to `to`, and checks number and checksum. Fails when there is another artifact
    /// than the one of this `version` by now, or one of more than `most` bytes.
    fn fetch(
        &self,
        key: &str,
        version: Option<&str>,
        most: u64,
        to: &mut dyn Write,
    ) -> Result<Artifact, ArtifactError>;

    /// Puts an artifact there, whole or not at all. One that is there is replaced if `replace` says so.
    fn write(&self, key: &str, content: &dyn Content, replace: bool) -> Result<Artifact, ArtifactError>;

    /// The artifacts whose keys begin with `prefix` and a slash, in no order that can be relied on; all where it is
    /// empty.
    fn list(&self, prefix: &str) -> Result<Artifacts<'_>, ArtifactError>;

    /// Deletes artifacts; those that are not there are no error.
    fn delete(&self, keys: &[String]) -> Result<(), ArtifactError>;

    /// A URL that lets whoever holds it read or write an artifact for a time.
    fn sign(&self, key: &str, access: Access, expires: Duration) -> Result<String, ArtifactError>;

    /// Deletes the artifact called `key` and all whose keys begin with it and a slash; says how many there were. What is
    /// empty and listed still is an error: consoles make keys that end with a slash, by which nothing can be deleted.
    fn delete_prefix(&self, key: &str) -> Result<u64, ArtifactError> {
        let key = key.trim_end_matches('/');
        let mut found = Vec::new();
        let mut deleted = 0;
        match self.head(key) {
            Ok(artifact) => found.push(artifact.key),
            Err(ArtifactError::NotFound) => {}
            Err(error) => return Err(error),
        }
        for artifact in self.list(key)? {
            found.push(artifact?.key);
            if found.len() >= DELETED_AT_ONCE {
                self.delete(&found)?;
                deleted += found.len() as u64;
                found.clear();
            }
        }
        self.delete(&found)?;
        deleted += found.len() as u64;
        let mut left = Vec::new();
        for artifact in self.list(key)? {
            left.extend(Some(artifact?).filter(|artifact| artifact.size == 0));
        }
        match left.first() {
            None => Ok(deleted),
            Some(first) => Err(ArtifactError::Failed(format!(
                "{} deleted; '{}' is still there{}: it may be a folder marker, a key that ends with '/': delete it with \
                 the store's own tool",
                deleted.saturating_sub(left.len() as u64),
                first.key,
                if left.len() > 1 { format!(", and {} more", left.len() - 1) } else { String::new() },
            ))),
        }
    }
}

/// What S3 deletes by one request.
const DELETED_AT_ONCE: usize = 1000;

/// Why a store did not do what it was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ArtifactError {
    /// There is no such artifact. The sentence is that of the artifact service of `mlp`.
    NotFound,
    /// There is one already.
    Exists,
    /// It is another one by now than was asked for.
    Changed,
    /// What was received is not what was written.
    Damaged(String),
    /// It is larger than is taken.
    TooLarge(u64),
    /// Nobody, or the wrong one, asked.
    Denied(String),
    /// The store did not answer.
    Unreachable(String),
    /// Such stores do not do this.
    Unsupported(String),
    /// A setting is missing or wrong.
    Setting(String),
    /// The store refused, or this machine did.
    Failed(String),
}

impl ArtifactError {
    /// Whether asking again later may help.
    pub fn may_pass(&self) -> bool {
        matches!(self, Self::Unreachable(_) | Self::Failed(_) | Self::Changed | Self::Damaged(_))
    }
}

impl fmt::Display for ArtifactError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotFound => f.write_str("storage: object doesn't exist"),
            Self::Exists => f.write_str("there is an artifact already"),
            Self::Changed => f.write_str("it was replaced while it was read"),
            Self::TooLarge(most) => write!(f, "it is larger than {most} bytes"),
            Self::Damaged(reason)
            | Self::Denied(reason)
            | Self::Unreachable(reason)
            | Self::Unsupported(reason)
            | Self::Setting(reason)
            | Self::Failed(reason) => f.write_str(reason),
        }
    }
}

impl std::error::Error for ArtifactError {}
