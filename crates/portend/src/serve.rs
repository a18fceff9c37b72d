//! `portend serve`: settings from flags and environment, then the server until a signal.

use std::io::{Write, stderr};
use std::path::PathBuf;

use portend_server::{AccessLogFormat, Config, Secret, Server, TlsConfig};

use crate::arguments::ServeArguments;
use crate::{CommandError, runtime};

/// Where packages lie in a container of the Portable Prediction Server.
const DEFAULT_PATH: &str = "/opt/ml/model/";

pub(crate) fn run(arguments: &ServeArguments) -> Result<(), CommandError> {
    let config = config(arguments, |name| std::env::var(name).ok())?;
    runtime()?.block_on(async {
        let server = Server::bind(config).await?;
        announce(&server)?;
        Ok(server.run(stop_signal()).await?)
    })
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
    config.tls = tls(given)?;
    config.port = arguments.port.unwrap_or(if config.tls.is_some() { 8443 } else { 8080 });
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
    Ok(config)
}

/// HTTPS as the environment asks for it; the other variables have no effect while the first is not true.
fn tls(given: impl Fn(&str) -> Option<String>) -> Result<Option<TlsConfig>, CommandError> {
    const ENABLED: &str = "PREDICTION_API_TLS_ENABLED";
    let enabled = given(ENABLED).unwrap_or_default();
    match enabled.trim().to_ascii_lowercase().as_str() {
        "true" | "yes" | "y" | "1" => {}
        "" | "false" | "no" | "n" | "0" => return Ok(None),
        _ => {
            let problem = "one of true, yes, y, 1, false, no, n and 0 is needed";
            return Err(CommandError::Setting(format!("{ENABLED} is '{enabled}': {problem}")));
        }
    }
    let text = |name| given(name).unwrap_or_default();
    Ok(Some(TlsConfig {
        certificate: text("PREDICTION_API_TLS_CERTIFICATE"),
        key: Secret(text("PREDICTION_API_TLS_CERTIFICATE_KEY")),
        key_password: given("PREDICTION_API_TLS_CERTIFICATE_KEY_PASSWORD").map(Secret),
        protocols: text("PREDICTION_API_TLS_PROTOCOLS"),
        ciphers: text("PREDICTION_API_TLS_CIPHERS"),
    }))
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
    _ = writeln!(stderr(), "listening on {}://{address}", server.scheme()); // nobody has to read it
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
    fn https_is_on_only_when_it_is_asked_for_and_has_a_port_of_its_own() {
        for (word, port, given) in [
            ("true", &[][..], Some(8443)),
            ("YES", &[], Some(8443)),
            ("y", &["--port", "9000"], Some(9000)),
            ("1", &["--port", "0"], Some(0)),
            ("No", &[], None),
            ("", &[], None),
            ("0", &[], None),
        ] {
            let command = ["portend", "serve"].iter().chain(port);
            let Command::Serve(arguments) = Arguments::parse_from(command).command else {
                panic!("not serve")
            };
            let environment = |name: &str| match name {
                "PREDICTION_API_TLS_ENABLED" => Some(word.to_owned()),
                "PREDICTION_API_TLS_CERTIFICATE" => Some("C".to_owned()),
                _ => None,
            };
            let config = config(&arguments, environment).unwrap();
            let tls = config.tls.map(|tls| (config.port, tls.certificate));
            assert_eq!(tls, given.map(|port| (port, "C".to_owned())), "{word}");
        }
    }

    #[test]
    fn a_bad_setting_is_named() {
        check(
            &[],
            &[("PREDICTION_API_TLS_ENABLED", "on")],
            Err("PREDICTION_API_TLS_ENABLED is 'on': one of true, yes, y, 1, false, no, n and 0 is needed"),
        );
        check(
            &[],
            &[("PREDICTION_API_WORKERS", "many")],
            Err("PREDICTION_API_WORKERS is 'many': a whole number of 1 or more is needed"),
        );
        check(&["--workers", "0"], &[], Err("--workers is 0: a number from 1 to 1024 is needed"));
    }
}
