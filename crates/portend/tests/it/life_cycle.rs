//! The end of a server: what is under way is answered, and the exit code tells whether all of it was.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::connection::Connection;
use crate::repository;
use crate::running_server::{RunningServer, portend, wait_for};

/// Connections that ask one request after the other.
const CROWD: usize = 16;

const ROWS: &str =
    "dir,hir,lvr,ccs,mcs,uria,comdominiom,pbcr,dmi,self,single\n0.35,0.2,,3,2,2,0,no,no,no,no\n";

/// A server that cuts off after a time.
fn serve(drain_timeout: &str) -> RunningServer {
    let mut command = portend();
    command.args(["serve", "--port", "0"]).arg(repository("examples/demo/fraud"));
    command.env("PORTEND_DRAIN_TIMEOUT", drain_timeout);
    RunningServer::start(command)
}

/// Asks until nobody listens any more, over connections that are kept as long as the server keeps them; the number of
/// answers.
fn ask_to_the_end(address: SocketAddr, expected: &[u8], under_way: &AtomicBool) -> usize {
    let mut answers = 0;
    let head = format!(
        "POST /predictions HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/csv\r\nContent-Length: {}\r\n\r\n",
        ROWS.len()
    );
    while let Ok(mut connection) = Connection::try_open(address) {
        for asked in 0.. {
            let sent = connection.try_send_bytes(format!("{head}{ROWS}").as_bytes());
            match sent.and_then(|()| connection.try_receive()) {
                Ok(answer) => {
                    assert!(answer.status == 200 && answer.body == expected, "{answer:?}");
                    answers += 1;
                    under_way.store(true, Ordering::Relaxed);
                    if answer.is_last() {
                        break;
                    }
                }
                // the system opens connections for a listener that then closes: that one was never accepted
                Err(error) if asked == 0 => {
                    assert!(Connection::try_open(address).is_err(), "lost, and it still listens: {error}");
                    return answers;
                }
                Err(error) => panic!("request {asked} of a connection is lost: {error}"),
            }
        }
    }
    answers
}

#[test]
fn no_request_is_lost_when_the_server_is_told_to_stop_under_load() {
    let server = serve("30s");
    let expected = server.post_csv("/predictions", ROWS).body;
    let begun: Vec<AtomicBool> = (0..CROWD).map(|_| AtomicBool::new(false)).collect();
    let (address, expected) = (server.address, &expected);
    let (answers, log) = std::thread::scope(|scope| {
        let one = |begun| scope.spawn(move || ask_to_the_end(address, expected, begun));
        let crowd: Vec<_> = begun.iter().map(one).collect();
        wait_for("the load", || begun.iter().all(|begun| begun.load(Ordering::Relaxed)).then_some(()));
        let log = server.stop();
        (crowd.into_iter().map(|one| one.join().unwrap()).sum::<usize>(), log)
    });
    let logged = log.lines().filter(|line| line.contains(" POST /predictions 200 ")).count();
    println!("{answers} answers");
    assert_eq!(logged, answers + 1, "answers that were sent, and that came");
}

/// Opens a connection for each request and sends it a little later, until nobody listens any more; how many were lost.
fn knock_to_the_end(address: SocketAddr) -> usize {
    let mut lost = 0;
    while let Ok(mut connection) = Connection::try_open(address) {
        std::thread::sleep(Duration::from_millis(3));
        let sent = connection.try_send_bytes(b"GET /ping HTTP/1.1\r\nHost: localhost\r\n\r\n");
        let answer = sent.and_then(|()| connection.try_receive());
        lost += usize::from(!answer.is_ok_and(|answer| answer.status == 200));
    }
    lost
}

#[test]
fn a_connection_of_the_last_moment_is_served() {
    let server = serve("30s");
    let mut running = hang(&server); // for which it stays
    let address = server.address;
    let lost: usize = std::thread::scope(|scope| {
        let crowd: Vec<_> = (0..CROWD).map(|_| scope.spawn(move || knock_to_the_end(address))).collect();
        server.terminate();
        crowd.into_iter().map(|one| one.join().unwrap()).sum()
    });
    running.send_bytes(ROWS.as_bytes());
    assert_eq!(running.receive().status, 200);
    assert_eq!(server.end().0, Some(0));
    // one may be opened by the system and never accepted
    assert!(lost <= 1, "{lost} of the last {CROWD}");
}

/// A connection with a request whose body is not all there, once the server has its head.
fn hang(server: &RunningServer) -> Connection {
    let mut connection = server.connect();
    let length = format!("Content-Length: {}", ROWS.len());
    connection.send(
        "POST",
        "/predictions",
        &["Content-Type: text/csv", &length, "Expect: 100-continue"],
        b"",
    );
    assert_eq!(connection.receive_go_ahead(), "HTTP/1.1 100 Continue\r\n\r\n");
    connection
}

