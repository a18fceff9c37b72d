//! Metrics as a scraper meets them: requests of every end move the right series by the right number, nothing that a client
//! can make up becomes a series, and the page of the reference knows all of them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Read;
use std::path::Path;

use flate2::read::GzDecoder;

use crate::connection::Answer;
use crate::repository;
use crate::running_server::{RunningServer, portend, wait_for};
use crate::uploads::{predict, serve_with, stump, stumps};

const OPEN_METRICS: &str =
    "Accept: application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5";

/// Samples by name and labels, as they are written.
fn samples(text: &str) -> BTreeMap<String, f64> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let lines = lines.map(|line| line.split(" # ").next().unwrap().rsplit_once(' ').unwrap());
    let mut all = BTreeMap::new();
    for (name, value) in lines {
        assert_eq!(all.insert(name.to_owned(), value.parse().unwrap()), None, "{name} stands twice");
    }
    all
}

fn scraped(server: &RunningServer) -> BTreeMap<String, f64> {
    let answer = server.get("/metrics");
    assert_eq!(answer.status, 200, "{}", answer.text());
    samples(answer.text())
}

/// A server of these models in memory, of which requests move counters.
fn serve(folder: &Path, settings: &[(&str, &str)]) -> RunningServer {
    RunningServer::start(serve_with(folder, settings))
}

fn post(server: &RunningServer, target: &str, headers: &[&str], body: &str) -> Answer {
    server.connect().ask("POST", target, headers, body.as_bytes())
}

const CSV: &[&str] = &["Content-Type: text/csv"];

