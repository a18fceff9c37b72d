//! A load of one call of gRPC, over and over, for `bench/protocols.py`: some connections, each with some calls at once.
//! It prints one line as `bench/post.lua` does.
//!
//! ```sh
//! grpc_load 127.0.0.1:8080 /inference.GRPCInferenceService/ModelInfer BODY CONNECTIONS CALLS SECONDS
//! ```

#![allow(clippy::print_stdout)] // its result

use std::error::Error;
use std::time::{Duration, Instant};

use bytes::Bytes;
use h2::client::SendRequest;
use http::Request;
use tokio::net::TcpStream;

type Failure = Box<dyn Error + Send + Sync>;

/// What one line of calls came to.
#[derive(Default)]
struct Calls {
    micros: Vec<u32>,
    refused: usize,
}

/// Calls one after the other until the end.
async fn calls(
    mut send: SendRequest<Bytes>,
    target: String,
    body: Bytes,
    end: Instant,
) -> Result<Calls, Failure> {
    let mut calls = Calls::default();
    while Instant::now() < end {
        let start = Instant::now();
        let request =
            Request::post(&target).header("content-type", "application/grpc").header("te", "trailers");
        send = send.ready().await?;
        let (answer, mut stream) = send.send_request(request.body(())?, false)?;
        stream.send_data(body.clone(), true)?;
        let (head, mut answered) = answer.await?.into_parts();
        while let Some(data) = answered.data().await {
            answered.flow_control().release_capacity(data?.len())?;
        }
        let trailers = answered.trailers().await?.unwrap_or(head.headers);
        if trailers.get("grpc-status").is_none_or(|status| status != "0") {
            calls.refused += 1;
        }
        calls.micros.push(u32::try_from(start.elapsed().as_micros())?);
    }
    Ok(calls)
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failure> {
    let given: Vec<String> = std::env::args().skip(1).collect();
    let [address, path, body, connections, at_once, seconds] = given.as_slice() else {
        return Err("ADDRESS PATH BODY CONNECTIONS CALLS SECONDS are needed".into());
    };
    let body = Bytes::from(std::fs::read(body)?);
    let (start, seconds) = (Instant::now(), seconds.parse()?);
    let end = start + Duration::from_secs_f64(seconds);
    let mut running = Vec::new();
    for _ in 0..connections.parse::<usize>()? {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let (send, connection) = h2::client::handshake(stream).await?;
        tokio::spawn(connection);
        for _ in 0..at_once.parse::<usize>()? {
            let target = format!("http://{address}{path}");
            running.push(tokio::spawn(calls(send.clone(), target, body.clone(), end)));
        }
    }
    let (mut micros, mut refused, mut broken) = (Vec::new(), 0, 0);
    for one in running {
        match one.await? {
            Ok(calls) => {
                micros.extend(calls.micros);
                refused += calls.refused;
            }
            Err(_) => broken += 1,
        }
    }
    micros.sort_unstable();
    let at = |part: f64| micros.get((micros.len() as f64 * part) as usize).copied().unwrap_or_default();
    println!(
        "RESULT {{\"requests\":{},\"us\":{},\"p50_us\":{},\"p99_us\":{},\"refused\":{refused},\"broken\":{broken}}}",
        micros.len(),
        start.elapsed().as_micros(),
        at(0.5),
        at(0.99)
    );
    Ok(())
}
