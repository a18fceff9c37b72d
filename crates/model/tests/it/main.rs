//! Integration tests of the model crate: one module per subject.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout)] // a test may fail loudly and print

mod facts;
mod golden;
mod hostile;
mod parquet;