#[test]
fn every_end_of_a_request_moves_its_series_and_no_other() {
    let folder = stumps(&[("a/m.txt", 1.0), ("b/m.txt", 2.0)]);
    fs::create_dir(folder.path().join("broken")).unwrap();
    fs::write(folder.path().join("broken/m.txt"), stump(1.0, 1.0).replace("num_leaves=2", "num_leaves=9"))
        .unwrap();
    let server = serve(folder.path(), &[("PRELOAD_MODELS_ENABLED", "true")]);
    let check = |what: &str, target: &str, headers: &[&str], body: &str, expected: &[(&str, f64)]| {
        let before = scraped(&server);
        let answer = post(&server, target, headers, body);
        let after = scraped(&server);
        let moved: BTreeMap<&str, f64> = after
            .iter()
            .filter(|(name, _)| {
                name.contains("_total") || name.ends_with("_count") || name.contains("_count{")
            })
            .filter(|(name, _)| !name.starts_with("process_"))
            .map(|(name, value)| (name.as_str(), value - before.get(name).unwrap_or(&0.0)))
            .filter(|(_, by)| *by != 0.0)
            .collect();
        // the first scrape is an answer as well
        let code = format!("portend_http_responses_total{{code=\"{}\"}}", answer.status);
        let ok = "portend_http_responses_total{code=\"200\"}";
        let mut wanted: BTreeMap<&str, f64> = expected.iter().copied().collect();
        *wanted.entry(ok).or_default() += 1.0;
        *wanted.entry(&code).or_default() += 1.0;
        assert_eq!(moved, wanted, "{what}: {}", answer.text());
    };
    let scored = |id: &str, rows: f64| {
        let named = |name: &str, by| (format!("{name}{{model=\"{id}\"}}"), by);
        vec![
            named("portend_rows_total", rows),
            named("portend_request_rows_count", 1.0),
            named("portend_queue_seconds_count", 1.0),
            named("portend_decode_seconds_count", 1.0),
            named("portend_predict_seconds_count", 1.0),
            named("portend_encode_seconds_count", 1.0),
            named("portend_model_cache_hits_total", 1.0),
        ]
    };
    let ended = |id: &str, protocol: &str, code: u16| {
        let labels = format!("{{model=\"{id}\",protocol=\"{protocol}\",code=\"{code}\"}}");
        ["portend_requests_total", "portend_request_duration_seconds_count"]
            .map(|name| (format!("{name}{labels}"), 1.0))
    };
    let moved = |what: &str, target: &str, headers: &[&str], body: &str, expected: Vec<(String, f64)>| {
        let expected: Vec<_> = expected.iter().map(|(name, by)| (name.as_str(), *by)).collect();
        check(what, target, headers, body, &expected);
    };
    let hit = |id: &str| (format!("portend_model_cache_hits_total{{model=\"{id}\"}}"), 1.0);
    let tensor = r#"{"inputs":[{"name":"x","datatype":"FP64","shape":[2],"data":[0,1]}]}"#;
    for (what, target, headers, body, expected) in [
        (
            "three rows",
            "/deployments/a/predictions",
            CSV,
            "x\n1\n2\n3\n",
            [scored("a", 3.0), ended("a", "pps", 200).into()].concat(),
        ),
        (
            "the same under another prefix",
            "//model/a/predictions/",
            CSV,
            "x\n1\n",
            [scored("a", 1.0), ended("a", "pps", 200).into()].concat(),
        ),
        (
            "two rows",
            "/v2/models/b/infer",
            &[],
            tensor,
            [scored("b", 2.0), ended("b", "v2", 200).into()].concat(),
        ),
        (
            "a tensor that is none",
            "/deployment/b/v2/models/z/infer",
            &[],
            "{\"inputs\":[{}]}",
            [vec![hit("b")], ended("b", "v2", 400).into()].concat(),
        ),
        (
            "no number",
            "/deployments/a/predictions",
            CSV,
            "x\nno\n",
            [vec![hit("a")], ended("a", "pps", 422).into()].concat(),
        ),
        ("a type that is not read", "/deployments/a/predictions", &["Content-Type: image/png"], "x", {
            ended("a", "pps", 415).into()
        }),
        ("a package that does not load", "/deployments/broken/predictions", CSV, "x\n1\n", {
            ended("broken", "pps", 503).into()
        }),
        ("an unknown model", "/deployments/zz/predictions", CSV, "x\n1\n", vec![]),
        ("an unknown model of another protocol", "/v2/models/zz/infer", &[], tensor, vec![]),
        ("an unknown route", "/nope/%22%0a", CSV, "x\n1\n", vec![]),
        ("a method that a route does not have", "/ready", CSV, "", vec![]),
    ] {
        moved(what, target, headers, body, expected);
    }
    server.stop();
}

#[test]
fn what_clients_make_up_is_no_series_and_what_is_deleted_vanishes() {
    let folder = stumps(&[("a/m.txt", 1.0), ("b/m.txt", 2.0)]);
    let server = serve(folder.path(), &[]);
    assert_eq!((predict(&server, "a"), predict(&server, "b")), (Ok(1.0), Ok(2.0)));
    let names = |all: &BTreeMap<String, f64>| all.keys().cloned().collect::<BTreeSet<_>>();
    server.get("/deployments/x/info"); // a 404 is a series
    let before = names(&scraped(&server));
    for i in 0..50 {
        for target in [
            format!("/deployments/m{i}/predictions"),
            format!("/v2/models/m{i}/infer"),
            format!("/path{i}"),
            format!("/model/%22{i}%0a/predictions"),
        ] {
            assert_eq!(post(&server, &target, CSV, "x\n1\n").status, 404, "{target}");
        }
        server.get(&format!("/v2/models/m{i}"));
        assert_eq!(server.connect().ask("GET", "/ping", &[&format!("X-Request-ID: r{i}")], b"").status, 200);
    }
    assert_eq!(names(&scraped(&server)), before);
    assert!(before.iter().any(|name| name.contains("model=\"b\"")));
    assert_eq!(server.connect().ask("DELETE", "/deployments/b", &[], b"").status, 204);
    let after = names(&scraped(&server));
    assert!(!after.iter().any(|name| name.contains("model=\"b\"")), "{after:?}");
    assert!(after.contains("portend_model_loaded{model=\"a\"}"));
    server.stop();
}

