//! Images into registries. What is there already is not sent, what lies in another repository of the same registry is
//! taken from there, and what is large goes in chunks, of which one that fails is gone on with.

use std::io::{self, Read};
use std::sync::Arc;

use super::address::Address;
use super::answer::Answer;
use super::client::{Client, RegistryOptions};
use super::http::passes;
use super::referrers;
use super::token::Scope;
use crate::digest::{Digest, Hasher, Verified};
use crate::document::{Content, Descriptor};
use crate::error::ImageError;
use crate::reference::Reference;
use crate::referrers::tag;
use crate::store::{Source, Target, verified};

/// The bytes of one request: what is sent again where one breaks off.
const CHUNK: u64 = 16 << 20;
/// The largest least chunk that a registry may ask for.
const MOST_CHUNK: u64 = 64 << 20;
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
        let what = self.what(blob);
        let reader = verified(from, blob, 0, Hasher::default())?;
        let location = begun.location()?;
        let mut session = Session { target: self, what, location, from, blob, reader, sent: 0 };
        if blob.size > chunk {
            while session.sent < blob.size {
                session.send(blob.size.min(session.sent + chunk))?;
            }
        }
        session.end()?;
        Ok(true)
    }

    fn put_at(&self, wanted: &str, manifest: &Content) -> Result<Answer, ImageError> {
        let url = self.client.url(&format!("/v2/{}/manifests/{wanted}", self.reference.repository))?;
        let kind = [("content-type", manifest.descriptor.media_type.clone())];
        let answer = self.client.request("PUT", &url, &self.scope(), &kind, &manifest.bytes)?;
        answer.expect(&[200, 201, 202, 204], &self.reference.to_string())
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
        self.put_at(manifest.descriptor.digest.as_str(), manifest).map(|_| ())
    }

    fn attach(&self, subject: &Digest, referrer: &Content) -> Result<(), ImageError> {
        let answer = self.put_at(referrer.descriptor.digest.as_str(), referrer)?;
        // a registry that keeps lists says so here; in another one the list is kept under a tag
        if answer.header("oci-subject").is_some() {
            return Ok(());
        }
        match referrers::longer(&self.client, &self.reference, subject, referrer)? {
            Some(list) => self.put_at(&tag(subject), &list).map(|_| ()),
            None => Ok(()),
        }
    }

    fn takes_referrers(&self) -> bool {
        true
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
    from: &'a dyn Source,
    blob: &'a Descriptor,
    /// What is still to be sent, where nothing breaks off.
    reader: Verified<Box<dyn Read + Send + 'a>>,
    sent: u64,
}

impl Session<'_> {
    /// Sends all up to `end`, the rest of it again where a part did not arrive.
    fn send(&mut self, end: u64) -> Result<(), ImageError> {
        let (start, seen) = (self.sent, self.reader.seen());
        let mut breaks = 0;
        while self.sent < end {
            let headers = [
                ("content-range", format!("{}-{}", self.sent, end - 1)),
                ("content-type", "application/octet-stream".to_owned()),
            ];
            let (client, scope) = (&self.target.client, self.target.scope());
            let (body, length) = (&mut self.reader, end - self.sent);
            let done = client.stream("PATCH", &self.location, &scope, &headers, body, length);
            match done.and_then(|answer| answer.expect(&[200, 201, 202, 204], &self.what)) {
                Ok(answer) => {
                    self.location = answer.location()?;
                    // what the registry has is what it says; one that says nothing has all
                    self.arrived(answer.received().unwrap_or(end), start, end)?;
                }
                // a registry that was restarted does not know the upload any more: it is begun again
                Err(ImageError::Absent(text)) => return Err(ImageError::Unreachable(text)),
                // a token that ended on the way is renewed when the registry is asked what it has
                Err(error) if breaks < MOST_BREAKS && (passes(&error) || is_denied(&error)) => {
                    client.http.pause(breaks.min(2));
                    breaks += 1;
                    let status = client.authorized("GET", &self.location, &scope, &[], &[]);
                    let Ok(status) = status.and_then(|answer| answer.expect(&[200, 204], &self.what)) else {
                        return Err(error); // the upload is lost: it is begun again
                    };
                    if let Ok(location) = status.location() {
                        self.location = location;
                    }
                    // "0-0" is said of nothing as well as of one byte
                    let received = status.received().filter(|bytes| *bytes > 1).unwrap_or(self.sent);
                    self.arrived(received, start, end)?;
                }
                Err(error) => return Err(error),
            }
            if self.sent < end {
                self.reader = verified(self.from, self.blob, start, seen.clone())?;
                let skipped = io::copy(&mut (&mut self.reader).take(self.sent - start), &mut io::sink());
                skipped.map_err(|e| ImageError::io(&self.what, e))?;
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

    /// Ends the upload, with all of a blob that was not sent in chunks.
    fn end(&mut self) -> Result<(), ImageError> {
        let url = self.location.with("digest", self.blob.digest.as_str())?;
        let headers = [("content-type", "application/octet-stream".to_owned())];
        let (client, scope) = (&self.target.client, self.target.scope());
        let answer = if self.sent == self.blob.size {
            // a blob without a byte is verified as well
            io::copy(&mut self.reader, &mut io::sink()).map_err(|e| ImageError::io(&self.what, e))?;
            client.authorized("PUT", &url, &scope, &headers, &[])
        } else {
            client.stream("PUT", &url, &scope, &headers, &mut self.reader, self.blob.size)
        };
        match answer.and_then(|answer| answer.expect(&[200, 201, 202, 204], &self.what)) {
            // the session is gone; whether the blob is there is seen when it is begun again
            Err(ImageError::Absent(text)) => Err(ImageError::Unreachable(text)),
            done => done.map(|_| ()),
        }
    }
}

fn is_denied(error: &ImageError) -> bool {
    matches!(error, ImageError::Denied(_))
}
