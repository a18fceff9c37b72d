//! Traces as a collector gets them: the spans of a request and whose trace they belong to, what each setting changes, and
//! that a collector which fails costs spans and never an answer.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use prost::Message;
use tempfile::TempDir;

use crate::connection::Answer;
use crate::running_server::{RunningServer, portend, wait_for};
use crate::uploads::stumps;

/// A span as a collector sees it.
#[derive(Debug, Clone)]
struct Span {
    trace: String,
    id: String,
    parent: String,
    name: String,
    times: (u64, u64),
    failed: bool,
    attributes: BTreeMap<String, String>,
    resource: BTreeMap<String, String>,
}

/// What a collector does with a batch.
#[derive(Debug, Clone, Copy)]
enum Manner {
    Takes,
    /// Takes it after so many answers 503.
    TakesAfter(usize),
    /// Says that it took all but one.
    RefusesOne,
    Refuses,
    /// Never answers.
    Hangs,
}

/// What was sent: the head of each request and all spans.
#[derive(Debug, Default)]
struct Received {
    heads: Vec<String>,
    spans: Vec<Span>,
}

struct Collector {
    address: SocketAddr,
    received: Arc<Mutex<Received>>,
}

fn plain(pairs: &[KeyValue]) -> BTreeMap<String, String> {
    let text = |pair: &KeyValue| match pair.value.as_ref().and_then(|value| value.value.clone()) {
        Some(Any::StringValue(text)) => text,
        Some(Any::IntValue(number)) => number.to_string(),
        Some(Any::DoubleValue(number)) => number.to_string(),
        other => panic!("{other:?}"),
    };
    pairs.iter().map(|pair| (pair.key.clone(), text(pair))).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn spans(body: &[u8]) -> Vec<Span> {
    let request = ExportTraceServiceRequest::decode(body).unwrap();
    let of = |resource: opentelemetry_proto::tonic::trace::v1::ResourceSpans| {
        let about = plain(&resource.resource.unwrap().attributes);
        let spans = resource.scope_spans.into_iter().flat_map(|scope| scope.spans);
        spans.map(move |span| Span {
            trace: hex(&span.trace_id),
            id: hex(&span.span_id),
            parent: hex(&span.parent_span_id),
            name: span.name,
            times: (span.start_time_unix_nano, span.end_time_unix_nano),
            failed: span.status.is_some_and(|status| status.code == 2),
            attributes: plain(&span.attributes),
            resource: about.clone(),
        })
    };
    request.resource_spans.into_iter().flat_map(of).collect()
}

/// Reads one request; None at the end of the connection.
fn request(stream: &mut BufReader<TcpStream>) -> Option<(String, Vec<u8>)> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        (stream.read_line(&mut head).ok()? > 0).then_some(())?;
    }
    let lower = head.to_ascii_lowercase();
    let length = lower.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
    let mut body = vec![0; length.trim().parse().unwrap()];
    stream.read_exact(&mut body).ok()?;
    Some((lower, body))
}

impl Collector {
    fn start(manner: Manner) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let received = Arc::new(Mutex::new(Received::default()));
        let kept = Arc::clone(&received);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let kept = Arc::clone(&kept);
                std::thread::spawn(move || converse(BufReader::new(stream.unwrap()), manner, &kept));
            }
        });
        Self { address, received }
    }

    fn url(&self) -> String {
        format!("http://{}/v1/traces", self.address)
    }

    fn spans(&self) -> Vec<Span> {
        self.received.lock().unwrap().spans.clone()
    }

    fn heads(&self) -> Vec<String> {
        self.received.lock().unwrap().heads.clone()
    }

    /// The span of the request to this path, and those in it, once they are there.
    fn wait_for(&self, path: &str) -> (Span, Vec<Span>) {
        wait_for("the span", || {
            let spans = self.spans();
            let of_path = |span: &&Span| span.attributes.get("url.path").is_some_and(|found| found == path);
            let span = spans.iter().find(of_path)?.clone();
            let parts = spans.into_iter().filter(|part| part.parent == span.id).collect();
            Some((span, parts))
        })
    }
}