#[test]
fn the_gates_and_the_cache_are_told() {
    let folder = stumps(&[("a/m.txt", 1.0), ("b/m.txt", 2.0)]);
    let settings = [("SCORING_MODEL_CACHE_MAXSIZE", "1"), ("WORKERS", "3")];
    let server = serve(folder.path(), &settings);
    let value = |name: &str| scraped(&server).get(name).copied();
    assert_eq!((value("portend_workers"), value("portend_workers_busy")), (Some(3.0), Some(0.0)));
    assert_eq!(value("portend_model_loaded{model=\"a\"}"), Some(0.0));
    for id in ["a", "b", "a"] {
        predict(&server, id).unwrap();
        // a model leaves after the answer that made it leave
        wait_for("the cache", || {
            let all = scraped(&server);
            let loaded = ["a", "b"].map(|id| all[&format!("portend_model_loaded{{model=\"{id}\"}}")]);
            (loaded.iter().sum::<f64>() == 1.0).then_some(())
        });
    }
    for (name, expected) in [
        ("portend_model_loads_total{model=\"a\"}", 2.0),
        ("portend_model_loads_total{model=\"b\"}", 1.0),
        ("portend_model_evictions_total{model=\"a\"}", 1.0),
        ("portend_model_evictions_total{model=\"b\"}", 1.0),
        ("portend_model_cache_misses_total{model=\"a\"}", 2.0),
        ("portend_model_cache_hits_total{model=\"a\"}", 0.0),
        ("portend_models", 2.0),
        ("portend_cache_limit_models", 1.0),
        ("portend_bodies_bytes", 0.0),
    ] {
        assert_eq!(value(name), Some(expected), "{name}");
    }
    assert!(value("portend_model_memory_bytes{model=\"a\"}").unwrap() > 100.0);
    assert_eq!(value("portend_model_memory_bytes{model=\"b\"}"), None, "it is not in memory");
    // a body of which all but the end has come
    let mut slow = server.connect();
    let body = format!("x\n{}", "1\n".repeat(200_000));
    let length = format!("Content-Length: {}", body.len());
    slow.send("POST", "/deployments/a/predictions", &[CSV[0], &length], &body.as_bytes()[..body.len() - 2]);
    wait_for("the body", || (value("portend_bodies_bytes") >= Some(300_000.0)).then_some(()));
    slow.send_bytes(b"1\n");
    assert_eq!(slow.receive().status, 200);
    wait_for("the budget", || (value("portend_bodies_bytes") == Some(0.0)).then_some(()));
    assert_eq!(value("portend_rows_total{model=\"a\"}"), Some(200_002.0));
    if let (Some(told), Some(found)) = (value("process_resident_memory_bytes"), server.resident_kib()) {
        assert!((told / 1024.0 / found as f64 - 1.0).abs() < 0.5, "{told} {found}");
    }
    server.stop();
}

#[test]
fn open_metrics_come_with_exemplars_and_only_when_they_are_asked_for() {
    let folder = stumps(&[("m.txt", 1.0)]);
    let server = serve(&folder.path().join("m.txt"), &[]);
    let id = "X-Request-ID: order-\"66\"";
    assert_eq!(post(&server, "/predictions", &[CSV[0], id], "x\n1\n").status, 200);
    for path in ["/metrics", "/prometheus"] {
        for (accept, content_type, exemplars) in [
            ("Accept: */*", "text/plain; version=0.0.4; charset=utf-8", false),
            (OPEN_METRICS, "application/openmetrics-text; version=1.0.0; charset=utf-8", true),
        ] {
            let answer = server.connect().ask("GET", path, &[accept], b"");
            assert_eq!(answer.header("content-type"), Some(content_type), "{accept}");
            let text = answer.text();
            assert_eq!(text.contains(" # {request_id=\"order-\\\"66\\\"\"} 0."), exemplars, "{accept}");
            assert_eq!(text.ends_with("# EOF\n"), exemplars, "{accept}");
            assert_eq!(samples(text)["portend_rows_total{model=\"m\"}"], 1.0);
        }
    }
    server.stop();
}

