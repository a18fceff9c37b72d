//! `portend serve`: settings from flags and environment, then the server until a signal.

use std::io::{Write, stderr};
use std::path::PathBuf;
use std::time::Duration;

use portend_server::{AccessLogFormat, Config, Server};

use crate::arguments::ServeArguments;
use crate::{CommandError, runtime};

/// Where packages lie in a container of the Portable Prediction Server.
const DEFAULT_PATH: &str = "/opt/ml/model/";

/// How long work on the disk that nobody waits for any more may take at the end.
const LAST_WORK: Duration = Duration::from_secs(5);

pub(crate) fn run(arguments: &ServeArguments) -> Result<(), CommandError> {
    let config = config(arguments, |name| std::env::var(name).ok())?;
    let runtime = runtime()?;
    let outcome = runtime.block_on(async {
        let server = Server::bind(config).await?;
        announce(&server)?;
        Ok(server.run(stop_signal()).await?)
    });
    // a disk that hangs does not keep the process
    runtime.shutdown_timeout(LAST_WORK);
    outcome
}

/// Flags before environment before defaults.
fn config(
    arguments: &ServeArguments,
    environment: impl Fn(&str) -> Option<String>,
) -> Result<Config, CommandError> {
    let given = |name: &str| environment(name).filter(|value| !value.trim().is_empty());
    let from_environment = || given("PREDICTION_API_MODEL_REPOSITORY_PATH").map(PathBuf::from);
    let path = arguments.path.clone().or_else(from_environment).unwrap_or_else(|| DEFAULT_PATH.into());
    let mut config = Config::new(path);
    config.host.clone_from(&arguments.host);
    config.port = arguments.port;
    config.target.clone_from(&arguments.target);
    if arguments.no_access_log {
        config.access_log = AccessLogFormat::Off;
    }
    if let Some(workers) = arguments.workers {
        config.workers = checked_workers("--workers", workers)?;
    } else if let Some(text) = given("PREDICTION_API_WORKERS") {
        let workers = text.trim().parse().map_err(|_| {
            CommandError::Setting(format!(
                "PREDICTION_API_WORKERS is '{text}': a whole number of 1 or more is needed"
            ))
        })?;
        config.workers = checked_workers("PREDICTION_API_WORKERS", workers)?;
    }
    if let Some(text) = given("PREDICTION_API_SCORING_MODEL_CACHE_MAXSIZE") {
        config.cache.models =
            Some(whole_number("PREDICTION_API_SCORING_MODEL_CACHE_MAXSIZE", &text, 1)? as usize);
    }
    if let Some(text) = given("PREDICTION_API_DEPLOYED_MODEL_RESOLVER_CACHE_TTL_SEC") {
        let seconds = whole_number("PREDICTION_API_DEPLOYED_MODEL_RESOLVER_CACHE_TTL_SEC", &text, 0)?;
        config.repository_ttl = Duration::from_secs(seconds);
    }
    if let Some(text) = given("PREDICTION_API_PRELOAD_MODELS_ENABLED") {
        config.preload = Some(truth("PREDICTION_API_PRELOAD_MODELS_ENABLED", &text)?);
    }
    Ok(config)
}

fn whole_number(name: &str, text: &str, least: u64) -> Result<u64, CommandError> {
    let number = text.trim().parse().ok().filter(|number| *number >= least);
    number.ok_or_else(|| {
        CommandError::Setting(format!("{name} is '{text}': a whole number of {least} or more is needed"))
    })
}

fn truth(name: &str, text: &str) -> Result<bool, CommandError> {
    match text.trim().to_ascii_lowercase().as_str() {
        "true" | "1" => Ok(true),
        "false" | "0" => Ok(false),
        _ => Err(CommandError::Setting(format!("{name} is '{text}': true or false is needed"))),
    }
}

fn checked_workers(name: &str, workers: usize) -> Result<usize, CommandError> {
    if (1..=1024).contains(&workers) {
        return Ok(workers);
    }
    Err(CommandError::Setting(format!("{name} is {workers}: a number from 1 to 1024 is needed")))
}

/// Says where the server listens, in one line that programs may read.
pub(crate) fn announce(server: &Server) -> Result<(), CommandError> {
    let address =
        server.address().map_err(|source| CommandError::Io { what: "the address cannot be told", source })?;
    _ = writeln!(stderr(), "listening on http://{address}"); // nobody has to read it
    Ok(())
}

/// Completes at Ctrl-C or SIGTERM.
pub(crate) async fn stop_signal() {
    use tokio::signal::unix::{SignalKind, signal};
    match signal(SignalKind::terminate()) {
        Ok(mut terminate) => tokio::select! {
            _ = tokio::signal::ctrl_c() => {}
            _ = terminate.recv() => {}
        },
        // Without a handler the signal ends the process anyway.
        Err(_) => _ = tokio::signal::ctrl_c().await,
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::arguments::{Arguments, Command};

    fn check(arguments: &[&str], environment: &[(&str, &str)], expected: Result<(&str, usize), &str>) {
        let command = ["portend", "serve"].iter().chain(arguments);
        let Command::Serve(arguments) = Arguments::parse_from(command).command else { panic!("not serve") };
        let lookup =
            |name: &str| environment.iter().find(|(n, _)| *n == name).map(|(_, value)| (*value).to_owned());
        let found = config(&arguments, lookup).map(|c| (c.path.display().to_string(), c.workers));
        let found = found.map_err(|e| e.to_string());
        let cores = Config::new(PathBuf::new()).workers;
        let expected =
            expected.map(|(path, workers)| (path.to_owned(), if workers == 0 { cores } else { workers }));
        assert_eq!(found, expected.map_err(str::to_owned));
    }

    #[test]
    fn flags_win_over_environment_over_defaults() {
        check(&[], &[], Ok(("/opt/ml/model/", 0)));
        let both = [("PREDICTION_API_MODEL_REPOSITORY_PATH", "/m"), ("PREDICTION_API_WORKERS", "3")];
        check(&[], &both, Ok(("/m", 3)));
        check(&["x.json", "--workers", "2"], &both, Ok(("x.json", 2)));
        check(&[], &[("PREDICTION_API_WORKERS", "")], Ok(("/opt/ml/model/", 0)));
    }

    #[test]
    fn a_bad_setting_is_named() {
        check(
            &[],
            &[("PREDICTION_API_WORKERS", "many")],
            Err("PREDICTION_API_WORKERS is 'many': a whole number of 1 or more is needed"),
        );
        check(
            &[],
            &[("PREDICTION_API_SCORING_MODEL_CACHE_MAXSIZE", "0")],
            Err("PREDICTION_API_SCORING_MODEL_CACHE_MAXSIZE is '0': a whole number of 1 or more is needed"),
        );
        check(
            &[],
            &[("PREDICTION_API_PRELOAD_MODELS_ENABLED", "perhaps")],
            Err("PREDICTION_API_PRELOAD_MODELS_ENABLED is 'perhaps': true or false is needed"),
        );
        check(&["--workers", "0"], &[], Err("--workers is 0: a number from 1 to 1024 is needed"));
    }
}
