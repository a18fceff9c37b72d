//! `portend image`: reads files, flags and environment, has the image crate do the work, prints what became of it.

pub(crate) mod arguments;
mod inspect;
mod place;

use std::process::ExitCode;

use portend_image::{Location, copy};

use crate::CommandError;
use crate::package::print;
use arguments::{CopyArguments, ImageCommand, SaveArguments};
use place::{TargetOptions, source, target};

pub(crate) fn run(command: &ImageCommand) -> Result<ExitCode, CommandError> {
    match command {
        ImageCommand::Copy(arguments) => copied(arguments),
        ImageCommand::Save(arguments) => save(arguments),
        ImageCommand::Inspect(arguments) => inspect::run(arguments),
    }?;
    Ok(ExitCode::SUCCESS)
}

fn copied(arguments: &CopyArguments) -> Result<(), CommandError> {
    let CopyArguments { from, to, platform, name, force } = arguments;
    transfer(&Location::parse(from)?, &Location::parse(to)?, platform, name.as_deref(), *force)
}

fn save(arguments: &SaveArguments) -> Result<(), CommandError> {
    let SaveArguments { from, out, platform, name, force } = arguments;
    let to = Location::parse(out)?;
    if !matches!(to, Location::Archive(..)) {
        return Err(CommandError::Setting(format!(
            "--out is '{out}': an archive is needed, such as churn.tar"
        )));
    }
    transfer(&Location::parse(from)?, &to, platform, name.as_deref(), *force)
}

/// Copies, and prints the digest that the target's name leads to; what was sent is told beside.
fn transfer(
    from: &Location,
    to: &Location,
    platform: &arguments::PlatformArgument,
    name: Option<&str>,
    force: bool,
) -> Result<(), CommandError> {
    let platform = platform.parse()?;
    let source = source(from)?;
    let target = target(to, &TargetOptions { name, from: Some(from), force })?;
    let copied = copy(&*source, &*target, platform.as_ref())?;
    place::tell(&copied);
    print(&format!("{}\n", copied.digest));
    Ok(())
}