#[test]
fn a_scraper_that_takes_gzip_gets_the_same_series_compressed() {
    let folder = stumps(&[("a/m.txt", 1.0)]);
    let server = serve(folder.path(), &[]);
    assert_eq!(predict(&server, "a"), Ok(1.0));
    let ask = |header: &str| server.connect().ask("GET", "/metrics", &[header], b"");
    let (plain, packed) = (ask("Accept: */*"), ask("Accept-Encoding: gzip"));
    assert_eq!((plain.header("content-encoding"), packed.header("content-encoding")), (None, Some("gzip")));
    assert_eq!(packed.header("content-type"), plain.header("content-type"));
    assert!(packed.body.len() * 4 < plain.body.len(), "{} of {}", packed.body.len(), plain.body.len());
    let mut text = String::new();
    GzDecoder::new(&packed.body[..]).read_to_string(&mut text).unwrap();
    assert!(samples(&text).keys().eq(samples(plain.text()).keys()));
    server.stop();
}

#[test]
fn behind_a_prefix_the_series_of_its_model_are_told() {
    let folder = stumps(&[("a/m.txt", 1.0), ("b/m.txt", 2.0)]);
    let server = serve(folder.path(), &[]);
    assert_eq!((predict(&server, "a"), predict(&server, "b")), (Ok(1.0), Ok(2.0)));
    let all = scraped(&server);
    for target in ["/deployment/a/prometheus", "/seldon/any/a/prometheus", "/model/a/metrics"] {
        let answer = server.get(target);
        let found: Vec<_> = samples(answer.text()).into_keys().collect();
        let of_a = |name: &&String| name.contains("model=\"a\"");
        assert_eq!(found, all.keys().filter(of_a).cloned().collect::<Vec<_>>(), "{target}");
    }
    let unknown = server.get("/model/c/metrics");
    assert_eq!((unknown.status, unknown.text().contains("a, b")), (404, true), "{}", unknown.text());
    server.stop();
}

#[test]
fn metrics_ask_for_the_token_like_predictions() {
    let folder = stumps(&[("m.txt", 1.0)]);
    let mut command = serve_with(&folder.path().join("m.txt"), &[]);
    command.env("PORTEND_TOKEN", "sesame");
    let server = RunningServer::start(command);
    for path in ["/metrics", "/prometheus"] {
        assert_eq!(server.get(path).status, 401, "{path}");
        let right = server.connect().ask("GET", path, &["Authorization: Bearer sesame"], b"");
        assert_eq!(right.status, 200, "{path}");
    }
    server.stop();
}

