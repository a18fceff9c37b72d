//! What can be typed after `portend package`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use portend_model::package::SignaturePolicy;

/// Make, inspect, verify, sign and compare packages
#[derive(Debug, Subcommand)]
pub(crate) enum PackageCommand {
    Create(Box<CreateArguments>),
    Inspect(InspectArguments),
    Verify(VerifyArguments),
    Sign(SignArguments),
    Diff(DiffArguments),
}

/// Make a package of a model file
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  portend package create model.json --target churn --training-data train.csv\n  \
                        portend package create model.txt --target revenue --samples rows.csv --expected rows.json\n\n\
                        What is not given is inferred, and told on standard error with where it comes from. The same \
                        input gives the same bytes on every machine."
)]
pub(crate) struct CreateArguments {
    /// A model file: XGBoost JSON or UBJSON, LightGBM text
    pub(crate) model: PathBuf,
    /// The target's name: part of the answer's column names, and its column in the training data. Default: target
    #[arg(long, value_name = "NAME")]
    pub(crate) target: Option<String>,
    /// What the model predicts: regression (or ranking, quantile, anomaly), binary, multiclass or multilabel. Default: what the model file says; another type is
    /// an error
    #[arg(long = "type", value_name = "TYPE")]
    pub(crate) task: Option<String>,
    /// The class labels in the order of the model's outputs: the label that was trained as 0 first. Default: the values
    /// of the target's column in the training data, in order; else 0, 1, …. One with a comma stands in double quotes
    #[arg(long, value_name = "A,B,…")]
    pub(crate) classes: Option<String>,
    /// The positive class of a binary model. Default: the second one
    #[arg(long, value_name = "CLASS")]
    pub(crate) positive_class: Option<String>,
    /// The positive class is predicted when its probability is greater than this. Default: 0.5
    #[arg(long, value_name = "0..1", allow_negative_numbers = true)]
    pub(crate) threshold: Option<f64>,
    /// The levels of a feature that the model reads as codes, the one of code 0 first, where the model file does not list
    /// them; may be repeated
    #[arg(long, value_name = "FEATURE=A,B,…")]
    pub(crate) levels: Vec<String>,
    /// The package's id. Default: the model file's name
    #[arg(long)]
    pub(crate) id: Option<String>,
    /// The package's name, for people
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// The package's version. Default: 1
    #[arg(long)]
    pub(crate) version: Option<String>,
    /// What the model is, in a sentence
    #[arg(long)]
    pub(crate) description: Option<String>,
    /// When the package was made, as 2026-01-31T12:00:00Z. Default: the environment's SOURCE_DATE_EPOCH, else it is
    /// left out
    #[arg(long, value_name = "TIME")]
    pub(crate) created: Option<String>,
    /// Something else to keep in the manifest; may be repeated
    #[arg(long, value_name = "KEY=VALUE")]
    pub(crate) metadata: Vec<String>,
    /// A further word that means "missing", such as '?'; may be repeated
    #[arg(long, value_name = "WORD")]
    pub(crate) missing_value: Vec<String>,
    /// Rows that the model was trained on (CSV): they give the types and ranges of features, class labels, the baseline
    /// for drift, background rows and, unless --samples does, sample rows
    #[arg(long, value_name = "FILE")]
    pub(crate) training_data: Option<PathBuf>,
    /// Sample rows (CSV, or JSON records) to check the model with whenever it is loaded
    #[arg(long, value_name = "FILE")]
    pub(crate) samples: Option<PathBuf>,
    /// What the training library predicts for the samples: {"predictions": [[…], …]}. Default: what this program
    /// predicts
    #[arg(long, value_name = "FILE", requires = "samples")]
    pub(crate) expected: Option<PathBuf>,
    /// Python packages to bring, each with its version: `portend image build --python` makes a layer of them
    #[arg(long, value_name = "FILE")]
    pub(crate) requirements: Option<PathBuf>,
    /// Where the package is written: a file, or a place in a store such as s3://bucket/models/, under its id where this
    /// ends with a slash. Default: ID.mlpkg in this directory
    #[arg(long, short = 'o', value_name = "PLACE")]
    pub(crate) out: Option<PathBuf>,
    /// Replace what is there
    #[arg(long)]
    pub(crate) force: bool,
}

