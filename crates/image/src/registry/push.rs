//! Images into registries. What is there already is not sent, what lies in another repository of the same registry is
//! taken from there, and what is large goes in chunks, of which one that fails is gone on with.

use std::io::Read;
use std::sync::Arc;

use super::address::Address;
use super::answer::Answer;
use super::client::{Client, RegistryOptions};
use super::http::passes;
use super::token::Scope;
use crate::digest::Hasher;
use crate::document::{Content, Descriptor};
use crate::error::ImageError;
use crate::reference::Reference;
use crate::store::{Source, Target, verified};

/// The bytes that are sent at a time, and kept in memory by each of the lanes.
const CHUNK: usize = 16 << 20;
/// The largest least chunk that a registry may ask for.
const MOST_CHUNK: usize = 64 << 20;
/// How often an upload is begun.
const ATTEMPTS: u32 = 3;
/// How often a chunk is gone on with.
const MOST_BREAKS: u32 = 5;

/// A registry that takes an image.
pub struct RegistryTarget {
    client: Arc<Client>,
    reference: Reference,
}

impl RegistryTarget {
    /// A place for an image. Nothing is asked yet.
    pub fn new(reference: &Reference, options: &RegistryOptions) -> Result<Self, ImageError> {
        let client = Arc::new(Client::new(&reference.registry, options)?);
        Ok(Self { client, reference: reference.clone() })
    }

    fn scope(&self) -> Scope {
        Scope::push(&self.reference.repository)
    }

    fn uploads(&self) -> Result<Address, ImageError> {
        self.client.url(&format!("/v2/{}/blobs/uploads/", self.reference.repository))
    }

    /// Begins an upload; None where the registry takes the blob from a repository that it has.
    fn begin(&self, blob: &Descriptor, from: &dyn Source) -> Result<Option<Answer>, ImageError> {
        let near = from.repository().filter(|near| {
            near.registry == self.reference.registry && near.repository != self.reference.repository
        });
        let what = self.what(blob);
        if let Some(near) = near {
            let url = self.uploads()?.with("mount", blob.digest.as_str())?.with("from", &near.repository)?;
            // a refusal to mount is no refusal of the blob
            let scope = self.scope().and_pull(&near.repository);
            let answer = self.client.request("POST", &url, &scope, &[], &[])?;
            match answer.status {
                201 => return Ok(None),
                202 => return Ok(Some(answer)),
                _ => {}
            }
        }
        let answer = self.client.request("POST", &self.uploads()?, &self.scope(), &[], &[])?;
        answer.expect(&[202], &what).map(Some)
    }

    fn what(&self, blob: &Descriptor) -> String {
        format!("{} to {}", blob.digest, self.reference.name())
    }

    fn upload(&self, blob: &Descriptor, from: &dyn Source) -> Result<bool, ImageError> {
        let Some(begun) = self.begin(blob, from)? else { return Ok(false) };
        let chunk = begun.least_chunk().unwrap_or(0).clamp(CHUNK, MOST_CHUNK);
        let mut session =
            Session { target: self, what: self.what(blob), location: begun.location()?, sent: 0 };
        let mut reader = verified(from, blob, 0, Hasher::default())?;
        // of this size from the start: growing, it would take twice as much
        let mut buffer =
            Vec::with_capacity(usize::try_from(blob.size).map_or(chunk, |size| size.min(chunk)) + 1);
        let mut rest = blob.size;
        loop {
            buffer.clear();
            let most = usize::try_from(rest).unwrap_or(usize::MAX).min(chunk);
            // by one byte more than there should be: the end is what is verified
            let limit = if most as u64 == rest { most as u64 + 1 } else { most as u64 };
            let read = (&mut reader).take(limit).read_to_end(&mut buffer);
            read.map_err(|e| ImageError::io(&session.what, e))?;
            rest = rest.saturating_sub(buffer.len() as u64);
            if rest == 0 {
                break;
            }
            session.send(&buffer)?;
        }
        if session.sent > 0 {
            session.send(&buffer)?;
            buffer.clear();
        }
        session.end(blob, &buffer)?;
        Ok(true)
    }

    fn put_at(&self, wanted: &str, manifest: &Content) -> Result<(), ImageError> {
        let url = self.client.url(&format!("/v2/{}/manifests/{wanted}", self.reference.repository))?;
        let kind = [("content-type", manifest.descriptor.media_type.clone())];
        let answer = self.client.request("PUT", &url, &self.scope(), &kind, &manifest.bytes)?;
        answer.expect(&[200, 201, 202, 204], &self.reference.to_string()).map(|_| ())
    }
}

impl Target for RegistryTarget {
    fn label(&self) -> String {
        self.reference.to_string()
    }

