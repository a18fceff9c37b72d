//! `portend serve`: reads the sources of settings, then serves until a signal.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{ErrorKind, Read, Write, stderr, stdout};
use std::path::{Path, PathBuf};
use std::time::Duration;

use portend_core::{ArtifactUrl, Scheme};
use portend_server::{End, GrpcPort, Server, StartError, StoreConfig, TlsConfig};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use crate::arguments::{PrintForm, ServeArguments};
use crate::artifact::place;
use crate::configuration::{
    self, ENVIRONMENT_FILE, Effective, Sources, Stores, parse_environment_file, parse_portend_file,
};
use crate::{CommandError, runtime};

/// How long work on the disk that nobody waits for any more may take at the end.
const LAST_WORK: Duration = Duration::from_secs(5);

/// Where variables lie in a container of the Portable Prediction Server.
const DEFAULT_ENVIRONMENT_FILE: &str = "/opt/ml/config";

/// The Portend file, where none is named; the first that is there.
const PORTEND_FILES: [&str; 2] = ["portend.toml", "/etc/portend/portend.toml"];

/// The most bytes of a file of settings that are read.
const MOST_BYTES: u64 = 1 << 20;

pub(crate) fn run(arguments: &ServeArguments) -> Result<(), CommandError> {
    let mut effective = effective(arguments).map_err(CommandError::Setting)?;
    effective.config.trust = effective.trust.trust(|_| None)?;
    for line in &effective.notices {
        _ = writeln!(stderr(), "{line}"); // nobody has to read it
    }
    if let Some(form) = arguments.print_config {
        let text = match form {
            PrintForm::Table => configuration::table(&effective),
            PrintForm::Json => configuration::json(&effective),
        };
        stdout().write_all(text.as_bytes()).map_err(CommandError::Print)?;
        // what a start would say as well
        let checked = effective.config.tls.as_ref().map_or(Ok(()), TlsConfig::check);
        return checked.map_err(|error| CommandError::Start(error.into()));
    }
    if let Some(url) = place::url(effective.config.path.as_os_str())? {
        match url.scheme {
            Scheme::File => effective.config.path = url.object.into(),
            _ => effective.config.store = Some(in_store(url, &effective.stores)?),
        }
    }
    let runtime = runtime()?;
    let grpc_port = effective.config.grpc_port;
    let [path, address, grpc_address, traces] = [
        &["path"][..],
        &["host", "port"],
        &["host", "grpc-port"],
        &["trace-endpoint", "otlp-endpoint", "trace-headers"],
    ]
    .map(|names| effective.places(names));
    let because = |error| match (&error, grpc_port) {
        (StartError::Listen { address, .. }, GrpcPort::Wanted(port))
            if address.ends_with(&format!(":{port}")) =>
        {
            start_error(error, [&path, &grpc_address, &traces])
        }
        _ => start_error(error, [&path, &address, &traces]),
    };
    let outcome = runtime.block_on(async {
        let server = Server::bind(effective.config).await.map_err(because)?;
        if let Some(line) = effective.open.filter(|_| server.takes_uploads()) {
            _ = writeln!(stderr(), "{line}"); // nobody has to read it
        }
        let stop = stop_signals()?; // before the line below: who reads it may send one
        announce(&server)?;
        match server.run(stop).await.map_err(because)? {
            End::Drained => Ok(()),
            End::CutOff => Err(CommandError::CutOff),
        }
    });
    // a disk that hangs does not keep the process
    runtime.shutdown_timeout(LAST_WORK);
    outcome
}

/// The store that the path lies in.
fn in_store(url: ArtifactUrl, stores: &Stores) -> Result<StoreConfig, CommandError> {
    let given = |name: &str| match name {
        "PORTEND_CACHE_DIR" => stores.cache_dir.clone(),
        "PORTEND_CA_FILE" => stores.ca_file.clone(),
        name => std::env::var(name).ok(),
    };
    let settings = place::settings(given)?;
    // the same bucket elsewhere is another one
    let elsewhere =
        |name: &str| name.contains("ENDPOINT") || name.contains("HOST") || name.contains("CONNECTION");
    let names = settings.environment.iter().filter(|(name, _)| elsewhere(name));
    let identity = format!("{url} {}:{:?}", url.object, names.collect::<Vec<_>>());
    let cache = place::cache(stores.cache_dir.clone()).join("packages");
    let store = portend_artifact::open(&url, &settings).map_err(|error| place::failed(&url, &error))?;
    Ok(StoreConfig { store, url, identity, cache, cache_bytes: stores.cache_disk })
}

