//! Digests: parsed so strictly that one may be a file name, computed while bytes pass, and compared at their end.

use std::fmt;
use std::io::{self, Read, Write};

use portend_core::shortened;
use ring::digest::{Context, SHA256};
use serde::{Deserialize, Serialize};

use crate::error::ImageError;

const PREFIX: &str = "sha256:";

/// `sha256:` and 64 lower-case hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Digest(String);

impl Digest {
    /// Checks a text.
    pub fn parse(text: &str) -> Result<Self, ImageError> {
        let digit = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        match text.strip_prefix(PREFIX) {
            Some(hex) if hex.len() == 64 && hex.bytes().all(digit) => Ok(Self(text.to_owned())),
            _ => Err(ImageError::Name(format!(
                "'{}' is not a digest that is read here: sha256: and 64 digits from 0 to f are needed",
                shortened(text)
            ))),
        }
    }

    /// The digest of bytes.
    pub fn of(bytes: &[u8]) -> Self {
        let mut hasher = Hasher::default();
        hasher.update(bytes);
        hasher.finish()
    }

    /// The digest of all that a reader gives.
    pub fn read(reader: impl Read) -> io::Result<Self> {
        Hasher::read(reader).map(|(_, digest)| digest)
    }

    /// The digits without the algorithm.
    pub fn hex(&self) -> &str {
        &self.0[PREFIX.len()..]
    }

    /// The whole text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for Digest {
    type Error = ImageError;

    fn try_from(text: String) -> Result<Self, ImageError> {
        Self::parse(&text)
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> Self {
        digest.0
    }
}

/// Bytes as they pass: how many, and their digest.
#[derive(Clone)]
pub(crate) struct Hasher {
    context: Context,
    pub(crate) bytes: u64,
}

impl Default for Hasher {
    fn default() -> Self {
        Self { context: Context::new(&SHA256), bytes: 0 }
    }
}

impl Hasher {
    pub(crate) fn update(&mut self, bytes: &[u8]) {
        self.context.update(bytes);
        self.bytes += bytes.len() as u64;
    }

    pub(crate) fn digest(&self) -> Digest {
        self.clone().finish()
    }

    pub(crate) fn finish(self) -> Digest {
        let hex = self.context.finish().as_ref().iter().map(|b| format!("{b:02x}")).collect::<String>();
        Digest(format!("{PREFIX}{hex}"))
    }

    /// All of a reader, without keeping it.
    pub(crate) fn read(mut reader: impl Read) -> io::Result<(u64, Digest)> {
        let mut hasher = HashingWriter::new(io::sink());
        io::copy(&mut reader, &mut hasher)?;
        Ok((hasher.hasher.bytes, hasher.hasher.finish()))
    }
}

/// Passes bytes on and hashes them.
pub(crate) struct HashingWriter<W> {
    inner: W,
    pub(crate) hasher: Hasher,
}

impl<W: Write> HashingWriter<W> {
    pub(crate) fn new(inner: W) -> Self {
        Self { inner, hasher: Hasher::default() }
    }

    pub(crate) fn into_parts(self) -> (W, Hasher) {
        (self.inner, self.hasher)
    }
}

impl<W: Write> Write for HashingWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.hasher.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// A reader that gives the last byte only after exactly the bytes that a descriptor names.
pub(crate) struct Verified<R> {
    inner: R,
    what: String,
    digest: Digest,
    size: u64,
    hasher: Option<Hasher>,
}

impl<R: Read> Verified<R> {
    /// `seen` are the bytes before those that `inner` gives.
    pub(crate) fn new(inner: R, what: String, digest: Digest, size: u64, seen: Hasher) -> Self {
        Self { inner, what, digest, size, hasher: Some(seen) }
    }

    /// What was seen up to here.
    pub(crate) fn seen(&self) -> Hasher {
        self.hasher.clone().unwrap_or_default()
    }

    fn check_end(&mut self) -> io::Result<()> {
        let Some(hasher) = self.hasher.take() else { return Ok(()) };
        let (bytes, found) = (hasher.bytes, hasher.finish());
        let reason = if bytes < self.size {
            format!("it ends after {bytes} of {} bytes", self.size)
        } else if found != self.digest {
            format!("its bytes have the digest {found} and not {}", self.digest)
        } else {
            return Ok(());
        };
        Err(ImageError::bad(&self.what, reason).into())
    }
}

impl<R: Read> Read for Verified<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        let read = self.inner.read(buffer)?;
        let Some(hasher) = self.hasher.as_mut().filter(|_| read > 0) else {
            self.check_end()?;
            return Ok(read);
        };
        hasher.update(&buffer[..read]);
        let bytes = hasher.bytes;
        if bytes > self.size || bytes == self.size && self.inner.read(&mut [0])? > 0 {
            let reason = format!("it is longer than the {} bytes that it is said to have", self.size);
            return Err(ImageError::bad(&self.what, reason).into());
        }
        // before the last of them pass: whoever takes them may ask for no more
        if bytes == self.size {
            self.check_end()?;
        }
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_is_a_safe_file_name() {
        let good = Digest::of(b"").to_string();
        assert_eq!(good, "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
        assert!(Digest::parse(&good).is_ok());
        let upper = good.to_uppercase().replace("SHA", "sha");
        let short = &good[..70];
        let climbing = format!("sha256:{}", "../".repeat(21) + "x");
        for text in ["", "sha256:", "sha512:00", &*upper, short, &climbing] {
            assert!(Digest::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn only_the_bytes_that_were_announced_pass() {
        let read = |bytes: &[u8], size| {
            let digest = Digest::of(b"abc");
            let mut reader = Verified::new(bytes, "blob".to_owned(), digest, size, Hasher::default());
            let mut out = Vec::new();
            reader.read_to_end(&mut out).map_err(|e| e.to_string()).map(|_| out)
        };
        assert_eq!(read(b"abc", 3), Ok(b"abc".to_vec()));
        for (bytes, size, reason) in [
            (&b"ab"[..], 3, "blob: it ends after 2 of 3 bytes"),
            (b"abcd", 3, "blob: it is longer than the 3 bytes that it is said to have"),
            (
                b"abd",
                3,
                "blob: its bytes have the digest sha256:a52d159f262b2c6ddb724a61840befc36eb30c88877a4030b65cbe86298449c9 and not sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
            ),
        ] {
            assert_eq!(read(bytes, size), Err(reason.to_owned()));
        }
    }
}
