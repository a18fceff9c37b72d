//! Tests of the whole program: the real binary as its users meet it, and rules that hold for the whole repository.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout)] // a test may fail loudly and print

mod arrows;
mod bad_inputs;
mod cache;
mod command_line;
mod connection;
mod documents;
mod memory;
mod numbers;
mod output_nobody_reads;
mod reload;
mod running_server;
mod scenarios;
mod uploads;

use std::path::PathBuf;

/// A place in the repository.
fn repository(inside: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../..")).join(inside)
}

/// True when the expected outputs are to be written instead of compared.
fn blessing() -> bool {
    std::env::var_os("PORTEND_BLESS").is_some_and(|value| value == "1")
}
