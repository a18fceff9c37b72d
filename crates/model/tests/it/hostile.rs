//! Hostile input: whatever lies at the path, loading it ends soon, in bounded memory, with an error that names the
//! thing. One file per kind of input; this one holds what they share.

mod bytes;
mod corpus;
mod lightgbm;
mod manifest;
mod packages;
mod parquet;
mod xgboost;
mod xgboost_outputs;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use portend_model::Model;
use portend_model::frame::Keep;
use portend_model::runtime::Output;

/// No load may take longer; generous, because test machines are slow and shared.
const PATIENCE: Duration = Duration::from_secs(20);

/// No load may make the process grow by more; generous, because other tests run meanwhile.
const MOST_GROWTH_MIB: u64 = 1024;

fn golden(case: &str) -> PathBuf {
    crate::repository("testdata/models").join(case)
}

/// The model file of every golden case, with its bytes.
fn golden_files() -> Vec<(PathBuf, Vec<u8>)> {
    let cases = fs::read_dir(golden("")).unwrap().map(|entry| entry.unwrap().path().join("package/model"));
    let mut files: Vec<_> = cases
        .filter(|folder| folder.is_dir())
        .flat_map(|folder| fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()))
        .map(|path| (path.clone(), fs::read(path).unwrap()))
        .collect();
    files.sort();
    assert!(files.len() >= 8, "only {} golden model files found", files.len());
    files
}

/// Loads, and checks that it took neither long nor much memory. The path in the error becomes `PATH`.
fn load(path: &Path) -> Result<Model, String> {
    let (start, before) = (Instant::now(), peak_mib());
    let loaded = Model::load(path, "target");
    let (took, grown) = (start.elapsed(), peak_mib().saturating_sub(before));
    assert!(took < PATIENCE, "{}: {took:?}", path.display());
    assert!(grown < MOST_GROWTH_MIB, "{}: {grown} MiB", path.display());
    loaded.map_err(|e| e.to_string().replace(&path.display().to_string(), "PATH"))
}

/// Loads what must be refused, with a text that holds `expected`.
fn check_refused(path: &Path, what: &str, expected: &str) {
    match load(path) {
        Ok(model) => panic!("{what}: loaded as {model:?}, expected the error '{expected}'"),
        Err(error) => assert!(error.contains(expected), "{what}:\n   found {error}\nexpected {expected}"),
    }
}

/// Puts `bytes` into a bare model file, loads it and expects a refusal.
fn check_bytes_refused(name: &str, bytes: &[u8], what: &str, expected: &str) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    fs::write(&path, bytes).unwrap();
    check_refused(&path, what, expected);
}

/// Scores all rows of a CSV text; a model whose columns are damaged may refuse them.
fn score(model: &Model, rows: &str) -> Option<usize> {
    let frames = model.decode_csv(rows, &Keep::None, 1).ok()?;
    let outputs = [Output::Prediction, Output::Margin, Output::Leaf];
    let values =
        frames.iter().flat_map(|frame| outputs.map(|o| model.score(frame, 0..frame.rows(), o).values));
    Some(values.map(|values| values.len()).sum())
}

/// The most memory that this process has held so far; 0 where the system does not tell.
fn peak_mib() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok()).unwrap_or(0) >> 10
}