#[test]
fn a_request_that_ends_in_time_is_answered_and_told_that_the_connection_ends() {
    let server = serve("30s");
    let mut running = hang(&server);
    let mut idle = server.connect();
    assert!(!idle.ask("GET", "/ready", &[], b"").is_last());
    server.terminate();
    let ready = wait_for("its stopping", || {
        let ready = server.get("/ready");
        (ready.status == 503).then_some(ready)
    });
    assert_eq!((ready.text(), ready.is_last()), (r#"{"message":"the server is stopping"}"#, true));
    // whoever comes within the first moment is served
    assert_eq!(idle.ask("GET", "/ping", &[], b"").status, 200);
    wait_for("no listener", || Connection::try_open(server.address).err());
    running.send_bytes(ROWS.as_bytes());
    let answer = running.receive();
    assert_eq!((answer.status, answer.is_last()), (200, true));
    assert_eq!(server.end().0, Some(0));
}

/// The next signal ends it in far less time than anything else would, and its hanging request is not answered.
fn check_cut_off(server: RunningServer) {
    let start = Instant::now();
    server.terminate();
    let (code, log) = server.end();
    let took = start.elapsed();
    assert_eq!(code, Some(1), "{log}");
    assert!(log.contains("requests that were running were cut off"), "{log}");
    assert!(took < Duration::from_secs(6), "{took:?}"); // the grace of a body is 10 s
}

#[test]
fn a_second_signal_ends_at_once_and_the_exit_code_tells() {
    let server = serve("30s");
    let hanging = hang(&server);
    server.terminate();
    wait_for("its stopping", || (server.get("/ready").status == 503).then_some(()));
    check_cut_off(server);
    drop(hanging);
}

#[test]
fn the_drain_timeout_cuts_off_and_the_exit_code_tells() {
    for drain_timeout in ["1s", "0s"] {
        let server = serve(drain_timeout);
        let hanging = hang(&server);
        check_cut_off(server);
        drop(hanging);
    }
}

#[test]
fn connections_without_a_request_cut_nothing_off_and_delay_nothing() {
    for drain_timeout in ["0s", "1s", "60s"] {
        let server = serve(drain_timeout);
        let mut idle = server.connect();
        assert_eq!(idle.ask("GET", "/ping", &[], b"").status, 200);
        let silent = server.connect();
        let half = |mut connection: Connection, head: &[u8]| {
            connection.send_bytes(head);
            connection
        };
        let mut used = server.connect();
        assert_eq!(used.ask("GET", "/ping", &[], b"").status, 200);
        let begun = [
            half(used, b"GET /ping HTTP/1.1\r\nHost: loc"),
            half(server.connect(), b"G"),
            half(server.connect(), b"POST /predictions HTTP/1.1\r\n"),
            // the first of two is answered
            half(server.connect(), b"GET /ping HTTP/1.1\r\nHost: localhost\r\n\r\nGET /pi"),
        ];
        let start = Instant::now();
        server.stop();
        let took = start.elapsed();
        assert!(took < Duration::from_secs(6), "{drain_timeout}: {took:?}");
        drop((idle, silent, begun));
    }
}

#[test]
fn a_head_that_is_completed_while_the_server_stops_is_answered() {
    let server = serve("30s");
    let mut begun = server.connect();
    begun.send_bytes(b"GET /ping HTTP/1.1\r\nHost: ");
    server.terminate();
    wait_for("its stopping", || (server.get("/ready").status == 503).then_some(()));
    begun.send_bytes(b"localhost\r\n\r\n");
    let answer = begun.receive();
    assert_eq!((answer.status, answer.is_last()), (200, true));
    assert_eq!(server.end().0, Some(0));
}

#[test]
fn an_answer_that_is_still_being_read_is_not_cut_off() {
    let server = serve("30s");
    let (head, row) = ROWS.split_once('\n').unwrap();
    let rows = format!("{head}\n{}", row.repeat(160_000)); // an answer that no buffer of a connection holds
    let length = format!("Content-Length: {}", rows.len());
    let mut slow = server.connect();
    slow.send("POST", "/predictions", &["Content-Type: text/csv", &length], rows.as_bytes());
    wait_for("the answer", || server.log().contains(" POST /predictions 200 ").then_some(()));
    server.terminate();
    wait_for("no listener", || Connection::try_open(server.address).err());
    std::thread::sleep(Duration::from_secs(1));
    let answer = slow.receive();
    assert!(answer.status == 200 && answer.body.len() > 16 << 20, "{}", answer.body.len());
    assert_eq!(server.end().0, Some(0));
}
