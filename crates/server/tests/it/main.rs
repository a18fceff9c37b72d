//! Settings of the repository that are tested in process, because no flag gives them small enough values.

#![allow(clippy::unwrap_used)] // a test may fail loudly

mod grpc_generated;

use std::fs;
use std::path::Path;
use std::sync::Arc;

use axum::body::Body;
use axum::http::Request;
use http_body_util::BodyExt;
use portend_server::{AccessLogFormat, App, CacheLimits, Config, HttpService};

/// A LightGBM model of one split.
const STUMP: &str = "tree\nversion=v4\nnum_class=1\nnum_tree_per_iteration=1\nlabel_index=0\nmax_feature_idx=0\n\
    objective=regression\nfeature_names=x\nfeature_infos=[0:9]\n\nTree=0\nnum_leaves=2\nnum_cat=0\nsplit_feature=0\n\
    threshold=0.5\ndecision_type=2\nleft_child=-1\nright_child=-2\nleaf_value=1 2\nshrinkage=1\n\n\nend of trees\n";

/// Asks one server for each of `method target`, with the stump as body, and gives status and text.
fn ask(folder: &Path, change: impl FnOnce(&mut Config), requests: &[&str]) -> Vec<(u16, String)> {
    let mut config = Config { access_log: AccessLogFormat::Off, ..Config::new(folder.to_owned()) };
    change(&mut config);
    let app = App::new(config).unwrap();
    app.load().unwrap();
    let service = HttpService::new(Arc::new(app));
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let answer = |request: &&str| {
        let (method, target) = request.split_once(' ').unwrap();
        let body = if target.ends_with("/predictions") { "x\n1\n" } else { STUMP };
        // without a told length: only what arrives can be counted
        let body = futures_util::stream::iter([Ok::<_, std::io::Error>(body)]);
        let request = Request::builder().method(method).uri(target).header("content-type", "text/csv");
        let request = request.body(Body::from_stream(body)).unwrap();
        runtime.block_on(async {
            let response = service.clone().answer(request).await;
            let status = response.status().as_u16();
            let body = response.into_body().collect().await.unwrap().to_bytes();
            (status, String::from_utf8(body.to_vec()).unwrap())
        })
    };
    requests.iter().map(answer).collect()
}

fn check(change: impl FnOnce(&mut Config), requests: &[&str], expected: &[(u16, &str)]) {
    let folder = tempfile::tempdir().unwrap();
    for id in ["a", "b", "c"] {
        fs::create_dir(folder.path().join(id)).unwrap();
        fs::write(folder.path().join(id).join("m.txt"), STUMP).unwrap();
    }
    for ((status, text), (expected, part)) in ask(folder.path(), change, requests).iter().zip(expected) {
        assert!(status == expected && text.contains(part), "{status} {text} where {expected} {part} belongs");
    }
    let left: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left.len(), 3, "{left:?}");
}

#[test]
fn a_package_that_is_larger_than_the_limit_is_refused_when_so_much_has_arrived() {
    let requests = ["POST /deployments/a", "POST /deployments/d", "POST /deployments/a/predictions"];
    let refused = (413, "the package is larger than 99 bytes");
    check(|config| config.upload_limit = 99, &requests, &[refused, refused, (200, "\"prediction\":2.0")]);
}

#[test]
fn a_read_only_server_takes_and_deletes_nothing() {
    let requests = ["POST /deployments/a", "DELETE /deployments/a", "POST /deployments/a/predictions"];
    let refused = (403, "it is read-only");
    check(|config| config.read_only = true, &requests, &[refused, refused, (200, "\"prediction\":2.0")]);
}

#[test]
fn as_many_models_are_kept_as_fit_into_the_bytes() {
    let predict = |id: &str| format!("POST /deployments/{id}/predictions");
    let requests = [predict("a"), predict("b"), predict("c"), "GET /deployments".to_owned()];
    let requests: Vec<_> = requests.iter().map(String::as_str).collect();
    let good = (200, "prediction");
    let listed = |count: usize| {
        let folder = tempfile::tempdir().unwrap();
        for id in ["a", "b", "c"] {
            fs::create_dir(folder.path().join(id)).unwrap();
            fs::write(folder.path().join(id).join("m.txt"), STUMP).unwrap();
        }
        let bytes = if count == 3 { u64::MAX } else { 1 };
        let limit = |config: &mut Config| config.cache = CacheLimits { models: None, bytes };
        let answers = ask(folder.path(), limit, &requests);
        assert!(answers[..3].iter().all(|(status, text)| (*status, true) == (good.0, text.contains(good.1))));
        answers[3].1.matches("\"loaded\":true").count()
    };
    assert_eq!(listed(3), 3);
    assert_eq!(listed(1), 1, "one is always kept");
}
