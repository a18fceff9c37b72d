//! Opens a model package or a bare model file and turns rows into predictions.
//! Synchronous: no network, no async, no HTTP; who asked and in which protocol is not known here.

mod error;
pub mod frame;
mod model;
pub mod package;
mod predictions;
pub mod runtime;

pub use error::{DataError, LoadError};
pub use model::Model;
pub use package::Package;
pub use predictions::Predictions;
