//! Small requests that ask for much memory: tables wider than their rows, rows smaller than their answers.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};

use crate::repository;
use crate::running_server::{RunningServer, portend, wait_for};

/// What a server of many workers may take for one such request: a body, a table, columns to repeat and an answer.
const MOST_MIB: u64 = 640;

/// A package of 64 features of which only the first must be in a request.
fn wide_package(folder: &Path) -> (PathBuf, String) {
    let source = repository("testdata/models/xgb_digits/package");
    let mut manifest: Value =
        serde_json::from_slice(&std::fs::read(source.join("portend.json")).unwrap()).unwrap();
    let file = manifest["model"]["path"].as_str().unwrap().to_owned();
    let features = manifest["features"].as_array_mut().unwrap();
    features.iter_mut().skip(1).for_each(|feature| feature["required"] = json!(false));
    let first = features[0]["name"].as_str().unwrap().to_owned();
    std::fs::create_dir_all(folder.join(&file).parent().unwrap()).unwrap();
    std::fs::copy(source.join(&file), folder.join(&file)).unwrap();
    std::fs::write(folder.join("portend.json"), manifest.to_string()).unwrap();
    (folder.to_owned(), first)
}

/// Sends the body to a server of eight workers, and looks at the answer and at the memory that it took.
fn check(package: &Path, kind: &str, query: &str, body: &str, expected: &str) {
    let mut command = portend();
    command.arg("serve").arg(package).args(["--port", "0", "--workers", "8"]);
    let server = RunningServer::start(command);
    let target = format!("/predictions{query}");
    let answer = server.connect().ask("POST", &target, &[&format!("Content-Type: {kind}")], body.as_bytes());
    let found: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    assert_eq!((answer.status, &found["message"]), (413, &json!(expected)));
    if let Some(peak) = server.peak_kib() {
        println!("{} KiB of {kind} took at most {} MiB", body.len() >> 10, peak >> 10);
        assert!(peak >> 10 < MOST_MIB, "{} MiB", peak >> 10);
    }
    server.stop();
}

const TABLE: &str =
    "the request has too many rows: their table would take more than 256 MiB; send fewer rows at a time";
const ANSWER: &str = "the answer would be larger than 512 MiB: send fewer rows at a time, pass fewer columns through, or \
                      accept text/csv";

#[test]
fn rows_that_name_few_of_many_features_do_not_fill_the_memory() {
    let folder = tempfile::tempdir().unwrap();
    let (package, first) = wide_package(folder.path());
    let records = format!("[{{\"{first}\":1}}{}]", ",{}".repeat(1_100_000));
    check(&package, "application/json", "", &records, TABLE);
    let rows = format!("{first}\n{}", "1\n".repeat(1_100_000));
    check(&package, "text/csv", "", &rows, TABLE);
}

#[test]
fn cells_to_repeat_do_not_fill_the_memory() {
    let folder = tempfile::tempdir().unwrap();
    let (package, first) = wide_package(folder.path());
    let names: String = (0..400).map(|i| format!(",n{i}")).collect();
    let rows = format!("{first}{names}\n{}", format!("1{}\n", ",".repeat(400)).repeat(100_000));
    check(&package, "text/csv", "?passthroughColumnsSet=all", &rows, TABLE);
}

#[test]
fn rows_that_are_smaller_than_their_answers_do_not_fill_the_memory() {
    let names = ["dir", "hir", "lvr", "ccs", "mcs", "uria", "comdominiom", "pbcr", "dmi", "self", "single"];
    let first: Vec<_> = names.iter().map(|name| format!("\"{name}\":null")).collect();
    let records = format!("[{{{}}}{}]", first.join(","), ",{}".repeat(4_000_000));
    check(&repository("examples/demo/fraud"), "application/json", "", &records, ANSWER);
}

/// What a server of so many workers holds after requests of so many times the demo's ten rows, over several connections,
/// once it has given back what it gives back.
fn resident_after(workers: usize, times: &[usize], rounds: usize) -> Option<u64> {
    let mut command = portend();
    command.arg("serve").arg(repository("examples/demo/fraud"));
    command.args(["--port", "0", "--workers", &workers.to_string(), "--access-log", "off"]);
    let server = RunningServer::start(command);
    let text = std::fs::read_to_string(repository("examples/demo/fraud-scoring.csv")).unwrap();
    let (head, rows) = text.split_once('\n').unwrap();
    std::thread::scope(|scope| {
        for times in times {
            let rows = format!("{head}\n{}", rows.repeat(*times));
            let mut connection = server.connect();
            scope.spawn(move || {
                let headers = ["Content-Type: text/csv", "Accept: text/csv"];
                let ask = |_| connection.ask("POST", "/predictions", &headers, rows.as_bytes()).status;
                assert!((0..rounds).map(ask).all(|status| status == 200));
            });
        }
    });
    let before = server.resident_kib()?;
    if times.iter().any(|times| *times > 10) {
        std::thread::sleep(SETTLED);
    }
    let resident = server.resident_kib()?;
    let peak = server.peak_kib()?;
    println!("{workers} workers hold {before}, then {resident} KiB, at most {peak} KiB");
    server.stop();
    Some(resident)
}

/// When memory was given back: threads that scored large requests end after 2 s, what they kept is free a second later.
const SETTLED: Duration = Duration::from_secs(6);

#[test]
fn more_workers_hold_no_more_idle_or_after_small_requests_or_after_large_ones() {
    // what a burst leaves behind varies by some MiB; threads that kept theirs would be seen each time
    let check = |times: &[usize], rounds: usize| {
        let holds = |_| {
            let (two, sixteen) = (resident_after(2, times, rounds), resident_after(16, times, rounds));
            let (Some(two), Some(sixteen)) = (two, sixteen) else { return true };
            two < 64 << 10 && sixteen <= two + two / 10
        };
        assert!((0..3).any(holds), "16 workers hold more than 2, three times, after {times:?}");
    };
    check(&[], 0);
    check(&[1, 2, 5, 10], 30);
    check(&[100, 28_000, 28_000], 3); // two of 20 MB at once
}

#[test]
fn what_loading_took_beside_the_model_is_given_back() {
    let folder = tempfile::tempdir().unwrap();
    let file = repository("testdata/models/xgb_diabetes/package/model/model.json");
    let mut model = std::fs::read(file).unwrap();
    model.resize(model.len() + (32 << 20), b' ');
    std::fs::write(folder.path().join("diabetes.json"), &model).unwrap();
    let mut command = portend();
    command.arg("serve").arg(folder.path().join("diabetes.json")).args(["--port", "0"]);
    let server = RunningServer::start(command);
    let given_back = || {
        let (resident, peak) = (server.resident_kib()?, server.peak_kib()?);
        println!("holds {resident} of {peak} KiB");
        assert!(peak < 80 << 10, "the file is held more than once");
        (resident + (24 << 10) < peak).then_some(())
    };
    if server.resident_kib().is_some() {
        wait_for("the memory", given_back);
    }
    server.stop();
}
