//! OpenAPI documents against the server that they describe: examples work for every model, pages have all of their files,
//! and the committed document is the one that the program prints.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::connection::{Answer, Connection};
use crate::running_server::{RunningServer, portend};
use crate::{blessing, repository};

fn printed(arguments: &[&str]) -> String {
    let done = portend().arg("openapi").args(arguments).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8(done.stdout).unwrap()
}

#[test]
fn the_committed_document_is_the_one_that_is_printed() {
    let path = repository("docs/reference/openapi.json");
    let document = printed(&[]);
    if blessing() {
        fs::write(&path, &document).unwrap();
    }
    let written = fs::read_to_string(&path).unwrap_or_default();
    assert!(written == document, "{} is not up to date: PORTEND_BLESS=1 writes it", path.display());
}

#[test]
fn the_document_of_a_model_is_printed_without_a_server() {
    let path = repository("testdata/models/xgb_penguins/package");
    let document: Value = serde_json::from_str(&printed(&[path.to_str().unwrap()])).unwrap();
    assert_eq!(document["components"]["schemas"]["Label"]["enum"][0], "Adelie");
    let done = portend().args(["openapi", "/nowhere/model.json"]).output().unwrap();
    assert_eq!(done.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&done.stderr).contains("/nowhere/model.json"));
}

fn document(connection: &mut Connection, target: &str) -> Value {
    let answer = connection.ask("GET", target, &[], b"");
    assert_eq!(answer.status, 200, "{target}: {}", answer.text());
    serde_json::from_slice(&answer.body).unwrap()
}

/// The operations of a document: method, path, and what is told.
fn operations(document: &Value) -> impl Iterator<Item = (String, &str, &Value)> {
    let items = document["paths"].as_object().unwrap().iter();
    items.flat_map(|(path, item)| {
        let methods = item.as_object().unwrap().iter();
        let methods = methods.filter(|(key, _)| !["parameters", "servers"].contains(&key.as_str()));
        methods.map(move |(method, told)| (method.to_uppercase(), path.as_str(), told))
    })
}

/// A path with the examples of its parameters.
fn filled(document: &Value, path: &str) -> String {
    let parameters = document["paths"][path]["parameters"].as_array().unwrap().iter();
    parameters.filter(|parameter| parameter["in"] == "path").fold(path.to_owned(), |path, parameter| {
        let name = format!("{{{}}}", parameter["name"].as_str().unwrap());
        path.replace(&name, parameter["example"].as_str().unwrap())
    })
}

/// Sends each example of a document about one model, and gives how many were answered; all must be, but what a kind of
/// model is not asked for.
fn check_examples(connection: &mut Connection, prefix: &str, document: &Value) -> usize {
    let has_classes = document["components"]["schemas"]["Label"].get("enum").is_some();
    let mut sent = 0;
    // what is loaded is not loaded again
    for (method, path, told) in operations(document).filter(|(_, path, _)| *path != "/models") {
        let target = format!("{prefix}{}", filled(document, path));
        for (media_type, content) in told["requestBody"]["content"].as_object().into_iter().flatten() {
            let Some(example) = content.get("example") else { continue };
            let body = example.as_str().map_or_else(|| example.to_string(), str::to_owned);
            let header = format!("Content-Type: {media_type}");
            let answer = connection.ask(&method, &target, &[&header], body.as_bytes());
            let other_kind =
                if has_classes { path.ends_with(":regress") } else { path.ends_with(":classify") };
            let several = path.ends_with(":regress") && answer.text().contains("several numbers");
            let expected = if other_kind || several { 400 } else { 200 };
            assert_eq!(answer.status, expected, "{method} {target} {media_type} {body}: {}", answer.text());
            sent += 1;
        }
    }
    sent
}

