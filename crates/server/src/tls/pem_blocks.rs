//! PEM out of a setting: the text itself, or a file that it names. What the blocks mean is for others to say.

use std::fs::File;
use std::io::Read;

use pem::Pem;

use super::TlsError;

/// The longest file that is read: chains have a few KiB.
const MOST_BYTES: u64 = 1 << 20;

/// The blocks of a setting, in order.
pub(super) fn read(setting: &'static str, text: &str) -> Result<Vec<Pem>, TlsError> {
    let text = text.trim();
    if text.is_empty() {
        return Err(TlsError::Empty { setting });
    }
    let text = match path(text) {
        None => text.to_owned(),
        Some(path) => file(path).map_err(|source| TlsError::Unreadable { setting, source })?,
    };
    // what passes through one-line settings, as container tools have them, comes with its line breaks spelt out
    let text = if text.trim().contains('\n') { text } else { text.replace("\\n", "\n") };
    let begun = text.matches("-----BEGIN ").count();
    // the parser's own errors would quote lines of the key
    let blocks = pem::parse_many(&text).map_err(|_| TlsError::NotPem { setting })?;
    if blocks.len() < begun { Err(TlsError::NotPem { setting }) } else { Ok(blocks) }
}

/// The path that a setting is; None when it is a PEM text.
pub(super) fn path(text: &str) -> Option<&str> {
    (!text.contains("-----BEGIN")).then_some(text.trim())
}

/// The text of a file, in bounded length.
pub(super) fn file(path: &str) -> std::io::Result<String> {
    let mut bytes = Vec::new();
    File::open(path)?.take(MOST_BYTES).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// What blocks are there, for people.
pub(super) fn tags(blocks: &[Pem]) -> String {
    match blocks {
        [] => "no PEM block".to_owned(),
        _ => blocks.iter().take(8).map(Pem::tag).collect::<Vec<_>>().join(", "),
    }
}
