//! What can be typed after `portend image`.

use clap::{Args, Subcommand};
use portend_image::Platform;

use crate::CommandError;
use crate::package::arguments::FormArgument;

/// Copy, save and inspect container images, without a container engine
#[derive(Debug, Subcommand)]
pub(crate) enum ImageCommand {
    Copy(CopyArguments),
    Save(SaveArguments),
    Inspect(InspectArguments),
}

/// Which of several images is meant.
#[derive(Debug, Args)]
pub(crate) struct PlatformArgument {
    /// The image for this system and processor, such as linux/arm64, where there are several. Default: all of them
    #[arg(long, value_name = "OS/ARCH")]
    platform: Option<String>,
}

impl PlatformArgument {
    pub(crate) fn parse(&self) -> Result<Option<Platform>, CommandError> {
        Ok(self.platform.as_deref().map(Platform::parse).transpose()?)
    }
}

/// The forms of places, as the help of several commands repeats them.
const PLACES: &str = "Places:\n  churn.tar, churn.tar.gz, churn.tar.zst  an archive that docker load, podman and skopeo \
                      read\n  oci:DIRECTORY:TAG                       an OCI layout\n  oci-archive:FILE, \
                      docker-archive:FILE     an archive of one kind only\nA name may follow an archive: \
                      churn.tar:team/churn:3";

/// Copy an image from one place to another
#[derive(Debug, Args)]
#[command(after_help = PLACES)]
pub(crate) struct CopyArguments {
    /// Where the image lies
    pub(crate) from: String,
    /// Where it goes
    pub(crate) to: String,
    #[command(flatten)]
    pub(crate) platform: PlatformArgument,
    /// What the image is called in an archive. Default: what it is called where it comes from
    #[arg(long, value_name = "NAME:TAG")]
    pub(crate) name: Option<String>,
    /// Replace an archive that is there
    #[arg(long)]
    pub(crate) force: bool,
}

/// Save an image as an archive for docker load, podman and skopeo
#[derive(Debug, Args)]
#[command(after_help = PLACES)]
pub(crate) struct SaveArguments {
    /// Where the image lies
    pub(crate) from: String,
    /// The archive: .tar, .tar.gz or .tar.zst
    #[arg(long, short = 'o', value_name = "FILE")]
    pub(crate) out: String,
    #[command(flatten)]
    pub(crate) platform: PlatformArgument,
    /// What the image is called in the archive. Default: what it is called where it comes from
    #[arg(long, value_name = "NAME:TAG")]
    pub(crate) name: Option<String>,
    /// Replace an archive that is there
    #[arg(long)]
    pub(crate) force: bool,
}

/// Show what an image is: digest, platforms, configuration, layers with their sizes
#[derive(Debug, Args)]
#[command(after_help = PLACES)]
pub(crate) struct InspectArguments {
    /// Where the image lies
    pub(crate) image: String,
    #[command(flatten)]
    pub(crate) platform: PlatformArgument,
    #[command(flatten)]
    pub(crate) form: FormArgument,
}