fn converse(mut stream: BufReader<TcpStream>, manner: Manner, received: &Mutex<Received>) {
    while let Some((head, body)) = request(&mut stream) {
        let seen = {
            let mut received = received.lock().unwrap();
            received.heads.push(head);
            received.heads.len()
        };
        let (status, answer) = match manner {
            Manner::Takes => (200, Vec::new()),
            Manner::TakesAfter(times) if seen > times => (200, Vec::new()),
            Manner::TakesAfter(_) => (503, Vec::new()),
            Manner::RefusesOne => {
                let partly =
                    ExportTracePartialSuccess { rejected_spans: 1, error_message: "one too many".to_owned() };
                (200, ExportTraceServiceResponse { partial_success: Some(partly) }.encode_to_vec())
            }
            Manner::Refuses => (400, b"no".to_vec()),
            Manner::Hangs => {
                std::thread::sleep(Duration::from_secs(600));
                return;
            }
        };
        if status == 200 {
            received.lock().unwrap().spans.extend(spans(&body));
        }
        let head = format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\n\r\n", answer.len());
        if stream.get_mut().write_all(&[head.as_bytes(), &answer].concat()).is_err() {
            return;
        }
    }
}

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00f067aa0ba902b7";
const MODEL: &str = "/deployments/a/predictions";

/// A server of the models a and b in memory, with these settings.
fn serve(settings: &[(&str, &str)]) -> (TempDir, RunningServer) {
    let folder = stumps(&[("a/m.txt", 1.0), ("b/m.txt", 2.0)]);
    let mut command = portend();
    command.args(["serve", "--port", "0"]).arg(folder.path());
    command.env("PREDICTION_API_PRELOAD_MODELS_ENABLED", "true").envs(settings.iter().copied());
    (folder, RunningServer::start(command))
}

fn post(server: &RunningServer, headers: &[&str], rows: &str) -> Answer {
    let headers = [&["Content-Type: text/csv"], headers].concat();
    server.connect().ask("POST", MODEL, &headers, rows.as_bytes())
}

fn traced(collector: &Collector) -> (TempDir, RunningServer) {
    serve(&[("PORTEND_TRACE_ENDPOINT", &collector.url()), ("PORTEND_ACCESS_LOG", "json")])
}

#[test]
fn a_request_is_a_span_in_its_callers_trace_with_the_parts_of_scoring_in_it() {
    let collector = Collector::start(Manner::Takes);
    let (_folder, server) = traced(&collector);
    let caller = format!("traceparent: 00-{TRACE}-{PARENT}-01");
    let id = "X-Request-ID: mine";
    assert_eq!(post(&server, &[&caller, id, "User-Agent: me/1"], "x\n1\n2\n3\n").status, 200);
    let (span, parts) = collector.wait_for(MODEL);
    assert_eq!((span.trace.as_str(), span.parent.as_str()), (TRACE, PARENT));
    assert_eq!(span.name, "POST /deployments/{id}/predictions");
    assert!(!span.failed);
    let told = |name: &str| span.attributes.get(name).map_or("", String::as_str);
    for (name, expected) in [
        ("http.request.method", "POST"),
        ("http.route", "/deployments/{id}/predictions"),
        ("http.response.status_code", "200"),
        ("url.path", MODEL),
        ("url.scheme", "http"),
        ("network.protocol.version", "1.1"),
        ("server.address", "localhost"),
        ("user_agent.original", "me/1"),
        ("portend.model", "a"),
        ("portend.protocol", "pps"),
        ("portend.rows", "3"),
        ("portend.request_id", "mine"),
    ] {
        assert_eq!(told(name), expected, "{name}");
    }
    assert_eq!(span.resource["service.name"], "portend");
    assert_eq!(span.resource["telemetry.sdk.language"], "rust");
    let names: Vec<_> = parts.iter().map(|part| part.name.as_str()).collect();
    assert_eq!(names, ["queue", "decode", "score", "encode"]);
    // one after the other, within the request
    let times: Vec<u64> = parts.iter().flat_map(|part| [part.times.0, part.times.1]).collect();
    assert!(times.is_sorted() && span.times.0 <= times[0] && times[7] <= span.times.1, "{span:?} {parts:?}");
    assert!(parts.iter().all(|part| part.trace == TRACE), "{parts:?}");

    let log = wait_for("the line", || {
        let log = server.log();
        log.lines().find(|line| line.contains(MODEL)).map(str::to_owned)
    });
    assert!(log.contains(&format!("\"trace_id\":\"{TRACE}\"")), "{log}");
    let accept = ["Accept: application/openmetrics-text;version=1.0.0"];
    let metrics = server.connect().ask("GET", "/metrics", &accept, b"");
    let exemplar = format!("# {{trace_id=\"{TRACE}\",request_id=\"mine\"}} ");
    assert!(metrics.text().contains(&exemplar), "{}", metrics.text());
    server.stop();
}

