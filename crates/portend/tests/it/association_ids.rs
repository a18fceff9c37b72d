//! The column that tells rows apart: where the operator names one, no row comes without, and the answer repeats it only
//! when it is asked to.

use std::fs;
use std::path::Path;

use crate::running_server::{RunningServer, portend, wait_for};
use crate::uploads::{serve_with, stumps};

const CSV: &str = "Content-Type: text/csv";
const JSON: &str = "Content-Type: application/json";

/// Sends rows; what comes back begins so.
fn check(server: &RunningServer, target: &str, kind: &str, rows: &str, status: u16, expected: &str) {
    let answer = server.connect().ask("POST", target, &[kind, "Accept: text/csv"], rows.as_bytes());
    assert_eq!((answer.status, answer.text()), (status, expected), "{target} {rows:.60}");
}

fn message(text: &str) -> String {
    format!(r#"{{"message":"{text}"}}"#)
}

/// What a deployment answers whose column is `id` and may not be empty.
fn check_required(server: &RunningServer, target: &str) {
    let absent = message("column 'id' is missing: this deployment needs it as association id");
    let empty = |row: usize| message(&format!("column 'id', row {row}: the association id is empty"));
    let all = format!("{target}?passthroughColumnsSet=all");
    let asked = format!("{target}?passthroughColumns=id");
    let other = format!("{target}?passthroughColumns=no");
    let plain = "target_PREDICTION\n1.0\n";
    check(server, target, CSV, "x,id\n1,a\n", 200, plain);
    check(server, target, JSON, r#"[{"x":1,"id":7}]"#, 200, plain);
    check(server, target, CSV, "x\n1\n", 422, &absent);
    check(server, target, JSON, r#"[{"x":1}]"#, 422, &absent);
    check(server, &all, CSV, "x\n1\n", 422, &absent);
    check(server, target, CSV, "id,x\na,1\n,2\n", 422, &empty(1));
    check(server, target, CSV, "id,x\n\"\",1\n", 422, &empty(0));
    check(server, target, JSON, r#"[{"x":1,"id":"a"},{"x":1}]"#, 422, &empty(1));
    check(server, target, JSON, r#"[{"x":1,"id":null}]"#, 422, &empty(0));
    check(server, target, JSON, r#"[{"x":1,"id":""}]"#, 422, &empty(0));
    check(server, &all, CSV, "x,id\n1,\n", 422, &empty(0));
    // it is repeated when it is asked for, and then named as such
    check(server, &asked, CSV, "x,id\n1,a\n", 200, "target_PREDICTION,id\n1.0,a\n");
    check(server, &all, CSV, "x,id\n1,a\n", 200, "target_PREDICTION,x,id\n1.0,1,a\n");
    let sought = |name: &str| {
        message(&format!(
            "passthroughColumns do not match columns, columns expected but not found: ['{name}']"
        ))
    };
    check(server, &asked, CSV, "x\n1\n", 400, &sought("id"));
    check(server, &other, CSV, "x\n1\n", 400, &sought("no"));
    check(server, &other, CSV, "x,no\n1,2\n", 422, &absent);
    // of a body that is decoded in parts the row is that of the request
    let many = format!("x,id\n{}1,\n", "1,a\n".repeat(100_000));
    check(server, target, CSV, &many, 422, &empty(100_000));
}

#[test]
fn a_repository_takes_the_column_of_each_deployment_from_its_config_yml() {
    let folder = stumps(&[("a/m.txt", 1.0), ("b/m.txt", 1.0)]);
    let config = folder.path().join("a/config.yml");
    let says = |allowed: &str| {
        let text =
            format!("association_id_settings:\n  column_name: id\n  allow_missing_values: {allowed}\n");
        fs::write(&config, text).unwrap();
    };
    says("false");
    let settings = [("DEPLOYED_MODEL_RESOLVER_CACHE_TTL_SEC", "0")];
    let mut command = serve_with(folder.path(), &settings);
    command.env("MLOPS_ASSOCIATION_ID_COLUMN", "for_single_models").env("PREDICTION_API_WORKERS", "4");
    let server = RunningServer::start(command);
    check_required(&server, "/deployments/a/predictions");
    check(&server, "/deployments/b/predictions", CSV, "x\n1\n", 200, "target_PREDICTION\n1.0\n");
    says("true");
    wait_for("the new settings", || {
        (server.post_csv("/deployments/a/predictions", "x\n1\n").status == 200).then_some(())
    });
    server.stop();
}

#[test]
fn a_single_model_takes_the_column_from_variables_before_config_yml() {
    let folder = stumps(&[("m.txt", 1.0)]);
    let serve = |path: &Path, settings: &[(&str, &str)]| {
        let mut command = portend();
        command.arg("serve").arg(path).args(["--port", "0", "--workers", "4"]);
        command.envs(settings.iter().map(|(name, value)| (format!("MLOPS_ASSOCIATION_ID_{name}"), value)));
        RunningServer::start(command)
    };
    let server = serve(&folder.path().join("m.txt"), &[("COLUMN", "id")]);
    check_required(&server, "/predictions");
    server.stop();
    fs::write(folder.path().join("config.yml"), "association_id_settings: {column_name: other}\n").unwrap();
    let rows = "x\n1\n";
    for (settings, status, expected) in [
        (&[][..], 422, message("column 'other' is missing: this deployment needs it as association id")),
        (&[("COLUMN", "id"), ("ALLOW_MISSING_VALUES", "true")], 200, "target_PREDICTION\n1.0\n".to_owned()),
    ] {
        let server = serve(folder.path(), settings);
        check(&server, "/predictions", CSV, rows, status, &expected);
        server.stop();
    }
}
