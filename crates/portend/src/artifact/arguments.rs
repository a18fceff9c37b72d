//! What can be typed after `portend artifact`.

use std::time::Duration;

use clap::{Args, Subcommand};

use crate::package::arguments::FormArgument;

/// List, copy, delete and share files in folders, S3, Google Cloud Storage, Azure Blob Storage and on web servers
#[derive(Debug, Subcommand)]
pub(crate) enum ArtifactCommand {
    Ls(LsArguments),
    Cp(CpArguments),
    Rm(RmArguments),
    Presign(PresignArguments),
}

/// The forms of places, as the help of the commands repeats them.
const PLACES: &str = "Places:\n  s3://bucket/key       Amazon S3, or what speaks its protocol\n  gs://bucket/key       Google \
                      Cloud Storage\n  az://container/key    Azure Blob Storage\n  https://host/path     a web server, or \
                      a signed URL of a store\n  file:///folder/file   or a path: this machine\n\nCredentials are those \
                      that the stores' own tools find.";

/// List what lies under a prefix, or in a bucket
#[derive(Debug, Args)]
#[command(after_help = PLACES)]
pub(crate) struct LsArguments {
    /// The place
    pub(crate) place: String,
    #[command(flatten)]
    pub(crate) form: FormArgument,
}

/// Copy a file from one place to another: large ones in parts, and an upload that was cut off is gone on with
#[derive(Debug, Args)]
#[command(after_help = PLACES)]
pub(crate) struct CpArguments {
    /// Where it lies
    pub(crate) from: String,
    /// Where it goes; under the name that it has, where this ends with a slash
    pub(crate) to: String,
    /// Copy everything under a prefix or folder
    #[arg(long, short)]
    pub(crate) recursive: bool,
    /// Replace what is there
    #[arg(long)]
    pub(crate) force: bool,
}

/// Delete a file
#[derive(Debug, Args)]
#[command(after_help = PLACES)]
pub(crate) struct RmArguments {
    /// The place
    pub(crate) place: String,
    /// Delete everything under a prefix as well: of models/churn and models/churn/1, but not models/churn2
    #[arg(long, short)]
    pub(crate) recursive: bool,
}

/// Print a URL with which anybody can get a file, or put it, for a time
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  portend artifact presign s3://models/churn.mlpkg --expires 1h")]
pub(crate) struct PresignArguments {
    /// The place
    pub(crate) place: String,
    /// How long the URL is good for: at most 7 days, and no longer than the credentials
    #[arg(long, value_name = "TIME", default_value = "1h", value_parser = humantime::parse_duration)]
    pub(crate) expires: Duration,
    /// For putting the file there instead of getting it
    #[arg(long)]
    pub(crate) put: bool,
}
