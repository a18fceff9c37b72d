//! Looks at a package as a server does when it loads one, step by step, and tells what became of each step instead of
//! stopping at the first that fails.

use std::path::Path;

use serde::Serialize;

use super::{Files, Package, SignaturePolicy, SignatureState, Trust};
use crate::error::LoadError;
use crate::model::Model;
use crate::runtime::Output;

/// What became of one step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// What was looked at.
    #[serde(skip)]
    pub subject: &'static str,
    /// What became of it.
    pub state: CheckState,
    /// What was found, or why it failed.
    pub detail: String,
}

/// How a step ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum CheckState {
    /// It is right.
    Ok,
    /// The package does without.
    Absent,
    /// It is there and was not looked at.
    Unchecked,
    /// It is wrong, and that was asked to be no more than a warning.
    Warning,
    /// It is wrong.
    Failed,
}

/// All steps in the order in which a server takes them, and as much of the package as could be read.
#[derive(Debug)]
pub struct Examination {
    /// One for each step.
    pub checks: Vec<Check>,
    pub(super) package: Option<Package>,
    pub(super) model: Option<Model>,
    pub(super) error: Option<LoadError>,
}

/// The steps.
pub(super) const CONTAINER: &str = "container";
pub(super) const CHECKSUMS: &str = "checksums";
pub(super) const SIGNATURE: &str = "signature";
pub(super) const MANIFEST: &str = "manifest";
pub(super) const MODEL: &str = "model";
pub(super) const SAMPLES: &str = "samples";

impl Examination {
    /// Takes every step that can be taken.
    pub fn of(path: &Path, trust: &Trust) -> Self {
        let mut taken = Self { checks: Vec::new(), package: None, model: None, error: None };
        if let Err(error) = taken.examine(path, trust) {
            taken.error = Some(error);
        }
        for subject in [CONTAINER, CHECKSUMS, SIGNATURE, MANIFEST, MODEL, SAMPLES] {
            if taken.check(subject).is_none() {
                taken.add(subject, CheckState::Unchecked, "not reached");
            }
        }
        taken
    }

    /// Whether a server would load it.
    pub fn passed(&self) -> bool {
        self.checks.iter().all(|check| check.state != CheckState::Failed)
    }

    pub(super) fn check(&self, subject: &str) -> Option<&Check> {
        self.checks.iter().find(|check| check.subject == subject)
    }

    fn add(&mut self, subject: &'static str, state: CheckState, detail: impl Into<String>) {
        self.checks.push(Check { subject, state, detail: detail.into() });
    }

    fn fail(&mut self, subject: &'static str, error: LoadError) -> LoadError {
        self.add(subject, CheckState::Failed, reason(&error));
        error
    }

    fn examine(&mut self, path: &Path, trust: &Trust) -> Result<(), LoadError> {
        let package = Package::open_container(path).map_err(|error| self.fail(CONTAINER, error))?;
        let detail = match (&package.files, package.names().len()) {
            (Files::Archive(_), files) => format!("zip archive of {files} files"),
            (Files::Folder(_), files) => format!("directory of {files} files"),
            (Files::Bare, _) => "bare model file".to_owned(),
        };
        self.add(CONTAINER, CheckState::Ok, detail);
        let package = self.package.insert(package);
        let (bare, verified) = (package.is_bare(), package.verify_checksums());
        let signature = package.signature(&trust.keys);
        match verified {
            Ok(Some(files)) => self.add(CHECKSUMS, CheckState::Ok, format!("{files} files")),
            Ok(None) if bare => self.add(CHECKSUMS, CheckState::Absent, "a bare model file has none"),
            Ok(None) => self.add(CHECKSUMS, CheckState::Absent, "there is no checksums.txt"),
            Err(error) => self.add(CHECKSUMS, CheckState::Failed, reason(&error)),
        }
        match signature {
            Ok(signature) => self.add_signature(&signature, trust),
            Err(error) => self.add(SIGNATURE, CheckState::Failed, reason(&error)),
        }
        self.examine_content()
    }

    fn add_signature(&mut self, signature: &SignatureState, trust: &Trust) {
        let (state, detail) = match signature {
            SignatureState::Absent => (CheckState::Absent, "it is not signed".to_owned()),
            SignatureState::Unchecked { key_id } if key_id.is_empty() => {
                (CheckState::Unchecked, "no public key was given".to_owned())
            }
            SignatureState::Unchecked { key_id } => {
                (CheckState::Unchecked, format!("no public key was given; the package names key '{key_id}'"))
            }
            SignatureState::Valid { key } => (CheckState::Ok, format!("by {key}")),
            SignatureState::Wrong(reason) => (CheckState::Warning, reason.clone()),
        };
        let wrong = !matches!(signature, SignatureState::Valid { .. });
        match trust.policy {
            SignaturePolicy::Require if wrong => self.add(SIGNATURE, CheckState::Failed, detail),
            _ => self.add(SIGNATURE, state, detail),
        }
    }

    fn examine_content(&mut self) -> Result<(), LoadError> {
        let Some(mut package) = self.package.take() else { return Ok(()) };
        let loaded = package.load_manifest();
        let outcome = match loaded {
            Err(error) => Err(self.fail(MANIFEST, error)),
            Ok(()) => self.examine_model(&mut package),
        };
        self.package = Some(package);
        outcome
    }

    fn examine_model(&mut self, package: &mut Package) -> Result<(), LoadError> {
        match package.manifest() {
            Some(manifest) => {
                let version = format!("{} {}", manifest.id, manifest.version);
                self.add(MANIFEST, CheckState::Ok, version.trim().to_owned());
            }
            None => self.add(MANIFEST, CheckState::Absent, "a bare model file has none"),
        }
        let model = Model::unchecked(package, "target").map_err(|error| self.fail(MODEL, error))?;
        let (trees, features) = (model.width(Output::Leaf), model.features.len());
        self.add(MODEL, CheckState::Ok, format!("{}, {trees} trees, {features} features", model.library));
        match model.check_samples(package) {
            Ok((0, _)) => self.add(
                SAMPLES,
                CheckState::Absent,
                "there are none: nothing shows that it predicts as it should",
            ),
            Ok((rows, _)) => self.add(SAMPLES, CheckState::Ok, format!("{rows} rows predicted as expected")),
            Err(error) => self.add(SAMPLES, CheckState::Failed, reason(&error)),
        }
        self.model = Some(model);
        Ok(())
    }
}

/// The error without the path, which the reader of a list of steps has given.
fn reason(error: &LoadError) -> String {
    match error {
        LoadError::BadPackage { reason, .. } | LoadError::NotAModel { reason, .. } => reason.clone(),
        LoadError::SampleDiffers { row, expected, found, .. } => {
            format!("row {row}: the package expects {expected:?} and the model gives {found:?}")
        }
        other => other.to_string(),
    }
}
