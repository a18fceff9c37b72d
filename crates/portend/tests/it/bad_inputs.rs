//! Requests that cannot be answered: each is refused with a status and a text that says what is wrong, none harms the
//! server or the requests after it.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::Value;

use crate::connection::{Answer, Connection};
use crate::repository;
use crate::running_server::{RunningServer, portend};

const HEADER: &str = "dir,hir,lvr,ccs,mcs,uria,comdominiom,pbcr,dmi,self,single\n";
const ROW: &str = "0.35,0.2,,3,2,2,0,no,no,no,no\n";
const RECORD: &str = r#""hir":0.2,"lvr":null,"ccs":3,"mcs":2,"uria":2,"comdominiom":0,"pbcr":"no","dmi":"no","self":"no","single":"no""#;
const LIMIT: usize = 50 << 20;

/// Rounds after each of which the memory is looked at. It goes up and down by 30 MiB as the allocator gives back.
const ROUNDS: usize = 20;
/// So many times as many rounds later the least may not be more than the most at first by this: the allocator takes 6 MiB
/// in one step at some time, a leak of 2 kB a request is more.
const LATER: usize = 12;
const MOST_GROWTH_KIB: u64 = 8 << 10;

/// One request to be refused.
struct Case {
    method: &'static str,
    target: String,
    headers: Vec<String>,
    body: Vec<u8>,
    /// Headers go as they are, without the body's length.
    raw: bool,
    status: u16,
    message: String,
}

/// Rows to the fraud model, with a query.
fn csv(query: &str, body: impl Into<Vec<u8>>, status: u16, message: impl Into<String>) -> Case {
    Case {
        method: "POST",
        target: format!("/deployments/fraud/predictions{query}"),
        headers: vec!["Content-Type: text/csv".to_owned()],
        body: body.into(),
        raw: false,
        status,
        message: message.into(),
    }
}

/// A good body under other headers.
fn headed(headers: &[&str], body: impl Into<Vec<u8>>, status: u16, message: impl Into<String>) -> Case {
    let headers = headers.iter().map(|&header| header.to_owned()).collect();
    Case { headers, ..csv("", body, status, message) }
}

fn json(body: impl Into<Vec<u8>>, status: u16, message: impl Into<String>) -> Case {
    headed(&["Content-Type: application/json"], body, status, message)
}