/// The rows that a document has as an example for the prediction API, with what is predicted for each label.
fn predicted(connection: &mut Connection, prefix: &str, document: &Value) -> Vec<f64> {
    let content = &document["paths"]["/predictions"]["post"]["requestBody"]["content"];
    let body = content["application/json"]["example"].to_string();
    let target = format!("{prefix}/v2/models/any/infer");
    let tensors = document["paths"]["/v2/models/{name}/infer"]["post"]["requestBody"]["content"]
        ["application/json"]["example"]
        .to_string();
    let told: Value =
        serde_json::from_slice(&connection.ask("POST", &target, &[], tensors.as_bytes()).body).unwrap();
    let outputs = told["outputs"].as_array().unwrap();
    let values = outputs.iter().find(|output| output["name"] != "label").unwrap()["data"].as_array().unwrap();
    let values: Vec<f64> = values.iter().map(|value| value.as_f64().unwrap_or(f64::NAN)).collect();
    // both protocols read the same row
    let target = format!("{prefix}/predictions");
    let answer = connection.ask("POST", &target, &["Content-Type: application/json"], body.as_bytes());
    let row: Value = serde_json::from_slice(&answer.body).unwrap();
    let mut others: Vec<f64> = row["data"][0]["predictionValues"]
        .as_array()
        .unwrap()
        .iter()
        .map(|value| value["value"].as_f64().unwrap_or(f64::NAN))
        .collect();
    if row["data"][0].get("predictionThreshold").is_some() && others.len() == 2 {
        let first = row["data"][0]["predictionValues"][0]["label"].clone();
        let labels = &document["components"]["schemas"]["Label"]["enum"];
        if labels[0] != first {
            others.reverse();
        }
    }
    assert_eq!(format!("{values:?}"), format!("{others:?}"), "{prefix}");
    values
}

#[test]
fn the_examples_of_every_model_are_answered_and_are_its_samples() {
    let models = repository("testdata/models");
    let folder = tempfile::tempdir().unwrap();
    let mut ids = Vec::new();
    for case in fs::read_dir(models).unwrap().map(|entry| entry.unwrap().path()) {
        if case.join("package").is_dir() {
            let id = case.file_name().unwrap().to_str().unwrap().to_owned();
            std::os::unix::fs::symlink(
                fs::canonicalize(case.join("package")).unwrap(),
                folder.path().join(&id),
            )
            .unwrap();
            ids.push(id);
        }
    }
    assert!(ids.len() > 80);
    let server = RunningServer::serve(folder.path());
    let mut connection = server.connect();
    for id in ids {
        let prefix = format!("/model/{id}");
        let document = document(&mut connection, &format!("{prefix}/openapi.json"));
        assert!(check_examples(&mut connection, &prefix, &document) >= 20, "{id}");
        let values = predicted(&mut connection, &prefix, &document);
        let samples = folder.path().join(&id).join("samples/output.json");
        if let Ok(text) = fs::read_to_string(samples) {
            let expected: Value = serde_json::from_str(&text).unwrap();
            for (found, expected) in values.iter().zip(expected["predictions"][0].as_array().unwrap()) {
                let expected = expected.as_f64().unwrap_or(f64::NAN);
                let close = (found - expected).abs() <= 1e-6 * expected.abs().max(1e-3);
                assert!(close || found.is_nan(), "{id}: {found} for {expected}");
            }
        }
    }
    server.stop();
}

#[test]
fn a_model_file_without_samples_has_examples_that_are_answered() {
    for path in ["lgb_typed_categories/package/model/model.txt", "xgb_penguins/package/model/model.json"] {
        let server = RunningServer::serve(&repository("testdata/models").join(path));
        let mut connection = server.connect();
        // the only model is meant under the root
        let document = document(&mut connection, "/openapi.json");
        assert!(check_examples(&mut connection, "", &document) >= 20, "{path}");
        server.stop();
    }
}

/// Where a link in a page leads.
fn resolved(page: &str, link: &str) -> String {
    let mut parts: Vec<&str> = page.split('/').collect();
    parts.pop();
    for part in link.split('/') {
        match part {
            ".." => _ = parts.pop(),
            "." => {}
            part => parts.push(part),
        }
    }
    parts.join("/")
}

/// The values of an attribute in a page.
fn attributes<'p>(page: &'p str, name: &str) -> Vec<&'p str> {
    page.split(&format!(" {name}=\"")).skip(1).filter_map(|rest| rest.split('"').next()).collect()
}

fn serve(path: &Path, settings: &[(&str, &str)]) -> RunningServer {
    let mut command = portend();
    command.arg("serve").arg(path).args(["--port", "0"]).envs(settings.iter().copied());
    RunningServer::start(command)
}

