//! What is said about an image beside it: what it is made of, and how it was made. Both follow from the image and its
//! recipe alone: there is no time here and no number by chance, so the same image gets the same statements.

mod bill;
mod provenance;

pub use bill::{Bill, Component};
pub use provenance::{Material, Provenance};

use crate::document::{Content, Descriptor, Document, Manifest, media};
use crate::error::ImageError;

/// The configuration of what has none.
pub(crate) const EMPTY: &[u8] = b"{}";

/// A manifest that names an image as its subject, around one statement.
pub(crate) fn referrer(subject: &Descriptor, kind: &str, statement: &[u8]) -> Result<Content, ImageError> {
    let plain = Descriptor::new(&subject.media_type, subject.digest.clone(), subject.size);
    Content::written(Document::Image(Manifest {
        schema_version: 2,
        media_type: Some(media::MANIFEST.to_owned()),
        artifact_type: Some(kind.to_owned()),
        config: Descriptor::of(media::EMPTY, EMPTY),
        layers: vec![Descriptor::of(kind, statement)],
        subject: Some(Box::new(plain)),
        annotations: Default::default(),
    }))
}
