//! From what was typed to what is read and written.

use portend_image::{
    ArchiveSource, ArchiveTarget, Copied, ImageError, LayoutSource, LayoutTarget, Location, Reference,
    Source, Target,
};

use crate::CommandError;
use crate::package::inspect::size;

pub(super) fn source(location: &Location) -> Result<Box<dyn Source>, CommandError> {
    Ok(match location {
        Location::Registry(reference) => return Err(unreached(reference)),
        Location::Layout(folder, tag) => Box::new(LayoutSource::open(folder, tag.as_deref())?),
        Location::Archive(path, _, name) => Box::new(ArchiveSource::open(path, name.as_ref())?),
    })
}

/// What a target is told beside where it lies.
pub(super) struct TargetOptions<'a> {
    /// The name in an archive.
    pub(super) name: Option<&'a str>,
    /// Where the image comes from, after which it is called where no name is given.
    pub(super) from: Option<&'a Location>,
    /// Whether an archive that is there is replaced.
    pub(super) force: bool,
}

pub(super) fn target(
    location: &Location,
    options: &TargetOptions<'_>,
) -> Result<Box<dyn Target>, CommandError> {
    Ok(match location {
        Location::Registry(reference) => return Err(unreached(reference)),
        Location::Layout(folder, tag) => Box::new(LayoutTarget::create(folder, tag.as_deref())?),
        Location::Archive(path, kind, name) => {
            let given = options.name.map(Reference::parse).transpose()?;
            let name = name.clone().or(given).or_else(|| options.from.and_then(name_of));
            Box::new(ArchiveTarget::create(path, *kind, name.as_ref(), options.force)?)
        }
    })
}

fn unreached(reference: &Reference) -> CommandError {
    let reason =
        format!("'{reference}' is in a registry: only archives and layouts (oci:DIRECTORY) are read so far");
    ImageError::Name(reason).into()
}

/// The name that a place gives to its image.
fn name_of(location: &Location) -> Option<Reference> {
    match location {
        Location::Registry(reference) => Some(reference.clone()),
        Location::Archive(_, _, name) => name.clone(),
        Location::Layout(..) => None,
    }
}

#[expect(clippy::print_stderr, reason = "what was sent is not the result")]
pub(super) fn tell(copied: &Copied) {
    let (sent, there) = (copied.sent, copied.there);
    eprintln!("blobs: {} sent, {}; {} there, {}", sent.0, size(sent.1), there.0, size(there.1));
}
