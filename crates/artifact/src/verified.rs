//! What passes from a store to this machine, counted and compared with what whoever wrote it said of it.

use std::fmt::Write as _;
use std::io::{Read, Write};

use portend_core::{Artifact, ArtifactError};
use ring::digest::{Context, SHA256};

/// What is read at once.
const PIECE: usize = 256 << 10;

/// Copies all bytes of an artifact, of which there may be `most`.
pub(crate) fn copy(
    artifact: &Artifact,
    from: &mut dyn Read,
    most: u64,
    to: &mut dyn Write,
) -> Result<(), ArtifactError> {
    if artifact.size > most {
        return Err(ArtifactError::TooLarge(most));
    }
    let mut piece = vec![0; PIECE];
    let mut hash = Context::new(&SHA256);
    let mut left = artifact.size;
    loop {
        let count = from.read(&mut piece).map_err(|e| match e.downcast::<ArtifactError>() {
            Ok(error) => error,
            Err(e) => ArtifactError::Unreachable(format!("the download broke off: {e}")),
        })?;
        if count == 0 {
            break;
        }
        left = left.checked_sub(count as u64).ok_or_else(|| damaged(artifact, "more bytes came"))?;
        hash.update(&piece[..count]);
        to.write_all(&piece[..count]).map_err(|e| ArtifactError::Failed(format!("cannot write it: {e}")))?;
    }
    if left > 0 {
        return Err(damaged(artifact, &format!("{left} bytes are missing")));
    }
    match &artifact.sha256 {
        Some(told) if !told.eq_ignore_ascii_case(&hex(hash.finish().as_ref())) => {
            Err(damaged(artifact, "its SHA-256 is another than that of what was written"))
        }
        _ => Ok(()),
    }
}

fn damaged(artifact: &Artifact, reason: &str) -> ArtifactError {
    ArtifactError::Damaged(format!("{reason}: of {} bytes of '{}'", artifact.size, artifact.key))
}

/// Bytes in hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        _ = write!(text, "{byte:02x}");
        text
    })
}
