//! `portend package verify`: one line for each step of loading.

use std::process::ExitCode;

use portend_model::package::{CheckState, Examination};

use super::arguments::VerifyArguments;
use super::{print, table};
use crate::CommandError;
use crate::artifact::place::Fetched;

pub(super) fn run(arguments: &VerifyArguments) -> Result<ExitCode, CommandError> {
    let trust = arguments.trust.trust(|name| std::env::var(name).ok())?;
    let fetched = Fetched::of(&arguments.path)?;
    let found = Examination::of(&fetched.path, &trust);
    let rows = found.checks.iter().map(|check| {
        vec![check.subject.to_owned(), word(check.state).to_owned(), fetched.told(&check.detail)]
    });
    print(&table::aligned(&rows.collect::<Vec<_>>()));
    Ok(ExitCode::from(u8::from(!found.passed())))
}

/// A state as people read it.
pub(super) fn word(state: CheckState) -> &'static str {
    match state {
        CheckState::Ok => "ok",
        CheckState::Absent => "absent",
        CheckState::Unchecked => "unchecked",
        CheckState::Warning => "WARNING",
        CheckState::Failed => "FAILED",
    }
}
