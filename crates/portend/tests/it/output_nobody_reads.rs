//! Outputs that go nowhere: the reader of a pipe has gone away, or is there and never reads. Serving goes on, and
//! neither a panic nor a wait without end comes of it.

use std::io::pipe;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::repository;
use crate::running_server::{RunningServer, portend};

/// `portend serve PATH` with this standard error, on a port that was free a moment ago.
fn serve(path: &Path, stderr: impl Into<Stdio>) -> RunningServer {
    let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap();
    let mut command = portend();
    command.arg("serve").arg(path).args(["--port", &free.port().to_string()]).stderr(stderr);
    RunningServer::start_at(SocketAddr::from((Ipv4Addr::LOCALHOST, free.port())), command)
}

#[test]
fn a_server_whose_log_has_no_reader_any_more_serves_on() {
    let models = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(models.path().join("notes")).unwrap(); // about which there is a line to write
    std::fs::create_dir_all(models.path().join("fraud")).unwrap();
    let fraud = "fraud/model_x.mlpkg";
    std::fs::copy(repository("examples/demo").join(fraud), models.path().join(fraud)).unwrap();
    let (reader, writer) = pipe().unwrap();
    drop(reader);
    let server = serve(models.path(), writer);
    for _ in 0..3 {
        assert_eq!(server.get("/deployments/fraud/info").status, 200);
    }
    server.stop();
}

#[test]
fn a_server_whose_log_is_never_read_answers_and_ends() {
    let (reader, writer) = pipe().unwrap();
    let server = serve(&repository("examples/demo/fraud"), writer);
    // more than a pipe holds, and than may wait to be written
    let mut connection = server.connect();
    let requests = "GET /ping HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(100);
    for _ in 0..120 {
        connection.send_bytes(requests.as_bytes());
        (0..100).for_each(|_| assert_eq!(connection.receive().status, 200));
    }
    drop(connection);
    let start = Instant::now();
    server.stop();
    let took = start.elapsed();
    assert!(took < Duration::from_secs(10), "the end took {took:?}");
    drop(reader);
}

#[test]
fn a_command_whose_error_has_no_reader_ends_with_its_own_code() {
    let (reader, writer) = pipe().unwrap();
    drop(reader);
    let status = portend().args(["serve", "/no/such/place"]).stderr(writer).status().unwrap();
    assert_eq!(status.code(), Some(1));
}

#[test]
fn a_demo_whose_output_has_no_reader_any_more_ends_quietly() {
    let (reader, writer) = pipe().unwrap();
    drop(reader);
    let mut command = portend();
    command.args(["demo", "--once", "--port", "0"]).stdout(writer).stderr(Stdio::piped());
    let done = command.spawn().unwrap().wait_with_output().unwrap();
    let log = String::from_utf8(done.stderr).unwrap();
    let lines: Vec<_> =
        log.lines().filter(|line| !line.starts_with("listening on ") && !line.contains(" loaded ")).collect();
    assert_eq!((lines.as_slice(), done.status.code()), (&[][..], Some(141)), "{log}");
}
