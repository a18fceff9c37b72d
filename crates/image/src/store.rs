//! What an image is read from and written to. A source gives bytes that nobody has checked yet; whoever takes them
//! checks them against the descriptor.

use std::io::Read;

use crate::digest::{Digest, Hasher, Verified};
use crate::document::{Content, Descriptor, MOST_DOCUMENT};
use crate::error::ImageError;
use crate::reference::Reference;

/// A place that holds one image, or several under one name.
pub trait Source: Sync {
    /// Its name for people.
    fn label(&self) -> String;

    /// The manifest or index that the place names.
    fn root(&self) -> Result<Content, ImageError>;

    /// Bytes of a blob from an offset on, unchecked.
    fn read(&self, blob: &Descriptor, from: u64) -> Result<Box<dyn Read + Send + '_>, ImageError>;

    /// A manifest that an index names.
    fn manifest(&self, wanted: &Descriptor) -> Result<Content, ImageError> {
        let bytes = self.small(wanted)?;
        Content::parse(&format!("{} in {}", wanted.digest, self.label()), &wanted.media_type, bytes)
    }

    /// A whole blob that is small: a manifest or a configuration.
    fn small(&self, wanted: &Descriptor) -> Result<Vec<u8>, ImageError> {
        small(self, wanted)
    }

    /// The manifests there that are about a manifest: bills of materials, provenance, signatures.
    fn referrers(&self, _subject: &Digest) -> Result<Vec<Descriptor>, ImageError> {
        Ok(Vec::new())
    }

    /// What the image is called there, if it has a name.
    fn name(&self) -> Option<Reference> {
        self.repository().cloned()
    }

    /// The repository of a registry that it lies in.
    fn repository(&self) -> Option<&Reference> {
        None
    }
}

/// A place that takes an image.
pub trait Target: Sync {
    /// Its name for people.
    fn label(&self) -> String;

    /// Whether it has a blob already.
    fn holds(&self, blob: &Descriptor) -> Result<bool, ImageError>;

    /// Takes a blob, having checked it. False: it did not have to be sent.
    fn put(&self, blob: &Descriptor, from: &dyn Source) -> Result<bool, ImageError>;

    /// Takes a manifest that an index will name, after all blobs that it names.
    fn put_manifest(&self, manifest: &Content) -> Result<(), ImageError>;

    /// Takes the last manifest and gives it the name of the place. Only then the image is there.
    fn finish(&self, root: &Content) -> Result<(), ImageError>;

    /// Takes a manifest that is about another one there, after all blobs that it names.
    fn attach(&self, _subject: &Digest, _referrer: &Content) -> Result<(), ImageError> {
        Err(ImageError::Refused(format!("{} cannot hold what is about an image", self.label())))
    }

    /// Whether it can hold what is about an image.
    fn takes_referrers(&self) -> bool {
        false
    }

    /// How many blobs it takes at a time.
    fn lanes(&self) -> usize {
        4
    }

    /// Whether it holds one image only, so that of several one must be chosen.
    fn takes_one_image(&self) -> bool {
        false
    }
}

/// Bytes of a blob from an offset on, which end well only if they and those before, `seen`, are what the descriptor
/// says.
pub(crate) fn verified<'a, S: Source + ?Sized>(
    source: &'a S,
    blob: &Descriptor,
    from: u64,
    seen: Hasher,
) -> Result<Verified<Box<dyn Read + Send + 'a>>, ImageError> {
    let what = format!("{} in {}", blob.digest, source.label());
    Ok(Verified::new(source.read(blob, from)?, what, blob.digest.clone(), blob.size, seen))
}

/// The bytes of a small blob, verified.
pub(crate) fn small<S: Source + ?Sized>(source: &S, wanted: &Descriptor) -> Result<Vec<u8>, ImageError> {
    let what = format!("{} in {}", wanted.digest, source.label());
    if wanted.size > MOST_DOCUMENT {
        let reason = format!("it has {} bytes, more than {MOST_DOCUMENT}", wanted.size);
        return Err(ImageError::bad(what, reason));
    }
    let mut bytes = Vec::new();
    let read = verified(source, wanted, 0, Hasher::default())?.read_to_end(&mut bytes);
    read.map_err(|e| ImageError::io(what, e))?;
    Ok(bytes)
}
