//! Images out of registries.

use std::io::{self, Read};
use std::sync::Arc;

use super::answer::Answer;
use super::client::{Client, RegistryOptions};
use super::token::Scope;
use crate::digest::Digest;
use crate::document::{Content, Descriptor, MOST_DOCUMENT};
use crate::error::ImageError;
use crate::reference::Reference;
use crate::store::Source;

/// How often a blob that breaks off is gone on with without a byte more having come.
const MOST_BREAKS: u32 = 3;

/// An image in a registry.
pub struct RegistrySource {
    client: Arc<Client>,
    reference: Reference,
}

impl RegistrySource {
    /// The image of a reference. Nothing is asked yet.
    pub fn new(reference: &Reference, options: &RegistryOptions) -> Result<Self, ImageError> {
        let client = Arc::new(Client::new(&reference.registry, options)?);
        Ok(Self { client, reference: reference.clone() })
    }

    fn get(&self, blob: &Descriptor, from: u64) -> Result<Answer, ImageError> {
        let repository = &self.reference.repository;
        let url = self.client.url(&format!("/v2/{repository}/blobs/{}", blob.digest))?;
        let range = (from > 0).then(|| ("range", format!("bytes={from}-")));
        let headers: Vec<_> = range.into_iter().collect();
        let answer = self.client.get(&url, &Scope::pull(repository), &headers)?;
        answer.expect(&[200, 206], &format!("{} of {}", blob.digest, self.reference.name()))
    }
}

/// The manifest that a reference names, with the digest that was asked for or that the registry told.
pub(super) fn root(client: &Client, reference: &Reference) -> Result<Content, ImageError> {
    let what = reference.to_string();
    let answer = client.get_manifest(reference, reference.wanted())?.expect(&[200], &what)?;
    let told = if answer.has_digest() { Some(answer.digest()?) } else { None };
    let media_type = answer.media_type();
    let content = Content::parse(&what, &media_type, answer.text(MOST_DOCUMENT, &what)?)?;
    match reference.digest.as_ref().or(told.as_ref()) {
        Some(wanted) if *wanted != content.descriptor.digest => {
            let found = &content.descriptor.digest;
            Err(ImageError::bad(
                what,
                format!("the registry gave a manifest with the digest {found}, not {wanted}"),
            ))
        }
        _ => Ok(content),
    }
}

impl Source for RegistrySource {
    fn label(&self) -> String {
        self.reference.to_string()
    }

    fn root(&self) -> Result<Content, ImageError> {
        root(&self.client, &self.reference)
    }

    fn manifest(&self, wanted: &Descriptor) -> Result<Content, ImageError> {
        let reference =
            Reference { tag: None, digest: Some(wanted.digest.clone()), ..self.reference.clone() };
        root(&self.client, &reference)
    }

    fn read(&self, blob: &Descriptor, from: u64) -> Result<Box<dyn Read + Send + '_>, ImageError> {
        let mut reader = Resuming { source: self, blob: blob.clone(), at: from, inner: None, breaks: 0 };
        reader.open()?; // so that what is not there is said here
        Ok(Box::new(reader))
    }

    fn referrers(&self, subject: &Digest) -> Result<Vec<Descriptor>, ImageError> {
        super::referrers::read(&self.client, &self.reference, subject)
    }

    fn repository(&self) -> Option<&Reference> {
        Some(&self.reference)
    }
}

/// A blob that is asked for again from where it broke off.
struct Resuming<'a> {
    source: &'a RegistrySource,
    blob: Descriptor,
    at: u64,
    inner: Option<Box<dyn Read + Send + 'a>>,
    breaks: u32,
}

impl Resuming<'_> {
    fn open(&mut self) -> Result<(), ImageError> {
        let answer = self.source.get(&self.blob, self.at)?;
        let start = if answer.status == 206 { answer.starts_at().unwrap_or(self.at) } else { 0 };
        let skip = self.at.checked_sub(start).ok_or_else(|| {
            ImageError::Refused(format!("{}: the registry leaves bytes out", self.source.label()))
        })?;
        // a registry that does not know ranges gives all of it
        let mut reader = answer.into_reader();
        let what = || format!("{} of {}", self.blob.digest, self.source.label());
        io::copy(&mut (&mut reader).take(skip), &mut io::sink()).map_err(|e| ImageError::io(what(), e))?;
        self.inner = Some(Box::new(reader));
        Ok(())
    }
}

impl Read for Resuming<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let read = match &mut self.inner {
                Some(inner) => inner.read(buffer),
                None => self.open().map(|()| 0).map_err(io::Error::from),
            };
            match read {
                Ok(read) if read > 0 || buffer.is_empty() => {
                    self.at += read as u64;
                    self.breaks = 0;
                    return Ok(read);
                }
                // its end, and not only that of a connection
                Ok(_) if self.inner.is_some() && self.at >= self.blob.size => return Ok(0),
                Ok(_) if self.inner.is_some() && self.breaks >= MOST_BREAKS => return Ok(0),
                Ok(_) if self.inner.is_none() => {}
                Err(error) if self.breaks >= MOST_BREAKS => {
                    let what = format!(
                        "{} of {} breaks off after {} bytes: {error}",
                        self.blob.digest,
                        self.source.label(),
                        self.at
                    );
                    return Err(ImageError::Unreachable(what).into());
                }
                _ => {
                    self.source.client.http.pause(self.breaks);
                    self.breaks += 1;
                    self.inner = None;
                    self.open().map_err(io::Error::from)?;
                }
            }
        }
    }
}