#[test]
fn a_page_has_all_of_its_files_and_loads_nothing_from_elsewhere() {
    let server = serve(&repository("examples/demo"), &[]);
    let mut connection = server.connect();
    for target in [
        "/docs",
        "/docs/",
        "/model/fraud/docs",
        "/seldon/default/fraud/docs/",
        "/api/v1.0/doc",
        "/api/v1.0/doc/",
        "/deployment/fraud/api/v0.1/doc/",
    ] {
        let page = connection.ask("GET", target, &[], b"");
        assert_eq!(page.status, 200, "{target}");
        let policy = page.header("Content-Security-Policy").unwrap();
        assert!(policy.starts_with("default-src 'none'; script-src 'self';"), "{policy}");
        assert!(!page.text().contains("://"), "{target}: {}", page.text());
        let links = [attributes(page.text(), "href"), attributes(page.text(), "src")].concat();
        let files: Vec<_> = links.into_iter().filter(|link| !link.starts_with("data:")).collect();
        assert_eq!(files.len(), 4, "{target}: {files:?}"); // a sheet, two scripts and the document
        for file in files {
            let found = connection.ask("GET", &resolved(target, file), &[], b"");
            assert_eq!((found.status, found.body.len() > 1000), (200, true), "{target}: {file}");
        }
        let link = attributes(page.text(), "data-document")[0];
        let document = document(&mut connection, &resolved(target, link));
        assert_eq!(document["openapi"], "3.1.0");
        // its server is where its paths begin
        let base = resolved(&resolved(target, link), document["servers"][0]["url"].as_str().unwrap());
        let live = format!("{base}live").replace("//", "/");
        assert_eq!(connection.ask("GET", &live, &[], b"").status, 200, "{target}: {live}");
    }
    assert_eq!(connection.ask("GET", "/docs/other.js", &[], b"").status, 404);
    server.stop();
}

#[test]
fn files_of_the_page_are_packed_for_those_who_can_unpack_them() {
    let server = serve(&repository("examples/demo"), &[]);
    let mut connection = server.connect();
    let mut ask = |accept: &str| -> Answer {
        let header = format!("Accept-Encoding: {accept}");
        connection.ask("GET", "/docs/swagger-ui.css", &[&header], b"")
    };
    let (packed, plain) = (ask("br, gzip;q=0.5"), ask("gzip;q=0"));
    assert_eq!((packed.header("Content-Encoding"), plain.header("Content-Encoding")), (Some("gzip"), None));
    assert!(packed.body.starts_with(&[0x1f, 0x8b]) && packed.body.len() < plain.body.len());
    assert!(plain.text().contains(".swagger-ui"));
    server.stop();
}

#[test]
fn documents_need_the_token_and_their_pages_do_not() {
    let server = serve(&repository("examples/demo"), &[("PORTEND_TOKEN", "sesame")]);
    let mut connection = server.connect();
    for (target, status) in [
        ("/docs", 200),
        ("/model/fraud/docs", 200),
        ("/docs/start.js", 200),
        ("/openapi.json", 401),
        ("/model/fraud/openapi.json", 401),
        ("/seldon.json", 401),
        ("/api/model/info", 401),
    ] {
        assert_eq!(connection.ask("GET", target, &[], b"").status, status, "{target}");
    }
    let answer = connection.ask("GET", "/openapi.json", &["Authorization: Bearer sesame"], b"");
    let document: Value = serde_json::from_slice(&answer.body).unwrap();
    for (method, path, told) in operations(&document) {
        // who watches the process needs none, and neither do pages
        let answer = connection.ask(&method, &filled(&document, path), &[], b"");
        assert_eq!(answer.status == 401, told.get("security").is_some(), "{method} {path}");
    }
    server.stop();
}

#[test]
fn documents_can_be_switched_off() {
    let server = serve(&repository("examples/demo"), &[("PORTEND_DOCS", "false")]);
    let mut connection = server.connect();
    for target in [
        "/openapi.json",
        "/docs",
        "/docs/start.js",
        "/model/fraud/openapi.json",
        "/model/fraud/docs",
        "/api/v1.0/doc",
    ] {
        assert_eq!(connection.ask("GET", target, &[], b"").status, 404, "{target}");
    }
    // what belongs to protocols stays
    for target in ["/seldon.json", "/model/fraud/api/model/info"] {
        assert_eq!(connection.ask("GET", target, &[], b"").status, 200, "{target}");
    }
    server.stop();
}

#[test]
fn prefixes_offer_the_models_that_there_are() {
    let server = serve(&repository("examples/demo"), &[]);
    let document = document(&mut server.connect(), "/openapi.json");
    let servers = document["servers"].as_array().unwrap();
    assert_eq!(servers[0]["url"], "./");
    for server in &servers[1..] {
        assert_eq!(server["variables"]["id"]["enum"], serde_json::json!(["fraud", "revenue"]), "{server}");
    }
    server.stop();
}
