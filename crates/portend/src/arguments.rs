//! What can be typed. The texts here are the reference: `--help` prints them and the generated page repeats them.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::artifact::arguments::ArtifactCommand;
use crate::configuration::Flags;
use crate::image::arguments::ImageCommand;
use crate::package::arguments::PackageCommand;

/// From a trained model to a production endpoint.
#[derive(Debug, Parser)]
#[command(name = "portend", version, max_term_width = 100)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Serve(ServeArguments),
    #[command(subcommand)]
    Package(PackageCommand),
    #[command(subcommand)]
    Image(ImageCommand),
    #[command(subcommand)]
    Artifact(ArtifactCommand),
    Openapi(OpenapiArguments),
    Demo(DemoArguments),
}

/// Serve a model, a package, or a repository of them over HTTP
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  portend serve model.json\n  portend serve churn.mlpkg --port 9000\n  \
                        portend serve models/          # models/fraud/x.mlpkg answers as /deployments/fraud\n  \
                        portend serve s3://bucket/models/   # the same, in an object store")]
pub(crate) struct ServeArguments {
    #[command(flatten)]
    pub(crate) flags: Flags,
    /// The same as --access-log off
    #[arg(long, conflicts_with = "access-log", help_heading = "Listening")]
    pub(crate) no_access_log: bool,
    /// Settings, as TOML; portend.toml in the working directory, else /etc/portend/portend.toml, is read without it
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Print all settings with their values and where they come from, instead of serving: as a table, or as JSON
    #[arg(long, value_enum, value_name = "FORM", num_args = 0..=1, require_equals = true, default_missing_value = "table")]
    pub(crate) print_config: Option<PrintForm>,
}

/// How settings are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum PrintForm {
    Table,
    Json,
}

/// Print the OpenAPI document of a server, as it also stands at /openapi.json
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  portend openapi > openapi.json\n  portend openapi churn.mlpkg")]
pub(crate) struct OpenapiArguments {
    /// A model file or package, whose columns and labels the document then names
    pub(crate) model: Option<PathBuf>,
    /// The target's name, for a model file without a package
    #[arg(long, value_name = "NAME", default_value = "target")]
    pub(crate) target: String,
}

/// See it work: serve two bundled models, score bundled rows, show the curl to repeat it
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  portend demo --once")]
pub(crate) struct DemoArguments {
    /// The port to listen on. Default: 8080, or a free one when that is taken
    #[arg(long)]
    pub(crate) port: Option<u16>,
    /// End after the predictions are printed instead of serving on until Ctrl-C
    #[arg(long)]
    pub(crate) once: bool,
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_command_line_is_consistent() {
        use clap::CommandFactory;
        super::Arguments::command().debug_assert();
    }
}
