//! `portend image`: reads files, flags and environment, has the image crate do the work, prints what became of it.

pub(crate) mod arguments;
mod attestation;
mod build;
mod dependencies;
mod inspect;
mod place;
mod progress;
mod requirements;

use std::process::ExitCode;

use portend_image::{CopyOptions, Location, Platform, Reference, Repository, copy};

use crate::CommandError;
use crate::package::{print, table};
use arguments::{
    CopyArguments, ImageCommand, NamedArguments, PullArguments, PushArguments, SaveArguments,
    TransferArguments,
};
use place::{TargetOptions, source, target};

pub(crate) fn run(command: &ImageCommand) -> Result<ExitCode, CommandError> {
    match command {
        ImageCommand::Build(arguments) => build::run(arguments),
        ImageCommand::Push(arguments) => push(arguments),
        ImageCommand::Pull(arguments) => pull(arguments),
        ImageCommand::Copy(arguments) => copied(arguments),
        ImageCommand::Save(arguments) => save(arguments),
        ImageCommand::Inspect(arguments) => inspect::run(arguments),
        ImageCommand::Exists(arguments) => return exists(arguments),
        ImageCommand::Tags(arguments) => tags(arguments),
        ImageCommand::Delete(arguments) => delete(arguments),
    }?;
    Ok(ExitCode::SUCCESS)
}

fn push(arguments: &PushArguments) -> Result<(), CommandError> {
    let PushArguments { from, name, platform, referrers, transfer } = arguments;
    let (platform, referrers) = (platform.parse()?, referrers.referrers);
    let options = Options { platform, name: None, force: false, referrers, transfer };
    carry(&Location::parse(from)?, &Location::Registry(named(name)?), &options)
}

fn pull(arguments: &PullArguments) -> Result<(), CommandError> {
    let PullArguments { name, to, platform, referrers, force, transfer } = arguments;
    let (platform, referrers, force) = (platform.parse()?, referrers.referrers, *force);
    let options = Options { platform, name: None, force, referrers, transfer };
    carry(&Location::Registry(named(name)?), &Location::parse(to)?, &options)
}

fn named(name: &str) -> Result<Reference, CommandError> {
    Ok(Reference::parse(name.strip_prefix("docker://").unwrap_or(name))?)
}

/// Whether an image is there. Only a registry that was asked and says no makes it absent.
fn exists(arguments: &NamedArguments) -> Result<ExitCode, CommandError> {
    let reference = named(&arguments.name)?;
    let found =
        arguments.registry.options().and_then(|options| Ok(Repository::new(&reference, &options)?.exists()?));
    match found.map_err(|e| CommandError::Incomparable(e.to_string()))? {
        Some(digest) => print(&format!("{digest}\n")),
        None => {
            print(&format!("{reference} is not there\n"));
            return Ok(ExitCode::FAILURE);
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn tags(arguments: &NamedArguments) -> Result<(), CommandError> {
    let tags = Repository::new(&named(&arguments.name)?, &arguments.registry.options()?)?.tags()?;
    print(&tags.iter().map(|tag| format!("{}\n", table::printable(tag))).collect::<String>());
    Ok(())
}

fn delete(arguments: &NamedArguments) -> Result<(), CommandError> {
    let digest = Repository::new(&named(&arguments.name)?, &arguments.registry.options()?)?.delete()?;
    print(&format!("{digest}\n"));
    Ok(())
}

fn copied(arguments: &CopyArguments) -> Result<(), CommandError> {
    let CopyArguments { from, to, platform, referrers, name, force, transfer } = arguments;
    let (platform, referrers, force) = (platform.parse()?, referrers.referrers, *force);
    let options = Options { platform, name: name.as_deref(), force, referrers, transfer };
    carry(&Location::parse(from)?, &Location::parse(to)?, &options)
}

fn save(arguments: &SaveArguments) -> Result<(), CommandError> {
    let SaveArguments { from, out, platform, name, force, transfer } = arguments;
    let to = Location::parse(out)?;
    if !matches!(to, Location::Archive(..)) {
        return Err(CommandError::Setting(format!(
            "--out is '{out}': an archive is needed, such as churn.tar"
        )));
    }
    let (platform, force) = (platform.parse()?, *force);
    let options = Options { platform, name: name.as_deref(), force, referrers: false, transfer };
    carry(&Location::parse(from)?, &to, &options)
}

/// What all commands that copy are told.
struct Options<'a> {
    platform: Option<Platform>,
    name: Option<&'a str>,
    force: bool,
    referrers: bool,
    transfer: &'a TransferArguments,
}

/// Copies, and prints the digest that the target's name leads to; what was sent is told beside.
fn carry(from: &Location, to: &Location, options: &Options<'_>) -> Result<(), CommandError> {
    let TransferArguments { progress: told, registry } = options.transfer;
    place::one_login(&[from, to], registry)?;
    let source = source(from, registry)?;
    let wanted = TargetOptions { name: options.name, known_as: source.name(), force: options.force };
    let target = target(to, &wanted, registry)?;
    let progress = progress::of(told);
    let (platform, referrers) = (options.platform.as_ref(), options.referrers);
    let what = CopyOptions { platform, referrers, progress: progress.as_deref() };
    let copied = copy(&*source, &*target, &what)?;
    if !told.quiet {
        place::tell(&copied);
    }
    print(&format!("{}\n", copied.digest));
    Ok(())
}
