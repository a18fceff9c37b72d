//! More than the server can do: it refuses with 408 or 429 and says why, and answers rightly what it took.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::Barrier;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::connection::{Answer, Connection};
use crate::repository;
use crate::running_server::{RunningServer, portend, wait_for};
use crate::uploads::{files, serve_with};

/// As many connections at once.
const CROWD: usize = 16;

const CSV: &str = "Content-Type: text/csv";

/// The demo's fraud model with these settings.
fn serve(settings: &[(&str, &str)]) -> RunningServer {
    let mut command = portend();
    command.args(["serve", "--port", "0"]).arg(repository("examples/demo/fraud"));
    command.envs(settings.iter().copied());
    RunningServer::start(command)
}

/// The demo's rows so often that there are about `bytes` of them.
fn rows(bytes: usize) -> String {
    let text = std::fs::read_to_string(repository("examples/demo/fraud-scoring.csv")).unwrap();
    let (head, rows) = text.split_once('\n').unwrap();
    format!("{head}\n{}", rows.repeat(bytes / rows.len()))
}

fn message(answer: &Answer) -> String {
    let body: Value = serde_json::from_slice(&answer.body).unwrap();
    body["message"].as_str().unwrap_or_default().to_owned()
}

/// A refusal that says so and asks to come again.
fn check_refused(answer: &Answer, reason: &str) {
    let expected = format!("the server is overloaded, {reason}: try again in a moment");
    assert_eq!((answer.status, message(answer), answer.header("retry-after")), (429, expected, Some("1")));
}

#[test]
fn a_full_queue_refuses_the_crowd_and_answers_rightly_whom_it_took() {
    let server = serve(&[("PREDICTION_API_WORKERS", "1"), ("PORTEND_QUEUE", "1")]);
    let rows = rows(300 << 10);
    let expected = server.post_csv("/predictions", &rows);
    assert_eq!(expected.status, 200);
    let start = Barrier::new(CROWD);
    let answers: Vec<Answer> = std::thread::scope(|scope| {
        let one = || {
            let mut connection = server.connect();
            start.wait();
            let ask = |_| connection.ask("POST", "/predictions", &[CSV], rows.as_bytes());
            (0..3).map(ask).collect::<Vec<_>>()
        };
        let crowd: Vec<_> = (0..CROWD).map(|_| scope.spawn(one)).collect();
        crowd.into_iter().flat_map(|one| one.join().unwrap()).collect()
    });
    let (taken, refused): (Vec<_>, Vec<_>) = answers.iter().partition(|answer| answer.status == 200);
    println!("{} of {} refused", refused.len(), answers.len());
    assert!(!taken.is_empty() && !refused.is_empty());
    taken.iter().for_each(|answer| assert!(answer.body == expected.body));
    refused.iter().for_each(|answer| check_refused(answer, "too many requests wait to be scored"));
    assert_eq!(server.post_csv("/predictions", &rows).status, 200);
    server.stop();
}

#[test]
fn a_body_that_stalls_is_refused_after_its_grace() {
    let server = serve(&[("PORTEND_BODY_RATE", "1MiB")]);
    let start = Instant::now();
    let mut stalling = server.connect();
    stalling.send("POST", "/predictions", &[CSV, "Content-Length: 1000"], b"dir,hir,");
    assert_eq!(server.post_csv("/predictions", &rows(1000)).status, 200); // nobody else waits
    let answer = stalling.receive();
    let took = start.elapsed();
    let expected = "the request body arrives too slowly: at least 1048576 bytes a second are expected";
    assert_eq!((answer.status, message(&answer).as_str(), answer.is_last()), (408, expected, true));
    assert!((Duration::from_secs(9)..Duration::from_secs(19)).contains(&took), "{took:?}");
    let start = Instant::now();
    server.stop(); // which does not wait for the rest
    let took = start.elapsed();
    assert!(took < Duration::from_secs(8), "{took:?}");
}

/// How long this says all that it has to say, in steps of a second.
fn send_slowly(connection: &mut Connection, bytes: &[u8], seconds: usize) {
    for piece in bytes.chunks(bytes.len().div_ceil(seconds)) {
        connection.send_bytes(piece);
        std::thread::sleep(Duration::from_secs(1));
    }
}