#[test]
fn what_is_not_scored_is_a_span_that_says_why() {
    let collector = Collector::start(Manner::Takes);
    let (_folder, server) = traced(&collector);
    let check = |method: &str, target: &str, name: &str, status: &str, model: Option<&str>| {
        server.connect().ask(method, target, &["Content-Type: text/csv"], b"y\n1\n");
        let path = target.split('?').next().unwrap();
        let (span, parts) = collector.wait_for(path);
        assert_eq!((span.name.as_str(), parts.len()), (name, 0), "{target}");
        assert_eq!(span.attributes["http.response.status_code"], status, "{target}");
        assert_eq!(span.attributes.get("portend.model").map(String::as_str), model, "{target}");
        assert!(span.parent.is_empty() && !span.failed, "{target}");
        assert!(!format!("{span:?}").contains("sesame"), "a query may hold data");
    };
    check("POST", MODEL, "POST /deployments/{id}/predictions", "422", Some("a"));
    check("POST", "/deployments/z/predictions?a=sesame", "POST /deployments/{id}/predictions", "404", None);
    check("GET", "/no/such/route", "GET", "404", None);
    check("POST", "/model/b/v2/models/b/infer", "POST /model/{id}/v2/models/{name}/infer", "400", Some("b"));
    check("FROB", "/ping", "_OTHER /ping", "405", None);
    server.stop();
}

#[test]
fn a_server_that_stops_sends_what_it_has() {
    let collector = Collector::start(Manner::Takes);
    let (_folder, server) = traced(&collector);
    post(&server, &[], "x\n1\n");
    server.stop();
    let names: BTreeSet<_> = collector.spans().into_iter().map(|span| span.name).collect();
    let all = ["POST /deployments/{id}/predictions", "queue", "decode", "score", "encode", "GET /ready"];
    assert_eq!(names, all.map(str::to_owned).into());
}

/// What is found out with a collector and a server.
type Ask = fn(&Collector, RunningServer) -> String;

/// Variables with their values.
type Settings = &'static [(&'static str, &'static str)];