/// Show what a package or model file is
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  portend package inspect churn.mlpkg")]
pub(crate) struct InspectArguments {
    /// A package or a model file, or the URL of one (s3://, gs://, az://, https://)
    pub(crate) path: PathBuf,
    #[command(flatten)]
    pub(crate) form: FormArgument,
}

/// How results are printed.
#[derive(Debug, Args)]
pub(crate) struct FormArgument {
    /// How the result is printed
    #[arg(long, value_enum, default_value_t = Form::Table)]
    pub(crate) output: Form,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Form {
    /// For people
    Table,
    /// For programs
    Json,
}

/// Check a package as a server does when it loads it: container, checksums, signature, manifest, model, samples
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  portend package verify churn.mlpkg --public-key ops.pub.pem\n\n\
                        The exit code is 0 when nothing failed, else 1.")]
pub(crate) struct VerifyArguments {
    /// A package or a model file, or the URL of one (s3://, gs://, az://, https://)
    pub(crate) path: PathBuf,
    #[command(flatten)]
    pub(crate) trust: TrustArguments,
}

/// Whose packages are trusted.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct TrustArguments {
    /// What is done about packages that none of the public keys signed: nothing (off), a warning (warn), or they are
    /// refused (require). Default: the environment's PORTEND_SIGNATURE_POLICY; else require when there is a public key,
    /// and off when there is none
    #[arg(long, value_enum, value_name = "POLICY", hide_possible_values = true)]
    pub(crate) signature_policy: Option<Policy>,
    /// A public key (PEM, Ed25519) that packages may be signed with; may be repeated. Default: the
    /// environment's PORTEND_SIGNATURE_PUBLIC_KEYS, files with ':' between them
    #[arg(long, value_name = "FILE")]
    pub(crate) public_key: Vec<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Policy {
    Off,
    Warn,
    Require,
}

impl From<Policy> for SignaturePolicy {
    fn from(policy: Policy) -> Self {
        match policy {
            Policy::Off => Self::Off,
            Policy::Warn => Self::Warn,
            Policy::Require => Self::Require,
        }
    }
}

/// Sign a package with an Ed25519 key
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  openssl genpkey -algorithm ed25519 -out ops.pem\n  \
                        openssl pkey -in ops.pem -pubout -out ops.pub.pem\n  \
                        portend package sign churn.mlpkg --key ops.pem --key-id ops-2026\n\n\
                        What is signed are the bytes of checksums.txt, which is added where it is missing. A signature \
                        that is there is replaced.")]
pub(crate) struct SignArguments {
    /// The package, an archive or a directory; it is changed in place
    pub(crate) path: PathBuf,
    /// The private key, PKCS#8 PEM without a password
    #[arg(long, value_name = "FILE")]
    pub(crate) key: PathBuf,
    /// What the package calls the key. Default: the first 16 digits of the public key's SHA-256
    #[arg(long, value_name = "ID")]
    pub(crate) key_id: Option<String>,
    /// When it was signed, as 2026-01-31T12:00:00Z. Default: the environment's SOURCE_DATE_EPOCH, else now
    #[arg(long, value_name = "TIME")]
    pub(crate) created: Option<String>,
}

/// Show what differs between two packages or model files
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  portend package diff old.mlpkg new.mlpkg\n\n\
                        The exit code is 0 when nothing differs, 1 when something does, 2 when one cannot be read.")]
pub(crate) struct DiffArguments {
    /// The first package or model file, or the URL of one
    pub(crate) a: PathBuf,
    /// The second package or model file, or the URL of one
    pub(crate) b: PathBuf,
    #[command(flatten)]
    pub(crate) form: FormArgument,
}
