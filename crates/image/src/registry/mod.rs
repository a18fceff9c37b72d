//! Registries of images, as the OCI's distribution specification has them. Layers pass by in both directions: what
//! breaks off is read again from its source and gone on with.

mod address;
mod answer;
mod certificates;
mod challenge;
mod client;
mod cloud;
mod credentials;
mod http;
mod pull;
mod push;
mod referrers;
mod token;

use std::sync::Arc;

pub use client::RegistryOptions;
pub use cloud::CloudEnvironment;
pub use credentials::Credentials;
pub use pull::RegistrySource;
pub use push::RegistryTarget;

use crate::digest::Digest;
use crate::error::ImageError;
use crate::reference::Reference;
use client::Client;
use token::Scope;

/// The most tags of a repository that are listed, and pages of them.
const MOST_TAGS: usize = 100_000;
const MOST_PAGES: usize = 1_000;
/// The largest page.
const MOST_PAGE: u64 = 4 << 20;

/// A repository of a registry.
pub struct Repository {
    client: Arc<Client>,
    reference: Reference,
}

impl Repository {
    /// The repository of a reference. Nothing is asked yet.
    pub fn new(reference: &Reference, options: &RegistryOptions) -> Result<Self, ImageError> {
        let client = Arc::new(Client::new(&reference.registry, options)?);
        Ok(Self { client, reference: reference.clone() })
    }

    /// The digest of the image that the reference names; None where the registry says that it has none.
    pub fn exists(&self) -> Result<Option<Digest>, ImageError> {
        let answer = self.client.head_manifest(&self.reference)?;
        match answer.status {
            200 => answer.digest().map(Some),
            404 => Ok(None),
            // the answer to HEAD has no text: that to GET says why
            _ => pull::root(&self.client, &self.reference).map(|content| Some(content.descriptor.digest)),
        }
    }

    /// The tags of the repository.
    pub fn tags(&self) -> Result<Vec<String>, ImageError> {
        #[derive(serde::Deserialize)]
        struct Page {
            #[serde(default)]
            tags: Option<Vec<String>>,
        }
        let repository = &self.reference.repository;
        let what = format!("the tags of {}", self.reference.name());
        let scope = Scope::pull(repository);
        let mut tags = Vec::new();
        let mut next = Some(self.client.url(&format!("/v2/{repository}/tags/list?n=1000"))?);
        for _ in 0..MOST_PAGES {
            let Some(url) = next else {
                tags.sort();
                return Ok(tags);
            };
            let answer = self.client.get(&url, &scope, &[])?.expect(&[200], &what)?;
            next = answer.next_page(&url)?;
            let text = answer.text(MOST_PAGE, &what)?;
            let page: Page =
                serde_json::from_slice(&text).map_err(|e| ImageError::bad(&what, e.to_string()))?;
            tags.extend(page.tags.unwrap_or_default());
            if tags.len() > MOST_TAGS {
                break;
            }
        }
        Err(ImageError::bad(
            what,
            format!("there are more than {MOST_TAGS}, or more than {MOST_PAGES} pages of them"),
        ))
    }

    /// Deletes the image that the reference names, under all its tags; its digest.
    pub fn delete(&self) -> Result<Digest, ImageError> {
        let what = self.reference.to_string();
        let digest = self.exists()?.ok_or_else(|| ImageError::Absent(format!("{what} is not there")))?;
        let repository = &self.reference.repository;
        let url = self.client.url(&format!("/v2/{repository}/manifests/{digest}"))?;
        let answer = self.client.request("DELETE", &url, &Scope::all(repository), &[], &[])?;
        if answer.status == 405 {
            return Err(ImageError::Refused(format!(
                "{what}: the registry does not allow that images are deleted"
            )));
        }
        answer.expect(&[200, 202, 204], &what)?;
        Ok(digest)
    }
}
