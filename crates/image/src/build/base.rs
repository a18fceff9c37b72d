//! What an image is built on: the layers as they are, and the configuration with all that it says.

use serde_json::{Map, Value};

use crate::digest::Digest;
use crate::document::{Descriptor, Document, media};
use crate::error::ImageError;
use crate::platform::Platform;
use crate::store::Source;

/// One image of a base.
pub(super) struct Base {
    /// What it is called in a registry. A path of this machine says nothing elsewhere.
    pub(super) name: Option<String>,
    pub(super) digest: Digest,
    pub(super) layers: Vec<Descriptor>,
    pub(super) config: Map<String, Value>,
}

impl Base {
    pub(super) fn read(source: &dyn Source, platform: &Platform) -> Result<Self, ImageError> {
        let mut content = source.root()?;
        if let Document::Index(index) = &content.document {
            content = source.manifest(platform.choose(index, &source.label())?)?;
        }
        let bad = |reason: String| ImageError::bad(source.label(), reason);
        let Document::Image(manifest) = content.document else {
            return Err(bad("its index leads to another index".to_owned()));
        };
        let text = source.small(&manifest.config)?;
        let config: Map<String, Value> =
            serde_json::from_slice(&text).map_err(|e| bad(format!("its configuration: {e}")))?;
        let word = |name: &str| config.get(name).and_then(Value::as_str).unwrap_or_default();
        let found = Platform { os: word("os").to_owned(), ..Platform::linux(word("architecture")) };
        if (&found.os, &found.architecture) != (&platform.os, &platform.architecture) {
            return Err(bad(format!("it is for {found}, and the binary is for {platform}")));
        }
        let ids = config.get("rootfs").and_then(|rootfs| rootfs.get("diff_ids")).and_then(Value::as_array);
        if ids.map(Vec::len) != Some(manifest.layers.len()) {
            return Err(bad("its configuration has another number of layers than its manifest".to_owned()));
        }
        let layers = manifest.layers.into_iter().map(|layer| oci(layer).map_err(bad));
        let layers = layers.collect::<Result<_, _>>()?;
        let name = source.name().map(|name| name.to_string());
        Ok(Self { name, digest: content.descriptor.digest, layers, config })
    }
}

/// The same layer under the OCI's name for what it is: no manifest may hold both names.
fn oci(mut layer: Descriptor) -> Result<Descriptor, String> {
    match layer.media_type.as_str() {
        media::DOCKER_LAYER => layer.media_type = media::LAYER_GZIP.to_owned(),
        media::LAYER | media::LAYER_GZIP | media::LAYER_ZSTD => {}
        other => return Err(format!("it has a layer of a kind that nothing can be built on: {other}")),
    }
    Ok(layer)
}