    fn holds(&self, blob: &Descriptor) -> Result<bool, ImageError> {
        let url = self.client.url(&format!("/v2/{}/blobs/{}", self.reference.repository, blob.digest))?;
        let answer = self.client.request("HEAD", &url, &self.scope(), &[], &[])?;
        match answer.status {
            // of another size it is broken, and the upload will tell
            200 => Ok(answer.length().is_none_or(|length| length == blob.size)),
            // some registries do not let a pusher look
            403..=405 => Ok(false),
            _ => answer.expect(&[200], &self.what(blob)).map(|_| false),
        }
    }

    fn put(&self, blob: &Descriptor, from: &dyn Source) -> Result<bool, ImageError> {
        for attempt in 1..ATTEMPTS {
            match self.upload(blob, from) {
                Err(error) if passes(&error) => self.client.http.pause(attempt),
                done => return done,
            }
        }
        self.upload(blob, from)
    }

    fn put_manifest(&self, manifest: &Content) -> Result<(), ImageError> {
        self.put_at(manifest.descriptor.digest.as_str(), manifest)
    }

    fn finish(&self, root: &Content) -> Result<(), ImageError> {
        let digest = &root.descriptor.digest;
        if let Some(wanted) = self.reference.digest.as_ref().filter(|wanted| *wanted != digest) {
            let reason = format!("the image has the digest {digest}, so it cannot be pushed as {wanted}");
            return Err(ImageError::Name(reason));
        }
        self.put_at(self.reference.wanted(), root)?;
        let answer = self.client.head_manifest(&self.reference)?.expect(&[200], &self.label())?;
        let found = answer.digest()?;
        if found != *digest {
            let reason = format!("the registry names the digest {found} after {digest} was pushed");
            return Err(ImageError::bad(self.label(), reason));
        }
        Ok(())
    }
}

/// An upload that was begun.
struct Session<'a> {
    target: &'a RegistryTarget,
    what: String,
    /// Where its next part goes. Each one is good for one request only.
    location: Address,
    sent: u64,
}

impl Session<'_> {
    fn request(
        &self,
        method: &str,
        url: &Address,
        headers: &[(&str, String)],
        body: &[u8],
    ) -> Result<Answer, ImageError> {
        self.target.client.authorized(method, url, &self.target.scope(), headers, body)
    }

    /// Sends a chunk, the rest of it again where a part did not arrive.
    fn send(&mut self, chunk: &[u8]) -> Result<(), ImageError> {
        let start = self.sent;
        let end = start + chunk.len() as u64;
        let mut breaks = 0;
        while self.sent < end {
            let rest = &chunk[usize::try_from(self.sent - start).unwrap_or(chunk.len())..];
            let headers = [
                ("content-range", format!("{}-{}", self.sent, end - 1)),
                ("content-type", "application/octet-stream".to_owned()),
            ];
            let done = self.request("PATCH", &self.location, &headers, rest);
            match done.and_then(|answer| answer.expect(&[200, 201, 202, 204], &self.what)) {
                Ok(answer) => {
                    self.location = answer.location()?;
                    // what the registry has is what it says; one that says nothing has all
                    self.arrived(answer.received().unwrap_or(end), start, end)?;
                }
                // a registry that was restarted does not know the upload any more: it is begun again
                Err(ImageError::Absent(text)) => return Err(ImageError::Unreachable(text)),
                Err(error) if passes(&error) && breaks < MOST_BREAKS => {
                    self.target.client.http.pause(breaks.min(2));
                    breaks += 1;
                    let status = self.request("GET", &self.location, &[], &[]);
                    let Ok(status) = status.and_then(|answer| answer.expect(&[200, 204], &self.what)) else {
                        return Err(error); // the upload is lost: it is begun again
                    };
                    if let Ok(location) = status.location() {
                        self.location = location;
                    }
                    // "0-0" is said of nothing as well as of one byte
                    self.arrived(
                        status.received().filter(|bytes| *bytes > 1).unwrap_or(self.sent),
                        start,
                        end,
                    )?;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn arrived(&mut self, bytes: u64, start: u64, end: u64) -> Result<(), ImageError> {
        if bytes < start || bytes > end {
            let reason =
                format!("{}: the registry has {bytes} bytes of an upload, not {start} to {end}", self.what);
            return Err(ImageError::Unreachable(reason)); // it is begun again
        }
        self.sent = bytes;
        Ok(())
    }

    /// Ends the upload with its last bytes.
    fn end(&self, blob: &Descriptor, rest: &[u8]) -> Result<(), ImageError> {
        let url = self.location.with("digest", blob.digest.as_str())?;
        let headers = [("content-type", "application/octet-stream".to_owned())];
        let answer = self.request("PUT", &url, &headers, rest)?;
        match answer.expect(&[200, 201, 202, 204], &self.what) {
            // the session is gone; whether the blob is there is seen when it is begun again
            Err(ImageError::Absent(text)) => Err(ImageError::Unreachable(text)),
            done => done.map(|_| ()),
        }
    }
}
