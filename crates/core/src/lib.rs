//! The vocabulary that every other crate speaks: model ids, features, labels, targets, artifacts and where they lie, what
//! builds images.
//! Plain values, pure rules, and traits that others implement; no I/O, no async, no HTTP, no serialisation.

#![forbid(unsafe_code)]

mod artifact;
mod builder;
mod name;
mod proxy;
mod schema;
mod shortened;

pub use artifact::{
    Access, Artifact, ArtifactError, ArtifactStore, ArtifactUrl, ArtifactUrlError, Artifacts, Content, Scheme,
};
pub use builder::{BuildRequest, Builder, BuiltImage};
pub use name::{ModelId, ModelIdError};
pub use proxy::Proxies;
pub use schema::{Dtype, Feature, Label, Target, TargetKind};
pub use shortened::{shortened, shortened_to};
