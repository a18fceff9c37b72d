//! What can be typed after `portend image`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use portend_image::Platform;

use crate::CommandError;
use crate::package::arguments::{FormArgument, TrustArguments};

/// Build, push, pull, copy, save and inspect container images, without a container engine
#[derive(Debug, Subcommand)]
pub(crate) enum ImageCommand {
    Build(Box<BuildArguments>),
    Push(PushArguments),
    Pull(PullArguments),
    Copy(CopyArguments),
    Save(SaveArguments),
    Inspect(InspectArguments),
    /// Ask a registry whether it has an image: exit code 0 and its digest, 1 if not, 2 if that cannot be told
    Exists(NamedArguments),
    /// List the tags of a repository
    Tags(NamedArguments),
    /// Delete an image from a registry, under all its tags
    Delete(NamedArguments),
}

/// Build an image that serves a model: the same input gives the same digest on every machine and day
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  portend image build churn.mlpkg --to churn.tar\n  portend image build churn.mlpkg --to \
                        oci:images:churn-3 --dry-run\n  portend image build --self --to portend.tar.zst\n\nThe image \
                        starts `portend serve` on port 8080 as user 65532 and needs no writable file system. The model \
                        is loaded and its samples are scored first: one that would not be served is not built."
)]
pub(crate) struct BuildArguments {
    /// A package or a model file
    #[arg(required_unless_present = "self_alone", conflicts_with = "self_alone")]
    pub(crate) model: Option<PathBuf>,
    /// Build the server alone; it serves what is mounted at /opt/ml/model
    #[arg(long = "self")]
    pub(crate) self_alone: bool,
    /// Where the image goes: see `portend image copy --help`
    #[arg(long, value_name = "PLACE", required_unless_present = "dry_run")]
    pub(crate) to: Option<String>,
    /// Show what would be built, with all digests, and write nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    #[command(flatten)]
    pub(crate) form: FormArgument,
    /// The portend program that goes into the image; given once for each processor (amd64, arm64) it makes an image for
    /// all of them. Default: this program
    #[arg(long, value_name = "FILE")]
    pub(crate) binary: Vec<PathBuf>,
    /// The image to build on. Default: nothing, for which the program must be a static build
    #[arg(long, value_name = "PLACE")]
    pub(crate) base: Option<String>,
    /// Install the Python packages of the package's requirements.txt for this version, such as 3.12, as a layer at
    /// /opt/python; needs uv, and a base with that Python to be of use
    #[arg(long, value_name = "VERSION", requires = "base")]
    pub(crate) python: Option<String>,
    /// What the image is called in an archive. Default: portend/ID:VERSION
    #[arg(long, value_name = "NAME:TAG")]
    pub(crate) name: Option<String>,
    /// Something else to say of the image, in its labels and annotations; may be repeated
    #[arg(long, value_name = "KEY=VALUE")]
    pub(crate) label: Vec<String>,
    /// When the image was made, as 2026-01-31T12:00:00Z. Default: the environment's SOURCE_DATE_EPOCH, else the time in
    /// the package, else it is left out
    #[arg(long, value_name = "TIME")]
    pub(crate) created: Option<String>,
    /// How layers are compressed
    #[arg(long, value_enum, default_value_t = CompressionForm::Gzip)]
    pub(crate) compression: CompressionForm,
    /// Do not attach a bill of materials and provenance. They go to registries, and to OCI layouts with a tag
    #[arg(long)]
    pub(crate) no_attestations: bool,
    /// Replace an archive that is there
    #[arg(long)]
    pub(crate) force: bool,
    #[command(flatten)]
    pub(crate) trust: TrustArguments,
    #[command(flatten)]
    pub(crate) progress: ProgressArguments,
    #[command(flatten)]
    pub(crate) registry: RegistryArguments,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum CompressionForm {
    /// Read by everything
    Gzip,
    /// Smaller and faster; needs containerd 1.5, Docker 23 or podman
    Zstd,
    /// As they are
    None,
}

/// What is told of a copy while it runs, on standard error.
#[derive(Debug, Args)]
pub(crate) struct ProgressArguments {
    /// How it is told how far a copy is: a bar for each layer, a line now and then, or not at all. Default: bars on a
    /// terminal, lines elsewhere
    #[arg(long, value_enum, default_value_t = ProgressForm::Auto, hide_default_value = true, value_name = "FORM")]
    pub(crate) progress: ProgressForm,
    /// Print the result and errors only
    #[arg(long, short = 'q')]
    pub(crate) quiet: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ProgressForm {
    /// Bars on a terminal, lines elsewhere
    Auto,
    /// A bar for each layer
    Bars,
    /// A line now and then
    Plain,
    /// Nothing
    None,
}

/// How registries are reached. Credentials are those of docker login and podman login where none are given.
#[derive(Debug, Args)]
#[command(next_help_heading = "Registries")]
pub(crate) struct RegistryArguments {
    /// The name to log in with
    #[arg(long, value_name = "NAME", requires = "password_file")]
    pub(crate) username: Option<String>,
    /// A file with the password or token
    #[arg(long, value_name = "FILE", requires = "username")]
    pub(crate) password_file: Option<PathBuf>,
    /// A file (PEM) with certificate authorities to trust beside the system's; may be repeated
    #[arg(long, value_name = "FILE")]
    pub(crate) ca_file: Vec<PathBuf>,
    /// A directory with authorities (*.crt) and a certificate to show (*.cert with *.key). Default: the registry's in
    /// ~/.config/containers/certs.d, /etc/containers/certs.d or /etc/docker/certs.d
    #[arg(long, value_name = "DIR")]
    pub(crate) cert_dir: Option<PathBuf>,
    /// A registry that may have a certificate that nobody vouches for, or none; may be repeated. One on this machine
    /// needs none anyway
    #[arg(long, value_name = "HOST[:PORT]")]
    pub(crate) insecure_registry: Vec<String>,
}

/// What all commands that copy are told at the end.
#[derive(Debug, Args)]
pub(crate) struct TransferArguments {
    #[command(flatten)]
    pub(crate) progress: ProgressArguments,
    #[command(flatten)]
    pub(crate) registry: RegistryArguments,
}

/// Whether an image goes alone.
#[derive(Debug, Args)]
pub(crate) struct ReferrersArgument {
    /// Take along what is about the image: bills of materials, provenance, signatures
    #[arg(long)]
    pub(crate) referrers: bool,
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
const PLACES: &str = "Places:\n  registry.example/team/churn:3           an image in a registry; also with docker:// before \
                      it\n  churn.tar, churn.tar.gz, churn.tar.zst  an archive that docker load, podman and skopeo \
                      read\n  oci:DIRECTORY:TAG                       an OCI layout\n  oci-archive:FILE, \
                      docker-archive:FILE     an archive of one kind only\nA name may follow an archive: \
                      churn.tar:team/churn:3";

/// Push an image to a registry
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  portend image push churn.tar registry.example/team/churn:3\n\nWhat the registry has \
                        already is not sent again. The digest is printed when the registry names the image by it."
)]
pub(crate) struct PushArguments {
    /// Where the image lies: see `portend image copy --help`
    pub(crate) from: String,
    /// The name in the registry
    pub(crate) name: String,
    #[command(flatten)]
    pub(crate) platform: PlatformArgument,
    #[command(flatten)]
    pub(crate) referrers: ReferrersArgument,
    #[command(flatten)]
    pub(crate) transfer: TransferArguments,
}

/// Pull an image from a registry
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  portend image pull registry.example/team/churn:3 oci:images:churn-3\n\nA pull into an OCI \
                        layout that was cut off goes on where it was."
)]
pub(crate) struct PullArguments {
    /// The name in the registry
    pub(crate) name: String,
    /// Where the image goes: see `portend image copy --help`
    pub(crate) to: String,
    #[command(flatten)]
    pub(crate) platform: PlatformArgument,
    #[command(flatten)]
    pub(crate) referrers: ReferrersArgument,
    /// Replace an archive that is there
    #[arg(long)]
    pub(crate) force: bool,
    #[command(flatten)]
    pub(crate) transfer: TransferArguments,
}

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
    #[command(flatten)]
    pub(crate) referrers: ReferrersArgument,
    /// What the image is called in an archive. Default: what it is called where it comes from
    #[arg(long, value_name = "NAME:TAG")]
    pub(crate) name: Option<String>,
    /// Replace an archive that is there
    #[arg(long)]
    pub(crate) force: bool,
    #[command(flatten)]
    pub(crate) transfer: TransferArguments,
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
    #[command(flatten)]
    pub(crate) transfer: TransferArguments,
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
    #[command(flatten)]
    pub(crate) registry: RegistryArguments,
}

/// An image in a registry, or its repository.
#[derive(Debug, Args)]
pub(crate) struct NamedArguments {
    /// The name in the registry
    pub(crate) name: String,
    #[command(flatten)]
    pub(crate) registry: RegistryArguments,
}
