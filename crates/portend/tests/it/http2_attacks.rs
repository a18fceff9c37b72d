//! Connections of HTTP/2, and heads of HTTP/1, that want the server's memory, threads or patience: each attack ends as it
//! should, in bounded memory, and meanwhile others are answered.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::connection::Connection;
use crate::running_server::{RunningServer, portend};
use crate::uploads::stumps;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;

const END_STREAM: u8 = 1;
const ACK: u8 = 1;
const END_HEADERS: u8 = 4;

const INITIAL_WINDOW_SIZE: u16 = 4;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

fn setting(name: u16, value: u32) -> Vec<u8> {
    [&name.to_be_bytes()[..], &value.to_be_bytes()].concat()
}

/// A header that no table keeps; both texts are shorter than 127 bytes.
fn header(name: &str, value: &str) -> Vec<u8> {
    let text = |text: &str| [&[u8::try_from(text.len()).unwrap()], text.as_bytes()].concat();
    [vec![0], text(name), text(value)].concat()
}

/// The head of a request for predictions, or of a GET of a path.
fn head(path: Option<&str>) -> Vec<u8> {
    let path = path.map_or(PREDICTIONS, |path| path);
    let method = if path == PREDICTIONS { 0x83 } else { 0x82 };
    let target = [&[4, u8::try_from(path.len()).unwrap()], path.as_bytes()].concat();
    [vec![method, 0x86], target, header(":authority", "a"), header("content-type", "text/csv")].concat()
}

const PREDICTIONS: &str = "/deployments/a/predictions";

/// A client that sends frames as it likes.
struct Attacker(TcpStream);

/// What a server said last: a frame's kind, stream and payload.
type Heard = (u8, u32, Vec<u8>);

impl Attacker {
    /// Opens a connection with these settings of ours.
    fn open(address: SocketAddr, settings: &[u8]) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(40))).unwrap();
        stream.set_write_timeout(Some(Duration::from_secs(40))).unwrap();
        let mut this = Self(stream);
        this.send(&[b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", &frame(SETTINGS, 0, 0, settings)[..]].concat());
        this
    }

    /// False when the server has ended the connection.
    fn send(&mut self, bytes: &[u8]) -> bool {
        self.0.write_all(bytes).is_ok()
    }

    /// A thread that reads what the server says; the attack itself only writes.
    fn listening(&self) -> thread::JoinHandle<String> {
        let mut stream = Self(self.0.try_clone().unwrap());
        thread::spawn(move || stream.outcome())
    }

    fn hear(&mut self) -> io::Result<Heard> {
        let mut head = [0; 9];
        self.0.read_exact(&mut head)?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        let mut payload = vec![0; length];
        self.0.read_exact(&mut payload)?;
        let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
        if head[3] == PING && head[4] & ACK == 0 {
            self.send(&frame(PING, ACK, 0, &payload)); // who does not answer is soon cut off
        }
        Ok((head[3], stream, payload))
    }

    /// How the connection ends: with a code that says why, or just so.
    fn outcome(&mut self) -> String {
        let mut told = String::new();
        loop {
            match self.hear() {
                Ok((GOAWAY, _, payload)) => {
                    let code = u32::from_be_bytes(payload[4..8].try_into().unwrap());
                    if code != 0 {
                        return format!("goaway {code}");
                    }
                    "goodbye".clone_into(&mut told);
                }
                Ok((RST_STREAM, _, payload)) if told.is_empty() => {
                    told = format!("reset {}", u32::from_be_bytes(payload.try_into().unwrap()));
                }
                Ok(_) => {}
                Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                    return "still open".to_owned();
                }
                Err(_) => return if told.is_empty() { "closed".to_owned() } else { told },
            }
        }
    }
}

fn serve() -> (TempDir, RunningServer) {
    let folder = stumps(&[("a/m.txt", 1.0)]);
    let mut command = portend();
    command.args(["serve", "--port", "0", "--no-access-log"]).arg(folder.path());
    command
        .env("PREDICTION_API_PRELOAD_MODELS_ENABLED", "true")
        .env("PORTEND_HEADER_TIMEOUT", "3s")
        .env("PORTEND_BODY_RATE", "1MiB");
    (folder, RunningServer::start(command))
}

/// What an attacker does, and how the connection ends.
type Attack = fn(SocketAddr) -> String;

/// Streams of a client have odd numbers.
fn streams(count: u32) -> impl Iterator<Item = u32> {
    (0..count).map(|i| 2 * i + 1)
}

