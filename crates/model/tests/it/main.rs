//! Integration tests of the model crate: one module per subject.

mod golden;
mod hostile;
