//! Packages over HTTP, against the real binary: what is answered, what lies in the repository afterwards, and that no
//! moment of an upload leaves anything half-done.

use std::fs;
use std::io::Write;
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::connection::Answer;
use crate::repository;
use crate::running_server::{RunningServer, portend, wait_for};

/// A LightGBM model of one split that answers `low` below 0.5 and `high` above.
pub(crate) fn stump(low: f64, high: f64) -> String {
    format!(
        "tree\nversion=v4\nnum_class=1\nnum_tree_per_iteration=1\nlabel_index=0\nmax_feature_idx=0\nobjective=regression\n\
         feature_names=x\nfeature_infos=[0:9]\n\nTree=0\nnum_leaves=2\nnum_cat=0\nsplit_feature=0\nthreshold=0.5\n\
         decision_type=2\nleft_child=-1\nright_child=-2\nleaf_value={low} {high}\nshrinkage=1\n\n\nend of trees\n"
    )
}

pub(crate) fn stumps(files: &[(&str, f64)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, value) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, stump(*value, *value)).unwrap();
    }
    folder
}

pub(crate) fn serve_with(path: &Path, settings: &[(&str, &str)]) -> Command {
    let mut command = portend();
    command.arg("serve").arg(path).args(["--port", "0", "--no-access-log"]);
    command.envs(settings.iter().map(|(name, value)| (format!("PREDICTION_API_{name}"), value)));
    command
}

/// The prediction for one row, or the status.
pub(crate) fn predicted(answer: &Answer) -> Result<f64, u16> {
    let body: Value = serde_json::from_slice(&answer.body).unwrap();
    body["data"][0]["prediction"].as_f64().ok_or(answer.status)
}

pub(crate) fn predict(server: &RunningServer, id: &str) -> Result<f64, u16> {
    predicted(&server.post_csv(&format!("/deployments/{id}/predictions"), "x\n1\n"))
}

fn post(server: &RunningServer, id: &str, headers: &[&str], body: &[u8]) -> Answer {
    server.connect().ask("POST", &format!("/deployments/{id}"), headers, body)
}

fn delete(server: &RunningServer, id: &str) -> u16 {
    server.connect().ask("DELETE", &format!("/deployments/{id}"), &[], b"").status
}

/// All files below a folder, hidden ones too.
pub(crate) fn files(folder: &Path) -> String {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(inner) = folders.pop() {
        for path in fs::read_dir(inner).unwrap().map(|entry| entry.unwrap().path()) {
            match path.is_dir() {
                true if fs::read_dir(&path).unwrap().next().is_some() => folders.push(path),
                _ => found.push(path.strip_prefix(folder).unwrap().to_string_lossy().into_owned()),
            }
        }
    }
    found.sort();
    found.join(" ")
}

fn fraud() -> Vec<u8> {
    fs::read(repository("examples/demo/fraud/model_x.mlpkg")).unwrap()
}

