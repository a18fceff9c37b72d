//! Images in tar archives: OCI layouts, what `docker load` reads, and both in one. Nothing is ever unpacked to where
//! an archive says: its names are keys into it and no paths.

mod docker;
mod read;
mod tar_index;
mod write;

pub use read::ArchiveSource;
pub use write::ArchiveTarget;

/// The list of images that `docker load` reads.
const DOCKER_FILE: &str = "manifest.json";
