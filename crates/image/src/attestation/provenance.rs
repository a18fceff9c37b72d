//! How an image was made: a statement of in-toto with SLSA's provenance. It is not signed.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::digest::Digest;

/// How an image was made.
#[derive(Debug, Clone)]
pub struct Provenance {
    /// What the image is called.
    pub name: String,
    /// The version of the program that made it.
    pub builder_version: String,
    /// What was asked for.
    pub parameters: BTreeMap<String, Value>,
    /// What went into it.
    pub materials: Vec<Material>,
}

/// Something that went into an image.
#[derive(Debug, Clone)]
pub struct Material {
    /// What it is called.
    pub name: String,
    /// The digest of its bytes.
    pub digest: Digest,
}

impl Provenance {
    /// The statement about an image, as text.
    pub fn written(&self, image: &Digest) -> String {
        let material = |one: &Material| json!({"name": one.name, "digest": {"sha256": one.digest.hex()}});
        json!({
            "_type": "https://in-toto.io/Statement/v1",
            "subject": [{"name": self.name, "digest": {"sha256": image.hex()}}],
            "predicateType": "https://slsa.dev/provenance/v1",
            "predicate": {
                "buildDefinition": {
                    "buildType": "urn:portend:image-build:1",
                    "externalParameters": self.parameters,
                    "resolvedDependencies": self.materials.iter().map(material).collect::<Vec<_>>()
                },
                "runDetails": {
                    "builder": {"id": "urn:portend:image-build", "version": {"portend": self.builder_version}}
                }
            }
        })
        .to_string()
    }
}
