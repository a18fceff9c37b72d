//! The floor that benchmarks measure against: an axum handler that takes a body and answers a constant.
//! Run it with `cargo run --release -p portend-server --example empty_axum`; it prints where it listens.

use axum::Router;
use axum::body::Bytes;
use axum::routing::{get, post};

const ANSWER: &str = r#"{"data":[{"rowId":0,"prediction":1,"predictionValues":[{"label":1,"value":0.5}]}]}"#;

#[expect(clippy::print_stderr, reason = "a program reads where it listens")]
fn main() -> std::io::Result<()> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(async {
        let routes = Router::new().route("/ping", get(|| async { "pong" })).route(
            "/predictions",
            post(|_body: Bytes| async { ([("content-type", "application/json")], ANSWER) }),
        );
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        eprintln!("listening on http://{}", listener.local_addr()?);
        axum::serve(listener, routes).await
    })
}
