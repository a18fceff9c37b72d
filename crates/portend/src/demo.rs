//! `portend demo`: the whole story on this machine. Unpacks the bundled models, serves them, scores bundled
//! rows over HTTP as any client would, prints the answers and the command that repeats them.

use std::fs;
use std::io::{Read, Write, stdout};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::time::Duration;

use portend_server::{AccessLogFormat, Config, GrpcPort, Server, StartError};
use serde_json::Value;

use crate::arguments::DemoArguments;
use crate::serve::{announce, stop_signals};
use crate::{CommandError, runtime};

/// The bundled files, by their place in the demo's folder.
const FILES: [(&str, &[u8]); 5] = [
    ("models/fraud/model_x.mlpkg", include_bytes!("../../../examples/demo/fraud/model_x.mlpkg")),
    ("models/revenue/config.yml", include_bytes!("../../../examples/demo/revenue/config.yml")),
    (
        "models/revenue/revenue-estimate.mlpkg",
        include_bytes!("../../../examples/demo/revenue/revenue-estimate.mlpkg"),
    ),
    ("fraud-scoring.csv", include_bytes!("../../../examples/demo/fraud-scoring.csv")),
    ("revenue-scoring.csv", include_bytes!("../../../examples/demo/revenue-scoring.csv")),
];

pub(crate) fn run(arguments: &DemoArguments) -> Result<(), CommandError> {
    let folder = tempfile::Builder::new().prefix("portend-demo-").tempdir();
    let folder = folder.map_err(|source| CommandError::Io { what: "no folder for the demo", source })?;
    unpack(folder.path())
        .map_err(|source| CommandError::Io { what: "the demo cannot be unpacked", source })?;
    let mut config = Config::new(folder.path().join("models"));
    config.access_log = AccessLogFormat::Off;
    config.preload = Some(true);
    config.grpc_port = GrpcPort::Off;
    runtime()?.block_on(async {
        let server = bind(config, arguments.port).await?;
        announce(&server)?;
        let address = server
            .address()
            .map_err(|source| CommandError::Io { what: "the address cannot be told", source })?;
        let (shown_once, stopped) = tokio::sync::mpsc::channel(1);
        let stop = if arguments.once { stopped } else { stop_signals()? };
        let server = tokio::spawn(server.run(stop));
        let place = folder.path().to_owned();
        let shown = tokio::task::spawn_blocking(move || show(address, &place)).await;
        shown.map_err(|e| CommandError::Demo(e.to_string()))??;
        if !arguments.once {
            say("Serving on until Ctrl-C.")?;
        }
        drop(shown_once);
        server.await.map_err(|e| CommandError::Demo(e.to_string()))??;
        Ok(())
    })
}

fn unpack(folder: &Path) -> std::io::Result<()> {
    for (name, bytes) in FILES {
        let path = folder.join(name);
        fs::create_dir_all(path.parent().unwrap_or(folder))?;
        fs::write(path, bytes)?;
    }
    Ok(())
}

/// The port asked for; without one 8080, or a free one when that is taken.
async fn bind(mut config: Config, port: Option<u16>) -> Result<Server, StartError> {
    config.port = port.unwrap_or(8080);
    match Server::bind(config.clone()).await {
        Err(StartError::Listen { .. }) if port.is_none() => {
            config.port = 0;
            Server::bind(config).await
        }
        bound => bound,
    }
}

fn say(line: &str) -> Result<(), CommandError> {
    writeln!(stdout(), "{line}").map_err(CommandError::Print)
}

fn show(address: SocketAddr, folder: &Path) -> Result<(), CommandError> {
    wait_until_ready(address).map_err(CommandError::Demo)?;
    for id in ["fraud", "revenue"] {
        let rows = folder.join(format!("{id}-scoring.csv"));
        let body = fs::read(&rows).map_err(|e| CommandError::Demo(e.to_string()))?;
        let info = get(address, &format!("/deployments/{id}/info")).map_err(CommandError::Demo)?;
        let target = format!("/deployments/{id}/predictions?passthroughColumns=id");
        let answer = call(address, "POST", &target, &body).map_err(CommandError::Demo)?;
        let text = |key: &str| info[key].as_str().unwrap_or_default().to_owned();
        say(&format!(
            "\n{id}: {} of '{}' by a model of {}\n",
            text("targetType").to_lowercase(),
            text("targetName"),
            text("library")
        ))?;
        table(&answer).iter().try_for_each(|line| say(line))?;
        say(&format!(
            "\n  curl -X POST 'http://{address}{target}' -H 'Content-Type: text/csv' --data-binary @{}\n",
            rows.display()
        ))?;
    }
    Ok(())
}

/// The rows of an answer as an aligned table.
fn table(answer: &Value) -> Vec<String> {
    let rows: Vec<&Value> = answer["data"].as_array().into_iter().flatten().collect();
    let Some(first) = rows.first() else { return Vec::new() };
    let values = |row: &Value| row["predictionValues"].as_array().cloned().unwrap_or_default();
    let mut header = vec!["id".to_owned(), "prediction".to_owned()];
    let classes = values(first);
    if classes.len() > 1 {
        header.extend(classes.iter().map(|v| format!("P({})", plain(&v["label"]))));
    }
    let mut lines = vec![header];
    for row in rows {
        let mut line = vec![plain(&row["passthroughValues"]["id"]), plain(&row["prediction"])];
        if classes.len() > 1 {
            line.extend(
                values(row).iter().map(|v| format!("{:.4}", v["value"].as_f64().unwrap_or(f64::NAN))),
            );
        }
        lines.push(line);
    }
    let columns = lines[0].len();
    let widths: Vec<usize> =
        (0..columns).map(|c| lines.iter().map(|line| line[c].chars().count()).max().unwrap_or(0)).collect();
    let render = |line: &Vec<String>| {
        let cells = line.iter().zip(&widths).map(|(cell, width)| format!("{cell:>width$}"));
        format!("  {}", cells.collect::<Vec<_>>().join("  "))
    };
    lines.iter().map(render).collect()
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn wait_until_ready(address: SocketAddr) -> Result<(), String> {
    for _ in 0..600 {
        if get(address, "/ready").is_ok() {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Err("the models did not load in time".to_owned())
}

fn get(address: SocketAddr, target: &str) -> Result<Value, String> {
    call(address, "GET", target, b"")
}

/// One request over a connection of its own; the answer's JSON if the status is 200.
fn call(address: SocketAddr, method: &str, target: &str, body: &[u8]) -> Result<Value, String> {
    let exchange = || -> std::io::Result<String> {
        let mut stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(Duration::from_secs(30)))?;
        let length = body.len();
        write!(stream, "{method} {target} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n")?;
        write!(stream, "Content-Type: text/csv\r\nContent-Length: {length}\r\n\r\n")?;
        stream.write_all(body)?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    };
    let answer = exchange().map_err(|e| e.to_string())?;
    let (head, body) = answer.split_once("\r\n\r\n").ok_or("an answer without a head")?;
    if !head.starts_with("HTTP/1.1 200 ") {
        return Err(format!(
            "{method} {target} answered {}: {body}",
            head.lines().next().unwrap_or_default()
        ));
    }
    serde_json::from_str(body).map_err(|e| e.to_string())
}
