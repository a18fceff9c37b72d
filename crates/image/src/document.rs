//! Manifests and indexes of images, of the OCI and of Docker, as far as they must be understood. Their bytes are
//! what has a digest, so they are passed on as they came and never written anew.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::digest::Digest;
use crate::error::ImageError;
use crate::platform::Platform;

/// The largest manifest, index or configuration that is read.
pub(crate) const MOST_DOCUMENT: u64 = 4 << 20;

/// Media types.
pub mod media {
    /// Several images.
    pub const INDEX: &str = "application/vnd.oci.image.index.v1+json";
    /// One image.
    pub const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
    /// How a container is started.
    pub const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
    /// A layer as it is.
    pub const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
    /// A layer in gzip.
    pub const LAYER_GZIP: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
    /// A layer in zstd.
    pub const LAYER_ZSTD: &str = "application/vnd.oci.image.layer.v1.tar+zstd";
    /// The configuration of what has none.
    pub const EMPTY: &str = "application/vnd.oci.empty.v1+json";
    /// A bill of materials in CycloneDX.
    pub const CYCLONEDX: &str = "application/vnd.cyclonedx+json";
    /// A statement of in-toto, such as provenance.
    pub const IN_TOTO: &str = "application/vnd.in-toto+json";
    /// Docker's word for an index.
    pub const DOCKER_INDEX: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
    /// Docker's word for a manifest.
    pub const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
    /// Docker's word for a configuration.
    pub const DOCKER_CONFIG: &str = "application/vnd.docker.container.image.v1+json";
    /// Docker's word for a layer in gzip.
    pub const DOCKER_LAYER: &str = "application/vnd.docker.image.rootfs.diff.tar.gzip";
}

/// What a piece of content is, and where it is found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    /// What it is.
    pub media_type: String,
    /// The digest of its bytes.
    pub digest: Digest,
    /// How many bytes it has.
    pub size: u64,
    /// For what it is, in an index.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<Platform>,
    /// What is said of it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// What else was said.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

impl Descriptor {
    /// The descriptor of bytes.
    pub fn of(media_type: &str, bytes: &[u8]) -> Self {
        Self::new(media_type, Digest::of(bytes), bytes.len() as u64)
    }

    /// A descriptor that says no more than it must.
    pub fn new(media_type: &str, digest: Digest, size: u64) -> Self {
        let (media_type, annotations) = (media_type.to_owned(), BTreeMap::new());
        Self { media_type, digest, size, platform: None, annotations, other: Map::new() }
    }
}

/// One image: how it is started, and its layers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    /// Always 2.
    pub schema_version: u32,
    /// What it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_type: Option<String>,
    /// What it is where it is no image but something about one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
    /// How a container is started.
    pub config: Descriptor,
    /// The lowest first.
    pub layers: Vec<Descriptor>,
    /// The image that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<Box<Descriptor>>,
    /// What is said of it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

/// Several images.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Index {
    /// Always 2.
    pub schema_version: u32,
    /// What it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_type: Option<String>,
    /// The images.
    pub manifests: Vec<Descriptor>,
    /// What is said of it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// What else was said.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

impl Index {
    /// An index of images.
    pub fn new(manifests: Vec<Descriptor>) -> Self {
        let (annotations, other) = (BTreeMap::new(), Map::new());
        Self { schema_version: 2, media_type: Some(media::INDEX.to_owned()), manifests, annotations, other }
    }
}

/// A manifest or an index.
#[derive(Debug, Clone, PartialEq)]
#[expect(clippy::large_enum_variant, reason = "there are few of them, and most are images")]
pub enum Document {
    /// One image.
    Image(Manifest),
    /// Several.
    Index(Index),
}

/// A manifest or index as it was read: its bytes, and what they say.
#[derive(Debug, Clone)]
pub struct Content {
    /// What it is, with digest and size.
    pub descriptor: Descriptor,
    /// As they came.
    pub bytes: Vec<u8>,
    /// What they say.
    pub document: Document,
}

impl Content {
    /// Reads a document. What it says of itself goes before what the store said it is.
    pub(crate) fn parse(what: &str, media_type: &str, bytes: Vec<u8>) -> Result<Self, ImageError> {
        let document = Document::parse(&bytes).map_err(|reason| ImageError::bad(what, reason))?;
        let (own, plain) = match &document {
            Document::Image(manifest) => (&manifest.media_type, media::MANIFEST),
            Document::Index(index) => (&index.media_type, media::INDEX),
        };
        let said = Some(media_type).filter(|said| kind(said).is_some());
        let media_type = own.as_deref().or(said).unwrap_or(plain);
        if kind(media_type) != kind(plain) {
            return Err(ImageError::bad(what, format!("it is called {media_type} and is something else")));
        }
        Ok(Self { descriptor: Descriptor::of(media_type, &bytes), bytes, document })
    }

