//! Scoring without decoding: rows in blocks and one row at a time, on one thread, for the benchmark models.
//! `PORTEND_BENCH_DATA` names the folder that `bench/make.py` fills; without it a golden case stands in.

use std::hint::black_box;
use std::path::{Path, PathBuf};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use portend_model::Model;
use portend_model::frame::Keep;

fn inputs() -> Vec<(&'static str, PathBuf, PathBuf)> {
    match std::env::var_os("PORTEND_BENCH_DATA").map(PathBuf::from) {
        Some(data) => vec![
            ("xgb", data.join("model.json"), data.join("10k.csv")),
            ("lgb", data.join("lgb.txt"), data.join("10k.csv")),
        ],
        None => {
            let golden = Path::new(&std::env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it"))
                .join("../../testdata/models");
            let case = |name| golden.join(name).join("package");
            let rows = |name| golden.join(name).join("rows.csv");
            vec![
                ("xgb", case("xgb_digits"), rows("xgb_digits")),
                ("lgb", case("lgb_deep"), rows("lgb_deep")),
                ("categories", case("lgb_movies"), rows("lgb_movies")),
            ]
        }
    }
}

fn kernel(criterion: &mut Criterion) {
    for (name, path, rows) in inputs() {
        let model = Model::load(&path, "target").expect("the model loads");
        let text = std::fs::read_to_string(rows).expect("the rows are there");
        let frame = model.decode_csv(&text, &Keep::None, 1).expect("the rows decode").remove(0);
        let mut group = criterion.benchmark_group("kernel");
        group.sample_size(20);
        group.throughput(Throughput::Elements(frame.rows() as u64));
        group.bench_function(BenchmarkId::new(name, "blocks"), |b| {
            b.iter(|| black_box(model.predict(&frame, 0..frame.rows())));
        });
        let most = frame.rows().min(1000);
        group.throughput(Throughput::Elements(most as u64));
        group.bench_function(BenchmarkId::new(name, "one row a call"), |b| {
            b.iter(|| (0..most).for_each(|row| _ = black_box(model.predict(&frame, row..row + 1))));
        });
        group.finish();
    }
}

criterion_group!(benches, kernel);
criterion_main!(benches);
