//! Who may ask: the token, and the origins of browsers; and what the log keeps of it.

use serde_json::Value;

use crate::repository;
use crate::running_server::{RunningServer, portend};

/// What must be seen nowhere.
const TOKEN: &str = "s3cret-t0ken";

const ROWS: &str =
    "dir,hir,lvr,ccs,mcs,uria,comdominiom,pbcr,dmi,self,single\n0.35,0.2,,3,2,2,0,no,no,no,no\n";

fn serve(settings: &[(&str, &str)]) -> RunningServer {
    let mut command = portend();
    command.args(["serve", "--port", "0"]).arg(repository("examples/demo/fraud"));
    command.envs(settings.iter().copied());
    RunningServer::start(command)
}

#[test]
fn routes_but_those_of_health_ask_for_the_token_and_no_log_shows_it() {
    let server = serve(&[("PORTEND_TOKEN", TOKEN), ("PORTEND_CORS", "*"), ("PORTEND_ACCESS_LOG", "json")]);
    let right = format!("Authorization: Bearer {TOKEN}");
    let older = format!("authorization: Token {TOKEN}");
    let wrong = format!("Authorization: Bearer {TOKEN}x");
    let basic = format!("Authorization: Basic {TOKEN}");
    let in_query = format!("/info?token={TOKEN}");
    let preflight = "Access-Control-Request-Method: POST";
    for (method, target, header, expected) in [
        ("POST", "/predictions", right.as_str(), 200),
        ("POST", "/predApi/v1.0/predictions", &older, 200),
        ("GET", "/info", &right, 200),
        ("GET", "/nowhere", &right, 404),
        ("POST", "/predictions", "Accept: */*", 401),
        ("POST", "/predictions", &wrong, 401),
        ("POST", "/predictions", &basic, 401),
        ("POST", "/predictions", "Authorization: Bearer", 401),
        ("POST", "//predictions/", "Accept: */*", 401),
        ("GET", "/info", &wrong, 401),
        ("GET", &in_query, "Accept: */*", 401),
        ("GET", "/deployments", "Accept: */*", 401),
        ("DELETE", "/deployments/fraud", "Accept: */*", 401),
        ("GET", "/nowhere", "Accept: */*", 401),
        ("GET", "/ping", "Accept: */*", 200),
        ("GET", "/ready", &wrong, 200),
        ("OPTIONS", "/predictions", preflight, 200),
    ] {
        let body = if method == "POST" { ROWS } else { "" };
        let headers = ["Content-Type: text/csv", "Origin: https://a.example", header];
        let answer = server.connect().ask(method, target, &headers, body.as_bytes());
        assert_eq!(answer.status, expected, "{method} {target} {header}: {answer:?}");
        let refused = expected == 401;
        assert_eq!(answer.header("www-authenticate"), refused.then_some("Bearer"), "{method} {target}");
        assert_eq!(answer.header("access-control-allow-origin"), Some("*"), "{method} {target}");
        if refused {
            let expected =
                r#"{"message":"this server asks for a token: send it as 'Authorization: Bearer …'"}"#;
            assert_eq!((answer.text(), answer.header("content-type")), (expected, Some("application/json")));
        }
    }
    let log = server.stop();
    assert!(!log.contains(TOKEN), "{log}");
}

#[test]
fn who_asks_for_health_without_a_token_sees_no_names_of_models() {
    let check = |token: &[(&str, &str)], shown: bool| {
        let mut command = portend();
        command.args(["serve", "--port", "0"]).arg(repository("examples/demo")).envs(token.iter().copied());
        let server = RunningServer::start(command);
        for (target, status) in [
            ("/model/nope/ready", 503),
            ("/model/nope/v2/health/ready", 503),
            ("/model/nope/health", 503),
            ("/model/nope/vertex/health", 503),
            ("/model/nope/health/status", 404),
            ("/api/v1.0/status/nope", 404),
            ("/health/status", 404),
        ] {
            let answer = server.get(target);
            let found = (answer.status, answer.text().contains("revenue"));
            assert_eq!(found, (status, shown), "{target}: {}", answer.text());
        }
        server.stop();
    };
    check(&[], true);
    check(&[("PORTEND_TOKEN", TOKEN)], false);
}