    /// A document made here.
    pub(crate) fn written(document: Document) -> Result<Self, ImageError> {
        let (bytes, media_type) = match &document {
            Document::Image(manifest) => (serde_json::to_vec(manifest), media::MANIFEST),
            Document::Index(index) => (serde_json::to_vec(index), media::INDEX),
        };
        let bytes = bytes.map_err(|e| ImageError::bad("manifest", e.to_string()))?;
        Ok(Self { descriptor: Descriptor::of(media_type, &bytes), bytes, document })
    }
}

/// Whether a media type is that of one image or of several.
pub(crate) fn kind(media_type: &str) -> Option<&'static str> {
    match media_type {
        media::MANIFEST | media::DOCKER_MANIFEST => Some("manifest"),
        media::INDEX | media::DOCKER_INDEX => Some("index"),
        _ => None,
    }
}

impl Document {
    fn parse(bytes: &[u8]) -> Result<Self, String> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Outline {
            schema_version: Option<u32>,
            layers: Option<serde::de::IgnoredAny>,
            manifests: Option<serde::de::IgnoredAny>,
        }
        let outline: Outline =
            serde_json::from_slice(bytes).map_err(|e| format!("not a manifest of an image: {e}"))?;
        if outline.schema_version != Some(2) {
            return Err("not a manifest of schema 2, the only one that is read".to_owned());
        }
        match (outline.layers, outline.manifests) {
            (Some(_), None) => serde_json::from_slice(bytes).map(Self::Image).map_err(|e| e.to_string()),
            (None, Some(_)) => serde_json::from_slice(bytes).map(Self::Index).map_err(|e| e.to_string()),
            // read by one tool as an image and by another as an index, it would be two things
            (Some(_), Some(_)) => Err("it has layers as well as manifests".to_owned()),
            (None, None) => Err("it has neither layers nor manifests".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EMPTY: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    fn check(text: &str, media_type: &str, expected: Result<&str, &str>) {
        let text = text.replace("CONFIG", &format!(r#"{{"mediaType":"c","digest":"{EMPTY}","size":0}}"#));
        let found = Content::parse("m", media_type, text.clone().into_bytes());
        match (found, expected) {
            (Ok(found), Ok(expected)) => assert_eq!(found.descriptor.media_type, expected, "{text}"),
            (Err(found), Err(expected)) => assert!(found.to_string().contains(expected), "{text}: {found}"),
            (found, expected) => panic!("{text}: {found:?}, not {expected:?}"),
        }
    }

    #[test]
    fn a_document_is_one_image_or_several_and_nothing_in_between() {
        let image = r#"{"schemaVersion":2,"config":CONFIG,"layers":[]}"#;
        let index = r#"{"schemaVersion":2,"manifests":[CONFIG]}"#;
        check(image, "", Ok(media::MANIFEST));
        check(image, media::DOCKER_MANIFEST, Ok(media::DOCKER_MANIFEST));
        check(image, "application/json", Ok(media::MANIFEST));
        check(image, media::INDEX, Err("is something else"));
        check(index, media::INDEX, Ok(media::INDEX));
        let named = index.replace("2,", &format!(r#"2,"mediaType":"{}","#, media::DOCKER_INDEX));
        check(&named, media::INDEX, Ok(media::DOCKER_INDEX));
        check(r#"{"schemaVersion":2,"config":CONFIG,"layers":[],"manifests":[]}"#, "", Err("as well as"));
        check(r#"{"schemaVersion":2}"#, "", Err("neither"));
        check(r#"{"schemaVersion":1,"layers":[]}"#, "", Err("schema 2"));
        check("[", "", Err("not a manifest"));
        let escaping =
            r#"{"schemaVersion":2,"manifests":[{"mediaType":"c","digest":"sha256:../../x","size":0}]}"#;
        check(escaping, "", Err("not a digest"));
        check(&escaping.replace("\"size\":0", "\"size\":-1").replace("sha256:../../x", EMPTY), "", Err("-1"));
    }
}
