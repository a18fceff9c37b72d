//! What can be typed. The texts here are the reference: `--help` prints them and the generated page repeats them.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

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
    Demo(DemoArguments),
}

/// Serve a model, a package, or a repository of them over HTTP
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  portend serve model.json\n  portend serve churn.mlpkg --port 9000\n  \
                        portend serve models/          # models/fraud/x.mlpkg answers as /deployments/fraud")]
pub(crate) struct ServeArguments {
    /// A model file (XGBoost JSON or UBJSON, LightGBM text), a package (.mlpkg, or a directory with portend.json), or
    /// a directory with one sub-directory per model. Default: the environment's
    /// PREDICTION_API_MODEL_REPOSITORY_PATH, else /opt/ml/model/
    pub(crate) path: Option<PathBuf>,
    /// The address to listen on; 0.0.0.0 for all
    #[arg(long, default_value = "127.0.0.1")]
    pub(crate) host: String,
    /// The port to listen on; 0 takes a free one. The address is printed on standard error. Default: 8080, or 8443
    /// with HTTPS
    #[arg(long)]
    pub(crate) port: Option<u16>,
    /// How many requests score at once. Default: the environment's PREDICTION_API_WORKERS, else all cores
    #[arg(long, value_name = "N")]
    pub(crate) workers: Option<usize>,
    /// The target's name in answers, for model files without a package
    #[arg(long, value_name = "NAME", default_value = "target")]
    pub(crate) target: String,
    /// Write no line per request to standard error
    #[arg(long)]
    pub(crate) no_access_log: bool,
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
