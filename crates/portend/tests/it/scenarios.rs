//! Runs `testdata/scenarios/*.txt`: commands as users type them, each followed by exactly what it prints.
//!
//! A file begins with comments (`#`) and a line `serve PATH`, relative to `examples/demo`; `serve a copy of PATH` leaves
//! that as it is. Then come steps: a line
//! that begins with `$ ` (and goes on in lines indented by four spaces) and the output, blank lines after it left out.
//! Commands run in bash, one after the other, in one folder that holds the demo's scoring files; `$HOST` is the
//! server. `PORTEND_BLESS=1` writes the outputs that were found into the files.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::running_server::RunningServer;
use crate::{blessing, is_here, repository};

/// One file, cut into what stands before the first step and the steps.
struct Scenario {
    head: String,
    serve: PathBuf,
    /// Whether a copy is served, because the steps change it.
    copied: bool,
    steps: Vec<Step>,
}

struct Step {
    comments: String,
    command: String,
    output: String,
}

const COPY: &str = "a copy of ";

fn read(text: &str) -> Scenario {
    let start = text.find("serve ").filter(|at| *at == 0 || text[..*at].ends_with('\n')).unwrap();
    let serve = text[start..].lines().next().unwrap();
    let head = text[..start + serve.len()].to_owned();
    let mut lines = text[head.len()..].lines().peekable();
    let mut steps = Vec::new();
    let mut comments = String::new();
    while let Some(line) = lines.next() {
        if line.starts_with("# ") {
            comments.push_str(&format!("{line}\n"));
        }
        let Some(first) = line.strip_prefix("$ ") else { continue };
        let mut command = first.to_owned();
        while let Some(line) = lines.next_if(|line| line.starts_with("    ")) {
            command.push_str(&format!("\n{line}"));
        }
        let mut output = Vec::new();
        while let Some(line) = lines.next_if(|line| !line.starts_with("$ ") && !line.starts_with("# ")) {
            output.push(line);
        }
        let output = output.join("\n").trim_end_matches('\n').to_owned();
        steps.push(Step { comments: std::mem::take(&mut comments), command, output });
    }
    let serve = serve.trim_start_matches("serve ");
    let copied = serve.starts_with(COPY);
    let serve = PathBuf::from(serve.trim_start_matches(COPY));
    Scenario { head, serve, copied, steps }
}

fn write(scenario: &Scenario) -> String {
    let mut text = format!("{}\n", scenario.head);
    for Step { comments, command, output } in &scenario.steps {
        text.push_str(&format!("\n{comments}$ {command}\n"));
        if !output.is_empty() {
            text.push_str(&format!("{output}\n"));
        }
    }
    text
}

/// What a command prints to both outputs, and how it ends if that is not well.
fn run(command: &str, folder: &Path, host: &str) -> String {
    let script = format!("exec 2>&1; set -o pipefail; {command}");
    let mut bash = Command::new("bash");
    bash.args(["--noprofile", "--norc", "-c", &script]).current_dir(folder).stdin(Stdio::null());
    bash.env("HOST", host)
        .env("DEMO", repository("examples/demo"))
        .env("LC_ALL", "C")
        .env("no_proxy", "*")
        .env("CURL_HOME", folder);
    let done = bash.output().unwrap();
    let printed = String::from_utf8_lossy(&done.stdout).trim_end_matches('\n').to_owned();
    match done.status.success() {
        true => printed,
        false => format!("{printed}\n[{}]", done.status).trim_start().to_owned(),
    }
}

fn check(path: &Path) -> Result<usize, String> {
    let demo = repository("examples/demo");
    let mut scenario = read(&fs::read_to_string(path).unwrap());
    let folder = tempfile::tempdir().unwrap();
    for file in ["fraud-scoring.csv", "revenue-scoring.csv"] {
        fs::copy(demo.join(file), folder.path().join(file)).unwrap();
    }
    // curl reads this instead of the developer's own settings
    fs::write(folder.path().join(".curlrc"), "silent\nshow-error\nmax-time = 60\n").unwrap();
    let mut served = demo.join(&scenario.serve);
    let copy = tempfile::tempdir().unwrap();
    if scenario.copied {
        for name in ["fraud", "revenue"] {
            let copied = Command::new("cp").arg("-r").arg(served.join(name)).arg(copy.path()).status();
            assert!(copied.unwrap().success());
        }
        served = copy.path().to_owned();
    }
    let server = RunningServer::serve(&served);
    let host = format!("http://{}", server.address);
    let mut differences = String::new();
    for step in &mut scenario.steps {
        let found = run(&step.command, folder.path(), &host);
        if blessing() {
            step.output = found;
        } else if found != step.output {
            let Step { command, output, .. } = &step;
            differences.push_str(&format!("$ {command}\n   expected {output}\n   found    {found}\n"));
        }
    }
    server.stop();
    if blessing() {
        fs::write(path, write(&scenario)).unwrap();
    }
    if differences.is_empty() { Ok(scenario.steps.len()) } else { Err(differences) }
}

#[test]
fn every_scenario_prints_what_its_file_says() {
    if !is_here("curl", "all scenarios") {
        return;
    }
    let files = fs::read_dir(repository("testdata/scenarios")).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = files.filter(|path| path.extension().is_some_and(|e| e == "txt")).collect();
    files.sort();
    assert!(files.len() >= 8, "only {} scenarios found", files.len());
    let mut failures = String::new();
    for path in &files {
        let name = path.file_name().unwrap().to_string_lossy();
        match check(path) {
            Ok(steps) => println!("{name}: {steps} steps"),
            Err(differences) => failures.push_str(&format!("\n{name}\n{differences}")),
        }
    }
    assert!(failures.is_empty(), "{failures}");
}

#[test]
fn a_scenario_is_written_as_it_was_read() {
    let text = "# what\nserve .\n\n# why\n$ one |\n    two\na\n\nb\n\n$ three\n\n$ four\nc\n";
    assert_eq!(write(&read(text)), text);
}
