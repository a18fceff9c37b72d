//! The README's table "what you have, what to type": every row is typed.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::is_here;
use crate::repository;
use crate::running_server::{RunningServer, portend};

/// The commands of the table, in order.
fn rows() -> Vec<String> {
    let readme = fs::read_to_string(repository("README.md")).unwrap();
    let table = readme.split("| what you have | what to type |").nth(1).unwrap();
    let cell = |line: &str| line.rsplit('`').nth(1).map(str::to_owned);
    table.lines().skip(2).map_while(|line| line.starts_with('|').then(|| cell(line).unwrap())).collect()
}

/// Lays out what the table speaks of.
fn prepare(folder: &Path) {
    let golden = |name: &str, inside: &str| repository("testdata/models").join(name).join(inside);
    let copy = |from: &Path, to: &str| {
        fs::create_dir_all(folder.join(to).parent().unwrap()).unwrap();
        fs::copy(from, folder.join(to)).unwrap();
    };
    copy(&golden("xgb_forest", "package/model/model.json"), "model.json");
    copy(&golden("xgb_vector_leaf_ubj", "package/model/model.ubj"), "model.ubj");
    copy(&golden("lgb_wine", "package/model/model.txt"), "model.txt");
    for file in ["portend.json", "model/model.txt"] {
        copy(&golden("lgb_wine", "package").join(file), &format!("wine/{file}"));
    }
    copy(&repository("examples/demo/fraud/model_x.mlpkg"), "models/fraud/model_x.mlpkg");
    copy(&repository("examples/demo/fraud/model_x.mlpkg"), "next.mlpkg");
    copy(&repository("examples/demo/fraud-scoring.csv"), "rows.csv");
    // the rows that the model answers, with its answers as the target
    let rows = fs::read_to_string(golden("xgb_forest", "rows.csv")).unwrap();
    let expected = fs::read_to_string(golden("xgb_forest", "expected.json")).unwrap();
    let expected: Value = serde_json::from_str(&expected).unwrap();
    let mut lines = rows.lines();
    let mut training = format!("{},diabetes\n", lines.next().unwrap());
    for (line, predicted) in lines.zip(expected["predictions"].as_array().unwrap()) {
        let class = if predicted[1].as_f64().unwrap() > 0.5 { "yes" } else { "no" };
        training.push_str(&format!("{line},{class}\n"));
    }
    fs::write(folder.join("train.csv"), training).unwrap();
}

/// Types a command: a server must come to answer, anything else must end well (a difference is 1).
fn check(folder: &Path, line: &str) {
    let mut words = line.split(' ');
    assert_eq!(words.next(), Some("portend"), "{line}");
    let mut command = portend();
    command.current_dir(folder).args(words);
    if line.starts_with("portend serve") {
        let server = RunningServer::start({
            command.args(["--port", "0"]);
            command
        });
        if line.ends_with("models/") && is_here("curl", "the curl line of the README") {
            check_curl(folder, &server);
        }
        server.stop();
        return;
    }
    let done = command.output().unwrap();
    let expected = i32::from(line.contains(" diff "));
    let printed = String::from_utf8_lossy(&done.stderr);
    assert_eq!(done.status.code(), Some(expected), "{line}: {printed}");
}

/// The curl below the table, for this server.
fn check_curl(folder: &Path, server: &RunningServer) {
    let readme = fs::read_to_string(repository("README.md")).unwrap();
    let line = readme.lines().find(|line| line.starts_with("curl ")).unwrap();
    let line = line.replace("127.0.0.1:8080", &server.address.to_string());
    let curl = Command::new("bash")
        .args(["-c", &format!("{line} --fail --silent --noproxy '*'")])
        .current_dir(folder)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let answer: Value = serde_json::from_slice(&curl.stdout).unwrap_or_default();
    assert_eq!(answer["data"].as_array().map(Vec::len), Some(10), "{line}");
}

#[test]
fn every_row_of_the_readme_works_as_typed() {
    let folder = tempfile::tempdir().unwrap();
    prepare(folder.path());
    let rows = rows();
    assert!(rows.len() >= 10, "{rows:?}");
    rows.iter().for_each(|line| check(folder.path(), line));
}
