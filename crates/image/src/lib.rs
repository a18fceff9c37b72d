//! Container images without a container engine: read from and written to registries, OCI layouts and archives.
//! It knows images and nothing of models; what goes into an image it is told, and it prints nothing.

#![forbid(unsafe_code)]

mod archive;
mod attestation;
mod build;
mod copy;
mod digest;
mod document;
mod error;
mod inspect;
mod layout;
mod location;
mod platform;
mod progress;
mod reference;
mod referrers;
mod registry;
mod scratch;
mod section;
mod store;

pub use archive::{ArchiveSource, ArchiveTarget};
pub use attestation::{Bill, Component, Material, Provenance};
pub use build::{
    Between, Binary, Built, BuiltFrom, Compression, FileContent, Layer, LayerFile, Recipe, build,
};
pub use copy::{Copied, CopyOptions, copy};
pub use digest::Digest;
pub use document::{Content, Descriptor, Document, Index, Manifest, media};
pub use error::ImageError;
pub use inspect::{InspectedImage, Inspection, inspect};
pub use layout::{LayoutSource, LayoutTarget};
pub use location::{ArchiveKind, Location};
pub use platform::Platform;
pub use progress::Progress;
pub use reference::Reference;
pub use registry::{
    CloudEnvironment, Credentials, RegistryOptions, RegistrySource, RegistryTarget, Repository,
};
pub use store::{Source, Target};
