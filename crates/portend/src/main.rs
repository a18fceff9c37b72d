//! The command line: reads arguments and environment, wires the crates together, says what went wrong.
//! Exit codes: 0 done, 1 failed while running or loading, 2 wrong arguments (names of images and places included, and what `package diff`
//! cannot read), 64 wrong settings, 141 nobody reads the output any more.

#![forbid(unsafe_code)]

mod arguments;
mod artifact;
mod configuration;
mod demo;
mod image;
mod openapi;
mod package;
mod serve;

use std::io::{ErrorKind, Write, stderr};
use std::process::ExitCode;

use arguments::{Arguments, Command};
use clap::Parser;
use mimalloc::MiMalloc;
use portend_image::ImageError;
use portend_server::StartError;

/// glibc's allocator keeps memory for each thread that ever needed much.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
enum CommandError {
    /// A setting that cannot be used.
    #[error("{0}")]
    Setting(String),
    /// The server did not start or ended early.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The server did not start, because of what settings say.
    #[error("{settings}: {source}")]
    StartBySetting {
        /// Where they stand.
        settings: String,
        /// Why.
        source: StartError,
    },
    /// The system refused something.
    #[error("{what}: {source}")]
    Io {
        /// What was attempted.
        what: &'static str,
        /// What the system said.
        source: std::io::Error,
    },
    /// The server was told to stop, and ended before all requests were answered.
    #[error("requests that were running were cut off")]
    CutOff,
    /// Standard output takes nothing.
    #[error("cannot print: {0}")]
    Print(std::io::Error),
    /// A package that is not made, read or signed.
    #[error("{0}")]
    Package(String),
    /// A package that cannot be compared because it cannot be read.
    #[error("{0}")]
    Incomparable(String),
    /// A place that cannot be meant.
    #[error("{0}")]
    Place(String),
    /// A file in a store that is not read, written or deleted.
    #[error("{0}")]
    Artifact(String),
    /// An image that is not built, read or moved.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// The demo's own request failed.
    #[error("the demo failed: {0}")]
    Demo(String),
}

fn main() -> ExitCode {
    let done = |()| ExitCode::SUCCESS;
    let outcome = match Arguments::parse().command {
        Command::Serve(arguments) => serve::run(&arguments).map(done),
        Command::Package(command) => package::run(&command),
        Command::Image(command) => image::run(&command),
        Command::Artifact(command) => artifact::run(&command).map(done),
        Command::Openapi(arguments) => openapi::run(&arguments).map(done),
        Command::Demo(arguments) => demo::run(&arguments).map(done),
    };
    outcome.unwrap_or_else(|error| fail(&error))
}

/// Says why a command failed, if that can be said, and gives its exit code.
fn fail(error: &CommandError) -> ExitCode {
    let code = match error {
        CommandError::Print(source) if source.kind() == ErrorKind::BrokenPipe => return ExitCode::from(141),
        CommandError::Setting(_) | CommandError::Start(StartError::Tls(_)) => 64,
        CommandError::Incomparable(_) | CommandError::Place(_) | CommandError::Image(ImageError::Name(_)) => {
            2
        }
        _ => 1,
    };
    _ = writeln!(stderr(), "portend: {error}");
    ExitCode::from(code)
}

/// The threads that read and write; scoring has its own.
fn runtime() -> Result<tokio::runtime::Runtime, CommandError> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|source| CommandError::Io { what: "cannot start threads", source })
}