#[test]
fn dashboards_of_other_servers_find_their_names() {
    let folder = stumps(&[("a/m.txt", 1.0)]);
    let check = |names: &str, expected: [bool; 3]| {
        let mut command = serve_with(folder.path(), &[]);
        command.args(["--compatible-metrics", names]);
        let server = RunningServer::start(command);
        assert_eq!(predict(&server, "a"), Ok(1.0));
        assert_eq!(post(&server, "/deployments/a/predictions", CSV, "x\nno\n").status, 422);
        for reward in [-1.5, 0.0] {
            give_feedback(&server, reward);
        }
        let all = scraped(&server);
        let feedback = [("", 2.0), ("_reward", -1.5)].map(|(name, value)| {
            (
                format!(
                    "seldon_api_model_feedback{name}_total{{deployment_name=\"a\",model_name=\"a\",model_image=\"a\",\
                     model_version=\"1\",predictor_name=\"default\",predictor_version=\"1\",\
                     seldon_deployment_name=\"a\",image_name=\"a\",image_version=\"1\",method=\"feedback\"}}"
                ),
                value,
            )
        });
        for (name, value) in &feedback {
            assert_eq!(all.get(name), (expected[0] || expected[1]).then_some(value), "{name}");
        }
        let labels = "deployment_name=\"a\",predictor_name=\"default\",predictor_version=\"1\",\
                      service=\"predictions\",method=\"post\",code=\"422\"";
        let seldon = [
            format!("seldon_api_executor_server_requests_seconds_bucket{{{labels},le=\"0.005\"}}"),
            format!("seldon_api_executor_server_requests_seconds_summary_count{{{labels}}}"),
            format!(
                "seldon_api_executor_client_requests_seconds_count{{{labels},model_name=\"a\",model_image=\"a\",\
                 model_version=\"1\"}}"
            ),
        ];
        let engine = ["server", "client"].map(|side| {
            let model =
                if side == "client" { ",model_name=\"a\",model_image=\"a\",model_version=\"1\"" } else { "" };
            let labels = labels.replace("code=", "status=");
            format!("seldon_api_engine_{side}_requests_duration_seconds_count{{{labels}{model}}}")
        });
        let triton = ["success", "failure"]
            .map(|end| format!("nv_inference_request_{end}{{model=\"a\",version=\"1\"}}"));
        for (names, expected) in
            [(&seldon[1..], expected[0]), (&engine[..], expected[1]), (&triton[..], expected[2])]
        {
            for name in names {
                assert_eq!(all.get(name), expected.then_some(&1.0), "{name}");
            }
        }
        assert_eq!(all.contains_key(&seldon[0]), expected[0]);
        server.stop();
    };
    check("off", [false, false, false]);
    check("seldon", [true, false, false]);
    check("seldon-engine", [false, true, false]);
    check("triton", [false, false, true]);
    check("all", [true, true, true]);
}

fn give_feedback(server: &RunningServer, reward: f64) {
    let body = format!("{{\"reward\":{reward}}}");
    assert_eq!(
        post(server, "/model/a/send-feedback", &["Content-Type: application/json"], &body).status,
        200
    );
}

/// Name, type and labels of each family that a server tells.
fn told(text: &str) -> BTreeSet<(String, String, String)> {
    let kinds = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
    let labels = |family: &str| {
        let mut names: Vec<String> = Vec::new();
        for sample in samples(text).keys() {
            let (name, rest) = sample.split_once('{').unwrap_or((sample, ""));
            if name == family
                || ["_bucket", "_sum", "_count"].iter().any(|end| name.strip_suffix(end) == Some(family))
            {
                for label in rest.split(',').filter_map(|label| Some(label.split_once('=')?.0)) {
                    if label != "le" && !names.iter().any(|known| known == label) {
                        names.push(label.to_owned());
                    }
                }
            }
        }
        names.join(", ")
    };
    kinds.map(|(name, kind)| (name.to_owned(), kind.to_owned(), labels(name))).collect()
}

#[test]
fn the_page_of_the_reference_has_every_metric() {
    let folder = stumps(&[("a/m.txt", 1.0)]);
    let mut command = portend();
    command
        .args(["serve", "--port", "0", "--compatible-metrics", "all", "--cache-models", "2"])
        .arg(folder.path());
    let server = RunningServer::start(command);
    assert_eq!(predict(&server, "a"), Ok(1.0));
    give_feedback(&server, 0.5);
    let told = told(server.get("/metrics").text());
    server.stop();
    let page = fs::read_to_string(repository("docs/reference/metrics.md")).unwrap();
    let rows = page.lines().filter_map(|line| {
        let cells: Vec<_> = line.strip_prefix("| `")?.split('|').collect();
        let plain = |cell: &str| cell.replace('`', "").trim().to_owned();
        Some((plain(cells[0]), plain(cells[1]), plain(cells[2])))
    });
    assert_eq!(rows.collect::<BTreeSet<_>>(), told);
}