/// Settings, the question, its answer with them and without.
fn effects() -> Vec<(Settings, Ask, &'static str, &'static str)> {
    let names: Ask = |collector, server| {
        let (span, _) = asked(collector, &server, &[]);
        let of = |name: &str| span.resource.get(name).cloned().unwrap_or_default();
        format!("{} {}", of("service.name"), of("team"))
    };
    // of requests whose caller says nothing, no and yes
    let sampled: Ask = |collector, server| {
        let caller = |flag: u8| format!("traceparent: 00-{TRACE}-{PARENT}-0{flag}");
        let callers = [("none", "X-None: 1".to_owned()), ("no", caller(0)), ("yes", caller(1))];
        for (id, caller) in &callers {
            post(&server, &[caller, &format!("X-Request-ID: {id}")], "x\n1\n");
        }
        server.stop();
        let spans = collector.spans();
        let is_there =
            |id: &str| spans.iter().any(|s| s.attributes.get("portend.request_id").is_some_and(|r| r == id));
        callers.map(|(id, _)| if is_there(id) { "yes" } else { "no" }).join(" ")
    };
    let parents: Ask = |collector, server| {
        let callers = [
            format!("traceparent: 00-{TRACE}-{PARENT}-01"),
            format!("b3: {TRACE}-{PARENT}-1"),
            format!("X-B3-TraceId: {TRACE}\r\nX-B3-SpanId: {PARENT}\r\nX-B3-Sampled: 1"),
        ];
        let told = callers.map(|caller| {
            collector.received.lock().unwrap().spans.clear();
            let (span, _) = asked(collector, &server, &[&caller]);
            if span.parent == PARENT { "part" } else { "new" }
        });
        told.join(" ")
    };
    let key: Ask = |collector, server| {
        asked(collector, &server, &[]);
        collector.heads()[0].lines().find(|line| line.starts_with("api-key")).unwrap_or("none").to_owned()
    };
    vec![
        (&[("OTEL_SERVICE_NAME", "churn")], names, "churn ", "portend "),
        (&[("OTEL_RESOURCE_ATTRIBUTES", "team=a%2Cb, service.name=c")], names, "c a,b", "portend "),
        (
            &[("OTEL_RESOURCE_ATTRIBUTES", "team=x,service.name=c"), ("OTEL_SERVICE_NAME", "d")],
            names,
            "d x",
            "portend ",
        ),
        (&[("OTEL_EXPORTER_OTLP_HEADERS", "api-key=sesame%20oil")], key, "api-key: sesame oil", "none"),
        (&[("OTEL_PROPAGATORS", "b3multi,baggage")], parents, "new new part", "part part part"),
        (&[("OTEL_PROPAGATORS", "none")], parents, "new new new", "part part part"),
        (&[("OTEL_TRACES_SAMPLER", "always_on")], sampled, "yes yes yes", "yes no yes"),
        (&[("OTEL_TRACES_SAMPLER", "parentbased_always_off")], sampled, "no no yes", "yes no yes"),
        (
            &[("OTEL_TRACES_SAMPLER", "traceidratio"), ("OTEL_TRACES_SAMPLER_ARG", "0")],
            sampled,
            "no no no",
            "yes no yes",
        ),
        (&[("OTEL_TRACES_SAMPLER", "traceidratio")], sampled, "yes yes yes", "yes no yes"),
        (&[("OTEL_TRACES_EXPORTER", "none")], sampled, "no no no", "yes no yes"),
        (&[("OTEL_SDK_DISABLED", "true")], sampled, "no no no", "yes no yes"),
    ]
}

fn asked(collector: &Collector, server: &RunningServer, headers: &[&str]) -> (Span, Vec<Span>) {
    post(server, headers, "x\n1\n");
    collector.wait_for(MODEL)
}

#[test]
fn every_setting_of_traces_changes_what_is_sent() {
    let mut without: BTreeMap<&str, String> = BTreeMap::new();
    for (settings, ask, with, plain) in effects() {
        let found = |settings: &[(&str, &str)]| {
            let collector = Collector::start(Manner::Takes);
            let url = collector.url();
            let endpoint = ("PORTEND_TRACE_ENDPOINT", url.as_str());
            let (_folder, server) = serve(&[settings, &[endpoint]].concat());
            ask(&collector, server)
        };
        assert_eq!(found(settings), with, "{settings:?}");
        // many rows share a question
        assert_eq!(without.entry(plain).or_insert_with(|| found(&[])), plain, "without {settings:?}");
    }
}

