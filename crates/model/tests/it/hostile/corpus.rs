//! The corpus of the fuzz targets, given to what the targets do with it: what is good in it is scored, and nothing
//! panics. No fuzzer is needed for this.

use std::fs;

use super::{MOST_GROWTH_MIB, PATIENCE, peak_mib};

#[allow(unreachable_pub)] // they are what the fuzz crate shows
#[path = "../../../../../fuzz/src/lib.rs"]
mod targets;

/// What a target does with its input; true when it scored.
type Target = fn(&[u8]) -> bool;

#[test]
fn what_fuzzing_found_stays_harmless() {
    let corpus = crate::repository("fuzz/corpus");
    // a target with how many files of its corpus are good: the others must be refused
    let all: [(&str, Target, usize); 9] = [
        ("xgboost_json", targets::model_file, 13),
        ("xgboost_ubjson", targets::model_file, 7),
        ("lightgbm_text", targets::model_file, 8),
        ("manifest", targets::manifest, 5),
        ("package", targets::package, 4),
        ("checksums", targets::checksums, 1),
        ("csv_rows", targets::csv_rows, 3),
        ("json_rows", targets::json_rows, 2),
        ("parquet_rows", targets::parquet_rows, 3),
    ];
    assert_eq!(fs::read_dir(&corpus).unwrap().count(), all.len(), "each corpus belongs to one target");
    for (target, run, good) in all {
        let files = fs::read_dir(corpus.join(target)).unwrap().map(|entry| entry.unwrap().path());
        let mut scored = 0;
        for file in files {
            let (start, before) = (std::time::Instant::now(), peak_mib());
            scored += usize::from(run(&fs::read(&file).unwrap()));
            assert!(start.elapsed() < PATIENCE, "{}", file.display());
            assert!(peak_mib().saturating_sub(before) < MOST_GROWTH_MIB, "{}", file.display());
        }
        assert_eq!(scored, good, "{target}");
    }
}