/// The error with the settings that led to it: where the path was set, or host and port, or where traces go.
fn start_error(error: StartError, [path, address, traces]: [&str; 3]) -> CommandError {
    let settings = match &error {
        StartError::Unreadable { .. }
        | StartError::Store { .. }
        | StartError::NothingFound { .. }
        | StartError::SeveralFound { .. }
        | StartError::Load(_) => path,
        StartError::Listen { .. } => address,
        StartError::Traces(_) => traces,
        StartError::Tls(_) | StartError::Threads(_) | StartError::Cache { .. } => "",
    };
    match settings {
        "" => CommandError::Start(error),
        settings => CommandError::StartBySetting { settings: settings.to_owned(), source: error },
    }
}

/// Reads all sources and lets the configuration be made of them.
fn effective(arguments: &ServeArguments) -> Result<Effective, String> {
    let environment = environment()?;
    let file = environment.get(ENVIRONMENT_FILE).filter(|path| !path.is_empty());
    let environment_file = match file {
        Some(path) => Some(named(Path::new(path), ENVIRONMENT_FILE)?),
        None => found(Path::new(DEFAULT_ENVIRONMENT_FILE))?,
    };
    let portend_file = match &arguments.config {
        Some(path) => Some(named(path, "--config")?),
        None => PORTEND_FILES.iter().find_map(|path| found(Path::new(path)).transpose()).transpose()?,
    };
    let mut flags = arguments.flags.clone();
    if arguments.no_access_log {
        flags.turn_off_access_log();
    }
    let sources = Sources {
        flags: flags.0,
        environment,
        environment_file: parsed(environment_file, parse_environment_file)?,
        portend_file: parsed(portend_file, parse_portend_file)?,
    };
    configuration::resolve(&sources, |path| read(Path::new(path)).map_err(|error| error.to_string()))
}

/// The variables of the process that may be settings.
fn environment() -> Result<BTreeMap<String, String>, String> {
    let texts = std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value)));
    let ours = texts.filter(|(name, _)| configuration::may_be_setting(name));
    ours.map(|(name, value)| match value.into_string() {
        Ok(value) => Ok((name, value)),
        Err(_) => Err(format!("{name} is not UTF-8")),
    })
    .collect()
}

type Content = (PathBuf, String);

/// A file that must be there, because `by` names it.
fn named(path: &Path, by: &str) -> Result<Content, String> {
    let text = read(path).map_err(|error| format!("{by} is '{}': {error}", path.display()))?;
    Ok((path.to_owned(), text))
}

/// A file that may be there.
fn found(path: &Path) -> Result<Option<Content>, String> {
    match read(path) {
        Ok(text) => Ok(Some((path.to_owned(), text))),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(None),
        Err(error) => Err(format!("{}: {error}", path.display())),
    }
}

/// The whole of a small text.
fn read(path: &Path) -> std::io::Result<String> {
    let mut text = String::new();
    File::open(path)?.take(MOST_BYTES + 1).read_to_string(&mut text)?;
    match text.len() as u64 > MOST_BYTES {
        true => Err(std::io::Error::new(ErrorKind::FileTooLarge, "larger than 1 MiB")),
        false => Ok(text),
    }
}

/// The entries of a file, with its path.
fn parsed<T>(
    content: Option<Content>,
    parse: impl Fn(&str) -> Result<T, String>,
) -> Result<Option<(String, T)>, String> {
    let entries = content.map(|(path, text)| {
        let path = path.display().to_string();
        let entries = parse(&text).map_err(|error| format!("{path}: {error}"))?;
        Ok((path, entries))
    });
    entries.transpose()
}

/// Says where the server listens, in one line that programs may read.
pub(crate) fn announce(server: &Server) -> Result<(), CommandError> {
    let address =
        server.address().map_err(|source| CommandError::Io { what: "the address cannot be told", source })?;
    _ = writeln!(stderr(), "listening on {}://{address}", server.scheme()); // nobody has to read it
    if let Some(address) = server.grpc_address() {
        _ = writeln!(stderr(), "listening for gRPC alone on {}://{address}", server.scheme());
    } else if let Some(port) = server.missed_grpc_port() {
        _ = writeln!(stderr(), "port {port} is taken: gRPC is spoken at the address above only");
    }
    Ok(())
}

/// A message for each Ctrl-C and SIGTERM.
pub(crate) fn stop_signals() -> Result<mpsc::Receiver<()>, CommandError> {
    let failed = |source| CommandError::Io { what: "signals cannot be received", source };
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    let (send, receive) = mpsc::channel(2);
    tokio::spawn(async move {
        loop {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            if send.send(()).await.is_err() {
                return;
            }
        }
    });
    Ok(receive)
}
