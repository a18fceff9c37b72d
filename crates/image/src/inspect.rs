//! What an image is, in plain values: manifests and configurations are read, layers are not.

use serde::Serialize;
use serde_json::{Map, Value};

use crate::copy::chosen;
use crate::document::{Content, Descriptor, Document, Manifest};
use crate::error::ImageError;
use crate::platform::Platform;
use crate::store::Source;

/// The most images of an index that are looked at.
const MOST_IMAGES: usize = 50;

/// What a place holds.
#[derive(Debug, Serialize)]
pub struct Inspection {
    /// The place.
    pub name: String,
    /// The digest that stands for all of it.
    pub digest: String,
    /// Whether it is one image or an index of several.
    pub media_type: String,
    /// What is about the index, where it is one.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub referrers: Vec<Descriptor>,
    /// Its images.
    pub images: Vec<InspectedImage>,
}

/// One image.
#[derive(Debug, Serialize)]
pub struct InspectedImage {
    /// The digest of its manifest.
    pub digest: String,
    /// For what it is.
    pub platform: String,
    /// Bytes of configuration and layers together.
    pub size: u64,
    /// What is said of it.
    pub annotations: std::collections::BTreeMap<String, String>,
    /// Its configuration.
    pub config: Value,
    /// Its layers, the lowest first.
    pub layers: Vec<Descriptor>,
    /// What is about it: bills of materials, provenance, signatures.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub referrers: Vec<Descriptor>,
}

/// Reads what an image is, or of several the one for a platform.
pub fn inspect(source: &dyn Source, platform: Option<&Platform>) -> Result<Inspection, ImageError> {
    let root = chosen(source, platform)?;
    let images = match &root.document {
        Document::Image(manifest) => vec![image(source, &root, manifest)?],
        Document::Index(index) => {
            let children = index.manifests.iter().take(MOST_IMAGES).map(|entry| child(source, entry));
            children.collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect()
        }
    };
    let referrers = match &root.document {
        Document::Image(_) => Vec::new(),
        Document::Index(_) => source.referrers(&root.descriptor.digest)?,
    };
    let Descriptor { digest, media_type, .. } = root.descriptor;
    Ok(Inspection { name: source.label(), digest: digest.to_string(), media_type, referrers, images })
}

/// An image that an index names; None for an index in an index.
fn child(source: &dyn Source, entry: &Descriptor) -> Result<Option<InspectedImage>, ImageError> {
    let content = source.manifest(entry)?;
    match &content.document {
        Document::Image(manifest) => image(source, &content, manifest).map(Some),
        Document::Index(_) => Ok(None),
    }
}

fn image(source: &dyn Source, content: &Content, manifest: &Manifest) -> Result<InspectedImage, ImageError> {
    let text = source.small(&manifest.config)?;
    // what is no container image has something else there, or nothing
    let config: Map<String, Value> = serde_json::from_slice(&text).unwrap_or_default();
    let word = |name: &str| config.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let platform = [word("os"), word("architecture"), word("variant")];
    let platform: Vec<_> = platform.into_iter().filter(|word| !word.is_empty()).collect();
    Ok(InspectedImage {
        digest: content.descriptor.digest.to_string(),
        platform: platform.join("/"),
        size: manifest.layers.iter().fold(manifest.config.size, |sum, layer| sum.saturating_add(layer.size)),
        annotations: manifest.annotations.clone(),
        config: config.into(),
        layers: manifest.layers.clone(),
        referrers: source.referrers(&content.descriptor.digest)?,
    })
}
