//! What is about an image: manifests that name it as their subject. Where a registry has no list of them, an index
//! under a tag made of the image's digest is the list.

use serde_json::Value;

use crate::digest::Digest;
use crate::document::{Content, Descriptor, Document, Index, kind};
use crate::error::ImageError;

const ARTIFACT_TYPE: &str = "artifactType";
/// The most manifests about one image that are read.
pub(crate) const MOST_REFERRERS: usize = 200;

/// The tag that stands in for a list.
pub(crate) fn tag(subject: &Digest) -> String {
    format!("sha256-{}", subject.hex())
}

/// How a list names a manifest.
pub(crate) fn entry(referrer: &Content) -> Descriptor {
    let mut entry = referrer.descriptor.clone();
    if let Document::Image(manifest) = &referrer.document {
        let kind = manifest.artifact_type.as_ref().unwrap_or(&manifest.config.media_type);
        entry.other.insert(ARTIFACT_TYPE.to_owned(), kind.as_str().into());
        entry.annotations.extend(manifest.annotations.clone());
    }
    entry
}

/// Whether an entry of a list or a layout is about an image and none itself.
pub(crate) fn is_referrer(entry: &Descriptor) -> bool {
    entry.other.get(ARTIFACT_TYPE).is_some_and(Value::is_string)
}

/// Those entries of a layout's index that are about a manifest.
pub(crate) fn about(
    subject: &Digest,
    index: &Index,
    read: impl Fn(&Descriptor) -> Result<Content, ImageError>,
) -> Result<Vec<Descriptor>, ImageError> {
    let mut found = Vec::new();
    for entry in index.manifests.iter().filter(|entry| is_referrer(entry)).take(MOST_REFERRERS) {
        let Document::Image(manifest) = read(entry)?.document else { continue };
        if manifest.subject.is_some_and(|named| named.digest == *subject) {
            found.push(entry.clone());
        }
    }
    Ok(found)
}

/// The manifests that a registry's list names.
pub(crate) fn listed(index: Index, what: &str) -> Result<Vec<Descriptor>, ImageError> {
    if index.manifests.len() > MOST_REFERRERS {
        let reason = format!("there are more than {MOST_REFERRERS}");
        return Err(ImageError::bad(what, reason));
    }
    Ok(index.manifests.into_iter().filter(|entry| kind(&entry.media_type).is_some()).collect())
}