/// Another route, with good rows.
fn route(method: &'static str, target: &str, status: u16, message: impl Into<String>) -> Case {
    Case { method, target: target.to_owned(), ..csv("", format!("{HEADER}{ROW}"), status, message) }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// One chunk and the end.
fn chunked(bytes: &[u8]) -> Vec<u8> {
    [format!("{:x}\r\n", bytes.len()).as_bytes(), bytes, b"\r\n0\r\n\r\n"].concat()
}

/// The good row with one of its cells changed.
fn with_dir(cell: &str) -> String {
    format!("{HEADER}{ROW}{}", ROW.replacen("0.35", cell, 1))
}

/// A form with one part.
fn form(head: &str, body: &str) -> String {
    format!("--b\r\nContent-Disposition: form-data; {head}\r\n\r\n{body}\r\n--b--\r\n")
}

fn bad_rows() -> Vec<Case> {
    let empty = "the request body is empty: send a header line and rows, or a list of records";
    let without_dir = HEADER.replacen("dir,", "", 1);
    let good = format!("{HEADER}{ROW}");
    let mebibyte = "x".repeat(1 << 20);
    vec![
        csv("", "", 400, empty),
        csv("", " \r\n\t\n  ", 400, empty),
        csv("", without_dir.clone(), 422, "column 'dir' is missing: the model needs it"),
        csv("", format!("{without_dir}0.2,,3,2,2,0,no,no,no,no\n"), 422, {
            "column 'dir' is missing: the model needs it"
        }),
        csv("", with_dir("abc"), 422, "column 'dir', row 1: 'abc' is not a number"),
        csv("", with_dir("1_000"), 422, "column 'dir', row 1: '1_000' is not a number"),
        csv("", with_dir("0x1F"), 422, "column 'dir', row 1: '0x1F' is not a number"),
        csv("", with_dir("\"1,000\""), 422, "column 'dir', row 1: '1,000' is not a number"),
        csv("", with_dir("1 2"), 422, "column 'dir', row 1: '1 2' is not a number"),
        csv("", with_dir("\u{661}"), 422, "column 'dir', row 1: '\u{661}' is not a number"),
        csv("", with_dir("1\0"), 422, "column 'dir', row 1: '1\0' is not a number"),
        csv(
            "",
            with_dir(&mebibyte),
            422,
            format!("column 'dir', row 1: '{}…' is not a number", &mebibyte[..40]),
        ),
        csv("", "\0\0\0\0", 422, "column 'dir' is missing: the model needs it"),
        csv("", format!("dir,{HEADER}1,{ROW}"), 400, "column 'dir' occurs more than once"),
        csv("", format!("x,x,{HEADER}1,1,{ROW}"), 400, "column 'x' occurs more than once"),
        csv(
            "",
            format!("{good}{}", ROW.replacen(",no\n", "\n", 1)),
            400,
            "line 3: 10 cells in a row, the header has 11",
        ),
        csv("", format!("{good}\n{}", ROW.replacen(",no\n", ",no,no\n", 1)), 400, {
            "line 4: 12 cells in a row, the header has 11"
        }),
        csv("", HEADER.replace(',', ";"), 422, "column 'dir' is missing: the model needs it"),
        csv("", format!("{good}\"0.35,0.2\n"), 400, "line 3: a quoted cell is not closed before the end"),
        csv("", with_dir("\"0.35\"x"), 400, "line 3: text after the closing quote of a cell"),
        csv("", format!("\"{HEADER}"), 400, "line 1: a quoted column name is not closed"),
        csv("", format!("\"dir\"x,{HEADER}"), 400, "line 1: text after the closing quote of a column name"),
        csv("", [good.as_bytes(), b"\xff"].concat(), 400, {
            "the body is not valid UTF-8 (line 3): name its charset in Content-Type, as in 'text/csv; charset=latin1'"
        }),
    ]
}

fn bad_records() -> Vec<Case> {
    let start = "expected a JSON list of flat records";
    vec![
        json("", 400, "the request body is empty: send a header line and rows, or a list of records"),
        json("[{\"dir\":1},\n{]", 400, format!("line 2: {start}: key must be a string (column 2)")),
        json("[{\"dir\":1}", 400, format!("line 1: {start}: EOF while parsing a list (column 10)")),
        json(HEADER, 400, format!("line 1: {start}: expected value (column 1)")),
        json(format!("{{\"dir\":1,{RECORD}}}"), 400, {
            format!("line 1: {start}: invalid type: map, expected a list of records (column 1)")
        }),
        json("[1,2]", 400, {
            format!("line 1: {start}: invalid type: integer `1`, expected a flat record (column 2)")
        }),
        json(format!("[{{\"dir\":[1],{RECORD}}}]"), 400, {
            "column 'dir', row 0: a record is flat, lists and objects are not values"
        }),
        json(format!("[{{\"dir\":{{\"value\":1}},{RECORD}}}]"), 400, {
            "column 'dir', row 0: a record is flat, lists and objects are not values"
        }),
        json("[".repeat(100_000), 400, {
            format!("line 1: {start}: invalid type: sequence, expected a flat record (column 1)")
        }),
        json(format!("[{{\"more\":{}", "[".repeat(100_000)), 400, {
            format!("line 1: {start}: EOF while parsing a list (column 100009)")
        }),
        json(format!("[{{\"dir\":1,\"dir\":2,{RECORD}}}]"), 400, "column 'dir' occurs more than once"),
        json(format!("[{{\"dir\":\"abc\",{RECORD}}}]"), 422, "column 'dir', row 0: 'abc' is not a number"),
        json(format!("[{{\"Dir\":1,{RECORD}}}]"), 422, "column 'dir' is missing: the model needs it"),
        json(
            format!("[{{\"dir\":NaN,{RECORD}}}]"),
            400,
            format!("line 1: {start}: expected value (column 9)"),
        ),
        json(format!("[{{\"dir\":1e400,{RECORD}}}]"), 400, {
            format!("line 1: {start}: number out of range (column 13)")
        }),
    ]
}

const CSV_GZIP: [&str; 2] = ["Content-Type: text/csv", "Content-Encoding: gzip"];

/// Bodies that are not in the compression, charset or type that their headers tell, or in none that is read.
fn bad_encodings() -> Vec<Case> {
    let good = format!("{HEADER}{ROW}");
    let packed = gzip(good.as_bytes());
    let long = "x".repeat(5_000);
    vec![
        headed(&CSV_GZIP, good.as_bytes(), 400, "the body is not valid gzip: invalid gzip header"),
        headed(
            &CSV_GZIP,
            &packed[..packed.len() - 9],
            400,
            "the body is not valid gzip: incomplete deflate stream",
        ),
        headed(&CSV_GZIP, "", 400, "the body is not valid gzip: unexpected end of file"),
        headed(&["Content-Type: text/csv", "Content-Encoding: br"], good.as_bytes(), 415, {
            "Content-Encoding 'br' is not read, only gzip and deflate are"
        }),
        headed(&["Content-Type: text/csv", &format!("Content-Encoding: {long}")], good.as_bytes(), 415, {
            format!("Content-Encoding '{}…' is not read, only gzip and deflate are", &long[..40])
        }),
        headed(
            &["Content-Type: text/csv; charset=klingon"],
            good.as_bytes(),
            400,
            "charset 'klingon' is not known",
        ),
        headed(&[&format!("Content-Type: text/csv; charset={long}")], good.as_bytes(), 400, {
            format!("charset '{}…' is not known", &long[..40])
        }),
        headed(&["Content-Type: text/csv; charset=utf-16"], "abc", 400, "the body is not valid UTF-16LE"),
        headed(&["Content-Type: image/png"], good.as_bytes(), 415, {
            "Content-Type 'image/png' is not read: send text/csv, text/plain (CSV), application/json or multipart/form-data"
        }),
    ]
}

fn bad_forms() -> Vec<Case> {
    let good = format!("{HEADER}{ROW}");
    let multipart = "Content-Type: multipart/form-data; boundary=b";
    let unread = "the multipart body cannot be read";
    vec![
        headed(
            &["Content-Type: multipart/form-data"],
            form("name=\"file\"; filename=\"a.csv\"", &good),
            400,
            "Content-Type multipart/form-data has no boundary",
        ),
        headed(&[multipart], form("name=\"file\"", &good), 400, {
            "the multipart body has no file part: send one as in -F file=@rows.csv"
        }),
        headed(&[multipart], "", 400, format!("{unread}: incomplete multipart stream")),
        headed(&[multipart], good.as_bytes(), 400, format!("{unread}: incomplete multipart stream")),
        headed(&[multipart], "--b\r\nContent-Disposition: form-data; filename=\"a\"\r\n\r\ndir", 400, {
            format!("{unread}: field \"<unknown>\" received with incomplete data")
        }),
        headed(&[multipart], form("name=\"file\"; filename=\"a.csv\"", ""), 400, {
            "the request body is empty: send a header line and rows, or a list of records"
        }),
    ]
}

fn bodies_that_are_too_large() -> Vec<Case> {
    let bomb = gzip(&vec![b'\n'; LIMIT + 1]);
    vec![
        headed(&CSV_GZIP, bomb, 413, "the request body is larger than 50 MiB when decompressed"),
        Case {
            raw: true,
            ..headed(&["Content-Type: text/csv", &format!("Content-Length: {}", LIMIT + 1)], "", 413, {
                "the request body is larger than 50 MiB"
            })
        },
        Case {
            raw: true,
            ..headed(
                &["Content-Type: text/csv", "Transfer-Encoding: chunked"],
                chunked(&vec![b'\n'; LIMIT + 1]),
                413,
                "the request body is larger than 50 MiB",
            )
        },
    ]
}

fn bad_queries() -> Vec<Case> {
    let query = |query: &str, status, message: &str| csv(query, format!("{HEADER}{ROW}"), status, message);
    vec![
        query("?decimals=3", 422, "'decimals': decimals is not allowed key"),
        query(&format!("?{}=3", "k".repeat(6_000)), 422, {
            "'kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk…': kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk… is not allowed key"
        }),
        query("?passthroughColumns=", 422, "'passthroughColumns': blank value is not allowed"),
        query("?passthroughColumnsSet=some", 422, "'passthroughColumnsSet': value is not exactly 'all'"),
        query("?passthroughColumns=dir&passthroughColumnsSet=all", 422, {
            "'passthroughColumnsSet': not allowed together with passthroughColumns"
        }),
        query("?passthroughColumns=Name", 400, {
            "passthroughColumns do not match columns, columns expected but not found: ['Name']"
        }),
        query("?passthroughColumns=a&passthroughColumns=dir&passthroughColumns=b", 400, {
            "passthroughColumns do not match columns, columns expected but not found: ['a', 'b']"
        }),
        csv("?passthroughColumns=THRESHOLD", format!("THRESHOLD,{HEADER}1,{ROW}"), 422, {
            "passthrough column 'THRESHOLD' has the name of a column of the answer"
        }),
        csv("?passthroughColumnsSet=all", format!("deny_yes_PREDICTION,{HEADER}1,{ROW}"), 422, {
            "passthrough column 'deny_yes_PREDICTION' has the name of a column of the answer"
        }),
        query("?decimalsNumber=99", 422, "'decimalsNumber': value is not a whole number from 0 to 15"),
        query("?decimalsNumber=", 422, "'decimalsNumber': value is not a whole number from 0 to 15"),
        query(
            "?maxExplanations=-1",
            422,
            "'maxExplanations': value is not a whole number of 0 or more, or 'all'",
        ),
        query("?maxExplanations=3", 422, "'maxExplanations': not available for this model"),
        query("?forecastPoint=2024-03-01T00:00:00Z", 422, "'forecastPoint': not available for this model"),
    ]
}

fn bad_routes() -> Vec<Case> {
    let no_package = "this is not a package or model that can be served: it is neither XGBoost JSON or UBJSON nor \
                      LightGBM text (XGBoost's old binary format must be saved again as JSON with XGBoost 3.0 or \
                      older)";
    let no_route =
        "there is no such route; predictions are at POST /predictions and POST /deployments/{id}/predictions";
    let no_deployment = "there is no such deployment; there are: fraud, revenue";
    vec![
        route("POST", "/deployments/churn/predictions", 404, no_deployment),
        route("POST", "/deployments/..%2Fx/predictions", 404, no_deployment),
        route("POST", "/deployments/..%2ffraud/predictions", 404, no_deployment),
        route("POST", "/deployments/%00/predictions", 404, no_deployment),
        route("POST", "/deployments/%ff/predictions", 404, no_deployment),
        route("POST", "/deployments/../predictions", 404, no_deployment),
        // an upload to an id called so
        route("POST", "/deployments/predictions", 400, no_package),
        route("POST", "/predictions", 404, "several models are served, name one in the path: fraud, revenue"),
        route("POST", "/predicts", 404, no_route),
        route("GET", "/nope", 404, no_route),
        route("GET", "/predictions", 405, "this route does not take GET requests"),
        route("PUT", "/deployments/fraud/predictions", 405, "this route does not take PUT requests"),
        route("POST", &format!("/predictions?{}", "x".repeat(9000)), 414, {
            "the path and query are longer than 8192 bytes"
        }),
        headed(
            &[&format!("X-Long: {}", "x".repeat(9000))],
            "",
            431,
            "the headers are larger than 8192 bytes",
        ),
        route("DELETE", "/ping", 405, "this route does not take DELETE requests"),
        route("BREW", "/deployments/fraud/info", 405, "this route does not take BREW requests"),
        Case {
            method: "BREWBREWBREWBREWBREWBREWBREWBREWBREWBREWBREW",
            ..route("", "/ping", 405, {
                "this route does not take BREWBREWBREWBREWBREWBREWBREWBREWBREWBREW… requests"
            })
        },
        route("POST", "/deployments/fraud/predictionExplanations", 422, "not available for this model"),
    ]
}

/// Sends a case over the connection, which is replaced where the server said that it ends.
fn ask(server: &RunningServer, connection: &mut Connection, case: &Case) -> Answer {
    let mut headers = vec!["Accept: text/csv"]; // errors are JSON all the same
    headers.extend(case.headers.iter().map(String::as_str));
    let answer = match case.raw {
        true => {
            connection.send(case.method, &case.target, &headers, &case.body);
            connection.receive()
        }
        false => connection.ask(case.method, &case.target, &headers, &case.body),
    };
    if answer.is_last() {
        *connection = server.connect();
    }
    answer
}

/// Sends all cases, and fails with all that was answered wrong.
fn check_all(server: &RunningServer, connection: &mut Connection, cases: &[Case]) {
    let wrong = cases.iter().filter_map(|case| check(case, &ask(server, connection, case)));
    let wrong: String = wrong.collect();
    assert!(wrong.is_empty(), "{wrong}");
}

/// What is wrong with the answer to a case.
fn check(case: &Case, answer: &Answer) -> Option<String> {
    let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    let found = (answer.status, answer.header("content-type"), body);
    let expected = (case.status, Some("application/json"), serde_json::json!({ "message": case.message }));
    let start: String = String::from_utf8_lossy(&case.body).chars().take(200).collect();
    (found != expected).then(|| {
        let Case { method, headers, .. } = case;
        let target: String = case.target.chars().take(200).collect();
        format!("{method} {target} {headers:?} {start:?}\n   expected {expected:?}\n   found    {found:?}\n")
    })
}

#[test]
fn bad_requests_are_refused_and_leave_the_server_as_it_was() {
    let cases: Vec<Case> =
        [bad_rows(), bad_records(), bad_encodings(), bad_forms(), bad_queries(), bad_routes()]
            .into_iter()
            .flatten()
            .collect();
    let mut command = portend();
    command.env("TOKIO_WORKER_THREADS", "2"); // memory is kept per thread: a few, whatever the machine
    command.arg("serve").arg(repository("examples/demo"));
    let server = RunningServer::start({
        command.args(["--port", "0", "--workers", "2", "--no-access-log"]);
        command
    });
    let good = |connection: &mut Connection| {
        let rows = format!("{HEADER}{ROW}");
        let target = "/deployments/fraud/predictions?passthroughColumnsSet=all";
        connection.ask("POST", target, &["Content-Type: text/csv"], rows.as_bytes())
    };
    let mut connection = server.connect();
    let before = good(&mut connection);
    assert_eq!(before.status, 200, "{}", before.text());
    check_all(&server, &mut connection, &bodies_that_are_too_large());
    let mut held_after_rounds = || -> Vec<u64> {
        let round = |_| {
            check_all(&server, &mut connection, &cases);
            server.resident_kib()
        };
        (0..ROUNDS).filter_map(round).collect()
    };
    _ = held_after_rounds();
    // memory is given back now and then: the most at first and the least later tell of growth alone
    let settled = held_after_rounds().into_iter().max();
    let now = (0..LATER).map(|_| held_after_rounds()).last().and_then(|held| held.into_iter().min());
    assert_eq!(good(&mut connection).body, before.body);
    println!("{} bad requests; held at first: {settled:?} KiB, later: {now:?} KiB", cases.len());
    let grown = settled.zip(now).map_or(0, |(settled, now)| now.saturating_sub(settled));
    assert!(grown <= MOST_GROWTH_KIB, "memory grew by {grown} KiB");
    server.stop();
}

#[test]
fn an_answer_comes_whatever_follows_its_request() {
    let server = RunningServer::serve(&repository("examples/demo/fraud"));
    // what follows, and the status that it is answered with itself, if any
    let check = |follows: &str, status: Option<u16>| {
        let mut connection = server.connect();
        connection.send("GET", "/ping", &[], follows.as_bytes());
        assert_eq!(connection.receive().text(), "{\"response\":\"pong\"}", "{follows:?}");
        assert_eq!(status.map(|_| connection.receive().status), status, "{follows:?}");
    };
    check("", None);
    check("GET /pi", None);
    check("GARBAGE\r\n\r\n", Some(400));
    check("GET /ping HTTP/9.9\r\n\r\n", Some(400));
    check("POST /ping HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx", Some(400));
    check("GET /ping HTTP/1.1\r\nHost: localhost\r\n\r\n", Some(200));
    server.stop();
}
