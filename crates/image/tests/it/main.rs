//! Tests of images as files: every form is read as it was written, and hostile ones are refused.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout)] // a test may fail loudly and print

mod hostile;
mod places;
mod referrers;
mod registry;
