//! One HTTP/1.1 connection, written and read byte by byte, so that a test can send what no client library would.

use std::io::{self, BufRead, BufReader, Read, Write};
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
        Self::try_open(address).unwrap()
    }

    /// An error when nobody listens there.
    pub(crate) fn try_open(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        stream.set_nodelay(true).unwrap();
        Ok(Self(BufReader::new(stream)))
    }

    /// Waits longer for answers: where so many clients ask at once, each of them waits for the disk.
    pub(crate) fn patient(self) -> Self {
        self.0.get_ref().set_read_timeout(Some(Duration::from_secs(120))).unwrap();
        self
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
        self.try_send_bytes(bytes).unwrap();
    }

    /// The same to a server that may have ended the connection.
    pub(crate) fn try_send_bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.get_mut().write_all(bytes)
    }

    /// Reads what a server says that begins to read a body, to a client that waits for it: a head of its own.
    pub(crate) fn receive_go_ahead(&mut self) -> String {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            assert!(self.0.read_line(&mut head).unwrap() > 0, "ended after {head:?}");
        }
        head
    }

    /// Reads one answer.
    pub(crate) fn receive(&mut self) -> Answer {
        self.try_receive().unwrap_or_else(|error| panic!("no answer: {error}"))
    }

    /// Reads one answer; an error when the connection ends before its end.
    pub(crate) fn try_receive(&mut self) -> io::Result<Answer> {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if self.0.read_line(&mut head)? == 0 {
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, format!("ended after {head:?}")));
            }
        }
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
        let mut answer = Answer { status: status.unwrap(), head, body: Vec::new() };
        if status == Some(204) {
            return Ok(answer); // has no body and tells no length
        }
        let length = answer.header("content-length").and_then(|value| value.parse().ok());
        answer.body = vec![0; length.unwrap_or_else(|| panic!("no length: {}", answer.head))];
        self.0.read_exact(&mut answer.body)?;
        Ok(answer)
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
