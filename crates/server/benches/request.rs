//! Whole requests in process, without a socket: routing, decoding, scoring and encoding in both forms of answer.
//! `PORTEND_BENCH_DATA` names the folder that `bench/make.py` fills; without it a golden case stands in.

use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::Request;
use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use http_body_util::{BodyExt, Full};
use portend_server::{AccessLogFormat, App, Config, HttpService, Propagator, TraceConfig, TraceSampler};

/// Model, and bodies by name.
fn inputs() -> (PathBuf, Vec<(String, Bytes)>) {
    let read = |path: PathBuf| Bytes::from(std::fs::read(path).expect("the rows are there"));
    if let Some(data) = std::env::var_os("PORTEND_BENCH_DATA").map(PathBuf::from) {
        let names = ["1.csv", "100.csv", "10k.csv"];
        return (data.join("model.json"), names.map(|n| (n.to_owned(), read(data.join(n)))).to_vec());
    }
    let case = Path::new(&std::env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it"))
        .join("../../testdata/models/xgb_breast_cancer");
    let all = read(case.join("rows.csv"));
    let end = all.iter().enumerate().filter(|(_, b)| **b == b'\n').nth(1).map_or(all.len(), |(i, _)| i + 1);
    (case.join("package"), vec![("1.csv".to_owned(), all.slice(..end)), ("rows.csv".to_owned(), all)])
}

/// A server of one model, in process, scoring on one thread.
struct InProcess {
    runtime: tokio::runtime::Runtime,
    service: HttpService,
}

impl InProcess {
    fn new(model: PathBuf) -> Self {
        Self::traced(model, None)
    }

    fn traced(model: PathBuf, traces: Option<TraceConfig>) -> Self {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("threads start");
        let config = Config { access_log: AccessLogFormat::Off, workers: 1, traces, ..Config::new(model) };
        let app = App::new(config).expect("the model is found");
        app.load().expect("the model loads");
        Self { runtime, service: HttpService::new(Arc::new(app)) }
    }

    /// Posts rows and gives the answer's size.
    fn post(&self, body: &Bytes, accept: &str) -> usize {
        let request = Request::post("/predictions")
            .header("content-type", "text/csv")
            .header("accept", accept)
            .body(Full::new(body.clone()).map_err(|never| match never {}).boxed_unsync())
            .expect("the request is right");
        self.runtime.block_on(async {
            let response = self.service.clone().answer(request).await;
            response.into_body().collect().await.map_or(0, |body| body.to_bytes().len())
        })
    }
}

const FORMS: [&str; 2] = ["application/json", "text/csv"];

fn requests(criterion: &mut Criterion) {
    let (model, bodies) = inputs();
    let server = InProcess::new(model);
    let mut group = criterion.benchmark_group("request");
    group.sample_size(30);
    for (name, body) in bodies {
        group.throughput(Throughput::Bytes(body.len() as u64));
        for accept in FORMS {
            group.bench_function(format!("{name} to {accept}"), |b| {
                b.iter(|| black_box(server.post(&body, accept)));
            });
        }
    }
    group.bench_function("an empty handler", |b| {
        b.iter(|| {
            let request = Request::get("/ping").body(Body::empty()).expect("the request is right");
            black_box(server.runtime.block_on(server.service.clone().answer(request)))
        });
    });
    group.finish();
}

/// Traces that nobody takes: what requests pay for making them.
fn traces(ratio: f64) -> TraceConfig {
    TraceConfig {
        endpoint: "http://127.0.0.1:9/".to_owned(),
        headers: Vec::new(),
        timeout: Duration::from_millis(1),
        queue: 2048,
        sampler: TraceSampler { parent_based: true, ratio },
        propagators: vec![Propagator::TraceContext, Propagator::B3, Propagator::B3Multi],
        resource: Vec::new(),
    }
}

fn traced(criterion: &mut Criterion) {
    let (model, bodies) = inputs();
    let mut group = criterion.benchmark_group("traced");
    for ratio in [0.0, 1.0] {
        let server = InProcess::traced(model.clone(), Some(traces(ratio)));
        let (name, body) = &bodies[0];
        group.bench_function(format!("{name}, {ratio} of the requests"), |b| {
            b.iter(|| black_box(server.post(body, FORMS[0])));
        });
    }
    group.finish();
}

/// A model that costs next to nothing, so that writing the answer is what is measured.
fn encoders(criterion: &mut Criterion) {
    let folder = tempfile::tempdir().expect("a folder");
    let model = folder.path().join("model.txt");
    std::fs::write(&model, STUMP).expect("the model is written");
    let server = InProcess::new(model);
    let rows = 100_000;
    let body: String = std::iter::once("x\n".to_owned()).chain((0..rows).map(|i| format!("{i}\n"))).collect();
    let body = Bytes::from(body);
    let mut group = criterion.benchmark_group("encode");
    group.sample_size(20);
    group.throughput(Throughput::Elements(rows));
    for accept in FORMS {
        group.bench_function(accept, |b| b.iter(|| black_box(server.post(&body, accept))));
    }
    group.finish();
}

/// A LightGBM binary model of one split.
const STUMP: &str = "tree\nversion=v4\nnum_class=1\nnum_tree_per_iteration=1\nlabel_index=0\nmax_feature_idx=0\n\
    objective=binary sigmoid:1\nfeature_names=x\nfeature_infos=[0:9]\n\nTree=0\nnum_leaves=2\nnum_cat=0\n\
    split_feature=0\nthreshold=50000\ndecision_type=2\nleft_child=-1\nright_child=-2\n\
    leaf_value=-1.2345678901234 0.98765432109876\nshrinkage=1\n\n\nend of trees\n";

criterion_group!(benches, requests, traced, encoders);
criterion_main!(benches);