#[test]
fn an_upload_replaces_the_package_whatever_either_is_called() {
    let folder = tempfile::tempdir().unwrap();
    let server = RunningServer::listening("http", serve_with(folder.path(), &[]));
    assert_eq!(server.get("/ready").status, 503, "there is nothing to serve yet");
    let package = fraud();
    let form = |name: &str, body: &[u8]| {
        let head = format!("--B\r\nContent-Disposition: form-data; name=\"f\"; filename=\"{name}\"\r\n\r\n");
        [head.as_bytes(), body, b"\r\n--B--\r\n"].concat()
    };
    let is_form = "Content-Type: multipart/form-data; boundary=B";
    let named = |name: &str| format!("Content-Disposition: attachment; filename=\"{name}\"");
    let model = |value: f64| stump(value, value).into_bytes();
    // what is sent, the status, the files afterwards
    let steps: [(&str, Vec<u8>, u16, &str); 10] = [
        ("", model(1.0), 201, "a/model.txt"),
        ("", model(2.0), 200, "a/model.txt"),
        (&named("model_5f.mlpkg"), package.clone(), 200, "a/model_5f.mlpkg"),
        (&named("../../b/evil.mlpkg"), package.clone(), 200, "a/model.mlpkg"),
        (is_form, form("other.mlpkg", &package), 200, "a/other.mlpkg"),
        (is_form, form("my.lgb", &model(3.0)), 200, "a/my.lgb"),
        (&named("portend.json"), model(4.0), 200, "a/model.txt"),
        ("", b"PK\x03\x04 no zip".to_vec(), 400, "a/model.txt"),
        (&named("x.mlpkg"), b"\x1f\x8b".to_vec(), 400, "a/model.txt"),
        ("", Vec::new(), 400, "a/model.txt"),
    ];
    for (header, body, status, expected) in steps {
        let answer =
            post(&server, "a", &[header].into_iter().filter(|h| !h.is_empty()).collect::<Vec<_>>(), &body);
        assert_eq!((answer.status, &*files(folder.path())), (status, expected), "{header} {}", answer.text());
    }
    assert_eq!(predict(&server, "a"), Ok(4.0), "a refused upload changes nothing");
    // what an operator put there stays
    fs::write(folder.path().join("a/config.yml"), "deployment_id: 5f\n").unwrap();
    assert_eq!(post(&server, "a", &[&named("n.mlpkg")], &package).status, 200);
    assert_eq!(files(folder.path()), "a/config.yml a/n.mlpkg");
    assert_eq!(delete(&server, "a"), 204);
    assert_eq!(files(folder.path()), "a/config.yml");
    assert_eq!((predict(&server, "a"), delete(&server, "a")), (Err(404), 404));
    assert_eq!(post(&server, "b", &[], &model(5.0)).status, 201);
    assert_eq!((predict(&server, "b"), delete(&server, "b")), (Ok(5.0), 204));
    assert_eq!(files(folder.path()), "a/config.yml");
    server.stop();
    // and what is left is a repository still
    RunningServer::listening("http", serve_with(folder.path(), &[])).stop();
}

#[test]
fn the_limit_of_other_bodies_does_not_hold_for_packages() {
    let folder = stumps(&[("a/m.txt", 1.0)]);
    let mut command = serve_with(folder.path(), &[]);
    command.env("PORTEND_BODY_LIMIT", "1MiB").env("PORTEND_BODIES_LIMIT", "1MiB");
    let server = RunningServer::start(command);
    let large = stump(2.0, 2.0) + &"\n".repeat(3 << 20);
    assert_eq!(post(&server, "a", &[], large.as_bytes()).status, 200);
    assert_eq!(predict(&server, "a"), Ok(2.0));
    server.stop();
}

#[test]
fn a_package_directory_is_replaced_and_deleted_as_a_whole() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("a");
    let source = repository("testdata/models/xgb_breast_cancer/package");
    let copy = || assert!(Command::new("cp").arg("-r").arg(&source).arg(&place).status().unwrap().success());
    copy();
    let server =
        RunningServer::start(serve_with(folder.path(), &[("DEPLOYED_MODEL_RESOLVER_CACHE_TTL_SEC", "0")]));
    assert_eq!(post(&server, "a", &[], &fraud()).status, 200);
    assert_eq!(files(folder.path()), "a/model.mlpkg");
    assert_eq!(delete(&server, "a"), 204);
    copy();
    assert_eq!(server.get("/deployments/a/info").status, 200);
    assert_eq!((delete(&server, "a"), &*files(folder.path())), (204, ""));
    server.stop();
}

