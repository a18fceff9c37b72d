//! What the command says before and while it serves: start-up errors with their exit codes, models that do not load,
//! the demo, the access log.

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Output};

use crate::repository;
use crate::running_server::{RunningServer, portend, wait_for};

const FOREIGN: &str = "there is no portend.json in its root, so it is not a Portend package. A package made by \
    DataRobot holds proprietary content that nobody else can open: package the original model file instead \
    (docs/guide/packages.md says how)";

/// Runs `portend serve` on what must not be served, and compares exit code and standard error, in which the path is
/// PATH. The line that says where it listens is left out: whether it comes first depends on what is wrong.
fn check_refused(
    path: &Path,
    more: &[&str],
    environment: &[(&str, &str)],
    code: i32,
    expected: impl AsRef<str>,
) {
    let mut command = portend();
    command.arg("serve").arg(path).args(["--port", "0"]).args(more);
    command.envs(environment.iter().copied());
    check_ended(&command.output().unwrap(), path, code, expected);
}

fn check_ended(done: &Output, path: &Path, code: i32, expected: impl AsRef<str>) {
    let text = String::from_utf8_lossy(&done.stderr).replace(&*path.to_string_lossy(), "PATH");
    let lines: Vec<_> = text.lines().filter(|line| !line.starts_with("listening on ")).collect();
    assert_eq!((done.status.code(), lines.join("\n").as_str()), (Some(code), expected.as_ref()));
}

/// Makes files, by their path and bytes, in a new folder.
fn folder(files: &[(&str, &[u8])]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, bytes) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
    folder
}

/// A package of one golden model whose second sample row expects something else.
pub(crate) fn write_package_with_other_samples(to: &Path) {
    let from = repository("testdata/models/xgb_diabetes/package");
    for file in ["portend.json", "model/model.json", "samples/input.csv", "samples/output.json"] {
        fs::create_dir_all(to.join(file).parent().unwrap()).unwrap();
        fs::copy(from.join(file), to.join(file)).unwrap();
    }
    let output = to.join("samples/output.json");
    let mut samples: serde_json::Value = serde_json::from_slice(&fs::read(&output).unwrap()).unwrap();
    samples["predictions"][1][0] = 1.5.into();
    fs::write(output, samples.to_string()).unwrap();
}

/// A zip archive that holds one empty file.
fn zip_with_empty_file(name: &str) -> Vec<u8> {
    let length = name.len() as u8;
    let fields = [&[20, 0, 0, 0, 0, 0, 0, 0, 0x21, 0][..], &[0; 12], &[length, 0, 0, 0]].concat();
    let local = [b"PK\x03\x04", &fields[..], name.as_bytes()].concat();
    let central = [b"PK\x01\x02\x14\0", &fields[..], &[0; 14], name.as_bytes()].concat();
    let sizes = [central.len() as u8, 0, 0, 0, local.len() as u8, 0, 0, 0];
    let end = [b"PK\x05\x06", &[0, 0, 0, 0, 1, 0, 1, 0][..], &sizes, &[0, 0]].concat();
    [local, central, end].concat()
}

#[test]
fn what_cannot_be_served_ends_the_command_with_the_reason() {
    let expected = "no model in PATH: expected a model file, a package (.mlpkg, or a directory with portend.json), or a \
                    directory with one sub-directory per model; found";
    let missing = tempfile::tempdir().unwrap().path().join("nothing");
    check_refused(&missing, &[], &[], 1, "portend: cannot read PATH: No such file or directory (os error 2)");
    check_refused(folder(&[("notes.txt", b"x"), ("data/rows.csv", b"a\n")]).path(), &[], &[], 1, {
        format!("portend: {expected} data, notes.txt")
    });
    let golden = repository("testdata/models");
    let done = portend().arg("serve").arg(&golden).args(["--port", "0"]).output().unwrap();
    let text = String::from_utf8_lossy(&done.stderr).replace(&*golden.to_string_lossy(), "PATH");
    let why = "; PATH/lgb33_flchain/package holds a package a level too deep: serve PATH/lgb33_flchain\n";
    assert!(done.status.code() == Some(1) && text.ends_with(why), "{text}");
    check_refused(folder(&[("b.mlpkg", b""), ("a.mlpkg", b"")]).path(), &[], &[], 1, {
        "portend: several packages in PATH: a.mlpkg, b.mlpkg; name one of them, or put each into a sub-directory"
    });
}

