//! The vocabulary that every other crate speaks: model ids, features, labels, targets, what builds images.
//! Plain values and pure rules; no I/O, no async, no HTTP, no serialisation.

#![forbid(unsafe_code)]

mod builder;
mod name;
mod schema;
mod shortened;

pub use builder::{BuildRequest, Builder, BuiltImage};
pub use name::{ModelId, ModelIdError};
pub use schema::{Dtype, Feature, Label, Target, TargetKind};
pub use shortened::{shortened, shortened_to};
