//! Artifacts in folders, in S3, Google Cloud Storage, Azure Blob Storage, and on web servers: how each of them is asked,
//! with which credentials, and how an upload that was cut off is gone on with. What a store is, `portend-core` says; what
//! lies in one is for others to know.

#![forbid(unsafe_code)]

mod agent;
mod cloud;
mod connector;
mod credentials;
mod file;
mod journal;
mod netrc;
mod settings;
mod trouble;
mod upload;
mod variable;
mod verified;
mod web;

use std::sync::Arc;

use portend_core::{ArtifactError, ArtifactStore, ArtifactUrl, Scheme};

pub use file::{FileContent, FileStore, ReceivedFile};
pub use settings::StoreSettings;

/// The store that a URL lies in. Nothing is asked of it yet.
pub fn open(url: &ArtifactUrl, settings: &StoreSettings) -> Result<Arc<dyn ArtifactStore>, ArtifactError> {
    Ok(match url.scheme {
        Scheme::File => Arc::new(FileStore),
        Scheme::S3 => Arc::new(credentials::amazon(&url.bucket, settings)?),
        Scheme::Gs => Arc::new(credentials::google(&url.bucket, settings)?),
        Scheme::Az => Arc::new(credentials::azure(&url.bucket, settings)?),
        Scheme::Http | Scheme::Https => Arc::new(web::WebStore::new(url, settings)?),
    })
}
