//! Changes on the disk under a running server: noticed when a request comes, prepared aside, and taken when good.

use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

use crate::running_server::{RunningServer, wait_for};
use crate::uploads::{predict, predicted, serve_with, stump, stumps};

const AT_ONCE: [(&str, &str); 1] = [("DEPLOYED_MODEL_RESOLVER_CACHE_TTL_SEC", "0")];

/// Puts a file in place in one step, as a careful operator does.
fn put(path: &Path, content: &str) {
    let aside = path.with_file_name(".new");
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&aside, content).unwrap();
    fs::rename(aside, path).unwrap();
}

fn info(server: &RunningServer, id: &str) -> Value {
    serde_json::from_slice(&server.get(&format!("/deployments/{id}/info")).body).unwrap()
}

#[test]
fn a_changed_package_is_taken_when_it_is_good() {
    let folder = stumps(&[("a/m.txt", 1.0), ("b/m.txt", 10.0)]);
    let server = RunningServer::start(serve_with(folder.path(), &AT_ONCE));
    assert_eq!((predict(&server, "a"), predict(&server, "b")), (Ok(1.0), Ok(10.0)));
    put(&folder.path().join("a/m.txt"), &stump(2.0, 2.0));
    // the old one answers until the new one is there
    wait_for("the new model", || match predict(&server, "a").unwrap() {
        1.0 => None,
        other => {
            assert_eq!(other, 2.0);
            Some(())
        }
    });
    // a broken one is told, and tried once
    put(&folder.path().join("a/m.txt"), "tree\nversion=v4\nbroken\n");
    let told = wait_for("the failure", || {
        assert_eq!(predict(&server, "a"), Ok(2.0));
        Some(info(&server, "a")).filter(|info| !info["error"].is_null())
    });
    assert_eq!((&told["state"], &told["error"]["code"]), (&json!("ready"), &json!("bad_model")));
    (0..5).for_each(|_| assert_eq!(predict(&server, "a"), Ok(2.0)));
    let log = server.log();
    let line = "model 'a' has a new package that does not load; the former one serves on: ";
    assert_eq!(log.matches(line).count(), 1, "{log}");
    assert!(log.contains("model 'a' reloaded from m.txt in "), "{log}");
    put(&folder.path().join("a/m.txt"), &stump(3.0, 3.0));
    wait_for("the mended model", || (predict(&server, "a") == Ok(3.0)).then_some(()));
    assert_eq!(info(&server, "a")["error"], Value::Null);
    assert_eq!(predict(&server, "b"), Ok(10.0));
    server.stop();
}

#[test]
fn directories_come_and_go() {
    let folder = stumps(&[("a/m.txt", 1.0)]);
    let server = RunningServer::start(serve_with(folder.path(), &AT_ONCE));
    assert_eq!(predict(&server, "b"), Err(404));
    put(&folder.path().join("b/m.txt"), &stump(2.0, 2.0));
    assert_eq!(predict(&server, "b"), Ok(2.0));
    fs::remove_dir_all(folder.path().join("b")).unwrap();
    assert_eq!(predict(&server, "b"), Err(404));
    wait_for("the line", || {
        server.log().contains("model 'b' is no longer in the repository\n").then_some(())
    });
    // several: the one that serves goes on, with the reason told
    assert_eq!(predict(&server, "a"), Ok(1.0));
    fs::write(folder.path().join("a/n.txt"), stump(5.0, 5.0)).unwrap();
    assert_eq!(predict(&server, "a"), Ok(1.0));
    assert_eq!(info(&server, "a")["error"]["code"], json!("several_packages"));
    fs::remove_file(folder.path().join("a/m.txt")).unwrap();
    wait_for("the other one", || (predict(&server, "a") == Ok(5.0)).then_some(()));
    server.stop();
}

#[test]
fn files_are_not_looked_at_before_their_time() {
    let folder = stumps(&[("a/m.txt", 1.0)]);
    let never = [("DEPLOYED_MODEL_RESOLVER_CACHE_TTL_SEC", "1000000000000")];
    let server = RunningServer::start(serve_with(folder.path(), &never));
    assert_eq!(predict(&server, "a"), Ok(1.0));
    put(&folder.path().join("a/m.txt"), &stump(2.0, 2.0));
    put(&folder.path().join("b/m.txt"), &stump(2.0, 2.0));
    assert_eq!((predict(&server, "a"), predict(&server, "b")), (Ok(1.0), Err(404)));
    server.stop();
    let server =
        RunningServer::start(serve_with(folder.path(), &[("DEPLOYED_MODEL_RESOLVER_CACHE_TTL_SEC", "1")]));
    assert_eq!(predict(&server, "a"), Ok(2.0));
    put(&folder.path().join("a/m.txt"), &stump(3.0, 3.0));
    std::thread::sleep(Duration::from_millis(1100));
    wait_for("the new model", || (predict(&server, "a") == Ok(3.0)).then_some(()));
    server.stop();
}

#[test]
fn a_single_model_reloads_too() {
    let folder = stumps(&[("m.txt", 1.0)]);
    for path in [folder.path().to_owned(), folder.path().join("m.txt")] {
        put(&folder.path().join("m.txt"), &stump(1.0, 1.0));
        let server = RunningServer::start(serve_with(&path, &AT_ONCE));
        let predict = || predicted(&server.post_csv("/predictions", "x\n1\n"));
        assert_eq!(predict(), Ok(1.0));
        put(&folder.path().join("m.txt"), &stump(2.0, 2.0));
        wait_for("the new model", || (predict() == Ok(2.0)).then_some(()));
        // gone: the one that serves goes on
        fs::remove_file(folder.path().join("m.txt")).unwrap();
        assert_eq!(predict(), Ok(2.0));
        assert_eq!(server.get("/ready").status, 200);
        server.stop();
    }
}

#[test]
fn a_settings_file_is_told_and_its_faults_are_warnings() {
    let folder = stumps(&[("a/m.txt", 1.0)]);
    let server = RunningServer::start(serve_with(folder.path(), &AT_ONCE));
    let path = folder.path().join("a/config.yml");
    let check = |content: &str, key: &str, expected: Value| {
        fs::write(&path, content).unwrap();
        // the time of change may have the grain of the system's clock
        fs::File::open(&path)
            .unwrap()
            .set_modified(SystemTime::now() + Duration::from_secs(content.len() as u64))
            .unwrap();
        assert_eq!(predict(&server, "a"), Ok(1.0));
        assert_eq!(info(&server, "a")[key], expected, "{content}");
    };
    check("deployment_id: 5fc92906ad764dde6c3264fa\n", "deploymentId", json!("5fc92906ad764dde6c3264fa"));
    let settings = "association_id_settings:\n  column_name: id\n  allow_missing_values: ";
    let expected = json!({ "columnName": "id", "allowMissingValues": true });
    check(&format!("{settings}true\n"), "associationIdSettings", expected);
    let warning = "config.yml, line 3, key 'allow_missing_values': invalid boolean";
    check(&format!("{settings}perhaps\n"), "warning", json!(warning));
    let line = format!("model 'a' serves without its settings: {warning}\n");
    wait_for("the line", || server.log().contains(&line).then_some(()));
    check("", "warning", Value::Null);
    server.stop();
}
