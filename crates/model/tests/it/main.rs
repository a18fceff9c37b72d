//! Integration tests of the model crate: one module per subject.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout)] // a test may fail loudly and print

mod facts;
mod golden;
mod hostile;
mod parquet;

/// A place in the repository, by what cargo says as it runs a test: a build may be of another folder's clone.
fn repository(inside: &str) -> std::path::PathBuf {
    std::path::PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR").unwrap()).join("../..").join(inside)
}