#[test]
fn uploads_that_cannot_be_taken_are_told_why() {
    let folder = stumps(&[("a/m.txt", 1.0)]);
    let server = RunningServer::start(serve_with(folder.path(), &[]));
    let check = |id: &str, headers: &[&str], body: &[u8], status: u16, message: &str| {
        let answer = post(&server, id, headers, body);
        let found: Value = serde_json::from_slice(&answer.body).unwrap();
        assert!(found["message"].as_str().unwrap().contains(message), "{found}");
        assert_eq!(answer.status, status, "{message}");
    };
    let odd = fs::read(repository("examples/demo/fraud/model_x.mlpkg")).unwrap();
    check("a", &[], &odd[..odd.len() / 2], 400, "it is not a readable zip archive");
    check("a", &["Content-Encoding: gzip"], &odd, 415, "a package is sent as it is");
    check("a%20b", &[], &odd, 400, "a model id is 1 to 255 letters");
    check(".hidden", &[], &odd, 400, "names that begin with '.' are not looked at");
    check("..", &[], &odd, 400, "a model id is 1 to 255 letters");
    check("a", &["Content-Type: multipart/form-data; boundary=B"], b"--B--\r\n", 400, "no file part");
    let mut announced = server.connect();
    announced.send("POST", "/deployments/a", &["Content-Length: 9999999999999"], b"");
    let answer = announced.receive();
    assert_eq!((answer.status, answer.text()), (413, r#"{"message":"the package is larger than 4096 MiB"}"#));
    assert_eq!((predict(&server, "a"), &*files(folder.path())), (Ok(1.0), "a/m.txt"));
    server.stop();
    let single = RunningServer::serve(&repository("examples/demo/fraud"));
    for method in ["POST", "DELETE"] {
        let answer = single.connect().ask(method, "/deployments/a", &[], b"x");
        assert_eq!(answer.status, 404);
        assert!(answer.text().contains("one model is served here"), "{}", answer.text());
    }
    single.stop();
}

/// Sends a part of an upload and gives the connection.
fn begin_upload(server: &RunningServer, id: &str, body: &[u8], part: usize) -> TcpStream {
    let mut stream = TcpStream::connect(server.address).unwrap();
    let head =
        format!("POST /deployments/{id} HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n", body.len());
    stream.write_all(&[head.as_bytes(), &body[..part]].concat()).unwrap();
    stream
}

#[test]
fn an_upload_that_breaks_off_leaves_nothing() {
    let folder = stumps(&[("a/m.txt", 1.0)]);
    let server = RunningServer::start(serve_with(folder.path(), &[]));
    let body = fraud();
    let streams: Vec<_> = ["a", "b"].map(|id| begin_upload(&server, id, &body, body.len() / 2)).into();
    wait_for("the half-written files", || {
        (files(folder.path()).matches("/upload").count() == 2).then_some(())
    });
    // another server that starts meanwhile leaves them alone
    RunningServer::start(serve_with(folder.path(), &[])).stop();
    assert_eq!(files(folder.path()).matches("/upload").count(), 2);
    // and so does a delete, which is not kept waiting
    assert_eq!((delete(&server, "a"), predict(&server, "a")), (204, Err(404)));
    assert_eq!(files(folder.path()).matches("/upload").count(), 2);
    fs::write(folder.path().join("a/m.txt"), stump(1.0, 1.0)).unwrap();
    drop(streams);
    wait_for("their end", || (files(folder.path()) == "a/m.txt").then_some(()));
    server.stop();
}

#[test]
fn a_process_that_is_killed_leaves_the_old_or_the_new_package() {
    let folder = stumps(&[("a/old.txt", 1.0)]);
    let body = |value: f64| format!("{}{}", stump(value, value), "\n".repeat(1 << 20));
    let mut seed = 7_u64;
    let (mut old, mut new, mut replaced) = (1.0, 2.0, 0);
    // how long one takes that is let live
    let server = RunningServer::start(serve_with(folder.path(), &[]));
    let start = Instant::now();
    assert_eq!(post(&server, "a", &[], body(1.0).as_bytes()).status, 200);
    let most = start.elapsed().as_micros() as u64 * 3;
    server.stop();
    for round in 0..50 {
        let server = RunningServer::start(serve_with(folder.path(), &[]));
        let body = body(new);
        let name = format!("m{}.txt", round % 3);
        let head = format!(
            "POST /deployments/a HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\nContent-Disposition: attachment; \
             filename=\"{name}\"\r\n\r\n",
            body.len()
        );
        let mut stream = TcpStream::connect(server.address).unwrap();
        let sender = std::thread::spawn(move || {
            _ = stream.write_all(&[head.as_bytes(), body.as_bytes()].concat());
            stream // open until the kill: a client that goes away takes its upload with it
        });
        seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        std::thread::sleep(Duration::from_micros((seed >> 33) % most));
        drop(server); // killed
        drop(sender.join().unwrap());
        let server = RunningServer::start(serve_with(folder.path(), &[]));
        let found = predict(&server, "a").unwrap();
        assert!(found == old || found == new, "{found} where {old} or {new} belongs");
        let left = files(folder.path());
        assert!(
            left.starts_with("a/") && !left.contains([' ']) && !left.contains(".portend"),
            "round {round}: {left}"
        );
        if found == new {
            (old, new, replaced) = (new, new + 1.0, replaced + 1);
        }
        server.stop();
    }
    println!("{replaced} of 50 uploads were done before the kill");
    assert!((1..50).contains(&replaced), "kills came always too early or too late: {replaced}");
}

#[test]
fn a_full_disk_and_a_read_only_one_are_told_and_nothing_is_left() {
    let script = "set -e; mount -t tmpfs -o size=64k tmpfs \"$1\"; mkdir \"$1/a\"; cp \"$2\" \"$1/a/m.txt\"; \
                  [ -z \"$3\" ] || mount -o remount,ro \"$1\"; shift 3; exec \"$@\"";
    let source = tempfile::tempdir().unwrap();
    fs::write(source.path().join("m.txt"), stump(1.0, 1.0)).unwrap();
    for (read_only, status, message) in [
        ("", 507, "there is no room for it in the repository"),
        ("yes", 403, "the repository cannot be written to"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let can = Command::new("unshare")
            .args(["-rm", "mount", "-t", "tmpfs", "tmpfs"])
            .arg(folder.path())
            .output();
        if !can.is_ok_and(|done| done.status.success()) {
            println!(
                "!!!!!!!! LEFT OUT: a full and a read-only disk, because nothing may be mounted here !!!!!!!!"
            );
            return;
        }
        let mut command = Command::new("unshare");
        command
            .args(["-rm", "bash", "-c", script, "bash"])
            .arg(folder.path())
            .arg(source.path().join("m.txt"));
        command.arg(read_only).arg(env!("CARGO_BIN_EXE_portend")).arg("serve").arg(folder.path());
        command.args(["--port", "0"]);
        let server = RunningServer::start(command);
        let large = format!("{}{}", stump(2.0, 2.0), " ".repeat(256 << 10));
        for id in ["a", "b"] {
            let answer = post(&server, id, &[], large.as_bytes());
            assert_eq!(answer.status, status, "{}", answer.text());
            assert!(answer.text().contains(message), "{}", answer.text());
        }
        assert_eq!(predict(&server, "a"), Ok(1.0));
        assert_eq!(delete(&server, "a"), if read_only.is_empty() { 204 } else { 403 });
        // there is room again
        let small = post(&server, "c", &[], stump(3.0, 3.0).as_bytes()).status;
        assert_eq!(small, if read_only.is_empty() { 201 } else { 403 });
        server.stop();
    }
}

#[test]
fn two_uploads_to_one_id_are_both_answered_truthfully() {
    let folder = stumps(&[("keep/m.txt", -1.0)]);
    let server = RunningServer::start(serve_with(folder.path(), &[]));
    for round in 0..10 {
        let id = format!("m{round}");
        let answers: Vec<_> = std::thread::scope(|scope| {
            let threads = [1.0, 2.0].map(|value| {
                let (server, id) = (&server, &id);
                scope.spawn(move || post(server, id, &[], stump(value, value).as_bytes()).status)
            });
            threads.map(|thread| thread.join().unwrap()).into()
        });
        assert_eq!(answers.iter().sum::<u16>(), 401, "one creates, one replaces: {answers:?}");
        let first = predict(&server, &id).unwrap();
        assert!([1.0, 2.0].contains(&first));
    }
    let listed: Value = serde_json::from_slice(&server.get("/deployments").body).unwrap();
    assert_eq!(listed["deployments"].as_array().map(Vec::len), Some(11));
    assert_eq!(listed["deployments"][1]["state"], json!("ready"));
    server.stop();
}
