//! Whole requests in process, without a socket: routing, decoding, scoring and encoding in both forms of answer.
//! `PORTEND_BENCH_DATA` names the folder that `bench/make.py` fills; without it a golden case stands in.

use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum::body::Body;
use axum::http::Request;
use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use http_body_util::{BodyExt, Full};
use portend_server::{App, Config, HttpService};

/// Model, and bodies by name.
fn inputs() -> (PathBuf, Vec<(String, Bytes)>) {
    let read = |path: PathBuf| Bytes::from(std::fs::read(path).expect("the rows are there"));
    if let Some(data) = std::env::var_os("PORTEND_BENCH_DATA").map(PathBuf::from) {
        let names = ["1.csv", "100.csv", "10k.csv"];
        return (data.join("model.json"), names.map(|n| (n.to_owned(), read(data.join(n)))).to_vec());
    }
    let case = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/models/xgb_breast_cancer");
    let all = read(case.join("rows.csv"));
    let end = all.iter().enumerate().filter(|(_, b)| **b == b'\n').nth(1).map_or(all.len(), |(i, _)| i + 1);
    (case.join("package"), vec![("1.csv".to_owned(), all.slice(..end)), ("rows.csv".to_owned(), all)])
}

fn requests(criterion: &mut Criterion) {
    let (model, bodies) = inputs();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("threads start");
    let app = App::new(Config { access_log: false, ..Config::new(model) }).expect("the model is found");
    app.load().expect("the model loads");
    let service = HttpService::new(Arc::new(app));
    let mut group = criterion.benchmark_group("request");
    group.sample_size(30);
    for (name, body) in bodies {
        group.throughput(Throughput::Bytes(body.len() as u64));
        for accept in ["application/json", "text/csv"] {
            group.bench_function(format!("{name} to {accept}"), |b| {
                b.iter(|| {
                    let request = Request::post("/predictions")
                        .header("content-type", "text/csv")
                        .header("accept", accept)
                        .body(Full::new(body.clone()).map_err(|never| match never {}).boxed_unsync());
                    let answer = runtime.block_on(async {
                        let request: Request<_> = request.expect("the request is right");
                        let response = service.clone().answer(request).await;
                        response.into_body().collect().await.map(|b| b.to_bytes())
                    });
                    black_box(answer)
                });
            });
        }
    }
    group.bench_function("an empty handler", |b| {
        b.iter(|| {
            let request = Request::get("/ping").body(Body::empty()).expect("the request is right");
            black_box(runtime.block_on(service.clone().answer(request)))
        });
    });
    group.finish();
}

criterion_group!(benches, requests);
criterion_main!(benches);