#[test]
fn a_single_package_that_does_not_load_ends_the_command_with_the_reason() {
    let corrupt = folder(&[("churn.mlpkg", b"not a zip archive")]);
    check_refused(corrupt.path(), &[], &[], 1, {
        "portend: package PATH/churn.mlpkg: it is not a readable zip archive: invalid Zip archive: Could not find EOCD"
    });
    let foreign = folder(&[("churn.mlpkg", &zip_with_empty_file("metadata.json"))]);
    check_refused(foreign.path(), &[], &[], 1, format!("portend: package PATH/churn.mlpkg: {FOREIGN}"));
    let text = folder(&[("model.json", b"{\"learner\":")]);
    check_refused(&text.path().join("model.json"), &[], &[], 1, {
        "portend: model file PATH: not an XGBoost JSON model: EOF while parsing a value at line 1 column 11"
    });
    let damaged = folder(&[("rows.csv", b"a,b\n1,2\n")]);
    check_refused(&damaged.path().join("rows.csv"), &[], &[], 1, {
        "portend: PATH is not a model that Portend reads: it is neither XGBoost JSON or UBJSON nor LightGBM text \
         (XGBoost's old binary format must be saved again as JSON with XGBoost 3.0 or older)"
    });
    let differs = tempfile::tempdir().unwrap();
    write_package_with_other_samples(differs.path());
    check_refused(differs.path(), &[], &[], 1, {
        "portend: package PATH: sample row 1: the package expects [1.5] and the model gives [77.21605682373047]"
    });
}

#[test]
fn settings_that_cannot_be_used_are_named() {
    let fraud = repository("examples/demo/fraud");
    let workers = |text| [("PREDICTION_API_WORKERS", text)];
    check_refused(&fraud, &[], &workers("x"), 64, {
        "portend: PREDICTION_API_WORKERS is 'x': a whole number from 1 to 1024 is needed, for instance 8"
    });
    check_refused(&fraud, &[], &workers("0"), 64, {
        "portend: PREDICTION_API_WORKERS is '0': a whole number from 1 to 1024 is needed, for instance 8"
    });
    check_refused(
        &fraud,
        &["--workers", "0"],
        &[],
        64,
        "portend: --workers is '0': a whole number from 1 to 1024 is needed, for instance 8",
    );
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let done = portend().arg("serve").arg(&fraud).args(["--port", &address.port().to_string()]).output();
    check_ended(&done.unwrap(), &fraud, 1, {
        format!("portend: --port: cannot listen on {address}: Address already in use (os error 98)")
    });
    let done = portend().args(["serve", "--prot", "1"]).output().unwrap();
    assert_eq!(done.status.code(), Some(2), "{}", String::from_utf8_lossy(&done.stderr));
}

#[test]
fn without_a_path_the_environment_says_what_is_served() {
    let mut command = portend();
    command.env("PREDICTION_API_MODEL_REPOSITORY_PATH", repository("examples/demo"));
    command.env("PREDICTION_API_WORKERS", "1");
    command.args(["serve", "--port", "0"]);
    let server = RunningServer::start(command);
    assert_eq!(server.get("/deployments/revenue/info").status, 200);
    server.stop();
}

