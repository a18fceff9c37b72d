//! `portend package`: reads files and environment, has the model crate do the work, prints what became of it.

pub(crate) mod arguments;
mod create;
mod diff;
pub(crate) mod inspect;
mod replace;
mod sign;
pub(crate) mod table;
pub(crate) mod trust;
mod verify;

use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::CommandError;
use arguments::PackageCommand;

pub(crate) fn run(command: &PackageCommand) -> Result<ExitCode, CommandError> {
    match command {
        PackageCommand::Create(arguments) => create::run(arguments),
        PackageCommand::Inspect(arguments) => inspect::run(arguments),
        PackageCommand::Verify(arguments) => verify::run(arguments),
        PackageCommand::Sign(arguments) => sign::run(arguments),
        PackageCommand::Diff(arguments) => diff::run(arguments),
    }
}

/// Prints a result.
#[expect(clippy::print_stdout, reason = "results go to standard output")]
pub(crate) fn print(text: &str) {
    print!("{text}");
}

pub(crate) fn print_json(value: &impl serde::Serialize) -> Result<(), CommandError> {
    let text = serde_json::to_string_pretty(value);
    print(&format!("{}\n", text.map_err(|e| CommandError::Package(e.to_string()))?));
    Ok(())
}

/// The time that was given, or the one of the environment's `SOURCE_DATE_EPOCH`, as RFC 3339.
pub(crate) fn created(given: Option<&str>) -> Result<Option<String>, CommandError> {
    if let Some(text) = given {
        let time = humantime::parse_rfc3339(text).map_err(|_| {
            CommandError::Setting(format!("--created is '{text}': a time as 2026-01-31T12:00:00Z is needed"))
        })?;
        return Ok(Some(rfc3339(time)));
    }
    let Some(text) = std::env::var("SOURCE_DATE_EPOCH").ok().filter(|text| !text.trim().is_empty()) else {
        return Ok(None);
    };
    // the last second that RFC 3339 can write is that of the year 9999
    let seconds = text.trim().parse().ok().filter(|seconds| *seconds < 253_402_300_800_u64);
    let time = seconds.map(|seconds| UNIX_EPOCH + Duration::from_secs(seconds));
    time.map(|time| Some(rfc3339(time))).ok_or_else(|| {
        CommandError::Setting(format!("SOURCE_DATE_EPOCH is '{text}': whole seconds since 1970 are needed"))
    })
}

fn rfc3339(time: SystemTime) -> String {
    humantime::format_rfc3339_seconds(time).to_string()
}

/// A file's name without its folders.
fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}