/// What an answer says to browsers about origins, methods and headers.
fn check(cors: &str, origin: &str, told: Option<&str>) {
    let server = serve(&[("PORTEND_CORS", cors)]);
    let mut connection = server.connect();
    let origin = format!("Origin: {origin}");
    let answer =
        connection.ask("POST", "/predictions", &["Content-Type: text/csv", &origin], ROWS.as_bytes());
    let allowed = answer.header("access-control-allow-origin");
    assert_eq!((answer.status, allowed), (200, told), "{cors:?} {origin}");
    if told.is_some() {
        assert_eq!(answer.header("access-control-expose-headers"), Some("*"));
    }
    let asked =
        ["Access-Control-Request-Method: POST", "Access-Control-Request-Headers: authorization,x-own"];
    let answer = connection.ask("OPTIONS", "/predictions", &[&asked[..], &[&origin]].concat(), b"");
    if cors.is_empty() {
        assert_eq!((answer.status, answer.header("access-control-allow-methods")), (405, None));
        return;
    }
    assert_eq!((answer.status, answer.header("access-control-allow-origin")), (200, told), "{cors} {origin}");
    assert_eq!(answer.header("access-control-allow-methods"), Some("*"));
    // `*` would not mean Authorization
    assert_eq!(answer.header("access-control-allow-headers"), Some("authorization,x-own"));
    let vary = answer.header("vary").unwrap_or_default();
    assert!(vary.contains("origin") && vary.contains("access-control-request-headers"), "{vary}");
}

#[test]
fn browsers_may_call_from_the_listed_origins_only() {
    let (a, b) = ("https://a.example", "http://b.example:8080");
    let both = "https://a.example, http://b.example:8080";
    for (cors, origin, told) in [
        ("", a, None),
        ("*", a, Some("*")),
        (a, a, Some(a)),
        (both, a, Some(a)),
        (both, b, Some(b)),
        (both, "https://c.example", None),
        (both, "http://a.example", None),
        (both, "http://b.example", None),
        (both, "https://a.example.evil.example", None),
        (both, "null", None),
    ] {
        check(cors, origin, told);
    }
}

#[test]
fn a_head_that_is_too_large_is_refused_with_all_that_other_answers_have() {
    let server = serve(&[("PORTEND_CORS", "*"), ("PORTEND_TOKEN", TOKEN)]);
    let long = "a".repeat(9000);
    let (target, header) = (format!("/predictions?{long}"), format!("X-Long: {long}"));
    for (target, header, expected) in [
        (
            target.as_str(),
            "Accept: */*",
            (414, r#"{"message":"the path and query are longer than 8192 bytes"}"#),
        ),
        ("/predictions", &header, (431, r#"{"message":"the headers are larger than 8192 bytes"}"#)),
        ("/ping", &header, (431, r#"{"message":"the headers are larger than 8192 bytes"}"#)),
    ] {
        let headers = ["Origin: https://a.example", "X-Request-ID: my-1", header];
        let mut connection = server.connect();
        let answer = connection.ask("POST", target, &headers, ROWS.as_bytes());
        assert_eq!((answer.status, answer.text()), expected);
        assert_eq!(answer.header("access-control-allow-origin"), Some("*"), "{answer:?}");
        assert_eq!(answer.header("x-request-id"), Some("my-1"));
        assert!(answer.header("x-datarobot-execution-time").is_some());
        assert_eq!(connection.ask("GET", "/ping", &[], b"").status, 200);
    }
    let log = server.stop();
    let logged = |status| log.lines().filter(|line| line.contains(status) && line.ends_with(" my-1")).count();
    assert_eq!((logged(" 414 "), logged(" 431 ")), (1, 2), "{log}");
}

#[test]
fn the_log_for_programs_has_an_object_per_request() {
    let server = serve(&[("PORTEND_ACCESS_LOG", "json")]);
    let hostile = r#"/no"where\u000a"#;
    let mut connection = server.connect();
    for (method, target, id) in
        [("POST", "/predictions?q=hidden", "X-Request-ID: my-1"), ("GET", hostile, "X-Request-ID: \"}x")]
    {
        let answer = connection.ask(method, target, &["Content-Type: text/csv", id], b"");
        assert_eq!(answer.header("x-request-id"), id.split_once(": ").map(|(_, id)| id));
    }
    let own = connection.ask("GET", "/ping", &[], b"");
    let own = own.header("x-datarobot-request-id").unwrap_or_default().to_owned();
    let log = server.stop();
    let objects = log.lines().filter(|line| line.starts_with('{'));
    let entries: Vec<Value> = objects.map(|line| serde_json::from_str(line).unwrap()).collect();
    let entries: Vec<&Value> = entries.iter().filter(|entry| entry["path"] != "/ready").collect();
    let expected = [
        ("POST", "/predictions", 422, "my-1"),
        ("GET", hostile, 404, "\"}x"),
        ("GET", "/ping", 200, own.as_str()),
    ];
    assert_eq!(entries.len(), expected.len(), "{log}");
    for (entry, (method, path, status, id)) in entries.iter().zip(expected) {
        assert_eq!(
            (&entry["method"], &entry["path"], &entry["status"]),
            (&method.into(), &path.into(), &status.into())
        );
        assert_eq!(entry["request_id"], id);
        let time = entry["time"].as_str().unwrap_or_default();
        assert!(time.len() == "2026-11-21T11:41:08.503Z".len() && time.ends_with('Z'), "{entry}");
        assert!(
            entry["milliseconds"].as_f64().is_some_and(|took| (0.0..60_000.0).contains(&took)),
            "{entry}"
        );
    }
    assert!(!log.contains("hidden"), "{log}");
}
