//! Decoding CSV and JSON into frames, on one thread, in bytes per second.

use std::hint::black_box;
use std::path::Path;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use portend_core::Feature;
use portend_model::Model;
use portend_model::frame::{Inputs, Keep, Matching, Precision, csv, json};

/// 30 numeric columns, values of six digits, from a small generator.
fn tables(rows: usize) -> (Inputs, String, String) {
    let names: Vec<String> = (0..30).map(|i| format!("f{i}")).collect();
    let mut state = 1_u64;
    let mut value = || {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        ((state >> 40) as f64 / 16777.216).round() / 1000.0 - 500.0
    };
    let (mut csv, mut json) = (names.join(",") + "\n", "[".to_owned());
    for row in 0..rows {
        let cells: Vec<String> = names.iter().map(|_| format!("{:.3}", value())).collect();
        let pairs: Vec<String> = names.iter().zip(&cells).map(|(n, c)| format!("\"{n}\":{c}")).collect();
        csv += &(cells.join(",") + "\n");
        json += &format!("{}{{{}}}", if row == 0 { "" } else { "," }, pairs.join(","));
    }
    let features: Vec<Feature> = names.into_iter().map(Feature::number).collect();
    (Inputs::new(&features, Precision::Single, Matching::Name, Vec::new()), csv, json + "]")
}

fn decode(criterion: &mut Criterion) {
    let (inputs, csv_text, json_text) = tables(10_000);
    let mut group = criterion.benchmark_group("decode");
    group.sample_size(20);
    group.throughput(Throughput::Bytes(csv_text.len() as u64));
    group.bench_function("csv", |b| {
        b.iter(|| black_box(csv::decode(&csv_text, &inputs, &Keep::None, 1)));
    });
    group.throughput(Throughput::Bytes(json_text.len() as u64));
    group.bench_function("json", |b| b.iter(|| black_box(json::decode(&json_text, &inputs, &Keep::None))));

    let golden = Path::new(&std::env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it"))
        .join("../../testdata/models/xgb_movies");
    let model = Model::load(&golden.join("package"), "target").expect("the golden case loads");
    let text = std::fs::read_to_string(golden.join("rows.csv")).expect("the rows are there");
    group.throughput(Throughput::Bytes(text.len() as u64));
    group
        .bench_function("csv with levels", |b| b.iter(|| black_box(model.decode_csv(&text, &Keep::None, 1))));
    group.finish();
}

criterion_group!(benches, decode);
criterion_main!(benches);