/// Writes a piece again and again until the server has had enough, and tells how it ended.
fn flood(address: SocketAddr, start: &[u8], pieces: impl Iterator<Item = Vec<u8>>) -> String {
    let mut attacker = Attacker::open(address, &[]);
    let listener = attacker.listening();
    attacker.send(start);
    let mut batch = Vec::new();
    for piece in pieces {
        batch.extend(piece);
        if batch.len() > 64 << 10 {
            if !attacker.send(&batch) {
                break;
            }
            batch.clear();
        }
    }
    attacker.send(&batch);
    listener.join().unwrap()
}

/// Attacks, and how the connection of each may end.
fn attacks() -> Vec<(&'static str, Attack, &'static [&'static str])> {
    vec![
        (
            "requests that are taken back at once",
            |address| {
                let cancel = 8_u32.to_be_bytes();
                flood(
                    address,
                    &[],
                    streams(200_000).map(|stream| {
                        let head = frame(HEADERS, END_HEADERS, stream, &head(None));
                        [head, frame(RST_STREAM, 0, stream, &cancel)].concat()
                    }),
                )
            },
            &["goaway 11", "closed"],
        ),
        (
            "requests that break the protocol at once",
            |address| {
                flood(
                    address,
                    &[],
                    streams(200_000).map(|stream| {
                        let head = frame(HEADERS, END_HEADERS, stream, &head(None));
                        [head, frame(WINDOW_UPDATE, 0, stream, &[0; 4])].concat()
                    }),
                )
            },
            &["goaway 1", "goaway 11", "closed"],
        ),
        (
            "a head without end",
            |address| {
                let start = frame(HEADERS, 0, 1, &head(None));
                let piece = frame(CONTINUATION, 0, 1, &header("x", "y"));
                flood(address, &start, std::iter::repeat_n(piece, 2_000_000))
            },
            &["goaway 11", "goaway 1", "closed"],
        ),
        (
            "a head without end and without content",
            |address| {
                let start = frame(HEADERS, 0, 1, &head(None));
                flood(address, &start, std::iter::repeat_n(frame(CONTINUATION, 0, 1, &[]), 2_000_000))
            },
            &["goaway 11", "goaway 1", "closed"],
        ),
        (
            "a head that repeats a long header of the table",
            |address| {
                // 0x40: kept in the table; 0xbe: the entry that was kept last
                let long = [&[0x40, 1, b'x', 0x7f, 0xa1, 0x1e][..], &[b'y'; 4000]].concat();
                let bomb = [head(None), long, vec![0xbe; 12_000]].concat();
                flood(
                    address,
                    &[],
                    streams(2000).map(move |stream| frame(HEADERS, END_HEADERS | END_STREAM, stream, &bomb)),
                )
            },
            &["goaway 11", "goaway 1", "goodbye", "closed"],
        ),
        (
            "a frame that is too large",
            |address| {
                let mut large = frame(DATA, 0, 1, &[]);
                large[..3].fill(0xff);
                flood(address, &large, std::iter::empty())
            },
            &["goaway 6"],
        ),
        (
            "settings without end",
            |address| {
                let piece = frame(SETTINGS, 0, 0, &setting(INITIAL_WINDOW_SIZE, 70_000));
                flood(address, &[], std::iter::repeat_n(piece, 500_000))
            },
            &["goaway 11", "goodbye", "closed"],
        ),
        (
            "pings without end",
            |address| flood(address, &[], std::iter::repeat_n(frame(PING, 0, 0, &[0; 8]), 500_000)),
            &["goaway 11", "goodbye", "closed"],
        ),
        (
            "pings whose answers nobody reads",
            |address| {
                let mut attacker = Attacker::open(address, &[]);
                let pings = frame(PING, 0, 0, &[0; 8]).repeat(4096);
                let start = Instant::now();
                while start.elapsed() < Duration::from_secs(40) {
                    if !attacker.send(&pings) {
                        return "closed".to_owned();
                    }
                }
                "still open".to_owned()
            },
            &["closed"],
        ),
        (
            "a window that overflows",
            |address| {
                let most = frame(WINDOW_UPDATE, 0, 0, &0x7fff_ffff_u32.to_be_bytes());
                flood(address, &[], std::iter::repeat_n(most, 2))
            },
            &["goaway 3"],
        ),
        (
            "a stream of the server's",
            |address| flood(address, &frame(HEADERS, END_HEADERS, 2, &head(None)), std::iter::empty()),
            &["goaway 1"],
        ),
        (
            "answers that nobody takes",
            |address| {
                let mut attacker = Attacker::open(address, &setting(INITIAL_WINDOW_SIZE, 0));
                for stream in streams(100) {
                    attacker.send(&frame(HEADERS, END_HEADERS | END_STREAM, stream, &head(Some("/metrics"))));
                }
                attacker.outcome()
            },
            &["closed"],
        ),
        (
            "answers that are taken byte by byte",
            |address| {
                let mut attacker = Attacker::open(address, &setting(INITIAL_WINDOW_SIZE, 1));
                for stream in streams(100) {
                    attacker.send(&frame(HEADERS, END_HEADERS | END_STREAM, stream, &head(Some("/metrics"))));
                }
                let listener = attacker.listening();
                while !listener.is_finished() {
                    thread::sleep(Duration::from_millis(500));
                    for stream in streams(100) {
                        attacker.send(&frame(WINDOW_UPDATE, 0, stream, &1_u32.to_be_bytes()));
                    }
                }
                listener.join().unwrap()
            },
            &["goodbye", "closed"],
        ),
        (
            "bodies that do not come",
            |address| {
                let mut attacker = Attacker::open(address, &[]);
                for stream in streams(100) {
                    attacker.send(&frame(HEADERS, END_HEADERS, stream, &head(None)));
                }
                attacker.outcome()
            },
            &["reset 0", "reset 5", "reset 8", "goodbye", "closed"],
        ),
        (
            "bodies that come byte by byte",
            |address| {
                let mut attacker = Attacker::open(address, &[]);
                for stream in streams(100) {
                    attacker.send(&frame(HEADERS, END_HEADERS, stream, &head(None)));
                }
                let listener = attacker.listening();
                while !listener.is_finished() {
                    thread::sleep(Duration::from_millis(500));
                    for stream in streams(100) {
                        attacker.send(&frame(DATA, 0, stream, b"x"));
                    }
                }
                listener.join().unwrap()
            },
            &["goaway 11", "goaway 5", "goodbye", "closed"],
        ),
        (
            "bodies of nothing without end",
            |address| {
                let start = frame(HEADERS, END_HEADERS, 1, &head(None));
                flood(address, &start, std::iter::repeat_n(frame(DATA, 0, 1, &[]), 3_000_000))
            },
            &["goaway 11", "reset 0", "reset 5", "reset 8", "goodbye", "closed"],
        ),
        (
            "more requests at once than may be",
            |address| {
                let mut attacker = Attacker::open(address, &[]);
                for stream in streams(1000) {
                    attacker.send(&frame(HEADERS, END_HEADERS, stream, &head(None)));
                }
                attacker.outcome()
            },
            &["goaway 11", "goaway 1", "reset 7"],
        ),
        (
            "a head that does not end",
            |address| {
                let mut attacker = Attacker::open(address, &[]);
                attacker.send(&frame(HEADERS, 0, 1, &head(None)));
                attacker.outcome()
            },
            &["goaway 1", "goodbye", "closed"],
        ),
        (
            "a connection that asks for nothing",
            |address| Attacker::open(address, &[]).outcome(),
            &["goodbye", "closed"],
        ),
        (
            "a beginning that does not go on",
            |address| {
                let stream = TcpStream::connect(address).unwrap();
                stream.set_read_timeout(Some(Duration::from_secs(40))).unwrap();
                let mut attacker = Attacker(stream);
                attacker.send(b"PRI * HTTP/2.0\r\n");
                attacker.outcome()
            },
            &["goodbye", "closed"],
        ),
        (
            "no frames at all",
            |address| flood(address, &[], std::iter::repeat_n(b"sesame".to_vec(), 100_000)),
            &["goaway 1", "goaway 6", "closed"],
        ),
    ]
}

/// That somebody else is answered while something goes on, and how long that takes at most.
fn slowest_answer(address: SocketAddr, meanwhile: &thread::JoinHandle<String>) -> Duration {
    let mut slowest = Duration::ZERO;
    while !meanwhile.is_finished() {
        let start = Instant::now();
        let answer =
            Connection::open(address).ask("POST", PREDICTIONS, &["Content-Type: text/csv"], b"x\n1\n");
        assert_eq!(answer.status, 200, "{}", answer.text());
        slowest = slowest.max(start.elapsed());
        thread::sleep(Duration::from_millis(50));
    }
    slowest
}

#[test]
fn attacks_over_http2_end_in_bounded_memory_while_others_are_answered() {
    let mut wrong = Vec::new();
    thread::scope(|scope| {
        // most of them wait for the server's patience to end
        let runs: Vec<_> = attacks()
            .into_iter()
            .map(|(what, attack, expected)| {
                scope.spawn(move || {
                    let (_folder, server) = serve();
                    let (address, before) = (server.address, server.resident_kib());
                    let start = Instant::now();
                    let attacker = thread::spawn(move || attack(address));
                    let slowest = slowest_answer(address, &attacker);
                    let outcome = attacker.join().unwrap();
                    let took = start.elapsed();
                    let grown =
                        server.peak_kib().zip(before).map_or(0, |(peak, before)| (peak - before) >> 10);
                    println!(
                        "{what}: {outcome} after {took:.1?}, {grown} MiB more, others waited {slowest:.1?}"
                    );
                    server.stop();
                    let good = expected.contains(&outcome.as_str())
                        && grown <= 48
                        && slowest < Duration::from_secs(10)
                        && took < Duration::from_secs(38);
                    (!good).then(|| format!("{what}: {outcome} after {took:?}, {grown} MiB, {slowest:?}"))
                })
            })
            .collect();
        wrong.extend(runs.into_iter().filter_map(|run| run.join().unwrap()));
    });
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn a_thousand_connections_of_http2_cost_little_and_go_in_time() {
    let (_folder, server) = serve();
    let before = server.resident_kib();
    let address = server.address;
    let mut attackers: Vec<_> = (0..1000)
        .map(|_| {
            let mut attacker = Attacker::open(address, &setting(INITIAL_WINDOW_SIZE, 0));
            attacker.send(&frame(HEADERS, END_HEADERS | END_STREAM, 1, &head(Some("/metrics"))));
            attacker
        })
        .collect();
    let answer = server.post_csv(PREDICTIONS, "x\n1\n");
    assert_eq!(answer.status, 200);
    for attacker in &mut attackers {
        assert_eq!(attacker.outcome(), "closed");
    }
    let grown = server.peak_kib().zip(before).map_or(0, |(peak, before)| (peak - before) >> 10);
    println!("1000 connections: {grown} MiB");
    assert!(grown < 150, "{grown} MiB");
    server.stop();
}

#[test]
fn a_connection_of_http2_lives_as_long_as_it_is_used() {
    let (_folder, server) = serve();
    let mut client = Attacker::open(server.address, &[]);
    let listener = client.listening();
    for stream in streams(20) {
        assert!(client.send(&frame(HEADERS, END_HEADERS | END_STREAM, stream, &head(Some("/ping")))));
        thread::sleep(Duration::from_millis(350));
        assert!(!listener.is_finished(), "ended after request {stream}");
    }
    let unused = Instant::now();
    assert_eq!(listener.join().unwrap(), "goodbye");
    let unused = unused.elapsed();
    assert!((Duration::from_secs(2)..Duration::from_secs(10)).contains(&unused), "{unused:?}");
    server.stop();
}

#[test]
fn heads_of_http1_that_are_too_large_are_refused_in_bounded_memory() {
    let (_folder, server) = serve();
    let before = server.resident_kib();
    let check = |what: &str, head: &[u8], expected: &[u16]| {
        let mut connection = server.connect();
        connection.try_send_bytes(head).ok(); // it may be cut off before all of it is sent
        match connection.try_receive() {
            Ok(answer) => assert!(expected.contains(&answer.status), "{what}: {}", answer.status),
            Err(error) => assert_ne!(error.kind(), io::ErrorKind::WouldBlock, "{what}: {error}"),
        }
    };
    let many = |count: usize| "X-A: b\r\n".repeat(count);
    let long = |bytes: usize| format!("X-A: {}\r\n", "b".repeat(bytes));
    for (what, headers, expected) in [
        ("many headers", many(100_000), &[431][..]),
        ("a few too many headers", many(110), &[431]),
        ("a long header", long(20 << 20), &[431, 400]),
        ("headers of 9 KiB", long(9 << 10), &[431]),
        ("a header without end", long(1 << 20).trim_end().to_owned(), &[431, 400]),
    ] {
        check(what, format!("GET /ping HTTP/1.1\r\nHost: a\r\n{headers}\r\n").as_bytes(), expected);
    }
    check(
        "a long target",
        format!("GET /{} HTTP/1.1\r\n\r\n", "a".repeat(20 << 20)).as_bytes(),
        &[414, 431, 400],
    );
    check("a long method", "G".repeat(20 << 20).as_bytes(), &[400, 431, 414]);
    let grown = server.peak_kib().zip(before).map_or(0, |(peak, before)| (peak - before) >> 10);
    assert!(grown < 32, "{grown} MiB");
    assert_eq!(server.get("/ready").status, 200);
    server.stop();
}