#[test]
fn an_upload_that_trickles_is_refused_and_leaves_nothing_and_a_slow_one_is_taken() {
    let folder = tempfile::tempdir().unwrap();
    let server = RunningServer::listening("http", serve_with(folder.path(), &[]));
    let package = std::fs::read(repository("examples/demo/fraud/model_x.mlpkg")).unwrap();
    let form = "Content-Type: multipart/form-data; boundary=B";
    let part = "--B\r\nContent-Disposition: form-data; name=\"f\"; filename=\"m.mlpkg\"\r\n\r\n";
    let begun: [(&[&str], &str); 4] = [
        (&["Content-Length: 20000"], "P"),
        (&["Transfer-Encoding: chunked"], "4000\r\nPK"),
        (&["Content-Length: 20000", form], "--B\r\n"),
        (&["Content-Length: 20000", form], part),
    ];
    let start = Instant::now();
    let mut trickling: Vec<_> = begun.iter().map(|_| server.connect()).collect();
    for (connection, (headers, beginning)) in trickling.iter_mut().zip(begun) {
        connection.send("POST", "/deployments/a", headers, beginning.as_bytes());
    }
    let mut slow = server.connect();
    slow.send("POST", "/deployments/b", &[&format!("Content-Length: {}", package.len())], b"");
    std::thread::scope(|scope| {
        scope.spawn(|| send_slowly(&mut slow, &package, 13));
        std::thread::sleep(Duration::from_secs(4));
        trickling.iter_mut().for_each(|connection| connection.send_bytes(b"-"));
        for connection in &mut trickling {
            let answer = connection.receive();
            let took = start.elapsed();
            let expected = "the request body arrives too slowly: at least 1024 bytes a second are expected";
            assert_eq!((answer.status, message(&answer).as_str(), answer.is_last()), (408, expected, true));
            assert!((Duration::from_secs(9)..Duration::from_secs(19)).contains(&took), "{took:?}");
        }
    });
    assert_eq!(slow.receive().status, 201);
    assert_eq!(files(folder.path()), "b/model.mlpkg");
    server.stop();
}

/// Asks for an answer that no buffer of a connection holds, takes `taken` bytes of it a second for some time, and then
/// the rest; how many bytes that were, and how many belong there.
fn read_slowly(server: &RunningServer, rows: &str, taken: usize) -> (usize, usize) {
    let mut stream = TcpStream::connect(server.address).unwrap();
    let length = rows.len();
    let head = format!(
        "POST /predictions HTTP/1.1\r\nHost: h\r\nConnection: close\r\n{CSV}\r\nContent-Length: {length}\r\n\r\n"
    );
    stream.write_all(format!("{head}{rows}").as_bytes()).unwrap();
    let mut all = Vec::new();
    for _ in 0..15 {
        let mut one_second = (&stream).take(taken as u64);
        one_second.read_to_end(&mut all).unwrap();
        std::thread::sleep(Duration::from_secs(1));
    }
    if let Err(error) = stream.read_to_end(&mut all) {
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    }
    let end = all.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4;
    let head = String::from_utf8_lossy(&all[..end]);
    let told = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
    (all.len() - end, told.parse().unwrap())
}

#[test]
fn an_answer_that_is_taken_too_slowly_is_broken_off() {
    // so that what the system buffers earns no time
    let strict = serve(&[("PORTEND_BODY_RATE", "1GiB")]);
    let usual = serve(&[]);
    let rows = rows(8 << 20);
    std::thread::scope(|scope| {
        let kept = scope.spawn(|| read_slowly(&usual, &rows, 50_000));
        let (came, told) = read_slowly(&strict, &rows, 10);
        assert!(came < told, "{came} of {told} bytes came");
        let (came, told) = kept.join().unwrap();
        assert_eq!(came, told);
    });
    strict.stop();
    usual.stop();
}

/// Sends a large body but for its last byte.
fn begin(connection: &mut Connection, rows: &str) {
    let length = format!("Content-Length: {}", rows.len());
    connection.send("POST", "/predictions", &[CSV, &length], &rows.as_bytes()[..rows.len() - 1]);
}

#[test]
fn a_body_beyond_the_limit_of_all_is_refused_and_the_first_is_answered() {
    let server = serve(&[("PORTEND_BODIES_LIMIT", "1MiB"), ("PORTEND_BODY_LIMIT", "1MiB")]);
    let rows = rows(1000 << 10);
    let expected = server.post_csv("/predictions", &rows);
    assert_eq!(expected.status, 200);
    // again where the first one's bytes have not come in time, so that it meets the second
    let (refused, small, first) = wait_for("a first that has come before the second", || {
        let mut first = server.connect();
        begin(&mut first, &rows);
        std::thread::sleep(Duration::from_millis(100));
        let second = server.post_csv("/predictions", &rows);
        let small = server.post_csv("/predictions", &self::rows(1000));
        first.try_send_bytes(&rows.as_bytes()[rows.len() - 1..]).ok()?;
        let first = first.try_receive().ok()?;
        (first.status == 200 && second.status != 200).then_some((second, small, first))
    });
    check_refused(&refused, "too many large request bodies are being read");
    assert_eq!(small.status, 200); // it needs no room
    assert!(first.body == expected.body);
    // a client that goes away leaves its room
    let mut gone = server.connect();
    begin(&mut gone, &rows);
    drop(gone);
    wait_for("room", || (server.post_csv("/predictions", &rows).status == 200).then_some(()));
    server.stop();
}