#[test]
fn a_model_that_does_not_load_answers_503_while_the_others_serve() {
    let models = folder(&[
        ("churn/a.mlpkg", &zip_with_empty_file("metadata.json")),
        ("odd/model.json", br#"{"learner":{}}"#),
        ("twice/a.mlpkg", b""),
        ("twice/b.mlpkg", b""),
        ("notes/read.me", b"x"),
        ("empty/config.json", b"{\"level\":1}"),
        ("config.json", b"{\"level\":1}"),
        (".hidden/a.mlpkg", b""),
    ]);
    write_package_with_other_samples(&models.path().join("differs"));
    let fraud = "fraud/model_x.mlpkg";
    fs::create_dir(models.path().join("fraud")).unwrap();
    fs::copy(repository("examples/demo").join(fraud), models.path().join(fraud)).unwrap();
    let mut command = portend();
    command.arg("serve").arg(models.path()).args(["--port", "0"]);
    command.env("PREDICTION_API_PRELOAD_MODELS_ENABLED", "true");
    let server = RunningServer::start(command);
    let rows = fs::read_to_string(repository("examples/demo/fraud-scoring.csv")).unwrap();
    // where the packages lie is not told to clients
    let churn = format!("package a.mlpkg: {FOREIGN}");
    let differs =
        "package differs: sample row 1: the package expects [1.5] and the model gives [77.21605682373047]";
    let reasons = [
        ("churn", "bad_package", churn.as_str()),
        ("differs", "sample_differs", differs),
        (
            "odd",
            "bad_model",
            "model file model.json: not an XGBoost JSON model: missing field `learner_model_param` at line 1 column 13",
        ),
        ("twice", "several_packages", "several packages in its directory: a.mlpkg, b.mlpkg"),
    ];
    let listed: serde_json::Value = serde_json::from_slice(&server.get("/deployments").body).unwrap();
    for (id, code, reason) in reasons {
        let answer = server.post_csv(&format!("/deployments/{id}/predictions"), &rows);
        let message = format!("model '{id}' could not be loaded: {reason}");
        assert_eq!(
            (answer.status, answer.text()),
            (503, &*serde_json::json!({ "message": message }).to_string())
        );
        assert_eq!(answer.header("retry-after"), None, "waiting does not help");
        let info: serde_json::Value =
            serde_json::from_slice(&server.get(&format!("/deployments/{id}/info")).body).unwrap();
        let error = serde_json::json!({ "code": code, "message": reason });
        assert_eq!((info["state"].as_str(), &info["error"]), (Some("failed"), &error));
        let listed = listed["deployments"].as_array().unwrap().iter().find(|one| one["id"] == id);
        assert_eq!(listed.map(|one| &one["error"]), Some(&error));
        let line = format!("model '{id}' does not load and answers 503: {reason}\n");
        wait_for(&line, || server.log().contains(&line).then_some(()));
    }
    assert_eq!(server.post_csv("/deployments/fraud/predictions", &rows).status, 200);
    let ignored = "directories without a package are ignored: empty, notes\n";
    wait_for(ignored, || server.log().contains(ignored).then_some(()));
    for id in ["notes", ".hidden"] {
        assert_eq!(server.get(&format!("/deployments/{id}/info")).status, 404, "{id}");
    }
    server.stop();
}

/// As Kubernetes mounts volumes: files lie in a hidden directory, and links lead through one more link to them.
#[test]
fn models_behind_links_are_served() {
    use std::os::unix::fs::symlink;
    let models = tempfile::tempdir().unwrap();
    let real = models.path().join("..2026_01_01");
    fs::create_dir_all(real.join("fraud")).unwrap();
    fs::copy(repository("examples/demo/fraud/model_x.mlpkg"), real.join("fraud/x.mlpkg")).unwrap();
    fs::copy(repository("examples/demo/revenue/revenue-estimate.mlpkg"), real.join("r.mlpkg")).unwrap();
    symlink("..2026_01_01", models.path().join("..data")).unwrap();
    symlink("..data/fraud", models.path().join("fraud")).unwrap();
    fs::create_dir(models.path().join("revenue")).unwrap();
    symlink("../..data/r.mlpkg", models.path().join("revenue/r.mlpkg")).unwrap();
    symlink("nowhere", models.path().join("gone")).unwrap();
    let mut command = portend();
    command.arg("serve").arg(models.path()).args(["--port", "0"]);
    command.env("PREDICTION_API_PRELOAD_MODELS_ENABLED", "true");
    let server = RunningServer::start(command);
    for id in ["fraud", "revenue"] {
        let info = server.get(&format!("/deployments/{id}/info"));
        assert!(info.text().contains(r#""state":"ready""#), "{}", info.text());
    }
    let listed = server.get("/deployments");
    assert_eq!(listed.text().matches("\"id\"").count(), 2, "{}", listed.text());
    server.stop();
}

#[test]
fn of_many_models_an_error_names_the_first() {
    let models = tempfile::tempdir().unwrap();
    for i in 10..40 {
        let folder = models.path().join(format!("m{i}"));
        fs::create_dir(&folder).unwrap();
        fs::copy(repository("examples/demo/fraud/model_x.mlpkg"), folder.join("x.mlpkg")).unwrap();
    }
    let server = RunningServer::serve(models.path());
    let names: Vec<_> = (10..30).map(|i| format!("m{i}")).collect();
    let names = format!("{} and 10 more", names.join(", "));
    for (target, message) in [
        ("/deployments/none/info", format!("there is no such deployment; there are: {names}")),
        ("/info", format!("several models are served, name one in the path: {names}")),
    ] {
        let answer = server.get(target);
        let expected = serde_json::json!({ "message": message }).to_string();
        assert_eq!((answer.status, answer.text()), (404, expected.as_str()));
    }
    server.stop();
}

#[test]
fn the_demo_scores_both_models_and_shows_how_to_repeat_it() {
    let done = portend().args(["demo", "--once", "--port", "0"]).output().unwrap();
    let log = String::from_utf8(done.stderr).unwrap();
    assert_eq!(done.status.code(), Some(0), "{log}");
    let address = log.lines().next().unwrap().strip_prefix("listening on http://").unwrap();
    let printed = String::from_utf8(done.stdout).unwrap().replace(address, "ADDRESS");
    let folder = printed.split_once("--data-binary @").unwrap().1.split_once("/fraud-scoring.csv").unwrap().0;
    assert_eq!(printed.replace(folder, "FOLDER"), DEMO);
    assert!(!Path::new(folder).exists(), "{folder} is left behind");
}

const DEMO: &str = "
fraud: binary of 'deny' by a model of xgboost 3.2.0

       id  prediction  P(yes)   P(no)
  A-00998          no  0.1552  0.8448
  A-00257         yes  0.8333  0.1667
  A-01600          no  0.0713  0.9287
  A-01388          no  0.1680  0.8320
  A-00895          no  0.1043  0.8957
  A-00805         yes  0.9600  0.0400
  A-01278         yes  0.5776  0.4224
  A-00084          no  0.2291  0.7709
  A-02296          no  0.1213  0.8787
  A-00011          no  0.0861  0.9139

  curl -X POST 'http://ADDRESS/deployments/fraud/predictions?passthroughColumns=id' -H 'Content-Type: text/csv' \
--data-binary @FOLDER/fraud-scoring.csv


revenue: regression of 'revenue' by a model of lightgbm v4

         id          prediction
  tt0100485  36259098.665355176
  tt0373074   84582366.68130141
  tt0056869  47239159.794489846
  tt0240468   51290065.95249427
  tt0455590   98295562.16866054
  tt0061811   66854676.89070138
  tt0216787   29158227.69517285
  tt0457513   88335053.60395434
  tt1441953  53978717.441809066
  tt0368891  298658474.92342466

  curl -X POST 'http://ADDRESS/deployments/revenue/predictions?passthroughColumns=id' -H 'Content-Type: text/csv' \
--data-binary @FOLDER/revenue-scoring.csv

";

#[test]
fn each_request_is_one_line_of_the_access_log_without_data() {
    let server = RunningServer::serve(&repository("examples/demo"));
    let row = "id,dir\nsecret-cell,secret-number\n";
    let answer = server.post_csv("//deployments/fraud/predictions?passthroughColumns=secret-query", row);
    assert_eq!(answer.status, 400, "{}", answer.text());
    let id = answer.header("x-datarobot-request-id").unwrap();
    let line =
        wait_for("the line", || server.log().lines().find(|line| line.ends_with(id)).map(str::to_owned));
    let words: Vec<_> = line.split(' ').collect();
    let [time, "POST", "//deployments/fraud/predictions", "400", took, _] = words[..] else {
        panic!("{line}")
    };
    let shape = |text: &str| text.replace(|c: char| c.is_ascii_digit(), "0");
    assert_eq!(shape(time), "0000-00-00T00:00:00.000Z");
    let took: f64 = took.strip_suffix("ms").unwrap().parse().unwrap();
    let told: f64 = answer.header("x-datarobot-execution-time").unwrap().parse().unwrap();
    assert!((took - told).abs() < 0.01, "{took} {told}");
    let log = server.stop();
    assert!(!log.contains("secret"), "{log}");
}

#[test]
fn a_long_path_makes_no_long_line_of_the_access_log() {
    let server = RunningServer::serve(&repository("examples/demo/fraud"));
    let answer = server.get(&format!("/{}", "x".repeat(6_000)));
    assert_eq!(answer.status, 404);
    let id = answer.header("x-datarobot-request-id").unwrap();
    let line =
        wait_for("the line", || server.log().lines().find(|line| line.ends_with(id)).map(str::to_owned));
    assert!(line.contains(&format!(" GET /{}… 404 ", "x".repeat(1023))), "{line}");
    server.stop();
}

#[test]
fn the_access_log_can_be_left_out() {
    let mut command: Command = portend();
    command.arg("serve").arg(repository("examples/demo/fraud")).args(["--port", "0", "--no-access-log"]);
    let server = RunningServer::start(command);
    for _ in 0..3 {
        assert_eq!(server.get("/ping").status, 200);
    }
    let address = server.address;
    let log = server.stop();
    let lines: Vec<_> = log.lines().filter(|line| !line.starts_with("model 'model_x' loaded ")).collect();
    assert_eq!(lines, [format!("listening on http://{address}")]);
}