#[test]
fn the_collector_is_found_by_each_of_its_names() {
    let check = |variable: &str, path: &str, expected: &str| {
        let collector = Collector::start(Manner::Takes);
        let url = format!("http://{}{path}", collector.address);
        let (_folder, server) = serve(&[(variable, &url)]);
        asked(&collector, &server, &[]);
        server.stop();
        let heads = collector.heads();
        assert!(heads[0].starts_with(&format!("post {expected} http/1.1\r\n")), "{variable}: {heads:?}");
        assert!(heads[0].contains("content-type: application/x-protobuf"), "{heads:?}");
    };
    check("PORTEND_TRACE_ENDPOINT", "/my/traces", "/my/traces");
    check("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "", "/");
    check("OTEL_EXPORTER_OTLP_ENDPOINT", "", "/v1/traces");
    check("OTEL_EXPORTER_OTLP_ENDPOINT", "/base/", "/base/v1/traces");
}

#[test]
fn settings_of_traces_that_cannot_work_are_refused_at_the_start() {
    let folder = stumps(&[("a/m.txt", 1.0)]);
    let check = |settings: &[(&str, &str)], expected: &str| {
        let mut command = portend();
        command.args(["serve", "--port", "0"]).arg(folder.path()).envs(settings.iter().copied());
        let done = command.output().unwrap();
        let error = String::from_utf8_lossy(&done.stderr).into_owned();
        assert!(!done.status.success() && error.starts_with(expected), "{error}");
    };
    let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4317");
    check(
        &[endpoint, ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")],
        "portend: OTEL_EXPORTER_OTLP_PROTOCOL is 'grpc': traces are sent as http/protobuf only",
    );
    check(
        &[("PORTEND_TRACE_ENDPOINT", "http://[::1")],
        "portend: PORTEND_TRACE_ENDPOINT: traces cannot be sent: 'http://[::1' is not a URL",
    );
}

/// The spans by what became of them: sent, failed, dropped.
fn outcomes(server: &RunningServer) -> [u64; 3] {
    let text = server.get("/metrics").text().to_owned();
    ["sent", "failed", "dropped"].map(|outcome| {
        let start = format!("portend_trace_spans_total{{outcome=\"{outcome}\"}} ");
        text.lines().find_map(|line| line.strip_prefix(&start)).unwrap().parse().unwrap()
    })
}

#[test]
fn a_collector_that_is_busy_is_asked_again_and_what_it_refuses_is_counted() {
    let check = |manner: Manner, wanted: fn([u64; 3]) -> bool, told: &str| {
        let collector = Collector::start(manner);
        let (_folder, server) = traced(&collector);
        post(&server, &[], "x\n1\n");
        wait_for("the counts", || wanted(outcomes(&server)).then_some(()));
        assert_eq!(server.log().contains("warning: traces cannot be sent"), !told.is_empty());
        assert!(server.log().contains(told), "{}", server.log());
        server.stop();
    };
    check(Manner::TakesAfter(2), |[sent, failed, _]| sent >= 5 && failed == 0, "");
    check(Manner::RefusesOne, |[sent, failed, _]| sent >= 3 && failed >= 1, "");
    check(
        Manner::Refuses,
        |[sent, failed, _]| sent == 0 && failed >= 5,
        "warning: traces cannot be sent to 127.0.0.1: it answers 400 Bad Request\n",
    );
}

#[test]
fn a_collector_that_hangs_or_is_away_delays_no_answer_and_no_end() {
    let away = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let hangs = Collector::start(Manner::Hangs);
    for url in [format!("http://{away}/"), hangs.url()] {
        let timeout = ("OTEL_EXPORTER_OTLP_TIMEOUT", "60000");
        let settings = [("PORTEND_TRACE_ENDPOINT", url.as_str()), ("PORTEND_TRACE_QUEUE", "20"), timeout];
        let (_folder, server) = serve(&settings);
        let mut connection = server.connect();
        for _ in 0..100 {
            let start = Instant::now();
            assert_eq!(connection.ask("POST", MODEL, &["Content-Type: text/csv"], b"x\n1\n").status, 200);
            assert!(start.elapsed() < Duration::from_secs(5), "{url}");
        }
        let [sent, _, dropped] = outcomes(&server);
        assert!(sent == 0 && dropped >= 400, "{url}: {sent} {dropped}");
        let start = Instant::now();
        let log = server.stop();
        assert!(start.elapsed() < Duration::from_secs(10), "{url}: {:?}", start.elapsed());
        assert!(log.contains("warning: the last traces could not be sent: 20 spans are lost"), "{log}");
    }
}

#[test]
fn a_collector_that_is_slow_is_given_up_in_time() {
    let collector = Collector::start(Manner::Hangs);
    let url = collector.url();
    let (_folder, server) = serve(&[("PORTEND_TRACE_ENDPOINT", &url), ("OTEL_EXPORTER_OTLP_TIMEOUT", "300")]);
    post(&server, &[], "x\n1\n");
    wait_for("the end of patience", || (outcomes(&server)[1] >= 5).then_some(()));
    server.stop();
}

#[test]
fn without_an_endpoint_nothing_is_traced() {
    let (_folder, server) = serve(&[]);
    assert_eq!(post(&server, &[&format!("traceparent: 00-{TRACE}-{PARENT}-01")], "x\n1\n").status, 200);
    assert!(!server.get("/metrics").text().contains("portend_trace_"));
    assert!(!server.stop().contains(TRACE));
}
