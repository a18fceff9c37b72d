//! Tests of the whole program: the real binary as its users meet it, and rules that hold for the whole repository.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout)] // a test may fail loudly and print

mod access;
mod arrows;
mod association_ids;
mod bad_inputs;
mod cache;
mod command_line;
mod configuration;
mod connection;
mod contract_refusals;
mod contracts;
mod crowd;
mod dashboard;
mod documents;
mod effects;
mod grpc;
mod grpc_connection;
mod grpc_refusals;
mod http2_attacks;
mod https;
mod image_build;
mod image_registry;
mod life_cycle;
mod memory;
mod metrics;
mod numbers;
mod openapi;
mod output_nobody_reads;
mod overload;
mod package_commands;
mod package_create;
mod package_place;
mod package_sign;
mod package_tools;
mod package_training;
mod protobuf;
mod readme;
mod reload;
mod running_server;
mod scenarios;
mod seldon;
mod seldon_grpc;
mod seldon_refusals;
mod stores;
mod traces;
mod uploads;
mod v2;
mod v2_refusals;

use std::path::PathBuf;
use std::process::Command;

/// A place in the repository, by what cargo says as it runs a test: a build may be of another folder's clone.
fn repository(inside: &str) -> PathBuf {
    PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR").unwrap()).join("../..").join(inside)
}

/// True when the expected outputs are to be written instead of compared.
fn blessing() -> bool {
    std::env::var_os("PORTEND_BLESS").is_some_and(|value| value == "1")
}

/// True when a program can be run. CI must have it; elsewhere its absence is said aloud.
fn is_here(program: &str, needed_by: &str) -> bool {
    let found = Command::new("sh").args(["-c", &format!("command -v {program}")]).output();
    let here = found.is_ok_and(|done| done.status.success());
    assert!(here || std::env::var("CI").as_deref() != Ok("true"), "{needed_by} need {program}: install it");
    if !here {
        println!("!!!!!!!! LEFT OUT: {needed_by}, because {program} is not installed !!!!!!!!");
    }
    here
}
