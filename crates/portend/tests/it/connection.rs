//! One HTTP/1.1 connection, written and read byte by byte, so that a test can send what no client library would.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// A keep-alive connection.
pub(crate) struct Connection(BufReader<TcpStream>);

/// An answer with a body of told length.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    head: String,
    pub(crate) body: Vec<u8>,
}

impl Connection {
    pub(crate) fn open(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        stream.set_nodelay(true).unwrap();
        Self(BufReader::new(stream))
    }

    /// Sends a request with a body of told length (GET without a body tells none) and reads the answer.
    pub(crate) fn ask(&mut self, method: &str, target: &str, headers: &[&str], body: &[u8]) -> Answer {
        let length = format!("Content-Length: {}", body.len());
        let told = if method == "GET" && body.is_empty() {
            headers.to_vec()
        } else {
            [headers, &[&length]].concat()
        };
        self.send(method, target, &told, body);
        self.receive()
    }

    /// Sends a request with just these headers and body.
    pub(crate) fn send(&mut self, method: &str, target: &str, headers: &[&str], body: &[u8]) {
        let mut head = format!("{method} {target} HTTP/1.1\r\nHost: localhost\r\n");
        headers.iter().for_each(|header| head.push_str(&format!("{header}\r\n")));
        head.push_str("\r\n");
        self.send_bytes(&[head.as_bytes(), body].concat());
    }

    /// Sends what may be anything.
    pub(crate) fn send_bytes(&mut self, bytes: &[u8]) {
        self.0.get_mut().write_all(bytes).unwrap();
    }

    /// Reads one answer.
    pub(crate) fn receive(&mut self) -> Answer {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            let read = self.0.read_line(&mut head);
            assert!(read.as_ref().is_ok_and(|count| *count > 0), "no answer but {read:?}, after {head:?}");
        }
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
        let mut answer = Answer { status: status.unwrap(), head, body: Vec::new() };
        if status == Some(204) {
            return answer; // has no body and tells no length
        }
        let length = answer.header("content-length").and_then(|value| value.parse().ok());
        answer.body = vec![0; length.unwrap_or_else(|| panic!("no length: {}", answer.head))];
        self.0.read_exact(&mut answer.body).unwrap();
        answer
    }
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let headers = self.head.lines().filter_map(|line| line.split_once(": "));
        headers.into_iter().find(|(other, _)| other.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// True when the server ends the connection after this answer.
    pub(crate) fn is_last(&self) -> bool {
        self.header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"))
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }
}
