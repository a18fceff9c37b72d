//! A bill of materials, in CycloneDX.

use serde_json::{Value, json};

use crate::digest::Digest;

/// What an image is made of.
#[derive(Debug, Clone)]
pub struct Bill {
    /// What the image is called.
    pub name: String,
    /// The version of what it serves.
    pub version: String,
    /// When it was made.
    pub created: Option<String>,
    /// The version of the program that made it.
    pub builder_version: String,
    /// Its parts.
    pub components: Vec<Component>,
}

/// One part of an image.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Component {
    /// What it is, in a word of CycloneDX: `application`, `library`, `machine-learning-model`, `container`, `file`.
    pub kind: &'static str,
    /// What it is called.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Its package URL.
    pub package: Option<String>,
    /// The digest of its bytes.
    pub digest: Option<Digest>,
}

impl Bill {
    /// The bill of an image, as text.
    pub fn written(&self, image: &Digest) -> String {
        let mut components = self.components.clone();
        components.sort();
        components.dedup();
        let listed: Vec<_> = components.iter().enumerate().map(|(at, one)| one.written(at)).collect();
        let parts: Vec<_> = (0..listed.len()).map(reference).collect();
        let mut bill = json!({
            "bomFormat": "CycloneDX",
            "specVersion": "1.5",
            "version": 1,
            "metadata": {
                "tools": {"components": [
                    {"type": "application", "name": "portend", "version": self.builder_version}
                ]},
                "component": {
                    "type": "container", "bom-ref": "image", "name": self.name, "version": self.version,
                    "hashes": [{"alg": "SHA-256", "content": image.hex()}]
                }
            },
            "components": listed,
            "dependencies": [{"ref": "image", "dependsOn": parts}]
        });
        if let Some(created) = &self.created {
            bill["metadata"]["timestamp"] = created.as_str().into();
        }
        bill.to_string()
    }
}

fn reference(at: usize) -> String {
    format!("part-{at}")
}

impl Component {
    fn written(&self, at: usize) -> Value {
        let mut one = json!({"type": self.kind, "bom-ref": reference(at), "name": self.name});
        if !self.version.is_empty() {
            one["version"] = self.version.as_str().into();
        }
        if let Some(package) = &self.package {
            one["purl"] = package.as_str().into();
        }
        if let Some(digest) = &self.digest {
            one["hashes"] = json!([{"alg": "SHA-256", "content": digest.hex()}]);
        }
        one
    }
}
