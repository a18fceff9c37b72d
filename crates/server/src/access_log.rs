//! One line per request on standard error, written by a thread of its own so that no request waits for a terminal
//! or pipe. When that cannot keep up, lines are dropped and their number is said. No query and no data is logged.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::time::{Duration, Instant, SystemTime};

use axum::http::Request;
use portend_core::{shortened, shortened_to};

use crate::config::AccessLogFormat;
use crate::request_id::RequestId;
use crate::traces::Trace;

/// Lines that may wait to be written.
const QUEUE: usize = 8192;

/// The log, or nothing when it is off.
#[derive(Debug)]
pub(crate) struct AccessLog {
    lines: Option<SyncSender<Line>>,
    dropped: Arc<AtomicU64>,
}

/// What the writing thread is told.
#[derive(Debug)]
enum Line {
    /// To write this.
    Entry(Entry),
    /// To say when all that came before is written.
    Flush(SyncSender<()>),
}

/// The most characters of a path that are kept: what waits is bounded in lines, and so in bytes.
const MOST_PATH: usize = 1024;

/// Method and path of a request as they are logged.
pub(crate) fn method_and_path<B>(request: &Request<B>) -> String {
    let path = shortened_to(MOST_PATH, request.uri().path());
    format!("{} {path}", shortened(request.method().as_str()))
}

/// What is known of a request once it is answered.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) method_and_path: String,
    pub(crate) status: u16,
    pub(crate) took: Duration,
    pub(crate) request_id: RequestId,
    /// Where requests are traced.
    pub(crate) trace: Option<Trace>,
}

impl AccessLog {
    /// Starts the writing thread if the log is on and a thread can be had.
    pub(crate) fn new(form: AccessLogFormat) -> Self {
        let dropped = Arc::new(AtomicU64::new(0));
        let lines = (form != AccessLogFormat::Off).then(|| {
            let (send, receive) = sync_channel(QUEUE);
            let thread = std::thread::Builder::new().name("access-log".to_owned());
            let dropped = Arc::clone(&dropped);
            thread.spawn(move || write_lines(&receive, &dropped, form)).ok().map(|_| send)
        });
        Self { lines: lines.flatten(), dropped }
    }

    /// True when entries are written.
    pub(crate) fn is_on(&self) -> bool {
        self.lines.is_some()
    }

    /// Waits until all entries so far are written, or for a short time.
    pub(crate) fn flush(&self) {
        let Some(lines) = &self.lines else { return };
        let end = Instant::now() + FLUSH_TIME;
        let (done, written) = sync_channel(1);
        let mut line = Line::Flush(done);
        while let Err(TrySendError::Full(refused)) = lines.try_send(line) {
            if Instant::now() >= end {
                return; // nobody reads: the lines are lost, the end must come
            }
            line = refused;
            std::thread::sleep(Duration::from_millis(5));
        }
        _ = written.recv_timeout(end.saturating_duration_since(Instant::now()));
    }

    /// Queues an entry, or counts it as dropped.
    pub(crate) fn write(&self, entry: Entry) {
        if self.lines.as_ref().is_some_and(|lines| lines.try_send(Line::Entry(entry)).is_err()) {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// How long the end of the process waits for the last lines.
const FLUSH_TIME: Duration = Duration::from_secs(1);

/// Writes until all senders are gone; flushes whenever nothing waits.
fn write_lines(lines: &Receiver<Line>, dropped: &AtomicU64, form: AccessLogFormat) {
    let mut out = Vec::with_capacity(16 << 10);
    while let Ok(first) = lines.recv() {
        let mut next = Some(first);
        let mut waiting = None;
        while let Some(line) = next {
            match line {
                Line::Entry(entry) if form == AccessLogFormat::Json => json(&entry, &mut out),
                Line::Entry(entry) => text(&entry, &mut out),
                Line::Flush(done) => waiting = Some(done),
            }
            next = if out.len() < 12 << 10 { lines.try_recv().ok() } else { None };
        }
        let dropped = dropped.swap(0, Ordering::Relaxed);
        if dropped > 0 {
            _ = writeln!(out, "access log: {dropped} lines dropped, the reader of this log is too slow");
        }
        _ = std::io::stderr().write_all(&out);
        out.clear();
        if let Some(done) = waiting {
            _ = done.send(());
        }
    }
}

/// `{"time": …, "method": …, "path": …, "status": …, "milliseconds": …, "request_id": …}`, and `"trace_id"` where there is one
fn json(entry: &Entry, out: &mut Vec<u8>) {
    let (method, path) = entry.method_and_path.split_once(' ').unwrap_or_default();
    let mut line = serde_json::json!({
        "time": humantime::format_rfc3339_millis(SystemTime::now()).to_string(),
        "method": method,
        "path": path,
        "status": entry.status,
        "milliseconds": entry.took.as_micros() as f64 / 1000.0,
        "request_id": entry.request_id.to_string(),
    });
    if let Some(trace) = entry.trace {
        line["trace_id"] = trace.id.to_string().into();
    }
    _ = writeln!(out, "{line}");
}

/// `time method path status milliseconds request-id`, and the id of the trace where there is one
fn text(entry: &Entry, out: &mut Vec<u8>) {
    let now = humantime::format_rfc3339_millis(SystemTime::now());
    let Entry { method_and_path, status, took, request_id, trace } = entry;
    let method_and_path = method_and_path.escape_debug(); // a log line stays one line
    let took = took.as_secs_f64() * 1000.0;
    _ = write!(out, "{now} {method_and_path} {status} {took:.3}ms {request_id}");
    _ = match trace {
        Some(trace) => writeln!(out, " {}", trace.id),
        None => writeln!(out),
    };
}
